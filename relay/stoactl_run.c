#include "relay/stoactl_run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crypto/context.h"
#include "ledger/link.h"
#include "ledger/wire.h"
#include "relay/clock.h"

#define POLL_MS 100
#define LINGER_MS 500
#define BACKOFF_MS 500
#define BACKOFF_MS_MAX 8000
#define ROUND_FRAMES_MAX 256 /* built before one sync of the journal */
#define HELLO_RID 1

struct run {
    const struct run_options *o;
    struct issue *issue;
    struct link *link;
    char *hub;
    char *why;
    size_t window;
    struct buf out; /* u32 size and frame, again and again: saved, not queued yet */
    size_t out_at;
    uint64_t heard_ms;
    bool answered; /* since the last connect */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static enum err say(struct run *r, enum err e, const char *text)
{
    snprintf(r->why, RUN_WHY_MAX, "%s", text);
    return e;
}

/* What the hub itself said: ERROR and BYE. */
static enum err say_refusal(struct run *r, const struct wire_frame *f)
{
    enum err e = ERR_NET;
    (void)err_from_number(f->code, &e);
    snprintf(r->why, RUN_WHY_MAX, "the hub says: %.*s", (int)f->text.size,
             (const char *)f->text.data);
    for (char *at = r->why; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    return e;
}

/* The next frame within the time; its bytes live until the next poll. */
static enum err await_frame(struct run *r, struct wire_frame *f)
{
    uint64_t deadline = clock_mono_ms() + r->o->timeout_ms;
    struct link_event event;
    while (!interrupted) {
        link_poll(r->link, POLL_MS, &event);
        if (event.type == LINK_CLOSED)
            return say(r, ERR_NET, event.why);
        if (event.type == LINK_FRAME) {
            if (wire_decode(f, event.frame.data, event.frame.size) != ERR_OK)
                return say(r, ERR_NET, "the hub sent something that is not a frame");
            if (f->type == WIRE_ERROR || f->type == WIRE_BYE)
                return say_refusal(r, f);
            return ERR_OK;
        }
        if (clock_mono_ms() > deadline)
            return say(r, ERR_TIMEOUT, "the hub does not answer");
    }
    return ERR_LIMIT;
}

struct greeting {
    struct hash federation;
    struct hash hub_nonce;
    struct hash client_nonce;
    struct pubkey device;
};

static size_t greeting_message(const struct run *r, const struct greeting *g,
                               uint8_t *out)
{
    return hello_message(out, &g->federation, r->hub, &g->hub_nonce, &g->client_nonce,
                         &g->device);
}

static enum err send_hello(struct run *r, struct greeting *g)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    uint8_t frame[ISSUE_FRAME_BYTES_MAX];
    random_bytes(g->client_nonce.b, sizeof g->client_nonce.b);
    g->device = key_public(r->o->issuer);
    struct wire_frame hello = {.type = WIRE_HELLO,
                               .rid = HELLO_RID,
                               .nonce = g->client_nonce,
                               .has_device = true,
                               .device = g->device,
                               .has_sig = true};
    hello.sig =
        key_sign(r->o->issuer, CTX_HELLO, message, greeting_message(r, g, message));
    struct mp_writer w = mp_writer_of(frame, sizeof frame);
    wire_put(&w, &hello);
    return link_send(r->link, frame, w.size);
}

/* CHALLENGE, HELLO, WELCOME. The relay key is not known beforehand here: that it signs
 * shows only that the welcome is whole. An accrual is bound to its account, not to this
 * meeting. */
static enum err greet(struct run *r)
{
    struct wire_frame f;
    struct greeting g;
    uint8_t message[MESSAGE_BYTES_MAX];
    TRY(await_frame(r, &f));
    if (f.type != WIRE_CHALLENGE || f.version != WIRE_VERSION)
        return say(r, ERR_NET, "the hub speaks another version of the protocol");
    snprintf(r->hub, HUB_NAME_MAX + 1, "%.*s", (int)f.hub.size, (const char *)f.hub.data);
    g.federation = f.federation;
    g.hub_nonce = f.nonce;
    r->window = f.limits.inflight_entries < ISSUE_WINDOW_MAX
                    ? (size_t)f.limits.inflight_entries
                    : ISSUE_WINDOW_MAX;
    enum err e = send_hello(r, &g);
    if (e != ERR_OK)
        return say(r, ERR_NET, err_text(e));
    TRY(await_frame(r, &f));
    if (f.type != WIRE_WELCOME || f.rid != HELLO_RID ||
        !sig_verify(&f.sig, &f.device, CTX_WELCOME, message,
                    greeting_message(r, &g, message)))
        return say(r, ERR_HELLO, "the hub's welcome is not signed");
    return ERR_OK;
}

static enum err connect_once(struct run *r)
{
    struct link_options options = {.url = r->o->url, .ca_file = r->o->ca_file};
    struct link_event event;
    enum err e = link_open(&r->link, &options);
    if (e != ERR_OK)
        return say(r, e,
                   e == ERR_USAGE ? "that is no URL like ws://127.0.0.1:7001"
                                  : err_text(e));
    uint64_t deadline = clock_mono_ms() + r->o->timeout_ms;
    do {
        link_poll(r->link, POLL_MS, &event);
        if (interrupted)
            return ERR_LIMIT;
        if (event.type == LINK_CLOSED)
            return say(r, ERR_NET, event.why);
        if (clock_mono_ms() > deadline)
            return say(r, ERR_TIMEOUT, "the hub cannot be reached in time");
    } while (event.type != LINK_OPEN);
    TRY(greet(r));
    buf_clear(&r->out);
    r->out_at = 0;
    r->answered = false;
    r->heard_ms = clock_mono_ms();
    issue_connected(r->issue, r->window);
    return ERR_OK;
}

/* Build what may go out now, save it, then it may be queued. */
static enum err build_round(struct run *r)
{
    uint8_t frame[ISSUE_FRAME_BYTES_MAX];
    if (r->out_at < r->out.size)
        return ERR_OK; /* the last round is not queued yet */
    buf_clear(&r->out);
    r->out_at = 0;
    for (unsigned i = 0; i < ROUND_FRAMES_MAX; i++) {
        uint32_t size =
            (uint32_t)issue_next(r->issue, clock_mono_ms(), clock_wall_ms(), frame);
        if (size == 0)
            break;
        if (!buf_add(&r->out, &size, sizeof size) || !buf_add(&r->out, frame, size))
            return say(r, ERR_MEMORY, err_text(ERR_MEMORY));
    }
    if (issue_broken(r->issue) || (r->o->journal && !journal_sync(r->o->journal)))
        return say(r, ERR_FILE, "the journal cannot be written; nothing more is sent");
    return ERR_OK;
}

static enum err queue_round(struct run *r)
{
    while (r->out_at < r->out.size) {
        uint32_t size;
        memcpy(&size, r->out.data + r->out_at, sizeof size);
        enum err e = link_send(r->link, r->out.data + r->out_at + sizeof size, size);
        if (e == ERR_BUSY)
            return ERR_OK; /* goes out while we poll */
        if (e != ERR_OK)
            return say(r, ERR_NET, err_text(e));
        r->out_at += sizeof size + size;
    }
    return ERR_OK;
}

static enum err take_event(struct run *r, const struct link_event *event)
{
    struct wire_frame f;
    if (event->type == LINK_CLOSED)
        return r->why[0] ? ERR_NET : say(r, ERR_NET, event->why);
    if (event->type != LINK_FRAME)
        return ERR_OK;
    if (wire_decode(&f, event->frame.data, event->frame.size) != ERR_OK)
        return say(r, ERR_NET, "the hub sent something that is not a frame");
    r->heard_ms = clock_mono_ms();
    if (f.type == WIRE_BYE) {
        (void)say_refusal(r, &f);
        return ERR_NET;
    }
    r->answered = true;
    issue_receive(r->issue, &f, r->heard_ms);
    return ERR_OK;
}

/* One connection, until it breaks or all is done. */
static enum err work(struct run *r)
{
    struct link_event event;
    r->why[0] = '\0';
    while (!issue_done(r->issue)) {
        if (interrupted)
            return ERR_LIMIT;
        TRY(build_round(r));
        TRY(queue_round(r));
        link_poll(r->link, POLL_MS, &event);
        for (unsigned i = 0; event.type != LINK_TIMEOUT && i < ROUND_FRAMES_MAX; i++) {
            TRY(take_event(r, &event));
            link_poll(r->link, 0, &event);
        }
        if (event.type != LINK_TIMEOUT)
            TRY(take_event(r, &event));
        uint64_t now = clock_mono_ms();
        uint64_t wake = issue_wake_ms(r->issue);
        if (wake != UINT64_MAX && wake > r->heard_ms)
            r->heard_ms = wake < now ? r->heard_ms : now; /* we wait, not the hub */
        if (now - r->heard_ms > r->o->timeout_ms)
            return say(r, ERR_TIMEOUT, "the hub does not answer");
        r->o->progress(r->o->context);
    }
    return ERR_OK;
}

static void pause_ms(const struct run *r, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms;
    while (!interrupted && clock_mono_ms() < end) {
        struct timespec t = {0, POLL_MS * 1000000L};
        nanosleep(&t, NULL);
        r->o->progress(r->o->context);
    }
}

static bool is_passing(enum err e)
{
    return e == ERR_NET || e == ERR_TIMEOUT || e == ERR_DRAINING || e == ERR_BUSY ||
           e == ERR_UNAVAILABLE || e == ERR_SLOW;
}

/* The first connection must come at once: a wrong URL is told, not waited for. */
static enum err run_all(struct run *r)
{
    bool ever = false;
    for (unsigned failures = 0;;) {
        enum err e = connect_once(r);
        if (e == ERR_OK) {
            ever = true;
            e = work(r);
            if (r->answered)
                failures = 0;
        }
        link_close(r->link, e == ERR_OK ? LINGER_MS : 0);
        r->link = NULL;
        if (e == ERR_OK || !is_passing(e) || !ever || ++failures >= RUN_CONNECTS_MAX)
            return e;
        uint64_t wait = (uint64_t)BACKOFF_MS << (failures - 1);
        pause_ms(r, wait < BACKOFF_MS_MAX ? wait : BACKOFF_MS_MAX);
        if (interrupted)
            return ERR_LIMIT;
    }
}

enum err run_issue(struct issue *s, const struct run_options *o, char *hub, char *why)
{
    struct run r = {.o = o, .issue = s, .hub = hub, .why = why};
    struct sigaction stop = {.sa_handler = on_signal};
    struct sigaction old_int, old_term;
    hub[0] = '\0';
    why[0] = '\0';
    interrupted = 0;
    sigaction(SIGINT, &stop, &old_int);
    sigaction(SIGTERM, &stop, &old_term);
    enum err e = run_all(&r);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    buf_close(&r.out);
    return e;
}
