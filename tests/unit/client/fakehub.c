#include "fakehub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "crypto/context.h"
#include "unit/account/kit.h"

#define FRAME_ROOM (1u << 20)

/* ---- frames --------------------------------------------------------------------------
 */

static uint8_t *room(void)
{
    static uint8_t bytes[FRAME_ROOM];
    return bytes;
}

static void push(struct fakehub *f, const struct mp_writer *m)
{
    assert_false(m->full);
    struct kept *k = malloc(sizeof(*k) + m->size);
    assert_non_null(k);
    k->next = NULL;
    k->size = m->size;
    memcpy(k->data, m->data, m->size);
    if (f->tail)
        f->tail->next = k;
    else
        f->head = k;
    f->tail = k;
}

static void push_frame(struct fakehub *f, const struct wire_frame *x)
{
    struct mp_writer m = mp_writer_of(room(), FRAME_ROOM);
    wire_put(&m, x);
    push(f, &m);
}

static void push_error(struct fakehub *f, uint64_t rid, enum err e)
{
    const char *text = err_text(e);
    struct wire_frame x = {
        .type = WIRE_ERROR, .rid = rid, .code = e, .text = bytes_of(text, strlen(text))};
    push_frame(f, &x);
}

static void drop_frames(struct fakehub *f)
{
    while (f->head) {
        struct kept *k = f->head;
        f->head = k->next;
        free(k);
    }
    f->tail = NULL;
}

static void note_of(struct fakehub *f, uint32_t slot, struct store_slot *s)
{
    if (f->disk_shown) {
        const struct disk_slot *d = &f->disk_shown->slot[slot];
        s->size = d->size;
        s->checkpoint_size = d->checkpoint_size;
        memcpy(s->checkpoint, d->checkpoint, d->checkpoint_size);
        return;
    }
    assert_int_equal(f->h.store->ops->slot(f->h.store, slot, s), ERR_OK);
    if (f->forked && s->size > 0) {
        struct checkpoint c;
        const struct vkey *log = &f->h.log_keys[slot];
        assert_true(checkpoint_open(&c, s->checkpoint, s->checkpoint_size, log));
        c.root.b[3] ^= 1;
        s->checkpoint_size = checkpoint_sign(s->checkpoint, sizeof(s->checkpoint), &c, log,
                                             kit_key(HUB_KEY_LOG));
    }
}

/* ---- answers -------------------------------------------------------------------------
 */

struct listing {
    struct fakehub *f;
    struct record records[WIRE_ENTRIES_MAX];
    struct buf envelopes[WIRE_ENTRIES_MAX];
    size_t count;
};

static bool list(void *context, const struct record *r, const struct hash *account)
{
    struct listing *l = context;
    (void)account;
    struct record *out = &l->records[l->count];
    struct buf *b = &l->envelopes[l->count];
    *out = *r;
    buf_clear(b);
    assert_true(buf_add(b, r->envelope.data, r->envelope.size));
    bool keep = !l->f->show || l->f->show(l->f->show_context, out, b);
    out->envelope = bytes_of(b->data, b->size);
    l->count += keep;
    return l->count < WIRE_ENTRIES_MAX;
}

static struct listing *listing_of(struct fakehub *f)
{
    struct listing *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    l->f = f;
    return l;
}

static void listing_close(struct listing *l)
{
    for (size_t i = 0; i < WIRE_ENTRIES_MAX; i++)
        buf_close(&l->envelopes[i]);
    free(l);
}

/* The disk of tests/sim keeps no index by account: look through the slot. */
struct filter {
    const struct hash *account;
    uint64_t from, max;
    store_visit *visit;
    void *context;
};

static bool pass(void *context, const struct record *r, const struct hash *account)
{
    struct filter *x = context;
    if (!hash_equal(account, x->account) || r->position < x->from)
        return true;
    return x->max-- > 0 && x->visit(x->context, r, account);
}

static void account_records(struct fakehub *f, const struct hash *id, uint64_t from,
                            uint64_t max, store_visit *visit, void *context)
{
    for (uint32_t slot = 0; slot < f->h.slots; slot++) {
        struct filter x = {id, from, max, visit, context};
        assert_int_equal(f->rd->ops->records(f->rd, slot, 0, UINT64_MAX, pass, &x),
                         ERR_OK);
    }
}

static bool count_one(void *context, const struct record *r, const struct hash *account)
{
    uint64_t *n = context;
    (void)account;
    (void)r;
    ++*n;
    return true;
}

static void on_fetch(struct fakehub *f, const struct wire_frame *q)
{
    struct listing *l = listing_of(f);
    uint64_t max = q->max < 100 ? q->max : 100, end = 0;
    const struct store_reader_ops *ops = f->rd->ops;
    enum err e;
    if (q->key.what == WIRE_SLOT) {
        struct store_slot s;
        note_of(f, (uint32_t)q->key.slot, &s);
        end = s.size;
        e = ops->records(f->rd, (uint32_t)q->key.slot, q->from, max, list, l);
    } else {
        e = ERR_OK;
        account_records(f, &q->key.id, q->from, max, list, l);
        account_records(f, &q->key.id, 0, UINT64_MAX, count_one, &end);
    }
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        push_error(f, q->rid, e);
    } else {
        struct wire_frame x = {.type = WIRE_PAGE, .rid = q->rid, .count = l->count};
        struct mp_writer m = mp_writer_of(room(), FRAME_ROOM);
        wire_put(&m, &x);
        for (size_t i = 0; i < l->count; i++)
            wire_put_record(&m, &l->records[i]);
        wire_put_page_end(&m, q->from + l->count, end);
        push(f, &m);
    }
    listing_close(l);
}

struct tree {
    struct fakehub *f;
    uint32_t slot;
};

static bool node_of(void *context, unsigned level, uint64_t n, struct hash *out)
{
    struct tree *t = context;
    return t->f->rd->ops->node(t->f->rd, t->slot, level, n, out) == ERR_OK;
}

static size_t prove(struct fakehub *f, uint64_t kind, uint32_t slot, uint64_t a,
                    uint64_t b, struct hash path[MERKLE_PATH_MAX])
{
    struct tree t = {f, slot};
    struct merkle_source s = {node_of, &t};
    size_t count = 0;
    bool ok = kind == WIRE_INCLUSION ? merkle_prove_inclusion(a, b, &s, path, &count)
                                     : merkle_prove_consistency(a, b, &s, path, &count);
    return ok ? count : SIZE_MAX;
}

static void on_proof(struct fakehub *f, const struct wire_frame *q)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t count = prove(f, q->kind, (uint32_t)q->slot, q->a, q->b, path);
    if (count == SIZE_MAX) {
        push_error(f, q->rid, ERR_RANGE);
        return;
    }
    struct wire_frame x = {
        .type = WIRE_PROOF_IS, .rid = q->rid, .path = bytes_of(path, count * HASH_BYTES)};
    push_frame(f, &x);
}

static void on_hello(struct fakehub *f, const struct wire_frame *q)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct hash federation = kit_hash(1);
    const struct key *relay = kit_key(HUB_KEY_RELAY);
    const struct pubkey *device = q->has_device ? &q->device : NULL;
    size_t n =
        hello_message(message, &federation, HUB_NAME, &f->nonce, &q->nonce, device);
    if (device)
        assert_true(sig_verify(&q->sig, device, CTX_HELLO, message, n));
    struct wire_frame x = {.type = WIRE_WELCOME,
                           .rid = q->rid,
                           .device = key_public(relay),
                           .has_sig = true,
                           .sig = key_sign(relay, CTX_WELCOME, message, n),
                           .hub_time_ms = f->h.now_ms,
                           .note_count = f->h.slots};
    struct mp_writer m = mp_writer_of(room(), FRAME_ROOM);
    wire_put(&m, &x);
    for (uint32_t i = 0; i < f->h.slots; i++) {
        struct store_slot s;
        note_of(f, i, &s);
        wire_put_note(&m, bytes_of(s.checkpoint, s.checkpoint_size));
    }
    push(f, &m);
}

/* ---- submit --------------------------------------------------------------------------
 */

struct answer {
    struct wire_result r;
    struct hash id;
    struct hash path[MERKLE_PATH_MAX];
};

static void accepted(struct fakehub *f, struct answer *a)
{
    struct listing *l = listing_of(f);
    struct store_slot s;
    uint32_t slot;
    uint64_t index;
    assert_int_equal(f->rd->ops->find(f->rd, &a->id, &slot, &index), ERR_OK);
    assert_int_equal(f->rd->ops->records(f->rd, slot, index, 1, list, l), ERR_OK);
    note_of(f, slot, &s);
    a->r.slot = slot;
    a->r.index = index;
    a->r.position = l->records[0].position;
    a->r.account_head = l->records[0].account_head;
    a->r.hub_lamport = l->records[0].hub_lamport;
    a->r.hub_time_ms = l->records[0].hub_time_ms;
    size_t count = prove(f, WIRE_INCLUSION, slot, index, s.size, a->path);
    assert_true(count != SIZE_MAX);
    a->r.path = bytes_of(a->path, count * HASH_BYTES);
    listing_close(l);
}

static void refused(struct answer *a, const struct refusal *why, uint64_t now_ms)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    a->r.code = why->code;
    a->r.has_head = why->has_head;
    a->r.next_seq = why->next_seq;
    a->r.tip = why->tip;
    a->r.tip_lamport = why->tip_lamport;
    a->r.balance = why->balance;
    a->r.hub_time_ms = now_ms;
    size_t n = refusal_message(message, &a->id, why->code, now_ms);
    a->r.has_sig = why->code >= 110 && why->code <= 159;
    if (a->r.has_sig)
        a->r.sig = key_sign(kit_key(HUB_KEY_RELAY), CTX_REFUSAL, message, n);
}

static void take_entry(struct fakehub *f, struct bytes envelope, struct answer *a)
{
    struct entry e;
    struct refusal why = {0};
    enum err err = entry_decode(&e, envelope.data, envelope.size);
    if (err == ERR_OK && !entry_verify(&e))
        err = ERR_SIGNATURE;
    a->id = e.id;
    if (err != ERR_OK) {
        a->r.code = err;
        return;
    }
    uint32_t slot;
    uint64_t index;
    enum seq_disposition d = hub_submit(&f->h, &e, 0, &why);
    if (d == SEQ_QUEUED) {
        assert_int_equal(hub_commit(&f->h), ERR_OK);
        f->entries_taken++;
    } else if (f->rd->ops->find(f->rd, &e.id, &slot, &index) == ERR_OK) {
        a->r.flags = WIRE_RESULT_DUPLICATE;
    } else {
        refused(a, &why, f->h.now_ms);
    }
}

static void tell_settled(struct fakehub *f)
{
    struct hub_seen *s = &f->h.seen;
    for (; f->settled_told < s->settled_count; f->settled_told++) {
        const struct seq_settled *x = &s->settled[f->settled_told];
        struct wire_frame frame = {.type = WIRE_SETTLED, .count = 1};
        struct wire_settled out = {.cause = x->cause,
                                   .payee_index = x->payee_index,
                                   .bounced = x->bounced,
                                   .slot = x->slot,
                                   .index = x->index,
                                   .left = f->settle_early ? 0 : x->remaining};
        struct mp_writer m = mp_writer_of(room(), FRAME_ROOM);
        wire_put(&m, &frame);
        wire_put_settled(&m, &out);
        push(f, &m);
        if (f->settle_early) {
            f->settled_told = s->settled_count;
            break;
        }
    }
}

void fakehub_settle(struct fakehub *f)
{
    hub_settle(&f->h);
    if (f->up && !f->cut)
        tell_settled(f);
}

static void put_results(struct fakehub *f, struct answer *a, size_t count,
                        enum fake_fault fault)
{
    bool touched[SLOTS_MAX] = {false};
    struct wire_frame x = {.type = WIRE_RESULTS, .count = count};
    for (size_t i = 0; i < count; i++)
        if (a[i].r.code == 0 && !touched[a[i].r.slot]) {
            touched[a[i].r.slot] = true;
            x.note_count++;
        }
    struct mp_writer m = mp_writer_of(room(), FRAME_ROOM);
    wire_put(&m, &x);
    for (uint32_t i = 0; i < f->h.slots; i++) {
        struct store_slot s;
        if (!touched[i])
            continue;
        note_of(f, i, &s);
        if (fault == FAKE_BAD_NOTE) {
            struct checkpoint c;
            struct vkey other;
            assert_true(
                checkpoint_open(&c, s.checkpoint, s.checkpoint_size, &f->h.log_keys[i]));
            struct pubkey pub = key_public(kit_key(77));
            assert_true(vkey_make(&other, c.origin, NOTE_ED25519, &pub));
            s.checkpoint_size = checkpoint_sign(s.checkpoint, sizeof(s.checkpoint), &c,
                                                &other, kit_key(77));
        }
        wire_put_slot_note(&m, i, bytes_of(s.checkpoint, s.checkpoint_size));
    }
    wire_put_list(&m, count);
    for (size_t i = 0; i < count; i++) {
        if (fault == FAKE_BAD_PATH && a[i].r.path.size)
            a[i].path[0].b[5] ^= 1;
        wire_put_result(&m, &a[i].r);
    }
    push(f, &m);
}

static void on_submit(struct fakehub *f, struct wire_frame *q)
{
    enum fake_fault fault = f->fault;
    f->fault = FAKE_NONE;
    f->submits++;
    if (fault == FAKE_CUT_BEFORE) {
        f->cut = true;
        return;
    }
    struct answer *a = calloc(q->count, sizeof(*a));
    assert_non_null(a);
    for (size_t i = 0; i < q->count; i++) {
        struct bytes envelope;
        wire_next_envelope(&q->list, &envelope);
        a[i].r.rid = q->rid;
        a[i].r.i = i;
        if (fault == FAKE_BUSY) {
            a[i].r.code = ERR_BUSY;
            a[i].r.retry_after_ms = 5;
        } else if (fault == FAKE_DOOR) {
            a[i].r.code = ERR_POLICY_KIND;
        } else {
            take_entry(f, envelope, &a[i]);
        }
        if (fault == FAKE_UNSIGNED)
            a[i].r.has_sig = false;
    }
    for (size_t i = 0; i < q->count; i++)
        if (a[i].r.code == 0)
            accepted(f, &a[i]);
    if (fault == FAKE_CUT_AFTER)
        f->cut = true;
    else if (fault != FAKE_SILENT)
        put_results(f, a, q->count, fault);
    free(a);
    if (!f->hold_credits)
        fakehub_settle(f);
}

/* ---- the rest ------------------------------------------------------------------------
 */

static void on_settlement(struct fakehub *f, const struct wire_frame *q)
{
    struct wire_frame x = {.type = WIRE_SETTLEMENT_IS, .rid = q->rid};
    uint32_t slot;
    uint64_t index;
    if (f->rd->ops->find(f->rd, &q->id, &slot, &index) != ERR_OK)
        x.state = WIRE_SETTLE_UNKNOWN;
    else
        x.state = sequencer_pending(f->h.q) ? WIRE_SETTLE_PENDING : WIRE_SETTLE_DONE;
    x.left = x.state == WIRE_SETTLE_PENDING;
    push_frame(f, &x);
}

static void on_head(struct fakehub *f, const struct wire_frame *q)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    uint32_t slot = slot_of(&q->id, f->h.slots);
    struct slotlog *log = sequencer_slotlog(f->h.q, slot);
    const struct account *a = slotlog_account(log, &q->id);
    if (!a) {
        push_error(f, q->rid, ERR_ACCOUNT_UNKNOWN);
        return;
    }
    struct wire_frame x = {.type = WIRE_HEAD_IS,
                           .rid = q->rid,
                           .slot = slot,
                           .position = a->position,
                           .head = a->head,
                           .balance = a->balance,
                           .size = log->frontier.size,
                           .has_sig = true};
    if (f->wrong_head)
        x.head.b[7] ^= 1;
    size_t n = head_message(message, &q->id, x.position, &x.head, log->hub.origin, x.size);
    x.sig = key_sign(kit_key(HUB_KEY_RELAY), CTX_HEAD, message, n);
    push_frame(f, &x);
}

static void on_sealed_put(struct fakehub *f, const struct wire_frame *q)
{
    assert_true(f->sealed_count < 16);
    f->sealed[f->sealed_count].entry = q->id;
    f->sealed[f->sealed_count].salt = q->salt;
    assert_true(buf_add(&f->sealed[f->sealed_count].data, q->data.data, q->data.size));
    f->sealed_count++;
    push_frame(f, &(struct wire_frame){.type = WIRE_OK, .rid = q->rid});
}

static void on_sealed_get(struct fakehub *f, const struct wire_frame *q)
{
    for (size_t i = 0; i < f->sealed_count; i++)
        if (hash_equal(&f->sealed[i].entry, &q->id)) {
            struct wire_frame x = {
                .type = WIRE_SEALED_IS,
                .rid = q->rid,
                .salt = f->sealed[i].salt,
                .data = bytes_of(f->sealed[i].data.data, f->sealed[i].data.size)};
            push_frame(f, &x);
            return;
        }
    push_error(f, q->rid, ERR_NOT_FOUND);
}

/* New records of the subscribed account, with the checkpoint. */
static void tell_live(struct fakehub *f)
{
    if (!f->subscribed)
        return;
    struct listing *l = listing_of(f);
    struct store_slot s;
    account_records(f, &f->subscribed_to, f->subscribed_next, 100, list, l);
    if (l->count > 0) {
        note_of(f, slot_of(&f->subscribed_to, f->h.slots), &s);
        struct wire_frame x = {.type = WIRE_RECORDS,
                               .key = {.what = WIRE_ACCOUNT, .id = f->subscribed_to},
                               .mode = WIRE_LIVE,
                               .count = l->count};
        struct mp_writer m = mp_writer_of(room(), FRAME_ROOM);
        wire_put(&m, &x);
        for (size_t i = 0; i < l->count; i++)
            wire_put_record(&m, &l->records[i]);
        wire_put_note(&m, bytes_of(s.checkpoint, s.checkpoint_size));
        push(f, &m);
        f->subscribed_next += l->count;
    }
    listing_close(l);
}

static void answer(struct fakehub *f, struct wire_frame *q)
{
    struct store_slot s;
    switch (q->type) {
    case WIRE_HELLO:
        on_hello(f, q);
        break;
    case WIRE_SUBMIT:
        on_submit(f, q);
        break;
    case WIRE_FETCH:
        on_fetch(f, q);
        break;
    case WIRE_PROOF:
        f->cut = f->cut || f->cut_at_proof;
        f->cut_at_proof = false;
        on_proof(f, q);
        break;
    case WIRE_CHECKPOINT:
        note_of(f, (uint32_t)q->slot, &s);
        push_frame(
            f, &(struct wire_frame){.type = WIRE_CHECKPOINT_IS,
                                    .rid = q->rid,
                                    .note = bytes_of(s.checkpoint, s.checkpoint_size)});
        break;
    case WIRE_HEAD:
        on_head(f, q);
        break;
    case WIRE_SETTLEMENT:
        on_settlement(f, q);
        break;
    case WIRE_SEALED_PUT:
        on_sealed_put(f, q);
        break;
    case WIRE_SEALED_GET:
        on_sealed_get(f, q);
        break;
    case WIRE_LIMITS:
        push_frame(f, &(struct wire_frame){
                          .type = WIRE_LIMITS_IS, .rid = q->rid, .limits = f->limits});
        break;
    case WIRE_SUBSCRIBE:
        f->subscribed = true;
        f->subscribed_to = q->key.id;
        f->subscribed_next = q->from;
        push_frame(f, &(struct wire_frame){.type = WIRE_OK, .rid = q->rid});
        break;
    case WIRE_UNSUBSCRIBE:
        f->subscribed = false;
        push_frame(f, &(struct wire_frame){.type = WIRE_OK, .rid = q->rid});
        break;
    default:
        push_error(f, q->rid, ERR_FRAME);
        break;
    }
}

/* ---- transport -----------------------------------------------------------------------
 */

static enum err fake_send(void *context, const void *frame, size_t size)
{
    struct fakehub *f = context;
    struct wire_frame q;
    if (f->cut)
        return ERR_NET;
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, frame, size);
    assert_int_equal(wire_decode(&q, copy, size), ERR_OK);
    answer(f, &q);
    free(copy);
    return ERR_OK;
}

static void fake_poll(void *context, uint32_t timeout_ms, struct link_event *out)
{
    struct fakehub *f = context;
    memset(out, 0, sizeof(*out));
    free(f->lent);
    f->lent = NULL;
    if (!f->told_open) {
        f->told_open = true;
        out->type = LINK_OPEN;
        return;
    }
    if (!f->head && !f->cut)
        tell_live(f);
    if (f->head) {
        f->lent = f->head;
        f->head = f->head->next;
        if (!f->head)
            f->tail = NULL;
        out->type = LINK_FRAME;
        out->frame = bytes_of(f->lent->data, f->lent->size);
        return;
    }
    out->type = f->cut ? LINK_CLOSED : LINK_TIMEOUT;
    if (f->cut)
        strcpy(out->why, "the line was cut");
    else if (timeout_ms)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void fake_close(void *context)
{
    struct fakehub *f = context;
    drop_frames(f);
    free(f->lent);
    f->lent = NULL;
    f->up = false;
    f->subscribed = false;
}

enum err fakehub_dial(void *context, const char *url, const char *ca_file,
                      struct transport *out)
{
    struct fakehub *f = context;
    (void)url;
    (void)ca_file;
    f->up = true;
    f->cut = f->told_open = false;
    random_bytes(f->nonce.b, HASH_BYTES);
    struct wire_frame x = {.type = WIRE_CHALLENGE,
                           .version = WIRE_VERSION,
                           .federation = kit_hash(1),
                           .hub = bytes_of(HUB_NAME, strlen(HUB_NAME)),
                           .slots = f->h.slots,
                           .nonce = f->nonce,
                           .limits = f->limits};
    push_frame(f, &x);
    *out = (struct transport){f, fake_send, fake_poll, fake_close};
    return ERR_OK;
}

void fakehub_open(struct fakehub *f, uint32_t slots)
{
    memset(f, 0, sizeof(*f));
    hub_create(&f->h, slots);
    f->limits = (struct wire_limits){.frame_bytes = 1 << 20,
                                     .entry_bytes = 16384,
                                     .entries_a_frame = 256,
                                     .subscriptions = 10,
                                     .inflight_entries = 512,
                                     .page_records = 100,
                                     .idle_ms = 60000,
                                     .unsent_bytes = 1 << 22};
    assert_int_equal(f->h.store->ops->reader_open(f->h.store, &f->rd), ERR_OK);
}

void fakehub_close(struct fakehub *f)
{
    drop_frames(f);
    for (size_t i = 0; i < f->sealed_count; i++)
        buf_close(&f->sealed[i].data);
    f->rd->ops->close(f->rd);
    hub_close(&f->h);
}

void fakehub_fund(struct fakehub *f, const stoa_id *account, int64_t points)
{
    static struct kit_entry e;
    static struct payload p;
    static uint64_t epoch;
    struct hash id = hash_of(account), node = kit_hash(7);
    struct refusal r;
    struct account *a = hub_account_at(&f->h, &id);
    assert_non_null(a);
    kit_accrue(&p, &node, ++epoch, points);
    kit_build(&e, a, &sequencer_slotlog(f->h.q, slot_of(&id, f->h.slots))->hub,
              kit_key(HUB_KEY_ISSUER), &p);
    assert_int_equal(hub_submit(&f->h, &e.e, 0, &r), SEQ_QUEUED);
    hub_settle(&f->h);
}

int64_t fakehub_balance(struct fakehub *f, const stoa_id *account)
{
    struct hash id = hash_of(account);
    struct account *a = hub_account_at(&f->h, &id);
    return a ? a->balance : -1;
}
