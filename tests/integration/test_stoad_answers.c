/* What single answers say, in the cases that are easily got wrong: which refusals are
 * signed, the hub's own accounts, pages past the end, why a subscription ended. */
#include "tests/integration/hub.h"

#include <stdio.h>

#include "crypto/keyfile.h"

#define AMOUNT 77

static struct hubproc hub;

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    hub_new(&hub, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_signal(&hub, 15);
    int code = hubproc_wait(&hub, 10000);
    hubproc_close(&hub);
    return code == 0 ? 0 : -1;
}

static bool refusal_signed(const struct wirekit *k, const struct wire_result *r,
                           const struct hash *id)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = refusal_message(message, id, r->code, r->hub_time_ms);
    return r->has_sig && sig_verify(&r->sig, &k->hub.relay, CTX_REFUSAL, message, n);
}

static void sign_again(struct person *p)
{
    size_t body = p->size - SIG_BYTES;
    struct signature sig = key_sign(p->device, CTX_ENTRY, p->bytes, body);
    memcpy(p->bytes + body, sig.b, sizeof(sig.b));
    p->id = hash_context(CTX_ENTRY, p->bytes, body);
}

/* A transfer of nothing: well signed, and refused before the rules see it. */
static void transfer_nothing(struct person *p, const struct hash *payee)
{
    struct entry e;
    person_transfer(p, payee, AMOUNT);
    uint8_t *at = memmem(p->bytes, p->size, payee->b, sizeof(payee->b));
    assert_non_null(at);
    uint8_t *amount = memchr(at + sizeof(payee->b), AMOUNT, 4);
    assert_non_null(amount);
    *amount = 0;
    sign_again(p);
    assert_int_equal(entry_decode(&e, p->bytes, p->size), ERR_AMOUNT);
}

static void only_what_the_rules_refused_is_signed(void **state)
{
    struct wirekit k;
    struct person p;
    struct wire_result r;
    struct hash payee = {{1, 2, 3}};
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 1);
    struct person before = p;
    transfer_nothing(&p, &payee);
    for (int i = 0; i < 3; i++) {
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
        assert_int_equal(r.code, ERR_AMOUNT);
        assert_false(r.has_sig);
    }
    /* The same with a broken signature: the first error is still that of the form. */
    p.bytes[p.size - 1] ^= 1;
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, ERR_AMOUNT);
    assert_false(r.has_sig);

    p = before;
    person_transfer(&p, &payee, AMOUNT);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, ERR_BALANCE);
    assert_true(refusal_signed(&k, &r, &p.id));
    person_free(&p);
    wirekit_close(&k);
}

/* Results of the newest SUBMIT by their place in it. */
static void collect(struct wirekit *k, struct wire_result *results, size_t count)
{
    for (size_t got = 0; got < count;) {
        assert_true(wirekit_expect(k, WIRE_RESULTS, WAIT_MS));
        struct mp_reader list = k->f.list;
        for (size_t i = 0; i < k->f.count; i++, got++) {
            struct wire_result r;
            wire_next_result(&list, &r);
            assert_true(r.rid == k->rid && r.i < count);
            results[r.i] = r;
        }
    }
}

static void a_refusal_that_rests_on_its_own_batch_says_why(void **state)
{
    struct wirekit k;
    struct person p;
    struct wire_result r[2];
    static uint8_t note[400];
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 2);
    person_note(&p, 10);
    memcpy(note, p.bytes, p.size);
    struct bytes list[2] = {bytes_of(note, p.size)};
    struct hash tip = p.id;
    uint64_t next = p.next_seq;
    person_transfer(&p, &(struct hash){{4, 5, 6}}, AMOUNT);
    list[1] = person_bytes(&p);
    assert_true(wirekit_submit(&k, list, 2, 0));
    collect(&k, r, 2);
    assert_int_equal(r[0].code, 0);
    assert_int_equal(r[1].code, ERR_BALANCE);
    assert_true(r[1].has_head);
    assert_int_equal(r[1].next_seq, next);
    assert_true(hash_equal(&r[1].tip, &tip));
    assert_int_equal(r[1].retry_after_ms, 0);
    assert_true(refusal_signed(&k, &r[1], &p.id));
    person_free(&p);
    wirekit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_rules_refused_is_signed),
        cmocka_unit_test(a_refusal_that_rests_on_its_own_batch_says_why),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
