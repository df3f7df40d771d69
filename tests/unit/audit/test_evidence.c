/* ledger/evidence.h: a lie is shown by its own signatures; nothing made of what honest hubs and
 * devices sign accuses anybody. */
#include "tests/unit/audit/pieces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/audit/selftest.h"
#include "crypto/context.h"
#include "ledger/wire.h"

static struct pieces *good;
static struct evidence_trust trust;

static int begin(void **state)
{
    (void)state;
    if (!crypto_start())
        return -1;
    good = pieces_open();
    trust = (struct evidence_trust){.logs = good->f->log_key, .log_count = FORGE_SLOTS};
    return 0;
}

static int end(void **state)
{
    (void)state;
    pieces_close(good);
    return 0;
}

static struct evidence_result check(const struct buf *b)
{
    struct evidence_result r;
    evidence_check(b->data, b->size, &trust, &r);
    return r;
}

/* Proven under this trust, untrusted under none; one bit turned anywhere proves nothing new. */
static void stands(struct buf *b, enum evidence_kind kind, enum evidence_verdict verdict)
{
    struct evidence_result r = check(b);
    if (r.verdict != verdict || r.kind != kind)
        fail_msg("%s %s: %s", evidence_kind_word(r.kind), evidence_verdict_word(r.verdict),
                 r.why);
    assert_true(r.why[0] != 0);
    if (verdict == EVIDENCE_PROVEN) {
        struct evidence_trust nobody = {.logs = NULL};
        evidence_check(b->data, b->size, &nobody, &r);
        assert_int_equal(r.verdict, EVIDENCE_UNTRUSTED);
    }
    for (size_t i = 0; i < b->size; i += 1 + b->size / 400) {
        b->data[i] ^= 1;
        r = check(b);
        if (r.verdict == EVIDENCE_PROVEN || r.verdict == EVIDENCE_REUSED)
            fail_msg("a turned bit at %zu: %s", i, r.why);
        b->data[i] ^= 1;
    }
    for (size_t n = 0; n < b->size; n += 1 + b->size / 100) {
        struct buf cut = {.data = b->data, .size = n};
        r = check(&cut);
        assert_true(r.verdict == EVIDENCE_INVALID);
    }
}

static struct bytes note_of(const struct pieces *p, unsigned i)
{
    return bytes_of(p->note[i], p->note_size[i]);
}

static void forks_are_proven_at_every_pair_of_sizes(void **state)
{
    struct pieces *bad = pieces_liar();
    (void)state;
    for (unsigned a = 0; a < PIECES_SIZES; a++)
        for (unsigned b = 0; b < PIECES_SIZES; b++) {
            struct buf out = {0};
            struct hash path[MERKLE_PATH_MAX];
            size_t count = 0;
            if (a < b)
                count = pieces_path(bad, good->size[a], bad->size[b], path);
            else if (a > b)
                count = pieces_path(good, bad->size[b], good->size[a], path);
            enum err e = evidence_fork(&out, &good->f->log_key[0], note_of(good, a),
                                       note_of(bad, b), path, count);
            assert_int_equal(e, ERR_OK);
            stands(&out, EVIDENCE_FORK, EVIDENCE_PROVEN);
            buf_close(&out);
        }
    pieces_close(bad);
}

static void checkpoints_of_one_tree_are_no_fork(void **state)
{
    (void)state;
    for (unsigned a = 0; a < PIECES_SIZES; a++)
        for (unsigned b = a; b < PIECES_SIZES; b++) {
            struct buf out = {0};
            struct hash path[MERKLE_PATH_MAX];
            size_t count = a < b ? pieces_path(good, good->size[a], good->size[b], path) : 0;
            assert_int_equal(evidence_fork(&out, &good->f->log_key[0], note_of(good, a),
                                           note_of(good, b), path, count),
                             ERR_NOT_FOUND);
            assert_int_equal(out.size, 0);
            buf_close(&out);
        }
}

static void receipts_that_contradict_are_proven(void **state)
{
    static char x[PIECES_PROOF_MAX], y[PIECES_PROOF_MAX];
    struct pieces *bad = pieces_liar();
    (void)state;
    for (unsigned a = 0; a < PIECES_SIZES; a++) {
        struct buf out = {0};
        size_t n = pieces_proof(good, 120, a, x), m = pieces_proof(bad, 120, 3, y);
        struct bytes lx = bytes_of(good->f->slot[0].rows[120].leaf, LEAF_BYTES);
        struct bytes ly = bytes_of(bad->f->slot[0].rows[120].leaf, LEAF_BYTES);
        assert_int_equal(evidence_receipt(&out, &good->f->log_key[0], bytes_of(x, n), lx,
                                          bytes_of(y, m), ly),
                         ERR_OK);
        stands(&out, EVIDENCE_RECEIPT, EVIDENCE_PROVEN);
        buf_close(&out);
        /* The same record twice, and two records, contradict nothing. */
        assert_int_equal(evidence_receipt(&out, &good->f->log_key[0], bytes_of(x, n), lx,
                                          bytes_of(x, n), lx),
                         ERR_NOT_FOUND);
        m = pieces_proof(good, 121, a, y);
        ly = bytes_of(good->f->slot[0].rows[121].leaf, LEAF_BYTES);
        assert_int_equal(evidence_receipt(&out, &good->f->log_key[0], bytes_of(x, n), lx,
                                          bytes_of(y, m), ly),
                         ERR_NOT_FOUND);
        buf_close(&out);
    }
    pieces_close(bad);
}

struct told {
    struct evidence_record keys[1], chain[400];
    size_t count;
    char rooms[400][PIECES_PROOF_MAX];
    char key_room[PIECES_PROOF_MAX];
};

/* The log's own records of people[0], as many as `position`. */
static struct told *account_of(const struct pieces *p, uint64_t position)
{
    struct told *t = calloc(1, sizeof(*t));
    const struct forge_slot *s = &p->f->slot[0];
    assert_non_null(t);
    t->keys[0] = pieces_record(p, 0, 3, t->key_room);
    for (size_t i = 0; i < s->count && t->count < position; i++)
        if (hash_equal(&s->rows[i].account, &p->f->people[0].account)) {
            t->chain[t->count] = pieces_record(p, i, 3, t->rooms[t->count]);
            t->count++;
        }
    return t;
}

static void a_head_the_log_contradicts_is_proven(void **state)
{
    (void)state;
    struct signed_head h = pieces_head(good, 60);
    struct told *t = account_of(good, h.position);
    struct buf out = {0};
    const struct vkey *log = &good->f->log_key[0];
    /* The truth accuses nobody. */
    assert_int_equal(evidence_head(&out, log, &h, t->keys, 1, t->chain, t->count),
                     ERR_NOT_FOUND);
    /* Another head. */
    h.head.b[0] ^= 1;
    pieces_sign_head(good, &h);
    assert_int_equal(evidence_head(&out, log, &h, t->keys, 1, t->chain, t->count), ERR_OK);
    stands(&out, EVIDENCE_HEAD, EVIDENCE_PROVEN);
    buf_close(&out);
    /* The right head, claimed for a tree that had it not yet. */
    h = pieces_head(good, 60);
    h.size = 3;
    pieces_sign_head(good, &h);
    assert_int_equal(evidence_head(&out, log, &h, t->keys, 1, t->chain, t->count), ERR_OK);
    stands(&out, EVIDENCE_HEAD, EVIDENCE_PROVEN);
    buf_close(&out);
    /* Signed by somebody else. */
    uint8_t message[MESSAGE_BYTES_MAX];
    h.head.b[0] ^= 1;
    size_t n = head_message(message, &h.account, h.position, &h.head, log->name, h.size);
    h.sig = key_sign(good->f->stranger, CTX_HEAD, message, n);
    assert_int_equal(evidence_head(&out, log, &h, t->keys, 1, t->chain, t->count),
                     ERR_NOT_FOUND);
    /* Records left out. */
    h = pieces_head(good, 60);
    h.head.b[0] ^= 1;
    pieces_sign_head(good, &h);
    assert_int_equal(evidence_head(&out, log, &h, t->keys, 1, t->chain + 1, t->count - 1),
                     ERR_NOT_FOUND);
    assert_int_equal(evidence_head(&out, log, &h, t->keys, 1, t->chain, t->count - 1),
                     ERR_NOT_FOUND);
    buf_close(&out);
    free(t);
}

static void two_heads_and_omissions_are_proven(void **state)
{
    (void)state;
    struct signed_head a = pieces_head(good, 60), b = pieces_head(good, 200), c = a;
    struct told *t = account_of(good, 1);
    struct buf out = {0};
    const struct vkey *log = &good->f->log_key[0];
    assert_int_equal(evidence_heads(&out, log, &a, &b, t->keys, 1), ERR_NOT_FOUND);
    c.head.b[3] ^= 1;
    pieces_sign_head(good, &c);
    assert_int_equal(evidence_heads(&out, log, &a, &c, t->keys, 1), ERR_OK);
    stands(&out, EVIDENCE_HEADS, EVIDENCE_PROVEN);
    buf_close(&out);
    size_t count = (size_t)good->size[3];
    uint8_t *leaves = malloc(count * LEAF_BYTES);
    for (size_t i = 0; i < count; i++)
        memcpy(leaves + i * LEAF_BYTES, good->f->slot[0].rows[i].leaf, LEAF_BYTES);
    assert_int_equal(evidence_omitted(&out, log, &a, t->keys, 1, note_of(good, 3), leaves,
                                      count),
                     ERR_NOT_FOUND);
    assert_int_equal(evidence_omitted(&out, log, &c, t->keys, 1, note_of(good, 3), leaves,
                                      count),
                     ERR_OK);
    stands(&out, EVIDENCE_OMITTED, EVIDENCE_PROVEN);
    /* A tree that does not reach the head's size shows nothing. */
    c.size = good->size[3] + 1;
    pieces_sign_head(good, &c);
    buf_close(&out);
    assert_int_equal(evidence_omitted(&out, log, &c, t->keys, 1, note_of(good, 3), leaves,
                                      count),
                     ERR_NOT_FOUND);
    buf_close(&out);
    free(leaves);
    free(t);
}

static void a_reused_seq_is_told_and_a_refusal_clears_it(void **state)
{
    static char room[PIECES_PROOF_MAX];
    uint8_t other[FORGE_ENVELOPE_MAX], message[MESSAGE_BYTES_MAX];
    struct payload p = {.kind = KIND_NOTE};
    (void)state;
    struct told *t = account_of(good, 1);
    const struct vkey *log = &good->f->log_key[0];
    size_t last = good->f->slot[0].count - 1;
    struct evidence_record logged = pieces_record(good, last, 3, room);
    /* A device writes the last entry's number again, with other words. */
    p.note.data = bytes_of("other words", 11);
    size_t size = forge_build(good->f, 0, &good->f->people[0].account,
                              good->f->people[0].device, &p, &(struct twist){.seq = -1}, other);
    struct bytes two = bytes_of(other, size);
    struct buf out = {0};
    assert_int_equal(evidence_reused(&out, log, &logged, t->keys, 1, two, NULL), ERR_OK);
    stands(&out, EVIDENCE_SEQ_REUSED, EVIDENCE_REUSED);
    struct entry e;
    assert_int_equal(entry_decode(&e, other, size), ERR_OK);
    struct known_refusal r = {.id = e.id, .code = ERR_BALANCE, .hub_time_ms = 5};
    size_t n = refusal_message(message, &r.id, r.code, r.hub_time_ms);
    r.sig = key_sign(good->f->relay, CTX_REFUSAL, message, n);
    struct evidence_trust knows = trust;
    struct evidence_result result;
    knows.refusals = &r;
    knows.refusal_count = 1;
    evidence_check(out.data, out.size, &knows, &result);
    assert_int_equal(result.verdict, EVIDENCE_CLEARED);
    buf_close(&out);
    assert_int_equal(evidence_reused(&out, log, &logged, t->keys, 1, two, &r), ERR_OK);
    assert_int_equal(check(&out).verdict, EVIDENCE_CLEARED);
    buf_close(&out);
    logged.proof = bytes_of(NULL, 0);
    assert_int_equal(evidence_reused(&out, log, &logged, t->keys, 1, two, NULL), ERR_OK);
    assert_int_equal(check(&out).verdict, EVIDENCE_LABELLED);
    buf_close(&out);
    /* A signature that is not the device's is nobody's fault. */
    other[size - 1] ^= 1;
    assert_int_equal(evidence_reused(&out, log, &logged, t->keys, 1, two, NULL),
                     ERR_NOT_FOUND);
    buf_close(&out);
    free(t);
}

/* ---- honest pieces, put together in every wrong way -------------------------------------------
 */

static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void no_heap_of_honest_pieces_accuses_anybody(void **state)
{
    uint64_t seed = 88172645463325252u;
    (void)state;
    for (int run = 0; run < 3000; run++) {
        struct buf out = {0};
        enum evidence_kind kind = EVIDENCE_FORK + next(&seed) % 6;
        pieces_begin(good, &out, kind);
        for (uint64_t parts = 1 + next(&seed) % 4; parts > 0; parts--) {
            uint64_t word = next(&seed);
            pieces_put(good, &out,
                       &(struct piece){.what = word % PIECE_KINDS,
                                       .a = word >> 8 & 0xff,
                                       .b = word >> 16 & 0xff,
                                       .index = word >> 24 & 0xffff});
        }
        if (next(&seed) % 3 == 0)
            out.data[next(&seed) % out.size] ^= (uint8_t)(1u << next(&seed) % 8);
        struct evidence_result r = check(&out);
        if (r.verdict == EVIDENCE_PROVEN || r.verdict == EVIDENCE_REUSED)
            fail_msg("run %d accuses: %s: %s", run, evidence_kind_word(r.kind), r.why);
        buf_close(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forks_are_proven_at_every_pair_of_sizes),
        cmocka_unit_test(checkpoints_of_one_tree_are_no_fork),
        cmocka_unit_test(receipts_that_contradict_are_proven),
        cmocka_unit_test(a_head_the_log_contradicts_is_proven),
        cmocka_unit_test(two_heads_and_omissions_are_proven),
        cmocka_unit_test(a_reused_seq_is_told_and_a_refusal_clears_it),
        cmocka_unit_test(no_heap_of_honest_pieces_accuses_anybody),
    };
    return cmocka_run_group_tests_name("evidence", tests, begin, end);
}
