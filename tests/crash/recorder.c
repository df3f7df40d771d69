#include "tests/crash/recorder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/context.h"
#include "crypto/keyfile.h"
#include "crypto/seal.h"
#include "tests/lib/clock.h"

#define ANSWER_MS 1500
#define RESOLVE_MS 10000
#define SETTLE_MS 10000
#define POINTS 1000000
#define FRAME_ENTRIES (2 * RECORDER_PEOPLE)
#define ATTACHMENT "an attachment"

static void nap_ms(unsigned ms)
{
    struct timespec t = {0, (long)ms * 1000000L};
    nanosleep(&t, NULL);
}

__attribute__((format(printf, 2, 3))) static bool wrong(struct recorder *r,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (r->why[0] == 0)
        vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
    return false;
}

static void *grow(void *p, size_t *cap, size_t count, size_t width)
{
    if (count <= *cap)
        return p;
    *cap = count * 2 + 16;
    p = realloc(p, *cap * width);
    if (p == NULL)
        abort();
    return p;
}

/* ---- connection ---- */

void recorder_disconnect(struct recorder *r)
{
    if (r->connected)
        wirekit_close(&r->k);
    r->connected = false;
}

static bool connect_hub(struct recorder *r)
{
    char dir[512];
    recorder_disconnect(r);
    hubproc_path(r->hub, "state/keys", dir);
    r->connected = true;
    if (wirekit_open(&r->k, r->hub->port, r->people[0].device) &&
        wirekit_trust_folder(&r->k, dir))
        return true;
    recorder_disconnect(r);
    return false;
}

/* ---- answers ---- */

static bool see_note(struct recorder *r, uint64_t slot)
{
    struct seen_note n = {.slot = slot};
    if (!checkpoint_open(&n.c, r->k.notes[slot], r->k.note_size[slot], &r->k.log[slot]))
        return wrong(r, "slot %llu: a checkpoint is not signed by the log's key",
                     (unsigned long long)slot);
    r->notes = grow(r->notes, &r->note_cap, r->note_count + 1, sizeof *r->notes);
    r->notes[r->note_count++] = n;
    r->checkpoints++;
    return true;
}

static struct sent *sent_of(struct recorder *r, uint64_t rid, uint64_t i)
{
    for (size_t n = r->sent_count; n > r->settled; n--)
        if (r->sent[n - 1].rid == rid && r->sent[n - 1].i == i)
            return &r->sent[n - 1];
    return NULL;
}

static bool take_accepted(struct recorder *r, struct sent *s, const struct wire_result *w)
{
    struct bytes envelope = bytes_of(s->bytes, s->size);
    struct record record = {.slot = (uint32_t)w->slot,
                            .index = w->index,
                            .position = w->position,
                            .account_head = w->account_head,
                            .hub_lamport = w->hub_lamport,
                            .hub_time_ms = w->hub_time_ms,
                            .envelope = envelope};
    if (!wirekit_receipt_ok(&r->k, w, envelope))
        return wrong(r, "a receipt for %llu/%llu does not lead to its checkpoint",
                     (unsigned long long)w->slot, (unsigned long long)w->index);
    struct hash leaf = record_leaf_hash(&record);
    if (s->acked &&
        (s->slot != w->slot || s->index != w->index || !hash_equal(&s->leaf, &leaf)))
        return wrong(r, "one entry was accepted at %llu/%llu and at %llu/%llu",
                     (unsigned long long)s->slot, (unsigned long long)s->index,
                     (unsigned long long)w->slot, (unsigned long long)w->index);
    r->acks += !s->acked;
    s->acked = true;
    s->slot = w->slot;
    s->index = w->index;
    s->leaf = leaf;
    return see_note(r, w->slot);
}

/* Takes frames until `rid` has `count` answers. False: no more came, or a lie (why). */
static bool take_results(struct recorder *r, uint64_t rid, size_t count)
{
    size_t got = 0;
    uint64_t end = mono_ms() + (r->answer_ms ? r->answer_ms : ANSWER_MS);
    while (got < count) {
        uint64_t now = mono_ms();
        if (now >= end || !wirekit_expect(&r->k, WIRE_RESULTS, (int)(end - now)))
            return false;
        struct mp_reader list = r->k.f.list;
        for (size_t n = 0; n < r->k.f.count; n++) {
            struct wire_result w;
            wire_next_result(&list, &w);
            got += w.rid == rid;
            struct sent *s = sent_of(r, w.rid, w.i);
            if (w.code == 0 && s != NULL && !take_accepted(r, s, &w))
                return false;
            if (w.code == ERR_BALANCE || w.code == ERR_PREV || w.code == ERR_SEQ_TAKEN)
                return wrong(r, "a good entry was refused: %s",
                             err_text((enum err)w.code));
        }
    }
    return true;
}

/* ---- writing ---- */

static void keep_sent(struct recorder *r, const struct person *p, bool sealed)
{
    r->sent = grow(r->sent, &r->sent_cap, r->sent_count + 1, sizeof *r->sent);
    struct sent *s = &r->sent[r->sent_count++];
    *s = (struct sent){.size = p->size, .id = p->id, .sealed = sealed};
    s->bytes = malloc(p->size);
    if (s->bytes == NULL)
        abort();
    memcpy(s->bytes, p->bytes, p->size);
}

/* Send entries [from, end) that are not acknowledged, as one SUBMIT of *sent. */
static bool submit(struct recorder *r, size_t from, size_t end, size_t *sent)
{
    struct bytes list[FRAME_ENTRIES];
    size_t count = 0;
    for (size_t n = from; n < end && count < FRAME_ENTRIES; n++) {
        struct sent *s = &r->sent[n];
        if (s->acked)
            continue;
        s->rid = r->k.rid + 1;
        s->i = count;
        list[count++] = bytes_of(s->bytes, s->size);
    }
    *sent = count;
    return count == 0 || wirekit_submit(&r->k, list, count, 0);
}

static size_t sealed_bytes(uint8_t *data, uint8_t salt[SEAL_SALT_BYTES])
{
    /* The hub checks the commitment only: these bytes need not open. */
    memset(salt, 7, SEAL_SALT_BYTES);
    memcpy(data, ATTACHMENT, sizeof ATTACHMENT);
    return sizeof ATTACHMENT;
}

static void write_sealed(struct person *p)
{
    uint8_t data[64], salt[SEAL_SALT_BYTES], payload[3] = {0x91, 0xc4, 0x00};
    size_t size = sealed_bytes(data, salt);
    struct hash commitment = seal_commitment(salt, data, size), prev = p->tip;
    struct entry_draft d = {.account = &p->account,
                            .seq = p->next_seq,
                            .prev = &prev,
                            .lamport = p->lamport + 1,
                            .time_ms = 1,
                            .kind = KIND_NOTE,
                            .payload = bytes_of(payload, sizeof payload),
                            .sealed_commitment = &commitment,
                            .sealed_size = size};
    if (entry_build(&d, p->device, p->bytes, sizeof p->bytes, &p->size) != ERR_OK)
        abort();
    p->id = hash_context(CTX_ENTRY, p->bytes, p->size - SIG_BYTES);
    p->tip = p->id;
    p->next_seq++;
    p->lamport++;
}

/* One round into `sent`. */
static void write_round(struct recorder *r)
{
    for (size_t i = 0; i < RECORDER_PEOPLE; i++) {
        struct person *p = &r->people[i];
        size_t to = (i + 1) % RECORDER_PEOPLE;
        int64_t amount = (int64_t)i + 1;
        if (i == 0)
            write_sealed(p);
        else
            person_note(p, 40 * i);
        keep_sent(r, p, i == 0);
        person_transfer(p, &r->people[to].account, amount);
        keep_sent(r, p, false);
        r->balance[i] -= amount;
        r->balance[to] += amount;
    }
}

/* Put an attachment whose entry stands. False: no answer any more. */
static bool put_sealed(struct recorder *r, struct sent *s)
{
    uint8_t data[64], salt[SEAL_SALT_BYTES];
    size_t size = sealed_bytes(data, salt);
    struct wire_frame put = {.type = WIRE_SEALED_PUT,
                             .rid = ++r->k.rid,
                             .id = s->id,
                             .data = bytes_of(data, size)};
    memcpy(put.salt.b, salt, sizeof salt);
    if (!wirekit_send(&r->k, &put))
        return false;
    do {
        if (!wirekit_receive(&r->k, (int)(r->answer_ms ? r->answer_ms : ANSWER_MS)))
            return false;
    } while ((r->k.f.type != WIRE_OK && r->k.f.type != WIRE_ERROR) ||
             r->k.f.rid != put.rid);
    s->kept = r->k.f.type == WIRE_OK;
    return true;
}

static bool put_attachments(struct recorder *r)
{
    for (size_t n = r->settled; n < r->sent_count; n++) {
        struct sent *s = &r->sent[n];
        if (s->sealed && s->acked && !s->kept && !put_sealed(r, s))
            return false;
    }
    return true;
}

static size_t open_count(const struct recorder *r)
{
    size_t open = 0;
    for (size_t n = r->settled; n < r->sent_count; n++)
        open += !r->sent[n].acked || (r->sent[n].sealed && !r->sent[n].kept);
    return open;
}

/* Send the open ones once more and take what comes. */
static bool try_open(struct recorder *r)
{
    for (size_t n = r->settled; n < r->sent_count; n += FRAME_ENTRIES) {
        size_t end = n + FRAME_ENTRIES < r->sent_count ? n + FRAME_ENTRIES : r->sent_count;
        size_t count;
        if (!submit(r, n, end, &count) ||
            (count > 0 && !take_results(r, r->k.rid, count)))
            return false;
    }
    return put_attachments(r);
}

bool recorder_work(struct recorder *r, unsigned rounds)
{
    if (!r->connected && !connect_hub(r))
        return true;
    for (unsigned i = 0; i < rounds; i++) {
        write_round(r);
        uint64_t end = mono_ms() + 2500;
        bool there = try_open(r);
        while (there && open_count(r) > 0 && mono_ms() < end) {
            nap_ms(100);
            there = try_open(r);
        }
        if (!there || open_count(r) > 0)
            break;
    }
    recorder_disconnect(r);
    return r->why[0] == 0;
}

void recorder_blurt(struct recorder *r)
{
    if (!r->connected && !connect_hub(r))
        return;
    size_t count;
    write_round(r);
    (void)submit(r, r->sent_count - FRAME_ENTRIES, r->sent_count, &count);
    recorder_disconnect(r);
}

bool recorder_resolve(struct recorder *r)
{
    uint64_t end = mono_ms() + RESOLVE_MS;
    while (open_count(r) > 0 || !r->connected) {
        if (mono_ms() > end)
            return wrong(r, "%zu entries or attachments are not accepted after a restart",
                         open_count(r));
        if ((!r->connected && !connect_hub(r)) || !try_open(r))
            recorder_disconnect(r);
        if (r->why[0])
            return false;
        if (open_count(r) > 0)
            nap_ms(50);
    }
    return true;
}

/* ---- beginning and end ---- */

static bool submit_now(struct recorder *r, struct bytes envelope)
{
    struct wire_result w;
    if (!wirekit_submit_one(&r->k, envelope, &w) || w.code != 0)
        return wrong(r, "setting up: refused");
    return true;
}

bool recorder_begin(struct recorder *r, struct hubproc *hub)
{
    char path[512];
    struct key *issuer = NULL;
    uint8_t envelope[1024];
    memset(r, 0, sizeof *r);
    r->hub = hub;
    for (size_t i = 0; i < RECORDER_PEOPLE; i++)
        person_make(&r->people[i], 1000 + i);
    hubproc_path(hub, "state/keys/issuer.key", path);
    if (!connect_hub(r) || keyfile_load(path, &issuer, NULL, NULL) != KEYFILE_OK)
        return wrong(r, "no connection or no issuer key");
    struct pubkey key = key_public(issuer);
    bool ok = true;
    for (size_t i = 0; ok && i < RECORDER_PEOPLE; i++) {
        struct person *p = &r->people[i];
        person_open(p, &r->k.hub, RESIDENCY_GLOBAL);
        ok = submit_now(r, person_bytes(p)) && wirekit_head(&r->k, &p->account, &key);
        size_t n = ok ? issuer_accrue(issuer, &p->account, r->k.f.next_seq, &r->k.f.tip,
                                      r->k.f.tip_lamport, 1, POINTS, envelope,
                                      sizeof envelope)
                      : 0;
        ok = ok && submit_now(r, bytes_of(envelope, n));
        r->balance[i] = POINTS;
        r->supply += POINTS;
    }
    key_free(issuer);
    return ok;
}

void recorder_end(struct recorder *r)
{
    recorder_disconnect(r);
    for (size_t i = 0; i < RECORDER_PEOPLE; i++)
        person_free(&r->people[i]);
    for (size_t i = 0; i < r->sent_count; i++)
        free(r->sent[i].bytes);
    for (size_t i = 0; i < RECORDER_SLOTS; i++)
        free(r->mirror[i].leaves);
    free(r->sent);
    free(r->notes);
    free(r->ids);
}

/* ---- the mirror ---- */

static bool add_id(struct recorder *r, const struct hash *id)
{
    if (2 * (r->id_count + 1) > r->id_cap) {
        struct hash *old = r->ids;
        size_t old_cap = r->id_cap;
        r->id_cap = old_cap == 0 ? 1024 : old_cap * 2;
        r->ids = calloc(r->id_cap, sizeof *r->ids);
        if (r->ids == NULL)
            abort();
        r->id_count = 0;
        static const struct hash none;
        for (size_t i = 0; i < old_cap; i++)
            if (!hash_equal(&old[i], &none))
                (void)add_id(r, &old[i]);
        free(old);
    }
    static const struct hash none;
    size_t at;
    memcpy(&at, id->b, sizeof at);
    for (at %= r->id_cap; !hash_equal(&r->ids[at], &none); at = (at + 1) % r->id_cap)
        if (hash_equal(&r->ids[at], id))
            return false;
    r->ids[at] = *id;
    r->id_count++;
    return true;
}

/* Every kept checkpoint of this size has this root. */
static bool compare_notes(struct recorder *r, uint64_t slot)
{
    const struct frontier *f = &r->mirror[slot].f;
    struct hash root = frontier_root(f);
    for (size_t i = 0; i < r->note_count;) {
        struct seen_note *n = &r->notes[i];
        if (n->slot != slot || n->c.size != f->size) {
            i++;
            continue;
        }
        if (!hash_equal(&n->c.root, &root))
            return wrong(r, "slot %llu: the log is another than the checkpoint of %llu",
                         (unsigned long long)slot, (unsigned long long)f->size);
        *n = r->notes[--r->note_count];
    }
    return true;
}

static bool add_record(struct recorder *r, uint64_t slot, const struct record *record)
{
    struct mirror *m = &r->mirror[slot];
    if (record->index != m->f.size)
        return wrong(r, "slot %llu: record %llu is missing", (unsigned long long)slot,
                     (unsigned long long)m->f.size);
    struct hash id = hash_context(CTX_ENTRY, record->envelope.data,
                                  record->envelope.size - SIG_BYTES);
    if (!add_id(r, &id))
        return wrong(r, "slot %llu: the entry at %llu is in the logs twice",
                     (unsigned long long)slot, (unsigned long long)record->index);
    m->leaves = grow(m->leaves, &m->cap, m->f.size + 1, sizeof *m->leaves);
    struct hash leaf = record_leaf_hash(record);
    m->leaves[m->f.size] = leaf;
    if (!frontier_append(&m->f, &leaf))
        abort();
    r->records++;
    return compare_notes(r, slot);
}

static bool fetch_page(struct recorder *r, uint64_t slot, uint64_t from)
{
    struct wire_frame fetch = {.type = WIRE_FETCH,
                               .rid = ++r->k.rid,
                               .key = {.what = WIRE_SLOT, .slot = slot},
                               .from = from,
                               .max = 500};
    if (!wirekit_send(&r->k, &fetch))
        return wrong(r, "slot %llu: no fetch", (unsigned long long)slot);
    do {
        if (!wirekit_receive(&r->k, 5000))
            return wrong(r, "slot %llu: no page", (unsigned long long)slot);
    } while (r->k.f.rid != fetch.rid);
    return true;
}

static bool pull_slot(struct recorder *r, uint64_t slot)
{
    struct mirror *m = &r->mirror[slot];
    if (!compare_notes(r, slot))
        return false;
    for (;;) {
        if (!fetch_page(r, slot, m->f.size))
            return false;
        if (r->k.f.type != WIRE_PAGE || r->k.f.count == 0)
            break;
        struct mp_reader list = r->k.f.list;
        for (size_t n = 0; n < r->k.f.count; n++) {
            struct record record;
            wire_next_record(&list, &record);
            if (!add_record(r, slot, &record))
                return false;
        }
    }
    for (size_t i = 0; i < r->note_count; i++)
        if (r->notes[i].slot == slot && r->notes[i].c.size > m->f.size)
            return wrong(r, "slot %llu: %llu were signed and shown, %llu are there",
                         (unsigned long long)slot,
                         (unsigned long long)r->notes[i].c.size,
                         (unsigned long long)m->f.size);
    return true;
}

/* ---- verification ---- */

static bool check_balances(struct recorder *r)
{
    uint64_t end = mono_ms() + SETTLE_MS;
    for (;;) {
        int64_t sum = 0;
        size_t right = 0;
        for (size_t i = 0; i < RECORDER_PEOPLE; i++) {
            if (wirekit_head(&r->k, &r->people[i].account, NULL)) {
                sum += r->k.f.balance;
                right += r->k.f.balance == r->balance[i];
            } else if (r->k.ws.closed || r->k.f.type != WIRE_ERROR) {
                return wrong(r, "no head of an account after a restart");
            } /* else its slot is being loaded again */
        }
        if (right == RECORDER_PEOPLE && sum == r->supply)
            return true;
        if (sum > r->supply)
            return wrong(r, "%lld points are held, %lld were made", (long long)sum,
                         (long long)r->supply);
        if (mono_ms() > end)
            return wrong(r, "balances do not settle: %zu of %d right, sum %lld of %lld",
                         right, RECORDER_PEOPLE, (long long)sum, (long long)r->supply);
        nap_ms(5);
    }
}

static bool check_sealed(struct recorder *r, const struct sent *s)
{
    uint8_t data[64], salt[SEAL_SALT_BYTES];
    size_t size = sealed_bytes(data, salt);
    struct wire_frame get = {.type = WIRE_SEALED_GET, .rid = ++r->k.rid, .id = s->id};
    if (!wirekit_send(&r->k, &get))
        return wrong(r, "no answer about an attachment");
    do {
        if (!wirekit_receive(&r->k, 5000))
            return wrong(r, "no answer about an attachment");
    } while (r->k.f.rid != get.rid);
    if (r->k.f.type != WIRE_SEALED_IS || r->k.f.data.size != size ||
        memcmp(r->k.f.data.data, data, size) != 0)
        return wrong(r, "an attachment that was taken is gone");
    return true;
}

bool recorder_verify(struct recorder *r)
{
    if (!check_balances(r))
        return false;
    for (uint64_t slot = 0; slot < RECORDER_SLOTS; slot++)
        if (!pull_slot(r, slot))
            return false;
    for (size_t n = r->settled; n < r->sent_count; n++) {
        const struct sent *s = &r->sent[n];
        const struct mirror *m = &r->mirror[s->slot];
        if (s->index >= m->f.size || !hash_equal(&m->leaves[s->index], &s->leaf))
            return wrong(r, "an acknowledged entry is not at %llu/%llu",
                         (unsigned long long)s->slot, (unsigned long long)s->index);
        if (s->sealed && !check_sealed(r, s))
            return false;
    }
    r->settled = r->sent_count;
    r->note_count = 0; /* what is left are old sizes, compared when they were the newest */
    return true;
}

bool recorder_verify_whole(struct recorder *r)
{
    struct mirror was[RECORDER_SLOTS];
    memcpy(was, r->mirror, sizeof was);
    memset(r->mirror, 0, sizeof r->mirror);
    memset(r->ids, 0, r->id_cap * sizeof *r->ids);
    r->id_count = 0;
    bool ok = true;
    for (uint64_t slot = 0; ok && slot < RECORDER_SLOTS; slot++) {
        const struct mirror *m = &r->mirror[slot];
        ok = pull_slot(r, slot);
        if (ok && (m->f.size < was[slot].f.size ||
                   memcmp(m->leaves, was[slot].leaves,
                          was[slot].f.size * sizeof *m->leaves) != 0))
            ok = wrong(r, "slot %llu: the log is not what it was",
                       (unsigned long long)slot);
    }
    for (size_t i = 0; i < RECORDER_SLOTS; i++)
        free(was[i].leaves);
    return ok;
}
