/* Connections of an import: anonymous, one that submits and as many as the slots need. */
#include <stdlib.h>
#include <string.h>

#include "client/import.h"
#include "crypto/context.h"

#define HELLO_RID 1
#define READ_RID                                                                         \
    2 /* answers say their slot or are told apart by it: rid = READ_RID + slot */
#define LINGER_MS 200

static stoa_result lost(struct import_hub *h, const char *why)
{
    return cli_fail(h->c, STOA_INTERRUPTED, ERR_NET,
                    "run the same import again: it goes on",
                    "the connection ended: %.200s", why);
}

struct mp_writer import_hub_writer(struct import_hub *h)
{
    return mp_writer_of(h->room, WIRE_FRAME_MAX);
}

stoa_result import_hub_send(struct import_hub *h, unsigned peer,
                            const struct mp_writer *w)
{
    if (w->full)
        return cli_fail(h->c, STOA_BUG, ERR_BUG, NULL, "a frame is too large");
    enum err r = link_send(h->peers[peer].link, w->data, w->size);
    return r == ERR_OK ? STOA_OK : lost(h, err_text(r));
}

static stoa_result on_challenge(struct import_hub *h, unsigned peer,
                                const struct wire_frame *f)
{
    struct import_peer *p = &h->peers[peer];
    bool first = h->slots == 0;
    if (f->version != WIRE_VERSION || f->hub.size == 0 || f->hub.size > HUB_NAME_MAX ||
        f->slots == 0 || f->slots > SLOTS_MAX)
        return cli_fail(h->c, STOA_NO, ERR_FRAME, NULL,
                        "that is no hub of a version known here");
    if (first) {
        memcpy(h->name, f->hub.data, f->hub.size);
        h->federation = f->federation;
        h->slots = (uint32_t)f->slots;
        h->limits = f->limits;
    } else if (!hash_equal(&h->federation, &f->federation) || h->slots != f->slots) {
        return cli_fail(h->c, STOA_NO, ERR_FEDERATION, NULL,
                        "two connections show two different hubs");
    }
    p->hub_nonce = f->nonce;
    random_bytes(&p->client_nonce, sizeof p->client_nonce);
    struct wire_frame hello = {
        .type = WIRE_HELLO, .rid = HELLO_RID, .nonce = p->client_nonce};
    struct mp_writer w = import_hub_writer(h);
    wire_put(&w, &hello);
    return import_hub_send(h, peer, &w);
}

static stoa_result on_frame(struct import_hub *h, unsigned peer,
                            const struct link_event *event, bool *got)
{
    struct wire_frame *f = &h->frame;
    enum err r = wire_decode(f, event->frame.data, event->frame.size);
    if (r != ERR_OK)
        return cli_fail(h->c, STOA_NO, ERR_FRAME, NULL,
                        "the hub sent a frame that does not decode");
    h->heard_ms = cli_now_ms();
    switch (f->type) {
    case WIRE_CHALLENGE:
        return on_challenge(h, peer, f);
    case WIRE_WELCOME:
        h->peers[peer].greeted = true;
        if (peer == 0) {
            h->relay = f->device;
            h->welcome = f->sig;
        }
        return STOA_OK;
    case WIRE_ERROR:
    case WIRE_BYE: {
        enum err code;
        bool known = err_from_number(f->code, &code);
        return cli_fail(h->c, STOA_INTERRUPTED, (int)f->code,
                        "run the same import again: it goes on", "the hub says %s: %.*s",
                        known ? err_word(code) : "?", (int)f->text.size,
                        (const char *)f->text.data);
    }
    case WIRE_LIMITS_IS:
        h->limits = f->limits;
        return STOA_OK;
    default:
        *got = true;
        return STOA_OK;
    }
}

stoa_result import_hub_poll(struct import_hub *h, uint32_t timeout_ms, bool *got)
{
    *got = false;
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < h->peer_count; i++) {
            struct link_event event;
            /* Waiting is done on one connection; the others are looked at before. */
            link_poll(h->peers[i].link, pass == 1 && i == 0 ? timeout_ms : 0, &event);
            if (event.type == LINK_CLOSED)
                return h->peers[i].greeted
                           ? lost(h, event.why)
                           : cli_fail(h->c, STOA_UNREACHABLE, ERR_NET,
                                      "the same again later", "%.200s: %.150s", h->url,
                                      event.why);
            if (event.type != LINK_FRAME)
                continue;
            stoa_result r = on_frame(h, i, &event, got);
            if (r != STOA_OK || *got)
                return r;
        }
    return STOA_OK;
}

static stoa_result greet(struct import_hub *h)
{
    uint32_t timeout = h->c->timeout_ms ? h->c->timeout_ms : STOA_TIMEOUT_DEFAULT_MS;
    uint64_t end = cli_now_ms() + timeout;
    while (cli_now_ms() < end) {
        bool got, all = true;
        stoa_result r = import_hub_poll(h, 20, &got);
        if (r != STOA_OK)
            return r;
        for (unsigned i = 0; i < h->peer_count; i++)
            all = all && h->peers[i].greeted;
        if (all)
            return STOA_OK;
    }
    return cli_fail(h->c, STOA_UNREACHABLE, ERR_TIMEOUT, "the same again later",
                    "%.200s does not answer", h->url);
}

static stoa_result add_peer(struct import_hub *h)
{
    struct link_options o = {.url = h->url, .ca_file = h->c->value[OPT_CA_FILE]};
    enum err r = link_open(&h->peers[h->peer_count].link, &o);
    if (r != ERR_OK)
        return cli_fail(h->c, r == ERR_USAGE ? STOA_USAGE : STOA_UNREACHABLE, (int)r,
                        "--hub ws://127.0.0.1:7001", "%.200s: %s", h->url, err_text(r));
    h->peer_count++;
    return STOA_OK;
}

stoa_result import_hub_open(struct cli *c, struct import_hub *h, const char *url)
{
    memset(h, 0, sizeof *h);
    h->c = c;
    h->url = url;
    h->heard_ms = cli_now_ms();
    h->room = malloc(WIRE_FRAME_MAX);
    if (!h->room)
        return cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    stoa_result r = add_peer(h);
    if (r == STOA_OK)
        r = greet(h);
    if (r != STOA_OK)
        return r;
    uint64_t each = h->limits.subscriptions ? h->limits.subscriptions : 1;
    uint64_t wanted = (h->slots + each - 1) / each;
    if (wanted > IMPORT_CONNECTIONS_MAX)
        return cli_fail(c, STOA_LIMITED, ERR_LIMIT, NULL,
                        "the hub has %u slots and allows %u subscriptions a connection",
                        h->slots, (unsigned)each);
    while (r == STOA_OK && h->peer_count < wanted)
        r = add_peer(h);
    return r == STOA_OK && wanted > 1 ? greet(h) : r;
}

void import_hub_close(struct import_hub *h)
{
    for (unsigned i = 0; i < h->peer_count; i++)
        link_close(h->peers[i].link, LINGER_MS);
    free(h->room);
    memset(h, 0, sizeof *h);
}

bool import_hub_proves(const struct import_hub *h, const struct pubkey *relay)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = hello_message(message, &h->federation, h->name, &h->peers[0].hub_nonce,
                             &h->peers[0].client_nonce, NULL);
    return pubkey_equal(relay, &h->relay) &&
           sig_verify(&h->welcome, relay, CTX_WELCOME, message, n);
}

unsigned import_hub_peer(const struct import_hub *h, uint32_t slot)
{
    return slot % h->peer_count;
}

static stoa_result ask(struct import_hub *h, const struct wire_frame *f, uint32_t slot)
{
    struct mp_writer w = import_hub_writer(h);
    wire_put(&w, f);
    return import_hub_send(h, import_hub_peer(h, slot), &w);
}

stoa_result import_hub_fetch(struct import_hub *h, uint32_t slot, uint64_t from)
{
    uint64_t max = h->limits.page_records < IMPORT_PAGE_RECORDS ? h->limits.page_records
                                                                : IMPORT_PAGE_RECORDS;
    struct wire_frame f = {.type = WIRE_FETCH,
                           .rid = READ_RID + slot,
                           .key = {.what = WIRE_SLOT, .slot = slot},
                           .from = from,
                           .max = max};
    return ask(h, &f, slot);
}

stoa_result import_hub_subscribe(struct import_hub *h, uint32_t slot, uint64_t from)
{
    struct wire_frame f = {.type = WIRE_SUBSCRIBE,
                           .rid = READ_RID + slot,
                           .key = {.what = WIRE_SLOT, .slot = slot},
                           .from = from};
    return ask(h, &f, slot);
}

stoa_result import_hub_checkpoint(struct import_hub *h, uint32_t slot)
{
    struct wire_frame f = {.type = WIRE_CHECKPOINT, .rid = READ_RID + slot, .slot = slot};
    return ask(h, &f, slot);
}
