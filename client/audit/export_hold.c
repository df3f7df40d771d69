#include "client/audit/export_hold.h"

#include <stdlib.h>
#include <string.h>

struct held {
    struct audit_source base;
    struct audit_source_ops ops;
    struct audit_source *inner;
    struct buf note[SLOTS_MAX];
};

static struct held *held_of(struct audit_source *s)
{
    return (struct held *)(void *)s;
}

static const char *where_of(const struct audit_source *s, uint32_t slot)
{
    return audit_source_where(((const struct held *)(const void *)s)->inner, slot);
}

static void close_held(struct audit_source *s)
{
    struct held *h = held_of(s);
    h->inner->ops->close(h->inner);
    for (size_t i = 0; i < SLOTS_MAX; i++)
        buf_close(&h->note[i]);
    free(h);
}

static enum err slots_of(struct audit_source *s, uint32_t out[], size_t *count)
{
    struct audit_source *in = held_of(s)->inner;
    return in->ops->slots(in, out, count);
}

static enum err checkpoint_of(struct audit_source *s, uint32_t slot, struct buf *note)
{
    struct held *h = held_of(s);
    if (h->note[slot].size == 0)
        TRY(h->inner->ops->checkpoint(h->inner, slot, &h->note[slot]));
    return buf_add(note, h->note[slot].data, h->note[slot].size) ? ERR_OK : ERR_MEMORY;
}
static enum err later_of(struct audit_source *s, uint32_t slot, struct buf *note)
{
    return audit_source_later(held_of(s)->inner, slot, note);
}

static enum err read_records(struct audit_source *s, uint32_t slot, uint64_t from,
                             tree_size size, struct audit_record out[], size_t max,
                             size_t *count, void **hold)
{
    struct audit_source *in = held_of(s)->inner;
    return in->ops->read(in, slot, from, size, out, max, count, hold);
}

static void release(struct audit_source *s, void *hold)
{
    struct audit_source *in = held_of(s)->inner;
    in->ops->release(in, hold);
}

static enum err tile_of(struct audit_source *s, uint32_t slot, unsigned level, uint64_t n,
                        unsigned width, struct hash out[TILE_HASHES], struct hash *root)
{
    struct audit_source *in = held_of(s)->inner;
    return in->ops->tile(in, slot, level, n, width, out, root);
}

static enum err edges_of(struct audit_source *s, uint32_t slot, tree_size *size,
                         struct hash out[MERKLE_LEVELS_MAX], size_t *count)
{
    struct audit_source *in = held_of(s)->inner;
    return in->ops->edges(in, slot, size, out, count);
}

static enum err identity_of(struct audit_source *s, struct hash *federation,
                            char hub[HUB_NAME_MAX + 1], uint32_t *slots)
{
    struct audit_source *in = held_of(s)->inner;
    return in->ops->identity(in, federation, hub, slots);
}

enum err export_hold(struct audit_source **out, struct audit_source *inner)
{
    struct held *h = calloc(1, sizeof(*h));
    *out = NULL;
    if (!h) {
        inner->ops->close(inner);
        return ERR_MEMORY;
    }
    h->base = *inner;
    h->inner = inner;
    h->ops = (struct audit_source_ops){.where = where_of,
                                       .close = close_held,
                                       .slots = slots_of,
                                       .checkpoint = checkpoint_of,
                                       .later = later_of,
                                       .read = read_records,
                                       .release = release,
                                       .tile = inner->ops->tile ? tile_of : NULL,
                                       .edges = inner->ops->edges ? edges_of : NULL,
                                       .identity = inner->ops->identity ? identity_of : NULL};
    h->base.ops = &h->ops;
    *out = &h->base;
    return ERR_OK;
}
