/* An account holder: the real libstoa, with its wallet on (memory) files, in virtual time.
 * Its calls wait for answers, so each holder lives on a stack of its own (fiber.h); its
 * frames go through the transport that libstoa has for that, over a connection that loses
 * nothing, as TCP does. Clock and chance of the library are the world's (holder_edge.c).
 * What it says it believes is held against the books after every call. */
#ifndef TESTS_SIM_HOLDER_H
#define TESTS_SIM_HOLDER_H

#include "client/wallet.h"
#include "drawer.h"
#include "fiber.h"
#include "town.h"

#define HOLDER_ACCOUNTS_MAX 64
#define HOLDER_PAYEES 3

/* A frame that has arrived and was not polled yet. */
struct letter {
    struct letter *next;
    size_t size;
    uint8_t bytes[];
};

/* What a holder has seen of an account. */
struct followed {
    struct hash id;
    uint64_t checked; /* records held against the books */
    uint64_t synced;  /* records there were at the last sync */
};

struct holder {
    struct actor actor;
    struct world *w;
    struct site *site;
    struct fiber *fiber;
    uint32_t root, device; /* numbers of its first keys */
    uint32_t think_ms;
    /* Its files, and a copy from before. */
    char dir[DRAWER_PATH_MAX], old[DRAWER_PATH_MAX], left[DRAWER_PATH_MAX];
    bool has_old;
    /* Its process. */
    stoa_wallet *wallet;
    stoa_error error;
    bool killed;       /* what is still called comes to nothing */
    bool from_old;     /* it starts again from the copy */
    bool is_over;      /* the world ends */
    bool odd;          /* it ran twice, or from an old copy */
    bool store_failed; /* in this call */
    bool batch_failed; /* in a call since the batch began: nothing of it is kept */
    /* Lies: told on this connection, ever, and some that have to be noticed. */
    unsigned lies;
    bool lied_to, shown_less;
    bool in_doubt; /* it may hold a liar's records: a sync or connecting is to find that */
    bool asks_checkpoint; /* this slot's */
    uint32_t asked_slot;
    char *stale[SLOTS_MAX]; /* the first note it saw of each slot */
    uint64_t stale_size[SLOTS_MAX];
    uint64_t lives;
    /* Somebody it has to do with; what he handed over. */
    struct holder *companion;
    bool is_second; /* a device of his, without a root key */
    bool has_token, has_shared;
    char token[STOA_TOKEN_MAX]; /* an invite; of a second device its request */
    stoa_id shared;             /* the account it was enrolled in */
    /* Waiting. */
    bool waits, for_frames;
    uint64_t wake;
    /* Its connection. */
    bool up, told_open, hung_up;
    uint64_t dialed_ms;
    bool relay_was_new; /* when it dialed */
    bool on_backup;     /* likewise: the hub ran on one */
    uint64_t line;
    struct stream out;
    struct letter *first, *last, *lent;
    /* Beliefs. */
    uint64_t known[SLOTS_MAX]; /* size of the newest checkpoint it has */
    unsigned followed_count;
    struct followed followed[HOLDER_ACCOUNTS_MAX];
    /* The newest payment, which is made again now and then. */
    struct {
        struct hash from;
        uint32_t count;
        stoa_payee payees[HOLDER_PAYEES];
    } paid;
    bool denied;   /* its newest sync was: it is out of one of its accounts */
    bool resolved; /* at last: nothing of it is open */
};

/* holder.c */
struct holder *holder_add(struct world *w, struct site *s);
/* All of them end, before the world does. */
void holders_end(struct world *w);
void holder_sleep(struct holder *h, uint64_t ms);
/* Until something has come, or until then. */
void holder_wait_frames(struct holder *h, uint64_t until_ms);
/* The same keys and files a second time. */
void holder_clone(struct holder *from);
static inline bool holder_gone(const struct holder *h)
{
    return h->killed || h->is_over;
}
/* The process may die here; what it leaves on its disk is what there is now. */
bool holder_may_die(struct holder *h, const char *where);
struct holder *holder_of_actor(struct actor *a);

/* holder_edge.c: libstoa's transport, clock and chance. */
void holder_use_edges(struct holder *h);
void holder_message(struct world *w, struct actor *a, const struct message *m);
void holder_drop_line(struct holder *h);

/* holder_lies.c: perhaps something else arrives than was sent. */
void holder_lie(struct holder *h, struct letter **at);

/* holder_acts.c: what it does. */
void holder_connect(struct holder *h);
void holder_act(struct holder *h);
/* Nobody begins anything new: all that is open is brought to its end. */
void holder_settle_down(struct holder *h);

/* holder_people.c: something with its companion; false: nothing was done. `a`: an account of
 * its own, NULL: it has none. */
bool holder_meet(struct holder *h, const stoa_account *a);
/* Is there an account it follows whose device it is not (any more)? */
bool holder_is_out(const struct holder *h);

/* holder_check.c: is what it believes so? */
void holder_judge(struct holder *h, const char *what, stoa_result r);
void holder_check_receipt(struct holder *h, const stoa_receipt *r);
void holder_check_all(struct holder *h);
void holder_check_history(struct holder *h, const struct hash *account);
/* Does the hub use a relay key that some log does not name yet? */
bool holder_relay_is_new(const struct holder *h);
/* A record as it is shown by history, watch and proofs. */
void holder_check_record(struct holder *h, const stoa_record *r);
struct followed *holder_followed(struct holder *h, const struct hash *account);
/* At last: true when every entry is in the log or never will be. */
bool holder_check_resolved(struct holder *h);

#endif
