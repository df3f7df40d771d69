#include "relay/bus_redis.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "crypto/key.h"
#include "crypto/note.h"
#include "ledger/entry.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/redis_link.h"

#define CHANNEL_MAX 200u
#define RELAYS "relays" /* in the place of a slot */
#define FEDERATION_SHOWN 8u      /* bytes of its id in a channel's name */
#define TURN_MS 250u             /* longest sleep: pings and silence are looked at */
#define UNSENT_BUSY (256u << 10) /* more is not handed to the socket at once */

enum end { LISTENER, PUBLISHER, ENDS };

/* One connection and when it is tried again. */
struct end_state {
    struct redis_link *link;
    bool greeted; /* its first command is out */
    uint64_t heard_ms, asked_ms, retry_ms;
    uint64_t pause_ms; /* before the next attempt */
    unsigned attempt;
    uint32_t channels; /* LISTENER: confirmed */
};

struct bus_redis {
    struct bus_redis_config c;
    struct redis_address at; /* where the cluster sent us; else as configured */
    unsigned redirects;
    char prefix[CHANNEL_MAX];
    size_t prefix_size;
    pthread_t thread;
    bool started;
    int wake; /* eventfd */
    struct end_state ends[ENDS];
    enum end serving;            /* whose replies are read */
    bool moved;                  /* the cluster named another node */
    char refusal[REDIS_WHY_MAX]; /* what it said to one of our commands; "" nothing */
    pthread_mutex_t lock;
    bool stopping;
    struct chain_of_links out; /* struct bus_out, oldest first */
    size_t out_bytes;
    struct bus_redis_state state;
};

struct bus_out *bus_out_new(uint32_t slot, size_t cap)
{
    struct bus_out *m = calloc(1, sizeof(*m) + cap);
    if (m)
        m->slot = slot;
    return m;
}

static struct bytes word(const char *text)
{
    return bytes_of(text, strlen(text));
}

static void dropped(struct bus_redis *b, enum metric_bus_drop why, uint64_t n)
{
    metrics_count(b->c.metrics, METRIC_BUS_DROPPED, why, n);
}

/* ---- state ---------------------------------------------------------------------------
 */

static void state_set(struct bus_redis *b, bool up, const char *why)
{
    pthread_mutex_lock(&b->lock);
    bool was = b->state.up;
    if (was != up)
        b->state.since_ms = clock_mono_ms();
    b->state.up = up;
    bool news = !up && strcmp(b->state.why, why) != 0;
    snprintf(b->state.why, sizeof(b->state.why), "%s", up ? "" : why);
    pthread_mutex_unlock(&b->lock);
    metrics_set(b->c.metrics, METRIC_BUS_UP, 0, up);
    if (was != up || news)
        trace(up ? TRACE_INFO : TRACE_WARN, up ? "bus.up" : "bus.down",
              TRACE_STR("where", b->state.where), TRACE_STR("why", up ? "" : why));
    if (was != up && b->c.changed)
        b->c.changed(b->c.context, up);
}

void bus_redis_state(struct bus_redis *b, struct bus_redis_state *out)
{
    pthread_mutex_lock(&b->lock);
    *out = b->state;
    pthread_mutex_unlock(&b->lock);
}

static bool is_up(const struct bus_redis *b)
{
    const struct end_state *l = &b->ends[LISTENER], *p = &b->ends[PUBLISHER];
    return l->link && p->link && l->channels == b->c.slots + 1 && redis_link_ready(p->link) &&
           p->greeted && p->heard_ms != 0;
}

/* ---- connections ---------------------------------------------------------------------
 */

/* Between half and the whole of the pause, so that relays do not come back in step. */
static uint64_t with_jitter(uint64_t ms)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    return ms / 2 + random % (ms / 2 + 1);
}

static void lose(struct bus_redis *b, enum end which, const char *why)
{
    struct end_state *e = &b->ends[which];
    char text[REDIS_WHY_MAX];
    snprintf(text, sizeof(text), "%s", why); /* it may live in the link */
    redis_link_close(e->link);
    e->link = NULL;
    e->greeted = false;
    e->channels = 0;
    e->heard_ms = e->asked_ms = 0;
    e->pause_ms = e->pause_ms == 0                     ? BUS_RETRY_FIRST_MS
                  : e->pause_ms * 2 > BUS_RETRY_MAX_MS ? BUS_RETRY_MAX_MS
                                                       : e->pause_ms * 2;
    e->retry_ms = clock_mono_ms() + with_jitter(e->pause_ms);
    if (!b->moved) {
        b->at = b->c.address;
        b->redirects = 0;
    }
    state_set(b, false, text);
}

static void try_open(struct bus_redis *b, enum end which)
{
    struct end_state *e = &b->ends[which];
    char why[REDIS_WHY_MAX] = "";
    enum err err = redis_link_open(&e->link, &b->at, e->attempt++, why);
    if (err != ERR_OK) {
        lose(b, which, why[0] ? why : err_text(err));
        return;
    }
    e->asked_ms = clock_mono_ms(); /* silence counts from here */
}

static size_t channel_name(const struct bus_redis *b, uint32_t slot,
                           char out[CHANNEL_MAX])
{
    int n = slot == BUS_RELAYS_CHANNEL
                ? snprintf(out, CHANNEL_MAX, "%s" RELAYS, b->prefix)
                : snprintf(out, CHANNEL_MAX, "%s%02x", b->prefix, (unsigned)slot);
    assert(n > 0 && (size_t)n < CHANNEL_MAX);
    return (size_t)n;
}

static bool subscribe_all(struct bus_redis *b, struct redis_link *l)
{
    struct bytes words[SLOTS_MAX + 2];
    char *names = malloc((size_t)(b->c.slots + 1) * CHANNEL_MAX);
    if (!names)
        return false;
    words[0] = word(b->c.address.sharded ? "SSUBSCRIBE" : "SUBSCRIBE");
    for (uint32_t i = 0; i <= b->c.slots; i++) {
        char *name = names + (size_t)i * CHANNEL_MAX;
        uint32_t slot = i < b->c.slots ? i : BUS_RELAYS_CHANNEL;
        words[i + 1] = bytes_of(name, channel_name(b, slot, name));
    }
    bool ok = redis_link_send(l, b->c.slots + 2, words);
    free(names);
    return ok;
}

static bool ping(struct redis_link *l)
{
    struct bytes words[1] = {word("PING")};
    return redis_link_send(l, 1, words);
}

static void greet(struct bus_redis *b, enum end which)
{
    struct end_state *e = &b->ends[which];
    if (e->greeted || !redis_link_ready(e->link))
        return;
    e->greeted = which == LISTENER ? subscribe_all(b, e->link) : ping(e->link);
    if (!e->greeted)
        lose(b, which, err_text(ERR_MEMORY));
}

/* ---- what is heard -------------------------------------------------------------------
 */

static bool is_word(struct bytes b, const char *text)
{
    return b.size == strlen(text) && memcmp(b.data, text, b.size) == 0;
}

/* The slot whose channel this is; false: none of ours. */
static bool slot_of_channel(const struct bus_redis *b, struct bytes name, uint32_t *slot)
{
    uint8_t number;
    if (name.size == b->prefix_size + strlen(RELAYS) &&
        memcmp(name.data, b->prefix, b->prefix_size) == 0 &&
        memcmp(name.data + b->prefix_size, RELAYS, strlen(RELAYS)) == 0) {
        *slot = BUS_RELAYS_CHANNEL;
        return true;
    }
    if (name.size != b->prefix_size + 2 ||
        memcmp(name.data, b->prefix, b->prefix_size) != 0 ||
        !hex_decode(&number, 1, (const char *)name.data + b->prefix_size, 2) ||
        number >= b->c.slots)
        return false;
    *slot = number;
    return true;
}

/* "MOVED 1234 host:port": all of a hub's channels live on that node. */
static bool take_moved(struct bus_redis *b, struct bytes text)
{
    static const char head[] = "MOVED ";
    const char *at = (const char *)text.data, *end = at + text.size;
    if (text.size <= sizeof(head) || memcmp(at, head, sizeof(head) - 1) != 0)
        return false;
    at = memchr(at + sizeof(head) - 1, ' ', text.size - sizeof(head) + 1);
    if (!at || b->redirects >= BUS_REDIRECTS_MAX ||
        !redis_address_moved(&b->at, at + 1, (size_t)(end - at - 1)))
        return false;
    b->redirects++;
    b->moved = true;
    return true;
}

static void on_list(struct bus_redis *b, const struct redis_reply *r)
{
    struct end_state *e = &b->ends[LISTENER];
    uint32_t slot;
    if (b->serving != LISTENER || r->count != 3)
        return; /* a pong */
    if (is_word(r->item[0], "message") || is_word(r->item[0], "smessage")) {
        if (slot_of_channel(b, r->item[1], &slot))
            b->c.heard(b->c.context, slot, r->item[2]);
        return;
    }
    if ((is_word(r->item[0], "subscribe") || is_word(r->item[0], "ssubscribe")) &&
        slot_of_channel(b, r->item[1], &slot) && e->channels <= b->c.slots)
        e->channels++;
    if (is_word(r->item[0], "sunsubscribe")) /* the shard went elsewhere */
        e->channels = 0;
}

static void on_reply(void *context, const struct redis_reply *r)
{
    struct bus_redis *b = context;
    b->ends[b->serving].heard_ms = clock_mono_ms();
    if (r->kind == REDIS_LIST)
        on_list(b, r);
    if (r->kind == REDIS_FAILED && !take_moved(b, r->item[0]))
        snprintf(b->refusal, sizeof(b->refusal), "%.*s",
                 (int)(r->item[0].size < sizeof(b->refusal) ? r->item[0].size
                                                            : sizeof(b->refusal) - 1),
                 (const char *)r->item[0].data);
}

static void serve(struct bus_redis *b, enum end which, short revents)
{
    struct end_state *e = &b->ends[which];
    b->serving = which;
    b->refusal[0] = '\0';
    if (redis_link_serve(e->link, revents, on_reply, b) != ERR_OK) {
        lose(b, which, redis_link_why(e->link));
        return;
    }
    if (b->refusal[0]) { /* not allowed, still loading, not a cluster: it may change */
        lose(b, which, b->refusal);
        return;
    }
    greet(b, which);
}

/* ---- time ----------------------------------------------------------------------------
 */

static void watch(struct bus_redis *b, enum end which, uint64_t now)
{
    struct end_state *e = &b->ends[which];
    if (!e->link) {
        if (now >= e->retry_ms)
            try_open(b, which);
        return;
    }
    uint64_t last = e->heard_ms > e->asked_ms ? e->heard_ms : e->asked_ms;
    bool waits = e->asked_ms > e->heard_ms; /* nothing was said since we asked */
    if (waits && now - e->asked_ms >= BUS_SILENT_MS) {
        lose(b, which, "no answer to a ping: hung, or the way is cut");
        return;
    }
    if (!waits && now - last >= BUS_PING_MS && e->greeted) {
        e->asked_ms = now;
        (void)ping(e->link); /* no room for it is silence, too */
    }
}

/* ---- publishing ----------------------------------------------------------------------
 */

static struct bus_out *pop_out(struct bus_redis *b)
{
    pthread_mutex_lock(&b->lock);
    struct bus_out *m = (struct bus_out *)links_pop(&b->out);
    if (m)
        b->out_bytes -= m->size;
    pthread_mutex_unlock(&b->lock);
    return m;
}

void bus_redis_publish(struct bus_redis *b, struct chain_of_links *messages)
{
    struct chain_of_links old = {0};
    uint64_t one = 1, count = 0;
    bool up;
    if (!messages->first)
        return;
    pthread_mutex_lock(&b->lock);
    up = b->state.up;
    if (up) {
        for (struct link *l = messages->first; l; l = l->next)
            b->out_bytes += ((struct bus_out *)l)->size;
        links_join(&b->out, messages);
        while (b->out.count > BUS_OUT_MESSAGES_MAX || b->out_bytes > BUS_OUT_BYTES_MAX) {
            struct bus_out *m = (struct bus_out *)links_pop(&b->out);
            b->out_bytes -= m->size;
            links_add(&old, &m->link);
        }
    } else {
        links_join(&old, messages); /* who listens has missed more than this */
    }
    pthread_mutex_unlock(&b->lock);
    for (struct link *l; (l = links_pop(&old)); count++)
        free(l);
    if (count)
        dropped(b, up ? M_BUS_DROP_FULL : M_BUS_DROP_DOWN, count);
    if (up && write(b->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
        trace_event(TRACE_ERROR, "bus.wake");
}

/* As long as the socket takes it: what waits here may still be dropped, oldest first. */
static void publish_some(struct bus_redis *b)
{
    struct end_state *e = &b->ends[PUBLISHER];
    struct bus_out *m;
    char channel[CHANNEL_MAX];
    while (e->link && e->greeted && redis_link_unsent(e->link) < UNSENT_BUSY &&
           (m = pop_out(b))) {
        struct bytes words[3] = {word(b->c.address.sharded ? "SPUBLISH" : "PUBLISH"),
                                 bytes_of(channel, channel_name(b, m->slot, channel)),
                                 bytes_of(m->data, m->size)};
        if (redis_link_send(e->link, 3, words))
            metrics_count(b->c.metrics, METRIC_BUS_PUBLISHED, 0, 1);
        else
            dropped(b, M_BUS_DROP_FULL, 1);
        free(m);
    }
    if (e->link && redis_link_unsent(e->link) > 0)
        serve(b, PUBLISHER, POLLOUT);
}

/* ---- the thread ----------------------------------------------------------------------
 */

static void follow_move(struct bus_redis *b)
{
    if (!b->moved)
        return;
    for (enum end i = LISTENER; i < ENDS; i++) {
        if (b->ends[i].link)
            lose(b, i, "the cluster named another node");
        b->ends[i].retry_ms = 0;
    }
    b->moved = false;
}

static void settle(struct bus_redis *b)
{
    if (!is_up(b))
        return;
    b->ends[LISTENER].pause_ms = b->ends[PUBLISHER].pause_ms = 0;
    b->redirects = 0;
    if (!b->state.up) /* only this thread writes it */
        state_set(b, true, "");
}

static bool wait_and_serve(struct bus_redis *b)
{
    struct pollfd p[ENDS + 1] = {{.fd = b->wake, .events = POLLIN}};
    uint64_t scrap;
    for (enum end i = LISTENER; i < ENDS; i++)
        p[i + 1] = (struct pollfd){
            .fd = b->ends[i].link ? redis_link_fd(b->ends[i].link) : -1,
            .events = b->ends[i].link ? redis_link_events(b->ends[i].link) : 0};
    (void)poll(p, ENDS + 1, (int)TURN_MS);
    if (p[0].revents && read(b->wake, &scrap, sizeof(scrap)) < 0 && errno != EAGAIN)
        return false;
    for (enum end i = LISTENER; i < ENDS; i++)
        if (b->ends[i].link && p[i + 1].revents)
            serve(b, i, p[i + 1].revents);
    return true;
}

static void *bus_thread(void *context)
{
    struct bus_redis *b = context;
    for (;;) {
        pthread_mutex_lock(&b->lock);
        bool stopping = b->stopping;
        pthread_mutex_unlock(&b->lock);
        if (stopping)
            return NULL;
        for (enum end i = LISTENER; i < ENDS; i++)
            watch(b, i, clock_mono_ms());
        if (!wait_and_serve(b))
            return NULL;
        follow_move(b);
        settle(b);
        publish_some(b);
    }
}

/* ---- opening and closing -------------------------------------------------------------
 */

enum err bus_redis_open(struct bus_redis **out, const struct bus_redis_config *c)
{
    char federation[2 * FEDERATION_SHOWN + 1];
    struct bus_redis *b = calloc(1, sizeof(*b));
    if (!b)
        return ERR_MEMORY;
    b->c = *c;
    b->at = c->address;
    hex_encode(federation, c->federation.b, FEDERATION_SHOWN);
    int n = snprintf(b->prefix, sizeof(b->prefix), "stoa:{%s/%s}:", c->hub, federation);
    assert(n > 0 && (size_t)n + 3 < sizeof(b->prefix));
    b->prefix_size = (size_t)n;
    b->state.since_ms = clock_mono_ms();
    redis_address_name(&c->address, b->state.where, sizeof(b->state.where));
    pthread_mutex_init(&b->lock, NULL);
    b->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b->wake < 0) {
        bus_redis_close(b);
        return ERR_MEMORY;
    }
    *out = b;
    return ERR_OK;
}

enum err bus_redis_start(struct bus_redis *b)
{
    if (pthread_create(&b->thread, NULL, bus_thread, b) != 0)
        return ERR_MEMORY;
    b->started = true;
    return ERR_OK;
}

void bus_redis_close(struct bus_redis *b)
{
    uint64_t one = 1;
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_mutex_unlock(&b->lock);
    if (b->started) {
        (void)!write(b->wake, &one, sizeof(one));
        pthread_join(b->thread, NULL);
    }
    for (enum end i = LISTENER; i < ENDS; i++)
        redis_link_close(b->ends[i].link);
    for (struct link *l; (l = links_pop(&b->out));)
        free(l);
    if (b->wake >= 0)
        close(b->wake);
    pthread_mutex_destroy(&b->lock);
    free(b);
}
