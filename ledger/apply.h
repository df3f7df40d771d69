/* What the files of the account rules share and nobody outside includes.
 *
 * Applying an entry is three steps that cannot be mixed up: `check` reads and refuses,
 * reserve takes memory, `commit` changes the state and cannot fail. */
#ifndef LEDGER_APPLY_H
#define LEDGER_APPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "ledger/account.h"
#include "ledger/scratch.h"

/* In what capacity the entry's key writes. */
enum capacity {
    AS_NOBODY,   /* log_open, open: the chain starts here */
    AS_NEWCOMER, /* member_add */
    AS_DEVICE,
    AS_RECOVERY,
    AS_HUB
};

#define NOT_FOUND UINT32_MAX

/* One entry on its way through the rules. `a` is NULL for the hub account's own kinds. */
struct apply {
    struct account *a;
    struct hub_account *h;
    const struct entry *e;
    const struct record *r;
    enum view view;
    struct effects *fx;
    const struct payload *p;
    enum capacity capacity;
    uint32_t device; /* index of the writer's device, AS_DEVICE */
    uint32_t invite; /* index of the invite used, AS_NEWCOMER */
    /* What check found and commit needs. */
    uint32_t member;   /* index of the member it is about */
    uint32_t target;   /* index of the device, node or split it is about */
    uint32_t slot;     /* source slot of a channel item */
    bool target_found; /* nodes: `target` exists, else it is where to insert */
    int64_t amount;    /* sum or delta */
    /* Free places check wants in each array before commit. */
    struct {
        uint32_t members, devices, revoked, invites, nodes, splits;
    } need;
};

/* check_x returns the refusal; commit_x may rely on check_x having returned ERR_OK. */
#define RULE(kind)                                                                       \
    enum err check_##kind(struct apply *x);                                              \
    void commit_##kind(struct apply *x);
RULE(open)
RULE(device_add)
RULE(device_revoke)
RULE(invite)
RULE(member_add)
RULE(member_remove)
RULE(root_rotate)
RULE(recovery_begin)
RULE(recovery_cancel)
RULE(transfer)
RULE(split)
RULE(split_correct)
RULE(split_void)
RULE(bind)
RULE(note)
RULE(accrue)
RULE(adjust)
RULE(credit)
RULE(log_open)
RULE(hub_key)
RULE(rules)
RULE(bounce)
#undef RULE

/* 32 bytes are 32 bytes; nothing compared here is secret. */
static inline bool same32(const void *a, const void *b)
{
    return memcmp(a, b, 32) == 0;
}

static inline bool is_this_hub(const struct hub_account *h, struct bytes name)
{
    return name.size == strlen(h->hub) && memcmp(name.data, h->hub, name.size) == 0;
}

/* Chains. */
enum err chain_check(const struct account *a, const struct entry *e,
                     const struct chain *c);
enum err lamport_check(const struct account *a, const struct entry *e,
                       uint64_t prev_lamport);
struct chain chain_from(const struct entry *e, uint64_t next_seq);
void chain_advance(struct chain *c, const struct entry *e);

/* Indices, or NOT_FOUND. */
uint32_t find_member(const struct account *a, const struct pubkey *root);
uint32_t find_member_number(const struct account *a, uint32_t number);
uint32_t find_device(const struct account *a, const struct pubkey *key);
uint32_t find_invite(const struct account *a, const struct hash *id);
bool is_revoked(const struct account *a, const struct pubkey *key);
uint32_t count_devices(const struct account *a, uint32_t member_number);

/* Has the key a role in the account or the hub: hub key, recovery, root, device (also a
 * revoked one) or an invite that is open at the record's time? */
bool key_is_used(const struct apply *x, const struct pubkey *key);
/* The keys of the hub itself. */
bool is_hub_key(const struct hub_account *h, const struct pubkey *key);
/* May `key` become a device? ERR_KEY_WEAK, ERR_DEVICE_EXISTS, ERR_KEY_USED. */
enum err check_new_device(const struct apply *x, const struct pubkey *key);
/* Root's signature over grant_device_message. */
bool grant_verify(const struct apply *x, const struct pubkey *root,
                  const struct pubkey *device, uint64_t grant,
                  const struct signature *sig);

/* Arrays of the account; room is reserved. */
void add_device(struct account *a, const struct pubkey *key, uint32_t member_number,
                struct chain chain);
void revoke_device(struct account *a, uint32_t device); /* ends all invites, too */
void revoke_devices_of(struct account *a, uint32_t member_number);
void drop_recovery(struct account *a);

/* Channels of this hub's own slots. */
#define CHANNEL_ORIGIN_ROOM (NOTE_NAME_MAX + 1)
void slot_origin(char out[CHANNEL_ORIGIN_ROOM], struct bytes hub, uint32_t slot);
/* Slot named by "<this hub>/<two hex>"; false when it is anything else or not below
 * slots. */
bool slot_from_origin(const struct hub_account *h, struct bytes origin, uint32_t *slot);
/* NULL only where a VIEW_ACCOUNT keeps no channels. */
struct channel *channel_of(struct hub_account *h, uint32_t slot);
/* Is the item next on its channel? Checks the origin too; sets x->slot. ERR_CHANNEL. */
enum err check_settles(struct apply *x, const struct p_credit *item);
void commit_settles(struct apply *x, const struct p_credit *item);
/* Number `item` on the channel to its destination slot and hand it to the caller. */
void channel_put(struct apply *x, const struct channel_item *item);
/* Channels to every slot of the hub, all counters zero. ERR_MEMORY: unchanged. */
enum err channels_open(struct hub_account *h, struct bytes hub, uint32_t slots);

/* Make room for `more` items of `size` bytes; *array and *cap unchanged when memory is
 * out. */
bool array_reserve(const struct alloc *mem, void **array, uint32_t *cap, uint32_t count,
                   uint32_t more, size_t size);
#define ARRAY_RESERVE(owner, array, name, more, ok)                                      \
    do {                                                                                 \
        void *array_ = (owner)->array;                                                   \
        (ok) = array_reserve((owner)->mem, &array_, &(owner)->name##_cap,                \
                             (owner)->name##_count, (more), sizeof(*(owner)->array));    \
        (owner)->array = array_;                                                         \
    } while (0)

#endif
