#include "relay/verify.h"

#include <unistd.h>

#include "relay/clock.h"
#include "relay/metrics.h"

#define TAKE_WAIT_MS 1000u

/* Decode and check one job; verdicts already set (door policy) stand. */
static void verify_job(struct verify *v, struct job *j)
{
    uint64_t good = 0, bad = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        struct job_item *item = &j->items[i];
        if (item->verdict != ERR_OK)
            continue;
        struct bytes envelope = item->entry.envelope;
        item->verdict = entry_decode(&item->entry, envelope.data, envelope.size);
        if (item->verdict != ERR_OK)
            continue;
        /* Once, at the door where the client stands: the relay that forwards has shown the
         * hub's own key, over this very frame (docs/PROTOCOL.md, "Between relays"). */
        if (j->vouched)
            continue;
        if (entry_verify(&item->entry)) {
            good++;
        } else {
            bad++;
            item->verdict = ERR_SIGNATURE;
        }
    }
    if (good)
        metrics_count(v->metrics, METRIC_VERIFY, M_VERDICT_OK, good);
    if (bad)
        metrics_count(v->metrics, METRIC_VERIFY, M_VERDICT_BAD, bad);
}

static void *verify_thread(void *context)
{
    struct verify *v = context;
    struct chain_of_links got;
    while (queue_take(&v->in, &got, 1, TAKE_WAIT_MS)) {
        struct link *l = links_pop(&got);
        if (!l)
            continue;
        uint64_t began_us = clock_mono_us();
        verify_job(v, (struct job *)l);
        atomic_fetch_add(&v->busy_us, clock_mono_us() - began_us);
        queue_put_one(&v->done, l);
        v->wake(v->context);
    }
    return NULL;
}

enum err verify_open(struct verify *v, unsigned threads, struct metrics *m,
                     void (*wake)(void *context), void *context)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0)
        threads = cores > 0 ? (unsigned)cores : 1u;
    if (threads > VERIFY_THREADS_MAX)
        threads = VERIFY_THREADS_MAX;
    queue_init(&v->in);
    queue_init(&v->done);
    v->wake = wake;
    v->context = context;
    v->metrics = m;
    v->thread_count = 0;
    v->stopped = false;
    while (v->thread_count < threads &&
           pthread_create(&v->threads[v->thread_count], NULL, verify_thread, v) == 0)
        v->thread_count++;
    if (v->thread_count > 0)
        return ERR_OK;
    verify_close(v);
    return ERR_MEMORY;
}

void verify_put(struct verify *v, struct chain_of_links *jobs)
{
    queue_put(&v->in, jobs);
}

void verify_stop(struct verify *v)
{
    if (v->stopped)
        return;
    queue_end(&v->in);
    for (unsigned i = 0; i < v->thread_count; i++)
        pthread_join(v->threads[i], NULL);
    v->stopped = true;
}

static void drop_all(struct queue *q)
{
    struct chain_of_links got;
    (void)queue_take(q, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));)
        job_drop((struct job *)l);
    queue_close(q);
}

void verify_close(struct verify *v)
{
    verify_stop(v);
    drop_all(&v->in);
    drop_all(&v->done);
}
