/* The issuer makes points; the operator changes keys. Both sit at the hub. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "town.h"

enum { ISSUER_ACCRUE, ISSUER_KEYS };

static const struct key *issuer_of(const struct slotlog *log)
{
    return key_of(&log->hub.issuer);
}

static void submit(struct world *w, struct site *s, const struct account *a,
                   const struct slotlog *log)
{
    struct town *t = town_of(w);
    if (issuer_of(log) == NULL)
        return;
    kit_build(&t->entry, a, &log->hub, issuer_of(log), &t->payload);
    door_local(w, s, &t->entry, true);
}

static void accrue(struct world *w, struct group *g)
{
    struct town *t = town_of(w);
    struct site *s = t->sites[g->site];
    struct account *a = account_now(s, &g->id);
    struct slotlog *log = log_now(s, &g->id);
    if (a == NULL || !s->up)
        return;
    bool many = g->plan == PLAN_NODES && draw(w, 4) > 0;
    struct hash node = kit_hash(many ? 1000 + g->nodes++ : draw(w, 3));
    uint32_t dice = draw(w, 20);
    if (dice == 0)
        kit_adjust(&t->payload, 1 + (int64_t)draw(w, 500));
    else if (dice == 1)
        kit_adjust(&t->payload, -1 - (int64_t)draw(w, 500));
    else if (dice == 2)
        kit_accrue(&t->payload, &node, 1, 100); /* an epoch that is over */
    else if (dice == 3)
        kit_accrue(&t->payload, &node, ++t->next_epoch, INT64_MAX / 2); /* too much */
    else
        kit_accrue(&t->payload, &node, ++t->next_epoch, 100 + (int64_t)draw(w, 900));
    submit(w, s, a, log);
}

/* An account that is after the limit of nodes gets many points at a time. */
static void accrue_some(struct world *w)
{
    struct town *t = town_of(w);
    struct group *g = &t->groups[draw(w, t->group_count)];
    for (uint32_t i = 0; i < t->group_count; i++)
        if (t->groups[i].plan == PLAN_NODES && draw(w, 4) > 0)
            g = &t->groups[i];
    uint32_t times = g->plan == PLAN_NODES ? 6 : 1;
    for (uint32_t i = 0; i < times; i++)
        accrue(w, g);
}

/* Every slot whose log names another key than the process holds gets a hub_key. */
static void follow_key(struct world *w, struct site *s, struct slotlog *log,
                       enum hub_role role, const struct pubkey *in_force,
                       const struct key *held)
{
    struct town *t = town_of(w);
    struct pubkey pub = key_public(held);
    const struct key *old = key_of(in_force), *relay = key_of(&log->hub.relay);
    if (pubkey_equal(in_force, &pub) || old == NULL || relay == NULL)
        return;
    kit_hub_key(&t->payload, &log->hub, role, old, held);
    kit_build_hub(&t->entry, &log->hub, relay, &t->payload);
    say(w, "%s: the operator changes key %d of slot %02x", s->actor.name, (int)role,
        (unsigned)log->slot);
    door_local(w, s, &t->entry, false);
}

static void wrong_of_operator(struct world *w, struct site *s, struct slotlog *log)
{
    struct town *t = town_of(w);
    const struct key *relay = key_of(&log->hub.relay);
    if (draw(w, 40) != 0 || relay == NULL)
        return;
    if (draw(w, 2) == 0) {
        t->payload.kind = KIND_RULES;
        t->payload.rules.version = draw(w, 2);
        kit_build_hub(&t->entry, &log->hub, relay, &t->payload);
    } else { /* the log is open already */
        struct kit_log l = {.federation = s->federation,
                            .hub = s->name,
                            .slot = log->slot,
                            .slots = s->hub.slots,
                            .issuer = key_at(fresh_key(t)),
                            .relay = relay,
                            .log = s->hub.config.log};
        kit_log_open(&t->entry, &l);
    }
    door_local(w, s, &t->entry, false);
}

static void keys(struct world *w, struct site *s)
{
    if (!s->up || s->in_flight || s->hub.q == NULL)
        return;
    for (uint32_t i = 0; i < s->hub.slots; i++) {
        struct slotlog *log = sequencer_slotlog(s->hub.q, i);
        if (log == NULL)
            continue;
        follow_key(w, s, log, ROLE_LOG, &log->hub.log.key, s->hub.config.log);
        follow_key(w, s, log, ROLE_RELAY, &log->hub.relay, s->hub.config.relay);
        if (!w->closing)
            wrong_of_operator(w, s, log);
    }
}

static void on_timer(struct world *w, struct actor *a, const struct timer *t)
{
    struct town *town = town_of(w);
    if (t->what == ISSUER_ACCRUE) {
        if (!w->closing)
            accrue_some(w);
        world_at(w, a, 100 + draw(w, 500), ISSUER_ACCRUE, 0);
    } else {
        for (uint32_t i = 0; i < town->site_count; i++)
            keys(w, town->sites[i]);
        world_at(w, a, 500 + draw(w, 1000), ISSUER_KEYS, 0);
    }
}

static void on_message(struct world *w, struct actor *a, const struct message *m)
{
    (void)w;
    (void)a;
    (void)m;
}

static void close_issuer(struct actor *a)
{
    free(a);
}

static const struct actor_ops issuer_ops = {
    .message = on_message, .timer = on_timer, .close = close_issuer};

void issuer_add(struct world *w)
{
    struct actor *a = calloc(1, sizeof *a);
    if (a == NULL)
        abort();
    a->ops = &issuer_ops;
    snprintf(a->name, sizeof a->name, "issuer");
    world_add(w, a);
    world_at(w, a, 500, ISSUER_ACCRUE, 0);
    world_at(w, a, 700, ISSUER_KEYS, 0);
}
