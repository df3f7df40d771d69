/* One log into the directory: check, write, replace the checkpoint. Nothing of a tree
 * that was not found to give the signed root is ever put where readers see it: they may
 * keep it for a year. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/stoactl_log.h"

#define LEVEL_ENTRIES (-1)
#define LEVEL_ENVELOPES (-2)
#define ENTRIES "tile/entries/"
#define ENTRY_BYTES (2u + LEAF_BYTES)

void log_checkpoint_path(char out[LOG_PATH_MAX], uint32_t slot)
{
    snprintf(out, LOG_PATH_MAX, "log/%02x/checkpoint", (unsigned)slot);
}

static void path_of(char out[LOG_PATH_MAX], uint32_t slot, int level, uint64_t n,
                    unsigned width)
{
    char tile[64];
    bool envelopes = level == LEVEL_ENVELOPES;
    (void)tile_path(tile, sizeof(tile), envelopes ? LEVEL_ENTRIES : level, n, width);
    snprintf(out, LOG_PATH_MAX, "log/%02x/%s%s", (unsigned)slot,
             envelopes ? "envelopes/" : "", envelopes ? tile + strlen(ENTRIES) : tile);
}

/* Checkpoints. */

bool log_note_read(struct log_note *n, const char *text, size_t size)
{
    n->size = 0;
    if (size > sizeof(n->text))
        return false;
    memcpy(n->text, text, size);
    const char *end = memmem(n->text, size, "\n\n", 2);
    if (!end || !checkpoint_parse(&n->says, n->text, (size_t)(end + 1 - n->text)))
        return false;
    n->size = size;
    return true;
}

static bool is_signed(const struct log_scan *s, const struct log_note *n)
{
    struct checkpoint c;
    const struct vkey *v = log_scan_key(s, n->says.size);
    return v && checkpoint_open(&c, n->text, n->size, v) && c.size == n->says.size &&
           hash_equal(&c.root, &n->says.root);
}

static void name_tree(char out[160], const struct checkpoint *c)
{
    char root[2 * HASH_BYTES + 1];
    hex_encode(root, c->root.b, HASH_BYTES);
    snprintf(out, 160, "size %llu root %s", (unsigned long long)c->size, root);
}

static enum err unlike(const struct log_slot *s, enum err e,
                       const struct checkpoint *ours, char *why)
{
    char published[160], ledger[160];
    name_tree(published, &s->old.says);
    name_tree(ledger, ours);
    snprintf(why, LOG_WHY_MAX, "%s: published is %s, the ledger has %s: %s",
             s->scan.origin, published, ledger,
             e == ERR_BEHIND ? "an older one never replaces a newer one"
                             : "both cannot be beginnings of one log");
    return e;
}

static enum err bad_note(const struct log_slot *s, const char *which, char *why)
{
    snprintf(why, LOG_WHY_MAX, "%s: the checkpoint %s is not signed by the log's key",
             s->scan.origin, which);
    return ERR_SIGNATURE;
}

/* Checking. */

static enum err check_old(struct log_slot *s, struct log_source *source,
                          struct pinned *pinned, char *why)
{
    const struct checkpoint *old = &s->old.says, *fresh = &s->fresh.says;
    tree_size size = old->size < fresh->size ? old->size : fresh->size;
    TRY(log_scan_to(&s->scan, source, pinned, size, why));
    if (!is_signed(&s->scan, &s->old))
        return bad_note(s, "in the directory", why);
    if (old->size > fresh->size)
        return unlike(s, ERR_BEHIND, fresh, why);
    struct checkpoint ours = {.size = size, .root = log_tree_root(&s->scan.tree)};
    return hash_equal(&ours.root, &old->root) ? ERR_OK : unlike(s, ERR_FORK, &ours, why);
}

enum err log_slot_check(struct log_slot *s, struct log_source *source,
                        struct pinned *pinned, bool rebuild, char *why)
{
    const struct checkpoint *fresh = &s->fresh.says;
    memset(&s->start, 0, sizeof(s->start));
    if (s->old.size > 0) {
        TRY(check_old(s, source, pinned, why));
        if (!rebuild) { /* from the tile on that was not full */
            s->start = s->scan.tree;
            s->start.size -= s->start.count[0];
            s->start.count[0] = 0;
        }
    }
    TRY(log_scan_to(&s->scan, source, pinned, fresh->size, why));
    struct hash root = log_tree_root(&s->scan.tree);
    if (!hash_equal(&root, &fresh->root)) {
        struct checkpoint ours = {.size = fresh->size, .root = root};
        char name[2][160];
        name_tree(name[0], fresh);
        name_tree(name[1], &ours);
        snprintf(why, LOG_WHY_MAX, "%s: the checkpoint signs %s, the records give %s",
                 s->scan.origin, name[0], name[1]);
        return ERR_CORRUPT;
    }
    return is_signed(&s->scan, &s->fresh) ? ERR_OK : bad_note(s, "to be published", why);
}

bool log_slot_is_new(const struct log_slot *s)
{
    return s->old.size != s->fresh.size ||
           memcmp(s->old.text, s->fresh.text, s->old.size) != 0;
}

/* Writing. */

struct writing {
    struct log_slot *slot;
    struct pinned *pinned;
    struct log_dir *d;
    struct log_tree tree;
    struct buf entries, envelopes; /* of the tile that is being filled */
    bool durable;                  /* each file at once */
    enum err e;
    char *why;
};

static bool put(struct writing *w, int level, uint64_t n, unsigned width,
                const void *data, size_t size)
{
    char path[LOG_PATH_MAX];
    path_of(path, w->slot->scan.slot, level, n, width);
    w->e = log_dir_put(w->d, path, bytes_of(data, size), w->durable, w->why);
    return w->e == ERR_OK;
}

static bool put_bundles(struct writing *w, uint64_t n, unsigned width)
{
    bool ok = put(w, LEVEL_ENTRIES, n, width, w->entries.data, w->entries.size) &&
              put(w, LEVEL_ENVELOPES, n, width, w->envelopes.data, w->envelopes.size);
    buf_clear(&w->entries);
    buf_clear(&w->envelopes);
    return ok;
}

static bool on_full_tile(void *context, unsigned level, uint64_t n,
                         const struct hash hashes[TILE_HASHES])
{
    struct writing *w = context;
    return put(w, (int)level, n, TILE_HASHES, hashes, TILE_HASHES * sizeof(hashes[0])) &&
           (level > 0 || put_bundles(w, n, TILE_HASHES));
}

static bool add_item(struct buf *b, struct bytes item)
{
    uint8_t length[2] = {(uint8_t)(item.size >> 8), (uint8_t)item.size};
    return buf_add(b, length, sizeof(length)) &&
           (item.size == 0 || buf_add(b, item.data, item.size));
}

/* A pinned account's envelope stays in its region: what is written here is public. */
static bool on_record(void *context, const struct log_record *r)
{
    struct writing *w = context;
    struct entry e;
    struct hash leaf = hash_leaf(r->leaf, LEAF_BYTES);
    w->e = log_record_open(&e, r);
    if (w->e != ERR_OK) {
        snprintf(w->why, LOG_WHY_MAX,
                 "the ledger: slot %02x, record %llu changed meanwhile",
                 (unsigned)w->slot->scan.slot, (unsigned long long)r->index);
        return false;
    }
    struct bytes envelope = r->envelope;
    if (pinned_is(w->pinned, entry_account(&e)))
        envelope.size = 0;
    w->e = ERR_MEMORY;
    if (!add_item(&w->entries, bytes_of(r->leaf, LEAF_BYTES)) ||
        !add_item(&w->envelopes, envelope))
        return false;
    w->e = ERR_OK;
    return log_tree_add(&w->tree, &leaf, on_full_tile, w);
}

static bool put_partial(struct writing *w)
{
    for (unsigned level = 0; level < LOG_TILE_LEVELS; level++) {
        uint64_t n = w->tree.size >> (TILE_HEIGHT * (level + 1));
        unsigned width = w->tree.count[level];
        if (width > 0 && !put(w, (int)level, n, width, w->tree.hashes[level],
                              width * sizeof(w->tree.hashes[level][0])))
            return false;
    }
    return w->tree.count[0] == 0 ||
           put_bundles(w, w->tree.size / TILE_HASHES, w->tree.count[0]);
}

enum err log_slot_write(struct log_slot *s, struct log_source *source,
                        struct pinned *pinned, struct log_dir *d, bool durable, char *why)
{
    struct writing w = {.slot = s,
                        .pinned = pinned,
                        .d = d,
                        .tree = s->start,
                        .durable = durable,
                        .why = why};
    tree_size size = s->fresh.says.size;
    enum err e =
        log_source_records(source, s->scan.slot, s->start.size, size, on_record, &w, why);
    if (e == ERR_OK && w.e == ERR_OK && w.tree.size == size && put_partial(&w)) {
        struct hash root = log_tree_root(&w.tree);
        if (!hash_equal(&root, &s->fresh.says.root)) {
            snprintf(why, LOG_WHY_MAX, "%s: the ledger changed while it was read",
                     s->scan.origin);
            w.e = ERR_CORRUPT;
        }
    }
    buf_close(&w.entries);
    buf_close(&w.envelopes);
    return e != ERR_OK ? e : w.e;
}

/* Partial files of tiles that were not full before and are now. One tile more than that:
 * a run that was killed may have left them. */
static void drop_partials(struct log_slot *s, struct log_dir *d)
{
    char path[LOG_PATH_MAX];
    for (int level = LEVEL_ENVELOPES; level < (int)LOG_TILE_LEVELS; level++) {
        unsigned shift = TILE_HEIGHT * (level < 0 ? 1u : (unsigned)level + 1u);
        uint64_t from = s->start.size >> shift, to = s->fresh.says.size >> shift;
        for (uint64_t n = from > 0 ? from - 1 : 0; n < to; n++) {
            path_of(path, s->scan.slot, level, n, TILE_HASHES);
            log_dir_drop_partial(d, path);
        }
    }
}

enum err log_slot_finish(struct log_slot *s, struct log_dir *d, char *why)
{
    char path[LOG_PATH_MAX];
    log_checkpoint_path(path, s->scan.slot);
    TRY(log_dir_put(d, path, bytes_of(s->fresh.text, s->fresh.size), true, why));
    drop_partials(s, d);
    s->old = s->fresh;
    return ERR_OK;
}
