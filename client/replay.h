/* One slot's log replayed: every account's state, the hub account's, and the clocks. What a
 * record has to be follows from the records before it. Sans-IO; memory from the heap, bounded by
 * the number of accounts and not by the number of records. One thread at a time. */
#ifndef CLIENT_REPLAY_H
#define CLIENT_REPLAY_H

#include "client/verify.h"

#define REPLAY_POSITION_UNKNOWN UINT64_MAX

struct replay_seat {
    struct account account;
    struct tips tips;
};

struct replay {
    uint32_t slot;
    bool keep_tips; /* note the last entry of each key: tip mode */
    enum view view;
    uint64_t size; /* records applied */
    struct hub_account hub;
    struct tips hub_tips;
    uint64_t hub_lamport, hub_time_ms;
    uint64_t mix;
    size_t table_size, seat_count;
    uint32_t *table; /* seat + 1 */
    struct replay_seat **seats;
    struct effects *fx; /* of the last record */
};

/* What of a record was not as it had to be. */
enum replay_what {
    REPLAY_RULE,     /* a rule refused the entry: the error says which */
    REPLAY_PLACE,    /* log_open not at index 0, or something else there */
    REPLAY_AT,       /* position in the account */
    REPLAY_HEAD,     /* account head */
    REPLAY_LAMPORT,  /* hub Lamport */
    REPLAY_TIME      /* hub time runs backwards */
};
struct replay_fault {
    enum replay_what what;
    uint64_t expected, found;               /* AT, LAMPORT, TIME */
    struct hash expected_head, found_head; /* HEAD */
};

/* ERR_MEMORY. */
MUST_CHECK enum err replay_open(struct replay *p, uint32_t slot, bool keep_tips);
void replay_close(struct replay *p);
/* Apply the next record; its position may be REPLAY_POSITION_UNKNOWN. On an error `fault` says
 * what it is about, and nothing more may be applied: ERR_CORRUPT for what is not REPLAY_RULE. */
MUST_CHECK enum err replay_apply(struct replay *p, const struct entry *e,
                                 const struct record *r, struct replay_fault *fault);
/* A record that is withheld: the clocks go on, and from here on the slot's own sums and
 * channels are not known (VIEW_ACCOUNT). */
void replay_withheld(struct replay *p, const struct record *r);
/* RFC 6962 root over account digests in id order; *balances is the sum. Sorts the seats. */
MUST_CHECK enum err replay_digest(struct replay *p, struct hash *digest,
                                  int64_t *balances);
/* What both ends of a channel must agree on about one item. */
struct hash item_hash(const struct hash *cause, uint64_t payee_index,
                      const struct hash *payee, int64_t amount, uint64_t source_index,
                      uint64_t source_lamport, bool is_return);
/* NULL: not open. */
struct replay_seat *replay_find(const struct replay *p, const struct hash *account);
/* Add an account that is known already (a saved state); takes over what `a` owns. */
MUST_CHECK enum err replay_add(struct replay *p, const struct account *a);

#endif
