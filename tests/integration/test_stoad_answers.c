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

/* Id of a slot's first record, its log_open. */
static struct hash hub_account(struct wirekit *k, uint64_t slot)
{
    struct wire_frame fetch = {.type = WIRE_FETCH,
                               .rid = ++k->rid,
                               .key = {.what = WIRE_SLOT, .slot = slot},
                               .max = 1};
    struct record first;
    struct entry e;
    assert_true(wirekit_send(k, &fetch));
    assert_true(wirekit_expect(k, WIRE_PAGE, WAIT_MS));
    struct mp_reader list = k->f.list;
    wire_next_record(&list, &first);
    assert_int_equal(entry_decode(&e, first.envelope.data, first.envelope.size), ERR_OK);
    assert_int_equal(e.kind, KIND_LOG_OPEN);
    return e.id;
}

static void a_hub_account_is_read_in_its_own_slot(void **state)
{
    struct wirekit k;
    struct checkpoint c;
    unsigned elsewhere = 0;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    hub_trust(&hub, &k);
    for (uint64_t slot = 0; slot < k.hub.slots; slot++) {
        struct wire_key key = {.what = WIRE_ACCOUNT, .id = hub_account(&k, slot)};
        elsewhere += slot_of(&key.id, k.hub.slots) != slot;
        assert_true(wirekit_head(&k, &key.id, &k.hub.relay));
        assert_int_equal(k.f.slot, slot);
        assert_int_equal(k.f.position, 1);
        assert_int_equal(k.f.balance, 0);
        assert_true(k.f.has_chain);
        assert_int_equal(k.f.next_seq, 1);
        assert_true(hash_equal(&k.f.tip, &key.id));

        assert_true(wirekit_subscribe(&k, &key, 0));
        assert_true(wirekit_expect(&k, WIRE_RECORDS, WAIT_MS));
        assert_int_equal(k.f.count, 1);
        assert_true(checkpoint_open(&c, (const char *)k.f.note.data, k.f.note.size,
                                    &k.log[slot]));
        assert_true(wirekit_send(
            &k,
            &(struct wire_frame){.type = WIRE_UNSUBSCRIBE, .rid = ++k.rid, .key = key}));
        assert_true(wirekit_expect(&k, WIRE_OK, WAIT_MS));
    }
    assert_true(elsewhere > 0);
    wirekit_close(&k);
}

static void give_points(struct wirekit *k, const struct person *p, int64_t amount)
{
    char path[512];
    struct key *issuer = NULL;
    uint8_t envelope[1024];
    struct wire_result r;
    hubproc_path(&hub, "state/keys/issuer.key", path);
    assert_int_equal(keyfile_load(path, &issuer, NULL, NULL), KEYFILE_OK);
    struct pubkey public_key = key_public(issuer);
    assert_true(wirekit_head(k, &p->account, &public_key));
    size_t n = issuer_accrue(issuer, &p->account, k->f.next_seq, &k->f.tip,
                             k->f.tip_lamport, 1, amount, envelope, sizeof(envelope));
    assert_true(wirekit_submit_one(k, bytes_of(envelope, n), &r));
    assert_int_equal(r.code, 0);
    key_free(issuer);
}

/* A slot whose hub account has an id of another slot. */
static uint64_t odd_slot(struct wirekit *k, struct hash *hub_id)
{
    for (uint64_t slot = 0; slot < k->hub.slots; slot++) {
        *hub_id = hub_account(k, slot);
        if (slot_of(hub_id, k->hub.slots) != slot)
            return slot;
    }
    fail();
    return 0;
}

/* Bounces stand in the hub account of the slot that the payee would be in. */
static void bounces_are_seen_in_the_hub_account(void **state)
{
    enum { BOUNCES = 3 };
    struct wirekit k, follower;
    struct person p;
    struct wire_result r;
    struct wire_key key = {.what = WIRE_ACCOUNT};
    struct hash nobody = {{0}};
    uint64_t next = 0;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 3);
    give_points(&k, &p, 1000);
    uint64_t slot = odd_slot(&k, &key.id);
    nobody.b[0] = (uint8_t)(slot * 256 / k.hub.slots);
    nobody.b[31] = 1;
    assert_int_equal(slot_of(&nobody, k.hub.slots), slot);
    assert_true(wirekit_open(&follower, hub.port, NULL));
    assert_true(wirekit_subscribe(&follower, &key, 0));
    assert_true(wirekit_expect(&follower, WIRE_OK, WAIT_MS));
    for (int i = 0; i < BOUNCES; i++) {
        person_transfer(&p, &nobody, AMOUNT);
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
        assert_int_equal(r.code, 0);
    }
    while (next < 1 + BOUNCES) {
        assert_true(wirekit_expect(&follower, WIRE_RECORDS, WAIT_MS));
        struct mp_reader list = follower.f.list;
        for (size_t i = 0; i < follower.f.count; i++) {
            struct record one;
            wire_next_record(&list, &one);
            assert_int_equal(one.slot, slot);
            assert_int_equal(one.position, next++);
        }
    }
    assert_true(wirekit_send(
        &k,
        &(struct wire_frame){.type = WIRE_FETCH, .rid = ++k.rid, .key = key, .max = 2}));
    assert_true(wirekit_expect(&k, WIRE_PAGE, WAIT_MS));
    assert_int_equal(k.f.count, 2);
    assert_int_equal(k.f.end, 1 + BOUNCES);
    assert_true(wirekit_head(&k, &key.id, NULL));
    assert_int_equal(k.f.position, 1 + BOUNCES);
    person_free(&p);
    wirekit_close(&k);
    wirekit_close(&follower);
}

static void ask_page(struct wirekit *k, const struct wire_key *key, uint64_t from)
{
    assert_true(wirekit_send(
        k,
        &(struct wire_frame){
            .type = WIRE_FETCH, .rid = ++k->rid, .key = *key, .from = from, .max = 100}));
    assert_true(wirekit_expect(k, WIRE_PAGE, WAIT_MS));
    assert_int_equal(k->f.rid, k->rid);
}

static void a_page_past_the_end_tells_the_length(void **state)
{
    static const uint64_t past[] = {0, 1, 2, 100, UINT32_MAX, INT64_MAX};
    struct wirekit k;
    struct person p;
    struct wire_result r;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 4);
    struct wire_key key = {.what = WIRE_ACCOUNT, .id = p.account};
    struct wire_key none = {.what = WIRE_ACCOUNT, .id = {{0xee, 1}}};
    for (uint64_t length = 1; length < 20; length++) {
        for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
            uint64_t from =
                past[i] > (uint64_t)INT64_MAX - length ? past[i] : length + past[i];
            ask_page(&k, &key, from);
            assert_int_equal(k.f.count, 0);
            assert_int_equal(k.f.next, from);
            assert_int_equal(k.f.end, length);
        }
        ask_page(&k, &key, length - 1);
        assert_int_equal(k.f.count, 1);
        assert_int_equal(k.f.end, length);
        person_note(&p, 5);
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
        assert_int_equal(r.code, 0);
    }
    ask_page(&k, &none, 7);
    assert_int_equal(k.f.end, 0);
    person_free(&p);
    wirekit_close(&k);
}

static void write_payload(struct wirekit *k, struct person *p,
                          const struct payload *payload)
{
    uint8_t room[1024];
    struct wire_result r;
    struct mp_writer w = mp_writer_of(room, sizeof(room));
    payload_encode(&w, payload);
    person_entry(p, payload->kind, bytes_of(room, w.size));
    assert_true(wirekit_submit_one(k, person_bytes(p), &r));
    assert_int_equal(r.code, 0);
}

/* A second device of the person's account; the root of `of` is in the account. */
static void enroll(struct wirekit *k, struct person *of, const struct pubkey *device)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct payload payload = {.kind = KIND_DEVICE_ADD};
    struct p_device_add *add = &payload.device_add;
    add->root = key_public(of->root);
    add->device = *device;
    add->grant = 1;
    size_t n = grant_device_message(message, &of->account, &add->root, device, 1);
    add->root_sig = key_sign(of->root, CTX_DEVICE, message, n);
    write_payload(k, of, &payload);
}

static void the_end_of_a_subscription_names_its_subscribe(void **state)
{
    struct wirekit k, second;
    struct person p, other;
    struct wire_result r;
    (void)state;
    person_make(&other, 6);
    struct pubkey device = key_public(other.device);
    assert_true(wirekit_open(&k, hub.port, NULL));
    person_make(&p, 5);
    person_open(&p, &k.hub, RESIDENCY_PINNED);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, 0);
    enroll(&k, &p, &device);

    assert_true(wirekit_open(&second, hub.port, other.device));
    struct wire_key key = {.what = WIRE_ACCOUNT, .id = p.account};
    second.rid = 4710;
    assert_true(wirekit_subscribe(&second, &key, 0));
    assert_true(wirekit_expect(&second, WIRE_OK, WAIT_MS));
    assert_int_equal(second.f.rid, 4711);
    assert_true(wirekit_expect(&second, WIRE_RECORDS, WAIT_MS));
    assert_int_equal(second.f.count, 2);
    write_payload(&k, &p,
                  &(struct payload){.kind = KIND_DEVICE_REVOKE,
                                    .device_revoke = {.device = device}});
    assert_true(wirekit_receive(&second, WAIT_MS));
    assert_int_equal(second.f.type, WIRE_ERROR);
    assert_int_equal(second.f.code, ERR_NOT_ALLOWED);
    assert_int_equal(second.f.rid, 4711);
    wirekit_close(&second);
    wirekit_close(&k);
    person_free(&p);
    person_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_rules_refused_is_signed),
        cmocka_unit_test(a_refusal_that_rests_on_its_own_batch_says_why),
        cmocka_unit_test(a_hub_account_is_read_in_its_own_slot),
        cmocka_unit_test(bounces_are_seen_in_the_hub_account),
        cmocka_unit_test(a_page_past_the_end_tells_the_length),
        cmocka_unit_test(the_end_of_a_subscription_names_its_subscribe),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
