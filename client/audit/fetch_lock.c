/* Which checkpoint a run copies, and whether it goes on from those seen before. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/fetch_evidence.h"
#include "client/audit/fetch_internal.h"

struct seen {
    struct buf note;
    bool known;
    struct policy_verdict v;
};

static bool is_of_slot(const char *origin, uint32_t slot)
{
    char end[8];
    size_t n = strlen(origin);
    snprintf(end, sizeof(end), "/%02x", (unsigned)slot);
    return n > 3 && strcmp(origin + n - 3, end) == 0;
}

static void check_note(const struct fetch_run *run, uint32_t slot, struct seen *s)
{
    policy_check(run->o->policy, (const char *)s->note.data, s->note.size, &s->v);
    s->known = s->v.note == NOTE_OK && is_of_slot(s->v.checkpoint.origin, slot);
}

/* A note that an earlier run wrote. One that does not verify under this policy is of another
 * log, or damaged: it is not ours to overwrite. */
static enum err read_seen(struct fetch_log *l, const char *path, struct seen *s,
                          char why[AUDIT_WHY_MAX])
{
    enum err e = fetch_read(&l->run->dir, path, &s->note);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e != ERR_OK) {
        snprintf(why, AUDIT_WHY_MAX, "%s cannot be read", path);
        return e;
    }
    check_note(l->run, l->out->slot, s);
    if (s->known)
        return ERR_OK;
    snprintf(why, AUDIT_WHY_MAX,
             "%s, kept by an earlier run, does not verify under this policy; fetch into "
             "another directory, or move the file away",
             path);
    return ERR_SIGNATURE;
}

static enum err ask_note(struct fetch_log *l, struct seen *s, char why[AUDIT_WHY_MAX])
{
    struct fetch_run *run = l->run;
    char path[FETCH_PATH_MAX];
    snprintf(path, sizeof(path), "log/%02x/checkpoint", (unsigned)l->out->slot);
    TRY(run->files->get(run->files->context, path, &s->note, why));
    check_note(run, l->out->slot, s);
    const char *what = NULL;
    if (s->v.note == NOTE_MALFORMED)
        what = "is not a checkpoint";
    else if (s->v.note == NOTE_UNKNOWN)
        what = "is not signed by a log of the policy";
    else if (s->v.note == NOTE_BAD)
        what = "carries a signature of a key of the policy that does not verify";
    else if (!s->known)
        what = "is signed, but is of another slot";
    else if (!s->v.quorum)
        what = "does not have the cosignatures that the policy's quorum asks for";
    else if (s->v.checkpoint.size > FETCH_SIZE_MAX)
        what = "is of a log larger than this program copies";
    if (!what)
        return ERR_OK;
    snprintf(why, AUDIT_WHY_MAX, "%s %s", path, what);
    return ERR_SIGNATURE;
}

static enum err edge_tile(void *context, unsigned level, uint64_t n, unsigned width,
                          struct hash out[TILE_HASHES])
{
    struct fetch_log *l = context;
    const struct fetch_want w = {
        .kind = FETCH_TILE, .level = level, .n = n, .width = width};
    char path[FETCH_PATH_MAX], why[AUDIT_WHY_MAX];
    struct buf b = {0};
    enum err e = ERR_NOT_FOUND;
    fetch_path_tile(path, l->out->slot, level, n, width);
    if (!l->anew)
        e = fetch_read(&l->run->dir, path, &b);
    if (e != ERR_OK || b.size != width * HASH_BYTES)
        e = fetch_download(l, &w, &b, why);
    if (e == ERR_OK)
        memcpy(out, b.data, width * HASH_BYTES);
    else
        snprintf(l->out->why, sizeof(l->out->why), "%s", why);
    buf_close(&b);
    return e;
}

/* The tiles at the right edge give the root: from here on every hash of them counts. */
static enum err open_tree(struct fetch_log *l, const struct checkpoint *c,
                          char why[AUDIT_WHY_MAX])
{
    struct fetch_tree *t = calloc(1, sizeof(*t));
    if (!t)
        return ERR_MEMORY;
    t->size = c->size;
    t->root = c->root;
    t->tile = edge_tile;
    t->context = l;
    enum err e = ERR_CORRUPT;
    for (int i = 0; i < 3 && e == ERR_CORRUPT; i++) {
        l->anew = i > 0;
        e = fetch_tree_open(t);
    }
    if (e == ERR_CORRUPT)
        snprintf(why, AUDIT_WHY_MAX,
                 "the tiles at the end of slot %02x do not give the signed root of size %" PRIu64,
                 (unsigned)l->out->slot, c->size);
    else if (e != ERR_OK)
        snprintf(why, AUDIT_WHY_MAX, "%.380s", l->out->why);
    l->out->why[0] = 0;
    l->tree = t;
    return e;
}

static enum err write_edges(struct fetch_log *l, char why[AUDIT_WHY_MAX])
{
    const struct fetch_tree *t = l->tree;
    struct buf b = {0};
    enum err e = ERR_OK;
    for (unsigned i = 0; i < t->levels && e == ERR_OK; i++) {
        char path[FETCH_PATH_MAX];
        uint64_t n = fetch_tree_nodes(t->size, i) / TILE_HASHES;
        unsigned width = tile_width(t->size, i, n);
        size_t size = width * sizeof(struct hash);
        if (width == 0)
            continue;
        fetch_path_tile(path, l->out->slot, i, n, width);
        if (fetch_read(&l->run->dir, path, &b) == ERR_OK && b.size == size &&
            memcmp(b.data, t->edge[i], size) == 0)
            continue;
        e = folder_put(&l->run->dir, path, bytes_of(t->edge[i], size), false, why);
    }
    buf_close(&b);
    return e;
}

/* Is `old` a beginning of what is copied? Else both are written down. */
static enum err check_beginning(struct fetch_log *l, const struct seen *old,
                                char why[AUDIT_WHY_MAX])
{
    struct hash root;
    const struct checkpoint *c = &old->v.checkpoint;
    if (!old->known || (c->size == l->tree->size && hash_equal(&c->root, &l->tree->root)))
        return ERR_OK;
    enum err e = fetch_tree_root(l->tree, c->size, &root);
    if (e == ERR_CORRUPT) /* a full tile on the disk was bad: once more without it */
        l->anew = true, e = fetch_tree_root(l->tree, c->size, &root);
    if (e != ERR_OK) {
        snprintf(why, AUDIT_WHY_MAX,
                 "slot %02x: tiles that tell whether size %" PRIu64 " is a beginning of size "
                 "%" PRIu64 " are missing or wrong",
                 (unsigned)l->out->slot, c->size, l->tree->size);
        return e;
    }
    if (hash_equal(&root, &c->root))
        return ERR_OK;
    snprintf(why, AUDIT_WHY_MAX,
             "FORK of %.180s: the signed tree of size %" PRIu64
             " is no beginning of the signed tree of size %" PRIu64,
             c->origin, c->size, l->tree->size);
    const struct fetch_evidence_of pair = {
        .folder = FETCH_EVIDENCE "/",
        .log = &l->run->o->policy->logs[old->v.log].key,
        .small = bytes_of(old->note.data, old->note.size),
        .large = bytes_of(l->note.data, l->note.size),
        .small_size = c->size,
        .tree = l->tree};
    e = fetch_evidence_write(&l->run->dir, &pair, l->out->evidence);
    return e == ERR_OK ? ERR_FORK : e;
}

static enum err fill_levels(struct fetch_log *l)
{
    const struct fetch_tree *t = l->tree;
    for (unsigned i = 1; i < t->levels; i++) {
        uint64_t count = fetch_tree_nodes(t->size, i), full = count / TILE_HASHES;
        l->level[i] = malloc((size_t)count * sizeof(struct hash));
        if (!l->level[i])
            return ERR_MEMORY;
        memcpy(l->level[i] + full * TILE_HASHES, t->edge[i],
               (size_t)(count % TILE_HASHES) * sizeof(struct hash));
    }
    return ERR_OK;
}

static enum err decide(struct fetch_log *l, struct seen *fresh, struct seen *kept,
                       struct seen *seen, char why[AUDIT_WHY_MAX])
{
    struct seen *all[3] = {fresh, kept, seen};
    struct seen *best = NULL;
    char path[FETCH_PATH_MAX];
    for (size_t i = 0; i < 3; i++)
        if (all[i]->known &&
            (!best || all[i]->v.checkpoint.size > best->v.checkpoint.size))
            best = all[i];
    if (!best) /* not reached: `fresh` is known */
        return ERR_BUG;
    const struct checkpoint *c = &best->v.checkpoint;
    snprintf(l->out->origin, sizeof(l->out->origin), "%s", c->origin);
    l->out->size = c->size;
    l->out->before = kept->known ? kept->v.checkpoint.size : 0;
    l->seen_size = seen->known ? seen->v.checkpoint.size : 0;
    l->behind = fresh->v.checkpoint.size < c->size;
    if (!buf_add(&l->note, best->note.data, best->note.size))
        return ERR_MEMORY;
    TRY(open_tree(l, c, why));
    for (size_t i = 0; i < 3; i++)
        TRY(check_beginning(l, all[i], why));
    snprintf(path, sizeof(path), FETCH_SEEN, (unsigned)l->out->slot);
    if (best == fresh)
        TRY(folder_put(&l->run->dir, path, bytes_of(l->note.data, l->note.size), true,
                            why));
    TRY(write_edges(l, why));
    return fill_levels(l);
}

static enum fetch_state state_of(enum err e)
{
    switch (e) {
    case ERR_FORK:
        return FETCH_FORK;
    case ERR_SIGNATURE:
    case ERR_CORRUPT:
        return FETCH_REFUSED;
    default:
        return FETCH_OPEN;
    }
}

void fetch_lock_on(void *context, uint64_t i)
{
    struct fetch_run *run = context;
    struct fetch_log *l = &run->logs[i];
    struct seen *s = calloc(3, sizeof(*s)); /* fresh, kept, seen */
    char path[FETCH_PATH_MAX], why[AUDIT_WHY_MAX] = "";
    enum err e = s ? ERR_OK : ERR_MEMORY;
    snprintf(path, sizeof(path), "log/%02x/checkpoint", (unsigned)l->out->slot);
    if (e == ERR_OK)
        e = read_seen(l, path, &s[1], why);
    snprintf(path, sizeof(path), FETCH_SEEN, (unsigned)l->out->slot);
    if (e == ERR_OK)
        e = read_seen(l, path, &s[2], why);
    if (e == ERR_OK) {
        e = ask_note(l, &s[0], why);
        if (e == ERR_NOT_FOUND) {
            fetch_fail(l, FETCH_MISSING, e, why);
            goto out;
        }
    }
    if (e == ERR_OK)
        e = decide(l, &s[0], &s[1], &s[2], why);
    if (e != ERR_OK)
        fetch_fail(l, state_of(e), e, why[0] ? why : err_text(e));
out:
    for (size_t k = 0; s && k < 3; k++)
        buf_close(&s[k].note);
    free(s);
}
