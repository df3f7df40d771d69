#include "tests/lib/wirekit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/keyfile.h"

#define WAIT_MS 8000

bool wirekit_receive(struct wirekit *k, int timeout_ms)
{
    struct rawws_message m;
    if (rawws_receive(&k->ws, &m, timeout_ms) != 1 || m.opcode != RAWWS_BINARY)
        return false;
    if (wire_decode(&k->f, m.data, m.size) != ERR_OK)
        return false;
    if (k->f.type == WIRE_RESULTS) {
        struct mp_reader notes = k->f.notes;
        for (size_t i = 0; i < k->f.note_count; i++) {
            uint64_t slot;
            struct bytes note;
            wire_next_slot_note(&notes, &slot, &note);
            if (slot < SLOTS_MAX && note.size <= CHECKPOINT_BYTES_MAX) {
                memcpy(k->notes[slot], note.data, note.size);
                k->note_size[slot] = note.size;
            }
        }
    }
    return true;
}

bool wirekit_expect(struct wirekit *k, uint64_t type, int timeout_ms)
{
    do {
        if (!wirekit_receive(k, timeout_ms))
            return false;
    } while (k->f.type != type);
    return true;
}

bool wirekit_send(struct wirekit *k, const struct wire_frame *f)
{
    size_t cap = 4096 + f->data.size;
    uint8_t *room = malloc(cap);
    struct mp_writer w = mp_writer_of(room, cap);
    wire_put(&w, f);
    bool ok = !w.full && rawws_send(&k->ws, room, w.size);
    free(room);
    return ok;
}

static bool challenged(struct wirekit *k, uint16_t port, const char *source)
{
    struct rawws_options o = {.port = port, .source = source};
    memset(k, 0, sizeof(*k));
    k->notes = calloc(SLOTS_MAX, sizeof(*k->notes));
    if (!rawws_connect(&k->ws, &o) || !wirekit_expect(k, WIRE_CHALLENGE, WAIT_MS))
        return false;
    k->hub.federation = k->f.federation;
    snprintf(k->hub.hub, sizeof(k->hub.hub), "%.*s", (int)k->f.hub.size,
             (const char *)k->f.hub.data);
    k->hub.slots = (uint32_t)k->f.slots;
    k->hub.limits = k->f.limits;
    k->hub.nonce = k->f.nonce;
    return true;
}

bool wirekit_challenged(struct wirekit *k, uint16_t port)
{
    return challenged(k, port, NULL);
}

static void take_welcome(struct wirekit *k)
{
    struct mp_reader notes = k->f.notes;
    for (size_t i = 0; i < k->f.note_count; i++) {
        struct bytes note;
        wire_next_note(&notes, &note);
        assert(note.size <= CHECKPOINT_BYTES_MAX);
        memcpy(k->notes[i], note.data, note.size);
        k->note_size[i] = note.size;
    }
}

static bool say_hello(struct wirekit *k, const struct key *device,
                      const struct bytes notes[], size_t count)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct hash nonce;
    struct pubkey public_key = {{0}};
    random_bytes(nonce.b, sizeof(nonce.b));
    struct wire_frame hello = {
        .type = WIRE_HELLO, .rid = ++k->rid, .nonce = nonce, .note_count = count};
    if (device) {
        public_key = key_public(device);
        hello.has_device = hello.has_sig = true;
        hello.device = public_key;
    }
    size_t n = hello_message(message, &k->hub.federation, k->hub.hub, &k->hub.nonce,
                             &nonce, device ? &public_key : NULL);
    if (device)
        hello.sig = key_sign(device, CTX_HELLO, message, n);
    size_t cap = 4096 + count * (CHECKPOINT_BYTES_MAX + 8);
    uint8_t *room = malloc(cap);
    struct mp_writer w = mp_writer_of(room, cap);
    wire_put(&w, &hello);
    for (size_t i = 0; i < count; i++)
        wire_put_note(&w, notes[i]);
    bool ok = !w.full && rawws_send(&k->ws, room, w.size);
    free(room);
    if (!ok || !wirekit_receive(k, WAIT_MS) || k->f.type != WIRE_WELCOME)
        return false;
    k->hub.relay = k->f.device;
    take_welcome(k);
    return sig_verify(&k->f.sig, &k->hub.relay, CTX_WELCOME, message, n);
}

bool wirekit_open_with(struct wirekit *k, uint16_t port, const struct key *device,
                       const struct bytes notes[], size_t count)
{
    return wirekit_challenged(k, port) && say_hello(k, device, notes, count);
}

bool wirekit_open_from(struct wirekit *k, uint16_t port, const char *source)
{
    return challenged(k, port, source) && say_hello(k, NULL, NULL, 0);
}

bool wirekit_open(struct wirekit *k, uint16_t port, const struct key *device)
{
    return wirekit_open_with(k, port, device, NULL, 0);
}

void wirekit_close(struct wirekit *k)
{
    rawws_close(&k->ws);
    free(k->notes);
    k->notes = NULL;
}

void wirekit_trust(struct wirekit *k, const struct pubkey *log)
{
    for (uint32_t slot = 0; slot < k->hub.slots; slot++) {
        char origin[NOTE_NAME_MAX + 1];
        snprintf(origin, sizeof(origin), "%s/%02x", k->hub.hub, (unsigned)slot);
        if (!vkey_make(&k->log[slot], origin, NOTE_ED25519, log))
            return;
    }
    k->trusted = true;
}

bool wirekit_trust_folder(struct wirekit *k, const char *keys_dir)
{
    char path[600], role[KEYFILE_ROLE_MAX];
    struct pubkey log;
    bool encrypted;
    snprintf(path, sizeof(path), "%s/log.key", keys_dir);
    if (keyfile_load_public(path, &log, role, &encrypted) != KEYFILE_OK)
        return false;
    wirekit_trust(k, &log);
    return k->trusted;
}

bool wirekit_submit(struct wirekit *k, const struct bytes envelopes[], size_t count,
                    uint64_t flags)
{
    size_t cap = 64;
    for (size_t i = 0; i < count; i++)
        cap += envelopes[i].size + 8;
    uint8_t *room = malloc(cap);
    struct mp_writer w = mp_writer_of(room, cap);
    wire_put(&w,
             &(struct wire_frame){
                 .type = WIRE_SUBMIT, .rid = ++k->rid, .flags = flags, .count = count});
    for (size_t i = 0; i < count; i++)
        wire_put_envelope(&w, envelopes[i]);
    bool ok = !w.full && rawws_send(&k->ws, room, w.size);
    free(room);
    return ok;
}

bool wirekit_subscribe(struct wirekit *k, const struct wire_key *key, uint64_t from)
{
    return wirekit_send(
        k, &(struct wire_frame){
               .type = WIRE_SUBSCRIBE, .rid = ++k->rid, .key = *key, .from = from});
}

struct wire_result wirekit_result(struct wirekit *k)
{
    struct wire_result r;
    struct mp_reader list = k->f.list;
    assert(k->f.type == WIRE_RESULTS && k->f.count == 1);
    wire_next_result(&list, &r);
    return r;
}

bool wirekit_submit_one(struct wirekit *k, struct bytes envelope, struct wire_result *r)
{
    if (!wirekit_submit(k, &envelope, 1, 0))
        return false;
    do {
        if (!wirekit_expect(k, WIRE_RESULTS, WAIT_MS))
            return false;
        *r = wirekit_result(k);
    } while (r->rid != k->rid);
    return true;
}

bool wirekit_receipt_ok(struct wirekit *k, const struct wire_result *r,
                        struct bytes envelope)
{
    struct checkpoint c;
    struct hash path[MERKLE_PATH_MAX];
    struct record record = {.slot = (uint32_t)r->slot,
                            .index = r->index,
                            .position = r->position,
                            .account_head = r->account_head,
                            .hub_lamport = r->hub_lamport,
                            .hub_time_ms = r->hub_time_ms,
                            .envelope = envelope};
    if (!k->trusted || r->code != 0 || r->slot >= k->hub.slots ||
        r->path.size > sizeof(path) ||
        !checkpoint_open(&c, k->notes[r->slot], k->note_size[r->slot], &k->log[r->slot]))
        return false;
    memcpy(path, r->path.data, r->path.size);
    struct hash leaf = record_leaf_hash(&record);
    return merkle_verify_inclusion(r->index, c.size, &leaf, path,
                                   r->path.size / HASH_BYTES, &c.root);
}

bool wirekit_head(struct wirekit *k, const struct hash *account, const struct pubkey *key)
{
    struct wire_frame f = {.type = WIRE_HEAD, .rid = ++k->rid, .id = *account};
    uint8_t message[MESSAGE_BYTES_MAX];
    char origin[NOTE_NAME_MAX + 1];
    if (key) {
        f.has_device = true;
        f.device = *key;
    }
    if (!wirekit_send(k, &f))
        return false;
    do {
        if (!wirekit_receive(k, WAIT_MS))
            return false;
    } while (k->f.rid != k->rid ||
             (k->f.type != WIRE_HEAD_IS && k->f.type != WIRE_ERROR));
    if (k->f.type != WIRE_HEAD_IS)
        return false;
    snprintf(origin, sizeof(origin), "%s/%02x", k->hub.hub, (unsigned)k->f.slot);
    size_t n =
        head_message(message, account, k->f.position, &k->f.head, origin, k->f.size);
    return sig_verify(&k->f.sig, &k->hub.relay, CTX_HEAD, message, n);
}
