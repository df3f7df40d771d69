#include "relay/commit_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/failpoint.h"
#include "ledger/trace.h"
#include "relay/bus_message.h"
#include "relay/clock.h"
#include "relay/gather.h"
#include "relay/peer.h"
#include "relay/region.h"

/* A cycle's first half: what has arrived goes into the sequencer. */

static void item_done(struct commit *c, struct job *j)
{
    assert(j->open > 0);
    if (--j->open > 0)
        return;
    atomic_fetch_sub(&c->r->committing, j->count);
    job_drop(j);
}

static void refuse_item(struct commit *c, struct job_item *item, enum err code,
                        uint64_t retry_after_ms, uint64_t now_ms)
{
    struct refusal refusal = {.code = code, .retry_after_ms = retry_after_ms};
    answer_refused(c, item, &refusal, now_ms);
    item_done(c, item->job);
}

static void watch(struct commit *c, const struct job_item *item)
{
    struct cause *cause = NULL;
    if (item->job->flags & WIRE_SUBMIT_SETTLED)
        cause = causes_find(&c->causes, &item->entry.id);
    if (cause)
        cause_watch(cause, item->job->conn);
}

/* A taken seq: a reader looks whether this very entry has it. False: no memory. */
static bool add_lookup(struct commit *c, const struct job_item *item,
                       const struct refusal *r)
{
    if (c->lookups && c->lookups->lookup_count == LOOKUPS_A_REQUEST) {
        links_add(&c->lookup_requests, &c->lookups->work.link);
        c->lookups = NULL;
    }
    if (!c->lookups) {
        struct request *q = request_new(REQUEST_LOOKUP, 0);
        if (q)
            q->lookups = calloc(LOOKUPS_A_REQUEST, sizeof(*q->lookups));
        if (!q || !q->lookups) {
            request_drop(q);
            return false;
        }
        c->lookups = q;
    }
    c->lookups->lookups[c->lookups->lookup_count++] =
        (struct lookup){.conn = item->job->conn,
                        .rid = item->job->rid,
                        .i = item->i,
                        .id = item->entry.id,
                        .refusal = *r};
    watch(c, item);
    return true;
}

/* False: the batch is full, the item waits for the next one. */
static bool submit_item(struct commit *c, struct job_item *item, uint64_t now_ms)
{
    struct refusal refusal;
    uint64_t retry_ms;
    if (item->verdict != ERR_OK) {
        refuse_item(c, item, item->verdict,
                    item->verdict == ERR_BUSY ? SEQ_RETRY_BUSY_MS : 0, now_ms);
        return true;
    }
    if (atomic_load_explicit(&c->r->low_room, memory_order_relaxed)) {
        refuse_item(c, item, ERR_UNAVAILABLE, SEQ_RETRY_UNAVAILABLE_MS, now_ms);
        return true;
    }
    if (!account_due(c, &item->entry, &retry_ms)) {
        refuse_item(c, item, ERR_POLICY_RATE, retry_ms, now_ms);
        return true;
    }
    switch (sequencer_submit(c->q, &item->entry, (uint64_t)(uintptr_t)item, true, now_ms,
                             &refusal)) {
    case SEQ_QUEUED:
        return true;
    case SEQ_LOOKUP:
        if (!add_lookup(c, item, &refusal)) {
            refuse_item(c, item, ERR_BUSY, SEQ_RETRY_BUSY_MS, now_ms);
            return true;
        }
        item_done(c, item->job);
        return true;
    case SEQ_REFUSED:
        if (refusal.code == ERR_BUSY && sequencer_pending(c->q))
            return false;
        if (refusal.code == ERR_UNAVAILABLE && c->r->peers &&
            peers_take_back(c->r->peers, item)) {
            item_done(c, item->job);
            return true;
        }
        break;
    }
    answer_refused(c, item, &refusal, now_ms);
    item_done(c, item->job);
    return true;
}

/* Items [from, count) of a job; how many were taken. */
static uint32_t submit_items(struct commit *c, struct job *j, uint32_t from,
                             uint64_t now_ms)
{
    uint32_t count = j->count, i = from; /* the last item done frees the job */
    for (; i < count; i++)
        if (!submit_item(c, &j->items[i], now_ms))
            break;
    return i - from;
}

/* Jobs until the batch is full. Requests were handled before: state is committed then. */
static void submit_waiting(struct commit *c, uint64_t now_ms)
{
    uint64_t room = settings(c->r)->commit.batch_entries;
    for (;;) {
        struct job *j = c->resume;
        uint32_t from = c->resume_at;
        c->resume = NULL;
        if (!j) {
            j = (struct job *)links_pop(&c->waiting);
            from = 0;
            if (!j)
                return;
            j->open = j->count;
        }
        uint32_t left = j->count - from;
        uint32_t took = submit_items(c, j, from, now_ms);
        if (took < left) {
            c->resume = j;
            c->resume_at = from + took;
            return;
        }
        if (took >= room)
            return;
        room -= took;
    }
}

/* The second half: one append, then answers. */

static void on_result(void *context, const struct seq_result *r)
{
    struct commit *c = context;
    struct job_item *item = (struct job_item *)(uintptr_t)r->token;
    if (!r->accepted) {
        answer_refused(c, item, &r->refusal, clock_wall_ms());
        item_done(c, item->job);
        return;
    }
    answer_accepted(c, item, r);
    if (!r->duplicate)
        account_charge(c, &item->entry);
    if (item->entry.kind == KIND_TRANSFER && !r->duplicate) {
        struct mp_reader p =
            mp_reader_of(item->entry.payload.data, item->entry.payload.size);
        size_t one = 0, payees = 0;
        (void)mp_read_array(&p, &one, 1);
        (void)mp_read_array(&p, &payees, PAYEES_MAX);
        struct cause *cause = causes_add(&c->causes, &item->entry.id);
        if (cause) {
            cause->left = (uint32_t)payees;
            cause->since_us = clock_mono_us();
        }
    }
    watch(c, item);
    item_done(c, item->job);
}

void tell_settled(struct commit *c, const struct seq_settled *s)
{
    struct cause *cause = causes_find(&c->causes, &s->cause);
    if (!cause)
        return;
    for (uint32_t i = 0; i < cause->watcher_count; i++)
        answer_settled(c, cause->watchers[i], s);
    cause->left = s->remaining;
    if (s->remaining > 0)
        return;
    if (cause->since_us)
        metrics_observe(c->r->metrics, METRIC_SETTLE, M_SCOPE_LOCAL,
                        clock_mono_us() - cause->since_us);
    causes_remove(&c->causes, &s->cause);
}

/* Counted where it is written. */
static void on_settled(void *context, const struct seq_settled *s)
{
    struct commit *c = context;
    metrics_count(c->r->metrics, METRIC_SETTLED,
                  s->bounced ? M_SETTLE_BOUNCE : M_SETTLE_CREDIT, 1);
    tell_settled(c, s);
}

static void on_commit(void *context, const struct seq_commit *done)
{
    struct commit *c = context;
    uint64_t records = done->new_size - done->old_size;
    c->ledger_size += records;
    metrics_count(c->r->metrics, METRIC_COMMITTED, 0, records);
    region_committed(c, done->slot);
    event_committed(c, done);
}

static void append(struct commit *c, const struct store_append *appends, size_t count)
{
    size_t records = 0;
    for (size_t i = 0; i < count; i++)
        records += appends[i].record_count;
    uint64_t began = clock_mono_us();
    atomic_store(&c->r->append_since_ms, clock_mono_ms());
    c->r->store->ops->append(c->r->store, appends, count, c->outcomes);
    atomic_store(&c->r->append_since_ms, 0);
    metrics_observe(c->r->metrics, METRIC_COMMIT, 0, clock_mono_us() - began);
    metrics_observe(c->r->metrics, METRIC_BATCH, 0, records);
    for (size_t i = 0; i < count; i++) {
        if (c->outcomes[i] == STORE_COMMITTED)
            continue;
        atomic_store(&c->r->unsure[appends[i].slot], c->outcomes[i] == STORE_UNKNOWN);
        metrics_count(c->r->metrics, METRIC_STORE_ERRORS, M_OP_APPEND, 1);
        trace(TRACE_ERROR, "commit.not_committed", TRACE_U64("slot", appends[i].slot),
              TRACE_U64("outcome", c->outcomes[i]));
    }
}

/* A machine that was suspended has a clock that is right: what it is held against went on, too. */
enum err commit_prepare(struct commit *c, const struct store_append **appends, size_t *count)
{
    return sequencer_prepare(c->q, clock_wall_ms(), clock_boot_ms(), appends, count);
}

static void commit_batch(struct commit *c)
{
    const struct store_append *appends;
    size_t count;
    struct seq_output out = {
        .context = c, .result = on_result, .settled = on_settled, .commit = on_commit};
    if (!sequencer_pending(c->q))
        return;
    if (sequencer_full(c->q) && clock_mono_ms() - c->full_ms < COMMIT_IDLE_MS)
        return; /* the same batch again, but not at every knock */
    FP("commit.submitted");
    enum err e = commit_prepare(c, &appends, &count);
    if (e == ERR_MEMORY)
        return;
    if (e != ERR_OK) {
        trace(TRACE_ERROR, "commit.stopped", TRACE_ERR("why", e));
        atomic_store(&c->r->write_state, (int)e);
        if (e == ERR_IO)
            relay_broken(c->r, "commit", e);
        else
            region_drain(c->r); /* others have a clock too */
        sequencer_drop(c->q, &out);
        return;
    }
    FP("commit.signed");
    e = pinned_prepare(c, appends, count);
    if (e != ERR_OK) {
        for (size_t i = 0; i < count; i++)
            c->outcomes[i] =
                STORE_FULL; /* nothing was written; the same batch again later */
    } else if (count > 0) {
        append(c, appends, count);
    }
    FP("commit.stored");
    if (sequencer_outcome(c->q, c->outcomes, &out) != ERR_OK)
        relay_broken(c->r, "store", ERR_IO);
    if (sequencer_full(c->q))
        c->recount = true; /* who waited was answered: nobody will count what goes in later */
    FP("commit.outcome");
}

/* Everything this cycle has to say goes to the loop at once. */
static void publish(struct commit *c)
{
    if (atomic_load(&c->r->exit_code) == 0)
        answers_finish(c);
    links_join(&c->mail, &c->events);
    if (c->mail.first) {
        relay_mail(c->r, &c->mail);
        FP("commit.published");
    }
    bus_message_send(c->r, &c->bus_out);
    if (c->lookups) {
        links_add(&c->lookup_requests, &c->lookups->work.link);
        c->lookups = NULL;
    }
    queue_put(&c->r->readers, &c->lookup_requests);
}

/* What was taken from the queue, by what is done with it. */
static void sort_work(struct commit *c, struct chain_of_links *got)
{
    for (struct link *l; (l = links_pop(got));) {
        if (((struct work *)l)->kind == WORK_JOB)
            links_add(&c->waiting, l);
        else if (((struct request *)l)->kind == REQUEST_STOP)
            ask(c, (struct request *)l); /* at once: nothing more may be signed */
        else if (((struct request *)l)->kind == REQUEST_SEAL)
            links_add(&c->seals, l);
        else
            links_add(&c->asks, l);
    }
}

static void ask_some(struct commit *c, struct chain_of_links *from, unsigned most)
{
    for (struct link *l; most > 0 && (l = links_pop(from)); most--)
        ask(c, (struct request *)l);
}

/* A share of the questions first: nothing is tentative yet. However many there are, a
 * batch goes between two shares. */
static void cycle(struct commit *c)
{
    ask_some(c, &c->asks, ASKS_A_CYCLE);
    submit_waiting(c, clock_wall_ms());
    commit_batch(c);
    ask_some(c, &c->seals, SEALS_A_CYCLE);
    publish(c);
    if (region_on(c->r))
        region_cycle(c, clock_mono_ms());
    else
        slots_reload(c, clock_mono_ms());
    write_state_refresh(c);
    if (!sequencer_full(c->q))
        snapshots(c, false);
}

static bool has_work(const struct commit *c)
{
    return c->resume || c->waiting.first || c->asks.first || c->seals.first;
}

static uint64_t patience_ms(const struct commit *c)
{
    if (has_work(c) || c->reloads)
        return 0;
    if (sequencer_pending(c->q) && !sequencer_full(c->q))
        return 0;
    return region_loads(c) ? COMMIT_LOAD_MS : COMMIT_IDLE_MS;
}

static void *commit_thread(void *context)
{
    struct commit *c = context;
    struct relay *r = c->r;
    for (;;) {
        struct chain_of_links got;
        bool alive = queue_take(&r->commit, &got, COMMIT_TAKE_MAX, patience_ms(c));
        if (got.first && settings(r)->commit.linger_ms && alive &&
            got.count < settings(r)->commit.batch_entries / JOB_ENTRIES_MAX) {
            struct timespec t = {0, (long)settings(r)->commit.linger_ms * 1000000L};
            nanosleep(&t, NULL);
        }
        if (got.first && alive && region_on(r) && !has_work(c))
            gather(&r->commit, &r->verify.in, settings(r)->commit.batch_entries,
                   gather_ms(atomic_load(&r->pressed)), &got);
        sort_work(c, &got);
        if (atomic_load(&r->exit_code) != 0)
            break;
        cycle(c);
        metrics_set(r->metrics, METRIC_QUEUE, M_QUEUE_COMMIT, (int64_t)c->waiting.count);
        if (!alive && !has_work(c) && (!sequencer_pending(c->q) || sequencer_full(c->q)))
            break;
    }
    if (atomic_load(&r->exit_code) == 0)
        snapshots(c, true);
    return NULL;
}

/* Opening and closing. */

static enum err recover_all(struct commit *c, char *why)
{
    struct relay *r = c->r;
    for (uint32_t slot = 0; slot < r->slots; slot++) {
        struct recover_mark mark = highwater_get(&r->highwater, slot);
        struct recover_report report = {.slot = slot};
        uint64_t began = clock_mono_ms();
        enum err e = recover_slot(c->q, &c->config, r->store, slot, &mark, &report);
        if (e == ERR_OK)
            e = pinned_load(c, slot);
        if (e != ERR_OK) {
            snprintf(why, STORE_WHY_MAX, "slot %u: %.400s", (unsigned)slot,
                     report.why[0] ? report.why : err_text(e));
            return e;
        }
        r->hub_accounts[slot] = sequencer_slotlog(c->q, slot)->hub.id;
        c->snapshot_size[slot] = report.snapshot_size;
        c->ledger_size += report.size;
        if (report.replayed > 1 || report.snapshot_dropped)
            trace(TRACE_INFO, "recover.slot", TRACE_U64("slot", slot),
                  TRACE_U64("size", report.size), TRACE_U64("replayed", report.replayed),
                  TRACE_BOOL("snapshot_dropped", report.snapshot_dropped),
                  TRACE_MS("took", clock_mono_ms() - began));
    }
    /* What is still under way can only be told with every slot's channels loaded. */
    for (uint32_t slot = 0; slot < r->slots; slot++) {
        enum err e = causes_load(c, slot);
        if (e != ERR_OK) {
            snprintf(why, STORE_WHY_MAX, "slot %u: outbox: %s", (unsigned)slot,
                     err_text(e));
            return e;
        }
    }
    return ERR_OK;
}

enum err committer_open(struct commit **out, struct relay *r, char *why)
{
    uint64_t seed;
    struct commit *c = calloc(1, sizeof(*c));
    if (!c)
        return ERR_MEMORY;
    random_bytes(&seed, sizeof(seed));
    c->r = r;
    c->config = (struct sequencer_config){.mem = &alloc_heap,
                                          .relay = r->keys.relay,
                                          .log = r->keys.log,
                                          .map_seed = seed,
                                          .slots = r->slots};
    enum err e = causes_open(&c->causes, seed);
    if (e == ERR_OK && !quotas_open(&c->accounts, seed))
        e = ERR_MEMORY;
    if (e == ERR_OK)
        e = sequencer_open(&c->q, &c->config);
    if (e == ERR_OK)
        e = r->store->ops->reader_open(r->store, &c->reader);
    if (e != ERR_OK)
        snprintf(why, STORE_WHY_MAX, "%s", err_text(e));
    else if (!region_on(r)) /* else leases say which slots, and when */
        e = recover_all(c, why);
    if (e != ERR_OK) {
        committer_close(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

enum err committer_start(struct commit *c)
{
    if (pthread_create(&c->thread, NULL, commit_thread, c) != 0)
        return ERR_MEMORY;
    c->started = true;
    return ERR_OK;
}

void committer_stop(struct commit *c)
{
    if (!c->started)
        return;
    queue_end(&c->r->commit);
    pthread_join(c->thread, NULL);
    c->started = false;
}

static void drop_work(struct chain_of_links *list)
{
    for (struct link *l; (l = links_pop(list));) {
        if (((struct work *)l)->kind == WORK_JOB)
            job_drop((struct job *)l);
        else
            request_drop((struct request *)l);
    }
}

void committer_close(struct commit *c)
{
    committer_stop(c);
    if (c->resume)
        job_drop(c->resume);
    drop_work(&c->waiting);
    drop_work(&c->asks);
    drop_work(&c->seals);
    drop_work(&c->lookup_requests);
    request_drop(c->lookups);
    links_join(&c->mail, &c->events);
    for (struct link *l; (l = links_pop(&c->mail));)
        mail_drop((struct mail *)l);
    bus_message_drop(&c->bus_out);
    answers_close(c);
    if (c->reader)
        c->reader->ops->close(c->reader);
    sequencer_close(c->q);
    causes_close(&c->causes);
    quotas_close(&c->accounts);
    free(c);
}
