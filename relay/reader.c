#include "relay/reader_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/seal.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/commit.h"
#include "relay/follow.h"
#include "relay/peer.h"

#define ROOM_STEP_MS 10u
#define ROOM_WAIT_MS 3000u /* longest time that a read waits for memory */
#define TAKE_WAIT_MS 1000u
#define WATCH_EVERY_MS 5000u

struct readers {
    struct relay *r;
    atomic_bool ending;
    unsigned count;
    struct reader threads[READER_THREADS];
};

void reader_reply(struct reader *rd, const struct request *q, struct frame *f)
{
    struct mail *m = mail_new(MAIL_SEND, q->conn);
    if (!m) {
        frame_drop(f);
        return;
    }
    m->frame = f;
    m->read = true;
    relay_mail_one(rd->r, m);
}

void reader_error(struct reader *rd, const struct request *q, enum err code)
{
    uint64_t retry_after_ms = code == ERR_UNAVAILABLE ? SEQ_RETRY_UNAVAILABLE_MS
                              : code == ERR_BUSY      ? READS_RETRY_MS
                                                      : 0;
    reader_reply(rd, q, frame_error(q->f.rid, code, retry_after_ms));
}

enum err reader_code(struct reader *rd, enum err e)
{
    if (e == ERR_OK || (e >= 100 && e < 200))
        return e;
    metrics_count(rd->r->metrics, METRIC_STORE_ERRORS, M_OP_READ, 1);
    if (e == ERR_IO || e == ERR_CORRUPT)
        relay_broken(rd->r, "read", e);
    else
        trace(TRACE_WARN, "reader.failed", TRACE_ERR("why", e));
    return ERR_UNAVAILABLE;
}

/* A reader may see a commit before its event is at the loop. What the loop shows next is no
 * less than what is shown now: whoever was told of a tree and then of a smaller one, or of a
 * record past the checkpoint he gets next, has evidence against the hub. */
static enum err tell_loop(struct reader *rd, uint32_t slot)
{
    const struct store_slot *s = &rd->slot;
    if (s->size <= rd->seen[slot])
        return ERR_OK;
    struct mail *m = mail_new(MAIL_SEEN, 0);
    struct frame *note = frame_new(s->checkpoint_size);
    if (!m || !note) {
        mail_drop(m);
        frame_drop(note);
        return ERR_MEMORY;
    }
    memcpy(frame_data(note), s->checkpoint, s->checkpoint_size);
    note->size = (uint32_t)s->checkpoint_size;
    m->frame = note;
    m->slot = slot;
    m->own = true;
    relay_mail_one(rd->r, m);
    rd->seen[slot] = s->size;
    return ERR_OK;
}

/* What was not published is not shown: a client that is told of a tree and then of a
 * smaller one has evidence against the hub. Where several relays share the ledger, none shows
 * of another's slot what it has not verified itself. */
enum err reader_at(struct reader *rd, uint32_t slot)
{
    if (rd->r->follow)
        return follow_at(rd->r, slot, &rd->slot);
    if (atomic_load(&rd->r->unsure[slot]))
        return ERR_UNAVAILABLE;
    TRY(rd->store->ops->slot(rd->store, slot, &rd->slot));
    return tell_loop(rd, slot);
}

/* The store may have a record that is not shown yet: moments later it is. */
enum err reader_shows(struct reader *rd, uint32_t slot, uint64_t index)
{
    TRY(reader_at(rd, slot));
    if (index < rd->slot.size)
        return ERR_OK;
    if (!rd->r->follow || !follow_wait(rd->r, slot, index + 1, FOLLOW_READ_WAIT_MS))
        return ERR_UNAVAILABLE;
    return reader_at(rd, slot);
}

bool reader_slot(struct reader *rd, uint32_t slot)
{
    return reader_code(rd, reader_at(rd, slot)) == ERR_OK;
}

bool reader_node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct reader_source *s = context;
    return s->rd->store->ops->node(s->rd->store, s->slot, level, n, out) == ERR_OK;
}

/* Attachments. */

struct found {
    struct hash account;
    bool has_sealed, there;
    struct hash commitment;
    uint64_t size;
};

static bool look_at(void *context, const struct record *r, const struct hash *account)
{
    struct found *f = context;
    struct entry e;
    f->there = entry_decode(&e, r->envelope.data, r->envelope.size) == ERR_OK;
    if (!f->there)
        return false;
    f->account = *account;
    f->has_sealed = e.has_sealed;
    f->commitment = e.sealed_commitment;
    f->size = e.sealed_size;
    return false;
}

/* The entry an attachment belongs to, when the asker may see its account. */
static enum err find_entry(struct reader *rd, const struct request *q, struct found *f)
{
    uint32_t slot;
    uint64_t index;
    memset(f, 0, sizeof(*f));
    TRY(rd->store->ops->find(rd->store, &q->f.id, &slot, &index));
    TRY(reader_shows(rd, slot, index));
    TRY(rd->store->ops->records(rd->store, slot, index, 1, look_at, f));
    if (!f->there)
        return ERR_NOT_FOUND;
    if (!pinned_may_read(&rd->r->pinned, &f->account, q->has_device ? &q->device : NULL))
        return ERR_NOT_ALLOWED;
    return f->has_sealed ? ERR_OK : ERR_NOT_FOUND;
}

static void serve_sealed_get(struct reader *rd, const struct request *q)
{
    struct found f;
    struct buf data = {0};
    enum err e = reader_code(rd, find_entry(rd, q, &f));
    if (e == ERR_OK)
        e = reader_code(rd, rd->store->ops->sealed(rd->store, &q->f.id, &data));
    if (e == ERR_OK && data.size <= sizeof(struct hash))
        e = ERR_NOT_FOUND;
    if (e != ERR_OK) {
        buf_close(&data);
        reader_error(rd, q, e);
        return;
    }
    struct wire_frame out = {.type = WIRE_SEALED_IS, .rid = q->f.rid};
    memcpy(out.salt.b, data.data, sizeof(out.salt.b));
    out.data = bytes_of(data.data + sizeof(out.salt.b), data.size - sizeof(out.salt.b));
    reader_reply(rd, q, frame_of(&out));
    buf_close(&data);
}

/* Checked here; the commit thread writes it. True: `q` went on to it. */
static bool serve_sealed_put(struct reader *rd, struct request *q)
{
    struct found f;
    enum err e = reader_code(rd, find_entry(rd, q, &f));
    if (e == ERR_OK) {
        struct hash c = seal_commitment(q->f.salt.b, q->f.data.data, q->f.data.size);
        if (f.size != q->f.data.size || !hash_equal(&c, &f.commitment))
            e = ERR_PAYLOAD;
    }
    if (e != ERR_OK) {
        reader_error(rd, q, e);
        return false;
    }
    if (atomic_load(&rd->r->seals_waiting) >= SEALS_WAITING_MAX) {
        metrics_count(rd->r->metrics, METRIC_LIMITED, M_LIMIT_QUEUE, 1);
        reader_error(rd, q, ERR_BUSY);
        return false;
    }
    atomic_fetch_add(&rd->r->seals_waiting, 1u);
    q->kind = REQUEST_SEAL;
    queue_put_one(&rd->r->commit, &q->work.link);
    return true;
}

/* One of several relays: the entry tells the slot, and the slot who knows what is under way.
 * `q` is handed on, or answered and dropped. */
static void serve_settlement(struct reader *rd, struct request *q)
{
    uint32_t slot = 0;
    uint64_t index;
    enum err e = reader_code(rd, rd->store->ops->find(rd->store, &q->f.id, &slot, &index));
    if (e == ERR_OK && peers_others(rd->r->peers, slot)) {
        struct request was = *q;
        if (!peers_ask(rd->r->peers, q, slot))
            reader_error(rd, &was, ERR_BUSY);
        return;
    }
    if (e == ERR_OK) {
        atomic_fetch_add(&rd->r->asks_waiting, 1u);
        queue_put_one(&rd->r->commit, &q->work.link);
        return;
    }
    if (e == ERR_NOT_FOUND)
        reader_reply(rd, q,
                     frame_of(&(struct wire_frame){.type = WIRE_SETTLEMENT_IS,
                                                   .rid = q->f.rid,
                                                   .state = WIRE_SETTLE_UNKNOWN}));
    else
        reader_error(rd, q, e);
    request_drop(q);
}

/* The thread. */

static const enum metric_route routes[] = {
    [WIRE_FETCH] = M_ROUTE_FETCH,
    [WIRE_PROOF] = M_ROUTE_PROOF,
    [WIRE_SEALED_GET] = M_ROUTE_SEALED,
    [WIRE_SEALED_PUT] = M_ROUTE_SEALED,
};

/* True: `q` was handed on. */
static bool serve_frame(struct reader *rd, struct request *q)
{
    bool kept = false;
    switch (q->f.type) {
    case WIRE_FETCH:
        serve_fetch(rd, q);
        break;
    case WIRE_PROOF:
        serve_proof(rd, q);
        break;
    case WIRE_SEALED_GET:
        serve_sealed_get(rd, q);
        break;
    case WIRE_SEALED_PUT:
        kept = serve_sealed_put(rd, q);
        break;
    case WIRE_SETTLEMENT:
        serve_settlement(rd, q);
        return true;
    default:
        reader_error(rd, q, ERR_FRAME);
        return false;
    }
    if (!kept)
        metrics_observe(rd->r->metrics, METRIC_REQUEST,
                        METRIC_PAIR(routes[q->f.type], M_CODE_OK),
                        clock_mono_us() - q->since_us);
    return kept;
}

static void serve(struct reader *rd, struct request *q)
{
    bool kept = false;
    switch (q->kind) {
    case REQUEST_FRAME:
        kept = serve_frame(rd, q);
        break;
    case REQUEST_PAGE:
        serve_page(rd, q);
        break;
    case REQUEST_HELLO:
        serve_hello(rd, q);
        break;
    case REQUEST_LOOKUP:
        serve_lookup(rd, q);
        break;
    case REQUEST_TILE:
        serve_tile(rd, q);
        break;
    case REQUEST_VIEW:
        serve_view(rd, q);
        break;
    case REQUEST_SEAL:
    case REQUEST_CHANNEL:
    case REQUEST_STOP:
        break; /* never sent here */
    }
    if (!kept)
        request_drop(q);
}

/* A long answer waits until messages take less than the memory plan gives them, as long as
 * the loop may need to send somebody away who does not read his. */
static void await_room(const struct reader *rd, const struct request *q)
{
    struct timespec nap = {0, ROOM_STEP_MS * 1000000L};
    bool is_long = q->kind == REQUEST_FRAME || q->kind == REQUEST_PAGE ||
                   q->kind == REQUEST_TILE;
    for (unsigned waited = 0; is_long && waited < ROOM_WAIT_MS &&
                              !atomic_load(rd->ending) &&
                              frames_bytes() >= memory_high(&rd->r->plan);
         waited += ROOM_STEP_MS)
        nanosleep(&nap, NULL);
}

static void *reader_thread(void *context)
{
    struct reader *rd = context;
    struct chain_of_links got;
    uint64_t watched = 0;
    while (queue_take(&rd->r->readers, &got, 1, TAKE_WAIT_MS)) {
        struct link *l = links_pop(&got);
        if (rd->first && clock_mono_ms() - watched >= WATCH_EVERY_MS) {
            view_watch(rd);
            watched = clock_mono_ms();
        }
        if (!l)
            continue;
        if (((struct request *)l)->kind != REQUEST_LOOKUP)
            atomic_fetch_sub(&rd->r->reads_waiting, 1u);
        await_room(rd, (struct request *)l);
        if (atomic_load(rd->ending))
            request_drop((struct request *)l);
        else
            serve(rd, (struct request *)l);
    }
    return NULL;
}

enum err readers_open(struct readers **out, struct relay *r)
{
    struct readers *rs = calloc(1, sizeof(*rs));
    enum err e = ERR_OK;
    if (!rs)
        return ERR_MEMORY;
    rs->r = r;
    while (rs->count < READER_THREADS && e == ERR_OK) {
        struct reader *rd = &rs->threads[rs->count];
        rd->r = r;
        rd->ending = &rs->ending;
        rd->first = rs->count == 0;
        e = r->store->ops->reader_open(r->store, &rd->store);
        if (e != ERR_OK)
            break;
        if (pthread_create(&rd->thread, NULL, reader_thread, rd) != 0) {
            rd->store->ops->close(rd->store);
            e = ERR_MEMORY;
            break;
        }
        rs->count++;
    }
    if (e != ERR_OK) {
        readers_close(rs);
        return e;
    }
    *out = rs;
    return ERR_OK;
}

void readers_close(struct readers *rs)
{
    if (!rs)
        return;
    atomic_store(&rs->ending, true);
    queue_end(&rs->r->readers);
    for (unsigned i = 0; i < rs->count; i++) {
        struct reader *rd = &rs->threads[i];
        pthread_join(rd->thread, NULL);
        reader_replica_close(rd);
        rd->store->ops->close(rd->store);
        buf_close(&rd->records);
    }
    free(rs);
}
