/* Presence and leases in Postgres: what two processes of one name are told. */
#include "ledger/store_lease.h"
#include "tests/integration/postgres/edge.h"

#define SLOT 3u
#define TTL_MS 1000u

/* One process: a store of its own, as in one, and its handle. */
struct relay {
    struct store *store;
    struct store_lease *l;
    struct lease_look look;
};

static void join(struct relay *r, const struct suite *s, const char *name, uint8_t instance)
{
    struct lease_self self = {.peer = "h:1", .ttl_ms = TTL_MS};
    struct store_why why = {{0}};
    snprintf(self.relay, sizeof self.relay, "%s", name);
    memset(self.instance, instance, sizeof self.instance);
    memset(r, 0, sizeof *r);
    if (store_open(s->uri, &r->store, &why) != ERR_OK ||
        r->store->ops->share(r->store, &self, &r->l, &why) != ERR_OK)
        fail_msg("%s", why.text);
}

static void leave(struct relay *r)
{
    r->l->ops->close(r->l);
    r->store->ops->close(r->store);
}

static const struct lease_row *row(struct relay *r, uint32_t slot)
{
    assert_int_equal(r->l->ops->look(r->l, &r->look), ERR_OK);
    return &r->look.slots[slot];
}

/* The first of a name sleeps past its lease, a second one begins; the first wakes up. Its
 * name is the other's, and with it go its leases: everybody looks for them at the other. */
static void who_lost_its_name_renews_no_lease(void **state)
{
    struct suite *s = *state;
    static struct relay first, second;
    join(&first, s, "r", 1);
    join(&second, s, "r", 2);
    assert_int_equal(first.l->ops->beat(first.l, false), ERR_OK);
    assert_int_equal(first.l->ops->take(first.l, SLOT, 0, false), ERR_OK);
    assert_int_equal(second.l->ops->beat(second.l, false), ERR_EXISTS);
    edge_nap(TTL_MS / 2);
    assert_int_equal(first.l->ops->beat(first.l, false), ERR_OK);
    edge_nap(TTL_MS * 2 / 3);
    assert_int_equal(row(&first, SLOT)->holder, LEASE_MINE); /* it was renewed */
    edge_nap(TTL_MS);
    assert_int_equal(second.l->ops->beat(second.l, false), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(first.l->ops->beat(first.l, false), ERR_EXISTS);
        assert_true(row(&second, SLOT)->orphan);
    }
    assert_int_equal(second.l->ops->take(second.l, SLOT, 1, true), ERR_OK);
    assert_int_equal(row(&first, SLOT)->holder, LEASE_OTHER);
    leave(&first);
    leave(&second);
}

static int all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_lost_its_name_renews_no_lease, suite_setup,
                                        suite_teardown),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}

int main(void)
{
    return edge_main(all);
}
