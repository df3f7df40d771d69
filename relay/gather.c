#include "relay/gather.h"

#include <time.h>

#include "relay/clock.h"

static uint64_t entries_of(const struct chain_of_links *work)
{
    uint64_t n = 0;
    for (const struct link *l = work->first; l; l = l->next)
        if (((const struct work *)l)->kind == WORK_JOB)
            n += ((const struct job *)l)->count;
    return n;
}

void gather(struct queue *commit, struct queue *in_line, uint64_t most, uint64_t for_ms,
            struct chain_of_links *got)
{
    const struct timespec step = {0, GATHER_STEP_MS * 1000000L};
    uint64_t until = clock_mono_ms() + for_ms, entries = entries_of(got);
    while (entries > 0 && entries < most && clock_mono_ms() < until &&
           queue_count(in_line) >= GATHER_JOBS) {
        struct chain_of_links more;
        nanosleep(&step, NULL);
        if (!queue_take(commit, &more, GATHER_TAKE_MAX, 0))
            return; /* it has ended: what is there is the last */
        entries += entries_of(&more);
        links_join(got, &more);
    }
}
