/* The connection is cut at byte n of an append, in either direction, n swept over all
 * that an append sends and is answered: within the statements, within COMMIT, between
 * COMMIT and its answer, within the answer. After each cut the slots are loaded anew, as
 * a relay does, and compared with the model: an append that was answered is there, one
 * that was not is there whole or not at all, never twice. */
#include <stdlib.h>

#include "tests/integration/postgres/cutter.h"
#include "tests/integration/postgres/edge.h"

#define SLOTS_OF_ONE 3
#define RECORDS 4

struct run {
    struct suite *s;
    struct cutter cut;
    struct store *store; /* through the cutter */
    unsigned outcomes[STORE_BROKEN + 1];
    unsigned happened; /* UNKNOWN, and there */
};

static void open_through(struct run *r)
{
    char uri[512];
    struct store_why why;
    pgproc_uri(suite_server(), suite_database(r->s), r->cut.port, uri, sizeof uri);
    if (store_open(uri, &r->store, &why) != ERR_OK)
        fail_msg("%s", why.text);
}

/* Claim a slot, whatever it takes: the truth is what is there after that. */
static void load(struct run *r, uint32_t slot, const struct feed_append *sent)
{
    struct suite *s = r->s;
    struct model_slot *m = &s->slot[slot];
    struct store_slot at;
    enum err e = ERR_STORE;
    for (int i = 0; i < 200 && e != ERR_OK; i++) {
        e = r->store->ops->claim(r->store, slot, &m->feed.epoch);
        if (e != ERR_OK)
            edge_nap(20);
    }
    assert_int_equal(e, ERR_OK);
    assert_int_equal(r->store->ops->slot(r->store, slot, &at), ERR_OK);
    assert_int_equal(at.epoch, m->feed.epoch);
    if (at.size == suite_size(s, slot))
        return;
    assert_int_equal(at.size, suite_size(s, slot) + RECORDS);
    suite_commit(s, sent);
    m->feed.epoch = at.epoch;
    r->happened++;
}

/* One append with a cut at byte n; the outcome. */
static enum store_outcome one(struct run *r, enum cutter_way way, uint64_t n)
{
    static struct feed_append f[SLOTS_OF_ONE];
    struct store_append a[SLOTS_OF_ONE];
    enum store_outcome outcome[SLOTS_OF_ONE];
    for (uint32_t i = 0; i < SLOTS_OF_ONE; i++) {
        suite_make(r->s, &f[i], i, RECORDS);
        f[i].a.outbox_low = suite_size(r->s, i) / 2;
        a[i] = f[i].a;
    }
    cutter_arm(&r->cut, way, n);
    r->store->ops->append(r->store, a, SLOTS_OF_ONE, outcome);
    cutter_disarm(&r->cut);
    r->outcomes[outcome[0]]++;
    unsigned before = r->happened;
    for (uint32_t i = 0; i < SLOTS_OF_ONE; i++) {
        assert_int_equal(outcome[i], outcome[0]);
        assert_true(outcome[i] == STORE_COMMITTED || outcome[i] == STORE_UNKNOWN);
        if (outcome[i] == STORE_COMMITTED)
            suite_commit(r->s, &f[i]);
        else
            load(r, i, &f[i]);
    }
    assert_true(r->happened == before || r->happened == before + SLOTS_OF_ONE);
    for (uint32_t i = 0; i < SLOTS_OF_ONE; i++)
        feed_close(&f[i]);
    return outcome[0];
}

static void sweep(struct run *r, enum cutter_way way, uint64_t bytes, uint64_t step)
{
    for (uint64_t n = 0; n < bytes; n += step) {
        unsigned cuts = atomic_load(&r->cut.cuts);
        (void)one(r, way, n);
        if (atomic_load(&r->cut.cuts) == cuts)
            return; /* the append was over before byte n */
        if (n % 16 == 0)
            suite_check_slot(r->s, 0);
    }
}

static void a_cut_at_any_byte_loses_and_doubles_nothing(void **state)
{
    static struct run r; /* the cutter's thread outlives a test that fails */
    r.s = *state;
    struct suite *s = r.s;
    unsigned long long sent, answered;
    edge_cut_all(s); /* what the suite's own store owns goes to ours */
    assert_true(cutter_open(&r.cut, suite_server()->port));
    open_through(&r);
    for (uint32_t i = 0; i < SLOTS_OF_ONE; i++)
        load(&r, i, NULL);
    sent = atomic_load(&r.cut.passed[CUTTER_TO_SERVER]);
    answered = atomic_load(&r.cut.passed[CUTTER_TO_CLIENT]);
    assert_int_equal(one(&r, CUTTER_TO_CLIENT, UINT32_MAX), STORE_COMMITTED);
    sent = atomic_load(&r.cut.passed[CUTTER_TO_SERVER]) - sent;
    answered = atomic_load(&r.cut.passed[CUTTER_TO_CLIENT]) - answered;
    assert_true(sent > 1000 && answered > 100);
    sweep(&r, CUTTER_TO_CLIENT, 2 * answered, 1);
    unsigned in_answers = r.happened;
    sweep(&r, CUTTER_TO_SERVER, 2 * sent, 1 + sent / 150);
    /* Around COMMIT. Appends differ a little in length, by the edges of their trees. */
    sent = atomic_load(&r.cut.passed[CUTTER_TO_SERVER]);
    assert_int_equal(one(&r, CUTTER_TO_SERVER, UINT32_MAX), STORE_COMMITTED);
    sent = atomic_load(&r.cut.passed[CUTTER_TO_SERVER]) - sent;
    for (uint64_t n = sent - 400; n < sent + 400; n += 5)
        (void)one(&r, CUTTER_TO_SERVER, n);
    printf("%u committed, %u unknown (%u of them there), %u cuts; an append is %llu "
           "bytes and "
           "its answers %llu\n",
           r.outcomes[STORE_COMMITTED], r.outcomes[STORE_UNKNOWN],
           r.happened / SLOTS_OF_ONE, atomic_load(&r.cut.cuts), sent, answered);
    assert_true(in_answers > 0);                   /* COMMIT made, its answer lost */
    assert_true(r.outcomes[STORE_COMMITTED] > 50); /* cut before, and said again */
    unsigned not_made = r.outcomes[STORE_UNKNOWN] - r.happened / SLOTS_OF_ONE;
    assert_true(not_made > 2); /* COMMIT cut on its way */
    for (uint32_t i = 0; i < SLOTS_OF_ONE; i++)
        suite_check_lookups(s, i, 1);
    suite_check_all(s);
    r.store->ops->close(r.store);
    cutter_close(&r.cut);
}

static int all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cut_at_any_byte_loses_and_doubles_nothing,
                                        suite_setup, suite_teardown),
    };
    return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}

int main(void)
{
    return edge_main(all);
}
