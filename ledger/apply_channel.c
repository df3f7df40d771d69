/* Channels between the slots of a hub: numbering what goes out, checking what comes in.
 */
#include <assert.h>

#include "ledger/apply.h"

static const char hex_digits[] = "0123456789abcdef";

void slot_origin(char out[CHANNEL_ORIGIN_ROOM], struct bytes hub, uint32_t slot)
{
    assert(hub.size + 4 <= CHANNEL_ORIGIN_ROOM && slot < SLOTS_MAX);
    memcpy(out, hub.data, hub.size);
    out[hub.size] = '/';
    out[hub.size + 1] = hex_digits[slot >> 4];
    out[hub.size + 2] = hex_digits[slot & 15];
    out[hub.size + 3] = 0;
}

static bool hex_value(uint8_t c, uint32_t *value)
{
    if (c >= '0' && c <= '9')
        *value = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *value = (uint32_t)(c - 'a') + 10;
    else
        return false;
    return true;
}

bool slot_from_origin(const struct hub_account *h, struct bytes origin, uint32_t *slot)
{
    /* This log's own origin differs from a sister's in the last two bytes only. */
    size_t size = strlen(h->origin);
    uint32_t high, low;
    if (origin.size != size || memcmp(origin.data, h->origin, size - 2) != 0 ||
        !hex_value(origin.data[size - 2], &high) ||
        !hex_value(origin.data[size - 1], &low))
        return false;
    *slot = high << 4 | low;
    return *slot < h->slots;
}

/* Channels are sorted by origin, so those of this hub's slots lie side by side in slot
 * order; as long as nothing sorts before them, channel i is slot i. */
struct channel *channel_of(struct hub_account *h, uint32_t slot)
{
    char origin[CHANNEL_ORIGIN_ROOM];
    slot_origin(origin, bytes_of(h->hub, strlen(h->hub)), slot);
    size_t size = strlen(origin) + 1;
    if (slot < h->channel_count && memcmp(h->channels[slot].origin, origin, size) == 0)
        return &h->channels[slot];
    uint32_t low = 0, high = h->channel_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(h->channels[middle].origin, origin);
        if (order == 0)
            return &h->channels[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

enum err channels_open(struct hub_account *h, struct bytes hub, uint32_t slots)
{
    bool ok;
    assert(h->channel_count == 0);
    ARRAY_RESERVE(h, channels, channel, slots, ok);
    if (!ok)
        return ERR_MEMORY;
    memset(h->channels, 0, slots * sizeof *h->channels);
    for (uint32_t slot = 0; slot < slots; slot++)
        slot_origin(h->channels[slot].origin, hub, slot);
    h->channel_count = slots;
    return ERR_OK;
}

enum err check_settles(struct apply *x, const struct p_credit *item)
{
    if (!slot_from_origin(x->h, item->source, &x->slot))
        return ERR_CHANNEL;
    if (x->view != VIEW_SLOT)
        return ERR_OK;
    const struct channel *c = channel_of(x->h, x->slot);
    return c != NULL && item->out_seq == c->next_in ? ERR_OK : ERR_CHANNEL;
}

void commit_settles(struct apply *x, const struct p_credit *item)
{
    if (x->view == VIEW_SLOT) {
        channel_of(x->h, x->slot)->next_in++;
        x->h->settled += (uint64_t)item->amount;
    }
    if (x->fx == NULL)
        return;
    x->fx->settles = true;
    x->fx->settle_source = x->slot;
    x->fx->settle_seq = item->out_seq;
}

void channel_put(struct apply *x, const struct channel_item *item)
{
    struct channel *c = channel_of(x->h, item->destination_slot);
    assert(c != NULL);
    uint64_t out_seq = c->next_out++;
    x->h->sent += (uint64_t)item->amount;
    if (x->fx == NULL)
        return;
    assert(x->fx->item_count < PAYEES_MAX);
    struct channel_item *put = &x->fx->items[x->fx->item_count++];
    *put = *item;
    put->source_slot = x->h->slot;
    put->source_index = x->r->index;
    put->source_lamport = x->r->hub_lamport;
    put->out_seq = out_seq;
}
