#include "client/verify.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/scratch.h"

#define CHUNKS_A_LANE 4 /* prepared ahead of what is applied */

struct prepared {
    struct entry e;
    struct hash leaf;
    uint8_t leaf_data[LEAF_BYTES];
    enum err err;
    bool withheld;
};

/* Records on their way: read, prepared by any thread, applied in order. */
struct chunk {
    struct chunk *next;
    uint64_t number;
    bool ready;
    size_t count;
    void *hold;
    struct record records[VERIFY_CHUNK];
    struct prepared prepared[VERIFY_CHUNK];
};

struct lane {
    struct verify_lane *l;
    struct chunk *first, *last; /* in order of reading */
    unsigned chunks;
    bool reading, applying, eof, over;
};

struct engine {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    const struct verify_options *o;
    struct lane *lanes;
    size_t lane_count, lanes_over;
    struct chunk *spare;
    bool stop, cancelled, out_of_memory;
    _Atomic uint64_t done, signatures;
};

static void prepare(const struct engine *g, const struct verify_lane *l,
                    const struct record *r, struct prepared *p, uint64_t *signatures)
{
    p->withheld = l->withheld && r->envelope.size == 0;
    p->err = ERR_OK;
    if (p->withheld)
        return;
    p->err = entry_decode(&p->e, r->envelope.data, r->envelope.size);
    if (p->err != ERR_OK)
        return;
    if (!l->no_leaf) {
        record_leaf(r, p->leaf_data);
        p->leaf = hash_leaf(p->leaf_data, LEAF_BYTES);
    }
    if (g->o->mode == VERIFY_FULL && !g->o->no_signatures) {
        (*signatures)++;
        if (!entry_verify(&p->e))
            p->err = ERR_SIGNATURE;
    }
}

/* ---- one step of a worker -----------------------------------------------------------
 */

/* All below are called with the lock held, and give it up while they work. */

static struct chunk *take_chunk(struct engine *g)
{
    struct chunk *c = g->spare;
    if (c) {
        g->spare = c->next;
        return c;
    }
    c = malloc(sizeof(*c));
    if (!c)
        g->out_of_memory = true;
    return c;
}

static void give_chunk(struct engine *g, struct chunk *c)
{
    c->next = g->spare;
    g->spare = c;
}

static void lane_over(struct engine *g, struct lane *n)
{
    if (n->over)
        return;
    n->over = true;
    g->lanes_over++;
    pthread_cond_broadcast(&g->wake);
}

static void read_and_prepare(struct engine *g, struct lane *n)
{
    struct chunk *c = take_chunk(g);
    if (!c) {
        g->stop = true;
        pthread_cond_broadcast(&g->wake);
        return;
    }
    n->reading = true;
    pthread_mutex_unlock(&g->lock);
    c->count = 0;
    c->hold = NULL;
    c->ready = false;
    c->next = NULL;
    enum err e = n->l->read(n->l->context, c->records, VERIFY_CHUNK, &c->count, &c->hold);
    pthread_mutex_lock(&g->lock);
    n->reading = false;
    if (e != ERR_OK || c->count == 0) {
        if (c->hold && n->l->release)
            n->l->release(n->l->context, c->hold);
        n->eof = true;
        if (e != ERR_OK && n->l->err == ERR_OK) {
            n->l->err = e;
            n->l->index = UINT64_MAX;
        }
        give_chunk(g, c);
        pthread_cond_broadcast(&g->wake);
        return;
    }
    if (n->last)
        n->last->next = c;
    else
        n->first = c;
    n->last = c;
    n->chunks++;
    pthread_cond_signal(&g->wake); /* the next chunk of this lane can be read */
    pthread_mutex_unlock(&g->lock);
    uint64_t signatures = 0;
    for (size_t i = 0; i < c->count; i++)
        prepare(g, n->l, &c->records[i], &c->prepared[i], &signatures);
    atomic_fetch_add(&g->signatures, signatures);
    pthread_mutex_lock(&g->lock);
    c->ready = true;
    if (!n->applying && n->first == c)
        return; /* this thread applies it next */
    pthread_cond_signal(&g->wake);
}

static enum err apply_one(struct verify_lane *l, const struct record *r,
                          const struct prepared *p)
{
    l->leaf_data = p->leaf_data;
    if (p->err != ERR_OK)
        return l->refuse ? l->refuse(l->context, r, p->err) : p->err;
    return l->apply(l->context, p->withheld ? NULL : &p->e, r,
                    p->withheld ? NULL : &p->leaf);
}

static void apply_first(struct engine *g, struct lane *n)
{
    struct chunk *c = n->first;
    n->applying = true;
    pthread_mutex_unlock(&g->lock);
    enum err e = ERR_OK;
    size_t i = 0;
    for (; i < c->count && e == ERR_OK; i++) {
        struct prepared *p = &c->prepared[i];
        e = apply_one(n->l, &c->records[i], p);
    }
    if (n->l->release && c->hold)
        n->l->release(n->l->context, c->hold);
    atomic_fetch_add(&g->done, c->count);
    pthread_mutex_lock(&g->lock);
    n->applying = false;
    n->first = c->next;
    if (!n->first)
        n->last = NULL;
    n->chunks--;
    if (e != ERR_OK && n->l->err == ERR_OK) {
        n->l->err = e;
        n->l->index = n->l->records + i - 1;
        n->eof = true;
    }
    n->l->records += i;
    give_chunk(g, c);
    pthread_cond_signal(&g->wake);
}

static void drop_first(struct engine *g, struct lane *n)
{
    struct chunk *c = n->first;
    if (n->l->release && c->hold)
        n->l->release(n->l->context, c->hold);
    n->first = c->next;
    if (!n->first)
        n->last = NULL;
    n->chunks--;
    give_chunk(g, c);
}

static void finish_lane(struct engine *g, struct lane *n)
{
    n->applying = true;
    pthread_mutex_unlock(&g->lock);
    enum err e =
        n->l->err == ERR_OK && n->l->finish ? n->l->finish(n->l->context) : ERR_OK;
    pthread_mutex_lock(&g->lock);
    if (n->l->err == ERR_OK && e != ERR_OK) {
        n->l->err = e;
        n->l->index = n->l->records;
    }
    lane_over(g, n);
}

/* Do one thing for a lane if there is one; applying comes first, so that chunks do not
 * pile up. */
static bool work_on(struct engine *g, struct lane *n)
{
    if (n->over)
        return false;
    if (!n->applying && n->first && n->first->ready) {
        if (n->l->err != ERR_OK)
            drop_first(g, n);
        else
            apply_first(g, n);
        return true;
    }
    if (!n->eof && !n->reading && n->chunks < CHUNKS_A_LANE) {
        read_and_prepare(g, n);
        return true;
    }
    if (n->eof && !n->reading && !n->applying && !n->first) {
        finish_lane(g, n);
        return true;
    }
    return false;
}

/* One chunk of some lane, the one worked on last first. False: there is none to do now. */
static bool work_near(struct engine *g, size_t *home)
{
    for (size_t i = 0; i < g->lane_count; i++) {
        size_t at = (*home + i) % g->lane_count;
        if (work_on(g, &g->lanes[at])) {
            *home = at;
            return true;
        }
    }
    return false;
}

static void *work(void *arg)
{
    struct engine *g = arg;
    size_t home = 0;
    pthread_mutex_lock(&g->lock);
    while (!g->stop && g->lanes_over < g->lane_count) {
        bool worked = work_near(g, &home);
        if (!worked && !g->stop && g->lanes_over < g->lane_count)
            pthread_cond_wait(&g->wake, &g->lock);
    }
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* The caller's thread works too, and tells of progress between chunks. */
static void work_and_tell(struct engine *g)
{
    if (!g->o->progress) {
        work(g);
        return;
    }
    size_t home = 0;
    pthread_mutex_lock(&g->lock);
    while (!g->stop && g->lanes_over < g->lane_count) {
        bool worked = work_near(g, &home);
        if (worked) {
            pthread_mutex_unlock(&g->lock);
            bool go = g->o->progress(g->o->progress_context, atomic_load(&g->done));
            pthread_mutex_lock(&g->lock);
            if (!go) {
                g->stop = true;
                g->cancelled = true;
            }
        } else if (!g->stop && g->lanes_over < g->lane_count) {
            pthread_cond_wait(&g->wake, &g->lock);
        }
    }
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

static unsigned thread_count(unsigned threads)
{
    long n = threads ? (long)threads : sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1)
        n = 1;
    return n > VERIFY_THREADS_MAX ? VERIFY_THREADS_MAX : (unsigned)n;
}

static void engine_close(struct engine *g)
{
    for (size_t i = 0; g->lanes && i < g->lane_count; i++)
        while (g->lanes[i].first)
            drop_first(g, &g->lanes[i]);
    while (g->spare) {
        struct chunk *c = g->spare;
        g->spare = c->next;
        free(c);
    }
    free(g->lanes);
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
}

enum err verify_lanes(struct verify_lane lanes[], size_t count,
                      const struct verify_options *o, uint64_t *signatures)
{
    struct engine g = {.o = o, .lane_count = count};
    if (count == 0)
        return ERR_OK;
    g.lanes = calloc(count, sizeof(*g.lanes));
    if (!g.lanes)
        return ERR_MEMORY;
    pthread_mutex_init(&g.lock, NULL);
    pthread_cond_init(&g.wake, NULL);
    for (size_t i = 0; i < count; i++) {
        g.lanes[i].l = &lanes[i];
        lanes[i].err = ERR_OK;
        lanes[i].index = 0;
        lanes[i].records = 0;
    }
    pthread_t threads[VERIFY_THREADS_MAX];
    unsigned wanted = thread_count(o->threads) - 1, started = 0;
    while (started < wanted && pthread_create(&threads[started], NULL, work, &g) == 0)
        started++;
    work_and_tell(&g);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    enum err e = g.out_of_memory ? ERR_MEMORY : g.cancelled ? ERR_TIMEOUT : ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        e = lanes[i].err;
    if (signatures)
        *signatures += atomic_load(&g.signatures);
    engine_close(&g);
    return e;
}

/* ---- many small things ---------------------------------------------------------------
 */

struct each {
    enum err (*fn)(void *context, size_t i);
    void *context;
    size_t count;
    _Atomic size_t next;
    pthread_mutex_t lock;
    size_t bad;
    enum err err;
};

static void *each_work(void *arg)
{
    struct each *x = arg;
    for (;;) {
        size_t i = atomic_fetch_add(&x->next, 1);
        if (i >= x->count)
            return NULL;
        enum err e = x->fn(x->context, i);
        if (e == ERR_OK)
            continue;
        pthread_mutex_lock(&x->lock);
        if (x->err == ERR_OK || i < x->bad) {
            x->err = e;
            x->bad = i;
        }
        pthread_mutex_unlock(&x->lock);
    }
}

enum err verify_each(size_t count, unsigned threads,
                     enum err (*fn)(void *context, size_t i), void *context)
{
    struct each x = {.fn = fn, .context = context, .count = count};
    pthread_mutex_init(&x.lock, NULL);
    pthread_t ids[VERIFY_THREADS_MAX];
    unsigned wanted = count > 1 ? thread_count(threads) - 1 : 0, started = 0;
    while (started < wanted && pthread_create(&ids[started], NULL, each_work, &x) == 0)
        started++;
    each_work(&x);
    for (unsigned i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    pthread_mutex_destroy(&x.lock);
    return x.err;
}

/* ---- tips ---------------------------------------------------------------------------
 */

struct tip {
    struct pubkey key;
    uint32_t size, cap;
    uint8_t *envelope;
};

static struct tip *tip_of(struct tips *t, const struct pubkey *key)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (memcmp(t->items[i].key.b, key->b, PUBKEY_BYTES) == 0)
            return &t->items[i];
    if (t->count == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 4;
        struct tip *items = realloc(t->items, cap * sizeof(*items));
        if (!items)
            return NULL;
        t->items = items;
        t->cap = cap;
    }
    struct tip *p = &t->items[t->count++];
    *p = (struct tip){.key = *key};
    return p;
}

enum err tips_note(struct tips *t, const struct entry *e)
{
    struct tip *p = tip_of(t, &e->device);
    if (!p)
        return ERR_MEMORY;
    if (e->envelope.size > p->cap) {
        uint32_t cap = (uint32_t)e->envelope.size + 128;
        uint8_t *room = realloc(p->envelope, cap);
        if (!room)
            return ERR_MEMORY;
        p->envelope = room;
        p->cap = cap;
    }
    memcpy(p->envelope, e->envelope.data, e->envelope.size);
    p->size = (uint32_t)e->envelope.size;
    return ERR_OK;
}

enum err tips_verify(const struct tips *t, uint64_t *checked)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct tip *p = &t->items[i];
        UNINITIALIZED struct entry e;
        if (!p->envelope)
            continue;
        TRY(entry_decode(&e, p->envelope, p->size));
        (*checked)++;
        if (!entry_verify(&e))
            return ERR_SIGNATURE;
    }
    return ERR_OK;
}

void tips_close(struct tips *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        free(t->items[i].envelope);
    free(t->items);
    memset(t, 0, sizeof(*t));
}
