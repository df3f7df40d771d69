#include "relay/pinned.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS                                                                          \
    4096u /* chains grow; pinned accounts of one hub are thousands, not millions */

struct pinned_account {
    struct pinned_account *next;
    struct hash id;
    uint64_t position; /* of the state that the keys are from */
    uint32_t count;
    struct pubkey keys[];
};

enum err pinned_open(struct pinned *p, uint64_t seed, const struct pubkey auditors[],
                     size_t auditor_count)
{
    p->buckets = calloc(BUCKETS, sizeof(*p->buckets));
    if (!p->buckets)
        return ERR_MEMORY;
    p->bucket_count = BUCKETS;
    pthread_rwlock_init(&p->lock, NULL);
    atomic_init(&p->count, 0);
    p->seed = seed;
    p->auditors = NULL;
    p->auditor_count = 0;
    return pinned_set_auditors(p, auditors, auditor_count);
}

enum err pinned_set_auditors(struct pinned *p, const struct pubkey auditors[],
                             size_t auditor_count)
{
    struct pubkey *fresh = calloc(auditor_count + 1, sizeof(*fresh));
    if (!fresh)
        return ERR_MEMORY;
    if (auditor_count)
        memcpy(fresh, auditors, auditor_count * sizeof(*fresh));
    pthread_rwlock_wrlock(&p->lock);
    struct pubkey *old = p->auditors;
    p->auditors = fresh;
    p->auditor_count = auditor_count;
    pthread_rwlock_unlock(&p->lock);
    free(old);
    return ERR_OK;
}

void pinned_close(struct pinned *p)
{
    if (!p->buckets)
        return;
    for (size_t i = 0; i < p->bucket_count; i++)
        for (struct pinned_account *a = p->buckets[i], *next; a; a = next) {
            next = a->next;
            free(a);
        }
    free(p->auditors);
    free(p->buckets);
    p->buckets = NULL;
    pthread_rwlock_destroy(&p->lock);
}

static struct pinned_account **place_of(struct pinned *p, const struct hash *id)
{
    uint64_t w;
    memcpy(&w, id->b + 8, sizeof(w));
    w = (w ^ p->seed) * UINT64_C(0x9e3779b97f4a7c15);
    struct pinned_account **at = &p->buckets[(size_t)(w >> 32) % p->bucket_count];
    while (*at && !hash_equal(&(*at)->id, id))
        at = &(*at)->next;
    return at;
}

static enum err take_over(struct pinned *p, const struct account *a, bool only_later)
{
    if (a->residency != RESIDENCY_PINNED)
        return ERR_OK;
    struct pinned_account *fresh =
        malloc(sizeof(*fresh) + a->device_count * sizeof(fresh->keys[0]));
    if (!fresh)
        return ERR_MEMORY;
    fresh->id = a->id;
    fresh->position = a->position;
    fresh->count = a->device_count;
    for (uint32_t i = 0; i < a->device_count; i++)
        fresh->keys[i] = a->devices[i].key;
    pthread_rwlock_wrlock(&p->lock);
    struct pinned_account **at = place_of(p, &a->id);
    struct pinned_account *old = *at;
    bool late = only_later && old && old->position > a->position;
    if (!late) {
        fresh->next = old ? old->next : NULL;
        *at = fresh;
    }
    if (!old)
        atomic_fetch_add(&p->count, 1u);
    pthread_rwlock_unlock(&p->lock);
    free(late ? fresh : old);
    return ERR_OK;
}

enum err pinned_update(struct pinned *p, const struct account *a)
{
    return take_over(p, a, false);
}

enum err pinned_follow(struct pinned *p, const struct account *a)
{
    return take_over(p, a, true);
}

bool pinned_is(struct pinned *p, const struct hash *account)
{
    if (atomic_load(&p->count) == 0)
        return false;
    pthread_rwlock_rdlock(&p->lock);
    bool is = *place_of(p, account) != NULL;
    pthread_rwlock_unlock(&p->lock);
    return is;
}

bool pinned_is_auditor(struct pinned *p, const struct pubkey *device)
{
    bool is = false;
    if (!device)
        return false;
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < p->auditor_count && !is; i++)
        is = pubkey_equal(&p->auditors[i], device);
    pthread_rwlock_unlock(&p->lock);
    return is;
}

bool pinned_may_read(struct pinned *p, const struct hash *account,
                     const struct pubkey *device)
{
    if (atomic_load(&p->count) == 0)
        return true;
    bool may = false;
    pthread_rwlock_rdlock(&p->lock);
    const struct pinned_account *a = *place_of(p, account);
    for (uint32_t i = 0; a && device && i < a->count && !may; i++)
        may = pubkey_equal(&a->keys[i], device);
    pthread_rwlock_unlock(&p->lock);
    return !a || may || pinned_is_auditor(p, device);
}
