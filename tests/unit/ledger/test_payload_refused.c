/* Payloads written by hand that differ from a good one in one thing. */
#include "ledger/kinds.h"

#include <string.h>

#include "sample.h"
#include "test.h"

static uint8_t room[65536];
static struct mp_writer w;

static void begin(size_t count)
{
    w = mp_writer_of(room, sizeof room);
    mp_array(&w, count);
}

/* A hash or key whose first byte says which. */
static void put_id(unsigned first)
{
    uint8_t id[32] = {(uint8_t)first};
    mp_bin(&w, id, sizeof id);
}

static void put_sig(void)
{
    static const uint8_t sig[SIG_BYTES];
    mp_bin(&w, sig, sizeof sig);
}

static void put_text(const char *text)
{
    mp_str(&w, text, strlen(text));
}

/* One verdict by both doors. */
static enum err verdict(uint64_t kind)
{
    static struct payload p;
    assert_false(w.full);
    enum err checked = payload_check(kind, bytes_of(w.data, w.size));
    assert_int_equal(payload_decode(&p, kind, bytes_of(w.data, w.size)), checked);
    return checked;
}

static void unknown_and_reserved_kinds_have_no_payload(void **state)
{
    (void)state;
    begin(0);
    assert_int_equal(verdict(0), ERR_KIND_UNKNOWN);
    assert_int_equal(verdict(16), ERR_KIND_UNKNOWN);
    assert_int_equal(verdict(UINT64_MAX), ERR_KIND_UNKNOWN);
    for (uint64_t kind = KIND_MINT; kind <= KIND_COMPACTION; kind++)
        assert_int_equal(verdict(kind), ERR_KIND_RESERVED);
    struct payload p = {.kind = KIND_MINT};
    w = mp_writer_of(room, sizeof room);
    payload_encode(&w, &p);
    assert_int_equal(w.size, 0);
}

static void a_count_too_many_or_few_is_refused(void **state)
{
    (void)state;
    static struct sample s;
    struct rng g = {41};
    for (unsigned i = 0; i < SAMPLE_KINDS; i++) {
        uint64_t kind = sample_kind(i);
        sample_payload(&s, kind, &g);
        w = mp_writer_of(room, sizeof room);
        payload_encode(&w, &s.payload);
        assert_int_equal(verdict(kind), ERR_OK);
        room[0]++;
        mp_nil(&w);
        assert_int_equal(verdict(kind), ERR_PAYLOAD);
        room[0]--;
        assert_int_equal(verdict(kind), ERR_PAYLOAD);
        w.size--;
        if (room[0] > 0x90) {
            room[0]--;
            assert_int_equal(verdict(kind), ERR_PAYLOAD);
        }
    }
}

static enum err open_with(const char *hub, uint64_t residency)
{
    begin(7);
    put_id(1);
    put_text(hub);
    put_id(2);
    put_sig();
    mp_uint(&w, residency);
    mp_nil(&w);
    put_id(3);
    return verdict(KIND_OPEN);
}

static void an_open_needs_a_hub_name_and_a_known_residency(void **state)
{
    (void)state;
    assert_int_equal(open_with("hub.example", RESIDENCY_PINNED), ERR_OK);
    assert_int_equal(open_with("hub.example", 2), ERR_PAYLOAD);
    assert_int_equal(open_with("", 0), ERR_PAYLOAD);
    assert_int_equal(open_with("Hub", 0), ERR_PAYLOAD);
}

struct pay {
    unsigned account;
    int64_t amount;
};

static enum err transfer_of(const struct pay pays[], size_t count, const char *hub)
{
    begin(1);
    mp_array(&w, count);
    for (size_t i = 0; i < count; i++) {
        mp_array(&w, 3);
        put_id(pays[i].account);
        if (hub)
            put_text(hub);
        else
            mp_nil(&w);
        mp_int(&w, pays[i].amount);
    }
    return verdict(KIND_TRANSFER);
}

static void payees_are_strictly_ascending_with_amounts_above_zero(void **state)
{
    (void)state;
    assert_int_equal(transfer_of((struct pay[]){{1, 1}, {2, INT64_MAX}}, 2, NULL),
                     ERR_OK);
    assert_int_equal(transfer_of((struct pay[]){{1, 1}, {1, 1}}, 2, NULL), ERR_PAYEES);
    assert_int_equal(transfer_of((struct pay[]){{2, 1}, {1, 1}}, 2, NULL), ERR_PAYEES);
    assert_int_equal(transfer_of((struct pay[]){{1, 0}}, 1, NULL), ERR_AMOUNT);
    assert_int_equal(transfer_of((struct pay[]){{1, -1}}, 1, NULL), ERR_AMOUNT);
    assert_int_equal(transfer_of((struct pay[]){{1, INT64_MIN}}, 1, NULL), ERR_AMOUNT);
    assert_int_equal(transfer_of((struct pay[]){{1, 1}}, 1, "hub"), ERR_OK);
    assert_int_equal(transfer_of((struct pay[]){{1, 1}}, 1, ""), ERR_PAYLOAD);
    assert_int_equal(transfer_of((struct pay[]){{1, 1}}, 1, "H"), ERR_PAYLOAD);
}

static void a_transfer_has_1_to_64_payees(void **state)
{
    (void)state;
    struct pay pays[PAYEES_MAX + 1];
    for (unsigned i = 0; i < COUNT_OF(pays); i++)
        pays[i] = (struct pay){i, 1};
    assert_int_equal(transfer_of(pays, 0, NULL), ERR_PAYLOAD);
    assert_int_equal(transfer_of(pays, PAYEES_MAX, NULL), ERR_OK);
    assert_int_equal(transfer_of(pays, PAYEES_MAX + 1, NULL), ERR_PAYLOAD);
}

static void form_is_said_before_meaning(void **state)
{
    (void)state;
    begin(1);
    mp_array(&w, 2);
    mp_array(&w, 3);
    put_id(1);
    mp_nil(&w);
    mp_int(&w, 0); /* ERR_AMOUNT, were it not for the next payee */
    mp_array(&w, 2);
    put_id(2);
    mp_nil(&w);
    assert_int_equal(verdict(KIND_TRANSFER), ERR_PAYLOAD);
    begin(1);
    mp_array(&w, 1);
    mp_array(&w, 3);
    put_id(1);
    mp_nil(&w);
    mp_uint(&w, (uint64_t)INT64_MAX + 1);
    assert_int_equal(verdict(KIND_TRANSFER), ERR_PAYLOAD);
}

static void put_terms(int64_t amount, const struct pay shares[], size_t count)
{
    mp_array(&w, 3);
    put_id(9);
    mp_int(&w, amount);
    mp_array(&w, count);
    for (size_t i = 0; i < count; i++) {
        mp_array(&w, 2);
        put_id(shares[i].account);
        mp_int(&w, shares[i].amount);
    }
}

static enum err split_of(int64_t amount, const struct pay shares[], size_t count)
{
    begin(1);
    put_terms(amount, shares, count);
    return verdict(KIND_SPLIT);
}

static void shares_are_ascending_and_sum_to_the_amount(void **state)
{
    (void)state;
    assert_int_equal(split_of(3, (struct pay[]){{1, 1}, {2, 2}, {3, 0}}, 3), ERR_OK);
    assert_int_equal(split_of(INT64_MAX, (struct pay[]){{1, INT64_MAX}}, 1), ERR_OK);
    assert_int_equal(split_of(3, (struct pay[]){{1, 1}, {2, 1}}, 2), ERR_SPLIT_SUM);
    assert_int_equal(split_of(3, (struct pay[]){{1, 1}, {2, 3}}, 2), ERR_SPLIT_SUM);
    assert_int_equal(
        split_of(3, (struct pay[]){{1, INT64_MAX}, {2, INT64_MAX}, {3, 5}}, 3),
        ERR_SPLIT_SUM);
    assert_int_equal(split_of(3, (struct pay[]){{1, 5}, {2, 3}}, 2), ERR_SPLIT_SUM);
    assert_int_equal(split_of(3, (struct pay[]){{1, 4}, {2, -1}}, 2), ERR_AMOUNT);
    assert_int_equal(split_of(3, (struct pay[]){{1, -1}, {2, 4}}, 2), ERR_AMOUNT);
    assert_int_equal(split_of(0, (struct pay[]){{1, 0}}, 1), ERR_AMOUNT);
    assert_int_equal(split_of(-3, (struct pay[]){{1, -3}}, 1), ERR_AMOUNT);
    assert_int_equal(split_of(3, (struct pay[]){{2, 1}, {1, 2}}, 2), ERR_PAYLOAD);
    assert_int_equal(split_of(3, (struct pay[]){{1, 1}, {1, 2}}, 2), ERR_PAYLOAD);
    assert_int_equal(split_of(3, NULL, 0), ERR_PAYLOAD);
}

static void a_split_has_up_to_100_shares(void **state)
{
    (void)state;
    struct pay shares[MEMBERS_MAX + 1];
    for (unsigned i = 0; i < COUNT_OF(shares); i++)
        shares[i] = (struct pay){i, 1};
    assert_int_equal(split_of(MEMBERS_MAX, shares, MEMBERS_MAX), ERR_OK);
    assert_int_equal(split_of(MEMBERS_MAX + 1, shares, MEMBERS_MAX + 1), ERR_PAYLOAD);
}

static void the_terms_kept_are_the_bytes_received(void **state)
{
    (void)state;
    static struct payload p;
    const struct pay one[] = {{1, 3}}, two[] = {{1, 1}, {2, 2}};
    begin(3);
    put_id(7);
    size_t old_at = w.size;
    put_terms(3, one, 1);
    size_t new_at = w.size;
    put_terms(3, two, 2);
    assert_int_equal(verdict(KIND_SPLIT_CORRECT), ERR_OK);
    assert_int_equal(payload_decode(&p, KIND_SPLIT_CORRECT, bytes_of(w.data, w.size)),
                     ERR_OK);
    assert_ptr_equal(p.split_change.old_terms.raw.data, room + old_at);
    assert_int_equal(p.split_change.old_terms.raw.size, new_at - old_at);
    assert_ptr_equal(p.split_change.new_terms.raw.data, room + new_at);
    assert_int_equal(p.split_change.new_terms.raw.size, w.size - new_at);
    assert_int_equal(p.split_change.new_terms.share_count, 2);
}

static enum err rotate_with(uint64_t how, bool device, bool grant, const char *proofs)
{
    begin(7);
    put_id(5);
    put_id(6);
    mp_uint(&w, how);
    if (device)
        put_id(7);
    else
        mp_nil(&w);
    if (grant)
        put_sig();
    else
        mp_nil(&w);
    put_sig();
    mp_array(&w, strlen(proofs));
    for (const char *at = proofs; *at; at++) {
        mp_array(&w, 2);
        put_id((unsigned)(*at - '0'));
        put_sig();
    }
    return verdict(KIND_ROOT_ROTATE);
}

static void a_rotation_carries_the_proofs_its_way_asks_for(void **state)
{
    (void)state;
    assert_int_equal(rotate_with(ROTATE_OLD_ROOT, false, false, "5"), ERR_OK);
    assert_int_equal(rotate_with(ROTATE_OLD_ROOT, false, false, "4"), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_OLD_ROOT, false, false, ""), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_OLD_ROOT, false, false, "56"), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_OLD_ROOT, true, true, "5"), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_MEMBERS, false, false, "123"), ERR_OK);
    assert_int_equal(rotate_with(ROTATE_MEMBERS, false, false, "132"), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_MEMBERS, false, false, "11"), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_MEMBERS, true, true, "12"), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_RECOVERY, true, true, ""), ERR_OK);
    assert_int_equal(rotate_with(ROTATE_RECOVERY, true, false, ""), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_RECOVERY, false, true, ""), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_RECOVERY, false, false, ""), ERR_PAYLOAD);
    assert_int_equal(rotate_with(ROTATE_RECOVERY, true, true, "5"), ERR_PAYLOAD);
    assert_int_equal(rotate_with(3, false, false, ""), ERR_PAYLOAD);
}

static enum err bind_of(uint64_t chain, size_t address_size)
{
    char text[ADDRESS_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    begin(2);
    mp_uint(&w, chain);
    mp_str(&w, text, address_size);
    return verdict(KIND_BIND);
}

static void a_bind_names_a_chain_and_an_address(void **state)
{
    (void)state;
    assert_int_equal(bind_of(9, ADDRESS_BYTES_MAX), ERR_OK);
    assert_int_equal(bind_of(10, 1), ERR_CHAIN);
    assert_int_equal(bind_of(UINT64_MAX, 1), ERR_PAYLOAD);
    assert_int_equal(bind_of(0, 0), ERR_PAYLOAD);
    assert_int_equal(bind_of(0, ADDRESS_BYTES_MAX + 1), ERR_PAYLOAD);
}

static enum err adjust_of(int64_t delta, size_t reason_size)
{
    char text[REASON_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    begin(2);
    mp_int(&w, delta);
    mp_str(&w, text, reason_size);
    return verdict(KIND_ADJUST);
}

static void an_adjust_is_not_zero_and_has_a_reason(void **state)
{
    (void)state;
    assert_int_equal(adjust_of(-1, REASON_BYTES_MAX), ERR_OK);
    assert_int_equal(adjust_of(INT64_MAX, 1), ERR_OK);
    assert_int_equal(adjust_of(0, 1), ERR_AMOUNT);
    assert_int_equal(adjust_of(INT64_MIN, 1), ERR_AMOUNT);
    assert_int_equal(adjust_of(1, 0), ERR_PAYLOAD);
    assert_int_equal(adjust_of(1, REASON_BYTES_MAX + 1), ERR_PAYLOAD);
}

static enum err accrue_of(uint64_t epoch, int64_t amount)
{
    begin(3);
    put_id(1);
    mp_uint(&w, epoch);
    mp_int(&w, amount);
    return verdict(KIND_ACCRUE);
}

static void an_accrue_has_an_epoch_and_an_amount_above_zero(void **state)
{
    (void)state;
    assert_int_equal(accrue_of(INT64_MAX, 1), ERR_OK);
    assert_int_equal(accrue_of((uint64_t)INT64_MAX + 1, 1), ERR_PAYLOAD);
    assert_int_equal(accrue_of(1, 0), ERR_AMOUNT);
    assert_int_equal(accrue_of(1, -5), ERR_AMOUNT);
}

static enum err log_open_of(uint64_t slot, uint64_t slots, const char *vkey)
{
    begin(8);
    put_id(1);
    put_text("hub");
    mp_uint(&w, slot);
    mp_uint(&w, slots);
    mp_uint(&w, 1);
    put_id(2);
    put_id(3);
    put_text(vkey);
    return verdict(KIND_LOG_OPEN);
}

static void slots_are_a_power_of_two_and_the_slot_is_one_of_them(void **state)
{
    (void)state;
    assert_int_equal(log_open_of(15, 16, "v"), ERR_OK);
    assert_int_equal(log_open_of(0, 1, "v"), ERR_OK);
    assert_int_equal(log_open_of(255, 256, "v"), ERR_OK);
    assert_int_equal(log_open_of(16, 16, "v"), ERR_PAYLOAD);
    assert_int_equal(log_open_of(0, 0, "v"), ERR_PAYLOAD);
    assert_int_equal(log_open_of(0, 12, "v"), ERR_PAYLOAD);
    assert_int_equal(log_open_of(0, 512, "v"), ERR_PAYLOAD);
    assert_int_equal(log_open_of(0, 16, ""), ERR_PAYLOAD);
}

static enum err item_of(uint64_t kind, uint64_t payee, int64_t amount, const char *source,
                        uint64_t reason)
{
    begin(kind == KIND_BOUNCE ? 10 : 8);
    put_id(1);
    mp_uint(&w, payee);
    if (kind == KIND_BOUNCE) {
        put_id(2);
        put_id(3);
    }
    mp_int(&w, amount);
    put_text(source);
    mp_uint(&w, 1);
    mp_uint(&w, 2);
    mp_uint(&w, 3);
    mp_uint(&w, reason);
    return verdict(kind);
}

static void credits_and_bounces_cite_an_item_of_a_log(void **state)
{
    (void)state;
    static const uint64_t kinds[] = {KIND_CREDIT, KIND_BOUNCE};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        uint64_t k = kinds[i];
        uint64_t reason_max = k == KIND_CREDIT ? CREDIT_RETURN : BOUNCE_OVERFLOW;
        assert_int_equal(item_of(k, PAYEES_MAX - 1, 1, "hub/0f", reason_max), ERR_OK);
        assert_int_equal(item_of(k, PAYEES_MAX, 1, "hub/0f", 0), ERR_PAYLOAD);
        assert_int_equal(item_of(k, 0, 0, "hub/0f", 0), ERR_AMOUNT);
        assert_int_equal(item_of(k, 0, 1, "hub", 0), ERR_PAYLOAD);
        assert_int_equal(item_of(k, 0, 1, "", 0), ERR_PAYLOAD);
        assert_int_equal(item_of(k, 0, 1, "hub/0f", reason_max + 1), ERR_PAYLOAD);
    }
}

static void a_hub_key_has_a_known_role(void **state)
{
    (void)state;
    for (uint64_t role = 0; role < 5; role++) {
        begin(5);
        mp_uint(&w, role);
        put_id(1);
        put_id(2);
        put_sig();
        put_sig();
        assert_int_equal(verdict(KIND_HUB_KEY), role <= ROLE_LOG ? ERR_OK : ERR_PAYLOAD);
    }
}

static void a_note_holds_up_to_its_limit(void **state)
{
    (void)state;
    static uint8_t data[NOTE_DATA_MAX + 1];
    begin(1);
    mp_bin(&w, data, NOTE_DATA_MAX);
    assert_int_equal(verdict(KIND_NOTE), ERR_OK);
    begin(1);
    mp_bin(&w, data, NOTE_DATA_MAX + 1);
    assert_int_equal(verdict(KIND_NOTE), ERR_PAYLOAD);
    begin(1);
    put_text("text");
    assert_int_equal(verdict(KIND_NOTE), ERR_PAYLOAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_and_reserved_kinds_have_no_payload),
        cmocka_unit_test(a_count_too_many_or_few_is_refused),
        cmocka_unit_test(an_open_needs_a_hub_name_and_a_known_residency),
        cmocka_unit_test(payees_are_strictly_ascending_with_amounts_above_zero),
        cmocka_unit_test(a_transfer_has_1_to_64_payees),
        cmocka_unit_test(form_is_said_before_meaning),
        cmocka_unit_test(shares_are_ascending_and_sum_to_the_amount),
        cmocka_unit_test(a_split_has_up_to_100_shares),
        cmocka_unit_test(the_terms_kept_are_the_bytes_received),
        cmocka_unit_test(a_rotation_carries_the_proofs_its_way_asks_for),
        cmocka_unit_test(a_bind_names_a_chain_and_an_address),
        cmocka_unit_test(an_adjust_is_not_zero_and_has_a_reason),
        cmocka_unit_test(an_accrue_has_an_epoch_and_an_amount_above_zero),
        cmocka_unit_test(slots_are_a_power_of_two_and_the_slot_is_one_of_them),
        cmocka_unit_test(credits_and_bounces_cite_an_item_of_a_log),
        cmocka_unit_test(a_hub_key_has_a_known_role),
        cmocka_unit_test(a_note_holds_up_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
