#include "reencode.h"

static void put_notes(struct mp_writer *w, const struct wire_frame *f)
{
    struct mp_reader r = f->notes;
    for (size_t i = 0; i < f->note_count; i++) {
        struct bytes note;
        wire_next_note(&r, &note);
        wire_put_note(w, note);
    }
}

static void put_envelopes(struct mp_writer *w, const struct wire_frame *f)
{
    struct mp_reader r = f->list;
    for (size_t i = 0; i < f->count; i++) {
        struct bytes envelope;
        wire_next_envelope(&r, &envelope);
        wire_put_envelope(w, envelope);
    }
}

static void put_results(struct mp_writer *w, const struct wire_frame *f)
{
    struct mp_reader r = f->notes;
    for (size_t i = 0; i < f->note_count; i++) {
        uint64_t slot;
        struct bytes note;
        wire_next_slot_note(&r, &slot, &note);
        wire_put_slot_note(w, slot, note);
    }
    wire_put_list(w, f->count);
    r = f->list;
    for (size_t i = 0; i < f->count; i++) {
        struct wire_result result;
        wire_next_result(&r, &result);
        wire_put_result(w, &result);
    }
}

static void put_records(struct mp_writer *w, const struct wire_frame *f)
{
    struct mp_reader r = f->list;
    for (size_t i = 0; i < f->count; i++) {
        struct record record;
        wire_next_record(&r, &record);
        wire_put_record(w, &record);
    }
}

static void put_settled(struct mp_writer *w, const struct wire_frame *f)
{
    struct mp_reader r = f->list;
    for (size_t i = 0; i < f->count; i++) {
        struct wire_settled settled;
        wire_next_settled(&r, &settled);
        wire_put_settled(w, &settled);
    }
}

void reencode(struct mp_writer *w, const struct wire_frame *f)
{
    wire_put(w, f);
    switch (f->type) {
    case WIRE_HELLO:
    case WIRE_WELCOME:
        put_notes(w, f);
        break;
    case WIRE_SUBMIT:
        put_envelopes(w, f);
        break;
    case WIRE_RESULTS:
        put_results(w, f);
        break;
    case WIRE_SETTLED:
        put_settled(w, f);
        break;
    case WIRE_RECORDS:
        put_records(w, f);
        wire_put_note(w, f->note);
        break;
    case WIRE_PAGE:
        put_records(w, f);
        wire_put_page_end(w, f->next, f->end);
        break;
    default:
        break;
    }
}
