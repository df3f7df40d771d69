/* Recovery, and what has to be so after it. */
#include <stdlib.h>
#include <string.h>

#include "town.h"

/* One slot, from the disk alone and without its snapshot: the digest must be the same. */
static void check_replay(struct world *w, struct site *s, uint32_t slot,
                         const struct hash *found)
{
    static struct effects fx;
    struct slotlog log;
    if (slotlog_init(&log, &alloc_heap, slot, w->rng.state) != ERR_OK)
        fail(w, "no memory");
    const struct disk_slot *d = &s->hub.disk->slot[slot];
    for (uint64_t i = 0; i < d->size; i++)
        if (slotlog_replay(&log, &d->records[i].r, &fx) != ERR_OK)
            fail(w, "slot %02x: record %llu does not replay", (unsigned)slot,
                 (unsigned long long)i);
    struct hash wanted;
    if (slotlog_digest(&log, &wanted) != ERR_OK)
        fail(w, "no memory");
    if (!hash_equal(&wanted, found))
        fail(w, "slot %02x: digest after recovery is another", (unsigned)slot);
    slotlog_close(&log);
}

/* The same size has the same digest, whatever way it was reached. */
static void check_digest(struct world *w, struct site *s, uint32_t slot,
                         bool from_snapshot)
{
    struct hash found = hub_digest_of(&s->hub, slot);
    struct digest_seen *seen = &s->digests[slot];
    tree_size size = s->hub.disk->slot[slot].size;
    w->stats.digests++;
    if (seen->size == size && size > 0) {
        if (!hash_equal(&seen->digest, &found))
            fail(w, "slot %02x: another digest at size %llu", (unsigned)slot,
                 (unsigned long long)size);
        return;
    }
    *seen = (struct digest_seen){.size = size, .digest = found};
    if (from_snapshot || w->calm)
        check_replay(w, s, slot, &found);
}

static bool reload_slot(struct world *w, struct site *s, uint32_t slot)
{
    struct disk *d = s->hub.disk;
    struct recover_report *report = &s->hub.report;
    if (goes_wrong(w, BAD_CLAIM))
        d->claim_fails = ERR_STORE;
    if (goes_wrong(w, BAD_READ))
        d->read_fails = ERR_STORE;
    bool rotten = d->slot[slot].snapshot.there && !d->slot[slot].unsynced.there &&
                  goes_wrong(w, BAD_ROT);
    if (rotten) {
        size_t bytes = disk_snapshot_bytes(d, slot);
        rotten = bytes > 0 &&
                 disk_flip_snapshot(d, slot, draw(w, (uint32_t)bytes), draw(w, 8));
    }
    s->memory_short = true;
    enum err err = hub_recover(&s->hub, slot, s->good != NULL ? NULL : &s->marks[slot]);
    s->memory_short = false;
    d->claim_fails = d->read_fails = ERR_OK;
    say(w, "%s loads slot %02x: %s, %llu records, %llu from a snapshot%s", s->actor.name,
        (unsigned)slot, err_word(err), (unsigned long long)report->size,
        (unsigned long long)report->snapshot_size, rotten ? " that has a bad bit" : "");
    if (err == ERR_STORE || err == ERR_MEMORY)
        return false;
    if (err != ERR_OK)
        fail(w, "%s: slot %02x: %s", s->actor.name, (unsigned)slot, report->why);
    w->stats.reloads++;
    w->stats.snapshots_used += report->snapshot_size > 0;
    if (rotten && report->snapshot_size > 0)
        fail(w, "slot %02x: a snapshot with a bad bit was believed", (unsigned)slot);
    if (s->good == NULL && report->size < s->marks[slot].size)
        fail(w, "slot %02x: published records are gone", (unsigned)slot);
    check_digest(w, s, slot, report->snapshot_size > 0);
    model_touch_all(s->model, slot);
    reads_slot_loaded(w, s, slot);
    return true;
}

static bool open_note(const struct site *s, uint64_t slot, struct bytes note,
                      struct checkpoint *c)
{
    struct vkey v = s->hub.log_keys[slot];
    if (checkpoint_open(c, (const char *)note.data, note.size, &v))
        return true;
    for (uint32_t i = 0; i < s->log_count; i++) {
        char name[sizeof v.name];
        memcpy(name, v.name, sizeof name);
        if (vkey_make(&v, name, NOTE_ED25519, &s->log_keys[i]) &&
            checkpoint_open(c, (const char *)note.data, note.size, &v))
            return true;
    }
    return false;
}

const struct checkpoint *site_note(struct world *w, struct site *s, const char *whom,
                                   uint64_t slot, struct bytes note)
{
    struct note_seen *seen = &s->notes[slot];
    w->stats.checkpoints++;
    if (note.size > sizeof seen->text)
        fail(w, "%s sees a checkpoint of no log", whom);
    if (seen->size == note.size && memcmp(seen->text, note.data, note.size) == 0)
        return &seen->c;
    if (!open_note(s, slot, note, &seen->c))
        fail(w, "%s sees a checkpoint nobody signed", whom);
    const char *why =
        model_check_checkpoint(s->model, (uint32_t)slot, seen->c.size, &seen->c.root);
    if (why != NULL)
        fail(w, "%s sees slot %02x: %s", whom, (unsigned)slot, why);
    seen->size = note.size;
    memcpy(seen->text, note.data, note.size);
    return &seen->c;
}

bool site_all_ready(const struct site *s)
{
    for (uint32_t i = 0; i < s->hub.slots; i++)
        if (sequencer_slot_state(s->hub.q, i) != SEQ_SLOT_READY)
            return false;
    return true;
}

bool site_any_stopped(const struct site *s)
{
    for (uint32_t i = 0; s->hub.q != NULL && i < s->hub.slots; i++)
        if (sequencer_slot_state(s->hub.q, i) == SEQ_SLOT_STOPPED)
            return true;
    return false;
}

void site_reload(struct world *w, struct site *s)
{
    if (!s->up || s->in_flight)
        return;
    if (s->hub.q == NULL && sequencer_open(&s->hub.q, &s->hub.config) != ERR_OK)
        fail(w, "no memory");
    if (s->reads == NULL)
        reads_start(w, s);
    bool all = true;
    for (uint32_t i = 0; i < s->hub.slots; i++)
        if (sequencer_slot_state(s->hub.q, i) == SEQ_SLOT_DOWN)
            all = reload_slot(w, s, i) && all;
    const char *why = s->good != NULL ? NULL : model_advance(s->model, s->hub.disk);
    if (why != NULL)
        fail(w, "%s: %s", s->actor.name, why);
    if (!all)
        world_at(w, &s->actor, 300 + draw(w, 700), SITE_RELOAD, s->boot);
    site_poke(w, s);
}
