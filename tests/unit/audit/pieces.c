#include "tests/unit/audit/pieces.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/be64.h"
#include "crypto/context.h"
#include "crypto/tlog_proof.h"
#include "ledger/wire.h"

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct pieces *p = context;
    struct hash list[1024];
    size_t count = (size_t)1 << level, first = (size_t)n << level;
    const struct forge_slot *s = &p->f->slot[p->slot];
    assert(count <= 1024 && first + count <= s->count);
    for (size_t i = 0; i < count; i++)
        list[i] = hash_leaf(s->rows[first + i].leaf, LEAF_BYTES);
    for (; count > 1; count /= 2)
        for (size_t i = 0; i < count / 2; i++)
            list[i] = hash_node(&list[2 * i], &list[2 * i + 1]);
    *out = list[0];
    return true;
}

struct pieces *pieces_open(void)
{
    struct pieces *p = calloc(1, sizeof(*p));
    assert(p);
    p->f = forge_open();
    forge_fill(p->f);
    size_t whole = p->f->slot[0].count;
    const tree_size sizes[PIECES_SIZES] = {128, 201, 256, whole};
    for (unsigned i = 0; i < PIECES_SIZES; i++) {
        p->size[i] = sizes[i];
        p->f->slot[0].count = sizes[i];
        forge_sign_slot(p->f, 0, false);
        memcpy(p->note[i], p->f->slot[0].note, p->f->slot[0].note_size);
        p->note_size[i] = p->f->slot[0].note_size;
    }
    return p;
}

void pieces_close(struct pieces *p)
{
    forge_close(p->f);
    free(p);
}

size_t pieces_proof(const struct pieces *p, uint64_t index, unsigned i,
                    char out[PIECES_PROOF_MAX])
{
    static struct tlog_proof t;
    const struct merkle_source source = {node, (void *)(uintptr_t)p};
    t = (struct tlog_proof){
        .index = index, .note = p->note[i], .note_size = p->note_size[i]};
    bool ok = merkle_prove_inclusion(index, p->size[i], &source, t.path, &t.path_count);
    size_t n = ok ? tlog_proof_format(out, PIECES_PROOF_MAX, &t) : 0;
    assert(n > 0);
    return n;
}

struct evidence_record pieces_record(const struct pieces *p, uint64_t index, unsigned i,
                                     char room[PIECES_PROOF_MAX])
{
    const struct row *r = &p->f->slot[p->slot].rows[index];
    struct evidence_record x = {.envelope = bytes_of(r->envelope, r->size),
                                .hub_lamport = be64(r->leaf + 64),
                                .hub_time_ms = be64(r->leaf + 72)};
    memcpy(x.account_head.b, r->leaf + HASH_BYTES, HASH_BYTES);
    x.proof = bytes_of(room, pieces_proof(p, index, i, room));
    return x;
}

void pieces_sign_head(const struct pieces *p, struct signed_head *h)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = head_message(message, &h->account, h->position, &h->head,
                            p->f->log_key[p->slot].name, h->size);
    h->sig = key_sign(p->f->relay, CTX_HEAD, message, n);
}

struct signed_head pieces_head(const struct pieces *p, tree_size size)
{
    struct signed_head h = {.account = p->f->people[0].account, .size = size};
    const struct forge_slot *s = &p->f->slot[p->slot];
    for (size_t i = 0; i < size; i++) {
        if (!hash_equal(&s->rows[i].account, &h.account))
            continue;
        memcpy(h.head.b, s->rows[i].leaf + HASH_BYTES, HASH_BYTES);
        h.position++;
    }
    pieces_sign_head(p, &h);
    return h;
}

size_t pieces_path(const struct pieces *p, tree_size small, tree_size large,
                   struct hash out[MERKLE_PATH_MAX])
{
    const struct merkle_source source = {node, (void *)(uintptr_t)p};
    size_t count = 0, first = 0;
    struct hash path[MERKLE_PATH_MAX];
    bool ok = merkle_prove_consistency(small, large, &source, path, &count);
    assert(ok && count + 1 < MERKLE_PATH_MAX);
    if ((small & (small - 1)) == 0) {
        unsigned level = 0;
        while ((tree_size)1 << level < small)
            level++;
        (void)node((void *)(uintptr_t)p, level, 0, &out[0]);
        first = 1;
    }
    memcpy(out + first, path, count * sizeof(path[0]));
    return count + first;
}

struct pieces *pieces_liar(void)
{
    struct pieces *p = pieces_open();
    struct forge_slot *s = &p->f->slot[0];
    for (size_t i = 100; i < s->count; i++)
        s->rows[i].leaf[40] ^= 1;
    for (unsigned i = 0; i < PIECES_SIZES; i++) {
        size_t count = s->count;
        s->count = p->size[i];
        forge_sign_slot(p->f, 0, false);
        memcpy(p->note[i], s->note, s->note_size);
        p->note_size[i] = s->note_size;
        s->count = count;
    }
    return p;
}

/* ---- heaps ------------------------------------------------------------------------------- */

static void put_record(const struct pieces *p, struct buf *out, const char *name, uint64_t index,
                       unsigned i)
{
    char room[PIECES_PROOF_MAX];
    struct evidence_record r = pieces_record(p, index, i, room);
    struct bytes part[3] = {r.envelope, bytes_of(p->f->slot[0].rows[index].leaf, LEAF_BYTES),
                            r.proof};
    (void)evidence_put_parts(out, name, part, 3);
}

void pieces_begin(const struct pieces *p, struct buf *out, enum evidence_kind kind)
{
    char vkey[VKEY_TEXT_MAX];
    const char *word = evidence_kind_word(kind);
    size_t n = vkey_format(&p->f->log_key[0], vkey, sizeof(vkey));
    (void)buf_add(out, EVIDENCE_FIRST, strlen(EVIDENCE_FIRST));
    (void)evidence_put(out, "kind", word, strlen(word));
    (void)evidence_put(out, "log", vkey, n);
    if (kind >= EVIDENCE_HEAD)
        put_record(p, out, "key", 0, PIECES_SIZES - 1);
}

static void put_leaves(const struct pieces *p, struct buf *out, unsigned i)
{
    size_t count = (size_t)p->size[i];
    uint8_t *all = malloc(count * LEAF_BYTES);
    for (size_t k = 0; all && k < count; k++)
        memcpy(all + k * LEAF_BYTES, p->f->slot[0].rows[k].leaf, LEAF_BYTES);
    if (all)
        (void)evidence_put_blob(out, "leaves", all, count * LEAF_BYTES);
    free(all);
}

void pieces_put(const struct pieces *p, struct buf *out, const struct piece *x)
{
    unsigned i = (unsigned)(x->a % PIECES_SIZES), k = (unsigned)(x->b % PIECES_SIZES);
    uint64_t index = x->index % p->size[i];
    const struct row *row = &p->f->slot[0].rows[index];
    struct hash path[MERKLE_PATH_MAX];
    char room[PIECES_PROOF_MAX];
    struct signed_head h;
    size_t n;
    switch (x->what % PIECE_KINDS) {
    case 0:
        (void)evidence_put_blob(out, "note", p->note[i], p->note_size[i]);
        return;
    case 1:
        n = i < k ? pieces_path(p, p->size[i], p->size[k], path) : 0;
        for (size_t at = 0; at < n; at++)
            (void)evidence_put_blob(out, "node", path[at].b, HASH_BYTES);
        return;
    case 2:
        n = pieces_proof(p, index, i, room);
        (void)evidence_put_blob(out, "proof", room, n);
        (void)evidence_put_blob(out, "leaf", row->leaf, LEAF_BYTES);
        return;
    case 3:
        put_record(p, out, "key", index, i);
        return;
    case 4:
        put_record(p, out, "record", index, i);
        return;
    case 5:
        h = pieces_head(p, 2 + index);
        (void)evidence_put_head(out, &h);
        return;
    case 6:
        (void)evidence_put_blob(out, "entry", row->envelope, row->size);
        return;
    case 7:
        (void)evidence_put_blob(out, "other", row->envelope, row->size);
        return;
    default:
        put_leaves(p, out, i);
    }
}
