/* What an entry refers to: the newest entries of the account's other devices that its
 * writer has seen and its own chain does not already stand on. So the ledger keeps who
 * knew of what, and replaying devices' chains side by side gives one order of causes. */
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"

/* Places of the window left to others who write between our saving and the hub's taking;
 * a ref that has left the window makes the hub refuse the entry. */
#define REF_SLACK 16

struct seen {
    struct hash id;
    struct pubkey device;
    uint64_t lamport;
    struct hash before[1 + ENTRY_REFS_MAX]; /* prev and refs */
    unsigned before_count;
    bool behind; /* what is to be written stands on it already */
};

struct window {
    struct seen seen[REF_WINDOW]; /* oldest first */
    size_t count;
    bool read;
};

static void note(struct seen *s, const struct entry *e)
{
    s->device = e->device;
    s->before_count = 0;
    if (e->has_prev)
        s->before[s->before_count++] = e->prev;
    for (unsigned i = 0; i < e->ref_count; i++)
        s->before[s->before_count++] = e->refs[i];
}

static bool note_record(void *context, const struct record *r, int64_t balance)
{
    struct window *x = context;
    struct entry e;
    (void)balance;
    x->read = entry_decode(&e, r->envelope.data, r->envelope.size) == ERR_OK;
    if (x->read)
        note(&x->seen[x->count], &e);
    return false;
}

static stoa_result read_window(stoa_wallet *w, const struct account *a, struct window *x,
                               stoa_error *error)
{
    x->count = 0;
    for (uint32_t i = 0; i < a->ref_count; i++) {
        struct client_account row;
        uint64_t position;
        x->read = false;
        enum err e = client_store_record_find(w->store, &a->refs[i].id, &row, &position);
        if (e == ERR_OK)
            e = client_store_records(w->store, &row, position, 1, note_record, x);
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            return because_store(w, error, e);
        if (!x->read)
            continue;
        x->seen[x->count].id = a->refs[i].id;
        x->seen[x->count].lamport = a->refs[i].lamport;
        x->seen[x->count++].behind = false;
    }
    return STOA_OK;
}

static bool mark(struct window *x, const struct hash *id)
{
    for (size_t i = x->count; i-- > 0;)
        if (hash_equal(&x->seen[i].id, id)) {
            x->seen[i].behind = true;
            return true;
        }
    return false;
}

/* From our newest entry back into the window. *pending: entries of ours that will stand
 * in the log before the next one and are not there yet, as far as is known here. */
static void mark_own(stoa_wallet *w, struct window *x, struct hash id, size_t *pending)
{
    *pending = 0;
    while (*pending < REF_WINDOW && !mark(x, &id)) {
        struct client_outgoing o;
        struct entry e;
        if (client_store_outgoing_find(w->store, &id, &o) != ERR_OK ||
            o.state == CLIENT_DROPPED ||
            entry_decode(&e, o.envelope.data, o.envelope.size) != ERR_OK || !e.has_prev)
            return;
        for (unsigned i = 0; i < e.ref_count; i++)
            (void)mark(x, &e.refs[i]);
        id = e.prev;
        ++*pending;
    }
}

static int by_hash(const void *a, const void *b)
{
    return hash_compare(a, b);
}

stoa_result refs_choose(stoa_wallet *w, const struct account_view *v,
                        const struct chain *head, struct refs *out, stoa_error *error)
{
    const struct account *a = &v->f.account;
    size_t pending;
    out->count = 0;
    out->lamport = 0;
    if (a->device_count + a->revoked_count < 2)
        return STOA_OK; /* nobody else writes here */
    struct window *x = calloc(1, sizeof(*x));
    if (!x)
        return because(error, ERR_MEMORY, "out of memory");
    stoa_result r = read_window(w, a, x, error);
    if (r == STOA_OK)
        mark_own(w, x, head->tip, &pending);
    /* What an entry stands on is older than it: one way through is enough. */
    for (size_t i = r == STOA_OK ? x->count : 0; i-- > 0;) {
        struct seen *s = &x->seen[i];
        bool stays = x->count - i + pending + REF_SLACK <= REF_WINDOW;
        if (!s->behind && stays && out->count < ENTRY_REFS_MAX &&
            !pubkey_equal(&s->device, device_key(w))) {
            out->ids[out->count++] = s->id;
            if (s->lamport > out->lamport)
                out->lamport = s->lamport;
            s->behind = true;
        }
        for (unsigned k = 0; s->behind && k < s->before_count; k++)
            (void)mark(x, &s->before[k]);
    }
    free(x);
    qsort(out->ids, out->count, sizeof(out->ids[0]), by_hash);
    return r;
}
