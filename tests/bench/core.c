/* Checks, sequencer and SQLite in this process, without sockets: what a hub could do at best
 * on these cores. Verify threads check a chunk of entries each; the main thread sequences the
 * chunks in order and commits. */
#include <pthread.h>
#include <stdlib.h>

#include "tests/bench/engine.h"
#include "tests/bench/bench.h"
#include "tests/bench/people.h"

#define ACCOUNTS 1000
#define CHUNK 256
#define AHEAD 16 /* chunks checked and not yet sequenced */

struct checked {
    size_t count;
    struct entry entry[CHUNK];
};

struct pipeline {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct sheet *sheet;
    size_t next, total;        /* chunks given out, of all */
    size_t taken;              /* chunks sequenced */
    struct checked *ring[AHEAD]; /* by number */
};

static size_t chunk_size(const struct pipeline *p, size_t number)
{
    size_t left = sheet_count(p->sheet) - number * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static struct checked *check_chunk(const struct pipeline *p, size_t number)
{
    struct checked *c = malloc(sizeof *c);
    if (!c)
        die("out of memory");
    c->count = chunk_size(p, number);
    for (size_t i = 0; i < c->count; i++) {
        size_t at = number * CHUNK + i;
        struct bytes b = sheet_at(p->sheet, at / p->sheet->accounts, at % p->sheet->accounts);
        need(entry_decode(&c->entry[i], b.data, b.size), "decode an entry");
        if (!entry_verify(&c->entry[i]))
            die("a signature does not verify");
    }
    return c;
}

static void *check(void *context)
{
    struct pipeline *p = context;
    pthread_mutex_lock(&p->lock);
    while (p->next < p->total) {
        if (p->next >= p->taken + AHEAD) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        size_t number = p->next++;
        pthread_mutex_unlock(&p->lock);
        struct checked *c = check_chunk(p, number);
        pthread_mutex_lock(&p->lock);
        p->ring[number % AHEAD] = c;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void sequence(struct pipeline *p, struct engine *e)
{
    size_t waiting = 0;
    while (p->taken < p->total) {
        pthread_mutex_lock(&p->lock);
        while (!p->ring[p->taken % AHEAD])
            pthread_cond_wait(&p->changed, &p->lock);
        struct checked *c = p->ring[p->taken % AHEAD];
        p->ring[p->taken % AHEAD] = NULL;
        p->taken++;
        pthread_cond_broadcast(&p->changed);
        bool more = p->taken < p->total && p->ring[p->taken % AHEAD];
        pthread_mutex_unlock(&p->lock);
        for (size_t i = 0; i < c->count; i++)
            engine_submit(e, &c->entry[i], 0);
        waiting += c->count;
        free(c);
        if (!more || waiting >= 1024) { /* as the hub: whatever waits is the next batch */
            engine_commit(e);
            waiting = 0;
        }
    }
    engine_settle(e);
}

void bench_submit_core(const struct options *o, struct report *r)
{
    struct tempdir dir;
    struct engine e;
    struct crowd crowd;
    struct sheet notes;
    pthread_t threads[64];
    char uri[400];
    unsigned count = o->threads && o->threads < 64 ? o->threads : cores();
    size_t n = o->n ? o->n : o->quick ? 2000 : 200000;
    tempdir_make(&dir);
    snprintf(uri, sizeof uri, "sqlite:%s/ledger.db", dir.path);
    engine_create(&e, uri, 16, true);
    crowd_open(&crowd, &e.federation, e.hub, o->quick ? 64 : ACCOUNTS);
    for (size_t i = 0; i < crowd.count; i++)
        engine_submit_bytes(&e, sheet_at(&crowd.opens, 0, i));
    engine_settle(&e);
    crowd_notes(&crowd, &notes, (n + crowd.count - 1) / crowd.count, BENCH_NOTE_BYTES);
    struct pipeline p = {.sheet = &notes,
                         .total = (sheet_count(&notes) + CHUNK - 1) / CHUNK};
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.changed, NULL);
    double before = limit_verify(o->quick ? 0.05 : 2, 1);
    uint64_t accepted = e.accepted, batches = e.batches, began = now_ns();
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, check, &p) != 0)
            die("no thread");
    sequence(&p, &e);
    double took = seconds_since(began);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    double after = limit_verify(o->quick ? 0.05 : 2, 1);
    report_open(r, "submit-core", "accepted entries/s", BETTER_HIGH);
    report_result(r, (double)(e.accepted - accepted) / took, (before + after) / 2,
                  "signatures of 500 B entries one core verifies a second");
    report_number(r, "entries", (double)(e.accepted - accepted));
    report_number(r, "verify_threads", count);
    report_number(r, "records_a_commit",
                  (double)(e.accepted - accepted) / (double)(e.batches - batches));
    sheet_close(&notes);
    crowd_close(&crowd);
    engine_close(&e);
    tempdir_remove(&dir);
}
