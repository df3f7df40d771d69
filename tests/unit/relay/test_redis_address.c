/* Where region.bus says a Redis is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "relay/redis_address.h"

static char why[REDIS_WHY_MAX];
static struct redis_address a;

static void good(const char *uri)
{
    if (!redis_address_parse(&a, uri, why))
        fail_msg("%s: %s", uri, why);
}

static void hosts_ports_and_sockets(void **state)
{
    char name[320];
    (void)state;
    good("redis://localhost");
    assert_string_equal(a.host, "localhost");
    assert_string_equal(a.port, "6379");
    assert_false(a.sharded);
    good("redis://10.0.0.7:7000/");
    assert_string_equal(a.host, "10.0.0.7");
    assert_string_equal(a.port, "7000");
    good("redis://stoa@[::1]:7000/0?passfile=/etc/stoa/redis.pass&sharded=yes");
    assert_string_equal(a.host, "::1");
    assert_string_equal(a.user, "stoa");
    assert_string_equal(a.passfile, "/etc/stoa/redis.pass");
    assert_true(a.sharded);
    redis_address_name(&a, name, sizeof(name));
    assert_string_equal(name, "redis://[::1]:7000");
    good("redis+unix:/run/redis/redis.sock?passfile=p");
    assert_string_equal(a.path, "/run/redis/redis.sock");
    assert_string_equal(a.passfile, "p");
    redis_address_name(&a, name, sizeof(name));
    assert_string_equal(name, "redis+unix:/run/redis/redis.sock");
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "localhost",
        "redis:",
        "redis://",
        "redis://:6379",
        "redis://host:0",
        "redis://host:01",
        "redis://host:65536",
        "redis://host:1234567",
        "redis://host:x",
        "redis://::1",
        "redis://[::1",
        "redis://[::1]7",
        "redis://@host",
        "redis://ho st",
        "redis://host/1",
        "redis://host/x",
        "redis://host?db=1",
        "redis://host?sharded=maybe",
        "redis://host?passfile=a b",
        "redis+unix:",
        ("redis+unix:/a/path/that/is/much/too/long/for/an/address/of/a/unix/socket/"
         "on/any/system/that/we/know/of/today/redis.sock"),
        "rediss://host",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        if (redis_address_parse(&a, bad[i], why))
            fail_msg("taken: %s", bad[i]);
        assert_true(why[0] != '\0');
    }
}

static void a_password_in_the_uri_is_refused_and_not_repeated(void **state)
{
    (void)state;
    assert_false(redis_address_parse(&a, "redis://user:secret@host", why));
    assert_null(strstr(why, "secret"));
    assert_non_null(strstr(why, "passfile"));
    assert_false(redis_address_parse(&a, "redis://:secret@host", why));
    assert_null(strstr(why, "secret"));
}

static void a_cluster_names_another_node(void **state)
{
    (void)state;
    good("redis://u@host:7000?sharded=yes&passfile=p");
    assert_true(redis_address_moved(&a, "10.0.0.8:7001", 13));
    assert_string_equal(a.host, "10.0.0.8");
    assert_string_equal(a.port, "7001");
    assert_string_equal(a.user, "u");
    assert_true(redis_address_moved(&a, ":7002", 5)); /* the same host */
    assert_string_equal(a.host, "10.0.0.8");
    assert_string_equal(a.port, "7002");
    assert_false(redis_address_moved(&a, "", 0));
    assert_false(redis_address_moved(&a, "h:0", 3));
    assert_string_equal(a.port, "7002");
    good("redis+unix:/run/redis.sock");
    assert_false(redis_address_moved(&a, "10.0.0.8:7001", 13));
}

static void as_a_person_asks_it(void **state)
{
    char out[300];
    (void)state;
    good("redis+unix:/run/redis/r.sock");
    redis_address_cli(&a, out, sizeof(out));
    assert_string_equal(out, "redis-cli -s '/run/redis/r.sock'");
    good("redis://stoa@[::1]:7000?passfile=/etc/stoa/redis.pass");
    redis_address_cli(&a, out, sizeof(out));
    assert_string_equal(out, "REDISCLI_AUTH=\"$(head -n 1 '/etc/stoa/redis.pass')\" "
                             "redis-cli -h ::1 -p 7000 --user stoa");
    redis_address_cli(&a, out, 20);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_ports_and_sockets),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_password_in_the_uri_is_refused_and_not_repeated),
        cmocka_unit_test(a_cluster_names_another_node),
        cmocka_unit_test(as_a_person_asks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
