/* The client's disk: one SQLite file with the records followed, the entries written here,
 * the newest checkpoints, and local state checkpoints. The only part that sees SQL.
 * Everything but the saved entries can be fetched again from the hub. Schema and sizes:
 * docs/architecture/client.md. One thread at a time. */
#ifndef CLIENT_STORE_H
#define CLIENT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/entry.h"
#include "ledger/err.h"

#define CLIENT_SCHEMA 1
#define CLIENT_WHY_MAX 400
#define CLIENT_NAME_MAX 64
#define CLIENT_ACCOUNTS_MAX 4096 /* hub accounts included */

struct client_store;

/* Opens, or creates when `create` and missing. ERR_CORRUPT (damaged: `why` names the file
 * and the way out), ERR_SCHEMA, ERR_MISSING, ERR_FILE, ERR_LOCKED. */
MUST_CHECK enum err client_store_open(struct client_store **out, const char *path,
                                      bool create, char why[CLIENT_WHY_MAX]);
void client_store_close(struct client_store *s);
/* Why the last call failed. */
const char *client_store_why(const struct client_store *s);

/* Transactions nest by counting; only the outermost commits. Durable when end returns OK to
 * `keep`. When an inner one was not kept nothing is, and the outermost end that was to keep
 * returns ERR_FILE. */
MUST_CHECK enum err client_store_begin(struct client_store *s);
MUST_CHECK enum err client_store_end(struct client_store *s, bool keep);

/* Small named values. get: ERR_NOT_FOUND; the span lives until the next call. */
MUST_CHECK enum err client_store_set(struct client_store *s, const char *name,
                                     struct bytes value);
MUST_CHECK enum err client_store_get(struct client_store *s, const char *name,
                                     struct bytes *value);

/* Accounts followed; the hub account of a slot is one of them, with `of_hub`. */
struct client_account {
    int64_t number;
    struct hash id;
    uint32_t slot;
    bool of_hub;
    char name[CLIENT_NAME_MAX + 1];
    uint64_t position; /* records stored */
    uint64_t proven;   /* of these, shown to be in the tree */
    uint64_t proven_size;
    uint64_t checked_ms; /* wall clock */
};
MUST_CHECK enum err client_store_account_add(struct client_store *s,
                                             struct client_account *a);
/* ERR_CORRUPT when no row has this number and this id. */
MUST_CHECK enum err client_store_account_put(struct client_store *s,
                                             const struct client_account *a);
/* The i-th in order of adding; ERR_NOT_FOUND past the end. */
MUST_CHECK enum err client_store_account_at(struct client_store *s, bool of_hub,
                                            unsigned i, struct client_account *out);
MUST_CHECK enum err client_store_account(struct client_store *s, const struct hash *id,
                                         struct client_account *out);

/* Records by position; append must go on from `position`. `balance` after the record. */
MUST_CHECK enum err client_store_record_add(struct client_store *s,
                                            const struct client_account *a,
                                            const struct record *r, const struct hash *id,
                                            int64_t balance);
MUST_CHECK enum err client_store_records_cut(struct client_store *s,
                                             const struct client_account *a,
                                             uint64_t position);
/* account_head is not stored: zero in what comes back. False from visit stops. Spans live
 * during visit. The store may be used for reading from within. */
typedef bool client_record_fn(void *context, const struct record *r, int64_t balance);
MUST_CHECK enum err client_store_records(struct client_store *s,
                                         const struct client_account *a, uint64_t from,
                                         uint64_t max, client_record_fn *visit,
                                         void *context);
/* Find by entry id: ERR_NOT_FOUND. */
MUST_CHECK enum err client_store_record_find(struct client_store *s,
                                             const struct hash *id,
                                             struct client_account *a,
                                             uint64_t *position);

/* Local state checkpoints, one per account. load: ERR_NOT_FOUND; span until the next
 * call. */
MUST_CHECK enum err client_store_state_save(struct client_store *s,
                                            const struct client_account *a,
                                            struct bytes state);
MUST_CHECK enum err client_store_state_load(struct client_store *s,
                                            const struct client_account *a,
                                            struct bytes *state);

/* Newest checkpoint per slot, and evidence. */
MUST_CHECK enum err client_store_note_save(struct client_store *s, uint32_t slot,
                                           uint64_t size, struct bytes note,
                                           uint64_t now_ms);
MUST_CHECK enum err client_store_note_load(struct client_store *s, uint32_t slot,
                                           struct bytes *note, uint64_t *seen_ms);
struct client_evidence {
    uint32_t slot;
    uint64_t at_ms;
    struct bytes known, shown, what; /* until the next call */
};
MUST_CHECK enum err client_store_evidence_save(struct client_store *s,
                                               const struct client_evidence *e);
MUST_CHECK enum err client_store_evidence_at(struct client_store *s, unsigned i,
                                             struct client_evidence *out);

/* Entries written here. */
enum client_state {
    CLIENT_SAVED = 0,
    CLIENT_SENT = 1,
    CLIENT_ACCEPTED = 2,
    CLIENT_CREDITED = 3,
    CLIENT_DROPPED = 4
};
struct client_outgoing {
    int64_t number; /* in order of saving */
    struct hash id;
    struct hash account;
    uint32_t slot;
    enum client_state state;
    uint32_t code; /* refusal */
    uint64_t seq;
    uint64_t index, position, hub_lamport, hub_time_ms, tree_size;
    uint32_t payees, left;
    bool hubs_word, bounced;
    uint64_t saved_ms;
    struct bytes request;  /* caller's id; size 0: none */
    struct bytes envelope; /* until the next call */
    struct bytes sealed;   /* salt and ciphertext still to be handed in; size 0: none */
};
MUST_CHECK enum err client_store_outgoing_add(struct client_store *s,
                                              struct client_outgoing *o);
/* Everything but id, account, envelope and request. */
MUST_CHECK enum err client_store_outgoing_put(struct client_store *s,
                                              const struct client_outgoing *o);
MUST_CHECK enum err client_store_outgoing_find(struct client_store *s,
                                               const struct hash *id,
                                               struct client_outgoing *out);
MUST_CHECK enum err client_store_outgoing_request(struct client_store *s,
                                                  const char *request,
                                                  struct client_outgoing *out);
/* The next after number `after` (0: from the first) whose state is in `states` (bit i for
 * state i), of `account` or of any (NULL). `newest`: the next below `after` (0: from the
 * last). ERR_NOT_FOUND. */
MUST_CHECK enum err client_store_outgoing_next(struct client_store *s,
                                               const struct hash *account, int64_t after,
                                               unsigned states, bool newest,
                                               struct client_outgoing *out);
/* The next accepted one whose sealed memo was not handed in yet. */
MUST_CHECK enum err client_store_outgoing_sealed(struct client_store *s,
                                                 const struct hash *account,
                                                 int64_t after,
                                                 struct client_outgoing *out);
MUST_CHECK enum err client_store_outgoing_count(struct client_store *s, unsigned states,
                                                uint64_t *count);
MUST_CHECK enum err client_store_outgoing_drop(struct client_store *s,
                                               const struct hash *id);

/* Tests: called with the name of each durable step ("begin", "commit", ..); false makes
 * it fail as if the disk had. */
void client_store_set_fault(struct client_store *s,
                            bool (*at)(void *context, const char *step), void *context);

#endif
