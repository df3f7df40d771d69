#include "ledger/wire.h"

#include <assert.h>
#include <string.h>

static void put_hash(struct mp_writer *w, const struct hash *h)
{
    mp_bin(w, h->b, sizeof h->b);
}

static void put_pubkey(struct mp_writer *w, const struct pubkey *k)
{
    mp_bin(w, k->b, sizeof k->b);
}

static void put_optional_pubkey(struct mp_writer *w, bool present, const struct pubkey *k)
{
    if (present)
        put_pubkey(w, k);
    else
        mp_nil(w);
}

static void put_optional_sig(struct mp_writer *w, bool present, const struct signature *s)
{
    if (present)
        mp_bin(w, s->b, sizeof s->b);
    else
        mp_nil(w);
}

static void put_bytes(struct mp_writer *w, struct bytes b)
{
    mp_bin(w, b.data, b.size);
}

static void put_text(struct mp_writer *w, struct bytes text)
{
    mp_str(w, (const char *)text.data, text.size);
}

static void put_key(struct mp_writer *w, const struct wire_key *key)
{
    mp_uint(w, key->what);
    if (key->what == WIRE_SLOT)
        mp_uint(w, key->slot);
    else
        put_hash(w, &key->id);
}

static void put_limits(struct mp_writer *w, const struct wire_limits *l)
{
    mp_array(w, 10);
    mp_uint(w, l->frame_bytes);
    mp_uint(w, l->entry_bytes);
    mp_uint(w, l->entries_a_frame);
    mp_uint(w, l->subscriptions);
    mp_uint(w, l->inflight_entries);
    mp_uint(w, l->page_records);
    mp_uint(w, l->entries_a_second);
    mp_uint(w, l->burst);
    mp_uint(w, l->idle_ms);
    mp_uint(w, l->unsent_bytes);
}

static void put_chain(struct mp_writer *w, bool present, uint64_t next_seq,
                      const struct hash *tip, uint64_t lamport)
{
    if (!present) {
        mp_nil(w);
        return;
    }
    mp_array(w, 3);
    mp_uint(w, next_seq);
    put_hash(w, tip);
    mp_uint(w, lamport);
}

/* [type, rid, ..]: how most frames begin. */
static void put_start(struct mp_writer *w, const struct wire_frame *f, size_t fields)
{
    mp_array(w, fields);
    mp_uint(w, f->type);
    mp_uint(w, f->rid);
}

/* [type, ..] without a rid. */
static void put_start_alone(struct mp_writer *w, const struct wire_frame *f,
                            size_t fields)
{
    mp_array(w, fields);
    mp_uint(w, f->type);
}

static void put_challenge(struct mp_writer *w, const struct wire_frame *f)
{
    put_start_alone(w, f, 7);
    mp_uint(w, f->version);
    put_hash(w, &f->federation);
    put_text(w, f->hub);
    mp_uint(w, f->slots);
    put_hash(w, &f->nonce);
    put_limits(w, &f->limits);
}

static void put_hello(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 6);
    put_hash(w, &f->nonce);
    put_optional_pubkey(w, f->has_device, &f->device);
    put_optional_sig(w, f->has_sig, &f->sig);
    mp_array(w, f->note_count);
}

static void put_welcome(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 6);
    put_pubkey(w, &f->device);
    put_optional_sig(w, true, &f->sig);
    mp_uint(w, f->hub_time_ms);
    mp_array(w, f->note_count);
}

static void put_submit(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 4);
    mp_uint(w, f->flags);
    mp_array(w, f->count);
}

static void put_results(struct mp_writer *w, const struct wire_frame *f)
{
    put_start_alone(w, f, 3);
    mp_array(w, f->note_count);
}

static void put_settled(struct mp_writer *w, const struct wire_frame *f)
{
    put_start_alone(w, f, 2);
    mp_array(w, f->count);
}

static void put_subscribe(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 5);
    put_key(w, &f->key);
    mp_uint(w, f->from);
}

static void put_records(struct mp_writer *w, const struct wire_frame *f)
{
    put_start_alone(w, f, 6);
    put_key(w, &f->key);
    mp_uint(w, f->mode);
    mp_array(w, f->count);
}

static void put_unsubscribe(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 4);
    put_key(w, &f->key);
}

static void put_fetch(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 6);
    put_key(w, &f->key);
    mp_uint(w, f->from);
    mp_uint(w, f->max);
}

static void put_page(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 5);
    mp_array(w, f->count);
}

static void put_proof(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 6);
    mp_uint(w, f->kind);
    mp_uint(w, f->slot);
    mp_uint(w, f->a);
    mp_uint(w, f->b);
}

static void put_proof_is(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 3);
    put_bytes(w, f->path);
}

static void put_checkpoint(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 3);
    mp_uint(w, f->slot);
}

static void put_checkpoint_is(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 3);
    put_bytes(w, f->note);
}

static void put_head(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 4);
    put_hash(w, &f->id);
    put_optional_pubkey(w, f->has_device, &f->device);
}

static void put_head_is(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 9);
    mp_uint(w, f->slot);
    mp_uint(w, f->position);
    put_hash(w, &f->head);
    mp_int(w, f->balance);
    mp_uint(w, f->size);
    put_chain(w, f->has_chain, f->next_seq, &f->tip, f->tip_lamport);
    put_optional_sig(w, true, &f->sig);
}

static void put_rid(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 2);
}

static void put_limits_is(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 3);
    put_limits(w, &f->limits);
}

static void put_code(struct mp_writer *w, const struct wire_frame *f)
{
    mp_uint(w, f->code);
    put_text(w, f->text);
    mp_uint(w, f->retry_after_ms);
}

static void put_error(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 5);
    put_code(w, f);
}

static void put_bye(struct mp_writer *w, const struct wire_frame *f)
{
    put_start_alone(w, f, 4);
    put_code(w, f);
}

static void put_rid_and_id(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 3);
    put_hash(w, &f->id);
}

static void put_settlement_is(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 4);
    mp_uint(w, f->state);
    mp_uint(w, f->left);
}

static void put_sealed_put(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 5);
    put_hash(w, &f->id);
    put_hash(w, &f->salt);
    put_bytes(w, f->data);
}

static void put_sealed_is(struct mp_writer *w, const struct wire_frame *f)
{
    put_start(w, f, 4);
    put_hash(w, &f->salt);
    put_bytes(w, f->data);
}

static void put_forward(struct mp_writer *w, const struct wire_frame *f)
{
    put_start_alone(w, f, 4);
    put_optional_pubkey(w, f->has_device, &f->device);
    put_hash(w, &f->id);
    put_bytes(w, f->data);
}

static void (*const putters[])(struct mp_writer *w, const struct wire_frame *f) = {
    [WIRE_CHALLENGE] = put_challenge,
    [WIRE_HELLO] = put_hello,
    [WIRE_WELCOME] = put_welcome,
    [WIRE_SUBMIT] = put_submit,
    [WIRE_RESULTS] = put_results,
    [WIRE_SETTLED] = put_settled,
    [WIRE_SUBSCRIBE] = put_subscribe,
    [WIRE_RECORDS] = put_records,
    [WIRE_UNSUBSCRIBE] = put_unsubscribe,
    [WIRE_FETCH] = put_fetch,
    [WIRE_PAGE] = put_page,
    [WIRE_PROOF] = put_proof,
    [WIRE_PROOF_IS] = put_proof_is,
    [WIRE_CHECKPOINT] = put_checkpoint,
    [WIRE_CHECKPOINT_IS] = put_checkpoint_is,
    [WIRE_HEAD] = put_head,
    [WIRE_HEAD_IS] = put_head_is,
    [WIRE_LIMITS] = put_rid,
    [WIRE_LIMITS_IS] = put_limits_is,
    [WIRE_OK] = put_rid,
    [WIRE_ERROR] = put_error,
    [WIRE_SETTLEMENT] = put_rid_and_id,
    [WIRE_SETTLEMENT_IS] = put_settlement_is,
    [WIRE_SEALED_PUT] = put_sealed_put,
    [WIRE_SEALED_GET] = put_rid_and_id,
    [WIRE_SEALED_IS] = put_sealed_is,
    [WIRE_BYE] = put_bye,
    [WIRE_COSIGNED] = put_checkpoint,
    [WIRE_FORWARD] = put_forward,
};

void wire_put(struct mp_writer *w, const struct wire_frame *f)
{
    assert(f->type < sizeof putters / sizeof putters[0]);
    assert(f->note_count <= SLOTS_MAX && f->count <= WIRE_ENTRIES_MAX);
    putters[f->type](w, f);
}

void wire_put_envelope(struct mp_writer *w, struct bytes envelope)
{
    put_bytes(w, envelope);
}

void wire_put_note(struct mp_writer *w, struct bytes note)
{
    if (note.size > 0)
        put_bytes(w, note);
    else
        mp_nil(w);
}

void wire_put_slot_note(struct mp_writer *w, uint64_t slot, struct bytes note)
{
    mp_array(w, 2);
    mp_uint(w, slot);
    put_bytes(w, note);
}

void wire_put_list(struct mp_writer *w, size_t count)
{
    assert(count <= WIRE_ENTRIES_MAX);
    mp_array(w, count);
}

static void put_accepted(struct mp_writer *w, const struct wire_result *r)
{
    mp_uint(w, r->slot);
    mp_uint(w, r->index);
    mp_uint(w, r->position);
    put_hash(w, &r->account_head);
    mp_uint(w, r->hub_lamport);
    mp_uint(w, r->hub_time_ms);
    put_bytes(w, r->path);
    mp_uint(w, r->flags);
}

static void put_refused(struct mp_writer *w, const struct wire_result *r)
{
    put_chain(w, r->has_head, r->next_seq, &r->tip, r->tip_lamport);
    mp_int(w, r->balance);
    mp_uint(w, r->retry_after_ms);
    mp_uint(w, r->hub_time_ms);
    put_optional_sig(w, r->has_sig, &r->sig);
}

void wire_put_result(struct mp_writer *w, const struct wire_result *r)
{
    mp_array(w, r->code == 0 ? 11 : 8);
    mp_uint(w, r->rid);
    mp_uint(w, r->i);
    mp_uint(w, r->code);
    if (r->code == 0)
        put_accepted(w, r);
    else
        put_refused(w, r);
}

void wire_put_record(struct mp_writer *w, const struct record *r)
{
    mp_array(w, 7);
    mp_uint(w, r->slot);
    mp_uint(w, r->index);
    mp_uint(w, r->position);
    put_hash(w, &r->account_head);
    mp_uint(w, r->hub_lamport);
    mp_uint(w, r->hub_time_ms);
    put_bytes(w, r->envelope);
}

void wire_put_settled(struct mp_writer *w, const struct wire_settled *s)
{
    mp_array(w, 6);
    put_hash(w, &s->cause);
    mp_uint(w, s->payee_index);
    mp_bool(w, s->bounced);
    mp_uint(w, s->slot);
    mp_uint(w, s->index);
    mp_uint(w, s->left);
}

void wire_put_page_end(struct mp_writer *w, uint64_t next, uint64_t end)
{
    mp_uint(w, next);
    mp_uint(w, end);
}

static size_t finish(const struct mp_writer *w)
{
    assert(!w->full);
    return w->size;
}

void forward_parts(struct hash_part parts[FORWARD_PARTS], const struct wire_frame *f)
{
    static const uint8_t absent = 0, present = 1;
    parts[0] = (struct hash_part){f->has_device ? &present : &absent, 1};
    parts[1] = (struct hash_part){f->device.b, f->has_device ? sizeof f->device.b : 0};
    parts[2] = (struct hash_part){f->data.data, f->data.size};
}

size_t hello_message(uint8_t *out, const struct hash *federation, const char *hub,
                     const struct hash *hub_nonce, const struct hash *client_nonce,
                     const struct pubkey *device)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 5);
    put_hash(&w, federation);
    mp_str(&w, hub, strlen(hub));
    put_hash(&w, hub_nonce);
    put_hash(&w, client_nonce);
    put_optional_pubkey(&w, device != NULL, device);
    return finish(&w);
}

size_t refusal_message(uint8_t *out, const struct hash *id, uint64_t code,
                       uint64_t hub_time_ms)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 3);
    put_hash(&w, id);
    mp_uint(&w, code);
    mp_uint(&w, hub_time_ms);
    return finish(&w);
}

size_t head_message(uint8_t *out, const struct hash *account, uint64_t position,
                    const struct hash *head, const char *origin, tree_size size)
{
    struct mp_writer w = mp_writer_of(out, MESSAGE_BYTES_MAX);
    mp_array(&w, 5);
    put_hash(&w, account);
    mp_uint(&w, position);
    put_hash(&w, head);
    mp_str(&w, origin, strlen(origin));
    mp_uint(&w, size);
    return finish(&w);
}
