#include "federation/bus_presence.h"

#include <string.h>

#define PRESENCE_FIELDS 2u

size_t bus_presence_put(uint8_t out[BUS_PRESENCE_MAX], const char *relay)
{
    struct mp_writer w = mp_writer_of(out, BUS_PRESENCE_MAX);
    mp_array(&w, PRESENCE_FIELDS);
    mp_uint(&w, BUS_VERSION);
    mp_str(&w, relay, strnlen(relay, BUS_SENDER_MAX));
    return w.size;
}

static struct bus_relay *find(const struct bus_relays *t, const void *name, size_t size)
{
    for (size_t i = 0; i < t->count; i++)
        if (strlen(t->relay[i].name) == size && memcmp(t->relay[i].name, name, size) == 0)
            return (struct bus_relay *)(uintptr_t)&t->relay[i];
    return NULL;
}

/* A free place, or that of who was heard longest ago. */
static struct bus_relay *make_room(struct bus_relays *t)
{
    if (t->count < BUS_RELAYS_MAX)
        return &t->relay[t->count++];
    struct bus_relay *oldest = &t->relay[0];
    for (size_t i = 1; i < t->count; i++)
        if (t->relay[i].heard_ms < oldest->heard_ms)
            oldest = &t->relay[i];
    return oldest;
}

static void heard(struct bus_relays *t, const void *name, size_t size, uint64_t now_ms)
{
    struct bus_relay *one = make_room(t);
    memset(one->name, 0, sizeof(one->name));
    memcpy(one->name, name, size);
    one->heard_ms = now_ms;
}

bool bus_presence_hear(struct bus_relays *t, struct bytes data, uint64_t now_ms)
{
    struct mp_reader r = mp_reader_of(data.data, data.size);
    size_t fields = 0;
    uint64_t version = 0;
    struct bytes name = {0};
    (void)mp_read_array(&r, &fields, PRESENCE_FIELDS);
    (void)mp_read_uint(&r, &version);
    (void)mp_read_str(&r, &name, BUS_SENDER_MAX);
    if (!mp_done(&r) || fields != PRESENCE_FIELDS || version != BUS_VERSION ||
        name.size == 0 || memchr(name.data, 0, name.size))
        return false;
    struct bus_relay *one = find(t, name.data, name.size);
    if (one)
        one->heard_ms = now_ms;
    else
        heard(t, name.data, name.size, now_ms);
    return true;
}

void bus_presence_expect(struct bus_relays *t, const char *const relays[], size_t count,
                         uint64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++)
        for (size_t k = 0; k < count; k++)
            if (strcmp(t->relay[i].name, relays[k]) == 0) {
                t->relay[kept++] = t->relay[i];
                break;
            }
    t->count = kept;
    for (size_t k = 0; k < count; k++)
        if (!find(t, relays[k], strlen(relays[k])))
            heard(t, relays[k], strnlen(relays[k], BUS_SENDER_MAX), now_ms);
}

uint64_t bus_presence_silent_ms(const struct bus_relays *t, const char *relay,
                                uint64_t now_ms)
{
    const struct bus_relay *one = find(t, relay, strlen(relay));
    return one ? now_ms - one->heard_ms : UINT64_MAX;
}
