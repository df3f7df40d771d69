/* What the tests of the Postgres edge share: the conformance suite's store, and its
 * server. */
#ifndef TESTS_INTEGRATION_POSTGRES_EDGE_H
#define TESTS_INTEGRATION_POSTGRES_EDGE_H

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/sig.h"
#include "tests/conformance/suite.h"
#include "tests/lib/pgproc.h"

/* SQL in the test's database; it must go well. */
static inline void edge_sql(const struct suite *s, const char *sql)
{
    if (!pgproc_sql(suite_server(), suite_database(s), sql, NULL, 0))
        fail_msg("%s", suite_server()->why);
}

/* SQL that the server must refuse. */
static inline void edge_refuses(const struct suite *s, const char *sql)
{
    if (pgproc_sql(suite_server(), suite_database(s), sql, NULL, 0))
        fail_msg("was allowed: %s", sql);
}

static inline void edge_nap(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

/* Cut every session of stores. */
static inline void edge_cut_all(const struct suite *s)
{
    edge_sql(s, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'stoa'");
}

/* Opening again must fail with `want` and say `words`. */
static inline void edge_open_fails(const struct suite *s, enum err want,
                                   const char *words)
{
    struct store_why why;
    struct store *other = NULL;
    assert_int_equal(store_open(s->uri, &other, &why), want);
    assert_null(other);
    if (strstr(why.text, words) == NULL)
        fail_msg("no \"%s\" in: %s", words, why.text);
}

/* Runs the groups with a server; a test program's exit code. */
static inline int edge_main(int (*tests)(void))
{
    suite_kind = "postgresql";
    if (!crypto_start())
        return 1;
    int code = suite_server_start();
    if (code != 0)
        return code;
    code = tests();
    suite_server_stop();
    return code == 0 ? 0 : 1;
}

#endif
