#include "federation/cosign.h"

#include <assert.h>
#include <string.h>

#include "federation/witness.h"

#define DOUBLINGS_MAX 7u
#define MOVES_MAX 2u /* 409 answered by a new question at once so often, then with a pause */
#define WAIT_MS_MIN 10u
#define WAIT_MS_MAX 250u

struct line {
    uint64_t time;
    struct signature sig;
};
/* A checkpoint and who cosigned it. */
struct gathered {
    bool set;
    tree_size size;
    uint64_t mask;
    uint64_t superseded_ms; /* when a newer one was published; 0: it is the newest */
    size_t note_size;
    char note[CHECKPOINT_BYTES_MAX];
    struct line *lines; /* one a witness, those of `mask` count */
};
struct slot_state {
    struct gathered newest; /* no lines */
    struct gathered target, quorum;
    uint64_t target_ms;
};
/* One slot with one witness. */
struct pair {
    tree_size old; /* where the witness stands, as far as we know */
    uint64_t next_ms;
    unsigned failures, moves;
    bool in_flight;
};
struct witness_state_of {
    uint64_t next_ms;
    unsigned failures;
    uint32_t cursor; /* slot to look at next: none is starved */
    uint64_t cosigned, failed, seen_seconds;
};
struct cosign {
    const struct policy *p;
    uint32_t slots;
    unsigned witnesses;
    struct witness_state_of *witness;
    struct pair *pairs;
    struct slot_state *slot;
};

static size_t aligned(size_t n)
{
    return (n + 15) / 16 * 16;
}

size_t cosign_room(uint32_t slots, size_t witnesses)
{
    return aligned(sizeof(struct cosign)) +
           aligned(witnesses * sizeof(struct witness_state_of)) +
           aligned(slots * witnesses * sizeof(struct pair)) +
           aligned(slots * sizeof(struct slot_state)) +
           aligned(2 * slots * witnesses * sizeof(struct line));
}

static void *take(uint8_t **at, size_t size)
{
    void *p = *at;
    *at += aligned(size);
    return p;
}

struct cosign *cosign_open(void *room, const struct policy *p, uint32_t slots)
{
    uint8_t *at = room;
    size_t n = p->witness_count;
    struct cosign *c = take(&at, sizeof(*c));
    c->p = p;
    c->slots = slots;
    c->witnesses = (unsigned)n;
    c->witness = take(&at, n * sizeof(*c->witness));
    c->pairs = take(&at, slots * n * sizeof(*c->pairs));
    c->slot = take(&at, slots * sizeof(*c->slot));
    struct line *lines = take(&at, 2 * slots * n * sizeof(*lines));
    for (uint32_t i = 0; i < slots; i++) {
        c->slot[i].target.lines = lines + 2 * i * n;
        c->slot[i].quorum.lines = lines + (2 * i + 1) * n;
    }
    return c;
}

static struct pair *pair_of(struct cosign *c, uint32_t slot, unsigned witness)
{
    return &c->pairs[(size_t)slot * c->witnesses + witness];
}

static void set_note(struct gathered *g, tree_size size, const void *note, size_t note_size)
{
    g->set = true;
    g->size = size;
    g->mask = 0;
    g->superseded_ms = 0;
    g->note_size = note_size;
    memcpy(g->note, note, note_size);
}

static void supersede(struct gathered *g, tree_size by, uint64_t now_ms)
{
    if (g->set && g->size < by && g->superseded_ms == 0)
        g->superseded_ms = now_ms ? now_ms : 1;
}

void cosign_published(struct cosign *c, uint32_t slot, tree_size size, struct bytes note,
                      uint64_t now_ms)
{
    assert(slot < c->slots && note.size <= CHECKPOINT_BYTES_MAX);
    struct slot_state *s = &c->slot[slot];
    if (s->newest.set && size <= s->newest.size)
        return;
    set_note(&s->newest, size, note.data, note.size);
    supersede(&s->target, size, now_ms);
    supersede(&s->quorum, size, now_ms);
}

/* The target has a quorum: from now on it is what has one. */
static void promote(struct cosign *c, struct slot_state *s)
{
    const struct gathered *t = &s->target;
    struct gathered *q = &s->quorum;
    if (!policy_quorum(c->p, t->mask) || (q->set && q->size >= t->size))
        return;
    set_note(q, t->size, t->note, t->note_size);
    q->mask = t->mask;
    q->superseded_ms = t->superseded_ms;
    memcpy(q->lines, t->lines, c->witnesses * sizeof(*q->lines));
}

/* Has every witness answered, or is it not to be asked for a while? */
static bool all_asked(struct cosign *c, uint32_t slot, uint64_t now_ms)
{
    for (unsigned i = 0; i < c->witnesses; i++) {
        const struct pair *p = pair_of(c, slot, i);
        if (p->in_flight ||
            (!(c->slot[slot].target.mask >> i & 1) && c->witness[i].next_ms <= now_ms &&
             p->next_ms <= now_ms))
            return false;
    }
    return true;
}

/* A target is held until it has its quorum, while somebody may still cosign it, but not
 * longer than a reader may wait for something newer. */
static void take_target(struct cosign *c, const struct cosign_times *t, uint32_t slot,
                        uint64_t now_ms)
{
    struct slot_state *s = &c->slot[slot];
    if (!s->newest.set || (s->target.set && s->target.size == s->newest.size))
        return;
    if (s->target.set) {
        uint64_t held = now_ms - s->target_ms;
        bool done = (s->quorum.set && s->quorum.size == s->target.size) ||
                    all_asked(c, slot, now_ms);
        if (held < t->every_ms || (!done && held < t->max_age_ms))
            return;
    }
    set_note(&s->target, s->newest.size, s->newest.note, s->newest.note_size);
    s->target_ms = now_ms;
    promote(c, s);
}

bool cosign_next(struct cosign *c, const struct cosign_times *t, unsigned witness,
                 uint64_t now_ms, struct cosign_ask *ask, uint64_t *wait_ms)
{
    struct witness_state_of *w = &c->witness[witness];
    uint64_t wait = t->every_ms / 4;
    *wait_ms = wait < WAIT_MS_MIN ? WAIT_MS_MIN : wait > WAIT_MS_MAX ? WAIT_MS_MAX : wait;
    for (uint32_t i = 0; i < c->slots; i++) {
        uint32_t slot = (w->cursor + i) % c->slots;
        struct slot_state *s = &c->slot[slot];
        struct pair *p = pair_of(c, slot, witness);
        take_target(c, t, slot, now_ms);
        if (!s->target.set || p->in_flight || (s->target.mask >> witness & 1) ||
            w->next_ms > now_ms || p->next_ms > now_ms)
            continue;
        *ask = (struct cosign_ask){.slot = slot,
                                   .witness = witness,
                                   .old = p->old <= s->target.size ? p->old : 0,
                                   .size = s->target.size,
                                   .note_size = s->target.note_size};
        memcpy(ask->note, s->target.note, s->target.note_size);
        p->in_flight = true;
        w->cursor = (slot + 1) % c->slots;
        return true;
    }
    return false;
}

/* The text of our own checkpoint: up to the empty line before its signature. */
static struct bytes text_of(const struct cosign_ask *ask)
{
    for (size_t i = 0; i + 1 < ask->note_size; i++)
        if (ask->note[i] == '\n' && ask->note[i + 1] == '\n')
            return bytes_of(ask->note, i + 1);
    return bytes_of(ask->note, 0);
}

enum cosign_result cosign_read(const struct policy *p, const struct cosign_ask *ask,
                               unsigned status, struct bytes body, uint64_t wall_seconds,
                               struct signed_line *line, tree_size *size)
{
    switch (status) {
    case 200:
        if (!line_find(line, text_of(ask), body, &p->witnesses[ask->witness].key) ||
            line->time == 0 || line->time > wall_seconds + COSIGN_SKEW_SECONDS ||
            line->time + COSIGN_SKEW_SECONDS < wall_seconds)
            return COSIGN_FAILED;
        return COSIGN_TAKEN;
    case 409:
        if (body.size == 0 || body.data[body.size - 1] != '\n' ||
            !witness_size_parse(size, bytes_of(body.data, body.size - 1)) ||
            *size == ask->old)
            return COSIGN_FAILED;
        return *size > ask->size ? COSIGN_AHEAD : COSIGN_MOVED;
    case 400:
    case 403:
    case 404:
    case 422:
        return COSIGN_REFUSED;
    default:
        return COSIGN_FAILED;
    }
}

/* Doubling, half of it by chance, so that those who failed together do not return
 * together. */
static uint64_t backoff(unsigned *failures, uint64_t random)
{
    unsigned n = *failures < DOUBLINGS_MAX ? *failures : DOUBLINGS_MAX;
    uint64_t ms = (uint64_t)COSIGN_BACKOFF_MS << n;
    ++*failures;
    if (ms > COSIGN_BACKOFF_MAX_MS)
        ms = COSIGN_BACKOFF_MAX_MS;
    return ms / 2 + random % (ms / 2 + 1);
}

static void add_line(struct gathered *g, const struct cosign_ask *ask,
                     const struct signed_line *line)
{
    if (!g->set || g->size != ask->size)
        return;
    g->mask |= UINT64_C(1) << ask->witness;
    g->lines[ask->witness] = (struct line){.time = line->time, .sig = line->sig};
}

static void taken(struct cosign *c, const struct cosign_ask *ask,
                  const struct signed_line *line, uint64_t wall_seconds)
{
    struct slot_state *s = &c->slot[ask->slot];
    struct pair *p = pair_of(c, ask->slot, ask->witness);
    struct witness_state_of *w = &c->witness[ask->witness];
    p->old = ask->size;
    p->failures = p->moves = w->failures = 0;
    w->cosigned++;
    w->seen_seconds = wall_seconds;
    add_line(&s->target, ask, line);
    add_line(&s->quorum, ask, line);
    promote(c, s);
}

void cosign_answered(struct cosign *c, const struct cosign_ask *ask, enum cosign_result r,
                     const struct signed_line *line, tree_size size,
                     uint64_t retry_after_ms, uint64_t random, uint64_t wall_seconds,
                     uint64_t now_ms)
{
    struct pair *p = pair_of(c, ask->slot, ask->witness);
    struct witness_state_of *w = &c->witness[ask->witness];
    uint64_t wait;
    assert(p->in_flight);
    p->in_flight = false;
    switch (r) {
    case COSIGN_TAKEN:
        taken(c, ask, line, wall_seconds);
        return;
    case COSIGN_MOVED:
        p->old = size;
        if (++p->moves <= MOVES_MAX)
            return;
        p->next_ms = now_ms + backoff(&p->failures, random);
        return;
    case COSIGN_AHEAD:
    case COSIGN_REFUSED:
        /* It may have been given another past meanwhile: ask from the beginning. */
        p->old = 0;
        p->moves = 0;
        p->next_ms = now_ms + backoff(&p->failures, random);
        w->failed++;
        return;
    case COSIGN_FAILED:
        wait = backoff(&w->failures, random);
        if (retry_after_ms > COSIGN_RETRY_AFTER_MAX_MS)
            retry_after_ms = COSIGN_RETRY_AFTER_MAX_MS;
        w->next_ms = now_ms + (wait > retry_after_ms ? wait : retry_after_ms);
        w->failed++;
        return;
    }
}

static bool is_fresh(const struct slot_state *s, const struct cosign_times *t,
                     uint64_t now_ms)
{
    return s->quorum.set && (s->quorum.superseded_ms == 0 ||
                             now_ms - s->quorum.superseded_ms <= t->max_age_ms);
}

void cosign_slot(const struct cosign *c, const struct cosign_times *t, uint32_t slot,
                 uint64_t now_ms, struct cosign_state *out)
{
    const struct slot_state *s = &c->slot[slot];
    *out = (struct cosign_state){.has_quorum = s->quorum.set,
                                 .fresh = is_fresh(s, t, now_ms),
                                 .newest = s->newest.size,
                                 .size = s->quorum.size,
                                 .witnesses = s->quorum.mask};
}

static size_t write_note(const struct cosign *c, const struct gathered *g,
                         const struct line *lines, uint64_t mask,
                         char out[COSIGNED_BYTES_MAX])
{
    size_t at = g->note_size;
    memcpy(out, g->note, at);
    for (unsigned i = 0; i < c->witnesses; i++)
        if (mask >> i & 1)
            at += line_write(out + at, COSIGNED_BYTES_MAX - at, &c->p->witnesses[i].key,
                             lines[i].time, &lines[i].sig);
    return at;
}

size_t cosign_quorum_note(const struct cosign *c, uint32_t slot,
                          char out[COSIGNED_BYTES_MAX])
{
    const struct gathered *q = &c->slot[slot].quorum;
    return q->set ? write_note(c, q, q->lines, q->mask, out) : 0;
}

size_t cosign_served_note(const struct cosign *c, const struct cosign_times *t,
                          uint32_t slot, uint64_t now_ms, char out[COSIGNED_BYTES_MAX])
{
    const struct slot_state *s = &c->slot[slot];
    if (!s->newest.set)
        return 0;
    if (is_fresh(s, t, now_ms))
        return cosign_quorum_note(c, slot, out);
    bool asked = s->target.set && s->target.size == s->newest.size;
    return write_note(c, &s->newest, s->target.lines, asked ? s->target.mask : 0, out);
}

void cosign_witness_state(const struct cosign *c, unsigned witness, uint64_t now_ms,
                          struct cosign_witness *out)
{
    const struct witness_state_of *w = &c->witness[witness];
    *out = (struct cosign_witness){.cosigned = w->cosigned,
                                   .failed = w->failed,
                                   .seen_seconds = w->seen_seconds,
                                   .backing_off = w->next_ms > now_ms};
}
