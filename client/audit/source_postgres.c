/* A hub's own ledger in Postgres. A row's leaf is put together from its columns; the column
 * leaf_hash, which the hub computed when it wrote the row, is handed over beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/source_edges.h"
#include "ledger/store_postgres_raw.h"

struct postgres_source {
    struct audit_source base;
    struct postgres_raw *raw;
    char where[SLOTS_MAX][AUDIT_WHY_MAX];
};

static struct postgres_source *postgres_of(struct audit_source *s)
{
    return (struct postgres_source *)(void *)s;
}

static const char *where_of(const struct audit_source *s, uint32_t slot)
{
    return ((const struct postgres_source *)(const void *)s)->where[slot];
}

static void close_source(struct audit_source *base)
{
    struct postgres_source *s = postgres_of(base);
    postgres_raw_close(s->raw);
    free(s);
}

static enum err told(struct postgres_source *s, uint32_t slot, enum err e,
                     const struct store_why *why)
{
    if (e != ERR_OK)
        snprintf(s->where[slot], AUDIT_WHY_MAX, "%.399s", why->text);
    return e;
}

static enum err slots_of(struct audit_source *base, uint32_t out[], size_t *count)
{
    const struct store_identity *id = postgres_raw_identity(postgres_of(base)->raw);
    for (uint32_t i = 0; i < id->slots; i++)
        out[i] = i;
    *count = id->slots;
    return ERR_OK;
}

static enum err row_of(struct postgres_source *s, uint32_t slot, struct store_slot *row)
{
    struct store_why why = {{0}};
    return told(s, slot, postgres_raw_slot(s->raw, slot, row, &why), &why);
}

static enum err checkpoint_of(struct audit_source *base, uint32_t slot, struct buf *note)
{
    struct store_slot row;
    TRY(row_of(postgres_of(base), slot, &row));
    if (row.checkpoint_size == 0)
        return ERR_NOT_FOUND;
    return buf_add(note, row.checkpoint, row.checkpoint_size) ? ERR_OK : ERR_MEMORY;
}

static enum err edges_of(struct audit_source *base, uint32_t slot, tree_size *size,
                         struct hash out[MERKLE_LEVELS_MAX], size_t *count)
{
    struct store_slot row;
    TRY(row_of(postgres_of(base), slot, &row));
    *size = row.size;
    *count = row.edge_count;
    memcpy(out, row.edges, row.edge_count * sizeof(row.edges[0]));
    return ERR_OK;
}

static enum err identity_of(struct audit_source *base, struct hash *federation,
                            char hub[HUB_NAME_MAX + 1], uint32_t *slots)
{
    const struct store_identity *id = postgres_raw_identity(postgres_of(base)->raw);
    *federation = id->federation;
    memcpy(hub, id->hub, sizeof(id->hub));
    *slots = id->slots;
    return ERR_OK;
}

static void take(struct audit_record *out, const struct postgres_raw_record *raw)
{
    memset(out, 0, sizeof(*out));
    out->file = "table stoa.record";
    out->offset = raw->r.index;
    out->r.slot = raw->r.slot;
    out->r.index = raw->r.index;
    if (!raw->shape_ok) {
        out->damage = "a column has a wrong type, size or range";
        return;
    }
    out->r = raw->r;
    out->has = AUDIT_HAS_LEAF | AUDIT_HAS_POSITION | AUDIT_HAS_HEAD | AUDIT_HAS_CLOCKS |
               AUDIT_HAS_ID | AUDIT_HAS_ACCOUNT | AUDIT_HAS_LEAF_HASH |
               (raw->r.envelope.size > 0 ? AUDIT_HAS_ENVELOPE : 0);
    record_leaf(&raw->r, out->leaf);
    out->account = raw->account;
    out->id = raw->id;
    out->leaf_hash = raw->leaf_hash;
}

static enum err read_records(struct audit_source *base, uint32_t slot, uint64_t from,
                             tree_size size, struct audit_record out[], size_t max,
                             size_t *count, void **hold)
{
    struct postgres_source *s = postgres_of(base);
    struct store_why why = {{0}};
    *count = 0;
    *hold = NULL;
    if (from >= size)
        return ERR_OK;
    max = max > AUDIT_READ_MAX ? AUDIT_READ_MAX : max;
    struct postgres_raw_record *rows = malloc(max * sizeof(*rows));
    if (!rows)
        return ERR_MEMORY;
    enum err e =
        postgres_raw_records(s->raw, slot, from, size, rows, max, count, hold, &why);
    for (size_t i = 0; i < *count; i++)
        take(&out[i], &rows[i]);
    free(rows);
    return told(s, slot, e, &why);
}

static void release(struct audit_source *s, void *hold)
{
    (void)s;
    postgres_raw_release(hold);
}

static enum err tile_of(struct audit_source *base, uint32_t slot, unsigned level,
                        uint64_t n, unsigned width, struct hash out[TILE_HASHES],
                        struct hash *root)
{
    struct postgres_source *s = postgres_of(base);
    struct store_why why = {{0}};
    if (width < TILE_HASHES)
        return ERR_NOT_FOUND; /* partial ones are not kept */
    enum err e = postgres_raw_tile(s->raw, slot, level, n, out, root, &why);
    return e == ERR_NOT_FOUND ? e : told(s, slot, e, &why);
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

enum err audit_source_postgres(struct audit_source **out, const char *uri,
                               char why[AUDIT_WHY_MAX])
{
    struct store_why said = {{0}};
    struct postgres_source *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_MEMORY;
    s->base.ops = &ops;
    s->base.kind = "postgres";
    s->base.own = true;
    s->base.tile_roots = true;
    enum err e = postgres_raw_open(&s->raw, uri, &said);
    if (e != ERR_OK) {
        snprintf(why, AUDIT_WHY_MAX, "%.399s", said.text);
        free(s);
        return e;
    }
    *out = &s->base;
    return ERR_OK;
}
