#include "federation/bus.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_FIELDS 8u
#define RECORD_FIELDS 4u
#define SECOND_MS 1000u
#define VAIN_DOUBLINGS_MAX 20u

/* ---- messages ------------------------------------------------------------------------
 */

static bool read_number(struct mp_reader *r, uint64_t *out)
{
    return mp_read_uint(r, out) && (*out <= INT64_MAX || mp_fail(r));
}

static void read_record(struct mp_reader *r, struct record *out)
{
    size_t fields;
    *out = (struct record){.slot = 0};
    if (!mp_read_array(r, &fields, RECORD_FIELDS) || fields != RECORD_FIELDS) {
        (void)mp_fail(r);
        return;
    }
    (void)mp_read_bin_exact(r, out->account_head.b, HASH_BYTES);
    (void)read_number(r, &out->hub_lamport);
    (void)read_number(r, &out->hub_time_ms);
    (void)mp_read_bin(r, &out->envelope, ENVELOPE_BYTES_MAX);
    if (out->envelope.size <= SIG_BYTES)
        (void)mp_fail(r);
}

void bus_next_record(struct mp_reader *records, struct record *r)
{
    read_record(records, r);
    assert(!records->bad);
}

bool bus_decode(struct bus_message *m, struct bytes data)
{
    struct mp_reader r = mp_reader_of(data.data, data.size);
    uint64_t version = 0, slot = 0;
    size_t fields = 0;
    memset(m, 0, sizeof(*m));
    if (data.size > BUS_MESSAGE_MAX || !mp_read_array(&r, &fields, MESSAGE_FIELDS) ||
        fields != MESSAGE_FIELDS || !mp_read_uint(&r, &version) || version != BUS_VERSION)
        return false;
    (void)mp_read_str(&r, &m->sender, BUS_SENDER_MAX);
    (void)read_number(&r, &slot);
    (void)read_number(&r, &m->epoch);
    (void)read_number(&r, &m->first);
    (void)read_number(&r, &m->last);
    (void)mp_read_bin(&r, &m->note, CHECKPOINT_BYTES_MAX);
    (void)mp_read_array(&r, &m->count, BUS_RECORDS_MAX);
    m->records = r;
    for (size_t i = 0; i < m->count && !r.bad; i++) {
        struct record record;
        read_record(&r, &record);
    }
    m->slot = (uint32_t)slot;
    return mp_done(&r) && slot < SLOTS_MAX && m->first < m->last &&
           m->last <= MERKLE_SIZE_MAX &&
           (m->count == 0 || m->count == m->last - m->first);
}

void bus_put(struct mp_writer *w, const struct bus_message *m)
{
    mp_array(w, MESSAGE_FIELDS);
    mp_uint(w, BUS_VERSION);
    mp_str(w, (const char *)m->sender.data, m->sender.size);
    mp_uint(w, m->slot);
    mp_uint(w, m->epoch);
    mp_uint(w, m->first);
    mp_uint(w, m->last);
    mp_bin(w, m->note.data, m->note.size);
    mp_array(w, m->count);
}

void bus_put_record(struct mp_writer *w, const struct record *r)
{
    mp_array(w, RECORD_FIELDS);
    mp_bin(w, r->account_head.b, HASH_BYTES);
    mp_uint(w, r->hub_lamport);
    mp_uint(w, r->hub_time_ms);
    mp_bin(w, r->envelope.data, r->envelope.size);
}

/* ---- what is heard -------------------------------------------------------------------
 */

#define WORD_(why, verdict, word) [BUS_##why] = word,
#define VERDICT_(why, verdict, word) [BUS_##why] = BUS_##verdict,

const char *bus_why_word(enum bus_why why)
{
    static const char *const words[BUS_WHYS] = {BUS_WHY_LIST(WORD_)};
    return words[why];
}

enum bus_verdict bus_verdict_of(enum bus_why why)
{
    static const enum bus_verdict verdicts[BUS_WHYS] = {BUS_WHY_LIST(VERDICT_)};
    return verdicts[why];
}

void bus_init(struct bus *b, const char *self, const struct vkey keys[], uint32_t slots)
{
    assert(slots <= SLOTS_MAX);
    memset(b, 0, sizeof(*b));
    b->slots = slots;
    b->keys = keys;
    snprintf(b->self, sizeof(b->self), "%s", self);
}

void bus_follow(struct bus *b, uint32_t slot, const struct frontier *at, uint64_t now_ms)
{
    struct bus_slot *s = &b->slot[slot];
    s->followed = true;
    s->at = *at;
    s->root = frontier_root(at);
    s->heard_ms = now_ms;
    s->vain = 0;
    if (s->rung_size > 0 && s->rung_size <= at->size) {
        s->rung = false;
        s->rung_size = 0;
    }
}

void bus_unfollow(struct bus *b, uint32_t slot)
{
    b->slot[slot] = (struct bus_slot){.followed = false};
}

/* The text of a note, unverified: up to the empty line. */
static bool parse_unverified(struct bytes note, struct checkpoint *c)
{
    const uint8_t *end = memmem(note.data, note.size, "\n\n", 2);
    return end &&
           checkpoint_parse(c, (const char *)note.data, (size_t)(end - note.data) + 1);
}

static bool is_signed(const struct bus *b, uint32_t slot, struct bytes note,
                      struct checkpoint *c)
{
    return checkpoint_open(c, (const char *)note.data, note.size, &b->keys[slot]);
}

/* May one more signature be looked into? A bad one is counted by the caller. */
static bool has_budget(struct bus *b, uint64_t now_ms)
{
    if (b->second != now_ms / SECOND_MS) {
        b->second = now_ms / SECOND_MS;
        b->bad = 0;
    }
    return b->bad < BUS_BAD_A_SECOND;
}

/* A note of the size the listener holds. Of one log there is one tree of a size. */
static enum bus_why judge_same_size(struct bus *b, const struct bus_slot *s,
                                    const struct bus_message *m, uint64_t now_ms)
{
    struct checkpoint c;
    if (!parse_unverified(m->note, &c) || c.size != s->at.size ||
        hash_equal(&c.root, &s->root) || !has_budget(b, now_ms))
        return BUS_OLD;
    if (is_signed(b, m->slot, m->note, &c))
        return BUS_FORK;
    b->bad++;
    return BUS_OLD;
}

/* Cheap checks first: a signature is looked into only when everything else is right. */
static enum bus_why judge_batch(struct bus *b, const struct bus_slot *s,
                                const struct bus_message *m, uint64_t now_ms,
                                struct bus_heard *out)
{
    struct checkpoint c;
    struct mp_reader records = m->records;
    struct frontier *after = &out->after;
    assert(m->count <= BUS_RECORDS_MAX); /* bus_decode saw to it */
    if (!has_budget(b, now_ms))
        return BUS_FLOOD;
    *after = s->at;
    for (size_t i = 0; i < m->count; i++) {
        struct record r;
        bus_next_record(&records, &r);
        out->leaves[i] = record_leaf_hash(&r);
        if (!frontier_append(after, &out->leaves[i]))
            return BUS_MISMATCH;
    }
    struct hash root = frontier_root(after);
    b->bad++; /* taken back when it is good */
    if (!parse_unverified(m->note, &c) || c.size != m->last ||
        !hash_equal(&c.root, &root))
        return BUS_MISMATCH;
    if (!is_signed(b, m->slot, m->note, &c))
        return BUS_UNSIGNED;
    b->bad--;
    b->slot[m->slot].carried = true;
    b->slot[m->slot].carried_ms = now_ms;
    return BUS_USED;
}

static enum bus_why judge(struct bus *b, uint32_t channel, const struct bus_message *m,
                          uint64_t now_ms, struct bus_heard *out)
{
    if (m->slot != channel || m->slot >= b->slots)
        return BUS_MALFORMED;
    const struct bus_slot *s = &b->slot[m->slot];
    if (m->sender.size == strlen(b->self) &&
        memcmp(m->sender.data, b->self, m->sender.size) == 0)
        return BUS_OWN;
    if (!s->followed)
        return BUS_IDLE;
    if (m->epoch < s->epoch)
        return BUS_STALE;
    if (m->last == s->at.size)
        return judge_same_size(b, s, m, now_ms);
    if (m->last < s->at.size)
        return BUS_OLD;
    if (m->first != s->at.size)
        return m->first > s->at.size ? BUS_GAP : BUS_OVERLAP;
    if (m->count == 0)
        return BUS_RANG;
    return judge_batch(b, s, m, now_ms, out);
}

void bus_hear(struct bus *b, uint32_t channel, const struct bus_message *m,
              uint64_t now_ms, struct bus_heard *out)
{
    out->why = judge(b, channel, m, now_ms, out);
    if (bus_verdict_of(out->why) == BUS_READ)
        bus_ring(b, m->slot, m->last);
}

/* ---- the store -----------------------------------------------------------------------
 */

/* Nobody before has a longer wait for somebody who comes later. */
static void ring_at(struct bus *b, uint32_t slot, tree_size size, uint64_t ask_ms)
{
    struct bus_slot *s = slot < b->slots ? &b->slot[slot] : NULL;
    if (!s || (s->followed && size > 0 && size <= s->at.size))
        return;
    if (!s->rung || ask_ms < s->ask_ms)
        s->ask_ms = ask_ms;
    s->rung = true;
    if (size > s->rung_size)
        s->rung_size = size;
}

void bus_ring(struct bus *b, uint32_t slot, tree_size size)
{
    ring_at(b, slot, size, 0);
}

void bus_expect(struct bus *b, uint32_t slot, tree_size size, uint64_t poll_ms,
                uint64_t now_ms)
{
    const struct bus_slot *s = slot < b->slots ? &b->slot[slot] : NULL;
    bool carries = s && s->carried && now_ms - s->carried_ms < poll_ms;
    ring_at(b, slot, size, carries ? now_ms + BUS_EXPECT_MS : 0);
}

uint64_t bus_wait_ms(const struct bus *b, uint32_t slot, uint64_t poll_ms,
                     uint64_t now_ms)
{
    const struct bus_slot *s = &b->slot[slot];
    if (!s->followed)
        return UINT64_MAX;
    uint64_t silent = now_ms - s->heard_ms, since = now_ms - s->looked_ms;
    uint64_t wait = silent < poll_ms ? poll_ms - silent : 0;
    if (!s->rung)
        return wait;
    uint64_t pause = 0;
    if (s->vain > 0)
        pause = (uint64_t)BUS_VAIN_MS
                << (s->vain - 1 < VAIN_DOUBLINGS_MAX ? s->vain - 1 : VAIN_DOUBLINGS_MAX);
    if (pause > poll_ms)
        pause = poll_ms;
    uint64_t rung = since < pause ? pause - since : 0;
    if (s->ask_ms > now_ms && s->ask_ms - now_ms > rung)
        rung = s->ask_ms - now_ms;
    return rung < wait ? rung : wait;
}

bool bus_looked(struct bus *b, uint32_t slot, uint64_t epoch, tree_size size,
                uint64_t now_ms)
{
    struct bus_slot *s = &b->slot[slot];
    bool more = size > s->at.size;
    if (epoch > s->epoch)
        s->epoch = epoch;
    if (s->rung && !more)
        s->vain++;
    if (more)
        s->vain = 0;
    /* A claim the store does not bear out is forgotten: were it kept, one lie would ring
     * for ever. */
    s->rung = false;
    s->rung_size = 0;
    s->looked_ms = s->heard_ms = now_ms;
    return more;
}
