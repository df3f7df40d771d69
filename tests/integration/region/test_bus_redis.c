/* The bus edge alone, against a real Redis and against one that lies. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/sig.h"
#include "relay/bus_redis.h"
#include "relay/clock.h"
#include "tests/integration/region/liar.h"
#include "tests/lib/redisproc.h"

#define SLOTS 16u
#define PATIENCE_MS 15000u

/* One relay's end of the bus, and what it heard. */
struct ear {
    struct bus_redis *bus;
    struct metrics *metrics;
    pthread_mutex_t lock;
    unsigned heard, by_slot[SLOTS + 1], ups, downs;
    char last[64];
};

static void nap_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

static void on_heard(void *context, uint32_t slot, struct bytes message)
{
    struct ear *e = context;
    pthread_mutex_lock(&e->lock);
    e->heard++;
    e->by_slot[slot == BUS_RELAYS_CHANNEL ? SLOTS : slot]++;
    snprintf(e->last, sizeof(e->last), "%.*s",
             (int)(message.size < 60 ? message.size : 60), (const char *)message.data);
    pthread_mutex_unlock(&e->lock);
}

static void on_changed(void *context, bool up)
{
    struct ear *e = context;
    pthread_mutex_lock(&e->lock);
    e->ups += up;
    e->downs += !up;
    pthread_mutex_unlock(&e->lock);
}

static unsigned heard(struct ear *e)
{
    pthread_mutex_lock(&e->lock);
    unsigned n = e->heard;
    pthread_mutex_unlock(&e->lock);
    return n;
}

static unsigned heard_of(struct ear *e, uint32_t slot)
{
    pthread_mutex_lock(&e->lock);
    unsigned n = e->by_slot[slot];
    pthread_mutex_unlock(&e->lock);
    return n;
}

static void ear_open(struct ear *e, const char *uri)
{
    char why[REDIS_WHY_MAX] = "";
    struct bus_redis_config c = {.hub = "hub.example",
                                 .federation = {{1, 2, 3}},
                                 .slots = SLOTS,
                                 .context = e,
                                 .heard = on_heard,
                                 .changed = on_changed};
    memset(e, 0, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    e->metrics = metrics_open(1, 1);
    c.metrics = e->metrics;
    if (!redis_address_parse(&c.address, uri, why))
        fail_msg("%s: %s", uri, why);
    assert_int_equal(bus_redis_open(&e->bus, &c), ERR_OK);
    assert_int_equal(bus_redis_start(e->bus), ERR_OK);
}

static void ear_close(struct ear *e)
{
    bus_redis_close(e->bus);
    metrics_close(e->metrics);
    pthread_mutex_destroy(&e->lock);
}

static void wait_up(struct ear *e, bool up)
{
    struct bus_redis_state s;
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    for (;;) {
        bus_redis_state(e->bus, &s);
        if (s.up == up)
            break;
        if (clock_mono_ms() >= end)
            fail_msg("the bus does not become %s: %s", up ? "up" : "down", s.why);
        nap_ms(5);
    }
    assert_int_equal(metrics_value(e->metrics, METRIC_BUS_UP, 0), up);
}

static void wait_why(struct ear *e, const char *text)
{
    struct bus_redis_state s;
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    for (;;) {
        bus_redis_state(e->bus, &s);
        assert_false(s.up);
        if (strstr(s.why, text))
            return;
        if (clock_mono_ms() >= end)
            fail_msg("\"%s\" was expected, but: %s", text, s.why);
        nap_ms(5);
    }
}

static void wait_heard(struct ear *e, unsigned n)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    while (heard(e) < n) {
        if (clock_mono_ms() >= end)
            fail_msg("%u of %u messages were heard", heard(e), n);
        nap_ms(1);
    }
}

static void say(struct ear *e, uint32_t slot, const char *text, size_t size)
{
    struct chain_of_links list = {0};
    struct bus_out *m = bus_out_new(slot, size);
    assert_non_null(m);
    memcpy(m->data, text, strlen(text));
    m->size = (uint32_t)size;
    links_add(&list, &m->link);
    bus_redis_publish(e->bus, &list);
}

static void uri_of(const struct redisproc *p, bool tcp, const char *options,
                   char out[400])
{
    char path[300];
    redisproc_socket(p, path, sizeof(path));
    if (tcp)
        snprintf(out, 400, "redis://localhost:%u%s", (unsigned)p->port, options);
    else
        snprintf(out, 400, "redis+unix:%s%s", path, options);
}

static void open_redis(struct redisproc *p)
{
    if (!redisproc_there())
        skip();
    if (!redisproc_open(p))
        fail_msg("%s", p->why);
}

static void what_one_says_the_other_hears(void **state)
{
    (void)state;
    struct redisproc p = {.pid = 0};
    struct ear a, b;
    char uri[400];
    open_redis(&p);
    uri_of(&p, true, "", uri);
    ear_open(&a, uri);
    uri_of(&p, false, "", uri);
    ear_open(&b, uri);
    wait_up(&a, true);
    wait_up(&b, true);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        say(&a, slot, "hello", 5);
    say(&a, BUS_RELAYS_CHANNEL, "hello", 5);
    wait_heard(&b, SLOTS + 1);
    wait_heard(&a, SLOTS + 1); /* his own, too: the core tells them apart */
    for (uint32_t slot = 0; slot <= SLOTS; slot++)
        assert_int_equal(b.by_slot[slot], 1);
    assert_string_equal(b.last, "hello");
    assert_int_equal(metrics_value(a.metrics, METRIC_BUS_PUBLISHED, 0), SLOTS + 1);
    ear_close(&a);
    ear_close(&b);
    redisproc_close(&p);
}

static void a_redis_that_dies_is_found_again(void **state)
{
    (void)state;
    struct redisproc p = {.pid = 0};
    struct ear a;
    char uri[400];
    open_redis(&p);
    uri_of(&p, true, "", uri);
    ear_open(&a, uri);
    wait_up(&a, true);
    redisproc_kill(&p);
    wait_up(&a, false);
    say(&a, 3, "lost", 4);
    assert_int_equal(metrics_value(a.metrics, METRIC_BUS_DROPPED, M_BUS_DROP_DOWN), 1);
    wait_why(&a, "refused");
    nap_ms(300);
    assert_true(redisproc_start(&p));
    wait_up(&a, true);
    say(&a, 3, "there", 5);
    wait_heard(&a, 1);
    assert_string_equal(a.last, "there");
    assert_true(
        redisproc_command(&p, "FLUSHALL", NULL, 0)); /* there is nothing to lose */
    assert_true(redisproc_command(&p, "SCRIPT FLUSH", NULL, 0));
    say(&a, 3, "still", 5);
    wait_heard(&a, 2);
    assert_true(redisproc_command(&p, "CLIENT KILL TYPE pubsub", NULL, 0));
    wait_up(&a, false);
    wait_up(&a, true);
    say(&a, 3, "again", 5);
    wait_heard(&a, 3);
    assert_true(a.ups >= 3 && a.downs >= 2);
    ear_close(&a);
    redisproc_close(&p);
}

static void a_redis_that_hangs_is_noticed_and_costs_no_memory(void **state)
{
    (void)state;
    struct redisproc p = {.pid = 0};
    struct ear a;
    char uri[400];
    open_redis(&p);
    uri_of(&p, false, "", uri);
    ear_open(&a, uri);
    wait_up(&a, true);
    redisproc_pause(&p, true);
    uint64_t began = clock_mono_ms();
    for (int i = 0; i < 6000; i++) /* 48 MiB: past every limit on the way */
        say(&a, 1, "x", 8192);
    assert_true(clock_mono_ms() - began < 2000); /* whoever publishes never waits */
    wait_up(&a, false);
    assert_true(clock_mono_ms() - began < 4000);
    assert_true(metrics_value(a.metrics, METRIC_BUS_DROPPED, M_BUS_DROP_FULL) > 3000);
    redisproc_pause(&p, false);
    wait_up(&a, true);
    say(&a, 2, "back", 4);
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    while (heard_of(&a, 2) == 0 && clock_mono_ms() < end)
        nap_ms(5);
    assert_int_equal(heard_of(&a, 2), 1);
    ear_close(&a);
    redisproc_close(&p);
}

static void write_pass(const struct redisproc *p, const char *text, mode_t mode,
                       char path[300])
{
    snprintf(path, 300, "%s/pass", p->dir);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void a_password_comes_from_a_file(void **state)
{
    (void)state;
    struct redisproc p = {.password = "open-sesame"};
    struct ear a;
    char uri[800], path[300], options[400], place[400];
    open_redis(&p);
    write_pass(&p, "open-sesame\n", 0600, path);
    uri_of(&p, true, "", place);
    ear_open(&a, place); /* none */
    wait_why(&a, "NOAUTH");
    ear_close(&a);
    snprintf(options, sizeof(options), "?passfile=%s", path);
    snprintf(uri, sizeof(uri), "%s%s", place, options);
    ear_open(&a, uri);
    wait_up(&a, true);
    say(&a, 1, "in", 2);
    wait_heard(&a, 1);
    ear_close(&a);
    snprintf(uri, sizeof(uri), "redis://default@localhost:%u%s", (unsigned)p.port,
             options);
    ear_open(&a, uri); /* a user by name */
    wait_up(&a, true);
    ear_close(&a);
    write_pass(&p, "wrong\n", 0600, path);
    ear_open(&a, uri);
    wait_why(&a, "WRONGPASS");
    write_pass(&p, "open-sesame\n", 0600, path); /* read again at each attempt */
    wait_up(&a, true);
    ear_close(&a);
    write_pass(&p, "open-sesame\n", 0644, path);
    ear_open(&a, uri);
    wait_why(&a, "others may read it");
    ear_close(&a);
    (void)unlink(path);
    ear_open(&a, uri);
    wait_why(&a, "passfile");
    ear_close(&a);
    redisproc_close(&p);
}

static void a_cluster_is_used_by_sharded_pub_sub(void **state)
{
    (void)state;
    struct redisproc p = {.cluster = true};
    struct ear a;
    char uri[400];
    open_redis(&p);
    uri_of(&p, true, "?sharded=yes", uri);
    ear_open(&a, uri);
    wait_up(&a, true);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        say(&a, slot, "shard", 5);
    wait_heard(&a, SLOTS);
    ear_close(&a);
    redisproc_close(&p);
}

/* Two nodes, all hash slots on the second: the first one says MOVED. */
static void a_cluster_that_moved_is_followed(void **state)
{
    (void)state;
    struct redisproc p = {.cluster = true}, q = {.cluster = true};
    struct ear a;
    char uri[400], command[200], id[200] = "";
    open_redis(&p);
    if (!redisproc_open(&q))
        fail_msg("%s", q.why);
    assert_true(redisproc_command(&q, "CLUSTER FLUSHSLOTS", NULL, 0));
    assert_true(redisproc_command(&q, "CLUSTER RESET HARD", NULL, 0));
    snprintf(command, sizeof(command), "CLUSTER MEET 127.0.0.1 %u", (unsigned)p.port);
    assert_true(redisproc_command(&q, command, NULL, 0));
    /* The node that asks learns where the channels are from the one that has them. */
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    do {
        nap_ms(50);
        (void)redisproc_command(&q, "SPUBLISH probe x", id, sizeof(id));
    } while (strncmp(id, "-MOVED", 6) != 0 && clock_mono_ms() < end);
    assert_int_equal(strncmp(id, "-MOVED", 6), 0);
    uri_of(&q, true, "?sharded=yes", uri);
    ear_open(&a, uri);
    wait_up(&a, true);
    say(&a, 5, "moved", 5);
    wait_heard(&a, 1);
    ear_close(&a);
    redisproc_close(&q);
    redisproc_close(&p);
}

static void a_liar_is_borne(void **state)
{
    (void)state;
    static const enum liar_way ways[] = {LIAR_GARBAGE, LIAR_LIST, LIAR_HUGE, LIAR_SILENT,
                                         LIAR_FLOOD};
    static struct liar liar;
    struct ear a;
    char uri[100];
    assert_true(liar_open(&liar));
    snprintf(uri, sizeof(uri), "redis://127.0.0.1:%u", (unsigned)liar.port);
    ear_open(&a, uri);
    wait_up(&a, true);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        say(&a, (uint32_t)i, "word", 4);
        liar_be(&liar, ways[i]);
        if (ways[i] == LIAR_FLOOD)
            nap_ms(300);
        else
            wait_up(&a, false);
        liar_be(&liar, LIAR_HONEST);
        wait_up(&a, true);
        unsigned before = heard(&a);
        say(&a, (uint32_t)i, "true", 4);
        wait_heard(&a, before + 1);
    }
    ear_close(&a);
    liar_close(&liar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_says_the_other_hears),
        cmocka_unit_test(a_redis_that_dies_is_found_again),
        cmocka_unit_test(a_redis_that_hangs_is_noticed_and_costs_no_memory),
        cmocka_unit_test(a_password_comes_from_a_file),
        cmocka_unit_test(a_cluster_is_used_by_sharded_pub_sub),
        cmocka_unit_test(a_cluster_that_moved_is_followed),
        cmocka_unit_test(a_liar_is_borne),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
