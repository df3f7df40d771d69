/* What the hub gave to somebody, held against its log: receipts, and account heads it signed on
 * request. The log has to keep each of them; where it does not, the file of the promise and the
 * signed tree together are evidence that stands alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/engine.h"
#include "ledger/evidence.h"
#include "ledger/receipt.h"

struct promise {
    struct slot_audit *s;
    struct bytes file;
    bool is_head, kept, broken;
    struct signed_head head;
    struct receipt receipt;
    uint8_t leaf[LEAF_BYTES]; /* of the receipt */
    size_t finding;           /* of the slot, when broken */
};

/* ---- reading them ------------------------------------------------------------------------ */

static enum err bad(char why[AUDIT_WHY_MAX], size_t i, const char *what)
{
    snprintf(why, AUDIT_WHY_MAX, "receipt or head number %zu: %.300s", i + 1, what);
    return ERR_MALFORMED;
}

static struct slot_audit *slot_named(struct audit *a, const struct vkey *log)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct vkey *k = a->slots[i].log ? &a->slots[i].log->key : NULL;
        if (k && k->id == log->id && strcmp(k->name, log->name) == 0 &&
            pubkey_equal(&k->key, &log->key))
            return &a->slots[i];
    }
    return NULL;
}

static enum err load_head(struct audit *a, struct promise *p, size_t i, char why[AUDIT_WHY_MAX])
{
    struct head_file f;
    const struct evidence_trust none = {.log_count = 0};
    if (head_file_check(p->file.data, p->file.size, &none, &f) != ERR_OK)
        return bad(why, i, f.why);
    p->is_head = true;
    p->head = f.head;
    p->s = slot_named(a, &f.log);
    return p->s ? ERR_OK : bad(why, i, "its log is none of those audited here");
}

static enum err load_receipt(struct audit *a, struct promise *p, size_t i,
                             char why[AUDIT_WHY_MAX])
{
    struct checkpoint c;
    struct entry e;
    if (receipt_parse(&p->receipt, (const char *)p->file.data, p->file.size) != ERR_OK)
        return bad(why, i, "the file is neither a receipt nor an account head");
    const struct tlog_proof *proof = &p->receipt.proof;
    for (size_t k = 0; k < a->count && !p->s; k++)
        if (a->slots[k].log &&
            checkpoint_open(&c, proof->note, proof->note_size, &a->slots[k].log->key))
            p->s = &a->slots[k];
    if (!p->s)
        return bad(why, i, "its checkpoint is signed by no log audited here");
    record_leaf(&p->receipt.r, p->leaf);
    struct hash leaf = hash_leaf(p->leaf, LEAF_BYTES);
    struct bytes envelope = p->receipt.r.envelope;
    if (!tlog_proof_holds(proof, &c, &leaf) ||
        entry_decode(&e, envelope.data, envelope.size) != ERR_OK || !entry_verify(&e))
        return bad(why, i, "the receipt does not verify: its entry is not under its checkpoint");
    return seen_note(p->s, bytes_of(proof->note, proof->note_size));
}

enum err promises_load(struct audit *a, char why[AUDIT_WHY_MAX])
{
    size_t count = a->o->promise_count;
    if (count == 0)
        return ERR_OK;
    a->promises = calloc(count, sizeof(*a->promises));
    if (!a->promises)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct promise *p = &a->promises[a->promise_count++];
        size_t first = strlen(HEAD_FILE_FIRST);
        p->file = a->o->promises[i];
        bool head =
            p->file.size >= first && memcmp(p->file.data, HEAD_FILE_FIRST, first) == 0;
        TRY(head ? load_head(a, p, i, why) : load_receipt(a, p, i, why));
    }
    return ERR_OK;
}

void promises_close(struct audit *a)
{
    for (size_t i = 0; i < a->promise_count; i++)
        receipt_close(&a->promises[i].receipt);
    free(a->promises);
    a->promises = NULL;
    a->promise_count = 0;
}

/* ---- against the leaves ------------------------------------------------------------------- */

static bool leaf_of(const struct audit_record *r, uint8_t out[LEAF_BYTES])
{
    const unsigned all = AUDIT_HAS_ENVELOPE | AUDIT_HAS_HEAD | AUDIT_HAS_CLOCKS;
    if (r->has & AUDIT_HAS_LEAF)
        memcpy(out, r->leaf, LEAF_BYTES);
    else if ((r->has & all) == all)
        record_leaf(&r->r, out);
    else
        return false;
    return true;
}

/* Every leaf under the checkpoint, in order. ERR_CORRUPT: they cannot be read to the end. */
static enum err each_leaf(struct slot_audit *s,
                          void (*visit)(void *context, uint64_t index,
                                        const uint8_t leaf[LEAF_BYTES]),
                          void *context)
{
    struct audit_source *source = s->a->source;
    uint8_t leaf[LEAF_BYTES];
    struct block *b = malloc(sizeof(*b));
    enum err e = b ? ERR_OK : ERR_MEMORY;
    for (uint64_t at = 0; e == ERR_OK && at < s->checkpoint.size;) {
        void *hold = NULL;
        b->count = 0;
        e = source->ops->read(source, s->slot, at, s->checkpoint.size, b->records,
                              AUDIT_READ_MAX, &b->count, &hold);
        if (e == ERR_OK && b->count == 0)
            e = ERR_CORRUPT;
        for (size_t i = 0; i < b->count && e == ERR_OK; i++, at++) {
            if (b->records[i].r.index != at || !leaf_of(&b->records[i], leaf))
                e = ERR_CORRUPT;
            else
                visit(context, at, leaf);
        }
        if (hold)
            source->ops->release(source, hold);
    }
    free(b);
    return e;
}

static void look(void *context, uint64_t index, const uint8_t leaf[LEAF_BYTES])
{
    const struct slot_audit *s = context;
    for (size_t i = 0; i < s->a->promise_count; i++) {
        struct promise *p = &s->a->promises[i];
        if (p->s != s)
            continue;
        if (p->is_head)
            p->kept = p->kept || (index < p->head.size &&
                                  memcmp(leaf + HASH_BYTES, p->head.head.b, HASH_BYTES) == 0);
        else if (index == p->receipt.r.index)
            p->kept = memcmp(leaf, p->leaf, LEAF_BYTES) == 0;
    }
}

static void tell_broken(struct slot_audit *s, struct promise *p)
{
    char expected[AUDIT_TEXT_MAX], account[2 * HASH_BYTES + 1];
    p->broken = true;
    if (p->is_head) {
        hex_encode(expected, p->head.head.b, HASH_BYTES);
        hex_encode(account, p->head.account.b, HASH_BYTES);
        find_at(s, AUDIT_PROMISE, UINT64_MAX, NULL, expected, "no such record",
                "the hub vouched for record %" PRIu64 " of account %.16s.. among the first %" PRIu64
                " of this log: it is not there",
                p->head.position, account, p->head.size);
    } else {
        hex_encode(expected, p->leaf, HASH_BYTES);
        find_at(s, AUDIT_PROMISE, p->receipt.r.index, NULL, expected, "another record",
                "a receipt was given for the record here, and the log has another one");
    }
    p->finding = s->finding_count - 1;
}

/* A promise about a tree that this copy does not reach yet breaks nothing. */
static bool is_ahead(struct slot_audit *s, const struct promise *p)
{
    char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    uint64_t needs = p->is_head ? p->head.size : p->receipt.r.index + 1;
    if (needs <= s->checkpoint.size)
        return false;
    snprintf(expected, sizeof(expected), "%" PRIu64, needs);
    snprintf(found, sizeof(found), "%" PRIu64, s->checkpoint.size);
    find_at(s, AUDIT_PROMISE, UINT64_MAX, NULL, expected, found,
            "a receipt or head is of a larger tree than the one shown here: not judged");
    s->findings[s->finding_count - 1].severity = AUDIT_WARNING;
    return true;
}

enum err promises_check(struct audit *a)
{
    if (a->o->promise_count == 0) {
        skip_check(a->report, AUDIT_PROMISE,
                   "no receipt and no account head was given (--receipt, --head)");
        return ERR_OK;
    }
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        bool any = false;
        for (size_t k = 0; k < a->promise_count; k++)
            any = any || a->promises[k].s == s;
        if (!any)
            continue;
        enum err e = s->judged && !a->interrupted ? each_leaf(s, look, s) : ERR_CORRUPT;
        if (e == ERR_MEMORY)
            return e;
        if (e != ERR_OK) {
            skip_check(a->report, AUDIT_PROMISE,
                       "a log with a receipt or head could not be read to its end");
            continue;
        }
        for (size_t k = 0; k < a->promise_count; k++) {
            struct promise *p = &a->promises[k];
            if (p->s == s && !is_ahead(s, p) && !p->kept &&
                s->finding_count < AUDIT_SLOT_FINDINGS_MAX)
                tell_broken(s, p);
        }
    }
    return ERR_OK;
}

/* ---- evidence ----------------------------------------------------------------------------- */

static void gather(void *context, uint64_t index, const uint8_t leaf[LEAF_BYTES])
{
    uint8_t *all = context;
    memcpy(all + index * LEAF_BYTES, leaf, LEAF_BYTES);
}

static enum err keep_head(struct promise *p, const uint8_t *leaves, struct buf *out)
{
    struct slot_audit *s = p->s;
    return evidence_omitted_of(out, &s->log->key, p->file, bytes_of(s->note.data, s->note.size),
                               leaves, (size_t)s->checkpoint.size);
}

static enum err keep_receipt(struct promise *p, const uint8_t *leaves, struct buf *out)
{
    struct slot_audit *s = p->s;
    struct tlog_proof here = {.index = p->receipt.r.index,
                              .note = (const char *)s->note.data,
                              .note_size = s->note.size};
    size_t size = (size_t)s->checkpoint.size, cap = s->note.size + 8192;
    struct hash *list = malloc(size * sizeof(*list));
    char *text = malloc(cap);
    enum err e = list && text ? ERR_OK : ERR_MEMORY;
    for (size_t i = 0; e == ERR_OK && i < size; i++)
        list[i] = hash_leaf(leaves + i * LEAF_BYTES, LEAF_BYTES);
    if (e == ERR_OK && !evidence_path(list, size, here.index, here.path, &here.path_count))
        e = ERR_RANGE;
    size_t n = e == ERR_OK ? tlog_proof_format(text, cap, &here) : 0;
    if (n > 0)
        e = evidence_receipt(out, &s->log->key, p->file, bytes_of(p->leaf, LEAF_BYTES),
                             bytes_of(text, n),
                             bytes_of(leaves + here.index * LEAF_BYTES, LEAF_BYTES));
    free(list);
    free(text);
    return e;
}

static enum err keep_one(struct audit *a, struct promise *p, char why[AUDIT_WHY_MAX])
{
    struct slot_audit *s = p->s;
    struct audit_finding *f = &s->findings[p->finding];
    struct buf out = {0};
    char hex[17];
    if (s->checkpoint.size > EVIDENCE_LEAVES_MAX)
        return ERR_OK; /* the finding stands; a file that stands alone would be too large */
    uint8_t *leaves = malloc((size_t)s->checkpoint.size * LEAF_BYTES);
    enum err e = leaves ? each_leaf(s, gather, leaves) : ERR_MEMORY;
    if (e == ERR_OK)
        e = p->is_head ? keep_head(p, leaves, &out) : keep_receipt(p, leaves, &out);
    free(leaves);
    if (e == ERR_OK) {
        hex_encode(hex, p->is_head ? p->head.head.b : p->leaf, 8);
        snprintf(f->evidence, sizeof(f->evidence), "%s-%02x-%s.evidence",
                 p->is_head ? "omitted" : "receipt", (unsigned)s->slot, hex);
        e = audit_folder(a->o->evidence_dir, why);
        if (e == ERR_OK)
            e = audit_write(a->o->evidence_dir, f->evidence, out.data, out.size, why);
    } else if (e != ERR_MEMORY) {
        e = ERR_OK; /* as above: something in it does not hold by itself */
    }
    buf_close(&out);
    return e;
}

enum err promises_keep(struct audit *a, char why[AUDIT_WHY_MAX])
{
    for (size_t i = 0; i < a->promise_count; i++)
        if (a->promises[i].broken)
            TRY(keep_one(a, &a->promises[i], why));
    return ERR_OK;
}
