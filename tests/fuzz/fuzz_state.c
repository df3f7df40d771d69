/* Any row of right and wrong entries, of every kind, gets from account_apply the verdict
 * that an independent model of the rules gives, and leaves the states the model has; a
 * refusal changes nothing; states survive a reload; no point is made or lost. Each step
 * is an op byte and its choices; entries are signed here by keys of a small pool, so that
 * keys collide. */
#include "state_steps.h"

#include <string.h>

#include "fuzz.h"

struct state_world world;

static struct kit_entry opens[STATE_ACCOUNTS], logs[MODEL_SLOTS];

/* What the generator makes, told at the end where STOA_FUZZ_STATS is set: a verdict that
 * never comes is a shape it cannot make. */
static uint64_t seen[KIND_COMPACTION + 1][ERR_BUG + 1];

static void tell_seen(void)
{
    for (unsigned kind = 0; kind <= KIND_COMPACTION; kind++)
        for (unsigned code = 0; code <= ERR_BUG; code++)
            if (seen[kind][code] > 0)
                fprintf(stderr, "seen %-16s %-18s %llu\n", kind_word(kind),
                        err_word((enum err)code), (unsigned long long)seen[kind][code]);
}

/* Made once: what every input starts from. */
static void make_beginning(void)
{
    if (logs[0].size > 0)
        return;
    struct hash federation = kit_hash(7);
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        kit_log_open(&logs[i], &(struct kit_log){.federation = federation,
                                                 .hub = STATE_HUB,
                                                 .slot = i,
                                                 .slots = MODEL_SLOTS,
                                                 .issuer = kit_key(STATE_ISSUER),
                                                 .relay = kit_key(STATE_RELAY),
                                                 .log = kit_key(STATE_LOG)});
    for (uint32_t i = 0; i < STATE_ACCOUNTS; i++)
        kit_open_in_slot(
            &opens[i],
            &(struct kit_open){.federation = federation,
                               .hub = STATE_HUB,
                               .root = kit_key(STATE_POOL + 3 * i),
                               .device = kit_key(STATE_POOL + 3 * i + 1),
                               .recovery = i == 0 ? kit_key(STATE_POOL + 2) : NULL,
                               .residency = i & 1,
                               .nonce = i},
            i % MODEL_SLOTS, MODEL_SLOTS);
    for (unsigned i = 0; i < STATE_KEYS; i++)
        world.pubs[i] = kit_pub(i);
    if (getenv("STOA_FUZZ_STATS"))
        (void)atexit(tell_seen);
}

static void begin(void)
{
    static struct effects fx;
    world.time_ms = 1700000000000;
    world.items = 0;
    world.taken = 0;
    world.kept = 0;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        struct model_hub *m = &world.hubs[i];
        const struct entry *e = &logs[i].e;
        struct record r = {.slot = i, .hub_lamport = 1, .hub_time_ms = world.time_ms};
        hub_account_init(&world.real_hubs[i], &alloc_heap);
        PROPERTY(hub_account_apply(&world.real_hubs[i], e, &r, VIEW_SLOT, &fx) == ERR_OK);
        world.index[i] = 1;
        *m = (struct model_hub){.id = e->id,
                                .federation = kit_hash(7),
                                .name = STATE_HUB,
                                .slot = i,
                                .written = 1,
                                .chain = {1, e->id, 1},
                                .issuer = kit_pub(STATE_ISSUER),
                                .relay = kit_pub(STATE_RELAY),
                                .log = kit_pub(STATE_LOG)};
        model_compare_hub(m, &world.real_hubs[i]);
    }
    for (uint32_t i = 0; i < STATE_ACCOUNTS; i++) {
        account_init(&world.real[i], &alloc_heap);
        world.accounts[i].open = false;
        world.accounts[i].written = 0;
        PROPERTY(state_apply(i, &opens[i].e) == ERR_OK);
    }
}

static void end(void)
{
    for (uint32_t i = 0; i < STATE_ACCOUNTS; i++)
        account_close(&world.real[i]);
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        hub_account_close(&world.real_hubs[i]);
}

/* -- one entry by both
 * ------------------------------------------------------------------- */

static struct hash digest_of(const struct account *a, const struct hub_account *h)
{
    static uint8_t room[1 << 17];
    struct mp_writer w = mp_writer_of(room, sizeof room);
    if (a && a->position > 0)
        account_encode(&w, a);
    hub_account_encode(&w, h);
    PROPERTY(!w.full);
    return hash_sha256(room, w.size);
}

static void compare_effects(uint32_t slot, const struct effects *fx,
                            const struct model_effects *m, const struct entry *e)
{
    PROPERTY(fx->item_count == m->count && fx->settles == m->settles);
    PROPERTY(fx->bounced == m->bounced);
    if (m->settles)
        PROPERTY(fx->settle_source == m->from && fx->settle_seq == m->settled_seq);
    for (unsigned i = 0; i < m->count; i++) {
        const struct channel_item *item = &fx->items[i];
        PROPERTY(hash_equal(&item->cause, &e->id) && item->payee_index == i);
        PROPERTY(hash_equal(&item->payer, &m->items[i].payer));
        PROPERTY(hash_equal(&item->payee, &m->items[i].payee));
        PROPERTY(item->amount == m->items[i].amount && item->out_seq == m->seq[i]);
        PROPERTY(item->source_slot == slot && item->destination_slot == m->to[i]);
        PROPERTY(item->is_return == m->items[i].is_return);
        if (world.items < STATE_ITEMS)
            world.item[world.items++] = *item;
    }
}

static void disagree(const struct entry *e, enum err ours, enum err model)
{
    seen[e->kind][ours]++;
    if (ours == model)
        return;
    fprintf(stderr, "%s: the ledger says %s, the model %s\n", kind_word(e->kind),
            err_word(ours), err_word(model));
    abort();
}

static struct record record_of(uint32_t slot, const struct entry *e)
{
    return (struct record){.slot = slot,
                           .index = world.index[slot],
                           .hub_lamport = world.index[slot] + 1,
                           .hub_time_ms = world.time_ms,
                           .envelope = e->envelope};
}

enum err state_apply(uint32_t n, const struct entry *e)
{
    static struct effects fx;
    static struct model_effects model_fx;
    uint32_t slot = n % MODEL_SLOTS;
    struct account *a = &world.real[n];
    struct hub_account *h = &world.real_hubs[slot];
    struct record r = record_of(slot, e);
    struct hash before = digest_of(a, h);
    enum err ours = account_apply(a, h, e, &r, VIEW_SLOT, &fx);
    enum err model =
        model_apply(&world.accounts[n], &world.hubs[slot], e, world.time_ms, &model_fx);
    disagree(e, ours, model);
    struct hash after = digest_of(a, h);
    PROPERTY(hash_equal(&before, &after) == (ours != ERR_OK));
    compare_effects(slot, &fx, &model_fx, e);
    model_compare(&world.accounts[n], a);
    model_compare_hub(&world.hubs[slot], h);
    world.index[slot] += ours == ERR_OK;
    return ours;
}

enum err state_apply_hub(uint32_t slot, const struct entry *e)
{
    static struct effects fx;
    static struct model_effects model_fx;
    struct hub_account *h = &world.real_hubs[slot];
    struct record r = record_of(slot, e);
    struct hash before = digest_of(NULL, h);
    enum err ours = hub_account_apply(h, e, &r, VIEW_SLOT, &fx);
    enum err model = model_hub_apply(&world.hubs[slot], e, &model_fx);
    disagree(e, ours, model);
    struct hash after = digest_of(NULL, h);
    PROPERTY(hash_equal(&before, &after) == (ours != ERR_OK));
    compare_effects(slot, &fx, &model_fx, e);
    model_compare_hub(&world.hubs[slot], h);
    world.index[slot] += ours == ERR_OK;
    return ours;
}

/* -- over all
 * ---------------------------------------------------------------------------- */

/* Put everything aside and take it up again, as a restart does. */
static void reload(void)
{
    static uint8_t room[1 << 17];
    for (uint32_t i = 0; i < STATE_ACCOUNTS; i++) {
        struct mp_writer w = mp_writer_of(room, sizeof room);
        account_encode(&w, &world.real[i]);
        PROPERTY(!w.full && w.size == account_encode_size(&world.real[i]));
        account_close(&world.real[i]);
        PROPERTY(account_decode(&world.real[i], &alloc_heap, bytes_of(room, w.size)) ==
                 ERR_OK);
        model_compare(&world.accounts[i], &world.real[i]);
    }
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        struct mp_writer w = mp_writer_of(room, sizeof room);
        hub_account_encode(&w, &world.real_hubs[i]);
        hub_account_close(&world.real_hubs[i]);
        PROPERTY(hub_account_decode(&world.real_hubs[i], &alloc_heap,
                                    bytes_of(room, w.size)) == ERR_OK);
        model_compare_hub(&world.hubs[i], &world.real_hubs[i]);
    }
}

/* What members hold is what was issued, less what is under way. */
static void check_sums(void)
{
    for (uint32_t slot = 0; slot < MODEL_SLOTS; slot++) {
        const struct hub_account *h = &world.real_hubs[slot];
        uint64_t held = 0;
        for (uint32_t i = slot; i < STATE_ACCOUNTS; i += MODEL_SLOTS) {
            held += (uint64_t)world.real[i].balance;
            PROPERTY(world.real[i].balance >= 0 && world.real[i].balance <= BALANCE_MAX);
        }
        PROPERTY(held ==
                 (uint64_t)h->accrued + (uint64_t)h->adjusted - h->sent + h->settled);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    make_beginning();
    begin();
    for (unsigned i = 0; i < STATE_STEPS && in.left > 0; i++) {
        if (!state_step(&in))
            reload();
        check_sums();
    }
    reload();
    end();
    return 0;
}
