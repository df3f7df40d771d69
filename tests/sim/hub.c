#include "hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/account/kit.h"

#define FIRST_TIME_MS UINT64_C(1750000000000)

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "hub: %s\n", what);
    abort();
}

static void *more(void *p, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return p;
    *cap = *cap == 0 ? 64 : *cap * 2;
    p = realloc(p, *cap * size);
    must(p != NULL, "no memory");
    return p;
}

/* ---- what the sequencer says ---- */

static void on_result(void *context, const struct seq_result *r)
{
    struct hub *h = context;
    struct hub_seen *s = &h->seen;
    s->results = more(s->results, &s->result_cap, s->result_count, sizeof *s->results);
    struct hub_result *kept = &s->results[s->result_count++];
    *kept = (struct hub_result){.token = r->token,
                                .accepted = r->accepted,
                                .duplicate = r->duplicate,
                                .refusal = r->refusal};
    if (!r->accepted)
        return;
    struct entry e;
    must(entry_decode(&e, r->record.envelope.data, r->record.envelope.size) == ERR_OK,
         "receipt carries no entry");
    kept->slot = r->record.slot;
    kept->index = r->record.index;
    kept->position = r->record.position;
    kept->id = e.id;
    h->leaves[h->unverified] = record_leaf_hash(&r->record);
    h->path_count[h->unverified] = r->path_count;
    memcpy(h->paths[h->unverified], r->path, r->path_count * sizeof r->path[0]);
    h->unverified++;
}

static void on_settled(void *context, const struct seq_settled *settled)
{
    struct hub *h = context;
    struct hub_seen *s = &h->seen;
    s->settled = more(s->settled, &s->settled_cap, s->settled_count, sizeof *s->settled);
    s->settled[s->settled_count++] = *settled;
}

static void on_commit(void *context, const struct seq_commit *c)
{
    struct hub *h = context;
    struct checkpoint at;
    must(checkpoint_open(&at, (const char *)c->checkpoint.data, c->checkpoint.size,
                         &h->log_keys[c->slot]),
         "published checkpoint is not signed");
    must(at.size == c->new_size && c->new_size > c->old_size, "published size is wrong");
    for (size_t i = 0; i < h->unverified; i++) {
        const struct hub_result *r =
            &h->seen.results[h->seen.result_count - h->unverified + i];
        must(r->slot == c->slot && r->index >= c->old_size && r->index < c->new_size,
             "receipt of another commit");
        must(merkle_verify_inclusion(r->index, at.size, &h->leaves[i], h->paths[i],
                                     h->path_count[i], &at.root),
             "receipt's path does not verify");
    }
    h->unverified = 0;
    h->seen.commits++;
    if (h->published != NULL)
        h->published(h->published_context, c->slot, &at);
    if (h->committed != NULL)
        h->committed(h->committed_context, c);
}

struct seq_output hub_output(struct hub *h)
{
    return (struct seq_output){
        .context = h, .result = on_result, .settled = on_settled, .commit = on_commit};
}

void hub_forget(struct hub *h)
{
    h->seen.result_count = h->seen.settled_count = 0;
    h->seen.commits = 0;
}

/* ---- life ---- */

static void make_keys(struct hub *h, const struct hub_birth *b)
{
    struct pubkey log = kit_pub(b->log);
    for (uint32_t i = 0; i < h->slots; i++) {
        char origin[NOTE_NAME_MAX + 1];
        snprintf(origin, sizeof origin, "%s/%02x", b->name, (unsigned)i);
        must(vkey_make(&h->log_keys[i], origin, NOTE_ED25519, &log), "hub name");
    }
}

static void create(struct hub *h, const struct hub_birth *b, struct store *store,
                   struct disk *disk)
{
    must(crypto_start(), "crypto does not start");
    memset(h, 0, sizeof *h);
    h->slots = b->slots;
    h->now_ms = FIRST_TIME_MS;
    h->paths = malloc(SEQ_BATCH_WAITERS_MAX * sizeof *h->paths);
    must(h->paths != NULL, "no memory");
    make_keys(h, b);
    h->store = store;
    h->disk = disk;
    if (disk != NULL)
        disk->log_keys = h->log_keys;
    h->config = (struct sequencer_config){.mem = &alloc_heap,
                                          .relay = kit_key(b->relay),
                                          .log = kit_key(b->log),
                                          .map_seed = HUB_SEED,
                                          .slots = b->slots};
    struct recover_genesis g = {.federation = b->federation,
                                .hub = b->name,
                                .issuer = kit_pub(b->issuer),
                                .relay = kit_key(b->relay),
                                .log = kit_pub(b->log)};
    must(recover_genesis(h->store, &h->config, &g, h->now_ms) == ERR_OK,
         "genesis failed");
    must(hub_start(h) == ERR_OK, "first start failed");
}

static struct hub_birth usual(uint32_t slots)
{
    return (struct hub_birth){.name = HUB_NAME,
                              .federation = kit_hash(1),
                              .issuer = HUB_KEY_ISSUER,
                              .relay = HUB_KEY_RELAY,
                              .log = HUB_KEY_LOG,
                              .slots = slots};
}

void hub_create_as(struct hub *h, const struct hub_birth *b, uint64_t now_ms)
{
    struct disk *disk = disk_open(b->slots);
    create(h, b, disk_store(disk), disk);
    h->now_ms = now_ms;
}

void hub_create(struct hub *h, uint32_t slots)
{
    struct hub_birth b = usual(slots);
    hub_create_as(h, &b, FIRST_TIME_MS);
}

void hub_create_on(struct hub *h, uint32_t slots, struct store *store)
{
    struct hub_birth b = usual(slots);
    create(h, &b, store, NULL);
}

void hub_crash(struct hub *h)
{
    sequencer_close(h->q);
    h->q = NULL;
    h->unverified = 0;
    if (h->disk != NULL)
        disk_crash(h->disk);
}

void hub_close(struct hub *h)
{
    sequencer_close(h->q);
    disk_close(h->disk);
    free(h->paths);
    free(h->seen.results);
    free(h->seen.settled);
    memset(h, 0, sizeof *h);
}

enum err hub_recover(struct hub *h, uint32_t slot, const struct recover_mark *mark)
{
    return recover_slot(h->q, &h->config, h->store, slot, mark, &h->report);
}

enum err hub_start(struct hub *h)
{
    if (h->q == NULL)
        TRY(sequencer_open(&h->q, &h->config));
    for (uint32_t i = 0; i < h->slots; i++)
        if (sequencer_slot_state(h->q, i) == SEQ_SLOT_DOWN)
            TRY(hub_recover(h, i, NULL));
    return ERR_OK;
}

/* ---- work ---- */

enum seq_disposition hub_submit(struct hub *h, const struct entry *e, uint64_t token,
                                struct refusal *r)
{
    return sequencer_submit(h->q, e, token, true, h->now_ms, r);
}

enum err hub_commit(struct hub *h)
{
    const struct store_append *appends;
    size_t count;
    enum store_outcome outcome[SLOTS_MAX];
    const struct seq_output out = hub_output(h);
    TRY(sequencer_prepare(h->q, h->now_ms, h->mono_ms, &appends, &count));
    if (count > 0) {
        struct store *st = h->store;
        st->ops->append(st, appends, count, outcome);
    }
    return sequencer_outcome(h->q, outcome, &out);
}

void hub_settle(struct hub *h)
{
    while (sequencer_pending(h->q)) {
        h->now_ms++;
        h->mono_ms++;
        must(hub_commit(h) == ERR_OK, "commit failed");
    }
}

struct account *hub_account_at(struct hub *h, const struct hash *id)
{
    struct slotlog *log = sequencer_slotlog(h->q, slot_of(id, h->slots));
    return log == NULL ? NULL : slotlog_account(log, id);
}

struct hash hub_digest_of(struct hub *h, uint32_t slot)
{
    struct hash digest;
    must(slotlog_digest(sequencer_slotlog(h->q, slot), &digest) == ERR_OK, "no digest");
    return digest;
}

/* ---- snapshots ---- */

struct gathered {
    size_t count;
    struct bytes parts[64];
};

static bool gather(void *context, struct bytes part)
{
    struct gathered *g = context;
    must(g->count < 64 && part.size <= SNAPSHOT_PART_MAX, "too many or too big parts");
    uint8_t *copy = malloc(part.size);
    must(copy != NULL, "no memory");
    memcpy(copy, part.data, part.size);
    g->parts[g->count++] = bytes_of(copy, part.size);
    return true;
}

void hub_snapshot(struct hub *h, uint32_t slot)
{
    struct gathered g = {.count = 0};
    struct slotlog *log = sequencer_slotlog(h->q, slot);
    must(slotlog_snapshot(log, h->config.relay, gather, &g) == ERR_OK, "no snapshot");
    struct store *st = h->store;
    must(st->ops->snapshot_save(st, slot, log->frontier.size, g.parts, g.count) == ERR_OK,
         "snapshot not saved");
    for (size_t i = 0; i < g.count; i++)
        free((void *)(uintptr_t)g.parts[i].data);
}

/* ---- conservation ---- */

static bool add_balance(void *context, struct account *a)
{
    uint64_t *sum = context;
    must(a->balance >= 0 && a->balance <= BALANCE_MAX, "balance out of range");
    *sum += (uint64_t)a->balance;
    return true;
}

void hub_check_supply(struct hub *h)
{
    uint64_t held = 0, under_way = 0, made = 0;
    for (uint32_t i = 0; i < h->slots; i++) {
        struct slotlog *log = sequencer_slotlog(h->q, i);
        must(log != NULL, "a slot is down");
        slotlog_each(log, add_balance, &held);
        under_way += log->hub.sent - log->hub.settled;
        made += (uint64_t)log->hub.accrued + (uint64_t)log->hub.adjusted;
    }
    must(held + under_way == made, "supply is not conserved");
}
