#include "ledger/wire.h"

#include <assert.h>
#include <string.h>

#include "crypto/note.h"
#include "crypto/seal.h"

enum {
    LIMITS_FIELDS = 10,
    CHAIN_FIELDS = 3,
    SLOT_NOTE_FIELDS = 2,
    RECORD_FIELDS = 7,
    SETTLED_FIELDS = 6,
    ACCEPTED_FIELDS = 11,
    REFUSED_FIELDS = 8
};

/* Form right, content not: everything read after this is zero or empty too. */
static void refuse(struct mp_reader *r)
{
    r->bad = true;
    r->at = r->end;
}

/* Every number of the wire is at most 2^63-1, so that any store and any language holds
 * it. */
static void read_number(struct mp_reader *r, uint64_t *out)
{
    if (mp_read_uint(r, out) && *out > INT64_MAX) {
        *out = 0;
        refuse(r);
    }
}

/* A number below `limit`. */
static void read_below(struct mp_reader *r, uint64_t *out, uint64_t limit)
{
    if (mp_read_uint(r, out) && *out >= limit) {
        *out = 0;
        refuse(r);
    }
}

static void read_hash(struct mp_reader *r, struct hash *out)
{
    mp_read_bin_exact(r, out->b, sizeof out->b);
}

static void read_sig(struct mp_reader *r, struct signature *out)
{
    mp_read_bin_exact(r, out->b, sizeof out->b);
}

/* True when there is a value to read; a nil is consumed. */
static bool read_present(struct mp_reader *r)
{
    if (!mp_peek_nil(r))
        return !r->bad;
    mp_read_nil(r);
    return false;
}

static void read_fields(struct mp_reader *r, size_t fields)
{
    size_t count;
    if (mp_read_array(r, &count, fields) && count != fields)
        refuse(r);
}

/* An empty span stands for nil in our structs, so an empty bin is not a note. */
static void read_note(struct mp_reader *r, struct bytes *out)
{
    if (mp_read_bin(r, out, NOTE_BYTES_MAX) && out->size == 0)
        refuse(r);
}

static void read_path(struct mp_reader *r, struct bytes *out)
{
    if (mp_read_bin(r, out, MERKLE_PATH_MAX * HASH_BYTES) &&
        out->size % HASH_BYTES != 0) {
        out->size = 0;
        refuse(r);
    }
}

static void read_key(struct mp_reader *r, struct wire_key *key, enum wire_what last)
{
    read_below(r, &key->what, (uint64_t)last + 1);
    if (key->what == WIRE_SLOT)
        read_below(r, &key->slot, SLOTS_MAX);
    else
        read_hash(r, &key->id);
}

static void read_limits(struct mp_reader *r, struct wire_limits *l)
{
    read_fields(r, LIMITS_FIELDS);
    read_number(r, &l->frame_bytes);
    read_number(r, &l->entry_bytes);
    read_number(r, &l->entries_a_frame);
    read_number(r, &l->subscriptions);
    read_number(r, &l->inflight_entries);
    read_number(r, &l->page_records);
    read_number(r, &l->entries_a_second);
    read_number(r, &l->burst);
    read_number(r, &l->idle_ms);
    read_number(r, &l->unsent_bytes);
}

/* [next_seq, tip, tip_lamport] */
static void read_chain(struct mp_reader *r, uint64_t *next_seq, struct hash *tip,
                       uint64_t *lamport)
{
    read_fields(r, CHAIN_FIELDS);
    read_number(r, next_seq);
    read_hash(r, tip);
    read_number(r, lamport);
}

static void read_slot_note(struct mp_reader *r, uint64_t *slot, struct bytes *note)
{
    read_fields(r, SLOT_NOTE_FIELDS);
    read_below(r, slot, SLOTS_MAX);
    read_note(r, note);
}

/* What a hub makes of an envelope that is too long is its answer to that entry, not to
 * the frame. */
static void read_envelope(struct mp_reader *r, struct bytes *envelope)
{
    mp_read_bin(r, envelope, WIRE_FRAME_MAX);
}

static void read_record(struct mp_reader *r, struct record *record)
{
    uint64_t slot;
    read_fields(r, RECORD_FIELDS);
    read_below(r, &slot, SLOTS_MAX);
    record->slot = (uint32_t)slot;
    read_number(r, &record->index);
    read_number(r, &record->position);
    read_hash(r, &record->account_head);
    read_number(r, &record->hub_lamport);
    read_number(r, &record->hub_time_ms);
    mp_read_bin(r, &record->envelope, ENVELOPE_BYTES_MAX);
}

static void read_settled(struct mp_reader *r, struct wire_settled *s)
{
    read_fields(r, SETTLED_FIELDS);
    read_hash(r, &s->cause);
    read_below(r, &s->payee_index, PAYEES_MAX);
    mp_read_bool(r, &s->bounced);
    read_below(r, &s->slot, SLOTS_MAX);
    read_number(r, &s->index);
    read_number(r, &s->left);
}

static void read_accepted(struct mp_reader *r, struct wire_result *result)
{
    read_below(r, &result->slot, SLOTS_MAX);
    read_number(r, &result->index);
    read_number(r, &result->position);
    read_hash(r, &result->account_head);
    read_number(r, &result->hub_lamport);
    read_number(r, &result->hub_time_ms);
    read_path(r, &result->path);
    read_below(r, &result->flags, WIRE_RESULT_DUPLICATE + 1);
}

static void read_refused(struct mp_reader *r, struct wire_result *result)
{
    result->has_head = read_present(r);
    if (result->has_head)
        read_chain(r, &result->next_seq, &result->tip, &result->tip_lamport);
    mp_read_int(r, &result->balance);
    read_number(r, &result->retry_after_ms);
    read_number(r, &result->hub_time_ms);
    result->has_sig = read_present(r);
    if (result->has_sig)
        read_sig(r, &result->sig);
}

static void read_result(struct mp_reader *r, struct wire_result *result)
{
    *result = (struct wire_result){0};
    size_t fields;
    mp_read_array(r, &fields, ACCEPTED_FIELDS);
    read_number(r, &result->rid);
    read_below(r, &result->i, WIRE_ENTRIES_MAX);
    read_number(r, &result->code);
    if (fields != (size_t)(result->code == 0 ? ACCEPTED_FIELDS : REFUSED_FIELDS))
        refuse(r);
    if (result->code == 0)
        read_accepted(r, result);
    else
        read_refused(r, result);
}

/* Lists: the reader left in the frame stands at the first element, and every element is
 * read once here so that no later read of it can fail. */

static void scan_notes(struct mp_reader *r, struct wire_frame *f)
{
    struct bytes note;
    mp_read_array(r, &f->note_count, SLOTS_MAX);
    f->notes = *r;
    for (size_t i = 0; i < f->note_count && !r->bad; i++)
        read_note(r, &note);
}

static void scan_slot_notes(struct mp_reader *r, struct wire_frame *f)
{
    uint64_t slot;
    struct bytes note;
    mp_read_array(r, &f->note_count, SLOTS_MAX);
    f->notes = *r;
    for (size_t i = 0; i < f->note_count && !r->bad; i++)
        read_slot_note(r, &slot, &note);
}

static void scan_envelopes(struct mp_reader *r, struct wire_frame *f)
{
    struct bytes envelope;
    mp_read_array(r, &f->count, WIRE_ENTRIES_MAX);
    f->list = *r;
    for (size_t i = 0; i < f->count && !r->bad; i++)
        read_envelope(r, &envelope);
}

static void scan_results(struct mp_reader *r, struct wire_frame *f)
{
    struct wire_result result;
    mp_read_array(r, &f->count, WIRE_ENTRIES_MAX);
    f->list = *r;
    for (size_t i = 0; i < f->count && !r->bad; i++)
        read_result(r, &result);
}

static void scan_records(struct mp_reader *r, struct wire_frame *f)
{
    struct record record;
    mp_read_array(r, &f->count, WIRE_ENTRIES_MAX);
    f->list = *r;
    for (size_t i = 0; i < f->count && !r->bad; i++)
        read_record(r, &record);
}

static void scan_settled(struct mp_reader *r, struct wire_frame *f)
{
    struct wire_settled settled;
    mp_read_array(r, &f->count, WIRE_ENTRIES_MAX);
    f->list = *r;
    for (size_t i = 0; i < f->count && !r->bad; i++)
        read_settled(r, &settled);
}

/* Frames: what follows the type, in the order of the table in docs/PROTOCOL.md. */

static void read_challenge(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->version);
    read_hash(r, &f->federation);
    mp_read_str(r, &f->hub, HUB_NAME_MAX);
    if (!hub_name_ok((const char *)f->hub.data, f->hub.size))
        refuse(r);
    read_below(r, &f->slots, SLOTS_MAX + 1);
    if (f->slots == 0 || (f->slots & (f->slots - 1)) != 0)
        refuse(r);
    read_hash(r, &f->nonce);
    read_limits(r, &f->limits);
}

static void read_hello(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_hash(r, &f->nonce);
    f->has_device = read_present(r);
    if (f->has_device)
        mp_read_bin_exact(r, f->device.b, sizeof f->device.b);
    f->has_sig = read_present(r);
    if (f->has_sig)
        read_sig(r, &f->sig);
    if (f->has_device != f->has_sig)
        refuse(r);
    scan_notes(r, f);
}

static void read_welcome(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    f->has_device = true;
    mp_read_bin_exact(r, f->device.b, sizeof f->device.b);
    f->has_sig = true;
    read_sig(r, &f->sig);
    read_number(r, &f->hub_time_ms);
    scan_notes(r, f);
}

static void read_submit(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_below(r, &f->flags, WIRE_SUBMIT_SETTLED + 1);
    scan_envelopes(r, f);
}

static void read_results(struct mp_reader *r, struct wire_frame *f)
{
    scan_slot_notes(r, f);
    scan_results(r, f);
}

static void read_subscribe(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_key(r, &f->key, WIRE_SLOT);
    read_number(r, &f->from);
}

static void read_records(struct mp_reader *r, struct wire_frame *f)
{
    read_key(r, &f->key, WIRE_SLOT);
    read_below(r, &f->mode, WIRE_LIVE + 1);
    scan_records(r, f);
    if (read_present(r))
        read_note(r, &f->note);
}

static void read_unsubscribe(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_key(r, &f->key, WIRE_SLOT);
}

static void read_fetch(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_key(r, &f->key, WIRE_ID);
    read_number(r, &f->from);
    read_number(r, &f->max);
}

static void read_page(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    scan_records(r, f);
    read_number(r, &f->next);
    read_number(r, &f->end);
}

static void read_proof(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_below(r, &f->kind, WIRE_CONSISTENCY + 1);
    read_below(r, &f->slot, SLOTS_MAX);
    read_number(r, &f->a);
    read_number(r, &f->b);
}

static void read_proof_is(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_path(r, &f->path);
}

static void read_checkpoint(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_below(r, &f->slot, SLOTS_MAX);
}

static void read_checkpoint_is(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_note(r, &f->note);
}

static void read_head(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_hash(r, &f->id);
    f->has_device = read_present(r);
    if (f->has_device)
        mp_read_bin_exact(r, f->device.b, sizeof f->device.b);
}

static void read_head_is(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_below(r, &f->slot, SLOTS_MAX);
    read_number(r, &f->position);
    read_hash(r, &f->head);
    mp_read_int(r, &f->balance);
    read_number(r, &f->size);
    f->has_chain = read_present(r);
    if (f->has_chain)
        read_chain(r, &f->next_seq, &f->tip, &f->tip_lamport);
    f->has_sig = true;
    read_sig(r, &f->sig);
}

static void read_rid(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
}

static void read_limits_is(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_limits(r, &f->limits);
}

static void read_bye(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->code);
    mp_read_str(r, &f->text, WIRE_TEXT_MAX);
    read_number(r, &f->retry_after_ms);
}

static void read_error(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_bye(r, f);
}

static void read_settlement_is(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_below(r, &f->state, WIRE_SETTLE_DONE + 1);
    read_number(r, &f->left);
}

static void read_rid_and_id(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_hash(r, &f->id);
}

static void read_sealed_is(struct mp_reader *r, struct wire_frame *f)
{
    read_number(r, &f->rid);
    read_hash(r, &f->salt);
    mp_read_bin(r, &f->data, SEAL_CIPHER_MAX);
}

static void read_sealed_put(struct mp_reader *r, struct wire_frame *f)
{
    read_rid_and_id(r, f);
    read_hash(r, &f->salt);
    mp_read_bin(r, &f->data, SEAL_CIPHER_MAX);
}

/* What is in it is decoded by whoever may take it. */
static void read_forward(struct mp_reader *r, struct wire_frame *f)
{
    f->has_device = read_present(r);
    if (f->has_device)
        mp_read_bin_exact(r, f->device.b, sizeof f->device.b);
    read_hash(r, &f->id);
    mp_read_bin(r, &f->data, WIRE_FRAME_MAX);
}

/* Fields with the type, and who reads what follows it. */
static const struct shape {
    size_t fields;
    void (*read)(struct mp_reader *r, struct wire_frame *f);
} shapes[] = {
    [WIRE_CHALLENGE] = {7, read_challenge},
    [WIRE_HELLO] = {6, read_hello},
    [WIRE_WELCOME] = {6, read_welcome},
    [WIRE_SUBMIT] = {4, read_submit},
    [WIRE_RESULTS] = {3, read_results},
    [WIRE_SETTLED] = {2, scan_settled},
    [WIRE_SUBSCRIBE] = {5, read_subscribe},
    [WIRE_RECORDS] = {6, read_records},
    [WIRE_UNSUBSCRIBE] = {4, read_unsubscribe},
    [WIRE_FETCH] = {6, read_fetch},
    [WIRE_PAGE] = {5, read_page},
    [WIRE_PROOF] = {6, read_proof},
    [WIRE_PROOF_IS] = {3, read_proof_is},
    [WIRE_CHECKPOINT] = {3, read_checkpoint},
    [WIRE_CHECKPOINT_IS] = {3, read_checkpoint_is},
    [WIRE_HEAD] = {4, read_head},
    [WIRE_HEAD_IS] = {9, read_head_is},
    [WIRE_LIMITS] = {2, read_rid},
    [WIRE_LIMITS_IS] = {3, read_limits_is},
    [WIRE_OK] = {2, read_rid},
    [WIRE_ERROR] = {5, read_error},
    [WIRE_SETTLEMENT] = {3, read_rid_and_id},
    [WIRE_SETTLEMENT_IS] = {4, read_settlement_is},
    [WIRE_SEALED_PUT] = {5, read_sealed_put},
    [WIRE_SEALED_GET] = {3, read_rid_and_id},
    [WIRE_SEALED_IS] = {4, read_sealed_is},
    [WIRE_BYE] = {4, read_bye},
    [WIRE_COSIGNED] = {3, read_checkpoint},
    [WIRE_FORWARD] = {4, read_forward},
};

#define SHAPE_COUNT (sizeof shapes / sizeof shapes[0])

enum err wire_decode(struct wire_frame *f, const void *data, size_t size)
{
    if (size > WIRE_FRAME_MAX)
        return ERR_TOO_LARGE;
    *f = (struct wire_frame){0};

    struct mp_reader r = mp_reader_of(data, size);
    size_t fields;
    mp_read_array(&r, &fields, SIZE_MAX);
    read_below(&r, &f->type, SHAPE_COUNT);
    if (r.bad || fields != shapes[f->type].fields)
        return ERR_FRAME;
    shapes[f->type].read(&r, f);
    return mp_done(&r) ? ERR_OK : ERR_FRAME;
}

void wire_next_envelope(struct mp_reader *list, struct bytes *envelope)
{
    read_envelope(list, envelope);
    assert(!list->bad);
}

void wire_next_note(struct mp_reader *notes, struct bytes *note)
{
    read_note(notes, note);
    assert(!notes->bad);
}

void wire_next_slot_note(struct mp_reader *notes, uint64_t *slot, struct bytes *note)
{
    read_slot_note(notes, slot, note);
    assert(!notes->bad);
}

void wire_next_result(struct mp_reader *list, struct wire_result *r)
{
    read_result(list, r);
    assert(!list->bad);
}

void wire_next_record(struct mp_reader *list, struct record *r)
{
    read_record(list, r);
    assert(!list->bad);
}

void wire_next_settled(struct mp_reader *list, struct wire_settled *s)
{
    read_settled(list, s);
    assert(!list->bad);
}
