/* What the wallet's tests share: a wallet in a directory of its own at a fake hub. */
#ifndef TESTS_CLIENT_DESK_H
#define TESTS_CLIENT_DESK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakehub.h"

#define POINT INT64_C(1000000)

struct desk {
    struct fakehub hub;
    char dir[64];
    char path[4][96]; /* wallets, by number */
    stoa_wallet *w[4];
    stoa_id account[4];
    stoa_error error;
};

int desk_open(void **state);
int desk_close(void **state);
/* Create and open wallet n; with `points`, also an account of that much. */
stoa_wallet *desk_wallet(struct desk *d, unsigned n);
stoa_wallet *desk_funded(struct desk *d, unsigned n, int64_t points);
/* Close (if open) and open again; connects when told. */
stoa_wallet *desk_again(struct desk *d, unsigned n, bool connect);
void desk_connect(struct desk *d, unsigned n);
void desk_sync(struct desk *d, unsigned n);
int64_t desk_settled(struct desk *d, unsigned n);
stoa_result desk_pay(struct desk *d, unsigned from, unsigned to, int64_t amount,
                     const stoa_how *how, stoa_receipt *receipt);

/* For client_store_set_fault: the disk fails at a step after `left` more, and only there, or
 * `lasting`: from there on. */
struct desk_nth {
    int left;
    bool lasting;
    bool hit; /* it did */
};
bool desk_fail_nth(void *context, const char *step);

#define GOOD(d, call)                                                                    \
    do {                                                                                 \
        (d)->error.size = sizeof((d)->error);                                            \
        stoa_result good_ = (call);                                                      \
        if (good_ != STOA_OK)                                                            \
            fail_msg("%s: %d %s: %s", #call, good_, (d)->error.word,                     \
                     (d)->error.message);                                                \
    } while (0)

#endif
