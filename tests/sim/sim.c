#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MIN 200
#define STEPS_MORE 500
#define HEAL_ROUNDS_MAX 300
#define HEAL_ROUND_MS 1000
#define MESSAGES_MAX 512
#define FILLER_KEY 50
#define FILLED_SLOTS_MAX 4

static struct sim *running;
bool sim_trace;

/* ---- trace ---- */

void say(struct sim *s, const char *format, ...)
{
    if (s->trace_cap - s->trace_size < 512) {
        s->trace_cap = s->trace_cap * 2 + 65536;
        s->trace = realloc(s->trace, s->trace_cap);
        if (s->trace == NULL)
            abort();
    }
    va_list args;
    va_start(args, format);
    int n = snprintf(s->trace + s->trace_size, 64, "[%8llu] ",
                     (unsigned long long)s->hub.mono_ms);
    n += vsnprintf(s->trace + s->trace_size + n, 400, format, args);
    va_end(args);
    s->trace_size += (size_t)n < 464 ? (size_t)n : 463;
    s->trace[s->trace_size++] = '\n';
}

void sim_print_trace(void)
{
    if (running == NULL)
        return;
    fwrite(running->trace, 1, running->trace_size, stderr);
    fprintf(stderr,
            "seed %llu failed; run again with: sim --seeds 1 --from %llu --trace\n",
            (unsigned long long)running->seed, (unsigned long long)running->seed);
}

void fail(struct sim *s, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(s, "WRONG: %s", text);
    abort();
}

/* ---- network ---- */

static void put_message(struct sim *s, const struct message *m)
{
    if (s->message_count == MESSAGES_MAX)
        return; /* a queue that is full loses */
    if (s->message_count == s->message_cap) {
        s->message_cap = s->message_cap == 0 ? 64 : s->message_cap * 2;
        s->messages = realloc(s->messages, s->message_cap * sizeof *s->messages);
        if (s->messages == NULL)
            abort();
    }
    s->messages[s->message_count++] = *m;
}

void send_message(struct sim *s, const struct message *m)
{
    s->counts.messages++;
    if (!s->calm && rng_chance(&s->rng, s->drop_per_mille)) {
        s->counts.dropped++;
        return;
    }
    put_message(s, m);
    if (!s->calm && rng_chance(&s->rng, s->double_per_mille)) {
        s->counts.doubled++;
        put_message(s, m);
    }
}

/* Any message on its way may be the next to arrive. */
static void deliver_one(struct sim *s)
{
    if (s->message_count == 0)
        return;
    uint32_t n = rng_below(&s->rng, (uint32_t)s->message_count);
    struct message m = s->messages[n];
    s->messages[n] = s->messages[--s->message_count];
    if (m.to_hub)
        hub_receive(s, m.entry);
    else
        client_answered(s, &m);
}

/* ---- steps ---- */

static void pass_time(struct sim *s, uint32_t limit_ms)
{
    uint32_t ms = rng_below(&s->rng, limit_ms);
    s->hub.now_ms += ms;
    s->hub.mono_ms += ms;
    if (s->calm)
        return;
    if (rng_chance(&s->rng, 20)) { /* NTP pulls at the wall clock */
        uint32_t slew = rng_below(&s->rng, 2000);
        s->hub.now_ms += slew;
        s->hub.now_ms -= 1000;
    }
    if (rng_chance(&s->rng, 1)) {
        s->counts.clock_jumps++;
        say(s, "the wall clock jumps");
        s->hub.now_ms += rng_chance(&s->rng, 500) ? 3600000 : UINT64_C(0) - 3600000;
    }
}

static void take_snapshot(struct sim *s)
{
    uint32_t slot = rng_below(&s->rng, s->hub.slots);
    struct slotlog *log = sequencer_slotlog(s->hub.q, slot);
    if (log == NULL || log->frontier.size != s->hub.disk->slot[slot].size)
        return; /* something is queued */
    say(s, "snapshot of slot %02x at %llu", (unsigned)slot,
        (unsigned long long)log->frontier.size);
    hub_snapshot(&s->hub, slot);
    s->counts.snapshots++;
}

static void step(struct sim *s)
{
    uint32_t dice = rng_below(&s->rng, 1000);
    s->counts.steps++;
    pass_time(s, 40);
    if (dice < 350) {
        client_act(s, rng_below(&s->rng, s->client_count));
    } else if (dice < 720) {
        deliver_one(s);
    } else if (dice < 760) {
        hub_accrue(s);
    } else if (dice < 930) {
        hub_cycle(s);
    } else if (dice < 950) {
        take_snapshot(s);
    } else if (dice < 980) {
        hub_reload(s);
    } else if (dice < 990) {
        uint32_t slot = rng_below(&s->rng, s->hub.slots);
        say(s, "someone claims slot %02x", (unsigned)slot);
        disk_steal(s->hub.disk, slot);
    } else {
        hub_die(s, "killed");
    }
}

/* ---- a run ---- */

static void on_published(void *context, uint32_t slot, const struct checkpoint *c);

/* Some logs are so long when it starts that tiles become full on the way. */
static void fill_slot(struct sim *s, uint32_t slot)
{
    static struct kit_entry e;
    static struct payload p;
    struct refusal r;
    struct kit_open o = {.federation = kit_hash(1),
                         .hub = HUB_NAME,
                         .root = kit_key(FILLER_KEY),
                         .device = kit_key(FILLER_KEY + 1),
                         .nonce = rng_next(&s->rng)};
    kit_open_in_slot(&e, &o, slot, s->hub.slots);
    struct hash id = e.e.id;
    struct chain chain = {.next_seq = 1, .tip = id, .tip_lamport = 1};
    uint32_t count = TILE_HASHES - 60 + rng_below(&s->rng, 60);
    kit_note(&p, "filler", 6);
    for (uint32_t i = 0; i < count; i++) {
        if (hub_submit(&s->hub, &e.e, 0, &r) != SEQ_QUEUED)
            fail(s, "filler is refused %s", err_word(r.code));
        struct entry_draft d = {.account = &id,
                                .seq = chain.next_seq,
                                .prev = &chain.tip,
                                .lamport = chain.tip_lamport + 1};
        kit_sign(&e, &d, &p, kit_key(FILLER_KEY + 1));
        chain = (struct chain){
            .next_seq = e.e.seq + 1, .tip = e.e.id, .tip_lamport = e.e.lamport};
    }
    hub_settle(&s->hub);
    hub_forget(&s->hub);
}

static void set_up(struct sim *s, uint64_t seed)
{
    static const uint32_t slot_counts[] = {1, 2, 4, 16};
    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->rng.state = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    s->signatures = seed % 10 == 0;
    hub_create(&s->hub, slot_counts[rng_below(&s->rng, 4)]);
    s->hub.published = on_published;
    s->hub.published_context = s;
    s->model = model_open(s->hub.slots);
    s->client_count = 2 + rng_below(&s->rng, CLIENTS_MAX - 1);
    s->drop_per_mille = rng_below(&s->rng, 300);
    s->double_per_mille = rng_below(&s->rng, 300);
    say(s, "seed %llu: %u slots, %u clients, %u%% lost, %u%% twice, signatures %s",
        (unsigned long long)seed, (unsigned)s->hub.slots, (unsigned)s->client_count,
        (unsigned)s->drop_per_mille / 10, (unsigned)s->double_per_mille / 10,
        s->signatures ? "verified" : "not verified");
    for (uint32_t i = 0; i < s->client_count; i++)
        client_make(s, i);
    bool filled = s->hub.slots <= FILLED_SLOTS_MAX && rng_chance(&s->rng, 300);
    for (uint32_t i = 0; filled && i < s->hub.slots; i++)
        fill_slot(s, i);
}

/* Every checkpoint that left the process belongs to one and the same growing tree. */
static void on_published(void *context, uint32_t slot, const struct checkpoint *c)
{
    struct sim *s = context;
    struct store *st = s->hub.store;
    struct store_reader *r;
    if (st->ops->reader_open(st, &r) != ERR_OK)
        fail(s, "no reader");
    const struct {
        tree_size size;
        struct hash root;
    } older[] = {{s->published[slot], s->published_root[slot]},
                 {s->early[slot], s->early_root[slot]}};
    for (int i = 0; i < 2; i++) {
        if (older[i].size > c->size)
            fail(s, "slot %02x: published %llu after %llu", (unsigned)slot,
                 (unsigned long long)c->size, (unsigned long long)older[i].size);
        if (older[i].size == 0)
            continue;
        /* The old root as the disk has it now must be the one that was published. */
        struct frontier f = {.size = older[i].size};
        for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++)
            if ((f.size >> level & 1) != 0 &&
                r->ops->node(r, slot, level, (f.size >> level) - 1, &f.edge[level]) !=
                    ERR_OK)
                fail(s, "slot %02x: node is missing", (unsigned)slot);
        struct hash root = frontier_root(&f);
        if (!hash_equal(&root, &older[i].root))
            fail(s, "slot %02x: two trees of size %llu", (unsigned)slot,
                 (unsigned long long)f.size);
    }
    r->ops->close(r);
    s->published[slot] = c->size;
    s->published_root[slot] = c->root;
    if (rng_chance(&s->rng, 50)) {
        s->early[slot] = c->size;
        s->early_root[slot] = c->root;
    }
}

static bool all_done(const struct sim *s)
{
    struct seq_stats stats;
    if (s->hub.q == NULL || sequencer_pending(s->hub.q) || s->message_count > 0)
        return false;
    sequencer_stats(s->hub.q, &stats);
    if (stats.items_waiting > 0)
        return false;
    for (uint32_t i = 0; i < s->client_count; i++)
        if (!client_is_done(s, i))
            return false;
    return true;
}

/* Nothing fails any more and nobody writes anything new: what was submitted has to be
 * accepted or refused for good, and every item settled, in bounded time. */
static void heal(struct sim *s)
{
    say(s, "all is well from here on");
    s->calm = true;
    for (int round = 0; !all_done(s); round++) {
        if (round == HEAL_ROUNDS_MAX)
            fail(s, "not done after %d rounds of %d ms", HEAL_ROUNDS_MAX, HEAL_ROUND_MS);
        s->hub.now_ms += HEAL_ROUND_MS;
        s->hub.mono_ms += HEAL_ROUND_MS;
        hub_reload(s);
        for (uint32_t i = 0; i < s->client_count; i++)
            client_resend(s, i);
        while (s->message_count > 0)
            deliver_one(s);
        hub_cycle(s);
        check(s);
    }
    check_acks(s);
    for (uint32_t i = 0; i < s->hub.slots; i++)
        if (sequencer_slot_state(s->hub.q, i) != SEQ_SLOT_READY)
            fail(s, "slot %02x is not up in the end", (unsigned)i);
    hub_check_supply(&s->hub);
    uint64_t items;
    if (model_under_way(s->model, &items) != 0 || items != 0)
        fail(s, "money is still under way");
}

static void tear_down(struct sim *s)
{
    for (size_t i = 0; i < s->entry_count; i++)
        free(s->entries[i].bytes);
    free(s->entries);
    free(s->messages);
    free(s->trace);
    model_close(s->model);
    hub_close(&s->hub);
}

static void add_counts(struct sim_counts *to, const struct sim_counts *from)
{
    uint64_t *t = (uint64_t *)(void *)to;
    const uint64_t *f = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *t; i++)
        t[i] += f[i];
}

struct hash sim_run(uint64_t seed, struct sim_counts *total, struct model_counts *money)
{
    static struct sim s;
    set_up(&s, seed);
    running = &s;
    uint32_t steps = STEPS_MIN + rng_below(&s.rng, STEPS_MORE);
    for (uint32_t i = 0; i < steps; i++) {
        step(&s);
        check(&s);
    }
    heal(&s);
    /* And once more from the disk alone. */
    hub_die(&s, "stopped for good");
    check_acks(&s);
    struct hash sum = hash_sha256(s.trace, s.trace_size);
    struct model_counts m = model_counts(s.model);
    money->records += m.records;
    money->transfers += m.transfers;
    money->credits += m.credits;
    money->bounces += m.bounces;
    money->returns += m.returns;
    add_counts(total, &s.counts);
    if (sim_trace)
        fwrite(s.trace, 1, s.trace_size, stdout);
    running = NULL;
    tear_down(&s);
    return sum;
}
