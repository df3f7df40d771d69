#include "ledger/store.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/sig.h"
#include "ledger/failpoint.h"
#include "ledger/store_probe.h"
#include "ledger/store_util.h"

/* Edges that may be linked or not. */
extern const struct store_edge store_edge_sqlite __attribute__((weak));
extern const struct store_edge store_edge_postgres __attribute__((weak));
extern const struct store_edge store_edge_postgresql __attribute__((weak));

static const struct store_edge *const edges[] = {
    &store_edge_memory,
    &store_edge_sqlite,
    &store_edge_postgres,
    &store_edge_postgresql,
};

void store_why_set(struct store_why *why, const char *format, ...)
{
    if (why == NULL)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}

/* As the edges: there when ledger_store_postgres is linked. */
bool store_probe_postgres(const char *rest, unsigned limit_ms, struct store_probe *out,
                          struct store_why *why)
    __attribute__((weak));

static const char *const server_schemes[] = {"postgresql:", "postgres:"};

bool store_probe(const char *uri, unsigned limit_ms, struct store_probe *out,
                 struct store_why *why)
{
    *out = (struct store_probe){.kind = STORE_PROBE_NONE};
    store_why_set(why, "%s", "");
    for (size_t i = 0; i < sizeof server_schemes / sizeof *server_schemes; i++) {
        size_t size = strlen(server_schemes[i]);
        if (strncmp(uri, server_schemes[i], size) == 0 && store_probe_postgres)
            return store_probe_postgres(uri + size, limit_ms, out, why);
    }
    return false;
}

enum err store_replica_postgres(const char *rest, unsigned patience_ms,
                                struct store **out, struct store_why *why)
    __attribute__((weak));

enum err store_open_replica(const char *uri, unsigned patience_ms, struct store **out,
                            struct store_why *why)
{
    *out = NULL;
    for (size_t i = 0; i < sizeof server_schemes / sizeof *server_schemes; i++) {
        size_t size = strlen(server_schemes[i]);
        if (strncmp(uri, server_schemes[i], size) == 0 && store_replica_postgres)
            return store_replica_postgres(uri + size, patience_ms, out, why);
    }
    store_why_set(why, "only a postgresql:// store has replicas");
    return ERR_USAGE;
}

/* The edge of a URI and what follows its scheme; NULL when there is none. */
static const struct store_edge *edge_of(const char *uri, const char **rest,
                                        struct store_why *why)
{
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        if (edges[i] == NULL)
            continue;
        size_t size = strlen(edges[i]->scheme);
        if (strncmp(uri, edges[i]->scheme, size) == 0 && uri[size] == ':') {
            *rest = uri + size + 1;
            return edges[i];
        }
    }
    const char *colon = strchr(uri, ':');
    int size = colon == NULL ? 0 : (int)(colon - uri > 32 ? 32 : colon - uri);
    store_why_set(why,
                  "store \"%.*s:\" is not known here; use memory:, sqlite:PATH or "
                  "postgresql://..",
                  size, uri);
    return NULL;
}

enum err store_create(const char *uri, const struct store_identity *id,
                      struct store **out, struct store_why *why)
{
    const char *rest = NULL;
    *out = NULL;
    store_why_set(why, "%s", "");
    const struct store_edge *edge = edge_of(uri, &rest, why);
    if (edge == NULL)
        return ERR_USAGE;
    if (!store_identity_ok(id)) {
        store_why_set(why,
                      "hub name or number of slots (a power of two up to %d) is not "
                      "allowed",
                      SLOTS_MAX);
        return ERR_USAGE;
    }
    return edge->create(rest, id, out, why);
}

enum err store_open(const char *uri, struct store **out, struct store_why *why)
{
    const char *rest = NULL;
    *out = NULL;
    store_why_set(why, "%s", "");
    const struct store_edge *edge = edge_of(uri, &rest, why);
    if (edge == NULL)
        return ERR_USAGE;
    return edge->open(rest, out, why);
}

void store_set_fault(struct store *s, const struct store_fault *f)
{
    s->fault = f == NULL ? (struct store_fault){NULL, NULL} : *f;
}

enum store_fault_verdict store_fault_at(const struct store *s, const char *effect)
{
    return s->fault.at == NULL ? FP_EFFECT(effect) : s->fault.at(s->fault.context, effect);
}

enum err store_fault_err(enum store_fault_verdict v)
{
    switch (v) {
    case FAULT_NONE:
        return ERR_OK;
    case FAULT_FAIL:
        return ERR_STORE;
    case FAULT_FAIL_HAPPENED:
        return ERR_UNKNOWN;
    case FAULT_FULL:
        return ERR_STORE_FULL;
    case FAULT_IO:
        return ERR_IO;
    }
    return ERR_BUG;
}

enum err store_fault_before(const struct store *s, const char *effect)
{
    enum err e = store_fault_err(store_fault_at(s, effect));
    return e == ERR_UNKNOWN ? ERR_STORE : e;
}

enum err store_fault_answer(const struct store *s, const char *effect)
{
    enum err e = store_fault_err(store_fault_at(s, effect));
    return e == ERR_OK || e == ERR_IO ? e : ERR_UNKNOWN;
}

enum store_outcome store_outcome_of(enum err e)
{
    switch (e) {
    case ERR_OK:
        return STORE_COMMITTED;
    case ERR_STORE_FULL:
        return STORE_FULL;
    case ERR_IO:
    case ERR_CORRUPT:
        return STORE_BROKEN;
    default:
        return STORE_UNKNOWN;
    }
}

bool store_entry_id(struct bytes envelope, struct hash *id)
{
    if (envelope.size <= SIG_BYTES)
        return false;
    *id = hash_context(CTX_ENTRY, envelope.data, envelope.size - SIG_BYTES);
    return true;
}

size_t store_append_check(const struct store_append appends[], size_t count,
                          uint32_t slots)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const struct store_append *a = &appends[i];
        assert(a->slot < slots);
        assert(a->edge_count <= MERKLE_LEVELS_MAX);
        assert(a->checkpoint.size > 0 && a->checkpoint.size <= CHECKPOINT_BYTES_MAX);
        assert(a->old_size <= STORE_INDEX_MAX - STORE_APPEND_RECORDS_MAX);
        assert(a->record_count <= STORE_APPEND_RECORDS_MAX);
        for (size_t k = 0; k < a->record_count; k++) {
            const struct record *r = &a->records[k].r;
            assert(r->slot == a->slot && r->index == a->old_size + k);
            assert(r->position <= STORE_INDEX_MAX);
            assert(r->envelope.size > SIG_BYTES &&
                   r->envelope.size <= ENVELOPE_BYTES_MAX);
        }
        for (size_t k = 0; k < a->tile_count; k++)
            assert(a->tiles[k].level < MERKLE_LEVELS_MAX / TILE_HEIGHT);
        for (size_t k = 0; k < a->item_count; k++) {
            assert(a->items[k].source_slot == a->slot);
            assert(a->items[k].source_index >= a->old_size);
            assert(k == 0 || a->items[k - 1].source_index <= a->items[k].source_index);
        }
        total += a->record_count;
    }
    assert(total <= STORE_APPEND_RECORDS_MAX);
    return total;
}

bool store_identity_ok(const struct store_identity *id)
{
    size_t size = strnlen(id->hub, sizeof id->hub);
    return size > 0 && size < sizeof id->hub && id->slots > 0 && id->slots <= SLOTS_MAX &&
           (id->slots & (id->slots - 1)) == 0;
}
