#include "tests/bench/load.h"

#include <stdlib.h>
#include <string.h>

#define STUCK_SECONDS 60.0
#define FRAME_HEAD_BYTES 64

struct sender {
    struct rawws ws;
    struct load *l;
    unsigned number;
    size_t accounts;        /* of this connection */
    uint64_t next, total;   /* positions in its stream */
    uint64_t inflight;
    uint64_t *sent_ns;      /* by position */
};

struct run {
    struct load *l;
    struct sender *senders;
    struct rawws_set set;
    uint64_t began;
    bool stopped;
    uint64_t last_done;
};

/* The stream of a connection goes through its accounts, entry after entry. */
static size_t place_of(const struct sender *s, uint64_t position, size_t *row)
{
    *row = (size_t)(position / s->accounts);
    return s->number + s->l->connections * (size_t)(position % s->accounts);
}

static struct bytes entry_at(const struct sender *s, uint64_t position)
{
    size_t row, account = place_of(s, position, &row);
    return sheet_at(s->l->sheet, row, account);
}

static void note_ack(const struct sender *s, uint64_t position, uint64_t now)
{
    size_t row, account = place_of(s, position, &row);
    if (s->l->ack_ns)
        s->l->ack_ns[row * s->l->sheet->accounts + account] = now;
}

/* Of all relays, or of the one hub. */
static double cpu_of_hub(const struct load *l)
{
    double sum = 0;
    for (unsigned i = 0; i < l->hub_count; i++)
        sum += cpu_seconds_of(l->hubs[i]->proc.pid);
    return l->hubs ? sum : cpu_seconds_of(l->hub->proc.pid);
}

static uint64_t intended_ns(const struct run *r, const struct sender *s, uint64_t position)
{
    double turn = (double)(position * r->l->connections + s->number);
    return r->began + (uint64_t)(turn / r->l->rate * 1e9);
}

/* ---- sending ---- */

static void send_frame(struct run *r, struct sender *s, uint64_t count, uint64_t now)
{
    static uint8_t room[1u << 20];
    struct load *l = r->l;
    struct mp_writer w = mp_writer_of(room, sizeof room);
    struct wire_frame f = {.type = WIRE_SUBMIT,
                           .rid = s->next + 1,
                           .flags = l->settled ? WIRE_SUBMIT_SETTLED : 0,
                           .count = (size_t)count};
    wire_put(&w, &f);
    for (uint64_t i = 0; i < count; i++) {
        wire_put_envelope(&w, entry_at(s, s->next + i));
        s->sent_ns[s->next + i] = l->rate > 0 ? intended_ns(r, s, s->next + i) : now;
    }
    if (w.full || !rawws_queue(&s->ws, room, w.size) || !rawws_flush(&s->ws))
        die("the hub does not take a SUBMIT");
    if (rawws_unsent(&s->ws) > 0)
        rawws_set_want_write(&r->set, &s->ws);
    s->next += count;
    s->inflight += count;
    l->sent += count;
}

static uint64_t frame_max(const struct load *l)
{
    uint64_t n = l->frame;
    if (n > l->hub->limits.entries_a_frame)
        n = l->hub->limits.entries_a_frame;
    uint64_t fit = (l->hub->limits.frame_bytes - FRAME_HEAD_BYTES) / ENTRY_STRIDE;
    return n > fit ? fit : n;
}

/* As the window allows; small frames only when nothing else is under way. */
static void send_window(struct run *r, struct sender *s, uint64_t now)
{
    uint64_t most = frame_max(r->l);
    for (;;) {
        uint64_t left = s->total - s->next;
        uint64_t room = r->l->inflight > s->inflight ? r->l->inflight - s->inflight : 0;
        uint64_t n = left < most ? left : most;
        if (n == 0 || room < n || rawws_unsent(&s->ws) > (1u << 20))
            return;
        send_frame(r, s, n, now);
    }
}

static void send_due(struct run *r, struct sender *s, uint64_t now)
{
    uint64_t most = frame_max(r->l);
    while (s->next < s->total && intended_ns(r, s, s->next) <= now) {
        uint64_t n = 0;
        while (n < most && s->next + n < s->total && intended_ns(r, s, s->next + n) <= now)
            n++;
        send_frame(r, s, n, now);
    }
}

static void send_all(struct run *r)
{
    uint64_t now = now_ns();
    struct load *l = r->l;
    if (l->stop_seconds > 0 && (double)(now - r->began) > l->stop_seconds * 1e9)
        r->stopped = true;
    for (unsigned i = 0; i < l->connections && !r->stopped; i++) {
        if (l->rate > 0)
            send_due(r, &r->senders[i], now);
        else
            send_window(r, &r->senders[i], now);
    }
}

/* ---- answers ---- */

struct notes {
    struct bytes of[SLOTS_MAX];
};

static void check_receipt(struct sender *s, const struct wire_result *res, struct bytes note,
                          uint64_t position)
{
    struct load *l = s->l;
    if (l->sample == 0 || position % l->sample != 0)
        return;
    if (!receipt_holds(l->hub, res, note, entry_at(s, position)))
        die("a receipt does not hold: slot %llu index %llu", (unsigned long long)res->slot,
            (unsigned long long)res->index);
    l->verified++;
}

static void entry_done(struct run *r, struct sender *s, uint64_t now)
{
    s->inflight--;
    r->l->done++;
    r->last_done = now;
}

static void on_results(struct run *r, struct sender *s, struct wire_frame *f, uint64_t now)
{
    struct notes notes = {0};
    struct load *l = s->l;
    l->result_frames++;
    l->pages += f->note_count;
    for (size_t i = 0; i < f->note_count; i++) {
        uint64_t slot;
        struct bytes note;
        wire_next_slot_note(&f->notes, &slot, &note);
        notes.of[slot % SLOTS_MAX] = note;
    }
    for (size_t i = 0; i < f->count; i++) {
        struct wire_result res;
        wire_next_result(&f->list, &res);
        uint64_t position = res.rid - 1 + res.i;
        if (position >= s->next)
            die("a result for what was not sent");
        if (res.code != ERR_OK) {
            if (l->refused++ == 0)
                l->refusal = (enum err)res.code;
            entry_done(r, s, now);
            continue;
        }
        l->accepted++;
        l->duplicates += (res.flags & WIRE_RESULT_DUPLICATE) != 0;
        l->latency_ns[l->latency_count++] = now - s->sent_ns[position];
        note_ack(s, position, now);
        check_receipt(s, &res, notes.of[res.slot % SLOTS_MAX], position);
        if (!l->settled)
            entry_done(r, s, now);
    }
}

static void on_settled(struct run *r, struct sender *s, struct wire_frame *f, uint64_t now)
{
    for (size_t i = 0; i < f->count; i++) {
        struct wire_settled item;
        wire_next_settled(&f->list, &item);
        r->l->bounced += item.bounced;
        if (item.left == 0)
            entry_done(r, s, now);
    }
}

static void on_message(void *context, struct rawws *c, const struct rawws_message *m)
{
    struct run *r = context;
    struct sender *s = c->user;
    struct wire_frame f;
    need(wire_decode(&f, m->data, m->size), "decode a frame of the hub");
    if (f.type == WIRE_RESULTS)
        on_results(r, s, &f, now_ns());
    else if (f.type == WIRE_SETTLED)
        on_settled(r, s, &f, now_ns());
    else if (f.type == WIRE_ERROR || f.type == WIRE_BYE)
        die("the hub says: %.*s", (int)f.text.size, (const char *)f.text.data);
}

static void on_end(void *context, struct rawws *c)
{
    (void)context;
    die("the hub closed a connection (code %u)", c->close_code);
}

/* ---- a run ---- */

static void sender_open(struct run *r, unsigned i)
{
    struct load *l = r->l;
    struct sender *s = &r->senders[i];
    s->l = l;
    s->number = i;
    s->accounts = (l->sheet->accounts - i + l->connections - 1) / l->connections;
    s->total = (uint64_t)s->accounts * l->sheet->rows;
    if (l->limit && s->total > l->limit / l->connections)
        s->total = l->limit / l->connections;
    s->sent_ns = take(s->total * sizeof s->sent_ns[0]);
    hub_connect(l->hubs ? l->hubs[i % l->hub_count] : l->hub, &s->ws,
                l->crowd->people[i].device);
    s->ws.user = s;
    if (!rawws_set_add(&r->set, &s->ws))
        die("cannot watch a connection");
}

static bool finished(const struct run *r)
{
    uint64_t inflight = 0, left = 0;
    for (unsigned i = 0; i < r->l->connections; i++) {
        inflight += r->senders[i].inflight;
        left += r->senders[i].total - r->senders[i].next;
    }
    return inflight == 0 && (left == 0 || r->stopped);
}

void load_run(struct load *l)
{
    struct run r = {.l = l};
    if (l->connections > l->sheet->accounts)
        l->connections = (unsigned)l->sheet->accounts;
    r.senders = take(l->connections * sizeof r.senders[0]);
    l->latency_ns = take(sheet_count(l->sheet) * sizeof l->latency_ns[0]);
    if (!rawws_set_open(&r.set))
        die("no epoll");
    for (unsigned i = 0; i < l->connections; i++)
        sender_open(&r, i);
    double cpu_hub = cpu_of_hub(l), cpu_self = cpu_seconds_of(0);
    r.began = r.last_done = now_ns();
    while (!finished(&r)) {
        send_all(&r);
        if (finished(&r))
            break;
        if (rawws_set_poll(&r.set, l->rate > 0 ? 1 : 100, on_message, on_end, &r) < 0)
            die("epoll failed");
        if (seconds_since(r.last_done) > STUCK_SECONDS)
            die("nothing came back for %.0f s: %llu sent, %llu done", STUCK_SECONDS,
                (unsigned long long)l->sent, (unsigned long long)l->done);
    }
    l->seconds = (double)(r.last_done - r.began) / 1e9;
    l->cpu_hub = cpu_of_hub(l) - cpu_hub;
    l->cpu_self = cpu_seconds_of(0) - cpu_self;
    for (unsigned i = 0; i < l->connections; i++) {
        rawws_close(&r.senders[i].ws);
        free(r.senders[i].sent_ns);
    }
    rawws_set_close(&r.set);
    free(r.senders);
}

void load_close(struct load *l)
{
    free(l->latency_ns);
    l->latency_ns = NULL;
}

void load_all(struct bench_hub *hub, const struct crowd *crowd, const struct sheet *sheet)
{
    struct load l = {.hub = hub, .sheet = sheet, .crowd = crowd,
                     .connections = 4, .inflight = 500, .frame = 64};
    load_run(&l);
    if (l.refused > 0 || l.accepted != sheet_count(sheet))
        die("%llu of %zu entries were refused: %s", (unsigned long long)l.refused,
            sheet_count(sheet), err_text(l.refusal));
    load_close(&l);
}
