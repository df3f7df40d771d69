/* Hello, submit, receipt, duplicate, refusal, settlement: one client and a hub on disk.
 */
#include "tests/integration/hub.h"

#include "crypto/keyfile.h"
#include "crypto/seal.h"
#include "tests/lib/clock.h"

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

static void a_receipt_proves_the_entry_is_in_the_log(void **state)
{
    struct wirekit k;
    struct person anna;
    struct wire_result r;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    hub_trust(&hub, &k);
    open_account(&k, &anna, 1);
    for (int i = 0; i < 20; i++) {
        person_note(&anna, 100);
        assert_true(wirekit_submit_one(&k, person_bytes(&anna), &r));
        assert_int_equal(r.code, 0);
        assert_int_equal(r.position, i + 1);
        assert_int_equal(r.flags, 0);
        assert_true(wirekit_receipt_ok(&k, &r, person_bytes(&anna)));
    }
    person_free(&anna);
    wirekit_close(&k);
}

static void a_device_proves_itself_and_a_wrong_signature_is_turned_away(void **state)
{
    struct wirekit k;
    struct person bo;
    (void)state;
    person_make(&bo, 2);
    assert_true(wirekit_open(&k, hub.port, bo.device));
    wirekit_close(&k);

    assert_true(wirekit_challenged(&k, hub.port));
    struct wire_frame hello = {.type = WIRE_HELLO,
                               .rid = 1,
                               .has_device = true,
                               .device = key_public(bo.device),
                               .has_sig = true,
                               .sig = key_sign(bo.device, CTX_HELLO, "other", 5)};
    assert_true(wirekit_send(&k, &hello));
    assert_true(wirekit_receive(&k, WAIT_MS));
    assert_int_equal(k.f.type, WIRE_ERROR);
    assert_int_equal(k.f.code, ERR_HELLO);
    assert_false(wirekit_receive(&k, WAIT_MS));
    assert_true(k.ws.closed);
    wirekit_close(&k);
    person_free(&bo);
}

static void the_same_entry_again_gets_the_same_place(void **state)
{
    struct wirekit k;
    struct person p;
    struct wire_result first, again;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    hub_trust(&hub, &k);
    open_account(&k, &p, 3);
    person_note(&p, 50);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &first));
    for (int i = 0; i < 3; i++) {
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &again));
        assert_int_equal(again.code, 0);
        assert_int_equal(again.flags, WIRE_RESULT_DUPLICATE);
        assert_int_equal(again.index, first.index);
        assert_int_equal(again.position, first.position);
        assert_true(hash_equal(&again.account_head, &first.account_head));
        assert_true(wirekit_receipt_ok(&k, &again, person_bytes(&p)));
    }
    /* Twice in one frame: one record, two results. */
    person_note(&p, 60);
    struct bytes twice[2] = {person_bytes(&p), person_bytes(&p)};
    assert_true(wirekit_submit(&k, twice, 2, 0));
    uint64_t index[2] = {0, 1};
    for (int got = 0; got < 2;) {
        assert_true(wirekit_expect(&k, WIRE_RESULTS, WAIT_MS));
        struct mp_reader list = k.f.list;
        for (size_t i = 0; i < k.f.count; i++, got++) {
            struct wire_result r;
            wire_next_result(&list, &r);
            assert_int_equal(r.code, 0);
            assert_true(r.i < 2);
            index[r.i] = r.index;
        }
    }
    assert_int_equal(index[0], index[1]);
    person_free(&p);
    wirekit_close(&k);
}

static void a_refusal_is_signed_and_carries_the_head(void **state)
{
    struct wirekit k;
    struct person p;
    struct wire_result r;
    uint8_t message[MESSAGE_BYTES_MAX];
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 4);
    struct hash tip = p.tip;
    uint64_t next = p.next_seq, lamport = p.lamport;

    person_transfer(&p, &(struct hash){{1, 2, 3}}, 5);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, ERR_BALANCE);
    assert_true(r.has_head && r.has_sig);
    assert_int_equal(r.next_seq, next);
    assert_true(hash_equal(&r.tip, &tip));
    assert_int_equal(r.tip_lamport, lamport);
    size_t n = refusal_message(message, &p.id, r.code, r.hub_time_ms);
    assert_true(sig_verify(&r.sig, &k.hub.relay, CTX_REFUSAL, message, n));

    /* Its follower finds a gap. */
    person_note(&p, 10);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, ERR_GAP);

    /* A broken signature is refused by the door, unsigned. */
    p.bytes[p.size - 1] ^= 1;
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, ERR_SIGNATURE);
    assert_false(r.has_sig);
    person_free(&p);
    wirekit_close(&k);
}

static void bad_entries_among_good_ones_are_answered_one_by_one(void **state)
{
    struct wirekit k;
    struct person p;
    static uint8_t copies[4][400];
    struct bytes list[4];
    enum err want[4] = {ERR_OK, ERR_MALFORMED, ERR_OK, ERR_TOO_LARGE};
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 5);
    for (int i = 0; i < 4; i++) {
        if (i == 1) {
            memset(copies[1], 0xc1, 90);
            list[1] = bytes_of(copies[1], 90);
            continue;
        }
        if (i == 3) {
            list[3] = bytes_of(NULL, 0);
            want[3] = ERR_MALFORMED;
            continue;
        }
        person_note(&p, 20);
        memcpy(copies[i], p.bytes, p.size);
        list[i] = bytes_of(copies[i], p.size);
    }
    assert_true(wirekit_submit(&k, list, 4, 0));
    for (int got = 0; got < 4;) {
        assert_true(wirekit_expect(&k, WIRE_RESULTS, WAIT_MS));
        struct mp_reader r = k.f.list;
        for (size_t i = 0; i < k.f.count; i++, got++) {
            struct wire_result one;
            wire_next_result(&r, &one);
            assert_int_equal(one.code, want[one.i]);
        }
    }
    person_free(&p);
    wirekit_close(&k);
}

static struct key *issuer_key(void)
{
    char path[512];
    struct key *k = NULL;
    hubproc_path(&hub, "state/keys/issuer.key", path);
    assert_int_equal(keyfile_load(path, &k, NULL, NULL), KEYFILE_OK);
    return k;
}

static void points_are_sent_and_settled(void **state)
{
    struct wirekit k;
    struct person from, to;
    struct wire_result r;
    uint8_t envelope[1024];
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    hub_trust(&hub, &k);
    open_account(&k, &from, 6);
    open_account(&k, &to, 7);
    struct key *issuer = issuer_key();
    struct pubkey public_key = key_public(issuer);
    assert_true(wirekit_head(&k, &from.account, &public_key));
    assert_true(k.f.has_chain);
    size_t n = issuer_accrue(issuer, &from.account, k.f.next_seq, &k.f.tip,
                             k.f.tip_lamport, 1, 1000, envelope, sizeof(envelope));
    assert_true(wirekit_submit_one(&k, bytes_of(envelope, n), &r));
    assert_int_equal(r.code, 0);
    person_transfer(&from, &to.account, 400);
    struct bytes one = person_bytes(&from);
    assert_true(wirekit_submit(&k, &one, 1, WIRE_SUBMIT_SETTLED));
    assert_true(wirekit_expect(&k, WIRE_RESULTS, WAIT_MS));
    assert_int_equal(wirekit_result(&k).code, 0);
    assert_true(wirekit_expect(&k, WIRE_SETTLED, WAIT_MS));
    struct wire_settled s;
    struct mp_reader list = k.f.list;
    wire_next_settled(&list, &s);
    assert_true(hash_equal(&s.cause, &from.id));
    assert_false(s.bounced);
    assert_int_equal(s.left, 0);

    assert_true(wirekit_send(
        &k,
        &(struct wire_frame){.type = WIRE_SETTLEMENT, .rid = ++k.rid, .id = from.id}));
    assert_true(wirekit_expect(&k, WIRE_SETTLEMENT_IS, WAIT_MS));
    assert_int_equal(k.f.state, WIRE_SETTLE_DONE);
    assert_true(wirekit_head(&k, &from.account, NULL));
    assert_int_equal(k.f.balance, 600);
    assert_true(wirekit_head(&k, &to.account, NULL));
    assert_int_equal(k.f.balance, 400);

    /* To nobody: it bounces and comes back. */
    person_transfer(&from, &(struct hash){{9, 9, 9}}, 100);
    one = person_bytes(&from);
    assert_true(wirekit_submit(&k, &one, 1, WIRE_SUBMIT_SETTLED));
    assert_true(wirekit_expect(&k, WIRE_SETTLED, WAIT_MS));
    list = k.f.list;
    wire_next_settled(&list, &s);
    assert_true(s.bounced);
    uint64_t end = mono_ms() + WAIT_MS;
    do
        assert_true(wirekit_head(&k, &from.account, NULL));
    while (k.f.balance != 600 && mono_ms() < end);
    assert_int_equal(k.f.balance, 600);
    key_free(issuer);
    person_free(&from);
    person_free(&to);
    wirekit_close(&k);
}

static void pages_proofs_and_checkpoints_can_be_read(void **state)
{
    struct wirekit k;
    struct person p;
    struct wire_result r;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    hub_trust(&hub, &k);
    open_account(&k, &p, 8);
    for (int i = 0; i < 9; i++) {
        person_note(&p, 30);
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    }
    struct wire_frame fetch = {.type = WIRE_FETCH,
                               .rid = ++k.rid,
                               .key = {.what = WIRE_ACCOUNT, .id = p.account},
                               .from = 2,
                               .max = 5};
    assert_true(wirekit_send(&k, &fetch));
    assert_true(wirekit_expect(&k, WIRE_PAGE, WAIT_MS));
    assert_int_equal(k.f.count, 5);
    assert_int_equal(k.f.next, 7);
    assert_int_equal(k.f.end, 10);
    fetch.key.what = WIRE_ID;
    fetch.key.id = p.id;
    fetch.rid = ++k.rid;
    assert_true(wirekit_send(&k, &fetch));
    assert_true(wirekit_expect(&k, WIRE_PAGE, WAIT_MS));
    struct record record;
    struct mp_reader list = k.f.list;
    assert_int_equal(k.f.count, 1);
    wire_next_record(&list, &record);
    assert_int_equal(record.index, r.index);
    assert_int_equal(record.envelope.size, p.size);

    struct wire_frame proof = {.type = WIRE_PROOF,
                               .rid = ++k.rid,
                               .kind = WIRE_CONSISTENCY,
                               .slot = r.slot,
                               .a = 3,
                               .b = r.index + 1};
    assert_true(wirekit_send(&k, &proof));
    assert_true(wirekit_expect(&k, WIRE_PROOF_IS, WAIT_MS));
    proof.b = r.index + 100;
    assert_true(wirekit_send(&k, &proof));
    assert_true(wirekit_expect(&k, WIRE_ERROR, WAIT_MS));
    assert_int_equal(k.f.code, ERR_RANGE);

    struct checkpoint c;
    assert_true(wirekit_send(
        &k,
        &(struct wire_frame){.type = WIRE_CHECKPOINT, .rid = ++k.rid, .slot = r.slot}));
    assert_true(wirekit_expect(&k, WIRE_CHECKPOINT_IS, WAIT_MS));
    assert_true(
        checkpoint_open(&c, (const char *)k.f.note.data, k.f.note.size, &k.log[r.slot]));
    assert_int_equal(c.size, r.index + 1);
    person_free(&p);
    wirekit_close(&k);
}

static void an_attachment_is_kept_when_it_is_what_the_entry_committed_to(void **state)
{
    static uint8_t sealed[SEAL_CIPHER_MAX], salt[SEAL_SALT_BYTES];
    struct wirekit k;
    struct person p;
    struct wire_result r;
    size_t size;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 20);
    struct pubkey to = key_public(p.device);
    assert_true(seal_make(sealed, sizeof(sealed), &size, salt, "lunch", 5, &to, 1));
    struct hash commitment = seal_commitment(salt, sealed, size);
    struct hash prev = p.tip;
    uint8_t payload[3] = {0x91, 0xc4, 0x00}; /* a note of no bytes */
    struct entry_draft d = {.account = &p.account,
                            .seq = p.next_seq,
                            .prev = &prev,
                            .lamport = p.lamport + 1,
                            .time_ms = 1,
                            .kind = KIND_NOTE,
                            .payload = bytes_of(payload, sizeof(payload)),
                            .sealed_commitment = &commitment,
                            .sealed_size = size};
    assert_int_equal(entry_build(&d, p.device, p.bytes, sizeof(p.bytes), &p.size), ERR_OK);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, 0);
    struct wire_frame put = {.type = WIRE_SEALED_PUT,
                             .rid = ++k.rid,
                             .id = hash_context(CTX_ENTRY, p.bytes, p.size - SIG_BYTES),
                             .data = bytes_of(sealed, size)};
    struct wire_frame get = {.type = WIRE_SEALED_GET, .rid = 100, .id = put.id};
    assert_true(wirekit_send(&k, &get));
    assert_true(wirekit_expect(&k, WIRE_ERROR, WAIT_MS));
    assert_int_equal(k.f.code, ERR_NOT_FOUND);
    assert_true(wirekit_send(&k, &put)); /* with a salt of zeros */
    assert_true(wirekit_expect(&k, WIRE_ERROR, WAIT_MS));
    assert_int_equal(k.f.code, ERR_PAYLOAD);
    memcpy(put.salt.b, salt, sizeof(salt));
    for (int i = 0; i < 2; i++) { /* again is fine */
        assert_true(wirekit_send(&k, &put));
        assert_true(wirekit_expect(&k, WIRE_OK, WAIT_MS));
    }
    assert_true(wirekit_send(&k, &get));
    assert_true(wirekit_expect(&k, WIRE_SEALED_IS, WAIT_MS));
    assert_int_equal(k.f.data.size, size);
    assert_memory_equal(k.f.data.data, sealed, size);
    assert_memory_equal(k.f.salt.b, salt, sizeof(salt));
    put.id.b[0] ^= 1;
    assert_true(wirekit_send(&k, &put));
    assert_true(wirekit_expect(&k, WIRE_ERROR, WAIT_MS));
    assert_int_equal(k.f.code, ERR_NOT_FOUND);
    person_free(&p);
    wirekit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receipt_proves_the_entry_is_in_the_log),
        cmocka_unit_test(a_device_proves_itself_and_a_wrong_signature_is_turned_away),
        cmocka_unit_test(the_same_entry_again_gets_the_same_place),
        cmocka_unit_test(a_refusal_is_signed_and_carries_the_head),
        cmocka_unit_test(bad_entries_among_good_ones_are_answered_one_by_one),
        cmocka_unit_test(points_are_sent_and_settled),
        cmocka_unit_test(pages_proofs_and_checkpoints_can_be_read),
        cmocka_unit_test(an_attachment_is_kept_when_it_is_what_the_entry_committed_to),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
