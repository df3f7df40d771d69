#include "relay/follow_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/region.h"

#define NEWS_A_TURN 256u
#define UNHEARD_TEXT 200u

/* ---- what the thread is told, from any thread ---- */

static bool put_news(struct follow *f, enum news_kind kind, uint32_t slot,
                     struct bytes data)
{
    struct news *n = malloc(sizeof(*n) + data.size);
    if (!n)
        return false; /* the next poll finds it */
    *n = (struct news){.kind = kind, .slot = slot, .size = (uint32_t)data.size};
    if (data.size)
        memcpy(n->data, data.data, data.size);
    atomic_fetch_add(&f->news_count, 1u);
    atomic_fetch_add(&f->news_bytes, data.size);
    queue_put_one(&f->news, &n->link);
    return true;
}

/* However often: one word in the queue. */
static void wake(struct follow *f)
{
    if (!atomic_exchange(&f->ringing, true) &&
        !put_news(f, NEWS_RING, 0, (struct bytes){0}))
        atomic_store(&f->ringing, false);
}

static void leave_word(_Atomic uint64_t *word, tree_size size)
{
    uint64_t told = size == UINT64_MAX ? size : size + 1, was = atomic_load(word);
    while (was < told && !atomic_compare_exchange_weak(word, &was, told))
        ;
}

void follow_ring(struct relay *r, uint32_t slot, tree_size size)
{
    if (!r->follow || slot >= r->slots)
        return;
    leave_word(&r->follow->rung[slot], size);
    wake(r->follow);
}

void follow_expect(struct follow *f, uint32_t slot, tree_size size)
{
    leave_word(&f->expected[slot], size);
    wake(f);
}

void follow_owners(struct relay *r)
{
    if (r->follow)
        wake(r->follow);
}

/* On the bus thread, maybe at a liar's rate: copied, or counted and looked up later. */
void follow_heard(void *context, uint32_t slot, struct bytes message)
{
    struct follow *f = context;
    if (slot == BUS_RELAYS_CHANNEL) {
        pthread_mutex_lock(&f->lock);
        (void)bus_presence_hear(&f->heard, message, clock_mono_ms());
        pthread_mutex_unlock(&f->lock);
        return;
    }
    if (region_owns(f->r, slot)) { /* most are our own, coming back */
        metrics_count(f->r->metrics, METRIC_BUS_HEARD, BUS_IDLE, 1);
        return;
    }
    if (message.size > BUS_MESSAGE_MAX) {
        metrics_count(f->r->metrics, METRIC_BUS_HEARD, BUS_MALFORMED, 1);
        return;
    }
    if (atomic_load(&f->news_count) < FOLLOW_NEWS_MAX &&
        atomic_load(&f->news_bytes) + message.size <= FOLLOW_NEWS_BYTES &&
        put_news(f, NEWS_MESSAGE, slot, message))
        return;
    metrics_count(f->r->metrics, METRIC_BUS_HEARD, M_BUS_HEARD_LATE, 1);
    follow_ring(f->r, slot, 0);
}

static void bus_changed(void *context, bool up)
{
    if (up)
        (void)put_news(context, NEWS_BUS_UP, 0, (struct bytes){0});
}

/* ---- the thread ---- */

static void take_rings(struct follow *f)
{
    atomic_store(&f->ringing, false); /* first: a ring from now on wakes us again */
    uint64_t now = clock_mono_ms(), poll_ms = settings(f->r)->region.poll_ms;
    for (uint32_t slot = 0; slot < f->r->slots; slot++) {
        uint64_t told = atomic_exchange(&f->rung[slot], 0);
        if (told > 0)
            bus_ring(&f->bus, slot, told - 1);
        told = atomic_exchange(&f->expected[slot], 0);
        if (told > 0)
            bus_expect(&f->bus, slot, told - 1, poll_ms, now);
    }
}

/* The slot's log as it is held is not to be trusted: from the store, and not at once. */
static void give_up(struct follow *f, uint32_t slot, enum err why)
{
    struct followed *s = &f->slots[slot];
    if (why == ERR_IO) {
        relay_broken(f->r, "follow", why);
        return;
    }
    if (why == ERR_STORE) /* nothing of what is held is wrong */
        return;
    trace(TRACE_WARN, "follow.gave_up", TRACE_U64("slot", slot), TRACE_ERR("why", why));
    follow_forget(f, slot);
    s->retry_ms = 0;
}

static void take_news(struct follow *f, const struct news *n)
{
    enum err e;
    switch (n->kind) {
    case NEWS_MESSAGE:
        e = follow_hear(f, n->slot, bytes_of(n->data, n->size));
        if (e != ERR_OK)
            give_up(f, n->slot, e);
        break;
    case NEWS_RING:
        take_rings(f);
        break;
    case NEWS_BUS_UP:
        for (uint32_t slot = 0; slot < f->r->slots; slot++)
            bus_ring(&f->bus, slot, 0);
        break;
    }
}

static void take_loaded(struct follow *f, struct follow_loaded *l)
{
    struct followed *s = &f->slots[l->slot];
    enum err e = follow_adopt(f, l);
    follow_loaded_drop(f, l);
    s->loading = false;
    if (e == ERR_IO) {
        relay_broken(f->r, "follow", e);
        return;
    }
    s->pause_ms = e == ERR_OK                                ? 0
                  : s->pause_ms == 0                         ? FOLLOW_RETRY_MS
                  : s->pause_ms * 2 > FOLLOW_RETRY_MAX_MS    ? FOLLOW_RETRY_MAX_MS
                                                             : s->pause_ms * 2;
    s->retry_ms = clock_mono_ms() + s->pause_ms;
}

static void load(struct follow *f, uint32_t slot)
{
    struct follow_loaded *l = calloc(1, sizeof(*l));
    if (!l)
        return; /* at the next turn */
    l->slot = slot;
    l->err = ERR_LOST; /* until it was read */
    f->slots[slot].loading = true;
    if (f->loader_started) {
        queue_put_one(&f->to_load, &l->link);
        return;
    }
    follow_read_slot(f, l);
    take_loaded(f, l);
}

/* What is ours is let go, what is not is loaded. */
static void settle_owner(struct follow *f, uint32_t slot, uint64_t now)
{
    struct followed *s = &f->slots[slot];
    bool ours = region_owns(f->r, slot);
    if (ours && s->log)
        follow_forget(f, slot);
    if (ours)
        s->retry_ms = s->pause_ms = 0;
    else if (!s->log && !s->loading && now >= s->retry_ms)
        load(f, slot);
}

/* How long until something of the slot is due. */
static uint64_t serve(struct follow *f, uint32_t slot)
{
    uint64_t now = clock_mono_ms(), poll_ms = settings(f->r)->region.poll_ms;
    settle_owner(f, slot, now);
    if (f->slots[slot].log && bus_wait_ms(&f->bus, slot, poll_ms, now) == 0) {
        enum err e = follow_look(f, slot);
        if (e != ERR_OK)
            give_up(f, slot, e);
    }
    return bus_wait_ms(&f->bus, slot, poll_ms, clock_mono_ms());
}

/* For the others. It goes the way the messages go, and is dropped like them. */
static void say_present(struct follow *f)
{
    struct chain_of_links out = {0};
    struct bus_out *m = bus_out_new(BUS_RELAYS_CHANNEL, BUS_PRESENCE_MAX);
    if (!m)
        return;
    m->size = (uint32_t)bus_presence_put(m->data, settings(f->r)->region.relay);
    links_add(&out, &m->link);
    bus_redis_publish(f->redis, &out);
}

/* Who lives by his lease is expected to be heard. */
static void expect_others(struct follow *f)
{
    struct region_member members[REGION_RELAYS_MAX];
    const char *names[REGION_RELAYS_MAX];
    char unheard[UNHEARD_TEXT];
    size_t count = region_members(f->r, members), live = 0;
    for (size_t i = 0; i < count; i++)
        if (!members[i].self && members[i].silent_ms < BUS_UNHEARD_MS)
            names[live++] = members[i].relay;
    pthread_mutex_lock(&f->lock);
    bus_presence_expect(&f->heard, names, live, clock_mono_ms());
    pthread_mutex_unlock(&f->lock);
    metrics_set(f->r->metrics, METRIC_BUS_UNHEARD, 0,
                follow_unheard(f->r, unheard, sizeof(unheard)));
}

static void be_present(struct follow *f)
{
    uint64_t now = clock_mono_ms();
    if (!f->redis || now - f->beat_ms < BUS_BEAT_MS)
        return;
    f->beat_ms = now;
    expect_others(f);
    say_present(f);
}

static void show_age(struct follow *f)
{
    uint64_t now = clock_mono_ms(), oldest = 0;
    for (uint32_t slot = 0; slot < f->r->slots; slot++)
        if (f->slots[slot].log && now - f->slots[slot].heard_ms > oldest)
            oldest = now - f->slots[slot].heard_ms;
    metrics_set(f->r->metrics, METRIC_FOLLOW_AGE, 0, (int64_t)oldest);
    metrics_set(f->r->metrics, METRIC_FOLLOW_LOADING, 0, follow_loading(f->r));
    if (follow_loading(f->r) == 0 || now - f->began_ms >= FOLLOW_JOIN_MS)
        atomic_store(&f->joined, true);
}

uint64_t follow_turn(struct follow *f, uint64_t wait_ms)
{
    struct chain_of_links got;
    (void)queue_take(&f->news, &got, NEWS_A_TURN, wait_ms);
    for (struct link *l; (l = links_pop(&got)); free(l)) {
        const struct news *n = (const struct news *)l;
        atomic_fetch_sub(&f->news_count, 1u);
        atomic_fetch_sub(&f->news_bytes, n->size);
        take_news(f, n);
    }
    (void)queue_take(&f->loaded, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));)
        take_loaded(f, (struct follow_loaded *)l);
    uint64_t wait = FOLLOW_TURN_MS;
    for (uint32_t slot = 0; slot < f->r->slots; slot++) {
        uint64_t of_slot = serve(f, slot);
        wait = of_slot < wait ? of_slot : wait;
    }
    show_age(f);
    be_present(f);
    return wait;
}

static bool goes_on(struct follow *f)
{
    pthread_mutex_lock(&f->news.lock);
    bool closed = f->news.closed;
    pthread_mutex_unlock(&f->news.lock);
    return !closed && atomic_load(&f->r->exit_code) == 0;
}

static void *follow_thread(void *context)
{
    struct follow *f = context;
    for (uint64_t wait = 0; goes_on(f);)
        wait = follow_turn(f, wait);
    return NULL;
}

/* ---- opening and closing ---- */

static enum err open_bus(struct follow *f, char *why)
{
    struct relay *r = f->r;
    struct bus_redis_config c = {.hub = r->hub,
                                 .federation = r->federation,
                                 .slots = r->slots,
                                 .metrics = r->metrics,
                                 .context = f,
                                 .heard = follow_heard,
                                 .changed = bus_changed};
    char text[REDIS_WHY_MAX] = "";
    if (!settings(r)->region.bus[0])
        return ERR_OK;
    if (!redis_address_parse(&c.address, settings(r)->region.bus, text)) {
        snprintf(why, STORE_WHY_MAX, "region.bus: %s", text);
        return ERR_CONFIG;
    }
    TRY(bus_redis_open(&f->redis, &c));
    r->bus = f->redis;
    return ERR_OK;
}

enum err follow_make(struct relay *r, struct store *store)
{
    struct follow *f = calloc(1, sizeof(*f));
    pthread_condattr_t a;
    if (!f)
        return ERR_MEMORY;
    f->r = r;
    f->store = store;
    f->config = (struct sequencer_config){.mem = &alloc_heap,
                                          .relay = r->keys.relay,
                                          .log = r->keys.log,
                                          .slots = r->slots};
    random_bytes(&f->config.map_seed, sizeof(f->config.map_seed));
    bus_init(&f->bus, settings(r)->region.relay, r->log_vkeys, r->slots);
    queue_init(&f->news);
    queue_init(&f->to_load);
    queue_init(&f->loaded);
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&f->grown, &a);
    pthread_condattr_destroy(&a);
    atomic_store(&f->loading, r->slots);
    f->began_ms = clock_mono_ms();
    r->follow = f;
    f->records = calloc(FOLLOW_EVENT_RECORDS, sizeof(*f->records));
    enum err e = f->records ? store->ops->reader_open(store, &f->reader) : ERR_MEMORY;
    if (e != ERR_OK)
        follow_end(r);
    return e;
}

enum err follow_open(struct relay *r, char *why)
{
    struct store_why text = {{0}};
    struct store *store = NULL;
    enum err e = store_open(settings(r)->store.uri, &store, &text);
    if (e != ERR_OK) {
        snprintf(why, STORE_WHY_MAX, "%s", text.text[0] ? text.text : err_text(e));
        return e;
    }
    e = follow_make(r, store);
    if (e != ERR_OK) {
        store->ops->close(store);
        return e;
    }
    r->follow->opened = true;
    e = open_bus(r->follow, why);
    if (e != ERR_OK)
        follow_end(r);
    return e;
}

enum err follow_start(struct relay *r)
{
    struct follow *f = r->follow;
    if (!f)
        return ERR_OK;
    if (pthread_create(&f->loader, NULL, follow_loader_thread, f) != 0)
        return ERR_MEMORY;
    f->loader_started = true;
    if (pthread_create(&f->thread, NULL, follow_thread, f) != 0)
        return ERR_MEMORY;
    f->started = true;
    return f->redis ? bus_redis_start(f->redis) : ERR_OK;
}

void follow_stop(struct relay *r)
{
    struct follow *f = r->follow;
    if (!f)
        return;
    atomic_store(&f->stopping, true);
    queue_end(&f->news); /* what the bus still brings waits there, and is dropped */
    if (f->started)
        pthread_join(f->thread, NULL);
    f->started = false;
    r->bus = NULL;
    bus_redis_close(f->redis);
    f->redis = NULL;
    queue_end(&f->to_load);
    if (f->loader_started)
        pthread_join(f->loader, NULL);
    f->loader_started = false;
}

static void drop_loads(struct follow *f, struct queue *q)
{
    struct chain_of_links got;
    (void)queue_take(q, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));)
        follow_loaded_drop(f, (struct follow_loaded *)l);
    queue_close(q);
}

void follow_end(struct relay *r)
{
    struct follow *f = r->follow;
    struct chain_of_links got;
    if (!f)
        return;
    follow_stop(r);
    (void)queue_take(&f->news, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));)
        free(l);
    queue_close(&f->news);
    drop_loads(f, &f->to_load);
    drop_loads(f, &f->loaded);
    for (uint32_t slot = 0; slot < r->slots; slot++)
        follow_forget(f, slot);
    if (f->reader)
        f->reader->ops->close(f->reader);
    if (f->opened)
        f->store->ops->close(f->store);
    buf_close(&f->envelopes);
    free(f->records);
    pthread_cond_destroy(&f->grown);
    pthread_mutex_destroy(&f->lock);
    free(f);
    r->follow = NULL;
}

bool follow_joined(const struct relay *r)
{
    return !r->follow || atomic_load(&r->follow->joined);
}

unsigned follow_unheard(const struct relay *r, char *out, size_t cap)
{
    struct bus_redis_state bus;
    unsigned n = 0;
    out[0] = '\0';
    if (!follow_bus(r, &bus) || !bus.up ||
        clock_mono_ms() - bus.since_ms < BUS_UNHEARD_MS)
        return 0;
    pthread_mutex_lock(&r->follow->lock);
    uint64_t now = clock_mono_ms(); /* after the newest of them */
    const struct bus_relays *t = &r->follow->heard;
    for (size_t i = 0, at = 0; i < t->count; i++) {
        if (now - t->relay[i].heard_ms < BUS_UNHEARD_MS)
            continue;
        int k = snprintf(out + at, cap - at, "%s%s", n++ ? ", " : "", t->relay[i].name);
        at += k > 0 && (size_t)k < cap - at ? (size_t)k : 0;
    }
    pthread_mutex_unlock(&r->follow->lock);
    return n;
}

bool follow_bus(const struct relay *r, struct bus_redis_state *out)
{
    if (!r->follow || !r->follow->redis)
        return false;
    bus_redis_state(r->follow->redis, out);
    return true;
}
