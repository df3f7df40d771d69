#include "relay/gather.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "relay/clock.h"
#include "tests/unit/relay/test.h"

#define MOST 100u
#define LATE_MS 1000u /* of a machine with other things to do */

static struct queue commit, in_line;
static struct chain_of_links got;

static int set_up(void **state)
{
    (void)state;
    queue_init(&commit);
    queue_init(&in_line);
    got = (struct chain_of_links){0};
    return 0;
}

static void drop_all(struct queue *q)
{
    struct chain_of_links rest;
    (void)queue_take(q, &rest, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&rest));)
        free(l);
    queue_close(q);
}

static int tear_down(void **state)
{
    (void)state;
    for (struct link *l; (l = links_pop(&got));)
        free(l);
    drop_all(&commit);
    drop_all(&in_line);
    return 0;
}

static struct link *job_of(uint32_t entries)
{
    struct job *j = calloc(1, sizeof(*j));
    assert_non_null(j);
    j->work.kind = WORK_JOB;
    j->count = entries;
    return &j->work.link;
}

static struct link *question(void)
{
    struct request *q = calloc(1, sizeof(*q));
    assert_non_null(q);
    q->work.kind = WORK_REQUEST;
    return &q->work.link;
}

static void stand_in_line(unsigned jobs)
{
    for (unsigned i = 0; i < jobs; i++)
        queue_put_one(&in_line, job_of(1));
}

static uint64_t gather_for_ms(uint64_t ms)
{
    uint64_t began = clock_mono_ms();
    gather(&commit, &in_line, MOST, ms, &got);
    return clock_mono_ms() - began;
}

static void nobody_in_line_is_waited_for(void **state)
{
    (void)state;
    links_add(&got, job_of(1));
    queue_put_one(&commit, job_of(1));
    stand_in_line(GATHER_JOBS - 1);
    gather(&commit, &in_line, MOST, GATHER_MS, &got);
    assert_int_equal(got.count, 1); /* the next batch has it */
    assert_int_equal(queue_count(&commit), 1);
}

static void who_stands_in_line_is_waited_for_and_not_for_ever(void **state)
{
    (void)state;
    links_add(&got, job_of(2));
    queue_put_one(&commit, job_of(3));
    queue_put_one(&commit, question());
    stand_in_line(GATHER_JOBS);
    uint64_t took = gather_for_ms(gather_ms(false));
    assert_true(took >= GATHER_MS - 1 && took < GATHER_MS + LATE_MS);
    assert_int_equal(got.count, 3);
    assert_int_equal(((struct job *)got.first)->count, 2); /* in the order they came */
}

static void under_pressure_it_waits_longer(void **state)
{
    (void)state;
    links_add(&got, job_of(1));
    stand_in_line(GATHER_JOBS);
    uint64_t took = gather_for_ms(gather_ms(true));
    assert_true(took >= GATHER_PRESSED_MS - 1 && took < GATHER_PRESSED_MS + LATE_MS);
}

static void a_full_batch_goes(void **state)
{
    (void)state;
    stand_in_line(GATHER_JOBS);
    links_add(&got, job_of(MOST));
    queue_put_one(&commit, job_of(1));
    gather(&commit, &in_line, MOST, GATHER_MS, &got);
    assert_int_equal(got.count, 1);
    tear_down(NULL);
    set_up(NULL);
    stand_in_line(GATHER_JOBS);
    links_add(&got, job_of(1));
    queue_put_one(&commit, job_of(MOST - 1));
    gather(&commit, &in_line, MOST, GATHER_MS, &got);
    assert_int_equal(got.count, 2); /* with one look */
}

static void questions_alone_wait_for_nobody(void **state)
{
    (void)state;
    stand_in_line(GATHER_JOBS);
    links_add(&got, question());
    queue_put_one(&commit, job_of(1));
    gather(&commit, &in_line, MOST, GATHER_MS, &got);
    assert_int_equal(got.count, 1);
}

static void *leave_the_line(void *context)
{
    const struct timespec soon = {0, 5000000};
    struct chain_of_links left;
    (void)context;
    nanosleep(&soon, NULL);
    queue_put_one(&commit, job_of(1));
    (void)queue_take(&in_line, &left, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&left));)
        free(l);
    return NULL;
}

static void when_the_line_is_gone_so_is_the_batch(void **state)
{
    (void)state;
    pthread_t thread;
    stand_in_line(GATHER_JOBS);
    links_add(&got, job_of(1));
    assert_int_equal(pthread_create(&thread, NULL, leave_the_line, NULL), 0);
    gather(&commit, &in_line, MOST, GATHER_MS, &got);
    pthread_join(thread, NULL);
    assert_true(got.count + queue_count(&commit) == 2);
    assert_true(got.count == 2 || queue_count(&in_line) == 0);
}

static void a_queue_that_ended_is_the_last(void **state)
{
    (void)state;
    stand_in_line(GATHER_JOBS);
    links_add(&got, job_of(1));
    queue_put_one(&commit, job_of(1));
    queue_end(&commit);
    gather(&commit, &in_line, MOST, GATHER_MS, &got);
    assert_int_equal(got.count, 2); /* nothing is left behind */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_in_line_is_waited_for),
        TEST(who_stands_in_line_is_waited_for_and_not_for_ever),
        TEST(under_pressure_it_waits_longer),
        TEST(a_full_batch_goes),
        TEST(questions_alone_wait_for_nobody),
        TEST(when_the_line_is_gone_so_is_the_batch),
        TEST(a_queue_that_ended_is_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
