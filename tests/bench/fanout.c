/* One publisher to many subscribers: every subscriber gets every entry once, in order. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/load.h"

#define SUBSCRIBERS 100u
#define ENTRIES 40000u
#define FRAME_ENTRIES 64u
#define STUCK_SECONDS 20.0

struct subscriber {
    struct rawws ws;
    uint64_t next;   /* position it wants next */
    uint64_t frames, records, catchup_frames;
    uint64_t last_ns; /* when it had everything */
    bool live;
};

struct fanout {
    struct bench_hub hub;
    struct crowd crowd;
    struct sheet notes;
    struct subscriber *subscribers;
    unsigned count;
    struct rawws_set set;
    struct rawws publisher;
    unsigned inflight_max, frame;
    uint64_t total, sent, accepted, inflight;
    unsigned finished, live;
    uint64_t began, last_progress;
    double cpu_hub, cpu_self; /* seconds, before the run and then of it */
};

static void on_records(struct fanout *x, struct subscriber *s, struct wire_frame *f)
{
    s->frames++;
    s->catchup_frames += f->mode == WIRE_CATCHUP;
    if (!s->live) { /* the catch-up has reached the end */
        s->live = true;
        x->live++;
    }
    for (size_t i = 0; i < f->count; i++) {
        struct record r;
        wire_next_record(&f->list, &r);
        if (r.position != s->next)
            die("a subscriber got position %llu instead of %llu",
                (unsigned long long)r.position, (unsigned long long)s->next);
        if (r.position > 0) {
            struct bytes sent = sheet_at(&x->notes, (size_t)r.position - 1, 0);
            if (r.envelope.size != sent.size ||
                memcmp(r.envelope.data, sent.data, sent.size) != 0)
                die("a subscriber got other bytes than were sent");
            s->records++;
        }
        s->next++;
    }
    if (s->next == x->total + 1 && s->last_ns == 0) {
        s->last_ns = now_ns();
        x->finished++;
    }
}

static void on_message(void *context, struct rawws *c, const struct rawws_message *m)
{
    struct fanout *x = context;
    struct wire_frame f;
    need(wire_decode(&f, m->data, m->size), "decode a frame of the hub");
    x->last_progress = now_ns();
    if (f.type == WIRE_RECORDS) {
        on_records(x, c->user, &f);
    } else if (f.type == WIRE_RESULTS) {
        for (size_t i = 0; i < f.count; i++) {
            struct wire_result res;
            wire_next_result(&f.list, &res);
            if (res.code != ERR_OK)
                die("an entry was refused: %s", err_text((enum err)res.code));
            x->accepted++;
            x->inflight--;
        }
    } else if (f.type == WIRE_ERROR || f.type == WIRE_BYE) {
        die("the hub says: %.*s", (int)f.text.size, (const char *)f.text.data);
    }
}

static void on_end(void *context, struct rawws *c)
{
    (void)context;
    die("the hub closed a connection (code %u)", c->close_code);
}

static void publish(struct fanout *x)
{
    static uint8_t room[1u << 20];
    for (;;) {
        uint64_t n = x->total - x->sent;
        if (n > x->frame)
            n = x->frame;
        if (n == 0 || x->inflight + n > x->inflight_max)
            return;
        struct mp_writer w = mp_writer_of(room, sizeof room);
        struct wire_frame f = {.type = WIRE_SUBMIT, .rid = x->sent + 1, .count = (size_t)n};
        wire_put(&w, &f);
        for (uint64_t i = 0; i < n; i++)
            wire_put_envelope(&w, sheet_at(&x->notes, (size_t)(x->sent + i), 0));
        if (w.full || !rawws_queue(&x->publisher, room, w.size) || !rawws_flush(&x->publisher))
            die("the hub does not take a SUBMIT");
        if (rawws_unsent(&x->publisher) > 0)
            rawws_set_want_write(&x->set, &x->publisher);
        x->sent += n;
        x->inflight += n;
    }
}

static void turn(struct fanout *x)
{
    if (rawws_set_poll(&x->set, 100, on_message, on_end, x) < 0)
        die("epoll failed");
    if (seconds_since(x->last_progress) > STUCK_SECONDS)
        die("nothing came for %.0f s: %llu sent, %llu accepted, %u of %u subscribers are live, "
            "%u done, the first has %llu",
            STUCK_SECONDS, (unsigned long long)x->sent, (unsigned long long)x->accepted,
            x->live, x->count, x->finished, (unsigned long long)x->subscribers[0].next);
}

static void subscribe_all(struct fanout *x)
{
    struct rawws_message m;
    x->subscribers = take(x->count * sizeof x->subscribers[0]);
    for (unsigned i = 0; i < x->count; i++) {
        struct subscriber *s = &x->subscribers[i];
        struct wire_frame f = {.type = WIRE_SUBSCRIBE, .rid = 2, .from = 0,
                               .key = {.what = WIRE_ACCOUNT, .id = x->crowd.people[0].id}};
        hub_connect(&x->hub, &s->ws, NULL);
        hub_send(&s->ws, &f);
        hub_answer(&s->ws, &f, WIRE_OK);
        s->ws.user = s;
        if (!rawws_set_add(&x->set, &s->ws))
            die("cannot watch a connection");
        while (rawws_next(&s->ws, &m)) /* what came together with the answer */
            on_message(x, &s->ws, &m);
    }
    x->last_progress = now_ns();
    while (x->live < x->count)
        turn(x);
}

/* ---- the limit: the same bytes over as many loopback connections, nothing else ---------- */

/* A connected pair of TCP sockets. */
static void loopback_pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&a, &size) < 0)
        die("no loopback socket");
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fds[0] < 0 || connect(fds[0], (struct sockaddr *)&a, sizeof a) < 0 ||
        (fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
        die("no loopback connection");
    close(listener);
}

struct flood {
    int fds[2 * SUBSCRIBERS];
    unsigned count;
    size_t bytes;   /* of one frame */
    uint64_t rounds;
};

static void *flood_send(void *context)
{
    struct flood *f = context;
    uint8_t *data = take(f->bytes);
    for (uint64_t k = 0; k < f->rounds; k++)
        for (unsigned i = 0; i < f->count; i++)
            for (size_t at = 0; at < f->bytes;) {
                ssize_t n = send(f->fds[2 * i], data + at, f->bytes - at, MSG_NOSIGNAL);
                if (n <= 0 && errno != EINTR)
                    die("loopback send failed");
                at += n > 0 ? (size_t)n : 0;
            }
    free(data);
    return NULL;
}

static double flood_rate(unsigned count, size_t frame_bytes, double frame_entries, bool quick)
{
    static uint8_t room[1u << 18];
    struct flood f = {.count = count, .bytes = frame_bytes};
    struct pollfd polls[SUBSCRIBERS];
    pthread_t thread;
    uint64_t want, have = 0;
    f.rounds = (quick ? UINT64_C(20000000) : UINT64_C(4000000000)) / (frame_bytes * count) + 1;
    want = f.rounds * frame_bytes * count;
    for (unsigned i = 0; i < count; i++) {
        loopback_pair(&f.fds[2 * i]);
        polls[i] = (struct pollfd){.fd = f.fds[2 * i + 1], .events = POLLIN};
    }
    uint64_t began = now_ns();
    if (pthread_create(&thread, NULL, flood_send, &f) != 0)
        die("no thread");
    while (have < want) {
        if (poll(polls, count, 1000) <= 0)
            die("loopback is stuck");
        for (unsigned i = 0; i < count; i++) {
            ssize_t n = polls[i].revents ? recv(polls[i].fd, room, sizeof room, MSG_DONTWAIT)
                                         : 0;
            have += n > 0 ? (size_t)n : 0;
        }
    }
    double rate = (double)(f.rounds * count) * frame_entries / seconds_since(began);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 2 * count; i++)
        close(f.fds[i]);
    return rate;
}

/* ---- the run ---- */

static void run(struct fanout *x, const struct options *o)
{
    hub_init(&x->hub, o);
    hub_start(&x->hub);
    if (!rawws_set_open(&x->set))
        die("no epoll");
    crowd_open(&x->crowd, &x->hub.federation, x->hub.name, 1);
    load_all(&x->hub, &x->crowd, &x->crowd.opens);
    crowd_notes(&x->crowd, &x->notes, (size_t)x->total, BENCH_NOTE_BYTES);
    subscribe_all(x);
    hub_connect(&x->hub, &x->publisher, x->crowd.people[0].device);
    if (!rawws_set_add(&x->set, &x->publisher))
        die("cannot watch a connection");
    x->cpu_hub = cpu_seconds_of(x->hub.proc.pid);
    x->cpu_self = cpu_seconds_of(0);
    x->began = x->last_progress = now_ns();
    while (x->finished < x->count || x->accepted < x->total) {
        publish(x);
        turn(x);
    }
    x->cpu_hub = cpu_seconds_of(x->hub.proc.pid) - x->cpu_hub;
    x->cpu_self = cpu_seconds_of(0) - x->cpu_self;
}

static void report(struct fanout *x, const struct options *o, struct report *r)
{
    uint64_t slowest = 0, quickest = UINT64_MAX, frames = 0, records = 0, catchup = 0;
    for (unsigned i = 0; i < x->count; i++) {
        const struct subscriber *s = &x->subscribers[i];
        slowest = s->last_ns > slowest ? s->last_ns : slowest;
        quickest = s->last_ns < quickest ? s->last_ns : quickest;
        frames += s->frames;
        records += s->records;
        catchup += s->catchup_frames;
    }
    double seconds = (double)(slowest - x->began) / 1e9;
    double per_frame = (double)records / (double)frames;
    size_t frame_bytes = (size_t)(per_frame * (BENCH_NOTE_BYTES + 62) + 250);
    double limit = flood_rate(x->count, frame_bytes, per_frame, o->quick);
    report_open(r, "fanout", "entry deliveries/s", BETTER_HIGH);
    report_result(r, (double)records / seconds, limit,
                  "deliveries/s of equal frames over equal loopback connections, bytes only");
    report_floor(r, o->quick ? 0 : 500000, false);
    report_number(r, "subscribers", x->count);
    report_number(r, "entries", (double)x->total);
    report_number(r, "entries_per_s", (double)x->total / seconds);
    report_number(r, "entries_per_frame", per_frame);
    report_number(r, "catchup_frames", (double)(catchup - x->count));
    report_number(r, "quickest_subscriber_s", (double)(quickest - x->began) / 1e9);
    report_number(r, "slowest_subscriber_s", seconds);
    report_number(r, "slowest_subscriber_per_s", (double)x->total / seconds);
    report_number(r, "inflight", x->inflight_max);
    report_number(r, "hub_cpu_cores", x->cpu_hub / seconds);
    report_number(r, "load_cpu_cores", x->cpu_self / seconds);
}

void bench_fanout(const struct options *o, struct report *r)
{
    struct fanout *x = take(sizeof *x);
    x->count = o->connections ? o->connections : o->quick ? 10 : SUBSCRIBERS;
    if (x->count > SUBSCRIBERS)
        x->count = SUBSCRIBERS;
    x->total = o->n ? o->n : o->quick ? 1000 : ENTRIES;
    x->inflight_max = o->inflight ? o->inflight : 500;
    x->frame = o->frame ? o->frame : FRAME_ENTRIES;
    run(x, o);
    report(x, o, r);
    for (unsigned i = 0; i < x->count; i++)
        rawws_close(&x->subscribers[i].ws);
    rawws_close(&x->publisher);
    rawws_set_close(&x->set);
    sheet_close(&x->notes);
    crowd_close(&x->crowd);
    hub_close(&x->hub);
    free(x->subscribers);
    free(x);
}
