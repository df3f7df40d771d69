#include "relay/region.h"

#include <string.h>

#include "relay/relay.h"

bool region_on(const struct relay *r)
{
    return r->region != NULL;
}

bool region_owns(const struct relay *r, uint32_t slot)
{
    (void)r;
    (void)slot;
    return true;
}

bool region_owner(const struct relay *r, uint32_t slot, struct region_owner *out)
{
    (void)r;
    (void)slot;
    memset(out, 0, sizeof *out);
    out->self = true;
    return true;
}

uint64_t region_generation(const struct relay *r)
{
    (void)r;
    return 0;
}

size_t region_members(const struct relay *r, struct region_member out[REGION_RELAYS_MAX])
{
    memset(&out[0], 0, sizeof out[0]);
    out[0].self = true;
    out[0].slots = r->slots;
    return 1;
}

void region_ring(struct relay *r, uint32_t slot)
{
    (void)r;
    (void)slot;
}

void region_drain(struct relay *r)
{
    (void)r;
}

bool region_drained(const struct relay *r)
{
    (void)r;
    return true;
}
