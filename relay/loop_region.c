/* What /v1/status says of one of several relays: its slots, and its links to the others by
 * name. Where they are reached is nobody's business. */
#include "relay/loop_internal.h"

#include <jansson.h>

#include "relay/peer.h"
#include "relay/region.h"

static void add_link(void *context, const struct peer_status *s)
{
    json_t *list = context;
    json_array_append_new(list,
                          json_pack("{s:s, s:b, s:I}", "relay", s->relay, "up", (int)s->up,
                                    "waiting", (json_int_t)s->waiting));
}

struct json_t *relay_json(struct loop *l)
{
    uint32_t owned = 0;
    const char *waits = region_waits(l->r);
    if (!l->r->peers)
        return NULL;
    json_t *links = json_array();
    if (links)
        peers_status(l->r->peers, add_link, links);
    for (uint32_t slot = 0; slot < l->r->slots; slot++)
        owned += region_owns(l->r, slot);
    return json_pack("{s:s, s:I, s:s?, s:o}", "name", settings(l->r)->region.relay, "slots",
                     (json_int_t)owned, "waits", waits, "links", links);
}
