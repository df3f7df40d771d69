#include "relay/queue.h"

#include "relay/frame.h"
#include "relay/work.h"
#include "tests/unit/relay/test.h"

#define THINGS 20000u

struct thing {
    struct link link;
    uint32_t n;
};

static void lists_keep_their_order(void **state)
{
    (void)state;
    struct chain_of_links a = {0}, b = {0};
    struct thing t[5];
    for (uint32_t i = 0; i < 5; i++) {
        t[i].n = i;
        links_add(i < 3 ? &a : &b, &t[i].link);
    }
    links_join(&a, &b);
    assert_null(b.first);
    links_join(&a, &b);
    assert_int_equal(a.count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(((struct thing *)links_pop(&a))->n, i);
    assert_null(links_pop(&a));
    assert_int_equal(a.count, 0);
}

static void *taker(void *context)
{
    struct queue *q = context;
    struct chain_of_links got;
    uintptr_t sum = 0;
    while (queue_take(q, &got, 7, 1000))
        for (struct link *l; (l = links_pop(&got));)
            sum += ((struct thing *)l)->n;
    return (void *)sum;
}

static void every_thing_is_taken_once(void **state)
{
    (void)state;
    static struct thing t[THINGS];
    struct queue q;
    pthread_t threads[3];
    uintptr_t sum = 0, want = 0;
    queue_init(&q);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, taker, &q), 0);
    for (uint32_t i = 0; i < THINGS; i += 4) {
        struct chain_of_links c = {0};
        for (uint32_t n = i; n < i + 4; n++) {
            t[n].n = n;
            want += n;
            links_add(&c, &t[n].link);
        }
        queue_put(&q, &c);
    }
    queue_end(&q);
    for (int i = 0; i < 3; i++) {
        void *part;
        pthread_join(threads[i], &part);
        sum += (uintptr_t)part;
    }
    assert_int_equal(sum, want);
    queue_close(&q);
}

static void an_empty_queue_says_so_and_an_ended_one_too(void **state)
{
    (void)state;
    struct queue q;
    struct chain_of_links got;
    struct thing t = {.n = 1};
    queue_init(&q);
    assert_true(queue_take(&q, &got, 1, 0));
    assert_null(got.first);
    queue_put_one(&q, &t.link);
    queue_end(&q);
    assert_int_equal(queue_count(&q), 1);
    assert_true(queue_take(&q, &got, 1, 1000));
    assert_ptr_equal(got.first, &t.link);
    assert_false(queue_take(&q, &got, 1, 1000));
    queue_close(&q);
}

static void a_frame_is_freed_with_its_last_holder(void **state)
{
    (void)state;
    struct frame *f = frame_new(10);
    assert_true(frame_grow(&f, 5000));
    memset(frame_data(f), 1, 5000);
    f->size = 5000;
    frame_keep(f);
    frame_drop(f);
    assert_int_equal(frame_bytes(f).size, 5000);
    frame_drop(f);
    frame_drop(NULL);
    f = frame_error(7, ERR_BUSY, 50);
    struct wire_frame got;
    assert_int_equal(wire_decode(&got, frame_data(f), f->size), ERR_OK);
    assert_int_equal(got.type, WIRE_ERROR);
    assert_int_equal(got.code, ERR_BUSY);
    frame_drop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(every_thing_is_taken_once),
        cmocka_unit_test(an_empty_queue_says_so_and_an_ended_one_too),
        cmocka_unit_test(a_frame_is_freed_with_its_last_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
