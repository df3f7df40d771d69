#include "relay/vitals.h"

#include <string.h>

void vitals_init(struct vitals *v)
{
    memset(v, 0, sizeof(*v));
    pthread_mutex_init(&v->lock, NULL);
}

void vitals_close(struct vitals *v)
{
    pthread_mutex_destroy(&v->lock);
}

#define USUAL_PART 64

/* The mean of the last second's transactions, followed slowly. */
static void follow_usual(struct vitals *v, const struct vital *sample)
{
    const struct vital *last = &v->ring[(v->count + VITALS_SECONDS - 1) % VITALS_SECONDS];
    if (v->count == 0 || sample->commits == last->commits)
        return;
    uint64_t mean = (sample->commit_us - last->commit_us) /
                    (sample->commits - last->commits);
    if (v->commit_usual_us == 0)
        v->commit_usual_us = mean;
    else
        v->commit_usual_us = (v->commit_usual_us * (USUAL_PART - 1) + mean) / USUAL_PART;
}

void vitals_put(struct vitals *v, const struct vital *sample, const struct vital_now *now)
{
    pthread_mutex_lock(&v->lock);
    follow_usual(v, sample);
    v->ring[v->count % VITALS_SECONDS] = *sample;
    v->count++;
    v->now = *now;
    pthread_mutex_unlock(&v->lock);
}

bool vitals_get(struct vitals *v, uint64_t window_ms, struct vital *older,
                struct vital *newest, struct vital_now *now)
{
    pthread_mutex_lock(&v->lock);
    uint64_t count = v->count;
    bool two = count >= 2;
    if (two) {
        uint64_t first = count > VITALS_SECONDS ? count - VITALS_SECONDS : 0;
        *newest = v->ring[(count - 1) % VITALS_SECONDS];
        *now = v->now;
        uint64_t at = count - 2;
        while (at > first &&
               newest->mono_ms - v->ring[at % VITALS_SECONDS].mono_ms < window_ms)
            at--;
        *older = v->ring[at % VITALS_SECONDS];
    }
    pthread_mutex_unlock(&v->lock);
    return two;
}

int64_t vitals_drift_ms(const struct vital *older, const struct vital *newest)
{
    return (int64_t)((newest->wall_ms - older->wall_ms) - (newest->boot_ms - older->boot_ms));
}

uint64_t vitals_commit_usual_us(struct vitals *v)
{
    pthread_mutex_lock(&v->lock);
    uint64_t us = v->commit_usual_us;
    pthread_mutex_unlock(&v->lock);
    return us;
}
