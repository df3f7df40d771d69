/* Who may read which pinned account: the ids of all pinned accounts with the keys of
 * their members' devices. Written by the commit thread, and by relay/follow.h for slots of
 * other relays, before a record can be read; read by readers and the loop. An account that is
 * not in it is global. */
#ifndef RELAY_PINNED_H
#define RELAY_PINNED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ledger/account.h"

struct pinned_account;

struct pinned {
    pthread_rwlock_t lock;
    struct pinned_account **buckets;
    size_t bucket_count;
    atomic_size_t count;
    uint64_t seed;
    struct pubkey *auditors; /* may read everything */
    size_t auditor_count;
};

MUST_CHECK enum err pinned_open(struct pinned *p, uint64_t seed,
                                const struct pubkey auditors[], size_t auditor_count);
/* Replace the list. ERR_MEMORY: it stays as it was. */
MUST_CHECK enum err pinned_set_auditors(struct pinned *p, const struct pubkey auditors[],
                                        size_t auditor_count);
void pinned_close(struct pinned *p);
/* Take over the account's present devices; nothing for a global account. ERR_MEMORY. */
MUST_CHECK enum err pinned_update(struct pinned *p, const struct account *a);
/* The same, unless a later state of the account was taken over already: by who only follows a
 * slot, while another thread may be loading it. */
MUST_CHECK enum err pinned_follow(struct pinned *p, const struct account *a);
bool pinned_is(struct pinned *p, const struct hash *account);
/* May this reader (device NULL: anonymous) read the account's envelopes? */
bool pinned_may_read(struct pinned *p, const struct hash *account,
                     const struct pubkey *device);
bool pinned_is_auditor(struct pinned *p, const struct pubkey *device);

#endif
