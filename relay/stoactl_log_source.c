/* The ledger of a hub, read while the hub may be writing it: a SQLite file by its rows,
 * which locks nobody out; Postgres by a reader of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/store_raw.h"
#include "relay/stoactl_log.h"

struct log_source {
    struct store_identity identity;
    struct store_raw *raw; /* SQLite */
    struct store *store;   /* else */
    struct store_reader *reader;
};

static enum err told(char *why, const struct store_why *said, enum err e)
{
    if (e != ERR_OK)
        snprintf(why, LOG_WHY_MAX, "%s", said->text[0] ? said->text : err_text(e));
    return e;
}

static enum err raw_failed(struct log_source *s, enum err e, char *why)
{
    const char *problem = store_raw_problem(s->raw);
    if (e != ERR_OK)
        snprintf(why, LOG_WHY_MAX, "the ledger: %s", problem[0] ? problem : err_text(e));
    return e;
}

static enum err open_raw(struct log_source *s, const char *path, char *why)
{
    struct store_why said = {{0}};
    TRY(told(why, &said, store_raw_open(&s->raw, path, &said)));
    return raw_failed(s, store_raw_identity(s->raw, &s->identity), why);
}

static enum err open_store(struct log_source *s, const char *uri, char *why)
{
    struct store_why said = {{0}};
    TRY(told(why, &said, store_open(uri, &s->store, &said)));
    s->identity = *s->store->ops->identity(s->store);
    return told(why, &said, s->store->ops->reader_open(s->store, &s->reader));
}

enum err log_source_open(struct log_source **out, const char *uri, char *why)
{
    struct log_source *s = calloc(1, sizeof(*s));
    enum err e;
    *out = NULL;
    if (!s)
        return ERR_MEMORY;
    if (strncmp(uri, "memory:", 7) == 0) {
        snprintf(why, LOG_WHY_MAX,
                 "a hub that lives in memory has no ledger to read; copy "
                 "its log from outside: stoa-audit fetch URL DIR");
        e = ERR_USAGE;
    } else if (strncmp(uri, "sqlite:", 7) == 0) {
        e = open_raw(s, uri + 7, why);
    } else {
        e = open_store(s, uri, why);
    }
    if (e != ERR_OK) {
        log_source_close(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

void log_source_close(struct log_source *s)
{
    if (!s)
        return;
    store_raw_close(s->raw);
    if (s->reader)
        s->reader->ops->close(s->reader);
    if (s->store)
        s->store->ops->close(s->store);
    free(s);
}

const struct store_identity *log_source_identity(const struct log_source *s)
{
    return &s->identity;
}

enum err log_source_slot(struct log_source *s, uint32_t slot, struct store_slot *out,
                         char *why)
{
    struct store_why none = {{0}};
    if (s->raw)
        return raw_failed(s, store_raw_slot(s->raw, slot, out), why);
    return told(why, &none, s->reader->ops->slot(s->reader, slot, out));
}

static enum err gap(uint32_t slot, uint64_t index, const char *what, char *why)
{
    snprintf(why, LOG_WHY_MAX, "the ledger: slot %02x, record %llu: %s", (unsigned)slot,
             (unsigned long long)index, what);
    return ERR_CORRUPT;
}

static enum err raw_records(struct log_source *s, uint32_t slot, uint64_t from,
                            uint64_t to, log_visit *visit, void *context, char *why)
{
    struct store_raw_record row;
    for (uint64_t at = from; at < to; at++) {
        enum err e = store_raw_record(s->raw, slot, at, &row);
        if (e == ERR_NOT_FOUND || (e == ERR_OK && row.row != at))
            return gap(slot, at, "is not there", why);
        TRY(raw_failed(s, e, why));
        if (!row.shape_ok || !row.sum_ok)
            return gap(slot, at, "its row is damaged", why);
        struct log_record r = {.index = at, .envelope = row.envelope};
        memcpy(r.leaf, row.leaf, LEAF_BYTES);
        if (!visit(context, &r))
            break;
    }
    return ERR_OK;
}

struct visit {
    log_visit *visit;
    void *context;
    uint64_t next, end;
    bool stopped;
};

static bool on_record(void *context, const struct record *r, const struct hash *account)
{
    struct visit *v = context;
    struct log_record out = {.index = r->index, .envelope = r->envelope};
    (void)account;
    if (r->index != v->next)
        return false;
    record_leaf(r, out.leaf);
    v->next++;
    v->stopped = !v->visit(v->context, &out);
    return !v->stopped && v->next < v->end;
}

enum err log_source_records(struct log_source *s, uint32_t slot, uint64_t from,
                            uint64_t to, log_visit *visit, void *context, char *why)
{
    struct visit v = {.visit = visit, .context = context, .next = from, .end = to};
    struct store_why none = {{0}};
    if (from >= to)
        return ERR_OK;
    if (s->raw)
        return raw_records(s, slot, from, to, visit, context, why);
    TRY(told(why, &none,
             s->reader->ops->records(s->reader, slot, from, to - from, on_record, &v)));
    return v.stopped || v.next == to ? ERR_OK : gap(slot, v.next, "is not there", why);
}
