#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_ 480

static struct world *running;
size_t world_tell_lines = 60;
const char *const plant_words[PLANT_COUNT] = {"none", "forget", "forgery", "receipt",
                                              "skip", "past",   "proof"};

/* ---- the story ---- */

void say(struct world *w, const char *format, ...)
{
    if (w->story_cap - w->story_size < 2 * LINE_MAX_) {
        w->story_cap = w->story_cap * 2 + 262144;
        w->story = realloc(w->story, w->story_cap);
        if (w->story == NULL)
            abort();
    }
    va_list args;
    char *at = w->story + w->story_size;
    int n = snprintf(at, 64, "[%10.3f] ", (double)w->now_ms / 1000);
    va_start(args, format);
    n += vsnprintf(at + n, LINE_MAX_ - 64, format, args);
    va_end(args);
    w->story_size += n < LINE_MAX_ ? (size_t)n : (size_t)LINE_MAX_ - 1;
    w->story[w->story_size++] = '\n';
}

void world_tell(void)
{
    const struct world *w = running;
    if (w == NULL)
        return;
    size_t from = 0, lines = 0;
    for (size_t i = w->story_size; world_tell_lines > 0 && i > 0; i--)
        if (w->story[i - 1] == '\n' && lines++ == world_tell_lines) {
            from = i;
            break;
        }
    fwrite(w->story + from, 1, w->story_size - from, stderr);
    fprintf(stderr, "seed %llu failed after %llu steps, %.1f virtual seconds\n",
            (unsigned long long)w->options.seed, (unsigned long long)w->stats.steps,
            (double)w->now_ms / 1000);
}

void fail(struct world *w, const char *format, ...)
{
    char text[LINE_MAX_];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(w, "WRONG: %.400s", text);
    abort();
}

/* ---- chance ---- */

uint32_t draw(struct world *w, uint32_t limit)
{
    return rng_below(&w->rng, limit);
}

bool goes_wrong(struct world *w, enum fault f)
{
    if (w->calm || w->rate[f] == 0 || !rng_chance(&w->rng, w->rate[f]))
        return false;
    w->stats.faults[f]++;
    return true;
}

/* The largest rate of each, per mille of the occasions it has. */
static const uint32_t rate_max[BAD_COUNT] = {
    [BAD_LOSS] = 300,  [BAD_TWICE] = 500,     [BAD_DELAY] = 300,   [BAD_CUT] = 15,
    [BAD_CLOG] = 5,    [BAD_PARTITION] = 700, [BAD_CRASH] = 1000,  [BAD_TORN] = 500,
    [BAD_PAUSE] = 800, [BAD_UNKNOWN] = 40,    [BAD_HAPPENED] = 40, [BAD_FULL] = 40,
    [BAD_BROKEN] = 8,  [BAD_BROKEN_DONE] = 8, [BAD_TAKEN] = 500,   [BAD_CLAIM] = 60,
    [BAD_READ] = 60,   [BAD_ROT] = 300,       [BAD_BACKUP] = 150,  [BAD_SLEW] = 900,
    [BAD_JUMP] = 100,  [BAD_LEAP] = 150,      [BAD_REKEY] = 300,   [BAD_DRAIN] = 100,
    [BAD_MEMORY] = 10, [BAD_STOP] = 150,      [BAD_RESTART] = 15,  [BAD_CLONE] = 10,
    [BAD_WRONG] = 350, [BAD_SLOW] = 150,     [BAD_KILL] = 12,    [BAD_WALLET] = 12,
    [BAD_LIE] = 40,
};

static void draw_rates(struct world *w)
{
    for (unsigned f = 0; f < BAD_COUNT; f++) {
        uint32_t rate = 1 + rng_below(&w->rng, rate_max[f]);
        bool absent = rng_chance(&w->rng, f == BAD_WRONG ? 100 : 450);
        if (f == BAD_CRASH)
            rate = 200 + rng_below(&w->rng, 800), absent = false;
        if (absent || (w->options.without >> f & 1) != 0)
            rate = 0;
        w->rate[f] = rate;
    }
    if (rng_chance(&w->rng, 40)) /* sometimes all is well but for the crashes */
        for (unsigned f = 0; f < BAD_COUNT; f++)
            w->rate[f] = f == BAD_CRASH ? w->rate[f] : 0;
    w->delay_ms = 1 + rng_below(&w->rng, 60);
}

/* ---- time ---- */

static bool before(const struct happening *a, const struct happening *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void put_in_order(struct world *w, struct happening e)
{
    if (w->event_count == w->event_cap) {
        w->event_cap = w->event_cap * 2 + 256;
        w->events = realloc(w->events, w->event_cap * sizeof *w->events);
        if (w->events == NULL)
            abort();
    }
    size_t i = w->event_count++;
    for (; i > 0 && before(&e, &w->events[(i - 1) / 2]); i = (i - 1) / 2)
        w->events[i] = w->events[(i - 1) / 2];
    w->events[i] = e;
}

static void put_event(struct world *w, struct happening e)
{
    e.order = w->order++;
    put_in_order(w, e);
}

static struct happening take_event(struct world *w)
{
    struct happening first = w->events[0];
    struct happening last = w->events[--w->event_count];
    size_t i = 0;
    for (size_t child = 1; child < w->event_count; child = 2 * i + 1) {
        if (child + 1 < w->event_count &&
            before(&w->events[child + 1], &w->events[child]))
            child++;
        if (!before(&w->events[child], &last))
            break;
        w->events[i] = w->events[child];
        i = child;
    }
    w->events[i] = last;
    return first;
}

void world_at(struct world *w, const struct actor *a, uint64_t in_ms, uint32_t what,
              uint64_t arg)
{
    put_event(w, (struct happening){.at_ms = w->now_ms + in_ms,
                                    .actor = a->id,
                                    .timer = {.what = what, .a = arg}});
}

/* ---- network ---- */

static struct message *new_message(uint32_t from, uint32_t what, uint64_t line,
                                   const void *bytes, size_t size)
{
    struct message *m = malloc(sizeof *m + size);
    if (m == NULL)
        abort();
    *m = (struct message){.from = from, .what = what, .line = line, .size = size};
    if (size > 0)
        memcpy(m->bytes, bytes, size);
    return m;
}

static uint64_t arrival(struct world *w, uint32_t sender, uint32_t to)
{
    const struct actor *from = w->actors[sender], *target = w->actors[to];
    uint64_t delay = 1 + draw(w, w->delay_ms);
    if (goes_wrong(w, BAD_DELAY))
        delay += draw(w, 3000);
    uint64_t at = w->now_ms + delay;
    if (!w->calm && from->clogged_until > at)
        at = from->clogged_until + draw(w, 50);
    if (!w->calm && target->clogged_until > at)
        at = target->clogged_until + draw(w, 50);
    return at;
}

/* Takes the message over. */
static void put_message(struct world *w, uint32_t to, struct message *m, uint64_t at)
{
    put_event(w, (struct happening){
                     .at_ms = at, .actor = to, .is_message = true, .message = m});
}

void world_send(struct world *w, uint32_t from, uint32_t to, uint32_t what, uint64_t line,
                const void *bytes, size_t size, bool fragile)
{
    w->stats.messages++;
    bool cut_off = w->actors[from]->cut_off_until > w->now_ms ||
                   w->actors[to]->cut_off_until > w->now_ms;
    if ((cut_off && !w->calm) || goes_wrong(w, BAD_LOSS))
        return;
    put_message(w, to, new_message(from, what, line, bytes, size), arrival(w, from, to));
    if (!fragile && goes_wrong(w, BAD_TWICE))
        put_message(w, to, new_message(from, what, line, bytes, size),
                    arrival(w, from, to));
}

void world_stream(struct world *w, struct stream *s, uint32_t from, uint32_t to,
                  uint32_t what, uint64_t line, const void *bytes, size_t size)
{
    uint64_t at = arrival(w, from, to);
    uint64_t away = w->actors[from]->cut_off_until > w->actors[to]->cut_off_until
                        ? w->actors[from]->cut_off_until
                        : w->actors[to]->cut_off_until;
    w->stats.messages++;
    if (goes_wrong(w, BAD_LOSS)) /* it is sent again */
        at += 200 + draw(w, 800);
    if (!w->calm && away > at)
        at = away + 200 + draw(w, 800);
    if (at < s->at_ms)
        at = s->at_ms;
    s->at_ms = at;
    put_message(w, to, new_message(from, what, line, bytes, size), at);
}

bool world_step(struct world *w)
{
    if (w->event_count == 0)
        return false;
    struct happening e = take_event(w);
    struct actor *a = w->actors[e.actor];
    if (e.at_ms > w->now_ms)
        w->now_ms = e.at_ms;
    if (a->paused_until > w->now_ms) { /* it comes to it when it goes on */
        e.at_ms = a->paused_until;
        put_in_order(w, e); /* before what was sent later */
        return true;
    }
    w->stats.steps++;
    if (e.is_message)
        a->ops->message(w, a, e.message);
    else
        a->ops->timer(w, a, &e.timer);
    free(e.message);
    return true;
}

/* ---- life ---- */

void world_add(struct world *w, struct actor *a)
{
    if (w->actor_count == ACTORS_MAX)
        fail(w, "too many actors");
    a->id = w->actor_count;
    w->actors[w->actor_count++] = a;
}

void world_open(struct world *w, const struct sim_options *o)
{
    memset(w, 0, sizeof *w);
    w->options = *o;
    w->rng.state = o->seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    w->now_ms = 1000;
    running = w;
    draw_rates(w);
}

struct world *world_running(void)
{
    return running;
}

void world_close(struct world *w)
{
    for (uint32_t i = 0; i < w->actor_count; i++)
        w->actors[i]->ops->close(w->actors[i]);
    for (size_t i = 0; i < w->event_count; i++)
        free(w->events[i].message);
    free(w->events);
    free(w->story);
    running = NULL;
}
