/* stoa_verify: an account replayed from its first record over the bytes on this disk. */
#include <stdlib.h>
#include <string.h>

#include "client/verify.h"
#include "client/wallet.h"

struct stored {
    uint64_t index, hub_lamport, hub_time_ms, position;
    size_t at, size;
};

struct pile {
    struct stored *items;
    size_t count, cap;
    struct buf envelopes;
    bool failed;
};

struct account_run {
    stoa_wallet *w;
    const struct client_account *row;
    struct pile hub; /* the hub account's records: few */
    size_t hub_next;
    uint64_t next;
    struct follow f;
    struct tips tips, hub_tips;
    bool note_tips;
    uint64_t signatures;
    stoa_progress_fn progress;
    void *context;
    uint64_t total;
};

static bool pile_up(void *context, const struct record *r, int64_t balance)
{
    struct pile *p = context;
    (void)balance;
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 64;
        struct stored *more = realloc(p->items, cap * sizeof(*more));
        if (!more) {
            p->failed = true;
            return false;
        }
        p->items = more;
        p->cap = cap;
    }
    p->items[p->count++] =
        (struct stored){r->index,    r->hub_lamport,    r->hub_time_ms,
                        r->position, p->envelopes.size, r->envelope.size};
    p->failed = !buf_add(&p->envelopes, r->envelope.data, r->envelope.size);
    return !p->failed;
}

static void pile_close(struct pile *p)
{
    free(p->items);
    buf_close(&p->envelopes);
    memset(p, 0, sizeof(*p));
}

static struct record from_pile(const struct pile *p, size_t i, uint32_t slot)
{
    const struct stored *s = &p->items[i];
    return (struct record){.slot = slot,
                           .index = s->index,
                           .position = s->position,
                           .hub_lamport = s->hub_lamport,
                           .hub_time_ms = s->hub_time_ms,
                           .envelope = bytes_of(p->envelopes.data + s->at, s->size)};
}

/* Both accounts' records, merged by index. What does not fit is read again. */
static enum err run_read(void *context, struct record out[], size_t max, size_t *count,
                         void **hold)
{
    struct account_run *x = context;
    struct pile *p = calloc(1, sizeof(*p));
    *count = 0;
    if (!p)
        return ERR_MEMORY;
    enum err e = client_store_records(x->w->store, x->row, x->next, max, pile_up, p);
    if (e != ERR_OK || p->failed) {
        pile_close(p);
        free(p);
        return e != ERR_OK ? e : ERR_MEMORY;
    }
    size_t at = 0;
    while (*count < max) {
        bool hub_due = x->hub_next < x->hub.count;
        if (at < p->count) {
            if (hub_due && x->hub.items[x->hub_next].index > p->items[at].index)
                hub_due = false;
        } else if (p->count == max) {
            break; /* more of the account may stand before the next hub record */
        } else if (!hub_due) {
            break;
        }
        if (hub_due) {
            out[(*count)++] = from_pile(&x->hub, x->hub_next++, x->row->slot);
        } else {
            out[(*count)++] = from_pile(p, at++, x->row->slot);
            x->next++;
        }
    }
    *hold = p;
    return ERR_OK;
}

static void run_release(void *context, void *hold)
{
    struct pile *p = hold;
    (void)context;
    pile_close(p);
    free(p);
}

static enum err run_apply(void *context, const struct entry *e, const struct record *r,
                          const struct hash *leaf)
{
    struct account_run *x = context;
    (void)leaf;
    TRY(follow_apply(&x->f, e, r));
    if (!x->note_tips)
        return ERR_OK;
    bool of_hub = hash_equal(entry_account(e), &x->f.hub_id);
    return tips_note(of_hub ? &x->hub_tips : &x->tips, e);
}

static enum err run_finish(void *context)
{
    struct account_run *x = context;
    TRY(tips_verify(&x->tips, &x->signatures));
    return tips_verify(&x->hub_tips, &x->signatures);
}

static bool tell(void *context, uint64_t done)
{
    struct account_run *x = context;
    return x->progress(x->context, done, x->total);
}

static enum err replay_all(struct account_run *x, const struct slot_view *slot,
                           stoa_verify_mode mode, unsigned threads)
{
    struct verify_lane lane = {.context = x,
                               .read = run_read,
                               .release = run_release,
                               .apply = run_apply,
                               .finish = run_finish,
                               .no_leaf = true};
    struct verify_options o = {.mode =
                                   mode == STOA_VERIFY_FULL ? VERIFY_FULL : VERIFY_TIP,
                               .threads = threads,
                               .progress = x->progress ? tell : NULL,
                               .progress_context = x};
    x->note_tips = o.mode == VERIFY_TIP;
    x->total = x->row->position + slot->row.position;
    follow_init(&x->f, &alloc_heap, &x->row->id, &slot->row.id, x->row->slot);
    TRY(client_store_records(x->w->store, &slot->row, 0, 0, pile_up, &x->hub));
    if (x->hub.failed)
        return ERR_MEMORY;
    return verify_lanes(&lane, 1, &o, &x->signatures);
}

static struct hash digest_of(const struct account *a)
{
    struct buf room = {0};
    struct hash h = {{0}};
    if (buf_reserve(&room, account_encode_size(a)))
        h = account_digest(a, room.data, room.cap);
    buf_close(&room);
    return h;
}

/* The replayed state is the truth of these records; what memory held must equal it. */
static stoa_result compare(stoa_wallet *w, struct account_view *v, struct account_run *x,
                           stoa_verify_report *out, stoa_error *error)
{
    struct hash replayed = digest_of(&x->f.account);
    out->state = id_of(&replayed);
    bool same = false;
    if (v->loaded) {
        struct hash held = digest_of(&v->f.account);
        same = hash_equal(&held, &replayed);
    }
    out->rebuilt = v->rebuilt || !same;
    if (same)
        return STOA_OK;
    follow_close(&v->f);
    v->f = x->f;
    memset(&x->f, 0, sizeof(x->f));
    v->loaded = true;
    v->head_known = false;
    v->rebuilt = false;
    return account_save_state(w, v, error);
}

static uint64_t elapsed_us(uint64_t from_ms)
{
    return (mono_ms() - from_ms) * 1000;
}

static stoa_result finish_verify(stoa_wallet *w, struct account_view *v,
                                 struct slot_view *slot, struct account_run *x,
                                 stoa_verify_report *r, stoa_error *error)
{
    r->position = x->f.account.position;
    r->index = x->f.account_index;
    if (x->f.account.position != v->row.position)
        return because(error, ERR_CORRUPT, "records are missing from the local database");
    struct hash leaf = {{0}};
    if (r->position)
        leaf = *follow_leaf(&x->f.account_newest);
    TRY_R(compare(w, v, x, r, error));
    if (stoa_connected(w) && r->position) {
        uint64_t deadline = deadline_of(w, 0);
        TRY_R(slot_refresh(w, slot, deadline, error));
        TRY_R(slot_includes(w, slot, r->index, &leaf, deadline, error));
        r->inclusion = true;
    }
    r->tree_size = r->inclusion ? slot->known.size : v->row.proven_size;
    return STOA_OK;
}

stoa_result stoa_verify(stoa_wallet *w, const stoa_id *account, stoa_verify_mode mode,
                        unsigned threads, stoa_progress_fn progress, void *context,
                        stoa_verify_report *report, stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v = account_of(w, &id);
    struct slot_view *slot;
    stoa_verify_report r = {.size = sizeof(r)};
    uint64_t from = mono_ms();
    if (!v)
        return because_as(error, STOA_USAGE, ERR_ACCOUNT_UNKNOWN,
                          "this wallet does not follow that account");
    if (!v->loaded)
        (void)account_need(w, &id, &v, NULL); /* a damaged state is what this is for */
    TRY_R(slot_load(w, v->row.slot, &slot, error));
    struct account_run x = {
        .w = w, .row = &v->row, .progress = progress, .context = context};
    enum err e = replay_all(&x, slot, mode, threads);
    r.records = x.f.account.position + x.f.hub.position;
    r.signatures = x.signatures;
    r.bad_position = x.f.account.position;
    stoa_result result;
    if (e == ERR_OK)
        result = finish_verify(w, v, slot, &x, &r, error);
    else if (e == ERR_TIMEOUT)
        result = because_as(error, STOA_INTERRUPTED, e, "stopped after %llu records",
                            (unsigned long long)r.records);
    else
        result = because_as(error, e == ERR_MEMORY ? STOA_BUG : STOA_NO, e,
                            "record %llu of the account does not verify: %s",
                            (unsigned long long)r.bad_position, err_text(e));
    follow_close(&x.f);
    pile_close(&x.hub);
    tips_close(&x.tips);
    tips_close(&x.hub_tips);
    r.elapsed_us = elapsed_us(from);
    if (report)
        give(report, &r, sizeof(r));
    return result;
}
