/* Accounts followed: from the local checkpoint and the records after it, and on from
 * there with what the hub shows, which must chain, obey the rules and stand in the tree
 * the hub signed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/verify.h"
#include "client/wallet.h"

#define CUT_TRIES 3u     /* records of a slot are cut twice in a row at most */
#define PARALLEL_FROM 64 /* signatures worth starting threads for */

/* ---- in memory -----------------------------------------------------------------------
 */

static enum err view_add(stoa_wallet *w, const struct client_account *row,
                         struct account_view **out)
{
    struct account_view **views =
        realloc(w->accounts, (w->account_count + 1) * sizeof(struct account_view *));
    if (!views)
        return ERR_MEMORY;
    w->accounts = views;
    struct account_view *v = calloc(1, sizeof(*v));
    if (!v)
        return ERR_MEMORY;
    v->row = *row;
    if (v->row.slot == UINT32_MAX && w->has_hub)
        v->row.slot = slot_of(&v->row.id, w->slots);
    w->accounts[w->account_count++] = v;
    if (out)
        *out = v;
    return ERR_OK;
}

enum err accounts_load(stoa_wallet *w)
{
    for (unsigned i = 0; i < CLIENT_ACCOUNTS_MAX; i++) {
        struct client_account row;
        enum err e = client_store_account_at(w->store, false, i, &row);
        if (e == ERR_NOT_FOUND)
            break;
        TRY(e);
        TRY(view_add(w, &row, NULL));
    }
    return ERR_OK;
}

void accounts_close(stoa_wallet *w)
{
    for (unsigned i = 0; i < w->account_count; i++) {
        struct account_view *v = w->accounts[i];
        if (v->loaded && v->saved_at != v->f.account.position && w->store)
            (void)account_save_state(w, v, NULL);
        follow_close(&v->f);
        free(v);
    }
    free(w->accounts);
    w->accounts = NULL;
    w->account_count = 0;
}

struct account_view *account_of(stoa_wallet *w, const struct hash *id)
{
    for (unsigned i = 0; i < w->account_count; i++)
        if (hash_equal(&w->accounts[i]->row.id, id))
            return w->accounts[i];
    return NULL;
}

stoa_result account_add(stoa_wallet *w, const struct hash *id, const char *name,
                        struct account_view **out, stoa_error *error)
{
    struct client_account row = {.id = *id};
    struct account_view *v = account_of(w, id);
    if (v) {
        *out = v;
        return STOA_OK;
    }
    if (w->account_count >= CLIENT_ACCOUNTS_MAX)
        return because(error, ERR_LIMIT,
                       "this wallet follows its largest number of accounts");
    row.slot = w->has_hub ? slot_of(id, w->slots) : UINT32_MAX;
    snprintf(row.name, sizeof(row.name), "%s", name ? name : "");
    enum err e = view_add(w, &row, &v);
    if (e != ERR_OK)
        return because(error, e, "out of memory");
    e = client_store_account_add(w->store, &v->row);
    if (e != ERR_OK) {
        w->account_count--;
        free(v);
        return because_store(w, error, e);
    }
    *out = v;
    return STOA_OK;
}

void accounts_reread(stoa_wallet *w)
{
    unsigned kept = 0;
    slots_close(w);
    for (unsigned i = 0; i < w->account_count; i++) {
        struct account_view *v = w->accounts[i];
        struct client_account row;
        follow_close(&v->f);
        v->loaded = v->head_known = false;
        if (client_store_account(w->store, &v->row.id, &row) == ERR_NOT_FOUND)
            free(v);
        else
            w->accounts[kept++] = v;
    }
    w->account_count = kept;
}

/* ---- from disk -----------------------------------------------------------------------
 */

/* Replays the account's records and the hub account's in the order of the log. */
struct merge {
    stoa_wallet *w;
    struct follow *f;
    const struct client_account *hub;
    uint64_t until; /* hub records below this index are due */
    enum err err;
};

static bool apply_hub_due(void *context, const struct record *stored, int64_t balance)
{
    struct merge *m = context;
    struct record r = *stored;
    struct entry e;
    (void)balance;
    if (r.index >= m->until)
        return false;
    m->err = entry_decode(&e, r.envelope.data, r.envelope.size);
    if (m->err == ERR_OK)
        m->err = follow_apply(m->f, &e, &r);
    return m->err == ERR_OK;
}

/* Hub records that stand before `index`. */
static enum err hub_up_to(struct merge *m, uint64_t index)
{
    if (m->f->hub.position >= m->hub->position)
        return ERR_OK;
    m->until = index;
    TRY(client_store_records(m->w->store, m->hub, m->f->hub.position, 0, apply_hub_due,
                             m));
    return m->err;
}

static bool apply_stored(void *context, const struct record *stored, int64_t balance)
{
    struct merge *m = context;
    struct record r = *stored;
    struct entry e;
    m->err = hub_up_to(m, r.index);
    if (m->err == ERR_OK)
        m->err = entry_decode(&e, r.envelope.data, r.envelope.size);
    if (m->err != ERR_OK)
        return false;
    m->err = follow_apply(m->f, &e, &r);
    if (m->err == ERR_OK && m->f->account.balance != balance)
        m->err = ERR_CORRUPT;
    return m->err == ERR_OK;
}

static enum err replay(stoa_wallet *w, struct account_view *v,
                       const struct slot_view *slot)
{
    struct merge m = {.w = w, .f = &v->f, .hub = &slot->row};
    TRY(client_store_records(w->store, &v->row, v->f.account.position, 0, apply_stored,
                             &m));
    TRY(m.err);
    return v->f.account.position == v->row.position ? ERR_OK : ERR_CORRUPT;
}

/* A local checkpoint is believed when it is whole and not ahead of the records. */
static bool load_state(stoa_wallet *w, struct account_view *v,
                       const struct slot_view *slot)
{
    struct bytes state;
    struct follow_proof proof;
    if (client_store_state_load(w->store, &v->row, &state) != ERR_OK)
        return false;
    if (follow_decode(&v->f, &alloc_heap, &proof, state) != ERR_OK) {
        v->rebuilt = true;
        return false;
    }
    if (hash_equal(&v->f.id, &v->row.id) && hash_equal(&v->f.hub_id, &slot->row.id) &&
        v->f.account.position <= v->row.position &&
        v->f.hub.position <= slot->row.position)
        return true;
    v->rebuilt = true;
    follow_close(&v->f);
    return false;
}

/* The row as the disk has it: what memory said of a save that failed is forgotten. */
static enum err read_row(stoa_wallet *w, struct account_view *v)
{
    TRY(client_store_account(w->store, &v->row.id, &v->row));
    if (v->row.slot == UINT32_MAX && w->has_hub)
        v->row.slot = slot_of(&v->row.id, w->slots);
    return ERR_OK;
}

static enum err replay_afresh(stoa_wallet *w, struct account_view *v,
                              const struct slot_view *slot)
{
    follow_close(&v->f);
    follow_init(&v->f, &alloc_heap, &v->row.id, &slot->row.id, v->row.slot);
    return replay(w, v, slot);
}

static stoa_result load(stoa_wallet *w, struct account_view *v, stoa_error *error)
{
    struct slot_view *slot;
    if (!w->has_hub)
        return because(error, ERR_NET, "this wallet was never connected to its hub");
    TRY_S(read_row(w, v));
    TRY_R(slot_load(w, v->row.slot, &slot, error));
    follow_close(&v->f);
    bool from_state = load_state(w, v, slot);
    v->saved_at = from_state ? v->f.account.position : 0;
    enum err e = from_state ? replay(w, v, slot) : replay_afresh(w, v, slot);
    if (e != ERR_OK && !of_disk(e) && from_state) {
        /* Only the checkpoint is in doubt as yet: the records decide. */
        v->rebuilt = true;
        e = replay_afresh(w, v, slot);
    }
    if (e != ERR_OK && !of_disk(e) && account_unproven(w, v)) {
        /* Then those that nothing proved: a liar's do not fit what came later. */
        TRY_S(slot_cut_unproven(w, slot));
        TRY_R(slot_load(w, v->row.slot, &slot, error));
        e = replay_afresh(w, v, slot);
    }
    v->head_known = false;
    v->loaded = e == ERR_OK;
    if (e == ERR_OK)
        return STOA_OK;
    follow_close(&v->f);
    stoa_result r = because_as(error, STOA_CONFIG, e,
                               "%s/stoa.db: records of an account do not replay (%s)",
                               w->dir, err_text(e));
    because_hint(error, "rebuild the database from the hub; keys are not touched");
    return r;
}

stoa_result account_need(stoa_wallet *w, const struct hash *id, struct account_view **out,
                         stoa_error *error)
{
    *out = account_of(w, id);
    if (!*out)
        return because_as(error, STOA_USAGE, ERR_ACCOUNT_UNKNOWN,
                          "this wallet does not follow that account");
    return (*out)->loaded ? STOA_OK : load(w, *out, error);
}

stoa_result account_reload(stoa_wallet *w, struct account_view *v, stoa_error *error)
{
    v->loaded = false;
    return load(w, v, error);
}

stoa_result account_save_state(stoa_wallet *w, struct account_view *v, stoa_error *error)
{
    struct follow_proof proof = {.position = v->row.proven, .size = v->row.proven_size};
    const struct slot_view *slot = w->slot[v->row.slot < SLOTS_MAX ? v->row.slot : 0];
    if (!v->f.hub.open || v->f.broken)
        return STOA_OK;
    if (slot && slot->has_note && slot->known.size == proof.size)
        proof.root = slot->known.root;
    size_t cap = follow_encode_size(&v->f);
    uint8_t *room = malloc(cap);
    if (!room)
        return because(error, ERR_MEMORY, "out of memory");
    size_t size = follow_encode(&v->f, &proof, room, cap);
    enum err e = size ? client_store_state_save(w->store, &v->row, bytes_of(room, size))
                      : ERR_MEMORY;
    free(room);
    if (e != ERR_OK)
        return because_store(w, error, e);
    v->saved_at = v->f.account.position;
    return STOA_OK;
}

/* ---- from the hub --------------------------------------------------------------------
 */

struct decoded {
    const struct record *records;
    struct entry *entries;
    enum err *errs;
};

static enum err check_one(void *context, size_t i)
{
    struct decoded *d = context;
    const struct record *r = &d->records[i];
    d->errs[i] = entry_decode(&d->entries[i], r->envelope.data, r->envelope.size);
    if (d->errs[i] == ERR_OK && !entry_verify(&d->entries[i]))
        d->errs[i] = ERR_SIGNATURE;
    return d->errs[i];
}

static enum err take_one(stoa_wallet *w, struct account_view *v, struct slot_view *slot,
                         const struct entry *e, const struct record *r)
{
    struct merge m = {.w = w, .f = &v->f, .hub = &slot->row};
    TRY(hub_up_to(&m, r->index));
    TRY(follow_apply(&v->f, e, r));
    TRY(client_store_record_add(w->store, &v->row, r, &e->id, v->f.account.balance));
    v->row.position = r->position + 1;
    return ERR_OK;
}

static stoa_result take_checked(stoa_wallet *w, struct account_view *v,
                                struct slot_view *slot, const struct decoded *d,
                                size_t count, seen_fn seen, void *context, bool *stopped,
                                stoa_error *error)
{
    enum err e = client_store_begin(w->store);
    TRY_S(e);
    size_t i = 0;
    for (; i < count && e == ERR_OK && !*stopped; i++) {
        e = d->errs[i] != ERR_OK ? d->errs[i]
                                 : take_one(w, v, slot, &d->entries[i], &d->records[i]);
        if (e == ERR_OK && seen)
            *stopped =
                !seen(context, &d->entries[i], &d->records[i], v->f.account.balance);
    }
    if (e == ERR_OK)
        e = client_store_account_put(w->store, &v->row);
    stoa_result r = STOA_OK;
    if (e == ERR_OK && v->f.account.position - v->saved_at >= STATE_EVERY)
        r = account_save_state(w, v, error);
    enum err end = client_store_end(w->store, e == ERR_OK && r == STOA_OK);
    v->head_known = false;
    if (e == ERR_OK && end == ERR_OK && r == STOA_OK)
        return STOA_OK;
    /* Memory is ahead of the disk now. */
    v->loaded = false;
    ignore(read_row(w, v));
    if (r != STOA_OK)
        return r;
    if (e == ERR_OK)
        return because_store(w, error, end);
    if (of_disk(e))
        return because_store(w, error, e);
    return because_as(error, e == ERR_RULES_AHEAD ? STOA_DATA : STOA_NO, e,
                      "hub shows a record %llu of this account that does not verify: %s",
                      (unsigned long long)(i ? d->records[i - 1].position : 0),
                      err_text(e));
}

stoa_result account_take(stoa_wallet *w, struct account_view *v, struct record records[],
                         size_t count, seen_fn seen, void *context, bool *stopped,
                         stoa_error *error)
{
    struct slot_view *slot;
    struct decoded d = {.records = records};
    bool ignored = false;
    if (count == 0)
        return STOA_OK;
    if (!v->loaded) /* records of its slot were cut meanwhile */
        TRY_R(load(w, v, error));
    TRY_R(slot_load(w, v->row.slot, &slot, error));
    d.entries = malloc(count * sizeof(*d.entries));
    d.errs = calloc(count, sizeof(*d.errs));
    stoa_result r = STOA_OK;
    if (!d.entries || !d.errs) {
        r = because(error, ERR_MEMORY, "out of memory");
    } else {
        ignore(verify_each(count, count >= PARALLEL_FROM ? 0 : 1, check_one, &d));
        r = take_checked(w, v, slot, &d, count, seen, context,
                         stopped ? stopped : &ignored, error);
    }
    free(d.entries);
    free(d.errs);
    return r;
}

/* The page is copied, because more is asked of the hub before it is used. */
static stoa_result copy_page(struct wire_frame *page, struct record **records,
                             struct buf *room, stoa_error *error)
{
    size_t count = page->count, at = 0;
    *records = calloc(count ? count : 1, sizeof(**records));
    if (!*records)
        return because(error, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        wire_next_record(&page->list, &(*records)[i]);
        struct bytes *e = &(*records)[i].envelope;
        if (!buf_add(room, e->data, e->size))
            return because(error, ERR_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        (*records)[i].envelope.data = room->data + at;
        at += (*records)[i].envelope.size;
    }
    return STOA_OK;
}

static stoa_result fetch_page(stoa_wallet *w, struct account_view *v, bool *more,
                              uint64_t deadline, stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_FETCH,
                           .key = {.what = WIRE_ACCOUNT, .id = v->row.id},
                           .from = v->row.position,
                           .max = FETCH_RECORDS};
    struct wire_frame page;
    struct record *records = NULL;
    struct buf room = {0};
    struct slot_view *slot;
    TRY_R(rpc_call(w, &f, WIRE_PAGE, deadline, &page, error));
    size_t count = page.count;
    uint64_t end = page.end;
    stoa_result r = copy_page(&page, &records, &room, error);
    if (r == STOA_OK && count > 0)
        r = slot_need(w, v->row.slot, deadline, &slot, error);
    /* After the page, so that no hub record before its newest one is missing. */
    if (r == STOA_OK && count > 0)
        r = slot_follow(w, slot, deadline, error);
    if (r == STOA_OK)
        r = account_take(w, v, records, count, NULL, NULL, NULL, error);
    *more = r == STOA_OK && count > 0 && v->row.position < end;
    free(records);
    buf_close(&room);
    return r;
}

static enum err cut_row(stoa_wallet *w, struct client_account row)
{
    row.position = row.proven;
    TRY(client_store_records_cut(w->store, &row, row.proven));
    return client_store_account_put(w->store, &row);
}

/* What was taken in and turned out not to be in the tree goes out again. */
static enum err cut_unproven(stoa_wallet *w, struct account_view *v)
{
    v->loaded = false;
    TRY(client_store_begin(w->store));
    enum err e = cut_row(w, v->row);
    enum err end = client_store_end(w->store, e == ERR_OK);
    if (e == ERR_OK && end == ERR_OK)
        v->row.position = v->row.proven;
    return e != ERR_OK ? e : end;
}

enum err slot_cut_unproven(stoa_wallet *w, struct slot_view *v)
{
    v->loaded = false;
    TRY(client_store_begin(w->store));
    enum err e = cut_row(w, v->row);
    for (unsigned i = 0; i < w->account_count && e == ERR_OK; i++)
        if (w->accounts[i]->row.slot == v->row.slot) {
            w->accounts[i]->loaded = false;
            e = cut_row(w, w->accounts[i]->row);
        }
    enum err end = client_store_end(w->store, e == ERR_OK);
    if (e != ERR_OK || end != ERR_OK)
        return e != ERR_OK ? e : end;
    v->row.position = v->row.proven;
    for (unsigned i = 0; i < w->account_count; i++)
        if (w->accounts[i]->row.slot == v->row.slot)
            w->accounts[i]->row.position = w->accounts[i]->row.proven;
    return ERR_OK;
}

/* ---- proof ----------------------------------------------------------------------------
 */

/* One durable step: what is proven, and what that says of our own entries. */
static enum err save_proven(stoa_wallet *w, struct account_view *v, const struct client_account *row)
{
    TRY(client_store_begin(w->store));
    enum err e = note_own(w, &v->row);
    if (e == ERR_OK)
        e = client_store_account_put(w->store, row);
    enum err end = client_store_end(w->store, e == ERR_OK);
    if (e == ERR_OK && end == ERR_OK)
        v->row = *row;
    return e != ERR_OK ? e : end;
}

stoa_result account_prove(stoa_wallet *w, struct account_view *v, uint64_t deadline,
                          stoa_error *error)
{
    struct slot_view *slot;
    TRY_R(slot_need(w, v->row.slot, deadline, &slot, error));
    TRY_R(slot_prove(w, slot, deadline, error));
    if (v->f.account.position > 0) {
        stoa_result r = slot_includes(w, slot, v->f.account_index,
                                      follow_leaf(&v->f.account_newest), deadline, error);
        if (r == STOA_NO && v->row.proven < v->row.position)
            ignore(cut_unproven(w, v)); /* or the next sync does */
        TRY_R(r);
    }
    struct client_account row = v->row;
    row.proven = row.position;
    row.proven_size = slot->known.size;
    row.checked_ms = w->now_ms();
    TRY_S(save_proven(w, v, &row));
    return STOA_OK;
}

static stoa_result bring_up(stoa_wallet *w, struct account_view *v, uint64_t deadline,
                            stoa_error *error)
{
    struct account_view *same;
    for (unsigned i = 0; i < CUT_TRIES; i++) {
        TRY_R(account_need(w, &v->row.id, &same, error));
        for (bool more = true; more;)
            TRY_R(fetch_page(w, v, &more, deadline, error));
        TRY_R(account_prove(w, v, deadline, error));
        if (v->loaded) /* nothing of its slot was cut meanwhile */
            break;
    }
    return STOA_OK;
}

bool account_unproven(const stoa_wallet *w, const struct account_view *v)
{
    const struct client_account *slot = &w->slot[v->row.slot]->row;
    return v->row.position > v->row.proven || slot->position > slot->proven;
}

/* When something does not fit, what was never proven is asked for anew before this hub is said
 * to be wrong. */
stoa_result account_sync(stoa_wallet *w, struct account_view *v, uint64_t deadline,
                         stoa_error *error)
{
    struct account_view *same;
    struct slot_view *slot;
    stoa_error why = {.size = sizeof(why)};
    TRY_R(need_connection(w, error));
    TRY_R(slot_need(w, v->row.slot, deadline, &slot, error));
    TRY_R(account_need(w, &v->row.id, &same, error));
    bool unproven = account_unproven(w, v);
    stoa_result r = bring_up(w, v, deadline, &why);
    if (r == STOA_NO && unproven && blames_records(&why)) {
        TRY_S(slot_cut_unproven(w, slot));
        TRY_R(slot_need(w, v->row.slot, deadline, &slot, error));
        r = bring_up(w, v, deadline, &why);
    }
    if (r == STOA_OK)
        return reconcile(w, v, error);
    if (error)
        give(error, &why, sizeof(why));
    return r;
}

/* ---- public --------------------------------------------------------------------------
 */

stoa_result stoa_sync(stoa_wallet *w, const stoa_id *account, uint32_t timeout_ms,
                      stoa_error *error)
{
    uint64_t deadline = deadline_of(w, timeout_ms);
    if (account) {
        struct hash id = hash_of(account);
        struct account_view *v = account_of(w, &id);
        if (!v)
            return because_as(error, STOA_USAGE, ERR_ACCOUNT_UNKNOWN,
                              "this wallet does not follow that account");
        return account_sync(w, v, deadline, error);
    }
    TRY_R(need_connection(w, error));
    for (unsigned i = 0; i < w->account_count; i++)
        TRY_R(account_sync(w, w->accounts[i], deadline, error));
    return STOA_OK;
}

stoa_result stoa_import(stoa_wallet *w, const stoa_id *account,
                        const stoa_import_record records[], size_t count,
                        stoa_error *error)
{
    struct hash id = hash_of(account);
    struct account_view *v;
    TRY_R(account_need(w, &id, &v, error));
    struct record *list = calloc(count ? count : 1, sizeof(*list));
    if (!list)
        return because(error, ERR_MEMORY, "out of memory");
    stoa_result r = STOA_OK;
    struct hash head = v->f.account.head;
    for (size_t i = 0; i < count; i++) {
        const stoa_import_record *x = &records[i];
        list[i] = (struct record){.slot = v->row.slot,
                                  .index = x->index,
                                  .position = x->position,
                                  .hub_lamport = x->hub_lamport,
                                  .hub_time_ms = x->hub_time_ms,
                                  .envelope = bytes_of(x->envelope, x->envelope_size)};
        head = account_head_next(&head, list[i].envelope);
        list[i].account_head = head;
    }
    r = account_take(w, v, list, count, NULL, NULL, NULL, error);
    free(list);
    if (r == STOA_NO && error)
        return because_as(error, STOA_DATA, (enum err)error->code,
                          "imported records do not follow on what is known");
    return r;
}
