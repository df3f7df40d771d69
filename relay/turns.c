#include "relay/turns.h"

#include <assert.h>

static void to_end(struct turns *t, struct turn *one)
{
    one->next = NULL;
    *(t->last ? &t->last->next : &t->first) = one;
    t->last = one;
}

static void pop_first(struct turns *t)
{
    t->first = t->first->next;
    if (!t->first)
        t->last = NULL;
}

void turns_add(struct turns *t, struct turn *of, struct job *j)
{
    assert(j->count <= TURN_ENTRIES && of->quantum >= TURN_ENTRIES);
    if (!of->jobs.first) {
        of->credit = of->quantum;
        to_end(t, of);
    }
    links_add(&of->jobs, &j->work.link);
    t->entries += j->count;
}

struct job *turns_next(struct turns *t)
{
    struct turn *one;
    while ((one = t->first)) {
        struct job *j = (struct job *)one->jobs.first;
        if (j->count > one->credit) {
            pop_first(t);
            one->credit += one->quantum;
            to_end(t, one);
            continue;
        }
        (void)links_pop(&one->jobs);
        one->credit -= j->count;
        t->entries -= j->count;
        if (!one->jobs.first)
            pop_first(t); /* who has nothing to give saves nothing */
        return j;
    }
    return NULL;
}
