/* Holders who have to do with each other: one invites, the other joins by the token; one
 * has a second device that is a wallet of its own, enrolls it, and may revoke it. Tokens go
 * from hand to hand, not through the network. */
#include <stdio.h>
#include <string.h>

#include "holder.h"

#define INVITE_MS (UINT64_C(86400000) * 25)
#define REVOKE_ONE_IN 3

static stoa_how any_how(struct holder *h)
{
    stoa_how how = STOA_HOW_INIT;
    how.timeout_ms = 1000 + draw(h->w, 8000);
    return how;
}

static void invite(struct holder *h, const stoa_account *a)
{
    struct holder *f = h->companion;
    char token[STOA_TOKEN_MAX];
    stoa_how how = any_how(h);
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = stoa_invite(h->wallet, &a->id, INVITE_MS, token, &how, &receipt, &h->error);
    holder_judge(h, "invites somebody", r);
    holder_check_receipt(h, &receipt);
    if (r != STOA_OK)
        return;
    memcpy(f->token, token, sizeof token);
    f->has_token = true;
}

static void join(struct holder *h)
{
    stoa_id account;
    stoa_how how = any_how(h);
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = stoa_join(h->wallet, h->token, "joined", &how, &account, &receipt, &h->error);
    holder_judge(h, "joins", r);
    holder_check_receipt(h, &receipt);
    if (r == STOA_OK)
        saw(h->w, SEEN_WALLET_JOINED);
    h->has_token = r != STOA_OK && r != STOA_REFUSED;
}

static void enroll(struct holder *h, const stoa_account *a)
{
    struct holder *f = h->companion;
    stoa_id device;
    stoa_how how = any_how(h);
    stoa_receipt receipt = {.size = sizeof receipt};
    if (!stoa_device_request_parse(f->token, &device))
        fail(h->w, "%s gets a request that does not parse", h->actor.name);
    stoa_result r = stoa_device_add(h->wallet, &a->id, &device, &how, &receipt, &h->error);
    holder_judge(h, "enrolls a device", r);
    holder_check_receipt(h, &receipt);
    if (r != STOA_OK)
        return;
    f->shared = a->id;
    f->has_shared = true;
}

static void revoke(struct holder *h)
{
    const struct holder *f = h->companion;
    struct pubkey device = pub_at(f->device);
    stoa_id id = id_of_key(&device);
    stoa_how how = any_how(h);
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r =
        stoa_device_revoke(h->wallet, &f->shared, &id, &how, &receipt, &h->error);
    holder_judge(h, "revokes a device", r);
    holder_check_receipt(h, &receipt);
    if (r == STOA_OK)
        saw(h->w, SEEN_WALLET_REVOKED);
}

/* A second device asks to be enrolled, and follows the account when it was. */
static void be_enrolled(struct holder *h)
{
    char address[STOA_ADDRESS_MAX];
    stoa_account a = {.size = sizeof a};
    if (!h->has_shared) {
        holder_judge(h, "asks to be enrolled",
                     stoa_device_request(h->wallet, h->token, &h->error));
        h->has_token = true;
        return;
    }
    stoa_address_format(address, &h->shared, NULL);
    stoa_result r = stoa_account_follow(h->wallet, address, "shared", &a, &h->error);
    holder_judge(h, "follows an account", r);
    if (r == STOA_OK)
        saw(h->w, SEEN_WALLET_ENROLLED);
}

bool holder_meet(struct holder *h, const stoa_account *a)
{
    struct holder *f = h->companion;
    if (h->is_second && a == NULL) {
        be_enrolled(h);
        return true;
    }
    if (f == NULL || h->odd || draw(h->w, 6) != 0)
        return false;
    if (!h->is_second && h->has_token) {
        join(h);
        return true;
    }
    if (a == NULL || h->is_second)
        return false;
    if (!f->is_second && !f->has_token && f->followed_count < 3)
        invite(h, a);
    else if (f->is_second && f->has_token && !f->has_shared)
        enroll(h, a);
    else if (f->is_second && f->has_shared &&
             memcmp(&f->shared, &a->id, sizeof a->id) == 0 &&
             draw(h->w, REVOKE_ONE_IN) == 0)
        revoke(h);
    else
        return false;
    return true;
}

bool holder_is_out(const struct holder *h)
{
    const stoa_wallet *w = h->wallet;
    struct pubkey key = pub_at(h->device);
    for (unsigned i = 0; w != NULL && i < w->account_count; i++)
        if (!model_is_device(h->site->model, &w->accounts[i]->row.id, &key))
            return true;
    return false;
}
