#include "desk.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

static int rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int desk_open(void **state)
{
    struct desk *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    d->error.size = sizeof(d->error);
    strcpy(d->dir, "/tmp/stoa-desk-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    fakehub_open(&d->hub, 4);
    *state = d;
    return 0;
}

int desk_close(void **state)
{
    struct desk *d = *state;
    for (int i = 0; i < 4; i++)
        stoa_wallet_close(d->w[i]);
    fakehub_close(&d->hub);
    (void)nftw(d->dir, rm, 16, FTW_DEPTH | FTW_PHYS);
    free(d);
    return 0;
}

static stoa_options options(void)
{
    return (stoa_options){.size = sizeof(stoa_options),
                          .flags =
                              STOA_PLAINTEXT_KEYS | STOA_QUICK_KDF | STOA_TRUST_FIRST_USE,
                          .timeout_ms = 2000};
}

stoa_wallet *desk_again(struct desk *d, unsigned n, bool connect)
{
    stoa_options o = options();
    stoa_wallet_close(d->w[n]);
    d->w[n] = NULL;
    GOOD(d, stoa_wallet_open(&d->w[n], d->path[n], &o, &d->error));
    if (connect)
        desk_connect(d, n);
    return d->w[n];
}

void desk_connect(struct desk *d, unsigned n)
{
    /* One line into the hub: whoever speaks now has it. */
    for (int i = 0; i < 4; i++)
        if (d->w[i])
            stoa_disconnect(d->w[i]);
    wallet_set_dial(d->w[n], fakehub_dial, &d->hub);
    GOOD(d, stoa_connect(d->w[n], "ws://fake/", 0, &d->error));
}

stoa_wallet *desk_wallet(struct desk *d, unsigned n)
{
    stoa_options o = options();
    snprintf(d->path[n], sizeof(d->path[n]), "%s/w%u", d->dir, n);
    GOOD(d, stoa_wallet_create(d->path[n], &o, &d->error));
    return desk_again(d, n, true);
}

stoa_wallet *desk_funded(struct desk *d, unsigned n, int64_t points)
{
    stoa_open_params p = {.size = sizeof(p), .name = "main"};
    desk_wallet(d, n);
    GOOD(d, stoa_account_open(d->w[n], &p, NULL, &d->account[n], NULL, &d->error));
    if (points)
        fakehub_fund(&d->hub, &d->account[n], points);
    desk_sync(d, n);
    return d->w[n];
}

void desk_sync(struct desk *d, unsigned n)
{
    GOOD(d, stoa_sync(d->w[n], &d->account[n], 0, &d->error));
}

int64_t desk_settled(struct desk *d, unsigned n)
{
    stoa_balance b = {.size = sizeof(b)};
    GOOD(d, stoa_balance_get(d->w[n], &d->account[n], &b, &d->error));
    return b.settled;
}

stoa_result desk_pay(struct desk *d, unsigned from, unsigned to, int64_t amount,
                     const stoa_how *how, stoa_receipt *receipt)
{
    stoa_payee p = {.account = d->account[to], .amount = amount};
    d->error.size = sizeof(d->error);
    return stoa_send(d->w[from], &d->account[from], &p, 1, how, receipt, &d->error);
}

bool desk_fail_nth(void *context, const char *step)
{
    struct desk_nth *n = context;
    bool here = n->left == 0;
    (void)step;
    if (n->left > 0 || (here && !n->lasting))
        n->left--;
    n->hit |= here;
    return !here;
}
