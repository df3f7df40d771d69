/* What a holder's libstoa says, held against the books: nothing is accepted that is not in
 * the log, nobody is accused who kept to the rules, and every balance is the book-keeper's
 * at the record it stands for. */
#include <string.h>

#include "holder.h"

static enum seen_what seen_of(stoa_result r)
{
    switch (r) {
    case STOA_OK:
        return SEEN_WALLET_OK;
    case STOA_UNREACHABLE:
        return SEEN_WALLET_UNREACHABLE;
    case STOA_UNKNOWN:
        return SEEN_WALLET_UNKNOWN;
    case STOA_INTERRUPTED:
        return SEEN_WALLET_INTERRUPTED;
    case STOA_LIMITED:
        return SEEN_WALLET_LIMITED;
    case STOA_REFUSED:
        return SEEN_WALLET_REFUSED;
    default:
        return SEEN_COUNT;
    }
}

/* The hub runs with a relay key that some of its logs do not name yet: who meets it then
 * cannot tell it from another. */
bool holder_relay_is_new(const struct holder *h)
{
    struct pubkey now = key_public(h->site->hub.config.relay);
    for (uint32_t slot = 0; slot < h->site->hub.slots; slot++)
        if (!pubkey_equal(model_relay(h->site->model, slot), &now))
            return true;
    return false;
}

/* Since it dialed an append failed: perhaps a revocation that counts until it is loaded. */
static bool may_not_stand(const struct holder *h)
{
    for (uint32_t slot = 0; slot < h->site->hub.slots; slot++)
        if (h->site->unsure_ms[slot] >= h->dialed_ms)
            return true;
    return false;
}

/* May the call end so at an honest hub, on a bad day? */
static bool may_be(const struct holder *h, stoa_result r)
{
    int code = h->error.code;
    if (seen_of(r) != SEEN_COUNT)
        return true;
    if (h->lies > 0 && (r == STOA_NO || r == STOA_DATA || r == STOA_DENIED))
        return true;
    if (r == STOA_NO && h->in_doubt)
        return code == ERR_CORRUPT;
    if (r == STOA_NO && code == ERR_BEHIND)
        return h->on_backup || h->site->good != NULL;
    if (r == STOA_CONFIG) /* its disk was told to fail */
        return h->store_failed || h->killed;
    if (r == STOA_USAGE)
        return code == ERR_EXISTS;
    if ((r == STOA_DENIED && code == ERR_HELLO) || (r == STOA_NO && code == ERR_SIGNATURE))
        return h->relay_was_new || holder_relay_is_new(h) ||
               (h->site->relay_key_ms > 0 && h->site->relay_key_ms >= h->dialed_ms);
    if (r == STOA_DENIED && code == ERR_NOT_ALLOWED)
        return h->odd /* the root was rotated by the other copy */ || holder_is_out(h) ||
               may_not_stand(h);
    if (r == STOA_DATA) /* a head file cannot follow a change of the log's key */
        return code == ERR_SIGNATURE && h->site->log_count > 1;
    return false;
}

void holder_judge(struct holder *h, const char *what, stoa_result r)
{
    struct world *w = h->w;
    if (h->is_over)
        return;
    say(w, "%s %s: %s", h->actor.name, what,
        r == STOA_OK ? "ok" : err_word((enum err)h->error.code));
    if (!may_be(h, r))
        fail(w, "%s %s: result %d, %s: %s", h->actor.name, what, (int)r, h->error.word,
             h->error.message);
    if (seen_of(r) != SEEN_COUNT)
        saw(w, seen_of(r));
    else if (h->lies > 0)
        saw(w, SEEN_WALLET_CAUGHT);
    h->store_failed = false;
}

/* ---- entries ---- */

void holder_check_receipt(struct holder *h, const stoa_receipt *r)
{
    struct world *w = h->w;
    struct hash id = hash_of(&r->id);
    if (h->is_over || r->saved_ms == 0)
        return;
    w->stats.checks++;
    uint32_t n = entry_find(town_of(w), &id);
    if (r->state == STOA_ACCEPTED || r->state == STOA_CREDITED) {
        const char *why = model_check_receipt(h->site->model, r->slot, r->index, &id,
                                              r->position, r->hub_lamport,
                                              r->hub_time_ms);
        if (why != NULL)
            fail(w, "%s believes that #%u is accepted: %s", h->actor.name, n, why);
        if (r->tree_size != 0 && r->tree_size <= r->index)
            fail(w, "%s believes #%u under a checkpoint before it", h->actor.name, n);
    }
    if (r->state == STOA_CREDITED && model_open_items(h->site->model, &id) > 0)
        fail(w, "%s believes that every payee of #%u is credited", h->actor.name, n);
    if (r->state == STOA_DROPPED && !h->odd && model_has(h->site->model, &id))
        fail(w, "%s believes that #%u never will be in the log, and it is", h->actor.name,
             n);
}

struct open_entries {
    struct holder *h;
    const char *why;
};

static bool look_at_entry(void *context, const stoa_receipt *r)
{
    struct open_entries *x = context;
    struct hash id = hash_of(&r->id);
    bool in_log = model_has(x->h->site->model, &id);
    holder_check_receipt(x->h, r);
    if (r->state == STOA_DROPPED && in_log)
        fail(x->h->w, "%s has synced and believes that #%u is not in the log",
             x->h->actor.name, entry_find(town_of(x->h->w), &id));
    if (r->state < STOA_CREDITED)
        x->why = "open";
    return true;
}

bool holder_check_resolved(struct holder *h)
{
    struct open_entries x = {.h = h};
    if (h->denied && holder_is_out(h))
        return true;
    for (unsigned i = 0; i < h->followed_count; i++)
        if (h->followed[i].synced != model_length(h->site->model, &h->followed[i].id))
            return false; /* more has come meanwhile */
    stoa_result r =
        stoa_outgoing(h->wallet, NULL, false, look_at_entry, &x, &h->error);
    holder_judge(h, "looks at all it wrote", r);
    return r == STOA_OK && x.why == NULL;
}

/* ---- records ---- */

struct followed *holder_followed(struct holder *h, const struct hash *account)
{
    for (unsigned i = 0; i < h->followed_count; i++)
        if (hash_equal(&h->followed[i].id, account))
            return &h->followed[i];
    if (h->followed_count == HOLDER_ACCOUNTS_MAX)
        fail(h->w, "%s has too many accounts", h->actor.name);
    struct followed *f = &h->followed[h->followed_count++];
    *f = (struct followed){.id = *account};
    return f;
}

void holder_check_record(struct holder *h, const stoa_record *r)
{
    struct world *w = h->w;
    struct hash id = hash_of(&r->id), account = hash_of(&r->account);
    if (h->is_over)
        return;
    w->stats.checks++;
    const char *why = model_check_receipt(h->site->model, r->slot, r->index, &id,
                                          r->position, r->hub_lamport, r->hub_time_ms);
    const struct hash *whose = model_account_at(h->site->model, r->slot, r->index);
    if (why == NULL && !hash_equal(whose, &account))
        why = "it is another account's";
    if (why != NULL)
        fail(w, "%s believes in a record %llu of slot %02x: %s", h->actor.name,
             (unsigned long long)r->index, r->slot, why);
}

struct reading {
    struct holder *h;
    uint64_t next;
    int64_t balance;
};

static bool read_record(void *context, const stoa_record *r)
{
    struct reading *x = context;
    struct world *w = x->h->w;
    struct hash account = hash_of(&r->account);
    holder_check_record(x->h, r);
    if (r->position != x->next++)
        fail(w, "%s has a hole in its history", x->h->actor.name);
    x->balance = model_balance_at(x->h->site->model, &account, r->position);
    if (r->balance != x->balance)
        fail(w, "%s believes in a balance of %lld after record %llu, and it is %lld",
             x->h->actor.name, (long long)r->balance, (unsigned long long)r->position,
             (long long)x->balance);
    return true;
}

void holder_check_history(struct holder *h, const struct hash *account)
{
    struct followed *f = holder_followed(h, account);
    stoa_id id = id_of(account);
    stoa_balance b = {.size = sizeof b};
    struct reading x = {.h = h, .next = f->checked};
    if (holder_gone(h))
        return;
    holder_judge(h, "reads its history",
                 stoa_history(h->wallet, &id, f->checked, 0, read_record, &x, &h->error));
    stoa_result r = stoa_balance_get(h->wallet, &id, &b, &h->error);
    holder_judge(h, "asks for its balance", r);
    f->checked = f->synced = x.next;
    if (r != STOA_OK)
        return;
    int64_t wanted = x.next == 0 ? 0 : model_balance_at(h->site->model, account, x.next - 1);
    if (b.settled != wanted || b.unproven != 0)
        fail(h->w, "%s believes in a balance of %lld after %llu records, and it is %lld",
             h->actor.name, (long long)b.settled, (unsigned long long)x.next,
             (long long)wanted);
}

/* ---- the hub ---- */

static void check_notes(struct holder *h)
{
    for (uint32_t slot = 0; slot < h->wallet->slots; slot++) {
        stoa_checkpoint c = {.size = sizeof c};
        if (stoa_checkpoint_get(h->wallet, slot, false, &c, &h->error) != STOA_OK)
            continue;
        site_note(h->w, h->site, h->actor.name, slot, bytes_of(c.note, c.note_size));
        if (c.tree_size < h->known[slot])
            fail(h->w, "%s goes back in slot %02x, from %llu to %llu", h->actor.name,
                 (unsigned)slot, (unsigned long long)h->known[slot],
                 (unsigned long long)c.tree_size);
        h->known[slot] = c.tree_size;
        if (h->stale[slot] != NULL)
            continue;
        h->stale[slot] = strndup(c.note, c.note_size);
        h->stale_size[slot] = c.tree_size;
    }
}

void holder_check_all(struct holder *h)
{
    stoa_evidence e = {.size = sizeof e};
    if (holder_gone(h))
        return;
    if (!h->lied_to && stoa_evidence_get(h->wallet, 0, &e))
        fail(h->w, "%s has evidence against an honest hub: %s", h->actor.name, e.what);
    if (h->lied_to && drawer_has(h->dir, ".evidence"))
        fail(h->w, "%s has evidence that stands alone against an honest hub",
             h->actor.name);
    if (draw(h->w, 4) == 0)
        check_notes(h);
    h->store_failed = false;
}
