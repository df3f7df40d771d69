/* What an account holder does with libstoa: everything that the library can be asked for,
 * in no sensible order, with and without patience. */
#include <stdio.h>
#include <string.h>

#include "holder.h"

#define OWN_ACCOUNTS 2
#define REQUESTS 6
#define INVITE_MS (UINT64_C(86400000) * 20)

static struct world *world_of(const struct holder *h)
{
    return h->w;
}

static uint32_t chance(const struct holder *h, uint32_t limit)
{
    return draw(world_of(h), limit);
}

static stoa_receipt no_receipt(void)
{
    return (stoa_receipt){.size = sizeof(stoa_receipt)};
}

static stoa_how any_how(struct holder *h)
{
    static const stoa_state states[] = {STOA_SAVED, STOA_ACCEPTED, STOA_CREDITED,
                                        STOA_CREDITED};
    stoa_how how = STOA_HOW_INIT;
    how.wait = states[chance(h, 4)];
    how.timeout_ms = 200 + chance(h, 8000);
    return how;
}

/* ---- its accounts ---- */

/* The town hears of an account as soon as its holder does, so that others pay it. */
static void tell_town(struct holder *h, const stoa_account *a)
{
    struct town *t = town_of(h->w);
    struct hash id = hash_of(&a->id);
    for (uint32_t i = 0; i < t->group_count; i++)
        if (hash_equal(&t->groups[i].id, &id)) {
            t->groups[i].open |= a->synced;
            return;
        }
    if (t->group_count == GROUPS_MAX)
        return;
    t->groups[t->group_count++] =
        (struct group){.site = h->site->number, .id = id, .open_entry = NOBODY};
}

static unsigned look_at_accounts(struct holder *h)
{
    unsigned count = stoa_account_count(h->wallet);
    for (unsigned i = 0; i < count; i++) {
        stoa_account a = {.size = sizeof a};
        stoa_result r = stoa_account_at(h->wallet, i, &a, &h->error);
        holder_judge(h, "looks at an account", r);
        if (r == STOA_OK)
            tell_town(h, &a);
    }
    return count;
}

static bool any_account(struct holder *h, stoa_account *a)
{
    unsigned count = stoa_account_count(h->wallet);
    *a = (stoa_account){.size = sizeof *a};
    if (count == 0)
        return false;
    stoa_result r = stoa_account_at(h->wallet, chance(h, count), a, &h->error);
    holder_judge(h, "looks at an account", r);
    return r == STOA_OK;
}

static void open_account(struct holder *h)
{
    char name[16];
    stoa_id id;
    stoa_how how = any_how(h);
    stoa_receipt receipt = no_receipt();
    snprintf(name, sizeof name, "a%u", stoa_account_count(h->wallet));
    stoa_open_params p = {
        .size = sizeof p, .name = name, .pinned = chance(h, 3) == 0};
    stoa_result r = stoa_account_open(h->wallet, &p, &how, &id, &receipt, &h->error);
    holder_judge(h, "opens an account", r);
    holder_check_receipt(h, &receipt);
}

/* ---- writing ---- */

static int64_t any_amount(struct holder *h, const stoa_account *a)
{
    stoa_balance b = {.size = sizeof b};
    stoa_result r = stoa_balance_get(h->wallet, &a->id, &b, &h->error);
    holder_judge(h, "asks for its balance", r);
    int64_t most = r == STOA_OK && b.settled > 0 ? b.settled : 0;
    uint32_t dice = chance(h, 8);
    if (dice == 0)
        return most + 1 + chance(h, 3);
    return 1 + chance(h, dice == 1 ? (uint32_t)(most % 100000) + 1 : 40);
}

static void choose_payees(struct holder *h, const stoa_account *a)
{
    struct town *t = town_of(h->w);
    struct hash own = hash_of(&a->id);
    uint32_t count = 1 + chance(h, HOLDER_PAYEES), at = chance(h, t->group_count);
    h->paid.from = own;
    h->paid.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct hash id = t->groups[(at + i) % t->group_count].id;
        struct hash nobody = kit_hash(rng_next(&h->w->rng));
        if (hash_equal(&id, &own) || chance(h, 8) == 0)
            id = nobody;
        h->paid.payees[i] =
            (stoa_payee){.account = id_of(&id), .amount = any_amount(h, a)};
    }
}

static void pay(struct holder *h, const stoa_account *a, bool batch)
{
    char request[16];
    struct hash own = hash_of(&a->id);
    stoa_how how = any_how(h);
    stoa_receipt receipt = no_receipt();
    bool again = hash_equal(&own, &h->paid.from) && chance(h, 3) == 0;
    if (!again)
        choose_payees(h, a);
    how.fresh = !again && chance(h, 3) > 0;
    if (!batch && chance(h, 6) == 0) {
        snprintf(request, sizeof request, "request %u", chance(h, REQUESTS));
        how.request = request;
    }
    if (batch)
        how.wait = STOA_SAVED;
    stoa_result r =
        stoa_send(h->wallet, &a->id, h->paid.payees, h->paid.count, &how, &receipt,
                  &h->error);
    holder_judge(h, "pays", r);
    holder_check_receipt(h, &receipt);
    if (receipt.resumed)
        saw(h->w, SEEN_WALLET_RESUMED);
}

static void write_note(struct holder *h, const stoa_account *a)
{
    uint8_t data[200];
    stoa_how how = any_how(h);
    stoa_receipt receipt = no_receipt();
    memset(data, (int)chance(h, 256), sizeof data);
    stoa_result r = stoa_note(h->wallet, &a->id, data, chance(h, sizeof data), &how,
                              &receipt, &h->error);
    holder_judge(h, "writes a note", r);
    holder_check_receipt(h, &receipt);
}

static void bind(struct holder *h, const stoa_account *a)
{
    stoa_how how = any_how(h);
    stoa_receipt receipt = no_receipt();
    stoa_result r = stoa_bind(h->wallet, &a->id, chance(h, 10), "k:at-home", &how,
                              &receipt, &h->error);
    holder_judge(h, "binds a register", r);
    holder_check_receipt(h, &receipt);
}

static void rotate(struct holder *h, const stoa_account *a)
{
    stoa_how how = any_how(h);
    stoa_receipt receipt = no_receipt();
    stoa_result r = stoa_root_rotate(h->wallet, &a->id, &how, &receipt, &h->error);
    holder_judge(h, "rotates its root", r);
    holder_check_receipt(h, &receipt);
}

/* Several entries in one save, then all of them on their way. */
static void batch(struct holder *h, const stoa_account *a)
{
    uint32_t count = 2 + chance(h, 8);
    stoa_result r = stoa_batch_begin(h->wallet, &h->error);
    holder_judge(h, "begins a batch", r);
    if (r != STOA_OK)
        return;
    h->batch_failed = false;
    for (uint32_t i = 0; i < count && !holder_gone(h); i++)
        pay(h, a, true);
    bool keep = chance(h, 6) > 0;
    r = stoa_batch_end(h->wallet, keep, &h->error);
    if (r == STOA_OK && keep && h->batch_failed)
        fail(h->w, "%s saved a batch of which a part failed", h->actor.name);
    h->store_failed |= h->batch_failed;
    holder_judge(h, "ends a batch", r);
}

static bool seen_receipt(void *context, const stoa_receipt *r)
{
    holder_check_receipt(context, r);
    return true;
}

static void resume(struct holder *h, uint32_t timeout_ms)
{
    stoa_state wait = chance(h, 3) == 0 ? STOA_ACCEPTED : STOA_CREDITED;
    stoa_result r = stoa_resume(h->wallet, NULL, NULL, wait, timeout_ms, seen_receipt, h,
                                &h->error);
    holder_judge(h, "resumes", r);
}

static bool newest_saved(void *context, const stoa_receipt *r)
{
    stoa_receipt *out = context;
    *out = *r;
    return false;
}

static void drop(struct holder *h, const stoa_account *a)
{
    stoa_receipt newest = no_receipt();
    holder_judge(h, "looks for what is open",
                 stoa_outgoing(h->wallet, &a->id, true, newest_saved, &newest, &h->error));
    if (newest.saved_ms > 0 && newest.state == STOA_SAVED)
        holder_judge(h, "gives up an entry", stoa_drop(h->wallet, &newest.id, &h->error));
}

/* ---- reading ---- */

static void sync_all(struct holder *h, uint32_t timeout_ms)
{
    bool in_doubt = h->in_doubt;
    h->in_doubt = false; /* it is no excuse here */
    stoa_result r = stoa_sync(h->wallet, NULL, timeout_ms, &h->error);
    holder_judge(h, "syncs", r);
    h->in_doubt = r != STOA_OK && (in_doubt || h->lies > 0);
    h->denied = r == STOA_DENIED;
    if (r != STOA_OK)
        return;
    for (unsigned i = 0; i < stoa_account_count(h->wallet) && !holder_gone(h); i++) {
        stoa_account a = {.size = sizeof a};
        r = stoa_account_at(h->wallet, i, &a, &h->error);
        holder_judge(h, "looks at an account", r);
        struct hash id = hash_of(&a.id);
        if (r == STOA_OK)
            holder_check_history(h, &id);
    }
}

static bool watched(void *context, const stoa_record *r)
{
    struct holder *h = context;
    saw(h->w, SEEN_WALLET_WATCHED);
    holder_check_record(h, r);
    return chance(h, 20) > 0;
}

static void watch(struct holder *h, const stoa_account *a)
{
    stoa_result r = stoa_watch(h->wallet, &a->id, 500 + chance(h, 9000), watched, h,
                               &h->error);
    holder_judge(h, "watches an account", r);
}

static bool take_id(void *context, const stoa_record *r)
{
    stoa_id *id = context;
    *id = r->id;
    return false;
}

static bool proven(void *context, const stoa_record *r)
{
    holder_check_record(context, r);
    return true;
}

static void prove(struct holder *h, const stoa_account *a)
{
    static char text[STOA_PROOF_MAX];
    stoa_id id;
    if (a->position == 0)
        return;
    stoa_result r =
        stoa_history(h->wallet, &a->id, chance(h, (uint32_t)a->position), 1, take_id, &id,
                     &h->error);
    holder_judge(h, "reads a record", r);
    if (r != STOA_OK)
        return;
    r = stoa_proof_get(h->wallet, &id, text, &h->error);
    holder_judge(h, "asks for a proof", r);
    if (r != STOA_OK)
        return;
    saw(h->w, SEEN_WALLET_PROOF);
    r = stoa_proof_check(h->wallet, NULL, text, strlen(text), proven, h, &h->error);
    holder_judge(h, "checks a proof", r);
    if (r != STOA_OK)
        fail(h->w, "%s has a proof that does not check: %s", h->actor.name,
             h->error.message);
}

static void verify(struct holder *h, const stoa_account *a)
{
    stoa_verify_report report = {.size = sizeof report};
    stoa_verify_mode mode = chance(h, 2) == 0 ? STOA_VERIFY_TIP : STOA_VERIFY_FULL;
    if (a->position == 0)
        return;
    stoa_result r =
        stoa_verify(h->wallet, &a->id, mode, 1, NULL, NULL, &report, &h->error);
    holder_judge(h, "verifies an account", r);
    if (r == STOA_OK)
        saw(h->w, SEEN_WALLET_VERIFIED);
}

static void ask_checkpoint(struct holder *h)
{
    stoa_checkpoint c = {.size = sizeof c};
    uint32_t slot = chance(h, h->site->hub.slots);
    h->asks_checkpoint = true;
    h->asked_slot = slot;
    h->shown_less = false;
    stoa_result r = stoa_checkpoint_get(h->wallet, slot, true, &c, &h->error);
    h->asks_checkpoint = false;
    holder_judge(h, "asks for a checkpoint", r);
    if (r == STOA_OK && h->shown_less)
        fail(h->w, "%s believes a checkpoint that shows less than it knows",
             h->actor.name);
    if (r == STOA_OK)
        site_note(h->w, h->site, h->actor.name, slot, bytes_of(c.note, c.note_size));
}

static void ask_head(struct holder *h, const stoa_account *a)
{
    static char text[STOA_HEAD_MAX];
    stoa_head head = {.size = sizeof head};
    stoa_result r = stoa_head_get(h->wallet, &a->id, text, &head, &h->error);
    holder_judge(h, "asks for a head", r);
    if (r == STOA_OK)
        saw(h->w, SEEN_WALLET_HEAD);
}

/* ---- all of it ---- */

/* The hub runs on a backup from before what the wallet knows. */
static bool is_behind(const struct holder *h)
{
    const struct site *s = h->site;
    for (uint32_t slot = 0; s->good != NULL && h->on_backup && slot < s->hub.slots; slot++)
        if (h->known[slot] > s->hub.disk->slot[slot].size)
            return true;
    return false;
}

void holder_connect(struct holder *h)
{
    bool in_doubt = h->in_doubt;
    h->in_doubt = false;
    stoa_result r =
        stoa_connect(h->wallet, "ws://hub.test/", 1000 + chance(h, 9000), &h->error);
    holder_judge(h, "connects", r);
    h->in_doubt = in_doubt || h->lies > 0;
    if (r == STOA_OK && (h->shown_less || is_behind(h)))
        fail(h->w, "%s connects to a hub that shows less than it did", h->actor.name);
    if (r == STOA_NO && (h->on_backup || h->site->good != NULL)) {
        saw(h->w, SEEN_WALLET_BEHIND);
        h->lied_to = true; /* it has evidence now, and rightly */
    }
    if (r != STOA_OK)
        holder_sleep(h, 50 + chance(h, 1500));
}

static void act_on(struct holder *h, const stoa_account *a)
{
    switch (chance(h, 24)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        pay(h, a, false);
        break;
    case 7:
    case 8:
        write_note(h, a);
        break;
    case 9:
        bind(h, a);
        break;
    case 10:
        batch(h, a);
        break;
    case 11:
        drop(h, a);
        break;
    case 12:
    case 13:
        resume(h, 500 + chance(h, 9000));
        break;
    case 14:
        watch(h, a);
        break;
    case 15:
        prove(h, a);
        break;
    case 16:
        verify(h, a);
        break;
    case 17:
        ask_checkpoint(h);
        break;
    case 18:
        ask_head(h, a);
        break;
    case 19:
        if (!h->is_second)
            rotate(h, a);
        break;
    case 20:
        stoa_disconnect(h->wallet);
        break;
    default:
        sync_all(h, 500 + chance(h, 9000));
    }
}

void holder_act(struct holder *h)
{
    stoa_account a;
    unsigned count = stoa_account_count(h->wallet);
    bool has = count > 0 && any_account(h, &a);
    if (holder_meet(h, has && a.synced ? &a : NULL))
        ;
    else if (count == 0 || (count < OWN_ACCOUNTS && chance(h, 20) == 0))
        h->is_second ? (void)0 : open_account(h);
    else if (has)
        act_on(h, &a);
    if (!holder_gone(h))
        look_at_accounts(h);
    if (!holder_gone(h) && goes_wrong(h->w, BAD_CLONE) &&
        h->w->actor_count + 8 < ACTORS_MAX && !h->odd)
        holder_clone(h);
}

void holder_settle_down(struct holder *h)
{
    h->resolved = false;
    sync_all(h, 20000);
    if (!holder_gone(h) && stoa_connected(h->wallet)) {
        stoa_result r = stoa_resume(h->wallet, NULL, NULL, STOA_CREDITED, 20000,
                                    seen_receipt, h, &h->error);
        holder_judge(h, "resumes", r);
    }
    if (!holder_gone(h) && stoa_connected(h->wallet))
        sync_all(h, 20000);
    if (!holder_gone(h))
        look_at_accounts(h);
    if (!holder_gone(h))
        h->resolved = holder_check_resolved(h);
}
