/* The commit path: claim and append.
 *
 * One transaction an append. Its first statement moves the slots' rows by
 * compare-and-swap on (size, epoch), which also locks them: whoever comes second waits,
 * and then loses. A COMMIT that was sent and not answered is UNKNOWN; the caller's next
 * claim waits on the same row until the server has finished with it, so what is read
 * after that is the truth. */
#include "ledger/store_postgres.h"

#include <assert.h>
#include <string.h>

#include "ledger/failpoint.h"
#include "ledger/trace.h"

#define RETRY_JITTER_MS 20u

enum err postgres_note(struct postgres_store *s, enum err e)
{
    if (e == ERR_IO || e == ERR_CORRUPT)
        atomic_store(&s->broken, true);
    return e;
}

/* ---- the session ---- */

/* A new session owns nothing; what the last one owned is taken again before anybody else
 * does. Where that fails nothing is lost: the epoch decides, and the next claim tells. */
static enum err own_again(struct postgres_store *s)
{
    uint32_t slots[SLOTS_MAX];
    size_t count = 0;
    pg_array_clear(&s->array[0], PG_INT4);
    for (uint32_t slot = 0; slot < s->ledger.identity.slots; slot++)
        if (s->owned[slot]) {
            slots[count++] = slot;
            pg_array_i32(&s->array[0], slot);
        }
    if (count > 0) {
        struct pg_step step = {.statement = PG_OWN_AGAIN};
        pg_add_i32(&step.p, POSTGRES_LOCK_CLASS);
        enum err e = pg_add_arrays(&step.p, s->array, 1);
        if (e == ERR_OK)
            e = pg_exchange(&s->link, &step, 1);
        if (e == ERR_OK && (size_t)PQntuples(step.result) != count)
            e = ERR_STORE;
        for (size_t i = 0; e == ERR_OK && i < count; i++)
            s->owned[slots[i]] = PQgetvalue(step.result, (int)i, 0)[0] != 0;
        pg_clear(&step, 1);
        TRY(e);
    }
    s->owned_session = s->link.sessions;
    return ERR_OK;
}

/* Of several relays none has a slot's lock to itself: a stopped process would keep it, and
 * the lease row is there to say who owns what. Shared, the locks keep out a process that
 * believes to be alone, and are kept out by it. */
static enum err own_shared(struct postgres_store *s)
{
    char app[PG_LEASE_APP_BYTES];
    struct pg_step steps[2] = {{.statement = PG_NAME}, {.statement = PG_OWN_SHARED}};
    postgres_lease_name(&s->self, app, &steps[0].p);
    pg_add_i32(&steps[1].p, POSTGRES_LOCK_CLASS);
    enum err e = pg_exchange(&s->link, steps, 2);
    s->shared_locked = e == ERR_OK;
    for (int i = 0; s->shared_locked && i < PQntuples(steps[1].result); i++)
        s->shared_locked = PQgetvalue(steps[1].result, i, 0)[0] != 0;
    pg_clear(steps, 2);
    TRY(e);
    s->owned_session = s->link.sessions;
    return ERR_OK;
}

enum err postgres_ready(struct postgres_store *s)
{
    TRY(pg_ready(&s->link));
    if (s->owned_session == s->link.sessions)
        return ERR_OK;
    return s->shared ? own_shared(s) : own_again(s);
}

/* ---- transactions ---- */

enum err postgres_begin(struct postgres_store *s, bool lazy)
{
    struct pg_step steps[2] = {{.statement = PG_BEGIN}, {.statement = PG_LAZY}};
    if (atomic_load(&s->broken))
        return ERR_IO;
    size_t count = lazy ? 2 : 1;
    enum err e = postgres_ready(s);
    if (e == ERR_OK)
        e = pg_exchange(&s->link, steps, count);
    pg_clear(steps, count);
    return e;
}

/* Undo, or close the session, which undoes. The error that led here stands. */
static enum err rollback(struct postgres_store *s, enum err why)
{
    bool again = s->link.again;
    struct pg_step step = {.statement = PG_ROLLBACK};
    if (s->link.c != NULL) {
        if (pg_exchange(&s->link, &step, 1) != ERR_OK)
            pg_drop(&s->link);
        pg_clear(&step, 1);
        s->link.lost = false;
        s->link.again = again;
    }
    return why;
}

static bool committed(const struct pg_step *step)
{
    union {
        const PGresult *in;
        PGresult *out;
    } r = {step->result};
    return strcmp(PQcmdStatus(r.out), "COMMIT") == 0;
}

static enum err send_commit(struct postgres_store *s)
{
    struct pg_step step = {.statement = PG_COMMIT};
    enum err e = pg_exchange(&s->link, &step, 1);
    if (e == ERR_OK && !committed(&step))
        e = ERR_STORE; /* it was a rollback in disguise */
    else if (s->link.lost || (e == ERR_OK && s->link.warned))
        e = ERR_UNKNOWN; /* warned: durable here, not known to be on a standby */
#ifdef STOA_BREAK_COMMIT_SENT_TWICE
    e = e == ERR_UNKNOWN ? ERR_STORE : e;
#endif
#ifdef STOA_BREAK_SILENCE_IS_COMMIT
    e = e == ERR_UNKNOWN ? ERR_OK : e;
#endif
    pg_clear(&step, 1);
    if (e != ERR_OK) {
        s->link.again = false; /* nothing is tried again once COMMIT was sent */
        pg_drop(&s->link);
    }
    return e;
}

enum err postgres_end(struct postgres_store *s, const char *effect, enum err e)
{
    if (e != ERR_OK)
        return rollback(s, e);
    enum store_fault_verdict v = store_fault_at(&s->base, effect);
    if (v != FAULT_NONE && v != FAULT_FAIL_HAPPENED)
        return rollback(s, store_fault_err(v));
    TRY(send_commit(s));
    FP_DONE(effect);
    return store_fault_err(v);
}

/* ---- claim ---- */

static bool owns_any(const struct postgres_store *s)
{
    for (size_t i = 0; i < SLOTS_MAX; i++)
        if (s->owned[i])
            return true;
    return false;
}

/* The slot's owner is the session that holds its advisory lock; it goes with the session.
 */
static enum err own(struct postgres_store *s, uint32_t slot)
{
    if (s->owned[slot])
        return ERR_OK;
    struct pg_step steps[2] = {{.statement = PG_LOCK_WAIT}, {.statement = PG_OWN}};
    pg_add_i32(&steps[0].p,
               owns_any(s) ? POSTGRES_CLAIM_LOCK_MS : POSTGRES_START_LOCK_MS);
    pg_add_i32(&steps[1].p, POSTGRES_LOCK_CLASS);
    pg_add_i32(&steps[1].p, slot);
    enum err e = pg_exchange(&s->link, steps, 2);
    pg_clear(steps, 2);
    s->owned[slot] = e == ERR_OK;
    return e;
}

static enum err own_by_lease(struct postgres_store *s)
{
    if (!s->shared_locked)
        TRY(own_shared(s));
    return s->shared_locked ? ERR_OK : ERR_LOCKED;
}

/* Nothing was claimed: why? */
static enum err not_claimed(struct postgres_store *s, uint32_t slot)
{
    struct pg_step step = {.statement = PG_PLACE};
    struct bytes placed = bytes_of(NULL, 0);
    pg_add_i32(&step.p, slot);
    enum err e = pg_exchange(&s->link, &step, 1);
    if (e == ERR_OK && PQntuples(step.result) != 1)
        e = ERR_CORRUPT;
    if (e == ERR_OK)
        e = pg_span(step.result, 0, 0, &placed);
    if (e == ERR_OK && placed.size == 4 && memcmp(placed.data, "here", 4) == 0)
        e = s->shared && !s->is_place ? ERR_LOCKED : ERR_STORE; /* the lease is another's */
    else if (e == ERR_OK && placed.size == 7) {
        store_why_set(&s->link.why, "%s: slot %02x is being moved", s->target.name, slot);
        e = ERR_STORE;
    } else if (e == ERR_OK) {
        e = ERR_LOST;
    }
    pg_clear(&step, 1);
    return e;
}

static enum err raise_epoch(struct postgres_store *s, uint32_t slot, uint64_t moves,
                            uint64_t *epoch)
{
    bool leased = s->shared && !s->is_place;
    TRY(s->shared ? own_by_lease(s) : own(s, slot));
    struct pg_step step = {.statement = leased ? PG_CLAIM_LEASED : PG_CLAIM};
    pg_add_i32(&step.p, slot);
    pg_add_i64(&step.p, moves);
    pg_add_i32(&step.p, POSTGRES_MOVE_LOCK_CLASS);
    if (leased)
        pg_add_bytes(&step.p, s->self.instance, LEASE_INSTANCE_BYTES);
    enum err e = pg_exchange(&s->link, &step, 1);
    if (e == ERR_OK)
        e = PQntuples(step.result) == 1 ? pg_u64(step.result, 0, 0, INT64_MAX, epoch)
                                        : not_claimed(s, slot);
    pg_clear(&step, 1);
    return e;
}

enum err postgres_claim_at(struct postgres_store *s, uint32_t slot, uint64_t moves,
                           uint64_t *epoch)
{
    assert(slot < s->ledger.identity.slots);
    pthread_mutex_lock(&s->lock);
    enum err e = ERR_STORE;
    for (unsigned try = 0; try < POSTGRES_TRIES_MAX; try++) {
        if (try > 0)
            pg_sleep_ms(pg_jitter_ms(RETRY_JITTER_MS));
        e = postgres_begin(s, false);
        if (e == ERR_OK)
            e = postgres_end(s, "claim", raise_epoch(s, slot, moves, epoch));
        /* A session that had died unnoticed; nothing was sent that could have counted. */
        if (e != ERR_STORE || !(s->link.lost || s->link.again))
            break;
    }
    pthread_mutex_unlock(&s->lock);
    return postgres_note(s, e);
}

enum err postgres_end_sessions(struct postgres_store *s, const struct lease_self *of)
{
    char app[PG_LEASE_APP_BYTES];
    struct pg_step step = {.statement = PG_END};
    struct pg_params named = {.count = 0};
    postgres_lease_name(of, app, &named);
    pg_add_bytes(&step.p, app, strlen(app));
    pthread_mutex_lock(&s->lock);
    enum err e = postgres_ask_writer(s, &step);
    pthread_mutex_unlock(&s->lock);
    pg_clear(&step, 1);
    return postgres_note(s, e);
}

enum err postgres_claim(struct store *base, uint32_t slot, uint64_t *epoch)
{
    return postgres_claim_at(postgres_of(base), slot, UINT64_MAX, epoch);
}

/* ---- append ---- */

struct appending {
    struct postgres_store *s;
    const struct store_append *live[SLOTS_MAX]; /* not lost so far */
    size_t at[SLOTS_MAX];                       /* their places among the outcomes */
    size_t count;
    enum store_outcome *outcome;
};

/* Leave out what was lost. */
static void drop_lost(struct appending *x)
{
    size_t kept = 0;
    for (size_t i = 0; i < x->count; i++) {
        if (!x->s->batch.moved[x->live[i]->slot]) {
            x->outcome[x->at[i]] = STORE_LOST;
            continue;
        }
        x->live[kept] = x->live[i];
        x->at[kept++] = x->at[i];
    }
    x->count = kept;
}

static enum err write_all(struct appending *x)
{
    struct postgres_store *s = x->s;
    for (size_t i = 0; i < x->count; i++) {
        TRY(store_fault_before(&s->base, "append.check"));
        TRY(store_fault_before(&s->base, "append.write"));
    }
    postgres_batch(s);
    TRY(postgres_add(s, PG_BEGIN, 0, UINT64_MAX));
    TRY(postgres_put_moves(s, x->live, x->count));
    TRY(postgres_put_records(s, x->live, x->count));
    TRY(postgres_put_tiles(s, x->live, x->count));
    TRY(postgres_put_items(s, x->live, x->count));
    TRY(postgres_forget_items(s, x->live, x->count));
    TRY(postgres_put_settled(s, x->live, x->count));
    return postgres_flush(s);
}

/* Nothing half sent stays behind: what was not answered is undone with its session. */
static enum err attempt(struct appending *x)
{
    TRY(postgres_ready(x->s));
    enum err e = write_all(x);
    if (x->s->batch.count > 0)
        pg_drop(&x->s->link);
    pg_clear(x->s->batch.step, x->s->batch.count);
    postgres_batch(x->s);
    return postgres_end(x->s, "append.commit", e);
}

static enum err append_locked(struct appending *x)
{
    struct postgres_store *s = x->s;
    if (atomic_load(&s->broken))
        return ERR_IO;
    TRY(store_fault_before(&s->base, "append.begin"));
    unsigned tries = 0;
    while (x->count > 0) {
        s->link.lost = s->link.again = false;
        enum err e = attempt(x);
        if (e == ERR_LOST) {
            drop_lost(x); /* the others again, without these */
            continue;
        }
        /* Before COMMIT nothing can have counted, so it may be said again. */
        bool again = e != ERR_OK && e != ERR_UNKNOWN && (s->link.lost || s->link.again);
        if (!again || ++tries == POSTGRES_TRIES_MAX)
            return e == ERR_LOCKED ? ERR_STORE : e;
        trace(TRACE_WARN, "store.append_again", TRACE_U64("try", tries),
              TRACE_STR("sqlstate", s->link.sqlstate));
        pg_sleep_ms(pg_jitter_ms(RETRY_JITTER_MS << tries));
    }
    return ERR_OK;
}

/* Big arrays are given back; ordinary ones are kept for the next append. */
static void shrink(struct postgres_store *s)
{
    for (size_t i = 0; i < PG_PARAMS_MAX; i++)
        if (s->array[i].b.cap > POSTGRES_INSERT_BYTES / 4)
            buf_close(&s->array[i].b);
}

void postgres_append(struct store *base, const struct store_append appends[],
                     size_t count, enum store_outcome outcome[])
{
    struct postgres_store *s = postgres_of(base);
    struct appending x = {.s = s, .count = count, .outcome = outcome};
    assert(count <= SLOTS_MAX);
    (void)store_append_check(appends, count, s->ledger.identity.slots);
    for (size_t i = 0; i < count; i++) {
        outcome[i] = STORE_COMMITTED;
        x.live[i] = &appends[i];
        x.at[i] = i;
    }
    pthread_mutex_lock(&s->lock);
    enum err e = append_locked(&x);
    if (e == ERR_OK && x.count > 0)
        e = store_fault_answer(base, "append.answer");
    e = postgres_note(s, e);
    for (size_t i = 0; i < x.count; i++)
        if (e == ERR_OK && x.live[i]->outbox_low > s->forgot[x.live[i]->slot])
            s->forgot[x.live[i]->slot] = x.live[i]->outbox_low;
        else if (e != ERR_OK)
            s->forgot[x.live[i]->slot] = 0;
    shrink(s);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; e != ERR_OK && i < count; i++)
        if (outcome[i] != STORE_LOST)
            outcome[i] = store_outcome_of(e);
}
