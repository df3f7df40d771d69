/* The weather: what goes wrong by itself, every few seconds. */
#include <stdio.h>
#include <stdlib.h>

#include "town.h"

#define GUST_MS 3000

static struct actor *somebody(struct world *w)
{
    return w->actors[draw(w, w->actor_count)];
}

/* ---- the network ---- */

static void partition(struct world *w)
{
    uint64_t until = w->now_ms + 500 + draw(w, 8000);
    unsigned cut = 0;
    uint32_t share = 100 + draw(w, 900);
    for (uint32_t i = 0; i < w->actor_count; i++)
        if (rng_chance(&w->rng, share)) {
            w->actors[i]->cut_off_until = until;
            cut++;
        }
    say(w, "%u are cut off for %llu ms", cut, (unsigned long long)(until - w->now_ms));
}

static void network(struct world *w)
{
    if (goes_wrong(w, BAD_PARTITION))
        partition(w);
    for (uint32_t i = 0; i < w->actor_count; i++)
        if (goes_wrong(w, BAD_CLOG))
            w->actors[i]->clogged_until = w->now_ms + 500 + draw(w, 6000);
    for (uint32_t i = 0; i < town_of(w)->site_count; i++) {
        struct site *s = town_of(w)->sites[i];
        for (uint32_t k = 0; k < w->actor_count; k++)
            if (s->lines[k].up && s->lines[k].is_stream && !reads_slow(&s->lines[k]) &&
                goes_wrong(w, BAD_SLOW))
                s->lines[k].slow_until =
                    w->now_ms + 500 + draw(w, draw(w, 5) == 0 ? 200000 : 8000);
    }
    if (goes_wrong(w, BAD_PAUSE)) {
        struct actor *a = somebody(w);
        uint64_t until = w->now_ms + 100 + draw(w, 9000);
        if (until > a->paused_until) /* never sooner: what waits keeps its order */
            a->paused_until = until;
        say(w, "%s stands still for %llu ms", a->name,
            (unsigned long long)(a->paused_until - w->now_ms));
    }
}

/* ---- time ---- */

static void clocks(struct world *w, struct site *s)
{
    if (goes_wrong(w, BAD_SLEW))
        s->skew_ms += (int64_t)draw(w, 4000) - 2000;
    if (goes_wrong(w, BAD_JUMP)) {
        int64_t ms = 61000 + (int64_t)draw(w, 36000000);
        s->skew_ms += draw(w, 2) == 0 ? ms : -ms;
        say(w, "the clock of %s jumps", s->actor.name);
    }
    if (goes_wrong(w, BAD_LEAP)) {
        uint64_t ms = UINT64_C(3600000) * (1 + draw(w, 80));
        say(w, "%llu hours pass", (unsigned long long)ms / 3600000);
        /* Who stands still stays so: what waits for him keeps its order. */
        for (uint32_t i = 0; i < w->actor_count; i++)
            if (w->actors[i]->paused_until > w->now_ms)
                w->actors[i]->paused_until += ms;
        w->now_ms += ms;
    }
}

/* ---- hubs ---- */

static uint32_t next_hub_key(struct site *s)
{
    key_at(s->next_key);
    return s->next_key++;
}

/* Log and relay key change by starting with the new one; the operator tells the logs. */
static void rekey(struct world *w, struct site *s)
{
    uint32_t role = draw(w, 3);
    if (!s->up || s->in_flight || s->log_count == LOG_KEYS_MAX || !site_all_ready(s) ||
        s->next_key % 1000 > 900)
        return;
    if (role == ROLE_ISSUER) {
        struct town *t = town_of(w);
        const struct key *fresh = key_at(next_hub_key(s));
        for (uint32_t i = 0; i < s->hub.slots; i++) {
            struct slotlog *log = sequencer_slotlog(s->hub.q, i);
            const struct key *old = log == NULL ? NULL : key_of(&log->hub.issuer);
            if (old == NULL || s->in_flight || key_of(&log->hub.relay) == NULL)
                continue;
            kit_hub_key(&t->payload, &log->hub, ROLE_ISSUER, old, fresh);
            kit_build_hub(&t->entry, &log->hub, key_of(&log->hub.relay), &t->payload);
            door_local(w, s, &t->entry, false);
        }
        say(w, "%s has a new issuer", s->actor.name);
        return;
    }
    for (uint32_t i = 0; i < s->hub.slots; i++) { /* the last change is through? */
        struct slotlog *log = sequencer_slotlog(s->hub.q, i);
        struct pubkey a = key_public(s->hub.config.log);
        struct pubkey b = key_public(s->hub.config.relay);
        if (log == NULL || !pubkey_equal(&log->hub.log.key, &a) ||
            !pubkey_equal(&log->hub.relay, &b))
            return;
    }
    uint32_t fresh = next_hub_key(s);
    site_crash(w, s,
               role == ROLE_LOG ? "it gets a new log key" : "it gets a new relay key",
               draw(w, 500));
    if (role == ROLE_LOG) {
        s->hub.config.log = key_at(fresh);
        s->log_keys[s->log_count++] = pub_at(fresh);
    } else {
        s->hub.config.relay = key_at(fresh);
        s->relay_key_ms = w->now_ms;
    }
}

static void hubs(struct world *w, struct site *s)
{
    if (draw(w, 5) == 0 && goes_wrong(w, BAD_CRASH))
        site_crash(w, s, "it is killed", draw(w, 6000));
    if (s->good != NULL)
        return;
    if (s->up && s->hub.q != NULL && !s->in_flight && goes_wrong(w, BAD_STOP)) {
        uint32_t slot = draw(w, s->hub.slots);
        say(w, "%s stops slot %02x", s->actor.name, (unsigned)slot);
        sequencer_slot_stop(s->hub.q, slot);
    }
    if (s->up && s->rules.draining) {
        site_drop(w, s);
        site_crash(w, s, "it is drained", draw(w, 1000));
    } else if (s->up && goes_wrong(w, BAD_DRAIN)) {
        say(w, "%s drains", s->actor.name);
        s->rules.draining = true;
    }
    if (goes_wrong(w, BAD_TAKEN)) {
        uint32_t slot = draw(w, s->hub.slots);
        say(w, "somebody claims slot %02x of %s", (unsigned)slot, s->actor.name);
        disk_steal(s->hub.disk, slot);
    }
    if (goes_wrong(w, BAD_REKEY))
        rekey(w, s);
    if (goes_wrong(w, BAD_BACKUP))
        site_restore_backup(w, s);
    if (s->up && draw(w, 2) == 0)
        site_snapshot(w, s);
}

static void on_timer(struct world *w, struct actor *a, const struct timer *t)
{
    struct town *town = town_of(w);
    (void)t;
    world_at(w, a, GUST_MS / 2 + draw(w, GUST_MS), 0, 0);
    if (w->calm)
        return;
    network(w);
    for (uint32_t i = 0; i < town->site_count; i++) {
        clocks(w, town->sites[i]);
        hubs(w, town->sites[i]);
    }
    a->paused_until = 0;
}

static void on_message(struct world *w, struct actor *a, const struct message *m)
{
    (void)w;
    (void)a;
    (void)m;
}

static void close_weather(struct actor *a)
{
    free(a);
}

static const struct actor_ops weather_ops = {
    .message = on_message, .timer = on_timer, .close = close_weather};

void weather_add(struct world *w)
{
    struct actor *a = calloc(1, sizeof *a);
    if (a == NULL)
        abort();
    a->ops = &weather_ops;
    snprintf(a->name, sizeof a->name, "weather");
    world_add(w, a);
    world_at(w, a, GUST_MS, 0, 0);
}
