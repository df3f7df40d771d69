/* A slot's accounts in ascending id order, and the digest made of them. Private to
 * slotlog*.c. */
#ifndef LEDGER_SLOTLOG_ORDER_H
#define LEDGER_SLOTLOG_ORDER_H

#include "crypto/merkle.h"
#include "ledger/slotlog.h"

#define SLOTLOG_ROOM_MIN 16384

/* Borrows the accounts of a slot; valid while the slot does not change. */
struct slotlog_order {
    const struct alloc *mem;
    size_t count;
    struct account **accounts;
    uint8_t *room; /* scratch for one encoded state */
    size_t room_size;
};
MUST_CHECK enum err slotlog_order_open(struct slotlog_order *o, struct slotlog *s);
/* Canonical state of one account; valid until the next call. */
MUST_CHECK enum err slotlog_order_account(struct slotlog_order *o,
                                          const struct account *a, struct bytes *state);
MUST_CHECK enum err slotlog_order_hub(struct slotlog_order *o,
                                      const struct hub_account *h, struct bytes *state);
void slotlog_order_close(struct slotlog_order *o);

/* RFC 6962 root over account digests, built in ascending id order; the hub account is put
 * in where its id belongs. hub_id NULL: a slot without log_open. */
struct slot_digest {
    struct frontier tree;
    bool hub_due;
    struct hash hub_id;
    struct hash hub_digest;
};
void slot_digest_begin(struct slot_digest *d, const struct hash *hub_id,
                       const struct hash *hub_digest);
void slot_digest_add(struct slot_digest *d, const struct hash *id, struct bytes state);
struct hash slot_digest_end(struct slot_digest *d);

#endif
