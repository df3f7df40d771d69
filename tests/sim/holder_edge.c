/* The edges of libstoa in the simulation: where its frames go, what time it is, what its
 * random bytes are, and when its disk fails. The functions that libstoa takes for the
 * machine's own are replaced at link time (sim_edges in CMakeLists.txt). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holder.h"

#define BUSY_ONE_IN 4

/* ---- clock and chance ---- */

uint64_t __wrap_mono_ms(void);
void __wrap_random_bytes(void *out, size_t size);
struct key *__wrap_key_generate(void);

uint64_t __wrap_mono_ms(void)
{
    return world_running()->now_ms;
}

static uint64_t wall_ms(void)
{
    return EPOCH_MS + world_running()->now_ms;
}

void __wrap_random_bytes(void *out, size_t size)
{
    struct rng *rng = &world_running()->rng;
    for (uint8_t *at = out; size > 0;) {
        uint64_t x = rng_next(rng);
        size_t n = size < sizeof x ? size : sizeof x;
        memcpy(at, &x, n);
        at += n;
        size -= n;
    }
}

/* One of the numbered keys, so that the town can tell whose it is. */
struct key *__wrap_key_generate(void)
{
    uint8_t seed[SEED_BYTES];
    key_seed(key_at(fresh_key(town_of(world_running()))), seed);
    return key_from_seed(seed);
}

/* ---- frames that have come ---- */

static void drop_letters(struct holder *h)
{
    while (h->first != NULL) {
        struct letter *l = h->first;
        h->first = l->next;
        free(l);
    }
    h->last = NULL;
}

void holder_drop_line(struct holder *h)
{
    drop_letters(h);
    free(h->lent);
    h->lent = NULL;
    h->up = false;
}

static void hang_up(struct holder *h)
{
    struct world *w = h->w;
    if (h->up && !h->is_over)
        world_stream(w, &h->out, h->actor.id, h->site->actor.id, MSG_HANGUP, h->line,
                     NULL, 0);
    h->up = false;
}

void holder_message(struct world *w, struct actor *a, const struct message *m)
{
    struct holder *h = holder_of_actor(a);
    (void)w;
    if (!h->up || m->line != h->line)
        return;
    if (m->what == MSG_HANGUP) {
        h->hung_up = true;
        return;
    }
    struct letter *l = malloc(sizeof *l + m->size);
    if (l == NULL)
        abort();
    l->next = NULL;
    l->size = m->size;
    memcpy(l->bytes, m->bytes, m->size);
    if (h->last != NULL)
        h->last->next = l;
    else
        h->first = l;
    h->last = l;
}

/* ---- the transport ---- */

/* Entries are known to the town before they are on their way. */
static void register_entries(struct holder *h, const void *frame, size_t size)
{
    static struct wire_frame f;
    struct town *t = town_of(h->w);
    if (wire_decode(&f, frame, size) != ERR_OK)
        fail(h->w, "%s sends a frame that does not decode", h->actor.name);
    for (size_t i = 0; f.type == WIRE_SUBMIT && i < f.count; i++) {
        struct bytes envelope;
        wire_next_envelope(&f.list, &envelope);
        uint32_t n = entry_keep(t, envelope.data, envelope.size);
        say(h->w, "%s sends #%u, a %s, seq %llu", h->actor.name, n,
            kind_word(t->entries[n].kind), (unsigned long long)t->entries[n].seq);
    }
}

static enum err edge_send(void *context, const void *frame, size_t size)
{
    struct holder *h = context;
    struct world *w = h->w;
    if (holder_gone(h) || !h->up || h->hung_up)
        return ERR_NET;
    if (!w->calm && h->actor.clogged_until > w->now_ms && draw(w, BUSY_ONE_IN) == 0)
        return ERR_BUSY;
    register_entries(h, frame, size);
    if (holder_may_die(h, "before it sends"))
        return ERR_NET;
    world_stream(w, &h->out, h->actor.id, h->site->actor.id, MSG_FRAME, h->line, frame,
                 size);
    return holder_may_die(h, "after it sent") ? ERR_NET : ERR_OK;
}

static void closed(struct link_event *out, const char *why)
{
    out->type = LINK_CLOSED;
    snprintf(out->why, sizeof out->why, "%s", why);
}

/* Something is there: the connection itself, or a frame. */
static void give_letter(struct holder *h, struct link_event *out)
{
    if (!h->told_open) {
        h->told_open = true;
        out->type = LINK_OPEN;
        return;
    }
    if (goes_wrong(h->w, BAD_LIE))
        holder_lie(h, &h->first);
    h->lent = h->first;
    h->first = h->lent->next;
    if (h->first == NULL)
        h->last = NULL;
    out->type = LINK_FRAME;
    out->frame = bytes_of(h->lent->bytes, h->lent->size);
}

static void edge_poll(void *context, uint32_t timeout_ms, struct link_event *out)
{
    struct holder *h = context;
    uint64_t until = h->w->now_ms + timeout_ms;
    memset(out, 0, sizeof *out);
    free(h->lent);
    h->lent = NULL;
    for (;;) {
        if (holder_gone(h)) {
            closed(out, "the process ends");
            return;
        }
        if (h->first != NULL) {
            give_letter(h, out);
            return;
        }
        if (!h->up || h->hung_up) {
            closed(out, "the hub hung up");
            return;
        }
        if (h->w->now_ms >= until) {
            out->type = LINK_TIMEOUT;
            return;
        }
        if (goes_wrong(h->w, BAD_CUT)) {
            say(h->w, "the line of %s breaks", h->actor.name);
            hang_up(h);
            continue;
        }
        if (!holder_may_die(h, "while it waits"))
            holder_wait_frames(h, until);
    }
}

static void edge_close(void *context)
{
    struct holder *h = context;
    if (!h->killed || draw(h->w, 2) == 0) /* else the hub finds out by itself */
        hang_up(h);
    holder_drop_line(h);
}

static enum err edge_dial(void *context, const char *url, const char *ca_file,
                          struct transport *out)
{
    static const uint8_t is_stream = 1;
    struct holder *h = context;
    (void)url;
    (void)ca_file;
    holder_drop_line(h);
    h->line = ++town_of(h->w)->next_line;
    h->up = true;
    h->told_open = h->hung_up = false;
    h->lies = 0;
    h->shown_less = false;
    h->dialed_ms = h->w->now_ms;
    h->relay_was_new = holder_relay_is_new(h);
    h->on_backup = h->site->good != NULL;
    h->out = (struct stream){0};
    if (!holder_gone(h))
        world_stream(h->w, &h->out, h->actor.id, h->site->actor.id, MSG_DIAL, h->line,
                     &is_stream, 1);
    *out = (struct transport){h, edge_send, edge_poll, edge_close};
    return ERR_OK;
}

/* ---- the disk ---- */

static bool edge_store(void *context, const char *step)
{
    struct holder *h = context;
    if (holder_gone(h))
        return false;
    if (goes_wrong(h->w, BAD_WALLET)) {
        say(h->w, "the disk of %s fails at %s", h->actor.name, step);
        h->store_failed = h->batch_failed = true;
        return false;
    }
    return !holder_may_die(h, "while it writes to its disk");
}

void holder_use_edges(struct holder *h)
{
    wallet_set_dial(h->wallet, edge_dial, h);
    h->wallet->now_ms = wall_ms;
    client_store_set_fault(h->wallet->store, edge_store, h);
}
