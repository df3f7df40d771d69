/* Proofs, tiles, duplicates, and checkpoints that clients bring. */
#include "relay/reader_internal.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/recover_nodes.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/commit_internal.h"
#include "relay/follow.h"
#include "relay/region.h"

#define BUNDLE_ENTRY_BYTES (2u + LEAF_BYTES)

void serve_proof(struct reader *rd, const struct request *q)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t count = 0;
    uint64_t a = q->f.a, b = q->f.b;
    if (q->f.slot >= rd->r->slots) {
        reader_error(rd, q, ERR_RANGE);
        return;
    }
    struct reader_source at = {.rd = rd, .slot = (uint32_t)q->f.slot};
    struct merkle_source source = {.node = reader_node, .context = &at};
    if (!reader_slot(rd, at.slot)) {
        reader_error(rd, q, ERR_UNAVAILABLE);
        return;
    }
    bool inclusion = q->f.kind == WIRE_INCLUSION;
    if (b > rd->slot.size || (inclusion ? a >= b : a > b)) {
        reader_error(rd, q, ERR_RANGE);
        return;
    }
    bool ok = inclusion ? merkle_prove_inclusion(a, b, &source, path, &count)
                        : merkle_prove_consistency(a, b, &source, path, &count);
    if (!ok) {
        reader_error(rd, q, ERR_UNAVAILABLE);
        return;
    }
    reader_reply(
        rd, q,
        frame_of(&(struct wire_frame){.type = WIRE_PROOF_IS,
                                      .rid = q->f.rid,
                                      .path = bytes_of(path, count * HASH_BYTES)}));
}

enum err reader_root(struct store_reader *store, uint32_t slot, tree_size size,
                     struct hash *root)
{
    struct frontier f;
    TRY(nodes_frontier(store, slot, size, &f));
    *root = frontier_root(&f);
    return ERR_OK;
}

/* Whose log a note speaks of; false: none of ours. */
static bool slot_of_note(const struct reader *rd, struct bytes note, uint32_t *slot)
{
    for (*slot = 0; *slot < rd->r->slots; (*slot)++) {
        const char *origin = rd->r->log_vkeys[*slot].name;
        size_t size = strlen(origin);
        if (note.size > size && memcmp(note.data, origin, size) == 0 &&
            note.data[size] == '\n')
            return true;
    }
    return false;
}

/* A checkpoint of more than is shown here, signed by the slot's own key: another relay has
 * shown it, so its records are in the store, and soon here. */
static enum err await(struct reader *rd, uint32_t slot, tree_size size, uint64_t until_ms)
{
    struct store_slot at;
    uint64_t now = clock_mono_ms();
    if (follow_wait(rd->r, slot, size, now < until_ms ? until_ms - now : 0))
        return ERR_OK;
    TRY(reader_code(rd, rd->store->ops->slot(rd->store, slot, &at)));
    return at.size < size ? ERR_BEHIND : ERR_UNAVAILABLE;
}

/* ERR_BEHIND: we signed this checkpoint, and its tree is not a beginning of ours. */
static enum err judge_note(struct reader *rd, struct bytes note, uint32_t slot,
                           uint64_t until_ms)
{
    struct checkpoint c;
    struct hash root;
    bool shown = reader_slot(rd, slot);
    if (!shown && !rd->r->follow)
        return ERR_OK;
    if (shown && note.size == rd->slot.checkpoint_size &&
        memcmp(note.data, rd->slot.checkpoint, note.size) == 0)
        return ERR_OK;
    if (!checkpoint_open(&c, (const char *)note.data, note.size, &rd->r->log_vkeys[slot]))
        return ERR_OK; /* not our signature: means nothing */
    if (rd->r->follow && (!shown || c.size > rd->slot.size)) {
        TRY(await(rd, slot, c.size, until_ms));
        TRY(reader_at(rd, slot));
    }
    if (c.size > rd->slot.size)
        return ERR_BEHIND;
    return reader_root(rd->store, slot, c.size, &root) == ERR_OK &&
                   !hash_equal(&root, &c.root)
               ? ERR_BEHIND
               : ERR_OK;
}

/* Whoever sequences the slot signs nothing more. */
static void stop_slot(struct reader *rd, uint32_t slot)
{
    struct request *stop = region_owns(rd->r, slot) ? request_new(REQUEST_STOP, 0) : NULL;
    trace(TRACE_ERROR, "reader.behind", TRACE_U64("slot", slot),
          TRACE_STR("found", "a client's checkpoint beside ours"));
    if (!stop)
        return;
    stop->slot = slot;
    queue_put_one(&rd->r->commit, &stop->work.link);
}

void serve_hello(struct reader *rd, const struct request *q)
{
    struct mail *m = mail_new(MAIL_HELLO, q->conn);
    struct mp_reader notes = q->f.notes;
    uint64_t seen[SLOTS_MAX / 64] = {0}; /* one note a slot: each costs reads */
    uint64_t until_ms = clock_mono_ms() + FOLLOW_HELLO_WAIT_MS;
    if (!m)
        return;
    for (size_t i = 0; i < q->f.note_count && m->code == ERR_OK; i++) {
        struct bytes note;
        uint32_t slot;
        wire_next_note(&notes, &note);
        if (!slot_of_note(rd, note, &slot) || (seen[slot / 64] >> (slot % 64) & 1))
            continue;
        seen[slot / 64] |= UINT64_C(1) << (slot % 64);
        m->code = judge_note(rd, note, slot, until_ms);
        if (m->code == ERR_BEHIND)
            stop_slot(rd, slot);
    }
    relay_mail_one(rd->r, m);
}

/* Duplicates. */

struct receipt {
    struct wire_result result;
    struct hash path[MERKLE_PATH_MAX];
    bool there;
};

static bool fill_receipt(void *context, const struct record *r,
                         const struct hash *account)
{
    struct receipt *out = context;
    (void)account;
    out->result.slot = r->slot;
    out->result.index = r->index;
    out->result.position = r->position;
    out->result.account_head = r->account_head;
    out->result.hub_lamport = r->hub_lamport;
    out->result.hub_time_ms = r->hub_time_ms;
    out->there = true;
    return false;
}

/* Is it in the log? Then its place and the path to the slot's present root. */
static enum err find_duplicate(struct reader *rd, const struct lookup *l,
                               struct receipt *out)
{
    const struct store_reader_ops *ops = rd->store->ops;
    uint32_t slot;
    uint64_t index;
    size_t count;
    TRY(ops->find(rd->store, &l->id, &slot, &index));
    TRY(reader_at(rd, slot));
    TRY(ops->records(rd->store, slot, index, 1, fill_receipt, out));
    struct reader_source at = {.rd = rd, .slot = slot};
    struct merkle_source source = {.node = reader_node, .context = &at};
    if (!out->there ||
        !merkle_prove_inclusion(index, rd->slot.size, &source, out->path, &count))
        return ERR_UNAVAILABLE;
    out->result.rid = l->rid;
    out->result.i = l->i;
    out->result.path = bytes_of(out->path, count * HASH_BYTES);
    out->result.flags = WIRE_RESULT_DUPLICATE;
    return ERR_OK;
}

/* One result a frame: each may need another checkpoint, and duplicates are rare. */
static struct frame *lookup_frame(struct reader *rd, const struct lookup *l)
{
    struct receipt out;
    memset(&out, 0, sizeof(out));
    enum err e = reader_code(rd, find_duplicate(rd, l, &out));
    if (e != ERR_OK) {
        struct refusal refusal = l->refusal;
        if (e != ERR_NOT_FOUND)
            refusal = (struct refusal){.code = ERR_UNAVAILABLE,
                                       .retry_after_ms = SEQ_RETRY_UNAVAILABLE_MS};
        result_refused(&out.result, rd->r, l->rid, l->i, &l->id, &refusal,
                       clock_wall_ms());
    } else {
        metrics_count(rd->r->metrics, METRIC_DUPLICATE, 0, 1);
    }
    bool accepted = out.result.code == 0;
    struct frame *f = frame_new(WIRE_RESULT_BYTES_MAX + CHECKPOINT_BYTES_MAX + 64);
    if (!f)
        return NULL;
    struct mp_writer w = frame_writer(f);
    wire_put(&w, &(struct wire_frame){.type = WIRE_RESULTS, .note_count = accepted});
    if (accepted)
        wire_put_slot_note(&w, out.result.slot,
                           bytes_of(rd->slot.checkpoint, rd->slot.checkpoint_size));
    wire_put_list(&w, 1);
    wire_put_result(&w, &out.result);
    f->size = (uint32_t)w.size;
    return f;
}

void serve_lookup(struct reader *rd, const struct request *q)
{
    struct chain_of_links mail = {0};
    for (uint32_t i = 0; i < q->lookup_count; i++) {
        struct mail *m = mail_new(MAIL_SEND, q->lookups[i].conn);
        if (!m)
            continue;
        m->frame = lookup_frame(rd, &q->lookups[i]);
        m->entries = 1;
        links_add(&mail, &m->link);
    }
    relay_mail(rd->r, &mail);
}

/* Tiles, as C2SP tlog-tiles names them: exact widths under the committed checkpoint only.
 */

struct bundle {
    struct frame *f;
    unsigned count;
};

static bool add_leaf(void *context, const struct record *r, const struct hash *account)
{
    struct bundle *b = context;
    uint8_t *at = frame_data(b->f) + b->f->size;
    (void)account;
    at[0] = LEAF_BYTES >> 8;
    at[1] = LEAF_BYTES & 0xff;
    record_leaf(r, at + 2);
    b->f->size += BUNDLE_ENTRY_BYTES;
    b->count++;
    return true;
}

static enum err read_bundle(struct store_reader *store, const struct request *q,
                            struct frame *f)
{
    struct bundle b = {.f = f};
    f->size = 0;
    TRY(store->ops->records(store, q->slot, q->tile * TILE_HASHES, q->width, add_leaf,
                            &b));
    return b.count == q->width ? ERR_OK : ERR_NOT_FOUND;
}

struct envelopes {
    struct reader *rd;
    unsigned count;
    bool failed;
};

/* A pinned account's envelope stays here, whoever asks: over HTTP nobody says who he is. */
static bool add_envelope(void *context, const struct record *r, const struct hash *account)
{
    struct envelopes *b = context;
    struct buf *out = &b->rd->records;
    struct bytes e = r->envelope;
    if (pinned_is(&b->rd->r->pinned, account))
        e.size = 0;
    uint8_t length[2] = {(uint8_t)(e.size >> 8), (uint8_t)e.size};
    b->failed = !buf_add(out, length, sizeof(length)) ||
                (e.size > 0 && !buf_add(out, e.data, e.size));
    b->count++;
    return !b->failed;
}

static enum err read_envelopes(struct reader *rd, struct store_reader *store,
                               const struct request *q, struct frame **f)
{
    struct envelopes b = {.rd = rd};
    buf_clear(&rd->records);
    TRY(store->ops->records(store, q->slot, q->tile * TILE_HASHES, q->width, add_envelope,
                            &b));
    if (b.failed || !frame_grow(f, rd->records.size))
        return ERR_MEMORY;
    if (b.count != q->width)
        return ERR_NOT_FOUND;
    memcpy(frame_data(*f), rd->records.data, rd->records.size);
    (*f)->size = (uint32_t)rd->records.size;
    return ERR_OK;
}

static enum err read_tile(struct store_reader *store, const struct request *q,
                          struct frame *f)
{
    struct hash hashes[TILE_HASHES];
    TRY(store->ops->tile(store, q->slot, (unsigned)q->level, q->tile, q->width, hashes));
    memcpy(frame_data(f), hashes, q->width * sizeof(hashes[0]));
    f->size = (uint32_t)(q->width * sizeof(hashes[0]));
    return ERR_OK;
}

static enum err read_from(struct reader *rd, struct store_reader *store,
                          const struct request *q, struct frame **f)
{
    return q->level == LEVEL_ENVELOPES ? read_envelopes(rd, store, q, f)
           : q->level < 0              ? read_bundle(store, q, *f)
                                       : read_tile(store, q, *f);
}

/* What a tile holds never changes: a standby that has it is as good as the store. */
static enum err read_settled(struct reader *rd, const struct request *q, unsigned level,
                             struct frame **f)
{
    uint64_t end = (q->tile * TILE_HASHES + q->width) << (TILE_HEIGHT * level);
    struct store_reader *store = reader_settled(rd, q->slot, end);
    if (store != rd->store) {
        enum err e = read_from(rd, store, q, f);
        if (e == ERR_OK) {
            metrics_count(rd->r->metrics, METRIC_REPLICA_READS, 0, 1);
            return e;
        }
        reader_replica_drop(rd, e);
    }
    return read_from(rd, rd->store, q, f);
}

void serve_tile(struct reader *rd, const struct request *q)
{
    struct mail *m = mail_new(MAIL_HTTP, q->conn);
    if (!m)
        return;
    m->code = ERR_NOT_FOUND;
    m->frame = frame_new(TILE_HASHES * BUNDLE_ENTRY_BYTES);
    if (!m->frame || !reader_slot(rd, q->slot)) {
        m->code = ERR_UNAVAILABLE;
    } else {
        unsigned level = q->level < 0 ? 0u : (unsigned)q->level;
        unsigned width = tile_width(rd->slot.size, level, q->tile);
        if (width >= q->width)
            m->code = reader_code(rd, read_settled(rd, q, level, &m->frame));
    }
    relay_mail_one(rd->r, m);
}
