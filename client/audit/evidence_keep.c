/* What an audit keeps for others, each as one file that stands alone: forks, numbers used twice. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/engine.h"
#include "crypto/be64.h"
#include "crypto/tlog_proof.h"
#include "ledger/evidence.h"
#include "ledger/scratch.h"

#define LEAVES_MAX (UINT64_C(1) << 22) /* of a tree a path is made from: 128 MiB of hashes */

/* All leaf hashes of the tree audited, read once more: forks are rare. */
static enum err read_leaves(struct slot_audit *s, struct hash **out)
{
    struct audit_source *source = s->a->source;
    uint64_t size = s->checkpoint.size;
    *out = NULL;
    if (size == 0 || size > LEAVES_MAX)
        return ERR_TOO_LARGE;
    struct hash *list = malloc((size_t)size * sizeof(*list));
    struct block *b = malloc(sizeof(*b));
    enum err e = list && b ? ERR_OK : ERR_MEMORY;
    for (uint64_t at = 0; at < size && e == ERR_OK;) {
        void *hold = NULL;
        b->count = 0;
        e = source->ops->read(source, s->slot, at, size, b->records, AUDIT_READ_MAX,
                              &b->count, &hold);
        if (e == ERR_OK && b->count == 0)
            e = ERR_CORRUPT;
        for (size_t i = 0; i < b->count && e == ERR_OK; i++, at++) {
            if (b->records[i].r.index != at || !(b->records[i].has & AUDIT_HAS_LEAF))
                e = ERR_CORRUPT;
            else
                list[at] = hash_leaf(b->records[i].leaf, LEAF_BYTES);
        }
        if (hold)
            source->ops->release(source, hold);
    }
    free(b);
    if (e != ERR_OK)
        free(list);
    else
        *out = list;
    return e;
}

struct leaves {
    const struct hash *list;
    uint64_t size;
};

static struct hash subtree(const struct hash *list, uint64_t count)
{
    struct frontier f = {0};
    for (uint64_t i = 0; i < count; i++)
        (void)frontier_append(&f, &list[i]);
    return frontier_root(&f);
}

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct leaves *l = context;
    uint64_t first = n << level, count = UINT64_C(1) << level;
    if (first + count > l->size)
        return false;
    *out = subtree(l->list + first, count);
    return true;
}

/* The path of the audited tree from a smaller size, its first node always given. */
static bool path_of(const struct leaves *l, tree_size small,
                    struct hash out[MERKLE_PATH_MAX], size_t *count)
{
    const struct merkle_source source = {node, (void *)(uintptr_t)l};
    struct hash path[MERKLE_PATH_MAX];
    size_t n, first = 0;
    if (!merkle_prove_consistency(small, l->size, &source, path, &n) ||
        n + 1 >= MERKLE_PATH_MAX)
        return false;
    if ((small & (small - 1)) == 0) {
        out[0] = subtree(l->list, small);
        first = 1;
    }
    memcpy(out + first, path, n * sizeof(path[0]));
    *count = n + first;
    return true;
}

bool evidence_path(const struct hash *leaves, uint64_t size, uint64_t index,
                   struct hash out[MERKLE_PATH_MAX], size_t *count)
{
    struct leaves l = {leaves, size};
    const struct merkle_source source = {node, &l};
    return merkle_prove_inclusion(index, size, &source, out, count);
}

static enum err keep_fork(struct slot_audit *s, const struct seen *old,
                          struct audit_finding *f, char why[AUDIT_WHY_MAX])
{
    struct hash path[MERKLE_PATH_MAX], *list = NULL;
    struct buf out = {0};
    size_t count = 0;
    char hex[2 * HASH_BYTES + 1];
    enum err e = ERR_OK;
    if (old->size != s->checkpoint.size) {
        e = read_leaves(s, &list);
        struct leaves l = {list, s->checkpoint.size};
        if (e == ERR_OK && !path_of(&l, old->size, path, &count))
            e = ERR_RANGE;
    }
    if (e == ERR_OK)
        e = evidence_fork(&out, &s->log->key, bytes_of(old->note, old->note_size),
                          bytes_of(s->note.data, s->note.size), path, count);
    free(list);
    if (e == ERR_OK) {
        hex_encode(hex, s->checkpoint.root.b, 8);
        snprintf(f->evidence, sizeof(f->evidence), "fork-%02x-%" PRIu64 "-%s.evidence",
                 (unsigned)s->slot, old->size, hex);
        e = audit_folder(s->a->o->evidence_dir, why);
        if (e == ERR_OK)
            e = audit_write(s->a->o->evidence_dir, f->evidence, out.data, out.size, why);
    } else if (e != ERR_MEMORY) {
        e = ERR_OK; /* the finding stands; a file that stands alone cannot be made of it */
    }
    buf_close(&out);
    return e;
}

/* ---- seq reused -------------------------------------------------------------------------- */

#define KEYS_MAX 64
#define PROOF_ROOM (NOTE_BYTES_MAX + 8192)

/* Records of the audited tree that a file needs: their envelopes, leaves and, at the end,
 * proofs. */
struct pieces {
    size_t count; /* keys, then at [KEYS_MAX] the logged one */
    struct evidence_record list[KEYS_MAX + 1];
    uint64_t index[KEYS_MAX + 1];
    struct buf room[2 * (KEYS_MAX + 1)], other;
    struct hash *leaves;
    uint64_t leaf_count;
    bool failed;
};

static void take_piece(struct pieces *p, size_t at, const struct audit_record *r)
{
    struct buf *b = &p->room[2 * at];
    struct hash head;
    buf_clear(b);
    memcpy(head.b, r->leaf + HASH_BYTES, HASH_BYTES);
    p->failed = p->failed || !buf_add(b, r->r.envelope.data, r->r.envelope.size);
    p->index[at] = r->r.index;
    p->list[at] = (struct evidence_record){.envelope = bytes_of(b->data, b->size),
                                           .account_head = head,
                                           .hub_lamport = be64(r->leaf + 64),
                                           .hub_time_ms = be64(r->leaf + 72)};
}

static void look_at(struct slot_audit *s, struct pieces *p, const struct audit_record *r)
{
    UNINITIALIZED struct entry e;
    uint64_t i = r->r.index;
    p->leaves[p->leaf_count++] = hash_leaf(r->leaf, LEAF_BYTES);
    if (!(r->has & AUDIT_HAS_ENVELOPE))
        return;
    if (i == s->twice)
        p->failed = p->failed || !buf_add(&p->other, r->r.envelope.data, r->r.envelope.size);
    if (i == s->reused_at)
        take_piece(p, KEYS_MAX, r);
    if (entry_decode(&e, r->r.envelope.data, r->r.envelope.size) == ERR_OK &&
        (e.kind == KIND_LOG_OPEN || e.kind == KIND_HUB_KEY) && p->count < KEYS_MAX)
        take_piece(p, p->count++, r);
}

static enum err read_pieces(struct slot_audit *s, struct pieces *p)
{
    struct audit_source *source = s->a->source;
    uint64_t size = s->checkpoint.size;
    if (size == 0 || size > LEAVES_MAX)
        return ERR_TOO_LARGE;
    p->leaves = malloc((size_t)size * sizeof(*p->leaves));
    struct block *b = malloc(sizeof(*b));
    enum err e = p->leaves && b ? ERR_OK : ERR_MEMORY;
    while (e == ERR_OK && p->leaf_count < size) {
        void *hold = NULL;
        b->count = 0;
        e = source->ops->read(source, s->slot, p->leaf_count, size, b->records, AUDIT_READ_MAX,
                              &b->count, &hold);
        if (e == ERR_OK && b->count == 0)
            e = ERR_CORRUPT;
        for (size_t i = 0; i < b->count && e == ERR_OK; i++)
            if (b->records[i].r.index != p->leaf_count || !(b->records[i].has & AUDIT_HAS_LEAF))
                e = ERR_CORRUPT;
            else
                look_at(s, p, &b->records[i]);
        if (hold)
            source->ops->release(source, hold);
    }
    free(b);
    return e == ERR_OK && p->failed ? ERR_MEMORY : e;
}

static enum err prove_piece(struct slot_audit *s, struct pieces *p, size_t at)
{
    struct tlog_proof t = {.index = p->index[at],
                           .note = (const char *)s->note.data,
                           .note_size = s->note.size};
    struct buf *b = &p->room[2 * at + 1];
    if (!evidence_path(p->leaves, p->leaf_count, t.index, t.path, &t.path_count))
        return ERR_RANGE;
    if (!buf_reserve(b, PROOF_ROOM))
        return ERR_MEMORY;
    b->size = tlog_proof_format((char *)b->data, PROOF_ROOM, &t);
    p->list[at].proof = bytes_of(b->data, b->size);
    return b->size > 0 ? ERR_OK : ERR_ROOM;
}

/* Two entries of one number, both in the log: the hub took what it had to refuse, and the device
 * signed both. */
static enum err keep_reused(struct slot_audit *s, char why[AUDIT_WHY_MAX])
{
    struct pieces *p = calloc(1, sizeof(*p));
    struct buf out = {0};
    enum err e = p ? read_pieces(s, p) : ERR_MEMORY;
    for (size_t i = 0; e == ERR_OK && i < p->count; i++)
        e = prove_piece(s, p, i);
    if (e == ERR_OK)
        e = prove_piece(s, p, KEYS_MAX);
    if (e == ERR_OK)
        e = evidence_reused(&out, &s->log->key, &p->list[KEYS_MAX], p->list, p->count,
                            bytes_of(p->other.data, p->other.size), NULL);
    if (e == ERR_OK) {
        struct audit_finding *f = &s->findings[s->twice_finding];
        char device[17];
        hex_encode(device, s->twice_device.b, 8);
        snprintf(f->evidence, sizeof(f->evidence), "reused-%02x-%s-%" PRIu64 ".evidence",
                 (unsigned)s->slot, device, s->twice_seq);
        e = audit_folder(s->a->o->evidence_dir, why);
        if (e == ERR_OK)
            e = audit_write(s->a->o->evidence_dir, f->evidence, out.data, out.size, why);
    } else if (e != ERR_MEMORY) {
        e = ERR_OK; /* the finding stands; a file that stands alone cannot be made of it */
    }
    for (size_t i = 0; p && i < 2 * (KEYS_MAX + 1); i++)
        buf_close(&p->room[i]);
    if (p) {
        buf_close(&p->other);
        free(p->leaves);
    }
    free(p);
    buf_close(&out);
    return e;
}

enum err evidence_keep(struct audit *a, char why[AUDIT_WHY_MAX])
{
    if (!a->o->evidence_dir)
        return ERR_OK;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (s->reused)
            TRY(keep_reused(s, why));
        if (s->forked == 0)
            continue;
        for (size_t k = 0; k < s->finding_count; k++)
            if (s->findings[k].check == AUDIT_CONSISTENCY) {
                TRY(keep_fork(s, &s->seen[s->forked - 1], &s->findings[k], why));
                break;
            }
    }
    return promises_keep(a, why);
}
