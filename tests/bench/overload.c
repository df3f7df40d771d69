/* Ten times the clients that a hub can serve: what it still accepts, what it says to the
 * rest, what that costs in memory, how a client that sends little fares, and how soon all is
 * as before. Every client has one entry under way at any time and the next one ready; one
 * that is refused sends the same entry again when it was told to. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"

#define TIMES 10u       /* as many clients in the second phase */
#define CONNS 4u        /* of the first phase; each later group of clients has as many */
#define FRAME_ENTRIES 50u
#define RING 65536u     /* places of one connection for entries without an answer */
#define NOBODY UINT32_MAX
#define LIGHT_EVERY_NS 100000000u
#define LATENCIES_MAX 20000u
#define RECOVER_SECONDS 30.0

enum phase { PHASE_NORMAL, PHASE_OVERLOAD, PHASE_AFTER, PHASES };

/* One account, one entry at a time. */
struct client {
    uint32_t row;
    uint64_t due_ns; /* refused: not before */
    bool idle;       /* not under way */
};
struct line {
    struct rawws ws;
    struct field *field;
    uint32_t first, step; /* its accounts: first, first + step, .. */
    uint64_t next;        /* place of the next entry */
    uint32_t *who;        /* account by place % RING */
    uint64_t *sent_ns;
};
/* A group of clients with what they signed. */
struct field {
    struct bench_hub *hub;
    struct crowd crowd;
    struct sheet notes;
    struct client *clients;
    struct line *lines;
    unsigned line_count;
    bool speaks;
    uint64_t spent; /* clients that sent all they had */
};
struct tally {
    uint64_t accepted, busy, other, wordless; /* wordless: refused without a time to wait */
    uint64_t latency_ns[LATENCIES_MAX];       /* of the light client */
    size_t latencies;
    double seconds;
};
struct watcher {
    uint16_t port;
    atomic_bool stop;
    pthread_t thread;
    double most, limit; /* bytes of messages */
};
struct overload {
    struct field heavy[TIMES]; /* the first speaks in all phases */
    struct field light;
    struct rawws_set set;
    struct tally tally[PHASES];
    enum phase phase;
    uint64_t light_due;
};

/* ---- sending ---- */

static void put_frame(struct overload *o, struct line *l, const uint32_t who[], size_t count)
{
    static uint8_t room[FRAME_ENTRIES * ENTRY_STRIDE + 64];
    struct field *f = l->field;
    uint64_t now = now_ns();
    struct mp_writer w = mp_writer_of(room, sizeof room);
    wire_put(&w,
             &(struct wire_frame){.type = WIRE_SUBMIT, .rid = l->next + 1, .count = count});
    for (size_t i = 0; i < count; i++) {
        size_t place = (l->next + i) % RING;
        if (l->who[place] != NOBODY)
            die("an entry was not answered for %u others", RING);
        l->who[place] = who[i];
        l->sent_ns[place] = now;
        f->clients[who[i]].idle = false;
        wire_put_envelope(&w, sheet_at(&f->notes, f->clients[who[i]].row, who[i]));
    }
    if (w.full || !rawws_queue(&l->ws, room, w.size) || !rawws_flush(&l->ws))
        die("the hub does not take a SUBMIT");
    if (rawws_unsent(&l->ws) > 0)
        rawws_set_want_write(&o->set, &l->ws);
    l->next += count;
}

static void speak(struct overload *o, struct line *l, uint64_t now)
{
    struct field *f = l->field;
    uint32_t who[FRAME_ENTRIES];
    size_t count = 0;
    for (uint32_t i = l->first; i < f->crowd.count; i += l->step) {
        struct client *c = &f->clients[i];
        if (!c->idle || c->due_ns > now || c->row == f->notes.rows)
            continue;
        who[count++] = i;
        if (count == FRAME_ENTRIES) {
            put_frame(o, l, who, count);
            count = 0;
        }
    }
    if (count > 0)
        put_frame(o, l, who, count);
}

static void speak_all(struct overload *o)
{
    uint64_t now = now_ns();
    for (unsigned g = 0; g < TIMES; g++)
        for (unsigned i = 0; o->heavy[g].speaks && i < o->heavy[g].line_count; i++)
            speak(o, &o->heavy[g].lines[i], now);
    if (o->light.clients[0].idle && now >= o->light_due) {
        o->light_due = now + LIGHT_EVERY_NS;
        speak(o, &o->light.lines[0], now);
    }
}

/* ---- answers ---- */

static void on_result(struct overload *o, struct line *l, const struct wire_result *r)
{
    struct tally *t = &o->tally[o->phase];
    size_t place = (r->rid - 1 + r->i) % RING;
    uint32_t who = l->who[place];
    if (who == NOBODY)
        die("a result for what was not sent");
    struct client *c = &l->field->clients[who];
    l->who[place] = NOBODY;
    c->idle = true;
    if (r->code == ERR_OK) {
        t->accepted++;
        if (++c->row == l->field->notes.rows)
            l->field->spent++;
        if (l->field == &o->light && t->latencies < LATENCIES_MAX)
            t->latency_ns[t->latencies++] = now_ns() - l->sent_ns[place];
        return;
    }
    if (r->code == ERR_BUSY)
        t->busy++;
    else
        t->other++;
    t->wordless += r->retry_after_ms == 0;
    c->due_ns = now_ns() + r->retry_after_ms * 1000000u;
}

static void on_message(void *context, struct rawws *c, const struct rawws_message *m)
{
    struct wire_frame f;
    need(wire_decode(&f, m->data, m->size), "decode a frame of the hub");
    if (f.type == WIRE_ERROR || f.type == WIRE_BYE)
        die("the hub says: %.*s", (int)f.text.size, (const char *)f.text.data);
    for (size_t i = 0; f.type == WIRE_RESULTS && i < f.note_count; i++) {
        uint64_t slot;
        struct bytes note;
        wire_next_slot_note(&f.notes, &slot, &note);
    }
    for (size_t i = 0; f.type == WIRE_RESULTS && i < f.count; i++) {
        struct wire_result r;
        wire_next_result(&f.list, &r);
        on_result(context, c->user, &r);
    }
}

static void on_end(void *context, struct rawws *c)
{
    (void)context;
    die("the hub closed a connection (code %u)", c->close_code);
}

/* ---- phases ---- */

static void turn(struct overload *o)
{
    speak_all(o);
    if (rawws_set_poll(&o->set, 5, on_message, on_end, o) < 0)
        die("epoll failed");
}

static void run_for(struct overload *o, double seconds)
{
    uint64_t began = now_ns();
    while (seconds_since(began) < seconds)
        turn(o);
    o->tally[o->phase].seconds += seconds_since(began);
}

/* Seconds until a whole one was as good as before: its rate, and the light client's answers. */
static double until_well(struct overload *o, double rate, double light_ms, double step)
{
    uint64_t began = now_ns();
    struct tally *t = &o->tally[PHASE_AFTER];
    while (seconds_since(began) < RECOVER_SECONDS) {
        double since = seconds_since(began);
        *t = (struct tally){0};
        run_for(o, step);
        bool quick = t->latencies > 0 &&
                     percentile(t->latency_ns, t->latencies, 0.5) / 1e6 <= 2 * light_ms + 5;
        say("%.0f s after: %.0f a second, %.0f refused, a light client waits %.1f ms", since,
            (double)t->accepted / t->seconds, (double)t->busy / t->seconds,
            percentile(t->latency_ns, t->latencies, 0.5) / 1e6);
        if ((double)t->accepted / t->seconds >= 0.8 * rate && quick)
            return since;
    }
    return RECOVER_SECONDS;
}

/* ---- set up ---- */

static void field_open(struct field *f, struct bench_hub *h, size_t accounts, size_t rows)
{
    f->hub = h;
    crowd_open(&f->crowd, &h->federation, h->name, accounts);
    load_all(h, &f->crowd, &f->crowd.opens);
    crowd_notes(&f->crowd, &f->notes, rows, BENCH_NOTE_BYTES);
    f->clients = take(accounts * sizeof f->clients[0]);
    for (size_t i = 0; i < accounts; i++)
        f->clients[i].idle = true;
}

/* When all is signed: a connection that says nothing meanwhile would be closed. */
static void field_connect(struct field *f, struct overload *o, unsigned lines)
{
    f->line_count = lines;
    f->lines = take(lines * sizeof f->lines[0]);
    for (unsigned i = 0; i < lines; i++) {
        struct line *l = &f->lines[i];
        l->field = f;
        l->first = i;
        l->step = lines;
        l->who = take(RING * sizeof l->who[0]);
        l->sent_ns = take(RING * sizeof l->sent_ns[0]);
        for (size_t k = 0; k < RING; k++)
            l->who[k] = NOBODY;
        hub_connect(f->hub, &l->ws, f->crowd.people[i].device);
        l->ws.user = l;
        if (!rawws_set_add(&o->set, &l->ws))
            die("cannot watch a connection");
    }
}

static void field_close(struct field *f)
{
    for (unsigned i = 0; i < f->line_count; i++) {
        rawws_close(&f->lines[i].ws);
        free(f->lines[i].who);
        free(f->lines[i].sent_ns);
    }
    free(f->lines);
    free(f->clients);
    sheet_close(&f->notes);
    crowd_close(&f->crowd);
}

static double metric(uint16_t port, const char *name)
{
    static char body[1u << 20];
    char line[120];
    size_t size;
    if (rawhttp_get(port, "/metrics", body, sizeof body, &size) != 200)
        return 0;
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(body, line);
    return at ? strtod(at + strlen(line), NULL) : 0;
}

static void *watch(void *context)
{
    struct watcher *w = context;
    struct timespec nap = {0, 250000000};
    w->limit = metric(w->port, "stoa_message_limit_bytes");
    while (!atomic_load(&w->stop)) {
        double now = metric(w->port, "stoa_message_bytes");
        w->most = now > w->most ? now : w->most;
        nanosleep(&nap, NULL);
    }
    return NULL;
}

static void report_phase(struct report *r, struct tally *t, const char *name)
{
    char member[40];
    snprintf(member, sizeof member, "%s_accepted_per_s", name);
    report_number(r, member, t->seconds > 0 ? (double)t->accepted / t->seconds : 0);
    snprintf(member, sizeof member, "%s_busy_per_s", name);
    report_number(r, member, t->seconds > 0 ? (double)t->busy / t->seconds : 0);
    snprintf(member, sizeof member, "%s_light_p50_ms", name);
    report_number(r, member, percentile(t->latency_ns, t->latencies, 0.5) / 1e6);
    snprintf(member, sizeof member, "%s_light_p99_ms", name);
    report_number(r, member, percentile(t->latency_ns, t->latencies, 0.99) / 1e6);
}

static void check(const struct overload *o, const struct watcher *w)
{
    for (unsigned p = 0; p < PHASES; p++) {
        if (o->tally[p].other > 0)
            die("%llu entries were refused otherwise than busy",
                (unsigned long long)o->tally[p].other);
        if (o->tally[p].wordless > 0)
            die("%llu refusals without a time to wait",
                (unsigned long long)o->tally[p].wordless);
    }
    if (w->limit > 0 && w->most > w->limit)
        die("%.0f bytes of messages, the plan is %.0f", w->most, w->limit);
}

static void phases(struct overload *o, const struct options *opt, struct report *r,
                   const struct watcher *w)
{
    double seconds = opt->seconds > 0 ? opt->seconds : opt->quick ? 1 : 60;
    double normal_s = opt->quick ? 1 : 10;
    struct tally *normal = &o->tally[PHASE_NORMAL], *over = &o->tally[PHASE_OVERLOAD];
    o->heavy[0].speaks = true;
    run_for(o, opt->quick ? 0.2 : 2); /* to get going */
    *normal = (struct tally){0};
    run_for(o, normal_s);
    double rate = (double)normal->accepted / normal->seconds;
    double light_ms = percentile(normal->latency_ns, normal->latencies, 0.5) / 1e6;
    o->phase = PHASE_OVERLOAD;
    for (unsigned g = 0; g < TIMES; g++)
        o->heavy[g].speaks = true;
    say("%.0f a second; now %u times the clients", rate, TIMES);
    run_for(o, seconds);
    say("%.0f a second, %.0f refused, a light client waits %.1f ms",
        (double)over->accepted / over->seconds, (double)over->busy / over->seconds,
        percentile(over->latency_ns, over->latencies, 0.5) / 1e6);
    uint64_t spent = 0;
    for (unsigned g = 0; g < TIMES; g++)
        spent += o->heavy[g].spent;
    o->phase = PHASE_AFTER;
    for (unsigned g = 1; g < TIMES; g++)
        o->heavy[g].speaks = false;
    double well = until_well(o, rate, light_ms, opt->quick ? 0.3 : 1);
    report_open(r, "overload", "accepted entries/s at 10 times the clients", BETTER_HIGH);
    report_result(r, (double)over->accepted / over->seconds, rate,
                  "accepted entries/s at its capacity");
    report_floor(r, opt->quick ? 0 : 0.8, true);
    report_number(r, "seconds", over->seconds);
    report_number(r, "seconds_until_as_before", well);
    report_phase(r, normal, "normal");
    report_phase(r, over, "overload");
    report_number(r, "clients_spent", (double)spent);
    report_number(r, "message_mb_most", w->most / 1e6);
    report_number(r, "message_mb_limit", w->limit / 1e6);
    if (!opt->quick && well >= RECOVER_SECONDS)
        die("after %.0f s it is not as before", RECOVER_SECONDS);
}

void bench_overload(const struct options *opt, struct report *r)
{
    struct bench_hub h;
    struct overload *o = take(sizeof *o);
    struct watcher w = {0};
    size_t clients = opt->n ? (size_t)opt->n : opt->quick ? 40 : 2000;
    double seconds = opt->seconds > 0 ? opt->seconds : opt->quick ? 1 : 60;
    double most = 1.2 * limit_verify(0.3, 1); /* it accepts no more than that a second */
    size_t first = (size_t)(most * (opt->quick ? 4 : 20 + seconds / 5) / (double)clients) + 1;
    size_t later = (size_t)(most * seconds / (double)(clients * TIMES)) + 1;
    hub_init(&h, opt);
    hub_start(&h);
    if (!rawws_set_open(&o->set))
        die("no epoll");
    say("signing");
    for (unsigned g = 0; g < TIMES; g++)
        field_open(&o->heavy[g], &h, clients, g == 0 ? first : later);
    field_open(&o->light, &h, 1, (size_t)(seconds + 60) * 10);
    for (unsigned g = 0; g < TIMES; g++)
        field_connect(&o->heavy[g], o, CONNS);
    field_connect(&o->light, o, 1);
    w.port = h.proc.port;
    if (pthread_create(&w.thread, NULL, watch, &w) != 0)
        die("no thread");
    phases(o, opt, r, &w);
    atomic_store(&w.stop, true);
    pthread_join(w.thread, NULL);
    check(o, &w);
    for (unsigned g = 0; g < TIMES; g++)
        field_close(&o->heavy[g]);
    field_close(&o->light);
    rawws_set_close(&o->set);
    free(o);
    hub_close(&h);
}
