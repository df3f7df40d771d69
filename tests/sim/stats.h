/* What happened in a run, as numbers. Plain counters, so that runs can be added up and
 * sent through a pipe. */
#ifndef TESTS_SIM_STATS_H
#define TESTS_SIM_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Everything that can go wrong in the world; the rate of each is drawn anew for every
 * seed, and half of them are absent. The words are what --without takes. */
#define BAD_LIST(X)                                                                      \
    X(BAD_LOSS, "loss")               /* a message is lost */                            \
    X(BAD_TWICE, "twice")             /* a message comes twice */                        \
    X(BAD_DELAY, "delay")             /* a message is late, others overtake it */        \
    X(BAD_CUT, "cut")                 /* a connection breaks */                          \
    X(BAD_CLOG, "clog")               /* a line holds everything back for a while */     \
    X(BAD_PARTITION, "partition")     /* some actors do not reach the others */          \
    X(BAD_CRASH, "crash")             /* a hub's process dies */                         \
    X(BAD_TORN, "torn")               /* a write is cut, rubbish stays */                \
    X(BAD_PAUSE, "pause")             /* a process stands still */                       \
    X(BAD_UNKNOWN, "unknown")         /* an append failed, nobody knows */               \
    X(BAD_HAPPENED, "happened")       /* an append happened, the answer is lost */       \
    X(BAD_FULL, "full")               /* disk full */                                    \
    X(BAD_BROKEN, "broken")           /* I/O error, not happened */                      \
    X(BAD_BROKEN_DONE, "broken_done") /* I/O error, happened */                          \
    X(BAD_TAKEN, "taken")             /* somebody else claims a slot */                  \
    X(BAD_CLAIM, "claim")             /* claiming a slot fails */                        \
    X(BAD_READ, "read")               /* reading fails */                                \
    X(BAD_ROT, "rot")                 /* a bit of a snapshot turns */                    \
    X(BAD_MEMORY, "memory")           /* an allocation fails */                          \
    X(BAD_STOP, "stop")               /* a slot is stopped: a person must look */        \
    X(BAD_BACKUP, "backup")           /* an older store is put back */                   \
    X(BAD_SLEW, "slew")               /* the wall clock is pulled */                     \
    X(BAD_JUMP, "jump")               /* the wall clock jumps */                         \
    X(BAD_LEAP, "leap")               /* days pass */                                    \
    X(BAD_REKEY, "rekey")             /* a hub's key gives way to another */             \
    X(BAD_DRAIN, "drain")             /* a hub is told to stop, and restarted */         \
    X(BAD_RESTART, "restart")         /* a device starts from an old state */            \
    X(BAD_CLONE, "clone")             /* a device runs twice */                          \
    X(BAD_SLOW, "slow")               /* a connection takes nothing for a while */       \
    X(BAD_KILL, "kill")               /* a wallet's process dies */                      \
    X(BAD_WALLET, "wallet")           /* a wallet's disk fails */                        \
    X(BAD_LIE, "lie")                 /* a wallet's frames are tampered with */          \
    X(BAD_WRONG, "wrong")             /* somebody sends what is wrong */

#define BAD_ENUM_(name, word) name,
enum fault { BAD_LIST(BAD_ENUM_) BAD_COUNT };
#undef BAD_ENUM_

/* What somebody was shown or told at least once in a long run. */
#define SEEN_LIST(X)                                                                     \
    X(SEEN_PAGE_SLOT, "page_of_a_log")                                                   \
    X(SEEN_PAGE_ACCOUNT, "page_of_an_account")                                           \
    X(SEEN_PAGE_ID, "page_of_an_entry")                                                  \
    X(SEEN_INCLUSION, "inclusion_proof")                                                 \
    X(SEEN_CONSISTENCY, "consistency_proof")                                             \
    X(SEEN_CHECKPOINT, "checkpoint_asked")                                               \
    X(SEEN_CATCHUP, "catch_up_frame")                                                    \
    X(SEEN_CAUGHT_UP, "caught_up")             /* first end of a catch-up */             \
    X(SEEN_CAUGHT_AGAIN, "caught_up_again")    /* live, behind, and caught up */         \
    X(SEEN_LIVE, "live_frame")                                                           \
    X(SEEN_UNSUBSCRIBED, "unsubscribed")                                                 \
    X(SEEN_WITHHELD, "withheld_record")                                                  \
    X(SEEN_OWN_RECORD, "record_for_a_device")                                            \
    X(SEEN_KEPT_OUT, "subscription_not_allowed")                                         \
    X(SEEN_KEPT_OUT_LATER, "subscription_ended") /* its device was revoked */            \
    X(SEEN_NOT_ALLOWED, "read_not_allowed")                                              \
    X(SEEN_RANGE, "read_out_of_range")                                                   \
    X(SEEN_NOT_FOUND, "read_not_found")                                                  \
    X(SEEN_UNAVAILABLE, "read_unavailable")                                              \
    X(SEEN_BYE_SLOW, "goodbye_slow")                                                     \
    X(SEEN_READ_FIRST, "read_before_its_event")                                          \
    X(SEEN_STOPPED_BY_HELLO, "stopped_by_hello")                                         \
    X(SEEN_WALLET_BEHIND, "wallet_sees_a_backup")                                        \
    X(SEEN_WALLET_OK, "wallet_ok") /* how calls of libstoa end */                        \
    X(SEEN_WALLET_UNREACHABLE, "wallet_unreachable")                                     \
    X(SEEN_WALLET_UNKNOWN, "wallet_unknown")                                             \
    X(SEEN_WALLET_INTERRUPTED, "wallet_interrupted")                                     \
    X(SEEN_WALLET_LIMITED, "wallet_limited")                                             \
    X(SEEN_WALLET_REFUSED, "wallet_refused")                                             \
    X(SEEN_WALLET_RESUMED, "wallet_resumed")                                             \
    X(SEEN_WALLET_KILLED, "wallet_killed")                                               \
    X(SEEN_WALLET_OLD, "wallet_from_old_files")                                          \
    X(SEEN_WALLET_CLONED, "wallet_cloned")                                               \
    X(SEEN_WALLET_WATCHED, "wallet_watched")                                             \
    X(SEEN_WALLET_PROOF, "wallet_proof")                                                 \
    X(SEEN_WALLET_VERIFIED, "wallet_verified")                                           \
    X(SEEN_WALLET_HEAD, "wallet_head")                                                   \
    X(SEEN_WALLET_JOINED, "wallet_joined")                                               \
    X(SEEN_WALLET_ENROLLED, "wallet_enrolled")                                           \
    X(SEEN_WALLET_REVOKED, "wallet_revoked_a_device")                                    \
    X(SEEN_WALLET_LIED_TO, "wallet_lied_to")                                             \
    X(SEEN_WALLET_CAUGHT, "wallet_caught_a_lie")

#define SEEN_ENUM_(name, word) name,
enum seen_what { SEEN_LIST(SEEN_ENUM_) SEEN_COUNT };
#undef SEEN_ENUM_

#define STATS_KINDS 70
#define STATS_CODES 80 /* 100 + i */

struct stats {
    uint64_t seeds, real_seeds, hubs, virtual_ms, steps, checks, messages, sessions,
        commits, crashes, reloads, snapshots, snapshots_used, acked, duplicates, records,
        credits, bounces, returns, refused, rebased, heads, checkpoints, digests,
        least_acked, least_crashes, longest_heal_ms, subscriptions, streamed;
    uint64_t faults[BAD_COUNT];
    uint64_t kinds[STATS_KINDS]; /* records in a log */
    uint64_t codes[STATS_CODES]; /* refusals sent to somebody */
    uint64_t seen[SEEN_COUNT];
};

const char *fault_word(unsigned f);
const char *seen_word(unsigned i);
bool fault_from_word(const char *word, enum fault *out);
void stats_add(struct stats *to, const struct stats *from);
void stats_print(FILE *out, const struct stats *s);
void stats_print_json(FILE *out, const struct stats *s, uint64_t from, double seconds);
/* Names every kind and code the generator should have produced and did not; how many. */
unsigned stats_missing(FILE *out, const struct stats *s);

#endif
