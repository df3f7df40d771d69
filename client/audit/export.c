#include "client/audit/export.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_FIRST 1024

/* How many records of an account went by: its next position. */
struct positions {
    size_t size, used; /* size: a power of two */
    struct {
        struct hash account;
        uint64_t next; /* 0: free */
        bool pinned;
    } *seats;
};

struct run {
    struct audit_source *source;
    const struct export_writer *w;
    struct export_head head;
    struct positions positions;
    const _Bool *cancel;
    uint64_t records;
    char *why;
};

bool export_format_of(const char *word, enum export_format *out)
{
    static const char *const words[] = {"jsonl", "csv", "sqlite", "hledger"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (enum export_format)i;
            return true;
        }
    return false;
}

static size_t seat_of(const struct positions *p, const struct hash *account)
{
    uint64_t word;
    memcpy(&word, account->b + 8, sizeof(word));
    size_t at = (size_t)word & (p->size - 1);
    while (p->seats[at].next && !hash_equal(&p->seats[at].account, account))
        at = (at + 1) & (p->size - 1);
    return at;
}

static enum err grow(struct positions *p)
{
    struct positions bigger = {.size = p->size ? p->size * 2 : TABLE_FIRST};
    bigger.seats = calloc(bigger.size, sizeof(*bigger.seats));
    if (!bigger.seats)
        return ERR_MEMORY;
    for (size_t i = 0; i < p->size; i++)
        if (p->seats[i].next)
            bigger.seats[seat_of(&bigger, &p->seats[i].account)] = p->seats[i];
    bigger.used = p->used;
    free(p->seats);
    *p = bigger;
    return ERR_OK;
}

/* Positions are counted, not taken from the source: the leaves prove the order. What a hub's
 * own file has of pinned accounts is withheld, as the hub itself withholds it. */
static enum err count_position(struct positions *p, struct export_record *r)
{
    r->has_position = r->readable;
    if (!r->readable)
        return ERR_OK;
    if (p->used * 2 >= p->size)
        TRY(grow(p));
    size_t at = seat_of(p, &r->account);
    if (p->seats[at].next == 0)
        p->used++;
    p->seats[at].account = r->account;
    p->seats[at].pinned = p->seats[at].pinned || r->opens_pinned;
    r->position = p->seats[at].next++;
    if (p->seats[at].pinned) {
        r->envelope = bytes_of(NULL, 0);
        export_record_read(r, 0);
        r->has_position = false;
    }
    return ERR_OK;
}

/* Its signatures were judged by the audit; what counts here is that it is the same one. */
static bool note_is_of(const struct buf *note, const struct audit_slot_result *s)
{
    struct checkpoint c;
    const uint8_t *end = note->size ? memmem(note->data, note->size, "\n\n", 2) : NULL;
    return end &&
           checkpoint_parse(&c, (const char *)note->data, (size_t)(end + 1 - note->data)) &&
           c.size == s->size && hash_equal(&c.root, &s->root);
}

static enum err open_slots(struct run *run, const struct audit_report *report)
{
    run->head.slot = calloc(SLOTS_MAX, sizeof(*run->head.slot));
    if (!run->head.slot)
        return ERR_MEMORY;
    for (size_t i = 0; i < report->slot_count; i++) {
        const struct audit_slot_result *s = &report->slots[i];
        struct export_slot *to = &run->head.slot[run->head.slot_count];
        if (!s->trusted && run->head.verified)
            continue;
        to->slot = s->slot;
        enum err e = run->source->ops->checkpoint(run->source, s->slot, &to->note);
        if (e == ERR_NOT_FOUND) {
            buf_close(&to->note);
            continue;
        }
        TRY(e);
        run->head.slot_count++;
        if (run->head.verified && !note_is_of(&to->note, s)) {
            snprintf(run->why, AUDIT_WHY_MAX,
                     "slot %02x: the checkpoint is not the one that was audited",
                     (unsigned)s->slot);
            return ERR_CORRUPT;
        }
        memcpy(to->origin, s->origin, sizeof(to->origin));
        to->checkpoint.size = s->size;
        to->checkpoint.root = s->root;
        memcpy(to->checkpoint.origin, s->origin, sizeof(to->checkpoint.origin));
    }
    return ERR_OK;
}

static enum err differs(const struct run *run, uint32_t slot, uint64_t index,
                        const char *what)
{
    snprintf(run->why, AUDIT_WHY_MAX, "slot %02x, record %" PRIu64 ": %s", (unsigned)slot,
             index, what);
    return ERR_CORRUPT;
}

static enum err take(struct run *run, struct export_slot *s, const struct audit_record *from,
                     struct export_record *r)
{
    r->slot = s->slot;
    r->index = s->records;
    r->envelope = from->has & AUDIT_HAS_ENVELOPE ? from->r.envelope : bytes_of(NULL, 0);
    if (!(from->has & AUDIT_HAS_LEAF))
        return differs(run, s->slot, r->index, "the source keeps no leaf of it");
    memcpy(r->leaf, from->leaf, LEAF_BYTES);
    if (from->r.index != r->index)
        return differs(run, s->slot, r->index, "another index stands here");
    if (run->head.verified && r->envelope.size > 0) {
        struct hash h = hash_sha256(r->envelope.data, r->envelope.size);
        if (memcmp(h.b, r->leaf, HASH_BYTES) != 0)
            return differs(run, s->slot, r->index, "the envelope is not the leaf's");
    }
    if (run->head.slots == 0)
        run->head.slots = export_slots_of(r);
    export_record_read(r, run->head.slots);
    return count_position(&run->positions, r);
}

static enum err one_slot(struct run *run, struct export_slot *s, struct export_record *r,
                         struct audit_record *records)
{
    struct frontier tree = {0};
    tree_size size = s->checkpoint.size;
    while (s->records < size) {
        size_t count = 0;
        void *hold = NULL;
        if (run->cancel && __atomic_load_n(run->cancel, __ATOMIC_RELAXED))
            return ERR_TIMEOUT;
        enum err e = run->source->ops->read(run->source, s->slot, s->records, size, records,
                                            AUDIT_READ_MAX, &count, &hold);
        if (e != ERR_OK) {
            snprintf(run->why, AUDIT_WHY_MAX, "%.390s",
                     audit_source_where(run->source, s->slot));
            return e;
        }
        if (count == 0)
            return differs(run, s->slot, s->records, "the source ends before its checkpoint");
        for (size_t i = 0; i < count && e == ERR_OK; i++) {
            e = take(run, s, &records[i], r);
            struct hash leaf = hash_leaf(r->leaf, LEAF_BYTES);
            if (e == ERR_OK && !frontier_append(&tree, &leaf))
                e = ERR_TOO_LARGE;
            if (e == ERR_OK)
                e = run->w->record(run->w->context, r);
            s->withheld += e == ERR_OK && r->envelope.size == 0;
            s->records += e == ERR_OK;
        }
        run->source->ops->release(run->source, hold);
        TRY(e);
    }
    struct hash root = frontier_root(&tree);
    if (run->head.verified && !hash_equal(&root, &s->checkpoint.root))
        return differs(run, s->slot, size,
                       "the records read now do not give the root that was audited");
    return ERR_OK;
}

static enum err all_slots(struct run *run)
{
    struct export_record *r = calloc(1, sizeof(*r));
    struct audit_record *records = calloc(AUDIT_READ_MAX, sizeof(*records));
    enum err e = r && records ? run->w->begin(run->w->context, &run->head) : ERR_MEMORY;
    for (size_t i = 0; i < run->head.slot_count && e == ERR_OK; i++) {
        e = one_slot(run, &run->head.slot[i], r, records);
        run->records += run->head.slot[i].records;
    }
    if (e == ERR_OK)
        e = run->w->end(run->w->context, &run->head);
    free(records);
    free(r);
    return e;
}

enum err export_run(struct audit_source *s, const struct audit_report *report, bool verified,
                    const struct export_writer *w, const _Bool *cancel, uint64_t *records,
                    char why[AUDIT_WHY_MAX])
{
    struct run run = {.source = s,
                      .w = w,
                      .cancel = cancel,
                      .why = why,
                      .head = {.policy = report->policy, .verified = verified}};
    why[0] = 0;
    enum err e = open_slots(&run, report);
    if (e == ERR_OK)
        e = all_slots(&run);
    if (e != ERR_OK && !why[0])
        snprintf(why, AUDIT_WHY_MAX, "%s", err_text(e));
    *records = run.records;
    for (size_t i = 0; run.head.slot && i < SLOTS_MAX; i++)
        buf_close(&run.head.slot[i].note);
    free(run.head.slot);
    free(run.positions.seats);
    return e;
}
