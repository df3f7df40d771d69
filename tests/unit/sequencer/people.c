#include "people.h"

#include <stdlib.h>
#include <string.h>

void person_init(struct person *p, struct hub *h, uint32_t slot, uint32_t key)
{
    struct kit_open o = {.federation = kit_hash(1),
                         .hub = HUB_NAME,
                         .root = kit_key(key),
                         .device = kit_key(key + 1),
                         .nonce = (uint64_t)key << 32};
    kit_open_in_slot(&p->entry, &o, slot, h->slots);
    p->key = key;
    p->id = p->entry.e.id;
    p->chain = (struct chain){.next_seq = 1, .tip = p->id, .tip_lamport = 1};
}

void person_write(struct person *p, const struct payload *payload)
{
    struct entry_draft d = {.account = &p->id,
                            .seq = p->chain.next_seq,
                            .prev = &p->chain.tip,
                            .lamport = p->chain.tip_lamport + 1};
    kit_sign(&p->entry, &d, payload, kit_key(p->key + 1));
    p->chain.next_seq++;
    p->chain.tip = p->entry.e.id;
    p->chain.tip_lamport++;
}

static struct payload *scratch(void)
{
    static struct payload payload;
    return &payload;
}

void person_pay(struct person *p, const struct hash *payee, int64_t amount)
{
    kit_transfer(scratch());
    kit_pay(scratch(), payee, amount);
    person_write(p, scratch());
}

void person_note(struct person *p, const char *text)
{
    kit_note(scratch(), text, strlen(text));
    person_write(p, scratch());
}

void person_send(struct person *p, struct hub *h, uint64_t token)
{
    struct refusal r;
    enum seq_disposition d = hub_submit(h, &p->entry.e, token, &r);
    OK(r.code);
    assert_int_equal(d, SEQ_QUEUED);
}

void people_fund(struct hub *h, const struct hash *account, int64_t points)
{
    static struct kit_entry e;
    static uint64_t epoch;
    struct hash node = kit_hash(7);
    struct refusal r;
    struct account *a = hub_account_at(h, account);
    assert_non_null(a);
    kit_accrue(scratch(), &node, ++epoch, points);
    kit_build(&e, a, &sequencer_slotlog(h->q, slot_of(account, h->slots))->hub,
              kit_key(HUB_KEY_ISSUER), scratch());
    assert_int_equal(hub_submit(h, &e.e, 0, &r), SEQ_QUEUED);
}

void people_open(struct person people[], size_t count, struct hub *h, int64_t points)
{
    for (size_t i = 0; i < count; i++) {
        person_init(&people[i], h, (uint32_t)(i % h->slots),
                    HUB_KEY_FREE + 2 * (uint32_t)i);
        person_send(&people[i], h, 0);
    }
    OK(hub_commit(h));
    for (size_t i = 0; points > 0 && i < count; i++)
        people_fund(h, &people[i].id, points);
    OK(hub_commit(h));
    hub_forget(h);
}

void other_signature(struct kit_entry *out, const struct kit_entry *e)
{
    /* An entry's id does not cover its signature, and decoding does not check it: any
     * other 64 bytes stand for the second valid signature a randomised signer would make.
     */
    memcpy(out->bytes, e->bytes, e->size);
    out->bytes[e->size - 1] ^= 1;
    out->size = e->size;
    OK(entry_decode(&out->e, out->bytes, out->size));
}
