/* One connection: made, used in pipelines, given up, all with a deadline. */
#include "ledger/store_postgres.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/key.h"
#include "ledger/trace.h"

#define CONNECT_PARAMS_MAX 96
#define STATEMENT_NAME_MAX 8

uint64_t pg_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t pg_now_ms(void)
{
    return pg_now_us() / 1000u;
}

void pg_sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

unsigned pg_jitter_ms(unsigned most)
{
    uint32_t r;
    random_bytes(&r, sizeof r);
    return 1 + r % most;
}

void pg_drop(struct pg_link *l)
{
    if (l->c != NULL)
        PQfinish(l->c);
    l->c = NULL;
}

/* A place that lets one wait is not waited for by everybody. */
static void note_late(struct pg_link *l)
{
    l->late = pg_now_ms() >= l->deadline_ms;
    if (l->late && l->deaf != NULL && !atomic_exchange(l->deaf, true))
        trace(TRACE_ERROR, "store.place_deaf", TRACE_STR("at", l->target->name));
}

/* The link is gone: whatever was under way is not answered any more. */
static enum err lose(struct pg_link *l, const char *what)
{
    l->lost = true;
    note_late(l);
    if (l->sqlstate[0] == '\0')
        snprintf(l->sqlstate, sizeof l->sqlstate, "08006");
    store_why_set(&l->why, "%s: %s", l->target->name, what);
    trace(TRACE_WARN, "store.link_lost", TRACE_STR("what", what),
          TRACE_STR("sqlstate", l->sqlstate));
    pg_drop(l);
    return ERR_STORE;
}

/* Until the socket has what is wanted, or the deadline. */
static bool wait_socket(const struct pg_link *l, short events)
{
    for (;;) {
        uint64_t now = pg_now_ms();
        struct pollfd p = {.fd = PQsocket(l->c), .events = events};
        if (p.fd < 0 || now >= l->deadline_ms)
            return false;
        int n = poll(&p, 1, (int)(l->deadline_ms - now));
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

/* ---- errors ---- */

static bool is_class(const char *sqlstate, const char *class)
{
    return strncmp(sqlstate, class, 2) == 0;
}

static bool is_state(const char *sqlstate, const char *state)
{
    return strcmp(sqlstate, state) == 0;
}

static enum err state_err(struct pg_link *l, const char *s)
{
    l->again = is_state(s, "40001") || is_state(s, "40P01") || is_state(s, "55P03");
    if (is_state(s, "53100")) /* disk_full: the transaction is rolled back */
        return ERR_STORE_FULL;
    if (is_state(s, "55P03"))
        return ERR_LOCKED;
    if (is_state(s, "3D000")) /* no such database */
        return ERR_MISSING;
    if (is_class(s, "28") || is_state(s, "42501")) /* who we are; what we may */
        return ERR_CONFIG;
    if (is_state(s, "58030")) /* io_error */
        return ERR_IO;
    if (is_class(s, "XX") ||
        is_class(s, "42")) /* damaged; a table is not as it was made */
        return is_state(s, "XX000") ? ERR_STORE : ERR_CORRUPT;
    return ERR_STORE;
}

enum err pg_result_err(struct pg_link *l, const PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_PIPELINE_SYNC:
        return ERR_OK;
    case PGRES_PIPELINE_ABORTED:
        return ERR_STORE;
    default:
        break;
    }
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *words = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(l->sqlstate, sizeof l->sqlstate, "%s", state == NULL ? "08006" : state);
    enum err e = state_err(l, l->sqlstate);
    store_why_set(&l->why, "%s: %.200s (SQLSTATE %s)", l->target->name,
                  words == NULL ? "the connection was lost" : words, l->sqlstate);
    if (!l->again && !is_state(l->sqlstate, "57P01"))
        trace(TRACE_WARN, "store.refused", TRACE_STR("sqlstate", l->sqlstate),
              TRACE_ERR("means", e));
    return e;
}

/* ---- exchanges ---- */

static unsigned at_most(const struct pg_link *l, unsigned ms)
{
    return l->patience_ms > 0 && ms > l->patience_ms ? l->patience_ms : ms;
}

static void begin_exchange(struct pg_link *l, unsigned ms)
{
    l->deadline_ms = pg_now_ms() + at_most(l, ms);
    if (l->until_ms > 0 && l->deadline_ms > l->until_ms)
        l->deadline_ms = l->until_ms;
    l->lost = l->again = l->warned = l->late = false;
    l->sqlstate[0] = '\0';
}

/* Send what waits and take in what came, once. */
static bool pump(struct pg_link *l)
{
    int left = PQflush(l->c);
    if (left < 0)
        return PQconsumeInput(l->c) == 1 && PQstatus(l->c) == CONNECTION_OK;
    if (!wait_socket(l, (short)(left > 0 ? POLLIN | POLLOUT : POLLIN)))
        return false;
    return PQconsumeInput(l->c) == 1;
}

/* The next result; NULL ends a statement. False: the link is lost. */
static bool next_result(struct pg_link *l, PGresult **out)
{
    *out = NULL;
    while (PQisBusy(l->c))
        if (!pump(l)) {
            if (PQisBusy(l->c))
                return false;
            break; /* a farewell came in before the end of the stream */
        }
    *out = PQgetResult(l->c);
    return true;
}

/* Results of one statement: the last one that matters is kept. */
static enum err statement_result(struct pg_link *l, PGresult **kept)
{
    enum err e = ERR_OK;
    PGresult *r = NULL;
    for (;;) {
        if (!next_result(l, &r))
            return lose(l, "no answer in time, or the connection was cut");
        if (r == NULL)
            break;
        if (e == ERR_OK)
            e = pg_result_err(l, r);
        bool end = PQresultStatus(r) == PGRES_PIPELINE_SYNC;
        if (e == ERR_OK && !end && kept != NULL && *kept == NULL)
            *kept = r;
        else
            PQclear(r);
        if (PQstatus(l->c) != CONNECTION_OK)
            return lose(l, "the server closed the connection");
        if (end)
            break;
    }
    return e;
}

/* All answers up to the end of the pipeline. The first error is the answer. */
static enum err collect(struct pg_link *l, struct pg_step steps[], size_t count)
{
    enum err first = ERR_OK;
    bool again = false;
    char state[sizeof l->sqlstate] = "";
    for (size_t i = 0; i < count; i++) {
        enum err e = statement_result(
            l, first == ERR_OK && steps != NULL ? &steps[i].result : NULL);
        if (l->c == NULL)
            return e;
        if (e != ERR_OK && first == ERR_OK) {
            first = e;
            again = l->again;
            memcpy(state, l->sqlstate, sizeof state);
        }
    }
    (void)statement_result(l, NULL); /* the end of the pipeline itself */
    if (l->c == NULL)
        return ERR_STORE;
    l->again = again;
    memcpy(l->sqlstate, state, sizeof state);
    l->used_ms = pg_now_ms();
    return first;
}

static void statement_name(enum pg_statement s, char out[STATEMENT_NAME_MAX])
{
    snprintf(out, STATEMENT_NAME_MAX, "s%d", (int)s % 1000);
}

void pg_begin(struct pg_link *l)
{
    begin_exchange(l, POSTGRES_ANSWER_MS);
}

enum err pg_send(struct pg_link *l, struct pg_step *step)
{
    static const int binary[PG_PARAMS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const struct pg_params *p = &step->p;
    char name[STATEMENT_NAME_MAX];
    assert(l->c != NULL && pg_roles[step->statement] == l->role);
    PQclear(step->result); /* of a try before this one */
    step->result = NULL;
    statement_name(step->statement, name);
    return PQsendQueryPrepared(l->c, name, p->count, p->value, p->length, binary, 1) == 1
               ? ERR_OK
               : lose(l, "the connection was cut");
}

enum err pg_finish(struct pg_link *l, struct pg_step steps[], size_t count)
{
    if (PQpipelineSync(l->c) != 1)
        return lose(l, "the connection was cut");
    return collect(l, steps, count);
}

enum err pg_exchange(struct pg_link *l, struct pg_step steps[], size_t count)
{
    pg_begin(l);
    for (size_t i = 0; i < count; i++)
        TRY(pg_send(l, &steps[i]));
    return pg_finish(l, steps, count);
}

void pg_clear(struct pg_step steps[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PQclear(steps[i].result);
        steps[i].result = NULL;
    }
}

enum err pg_simple(struct pg_link *l, const char *sql, PGresult **out)
{
    PGresult *r = NULL;
    enum err e = ERR_OK;
    if (out != NULL)
        *out = NULL;
    begin_exchange(l, POSTGRES_ANSWER_MS);
    if (PQsendQuery(l->c, sql) != 1)
        return lose(l, "the connection was cut");
    for (;;) {
        if (!next_result(l, &r))
            return lose(l, "no answer in time, or the connection was cut");
        if (r == NULL)
            return e;
        if (e == ERR_OK)
            e = pg_result_err(l, r);
        if (e == ERR_OK && out != NULL && PQresultStatus(r) == PGRES_TUPLES_OK) {
            PQclear(*out);
            *out = r;
        } else {
            PQclear(r);
        }
        if (PQstatus(l->c) != CONNECTION_OK)
            return lose(l, "the server closed the connection");
    }
}

/* ---- a session ---- */

/* A commit that was not waited for by a standby is told in a warning only. */
static void on_notice(void *context, const PGresult *r)
{
    struct pg_link *l = context;
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    l->warned = l->warned || (severity != NULL && strcmp(severity, "WARNING") == 0);
}

/* Plans by index whatever the statistics say; nothing waits for ever; dead peers are
 * found by the server too, since what they hold is waited for. */
static void session_options(char *out, size_t cap, const char *theirs, bool reads_only)
{
    snprintf(out, cap,
             "%s%s -c search_path=pg_catalog -c statement_timeout=%u -c lock_timeout=%u"
             " -c idle_in_transaction_session_timeout=%u -c enable_seqscan=off"
             " -c enable_mergejoin=off -c enable_hashjoin=off"
             " -c plan_cache_mode=force_generic_plan -c jit=off"
             " -c max_parallel_workers_per_gather=0 -c bytea_output=hex"
             " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5"
             " -c tcp_keepalives_count=3",
             theirs == NULL ? "" : theirs,
             reads_only ? " -c default_transaction_read_only=on" : "", POSTGRES_STATEMENT_MS, POSTGRES_LOCK_MS,
             POSTGRES_IDLE_TXN_MS);
}

static PGconn *start_connect(const struct pg_target *t, bool reads_only)
{
    const char *key[CONNECT_PARAMS_MAX], *value[CONNECT_PARAMS_MAX];
    char options[2048];
    size_t n = 0;
    const char *theirs = NULL;
    /* Ours first where a URI may say otherwise: of two the last one counts. */
    static const char *const usual[][2] = {{"fallback_application_name", "stoa"},
                                           {"keepalives_idle", "10"},
                                           {"keepalives_interval", "5"},
                                           {"keepalives_count", "3"},
                                           {"tcp_user_timeout", "12000"}};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        key[n] = usual[i][0];
        value[n++] = usual[i][1];
    }
    for (PQconninfoOption *o = t->options; o->keyword != NULL; o++) {
        if (o->val == NULL || o->val[0] == '\0' || n + 4 > CONNECT_PARAMS_MAX)
            continue;
        if (strcmp(o->keyword, "options") == 0) {
            theirs = o->val;
            continue;
        }
        key[n] = o->keyword;
        value[n++] = o->val;
    }
    session_options(options, sizeof options, theirs, reads_only);
    key[n] = "options";
    value[n++] = options;
    key[n] = "client_encoding";
    value[n++] = "UTF8";
    key[n] = value[n] = NULL;
    return PQconnectStartParams(key, value, 0);
}

/* A refusal while connecting has no result to ask; its words carry the state. */
static void connect_state(struct pg_link *l, const char *words)
{
    static const char *const known[] = {"3D000", "28P01", "28000",
                                        "53300", "57P03", "42501"};
    l->sqlstate[0] = '\0';
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char mark[16];
        snprintf(mark, sizeof mark, " %s: ", known[i]);
        if (strstr(words, mark) != NULL)
            snprintf(l->sqlstate, sizeof l->sqlstate, "%s", known[i]);
    }
}

static enum err refused_connect(struct pg_link *l)
{
    const char *words = l->c == NULL ? "out of memory" : PQerrorMessage(l->c);
    bool late = pg_now_ms() >= l->deadline_ms;
    connect_state(l, words);
    enum err e = l->sqlstate[0] == '\0' ? ERR_STORE : state_err(l, l->sqlstate);
    store_why_set(&l->why, "%s: %.*s", l->target->name,
                  (int)(late ? 0 : strcspn(words, "\n")), words);
    if (late)
        store_why_set(&l->why, "%s: no answer in %u ms", l->target->name,
                      at_most(l, POSTGRES_CONNECT_MS));
    note_late(l);
    trace(TRACE_WARN, "store.connect_failed", TRACE_STR("why", l->why.text));
    l->lost = true;
    pg_drop(l);
    return e;
}

static enum err finish_connect(struct pg_link *l)
{
    short events = POLLOUT;
    for (;;) {
        if (!wait_socket(l, events))
            return refused_connect(l);
        switch (PQconnectPoll(l->c)) {
        case PGRES_POLLING_OK:
            return ERR_OK;
        case PGRES_POLLING_READING:
            events = POLLIN;
            break;
        case PGRES_POLLING_WRITING:
            events = POLLOUT;
            break;
        default:
            return refused_connect(l);
        }
    }
}

static enum err prepare_all(struct pg_link *l)
{
    size_t count = 0;
    begin_exchange(l, POSTGRES_CONNECT_MS);
    if (PQenterPipelineMode(l->c) != 1)
        return lose(l, "the connection was cut");
    for (int i = 0; i < PG_STATEMENT_COUNT; i++) {
        char name[STATEMENT_NAME_MAX];
        if (pg_roles[i] != l->role)
            continue;
        statement_name((enum pg_statement)i, name);
        if (PQsendPrepare(l->c, name, pg_texts[i], 0, NULL) != 1)
            return lose(l, "the connection was cut");
        count++;
    }
    if (PQpipelineSync(l->c) != 1)
        return lose(l, "the connection was cut");
    return collect(l, NULL, count);
}

static enum err bind_ledger(struct pg_link *l)
{
    struct pg_ledger found;
    TRY(pg_session_ledger(l, &found));
    if (!found.any || memcmp(found.id, l->bound->id, sizeof found.id) != 0) {
        store_why_set(&l->why, "%s: this is not the ledger that was open a moment ago",
                      l->target->name);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static enum err connect_once(struct pg_link *l)
{
    begin_exchange(l, POSTGRES_CONNECT_MS);
    l->c = start_connect(l->target, l->reads_only);
    if (l->c == NULL || PQstatus(l->c) == CONNECTION_BAD)
        return refused_connect(l);
    PQsetErrorVerbosity(l->c, PQERRORS_VERBOSE); /* for the SQLSTATE of a refusal */
    PQsetNoticeReceiver(l->c, on_notice, l);
    TRY(finish_connect(l));
    if (PQsetnonblocking(l->c, 1) != 0)
        return lose(l, "the connection was cut");
    l->sessions += 1;
    TRY(pg_session_check(l));
    if (l->bound != NULL)
        TRY(bind_ledger(l));
    return l->role == PG_PLAIN ? ERR_OK : prepare_all(l);
}

/* Since this link was refused, another one got a session. */
static bool is_back(const struct pg_link *l)
{
    return l->made_ms != NULL && atomic_load(l->made_ms) >= l->tried_ms;
}

enum err pg_ready(struct pg_link *l)
{
    if (l->deaf != NULL && !l->probes && atomic_load(l->deaf)) {
        l->lost = l->again = false;
        return ERR_STORE;
    }
    if (l->c != NULL && PQstatus(l->c) == CONNECTION_OK)
        return ERR_OK;
    pg_drop(l);
    l->lost = l->again = false;
    uint64_t now = pg_now_ms();
    if (now < l->retry_at_ms && !is_back(l))
        return ERR_STORE;
    l->tried_ms = now;
    enum err e = connect_once(l);
    if (e == ERR_OK) {
        if (l->made_ms != NULL)
            atomic_store(l->made_ms, pg_now_ms());
        l->failures = 0;
        l->retry_at_ms = 0;
        return ERR_OK;
    }
    pg_drop(l);
    unsigned wait = POSTGRES_BACKOFF_MS << (l->failures < 5 ? l->failures : 5);
    wait = wait > POSTGRES_BACKOFF_MAX_MS ? POSTGRES_BACKOFF_MAX_MS : wait;
    l->failures += 1;
    l->retry_at_ms = pg_now_ms() + wait + pg_jitter_ms(wait / 4);
    return e;
}
