/* ledger/link against a real WebSocket server on a thread of its own. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <uv.h>

#include "ledger/link.h"

/* Every close of this program, the libraries' too: how many were of a number that was not open.
 * Such a number may be another thread's socket or file by then. */
static atomic_uint closed_twice;

__attribute__((visibility("default"))) int close(int fd)
{
    int r = (int)syscall(SYS_close, fd);
    if (r != 0 && errno == EBADF)
        atomic_fetch_add(&closed_twice, 1);
    return r;
}

/* An echo server. "bye" closes; "mute" stops answering; "count" is answered with how many
 * frames came before it. */
struct server {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    struct lws_context *context;
    struct lws_protocols protocols[2];
    int port;
    bool accept_protocol;
    pthread_barrier_t ready;
};

struct session {
    uint8_t *message;
    size_t size;
    struct reply {
        struct reply *next;
        size_t size;
        uint8_t data[];
    } * head, *tail;
    uint64_t frames;
    bool bye;
};

static void reply(struct session *s, const void *data, size_t size)
{
    struct reply *r = malloc(sizeof(*r) + LWS_PRE + size);
    assert_non_null(r);
    r->next = NULL;
    r->size = size;
    memcpy(r->data + LWS_PRE, data, size);
    if (s->tail)
        s->tail->next = r;
    else
        s->head = r;
    s->tail = r;
}

static int on_server(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                     void *in, size_t len)
{
    struct session *s = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        memset(s, 0, sizeof(*s));
        break;
    case LWS_CALLBACK_RECEIVE:
        s->message = realloc(s->message, s->size + len + 1);
        memcpy(s->message + s->size, in, len);
        s->size += len;
        if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi))
            break;
        if (s->size == 3 && memcmp(s->message, "bye", 3) == 0) {
            s->bye = true;
        } else if (s->size == 5 && memcmp(s->message, "count", 5) == 0) {
            char text[32];
            snprintf(text, sizeof(text), "%llu", (unsigned long long)s->frames);
            reply(s, text, strlen(text));
        } else if (s->size < 4 || memcmp(s->message, "mute", 4) != 0) {
            reply(s, s->message, s->size);
        }
        s->frames++;
        s->size = 0;
        lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        while (s->head && !lws_send_pipe_choked(wsi) && !lws_partial_buffered(wsi)) {
            struct reply *r = s->head;
            s->head = r->next;
            if (!s->head)
                s->tail = NULL;
            int n = lws_write(wsi, r->data + LWS_PRE, r->size, LWS_WRITE_BINARY);
            free(r);
            if (n < 0)
                return -1;
        }
        if (s->head)
            lws_callback_on_writable(wsi);
        if (!s->head && s->bye) {
            uint8_t room[LWS_PRE + 10] = {0};
            memcpy(room + LWS_PRE,
                   "\x03\xe9"
                   "draining",
                   10);
            s->bye = false;
            (void)lws_write(wsi, room + LWS_PRE, 10, (enum lws_write_protocol)4);
            break;
        }
        break;
    case LWS_CALLBACK_CLOSED:
        for (struct reply *r = s->head; r;) {
            struct reply *next = r->next;
            free(r);
            r = next;
        }
        free(s->message);
        memset(s, 0, sizeof(*s));
        break;
    default:
        break;
    }
    return 0;
}

static void on_stop(uv_async_t *a)
{
    struct server *s = a->data;
    uv_close((uv_handle_t *)a, NULL);
    lws_context_destroy(s->context);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    uv_loop_init(&s->loop);
    uv_async_init(&s->loop, &s->stop, on_stop);
    s->stop.data = s;
    void *loops[1] = {&s->loop};
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof(info));
    s->protocols[0] =
        (struct lws_protocols){.name = "stoa.v1",
                               .callback = on_server,
                               .per_session_data_size = sizeof(struct session),
                               .rx_buffer_size = 4096};
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.foreign_loops = loops;
    info.port = 0;
    info.iface = "127.0.0.1";
    memset(&info.uid, 0xff, sizeof(info.uid)); /* -1, signed or not: differs by version */
    memset(&info.gid, 0xff, sizeof(info.gid));
    info.protocols = s->protocols;
    info.pcontext = &s->context;
    lws_set_log_level(0, NULL);
    s->context = lws_create_context(&info);
    struct lws_vhost *vhost = s->context ? lws_create_vhost(s->context, &info) : NULL;
    s->port = vhost ? lws_get_vhost_listen_port(vhost) : 0;
    pthread_barrier_wait(&s->ready);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    if (s->context)
        lws_context_destroy(s->context);
    uv_run(&s->loop, UV_RUN_NOWAIT);
    uv_loop_close(&s->loop);
    return NULL;
}

static int start(void **state)
{
    struct server *s = calloc(1, sizeof(*s));
    pthread_barrier_init(&s->ready, NULL, 2);
    pthread_create(&s->thread, NULL, serve, s);
    pthread_barrier_wait(&s->ready);
    *state = s;
    return s->port > 0 ? 0 : -1;
}

static int stop(void **state)
{
    struct server *s = *state;
    uv_async_send(&s->stop);
    pthread_join(s->thread, NULL);
    pthread_barrier_destroy(&s->ready);
    free(s);
    return 0;
}

static struct link *dial(struct server *s, uint32_t ping_ms, size_t queue)
{
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", s->port);
    struct link_options o = {.url = url, .ping_ms = ping_ms, .queue_bytes_max = queue};
    struct link *l;
    assert_int_equal(link_open(&l, &o), ERR_OK);
    struct link_event e;
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_OPEN);
    return l;
}

static void a_frame_comes_back(void **state)
{
    struct link *l = dial(*state, 0, 0);
    struct link_event e;
    assert_int_equal(link_send(l, "hello", 5), ERR_OK);
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_FRAME);
    assert_int_equal(e.frame.size, 5);
    assert_memory_equal(e.frame.data, "hello", 5);
    link_poll(l, 20, &e);
    assert_int_equal(e.type, LINK_TIMEOUT);
    link_close(l, 1000);
}

static void the_callers_bytes_are_not_masked(void **state)
{
    struct link *l = dial(*state, 0, 0);
    char mine[] = "keep me as I am";
    assert_int_equal(link_send(l, mine, sizeof(mine)), ERR_OK);
    struct link_event e;
    link_poll(l, 5000, &e);
    assert_string_equal(mine, "keep me as I am");
    assert_string_equal((const char *)e.frame.data, "keep me as I am");
    link_close(l, 1000);
}

static void the_largest_frame_passes_and_a_larger_does_not(void **state)
{
    struct link *l = dial(*state, 0, 0);
    uint8_t *big = malloc(LINK_FRAME_MAX + 1);
    for (size_t i = 0; i <= LINK_FRAME_MAX; i++)
        big[i] = (uint8_t)(i * 31 >> 3);
    assert_int_equal(link_send(l, big, LINK_FRAME_MAX + 1), ERR_TOO_LARGE);
    assert_int_equal(link_send(l, big, LINK_FRAME_MAX), ERR_OK);
    struct link_event e;
    link_poll(l, 10000, &e);
    assert_int_equal(e.type, LINK_FRAME);
    assert_int_equal(e.frame.size, LINK_FRAME_MAX);
    assert_memory_equal(e.frame.data, big, LINK_FRAME_MAX);
    free(big);
    link_close(l, 1000);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void thousands_of_frames_are_pipelined_in_order(void **state)
{
    struct link *l = dial(*state, 0, 0);
    enum { COUNT = 20000 };
    uint8_t frame[160] = {0};
    double from = seconds();
    unsigned sent = 0, got = 0;
    struct link_event e;
    while (got < COUNT) {
        while (sent < COUNT && sent - got < 2000) {
            memcpy(frame, &sent, sizeof(sent));
            assert_int_equal(link_send(l, frame, sizeof(frame)), ERR_OK);
            sent++;
        }
        link_poll(l, 5000, &e);
        assert_int_equal(e.type, LINK_FRAME);
        unsigned at;
        memcpy(&at, e.frame.data, sizeof(at));
        assert_int_equal(at, got);
        got++;
    }
    double took = seconds() - from;
    print_message("%d frames there and back in %.3f s: %.0f/s\n", COUNT, took,
                  COUNT / took);
    link_close(l, 1000);
}

static void a_full_queue_says_busy_and_loses_nothing(void **state)
{
    struct link *l = dial(*state, 0, 4096);
    uint8_t frame[1000] = {7};
    int queued = 0;
    while (link_send(l, frame, sizeof(frame)) == ERR_OK)
        queued++;
    assert_int_equal(queued, 4);
    assert_int_equal(link_unsent(l), 4000);
    struct link_event e;
    for (int i = 0; i < queued; i++) {
        link_poll(l, 5000, &e);
        assert_int_equal(e.type, LINK_FRAME);
    }
    assert_int_equal(link_send(l, frame, sizeof(frame)), ERR_OK);
    link_close(l, 1000);
}

static void a_slow_reader_throttles_the_socket(void **state)
{
    struct link *l = dial(*state, 0, 64 * 1024);
    uint8_t *frame = calloc(1, 32 * 1024);
    struct link_event e;
    unsigned sent = 0, got = 0;
    while (sent < 200) {
        if (link_send(l, frame, 32 * 1024) == ERR_OK)
            sent++;
        link_poll(l, 0, &e);
        got += e.type == LINK_FRAME;
    }
    while (got < sent) {
        link_poll(l, 5000, &e);
        assert_int_equal(e.type, LINK_FRAME);
        got++;
    }
    free(frame);
    link_close(l, 1000);
}

static void the_hubs_close_is_told_with_its_reason(void **state)
{
    struct link *l = dial(*state, 0, 0);
    assert_int_equal(link_send(l, "last", 4), ERR_OK);
    assert_int_equal(link_send(l, "bye", 3), ERR_OK);
    struct link_event e;
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_FRAME);
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_CLOSED);
    if (!strstr(e.why, "draining"))
        fail_msg("why: %s", e.why);
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_CLOSED);
    assert_int_equal(link_send(l, "x", 1), ERR_NET);
    link_close(l, 1000);
}

static void what_was_sent_before_close_still_goes_out(void **state)
{
    struct link *l = dial(*state, 0, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(link_send(l, "mute", 4), ERR_OK);
    assert_int_equal(link_send(l, "count", 5), ERR_OK);
    struct link_event e;
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_FRAME);
    assert_int_equal(e.frame.size, 4);
    assert_memory_equal(e.frame.data, "1000", 4);
    link_close(l, 1000);
}

static void silence_is_asked_with_pings_and_a_live_hub_stays(void **state)
{
    struct link *l = dial(*state, 100, 0);
    struct link_event e;
    link_poll(l, 700, &e);
    assert_int_equal(e.type, LINK_TIMEOUT);
    assert_int_equal(link_send(l, "still", 5), ERR_OK);
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_FRAME);
    link_close(l, 1000);
}

static void nobody_listening_is_told(void **state)
{
    (void)state;
    struct link_options o = {.url = "ws://127.0.0.1:1/"};
    struct link *l;
    struct link_event e;
    assert_int_equal(link_open(&l, &o), ERR_OK);
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_CLOSED);
    assert_non_null(strstr(e.why, "127.0.0.1"));
    link_close(l, 0);
}

static void closing_while_connecting_is_clean(void **state)
{
    struct server *s = *state;
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", s->port);
    struct link_options o = {.url = url};
    struct link *l;
    assert_int_equal(link_open(&l, &o), ERR_OK);
    link_close(l, 1000);
}

/* The test above ended the process now and then: the server's thread was given the number of a
 * descriptor that the link's end then closed once more. */
static void no_descriptor_is_closed_twice(void **state)
{
    int none = dup(0);
    assert_int_equal(close(none), 0);
    assert_int_equal(atomic_exchange(&closed_twice, 0), 0);
    assert_int_equal(close(none), -1); /* the count counts */
    assert_int_equal(atomic_exchange(&closed_twice, 0), 1);

    struct link *l = dial(*state, 0, 0);
    struct link_event e;
    assert_int_equal(link_send(l, "round", 5), ERR_OK);
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_FRAME);
    link_close(l, 1000);
    closing_while_connecting_is_clean(state);
    nobody_listening_is_told(state);
    assert_int_equal(atomic_load(&closed_twice), 0);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void pause_ms(long ms)
{
    struct timespec t = {0, ms * 1000000L};
    nanosleep(&t, NULL);
}

static void no_descriptor_is_left_open(void **state)
{
    link_close(dial(*state, 0, 0), 1000);
    pause_ms(100); /* the server's end of it */
    unsigned before = open_descriptors();
    for (int i = 0; i < 20; i++)
        link_close(dial(*state, 0, 0), 1000);
    closing_while_connecting_is_clean(state);
    nobody_listening_is_told(state);
    for (int i = 0; open_descriptors() > before && i < 100; i++)
        pause_ms(50);
    assert_true(open_descriptors() <= before);
}

/* Well before the ping, which is the next thing that would end a wait. */
static void a_wait_ends_when_its_time_is_over(void **state)
{
    struct link *l = dial(*state, 0, 0);
    struct link_event e;
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int i = 0; i < 3; i++) {
        link_poll(l, 100, &e);
        assert_int_equal(e.type, LINK_TIMEOUT);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    assert_true(ended.tv_sec - began.tv_sec < LINK_PING_MS_DEFAULT / 2000);
    link_close(l, 1000);
}

/* Whoever is woken all the time must still send and receive. */
static void a_poll_that_was_woken_moves_frames_too(void **state)
{
    struct link *l = dial(*state, 0, 0);
    struct link_event e = {.type = LINK_TIMEOUT};
    assert_int_equal(link_send(l, "round", 5), ERR_OK);
    for (int i = 0; e.type != LINK_FRAME && i < 1000; i++) {
        link_wake(l);
        link_poll(l, 20000, &e); /* a frame that came with an earlier wake is told first */
        pause_ms(e.type == LINK_FRAME ? 0 : 5);
    }
    assert_int_equal(e.type, LINK_FRAME);
    link_close(l, 1000);
}

/* Its answer to a ping waits in the socket, for longer than a ping's time. */
static void a_live_hub_may_be_polled_seldom(void **state)
{
    struct link *l = dial(*state, 200, 0);
    struct link_event e;
    for (int i = 0; i < 6; i++) {
        pause_ms(300);
        link_poll(l, 0, &e);
        assert_int_equal(e.type, LINK_TIMEOUT);
    }
    link_close(l, 1000);
}

static void *wake_soon(void *context)
{
    pause_ms(50);
    link_wake(context);
    return NULL;
}

static void another_thread_ends_the_wait(void **state)
{
    struct link *l = dial(*state, 0, 0);
    struct link_event e;
    struct timespec began, ended;
    pthread_t other;
    clock_gettime(CLOCK_MONOTONIC, &began);
    assert_int_equal(pthread_create(&other, NULL, wake_soon, l), 0);
    link_poll(l, 20000, &e);
    assert_int_equal(e.type, LINK_TIMEOUT);
    pthread_join(other, NULL);
    link_wake(l); /* before the wait counts too */
    link_poll(l, 20000, &e);
    assert_int_equal(e.type, LINK_TIMEOUT);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    assert_true(ended.tv_sec - began.tv_sec < 10);
    assert_int_equal(link_send(l, "still", 5), ERR_OK);
    link_poll(l, 5000, &e);
    assert_int_equal(e.type, LINK_FRAME);
    link_close(l, 1000);
}

static void other_urls_are_refused(void **state)
{
    (void)state;
    const char *bad[] = {"", "http://h/", "ws://", "nonsense", "ftp://h:1/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct link_options o = {.url = bad[i]};
        struct link *l;
        assert_int_equal(link_open(&l, &o), ERR_USAGE);
        assert_null(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_comes_back),
        cmocka_unit_test(the_callers_bytes_are_not_masked),
        cmocka_unit_test(the_largest_frame_passes_and_a_larger_does_not),
        cmocka_unit_test(thousands_of_frames_are_pipelined_in_order),
        cmocka_unit_test(a_full_queue_says_busy_and_loses_nothing),
        cmocka_unit_test(a_slow_reader_throttles_the_socket),
        cmocka_unit_test(the_hubs_close_is_told_with_its_reason),
        cmocka_unit_test(what_was_sent_before_close_still_goes_out),
        cmocka_unit_test(silence_is_asked_with_pings_and_a_live_hub_stays),
        cmocka_unit_test(nobody_listening_is_told),
        cmocka_unit_test(closing_while_connecting_is_clean),
        cmocka_unit_test(no_descriptor_is_closed_twice),
        cmocka_unit_test(no_descriptor_is_left_open),
        cmocka_unit_test(other_urls_are_refused),
        cmocka_unit_test(a_wait_ends_when_its_time_is_over),
        cmocka_unit_test(another_thread_ends_the_wait),
        cmocka_unit_test(a_poll_that_was_woken_moves_frames_too),
        cmocka_unit_test(a_live_hub_may_be_polled_seldom),
    };
    return cmocka_run_group_tests_name("link", tests, start, stop);
}
