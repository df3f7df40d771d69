#include "holder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLD_ONE_IN 25 /* acts after which its files are copied */

enum { HOLDER_WAKE };

struct holder *holder_of_actor(struct actor *a)
{
    return (struct holder *)(void *)a;
}

/* ---- waiting ---- */

/* Inside: until it is woken. */
static void wait_until(struct holder *h, uint64_t at_ms, bool for_frames)
{
    h->waits = true;
    h->for_frames = for_frames;
    h->wake++;
    if (!h->is_over)
        world_at(h->w, &h->actor, at_ms > h->w->now_ms ? at_ms - h->w->now_ms : 0,
                 HOLDER_WAKE, h->wake);
    fiber_yield(h->fiber);
    h->waits = false;
}

void holder_wait_frames(struct holder *h, uint64_t until_ms)
{
    wait_until(h, until_ms, true);
}

void holder_sleep(struct holder *h, uint64_t ms)
{
    uint64_t until = h->w->now_ms + ms;
    while (!holder_gone(h) && h->w->now_ms < until)
        wait_until(h, until, false);
}

/* ---- the process ---- */

bool holder_may_die(struct holder *h, const char *where)
{
    if (holder_gone(h))
        return true;
    if (!goes_wrong(h->w, BAD_KILL))
        return false;
    say(h->w, "%s is killed %s", h->actor.name, where);
    saw(h->w, SEEN_WALLET_KILLED);
    drawer_new(h->left);
    drawer_copy(h->dir, h->left);
    h->killed = true;
    return true;
}

static stoa_options options(void)
{
    return (stoa_options){.size = sizeof(stoa_options),
                          .flags =
                              STOA_PLAINTEXT_KEYS | STOA_QUICK_KDF | STOA_TRUST_FIRST_USE,
                          .timeout_ms = 4000};
}

static void make_wallet(struct holder *h)
{
    uint8_t root[SEED_BYTES], device[SEED_BYTES];
    stoa_options o = options();
    key_seed(key_at(h->root), root);
    key_seed(key_at(h->device), device);
    o.root_seed = root;
    o.device_seed = device;
    if (h->is_second) {
        o.flags |= STOA_DEVICE_ONLY;
        o.root_seed = NULL;
    }
    if (stoa_wallet_create(h->dir, &o, &h->error) != STOA_OK)
        fail(h->w, "%s has no wallet: %s", h->actor.name, h->error.message);
}

/* Once in a while its owner keeps a copy of the files, or loses the database. */
static void see_to_files(struct holder *h)
{
    struct world *w = h->w;
    if (draw(w, OLD_ONE_IN) == 0) {
        if (h->has_old)
            drawer_remove(h->old);
        drawer_new(h->old);
        drawer_copy(h->dir, h->old);
        h->has_old = true;
    }
    if (h->has_old && !h->killed && goes_wrong(w, BAD_RESTART)) {
        say(w, "%s starts from an old copy of its files", h->actor.name);
        saw(w, SEEN_WALLET_OLD);
        h->killed = h->from_old = h->odd = true;
    }
}

static void live(struct holder *h)
{
    while (!holder_gone(h)) {
        holder_sleep(h, 1 + draw(h->w, 2 * h->think_ms));
        if (holder_gone(h))
            return;
        if (!stoa_connected(h->wallet))
            holder_connect(h);
        else if (h->w->closing)
            holder_settle_down(h);
        else
            holder_act(h);
        holder_check_all(h);
        if (!holder_gone(h))
            see_to_files(h);
    }
}

/* What is on the disk after it was killed, or what was copied long ago. */
static void put_files(struct holder *h)
{
    if (h->from_old) {
        drawer_new(h->left);
        drawer_copy(h->old, h->left);
    }
    drawer_replace(h->left, h->dir);
    if (h->from_old) {
        memset(h->known, 0, sizeof h->known);
        h->followed_count = 0;
        h->in_doubt = h->lied_to;
    }
    for (unsigned i = 0; i < h->followed_count; i++)
        h->followed[i].checked = 0;
    h->from_old = false;
}

static void life(void *context)
{
    struct holder *h = context;
    stoa_options o = options();
    holder_sleep(h, draw(h->w, 3000));
    if (h->is_over)
        return;
    if (h->lives == 0)
        make_wallet(h);
    while (!h->is_over) {
        h->killed = false;
        h->lives++;
        if (stoa_wallet_open(&h->wallet, h->dir, &o, &h->error) != STOA_OK)
            fail(h->w, "%s does not open its wallet: %s", h->actor.name,
                 h->error.message);
        holder_use_edges(h);
        live(h);
        stoa_wallet_close(h->wallet);
        h->wallet = NULL;
        holder_drop_line(h);
        if (h->is_over)
            return;
        put_files(h);
        h->killed = false;
        holder_sleep(h, 100 + draw(h->w, 4000));
    }
}

/* ---- an actor ---- */

static void on_timer(struct world *w, struct actor *a, const struct timer *t)
{
    struct holder *h = holder_of_actor(a);
    (void)w;
    if (h->fiber != NULL && t->a == h->wake && !fiber_ended(h->fiber))
        fiber_resume(h->fiber);
}

static void on_message(struct world *w, struct actor *a, const struct message *m)
{
    struct holder *h = holder_of_actor(a);
    holder_message(w, a, m);
    if (h->waits && h->for_frames)
        fiber_resume(h->fiber);
}

static bool done(struct world *w, struct actor *a, const char **why)
{
    const struct holder *h = holder_of_actor(a);
    (void)w;
    *why = "a wallet has something open";
    if (!h->resolved || h->killed || h->wallet == NULL)
        return false;
    *why = "a wallet has not seen everything";
    if (h->denied && holder_is_out(h))
        return true;
    for (unsigned i = 0; i < h->followed_count; i++)
        if (h->followed[i].synced != model_length(h->site->model, &h->followed[i].id))
            return false;
    return true;
}

static void end(struct holder *h)
{
    h->is_over = true;
    if (h->fiber == NULL)
        return;
    if (h->waits)
        while (!fiber_ended(h->fiber))
            fiber_resume(h->fiber);
    fiber_free(h->fiber);
    h->fiber = NULL;
    drawer_remove(h->dir);
    if (h->has_old)
        drawer_remove(h->old);
    for (unsigned i = 0; i < SLOTS_MAX; i++)
        free(h->stale[i]);
}

static void close_holder(struct actor *a)
{
    end(holder_of_actor(a));
    free(a);
}

static const struct actor_ops holder_ops = {
    .message = on_message, .timer = on_timer, .done = done, .close = close_holder};

void holders_end(struct world *w)
{
    for (uint32_t i = 0; i < w->actor_count; i++)
        if (w->actors[i]->ops == &holder_ops)
            end(holder_of_actor(w->actors[i]));
}

static struct holder *holder_new(struct world *w, struct site *s)
{
    struct holder *h = calloc(1, sizeof *h);
    if (h == NULL)
        abort();
    h->actor.ops = &holder_ops;
    h->w = w;
    h->site = s;
    h->error.size = sizeof h->error;
    h->think_ms = 100 + draw(w, 1500);
    drawer_new(h->dir);
    h->fiber = fiber_new(life, h);
    world_add(w, &h->actor);
    world_at(w, &h->actor, 1, HOLDER_WAKE, 0);
    return h;
}

struct holder *holder_add(struct world *w, struct site *s)
{
    struct holder *h = holder_new(w, s);
    h->root = fresh_key(town_of(w));
    h->device = fresh_key(town_of(w));
    snprintf(h->actor.name, sizeof h->actor.name, "holder %u", h->actor.id);
    return h;
}

/* The same keys and files a second time. */
void holder_clone(struct holder *from)
{
    struct holder *h = holder_new(from->w, from->site);
    h->root = from->root;
    h->device = from->device;
    h->lives = 1;
    h->odd = from->odd = true;
    h->is_second = from->is_second;
    h->has_shared = from->has_shared;
    h->shared = from->shared;
    h->lied_to = from->lied_to;
    h->in_doubt = from->in_doubt;
    drawer_copy(from->dir, h->dir);
    snprintf(h->actor.name, sizeof h->actor.name, "holder %u bis", h->actor.id);
    say(h->w, "%s is a clone of %s", h->actor.name, from->actor.name);
    saw(h->w, SEEN_WALLET_CLONED);
}
