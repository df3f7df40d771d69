#include "relay/region_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/key.h"
#include "ledger/trace.h"
#include "relay/clock.h"

_Static_assert(REGION_NAME_MAX == LEASE_NAME_MAX && REGION_PEER_MAX == LEASE_PEER_MAX &&
                   REGION_RELAYS_MAX == LEASE_RELAYS_MAX,
               "what the store holds is what relays say");

/* ---- what anybody may ask ---- */

bool region_on(const struct relay *r)
{
    return r->region != NULL;
}

bool region_owns(const struct relay *r, uint32_t slot)
{
    return r->region == NULL ||
           atomic_load_explicit(&r->region->owns[slot], memory_order_acquire);
}

bool region_owner(const struct relay *r, uint32_t slot, struct region_owner *out)
{
    struct region *g = r->region;
    memset(out, 0, sizeof *out);
    out->self = true;
    if (g == NULL)
        return true;
    pthread_mutex_lock(&g->lock);
    bool owned = g->owned[slot];
    *out = g->owners[slot];
    pthread_mutex_unlock(&g->lock);
    return owned;
}

uint64_t region_generation(const struct relay *r)
{
    return r->region == NULL ? 0 : atomic_load(&r->region->generation);
}

size_t region_members(const struct relay *r, struct region_member out[REGION_RELAYS_MAX])
{
    struct region *g = r->region;
    if (g == NULL) {
        out[0] = (struct region_member){.self = true, .slots = r->slots};
        return 1;
    }
    pthread_mutex_lock(&g->lock);
    size_t count = g->member_count;
    uint64_t since_ms = clock_boot_ms() - g->looked_ms;
    memcpy(out, g->members, count * sizeof *out);
    pthread_mutex_unlock(&g->lock);
    for (size_t i = 0; i < count; i++)
        out[i].silent_ms += since_ms;
    return count;
}

void region_ring(struct relay *r, uint32_t slot)
{
    (void)slot; /* one look for all is as cheap */
    if (r->region != NULL)
        region_bell(r->region);
}

void region_drain(struct relay *r)
{
    if (r->region == NULL)
        return;
    atomic_store(&r->region->drain, true);
    region_wake(r->region);
}

bool region_drained(const struct relay *r)
{
    return r->region == NULL || atomic_load(&r->region->drained);
}

bool region_joined(const struct relay *r)
{
    return r->region == NULL || atomic_load(&r->region->joined);
}

bool region_fresh(const struct relay *r)
{
    return r->region == NULL || clock_boot_ms() < atomic_load(&r->region->fresh_until_ms);
}

void region_doubt(struct relay *r, uint32_t slot)
{
    if (r->region != NULL)
        region_tell(r->region, slot, REGION_DOUBT);
}

const char *region_waits(const struct relay *r)
{
    struct region *g = r->region;
    if (g == NULL || atomic_load(&g->drain))
        return NULL;
    if (atomic_load(&g->waits_name))
        return "another relay of this name is alive; stop it, or set region.relay";
    for (uint32_t i = 0; i < r->slots; i++)
        if (atomic_load(&g->owns[i]))
            return NULL;
    pthread_mutex_lock(&g->lock);
    size_t members = g->member_count;
    pthread_mutex_unlock(&g->lock);
    return members == 0 ? "the store, to say that it is there"
           : members > 1
               ? "a share of the slots, from the relays that own them"
               : "slots whose owner is silent; they are taken when its leases end";
}

/* ---- between threads ---- */

static void ring(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one); /* full is as good: it is readable */
    (void)n;
}

static void unring(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

void region_wake(struct region *g)
{
    ring(g->wake);
}

void region_bell(struct region *g)
{
    ring(g->bell);
}

void region_tell(struct region *g, uint32_t slot, enum region_news news)
{
    atomic_store(&g->news[slot], news);
    region_wake(g);
}

static void order(struct region *g, uint32_t slot, enum region_order what)
{
    atomic_store(&g->order[slot], what);
    queue_kick(&g->r->commit);
}

/* ---- the region thread ---- */

/* False: the store is not to be trusted any more, or the process ends. */
static bool broken(struct region *g, enum err e)
{
    if (e != ERR_IO && e != ERR_CORRUPT)
        return false;
    relay_broken(g->r, "region", e);
    return true;
}

static void count_slots(struct region *g)
{
    uint32_t owned = 0;
    for (uint32_t i = 0; i < g->r->slots; i++)
        owned += atomic_load(&g->owns[i]);
    metrics_set(g->r->metrics, METRIC_SLOTS_OWNED, 0, owned);
}

/* What the commit thread did since. */
static void take_news(struct region *g)
{
    for (uint32_t slot = 0; slot < g->r->slots; slot++) {
        switch ((enum region_news)atomic_exchange(&g->news[slot], REGION_NO_NEWS)) {
        case REGION_LOADED:
            lease_loaded(&g->core, slot);
            trace(TRACE_INFO, "region.slot_taken", TRACE_U64("slot", slot),
                  TRACE_MS("took", clock_boot_ms() - g->since_ms[slot]));
            break;
        case REGION_LEFT:
            lease_gone(&g->core, slot);
            break;
        case REGION_DOUBT: /* the look that follows tells */
        case REGION_NO_NEWS:
            break;
        }
    }
}

static void take(struct region *g, const struct lease_step *s)
{
    enum err e = g->leases->ops->take(g->leases, s->slot, s->epoch, s->orphan);
    if (e != ERR_OK) {
        lease_failed(&g->core, s->slot);
        if (e != ERR_LOST)
            trace(TRACE_WARN, "region.take_failed", TRACE_U64("slot", s->slot),
                  TRACE_ERR("why", e));
        (void)broken(g, e);
        return;
    }
    metrics_count(g->r->metrics, METRIC_SLOTS_TAKEN,
                  s->orphan ? M_TAKEN_ORPHAN : M_TAKEN_FREE, 1);
    g->since_ms[s->slot] = clock_boot_ms();
    order(g, s->slot, REGION_LOAD);
}

static void let_go(struct region *g, const struct lease_step *s, enum region_order how)
{
    trace(how == REGION_DROP ? TRACE_WARN : TRACE_INFO,
          how == REGION_DROP ? "region.slot_lost" : "region.slot_let_go",
          TRACE_U64("slot", s->slot));
    metrics_count(g->r->metrics, METRIC_SLOTS_LEFT,
                  how == REGION_DROP ? M_LEFT_LOST : M_LEFT_GIVEN, 1);
    atomic_store(&g->owns[s->slot], false);
    order(g, s->slot, how);
}

static void do_step(struct region *g, const struct lease_step *s)
{
    switch (s->what) {
    case LEASE_DO_TAKE:
        take(g, s);
        break;
    case LEASE_DO_LOAD:
        g->since_ms[s->slot] = clock_boot_ms();
        order(g, s->slot, REGION_LOAD);
        break;
    case LEASE_DO_LET_GO:
        let_go(g, s, REGION_LET_GO);
        break;
    case LEASE_DO_DROP:
        let_go(g, s, REGION_DROP);
        break;
    case LEASE_DO_RELEASE: /* not done: the row is still ours at the next look */
        (void)broken(g, g->leases->ops->release(g->leases, s->slot));
        break;
    }
}

static void fill_owner(const struct region *g, uint32_t slot, const struct lease_row *row,
                       struct region_owner *out, bool *owned)
{
    memset(out, 0, sizeof *out);
    out->epoch = row->epoch;
    *owned = false;
    if (row->holder == LEASE_MINE) {
        out->self = true;
        out->epoch = atomic_load(&g->epochs[slot]);
        memcpy(out->relay, g->self.relay, sizeof out->relay);
        memcpy(out->peer, g->self.peer, sizeof out->peer);
        *owned = atomic_load(&g->owns[slot]);
    } else if (row->holder == LEASE_OTHER) {
        memcpy(out->relay, row->relay, sizeof out->relay);
        for (size_t i = 0; i < g->look.relay_count && !*owned; i++)
            if (strcmp(g->look.relays[i].relay, row->relay) == 0) {
                memcpy(out->peer, g->look.relays[i].peer, sizeof out->peer);
                *owned = true;
            }
    }
}

/* What others see of it; the loop is told when an owner changed. */
static void publish(struct region *g)
{
    bool changed = false, joined = false;
    pthread_mutex_lock(&g->lock);
    g->looked_ms = clock_boot_ms();
    g->member_count = g->look.relay_count;
    for (size_t i = 0; i < g->look.relay_count; i++) {
        const struct lease_relay *in = &g->look.relays[i];
        struct region_member *m = &g->members[i];
        *m = (struct region_member){
            .self = in->self, .draining = in->draining, .silent_ms = in->silent_ms};
        memcpy(m->relay, in->relay, sizeof m->relay);
        memcpy(m->peer, in->peer, sizeof m->peer);
        joined = joined || in->self;
    }
    atomic_store(&g->joined, joined);
    for (uint32_t slot = 0; slot < g->r->slots; slot++) {
        const struct lease_row *row = &g->look.slots[slot];
        struct region_owner o;
        bool owned;
        fill_owner(g, slot, row, &o, &owned);
        changed = changed || owned != g->owned[slot] ||
                  memcmp(&o, &g->owners[slot], sizeof o) != 0;
        g->owned[slot] = owned;
        g->owners[slot] = o;
        for (size_t i = 0; i < g->member_count && row->holder != LEASE_FREE; i++)
            g->members[i].slots += row->holder == LEASE_MINE
                                       ? g->members[i].self
                                       : strcmp(g->members[i].relay, row->relay) == 0;
    }
    pthread_mutex_unlock(&g->lock);
    count_slots(g);
    if (!changed)
        return;
    atomic_fetch_add(&g->generation, 1u);
    struct mail *m = mail_new(MAIL_OWNERS, 0);
    if (m) /* without memory the loop sees the generation at its next tick */
        relay_mail_one(g->r, m);
}

static void beat(struct region *g)
{
    uint64_t began = clock_mono_us(), now = clock_boot_ms();
    enum err e = g->leases->ops->beat(g->leases, g->core.draining);
    if (e == ERR_OK)
        metrics_observe(g->r->metrics, METRIC_LEASE_RENEW, 0, clock_mono_us() - began);
    else
        metrics_count(g->r->metrics, METRIC_LEASE_FAILED, 0, 1);
    bool named = e == ERR_EXISTS;
    if (atomic_exchange(&g->waits_name, named) != named)
        trace(named ? TRACE_ERROR : TRACE_INFO, "region.name",
              TRACE_STR("relay", g->self.relay), TRACE_BOOL("taken_by_another", named));
    if (e != ERR_OK && !named)
        trace(TRACE_WARN, "region.not_renewed", TRACE_ERR("why", e));
    lease_beat(&g->core, e == ERR_OK, now);
    (void)broken(g, e);
}

/* Who slept renews what is left to him. What is another's by now the commit thread may still
 * hold for a moment, and is not to answer for. */
static bool drops_any(const struct region *g)
{
    for (uint32_t slot = 0; slot < g->r->slots; slot++)
        if (g->core.phase[slot] == LEASE_LETTING_GO &&
            g->look.slots[slot].holder != LEASE_MINE)
            return true;
    return false;
}

/* Look, and do what follows from it. The steps change what a look would show, so there is
 * another one soon: their notification comes back to us too. */
static void look(struct region *g)
{
    if (!g->core.steady)
        return;
    enum err e = g->leases->ops->look(g->leases, &g->look);
    if (e != ERR_OK) {
        (void)broken(g, e);
        return;
    }
    size_t count = lease_look(&g->core, &g->look, clock_boot_ms(), g->steps);
    for (size_t i = 0; i < count; i++)
        do_step(g, &g->steps[i]);
    publish(g);
    if (!drops_any(g))
        atomic_store(&g->fresh_until_ms, g->core.beat_ms + g->self.ttl_ms);
}

static bool goes_on(const struct region *g, uint64_t *leave_ms)
{
    if (atomic_load(&g->r->exit_code) != 0)
        return false;
    if (!atomic_load(&g->stop))
        return true;
    uint64_t now = clock_boot_ms();
    if (*leave_ms == 0)
        *leave_ms = now + REGION_LEAVE_MS;
    return !lease_empty(&g->core) && g->core.steady && now < *leave_ms;
}

static void *region_thread(void *context)
{
    struct region *g = context;
    uint64_t due = 0, leave_ms = 0;
    while (goes_on(g, &leave_ms)) {
        bool drains = atomic_load(&g->drain) || atomic_load(&g->stop);
        if (drains && !g->core.draining) {
            lease_drain(&g->core);
            due = 0; /* others are told at once */
        }
        take_news(g);
        if (clock_boot_ms() >= due) {
            due = clock_boot_ms() + lease_beat_every_ms(&g->core);
            beat(g);
        }
        look(g);
        atomic_store(&g->drained, g->core.draining && lease_empty(&g->core));
        uint64_t now = clock_boot_ms();
        uint64_t wait = due > now ? due - now : 0;
        g->leases->ops->wait(g->leases, g->wake, lease_next_ms(&g->core, &g->look, wait));
        unring(g->wake);
    }
    /* After damage too: whoever is well takes over at once. */
    if (g->leases->ops->leave(g->leases) != ERR_OK)
        trace_event(TRACE_WARN, "region.not_left");
    return NULL;
}

/* ---- up and down ---- */

static enum err share(struct region *g, struct store_lease **out, char *why)
{
    struct store_why text = {{0}};
    struct store *s = g->r->store;
    enum err e =
        s->ops->share == NULL ? ERR_CONFIG : s->ops->share(s, &g->self, out, &text);
    if (e != ERR_OK)
        snprintf(why, STORE_WHY_MAX, "%s", text.text[0] ? text.text : err_text(e));
    return e;
}

/* Everybody can find the account every slot's own records stand in. */
static bool take_id(void *context, const struct record *r, const struct hash *account)
{
    (void)r;
    *(struct hash *)context = *account;
    return false;
}

static enum err find_hub_accounts(struct region *g)
{
    for (uint32_t slot = 0; slot < g->r->slots; slot++)
        TRY(g->reader->ops->records(g->reader, slot, 0, 1, take_id,
                                    &g->r->hub_accounts[slot]));
    return ERR_OK;
}

/* `stoad init` made the ledger and one relay's folder; the others make theirs. */
static enum err own_folder(const struct relay *r, char *why)
{
    const char *dir = settings(r)->hub.state_dir;
    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return ERR_OK;
    snprintf(why, STORE_WHY_MAX, "hub.state_dir %.300s: %s", dir, strerror(errno));
    return ERR_FILE;
}

enum err region_open(struct region **out, struct relay *r, char *why)
{
    struct region *g = calloc(1, sizeof *g);
    *out = NULL;
    if (g == NULL)
        return ERR_MEMORY;
    g->r = r;
    g->wake = g->bell = -1;
    pthread_mutex_init(&g->lock, NULL);
    snprintf(g->self.relay, sizeof g->self.relay, "%.*s", LEASE_NAME_MAX,
             settings(r)->region.relay);
    random_bytes(g->self.instance, sizeof g->self.instance);
    g->self.ttl_ms = (uint32_t)settings(r)->region.lease_ms;
    lease_open(&g->core, r->slots, g->self.ttl_ms);
    g->cells = calloc((size_t)r->slots * r->slots, sizeof *g->cells);
    g->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum err e =
        g->cells && g->wake >= 0 && g->bell >= 0 ? own_folder(r, why) : ERR_MEMORY;
    if (e == ERR_OK)
        e = share(g, &g->commits, why);
    if (e == ERR_OK)
        e = r->store->ops->reader_open(r->store, &g->reader);
    if (e == ERR_OK)
        e = find_hub_accounts(g);
    if (e != ERR_OK) {
        if (why[0] == 0)
            snprintf(why, STORE_WHY_MAX, "%s", err_text(e));
        region_close(g);
        return e;
    }
    *out = g;
    return ERR_OK;
}

/* Where others reach us: as told, or where clients do, with the port that was bound. */
static void own_address(struct region *g, uint16_t port)
{
    const struct relay_config *c = settings(g->r);
    char host[CONFIG_TEXT_MAX];
    uint16_t unused;
    if (c->region.peer[0])
        snprintf(g->self.peer, sizeof g->self.peer, "%.*s", LEASE_PEER_MAX,
                 c->region.peer);
    else if (config_address(c->listen.client, host, &unused))
        snprintf(g->self.peer, sizeof g->self.peer,
                 strchr(host, ':') ? "[%.280s]:%u" : "%.280s:%u", host, (unsigned)port);
}

enum err region_start(struct region *g, uint16_t port)
{
    char why[STORE_WHY_MAX] = "";
    if (g == NULL)
        return ERR_OK;
    own_address(g, port);
    TRY(share(g, &g->leases, why));
    TRY(share(g, &g->channels, why));
    if (pthread_create(&g->thread, NULL, region_thread, g) != 0)
        return ERR_MEMORY;
    g->started = true;
    if (pthread_create(&g->channel_thread, NULL, region_channel_thread, g) != 0)
        return ERR_MEMORY;
    g->channel_started = true;
    return ERR_OK;
}

void region_stop(struct region *g)
{
    if (g == NULL)
        return;
    atomic_store(&g->stop, true);
    region_wake(g);
    if (g->started)
        pthread_join(g->thread, NULL);
    region_bell(g);
    if (g->channel_started)
        pthread_join(g->channel_thread, NULL);
    g->started = g->channel_started = false;
}

static void drop(struct store_lease *l)
{
    if (l != NULL)
        l->ops->close(l);
}

void region_close(struct region *g)
{
    if (g == NULL)
        return;
    region_stop(g);
    drop(g->leases);
    drop(g->channels);
    drop(g->commits);
    if (g->reader != NULL)
        g->reader->ops->close(g->reader);
    if (g->wake >= 0)
        close(g->wake);
    if (g->bell >= 0)
        close(g->bell);
    pthread_mutex_destroy(&g->lock);
    free(g->cells);
    free(g);
}
