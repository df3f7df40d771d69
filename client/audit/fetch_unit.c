/* One file of a log: from the disk when it is good, else from the source; and what "good"
 * means for tiles, leaves and envelopes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/fetch_internal.h"
#include "ledger/scratch.h"

#define WRONG_TRIES 2 /* a cache on the way may be what is wrong */

static void path_of(const struct fetch_log *l, const struct fetch_want *w, unsigned width,
                    char out[FETCH_PATH_MAX])
{
    if (w->kind == FETCH_TILE)
        fetch_path_tile(out, l->out->slot, w->level, w->n, width);
    else if (w->kind == FETCH_ENTRIES)
        fetch_path_entries(out, l->out->slot, w->n, width);
    else
        fetch_path_envelopes(out, l->out->slot, w->n, width);
}

/* The first `width` of what a full file holds; false: it holds fewer. */
static bool cut(const struct fetch_want *w, struct buf *b)
{
    UNINITIALIZED struct bytes parts[TILE_HASHES];
    size_t end = w->width * sizeof(struct hash);
    if (w->kind != FETCH_TILE &&
        audit_bundle(bytes_of(b->data, b->size), parts, w->width, &end) != w->width)
        return false;
    if (b->size < end)
        return false;
    b->size = end;
    return true;
}

enum err fetch_download(struct fetch_log *l, const struct fetch_want *w, struct buf *out,
                        char why[AUDIT_WHY_MAX])
{
    const struct audit_files *f = l->run->files;
    char path[FETCH_PATH_MAX];
    buf_clear(out);
    path_of(l, w, w->width, path);
    enum err e = f->get(f->context, path, out, why);
    if (e == ERR_NOT_FOUND && w->width < TILE_HASHES) {
        /* A server may drop partial files once the full one is there. */
        path_of(l, w, TILE_HASHES, path);
        buf_clear(out);
        e = f->get(f->context, path, out, why);
    }
    if (e != ERR_OK)
        return e;
    pthread_mutex_lock(&l->run->lock);
    l->run->r->files++;
    l->run->r->bytes += out->size;
    pthread_mutex_unlock(&l->run->lock);
    if (!cut(w, out)) {
        snprintf(why, AUDIT_WHY_MAX, "%s is shorter than its name says", path);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

enum err fetch_file(struct fetch_log *l, const struct fetch_want *w, struct buf *out,
                    char why[AUDIT_WHY_MAX])
{
    char path[FETCH_PATH_MAX], what[AUDIT_WHY_MAX];
    size_t size;
    path_of(l, w, w->width, path);
    enum err e = fetch_read(&l->run->dir, path, out);
    if (e == ERR_OK) {
        size = out->size;
        if (w->good(w->context, bytes_of(out->data, out->size), &size, what) &&
            size == out->size)
            return ERR_OK;
    } else if (e != ERR_NOT_FOUND) {
        snprintf(why, AUDIT_WHY_MAX, "%s cannot be read", path);
        return e;
    }
    for (int i = 0; i < WRONG_TRIES; i++) {
        e = fetch_download(l, w, out, why);
        if (e == ERR_CORRUPT)
            continue;
        if (e != ERR_OK)
            return e;
        size = out->size;
        if (w->good(w->context, bytes_of(out->data, out->size), &size, what) &&
            size == out->size)
            return folder_put(&l->run->dir, path, bytes_of(out->data, out->size),
                                   false, why);
        snprintf(why, AUDIT_WHY_MAX, "%s: %.280s", path, what);
        e = ERR_CORRUPT;
    }
    return e;
}

/* ---- hash tiles ---------------------------------------------------------------------- */

static bool gives(void *context, struct bytes data, size_t *size, char why[AUDIT_WHY_MAX])
{
    const struct hash *above = context;
    struct hash hashes[TILE_HASHES];
    *size = sizeof(hashes);
    if (data.size == sizeof(hashes)) {
        memcpy(hashes, data.data, sizeof(hashes));
        struct hash found = tile_root(hashes, TILE_HASHES);
        if (hash_equal(&found, above))
            return true;
    }
    snprintf(why, AUDIT_WHY_MAX, "the tile does not lead to the signed root");
    return false;
}

static enum err full_tile(struct fetch_log *l, unsigned level, uint64_t n, struct buf *b,
                          char why[AUDIT_WHY_MAX])
{
    struct hash above = l->level[level + 1][n];
    const struct fetch_want w = {.kind = FETCH_TILE,
                                 .level = level,
                                 .n = n,
                                 .width = TILE_HASHES,
                                 .good = gives,
                                 .context = &above};
    return fetch_file(l, &w, b, why);
}

/* ---- leaves and envelopes ------------------------------------------------------------ */

struct bundle {
    unsigned width;
    struct hash hashes[TILE_HASHES]; /* of the leaves, from the tile */
    uint8_t leaves[TILE_HASHES][LEAF_BYTES];
    uint64_t withheld;
};

static bool leaves_good(void *context, struct bytes data, size_t *size,
                        char why[AUDIT_WHY_MAX])
{
    struct bundle *b = context;
    *size = (size_t)b->width * BUNDLE_ENTRY;
    if (data.size != *size) {
        snprintf(why, AUDIT_WHY_MAX, "%zu bytes, not the %zu of %u leaves", data.size, *size,
                 b->width);
        return false;
    }
    for (unsigned i = 0; i < b->width; i++) {
        const uint8_t *at = data.data + (size_t)i * BUNDLE_ENTRY;
        struct hash found = hash_leaf(at + 2, LEAF_BYTES);
        if (at[0] != 0 || at[1] != LEAF_BYTES || !hash_equal(&found, &b->hashes[i])) {
            snprintf(why, AUDIT_WHY_MAX, "leaf %u of the bundle is not the signed one", i);
            return false;
        }
        memcpy(b->leaves[i], at + 2, LEAF_BYTES);
    }
    return true;
}

static bool envelopes_good(void *context, struct bytes data, size_t *size,
                           char why[AUDIT_WHY_MAX])
{
    struct bundle *b = context;
    UNINITIALIZED struct bytes parts[TILE_HASHES];
    size_t count = audit_bundle(data, parts, b->width, size);
    b->withheld = 0;
    if (count != b->width || *size != data.size) {
        snprintf(why, AUDIT_WHY_MAX, "%zu whole envelopes in %zu bytes, not %u", count,
                 data.size, b->width);
        return false;
    }
    for (unsigned i = 0; i < b->width; i++) {
        if (parts[i].size == 0) { /* of a pinned account: its leaf is all there is */
            b->withheld++;
            continue;
        }
        struct hash found = hash_sha256(parts[i].data, parts[i].size);
        if (memcmp(found.b, b->leaves[i], HASH_BYTES) != 0) {
            snprintf(why, AUDIT_WHY_MAX,
                     "envelope %u of the bundle is not the one its leaf names", i);
            return false;
        }
    }
    return true;
}

static enum err bundle(struct fetch_log *l, uint64_t n, struct bundle *b, struct buf *room,
                       char why[AUDIT_WHY_MAX])
{
    b->width = tile_width(l->tree->size, 0, n);
    if (b->width == TILE_HASHES) {
        TRY(full_tile(l, 0, n, room, why));
        memcpy(b->hashes, room->data, sizeof(b->hashes));
    } else {
        memcpy(b->hashes, l->tree->edge[0], b->width * sizeof(b->hashes[0]));
    }
    struct fetch_want w = {.kind = FETCH_ENTRIES,
                           .n = n,
                           .width = b->width,
                           .good = leaves_good,
                           .context = b};
    TRY(fetch_file(l, &w, room, why));
    w.kind = FETCH_ENVELOPES;
    w.good = envelopes_good;
    return fetch_file(l, &w, room, why);
}

/* ---- units --------------------------------------------------------------------------- */

static struct fetch_log *log_of(struct fetch_run *run, uint64_t unit, uint64_t *n)
{
    size_t i = 0;
    while (unit >= run->first[i + 1])
        i++;
    *n = unit - run->first[i];
    return &run->logs[i];
}

static enum fetch_state state_of(enum err e)
{
    return e == ERR_CORRUPT ? FETCH_REFUSED : FETCH_OPEN;
}

void fetch_unit_tile(void *context, uint64_t i)
{
    struct fetch_run *run = context;
    uint64_t n;
    struct fetch_log *l = log_of(run, i, &n);
    struct buf b = {0};
    char why[AUDIT_WHY_MAX] = "";
    if (__atomic_load_n(&l->dead, __ATOMIC_ACQUIRE))
        return;
    enum err e = full_tile(l, run->level, n, &b, why);
    if (e == ERR_OK)
        memcpy(l->level[run->level] + n * TILE_HASHES, b.data, b.size);
    else
        fetch_fail(l, state_of(e), e, why[0] ? why : err_text(e));
    buf_close(&b);
}

void fetch_unit_bundle(void *context, uint64_t i)
{
    struct fetch_run *run = context;
    uint64_t n;
    struct fetch_log *l = log_of(run, i, &n);
    struct buf room = {0};
    char why[AUDIT_WHY_MAX] = "";
    if (__atomic_load_n(&l->dead, __ATOMIC_ACQUIRE))
        return;
    struct bundle *b = malloc(sizeof(*b));
    enum err e = b ? bundle(l, n, b, &room, why) : ERR_MEMORY;
    if (e == ERR_OK) {
        pthread_mutex_lock(&run->lock);
        run->r->done += b->width;
        l->units_done++;
        l->out->withheld += b->withheld;
        pthread_mutex_unlock(&run->lock);
    } else if (e == ERR_NOT_FOUND) {
        fetch_tell(l, FETCH_OPEN, e, why); /* other bundles may be there */
    } else {
        fetch_fail(l, state_of(e), e, why[0] ? why : err_text(e));
    }
    buf_close(&room);
    free(b);
}
