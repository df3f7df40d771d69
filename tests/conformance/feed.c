#include "tests/conformance/feed.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/note.h"

uint64_t feed_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void feed_slot_init(struct feed_slot *s, uint32_t slot, uint32_t slots, uint64_t epoch)
{
    memset(s, 0, sizeof *s);
    s->slot = slot;
    s->slots = slots;
    s->epoch = epoch;
}

struct hash feed_account(uint32_t slot, uint32_t slots, unsigned number)
{
    uint32_t word[2] = {slot, number};
    struct hash h = hash_sha256(word, sizeof word);
    uint32_t top = (slot << 16) / slots + (h.b[1] & (65536 / slots - 1));
    h.b[0] = (uint8_t)(top >> 8);
    h.b[1] = (uint8_t)top;
    assert(slot_of(&h, slots) == slot);
    return h;
}

static void fill(uint8_t *out, size_t size, uint64_t *state)
{
    for (size_t at = 0; at < size; at += 8) {
        uint64_t v = feed_random(state);
        memcpy(out + at, &v, size - at < 8 ? size - at : 8);
    }
}

static void make_record(struct feed_append *f, size_t i, uint8_t *envelope, size_t size,
                        uint64_t *state)
{
    struct feed_slot *s = &f->after;
    struct store_record *x = &f->records[i];
    unsigned number = (unsigned)(feed_random(state) % FEED_ACCOUNTS);
    x->account = feed_account(s->slot, s->slots, number);
    static const uint8_t start[4] = {0x9b, 0x01, 0xc4, 0x20};
    fill(envelope, size, state);
    memcpy(envelope, start, sizeof start);
    if (s->position[number] == 0) /* an open has no account in it */
        envelope[4] = (uint8_t)~x->account.b[0];
    else
        memcpy(envelope + sizeof start, x->account.b, HASH_BYTES);
    x->r.slot = s->slot;
    x->r.index = f->a.old_size + i;
    x->r.position = s->position[number]++;
    fill(x->r.account_head.b, HASH_BYTES, state);
    x->r.hub_lamport = x->r.index * 3 + 1;
    x->r.hub_time_ms = UINT64_C(1750000000000) + x->r.index;
    x->r.envelope = bytes_of(envelope, size);
    x->id = hash_context(CTX_ENTRY, envelope, size - SIG_BYTES);
    x->leaf_hash = record_leaf_hash(&x->r);
}

/* Add a leaf to the tree; tiles that get full go into the append. */
static void add_leaf(struct feed_append *f, const struct hash *leaf)
{
    struct feed_slot *s = &f->after;
    struct hash carry = *leaf;
    uint64_t index = s->frontier.size;
    bool ok = frontier_append(&s->frontier, leaf);
    assert(ok);
    (void)ok;
    for (unsigned level = 0; level < FEED_LEVELS; level++, index /= TILE_HASHES) {
        s->pending[level][index % TILE_HASHES] = carry;
        if (index % TILE_HASHES != TILE_HASHES - 1)
            return;
        struct hash *hashes = f->hashes + f->a.tile_count * TILE_HASHES;
        memcpy(hashes, s->pending[level], TILE_HASHES * sizeof *hashes);
        f->tiles[f->a.tile_count++] =
            (struct store_tile){(uint8_t)level, index / TILE_HASHES, hashes};
        carry = tile_root(hashes, TILE_HASHES);
    }
}

static void add_items(struct feed_append *f, const struct store_record *x)
{
    for (uint32_t k = 0; k < 2; k++)
        f->items[f->a.item_count++] = (struct channel_item){
            .cause = x->id,
            .payee_index = k,
            .payer = x->account,
            .payee = feed_account((f->a.slot + k) % f->after.slots, f->after.slots, k),
            .amount = (int64_t)x->r.index - 7,
            .source_slot = f->a.slot,
            .destination_slot = (f->a.slot + k) % f->after.slots,
            .source_index = x->r.index,
            .source_lamport = x->r.hub_lamport,
            .out_seq = x->r.index * 2 + k,
            .is_return = x->r.index % 5 == 0,
        };
}

void feed_make(struct feed_append *f, const struct feed_slot *before, size_t records,
               size_t envelope_bytes, size_t items_every, uint64_t salt)
{
    assert(envelope_bytes >= FEED_ENVELOPE_MIN);
    memset(&f->a, 0, sizeof f->a);
    f->after = *before;
    size_t tiles = records / 128 + FEED_LEVELS + 1;
    f->bytes = malloc(records * envelope_bytes + 1);
    f->records = calloc(records + 1, sizeof *f->records);
    f->tiles = calloc(tiles, sizeof *f->tiles);
    f->hashes = calloc(tiles * TILE_HASHES, sizeof *f->hashes);
    f->items = calloc(2 * records + 1, sizeof *f->items);
    assert(f->bytes && f->records && f->tiles && f->hashes && f->items);
    f->a.slot = before->slot;
    f->a.epoch = before->epoch;
    f->a.old_size = before->frontier.size;
    uint64_t state = salt * 1000003 + f->a.slot * 7919 + f->a.old_size;
    for (size_t i = 0; i < records; i++) {
        make_record(f, i, f->bytes + i * envelope_bytes, envelope_bytes, &state);
        add_leaf(f, &f->records[i].leaf_hash);
        if (items_every != 0 && f->records[i].r.index % items_every == 0)
            add_items(f, &f->records[i]);
    }
    f->a.record_count = records;
    f->a.records = f->records;
    f->a.tiles = f->tiles;
    f->a.items = f->items;
    f->a.edge_count = frontier_edges(&f->after.frontier, f->edges);
    f->a.edges = f->edges;
    /* A note's text; nobody here asks who signed it. */
    struct checkpoint c = {.size = f->after.frontier.size,
                           .root = frontier_root(&f->after.frontier)};
    snprintf(c.origin, sizeof c.origin, "test/%02x", (unsigned)f->a.slot);
    size_t size = checkpoint_format(f->checkpoint, sizeof f->checkpoint - 1, &c);
    assert(size > 0);
    f->checkpoint[size++] = '\n';
    f->a.checkpoint = bytes_of(f->checkpoint, size);
}

void feed_close(struct feed_append *f)
{
    free(f->bytes);
    free(f->records);
    free(f->tiles);
    free(f->hashes);
    free(f->items);
}
