/* Checkpoints, tiles, bundles and envelopes as files: of a directory or of a web server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/source_edges.h"
#include "ledger/scratch.h"

#define PATH_MAX_BYTES 96
#define LEVEL_ENVELOPES (-2)

struct files {
    struct audit_source base;
    struct audit_files files;
    char where[SLOTS_MAX][AUDIT_WHY_MAX];
};

/* What a read hands out: the bytes and their names. */
struct held {
    struct buf leaves, envelopes;
    char leaves_name[PATH_MAX_BYTES], envelopes_name[PATH_MAX_BYTES];
};

static struct files *files_of(struct audit_source *s)
{
    return (struct files *)(void *)s;
}

static void held_close(struct held *h)
{
    if (!h)
        return;
    buf_close(&h->leaves);
    buf_close(&h->envelopes);
    free(h);
}

static void close_files(struct audit_source *s)
{
    struct files *f = files_of(s);
    f->files.close(f->files.context);
    free(f);
}

static const char *where_of(const struct audit_source *s, uint32_t slot)
{
    return ((const struct files *)(const void *)s)->where[slot];
}

static enum err slots_of(struct audit_source *s, uint32_t out[], size_t *count)
{
    struct files *f = files_of(s);
    return f->files.slots(f->files.context, out, count);
}

static enum err get(struct files *f, uint32_t slot, const char *path, struct buf *out)
{
    f->where[slot][0] = 0;
    return f->files.get(f->files.context, path, out, f->where[slot]);
}

static enum err checkpoint_of(struct audit_source *s, uint32_t slot, struct buf *note)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof(path), "log/%02x/checkpoint", (unsigned)slot);
    return get(files_of(s), slot, path, note);
}

static enum err later_of(struct audit_source *s, uint32_t slot, struct buf *note)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof(path), "log/%02x/checkpoint.later", (unsigned)slot);
    enum err e = get(files_of(s), slot, path, note);
    return e == ERR_OK ? e : checkpoint_of(s, slot, note);
}

static void path_of(char out[PATH_MAX_BYTES], uint32_t slot, int level, uint64_t n,
                    unsigned width)
{
    char tile[64];
    (void)tile_path(tile, sizeof(tile), level == LEVEL_ENVELOPES ? -1 : level, n, width);
    if (level == LEVEL_ENVELOPES)
        snprintf(out, PATH_MAX_BYTES, "log/%02x/envelopes/%s", (unsigned)slot,
                 tile + strlen("tile/entries/"));
    else
        snprintf(out, PATH_MAX_BYTES, "log/%02x/%s", (unsigned)slot, tile);
}

/* A partial file of this width, or the full one. */
static enum err get_either(struct files *f, uint32_t slot, int level, uint64_t n,
                           unsigned width, struct buf *out, char name[PATH_MAX_BYTES])
{
    path_of(name, slot, level, n, width);
    enum err e = get(f, slot, name, out);
    if (e == ERR_NOT_FOUND && width < TILE_HASHES) {
        char whole[PATH_MAX_BYTES];
        path_of(whole, slot, level, n, TILE_HASHES);
        e = get(f, slot, whole, out);
        if (e == ERR_OK)
            memcpy(name, whole, sizeof(whole));
    }
    return e;
}

size_t audit_bundle(struct bytes data, struct bytes out[], size_t max, size_t *end)
{
    size_t at = 0, count = 0;
    while (count < max && data.size - at >= 2) {
        size_t size = (size_t)data.data[at] << 8 | data.data[at + 1];
        if (data.size - at - 2 < size)
            break;
        out[count++] = bytes_of(data.data + at + 2, size);
        at += 2 + size;
    }
    *end = at;
    return count;
}

static enum err broken(struct files *f, uint32_t slot, const char *name, size_t at,
                       const char *what)
{
    snprintf(f->where[slot], AUDIT_WHY_MAX, "%s, byte %zu: %s", name, at, what);
    return ERR_CORRUPT;
}

/* Records [first, width) of one bundle from what was fetched. */
static enum err take(struct files *f, uint32_t slot, uint64_t n, unsigned first,
                     unsigned width, struct held *h, struct audit_record out[], size_t max,
                     size_t *count)
{
    UNINITIALIZED struct bytes leaves[TILE_HASHES];
    UNINITIALIZED struct bytes envelopes[TILE_HASHES];
    size_t leaf_end, envelope_end;
    size_t has_leaves = audit_bundle(bytes_of(h->leaves.data, h->leaves.size), leaves,
                                     width, &leaf_end);
    size_t has_envelopes = audit_bundle(bytes_of(h->envelopes.data, h->envelopes.size),
                                        envelopes, width, &envelope_end);
    if (has_leaves <= first)
        return broken(f, slot, h->leaves_name, leaf_end, "the bundle is cut short here");
    if (has_envelopes <= first)
        return broken(f, slot, h->envelopes_name, envelope_end,
                      "the envelopes are cut short here");
    for (unsigned i = first; i < has_leaves && i < has_envelopes && *count < max; i++) {
        struct audit_record *r = &out[*count];
        if (leaves[i].size != LEAF_BYTES) {
            if (*count)
                break;
            return broken(f, slot, h->leaves_name,
                          (size_t)(leaves[i].data - h->leaves.data) - 2,
                          "an entry of a bundle is not the 80 bytes of a leaf");
        }
        memset(r, 0, sizeof(*r));
        r->has = AUDIT_HAS_LEAF | (envelopes[i].size ? AUDIT_HAS_ENVELOPE : 0);
        memcpy(r->leaf, leaves[i].data, LEAF_BYTES);
        r->r.slot = slot;
        r->r.index = n * TILE_HASHES + i;
        r->r.envelope = envelopes[i];
        r->file = h->envelopes_name;
        r->offset = (uint64_t)(envelopes[i].data - h->envelopes.data);
        (*count)++;
    }
    return ERR_OK;
}

/* A file whose length says more than its records do. */
static enum err check_end(struct files *f, uint32_t slot, const struct buf *b,
                          const char *name, unsigned width)
{
    UNINITIALIZED struct bytes parts[TILE_HASHES + 1];
    size_t end;
    bool partial = strstr(name, ".p/") != NULL;
    size_t want = partial ? width : TILE_HASHES;
    size_t have = audit_bundle(bytes_of(b->data, b->size), parts, want, &end);
    if (have == want && end != b->size)
        return broken(f, slot, name, end, "bytes stand here after the last record");
    return ERR_OK;
}

static enum err read_records(struct audit_source *s, uint32_t slot, uint64_t from,
                             tree_size size, struct audit_record out[], size_t max,
                             size_t *count, void **hold)
{
    struct files *f = files_of(s);
    *count = 0;
    *hold = NULL;
    if (from >= size)
        return ERR_OK;
    uint64_t n = from / TILE_HASHES;
    unsigned first = (unsigned)(from % TILE_HASHES);
    unsigned width = (unsigned)(size / TILE_HASHES > n ? TILE_HASHES : size % TILE_HASHES);
    struct held *h = calloc(1, sizeof(*h));
    if (!h)
        return ERR_MEMORY;
    enum err e = get_either(f, slot, -1, n, width, &h->leaves, h->leaves_name);
    if (e == ERR_OK)
        e = get_either(f, slot, LEVEL_ENVELOPES, n, width, &h->envelopes,
                       h->envelopes_name);
    if (e == ERR_NOT_FOUND) {
        const char *name = h->envelopes_name[0] ? h->envelopes_name : h->leaves_name;
        snprintf(f->where[slot], AUDIT_WHY_MAX, "%s is not there", name);
        e = ERR_CORRUPT;
    }
    if (e == ERR_OK)
        e = take(f, slot, n, first, width, h, out, max, count);
    if (e == ERR_OK)
        e = check_end(f, slot, &h->leaves, h->leaves_name, width);
    if (e == ERR_OK)
        e = check_end(f, slot, &h->envelopes, h->envelopes_name, width);
    if (e != ERR_OK) {
        *count = 0;
        held_close(h);
        return e;
    }
    *hold = h;
    return ERR_OK;
}

static void release(struct audit_source *s, void *hold)
{
    (void)s;
    held_close(hold);
}

static enum err tile_of(struct audit_source *s, uint32_t slot, unsigned level, uint64_t n,
                        unsigned width, struct hash out[TILE_HASHES], struct hash *root)
{
    struct files *f = files_of(s);
    char name[PATH_MAX_BYTES];
    (void)root;
    struct buf b = {0};
    enum err e = get_either(f, slot, (int)level, n, width, &b, name);
    size_t whole = strstr(name, ".p/") ? width : TILE_HASHES;
    if (e == ERR_OK && b.size != whole * HASH_BYTES)
        e = broken(f, slot, name, b.size, "a tile has another length than its name says");
    if (e == ERR_OK)
        memcpy(out, b.data, width * sizeof(out[0]));
    buf_close(&b);
    return e;
}

static const struct audit_source_ops ops = {.where = where_of,
                                            .close = close_files,
                                            .slots = slots_of,
                                            .checkpoint = checkpoint_of,
                                            .later = later_of,
                                            .read = read_records,
                                            .release = release,
                                            .tile = tile_of};

enum err audit_source_files(struct audit_source **out, const char *kind,
                            const struct audit_files *files)
{
    struct files *f = calloc(1, sizeof(*f));
    *out = NULL;
    if (!f) {
        files->close(files->context);
        return ERR_MEMORY;
    }
    f->base.ops = &ops;
    f->base.kind = kind;
    f->files = *files;
    *out = &f->base;
    return ERR_OK;
}
