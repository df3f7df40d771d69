/* A hub's own SQLite ledger. One handle a slot, so that slots are read at the same time. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/source_edges.h"
#include "ledger/store_raw.h"

struct sqlite_source {
    struct audit_source base;
    char *path;
    struct store_identity identity;
    struct store_raw *slot[SLOTS_MAX];
    char where[SLOTS_MAX][AUDIT_WHY_MAX];
};

struct held {
    uint8_t *bytes; /* envelopes, back to back */
    size_t size, cap;
    char name[32];
};

static struct sqlite_source *sqlite_of(struct audit_source *s)
{
    return (struct sqlite_source *)(void *)s;
}

static const char *where_of(const struct audit_source *s, uint32_t slot)
{
    return ((const struct sqlite_source *)(const void *)s)->where[slot];
}

static void close_source(struct audit_source *base)
{
    struct sqlite_source *s = sqlite_of(base);
    for (size_t i = 0; i < SLOTS_MAX; i++)
        store_raw_close(s->slot[i]);
    free(s->path);
    free(s);
}

static enum err handle(struct sqlite_source *s, uint32_t slot)
{
    struct store_why why = {{0}};
    if (s->slot[slot])
        return ERR_OK;
    enum err e = store_raw_open(&s->slot[slot], s->path, &why);
    if (e != ERR_OK)
        snprintf(s->where[slot], AUDIT_WHY_MAX, "%.399s", why.text);
    return e;
}

static enum err told(struct sqlite_source *s, uint32_t slot, enum err e)
{
    if (e != ERR_OK)
        snprintf(s->where[slot], AUDIT_WHY_MAX, "%.399s",
                 s->slot[slot] ? store_raw_problem(s->slot[slot]) : err_text(e));
    return e;
}

static enum err slots_of(struct audit_source *base, uint32_t out[], size_t *count)
{
    struct sqlite_source *s = sqlite_of(base);
    for (uint32_t i = 0; i < s->identity.slots; i++)
        out[i] = i;
    *count = s->identity.slots;
    return ERR_OK;
}

static enum err checkpoint_of(struct audit_source *base, uint32_t slot, struct buf *note)
{
    struct sqlite_source *s = sqlite_of(base);
    struct store_slot row;
    TRY(handle(s, slot));
    TRY(told(s, slot, store_raw_slot(s->slot[slot], slot, &row)));
    if (row.checkpoint_size == 0)
        return ERR_NOT_FOUND;
    return buf_add(note, row.checkpoint, row.checkpoint_size) ? ERR_OK : ERR_MEMORY;
}

static enum err edges_of(struct audit_source *base, uint32_t slot, tree_size *size,
                         struct hash out[MERKLE_LEVELS_MAX], size_t *count)
{
    struct sqlite_source *s = sqlite_of(base);
    struct store_slot row;
    TRY(handle(s, slot));
    TRY(told(s, slot, store_raw_slot(s->slot[slot], slot, &row)));
    *size = row.size;
    *count = row.edge_count;
    memcpy(out, row.edges, row.edge_count * sizeof(row.edges[0]));
    return ERR_OK;
}

static enum err identity_of(struct audit_source *base, struct hash *federation,
                            char hub[HUB_NAME_MAX + 1], uint32_t *slots)
{
    struct sqlite_source *s = sqlite_of(base);
    *federation = s->identity.federation;
    memcpy(hub, s->identity.hub, sizeof(s->identity.hub));
    *slots = s->identity.slots;
    return ERR_OK;
}

static bool keep(struct held *h, struct bytes e)
{
    if (e.size > h->cap - h->size) {
        size_t cap = (h->cap + e.size) * 2;
        uint8_t *bytes = realloc(h->bytes, cap);
        if (!bytes)
            return false;
        h->bytes = bytes;
        h->cap = cap;
    }
    if (e.size)
        memcpy(h->bytes + h->size, e.data, e.size);
    h->size += e.size;
    return true;
}

static void take(struct audit_record *out, uint32_t slot,
                 const struct store_raw_record *raw)
{
    memset(out, 0, sizeof(*out));
    out->r.slot = slot;
    out->r.index = raw->row;
    out->offset = raw->row;
    if (!raw->shape_ok) {
        out->damage = "a column has a wrong type or size";
        return;
    }
    if (!raw->sum_ok)
        out->damage = "the row's checksum does not fit its columns";
    out->has = AUDIT_HAS_LEAF | AUDIT_HAS_POSITION |
               (raw->envelope.size ? AUDIT_HAS_ENVELOPE : 0) |
               (raw->has_account ? AUDIT_HAS_ACCOUNT : 0);
    memcpy(out->leaf, raw->leaf, LEAF_BYTES);
    out->account = raw->account;
    out->r.position = raw->position;
    out->r.envelope.size = raw->envelope.size;
}

static enum err read_records(struct audit_source *base, uint32_t slot, uint64_t from,
                             tree_size size, struct audit_record out[], size_t max,
                             size_t *count, void **hold)
{
    struct sqlite_source *s = sqlite_of(base);
    struct store_raw_record raw;
    enum err e = ERR_OK;
    *count = 0;
    *hold = NULL;
    TRY(handle(s, slot));
    if (from >= size)
        return ERR_OK;
    struct held *h = calloc(1, sizeof(*h));
    if (!h)
        return ERR_MEMORY;
    snprintf(h->name, sizeof(h->name), "table record_%u", (unsigned)slot);
    while (*count < max && from < size) {
        e = store_raw_record(s->slot[slot], slot, from, &raw);
        if (e != ERR_OK || raw.row >= size)
            break;
        take(&out[*count], slot, &raw);
        out[*count].file = h->name;
        if (!keep(h, raw.envelope)) {
            e = ERR_MEMORY;
            break;
        }
        (*count)++;
        from = raw.row + 1;
    }
    size_t at = 0;
    for (size_t i = 0; i < *count; i++) {
        out[i].r.envelope.data = h->bytes ? h->bytes + at : NULL;
        at += out[i].r.envelope.size;
    }
    if (e == ERR_NOT_FOUND || *count > 0)
        e = ERR_OK; /* what is damaged further on is told by the next call */
    if (e != ERR_OK || *count == 0) {
        free(h->bytes);
        free(h);
        return told(s, slot, e);
    }
    *hold = h;
    return ERR_OK;
}

static void release(struct audit_source *s, void *hold)
{
    struct held *h = hold;
    (void)s;
    if (h)
        free(h->bytes);
    free(h);
}

static enum err tile_of(struct audit_source *base, uint32_t slot, unsigned level,
                        uint64_t n, unsigned width, struct hash out[TILE_HASHES],
                        struct hash *root)
{
    struct sqlite_source *s = sqlite_of(base);
    bool sum_ok;
    TRY(handle(s, slot));
    if (width < TILE_HASHES)
        return ERR_NOT_FOUND; /* partial ones are not kept */
    enum err e = store_raw_tile(s->slot[slot], slot, level, n, out, root, &sum_ok);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return told(s, slot, e);
    TRY(e);
    if (!sum_ok) {
        snprintf(s->where[slot], AUDIT_WHY_MAX,
                 "table tile, level %u, tile %llu: its checksum does not fit its hashes", level,
                 (unsigned long long)n);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static const struct audit_source_ops ops = {.where = where_of,
                                            .close = close_source,
                                            .slots = slots_of,
                                            .checkpoint = checkpoint_of,
                                            .read = read_records,
                                            .release = release,
                                            .tile = tile_of,
                                            .edges = edges_of,
                                            .identity = identity_of};

enum err audit_source_sqlite(struct audit_source **out, const char *path,
                             char why[AUDIT_WHY_MAX])
{
    struct store_why said = {{0}};
    struct store_raw *raw = NULL;
    struct sqlite_source *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_MEMORY;
    s->base.ops = &ops;
    s->base.kind = "sqlite";
    s->base.own = true;
    s->base.tile_roots = true;
    s->path = strdup(path);
    enum err e = s->path ? store_raw_open(&raw, path, &said) : ERR_MEMORY;
    if (e == ERR_OK) {
        e = store_raw_identity(raw, &s->identity);
        if (e != ERR_OK)
            snprintf(why, AUDIT_WHY_MAX, "%.150s: %.200s", path, store_raw_problem(raw));
    } else {
        snprintf(why, AUDIT_WHY_MAX, "%.399s", said.text);
    }
    store_raw_close(raw);
    if (e != ERR_OK) {
        close_source(&s->base);
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    *out = &s->base;
    return ERR_OK;
}
