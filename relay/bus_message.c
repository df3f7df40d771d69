#include "relay/bus_message.h"

#include <stdlib.h>
#include <string.h>

#include "federation/bus.h"
#include "relay/bus_redis.h"

/* Bytes of the envelopes, or SIZE_MAX: this batch is not carried. */
static size_t carried_bytes(struct relay *r, const struct seq_commit *done)
{
    size_t bytes = 0, count = (size_t)(done->new_size - done->old_size);
    if (count > BUS_RECORDS_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        bytes += done->records[i].r.envelope.size;
        if (bytes > BUS_CARRY_BYTES_MAX || pinned_is(&r->pinned, &done->records[i].account))
            return SIZE_MAX;
    }
    return bytes;
}

void bus_message_add(struct relay *r, struct chain_of_links *out, uint64_t epoch,
                     const struct seq_commit *done)
{
    const char *name = settings(r)->region.relay;
    if (!r->bus)
        return;
    size_t bytes = carried_bytes(r, done);
    bool carries = bytes != SIZE_MAX;
    struct bus_message m = {.sender = bytes_of(name, strlen(name)),
                            .slot = done->slot,
                            .epoch = epoch,
                            .first = done->old_size,
                            .last = done->new_size,
                            .note = done->checkpoint,
                            .count = carries ? (size_t)(done->new_size - done->old_size) : 0};
    size_t room =
        BUS_HEAD_BYTES_MAX + (carries ? bytes + m.count * BUS_RECORD_OVERHEAD : 0);
    struct bus_out *b = bus_out_new(done->slot, room);
    if (!b)
        return; /* they poll */
    struct mp_writer w = mp_writer_of(b->data, room);
    bus_put(&w, &m);
    for (size_t i = 0; i < m.count; i++)
        bus_put_record(&w, &done->records[i].r);
    b->size = (uint32_t)w.size;
    links_add(out, &b->link);
}

void bus_message_send(struct relay *r, struct chain_of_links *out)
{
    if (r->bus)
        bus_redis_publish(r->bus, out);
}

void bus_message_drop(struct chain_of_links *out)
{
    for (struct link *l; (l = links_pop(out));)
        free(l);
}
