#include "client/audit/fetch_pool.h"

#include <pthread.h>
#include <time.h>

#define TICK_MS 200

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint64_t next, count;
    unsigned running;
    void (*fn)(void *context, uint64_t i);
    void *context;
    const _Bool *stop;
};

static void *work(void *context)
{
    struct pool *p = context;
    for (;;) {
        bool stop = p->stop && __atomic_load_n(p->stop, __ATOMIC_RELAXED);
        uint64_t i = __atomic_fetch_add(&p->next, 1, __ATOMIC_RELAXED);
        if (stop || i >= p->count)
            break;
        p->fn(p->context, i);
    }
    pthread_mutex_lock(&p->lock);
    p->running--;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void wait_for_end(struct pool *p, void (*tick)(void *context), void *context)
{
    pthread_mutex_lock(&p->lock);
    while (p->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        (void)pthread_cond_timedwait(&p->ended, &p->lock, &until);
        if (tick) {
            pthread_mutex_unlock(&p->lock);
            tick(context);
            pthread_mutex_lock(&p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
}

enum err fetch_each(uint64_t count, unsigned jobs, void (*fn)(void *context, uint64_t i),
                    void (*tick)(void *context), void *context, const _Bool *stop)
{
    pthread_t threads[FETCH_JOBS_MAX];
    struct pool p = {.count = count, .fn = fn, .context = context, .stop = stop};
    unsigned made = 0;
    if (count == 0)
        return ERR_OK;
    if (jobs > FETCH_JOBS_MAX)
        jobs = FETCH_JOBS_MAX;
    if (jobs > count)
        jobs = (unsigned)count;
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.ended, NULL);
    pthread_mutex_lock(&p.lock);
    while (made < jobs && pthread_create(&threads[made], NULL, work, &p) == 0)
        made++;
    p.running = made;
    pthread_mutex_unlock(&p.lock);
    wait_for_end(&p, tick, context);
    for (unsigned i = 0; i < made; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&p.ended);
    pthread_mutex_destroy(&p.lock);
    return made > 0 ? ERR_OK : ERR_MEMORY;
}
