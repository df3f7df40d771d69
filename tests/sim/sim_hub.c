/* The driver of the real hub, with everything that can go wrong around a durable step,
 * and the checks after it. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_OF_ISSUER UINT64_MAX

static void answer(struct sim *s, uint32_t entry, bool accepted, uint32_t slot,
                   uint64_t index, const struct refusal *r)
{
    struct message m = {
        .entry = entry, .accepted = accepted, .slot = slot, .index = index};
    if (r != NULL)
        m.refusal = *r;
    send_message(s, &m);
}

/* ---- accepted means accepted ---- */

static void check_ack(struct sim *s, const struct sim_entry *e)
{
    const struct disk_slot *d = &s->hub.disk->slot[e->slot];
    if (e->index >= d->size || !hash_equal(&d->records[e->index].id, &e->id))
        fail(s, "an acknowledged entry is not at %02x/%llu", (unsigned)e->slot,
             (unsigned long long)e->index);
}

static void acknowledge(struct sim *s, uint32_t entry, uint32_t slot, uint64_t index)
{
    struct sim_entry *e = &s->entries[entry];
    if (e->acked && (e->slot != slot || e->index != index))
        fail(s, "entry #%u is at two places", (unsigned)entry);
    s->counts.acked += !e->acked;
    e->acked = true;
    e->slot = slot;
    e->index = index;
    check_ack(s, e);
    answer(s, entry, true, slot, index, NULL);
}

void check_acks(struct sim *s)
{
    for (size_t i = 0; i < s->entry_count; i++)
        if (s->entries[i].acked)
            check_ack(s, &s->entries[i]);
}

/* ---- receiving ---- */

static void look_up(struct sim *s, uint32_t entry, const struct refusal *r)
{
    struct store *st = s->hub.store;
    struct store_reader *reader;
    uint32_t slot;
    uint64_t index;
    s->counts.lookups++;
    if (st->ops->reader_open(st, &reader) != ERR_OK)
        fail(s, "no reader");
    enum err err = reader->ops->find(reader, &s->entries[entry].id, &slot, &index);
    reader->ops->close(reader);
    if (err == ERR_OK) {
        s->counts.duplicates++;
        acknowledge(s, entry, slot, index);
    } else {
        answer(s, entry, false, 0, 0, r);
    }
}

void hub_receive(struct sim *s, uint32_t entry)
{
    static struct entry e;
    struct refusal r;
    const struct sim_entry *sent = &s->entries[entry];
    if (s->hub.q == NULL)
        return;
    if (entry_decode(&e, sent->bytes, sent->size) != ERR_OK ||
        (s->signatures && !entry_verify(&e)))
        fail(s, "entry #%u does not verify", (unsigned)entry);
    enum seq_disposition d =
        sequencer_submit(s->hub.q, &e, entry, true, s->hub.now_ms, &r);
    say(s, "hub gets #%u -> %s%s", (unsigned)entry,
        d == SEQ_QUEUED   ? "queued"
        : d == SEQ_LOOKUP ? "looked up, else "
                          : "",
        d == SEQ_QUEUED ? "" : err_word(r.code));
    if (d == SEQ_LOOKUP)
        look_up(s, entry, &r);
    else if (d == SEQ_REFUSED)
        answer(s, entry, false, 0, 0, &r);
}

void hub_accrue(struct sim *s)
{
    static struct kit_entry e;
    static struct payload p;
    struct refusal r;
    const struct sim_client *c = &s->clients[rng_below(&s->rng, s->client_count)];
    struct account *a = s->hub.q == NULL ? NULL : hub_account_at(&s->hub, &c->id);
    if (a == NULL)
        return;
    struct hash node = kit_hash(7);
    kit_accrue(&p, &node, ++s->epoch, 100 + (int64_t)rng_below(&s->rng, 200));
    kit_build(&e, a, &sequencer_slotlog(s->hub.q, slot_of(&c->id, s->hub.slots))->hub,
              kit_key(HUB_KEY_ISSUER), &p);
    (void)sequencer_submit(s->hub.q, &e.e, TOKEN_OF_ISSUER, true, s->hub.now_ms, &r);
}

/* ---- starting ---- */

/* One slot, from the disk alone and without its snapshot: the digest must be the same. */
static void check_digest(struct sim *s, uint32_t slot)
{
    static struct effects fx;
    struct slotlog log;
    if (slotlog_init(&log, &alloc_heap, slot, s->rng.state) != ERR_OK)
        fail(s, "no memory");
    const struct disk_slot *d = &s->hub.disk->slot[slot];
    for (uint64_t i = 0; i < d->size; i++)
        if (slotlog_replay(&log, &d->records[i].r, &fx) != ERR_OK)
            fail(s, "slot %02x: record %llu does not replay", (unsigned)slot,
                 (unsigned long long)i);
    struct hash wanted;
    if (slotlog_digest(&log, &wanted) != ERR_OK)
        fail(s, "no memory");
    struct hash found = hub_digest_of(&s->hub, slot);
    if (!hash_equal(&wanted, &found))
        fail(s, "slot %02x: digest after recovery is another", (unsigned)slot);
    slotlog_close(&log);
}

static bool reload_slot(struct sim *s, uint32_t slot)
{
    if (!s->calm && rng_chance(&s->rng, 30))
        s->hub.disk->claim_fails = ERR_STORE;
    if (!s->calm && rng_chance(&s->rng, 30))
        s->hub.disk->read_fails = ERR_STORE;
    struct recover_mark mark = {.size = s->published[slot],
                                .root = s->published_root[slot]};
    enum err err = hub_recover(&s->hub, slot, &mark);
    s->hub.disk->claim_fails = s->hub.disk->read_fails = ERR_OK;
    say(s, "slot %02x reloads -> %s, %llu records, %llu from a snapshot", (unsigned)slot,
        err_word(err), (unsigned long long)s->hub.report.size,
        (unsigned long long)s->hub.report.snapshot_size);
    if (err == ERR_STORE)
        return false;
    if (err != ERR_OK)
        fail(s, "%s", s->hub.report.why);
    s->counts.reloads++;
    s->counts.snapshots_used += s->hub.report.snapshot_size > 0;
    if (s->hub.report.snapshot_dropped)
        fail(s, "slot %02x: a good snapshot was dropped", (unsigned)slot);
    check_digest(s, slot);
    return true;
}

void hub_reload(struct sim *s)
{
    if (s->hub.q == NULL && sequencer_open(&s->hub.q, &s->hub.config) != ERR_OK)
        fail(s, "no memory");
    for (uint32_t i = 0; i < s->hub.slots; i++)
        if (sequencer_slot_state(s->hub.q, i) == SEQ_SLOT_DOWN)
            reload_slot(s, i);
}

void hub_die(struct sim *s, const char *why)
{
    s->counts.crashes++;
    say(s, "crash: %s", why);
    hub_crash(&s->hub);
    hub_forget(&s->hub);
    if (!s->calm && rng_chance(&s->rng, 200)) { /* and again, part of the way up */
        if (sequencer_open(&s->hub.q, &s->hub.config) != ERR_OK)
            fail(s, "no memory");
        uint32_t up = rng_below(&s->rng, s->hub.slots + 1);
        for (uint32_t i = 0; i < up; i++)
            reload_slot(s, i);
        say(s, "crash: after %u slots", (unsigned)up);
        hub_crash(&s->hub);
    }
    hub_reload(s);
}

/* ---- committing ---- */

static void choose_verdicts(struct sim *s, const struct store_append appends[],
                            size_t count)
{
    struct disk *d = s->hub.disk;
    d->torn = rng_chance(&s->rng, 500);
    uint32_t dice = rng_below(&s->rng, 1000);
    enum disk_verdict all = dice < 30                      ? DISK_UNKNOWN
                            : dice < 60                    ? DISK_UNKNOWN_DONE
                            : dice < 90 || s->full_for > 0 ? DISK_FULL
                            : dice < 100                   ? DISK_BROKEN
                            : dice < 110                   ? DISK_BROKEN_DONE
                                                           : DISK_OK;
    if (s->full_for > 0)
        s->full_for--;
    else if (all == DISK_FULL)
        s->full_for = rng_below(&s->rng, 6); /* it stays full for a while */
    for (size_t i = 0; i < count; i++) {
        enum disk_verdict v = all;
        if (rng_chance(&s->rng, 20))
            v = DISK_LOST;
        else if (rng_chance(&s->rng, 5))
            v = DISK_UNKNOWN_DONE; /* a store that commits slot by slot */
        d->verdict[appends[i].slot] = v;
        s->counts.lost += v == DISK_LOST;
        s->counts.unknown += v == DISK_UNKNOWN || v == DISK_UNKNOWN_DONE;
        s->counts.full += v == DISK_FULL;
        s->counts.broken += v == DISK_BROKEN || v == DISK_BROKEN_DONE;
    }
}

/* Every answer the sequencer gave goes out; settlements are held against the books. */
static void take_output(struct sim *s)
{
    struct hub_seen *seen = &s->hub.seen;
    const char *why = model_advance(s->model, s->hub.disk);
    if (why != NULL)
        fail(s, "%s", why);
    for (size_t i = 0; i < seen->result_count; i++) {
        const struct hub_result *r = &seen->results[i];
        if (r->token == TOKEN_OF_ISSUER)
            continue;
        if (r->accepted)
            acknowledge(s, (uint32_t)r->token, r->slot, r->index);
        else
            answer(s, (uint32_t)r->token, false, 0, 0, &r->refusal);
        s->counts.duplicates += r->duplicate;
    }
    for (size_t i = 0; i < seen->settled_count; i++) {
        const struct seq_settled *t = &seen->settled[i];
        if (t->index < s->settled_index[t->slot])
            fail(s, "slot %02x: a settlement is reported twice", (unsigned)t->slot);
        s->settled_index[t->slot] = t->index + 1;
        if (!model_settles(s->model, t->slot, t->index, &t->cause, t->payee_index,
                           t->bounced))
            fail(s, "slot %02x: record %llu settles something else", (unsigned)t->slot,
                 (unsigned long long)t->index);
    }
    hub_forget(&s->hub);
}

static void show(struct sim *s, const struct store_append appends[], size_t count,
                 const enum store_outcome outcome[])
{
    static const char *const words[] = {"committed", "lost", "unknown", "full", "broken"};
    for (size_t i = 0; i < count; i++)
        say(s, "append %02x %llu+%zu items %zu low %llu -> %s", (unsigned)appends[i].slot,
            (unsigned long long)appends[i].old_size, appends[i].record_count,
            appends[i].item_count, (unsigned long long)appends[i].outbox_low,
            words[outcome[i]]);
}

/* Where a process may die in a commit. */
enum death { DEATH_NONE, DEATH_SIGNED, DEATH_TORN, DEATH_DONE, DEATH_ANSWERING };

static enum death choose_death(struct sim *s)
{
    if (s->calm || !rng_chance(&s->rng, 60))
        return DEATH_NONE;
    return (enum death)(1 + rng_below(&s->rng, 4));
}

void hub_cycle(struct sim *s)
{
    if (s->hub.q == NULL || !sequencer_pending(s->hub.q))
        return;
    const struct store_append *appends;
    size_t count;
    enum store_outcome outcome[SLOTS_MAX];
    enum death death = choose_death(s);
    enum err err =
        sequencer_prepare(s->hub.q, s->hub.now_ms, s->hub.mono_ms, &appends, &count);
    s->counts.commits++;
    if (err == ERR_CLOCK) {
        hub_die(s, "clock jumped");
        return;
    }
    if (err != ERR_OK)
        fail(s, "prepare: %s", err_word(err));
    if (death == DEATH_SIGNED) {
        hub_die(s, "signed, not written");
        return;
    }
    if (!s->calm)
        choose_verdicts(s, appends, count);
    if (death == DEATH_TORN) {
        s->hub.disk->torn = true;
        for (size_t i = 0; i < count; i++) /* one transaction: all of it or nothing */
            s->hub.disk->verdict[appends[i].slot] = DISK_UNKNOWN;
    }
    struct store *st = s->hub.store;
    if (count > 0)
        st->ops->append(st, appends, count, outcome);
    show(s, appends, count, outcome);
    if (death == DEATH_TORN || death == DEATH_DONE) {
        hub_die(s, death == DEATH_TORN ? "in the write" : "written, not answered");
        return;
    }
    const struct seq_output out = hub_output(&s->hub);
    err = sequencer_outcome(s->hub.q, outcome, &out);
    if (death == DEATH_ANSWERING) {
        hub_die(s, "answers lost");
        return;
    }
    take_output(s);
    if (err == ERR_IO)
        hub_die(s, "store is broken");
    else if (err != ERR_OK)
        fail(s, "outcome: %s", err_word(err));
}

/* ---- after every step ---- */

struct checking {
    struct sim *s;
};

static bool check_account(void *context, struct account *a)
{
    struct checking *c = context;
    const char *why = model_check_balance(c->s->model, &a->id, a->balance);
    if (why != NULL)
        fail(c->s, "%s", why);
    return true;
}

void check(struct sim *s)
{
    const char *why = model_advance(s->model, s->hub.disk);
    if (why != NULL)
        fail(s, "%s", why);
    for (uint32_t i = 0; s->hub.q != NULL && i < s->hub.slots; i++) {
        struct slotlog *log = sequencer_slotlog(s->hub.q, i);
        if (log == NULL || log->frontier.size != s->hub.disk->slot[i].size)
            continue; /* down, or something is queued */
        struct checking c = {.s = s};
        slotlog_each(log, check_account, &c);
    }
}
