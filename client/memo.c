/* Sealed memos: the entry commits to them, the hub keeps them apart, the devices read
 * them. */
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"
#include "crypto/seal.h"

stoa_result sealed_hand_in(stoa_wallet *w, struct client_outgoing *o, uint64_t deadline,
                           stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_SEALED_PUT, .id = o->id}, answer;
    struct hash id = o->id;
    stoa_error why = {.size = sizeof(why)};
    if (o->sealed.size <= SEAL_SALT_BYTES)
        return STOA_OK;
    memcpy(f.salt.b, o->sealed.data, SEAL_SALT_BYTES);
    f.data = bytes_of(o->sealed.data + SEAL_SALT_BYTES, o->sealed.size - SEAL_SALT_BYTES);
    stoa_result r = rpc_call(w, &f, WIRE_OK, deadline, &answer, &why);
    if (r != STOA_OK && why.code != ERR_EXISTS) {
        if (error)
            *error = why;
        return r;
    }
    struct client_outgoing now;
    TRY_S(client_store_outgoing_find(w->store, &id, &now));
    now.sealed = (struct bytes){0};
    TRY_S(client_store_outgoing_put(w->store, &now));
    return STOA_OK;
}

struct commitment {
    bool found, has;
    struct hash value;
};

static void note_commitment(struct commitment *c, const void *envelope, size_t size)
{
    struct entry e;
    if (entry_decode(&e, envelope, size) != ERR_OK)
        return;
    c->found = true;
    c->has = e.has_sealed;
    c->value = e.sealed_commitment;
}

static bool from_record(void *context, const struct record *r, int64_t balance)
{
    (void)balance;
    note_commitment(context, r->envelope.data, r->envelope.size);
    return false;
}

static stoa_result find_commitment(stoa_wallet *w, const struct hash *id,
                                   struct commitment *c, stoa_error *error)
{
    struct client_account row;
    struct client_outgoing o;
    uint64_t position;
    memset(c, 0, sizeof(*c));
    enum err e = client_store_record_find(w->store, id, &row, &position);
    if (e == ERR_OK) {
        TRY_S(client_store_records(w->store, &row, position, 1, from_record, c));
    } else if (e == ERR_NOT_FOUND &&
               client_store_outgoing_find(w->store, id, &o) == ERR_OK) {
        note_commitment(c, o.envelope.data, o.envelope.size);
    } else if (e != ERR_NOT_FOUND) {
        return because_store(w, error, e);
    }
    if (!c->found)
        return because(error, ERR_NOT_FOUND, "that entry is not known here");
    return c->has ? STOA_OK : because(error, ERR_NOT_FOUND, "that entry has no memo");
}

stoa_result stoa_memo_get(stoa_wallet *w, const stoa_id *entry, uint8_t *out,
                          size_t *size, stoa_error *error)
{
    struct hash id = hash_of(entry);
    struct commitment c;
    struct wire_frame f = {.type = WIRE_SEALED_GET, .id = id}, answer;
    const struct key *key;
    TRY_R(find_commitment(w, &id, &c, error));
    TRY_R(need_connection(w, error));
    TRY_R(keys_unlock(w, device_key(w), &key, error));
    TRY_R(rpc_call(w, &f, WIRE_SEALED_IS, deadline_of(w, 0), &answer, error));
    struct hash shown =
        seal_commitment(answer.salt.b, answer.data.data, answer.data.size);
    if (!hash_equal(&shown, &c.value))
        return because(error, ERR_CORRUPT,
                       "hub shows a memo that the entry does not commit to");
    if (!seal_open(out, size, answer.data.data, answer.data.size, key))
        return because_as(error, STOA_DENIED, ERR_NOT_ALLOWED,
                          "the memo is not sealed to this device");
    return STOA_OK;
}
