/* Moves a slot from the server where it is to another one while the hub runs; what the states
 * of a slot mean says deploy/schema/0005_place.sql. Records are copied while the slot is
 * written to; for the last ones it stands still, for as long as these take. The new copy is
 * read back: each record is compared with its leaf, and all of them with the signed root.
 *
 * At any moment the slot can be written at one place at most: the old one until the
 * transaction that says "away", the new one after it. A move that ends in between, by
 * whatever, leaves it where it was, or where it was going; the same call again goes on, and of
 * a slot that is there changes nothing. Knows no libpq; blocking; a driver for an operator's
 * command and for tests. */
#ifndef LEDGER_STORE_POSTGRES_MOVE_H
#define LEDGER_STORE_POSTGRES_MOVE_H

#include "ledger/store.h"

enum move_step {
    MOVE_FOUND,    /* where it is is known */
    MOVE_ROOM,     /* the new place expects it */
    MOVE_COPIED,   /* a round of records, while the slot goes on */
    MOVE_FROZEN,   /* nobody can write to it */
    MOVE_VERIFIED, /* the copy is whole and has the signed root */
    MOVE_AWAY,     /* the old place has given it up: from here on it is at the new one */
    MOVE_HERE,     /* the new place has it */
    MOVE_TOLD,     /* the hub's own database points straight at it */
    MOVE_FORGOTTEN /* of postgres_forget: so many records were removed, at `from` */
};
struct move_progress {
    enum move_step step;
    uint64_t records;   /* copied so far */
    uint64_t frozen_ms; /* AWAY and later: how long nobody could write */
    const char *from;   /* who knows a server by: never a secret */
};
struct move_order {
    const char *store; /* URI of the hub's own database */
    const char *to;    /* of the new place, as relays are to connect to it */
    const char
        *as; /* user of both servers for the move: an owner; NULL: those of the URIs */
    uint32_t slot;
    /* May be NULL. False: leave at once and clean up nothing, as if killed. */
    bool (*progress)(void *context, const struct move_progress *p);
    void *context;
};
/* ERR_LOCKED: somebody moves it, or it is not yet let go.
 * ERR_CONFIG: no such place for this ledger; ERR_CORRUPT: the copy is not what was
 * signed, and nothing was moved; ERR_UNKNOWN: whether it moved is not known, call again.
 * ERR_SCHEMA: a server's schema is newer than this program, and nothing was changed there.
 * ERR_STORE, ERR_USAGE, ERR_RANGE (no such slot), ERR_MEMORY. `why`, never NULL, is a
 * sentence. */
MUST_CHECK enum err postgres_move(const struct move_order *o, struct store_why *why);

/* Removes what a slot has left at the server `to`, where it was or where a move that broke off
 * was bringing it: records, tiles, attachments. Only when the slot stands at another place, all
 * of which is read back and compared with the signed root before. ERR_EXISTS: it is at `to`;
 * ERR_LOCKED: it is being moved; ERR_CORRUPT: what stands at its place is not what was signed,
 * and nothing was removed; else as postgres_move. */
MUST_CHECK enum err postgres_forget(const struct move_order *o, struct store_why *why);

/* Where every slot is: `visit` gets the URI "" for the hub's own database. ERR_CONFIG:
 * `store` is not that, or its schema is older than this program; ERR_SCHEMA: newer; else as
 * postgres_move. */
MUST_CHECK enum err postgres_where(const char *store, const char *as,
                                   void (*visit)(void *context, uint32_t slot,
                                                 const char *uri, bool moving),
                                   void *context, struct store_why *why);

#endif
