#include "client/audit/export_record.h"

#include <stdio.h>
#include <string.h>

#include "crypto/be64.h"
#include "ledger/scratch.h"

struct hash export_head(const struct export_record *r)
{
    struct hash h;
    memcpy(h.b, r->leaf + HASH_BYTES, HASH_BYTES);
    return h;
}

uint64_t export_lamport(const struct export_record *r)
{
    return be64(r->leaf + 64);
}

uint64_t export_time_ms(const struct export_record *r)
{
    return be64(r->leaf + 72);
}

static struct export_place account(const struct hash *id)
{
    return (struct export_place){.kind = EXPORT_ACCOUNT, .account = *id};
}

static struct export_place channel(uint32_t from, uint32_t to)
{
    return (struct export_place){.kind = EXPORT_IN_FLIGHT, .from = from, .to = to};
}

static void move(struct export_record *r, struct export_place from, struct export_place to,
                 int64_t amount)
{
    r->moves[r->move_count++] =
        (struct export_move){.from = from, .to = to, .amount = amount};
}

/* "<hub>/<slot>" */
static bool slot_of_origin(struct bytes origin, uint32_t *slot)
{
    uint8_t b;
    if (origin.size < 3 ||
        !hex_decode(&b, 1, (const char *)origin.data + origin.size - 2, 2))
        return false;
    *slot = b;
    return true;
}

static void read_moves(struct export_record *r, const struct entry *e, uint32_t slots)
{
    UNINITIALIZED struct payload p;
    uint32_t source;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return;
    switch (e->kind) {
    case KIND_OPEN:
        r->opens_pinned = p.open.residency == RESIDENCY_PINNED;
        break;
    case KIND_ACCRUE:
        move(r, (struct export_place){.kind = EXPORT_ACCRUED}, account(&r->account),
             p.accrue.amount);
        break;
    case KIND_ADJUST: {
        struct export_place issued = {.kind = EXPORT_ADJUSTED};
        if (p.adjust.delta > 0)
            move(r, issued, account(&r->account), p.adjust.delta);
        else
            move(r, account(&r->account), issued, -p.adjust.delta);
        break;
    }
    case KIND_TRANSFER:
        for (size_t i = 0; i < p.transfer.payee_count && slots > 0; i++)
            move(r, account(&r->account),
                 channel(r->slot, slot_of(&p.transfer.payees[i].account, slots)),
                 p.transfer.payees[i].amount);
        break;
    case KIND_CREDIT:
        if (slot_of_origin(p.credit.source, &source))
            move(r, channel(source, r->slot), account(&r->account), p.credit.amount);
        break;
    case KIND_BOUNCE:
        /* The money goes back on the reverse channel. */
        if (slot_of_origin(p.bounce.item.source, &source))
            move(r, channel(source, r->slot), channel(r->slot, source),
                 p.bounce.item.amount);
        break;
    default:
        break;
    }
}

void export_record_read(struct export_record *r, uint32_t slots)
{
    UNINITIALIZED struct entry e;
    r->readable = r->opens_pinned = false;
    r->move_count = 0;
    memset(&r->id, 0, sizeof(r->id));
    memset(&r->account, 0, sizeof(r->account));
    r->kind = r->envelope.size ? "unreadable" : "withheld";
    if (r->envelope.size == 0 ||
        entry_decode(&e, r->envelope.data, r->envelope.size) != ERR_OK)
        return;
    r->readable = true;
    r->id = e.id;
    r->account = *entry_account(&e);
    r->kind = kind_word(e.kind);
    read_moves(r, &e, slots);
}

uint32_t export_slots_of(const struct export_record *r)
{
    UNINITIALIZED struct entry e;
    UNINITIALIZED struct payload p;
    if (r->envelope.size == 0 ||
        entry_decode(&e, r->envelope.data, r->envelope.size) != ERR_OK ||
        e.kind != KIND_LOG_OPEN || payload_decode(&p, e.kind, e.payload) != ERR_OK ||
        p.log_open.slots == 0 || p.log_open.slots > SLOTS_MAX)
        return 0;
    return (uint32_t)p.log_open.slots;
}

void export_place_text(const struct export_place *p, char out[EXPORT_PLACE_MAX])
{
    char address[ADDRESS_TEXT_MAX];
    switch (p->kind) {
    case EXPORT_ACCOUNT:
        (void)address_format(address, &p->account, NULL);
        snprintf(out, EXPORT_PLACE_MAX, "accounts:%.80s", address);
        break;
    case EXPORT_ACCRUED:
        snprintf(out, EXPORT_PLACE_MAX, "equity:issued:accrued");
        break;
    case EXPORT_ADJUSTED:
        snprintf(out, EXPORT_PLACE_MAX, "equity:issued:adjusted");
        break;
    case EXPORT_IN_FLIGHT:
        snprintf(out, EXPORT_PLACE_MAX, "in-flight:%02x-%02x", (unsigned)p->from,
                 (unsigned)p->to);
        break;
    }
}
