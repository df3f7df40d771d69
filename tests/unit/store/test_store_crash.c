/* A writer killed in the middle: what is opened afterwards is a committed prefix with
 * every append that was answered. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/sig.h"
#include "tests/conformance/suite.h"

#define KILLS 20
#define SLOTS 4
#define RECORDS 24

static void *maintainer(void *context)
{
    struct store *store = context;
    for (;;)
        (void)store->ops->maintain(store);
    return NULL;
}

/* In the child: append for ever; after each answer the sizes go up the pipe. */
static void write_for_ever(struct suite *s, int pipe_fd)
{
    struct store_why why;
    if (store_open(s->uri, &s->store, &why) != ERR_OK)
        _exit(3);
    pthread_t thread;
    pthread_create(&thread, NULL, maintainer, s->store);
    static struct feed_slot feed[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++)
        feed[i] = s->slot[i].feed;
    for (;;) {
        static struct feed_append f[SLOTS];
        struct store_append a[SLOTS];
        enum store_outcome outcome[SLOTS];
        uint64_t sizes[SLOTS];
        for (uint32_t i = 0; i < SLOTS; i++) {
            feed_make(&f[i], &feed[i], RECORDS, SUITE_ENVELOPE, 3, 0);
            a[i] = f[i].a;
        }
        s->store->ops->append(s->store, a, SLOTS, outcome);
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (outcome[i] != STORE_COMMITTED)
                _exit(4);
            feed[i] = f[i].after;
            sizes[i] = feed[i].frontier.size;
            feed_close(&f[i]);
        }
        if (write(pipe_fd, sizes, sizeof sizes) != sizeof sizes)
            _exit(5);
    }
}

/* The feed is deterministic, so the model can follow to wherever the child came. */
static void follow(struct suite *s, uint32_t slot, uint64_t size)
{
    assert_int_equal((size - suite_size(s, slot)) % RECORDS, 0);
    while (suite_size(s, slot) < size) {
        struct feed_append f;
        feed_make(&f, &s->slot[slot].feed, RECORDS, SUITE_ENVELOPE, 3, 0);
        suite_commit(s, &f);
        feed_close(&f);
    }
}

static void kill_once(struct suite *s, unsigned delay_ms)
{
    int ends[2];
    uint64_t sizes[SLOTS] = {0}, last[SLOTS] = {0};
    s->reader->ops->close(s->reader);
    s->store->ops->close(s->store);
    s->reader = NULL;
    s->store = NULL;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        write_for_ever(s, ends[1]);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], sizes, sizeof sizes),
                     sizeof sizes); /* it is under way */
    struct timespec t = {0, (long)delay_ms * 1000000};
    nanosleep(&t, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    memcpy(last, sizes, sizeof last);
    while (read(ends[0], sizes, sizeof sizes) == sizeof sizes)
        memcpy(last, sizes, sizeof last);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct store_why why;
    if (store_open(s->uri, &s->store, &why) != ERR_OK)
        fail_msg("open after a kill: %s", why.text);
    assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
    uint64_t one = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct store_slot slot;
        assert_int_equal(s->store->ops->slot(s->store, i, &slot), ERR_OK);
        assert_true(slot.size == last[i] || slot.size == last[i] + RECORDS);
        if (i == 0)
            one = slot.size;
        assert_int_equal(slot.size, one); /* all slots of an append, or none */
        follow(s, i, slot.size);
        suite_check_slot(s, i);
        suite_check_lookups(s, i, 101);
    }
}

static void a_killed_writer_leaves_a_committed_prefix(void **state)
{
    struct suite *s = *state;
    uint64_t random = (uint64_t)getpid();
    for (int i = 0; i < KILLS; i++)
        kill_once(s, (unsigned)(feed_random(&random) % 120));
}

int main(void)
{
    suite_kind = "sqlite";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_writer_leaves_a_committed_prefix,
                                        suite_setup, suite_teardown),
    };
    return crypto_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
