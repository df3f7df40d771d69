#include "relay/event.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/clock.h"

struct event *event_new(uint32_t slot, tree_size old_size, tree_size new_size,
                        const struct hash *root, struct bytes note)
{
    struct event *e = calloc(1, sizeof(*e));
    assert(note.size <= CHECKPOINT_BYTES_MAX);
    if (!e)
        return NULL;
    e->slot = slot;
    e->old_size = old_size;
    e->new_size = new_size;
    e->time_ms = clock_wall_ms();
    e->root = *root;
    e->note_size = note.size;
    memcpy(e->note, note.data, note.size);
    return e;
}

bool event_wanted(const struct relay *r)
{
    return atomic_load_explicit(&r->subscriptions, memory_order_relaxed) > 0;
}

static size_t block_room(struct relay *r, const struct store_record records[], size_t count)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += WIRE_RECORD_OVERHEAD + records[i].r.envelope.size;
        if (pinned_is(&r->pinned, &records[i].account))
            room += WIRE_RECORD_OVERHEAD;
    }
    return room;
}

static void encode_records(struct event *e, struct relay *r,
                           const struct store_record records[], size_t room)
{
    struct mp_writer w = mp_writer_of(e->block, room);
    for (size_t i = 0; i < e->count; i++) {
        const struct store_record *s = &records[i];
        struct event_record *out = &e->records[i];
        *out = (struct event_record){.account = s->account,
                                     .position = s->r.position,
                                     .at = (uint32_t)w.size,
                                     .pinned = pinned_is(&r->pinned, &s->account)};
        wire_put_record(&w, &s->r);
        out->size = (uint32_t)w.size - out->at;
        out->public_at = out->at;
        out->public_size = out->size;
        if (!out->pinned)
            continue;
        struct record withheld = s->r;
        withheld.position = 0;
        withheld.envelope = bytes_of(NULL, 0);
        e->any_pinned = true;
        out->public_at = (uint32_t)w.size;
        wire_put_record(&w, &withheld);
        out->public_size = (uint32_t)w.size - out->public_at;
    }
}

void event_fill(struct event *e, struct relay *r, const struct store_record records[])
{
    size_t count = (size_t)(e->new_size - e->old_size);
    size_t room = block_room(r, records, count);
    struct event_record *list = malloc((count ? count : 1) * sizeof(*list));
    uint8_t *block = malloc(room ? room : 1);
    if (!list || !block) { /* as if nobody had listened; they catch up */
        free(list);
        free(block);
        return;
    }
    e->records = list;
    e->block = block;
    e->count = count;
    encode_records(e, r, records, room);
}
