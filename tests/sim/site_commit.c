/* A commit in three moments: prepare, write, outcome. Between them a process may die. */
#include <string.h>

#include "town.h"

/* ---- what the disk does ---- */

static enum disk_verdict choose_verdict(struct world *w, struct site *s)
{
    if (s->full_for > 0 && !w->calm) {
        s->full_for--;
        return DISK_FULL;
    }
    if (goes_wrong(w, BAD_UNKNOWN))
        return DISK_UNKNOWN;
    if (goes_wrong(w, BAD_HAPPENED))
        return DISK_UNKNOWN_DONE;
    if (goes_wrong(w, BAD_BROKEN))
        return DISK_BROKEN;
    if (goes_wrong(w, BAD_BROKEN_DONE))
        return DISK_BROKEN_DONE;
    if (goes_wrong(w, BAD_FULL)) {
        s->full_for = draw(w, 6); /* it stays full for a while */
        return DISK_FULL;
    }
    return DISK_OK;
}

static void choose_verdicts(struct world *w, struct site *s)
{
    struct disk *d = s->hub.disk;
    d->torn = goes_wrong(w, BAD_TORN);
    enum disk_verdict all = choose_verdict(w, s);
    for (size_t i = 0; i < s->append_count; i++) {
        enum disk_verdict v = all;
        if (all == DISK_OK && w->rate[BAD_HAPPENED] > 0 && draw(w, 400) == 0 &&
            goes_wrong(w, BAD_HAPPENED))
            v = DISK_UNKNOWN_DONE; /* a store that commits slot by slot */
        d->verdict[s->appends[i].slot] = v;
    }
}

static void show(struct world *w, const struct site *s)
{
    static const char *const words[] = {"committed", "lost", "unknown", "full", "broken"};
    for (size_t i = 0; i < s->append_count; i++) {
        const struct store_append *a = &s->appends[i];
        say(w, "%s appends to %02x %llu+%zu, %zu items, low %llu: %s", s->actor.name,
            (unsigned)a->slot, (unsigned long long)a->old_size, a->record_count,
            a->item_count, (unsigned long long)a->outbox_low, words[s->outcome[i]]);
    }
}

/* ---- the moments ---- */

static void begin(struct world *w, struct site *s)
{
    s->cycle_set = false;
    if (s->in_flight || s->hub.q == NULL || !sequencer_pending(s->hub.q))
        return;
    s->memory_short = true;
    enum err err = sequencer_prepare(s->hub.q, s->hub.now_ms, s->hub.mono_ms, &s->appends,
                                     &s->append_count);
    s->memory_short = false;
    w->stats.commits++;
    if (err == ERR_MEMORY) {
        say(w, "%s has no memory to commit", s->actor.name);
        site_poke(w, s);
        return;
    }
    if (err == ERR_CLOCK) {
        site_crash(w, s, "its clock jumped", 1000);
        return;
    }
    if (err != ERR_OK)
        fail(w, "%s: prepare: %s", s->actor.name, err_word(err));
    s->in_flight = true;
    s->written = false;
    world_at(w, &s->actor, 1 + draw(w, 8), SITE_WRITE, s->boot);
}

/* The defect the checker is tried on: an answer without a write. */
static void plant_forget(struct world *w, struct site *s)
{
    if (w->options.plant != PLANT_FORGET || w->stats.commits != 40)
        return;
    say(w, "(planted: an append is answered and not written)");
    for (size_t i = 0; i < s->append_count; i++)
        s->hub.disk->verdict[s->appends[i].slot] = DISK_UNKNOWN;
}

static void do_append(struct world *w, struct site *s)
{
    memset(s->hub.disk->verdict, 0, sizeof s->hub.disk->verdict);
    choose_verdicts(w, s);
    plant_forget(w, s);
    reads_before_append(w, s);
    if (s->append_count > 0)
        s->hub.store->ops->append(s->hub.store, s->appends, s->append_count, s->outcome);
    if (w->options.plant == PLANT_FORGET && w->stats.commits == 40)
        for (size_t i = 0; i < s->append_count; i++)
            s->outcome[i] = STORE_COMMITTED;
    reads_after_append(s);
    for (size_t i = 0; i < s->append_count; i++)
        if (s->outcome[i] != STORE_COMMITTED)
            s->unsure_ms[s->appends[i].slot] = w->now_ms;
    show(w, s);
    s->written = true;
    const char *why = model_advance(s->model, s->hub.disk);
    if (why != NULL)
        fail(w, "%s: %s", s->actor.name, why);
    world_at(w, &s->actor, 1 + draw(w, 8), SITE_OUTCOME, s->boot);
}

/* Settlements are held against the books, then everybody is answered. */
static void take_output(struct world *w, struct site *s)
{
    struct hub_seen *seen = &s->hub.seen;
    for (size_t i = 0; i < seen->settled_count; i++) {
        const struct seq_settled *t = &seen->settled[i];
        if (t->index < s->settled_index[t->slot])
            fail(w, "slot %02x: a settlement is reported twice", (unsigned)t->slot);
        s->settled_index[t->slot] = t->index + 1;
        if (!model_settles(s->model, t->slot, t->index, &t->cause, t->payee_index,
                           t->bounced))
            fail(w, "slot %02x: record %llu settles something else", (unsigned)t->slot,
                 (unsigned long long)t->index);
    }
    for (size_t i = 0; i < seen->result_count; i++)
        door_result(w, s, &seen->results[i]);
    for (size_t i = 0; i < seen->settled_count; i++)
        reads_settled(s, &seen->settled[i]);
    hub_forget(&s->hub);
}

static void end(struct world *w, struct site *s)
{
    const struct seq_output out = hub_output(&s->hub);
    s->memory_short = true;
    enum err err = sequencer_outcome(s->hub.q, s->outcome, &out);
    s->memory_short = false;
    s->in_flight = s->written = false;
    reads_after_outcome(s);
    take_output(w, s);
    if (err == ERR_IO) {
        site_crash(w, s, "its store is broken", 2000);
        return;
    }
    if (err != ERR_OK)
        fail(w, "%s: outcome: %s", s->actor.name, err_word(err));
    for (uint32_t i = 0; i < s->hub.slots; i++) {
        if (s->marks[i].size == 0)
            continue;
        const char *why =
            model_check_checkpoint(s->model, i, s->marks[i].size, &s->marks[i].root);
        w->stats.checkpoints++;
        if (why != NULL)
            fail(w, "%s: slot %02x: %s", s->actor.name, (unsigned)i, why);
    }
    if (!site_all_ready(s))
        world_at(w, &s->actor, 50 + draw(w, 500), SITE_RELOAD, s->boot);
    if (sequencer_pending(s->hub.q))
        site_poke(w, s);
}

void site_drop(struct world *w, struct site *s)
{
    const struct seq_output out = hub_output(&s->hub);
    if (!s->up || s->in_flight || s->hub.q == NULL)
        return;
    sequencer_drop(s->hub.q, &out);
    take_output(w, s);
    door_flush(w, s);
}

void site_timer_commit(struct world *w, struct site *s, uint32_t what)
{
    if (!s->up)
        return;
    if (what == SITE_CYCLE)
        begin(w, s);
    else if (what == SITE_WRITE && s->in_flight)
        do_append(w, s);
    else if (what == SITE_OUTCOME && s->in_flight && s->written)
        end(w, s);
}
