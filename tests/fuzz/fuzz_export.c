/* JSON lines of an export: what opens gives as many records as its manifest counts, with
 * indices that count up from 0, and every record that is undamaged is written again as the very
 * line it came from; anything else is refused with a reason and nothing leaks. */
#include <string.h>

#include "client/audit/export_line.h"
#include "client/audit/source_edges.h"
#include "fuzz.h"
#include "scratch.h"

static void again(const struct audit_record *a, uint32_t slots, struct bytes input)
{
    static struct export_record r;
    struct buf line = {0};
    memset(&r, 0, sizeof r);
    r.slot = a->r.slot;
    r.index = a->r.index;
    r.has_position = a->has & AUDIT_HAS_POSITION;
    r.position = a->r.position;
    memcpy(r.leaf, a->leaf, LEAF_BYTES);
    r.envelope = a->r.envelope;
    export_record_read(&r, slots);
    PROPERTY(export_line_record(&line, &r) == ERR_OK);
    PROPERTY(a->offset + line.size <= input.size);
    PROPERTY(memcmp(input.data + a->offset, line.data, line.size) == 0);
    buf_close(&line);
}

static uint32_t slots_of_first(const struct audit_record *a)
{
    static struct export_record r;
    memset(&r, 0, sizeof r);
    r.envelope = a->r.envelope;
    return export_slots_of(&r);
}

static void read_slot(struct audit_source *s, uint32_t slot, bool *first, uint32_t *slots,
                      struct bytes input)
{
    static struct audit_record records[AUDIT_READ_MAX];
    size_t count;
    void *hold;
    for (uint64_t at = 0;; at += count) {
        enum err e = s->ops->read(s, slot, at, MERKLE_SIZE_MAX, records, AUDIT_READ_MAX,
                                  &count, &hold);
        PROPERTY(e == ERR_OK || (e == ERR_CORRUPT && s->ops->where(s, slot)[0]));
        if (e != ERR_OK || count == 0)
            return;
        for (size_t i = 0; i < count; i++) {
            const struct audit_record *a = &records[i];
            PROPERTY(a->r.slot == slot && a->r.index == at + i);
            PROPERTY((a->r.envelope.size > 0) == !!(a->has & AUDIT_HAS_ENVELOPE));
            PROPERTY(a->r.envelope.size <= ENVELOPE_BYTES_MAX);
            if (*first)
                *slots = slots_of_first(a);
            *first = false;
            if (!a->damage)
                again(a, *slots, input);
        }
        s->ops->release(s, hold);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[AUDIT_WHY_MAX] = "";
    struct audit_source *s;
    uint32_t list[SLOTS_MAX], slots = 0;
    size_t count;
    bool first = true;
    enum err e = audit_source_export(&s, scratch_file(0, bytes_of(data, size)), why);
    PROPERTY(e == ERR_OK || why[0]);
    if (e != ERR_OK)
        return 0;
    PROPERTY(s->ops->slots(s, list, &count) == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        struct buf note = {0};
        PROPERTY(s->ops->checkpoint(s, list[i], &note) == ERR_OK && note.size > 0);
        buf_close(&note);
        read_slot(s, list[i], &first, &slots, bytes_of(data, size));
    }
    s->ops->close(s);
    return 0;
}
