/* Makers: lines in the order the checker reads them, and the checker has the last word. */
#include <string.h>

#include "crypto/be64.h"
#include "ledger/evidence_check.h"

#define REFUSAL_BYTES (HASH_BYTES + 8 + 8 + SIG_BYTES)

bool evidence_put_log(struct buf *out, const struct vkey *log)
{
    char vkey[VKEY_TEXT_MAX];
    size_t n = vkey_format(log, vkey, sizeof(vkey));
    return n > 0 && evidence_put(out, "log", vkey, n);
}

static bool begin(struct buf *out, enum evidence_kind kind, const struct vkey *log)
{
    const char *word = evidence_kind_word(kind);
    return buf_add(out, EVIDENCE_FIRST, strlen(EVIDENCE_FIRST)) &&
           evidence_put(out, "kind", word, strlen(word)) && evidence_put_log(out, log);
}

/* Nothing that does not stand alone is handed out. */
static enum err finish(struct buf *out, size_t from, bool ok, const struct vkey *log)
{
    struct evidence_result result;
    const struct evidence_trust trust = {.logs = log, .log_count = 1};
    enum err e = ok ? ERR_OK : ERR_MEMORY;
    if (ok && out->size - from > EVIDENCE_BYTES_MAX)
        e = ERR_TOO_LARGE;
    if (e == ERR_OK) {
        evidence_check(out->data + from, out->size - from, &trust, &result);
        if (result.verdict == EVIDENCE_INVALID || result.verdict == EVIDENCE_UNTRUSTED)
            e = ERR_NOT_FOUND;
    }
    if (e != ERR_OK)
        out->size = from;
    return e;
}

static bool put_record(struct buf *out, const char *name, const struct evidence_record *r)
{
    uint8_t leaf[LEAF_BYTES];
    const struct record x = {.envelope = r->envelope,
                             .account_head = r->account_head,
                             .hub_lamport = r->hub_lamport,
                             .hub_time_ms = r->hub_time_ms};
    record_leaf(&x, leaf);
    const struct bytes part[3] = {r->envelope, bytes_of(leaf, LEAF_BYTES), r->proof};
    return evidence_put_parts(out, name, part, 3);
}

bool evidence_put_records(struct buf *out, const char *name, const struct evidence_record r[],
                          size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!put_record(out, name, &r[i]))
            return false;
    return true;
}

bool evidence_put_head(struct buf *out, const struct signed_head *h)
{
    uint8_t data[EVIDENCE_HEAD_BYTES];
    memcpy(data, h->account.b, HASH_BYTES);
    be64_put(data + HASH_BYTES, h->position);
    memcpy(data + HASH_BYTES + 8, h->head.b, HASH_BYTES);
    be64_put(data + 2 * HASH_BYTES + 8, h->size);
    memcpy(data + 2 * HASH_BYTES + 16, h->sig.b, SIG_BYTES);
    return evidence_put_blob(out, "head", data, sizeof(data));
}

enum err evidence_fork(struct buf *out, const struct vkey *log, struct bytes a,
                       struct bytes b, const struct hash path[], size_t count)
{
    size_t from = out->size;
    bool ok = begin(out, EVIDENCE_FORK, log) &&
              evidence_put_blob(out, "note", a.data, a.size) &&
              evidence_put_blob(out, "note", b.data, b.size);
    for (size_t i = 0; i < count && ok; i++)
        ok = evidence_put_blob(out, "node", path[i].b, HASH_BYTES);
    return finish(out, from, ok, log);
}

enum err evidence_receipt(struct buf *out, const struct vkey *log, struct bytes proof_a,
                          struct bytes leaf_a, struct bytes proof_b, struct bytes leaf_b)
{
    size_t from = out->size;
    bool ok = begin(out, EVIDENCE_RECEIPT, log) &&
              evidence_put_blob(out, "proof", proof_a.data, proof_a.size) &&
              evidence_put_blob(out, "leaf", leaf_a.data, leaf_a.size) &&
              evidence_put_blob(out, "proof", proof_b.data, proof_b.size) &&
              evidence_put_blob(out, "leaf", leaf_b.data, leaf_b.size);
    return finish(out, from, ok, log);
}

enum err evidence_head(struct buf *out, const struct vkey *log, const struct signed_head *h,
                       const struct evidence_record keys[], size_t key_count,
                       const struct evidence_record chain[], size_t count)
{
    size_t from = out->size;
    if (count > EVIDENCE_CHAIN_MAX)
        return ERR_TOO_LARGE;
    bool ok = begin(out, EVIDENCE_HEAD, log) && evidence_put_records(out, "key", keys, key_count) &&
              evidence_put_head(out, h) && evidence_put_records(out, "record", chain, count);
    return finish(out, from, ok, log);
}

enum err evidence_heads(struct buf *out, const struct vkey *log, const struct signed_head *a,
                        const struct signed_head *b, const struct evidence_record keys[],
                        size_t key_count)
{
    size_t from = out->size;
    bool ok = begin(out, EVIDENCE_HEADS, log) && evidence_put_records(out, "key", keys, key_count) &&
              evidence_put_head(out, a) && evidence_put_head(out, b);
    return finish(out, from, ok, log);
}

enum err evidence_omitted(struct buf *out, const struct vkey *log,
                          const struct signed_head *h, const struct evidence_record keys[],
                          size_t key_count, struct bytes note, const uint8_t *leaves,
                          size_t count)
{
    size_t from = out->size;
    if (count > EVIDENCE_LEAVES_MAX)
        return ERR_TOO_LARGE;
    bool ok = begin(out, EVIDENCE_OMITTED, log) && evidence_put_records(out, "key", keys, key_count) &&
              evidence_put_head(out, h) && evidence_put_blob(out, "note", note.data, note.size) &&
              evidence_put_blob(out, "leaves", leaves, count * LEAF_BYTES);
    return finish(out, from, ok, log);
}

enum err evidence_omitted_of(struct buf *out, const struct vkey *log, struct bytes head_file,
                            struct bytes note, const uint8_t *leaves, size_t count)
{
    size_t from = out->size, first = strlen(HEAD_FILE_FIRST);
    const char *word = evidence_kind_word(EVIDENCE_OMITTED);
    if (count > EVIDENCE_LEAVES_MAX)
        return ERR_TOO_LARGE;
    if (head_file.size <= first)
        return ERR_NOT_FOUND;
    /* A head file has the lines that come first in this kind, in their order. */
    bool ok = buf_add(out, EVIDENCE_FIRST, strlen(EVIDENCE_FIRST)) &&
              evidence_put(out, "kind", word, strlen(word)) &&
              buf_add(out, head_file.data + first, head_file.size - first) &&
              evidence_put_blob(out, "note", note.data, note.size) &&
              evidence_put_blob(out, "leaves", leaves, count * LEAF_BYTES);
    return finish(out, from, ok, log);
}

enum err evidence_reused(struct buf *out, const struct vkey *log,
                         const struct evidence_record *logged,
                         const struct evidence_record keys[], size_t key_count,
                         struct bytes other, const struct known_refusal *refusal)
{
    size_t from = out->size;
    bool ok = begin(out, EVIDENCE_SEQ_REUSED, log) && evidence_put_records(out, "key", keys, key_count);
    if (ok && logged->proof.size > 0)
        ok = put_record(out, "record", logged);
    else if (ok)
        ok = evidence_put_blob(out, "entry", logged->envelope.data, logged->envelope.size);
    ok = ok && evidence_put_blob(out, "other", other.data, other.size);
    if (ok && refusal) {
        uint8_t data[REFUSAL_BYTES];
        memcpy(data, refusal->id.b, HASH_BYTES);
        be64_put(data + HASH_BYTES, refusal->code);
        be64_put(data + HASH_BYTES + 8, refusal->hub_time_ms);
        memcpy(data + HASH_BYTES + 16, refusal->sig.b, SIG_BYTES);
        ok = evidence_put_blob(out, "refusal", data, sizeof(data));
    }
    return finish(out, from, ok, log);
}
