/* One record as exports tell it: what is stored, and what its entry says. Everything is
 * derived from the envelope and the leaf, so that a reader of an export can derive it again
 * and compare. Pure. */
#ifndef CLIENT_AUDIT_EXPORT_RECORD_H
#define CLIENT_AUDIT_EXPORT_RECORD_H

#include "client/audit/audit.h"
#include "ledger/address.h"
#include "ledger/kinds.h"

#define EXPORT_SCALE 6 /* decimal places of an amount: it counts micro-points */
#define EXPORT_UNIT "POINT"
#define EXPORT_PLACE_MAX 96

/* Where points come from and go to. */
enum export_place_kind {
    EXPORT_ACCOUNT,
    EXPORT_ACCRUED,  /* issued by accrue */
    EXPORT_ADJUSTED, /* issued or taken back by adjust */
    EXPORT_IN_FLIGHT /* on the channel from one slot to another */
};
struct export_place {
    enum export_place_kind kind;
    struct hash account;
    uint32_t from, to; /* slots of a channel */
};
/* `amount` > 0 micro-points go from one place to another. */
struct export_move {
    struct export_place from, to;
    int64_t amount;
};

struct export_record {
    uint32_t slot;
    uint64_t index;
    bool has_position;
    uint64_t position;
    uint8_t leaf[LEAF_BYTES];
    struct bytes envelope; /* size 0: withheld */
    /* From the envelope; all zero and "" when it is withheld or does not decode. */
    bool readable;
    struct hash id, account;
    bool opens_pinned; /* an `open` that keeps its account to its region */
    const char *kind;  /* "withheld" and "unreadable" where there is none */
    size_t move_count;
    struct export_move moves[PAYEES_MAX];
};

/* Fill in what follows from slot, envelope and `slots`, the number of the hub's slots (0: not
 * known, then nothing moves). */
void export_record_read(struct export_record *r, uint32_t slots);
/* Head, clocks as the leaf has them. */
struct hash export_head(const struct export_record *r);
uint64_t export_lamport(const struct export_record *r);
uint64_t export_time_ms(const struct export_record *r);
/* "accounts:<address>", "equity:issued:accrued", "in-flight:<slot>-<slot>". */
void export_place_text(const struct export_place *p, char out[EXPORT_PLACE_MAX]);
/* Number of slots that a log_open names; 0 when this is none. */
uint32_t export_slots_of(const struct export_record *r);

#endif
