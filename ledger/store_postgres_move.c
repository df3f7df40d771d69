#include "ledger/store_postgres_move.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/note.h"
#include "ledger/entry.h"
#include "ledger/store_postgres.h"

#define SQL_MAX 4096
#define ROUNDS_MAX 20u
#define FEW_RECORDS 2000u /* left to copy while the slot stands still */
#define USER_MAX 63
#define FORGET_WAIT_MS (2 * POSTGRES_PLACES_EVERY_MS)

/* One server, in its own words. */
struct side {
    char uri[POSTGRES_URI_MAX];  /* as relays know it */
    char mine[POSTGRES_URI_MAX]; /* as we connect */
    struct pg_target target;
    struct pg_link link;
    struct pg_ledger ledger; /* whose it is; its schema is the one we know */
};

struct row {
    char placed[12];
    uint64_t moves, epoch, size;
    char place[POSTGRES_URI_MAX];
};

struct mover {
    const struct move_order *o;
    struct side from, to;
    bool from_hub, to_hub; /* it is the hub's own database */
    uint64_t moves;        /* of this move */
    uint64_t records;      /* copied and verified */
    uint64_t epoch;        /* that froze it */
    uint64_t frozen_at_ms, frozen_ms;
    struct store *copy; /* the new place, read back */
    struct store_reader *reader;
    struct frontier tree; /* of the copy */
    bool left;            /* on request */
    bool away;            /* it was given up, maybe */
    struct store_why *why;
};

/* ---- words ---- */

__attribute__((format(printf, 3, 4))) static enum err
fail(struct mover *m, enum err e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(m->why->text, sizeof m->why->text, format, args);
    va_end(args);
    return e;
}

static enum err lost(struct mover *m, struct side *s)
{
    return fail(m, ERR_STORE, "%s: %.*s", s->target.name,
                (int)strcspn(PQerrorMessage(s->link.c), "\n"), PQerrorMessage(s->link.c));
}

/* The user of a URI's own words is replaced: of two the last one counts. */
static bool as_user(char out[POSTGRES_URI_MAX], const char *uri, const char *user)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    int n;
    if (user == NULL)
        n = snprintf(out, POSTGRES_URI_MAX, "%s", uri);
    else if (user[strspn(user, plain)] != '\0' || strlen(user) > USER_MAX)
        return false;
    else
        n = snprintf(out, POSTGRES_URI_MAX, "%s%cuser=%s", uri,
                     strchr(uri, '?') ? '&' : '?', user);
    return n > 0 && n < (int)POSTGRES_URI_MAX;
}

static enum err connect_side(struct mover *m, struct side *s, const char *uri)
{
    const char *rest = strchr(uri, ':');
    if (rest == NULL || strncmp(uri, "postgres", 8) != 0 || strlen(uri) >= 500 ||
        !as_user(s->mine, uri, m->o->as))
        return fail(m, ERR_USAGE,
                    "a place is a postgresql:// URI of less than 500 bytes, and a user's "
                    "name plain");
    snprintf(s->uri, sizeof s->uri, "%s", uri);
    TRY(pg_target_open(&s->target, strchr(s->mine, ':') + 1, m->why));
    s->link = (struct pg_link){.target = &s->target, .role = PG_PLAIN};
    enum err e = pg_ready(&s->link);
    if (e == ERR_OK)
        e = pg_simple(&s->link,
                      "SET statement_timeout = 0; SET lock_timeout = '10s';"
                      " SET idle_in_transaction_session_timeout = 0",
                      NULL);
    if (e == ERR_OK && PQsetnonblocking(s->link.c, 0) != 0)
        return lost(m, s);
    if (e == ERR_OK) /* nothing is read, let alone written, that may mean something else */
        e = pg_session_ledger(&s->link, &s->ledger);
    if (e == ERR_OK)
        e = pg_session_current(&s->link, s->ledger.version); /* there may be none */
    if (e != ERR_OK)
        *m->why = s->link.why;
    return e;
}

static void close_side(struct side *s)
{
    pg_drop(&s->link);
    pg_target_close(&s->target);
}

/* One statement; `out` is the caller's. */
__attribute__((format(printf, 4, 5))) static enum err
ask(struct mover *m, struct side *s, PGresult **out, const char *format,
    ...)
{
    char sql[SQL_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof sql)
        return ERR_BUG;
    PGresult *r = PQexec(s->link.c, sql);
    ExecStatusType status = PQresultStatus(r);
    enum err e = ERR_OK;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        e = r == NULL ? ERR_STORE : pg_result_err(&s->link, r);
        *m->why = s->link.why;
        if (PQstatus(s->link.c) != CONNECTION_OK)
            e = lost(m, s);
        e = e == ERR_CORRUPT || e == ERR_OK ? ERR_STORE : e;
    }
    if (e == ERR_OK && out != NULL)
        *out = r;
    else
        PQclear(r);
    return e;
}

#define DO(m, s, ...) TRY(ask((m), (s), NULL, __VA_ARGS__))

/* A statement that must change one row; ERR_LOST: it did not. */
static enum err change(struct mover *m, struct side *s, const char *sql)
{
    PGresult *r = NULL;
    TRY(ask(m, s, &r, "%s", sql));
    bool changed = pg_changed(r) == 1;
    PQclear(r);
    return changed ? ERR_OK : ERR_LOST;
}

static enum err tell(struct mover *m, enum move_step step)
{
    struct move_progress p = {.step = step,
                              .records = m->records,
                              .frozen_ms = m->frozen_ms,
                              .from = m->from.target.name};
    if (m->o->progress == NULL || m->o->progress(m->o->context, &p))
        return ERR_OK;
    m->left = true;
    return fail(m, ERR_STORE, "left on request");
}

/* ---- where it is ---- */

static enum err look(struct mover *m, struct side *s, struct row *out)
{
    PGresult *r = NULL;
    memset(out, 0, sizeof *out);
    TRY(ask(m, s, &r,
            "SELECT placed, moves, coalesce(place, ''), epoch, size FROM stoa.slot WHERE "
            "slot = %u",
            (unsigned)m->o->slot));
    bool any = PQntuples(r) == 1;
    if (any) {
        snprintf(out->placed, sizeof out->placed, "%s", PQgetvalue(r, 0, 0));
        out->moves = strtoull(PQgetvalue(r, 0, 1), NULL, 10);
        snprintf(out->place, sizeof out->place, "%s", PQgetvalue(r, 0, 2));
        out->epoch = strtoull(PQgetvalue(r, 0, 3), NULL, 10);
        out->size = strtoull(PQgetvalue(r, 0, 4), NULL, 10);
    }
    PQclear(r);
    return any ? ERR_OK
               : fail(m, ERR_RANGE, "%s: there is no slot %02x", s->target.name,
                      (unsigned)m->o->slot);
}

/* The only place that may be written, or was until a move froze it. */
static bool stands(const struct row *at)
{
    return strcmp(at->placed, "here") == 0 || strcmp(at->placed, "leaving") == 0;
}

static enum err arrived(struct mover *m, struct side *s, uint64_t moves)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "UPDATE stoa.slot SET placed = 'here' WHERE slot = %u AND placed = 'coming' "
             "AND moves = "
             "%" PRIu64,
             (unsigned)m->o->slot, moves);
    enum err e = change(m, s, sql);
    return e == ERR_LOST ? ERR_OK : e; /* a relay that claimed it was first */
}

/* From the hub's own database along the way, as relays go it. */
static enum err find(struct mover *m, struct row *at)
{
    char uri[POSTGRES_URI_MAX];
    uint64_t brought = UINT64_MAX;
    snprintf(uri, sizeof uri, "%s", m->o->store);
    for (unsigned hop = 0; hop < POSTGRES_HOPS_MAX; hop++) {
        bool known = brought != UINT64_MAX;
        close_side(&m->from);
        TRY(connect_side(m, &m->from, uri));
        TRY(look(m, &m->from, at));
        m->from_hub = strcmp(uri, m->o->store) == 0;
        if (known && at->moves < brought)
            return fail(m, ERR_CORRUPT,
                        "%s is a copy from before slot %02x was moved there",
                        m->from.target.name, (unsigned)m->o->slot);
        if (strcmp(at->placed, "coming") == 0 && known && at->moves == brought) {
            TRY(arrived(m, &m->from, brought));
            return look(m, &m->from, at);
        }
        if (stands(at))
            return ERR_OK;
        brought = strcmp(at->placed, "away") == 0 ? at->moves : UINT64_MAX;
        if (at->place[0] == '\0' && m->from_hub)
            break;
        snprintf(uri, sizeof uri, "%s", at->place[0] ? at->place : m->o->store);
    }
    return fail(
        m, ERR_CONFIG,
        "slot %02x is not found from --store; that must be the hub's own database",
        (unsigned)m->o->slot);
}

/* ---- room at the new place ---- */

static enum err same_ledger(struct mover *m)
{
    const struct pg_ledger *a = &m->from.ledger, *b = &m->to.ledger;
    PGresult *r = NULL;
    if (!b->any) {
        char id[2 * POSTGRES_LEDGER_ID_BYTES + 1], federation[2 * HASH_BYTES + 1];
        char hub[2 * HUB_NAME_MAX + 1];
        hex_encode(id, a->id, sizeof a->id);
        hex_encode(federation, a->identity.federation.b, HASH_BYTES);
        hex_encode(hub, a->identity.hub, strlen(a->identity.hub));
        TRY(ask(m, &m->to, &r,
                "SELECT stoa.create_place('\\x%s', '\\x%s', convert_from('\\x%s', "
                "'UTF8'), %u)",
                id, federation, hub, (unsigned)a->identity.slots));
        PQclear(r);
        return ERR_OK;
    }
    return memcmp(a->id, b->id, sizeof a->id) == 0
               ? ERR_OK
               : fail(m, ERR_CONFIG, "%s: the ledger there is another one",
                      m->to.target.name);
}

/* Whoever moves a slot holds this on the server it leaves; it goes with the session. */
static enum err lock(struct mover *m)
{
    PGresult *r = NULL;
    TRY(ask(m, &m->from, &r, "SELECT pg_try_advisory_lock(%d, %u)",
            POSTGRES_MOVE_LOCK_CLASS, (unsigned)m->o->slot));
    bool ours = PQgetvalue(r, 0, 0)[0] == 't';
    PQclear(r);
    return ours ? ERR_OK
                : fail(m, ERR_LOCKED, "slot %02x is being moved by somebody else",
                       (unsigned)m->o->slot);
}

/* Another move may have gone its way between the look and the lock. Then what stands at the new
 * place may be the only copy. */
static enum err still(struct mover *m, const struct row *at)
{
    struct row now;
    TRY(look(m, &m->from, &now));
    if (now.moves == at->moves && stands(&now))
        return ERR_OK;
    return fail(m, ERR_LOCKED, "slot %02x was moved by somebody else just now",
                (unsigned)m->o->slot);
}

static enum err make_room(struct mover *m)
{
    char sql[SQL_MAX],
        *place = PQescapeLiteral(m->to.link.c, m->from.uri, strlen(m->from.uri));
    PGresult *r = NULL;
    if (place == NULL)
        return lost(m, &m->to);
    snprintf(sql, sizeof sql,
             "UPDATE stoa.slot SET placed = 'coming', moves = %" PRIu64
             ", place = %s WHERE slot = %u AND placed IN ('away', 'coming')",
             m->moves, place, (unsigned)m->o->slot);
    PQfreemem(place);
    enum err e = change(m, &m->to, sql);
    if (e == ERR_LOST)
        return fail(m, ERR_EXISTS, "slot %02x is at %s", (unsigned)m->o->slot,
                    m->to.target.name);
    TRY(e);
    TRY(ask(m, &m->to, &r, "SELECT stoa.clear_slot(%u)", (unsigned)m->o->slot));
    PQclear(r);
    m->records = 0;
    m->tree = (struct frontier){.size = 0};
    return tell(m, MOVE_ROOM);
}

/* ---- copying ---- */

#define RECORD_COLUMNS                                                                   \
    "slot, idx, position, hub_lamport, hub_time_ms, account, entry, account_head, "      \
    "leaf_hash, "                                                                        \
    "envelope"

static enum err copy_end(struct mover *m, struct side *s, uint64_t *rows)
{
    PGresult *r;
    enum err e = ERR_OK;
    *rows = UINT64_MAX;
    while ((r = PQgetResult(s->link.c)) != NULL) {
        if (PQresultStatus(r) == PGRES_COMMAND_OK)
            *rows = pg_changed(r);
        else
            e = lost(m, s);
        PQclear(r);
    }
    return e;
}

static enum err copy_start(struct mover *m, struct side *s, const char *sql,
                           ExecStatusType want)
{
    PGresult *r = PQexec(s->link.c, sql);
    bool ok = PQresultStatus(r) == want;
    PQclear(r);
    return ok ? ERR_OK : lost(m, s);
}

/* What `from` selects at the old place into `to` at the new one, in the server's binary
 * form. */
__attribute__((format(printf, 4, 5))) static enum err
copy(struct mover *m, const char *to, const char *columns, const char *format, ...)
{
    char from[SQL_MAX], sql[SQL_MAX + 100], *data;
    va_list args;
    va_start(args, format);
    vsnprintf(from, sizeof from, format, args);
    va_end(args);
    snprintf(sql, sizeof sql, "COPY (SELECT %s FROM %s) TO STDOUT (FORMAT binary)",
             columns, from);
    TRY(copy_start(m, &m->from, sql, PGRES_COPY_OUT));
    const char *plain = strncmp(columns, "x.", 2) == 0 ? "entry, data" : columns;
    snprintf(sql, sizeof sql, "COPY stoa.%s(%s) FROM STDIN (FORMAT binary)", to, plain);
    TRY(copy_start(m, &m->to, sql, PGRES_COPY_IN));
    int n;
    while ((n = PQgetCopyData(m->from.link.c, &data, 0)) > 0) {
        int put = PQputCopyData(m->to.link.c, data, n);
        PQfreemem(data);
        if (put != 1)
            return lost(m, &m->to);
    }
    if (n != -1 || PQputCopyEnd(m->to.link.c, NULL) != 1)
        return lost(m, n != -1 ? &m->from : &m->to);
    uint64_t sent, got;
    TRY(copy_end(m, &m->from, &sent));
    TRY(copy_end(m, &m->to, &got));
    return sent == got ? ERR_OK
                       : fail(m, ERR_CORRUPT,
                              "%s: %" PRIu64 " rows of %s, but %" PRIu64 " were sent",
                              m->to.target.name, got, to, sent);
}

/* Full tiles that a tree of `size` has and one of `had` has not. */
static enum err copy_tiles(struct mover *m, uint64_t had, uint64_t size)
{
    for (unsigned level = 0; level < 6; level++) {
        uint64_t first = had >> (8 * (level + 1)), end = size >> (8 * (level + 1));
        if (first < end)
            TRY(copy(m, "tile", "slot, level, n, root, hashes",
                     "stoa.tile WHERE slot = %u AND level = %u AND n >= %" PRIu64
                     " AND n < %" PRIu64,
                     (unsigned)m->o->slot, level, first, end));
    }
    return ERR_OK;
}

/* The slot's row as it is in the old place's snapshot: size, edges and the signed note.
 */
static enum err put_row(struct mover *m, const PGresult *at, uint64_t epoch)
{
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql,
             "UPDATE stoa.slot SET epoch = greatest(epoch, %" PRIu64
             "), size = %s, edges = '\\x%s', checkpoint = '\\x%s' WHERE slot = %u AND "
             "placed = "
             "'coming' AND moves = %" PRIu64,
             epoch, PQgetvalue(at, 0, 0), PQgetvalue(at, 0, 1), PQgetvalue(at, 0, 2),
             (unsigned)m->o->slot, m->moves);
    enum err e = change(m, &m->to, sql);
    return e == ERR_LOST ? fail(m, ERR_LOCKED, "somebody else moves slot %02x there",
                                (unsigned)m->o->slot)
                         : e;
}

static enum err copy_from(struct mover *m, uint64_t *size)
{
    PGresult *at = NULL;
    TRY(ask(m, &m->from, &at,
            "SELECT size, encode(edges, 'hex'), encode(checkpoint, 'hex') FROM stoa.slot "
            "WHERE "
            "slot = %u",
            (unsigned)m->o->slot));
    *size = strtoull(PQgetvalue(at, 0, 0), NULL, 10);
    enum err e = ERR_OK;
    if (*size > m->records)
        e = copy(m, "record", RECORD_COLUMNS,
                 "stoa.record WHERE slot = %u AND idx >= %" PRIu64 " AND idx < %" PRIu64
                 " ORDER BY idx",
                 (unsigned)m->o->slot, m->records, *size);
    if (e == ERR_OK)
        e = copy_tiles(m, m->records, *size);
    if (e == ERR_OK)
        e = put_row(m, at, m->epoch + 1);
    PQclear(at);
    return e;
}

/* What the next records change is copied once, at the end. */
static enum err copy_rest(struct mover *m)
{
    unsigned slot = m->o->slot;
    TRY(copy(m, "outbox",
             "slot, source_index, payee_index, destination_slot, out_seq, "
             "source_lamport, amount,"
             " is_return, cause, payer, payee",
             "stoa.outbox WHERE slot = %u", slot));
    TRY(copy(m, "snapshot", "slot, part, parts, size, data",
             "stoa.snapshot WHERE slot = %u", slot));
    return copy(m, "channel", "slot, source_slot, next_in, idx",
                "stoa.channel WHERE slot = %u", slot);
}

/* ---- reading it back ---- */

static bool add_leaf(void *context, const struct record *r, const struct hash *account)
{
    struct mover *m = context;
    struct hash h = record_leaf_hash(r);
    (void)account;
    return r->index == m->tree.size && frontier_append(&m->tree, &h);
}

/* Is the tree what the slot's row says and its note was signed over? */
static bool as_signed(const struct frontier *tree, const struct store_slot *row)
{
    struct hash edges[MERKLE_LEVELS_MAX];
    struct checkpoint c;
    size_t count = frontier_edges(tree, edges);
    struct hash root = frontier_root(tree);
    const char *text_end = memmem(row->checkpoint, row->checkpoint_size, "\n\n", 2);
    return row->size == tree->size && count == row->edge_count &&
           memcmp(edges, row->edges, count * sizeof *edges) == 0 && text_end != NULL &&
           checkpoint_parse(&c, row->checkpoint, (size_t)(text_end - row->checkpoint) + 1) &&
           c.size == row->size && hash_equal(&c.root, &root);
}

/* The slot as it stands at m->to: each record's leaf is compared by the reader, the tree with the
 * signed root. `size`: what it must be; UINT64_MAX: what the row says, it is written to. */
static enum err read_back(struct mover *m, uint64_t size)
{
    struct store_slot row;
    if (m->reader == NULL) {
        TRY(store_open_replica(m->to.mine, 0, &m->copy, m->why));
        TRY(m->copy->ops->reader_open(m->copy, &m->reader));
    }
    TRY(m->reader->ops->slot(m->reader, m->o->slot, &row));
    size = size == UINT64_MAX ? row.size : size;
    TRY(m->reader->ops->records(m->reader, m->o->slot, m->tree.size, size - m->tree.size,
                                add_leaf, m));
    return size == 0 || (m->tree.size == size && as_signed(&m->tree, &row)) ? ERR_OK
                                                                          : ERR_CORRUPT;
}

static enum err verify(struct mover *m, uint64_t size)
{
    enum err e = read_back(m, size);
    if (e == ERR_CORRUPT)
        return fail(
            m, e,
            "the copy of slot %02x at %s is not what was signed; it was not moved; run: "
            "stoa-audit verify",
            (unsigned)m->o->slot, m->to.target.name);
    if (e != ERR_OK)
        return fail(m, e, "%s: the copy cannot be read back", m->to.target.name);
    m->records = size;
    return ERR_OK;
}

static enum err round_of(struct mover *m, bool last)
{
    uint64_t size = 0;
    DO(m, &m->from, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    DO(m, &m->to, "BEGIN");
    TRY(copy_from(m, &size));
    if (last)
        TRY(copy_rest(m));
    DO(m, &m->to, "COMMIT");
    DO(m, &m->from, "COMMIT");
    return verify(m, size);
}

/* ---- the move ---- */

static enum err freeze(struct mover *m)
{
    PGresult *r = NULL;
    TRY(ask(m, &m->from, &r,
            "UPDATE stoa.slot SET placed = 'leaving', epoch = epoch + 1 WHERE slot = %u "
            "AND placed "
            "IN ('here', 'leaving') RETURNING epoch",
            (unsigned)m->o->slot));
    bool frozen = PQntuples(r) == 1;
    if (frozen)
        m->epoch = strtoull(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    m->frozen_at_ms = pg_now_ms();
    return frozen ? tell(m, MOVE_FROZEN)
                  : fail(m, ERR_LOCKED, "slot %02x was moved by somebody else",
                         (unsigned)m->o->slot);
}

/* The attachments, which no epoch guards, and the one statement that moves the slot. */
static enum err give_up(struct mover *m)
{
    char sql[SQL_MAX],
        *place = PQescapeLiteral(m->from.link.c, m->to.uri, strlen(m->to.uri));
    if (place == NULL)
        return lost(m, &m->from);
    snprintf(sql, sizeof sql,
             "UPDATE stoa.slot SET placed = 'away', epoch = epoch + 1, moves = %" PRIu64
             ", place = %s WHERE slot = %u AND placed = 'leaving' AND epoch = %" PRIu64,
             m->moves, m->to_hub ? "NULL" : place, (unsigned)m->o->slot, m->epoch);
    PQfreemem(place);
    DO(m, &m->from, "BEGIN; LOCK TABLE stoa.sealed IN SHARE MODE");
    TRY(copy(
        m, "sealed", "x.entry, x.data",
        "stoa.sealed AS x JOIN stoa.record AS r ON r.entry = x.entry WHERE r.slot = %u",
        (unsigned)m->o->slot));
    enum err e = change(m, &m->from, sql);
    if (e == ERR_LOST)
        return fail(m, ERR_LOCKED, "slot %02x was claimed again meanwhile; call again",
                    (unsigned)m->o->slot);
    TRY(e);
    DO(m, &m->from,
       "DELETE FROM stoa.sealed AS x USING stoa.record AS r WHERE r.slot = %u AND "
       "r.entry = x.entry",
       (unsigned)m->o->slot);
    m->away = true;
    e = ask(m, &m->from, NULL, "COMMIT");
    m->frozen_ms = pg_now_ms() - m->frozen_at_ms;
    if (e != ERR_OK)
        return fail(
            m, ERR_UNKNOWN,
            "%s did not answer; whether slot %02x was moved is not known; call again",
            m->from.target.name, (unsigned)m->o->slot);
    return tell(m, MOVE_AWAY);
}

/* The way from the hub's own database is made straight; relays go the long one until
 * then. */
static enum err point(struct mover *m)
{
    struct side hub = {.link = {0}};
    enum err e = ERR_OK;
    if (m->from_hub || m->to_hub)
        return ERR_OK;
    e = connect_side(m, &hub, m->o->store);
    char *place =
        e == ERR_OK ? PQescapeLiteral(hub.link.c, m->to.uri, strlen(m->to.uri)) : NULL;
    if (e == ERR_OK)
        e = ask(m, &hub, NULL,
                "UPDATE stoa.slot SET place = %s, moves = %" PRIu64
                " WHERE slot = %u AND placed = 'away' AND moves < %" PRIu64,
                place, m->moves, (unsigned)m->o->slot, m->moves);
    PQfreemem(place);
    close_side(&hub);
    return e;
}

static enum err run(struct mover *m)
{
    struct row at;
    TRY(find(m, &at));
    m->moves = at.moves + 1;
    TRY(connect_side(m, &m->to, m->o->to));
    m->to_hub = strcmp(m->o->to, m->o->store) == 0;
    TRY(same_ledger(m));
    TRY(lock(m));
    TRY(still(m, &at));
    TRY(tell(m, MOVE_FOUND));
    enum err e = make_room(m);
    if (e == ERR_EXISTS) { /* since a move that was broken off, say */
        m->moves = at.moves;
        TRY(point(m));
        return tell(m, MOVE_TOLD);
    }
    TRY(e);
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        uint64_t had = m->records;
        TRY(round_of(m, false));
        TRY(tell(m, MOVE_COPIED));
        if (m->records - had <= FEW_RECORDS)
            break;
    }
    TRY(freeze(m));
    TRY(round_of(m, true));
    TRY(tell(m, MOVE_VERIFIED));
    TRY(give_up(m));
    TRY(arrived(m, &m->to, m->moves));
    TRY(tell(m, MOVE_HERE));
    TRY(point(m));
    return tell(m, MOVE_TOLD);
}

/* ---- forgetting ---- */

/* The way on from here is kept; `moves` becomes that of the slot's place, so that nobody who
 * comes by takes that for an older copy. */
static enum err clear_old(struct mover *m, const struct row *at, const char *now_at)
{
    char *place = PQescapeLiteral(m->from.link.c, now_at, strlen(now_at));
    if (place == NULL)
        return lost(m, &m->from);
    enum err e =
        ask(m, &m->from, NULL,
            "BEGIN; UPDATE stoa.slot SET placed = 'coming', place = %s, moves = %" PRIu64
            " WHERE slot = %u AND placed IN ('away', 'coming');"
            " SELECT stoa.clear_slot(%u);"
            " UPDATE stoa.slot SET placed = 'away'%s WHERE slot = %u; COMMIT",
            place, at->moves, (unsigned)m->o->slot, (unsigned)m->o->slot,
            m->to_hub ? ", place = NULL" : "", (unsigned)m->o->slot);
    PQfreemem(place);
    return e;
}

/* `from` and `to` as of the move that was: the copy at `from` goes, the slot is at `to`. */
static enum err forget(struct mover *m)
{
    struct row at, old;
    char now_at[POSTGRES_URI_MAX];
    TRY(find(m, &at));
    if (strcmp(at.placed, "here") != 0)
        return fail(m, ERR_LOCKED, "slot %02x is being moved; finish the move first",
                    (unsigned)m->o->slot);
    TRY(lock(m)); /* nobody moves it meanwhile; held where it is */
    TRY(still(m, &at));
    snprintf(now_at, sizeof now_at, "%s", m->from.uri);
    m->to_hub = m->from_hub;
    struct side keeps = m->from; /* its session has the lock */
    memset(&m->from, 0, sizeof m->from);
    enum err e = connect_side(m, &m->from, m->o->to);
    if (e == ERR_OK)
        e = connect_side(m, &m->to, now_at);
    if (e == ERR_OK)
        e = same_ledger(m);
    if (e == ERR_OK)
        e = look(m, &m->from, &old);
    if (e == ERR_OK && stands(&old))
        e = fail(m, ERR_EXISTS, "slot %02x is at %s; nothing was removed",
                 (unsigned)m->o->slot, m->from.target.name);
    m->records = e == ERR_OK ? old.size : 0;
    if (e == ERR_OK && (e = read_back(m, UINT64_MAX)) != ERR_OK && e != ERR_STORE)
        e = fail(m, ERR_CORRUPT,
                 "slot %02x at %s is not what was signed; the older copy was kept; run: "
                 "stoa-audit verify",
                 (unsigned)m->o->slot, m->to.target.name);
    if (e == ERR_OK)
        pg_sleep_ms(FORGET_WAIT_MS); /* relays that still read there look where it went */
    if (e == ERR_OK)
        e = clear_old(m, &at, now_at);
    if (e == ERR_OK)
        e = tell(m, MOVE_FORGOTTEN);
    pg_drop(&keeps.link);
    pg_target_close(&keeps.target);
    return e;
}

/* What did not leave goes on where it is. Without this the next claim finds out by
 * itself. */
static void thaw(struct mover *m)
{
    if (m->left || m->away || m->frozen_at_ms == 0 || m->from.link.c == NULL)
        return;
    struct store_why kept = *m->why;
    (void)!ask(m, &m->from, NULL, "ROLLBACK");
    (void)!ask(
        m, &m->from, NULL,
        "UPDATE stoa.slot SET placed = 'here' WHERE slot = %u AND placed = 'leaving' AND "
        "epoch = %" PRIu64,
        (unsigned)m->o->slot, m->epoch);
    *m->why = kept;
}

static enum err drive(const struct move_order *o, enum err (*work)(struct mover *m),
                      struct store_why *why)
{
    struct mover *m = calloc(1, sizeof *m);
    if (m == NULL)
        return ERR_MEMORY;
    m->o = o;
    m->why = why;
    why->text[0] = '\0';
    enum err e = work(m);
    if (e != ERR_OK)
        thaw(m);
    if (e != ERR_OK && why->text[0] == '\0')
        store_why_set(why, "slot %02x: %s", (unsigned)o->slot, err_text(e));
    if (m->reader != NULL)
        m->reader->ops->close(m->reader);
    if (m->copy != NULL)
        m->copy->ops->close(m->copy);
    close_side(&m->from);
    close_side(&m->to);
    free(m);
    return e;
}

enum err postgres_move(const struct move_order *o, struct store_why *why)
{
    return drive(o, run, why);
}

enum err postgres_forget(const struct move_order *o, struct store_why *why)
{
    return drive(o, forget, why);
}

enum err postgres_where(const char *store, const char *as,
                        void (*visit)(void *context, uint32_t slot, const char *uri,
                                      bool moving),
                        void *context, struct store_why *why)
{
    struct move_order o = {.store = store, .as = as};
    struct mover *m = calloc(1, sizeof *m);
    PGresult *r = NULL;
    if (m == NULL)
        return ERR_MEMORY;
    m->o = &o;
    m->why = why;
    enum err e = connect_side(m, &m->from, store);
    if (e == ERR_OK)
        e = ask(m, &m->from, &r,
                "SELECT slot, CASE WHEN placed IN ('away', 'coming') THEN "
                "coalesce(place, '') ELSE ''"
                " END, placed IN ('leaving', 'coming'), placed = 'away' AND place IS NULL"
                " FROM stoa.slot ORDER BY slot");
    for (int i = 0; e == ERR_OK && i < PQntuples(r); i++)
        if (PQgetvalue(r, i, 3)[0] == 't')
            e = fail(m, ERR_CONFIG,
                     "%s is a place of single slots; ask the hub's own database",
                     m->from.target.name);
    for (int i = 0; e == ERR_OK && i < PQntuples(r); i++)
        visit(context, (uint32_t)strtoul(PQgetvalue(r, i, 0), NULL, 10),
              PQgetvalue(r, i, 1), PQgetvalue(r, i, 2)[0] == 't');
    PQclear(r);
    close_side(&m->from);
    free(m);
    return e;
}
