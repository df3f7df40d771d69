/* What an auditor keeps between runs, in a folder of his own: the states every slot has reached
 * (one file, replaced whole, with a checksum), and every checkpoint ever seen.
 *
 *     state            "stoa-audit-state/3" LF, then per slot one MessagePack array, then SHA-256
 *     seen/<hex of H(origin)>/<size>-<root's first 16 hex digits>
 *
 * The folder is trusted as the auditor's own disk is; the checksum is against damage. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/audit/engine.h"
#include "crypto/context.h"
#include "ledger/mp.h"
#include "ledger/scratch.h"

#define STATE_FIRST "stoa-audit-state/3\n"
#define STATE_NAME "state"
#define PATH_ROOM 640
#define SEEN_NAME 48   /* size, dash, start of the root, zero */
#define SEEN_KEPT 1024 /* checkpoints of one tree: then the older half go */
#define SLOT_FIELDS 15
#define SLOT_ROOM 4096 /* of a slot's fields without hub account, accounts, items and tiles */
#define STATE_BYTES_MAX (UINT64_C(8) << 30)

/* ---- files -----------------------------------------------------------------------------
 */

enum err audit_folder(const char *path, char why[AUDIT_WHY_MAX])
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return ERR_OK;
    snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", path, strerror(errno));
    return ERR_FILE;
}

enum err audit_write(const char *dir, const char *name, const void *data, size_t size,
                     char why[AUDIT_WHY_MAX])
{
    char path[PATH_ROOM], temporary[PATH_ROOM + 8];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof(path) - 8) {
        snprintf(why, AUDIT_WHY_MAX, "path is too long: %.200s", dir);
        return ERR_FILE;
    }
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t done = 0;
    bool ok = fd >= 0;
    while (ok && done < size) {
        ssize_t wrote = write(fd, (const uint8_t *)data + done, size - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        ok = wrote > 0;
        done += ok ? (size_t)wrote : 0;
    }
    ok = ok && fsync(fd) == 0;
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    ok = ok && rename(temporary, path) == 0;
    int folder = ok ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder >= 0) {
        ok = fsync(folder) == 0;
        close(folder);
    }
    if (ok)
        return ERR_OK;
    snprintf(why, AUDIT_WHY_MAX, "%.300s: %s", path, strerror(errno));
    (void)unlink(temporary);
    return errno == ENOSPC ? ERR_STORE_FULL : ERR_FILE;
}

/* ---- checkpoints seen -------------------------------------------------------------------
 */

static bool seen_folder(const struct slot_audit *s, char out[PATH_ROOM])
{
    char hex[2 * HASH_BYTES + 1];
    if (!s->a->o->state_dir || !s->judged)
        return false;
    struct hash h = hash_sha256(s->checkpoint.origin, strlen(s->checkpoint.origin));
    hex_encode(hex, h.b, HASH_BYTES);
    int n = snprintf(out, PATH_ROOM, "%s/seen/%s", s->a->o->state_dir, hex);
    return n > 0 && n < PATH_ROOM - 64;
}

static int by_size(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return memcmp(x->root.b, y->root.b, HASH_BYTES);
}

enum err seen_add(struct slot_audit *s, struct bytes note, const struct checkpoint *c)
{
    for (size_t i = 0; i < s->seen_count; i++)
        if (s->seen[i].size == c->size && hash_equal(&s->seen[i].root, &c->root))
            return ERR_OK;
    if (s->seen_count == AUDIT_SEEN_MAX)
        return ERR_LIMIT;
    struct seen *list = realloc(s->seen, (s->seen_count + 1) * sizeof(*list));
    if (!list)
        return ERR_MEMORY;
    s->seen = list;
    struct seen *x = &list[s->seen_count];
    *x = (struct seen){.size = c->size, .root = c->root, .note_size = note.size};
    x->note = malloc(note.size + 1);
    if (!x->note)
        return ERR_MEMORY;
    memcpy(x->note, note.data, note.size);
    x->note[note.size] = 0;
    s->seen_count++;
    qsort(list, s->seen_count, sizeof(*list), by_size);
    return ERR_OK;
}

enum err seen_note(struct slot_audit *s, struct bytes note)
{
    struct checkpoint c;
    if (!checkpoint_open(&c, (const char *)note.data, note.size, &s->log->key))
        return ERR_OK;
    enum err e = seen_add(s, note, &c);
    return e == ERR_LIMIT ? ERR_OK : e;
}

static enum err seen_file(struct slot_audit *s, const char *path)
{
    char room[CHECKPOINT_BYTES_MAX * 16];
    FILE *f = fopen(path, "rbe");
    if (!f)
        return ERR_OK;
    size_t n = fread(room, 1, sizeof(room), f);
    fclose(f);
    return seen_note(s, bytes_of(room, n));
}

enum err seen_load(struct slot_audit *s)
{
    char folder[PATH_ROOM], path[PATH_ROOM + 256];
    enum err e = ERR_OK;
    if (!s->judged)
        return ERR_OK;
    for (size_t i = 0; i < s->a->o->checkpoint_count && e == ERR_OK; i++)
        e = seen_note(s, s->a->o->checkpoints[i]);
    DIR *d = seen_folder(s, folder) ? opendir(folder) : NULL;
    if (!d)
        return e;
    for (struct dirent *f = readdir(d); f && e == ERR_OK; f = readdir(d)) {
        if (f->d_name[0] == '.' || strstr(f->d_name, ".tmp"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, f->d_name);
        e = seen_file(s, path);
    }
    closedir(d);
    return e;
}

static void seen_name(const struct seen *c, char out[SEEN_NAME])
{
    char hex[2 * HASH_BYTES + 1];
    hex_encode(hex, c->root.b, 8);
    snprintf(out, SEEN_NAME, "%020" PRIu64 "-%.16s", c->size, hex);
}

/* When all that was seen is one tree, a later tree that is beside an old checkpoint is beside the
 * newer ones too: the oldest go, so that a watch of years does not fill the folder. */
static void seen_thin(struct slot_audit *s, const char *folder)
{
    char path[PATH_ROOM + SEEN_NAME + 1], name[SEEN_NAME];
    size_t drop = s->seen_count > SEEN_KEPT ? s->seen_count - SEEN_KEPT / 2 : 0;
    for (size_t i = 0; i < drop; i++) {
        seen_name(&s->seen[i], name);
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        (void)unlink(path);
        free(s->seen[i].note);
    }
    if (drop)
        memmove(s->seen, s->seen + drop, (s->seen_count - drop) * sizeof(*s->seen));
    s->seen_count -= drop;
}

static enum err seen_save_slot(struct slot_audit *s, const char *folder,
                               char why[AUDIT_WHY_MAX])
{
    char path[PATH_ROOM + SEEN_NAME + 1], name[SEEN_NAME];
    enum err e = seen_add(s, bytes_of(s->note.data, s->note.size), &s->checkpoint);
    if (e != ERR_OK && e != ERR_LIMIT)
        return e;
    TRY(audit_folder(folder, why));
    for (size_t i = 0; i < s->seen_count; i++) {
        const struct seen *c = &s->seen[i];
        seen_name(c, name);
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (access(path, F_OK) != 0)
            TRY(audit_write(folder, name, c->note, c->note_size, why));
    }
    return ERR_OK;
}

/* The checkpoint of this run and those brought to it join the ones seen, whatever was found. */
enum err seen_save(struct audit *a, char why[AUDIT_WHY_MAX])
{
    char folder[PATH_ROOM];
    TRY(audit_folder(a->o->state_dir, why));
    snprintf(folder, sizeof(folder), "%s/seen", a->o->state_dir);
    TRY(audit_folder(folder, why));
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (!seen_folder(s, folder))
            continue;
        TRY(seen_save_slot(s, folder, why));
        if (audit_exit(a->report) != 1 && s->index == s->checkpoint.size)
            seen_thin(s, folder);
    }
    return ERR_OK;
}

void channels_clear(struct slot_audit *s)
{
    for (size_t k = 0; k < SLOTS_MAX; k++) {
        struct channel_end *c = &s->channels[k];
        item_list_close(&c->sent);
        item_list_close(&c->settled);
        c->beyond = UINT64_MAX;
        c->beyond_last = 0;
    }
}

/* All checkpoints seen up to this size, the one of this run too: those that a state was held
 * against. */
static struct hash seen_judged(const struct slot_audit *s, tree_size size)
{
    struct hash all = {{0}};
    for (size_t i = 0; i < s->seen_count && s->seen[i].size <= size; i++) {
        const struct hash_part parts[] = {{all.b, HASH_BYTES},
                                          {&s->seen[i].size, sizeof(s->seen[i].size)},
                                          {s->seen[i].root.b, HASH_BYTES}};
        all = hash_parts(parts, 3);
    }
    return all;
}

/* ---- saving states ----------------------------------------------------------------------
 */

static enum err reserve(struct buf *b, size_t more, struct mp_writer *w)
{
    if (!buf_reserve(b, more))
        return ERR_MEMORY;
    *w = mp_writer_of(b->data + b->size, b->cap - b->size);
    return ERR_OK;
}

static enum err save_account(struct buf *b, const struct account *a)
{
    struct mp_writer w;
    size_t size = account_encode_size(a);
    TRY(reserve(b, size + 8, &w));
    /* bin32 header by hand: the state is written in place behind it */
    uint8_t head[5] = {0xc6, (uint8_t)(size >> 24), (uint8_t)(size >> 16),
                       (uint8_t)(size >> 8), (uint8_t)size};
    size_t skip = size > UINT16_MAX ? 5 : size > UINT8_MAX ? 3 : 2;
    uint8_t short_head[3] = {size > UINT8_MAX ? 0xc5 : 0xc4, (uint8_t)(size >> 8),
                             (uint8_t)size};
    if (skip == 2)
        short_head[1] = (uint8_t)size;
    memcpy(b->data + b->size, skip == 5 ? head : short_head, skip);
    w = mp_writer_of(b->data + b->size + skip, b->cap - b->size - skip);
    account_encode(&w, a);
    if (w.full)
        return ERR_BUG;
    b->size += skip + w.size;
    return ERR_OK;
}

/* What of a channel end is not yet matched by the other: from `base` on. */
static enum err save_list(struct audit *a, struct buf *b, const struct item_list *l,
                          uint64_t base)
{
    struct mp_writer w;
    TRY(reserve(b, 64, &w));
    mp_uint(&w, base);
    mp_uint(&w, l->count - base);
    b->size += w.size;
    for (uint64_t at = base; at < l->count; at++) {
        struct hash h;
        TRY(item_at(&a->items, l, at, &h));
        if (!buf_add(b, h.b, HASH_BYTES))
            return ERR_MEMORY;
    }
    return ERR_OK;
}

/* How many items of a channel were compared, in this run or an earlier one: no others are
 * forgotten. */
static uint64_t matched(const struct audit *a, const struct slot_audit *s, uint32_t other,
                        bool sent)
{
    if (!a->compared)
        return sent ? s->channels[other].sent.base : s->channels[other].settled.base;
    for (size_t i = 0; i < a->count; i++) {
        const struct slot_audit *o = &a->slots[i];
        if (o->slot != other)
            continue;
        uint64_t here = sent ? s->channels[other].sent.count : s->channels[other].settled.count;
        uint64_t there =
            sent ? o->channels[s->slot].settled.count : o->channels[s->slot].sent.count;
        return here < there ? here : there;
    }
    return 0;
}

static enum err save_channels(struct audit *a, struct slot_audit *s, struct buf *b)
{
    for (size_t i = 0; i < a->count; i++) {
        uint32_t other = a->slots[i].slot;
        struct channel_end *c = &s->channels[other];
        TRY(save_list(a, b, &c->sent, matched(a, s, other, true)));
        TRY(save_list(a, b, &c->settled, matched(a, s, other, false)));
        struct mp_writer w;
        TRY(reserve(b, 64, &w));
        mp_uint(&w, c->beyond);
        mp_uint(&w, c->beyond_last);
        b->size += w.size;
    }
    return ERR_OK;
}

static enum err save_slot(struct audit *a, struct slot_audit *s, struct buf *b)
{
    struct hash edges[MERKLE_LEVELS_MAX];
    struct mp_writer w;
    size_t hub = hub_account_encode_size(&s->p.hub);
    size_t tiles = 0;
    for (unsigned i = 0; i < TILE_LEVELS; i++)
        tiles += s->tile_count[i] * HASH_BYTES + 32;
    TRY(reserve(b, SLOT_ROOM + tiles + 2 * hub + sizeof(edges) + s->note.size, &w));
    size_t count = frontier_edges(&s->tree, edges);
    uint8_t *room = malloc(hub);
    if (!room)
        return ERR_MEMORY;
    struct mp_writer h = mp_writer_of(room, hub);
    hub_account_encode(&h, &s->p.hub);
    mp_array(&w, SLOT_FIELDS);
    mp_uint(&w, s->slot);
    mp_str(&w, s->checkpoint.origin, strlen(s->checkpoint.origin));
    mp_uint(&w, s->index);
    mp_bin(&w, edges, count * sizeof(edges[0]));
    mp_bin(&w, s->out->root.b, HASH_BYTES); /* of the tree so far */
    mp_uint(&w, s->p.hub_lamport);
    mp_uint(&w, s->p.hub_time_ms);
    mp_bool(&w, s->p.view == VIEW_SLOT);
    mp_uint(&w, s->withheld);
    mp_bool(&w, s->pinned_seen);
    mp_bin(&w, room, h.size);
    free(room);
    mp_array(&w, TILE_LEVELS);
    for (unsigned i = 0; i < TILE_LEVELS; i++)
        mp_bin(&w, s->tile[i], s->tile_count[i] * HASH_BYTES);
    mp_uint(&w, s->p.seat_count);
    mp_uint(&w, a->count);
    struct hash judged = seen_judged(s, s->index);
    mp_bin(&w, judged.b, HASH_BYTES);
    if (w.full || h.full)
        return ERR_BUG;
    b->size += w.size;
    for (size_t i = 0; i < s->p.seat_count; i++)
        TRY(save_account(b, &s->p.seats[i]->account));
    return save_channels(a, s, b);
}

/* After a run without a finding, also one that was cut short. */
enum err state_save(struct audit *a, char why[AUDIT_WHY_MAX])
{
    struct buf b = {0};
    struct mp_writer w;
    enum err e = ERR_OK;
    if (a->o->no_signatures)
        return ERR_OK;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (!s->judged || s->dead || s->lost || s->differs)
            return ERR_OK;
        judge_tree(s);
        s->out->root = frontier_root(&s->tree);
    }
    if (!buf_add(&b, STATE_FIRST, strlen(STATE_FIRST)))
        e = ERR_MEMORY;
    if (e == ERR_OK)
        e = reserve(&b, 64, &w);
    if (e == ERR_OK) {
        mp_array(&w, 3);
        mp_bin(&w, a->o->policy->hash.b, HASH_BYTES);
        mp_uint(&w, (uint64_t)a->o->mode);
        mp_uint(&w, a->count);
        b.size += w.size;
    }
    for (size_t i = 0; i < a->count && e == ERR_OK; i++)
        e = save_slot(a, &a->slots[i], &b);
    if (e == ERR_OK) {
        struct hash h = hash_context(CTX_SNAPSHOT, b.data, b.size);
        e = buf_add(&b, h.b, HASH_BYTES) ? ERR_OK : ERR_MEMORY;
    }
    if (e == ERR_OK)
        e = audit_folder(a->o->state_dir, why);
    if (e == ERR_OK)
        e = audit_write(a->o->state_dir, STATE_NAME, b.data, b.size, why);
    buf_close(&b);
    return e;
}

/* ---- loading ------------------------------------------------------------------------------
 */

static enum err load_list(struct audit *a, struct mp_reader *r, struct item_list *l)
{
    uint64_t base, count;
    if (!mp_read_uint(r, &base) || !mp_read_uint(r, &count) ||
        count > (uint64_t)(r->end - r->at) / HASH_BYTES)
        return ERR_CORRUPT;
    l->base = l->count = base;
    for (uint64_t i = 0; i < count; i++, r->at += HASH_BYTES) {
        struct hash h;
        memcpy(h.b, r->at, HASH_BYTES);
        TRY(item_add(&a->items, l, &h));
    }
    return ERR_OK;
}

static enum err load_accounts(struct slot_audit *s, struct mp_reader *r, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct bytes state;
        struct account account;
        if (!mp_read_bin(r, &state, UINT32_MAX))
            return ERR_CORRUPT;
        account_init(&account, &alloc_heap);
        TRY(account_decode(&account, &alloc_heap, state));
        enum err e = replay_add(&s->p, &account);
        if (e != ERR_OK) {
            account_close(&account);
            return e == ERR_MEMORY ? e : ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

static enum err load_tree(struct slot_audit *s, struct mp_reader *r)
{
    struct bytes edges;
    struct hash root;
    uint64_t size;
    if (!mp_read_uint(r, &size) ||
        !mp_read_bin(r, &edges, sizeof(struct hash) * MERKLE_LEVELS_MAX) ||
        !mp_read_bin_exact(r, root.b, HASH_BYTES) || edges.size % HASH_BYTES != 0)
        return ERR_CORRUPT;
    UNINITIALIZED struct hash list[MERKLE_LEVELS_MAX];
    memcpy(list, edges.data, edges.size);
    if (!frontier_restore(&s->tree, size, &root, list, edges.size / HASH_BYTES))
        return ERR_CORRUPT;
    s->from = s->index = s->next = s->p.size = s->leaves = size;
    return ERR_OK;
}

static enum err load_tiles(struct slot_audit *s, struct mp_reader *r)
{
    size_t levels;
    if (!mp_read_array(r, &levels, TILE_LEVELS) || levels != TILE_LEVELS)
        return ERR_CORRUPT;
    for (unsigned i = 0; i < TILE_LEVELS; i++) {
        struct bytes t;
        if (!mp_read_bin(r, &t, sizeof(struct hash) * (TILE_HASHES - 1)) ||
            t.size != (s->from >> (8 * i)) % TILE_HASHES * HASH_BYTES)
            return ERR_CORRUPT;
        memcpy(s->tile[i], t.data, t.size);
        s->tile_count[i] = (unsigned)(t.size / HASH_BYTES);
        s->tile_number[i] = s->from >> (8 * i) >> 8;
    }
    return ERR_OK;
}

static enum err load_slot(struct audit *a, struct slot_audit *s, struct mp_reader *r)
{
    size_t fields;
    uint64_t slot, seats, others;
    struct hash judged;
    struct bytes origin, hub;
    bool whole;
    if (!mp_read_array(r, &fields, SLOT_FIELDS) || fields != SLOT_FIELDS ||
        !mp_read_uint(r, &slot) || !mp_read_str(r, &origin, NOTE_NAME_MAX) ||
        slot != s->slot || origin.size != strlen(s->checkpoint.origin) ||
        memcmp(origin.data, s->checkpoint.origin, origin.size) != 0)
        return ERR_CORRUPT;
    TRY(load_tree(s, r));
    if (!mp_read_uint(r, &s->p.hub_lamport) || !mp_read_uint(r, &s->p.hub_time_ms) ||
        !mp_read_bool(r, &whole) || !mp_read_uint(r, &s->withheld) ||
        !mp_read_bool(r, &s->pinned_seen) || !mp_read_bin(r, &hub, UINT32_MAX))
        return ERR_CORRUPT;
    s->p.view = whole ? VIEW_SLOT : VIEW_ACCOUNT;
    s->last_time_ms = s->p.hub_time_ms;
    hub_account_close(&s->p.hub);
    hub_account_init(&s->p.hub, &alloc_heap);
    TRY(hub_account_decode(&s->p.hub, &alloc_heap, hub));
    TRY(load_tiles(s, r));
    if (!mp_read_uint(r, &seats) || !mp_read_uint(r, &others) || others != a->count ||
        !mp_read_bin_exact(r, judged.b, HASH_BYTES))
        return ERR_CORRUPT;
    struct hash now = seen_judged(s, s->from);
    if (!hash_equal(&judged, &now))
        return ERR_NOT_FOUND; /* a tree was seen since that this state was not held against */
    TRY(load_accounts(s, r, seats));
    for (size_t i = 0; i < a->count; i++) {
        struct channel_end *c = &s->channels[a->slots[i].slot];
        TRY(load_list(a, r, &c->sent));
        TRY(load_list(a, r, &c->settled));
        if (!mp_read_uint(r, &c->beyond) || !mp_read_uint(r, &c->beyond_last))
            return ERR_CORRUPT;
        if (c->beyond_last < a->slots[i].checkpoint.size)
            c->beyond = UINT64_MAX; /* all of it stands in what is read now */
    }
    while (s->seen_at < s->seen_count && s->seen[s->seen_at].size <= s->from)
        s->seen_at++; /* judged when this state was reached */
    return ERR_OK;
}

/* Is what was seen by then still one tree with it? A checkpoint that came since (from another
 * place) and is smaller than the state has to be judged from the beginning. */
static bool usable(const struct slot_audit *s, struct mp_reader r)
{
    size_t fields;
    uint64_t slot, size;
    struct bytes origin;
    if (!mp_read_array(&r, &fields, SLOT_FIELDS) || !mp_read_uint(&r, &slot) ||
        !mp_read_str(&r, &origin, NOTE_NAME_MAX) || !mp_read_uint(&r, &size))
        return false;
    return slot == s->slot && s->judged && size <= s->checkpoint.size;
}

static void forget(struct audit *a)
{
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        bool keep_tips = s->p.keep_tips;
        replay_close(&s->p);
        if (replay_open(&s->p, s->slot, keep_tips) != ERR_OK)
            s->judged = false;
        memset(&s->tree, 0, sizeof(s->tree));
        memset(s->tile_count, 0, sizeof(s->tile_count));
        memset(s->tile_number, 0, sizeof(s->tile_number));
        s->from = s->index = s->next = s->withheld = s->leaves = 0;
        s->seen_at = 0;
        s->pinned_seen = false;
        channels_clear(s);
    }
}

static enum err load_all(struct audit *a, struct mp_reader r)
{
    size_t fields;
    struct hash policy;
    uint64_t mode, count;
    if (!mp_read_array(&r, &fields, 3) || fields != 3 ||
        !mp_read_bin_exact(&r, policy.b, HASH_BYTES) || !mp_read_uint(&r, &mode) ||
        !mp_read_uint(&r, &count) || count != a->count)
        return ERR_CORRUPT;
    if (mode < (uint64_t)a->o->mode || !hash_equal(&policy, &a->o->policy->hash))
        return ERR_NOT_FOUND; /* what was checked by tips was not checked in full */
    for (size_t i = 0; i < a->count; i++) {
        if (!usable(&a->slots[i], r))
            return ERR_NOT_FOUND;
        TRY(load_slot(a, &a->slots[i], &r));
    }
    return r.bad || r.at != r.end ? ERR_CORRUPT : ERR_OK;
}

/* No state, one of another policy or mode, or a damaged one: everything is read from the
 * beginning. Only memory is an error. */
enum err state_load(struct audit *a, char why[AUDIT_WHY_MAX])
{
    char path[PATH_ROOM];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s", a->o->state_dir, STATE_NAME);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        snprintf(why, AUDIT_WHY_MAX, "path is too long: %.200s", a->o->state_dir);
        return ERR_FILE;
    }
    /* A checkpoint brought from elsewhere may be older than the state: judge from the start. */
    bool whole = a->o->no_signatures || a->o->checkpoint_count > 0 || a->o->promise_count > 0;
    int fd = whole ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_OK;
    size_t head = strlen(STATE_FIRST), size = 0;
    uint8_t *data = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size > (off_t)(head + HASH_BYTES) &&
        (uint64_t)st.st_size < STATE_BYTES_MAX) {
        size = (size_t)st.st_size;
        data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    close(fd);
    if (data == MAP_FAILED)
        return ERR_OK;
    struct hash h = hash_context(CTX_SNAPSHOT, data, size - HASH_BYTES);
    enum err e = ERR_CORRUPT;
    if (memcmp(data, STATE_FIRST, head) == 0 &&
        memcmp(h.b, data + size - HASH_BYTES, HASH_BYTES) == 0)
        e = load_all(a, mp_reader_of(data + head, size - HASH_BYTES - head));
    munmap(data, size);
    if (e != ERR_OK)
        forget(a);
    return e == ERR_MEMORY ? e : ERR_OK;
}
