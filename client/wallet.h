/* Inside of libstoa: what its files share. Nobody outside client/ includes this. */
#ifndef CLIENT_WALLET_H
#define CLIENT_WALLET_H

#include <stdarg.h>

#include "client/client_store.h"
#include "client/follow.h"
#include "client/stoa.h"
#include "crypto/key.h"
#include "crypto/note.h"
#include "ledger/link.h"
#include "ledger/wire.h"

#define WALLET_DIR_MAX 3840
#define WALLET_PATH_MAX 4096
#define WALLET_KEYS_MAX 64
#define STATE_EVERY 500 /* records between local state checkpoints */
#define LINGER_MS 500
#define SUBMIT_ENTRIES_MAX 256 /* entries in one SUBMIT of ours */
#define SUBMIT_BYTES_MAX (256u << 10)
#define FETCH_RECORDS 512
#define PROOFS_AT_ONCE 64

/* Where frames go: a link, or a test's stand-in. poll as link_poll. */
struct transport {
    void *context;
    enum err (*send)(void *context, const void *frame, size_t size);
    void (*poll)(void *context, uint32_t timeout_ms, struct link_event *out);
    void (*close)(void *context);
};
typedef enum err (*dial_fn)(void *context, const char *url, const char *ca_file,
                            struct transport *out);

struct wallet_key {
    char role[16];
    char file[80]; /* within keys/ */
    struct pubkey pub;
    bool encrypted;
    struct key *key; /* unlocked; NULL: not yet */
};

/* A slot of the hub as far as it was needed: its hub account, its newest checkpoint. */
struct slot_view {
    bool loaded;
    struct client_account row; /* of the hub account */
    struct follow f;           /* hub account only, at its newest record */
    bool has_note;
    struct checkpoint known;
};

/* An account followed, with its state in memory once needed. */
struct account_view {
    struct client_account row;
    bool loaded;
    struct follow f;
    uint64_t saved_at;
    bool rebuilt;    /* local checkpoint was damaged; replayed */
    bool head_known; /* where this wallet's device writes next, saved entries included */
    struct chain head;
    bool refs_done; /* all that is known of other devices is behind `head` */
};

/* A frame kept for later, because its sender did not wait to be asked. */
struct kept {
    struct kept *next;
    size_t size;
    uint8_t data[];
};

struct stoa_wallet {
    char dir[WALLET_DIR_MAX];
    int lock_fd;
    unsigned flags;
    stoa_passphrase_fn passphrase;
    void *passphrase_context;
    char fingerprint_wanted[65];
    char ca_file[LINK_URL_MAX];
    uint32_t timeout_ms;
    struct client_store *store;
    struct wallet_key keys[WALLET_KEYS_MAX];
    unsigned key_count;
    unsigned device; /* index in keys */
    unsigned batch;  /* inside stoa_batch_begin */
    bool card_due;   /* the card is written when the batch is */
    uint64_t (*now_ms)(void);

    /* Hub identity, as recorded. */
    bool has_hub;
    char url[STOA_URL_MAX];
    char hub[HUB_NAME_MAX + 1];
    struct hash federation;
    struct hash fingerprint;
    bool first_use; /* the fingerprint was taken as it came, compared with nothing */
    bool compared;  /* one given now is the one taken so: the card is to say it */
    uint64_t met_ms; /* when the identity was recorded; 0: a wallet older than the record */
    uint32_t slots;
    struct hash log_open[SLOTS_MAX];
    struct slot_view *slot[SLOTS_MAX];

    struct account_view **accounts;
    unsigned account_count;

    /* Connection. */
    dial_fn dial;
    void *dial_context;
    bool connected, welcomed;
    struct transport transport;
    uint64_t rid;
    struct wire_limits limits;
    struct pubkey relay; /* as WELCOME named and proved it */
    struct kept *kept, *kept_last;
    struct kept *answer; /* what the last rpc_wait gave out, when it came early */
    struct buf frame;    /* being written */
    char closed_why[LINK_WHY_MAX + WIRE_TEXT_MAX];
    uint64_t bye; /* the code of the hub's goodbye; 0: none */
};

/* ---- errors (error.c) -----------------------------------------------------------------
 */

/* Fill `e` (may be NULL) and give the result that fits the code. */
__attribute__((format(printf, 3, 4))) stoa_result because(stoa_error *e, enum err code,
                                                          const char *form, ...);
__attribute__((format(printf, 4, 5))) stoa_result
because_as(stoa_error *e, stoa_result result, enum err code, const char *form, ...);
void because_hint(stoa_error *e, const char *hint);
stoa_result because_store(stoa_wallet *w, stoa_error *e, enum err code);
stoa_result result_of(enum err code);

#define TRY_R(call)                                                                      \
    do {                                                                                 \
        stoa_result try_r_ = (call);                                                     \
        if (try_r_ != STOA_OK)                                                           \
            return try_r_;                                                               \
    } while (0)
/* A store call inside a function that has `w` and `error`. */
#define TRY_S(call)                                                                      \
    do {                                                                                 \
        enum err try_s_ = (call);                                                        \
        if (try_s_ != ERR_OK)                                                            \
            return because_store(w, error, try_s_);                                      \
    } while (0)

/* Did the disk or the memory fail here, and not what somebody shows? */
static inline bool of_disk(enum err e)
{
    return e == ERR_FILE || e == ERR_STORE_FULL || e == ERR_LOCKED || e == ERR_MEMORY;
}

/* For calls whose failure changes nothing here. */
static inline void ignore(enum err e)
{
    (void)e;
}

static inline struct hash hash_of(const stoa_id *id)
{
    struct hash h;
    __builtin_memcpy(h.b, id->b, HASH_BYTES);
    return h;
}
static inline stoa_id id_of(const struct hash *h)
{
    stoa_id id;
    __builtin_memcpy(id.b, h->b, HASH_BYTES);
    return id;
}
static inline stoa_id id_of_key(const struct pubkey *k)
{
    stoa_id id;
    __builtin_memcpy(id.b, k->b, PUBKEY_BYTES);
    return id;
}
static inline struct pubkey key_of_id(const stoa_id *id)
{
    struct pubkey k;
    __builtin_memcpy(k.b, id->b, PUBKEY_BYTES);
    return k;
}
/* Copy into a caller's struct that starts with its `size`, which may be an older one. */
void give(void *out, const void *value, size_t size);

/* ---- keys (wallet_keys.c) -------------------------------------------------------------
 */

enum err keys_load(stoa_wallet *w, char *why, size_t why_cap);
/* The unlocked key with this public half; asks for the passphrase. */
stoa_result keys_unlock(stoa_wallet *w, const struct pubkey *pub, const struct key **out,
                        stoa_error *error);
bool keys_have(const stoa_wallet *w, const struct pubkey *pub, const char *role);
const struct wallet_key *keys_first(const stoa_wallet *w, const char *role);
/* A fresh key of `role`, saved (encrypted as the others are) and unlocked. */
stoa_result keys_make(stoa_wallet *w, const char *role, const uint8_t *seed,
                      struct pubkey *pub, stoa_error *error);
void keys_close(stoa_wallet *w);
static inline const struct pubkey *device_key(const stoa_wallet *w)
{
    return &w->keys[w->device].pub;
}

/* ---- wallet (wallet.c) ----------------------------------------------------------------
 */

/* Within a batch: at its end. */
stoa_result wallet_save_card(stoa_wallet *w, stoa_error *error);
uint64_t clock_ms(void);
uint64_t mono_ms(void);
/* Tests: a stand-in for the network and the clock. */
void wallet_set_dial(stoa_wallet *w, dial_fn dial, void *context);

/* ---- frames (rpc.c) -------------------------------------------------------------------
 */

enum err link_dial(void *context, const char *url, const char *ca_file,
                   struct transport *out);
/* Writer over w->frame with `room` bytes. */
struct mp_writer frame_begin(stoa_wallet *w, size_t room);
stoa_result frame_send(stoa_wallet *w, const struct mp_writer *m, uint64_t deadline,
                       stoa_error *error);
/* Wait for the answer to `rid` of one of two types. Frames that come unasked (RESULTS,
 * SETTLED, RECORDS) are kept. `out` points into memory that lives until the next rpc
 * call. */
stoa_result rpc_wait(stoa_wallet *w, uint64_t rid, uint64_t type, uint64_t deadline,
                     struct wire_frame *out, stoa_error *error);
/* Send a frame without lists and wait. */
stoa_result rpc_call(stoa_wallet *w, struct wire_frame *f, uint64_t answer,
                     uint64_t deadline, struct wire_frame *out, stoa_error *error);
/* The next kept frame of `type`, or wait for one; STOA_UNREACHABLE with code "timeout"
 * when none comes. The caller frees *kept. */
stoa_result rpc_next(stoa_wallet *w, uint64_t type, uint64_t type2, uint64_t deadline,
                     struct kept **kept, struct wire_frame *out, stoa_error *error);
void rpc_forget(stoa_wallet *w);
void rpc_close(stoa_wallet *w);
stoa_result need_connection(stoa_wallet *w, stoa_error *error);

/* ---- slots (hub_slot.c) ---------------------------------------------------------------
 */

/* The view of a slot, loaded from disk; the hub account is fetched when nothing is known.
 */
stoa_result slot_need(stoa_wallet *w, uint32_t slot, uint64_t deadline,
                      struct slot_view **out, stoa_error *error);
stoa_result slot_load(stoa_wallet *w, uint32_t slot, struct slot_view **out,
                      stoa_error *error);
/* Apply and store the next record of the slot's hub account. */
stoa_result slot_take(stoa_wallet *w, struct slot_view *v, const struct record *r,
                      stoa_error *error);
/* Records of the slot that were taken in and never proven go out again: the hub account's, and
 * those of the accounts in it, which were read by them. None of these views is loaded then. */
MUST_CHECK enum err slot_cut_unproven(stoa_wallet *w, struct slot_view *v);
/* Fetch new records of the slot's hub account and apply them (not yet proven). */
stoa_result slot_follow(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                        stoa_error *error);
/* Prove the hub account's newest record under a fresh checkpoint; what is not in its tree is cut. */
stoa_result slot_prove(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                       stoa_error *error);
/* Follow and prove; what an earlier call left unproven is asked for anew when it does not fit. */
stoa_result slot_sync(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                      stoa_error *error);
/* Of a result STOA_NO: did records not fit, and not two notes, which are kept as evidence? */
bool blames_records(const stoa_error *e);
/* Believe notes of one slot, in any order of size: signature, and consistency with the
 * newest known and with each other. The largest becomes the newest known. out[i] is
 * filled. */
stoa_result slot_believe(stoa_wallet *w, struct slot_view *v, const struct bytes notes[],
                         size_t count, struct checkpoint out[], uint64_t deadline,
                         stoa_error *error);
/* The same for one note that says it is the present one: going back is ERR_BEHIND. */
stoa_result slot_advance(stoa_wallet *w, struct slot_view *v, struct bytes shown,
                         uint64_t deadline, struct checkpoint *out, stoa_error *error);
/* A fresh checkpoint from the hub, believed. */
stoa_result slot_refresh(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                         stoa_error *error);
/* Is this leaf in the tree of the newest checkpoint known? Asks for the path. */
stoa_result slot_includes(stoa_wallet *w, struct slot_view *v, uint64_t index,
                          const struct hash *leaf, uint64_t deadline, stoa_error *error);
stoa_result slot_evidence(stoa_wallet *w, struct slot_view *v, struct bytes shown,
                          enum err code, const char *what, stoa_error *error);
void slots_close(stoa_wallet *w);
/* A file in the wallet's folder, whole and durable or not at all. */
bool wallet_keep_file(stoa_wallet *w, const char *name, const struct buf *data);

/* ---- accounts (sync.c) ----------------------------------------------------------------
 */

struct account_view *account_of(stoa_wallet *w, const struct hash *id);
/* With its state in memory, from the local checkpoint and the records after it. */
stoa_result account_need(stoa_wallet *w, const struct hash *id, struct account_view **out,
                         stoa_error *error);
stoa_result account_add(stoa_wallet *w, const struct hash *id, const char *name,
                        struct account_view **out, stoa_error *error);
stoa_result account_sync(stoa_wallet *w, struct account_view *v, uint64_t deadline,
                         stoa_error *error);
/* Take in records that came (or were fetched), in order: decoded, signatures checked,
 * applied, stored. Not yet proven. `seen` (may be NULL) is told of each. */
typedef bool (*seen_fn)(void *context, const struct entry *e, const struct record *r,
                        int64_t balance);
stoa_result account_take(stoa_wallet *w, struct account_view *v, struct record records[],
                         size_t count, seen_fn seen, void *context, bool *stopped,
                         stoa_error *error);
/* Does something of the account, loaded, or of its slot wait for its proof since an earlier call
 * that ended before? It may be a liar's: account_sync proves it, or asks for it anew. */
bool account_unproven(const stoa_wallet *w, const struct account_view *v);
/* Prove the newest record under the newest checkpoint. */
stoa_result account_prove(stoa_wallet *w, struct account_view *v, uint64_t deadline,
                          stoa_error *error);
stoa_result account_save_state(stoa_wallet *w, struct account_view *v, stoa_error *error);
void accounts_close(stoa_wallet *w);
enum err accounts_load(stoa_wallet *w);
/* After a save that was not kept: accounts that the disk does not hold are forgotten, of the
 * others and of the slots memory may be ahead, so that is read again when needed. No view that
 * a caller holds outlives this. */
void accounts_reread(stoa_wallet *w);
stoa_result account_reload(stoa_wallet *w, struct account_view *v, stoa_error *error);

/* ---- writing (compose.c, deliver.c) ---------------------------------------------------
 */

/* What is to be written; the rest is derived from the account's state. */
struct draft {
    const struct payload *payload;
    const struct pubkey *signer; /* NULL: this wallet's device */
    const struct chain *head;    /* NULL: this signer's next place */
    bool first;                  /* open: nothing before it */
    uint32_t payees;
};
/* What the next entry of this wallet's device after `head` refers to (refs.c). */
struct refs {
    struct hash ids[ENTRY_REFS_MAX]; /* ascending */
    unsigned count;
    uint64_t lamport; /* the highest of theirs */
};
stoa_result refs_choose(stoa_wallet *w, const struct account_view *v,
                        const struct chain *head, struct refs *out, stoa_error *error);
/* Build, save (state SAVED) and give its receipt. Resumes when how->request names an
 * earlier entry. */
stoa_result compose(stoa_wallet *w, struct account_view *v, const struct draft *d,
                    const stoa_how *how, struct client_outgoing *out, stoa_error *error);
/* compose, then deliver as how says. */
stoa_result write_entry(stoa_wallet *w, struct account_view *v, const struct draft *d,
                        const stoa_how *how, stoa_receipt *receipt, stoa_error *error);
/* Bring one saved entry (and those before it) to the state wanted. */
stoa_result deliver(stoa_wallet *w, const struct hash *account, const struct hash *id,
                    stoa_state wait, uint32_t timeout_ms, stoa_receipt_fn visit,
                    void *context, stoa_error *error);
/* How far one saved entry has come, as the result of the call that wrote it. */
stoa_result outcome(stoa_wallet *w, const struct hash *id, stoa_state wait,
                    stoa_receipt *receipt, stoa_error *error);
/* The same after deliver gave `sent` and `why`. */
stoa_result finish_outcome(stoa_wallet *w, const struct hash *id, stoa_state wait,
                           stoa_result sent, const stoa_error *why, stoa_receipt *receipt,
                           stoa_error *error);
void receipt_of(const struct client_outgoing *o, stoa_receipt *out);
/* Is the entry chained to one that was given up? */
bool follows_dropped(stoa_wallet *w, const struct client_outgoing *o);
/* The account's records from row->proven on are proven now: which are of entries saved here before?
 * The answer may have been lost, the entry was not. */
MUST_CHECK enum err note_own(stoa_wallet *w, const struct client_account *row);
/* Does the account's chain contradict saved entries? Marks what can never be accepted. */
stoa_result reconcile(stoa_wallet *w, struct account_view *v, stoa_error *error);
stoa_result local_head(stoa_wallet *w, struct account_view *v, struct chain *out,
                       stoa_error *error);
/* Wait until accepted transfers are credited. */
stoa_result settle(stoa_wallet *w, const struct hash *account, const struct hash *id,
                   uint64_t deadline, stoa_receipt_fn visit, void *context,
                   stoa_error *error);
stoa_result settle_items(stoa_wallet *w, const struct wire_frame *f, uint64_t deadline,
                         stoa_receipt_fn visit, void *context, stoa_error *error);
stoa_result sealed_hand_in(stoa_wallet *w, struct client_outgoing *o, uint64_t deadline,
                           stoa_error *error);

void record_fill(stoa_record *out, const struct entry *e, const struct record *r,
                 int64_t balance, const stoa_wallet *w);

static inline uint64_t deadline_of(const stoa_wallet *w, uint32_t timeout_ms)
{
    return mono_ms() + (timeout_ms ? timeout_ms : w->timeout_ms);
}

#endif
