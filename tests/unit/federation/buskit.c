#include "tests/unit/federation/buskit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bus_kit_make(struct bus_kit *k, uint32_t slot, uint8_t seed)
{
    uint8_t bytes[SEED_BYTES] = {9};
    char origin[64];
    memset(k, 0, sizeof(*k));
    k->slot = slot;
    k->key = key_from_seed(bytes);
    struct pubkey pub = key_public(k->key);
    snprintf(origin, sizeof(origin), "hub.example/%02x", (unsigned)slot);
    if (!vkey_make(&k->vkey, origin, NOTE_ED25519, &pub))
        abort();
    for (size_t i = 0; i < KIT_RECORDS; i++) {
        memset(k->envelopes[i], (int)(i + 1), KIT_ENVELOPE);
        k->envelopes[i][0] = seed;
        k->records[i] =
            (struct record){.slot = slot,
                            .index = i,
                            .hub_lamport = i + 1,
                            .hub_time_ms = 1700000000000 + i,
                            .envelope = bytes_of(k->envelopes[i], KIT_ENVELOPE)};
        k->records[i].account_head = hash_sha256(k->envelopes[i], KIT_ENVELOPE);
    }
}

void bus_kit_close(struct bus_kit *k)
{
    key_free(k->key);
    k->key = NULL;
}

struct frontier bus_kit_at(const struct bus_kit *k, size_t size)
{
    struct frontier f = {0};
    for (size_t i = 0; i < size; i++) {
        struct hash leaf = record_leaf_hash(&k->records[i]);
        if (!frontier_append(&f, &leaf))
            abort();
    }
    return f;
}

size_t bus_kit_note(const struct bus_kit *k, size_t size, char out[CHECKPOINT_BYTES_MAX])
{
    struct frontier f = bus_kit_at(k, size);
    struct checkpoint c = {.size = size, .root = frontier_root(&f)};
    snprintf(c.origin, sizeof(c.origin), "%s", k->vkey.name);
    return checkpoint_sign(out, CHECKPOINT_BYTES_MAX, &c, &k->vkey, k->key);
}

void bus_kit_message(const struct bus_kit *k, struct kit_message *x)
{
    char note[CHECKPOINT_BYTES_MAX];
    size_t note_size = bus_kit_note(k, x->last, note);
    struct bus_message m = {.sender = bytes_of(x->sender, strlen(x->sender)),
                            .slot = k->slot,
                            .epoch = x->epoch,
                            .first = x->first,
                            .last = x->last,
                            .note = bytes_of(note, note_size),
                            .count = x->carry ? x->last - x->first : 0};
    struct mp_writer w = mp_writer_of(x->bytes, sizeof(x->bytes));
    bus_put(&w, &m);
    for (size_t i = 0; i < m.count; i++)
        bus_put_record(&w, &k->records[x->first + i]);
    x->size = w.size;
    if (w.full || !bus_decode(&x->m, bytes_of(x->bytes, x->size)))
        abort();
}
