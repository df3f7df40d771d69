/* One account as its holder sees it: the account's records and its slot's hub account
 * records, applied in the order of the log, so that every record meets the keys and rules
 * that were in force at its own index. Pure; memory through a struct alloc. Checkpoint
 * format: docs/architecture/client.md. */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include "ledger/account.h"

#define FOLLOW_FORMAT 1

/* The newest record of an account; its leaf hash is computed when somebody asks. */
struct newest {
    struct record r; /* without envelope */
    struct buf envelope;
    bool known;
    struct hash leaf;
};

struct follow {
    const struct alloc *mem;
    struct hash id;     /* account followed; zero: only the hub account */
    struct hash hub_id; /* of the slot's log_open */
    uint32_t slot;
    struct hub_account hub;
    struct account account;
    bool any;             /* some record was applied */
    uint64_t index;       /* of the newest record applied, of either account */
    uint64_t hub_lamport; /* of the newest record applied */
    uint64_t hub_time_ms;
    uint64_t account_index; /* of the account's newest record */
    struct newest account_newest;
    struct hash account_entry; /* id of the account's newest entry */
    uint64_t account_lamport;  /* of the newest entry, hub lamport */
    uint64_t hub_index;        /* of the hub account's newest record */
    struct newest hub_newest;
    bool broken; /* an apply failed half way: close and build again */
};

void follow_init(struct follow *f, const struct alloc *mem, const struct hash *id,
                 const struct hash *hub_id, uint32_t slot);
void follow_close(struct follow *f);

/* Apply the next record of the account, or of the hub account. Indices, positions and
 * clocks must go on from what was applied, and the account head must be the one the
 * record names (all zero: a stored record, which names none). The device's signature is
 * the caller's to check. ERR_CORRUPT; the codes of apply (a hub that shows a record which
 * the rules refuse); ERR_RULES_AHEAD; ERR_MEMORY. */
MUST_CHECK enum err follow_apply(struct follow *f, const struct entry *e,
                                 const struct record *r);

/* Leaf hash of the newest record of the account, or of the hub account. */
const struct hash *follow_leaf(struct newest *n);

/* Where the next record of each is expected. */
static inline uint64_t follow_position(const struct follow *f)
{
    return f->account.position;
}
static inline uint64_t follow_hub_position(const struct follow *f)
{
    return f->hub.position;
}

/* Local state checkpoint: everything above, and the log checkpoint it was proven under. A
 * cache: any doubt on decode is ERR_CORRUPT, and the caller replays instead. */
struct follow_proof {
    uint64_t position; /* records proven */
    uint64_t size;     /* of the log's tree */
    struct hash root;
};
size_t follow_encode_size(const struct follow *f);
/* out has follow_encode_size room; returns the length, 0 when memory is out. */
size_t follow_encode(struct follow *f, const struct follow_proof *p, uint8_t *out,
                     size_t cap);
MUST_CHECK enum err follow_decode(struct follow *f, const struct alloc *mem,
                                  struct follow_proof *p, struct bytes data);

/* What an entry does to the balance of its account. */
int64_t entry_delta(const struct entry *e);

#endif
