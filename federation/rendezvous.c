#include "federation/rendezvous.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/hash.h"

uint64_t rendezvous_weight(const char *name, uint32_t slot)
{
    uint8_t number = (uint8_t)slot;
    uint64_t weight = 0;
    assert(slot < RENDEZVOUS_SLOTS_MAX);
    struct hash h = hash_context2(CTX_RENDEZVOUS, &number, 1, name, strlen(name));
    for (int i = 0; i < 8; i++)
        weight = weight << 8 | h.b[i];
    return weight;
}

struct shares {
    size_t count;
    uint32_t least;      /* what each relay gets at least */
    uint32_t more;       /* how many get one more */
    uint32_t has[RENDEZVOUS_RELAYS_MAX];
};

static bool has_room(const struct shares *s, size_t relay)
{
    return s->has[relay] < s->least || (s->has[relay] == s->least && s->more > 0);
}

static void give(struct shares *s, size_t relay)
{
    if (s->has[relay]++ == s->least)
        s->more--;
}

/* Of the slots still free and the relays with room, the pair that weighs most. Each pair is
 * so chosen that neither of the two has a better one left: what a relay that comes takes is
 * what it weighs more for, and the others keep the rest. Names break ties, in theory. */
static bool heaviest(const char *const names[], uint64_t weight[][RENDEZVOUS_RELAYS_MAX],
                     uint32_t slots, const uint32_t owner[], const struct shares *s,
                     uint32_t *slot, size_t *relay)
{
    bool any = false;
    for (uint32_t x = 0; x < slots; x++) {
        if (owner[x] != RENDEZVOUS_NONE)
            continue;
        for (size_t r = 0; r < s->count; r++) {
            uint64_t w = weight[x][r];
            if (!has_room(s, r) ||
                (any && (w < weight[*slot][*relay] ||
                         (w == weight[*slot][*relay] && strcmp(names[r], names[*relay]) >= 0))))
                continue;
            any = true;
            *slot = x;
            *relay = r;
        }
    }
    return any;
}

void rendezvous(const char *const names[], size_t count, uint32_t slots, uint32_t owner[])
{
    uint64_t weight[RENDEZVOUS_SLOTS_MAX][RENDEZVOUS_RELAYS_MAX];
    assert(count <= RENDEZVOUS_RELAYS_MAX && slots <= RENDEZVOUS_SLOTS_MAX);
    for (uint32_t x = 0; x < slots; x++)
        owner[x] = RENDEZVOUS_NONE;
    if (count == 0)
        return;
    for (uint32_t x = 0; x < slots; x++)
        for (size_t r = 0; r < count; r++)
            weight[x][r] = rendezvous_weight(names[r], x);
    struct shares s = {.count = count,
                       .least = (uint32_t)(slots / count),
                       .more = (uint32_t)(slots % count)};
    uint32_t slot = 0;
    size_t relay = 0;
    while (heaviest(names, weight, slots, owner, &s, &slot, &relay)) {
        owner[slot] = (uint32_t)relay;
        give(&s, relay);
    }
}
