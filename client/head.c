/* Account heads that a hub signs on request: a promise about the newest record of an account
 * that whoever holds it can hold the log to later (ledger/evidence.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"
#include "crypto/context.h"
#include "crypto/tlog_proof.h"
#include "ledger/evidence.h"

#define KEY_RECORDS_MAX 64      /* that name a log's relay keys */
#define CHAIN_RECORDS_MAX 16384 /* of an account, proven one by one when a head is wrong */

/* Records copied out of the store, heads computed, proofs asked for: pieces of evidence. */
struct pieces {
    size_t count, cap;
    struct evidence_record *list;
    uint64_t *index;
    struct buf *rooms; /* two an element: envelope, proof */
    struct hash head;
    bool keys_only, failed;
};

static void pieces_close(struct pieces *p)
{
    for (size_t i = 0; i < 2 * p->count; i++)
        buf_close(&p->rooms[i]);
    free(p->list);
    free(p->index);
    free(p->rooms);
}

static bool pieces_open(struct pieces *p, size_t cap)
{
    *p = (struct pieces){.cap = cap,
                         .list = calloc(cap, sizeof(*p->list)),
                         .index = calloc(cap, sizeof(*p->index)),
                         .rooms = calloc(2 * cap, sizeof(*p->rooms))};
    return p->list && p->index && p->rooms;
}

static bool names_keys(const struct record *r)
{
    struct entry e;
    return entry_decode(&e, r->envelope.data, r->envelope.size) == ERR_OK &&
           (e.kind == KIND_LOG_OPEN || e.kind == KIND_HUB_KEY);
}

static bool take_piece(void *context, const struct record *r, int64_t balance)
{
    struct pieces *p = context;
    (void)balance;
    p->head = account_head_next(&p->head, r->envelope);
    if (p->keys_only && !names_keys(r))
        return true;
    struct buf *room = &p->rooms[2 * p->count];
    if (p->count == p->cap || !buf_add(room, r->envelope.data, r->envelope.size))
        return !(p->failed = true);
    p->index[p->count] = r->index;
    p->list[p->count++] = (struct evidence_record){.envelope = bytes_of(room->data, room->size),
                                                   .hub_lamport = r->hub_lamport,
                                                   .hub_time_ms = r->hub_time_ms,
                                                   .account_head = p->head};
    return true;
}

/* Inclusion of each in the tree of `note`. */
static stoa_result prove_pieces(stoa_wallet *w, uint32_t slot, struct pieces *p,
                                struct bytes note, tree_size size, uint64_t deadline,
                                stoa_error *error)
{
    for (size_t i = 0; i < p->count; i++) {
        struct wire_frame f = {.type = WIRE_PROOF,
                               .kind = WIRE_INCLUSION,
                               .slot = slot,
                               .a = p->index[i],
                               .b = size},
                          answer;
        struct tlog_proof t = {
            .index = p->index[i], .note = (const char *)note.data, .note_size = note.size};
        struct buf *room = &p->rooms[2 * i + 1];
        TRY_R(rpc_call(w, &f, WIRE_PROOF_IS, deadline, &answer, error));
        t.path_count = answer.path.size / HASH_BYTES;
        if (t.path_count > MERKLE_PATH_MAX || answer.path.size % HASH_BYTES)
            return because(error, ERR_FRAME, "the hub's path is too long");
        memcpy(t.path, answer.path.data, answer.path.size);
        size_t cap = note.size + (t.path_count + 2) * 64 + 256;
        if (!buf_reserve(room, cap))
            return because(error, ERR_MEMORY, "out of memory");
        room->size = tlog_proof_format((char *)room->data, cap, &t);
        if (room->size == 0)
            return because(error, ERR_ROOM, "proof does not fit");
        p->list[i].proof = bytes_of(room->data, room->size);
    }
    return STOA_OK;
}

static stoa_result ask_head(stoa_wallet *w, struct slot_view *v, const struct hash *account,
                            uint64_t deadline, struct signed_head *h, stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_HEAD, .id = *account}, answer;
    uint8_t message[MESSAGE_BYTES_MAX];
    TRY_R(rpc_call(w, &f, WIRE_HEAD_IS, deadline, &answer, error));
    *h = (struct signed_head){.account = *account,
                              .position = answer.position,
                              .head = answer.head,
                              .size = answer.size,
                              .sig = answer.sig};
    size_t n = head_message(message, account, h->position, &h->head, v->f.hub.log.name, h->size);
    if (!answer.has_sig || answer.slot != v->row.slot ||
        !sig_verify(&h->sig, &v->f.hub.relay, CTX_HEAD, message, n))
        return because_as(error, STOA_NO, ERR_SIGNATURE,
                          "the hub's answer is not signed by its relay key");
    if (h->position == 0)
        return because(error, ERR_ACCOUNT_UNKNOWN, "the hub knows no record of that account");
    return STOA_OK;
}

/* ---- against what this wallet knows ----------------------------------------------------- */

struct own_head {
    uint64_t until;
    struct hash head;
};

static bool chain_own(void *context, const struct record *r, int64_t balance)
{
    struct own_head *x = context;
    (void)balance;
    x->head = account_head_next(&x->head, r->envelope);
    return r->position + 1 < x->until;
}

static enum err own_head(stoa_wallet *w, const struct signed_head *h, bool *known, bool *same)
{
    struct client_account row;
    struct own_head x = {.until = h->position};
    *known = *same = false;
    enum err e = client_store_account(w->store, &h->account, &row);
    if (e == ERR_NOT_FOUND || (e == ERR_OK && row.position < h->position))
        return ERR_OK;
    TRY(e);
    TRY(client_store_records(w->store, &row, 0, h->position, chain_own, &x));
    *known = true;
    *same = hash_equal(&x.head, &h->head);
    return ERR_OK;
}

/* The hub vouched for another history than the one that stands in its own log: each record of
 * the account is proven to be there, and all of it is kept as one file. */
static bool keep_wrong_head(stoa_wallet *w, struct slot_view *v, const struct signed_head *h,
                            const struct pieces *keys, struct bytes note, tree_size size,
                            uint64_t deadline)
{
    struct client_account row;
    struct pieces chain = {0};
    struct buf out = {0};
    char name[64];
    bool ok = h->position <= CHAIN_RECORDS_MAX && pieces_open(&chain, (size_t)h->position) &&
              client_store_account(w->store, &h->account, &row) == ERR_OK &&
              client_store_records(w->store, &row, 0, h->position, take_piece, &chain) == ERR_OK &&
              !chain.failed &&
              prove_pieces(w, v->row.slot, &chain, note, size, deadline, NULL) == STOA_OK &&
              evidence_head(&out, &v->f.hub.log, h, keys->list, keys->count, chain.list,
                            chain.count) == ERR_OK;
    snprintf(name, sizeof(name), "head-%02x%02x%02x%02x-%" PRIu64 ".evidence", h->account.b[0],
             h->account.b[1], h->account.b[2], h->account.b[3], h->position);
    ok = ok && wallet_keep_file(w, name, &out);
    buf_close(&out);
    pieces_close(&chain);
    return ok;
}

/* ---- the whole -------------------------------------------------------------------------- */

static stoa_result make_head(stoa_wallet *w, struct slot_view *v, const struct signed_head *h,
                             struct bytes note, uint64_t deadline, char *text, stoa_head *info,
                             stoa_error *error)
{
    struct pieces keys;
    struct buf out = {0};
    bool known, same;
    stoa_result r = STOA_OK;
    if (!pieces_open(&keys, KEY_RECORDS_MAX)) {
        pieces_close(&keys);
        return because(error, ERR_MEMORY, "out of memory");
    }
    keys.keys_only = true;
    enum err e = client_store_records(w->store, &v->row, 0, v->row.position, take_piece, &keys);
    if (e != ERR_OK || keys.failed)
        r = because_store(w, error, e == ERR_OK ? ERR_MEMORY : e);
    if (r == STOA_OK)
        r = prove_pieces(w, v->row.slot, &keys, note, v->known.size, deadline, error);
    if (r == STOA_OK &&
        (e = head_file_make(&out, &v->f.hub.log, h, keys.list, keys.count)) != ERR_OK)
        r = because(error, e, "the head does not hold by itself: %s", err_text(e));
    if (r == STOA_OK && (e = own_head(w, h, &known, &same)) != ERR_OK)
        r = because_store(w, error, e);
    if (r == STOA_OK) {
        memcpy(text, out.data, out.size);
        text[out.size] = 0;
        info->compared = known;
    }
    if (r == STOA_OK && known && !same)
        r = because_as(error, STOA_NO, ERR_FORK,
                       "hub vouches for another history of this account than its log has. %s",
                       keep_wrong_head(w, v, h, &keys, note, v->known.size, deadline)
                           ? "Evidence that stands alone was kept in the wallet's folder"
                           : "Keep what it said: an audit holds the log to it");
    buf_close(&out);
    pieces_close(&keys);
    return r;
}

stoa_result stoa_head_get(stoa_wallet *w, const stoa_id *account, char *text, stoa_head *out,
                          stoa_error *error)
{
    struct hash id = hash_of(account);
    uint64_t deadline = deadline_of(w, 0), seen;
    struct slot_view *v;
    struct signed_head h;
    struct bytes note;
    struct buf room = {0};
    text[0] = 0;
    TRY_R(need_connection(w, error));
    TRY_R(slot_need(w, slot_of(&id, w->slots), deadline, &v, error));
    TRY_R(slot_sync(w, v, deadline, error));
    TRY_R(ask_head(w, v, &id, deadline, &h, error));
    TRY_R(slot_refresh(w, v, deadline, error));
    TRY_S(client_store_note_load(w->store, v->row.slot, &note, &seen));
    if (!buf_add(&room, note.data, note.size)) /* asking may use the store */
        return because(error, ERR_MEMORY, "out of memory");
    stoa_head info = {.account = *account,
                      .slot = v->row.slot,
                      .position = h.position,
                      .tree_size = h.size,
                      .head = id_of(&h.head)};
    stoa_result r = make_head(w, v, &h, bytes_of(room.data, room.size), deadline, text, &info, error);
    buf_close(&room);
    if (r == STOA_OK || text[0])
        give(out, &info, sizeof(info));
    return r;
}
