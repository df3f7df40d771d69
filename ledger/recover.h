/* Start-up, reload and crash recovery of a slot: one function. Reads the slot through the
 * store's contract, verifies the right edge against the signed checkpoint, loads the newest
 * snapshot if it is good, replays the rest, hands the slot to the sequencer.
 * Driver code: calls the store, no clock, no sockets. */
#ifndef LEDGER_RECOVER_H
#define LEDGER_RECOVER_H

#include "ledger/sequencer.h"

struct recover_report {
    uint32_t slot;
    tree_size size;
    tree_size snapshot_size; /* 0: none used */
    uint64_t replayed;
    bool snapshot_dropped;
    char why[STORE_WHY_MAX];
};

/* `mark` is the hub's high-water mark for this slot kept outside the database (size 0: none):
 * a store that holds less, or another tree at that size, is a restored backup: ERR_BEHIND.
 * Claims the slot, so its epoch rises. A slot without records becomes ready empty and takes
 * nothing but its log_open (recover_genesis). Also re-reads the last records from disk and
 * checks that their leaves give the checkpoint's root. `c` is what the sequencer was opened
 * with. After ERR_CORRUPT, ERR_BEHIND, ERR_RULES_AHEAD the slot is SEQ_SLOT_STOPPED, after
 * other errors still down: try again. ERR_CORRUPT, ERR_BEHIND, ERR_RULES_AHEAD, ERR_IO, ERR_STORE, ERR_MEMORY. */
struct recover_mark {
    tree_size size;
    struct hash root;
};
struct recover_genesis {
    struct hash federation;
    const char *hub;
    struct pubkey issuer;
    const struct key *relay;
    struct pubkey log;
};
MUST_CHECK enum err recover_slot(struct sequencer *q, const struct sequencer_config *c,
                                 struct store *st, uint32_t slot,
                                 const struct recover_mark *mark,
                                 struct recover_report *report);
/* A slot that another process sequences, as its log stands now: verified like a recovery, with
 * nothing claimed, written or dropped. `st` is used by nobody else meanwhile. *out is released
 * by recover_view_close. ERR_NOT_FOUND: no records yet; ERR_BEHIND: less than `mark` says;
 * ERR_CORRUPT, ERR_RULES_AHEAD, ERR_IO, ERR_STORE, ERR_MEMORY. */
MUST_CHECK enum err recover_view(struct slotlog **out, struct store_slot *at,
                                 const struct sequencer_config *c, struct store *st,
                                 uint32_t slot, const struct recover_mark *mark,
                                 struct recover_report *report);
void recover_view_close(const struct sequencer_config *c, struct slotlog *log);
/* `stoad init`: write log_open as record 0 of every slot of a fresh store, through the same
 * path as any other record. Slots that have one are left alone. ERR_CONFIG: the hub's name
 * does not do; ERR_STORE_FULL; ERR_LOST: run it again; and the errors of recover_slot. */
MUST_CHECK enum err recover_genesis(struct store *st, const struct sequencer_config *c,
                                    const struct recover_genesis *g, uint64_t now_ms);

#endif
