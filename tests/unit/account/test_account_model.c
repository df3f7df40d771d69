/* Thousands of random entries, right and wrong ones, against a model that knows nothing
 * of how the rules are built: it keeps balances, sequence numbers and queues, says
 * beforehand which code must come, and afterwards compares every number it knows. Seed:
 * environment STOA_SEED; it is printed when a step fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/mp.h"
#include "world.h"

#define ACCOUNTS 8
#define STEPS 6000
#define DEVICES 600
#define NODES 3
#define QUEUE 8192
#define FIRST_KEY 1000

/* -- the model
 * --------------------------------------------------------------------------- */

struct model_chain {
    uint64_t next_seq;
    struct hash tip;
    uint64_t lamport;
};

struct model_device {
    uint32_t key;
    bool revoked;
    struct model_chain chain;
};

struct model_account {
    struct account real;
    uint32_t root; /* key number */
    uint32_t slot;
    int64_t balance;
    uint64_t written;
    uint64_t grants;
    uint32_t device_count;
    struct model_device devices[DEVICES];
    struct model_chain hub;
    int64_t epochs[NODES]; /* -1: none yet */
    /* All entries of member devices, oldest first; the last 64 may be referred to. */
    size_t ref_count;
    struct reference refs[STEPS + 1];
};

struct model_queue {
    size_t put, taken;
    struct channel_item items[QUEUE];
};

static struct world w;
static struct model_account accounts[ACCOUNTS];
static struct model_queue queues[WORLD_SLOTS][WORLD_SLOTS]; /* [from][to] */
static int64_t issued[WORLD_SLOTS];
static uint32_t next_key;
static unsigned seen[512]; /* how often each code came */

/* -- chance
 * ------------------------------------------------------------------------------ */

static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

static bool one_in(uint64_t n)
{
    return draw(n) == 0;
}

/* -- what must come
 * ---------------------------------------------------------------------- */

static enum err expect_chain(const struct model_account *m, const struct model_chain *c,
                             const struct entry *e)
{
    uint64_t lamport = c->lamport;
    if (e->seq != c->next_seq)
        return e->seq < c->next_seq ? ERR_SEQ_TAKEN : ERR_GAP;
    if (!hash_equal(&e->prev, &c->tip))
        return ERR_PREV;
    for (unsigned i = 0; i < e->ref_count; i++) {
        bool found = false;
        for (size_t j = 0; j < m->ref_count; j++)
            if (j + 64 >= m->ref_count && hash_equal(&m->refs[j].id, &e->refs[i])) {
                found = true;
                lamport = m->refs[j].lamport > lamport ? m->refs[j].lamport : lamport;
            }
        if (!found)
            return ERR_REF_UNKNOWN;
    }
    return e->lamport == lamport + 1 ? ERR_OK : ERR_LAMPORT;
}

static struct model_device *device_of(struct model_account *m, const struct pubkey *key)
{
    for (uint32_t i = 0; i < m->device_count; i++) {
        struct pubkey pub = kit_pub(m->devices[i].key);
        if (pubkey_equal(&pub, key))
            return &m->devices[i];
    }
    return NULL;
}

static enum err expect_member_entry(struct model_account *m, const struct entry *e)
{
    const struct model_device *d = device_of(m, &e->device);
    if (d == NULL)
        return ERR_DEVICE_UNKNOWN;
    return d->revoked ? ERR_DEVICE_REVOKED : expect_chain(m, &d->chain, e);
}

static uint32_t live_devices(const struct model_account *m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->device_count; i++)
        count += m->devices[i].revoked ? 0 : 1;
    return count;
}

/* -- what happens then
 * ------------------------------------------------------------------- */

static void moved_on(struct model_chain *c, const struct entry *e)
{
    c->next_seq++;
    c->tip = e->id;
    c->lamport = e->lamport;
}

static void wrote(struct model_account *m, const struct entry *e)
{
    moved_on(&device_of(m, &e->device)->chain, e);
    m->refs[m->ref_count++] = (struct reference){e->id, e->lamport};
    m->written++;
}

static void hub_wrote(struct model_account *m, const struct entry *e)
{
    moved_on(&m->hub, e);
    m->written++;
}

static void put_on_channel(const struct channel_item *item)
{
    struct model_queue *q = &queues[item->source_slot][item->destination_slot];
    assert_int_equal(item->out_seq, q->put);
    assert_true(q->put < QUEUE);
    q->items[q->put++] = *item;
}

static void compare(const struct model_account *m)
{
    const struct account *a = &m->real;
    assert_int_equal(a->balance, m->balance);
    assert_true(a->balance >= 0);
    assert_int_equal(a->position, m->written);
    assert_int_equal(a->hub.next_seq, m->hub.next_seq);
    assert_int_equal(a->device_count, live_devices(m));
    assert_int_equal(a->revoked_count, m->device_count - live_devices(m));
    assert_int_equal(a->members[0].grants, m->grants);
    for (uint32_t i = 0; i < m->device_count; i++) {
        struct pubkey pub = kit_pub(m->devices[i].key);
        const struct chain *c = account_chain(a, NULL, &pub);
        assert_int_equal(c == NULL, m->devices[i].revoked);
        if (c != NULL)
            assert_int_equal(c->next_seq, m->devices[i].chain.next_seq);
    }
}

/* Balances and what is under way are all that was ever issued. */
static void compare_sums(void)
{
    int64_t held = 0, under_way = 0, made = 0;
    uint64_t sent = 0, settled = 0;
    for (int i = 0; i < ACCOUNTS; i++)
        held += accounts[i].real.balance;
    for (int from = 0; from < WORLD_SLOTS; from++) {
        const struct hub_account *h = &w.slots[from].hub;
        assert_int_equal(h->accrued + h->adjusted, issued[from]);
        made += issued[from];
        sent += h->sent;
        settled += h->settled;
        for (int to = 0; to < WORLD_SLOTS; to++)
            for (size_t i = queues[from][to].taken; i < queues[from][to].put; i++)
                under_way += queues[from][to].items[i].amount;
    }
    assert_int_equal(held + under_way, made);
    assert_int_equal(sent - settled, under_way);
}

/* -- steps
 * ------------------------------------------------------------------------------- */

static struct payload p;
static struct kit_entry built;

/* Any device the account ever had: revoked ones write too, and are refused. */
static uint32_t any_device(const struct model_account *m)
{
    return m->devices[draw(m->device_count)].key;
}

static uint32_t live_device(const struct model_account *m)
{
    uint32_t i;
    do
        i = (uint32_t)draw(m->device_count);
    while (m->devices[i].revoked);
    return m->devices[i].key;
}

/* Sign `p` as the next entry of `key` by the model's own books. */
static void sign_next(struct model_account *m, uint32_t key)
{
    struct pubkey pub = kit_pub(key);
    const struct model_device *d = device_of(m, &pub);
    const struct model_chain *c = d != NULL ? &d->chain : &m->hub;
    struct hash refs[1];
    uint64_t lamport = c->lamport;
    unsigned ref_count = 0;
    if (d != NULL && one_in(4)) {
        size_t back = draw(m->ref_count < 70 ? m->ref_count : 70);
        const struct reference *r = &m->refs[m->ref_count - 1 - back];
        refs[0] = r->id;
        if (!hash_equal(&refs[0], &c->tip)) {
            ref_count = 1;
            lamport = r->lamport > lamport ? r->lamport : lamport;
        }
    }
    kit_sign(&built,
             &(struct entry_draft){.account = &m->real.id,
                                   .seq = c->next_seq,
                                   .prev = &c->tip,
                                   .refs = refs,
                                   .ref_count = ref_count,
                                   .lamport = lamport + 1},
             &p, kit_key(key));
}

/* Spoil the decoded entry now and then. */
static void twist(void)
{
    if (!one_in(6))
        return;
    struct entry *e = &built.e;
    switch (draw(6)) {
    case 0:
        e->seq++;
        break;
    case 1:
        e->seq = e->seq > 0 ? e->seq - 1 : 1;
        break;
    case 2:
        e->prev.b[draw(32)] ^= 1;
        break;
    case 3:
        e->lamport += 1 + draw(3);
        break;
    case 4:
        e->lamport--;
        break;
    default:
        e->device = kit_pub(FIRST_KEY - 1);
        break;
    }
}

static bool step_must(struct model_account *m, enum err expected)
{
    enum err found = world_apply(&w, &m->real, &built.e);
    EXPECT(expected, found);
    seen[found]++;
    return found == ERR_OK;
}

static void step_note(struct model_account *m)
{
    kit_note(&p, "n", 1);
    sign_next(m, any_device(m));
    twist();
    if (step_must(m, expect_member_entry(m, &built.e)))
        wrote(m, &built.e);
}

static void any_payee(const struct model_account *m, struct hash *payee)
{
    *payee = accounts[draw(ACCOUNTS)].real.id;
    if (one_in(8))
        payee->b[20] ^= 1; /* nobody */
    if (hash_equal(payee, &m->real.id) && !one_in(6))
        payee->b[21] ^= 1;
}

static void step_transfer(struct model_account *m)
{
    size_t count = 1 + draw(3);
    int64_t sum = 0;
    bool pays_himself = false;
    kit_transfer(&p);
    while (p.transfer.payee_count < count) {
        struct hash payee;
        bool twice = false;
        any_payee(m, &payee);
        for (size_t i = 0; i < p.transfer.payee_count; i++)
            twice |= hash_equal(&p.transfer.payees[i].account, &payee);
        if (twice)
            continue;
        int64_t amount = 1 + (int64_t)draw((uint64_t)m->balance / count + 10);
        pays_himself |= hash_equal(&payee, &m->real.id);
        sum += amount;
        kit_pay(&p, &payee, amount);
    }
    struct p_transfer sent = p.transfer;
    sign_next(m, any_device(m));
    twist();
    enum err expected = expect_member_entry(m, &built.e);
    if (expected == ERR_OK && pays_himself)
        expected = ERR_PAYEES;
    else if (expected == ERR_OK && sum > m->balance)
        expected = ERR_BALANCE;
    if (!step_must(m, expected))
        return;
    m->balance -= sum;
    wrote(m, &built.e);
    assert_int_equal(w.fx.item_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct channel_item *item = &w.fx.items[i];
        assert_true(hash_equal(&item->payee, &sent.payees[i].account));
        assert_int_equal(item->amount, sent.payees[i].amount);
        assert_int_equal(item->source_slot, m->slot);
        assert_int_equal(item->destination_slot, item->payee.b[0] >> 6);
        put_on_channel(item);
    }
}

static void step_accrue(struct model_account *m)
{
    uint64_t n = draw(NODES);
    struct hash node = kit_hash(n);
    int64_t epoch = m->epochs[n] + (int64_t)draw(3);
    if (epoch < 0)
        epoch = 0;
    int64_t amount = 1 + (int64_t)draw(5000);
    kit_accrue(&p, &node, (uint64_t)epoch, amount);
    uint32_t key = one_in(10) ? KEY_RELAY : KEY_ISSUER;
    sign_next(m, key);
    enum err expected =
        key == KEY_RELAY ? ERR_AUTHORITY : expect_chain(m, &m->hub, &built.e);
    if (expected == ERR_OK && epoch <= m->epochs[n])
        expected = ERR_EPOCH_OLD;
    if (!step_must(m, expected))
        return;
    hub_wrote(m, &built.e);
    m->epochs[n] = epoch;
    m->balance += amount;
    issued[m->slot] += amount;
}

static void step_adjust(struct model_account *m)
{
    int64_t delta = (int64_t)draw(2000) - 1000;
    if (delta == 0)
        delta = 1;
    kit_adjust(&p, delta);
    sign_next(m, KEY_ISSUER);
    twist();
    struct pubkey issuer = kit_pub(KEY_ISSUER);
    enum err expected = pubkey_equal(&built.e.device, &issuer)
                            ? expect_chain(m, &m->hub, &built.e)
                            : ERR_AUTHORITY;
    if (expected == ERR_OK && m->balance + delta < 0)
        expected = ERR_BALANCE;
    if (!step_must(m, expected))
        return;
    hub_wrote(m, &built.e);
    m->balance += delta;
    issued[m->slot] += delta;
}

static void step_device_add(struct model_account *m)
{
    uint32_t key = one_in(5) ? any_device(m) : next_key++;
    uint64_t grant = one_in(8) ? m->grants + 1 : m->grants;
    struct pubkey pub = kit_pub(key);
    if (m->device_count == DEVICES)
        return;
    kit_device_add(&p, &m->real.id, kit_key(m->root), &pub, grant);
    sign_next(m, any_device(m));
    enum err expected = expect_member_entry(m, &built.e);
    if (expected == ERR_OK && grant != m->grants)
        expected = ERR_GRANT;
    else if (expected == ERR_OK && device_of(m, &pub) != NULL)
        expected = ERR_DEVICE_EXISTS;
    else if (expected == ERR_OK && live_devices(m) >= 32)
        expected = ERR_DEVICE_LIMIT;
    if (!step_must(m, expected))
        return;
    wrote(m, &built.e);
    m->grants++;
    m->devices[m->device_count++] =
        (struct model_device){.key = key, .chain = {0, built.e.id, built.e.lamport}};
}

static void step_device_revoke(struct model_account *m)
{
    uint32_t key = any_device(m);
    struct pubkey pub = kit_pub(key);
    kit_device_revoke(&p, &pub);
    sign_next(m, live_device(m));
    struct model_device *target = device_of(m, &pub);
    enum err expected = expect_member_entry(m, &built.e);
    if (expected == ERR_OK && target->revoked)
        expected = ERR_DEVICE_REVOKED;
    else if (expected == ERR_OK && live_devices(m) == 1)
        expected = ERR_DEVICE_LAST;
    if (!step_must(m, expected))
        return;
    wrote(m, &built.e);
    target->revoked = true;
}

/* -- settling
 * ---------------------------------------------------------------------------- */

static struct model_account *payee_of(const struct channel_item *item)
{
    for (int i = 0; i < ACCOUNTS; i++)
        if (hash_equal(&accounts[i].real.id, &item->payee))
            return &accounts[i];
    return NULL;
}

static void settle_by_bounce(struct model_queue *q, const struct channel_item *item,
                             enum err expected)
{
    char origin[KIT_ORIGIN_ROOM];
    kit_bounce(&p, item, WORLD_HUB, BOUNCE_UNKNOWN, origin);
    enum err found = world_do_hub(&w, item->destination_slot, KEY_RELAY, &p);
    EXPECT(expected, found);
    seen[found]++;
    if (found != ERR_OK)
        return;
    q->taken++;
    assert_int_equal(w.fx.item_count, 1);
    assert_true(w.fx.items[0].is_return);
    assert_int_equal(w.fx.items[0].amount, item->amount);
    put_on_channel(&w.fx.items[0]);
}

static void settle_by_credit(struct model_queue *q, struct model_account *m,
                             const struct channel_item *item, enum err expected)
{
    char origin[KIT_ORIGIN_ROOM];
    kit_credit(&p, item, WORLD_HUB, origin);
    sign_next(m, KEY_RELAY);
    if (!step_must(m, expected))
        return;
    hub_wrote(m, &built.e);
    q->taken++;
    m->balance += item->amount;
    assert_true(w.fx.settles);
    assert_int_equal(w.fx.settle_source, item->source_slot);
    assert_int_equal(w.fx.settle_seq, item->out_seq);
}

/* The next item of some channel; sometimes one out of turn, or one that was settled. */
static void step_settle(void)
{
    struct model_queue *q = &queues[draw(WORLD_SLOTS)][draw(WORLD_SLOTS)];
    size_t at = q->taken;
    if (one_in(8))
        at = one_in(2) ? at + 1 : (at > 0 ? at - 1 : at);
    if (at >= q->put)
        return;
    const struct channel_item *item = &q->items[at];
    enum err expected = at == q->taken ? ERR_OK : ERR_CHANNEL;
    struct model_account *payee = payee_of(item);
    if (payee == NULL || (!item->is_return && one_in(20)))
        settle_by_bounce(q, item, expected);
    else
        settle_by_credit(q, payee, item, expected);
}

/* Put the state aside and take it up again, as a restart does. */
static void step_reload(struct model_account *m)
{
    static uint8_t room[1 << 17];
    struct mp_writer out = mp_writer_of(room, sizeof room);
    account_encode(&out, &m->real);
    assert_false(out.full);
    account_close(&m->real);
    OK(account_decode(&m->real, &alloc_heap, bytes_of(room, out.size)));
    out = mp_writer_of(room, sizeof room);
    struct hub_account *h = &w.slots[m->slot].hub;
    hub_account_encode(&out, h);
    hub_account_close(h);
    OK(hub_account_decode(h, &alloc_heap, bytes_of(room, out.size)));
}

static void step(void)
{
    struct model_account *m = &accounts[draw(ACCOUNTS)];
    uint64_t what = draw(100);
    w.item_count = 0;
    w.time_ms += draw(1000);
    if (what < 30)
        step_transfer(m);
    else if (what < 60)
        step_settle();
    else if (what < 72)
        step_note(m);
    else if (what < 82)
        step_accrue(m);
    else if (what < 87)
        step_adjust(m);
    else if (what < 93)
        step_device_add(m);
    else if (what < 97)
        step_device_revoke(m);
    else
        step_reload(m);
    compare(m);
    compare_sums();
}

/* -- the test
 * ---------------------------------------------------------------------------- */

static void open_accounts(void)
{
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        struct model_account *m = &accounts[i];
        memset(m, 0, sizeof *m);
        m->root = next_key;
        m->slot = i % WORLD_SLOTS;
        world_open(&w, &m->real, m->slot, next_key, false);
        struct hash id = m->real.id;
        m->devices[0] = (struct model_device){.key = next_key + 1, .chain = {1, id, 1}};
        m->device_count = 1;
        m->grants = 1;
        m->written = 1;
        m->hub = (struct model_chain){0, id, 1};
        m->refs[m->ref_count++] = (struct reference){id, 1};
        for (int n = 0; n < NODES; n++)
            m->epochs[n] = -1;
        next_key += 3;
    }
}

/* Deliver everything; then nothing is under way and the accounts hold what was issued. */
static void settle_all(void)
{
    bool any = true;
    while (any) {
        any = false;
        for (int from = 0; from < WORLD_SLOTS; from++)
            for (int to = 0; to < WORLD_SLOTS; to++) {
                struct model_queue *q = &queues[from][to];
                if (q->taken == q->put)
                    continue;
                any = true;
                struct channel_item item = q->items[q->taken];
                struct model_account *payee = payee_of(&item);
                w.item_count = 0;
                if (payee == NULL)
                    settle_by_bounce(q, &item, ERR_OK);
                else
                    settle_by_credit(q, payee, &item, ERR_OK);
            }
    }
    compare_sums();
}

static void random_entries_do_what_the_model_says(void **state)
{
    (void)state;
    const char *seed = getenv("STOA_SEED");
    uint64_t first = seed != NULL ? strtoull(seed, NULL, 0) : UINT64_C(0x5deece66d);
    random_state = first != 0 ? first : 1;
    next_key = FIRST_KEY;
    world_init(&w);
    open_accounts();
    for (int i = 0; i < STEPS; i++) {
        if (i % 1000 == 0)
            print_message("seed 0x%llx, step %d\n", (unsigned long long)first, i);
        step();
    }
    settle_all();
    for (int i = 0; i < ACCOUNTS; i++)
        compare(&accounts[i]);
    static const enum err must_come[] = {ERR_OK,
                                         ERR_SEQ_TAKEN,
                                         ERR_GAP,
                                         ERR_PREV,
                                         ERR_LAMPORT,
                                         ERR_REF_UNKNOWN,
                                         ERR_BALANCE,
                                         ERR_PAYEES,
                                         ERR_DEVICE_UNKNOWN,
                                         ERR_DEVICE_REVOKED,
                                         ERR_AUTHORITY,
                                         ERR_EPOCH_OLD,
                                         ERR_GRANT,
                                         ERR_DEVICE_EXISTS,
                                         ERR_CHANNEL};
    if (seed == NULL)
        for (size_t i = 0; i < sizeof must_come / sizeof must_come[0]; i++)
            if (seen[must_come[i]] == 0)
                fail_msg("%s never came", err_word(must_come[i]));
    print_message("%u applied\n", seen[ERR_OK]);
    for (int i = 0; i < ACCOUNTS; i++)
        account_close(&accounts[i].real);
    world_close(&w);
    kit_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_entries_do_what_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
