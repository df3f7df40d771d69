/* The verification engine over a whole log: what it must accept and what it must find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/follow.h"
#include "client/verify.h"
#include "ledger/slotlog.h"
#include "unit/account/kit.h"

#define HUB "hub.test"
#define RECORDS_MAX 512
#define ACCOUNTS 6
#define ROUNDS 12

enum { ISSUER = 1, RELAY, LOG, PEOPLE = 10 };

struct kept_record {
    struct record r;
    uint8_t bytes[2048];
};

/* One slot that is a whole hub, in memory. */
struct world {
    struct slotlog log;
    struct kept_record records[RECORDS_MAX];
    size_t count;
    struct hash ids[ACCOUNTS];
    char note[CHECKPOINT_BYTES_MAX];
    size_t note_size;
    struct effects fx;
    struct kit_entry entry;
    struct payload payload;
};

static void put(struct world *w, const struct entry *e)
{
    struct record r;
    assert_string_equal(err_word(slotlog_admit(&w->log, e, 1000 + w->count, &r, &w->fx)),
                        "ok");
    struct kept_record *k = &w->records[w->count++];
    assert_true(r.envelope.size <= sizeof(k->bytes));
    k->r = r;
    memcpy(k->bytes, r.envelope.data, r.envelope.size);
    k->r.envelope.data = k->bytes;
}

static struct account *at(struct world *w, unsigned i)
{
    return slotlog_account(&w->log, &w->ids[i]);
}

static void write_as(struct world *w, unsigned i, uint32_t key)
{
    kit_build(&w->entry, at(w, i), &w->log.hub, kit_key(key), &w->payload);
    put(w, &w->entry.e);
}

static void accrue(struct world *w, unsigned i, uint64_t epoch)
{
    struct hash node = kit_hash(7);
    kit_accrue(&w->payload, &node, epoch, 1000);
    write_as(w, i, ISSUER);
}

static void pay(struct world *w, unsigned from, unsigned to)
{
    char origin[KIT_ORIGIN_ROOM];
    kit_transfer(&w->payload);
    kit_pay(&w->payload, &w->ids[to], 10);
    write_as(w, from, PEOPLE + 2 * from + 1);
    struct channel_item item = w->fx.items[0];
    kit_credit(&w->payload, &item, HUB, origin);
    write_as(w, to, RELAY);
}

static void sign_note(struct world *w)
{
    struct checkpoint c = {.size = w->log.frontier.size,
                           .root = frontier_root(&w->log.frontier)};
    strcpy(c.origin, HUB "/00");
    w->note_size =
        checkpoint_sign(w->note, sizeof(w->note), &c, &w->log.hub.log, kit_key(LOG));
    assert_true(w->note_size > 0);
}

static void open_all(struct world *w)
{
    struct kit_log l = {.federation = kit_hash(1),
                        .hub = HUB,
                        .slots = 1,
                        .issuer = kit_key(ISSUER),
                        .relay = kit_key(RELAY),
                        .log = kit_key(LOG)};
    kit_log_open(&w->entry, &l);
    put(w, &w->entry.e);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        struct kit_open o = {.federation = kit_hash(1),
                             .hub = HUB,
                             .root = kit_key(PEOPLE + 2 * i),
                             .device = kit_key(PEOPLE + 2 * i + 1),
                             .nonce = i};
        kit_open(&w->entry, &o);
        put(w, &w->entry.e);
        w->ids[i] = w->entry.e.id;
    }
}

static int make(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(slotlog_init(&w->log, &alloc_heap, 0, 1), ERR_OK);
    open_all(w);
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < ACCOUNTS; i++) {
            if (round % 4 == 0)
                accrue(w, i, round + 1);
            else if (round % 4 == 1)
                pay(w, i, (i + 1) % ACCOUNTS);
            else {
                kit_note(&w->payload, "some words", 10);
                write_as(w, i, PEOPLE + 2 * i + 1);
            }
        }
    sign_note(w);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    struct world *w = *state;
    slotlog_close(&w->log);
    free(w);
    return 0;
}

static enum err read_world(void *context, uint32_t slot, uint64_t from,
                           struct record out[], size_t max, size_t *count, void **hold)
{
    const struct world *w = context;
    (void)slot;
    *hold = NULL;
    for (*count = 0; *count < max && from + *count < w->count; ++*count)
        out[*count] = w->records[from + *count].r;
    return ERR_OK;
}

static enum err verdict(struct world *w, enum verify_mode mode, unsigned threads,
                        struct verify_slot *slot, struct verify_log_report *report)
{
    struct verify_source source = {.context = w, .read = read_world};
    struct verify_options o = {.mode = mode, .threads = threads};
    struct hash first = w->log.hub.id;
    memset(slot, 0, sizeof(*slot));
    slot->checkpoint = bytes_of(w->note, w->note_size);
    slot->log_open = &first;
    enum err e = verify_log(&source, slot, 1, &o, report);
    slot->log_open = NULL;
    return e;
}

static void refused_both_ways(struct world *w)
{
    struct verify_slot slot;
    struct verify_log_report report;
    assert_int_not_equal(verdict(w, VERIFY_TIP, 1, &slot, &report), ERR_OK);
    assert_int_not_equal(verdict(w, VERIFY_FULL, 2, &slot, &report), ERR_OK);
}

/* ---- accepted -------------------------------------------------------------------------
 */

static void an_honest_log_is_accepted_on_any_number_of_threads(void **state)
{
    struct world *w = *state;
    struct verify_slot slot;
    struct verify_log_report report;
    struct hash digest;
    assert_int_equal(slotlog_digest(&w->log, &digest), ERR_OK);
    for (unsigned threads = 1; threads <= 4; threads++) {
        assert_int_equal(verdict(w, VERIFY_FULL, threads, &slot, &report), ERR_OK);
        assert_int_equal(report.signatures, w->count);
        assert_int_equal(verdict(w, VERIFY_TIP, threads, &slot, &report), ERR_OK);
        /* Per account: its device, the issuer, the relay; and the relay in the hub
         * account. */
        assert_int_equal(report.signatures, 3 * ACCOUNTS + 1);
        assert_int_equal(report.records, w->count);
        assert_true(report.all_slots && report.conserved);
        assert_memory_equal(&slot.digest, &digest, sizeof(digest));
        assert_int_equal(slot.accounts, ACCOUNTS);
    }
}

/* ---- refused --------------------------------------------------------------------------
 */

static void any_flipped_byte_is_found(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < w->count; i++) {
        struct record *r = &w->records[i].r;
        uint8_t *byte = &w->records[i].bytes[(i * 37) % r->envelope.size];
        *byte ^= 0x10;
        refused_both_ways(w);
        *byte ^= 0x10;
    }
}

static void any_changed_field_is_found(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < w->count; i += 5) {
        struct record was = w->records[i].r, *r = &w->records[i].r;
        for (int field = 0; field < 6; field++) {
            *r = was;
            r->index += field == 0;
            r->position += field == 1;
            r->hub_lamport += field == 2;
            r->hub_time_ms += field == 3;
            r->account_head.b[3] ^= field == 4;
            r->slot += field == 5;
            refused_both_ways(w);
        }
        *r = was;
    }
}

static void swapped_records_are_found(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i + 1 < w->count; i += 3) {
        struct record a = w->records[i].r, b = w->records[i + 1].r;
        w->records[i].r = b;
        w->records[i + 1].r = a;
        refused_both_ways(w);
        /* Also when the indices are put right. */
        w->records[i].r.index = a.index;
        w->records[i + 1].r.index = b.index;
        refused_both_ways(w);
        w->records[i].r = a;
        w->records[i + 1].r = b;
    }
}

static void a_dropped_last_record_is_found(void **state)
{
    struct world *w = *state;
    w->count--;
    refused_both_ways(w);
    w->count = 0;
    refused_both_ways(w);
}

static void a_truncated_chain_is_found(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < w->count; i += 7) {
        static struct kept_record cut;
        cut = w->records[i];
        for (size_t k = i; k + 1 < w->count; k++)
            w->records[k].r = w->records[k + 1].r;
        w->count--;
        refused_both_ways(w);
        w->count++;
        for (size_t k = w->count - 1; k > i; k--)
            w->records[k].r = w->records[k - 1].r;
        w->records[i].r = cut.r;
        for (size_t k = 0; k < w->count; k++)
            assert_int_equal(w->records[k].r.index, k);
    }
}

static void a_checkpoint_of_another_tree_or_key_is_found(void **state)
{
    struct world *w = *state;
    struct checkpoint c = {.size = w->count, .root = kit_hash(3)};
    struct vkey other;
    struct pubkey pub = kit_pub(77);
    strcpy(c.origin, HUB "/00");
    w->note_size =
        checkpoint_sign(w->note, sizeof(w->note), &c, &w->log.hub.log, kit_key(LOG));
    refused_both_ways(w);
    c.root = frontier_root(&w->log.frontier);
    assert_true(vkey_make(&other, c.origin, NOTE_ED25519, &pub));
    w->note_size = checkpoint_sign(w->note, sizeof(w->note), &c, &other, kit_key(77));
    refused_both_ways(w);
}

static void another_start_is_found(void **state)
{
    struct world *w = *state;
    struct verify_source source = {.context = w, .read = read_world};
    struct verify_options o = {.mode = VERIFY_TIP};
    struct hash other = kit_hash(9);
    struct verify_slot slot = {.checkpoint = bytes_of(w->note, w->note_size),
                               .log_open = &other};
    struct verify_log_report report;
    assert_int_equal(verify_log(&source, &slot, 1, &o, &report), ERR_FORK);
}

/* The relay key writes an accrual in the issuer's name: hashes, head, leaf and checkpoint
 * are all right, and its own credit stands on top of the chain with a good signature. */
static void an_accrual_forged_by_the_relay_key_is_found_under_its_tip(void **state)
{
    struct world *w = *state;
    struct hash node = kit_hash(7);
    struct account *a = at(w, 2);
    kit_accrue(&w->payload, &node, 500, 1000000);
    kit_build(&w->entry, a, &w->log.hub, kit_key(ISSUER), &w->payload);
    struct signature forged = key_sign(kit_key(RELAY), "stoa/entry/v1",
                                       w->entry.e.body.data, w->entry.e.body.size);
    memcpy(w->entry.bytes + w->entry.size - SIG_BYTES, forged.b, SIG_BYTES);
    assert_int_equal(entry_decode(&w->entry.e, w->entry.bytes, w->entry.size), ERR_OK);
    assert_false(entry_verify(&w->entry.e));
    put(w, &w->entry.e);
    pay(w, 1, 2); /* the relay's credit: a valid tip */
    sign_note(w);
    struct verify_slot slot;
    struct verify_log_report report;
    assert_int_equal(verdict(w, VERIFY_TIP, 2, &slot, &report), ERR_SIGNATURE);
    assert_int_equal(verdict(w, VERIFY_FULL, 2, &slot, &report), ERR_SIGNATURE);
    assert_int_equal(slot.index, w->count - 3);
}

static bool stop_at_once(void *context, uint64_t done)
{
    unsigned *calls = context;
    (void)done;
    ++*calls;
    return false;
}

static void progress_can_stop_it(void **state)
{
    struct world *w = *state;
    struct verify_source source = {.context = w, .read = read_world};
    unsigned calls = 0;
    struct verify_options o = {.mode = VERIFY_FULL,
                               .threads = 1,
                               .progress = stop_at_once,
                               .progress_context = &calls};
    struct verify_slot slot = {0};
    struct verify_log_report report;
    assert_int_equal(verify_log(&source, &slot, 1, &o, &report), ERR_TIMEOUT);
    assert_int_equal(calls, 1);
}

/* ---- one account ----------------------------------------------------------------------
 */

static void follow_up_to(struct world *w, struct follow *f, unsigned i, size_t from,
                         size_t to)
{
    for (size_t k = from; k < to; k++) {
        struct entry e;
        const struct record *r = &w->records[k].r;
        assert_int_equal(entry_decode(&e, r->envelope.data, r->envelope.size), ERR_OK);
        const struct hash *about = entry_account(&e);
        if (hash_equal(about, &w->ids[i]) || hash_equal(about, &w->log.hub.id))
            assert_string_equal(err_word(follow_apply(f, &e, r)), "ok");
    }
}

static void a_followed_account_equals_the_hubs(void **state)
{
    static uint8_t room[2][65536];
    struct world *w = *state;
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        struct follow f;
        follow_init(&f, &alloc_heap, &w->ids[i], &w->log.hub.id, 0);
        follow_up_to(w, &f, i, 0, w->count);
        struct hash a = account_digest(&f.account, room[0], sizeof(room[0]));
        struct hash b = account_digest(at(w, i), room[1], sizeof(room[1]));
        assert_memory_equal(&a, &b, sizeof(a));
        follow_close(&f);
    }
}

static void a_local_checkpoint_goes_on_where_it_was_saved(void **state)
{
    static uint8_t saved[65536];
    struct world *w = *state;
    struct follow_proof proof = {.position = 3, .size = 40, .root = kit_hash(4)}, got;
    for (size_t at_record = 10; at_record < w->count; at_record += 9) {
        struct follow f, g;
        follow_init(&f, &alloc_heap, &w->ids[1], &w->log.hub.id, 0);
        follow_up_to(w, &f, 1, 0, at_record);
        size_t size = follow_encode(&f, &proof, saved, sizeof(saved));
        assert_true(size > 0 && size <= follow_encode_size(&f));
        assert_int_equal(follow_decode(&g, &alloc_heap, &got, bytes_of(saved, size)),
                         ERR_OK);
        assert_memory_equal(&got.root, &proof.root, sizeof(got.root));
        assert_memory_equal(follow_leaf(&f.account_newest),
                            follow_leaf(&g.account_newest), sizeof(struct hash));
        follow_up_to(w, &f, 1, at_record, w->count);
        follow_up_to(w, &g, 1, at_record, w->count);
        assert_memory_equal(&f.account.head, &g.account.head, sizeof(struct hash));
        assert_int_equal(f.account.balance, g.account.balance);
        follow_close(&f);
        follow_close(&g);
    }
}

static void a_damaged_local_checkpoint_is_not_believed(void **state)
{
    static uint8_t saved[65536];
    struct world *w = *state;
    struct follow_proof proof = {.position = 3}, got;
    struct follow f, g;
    follow_init(&f, &alloc_heap, &w->ids[1], &w->log.hub.id, 0);
    follow_up_to(w, &f, 1, 0, w->count);
    size_t size = follow_encode(&f, &proof, saved, sizeof(saved));
    assert_true(size > 0);
    for (size_t i = 0; i < size; i++) {
        saved[i] ^= 0x40;
        assert_int_equal(follow_decode(&g, &alloc_heap, &got, bytes_of(saved, size)),
                         ERR_CORRUPT);
        saved[i] ^= 0x40;
        assert_int_equal(follow_decode(&g, &alloc_heap, &got, bytes_of(saved, i)),
                         ERR_CORRUPT);
    }
    follow_close(&f);
}

static void a_followed_account_refuses_what_does_not_go_on(void **state)
{
    struct world *w = *state;
    struct follow f;
    struct entry e;
    follow_init(&f, &alloc_heap, &w->ids[0], &w->log.hub.id, 0);
    follow_up_to(w, &f, 0, 0, 2);
    struct record r = w->records[1].r;
    assert_int_equal(entry_decode(&e, r.envelope.data, r.envelope.size), ERR_OK);
    assert_int_equal(follow_apply(&f, &e, &r), ERR_CORRUPT); /* again */
    size_t next = 2;
    for (;; next++) {
        r = w->records[next].r;
        assert_int_equal(entry_decode(&e, r.envelope.data, r.envelope.size), ERR_OK);
        if (hash_equal(entry_account(&e), &w->ids[0]))
            break;
    }
    struct record bad = r;
    bad.hub_lamport = 1;
    assert_int_equal(follow_apply(&f, &e, &bad), ERR_CORRUPT);
    bad = r;
    bad.position++;
    assert_int_equal(follow_apply(&f, &e, &bad), ERR_CORRUPT);
    assert_int_equal(follow_apply(&f, &e, &r), ERR_OK);
    follow_close(&f);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make, unmake)

static int done(void **state)
{
    (void)state;
    kit_close();
    return 0;
}

int main(void)
{
    assert_true(crypto_start());
    const struct CMUnitTest tests[] = {
        CASE(an_honest_log_is_accepted_on_any_number_of_threads),
        CASE(any_flipped_byte_is_found),
        CASE(any_changed_field_is_found),
        CASE(swapped_records_are_found),
        CASE(a_dropped_last_record_is_found),
        CASE(a_truncated_chain_is_found),
        CASE(a_checkpoint_of_another_tree_or_key_is_found),
        CASE(another_start_is_found),
        CASE(an_accrual_forged_by_the_relay_key_is_found_under_its_tip),
        CASE(progress_can_stop_it),
        CASE(a_followed_account_equals_the_hubs),
        CASE(a_local_checkpoint_goes_on_where_it_was_saved),
        CASE(a_damaged_local_checkpoint_is_not_believed),
        CASE(a_followed_account_refuses_what_does_not_go_on),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, done);
}
