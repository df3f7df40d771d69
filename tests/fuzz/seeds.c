/* Writes the seeds that cannot be typed: fuzz_seeds CORPUS_FOLDER. Account states and a
 * snapshot of a small slot in which most things happened, notes, key files. Deterministic
 * but for the salt of an encrypted key file. Not a test. */
#include <string.h>

#include "crypto/keyfile.h"
#include "fuzz.h"
#include "ledger/mp.h"
#include "ledger/slotlog.h"
#include "other.h"
#include "tests/unit/account/kit.h"

#define SLOTS 2
#define SLOT 1

static const char *corpus;
static struct slotlog log_of_slot;
static struct kit_entry entry;
static struct payload payload;
static uint8_t room[1 << 18];
static size_t used;

static void save(const char *name, const void *data, size_t size)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", corpus, name);
    FILE *out = fopen(path, "wb");
    PROPERTY(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0);
}

static void admit(void)
{
    static struct effects fx;
    struct record r;
    enum err e = slotlog_admit(&log_of_slot, &entry.e, 1700000000000, &r, &fx);
    if (e != ERR_OK)
        fprintf(stderr, "%s: %s\n", kind_word(entry.e.kind), err_word(e));
    PROPERTY(e == ERR_OK);
}

static void say(const struct account *a, const struct key *writer)
{
    kit_build(&entry, a, &log_of_slot.hub, writer, &payload);
    admit();
}

static struct account *open_account(uint32_t key, bool recovery)
{
    kit_open_in_slot(&entry,
                     &(struct kit_open){.federation = kit_hash(7),
                                        .hub = "hub.test",
                                        .root = kit_key(key),
                                        .device = kit_key(key + 1),
                                        .recovery = recovery ? kit_key(key + 2) : NULL,
                                        .residency = recovery},
                     SLOT, SLOTS);
    admit();
    return slotlog_account(&log_of_slot, &entry.e.id);
}

static void join(const struct account *a, uint32_t inviter, uint32_t key)
{
    struct pubkey invite = kit_pub(key + 2), device = kit_pub(key + 1);
    kit_invite(&payload, &a->id, kit_root_of(a, inviter), &invite, 1700000001000);
    say(a, kit_key(inviter));
    const struct invite *i = &a->invites[a->invite_count - 1];
    kit_member_add(&payload, &a->id, &i->id, kit_key(key + 2), kit_key(key), &device);
    kit_build_first(&entry, &a->id, &i->id, i->lamport + 1, kit_key(key + 1), &payload);
    admit();
}

static void make_log(void)
{
    kit_log_open(&entry, &(struct kit_log){.federation = kit_hash(7),
                                           .hub = "hub.test",
                                           .slot = SLOT,
                                           .slots = SLOTS,
                                           .issuer = kit_key(1),
                                           .relay = known_key(0),
                                           .log = kit_key(3)});
    admit();
}

static void live(struct account *a, const struct account *other)
{
    struct hash node = kit_hash(5);
    struct pubkey root = kit_pub(10), device = kit_pub(15), invite = kit_pub(16);
    kit_accrue(&payload, &node, 3, 1000);
    say(a, kit_key(1));
    kit_transfer(&payload);
    kit_pay(&payload, &other->id, 30);
    say(a, kit_key(11));
    kit_bind(&payload, 3, "address");
    say(a, kit_key(11));
    join(a, 11, 20);
    struct pubkey second = kit_pub(20);
    payload.kind = KIND_SPLIT;
    kit_terms(&payload.split.terms, &root, 9);
    kit_share(&payload.split.terms, &root, 4);
    kit_share(&payload.split.terms, &second, 5);
    say(a, kit_key(11));
    kit_device_add(&payload, &a->id, kit_key(10), &device, 1);
    say(a, kit_key(11));
    kit_device_revoke(&payload, &device);
    say(a, kit_key(11));
    kit_invite(&payload, &a->id, kit_key(20), &invite, 1700000009000);
    say(a, kit_key(21));
    kit_recovery_begin(&payload);
    say(a, kit_key(12));
}

static void save_account(const char *name, const struct account *a)
{
    struct mp_writer w = mp_writer_of(room + 1, sizeof room - 1);
    room[0] = 0;
    account_encode(&w, a);
    PROPERTY(!w.full);
    save(name, room, w.size + 1);
}

static bool emit(void *context, struct bytes part)
{
    (void)context;
    PROPERTY(used + part.size <= sizeof room);
    memcpy(room + used, part.data, part.size);
    used += part.size;
    return true;
}

static void save_states(const struct account *a, const struct account *b)
{
    save_account("account/much_happened", a);
    save_account("account/opened", b);
    struct mp_writer w = mp_writer_of(room + 1, sizeof room - 1);
    room[0] = 1;
    hub_account_encode(&w, &log_of_slot.hub);
    save("account/hub", room, w.size + 1);
    room[0] = 0;
    used = 1;
    PROPERTY(slotlog_snapshot(&log_of_slot, known_key(0), emit, NULL) == ERR_OK);
    save("snapshot/whole", room, used);
    room[0] = 3;
    save("snapshot/signed_here", room, used - (5 + 2 * HASH_BYTES + SIG_BYTES));
}

static void save_notes(void)
{
    char text[2048];
    struct vkey v;
    struct pubkey pub = known_pub(0);
    struct checkpoint c = {.origin = "hub.example/0a", .size = 1234, .root = kit_hash(1)};
    PROPERTY(vkey_make(&v, c.origin, NOTE_ED25519, &pub));
    size_t size = checkpoint_sign(text, sizeof text, &c, &v, known_key(0));
    save("note/checkpoint", text, size);
    size = vkey_format(&v, text, sizeof text);
    save("note/key", text, size);
    memcpy(text, "\1\3\0\0\0\1\0\0\0\0\0", 10);
    size = checkpoint_format(text + 10, sizeof text - 10, &c);
    save("note/text_to_sign", text, size + 10);
}

static void save_keyfiles(void)
{
    char text[KEYFILE_BYTES_MAX];
    PROPERTY(keyfile_encode(text, known_key(0), "device", NULL, KEYFILE_COST_TEST) ==
             KEYFILE_OK);
    save("keyfile/plain", text, strlen(text));
    PROPERTY(keyfile_encode(text, known_key(0), "root", "correct horse",
                            KEYFILE_COST_TEST) == KEYFILE_OK);
    save("keyfile/encrypted", text, strlen(text));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_seeds CORPUS_FOLDER\n");
        return 2;
    }
    corpus = argv[1];
    PROPERTY(slotlog_init(&log_of_slot, &alloc_heap, SLOT, 1) == ERR_OK);
    make_log();
    struct hash id = open_account(10, true)->id, other = open_account(30, false)->id;
    live(slotlog_account(&log_of_slot, &id), slotlog_account(&log_of_slot, &other));
    save_states(slotlog_account(&log_of_slot, &id),
                slotlog_account(&log_of_slot, &other));
    save_notes();
    save_keyfiles();
    slotlog_close(&log_of_slot);
    kit_close();
    return 0;
}
