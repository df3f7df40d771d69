#include "tests/integration/bus/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/clock.h"

#define WAIT_MS 200
#define LOOK_MS 20
#define STAY_MS 60 /* of a wanderer, at least */

static void wrong(struct watch *w, const char *what, uint64_t slot, uint64_t index,
                  uint64_t at)
{
    if (w->why[0] == 0)
        snprintf(w->why, sizeof w->why,
                 "relay %u, slot %llu: %s (told record %llu, has %llu)", w->relay,
                 (unsigned long long)slot, what, (unsigned long long)index,
                 (unsigned long long)at);
}

/* A checkpoint he was shown. */
static bool shown(struct watch *w, uint64_t slot, struct bytes note, struct checkpoint *c)
{
    if (!checkpoint_open(c, (const char *)note.data, note.size, &w->k.log[slot])) {
        wrong(w, "a checkpoint that is not the log's", slot, 0, 0);
        return false;
    }
    if (c->size > w->note_of[slot]) {
        memcpy(w->notes[slot], note.data, note.size);
        w->note_size[slot] = note.size;
        w->note_of[slot] = c->size;
    }
    return true;
}

/* Under the lock. */
static void take(struct watch *w)
{
    const struct wire_frame *f = &w->k.f;
    uint64_t slot = f->key.slot, now = clock_wall_ms();
    struct mp_reader list = f->list;
    if (f->key.what != WIRE_SLOT || slot >= REGIONPROC_SLOTS) {
        wrong(w, "not asked for", slot, 0, 0);
        return;
    }
    struct frontier *t = &w->tree[slot];
    for (size_t i = 0; i < f->count; i++) {
        struct record r;
        wire_next_record(&list, &r);
        if (r.index != t->size || r.slot != slot) {
            wrong(w, r.index < t->size ? "told twice" : "a gap", slot, r.index, t->size);
            return;
        }
        struct hash leaf = record_leaf_hash(&r);
        if (!frontier_append(t, &leaf))
            wrong(w, "too many", slot, r.index, t->size);
        uint32_t lag = (uint32_t)(now > r.hub_time_ms ? now - r.hub_time_ms : 0);
        if (w->lags < WATCH_LAGS)
            w->lag_ms[w->lags++] = lag;
        if (lag >= w->worst_ms) {
            w->worst_ms = lag;
            w->worst_slot = (uint32_t)slot;
            w->worst_live = f->mode == WIRE_LIVE;
        }
    }
    struct checkpoint c;
    if (f->note.size == 0 || !shown(w, slot, f->note, &c) || c.size != t->size)
        return; /* or more follows in the next frame */
    struct hash root = frontier_root(t);
    if (!hash_equal(&root, &c.root))
        wrong(w, "records beside the checkpoint", slot, c.size, t->size);
    w->checked[slot] = c.size;
}

static void receive(struct watch *w)
{
    bool came = wirekit_receive(&w->k, WAIT_MS);
    pthread_mutex_lock(&w->lock);
    if (came && w->k.f.type == WIRE_RECORDS)
        take(w);
    else if (came && (w->k.f.type == WIRE_BYE || w->k.f.type == WIRE_ERROR))
        wrong(w, "turned away", 0, w->k.f.code, 0);
    else if (!came && w->k.ws.closed)
        wrong(w, "the connection ended", 0, 0, 0);
    pthread_mutex_unlock(&w->lock);
}

static bool over(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    bool is = w->why[0] != 0;
    pthread_mutex_unlock(&w->lock);
    return is || atomic_load(&w->stop);
}

static void *watch_thread(void *context)
{
    struct watch *w = context;
    while (!over(w))
        receive(w);
    return NULL;
}

/* The answers come later. */
static bool subscribe(struct watch *w)
{
    bool ok = true;
    for (uint64_t slot = 0; slot < REGIONPROC_SLOTS; slot++) {
        struct wire_frame f = {.type = WIRE_SUBSCRIBE, .rid = ++w->k.rid};
        f.key = (struct wire_key){.what = WIRE_SLOT, .slot = slot};
        f.from = w->tree[slot].size;
        ok = ok && wirekit_send(&w->k, &f);
    }
    return ok;
}

static bool trust(struct watch *w)
{
    char keys[512];
    regionproc_keys(w->region, keys);
    return wirekit_trust_folder(&w->k, keys);
}

bool watch_open(struct watch *w, struct regionproc *r, unsigned relay)
{
    memset(w, 0, sizeof *w);
    w->region = r;
    w->relay = relay;
    pthread_mutex_init(&w->lock, NULL);
    if (!wirekit_open(&w->k, r->relay[relay].port, NULL) || !trust(w) || !subscribe(w)) {
        wrong(w, "not let in", 0, 0, 0);
        return false;
    }
    w->started = pthread_create(&w->thread, NULL, watch_thread, w) == 0;
    return w->started;
}

/* Nothing is shown that is less than was shown elsewhere: neither in WELCOME nor in a page. */
static void compare(struct watch *w)
{
    uint64_t size[REGIONPROC_SLOTS] = {0}, slot = w->visits % REGIONPROC_SLOTS;
    struct mp_reader notes = w->k.f.notes;
    struct checkpoint c;
    for (size_t i = 0; i < w->k.f.note_count; i++) {
        struct bytes note;
        wire_next_note(&notes, &note);
        for (unsigned s = 0; s < REGIONPROC_SLOTS; s++)
            if (checkpoint_open(&c, (const char *)note.data, note.size, &w->k.log[s]))
                size[s] = c.size;
    }
    for (unsigned s = 0; s < REGIONPROC_SLOTS; s++)
        if (size[s] < w->note_of[s])
            wrong(w, "welcomed with less than was shown elsewhere", s, size[s],
                  w->note_of[s]);
    struct wire_frame f = {.type = WIRE_FETCH, .rid = ++w->k.rid, .max = 1};
    f.key = (struct wire_key){.what = WIRE_SLOT, .slot = slot};
    f.from = w->note_of[slot] ? w->note_of[slot] - 1 : 0;
    if (!wirekit_send(&w->k, &f) || !wirekit_receive(&w->k, WAIT_MS * 20))
        wrong(w, "no page", slot, 0, 0);
    else if (w->k.f.type == WIRE_ERROR && w->k.f.code == ERR_UNAVAILABLE)
        w->put_off++;
    else if (w->k.f.type != WIRE_PAGE || w->k.f.end < w->note_of[slot])
        wrong(w, "a page with less than was shown elsewhere", slot, w->k.f.end,
              w->note_of[slot]);
}

static void visit(struct watch *w)
{
    struct bytes notes[REGIONPROC_SLOTS];
    size_t count = 0;
    for (unsigned s = 0; s < REGIONPROC_SLOTS; s++)
        if (w->note_of[s])
            notes[count++] = bytes_of(w->notes[s], w->note_size[s]);
    if (!wirekit_open_with(&w->k, w->region->relay[w->relay].port, NULL, notes, count)) {
        if (w->k.f.type == WIRE_BYE && w->k.f.code == ERR_UNAVAILABLE)
            w->put_off++;
        else
            wrong(w, "not let in", 0, w->k.f.type == WIRE_BYE ? w->k.f.code : 0, 0);
        return;
    }
    pthread_mutex_lock(&w->lock);
    if (!trust(w))
        wrong(w, "no keys", 0, 0, 0);
    compare(w);
    pthread_mutex_unlock(&w->lock);
    if (!subscribe(w))
        wrong(w, "not subscribed", 0, 0, 0);
    for (uint64_t end = clock_mono_ms() + STAY_MS + w->visits % 7 * STAY_MS;
         clock_mono_ms() < end && !over(w);)
        receive(w);
    w->visits++;
}

static void *wander_thread(void *context)
{
    struct watch *w = context;
    while (!over(w)) {
        visit(w);
        wirekit_close(&w->k);
        w->relay = (w->relay + 1) % w->region->count;
    }
    return NULL;
}

bool watch_wander(struct watch *w, struct regionproc *r)
{
    memset(w, 0, sizeof *w);
    w->region = r;
    w->wanders = true;
    pthread_mutex_init(&w->lock, NULL);
    w->started = pthread_create(&w->thread, NULL, wander_thread, w) == 0;
    return w->started;
}

void watch_close(struct watch *w)
{
    atomic_store(&w->stop, true);
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
    if (!w->wanders)
        wirekit_close(&w->k);
}

void watch_mark(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->lags = 0;
    w->worst_ms = 0;
    pthread_mutex_unlock(&w->lock);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct watch_lag watch_lags(struct watch *w)
{
    struct watch_lag out = {0};
    pthread_mutex_lock(&w->lock);
    qsort(w->lag_ms, w->lags, sizeof w->lag_ms[0], by_size);
    out.count = w->lags;
    if (w->lags > 0) {
        out.p50 = w->lag_ms[w->lags / 2];
        out.p99 = w->lag_ms[w->lags - 1 - w->lags / 100];
        out.max = w->lag_ms[w->lags - 1];
        out.slot = w->worst_slot;
        out.live = w->worst_live;
    }
    pthread_mutex_unlock(&w->lock);
    return out;
}

/* What a relay's WELCOME shows of each slot, where that is more than `size` says. */
static bool ask_sizes(struct regionproc *r, unsigned relay, uint64_t size[REGIONPROC_SLOTS])
{
    struct wirekit k;
    char keys[512];
    bool ok = wirekit_open(&k, r->relay[relay].port, NULL);
    regionproc_keys(r, keys);
    ok = ok && wirekit_trust_folder(&k, keys);
    struct mp_reader notes = k.f.notes;
    for (size_t i = 0; ok && i < k.f.note_count; i++) {
        struct bytes note;
        struct checkpoint c;
        wire_next_note(&notes, &note);
        for (unsigned slot = 0; slot < REGIONPROC_SLOTS; slot++)
            if (checkpoint_open(&c, (const char *)note.data, note.size, &k.log[slot]) &&
                c.size > size[slot])
                size[slot] = c.size;
    }
    wirekit_close(&k);
    return ok;
}

static bool has_all(struct watch *w, const uint64_t size[REGIONPROC_SLOTS])
{
    bool all = true;
    pthread_mutex_lock(&w->lock);
    for (unsigned slot = 0; slot < REGIONPROC_SLOTS && w->why[0] == 0; slot++)
        all = all && w->tree[slot].size == size[slot] && w->checked[slot] == size[slot];
    pthread_mutex_unlock(&w->lock);
    return all;
}

bool watches_even(struct watch *w, unsigned count, struct regionproc *r, unsigned timeout_ms)
{
    uint64_t size[REGIONPROC_SLOTS] = {0}, end = clock_mono_ms() + timeout_ms;
    for (unsigned i = 0; i < r->count; i++)
        if (!ask_sizes(r, i, size))
            wrong(&w[0], "a relay does not welcome", i, 0, 0);
    for (unsigned i = 0; i < count; i++)
        while (!has_all(&w[i], size)) {
            if (clock_mono_ms() >= end) {
                for (unsigned slot = 0; slot < REGIONPROC_SLOTS; slot++)
                    if (w[i].tree[slot].size != size[slot])
                        wrong(&w[i], "not told all", slot, size[slot], w[i].tree[slot].size);
                wrong(&w[i], "no checkpoint over all", 0, 0, 0);
            }
            struct timespec t = {0, LOOK_MS * 1000000L};
            nanosleep(&t, NULL);
        }
    for (unsigned i = 0; i < count; i++)
        for (unsigned slot = 0; slot < REGIONPROC_SLOTS && w[i].why[0] == 0; slot++) {
            struct hash a = frontier_root(&w[0].tree[slot]), b = frontier_root(&w[i].tree[slot]);
            if (!hash_equal(&a, &b))
                wrong(&w[i], "told other things than at relay 0", slot, 0, 0);
        }
    for (unsigned i = 0; i < count; i++)
        if (w[i].why[0]) {
            memmove(w[0].why, w[i].why, sizeof w[0].why);
            return false;
        }
    return true;
}
