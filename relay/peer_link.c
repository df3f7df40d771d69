#include "relay/peer_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/link.h"

_Static_assert(PEER_LINK_WHY_MAX >= LINK_WHY_MAX, "a link's reason fits");

struct peer_link {
    struct link *link;
};

enum err peer_link_open(struct peer_link **out, const struct peer_link_options *p)
{
    char url[LINK_URL_MAX];
    struct link_options o = {
        .url = url, .ca_file = p->ca_file, .ping_ms = p->ping_ms, .keep_log = true};
    int n = snprintf(url, sizeof(url), "%s://%s/", p->tls ? "wss" : "ws", p->address);
    *out = NULL;
    if (n < 0 || (size_t)n >= sizeof(url))
        return ERR_USAGE;
    struct peer_link *l = malloc(sizeof(*l));
    if (!l)
        return ERR_MEMORY;
    enum err e = link_open(&l->link, &o);
    if (e != ERR_OK) {
        free(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

enum err peer_link_send(struct peer_link *l, struct bytes frame)
{
    return link_send(l->link, frame.data, frame.size);
}

enum peer_link_event peer_link_poll(struct peer_link *l, uint32_t timeout_ms,
                                    struct bytes *frame, char *why)
{
    struct link_event e;
    link_poll(l->link, timeout_ms, &e);
    *frame = e.frame;
    switch (e.type) {
    case LINK_OPEN:
        return PEER_LINK_OPEN;
    case LINK_FRAME:
        return PEER_LINK_FRAME;
    case LINK_CLOSED:
        memcpy(why, e.why, sizeof(e.why));
        return PEER_LINK_CLOSED;
    case LINK_TIMEOUT:
        break;
    }
    return PEER_LINK_TIMEOUT;
}

void peer_link_wake(struct peer_link *l)
{
    link_wake(l->link);
}

size_t peer_link_unsent(const struct peer_link *l)
{
    return link_unsent(l->link);
}

void peer_link_close(struct peer_link *l)
{
    if (!l)
        return;
    link_close(l->link, 0);
    free(l);
}
