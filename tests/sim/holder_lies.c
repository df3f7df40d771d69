/* Somebody between a holder and its hub, who has no key: he turns bits, shows what is old as
 * if it were new, and gives another record's proof as an entry's own. He is believed in
 * nothing: what the holder believes is held against the books all the same. */
#include <stdlib.h>
#include <string.h>

#include "holder.h"

#define LATER UINT64_C(1000000000000)

static uint8_t room[1u << 20];

static void replace(struct holder *h, struct letter **at, const struct mp_writer *m)
{
    struct letter *l = *at;
    struct letter *n = m->full ? NULL : malloc(sizeof *n + m->size);
    if (n == NULL)
        fail(h->w, "a lie does not fit");
    *n = (struct letter){.next = l->next, .size = m->size};
    memcpy(n->bytes, m->data, m->size);
    free(l);
    *at = n;
}

/* A bit of something that stands in the frame. */
static bool turn_bit(struct holder *h, struct bytes part)
{
    if (part.size == 0)
        return false;
    uint8_t *at = (uint8_t *)(uintptr_t)part.data;
    at[draw(h->w, (uint32_t)part.size)] ^= (uint8_t)(1u << draw(h->w, 8));
    return true;
}

/* ---- what is old ---- */

static struct bytes old_note(const struct holder *h, uint64_t slot)
{
    if (slot >= SLOTS_MAX || h->stale[slot] == NULL)
        return (struct bytes){0};
    return bytes_of(h->stale[slot], strlen(h->stale[slot]));
}

/* Less than the wallet knows has to be noticed. */
static void must_be_noticed(struct holder *h, uint64_t slot)
{
    h->shown_less |= h->stale_size[slot] < h->known[slot];
}

static bool lie_in_welcome(struct holder *h, struct letter **at, struct wire_frame *f)
{
    struct mp_writer m = mp_writer_of(room, sizeof room);
    uint32_t which = draw(h->w, (uint32_t)f->note_count);
    if (old_note(h, which).size == 0)
        return false;
    wire_put(&m, f);
    for (uint32_t i = 0; i < f->note_count; i++) {
        struct bytes note;
        wire_next_note(&f->notes, &note);
        wire_put_note(&m, i == which ? old_note(h, which) : note);
    }
    must_be_noticed(h, which);
    replace(h, at, &m);
    return true;
}

static bool lie_in_checkpoint(struct holder *h, struct letter **at, struct wire_frame *f)
{
    struct mp_writer m = mp_writer_of(room, sizeof room);
    if (f->rid != h->wallet->rid || !h->asks_checkpoint ||
        old_note(h, h->asked_slot).size == 0)
        return turn_bit(h, f->note);
    must_be_noticed(h, h->asked_slot);
    f->note = old_note(h, h->asked_slot);
    wire_put(&m, f);
    replace(h, at, &m);
    return true;
}

/* ---- what was not accepted ---- */

static bool node_of(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct disk_slot *d = context;
    *out = d->levels[level].nodes[n];
    return true;
}

/* An acceptance made of what the log holds of another entry: all of it is true but for the
 * entry it is said of. */
static bool made_up(struct holder *h, struct wire_result *r, struct hash path[])
{
    if (h->followed_count == 0 || h->site->hub.disk == NULL)
        return false;
    uint32_t slot = slot_of(&h->followed[0].id, h->site->hub.slots);
    struct disk_slot *d = &h->site->hub.disk->slot[slot];
    const struct merkle_source source = {node_of, d};
    size_t count = 0;
    uint64_t index = draw(h->w, (uint32_t)d->size);
    if (!merkle_prove_inclusion(index, d->size, &source, path, &count))
        return false;
    const struct record *k = &d->records[index].r;
    *r = (struct wire_result){.rid = r->rid,
                              .i = r->i,
                              .slot = slot,
                              .index = index,
                              .position = k->position,
                              .account_head = k->account_head,
                              .hub_lamport = k->hub_lamport,
                              .hub_time_ms = k->hub_time_ms,
                              .path = bytes_of(path, count * HASH_BYTES)};
    return true;
}

static bool lie_in_results(struct holder *h, struct letter **at, struct wire_frame *f)
{
    struct hash path[MERKLE_PATH_MAX];
    struct mp_writer m = mp_writer_of(room, sizeof room);
    struct wire_result r;
    wire_next_result(&f->list, &r);
    if (r.code == 0 && draw(h->w, 2) == 0)
        return turn_bit(h, r.path);
    if (!made_up(h, &r, path)) /* it takes the place of all the results */
        return false;
    const struct disk_slot *d = &h->site->hub.disk->slot[r.slot];
    struct wire_frame head = {.type = WIRE_RESULTS, .note_count = 1};
    wire_put(&m, &head);
    wire_put_slot_note(&m, r.slot, bytes_of(d->checkpoint, d->checkpoint_size));
    wire_put_list(&m, 1);
    wire_put_result(&m, &r);
    replace(h, at, &m);
    return true;
}

/* ---- records ---- */

/* The place and the clocks of the newest record, which no signature covers: nothing true goes
 * on from them. */
static bool lie_of_newest(struct holder *h, struct letter **at, struct wire_frame *f)
{
    struct mp_writer m = mp_writer_of(room, sizeof room);
    uint32_t which = draw(h->w, 3);
    struct record r;
    wire_put(&m, f);
    for (uint32_t i = 0; i < f->count; i++) {
        wire_next_record(&f->list, &r);
        if (i + 1 == f->count) {
            r.hub_time_ms += which == 0 ? LATER : 0;
            r.hub_lamport += which == 1 ? LATER : 0;
            r.index += which == 2 ? LATER : 0;
        }
        wire_put_record(&m, &r);
    }
    if (f->type == WIRE_PAGE)
        wire_put_page_end(&m, f->next, f->end);
    else
        wire_put_note(&m, f->note);
    replace(h, at, &m);
    return true;
}

static bool lie_in_records(struct holder *h, struct letter **at, struct wire_frame *f)
{
    if (f->count > 0 && draw(h->w, 2) == 0)
        return lie_of_newest(h, at, f);
    struct record r = {.index = 0};
    uint32_t which = f->count == 0 ? 0 : draw(h->w, (uint32_t)f->count);
    for (uint32_t i = 0; f->count > 0 && i <= which; i++)
        wire_next_record(&f->list, &r);
    return turn_bit(h, r.envelope);
}

void holder_lie(struct holder *h, struct letter **at)
{
    static struct wire_frame f;
    bool lied;
    if (wire_decode(&f, (*at)->bytes, (*at)->size) != ERR_OK)
        fail(h->w, "a hub sends a frame that does not decode");
    switch (f.type) {
    case WIRE_WELCOME:
        lied = f.note_count > 0 && lie_in_welcome(h, at, &f);
        break;
    case WIRE_RESULTS:
        lied = f.count > 0 && lie_in_results(h, at, &f);
        break;
    case WIRE_PAGE:
    case WIRE_RECORDS:
        lied = lie_in_records(h, at, &f);
        break;
    case WIRE_PROOF_IS:
        lied = turn_bit(h, f.path);
        break;
    case WIRE_CHECKPOINT_IS:
        lied = lie_in_checkpoint(h, at, &f);
        break;
    default:
        lied = false;
    }
    if (!lied)
        return;
    h->lies++;
    h->lied_to = h->in_doubt = true;
    saw(h->w, SEEN_WALLET_LIED_TO);
    say(h->w, "somebody lies to %s in a frame of type %llu", h->actor.name,
        (unsigned long long)f.type);
}
