/* A hub's process: it lives, commits, dies and starts again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "town.h"

#define TICK_MS 1000
#define KEYS_OF_A_SITE 1000

uint64_t site_wall_ms(const struct world *w, const struct site *s)
{
    return EPOCH_MS + w->now_ms + (uint64_t)s->skew_ms;
}

static void set_clocks(const struct world *w, struct site *s)
{
    s->hub.now_ms = site_wall_ms(w, s);
    s->hub.mono_ms = w->now_ms;
}

/* Something may be to do: see to it that the next commit comes. */
void site_poke(struct world *w, struct site *s)
{
    if (!s->up || s->cycle_set || s->in_flight || s->good != NULL)
        return;
    s->cycle_set = true;
    uint64_t in_ms = 1 + draw(w, 30);
    if (s->hub.q != NULL && sequencer_full(s->hub.q))
        in_ms += 300;
    world_at(w, &s->actor, in_ms, SITE_CYCLE, s->boot);
}

/* It dies in the write: nothing of it, a part of it, or all of it is on the disk. */
static void die_in_the_write(struct world *w, struct site *s)
{
    if (!s->in_flight || s->written || s->append_count == 0)
        return;
    struct disk *d = s->hub.disk;
    bool happens = draw(w, 3) == 0;
    d->torn = !happens && goes_wrong(w, BAD_TORN);
    if (!happens && !d->torn)
        return;
    for (size_t i = 0; i < s->append_count; i++) /* one transaction: all or nothing */
        d->verdict[s->appends[i].slot] = happens ? DISK_OK : DISK_UNKNOWN;
    s->hub.store->ops->append(s->hub.store, s->appends, s->append_count, s->outcome);
    say(w, "%s was writing: %s", s->actor.name, happens ? "done" : "torn");
}

void site_crash(struct world *w, struct site *s, const char *why, uint64_t down_ms)
{
    if (!s->up)
        return;
    die_in_the_write(w, s);
    s->crashes++;
    w->stats.crashes++;
    say(w, "%s dies: %s", s->actor.name, why);
    door_close(w, s);
    hub_crash(&s->hub);
    hub_forget(&s->hub);
    s->up = false;
    s->boot++;
    s->cycle_set = s->in_flight = s->written = false;
    world_at(w, &s->actor, down_ms, SITE_BOOT, s->boot);
}

static void put_disk(struct site *s, struct disk *d)
{
    s->hub.disk = d;
    s->hub.store = disk_store(d);
}

static void put_good_back(struct world *w, struct site *s)
{
    site_crash(w, s, "the good disk comes back", 300);
    disk_close(s->hub.disk);
    put_disk(s, s->good);
    s->good = NULL;
}

static void on_timer(struct world *w, struct actor *a, const struct timer *t)
{
    struct site *s = (struct site *)(void *)a;
    if (t->a != s->boot)
        return;
    set_clocks(w, s);
    switch (t->what) {
    case SITE_BOOT:
        say(w, "%s starts", s->actor.name);
        s->up = true;
        s->rules.draining = false;
        site_reload(w, s);
        world_at(w, &s->actor, TICK_MS, SITE_TICK, s->boot);
        break;
    case SITE_RELOAD:
        site_reload(w, s);
        break;
    case SITE_READ:
        reads_timer_read(w, s);
        return;
    case SITE_MAIL:
        reads_timer_mail(w, s);
        return;
    case SITE_TICK:
        door_tick(w, s);
        if (s->good != NULL && (w->calm || w->now_ms >= s->good_at)) {
            put_good_back(w, s);
            return;
        }
        if (s->good == NULL && !s->in_flight && site_any_stopped(s) && draw(w, 4) == 0) {
            site_crash(w, s, "a person has looked at the slot that was stopped", 500);
            return;
        }
        world_at(w, &s->actor, TICK_MS, SITE_TICK, s->boot);
        break;
    default:
        site_timer_commit(w, s, t->what);
    }
    if (s->up)
        door_take(w, s);
}

static void on_message(struct world *w, struct actor *a, const struct message *m)
{
    struct site *s = (struct site *)(void *)a;
    set_clocks(w, s);
    door_message(w, s, m);
}

/* ---- snapshots ---- */

void site_snapshot(struct world *w, struct site *s)
{
    uint32_t slot = draw(w, s->hub.slots);
    struct slotlog *log = s->up ? sequencer_slotlog(s->hub.q, slot) : NULL;
    if (log == NULL || s->in_flight || log->frontier.size != s->hub.disk->slot[slot].size)
        return; /* something is queued */
    say(w, "%s takes a snapshot of slot %02x at %llu", s->actor.name, (unsigned)slot,
        (unsigned long long)log->frontier.size);
    hub_snapshot(&s->hub, slot);
    w->stats.snapshots++;
}

/* ---- an older store ---- */

static void keep_backup(struct world *w, struct site *s)
{
    say(w, "%s is backed up", s->actor.name);
    disk_close(s->backup);
    s->backup = disk_copy(s->hub.disk);
    for (uint32_t i = 0; i < s->hub.slots; i++)
        s->backup_size[i] = s->hub.disk->slot[i].size;
}

/* The backup is put in the place of the disk: every slot that has published more has to
 * stop at once. Then the good disk comes back. */
static void try_backup(struct world *w, struct site *s)
{
    struct disk *good = s->hub.disk;
    unsigned behind = 0;
    site_crash(w, s, "somebody restores a backup", 500);
    s->hub.disk = s->backup;
    s->hub.store = disk_store(s->backup);
    if (sequencer_open(&s->hub.q, &s->hub.config) != ERR_OK)
        fail(w, "no memory");
    for (uint32_t i = 0; i < s->hub.slots; i++) {
        enum err e = hub_recover(&s->hub, i, &s->marks[i]);
        bool older = s->backup_size[i] < s->marks[i].size;
        if (e != (older ? ERR_BEHIND : ERR_OK))
            fail(w, "%s: slot %02x of a backup of %llu records, %llu published: %s",
                 s->actor.name, (unsigned)i, (unsigned long long)s->backup_size[i],
                 (unsigned long long)s->marks[i].size, err_word(e));
        if (older && sequencer_slot_state(s->hub.q, i) != SEQ_SLOT_STOPPED)
            fail(w, "slot %02x goes on from a backup", (unsigned)i);
        behind += older;
    }
    say(w, "%s finds %u slots behind what it published, and is stopped", s->actor.name,
        behind);
    sequencer_close(s->hub.q);
    s->hub.q = NULL;
    s->hub.disk = good;
    s->hub.store = disk_store(good);
    disk_close(s->backup);
    s->backup = NULL;
}

/* Nobody kept what was published, so the hub itself cannot know; who saw more can. It lives
 * for a while, greets, and is spared everything else: what it would sign now would be lost. */
static void live_on_backup(struct world *w, struct site *s)
{
    site_crash(w, s, "somebody restores a backup, and the marks are lost", 300);
    s->good = s->hub.disk;
    s->good_at = w->now_ms + 4000 + draw(w, 9000);
    put_disk(s, s->backup);
    s->backup = NULL;
}

void site_restore_backup(struct world *w, struct site *s)
{
    if (!s->up || s->in_flight || s->good != NULL)
        return;
    if (s->backup == NULL)
        keep_backup(w, s);
    else if (draw(w, 2) == 0)
        try_backup(w, s);
    else
        live_on_backup(w, s);
}

/* ---- life ---- */

static bool site_done(struct world *w, struct actor *a, const char **why)
{
    struct site *s = (struct site *)(void *)a;
    (void)w;
    struct seq_stats stats = {0};
    *why = "a hub is down";
    if (!s->up || s->hub.q == NULL || s->good != NULL)
        return false;
    *why = "a slot is down";
    if (!site_all_ready(s))
        return false;
    *why = "something is queued";
    if (s->in_flight || sequencer_pending(s->hub.q) || s->door_count > 0)
        return false;
    *why = "items wait";
    sequencer_stats(s->hub.q, &stats);
    return stats.items_waiting == 0 && model_items(s->model) == 0;
}

static void site_free(struct actor *a)
{
    struct site *s = (struct site *)(void *)a;
    for (size_t i = 0; i < s->door_count; i++)
        free(s->door[i].bytes);
    free(s->door);
    free(s->tokens);
    free(s->answers);
    reads_stop(s);
    for (uint32_t i = 0; i < ACTORS_MAX; i++)
        free(s->lines[i].conn);
    free(s->lines);
    disk_close(s->backup);
    disk_close(s->good);
    model_close(s->model);
    hub_close(&s->hub);
    free(s);
}

const struct actor_ops site_ops = {
    .message = on_message, .timer = on_timer, .done = site_done, .close = site_free};

static void on_published(void *context, uint32_t slot, const struct checkpoint *c)
{
    struct site *s = context;
    s->marks[slot] = (struct recover_mark){.size = c->size, .root = c->root};
}

/* What the hub's cores get for a heap. */
static void *resize(void *context, void *p, size_t old_size, size_t new_size)
{
    struct site *s = context;
    if (s->memory_short && new_size > old_size && goes_wrong(s->w, BAD_MEMORY))
        return NULL;
    return alloc_heap.resize(alloc_heap.context, p, old_size, new_size);
}

static void draw_rules(struct world *w, struct site *s, uint32_t slots)
{
    static const uint64_t entry_bytes[] = {2048, 16384, 70000};
    static const uint64_t rates[] = {0, 0, 4, 40};
    static const uint32_t doors[] = {8, 64, 1024};
    static const uint64_t stalls[] = {4000, 15000, 60000};
    s->rules = (struct session_rules){.federation = s->federation,
                                      .hub = s->name,
                                      .slots = slots,
                                      .handshake_ms = 5000,
                                      .ping_ms = 30000,
                                      .stalled_ms = stalls[draw(w, 3)]};
    s->rules.limits = (struct wire_limits){.frame_bytes = 131072,
                                           .entry_bytes = entry_bytes[draw(w, 3)],
                                           .entries_a_frame = 4 + draw(w, 12),
                                           .subscriptions = 8,
                                           .inflight_entries = 8 + draw(w, 64),
                                           .page_records = 100,
                                           .entries_a_second = rates[draw(w, 4)],
                                           .burst = 5 + draw(w, 20),
                                           .idle_ms = 120000,
                                           .unsent_bytes = 1u << 20};
    s->door_max = doors[draw(w, 3)];
}

struct site *site_add(struct world *w, uint32_t number, uint32_t slots)
{
    struct site *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    s->actor.ops = &site_ops;
    s->number = number;
    s->federation = kit_hash(1);
    snprintf(s->name, sizeof s->name, "hub-%u.test", number + 1);
    snprintf(s->actor.name, sizeof s->actor.name, "hub %u", number + 1);
    s->lines = calloc(ACTORS_MAX, sizeof *s->lines);
    if (s->lines == NULL)
        abort();
    uint32_t base = 1 + number * KEYS_OF_A_SITE;
    struct hub_birth b = {.name = s->name,
                          .federation = s->federation,
                          .issuer = base,
                          .relay = base + 1,
                          .log = base + 2,
                          .slots = slots};
    for (uint32_t i = 0; i < 3; i++)
        key_at(base + i);
    s->next_key = base + 3;
    s->log_keys[s->log_count++] = pub_at(b.log);
    hub_create_as(&s->hub, &b, EPOCH_MS);
    /* The first process had the heap itself; the next is another. */
    hub_crash(&s->hub);
    s->w = w;
    s->mem = (struct alloc){.resize = resize, .context = s};
    s->hub.config.mem = &s->mem;
    s->hub.config.map_seed = rng_next(&w->rng);
    if (hub_start(&s->hub) != ERR_OK)
        fail(w, "a new hub does not start");
    s->hub.published = on_published;
    s->hub.published_context = s;
    s->hub.committed = reads_committed;
    s->hub.committed_context = s;
    s->auditor = fresh_key(town_of(w));
    s->model = model_open(slots, s->name, &s->federation);
    draw_rules(w, s, slots);
    s->up = true;
    world_add(w, &s->actor);
    world_at(w, &s->actor, TICK_MS, SITE_TICK, s->boot);
    reads_start(w, s);
    for (uint32_t i = 0; i < slots; i++)
        reads_slot_loaded(w, s, i);
    w->stats.hubs++;
    return s;
}
