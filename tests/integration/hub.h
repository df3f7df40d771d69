/* What the integration tests share: a hub per test, people in it. */
#ifndef TESTS_INTEGRATION_HUB_H
#define TESTS_INTEGRATION_HUB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/context.h"
#include "tests/lib/hubproc.h"
#include "tests/lib/wirekit.h"

#define WAIT_MS 8000

/* A started hub; fails the test with its own words. */
static inline void hub_start(struct hubproc *h)
{
    if (!hubproc_start(h))
        fail_msg("stoad did not start: %s", h->why);
}

static inline void hub_new(struct hubproc *h, bool memory)
{
    assert_true(hubproc_open(h, memory));
    if (!memory && !hubproc_init(h))
        fail_msg("stoad init: %s", h->why);
    hub_start(h);
}

static inline void hub_trust(const struct hubproc *h, struct wirekit *k)
{
    char dir[512];
    hubproc_path(h, "state/keys", dir);
    assert_true(wirekit_trust_folder(k, dir));
}

/* An open account; its receipt was checked when the log key is trusted. */
static inline void open_account(struct wirekit *k, struct person *p, uint64_t seed)
{
    struct wire_result r;
    person_make(p, seed);
    person_open(p, &k->hub, RESIDENCY_GLOBAL);
    assert_true(wirekit_submit_one(k, person_bytes(p), &r));
    assert_int_equal(r.code, 0);
    if (k->trusted)
        assert_true(wirekit_receipt_ok(k, &r, person_bytes(p)));
}

#endif
