/* The canonical state: what is encoded, that decoding is its exact inverse, and that
 * nothing else decodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/note.h"
#include "ledger/mp.h"
#include "world.h"

enum { ANNA = 200, BEN = 210, CARA = 220, NEW = 300 };

#define GOLDEN_ACCOUNT "1faf2fd3024b3c41cab440170e8d5ffe7a7cdd332aa4639bb5d4c2685260272f"
#define GOLDEN_HUB "81a8cec34cb1182ea165b89d284b28e5236b0619dedea1fe3d48505e08c2cad8"

static struct world w;
static struct account a, b; /* slots 1 and 2; a has one of everything */
static struct payload p;
static uint8_t room[65536];
static size_t size;

static void give_one_of_everything(void)
{
    struct pubkey device = kit_pub(NEW), anna = kit_pub(ANNA), ben = kit_pub(BEN),
                  invite = kit_pub(NEW + 1);
    struct hash node1 = kit_hash(1), node2 = kit_hash(2);
    world_join(&w, &a, ANNA + 1, BEN);
    world_join(&w, &a, BEN + 1, CARA);
    kit_device_add(&p, &a.id, kit_key(ANNA), &device, 1);
    OK(world_do(&w, &a, ANNA + 1, &p));
    kit_device_revoke(&p, &device);
    OK(world_do(&w, &a, ANNA + 1, &p));
    kit_invite(&p, &a.id, kit_key(BEN), &invite, w.time_ms + 70000);
    OK(world_do(&w, &a, BEN + 1, &p));
    kit_accrue(&p, &node1, 3, 1000);
    OK(world_do(&w, &a, KEY_ISSUER, &p));
    kit_accrue(&p, &node2, 70000, 500);
    OK(world_do(&w, &a, KEY_ISSUER, &p));
    kit_bind(&p, 4, "k:00ff");
    OK(world_do(&w, &a, BEN + 1, &p));
    p.kind = KIND_SPLIT;
    kit_terms(&p.split.terms, &anna, 1000);
    kit_share(&p.split.terms, &ben, 1000);
    OK(world_do(&w, &a, BEN + 1, &p));
    kit_recovery_begin(&p);
    OK(world_do(&w, &a, ANNA + 2, &p));
    kit_transfer(&p);
    kit_pay(&p, &b.id, 100);
    OK(world_do(&w, &a, CARA + 1, &p));
    struct channel_item item;
    char origin[KIT_ORIGIN_ROOM];
    assert_true(world_take(&w, &item));
    kit_credit(&p, &item, WORLD_HUB, origin);
    OK(world_do(&w, &b, KEY_RELAY, &p));
    kit_adjust(&p, -40);
    OK(world_do(&w, &b, KEY_ISSUER, &p));
}

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_open(&w, &a, 1, ANNA, true);
    world_open(&w, &b, 2, NEW + 50, false);
    give_one_of_everything();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    account_close(&b);
    world_close(&w);
    return 0;
}

static void encode(void)
{
    struct mp_writer out = mp_writer_of(room, sizeof room);
    account_encode(&out, &a);
    assert_false(out.full);
    size = out.size;
}

static void encode_hub(uint32_t slot)
{
    struct mp_writer out = mp_writer_of(room, sizeof room);
    hub_account_encode(&out, &w.slots[slot].hub);
    assert_false(out.full);
    size = out.size;
}

static void sizes_are_exact(void **state)
{
    (void)state;
    encode();
    assert_int_equal(account_encode_size(&a), size);
    struct mp_writer out = mp_writer_of(room, sizeof room);
    account_encode(&out, &b);
    assert_int_equal(account_encode_size(&b), out.size);
    for (uint32_t i = 0; i < WORLD_SLOTS; i++) {
        encode_hub(i);
        assert_int_equal(hub_account_encode_size(&w.slots[i].hub), size);
    }
}

static void an_account_comes_back_as_it_was(void **state)
{
    (void)state;
    struct account copy;
    encode();
    OK(account_decode(&copy, &alloc_heap, bytes_of(room, size)));
    struct hash before = world_digest(&a), after = world_digest(&copy);
    assert_memory_equal(&before, &after, sizeof before);
    account_close(&a);
    a = copy;
    /* And goes on from there: the next entries apply to the copy. */
    kit_note(&p, "on", 2);
    OK(world_do(&w, &a, CARA + 1, &p));
    kit_adjust(&p, 1);
    OK(world_do(&w, &a, KEY_ISSUER, &p));
    kit_recovery_cancel(&p, &a.id, &a.recovery_begin, kit_key(BEN));
    OK(world_do(&w, &a, BEN + 1, &p));
}

static void a_hub_account_comes_back_as_it_was(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < WORLD_SLOTS; i++) {
        struct hub_account copy;
        encode_hub(i);
        OK(hub_account_decode(&copy, &alloc_heap, bytes_of(room, size)));
        struct hub_account *h = &w.slots[i].hub;
        struct hash before = world_hub_digest(h), after = world_hub_digest(&copy);
        assert_memory_equal(&before, &after, sizeof before);
        assert_string_equal(copy.origin, h->origin);
        assert_int_equal(copy.log.id, h->log.id);
        hub_account_close(h);
        *h = copy;
    }
    kit_transfer(&p);
    kit_pay(&p, &b.id, 100);
    OK(world_do(&w, &a, CARA + 1, &p));
    assert_int_equal(w.fx.items[0].out_seq, 1);
}

/* Keys, times and nonces of the kit are fixed, so these are known answers of the format.
 */
static void digests_are_what_they_always_were(void **state)
{
    (void)state;
    char hex[65];
    struct hash d = world_digest(&a);
    hex_encode(hex, &d, sizeof d);
    assert_string_equal(hex, GOLDEN_ACCOUNT);
    d = world_hub_digest(&w.slots[1].hub);
    hex_encode(hex, &d, sizeof d);
    assert_string_equal(hex, GOLDEN_HUB);
}

static void nothing_shorter_or_longer_decodes(void **state)
{
    (void)state;
    struct account copy;
    struct hub_account hub;
    encode();
    for (size_t n = 0; n < size; n++)
        EXPECT(ERR_CORRUPT, account_decode(&copy, &alloc_heap, bytes_of(room, n)));
    room[size] = 0xc0;
    EXPECT(ERR_CORRUPT, account_decode(&copy, &alloc_heap, bytes_of(room, size + 1)));
    encode_hub(2);
    for (size_t n = 0; n < size; n++)
        EXPECT(ERR_CORRUPT, hub_account_decode(&hub, &alloc_heap, bytes_of(room, n)));
    room[size] = 0xc0;
    EXPECT(ERR_CORRUPT, hub_account_decode(&hub, &alloc_heap, bytes_of(room, size + 1)));
}

/* Any changed byte is either refused or part of a value, and then encodes to itself. */
static void a_changed_byte_is_refused_or_kept(void **state)
{
    (void)state;
    static uint8_t again[65536];
    encode();
    for (size_t i = 0; i < size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct account copy;
            room[i] ^= (uint8_t)(1u << bit);
            enum err err = account_decode(&copy, &alloc_heap, bytes_of(room, size));
            if (err == ERR_OK) {
                struct mp_writer out = mp_writer_of(again, sizeof again);
                account_encode(&out, &copy);
                assert_int_equal(out.size, size);
                assert_memory_equal(again, room, size);
                account_close(&copy);
            } else {
                EXPECT(ERR_CORRUPT, err);
            }
            room[i] ^= (uint8_t)(1u << bit);
        }
}

static void a_changed_byte_of_a_hub_is_refused_or_kept(void **state)
{
    (void)state;
    static uint8_t again[65536];
    encode_hub(1);
    for (size_t i = 0; i < size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct hub_account copy;
            room[i] ^= (uint8_t)(1u << bit);
            enum err err = hub_account_decode(&copy, &alloc_heap, bytes_of(room, size));
            if (err == ERR_OK) {
                struct mp_writer out = mp_writer_of(again, sizeof again);
                hub_account_encode(&out, &copy);
                assert_int_equal(out.size, size);
                assert_memory_equal(again, room, size);
                hub_account_close(&copy);
            } else {
                EXPECT(ERR_CORRUPT, err);
            }
            room[i] ^= (uint8_t)(1u << bit);
        }
}

static void expect_corrupt(void)
{
    struct account copy;
    encode();
    EXPECT(ERR_CORRUPT, account_decode(&copy, &alloc_heap, bytes_of(room, size)));
}

static void states_no_rules_could_make_are_refused(void **state)
{
    (void)state;
    a.balance = BALANCE_MAX + 1;
    expect_corrupt();
    a.balance = 0;
    a.residency = 2;
    expect_corrupt();
    a.residency = 0;
    a.members[0].position++;
    expect_corrupt(); /* positions sum to zero */
    a.members[0].position--;
    a.members[0].number = 1;
    expect_corrupt(); /* numbers ascend */
    a.members[0].number = 0;
    a.members[2].number = a.next_member;
    expect_corrupt();
    a.members[2].number = 2;
    a.devices[2].member = 0;
    expect_corrupt(); /* a member without a device */
    a.devices[2].member = 9;
    expect_corrupt();
    a.devices[2].member = 2;
    struct node_epoch node = a.nodes[0];
    a.nodes[0] = a.nodes[1];
    expect_corrupt(); /* nodes ascend, and no node twice */
    a.nodes[0] = node;
    a.bound_chain = CHAINS;
    expect_corrupt();
    a.bound_chain = 4;
    a.bound_size = 0;
    expect_corrupt();
    a.bound_size = 6;
    a.recovery_member = a.next_member;
    expect_corrupt();
    a.recovery_member = 0;
    uint64_t position = a.position;
    a.position = 0;
    expect_corrupt();
    a.position = position;
    struct account copy;
    encode();
    OK(account_decode(&copy, &alloc_heap, bytes_of(room, size)));
    account_close(&copy);
}

static void an_unopened_account_has_no_encoding(void **state)
{
    (void)state;
    struct account none, copy;
    struct hub_account hub, hub_copy;
    account_init(&none, &alloc_heap);
    hub_account_init(&hub, &alloc_heap);
    struct mp_writer out = mp_writer_of(room, sizeof room);
    account_encode(&out, &none);
    EXPECT(ERR_CORRUPT, account_decode(&copy, &alloc_heap, bytes_of(room, out.size)));
    out = mp_writer_of(room, sizeof room);
    hub_account_encode(&out, &hub);
    EXPECT(ERR_CORRUPT,
           hub_account_decode(&hub_copy, &alloc_heap, bytes_of(room, out.size)));
}

static void hubs_no_rules_could_make_are_refused(void **state)
{
    (void)state;
    struct hub_account *h = &w.slots[1].hub, copy;
    struct channel kept = h->channels[2];
    h->channels[2] = h->channels[1];
    h->channels[2].next_in = 1;
    h->channels[1].next_in = 1; /* the same origin twice */
    encode_hub(1);
    EXPECT(ERR_CORRUPT, hub_account_decode(&copy, &alloc_heap, bytes_of(room, size)));
    h->channels[1].next_in = 0;
    h->channels[2] = kept;
    strcpy(h->channels[2].origin, "other.test/02");
    encode_hub(1);
    EXPECT(ERR_CORRUPT, hub_account_decode(&copy, &alloc_heap, bytes_of(room, size)));
    strcpy(h->channels[2].origin, kept.origin);
    h->slots = 3;
    encode_hub(1);
    EXPECT(ERR_CORRUPT, hub_account_decode(&copy, &alloc_heap, bytes_of(room, size)));
    h->slots = WORLD_SLOTS;
    h->rules = RULES_VERSION + 1;
    encode_hub(1);
    EXPECT(ERR_CORRUPT, hub_account_decode(&copy, &alloc_heap, bytes_of(room, size)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int close_keys(void **state)
{
    (void)state;
    kit_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_exact),
        TEST(an_account_comes_back_as_it_was),
        TEST(a_hub_account_comes_back_as_it_was),
        TEST(digests_are_what_they_always_were),
        TEST(nothing_shorter_or_longer_decodes),
        TEST(a_changed_byte_is_refused_or_kept),
        TEST(a_changed_byte_of_a_hub_is_refused_or_kept),
        TEST(states_no_rules_could_make_are_refused),
        TEST(an_unopened_account_has_no_encoding),
        TEST(hubs_no_rules_could_make_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, close_keys);
}
