/* Three relays, their Redis, and everything that can happen to it. People write all the while,
 * and somebody at each relay listens to every slot: whatever is done to the bus, he is told
 * every record once, in order, soon. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "relay/clock.h"
#include "tests/integration/bus/watch.h"
#include "tests/integration/bus/way.h"
#include "tests/integration/region/liar.h"
#include "tests/integration/region/town.h"

#define RELAYS 3
#define WATCHES (RELAYS + 1) /* the last one wanders */
#define ALL 7u
#define SETTLE_MS 30000
#define POLL_MS 500        /* as it is when nothing is set */
#define SOON_MS 1000       /* what is promised without a bus; printed when it is more .. */
#define SOON_MS_MAX 10000  /* .. and what a crowded machine gets */
#define PAUSE_S 4          /* STOA_BUS_PAUSE_S: more */
#define LIE_MS 800         /* each way of it */

static struct regionproc region;
static struct redisproc redis = {.password = "between-relays"};
static struct ways ways;
static struct liar liar;
static struct town town;
static struct watch watch[WATCHES];
static bool went_well = true; /* each test goes on from where the one before ended */

static void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

static void good(bool ok)
{
    if (!ok)
        fail_msg("%s", town.why);
}

static double metric(unsigned relay, const char *line)
{
    return regionproc_metric(&region, relay, line);
}

static void wait_bus(unsigned relays, bool up)
{
    uint64_t end = clock_mono_ms() + SETTLE_MS;
    for (unsigned i = 0; i < RELAYS; i++)
        while ((relays >> i & 1) && metric(i, "stoa_bus_up") != (double)up) {
            if (clock_mono_ms() >= end)
                fail_msg("relay %u: the bus does not go %s", i, up ? "up" : "down");
            sleep_ms(20);
        }
}

static void begin(void)
{
    if (!went_well)
        skip();
    went_well = false;
    wait_bus(ALL, true);
    good(town_start(&town));
    sleep_ms(500);
    for (unsigned i = 0; i < RELAYS; i++)
        watch_mark(&watch[i]);
}

/* How late records came since the mark. */
static void lags(const char *what)
{
    for (unsigned i = 0; i < RELAYS; i++) {
        struct watch_lag l = watch_lags(&watch[i]);
        printf("%s: relay %u: %zu records, delivered after %u ms (median), %u ms (99 %%), "
               "%u ms (last, %s slot %u)%s\n",
               what, i, l.count, l.p50, l.p99, l.max, l.live ? "live" : "catch-up", l.slot,
               l.max > SOON_MS ? " [more than the second that is promised]" : "");
        assert_true(l.count > 0);
        assert_true(l.max < SOON_MS_MAX);
    }
}

/* The same page at every relay; its size. */
static size_t same_page(const char *path)
{
    static char first[16384], other[16384];
    size_t size = 0, n;
    assert_int_equal(rawhttp_get(region.relay[0].port, path, first, sizeof first, &size), 200);
    for (unsigned i = 1; i < RELAYS; i++) {
        assert_int_equal(rawhttp_get(region.relay[i].port, path, other, sizeof other, &n), 200);
        assert_int_equal(n, size);
        assert_memory_equal(first, other, size);
    }
    return size;
}

static void same_logs(void)
{
    char path[80];
    for (unsigned slot = 0; slot < REGIONPROC_SLOTS; slot++) {
        snprintf(path, sizeof path, "/log/%02x/checkpoint", slot);
        assert_true(same_page(path) > 0);
        if (watch[0].tree[slot].size < TILE_HASHES)
            continue;
        snprintf(path, sizeof path, "/log/%02x/tile/0/000", slot);
        assert_int_equal(same_page(path), TILE_HASHES * HASH_BYTES);
    }
}

/* Writing stops; everything that was said is true, and everybody was told all of it. */
static void verdict(const char *what)
{
    lags(what);
    good(town_stop(&town));
    good(town_settled(&town, SETTLE_MS));
    printf("%s: %llu visits of a wanderer, %llu times later\n", what,
           (unsigned long long)watch[RELAYS].visits,
           (unsigned long long)watch[RELAYS].put_off);
    if (!watches_even(watch, WATCHES, &region, SETTLE_MS))
        fail_msg("%s", watch[0].why);
    same_logs();
    good(town_verify(&town));
    assert_int_equal(town_refused(&town), 0);
    went_well = true;
}

/* Both doors stay open, and say what is missing. */
static void doors_say(unsigned relay, bool degraded)
{
    char body[2048];
    static const char *const doors[] = {"/readyz/write", "/readyz/read"};
    for (unsigned i = 0; i < 2; i++) {
        size_t size;
        assert_int_equal(
            rawhttp_get(region.relay[relay].port, doors[i], body, sizeof body, &size), 200);
        assert_true((strstr(body, "degraded: bus") != NULL) == degraded);
        assert_null(strstr(body, redis.password));
    }
}

/* ---- */

static void what_one_relay_commits_is_told_at_every_relay(void **state)
{
    (void)state;
    double used[RELAYS];
    begin();
    for (unsigned i = 0; i < RELAYS; i++)
        used[i] = metric(i, "stoa_bus_heard_total{result=\"used\"}");
    sleep_ms(2000);
    for (unsigned i = 0; i < RELAYS; i++) {
        assert_true(metric(i, "stoa_bus_heard_total{result=\"used\"}") > used[i]);
        assert_true(metric(i, "stoa_followed_records_total{source=\"bus\"}") > 0);
        doors_say(i, false);
    }
    verdict("healthy");
}

static void a_killed_redis_costs_a_poll(void **state)
{
    (void)state;
    begin();
    redisproc_kill(&redis);
    wait_bus(ALL, false);
    for (unsigned i = 0; i < RELAYS; i++) {
        doors_say(i, true);
        watch_mark(&watch[i]);
    }
    sleep_ms(3000);
    lags("killed");
    assert_true(redisproc_start(&redis));
    wait_bus(ALL, true);
    for (unsigned i = 0; i < RELAYS; i++)
        doors_say(i, false);
    sleep_ms(500);
    verdict("restarted");
}

static void a_flushed_redis_costs_nothing(void **state)
{
    char answer[200];
    (void)state;
    begin();
    assert_true(redisproc_command(&redis, "FLUSHALL", answer, sizeof answer));
    sleep_ms(300);
    assert_true(redisproc_command(&redis, "CLIENT KILL TYPE pubsub", answer, sizeof answer));
    sleep_ms(300);
    assert_true(redisproc_command(&redis, "DBSIZE", answer, sizeof answer));
    assert_string_equal(answer, ":0"); /* nothing of ours is kept there */
    wait_bus(ALL, true);
    verdict("flushed");
}

static void a_redis_that_sleeps_is_not_waited_for(void **state)
{
    const char *longer = getenv("STOA_BUS_PAUSE_S");
    unsigned pause_s = longer ? (unsigned)strtoul(longer, NULL, 10) : PAUSE_S;
    (void)state;
    begin();
    redisproc_pause(&redis, true);
    sleep_ms(pause_s * 1000);
    lags("asleep");
    wait_bus(ALL, false);
    redisproc_pause(&redis, false);
    wait_bus(ALL, true);
    verdict("awake");
}

static void a_relay_cut_off_from_redis_polls(void **state)
{
    (void)state;
    begin();
    way_be(&ways, 1, WAY_LOST);
    sleep_ms(3500);
    wait_bus(2, false);
    assert_true(metric(0, "stoa_bus_up") == 1);
    assert_true(metric(2, "stoa_bus_up") == 1);
    doors_say(1, true);
    lags("partitioned");
    way_be(&ways, 1, WAY_CUT);
    sleep_ms(500);
    way_be(&ways, 1, WAY_OPEN);
    wait_bus(ALL, true);
    verdict("joined again");
}

/* Each of them finds its bus in order. */
static void relays_with_different_servers_say_so(void **state)
{
    struct redisproc other = {.password = "between-relays", .cluster = redis.cluster};
    char body[2048];
    size_t size;
    (void)state;
    begin();
    assert_true(redisproc_open(&other));
    ways_lead_one(&ways, 2, other.port);
    sleep_ms(300);
    wait_bus(ALL, true);
    uint64_t end = clock_mono_ms() + SETTLE_MS;
    while (metric(0, "stoa_bus_relays_unheard") != 1 ||
           metric(2, "stoa_bus_relays_unheard") != 2) {
        assert_true(clock_mono_ms() < end);
        sleep_ms(100);
    }
    assert_int_equal(
        rawhttp_get(region.relay[0].port, "/readyz/read", body, sizeof body, &size), 200);
    assert_non_null(strstr(body, "not heard from r2;"));
    ways_lead_one(&ways, 2, redis.port);
    while (metric(0, "stoa_bus_relays_unheard") != 0 ||
           metric(2, "stoa_bus_relays_unheard") != 0) {
        assert_true(clock_mono_ms() < end);
        sleep_ms(100);
    }
    redisproc_close(&other);
    verdict("two servers");
}

static void a_liar_is_not_believed(void **state)
{
    (void)state;
    begin();
    assert_true(liar_open(&liar));
    ways_lead(&ways, liar.port);
    for (int way = LIAR_HONEST; way < LIAR_WAYS; way++) {
        liar_be(&liar, (enum liar_way)way);
        sleep_ms(LIE_MS);
        lags(liar_word((enum liar_way)way));
        for (unsigned i = 0; i < RELAYS; i++)
            watch_mark(&watch[i]);
        sleep_ms(100);
    }
    ways_lead(&ways, redis.port);
    wait_bus(ALL, true);
    verdict("after the liar");
    double fork = 0;
    for (unsigned i = 0; i < RELAYS; i++)
        fork += metric(i, "stoa_bus_heard_total{result=\"fork\"}");
    assert_true(fork == 0); /* nobody can make one without the log's key */
    liar_close(&liar);
}

/* ---- */

static void make_passfile(char path[512])
{
    hubproc_path(&region.relay[0], "redis.pass", path);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, redis.password, strlen(redis.password)),
                     (ssize_t)strlen(redis.password));
    close(fd);
}

static int open_all(void **state)
{
    char path[512];
    (void)state;
    region.lease_ms = 3000;
    region.poll_ms = POLL_MS;
    redis.cluster = getenv("STOA_BUS_SHARDED") != NULL;
    if (!regionproc_open(&region, RELAYS) || !redisproc_open(&redis) ||
        !ways_open(&ways, RELAYS)) {
        print_error("%s %s\n", region.why, redis.why);
        return -1;
    }
    ways_lead(&ways, redis.port);
    make_passfile(path);
    for (unsigned i = 0; i < RELAYS; i++)
        hubproc_set(&region.relay[i], "region.bus=redis://127.0.0.1:%u?passfile=%s%s",
                    (unsigned)ways.way[i].port, path, redis.cluster ? "&sharded=yes" : "");
    if (!regionproc_start_all(&region) || !regionproc_settled(&region, ALL, SETTLE_MS)) {
        print_error("%s\n", region.why);
        return -1;
    }
    if (!town_open(&town, &region, TOWN_PEOPLE, 900)) {
        print_error("%s\n", town.why);
        return -1;
    }
    town_ports(&town);
    for (unsigned i = 0; i < RELAYS; i++)
        if (!watch_open(&watch[i], &region, i)) {
            print_error("%s\n", watch[i].why);
            return -1;
        }
    return watch_wander(&watch[RELAYS], &region) ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WATCHES; i++)
        watch_close(&watch[i]);
    town_close(&town);
    regionproc_close(&region);
    ways_close(&ways);
    redisproc_close(&redis);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_relay_commits_is_told_at_every_relay),
        cmocka_unit_test(a_killed_redis_costs_a_poll),
        cmocka_unit_test(a_flushed_redis_costs_nothing),
        cmocka_unit_test(a_redis_that_sleeps_is_not_waited_for),
        cmocka_unit_test(a_relay_cut_off_from_redis_polls),
        cmocka_unit_test(relays_with_different_servers_say_so),
        cmocka_unit_test(a_liar_is_not_believed),
    };
    if (!regionproc_there(&region) || !redisproc_there()) {
        puts("skipped: no postgres, or no redis");
        return 77;
    }
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, open_all, close_all);
}
