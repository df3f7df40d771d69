/* What the actors share, how a seed runs, and the checks after each of its steps. */
#include "town.h"

#include <stdlib.h>
#include <string.h>

#include "holder.h"

#define CELLS (1u << 17)
#define FIRST_KEY 5000
#define ENTRIES_LEAST 1000
#define CRASHES_LEAST 3
#define RUN_MS_MAX (UINT64_C(3600) * 1000)
#define HOLDERS_MOST 3
#define HEAL_MS_MAX (UINT64_C(600) * 1000) /* all has to be well by then */

/* ---- entries ---- */

static uint32_t *cell_of(const struct town *t, const struct hash *id)
{
    uint32_t x;
    memcpy(&x, id->b + 4, sizeof x);
    size_t i = x % CELLS;
    while (t->entry_cells[i] != 0 &&
           !hash_equal(&t->entries[t->entry_cells[i] - 1].id, id))
        i = (i + 1) % CELLS;
    return &t->entry_cells[i];
}

uint32_t entry_find(const struct town *t, const struct hash *id)
{
    uint32_t n = *cell_of(t, id);
    return n == 0 ? NOBODY : n - 1;
}

uint32_t entry_keep(struct town *t, const uint8_t *bytes, size_t size)
{
    static struct entry e;
    bool known = entry_decode(&e, bytes, size) == ERR_OK;
    if (known && entry_find(t, &e.id) != NOBODY)
        return entry_find(t, &e.id);
    if (t->entry_count == t->entry_cap) {
        t->entry_cap = t->entry_cap * 2 + 1024;
        t->entries = realloc(t->entries, t->entry_cap * sizeof *t->entries);
        if (t->entries == NULL)
            abort();
    }
    if (t->entry_count >= CELLS / 2)
        fail(t->w, "too many entries");
    struct sim_entry *n = &t->entries[t->entry_count];
    *n = (struct sim_entry){.size = size, .known = known};
    n->bytes = malloc(size + 1);
    if (n->bytes == NULL)
        abort();
    memcpy(n->bytes, bytes, size);
    if (known) {
        n->id = e.id;
        n->kind = e.kind;
        n->seq = e.seq;
        *cell_of(t, &e.id) = (uint32_t)t->entry_count + 1;
    }
    return (uint32_t)t->entry_count++;
}

uint32_t fresh_key(struct town *t)
{
    return t->next_key++;
}

struct slotlog *log_now(struct site *s, const struct hash *id)
{
    return s->hub.q == NULL ? NULL
                            : sequencer_slotlog(s->hub.q, slot_of(id, s->hub.slots));
}

struct account *account_now(struct site *s, const struct hash *id)
{
    struct slotlog *log = log_now(s, id);
    return log == NULL ? NULL : slotlog_account(log, id);
}

/* ---- checks ---- */

/* Accounts that changed, as the hub has them, against the books. */
static void check_slot(struct world *w, struct site *s, uint32_t slot)
{
    size_t count = model_touched(s->model, slot);
    struct slotlog *log = count > 0 ? sequencer_slotlog(s->hub.q, slot) : NULL;
    if (log == NULL || log->frontier.size != s->hub.disk->slot[slot].size ||
        log->frontier.size != model_size(s->model, slot))
        return; /* down, or something is queued */
    for (size_t i = 0; i < count; i++) {
        const struct account *a =
            slotlog_account(log, model_touched_at(s->model, slot, i));
        const char *why =
            a == NULL ? "an account is gone" : model_check_account(s->model, a);
        w->stats.checks++;
        if (why != NULL)
            fail(w, "%s: slot %02x: %s", s->actor.name, (unsigned)slot, why);
    }
    model_looked_at(s->model, slot);
}

void check_step(struct world *w)
{
    struct town *t = town_of(w);
    for (uint32_t i = 0; i < t->site_count; i++) {
        struct site *s = t->sites[i];
        if (s->good != NULL)
            continue; /* it runs on a backup, and nothing of it counts */
        const char *why = model_advance(s->model, s->hub.disk);
        w->stats.checks++;
        if (why != NULL)
            fail(w, "%s: %s", s->actor.name, why);
        for (uint32_t slot = 0; s->hub.q != NULL && slot < s->hub.slots; slot++)
            check_slot(w, s, slot);
    }
}

/* Everything once more, when nothing moves. */
void check_end(struct world *w)
{
    struct town *t = town_of(w);
    for (uint32_t i = 0; i < t->site_count; i++) {
        for (uint32_t slot = 0; slot < t->sites[i]->hub.slots; slot++)
            model_touch_all(t->sites[i]->model, slot);
        hub_check_supply(&t->sites[i]->hub);
    }
    check_step(w);
    for (size_t i = 0; i < t->entry_count; i++) {
        const struct sim_entry *e = &t->entries[i];
        for (uint32_t k = 0; e->acked && k < t->site_count; k++) {
            struct model *m = t->sites[k]->model;
            if (model_check_ack(m, e->slot, e->index, &e->id) == NULL)
                break;
            if (k + 1 == t->site_count)
                fail(w, "entry #%zu was acknowledged and is gone", i);
        }
    }
    for (uint32_t i = 0; i < t->peer_count; i++) {
        const struct peer *p = t->peers[i];
        struct pubkey key = pub_at(p->key);
        bool enrolled = model_is_device(p->site->model, &t->groups[p->group].id, &key);
        if (p->state == PEER_DEAD && enrolled)
            fail(w, "%s was told it is no device, and is one", p->actor.name);
    }
}

/* ---- a run ---- */

static void open_group(struct town *t, struct site *s)
{
    struct world *w = t->w;
    uint32_t n = t->group_count++;
    struct group *g = &t->groups[n];
    uint32_t root = fresh_key(t), device = fresh_key(t);
    g->site = s->number;
    if (draw(w, 2) == 0)
        g->recovery_key = fresh_key(t);
    if (draw(w, 12) == 0)
        g->plan = (enum plan)(1 + draw(w, PLAN_COUNT - 1));
    struct kit_open o = {.federation = s->federation,
                         .hub = s->name,
                         .root = key_at(root),
                         .device = key_at(device),
                         .recovery = g->recovery_key ? key_at(g->recovery_key) : NULL,
                         .residency = draw(w, 2),
                         .nonce = rng_next(&w->rng)};
    kit_open(&t->entry, &o);
    g->id = t->entry.e.id;
    g->open_entry = entry_keep(t, t->entry.bytes, t->entry.size);
    struct peer *p = peer_add(w, s, n, device);
    p->now.chain = (struct chain){.next_seq = 1, .tip = g->id, .tip_lamport = 1};
    p->now.window[p->now.window_count++] = g->open_entry;
    if (g->recovery_key == 0)
        return;
    struct peer *r = peer_add(w, s, n, g->recovery_key);
    r->is_recovery = true;
    r->state = PEER_LIVE;
    r->think_ms = 4000;
    r->now.chain = (struct chain){.next_seq = 0, .tip = g->id, .tip_lamport = 1};
}

static void draw_weights(struct town *t)
{
    for (unsigned k = 0; k < 16; k++)
        t->weights[k] = draw(t->w, 3) == 0 ? 0 : 1 + draw(t->w, 6);
    t->weights[KIND_TRANSFER] = 6 + draw(t->w, 20);
    t->weights[KIND_NOTE] = 3 + draw(t->w, 10);
}

/* A few who read; some with the key of a device that may see more. */
static void add_listeners(struct town *t)
{
    struct world *w = t->w;
    for (uint32_t i = 0; i < t->site_count; i++) {
        struct site *s = t->sites[i];
        uint32_t count = 1 + draw(w, 3);
        for (uint32_t k = 0; k < count; k++) {
            const struct peer *p = t->peers[draw(w, t->peer_count)];
            uint32_t dice = draw(w, 4);
            uint32_t key = dice < 2 ? 0 : dice == 2 ? p->key : s->auditor;
            listener_add(w, s, key, dice == 3, p->group);
        }
    }
}

/* And some with the real library, at any of the hubs. */
static void add_holders(struct town *t)
{
    struct world *w = t->w;
    uint32_t count = 1 + draw(w, HOLDERS_MOST);
    struct site *s = t->sites[draw(w, t->site_count)];
    struct holder *before = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct holder *h = holder_add(w, s);
        h->companion = before;
        if (before != NULL) {
            before->companion = h;
            h->is_second = i == 1 && draw(w, 2) == 0;
        }
        before = h;
    }
}

void town_open(struct town *t, struct world *w)
{
    static const uint32_t slot_counts[] = {4, 4, 8, 16};
    memset(t, 0, sizeof *t);
    t->w = w;
    t->next_key = FIRST_KEY;
    t->next_epoch = 1;
    w->rooms = t;
    t->entry_cells = calloc(CELLS, sizeof *t->entry_cells);
    if (t->entry_cells == NULL)
        abort();
    draw_weights(t);
    t->site_count = draw(w, 8) == 0 ? 2 : 1;
    uint32_t groups = 3 + draw(w, 8);
    if (w->options.groups > 0 && w->options.groups < groups)
        groups = w->options.groups;
    for (uint32_t i = 0; i < t->site_count; i++)
        t->sites[i] = site_add(w, i, slot_counts[draw(w, 4)]);
    t->peers_max = 40;
    for (uint32_t i = 0; i < groups; i++)
        open_group(t, t->sites[i % t->site_count]);
    issuer_add(w);
    weather_add(w);
    add_listeners(t);
    add_holders(t);
    for (uint32_t i = 0; i < t->site_count; i++)
        say(w, "%s has %u slots; entries of %llu bytes, %llu a second, %u at the door",
            t->sites[i]->actor.name, (unsigned)t->sites[i]->hub.slots,
            (unsigned long long)t->sites[i]->rules.limits.entry_bytes,
            (unsigned long long)t->sites[i]->rules.limits.entries_a_second,
            (unsigned)t->sites[i]->door_max);
    for (unsigned f = 0; f < BAD_COUNT; f++)
        if (w->rate[f] > 0)
            say(w, "weather: %s %u per mille", fault_word(f), (unsigned)w->rate[f]);
}

void town_close(struct town *t)
{
    for (size_t i = 0; i < t->entry_count; i++)
        free(t->entries[i].bytes);
    free(t->entries);
    free(t->entry_cells);
}

static uint64_t least_crashes(const struct town *t)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < t->site_count; i++)
        if (t->sites[i]->crashes < least)
            least = t->sites[i]->crashes;
    return least;
}

static void run_until_enough(struct world *w, struct town *t, uint64_t entries)
{
    uint64_t began = w->now_ms;
    while (w->stats.acked < entries) {
        if (w->now_ms - began > RUN_MS_MAX * 24 * 400 || !world_step(w))
            fail(w, "nothing goes on any more: %llu entries",
                 (unsigned long long)w->stats.acked);
        check_step(w);
        if (w->stats.steps > 400000)
            w->calm = true; /* it would never end */
        if (w->stats.steps > 800000)
            fail(w, "%llu entries after %llu steps", (unsigned long long)w->stats.acked,
                 (unsigned long long)w->stats.steps);
    }
    while (least_crashes(t) < CRASHES_LEAST) {
        for (uint32_t i = 0; i < t->site_count; i++)
            if (t->sites[i]->crashes < CRASHES_LEAST)
                site_crash(w, t->sites[i], "it is killed", draw(w, 1000));
        for (uint32_t i = 0; i < 60 && world_step(w); i++)
            check_step(w);
    }
}

static bool all_done(struct world *w, const char **who, const char **why)
{
    for (uint32_t i = 0; i < w->actor_count; i++) {
        struct actor *a = w->actors[i];
        *who = a->name;
        if (a->ops->done != NULL && !a->ops->done(w, a, why))
            return false;
    }
    return true;
}

/* Nothing goes wrong any more and nobody begins anything new: whatever was submitted has
 * to be accepted or refused for good, every item settled, every device able to write. */
static void heal(struct world *w, struct town *t)
{
    const char *who = "", *why = "";
    say(w, "all is well from here on");
    w->calm = w->closing = true;
    for (uint32_t i = 0; i < t->site_count; i++) {
        t->sites[i]->rules.draining = false;
        t->sites[i]->full_for = 0;
    }
    uint64_t began = w->now_ms;
    for (uint64_t n = 0; n % 16 != 0 || !all_done(w, &who, &why); n++) {
        if (w->now_ms - began > HEAL_MS_MAX)
            fail(w, "after %llu calm seconds: %s: %s",
                 (unsigned long long)HEAL_MS_MAX / 1000, who, why);
        if (!world_step(w))
            fail(w, "nothing goes on any more: %s: %s", who, why);
        check_step(w);
    }
    w->stats.longest_heal_ms = w->now_ms - began;
    check_end(w);
}

/* And once more from the disk alone. */
static void last_start(struct world *w, struct town *t)
{
    for (uint32_t i = 0; i < t->site_count; i++)
        site_crash(w, t->sites[i], "it is stopped for good", 100);
    for (uint64_t until = w->now_ms + 5000; w->now_ms < until && world_step(w);)
        check_step(w);
    check_end(w);
}

struct hash town_run(const struct sim_options *o, struct stats *total, bool show)
{
    static struct world w;
    static struct town t;
    bool real = o->seed % 10 == 0;
    signatures_real(real);
    world_open(&w, o);
    say(&w, "seed %llu, %s signatures", (unsigned long long)o->seed,
        real ? "real" : "simulated");
    town_open(&t, &w);
    uint64_t entries = o->entries > 0 ? o->entries : ENTRIES_LEAST + draw(&w, 200);
    run_until_enough(&w, &t, entries);
    heal(&w, &t);
    last_start(&w, &t);
    struct hash sum = hash_sha256(w.story, w.story_size);
    w.stats.seeds = 1;
    w.stats.real_seeds = real;
    w.stats.virtual_ms = w.now_ms;
    w.stats.least_acked = w.stats.acked;
    w.stats.least_crashes = least_crashes(&t);
    for (uint32_t i = 0; i < t.site_count; i++)
        model_count(t.sites[i]->model, &w.stats);
    stats_add(total, &w.stats);
    if (show)
        fwrite(w.story, 1, w.story_size, stdout);
    holders_end(&w);
    town_close(&t);
    world_close(&w);
    return sum;
}
