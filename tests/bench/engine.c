#include "tests/bench/engine.h"

#include <stdio.h>
#include <string.h>

#include "relay/keys.h"
#include "tests/bench/bench.h"

#define ENGINE_BATCH 2048

static void on_result(void *context, const struct seq_result *r)
{
    struct engine *e = context;
    if (!r->accepted)
        die("an entry was not accepted");
    e->accepted++;
    if (e->result)
        e->result(e->context, r);
}

static void on_settled(void *context, const struct seq_settled *s)
{
    struct engine *e = context;
    e->settled++;
    e->bounced += s->bounced;
}

static void on_commit(void *context, const struct seq_commit *c)
{
    struct engine *e = context;
    e->records += c->new_size - c->old_size;
}

static void slots_recover(struct engine *e)
{
    struct recover_mark none = {0};
    need(sequencer_open(&e->q, &e->config), "open the sequencer");
    for (uint32_t i = 0; i < e->config.slots; i++) {
        struct recover_report report = {.slot = i};
        enum err err = recover_slot(e->q, &e->config, e->store, i, &none, &report);
        if (err != ERR_OK)
            die("slot %u: %s: %s", i, err_text(err), report.why);
    }
}

static void log_open_all(struct engine *e)
{
    struct key *const keys[] = {e->issuer, e->relay, e->log};
    for (size_t i = 0; i < 3; i++)
        if (!keys[i])
            die("no memory for a key");
    struct recover_genesis g = {.federation = e->federation,
                                .hub = e->hub,
                                .issuer = key_public(e->issuer),
                                .relay = e->relay,
                                .log = key_public(e->log)};
    need(recover_genesis(e->store, &e->config, &g, wall_ms()), "write the first records");
}

static void log_keys_make(struct engine *e)
{
    char origin[NOTE_NAME_MAX + 1];
    struct pubkey log = key_public(e->log);
    for (uint32_t i = 0; i < e->config.slots; i++) {
        snprintf(origin, sizeof origin, "%.128s/%02x", e->hub, i);
        if (!vkey_make(&e->log_keys[i], origin, NOTE_ED25519, &log))
            die("hub name %s does not do", e->hub);
    }
}

void engine_create(struct engine *e, const char *uri, uint32_t slots, bool to_store)
{
    struct store_why why = {{0}};
    struct store_identity id = {.slots = slots};
    memset(e, 0, sizeof *e);
    random_bytes(&e->federation, sizeof e->federation);
    snprintf(e->hub, sizeof e->hub, "bench.test");
    snprintf(id.hub, sizeof id.hub, "%s", e->hub);
    id.federation = e->federation;
    e->issuer = key_generate();
    e->relay = key_generate();
    e->log = key_generate();
    e->to_store = to_store;
    e->config = (struct sequencer_config){
        .mem = &alloc_heap, .relay = e->relay, .log = e->log, .map_seed = 7, .slots = slots};
    if (store_create(uri, &id, &e->store, &why) != ERR_OK)
        die("%s", why.text);
    log_open_all(e);
    slots_recover(e);
    log_keys_make(e);
}

void engine_open_hub(struct engine *e, const char *uri, const char *keys_dir)
{
    struct store_why why = {{0}};
    struct hub_keys keys = {0};
    char text[KEYS_WHY_MAX] = "", path[600];
    memset(e, 0, sizeof *e);
    if (hub_keys_load(&keys, keys_dir, "none", text) != ERR_OK)
        die("%s", text);
    snprintf(path, sizeof path, "%s/issuer.key", keys_dir);
    if (key_file_open(&e->issuer, path, NULL, "none", text) != ERR_OK)
        die("%s", text);
    e->relay = keys.relay;
    e->log = keys.log;
    if (store_open(uri, &e->store, &why) != ERR_OK)
        die("%s", why.text);
    const struct store_identity *id = e->store->ops->identity(e->store);
    e->federation = id->federation;
    snprintf(e->hub, sizeof e->hub, "%s", id->hub);
    e->to_store = true;
    e->config = (struct sequencer_config){.mem = &alloc_heap,
                                          .relay = e->relay,
                                          .log = e->log,
                                          .map_seed = 7,
                                          .slots = id->slots};
    slots_recover(e);
    log_keys_make(e);
}

void engine_close(struct engine *e)
{
    sequencer_close(e->q);
    if (e->store)
        e->store->ops->close(e->store);
    key_free(e->issuer);
    key_free(e->relay);
    key_free(e->log);
    memset(e, 0, sizeof *e);
}

void engine_commit(struct engine *e)
{
    const struct store_append *appends;
    size_t count;
    enum store_outcome outcome[SLOTS_MAX];
    struct seq_output out = {
        .context = e, .result = on_result, .settled = on_settled, .commit = on_commit};
    need(sequencer_prepare(e->q, wall_ms(), now_ns() / 1000000u, &appends, &count), "prepare");
    for (size_t i = 0; i < count; i++)
        outcome[i] = STORE_COMMITTED;
    if (e->to_store && count > 0)
        e->store->ops->append(e->store, appends, count, outcome);
    for (size_t i = 0; i < count; i++) {
        if (outcome[i] != STORE_COMMITTED)
            die("slot %u was not committed: outcome %d", appends[i].slot, (int)outcome[i]);
        if (e->each)
            e->each(e->context, &appends[i]);
    }
    e->batches++;
    need(sequencer_outcome(e->q, outcome, &out), "commit");
}

void engine_settle(struct engine *e)
{
    while (sequencer_pending(e->q))
        engine_commit(e);
}

void engine_submit(struct engine *e, const struct entry *entry, uint64_t token)
{
    struct refusal r;
    for (unsigned tries = 0; tries < 100; tries++) {
        enum seq_disposition d = sequencer_submit(e->q, entry, token, false, wall_ms(), &r);
        if (d == SEQ_QUEUED)
            return;
        if (r.code != ERR_BUSY)
            break;
        engine_commit(e);
    }
    die("a %s was refused: %s", kind_word(entry->kind), err_text(r.code));
}

void engine_submit_bytes(struct engine *e, struct bytes envelope)
{
    struct entry entry;
    need(entry_decode(&entry, envelope.data, envelope.size), "decode an entry");
    engine_submit(e, &entry, 0);
}
