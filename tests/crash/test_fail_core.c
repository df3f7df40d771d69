/* The n-th allocation fails while evidence, heads and receipts are made and judged, n = 1, 2, 3..
 * until all goes through. What cannot be made says that memory is out and leaves no half behind; a
 * judge who could not read all of it accuses nobody and clears nobody. Nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/context.h"
#include "ledger/receipt.h"
#include "ledger/wire.h"
#include "tests/crash/fail_alloc.h"
#include "tests/unit/audit/pieces.h"

#define ROUNDS_MAX 10000

/* ---- what is made ------------------------------------------------------------------------ */

static struct pieces *good, *bad;
static const struct vkey *vkey;
static char key_proof[PIECES_PROOF_MAX], proofs[2][PIECES_PROOF_MAX];
static size_t proof_size[2];
static char chain_proof[64][PIECES_PROOF_MAX];
static char logged_proof[PIECES_PROOF_MAX];
static struct evidence_record key_record, logged, chain[64];
static size_t chain_count;
static struct signed_head head, lie;
static uint8_t *leaves;
static uint8_t other[4096];
static size_t other_size;
static struct known_refusal refusal;

static struct bytes note_of(const struct pieces *p, unsigned i)
{
    return bytes_of(p->note[i], p->note_size[i]);
}

static struct bytes leaf_of(const struct pieces *p, size_t i)
{
    return bytes_of(p->f->slot[0].rows[i].leaf, LEAF_BYTES);
}

static enum err make_fork(struct buf *out)
{
    return evidence_fork(out, vkey, note_of(good, 2), note_of(bad, 2), NULL, 0);
}

static enum err make_receipt_evidence(struct buf *out)
{
    return evidence_receipt(out, vkey, bytes_of(proofs[0], proof_size[0]), leaf_of(good, 120),
                            bytes_of(proofs[1], proof_size[1]), leaf_of(bad, 120));
}

static enum err make_head(struct buf *out)
{
    return evidence_head(out, vkey, &lie, &key_record, 1, chain, chain_count);
}

static enum err make_heads(struct buf *out)
{
    return evidence_heads(out, vkey, &head, &lie, &key_record, 1);
}

static enum err make_omitted(struct buf *out)
{
    return evidence_omitted(out, vkey, &lie, &key_record, 1, note_of(good, 3), leaves,
                            (size_t)good->size[3]);
}

static enum err make_reused(struct buf *out)
{
    return evidence_reused(out, vkey, &logged, &key_record, 1,
                           bytes_of(other, other_size), NULL);
}

static enum err make_cleared(struct buf *out)
{
    return evidence_reused(out, vkey, &logged, &key_record, 1,
                           bytes_of(other, other_size), &refusal);
}

static enum err make_head_file(struct buf *out)
{
    return head_file_make(out, vkey, &head, &key_record, 1);
}

static enum err make_receipt(struct buf *out)
{
    static struct tlog_proof p;
    const struct row *row = &good->f->slot[0].rows[120];
    struct record r = {.slot = 0, .index = 120, .envelope = bytes_of(row->envelope, row->size)};
    return tlog_proof_parse(&p, proofs[0], proof_size[0])
               ? receipt_format(out, &r, p.path, p.path_count, note_of(good, 1))
               : ERR_BUG;
}

/* The number of the newest entry in the log once more, by its device, with other words. */
static void say_again(void)
{
    struct payload p = {.kind = KIND_NOTE};
    struct entry e;
    uint8_t message[MESSAGE_BYTES_MAX];
    p.note.data = bytes_of("other words", 11);
    other_size = forge_build(good->f, 0, &good->f->people[0].account, good->f->people[0].device, &p,
                             &(struct twist){.seq = -1}, other);
    assert_int_equal(entry_decode(&e, other, other_size), ERR_OK);
    refusal = (struct known_refusal){.id = e.id, .code = ERR_BALANCE, .hub_time_ms = 5};
    size_t n = refusal_message(message, &refusal.id, refusal.code, refusal.hub_time_ms);
    refusal.sig = key_sign(good->f->relay, CTX_REFUSAL, message, n);
}

static int set_up(void **state)
{
    (void)state;
    if (!crypto_start())
        return 1;
    good = pieces_open();
    bad = pieces_liar();
    vkey = &good->f->log_key[0];
    key_record = pieces_record(good, 0, 3, key_proof);
    proof_size[0] = pieces_proof(good, 120, 1, proofs[0]);
    proof_size[1] = pieces_proof(bad, 120, 3, proofs[1]);
    const struct forge_slot *s = &good->f->slot[0];
    head = pieces_head(good, 60);
    for (size_t i = 0; i < s->count && chain_count < head.position; i++)
        if (hash_equal(&s->rows[i].account, &head.account) && chain_count < 63) {
            chain[chain_count] = pieces_record(good, i, 3, chain_proof[chain_count]);
            chain_count++;
        }
    lie = head;
    lie.head.b[3] ^= 1;
    pieces_sign_head(good, &lie);
    size_t count = (size_t)good->size[3];
    leaves = malloc(count * LEAF_BYTES);
    for (size_t i = 0; leaves && i < count; i++)
        memcpy(leaves + i * LEAF_BYTES, s->rows[i].leaf, LEAF_BYTES);
    logged = pieces_record(good, s->count - 1, 3, logged_proof);
    say_again();
    return leaves && chain_count == head.position ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    free(leaves);
    pieces_close(bad);
    pieces_close(good);
    return 0;
}

/* ---- one failure at a time --------------------------------------------------------------- */

/* Makes it with every allocation failing once; `out` has the whole one at the end. */
static void each_failure(const char *name, enum err (*make)(struct buf *out), struct buf *out)
{
    for (long n = 1; n < ROUNDS_MAX; n++) {
        struct buf b = {0};
        assert_true(buf_add(&b, "before", 6));
        fail_alloc_arm(n);
        enum err e = make(&b);
        bool hit = fail_alloc_disarm();
        if (!hit) {
            assert_int_equal(e, ERR_OK);
            assert_true(buf_add(out, b.data + 6, b.size - 6));
            buf_close(&b);
            print_message("          %s: %ld failures\n", name, n - 1);
            return;
        }
        /* A judge without memory does not hold it to stand: ERR_NOT_FOUND, ERR_SIGNATURE. */
        assert_true(e == ERR_MEMORY || e == ERR_NOT_FOUND || e == ERR_SIGNATURE);
        assert_int_equal(b.size, 6);
        assert_memory_equal(b.data, "before", 6);
        buf_close(&b);
    }
    fail_msg("%s: no end", name);
}

static void judged(const char *name, const struct buf *b, enum evidence_verdict wanted)
{
    const struct evidence_trust trust = {.logs = vkey, .log_count = 1};
    for (long n = 1; n < ROUNDS_MAX; n++) {
        struct evidence_result r;
        fail_alloc_arm(n);
        evidence_check(b->data, b->size, &trust, &r);
        bool hit = fail_alloc_disarm();
        assert_true(r.why[0] != 0);
        if (!hit) {
            assert_int_equal(r.verdict, wanted);
            print_message("          %s judged: %ld failures\n", name, n - 1);
            return;
        }
        assert_int_equal(r.verdict, EVIDENCE_INVALID);
    }
    fail_msg("%s: no end", name);
}

static void evidence_is_made_whole_or_not_and_judged_whole_or_not(void **state)
{
    static const struct {
        const char *name;
        enum err (*make)(struct buf *out);
        enum evidence_verdict verdict;
    } jobs[] = {{"fork", make_fork, EVIDENCE_PROVEN},
                {"receipt", make_receipt_evidence, EVIDENCE_PROVEN},
                {"head", make_head, EVIDENCE_PROVEN},
                {"heads", make_heads, EVIDENCE_PROVEN},
                {"omitted", make_omitted, EVIDENCE_PROVEN},
                {"cleared", make_cleared, EVIDENCE_CLEARED},
                {"reused", make_reused, EVIDENCE_REUSED}};
    (void)state;
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        struct buf b = {0};
        each_failure(jobs[i].name, jobs[i].make, &b);
        judged(jobs[i].name, &b, jobs[i].verdict);
        buf_close(&b);
    }
}

static void a_head_file_is_made_whole_or_not(void **state)
{
    const struct evidence_trust trust = {.logs = vkey, .log_count = 1};
    struct buf b = {0};
    struct head_file f;
    (void)state;
    each_failure("head file", make_head_file, &b);
    for (long n = 1; n < ROUNDS_MAX; n++) {
        fail_alloc_arm(n);
        enum err e = head_file_check(b.data, b.size, &trust, &f);
        bool hit = fail_alloc_disarm();
        if (!hit) {
            assert_int_equal(e, ERR_OK);
            break;
        }
        assert_int_not_equal(e, ERR_OK);
        assert_true(f.why[0] != 0);
    }
    buf_close(&b);
}

static void a_receipt_is_made_and_read_whole_or_not(void **state)
{
    struct buf b = {0};
    static struct receipt r;
    (void)state;
    each_failure("receipt text", make_receipt, &b);
    for (long n = 1; n < ROUNDS_MAX; n++) {
        fail_alloc_arm(n);
        enum err e = receipt_parse(&r, (const char *)b.data, b.size);
        bool hit = fail_alloc_disarm();
        receipt_close(&r);
        if (!hit) {
            assert_int_equal(e, ERR_OK);
            break;
        }
        assert_int_not_equal(e, ERR_OK);
    }
    buf_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_is_made_whole_or_not_and_judged_whole_or_not),
        cmocka_unit_test(a_head_file_is_made_whole_or_not),
        cmocka_unit_test(a_receipt_is_made_and_read_whole_or_not),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
