/* Receipts that verify alone: ledger/receipt.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"
#include "ledger/receipt.h"

/* ---- make ----------------------------------------------------------------------------
 */

struct head_run {
    struct hash head;
    uint64_t until;
    struct record r;
    struct buf envelope;
    bool found;
};

/* The account head at a position is the chain over all envelopes up to it. */
static bool chain_heads(void *context, const struct record *r, int64_t balance)
{
    struct head_run *x = context;
    (void)balance;
    x->head = account_head_next(&x->head, r->envelope);
    if (r->position < x->until)
        return true;
    x->r = *r;
    x->r.account_head = x->head;
    x->found = buf_add(&x->envelope, r->envelope.data, r->envelope.size);
    x->r.envelope = bytes_of(x->envelope.data, x->envelope.size);
    return false;
}

static stoa_result write_proof(const struct head_run *x, struct bytes note,
                               const struct wire_frame *path, char *out, stoa_error *error)
{
    struct hash hashes[MERKLE_PATH_MAX];
    struct buf text = {0};
    size_t count = path->path.size / HASH_BYTES;
    if (count > MERKLE_PATH_MAX)
        return because(error, ERR_FRAME, "the hub's path is too long");
    memcpy(hashes, path->path.data, count * HASH_BYTES);
    enum err e = receipt_format(&text, &x->r, hashes, count, note);
    if (e == ERR_OK && text.size >= STOA_PROOF_MAX)
        e = ERR_ROOM;
    if (e == ERR_OK) {
        memcpy(out, text.data, text.size);
        out[text.size] = 0;
    }
    buf_close(&text);
    return e == ERR_OK ? STOA_OK : because(error, e, "proof does not fit");
}

/* The newest checkpoint of the slot, believed; its note until the next call of the store. */
static stoa_result newest(stoa_wallet *w, struct slot_view *v, const struct head_run *x,
                          uint64_t deadline, struct bytes *note, struct checkpoint *c,
                          stoa_error *error)
{
    uint64_t seen;
    struct hash leaf = record_leaf_hash(&x->r);
    TRY_R(slot_refresh(w, v, deadline, error));
    TRY_R(slot_includes(w, v, x->r.index, &leaf, deadline, error));
    *c = v->known;
    TRY_S(client_store_note_load(w->store, v->row.slot, note, &seen));
    return STOA_OK;
}

/* The newest one that the hub's witnesses cosigned, into `room`; believed as well. */
static stoa_result cosigned(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                            struct buf *room, struct checkpoint *c, stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_COSIGNED, .slot = v->row.slot}, answer;
    TRY_R(rpc_call(w, &f, WIRE_CHECKPOINT_IS, deadline, &answer, error));
    if (!buf_add(room, answer.note.data, answer.note.size))
        return because(error, ERR_MEMORY, "out of memory");
    struct bytes note = bytes_of(room->data, room->size);
    return slot_believe(w, v, &note, 1, c, deadline, error);
}

static stoa_result make_proof(stoa_wallet *w, const struct client_account *row,
                              const struct head_run *x, bool want_cosigned, char *out,
                              stoa_error *error)
{
    uint64_t deadline = deadline_of(w, 0);
    struct slot_view *v;
    struct bytes note;
    struct buf room = {0};
    struct checkpoint c;
    struct wire_frame answer;
    stoa_result r = slot_need(w, row->slot, deadline, &v, error);
    if (r == STOA_OK)
        r = want_cosigned ? cosigned(w, v, deadline, &room, &c, error)
                          : newest(w, v, x, deadline, &note, &c, error);
    if (r == STOA_OK && x->r.index >= c.size) {
        r = because_as(error, STOA_LIMITED, ERR_RANGE,
                       "the witnesses have not cosigned this record yet");
        because_hint(error, "the same again in a few seconds");
    }
    if (r == STOA_OK) {
        /* Asking may use the store, where the note stands. */
        if (!want_cosigned && !buf_add(&room, note.data, note.size))
            r = because(error, ERR_MEMORY, "out of memory");
        struct wire_frame f = {.type = WIRE_PROOF,
                               .kind = WIRE_INCLUSION,
                               .slot = row->slot,
                               .a = x->r.index,
                               .b = c.size};
        if (r == STOA_OK)
            r = rpc_call(w, &f, WIRE_PROOF_IS, deadline, &answer, error);
    }
    if (r == STOA_OK)
        r = write_proof(x, bytes_of(room.data, room.size), &answer, out, error);
    buf_close(&room);
    return r;
}

static stoa_result proof_get(stoa_wallet *w, const stoa_id *entry, bool want_cosigned,
                             char *out, stoa_error *error)
{
    struct hash id = hash_of(entry);
    struct client_account row;
    struct head_run x = {.found = false};
    TRY_R(need_connection(w, error));
    enum err e = client_store_record_find(w->store, &id, &row, &x.until);
    if (e == ERR_NOT_FOUND)
        return because(error, e, "that entry is not in the records here: sync first");
    TRY_S(e);
    TRY_S(client_store_records(w->store, &row, 0, x.until + 1, chain_heads, &x));
    stoa_result r =
        x.found ? STOA_OK : because(error, ERR_CORRUPT, "records are missing here");
    if (r == STOA_OK)
        r = make_proof(w, &row, &x, want_cosigned, out, error);
    buf_close(&x.envelope);
    if (r != STOA_OK)
        return r;
    /* What is handed out has been checked as whoever gets it will check it. */
    return stoa_proof_check(w, NULL, out, strlen(out), NULL, NULL, error);
}

stoa_result stoa_proof_get(stoa_wallet *w, const stoa_id *entry, char *out,
                           stoa_error *error)
{
    return proof_get(w, entry, false, out, error);
}

stoa_result stoa_proof_get_cosigned(stoa_wallet *w, const stoa_id *entry, char *out,
                                    stoa_error *error)
{
    return proof_get(w, entry, true, out, error);
}

/* ---- check ---------------------------------------------------------------------------
 */

static stoa_result log_key(stoa_wallet *w, const char *vkey, uint32_t slot,
                           struct vkey *out, stoa_error *error)
{
    struct slot_view *v;
    if (vkey)
        return vkey_parse(out, vkey, strlen(vkey))
                   ? STOA_OK
                   : because(error, ERR_USAGE, "that is not a verifier key");
    if (!w)
        return because(error, ERR_USAGE, "a verifier key is needed");
    TRY_R(slot_load(w, slot, &v, error));
    if (!v->f.hub.open)
        return because(error, ERR_NOT_FOUND, "the log key of slot %u is not known here",
                       slot);
    *out = v->f.hub.log;
    return STOA_OK;
}

static stoa_result check_parsed(stoa_wallet *w, const char *vkey, struct receipt *p,
                                stoa_record_fn visit, void *context, stoa_error *error)
{
    struct vkey key;
    struct checkpoint c;
    struct entry e;
    TRY_R(log_key(w, vkey, p->r.slot, &key, error));
    if (!checkpoint_open(&c, p->proof.note, p->proof.note_size, &key))
        return because_as(error, STOA_NO, ERR_SIGNATURE,
                          "the checkpoint in the proof is not signed by that log");
    struct hash leaf = record_leaf_hash(&p->r);
    if (!tlog_proof_holds(&p->proof, &c, &leaf))
        return because(error, ERR_CORRUPT,
                       "the entry is not in the tree of that checkpoint");
    enum err err = entry_decode(&e, p->r.envelope.data, p->r.envelope.size);
    if (err != ERR_OK || !entry_verify(&e))
        return because_as(error, STOA_NO, err != ERR_OK ? err : ERR_SIGNATURE,
                          "the entry in the proof is not signed by its device");
    if (visit) {
        stoa_record out;
        record_fill(&out, &e, &p->r, 0, w);
        (void)visit(context, &out);
    }
    return STOA_OK;
}

stoa_result stoa_proof_check(stoa_wallet *w, const char *vkey, const char *text,
                             size_t size, stoa_record_fn visit, void *context,
                             stoa_error *error)
{
    struct receipt *p = calloc(1, sizeof(*p));
    if (!p)
        return because(error, ERR_MEMORY, "out of memory");
    if (!crypto_start()) {
        free(p);
        return because(error, ERR_BUG, "crypto library does not pass its self-check");
    }
    stoa_result r =
        receipt_parse(p, text, size) == ERR_OK
            ? check_parsed(w, vkey, p, visit, context, error)
            : because_as(error, STOA_DATA, ERR_MALFORMED, "that is not a proof");
    receipt_close(p);
    free(p);
    return r;
}
