/* libstoa: the thin client of a Stoa hub. A wallet is a directory with key files, a local
 * database of the records it follows, and the entries it signed. Everything the hub says
 * is checked before it is believed: receipts, proofs, checkpoints, every rule of the
 * ledger.
 *
 * C99 and C++ clean. No global state; never prints, never exits, installs no handlers.
 * Threads: one thread at a time per wallet; different wallets are independent. Callbacks
 * run on the calling thread and must not call back into the same wallet unless said so.
 * Structs with a `size` member: set it to sizeof before the call, so that later versions
 * can add members. Text is UTF-8. Amounts are micro-points (1 point = 1,000,000). Guide:
 * docs/architecture/client.md. */
#ifndef STOA_H
#define STOA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STOA_API __attribute__((visibility("default")))
#else
#define STOA_API
#endif

#define STOA_ID_BYTES 32
#define STOA_KEY_SEED_BYTES 32
#define STOA_HUB_NAME_MAX 128
#define STOA_ADDRESS_MAX 200 /* text of an address, final zero included */
#define STOA_URL_MAX 512
#define STOA_NAME_MAX 64    /* a local name of an account */
#define STOA_TOKEN_MAX 512  /* invite token, device request: text with final zero */
#define STOA_REQUEST_MAX 64 /* a caller's own id of a request */
#define STOA_PAYEES_MAX 64
#define STOA_SHARES_MAX 100
#define STOA_MEMO_MAX 32768
#define STOA_NOTE_MAX 65000
#define STOA_ENVELOPE_MAX 65471
#define STOA_PASSPHRASE_MAX 1024
#define STOA_PROOF_MAX 200000 /* text of a proof, final zero included */
#define STOA_TIMEOUT_DEFAULT_MS 10000

/* Also the exit code a command line should give. */
typedef enum stoa_result {
    STOA_OK = 0,
    STOA_NO = 1,           /* done, and the answer is no: a check failed, a finding */
    STOA_INTERRUPTED = 2,  /* not finished; run it again to go on */
    STOA_UNKNOWN = 3,      /* the hub may or may not have it: call stoa_resume */
    STOA_REFUSED = 4,      /* by a rule of the ledger */
    STOA_USAGE = 64,       /* arguments are wrong */
    STOA_DATA = 65,        /* input is wrong */
    STOA_UNREACHABLE = 69, /* no hub, no answer; nothing happened; safe to retry */
    STOA_BUG = 70,
    STOA_LIMITED = 75, /* rate-limited or busy; retry_after_ms says when */
    STOA_DENIED = 77,  /* not allowed: passphrase, permissions, residency */
    STOA_CONFIG = 78   /* the wallet's own files are wrong */
} stoa_result;

typedef enum stoa_retry {
    STOA_RETRY_NO = 0,   /* the same will be refused again */
    STOA_RETRY_SAME = 1, /* the same bytes again, later (stoa_resume does) */
    STOA_RETRY_AGAIN = 2 /* build anew: call the function again */
} stoa_retry;

/* Why something did not work. Filled whenever a function returns anything but STOA_OK;
 * otherwise untouched. NULL may be passed. Plain value, nothing to release. */
typedef struct stoa_error {
    size_t size;
    int code; /* number in the protocol's table of errors */
    stoa_retry retry;
    uint64_t retry_after_ms; /* 0: unknown */
    char word[24];           /* fixed word of the code, e.g. "balance" */
    char message[512];       /* a sentence: what, with the state seen */
    char hint[256];          /* what to try next; "" when there is nothing */
} stoa_error;

typedef struct stoa_id {
    uint8_t b[STOA_ID_BYTES];
} stoa_id; /* an entry, an account, or an Ed25519 public key */

typedef struct stoa_wallet stoa_wallet;

/* ---- words ------------------------------------------------------------------------- */

STOA_API const char *stoa_version(void);
/* The i-th row of the table of error codes; false past the end. Static strings. */
STOA_API bool stoa_error_row(unsigned i, int *code, const char **word, const char **text,
                             stoa_retry *retry);
/* "12.5" -> 12500000; strict. Format writes at least two decimals; out has 32 room. */
STOA_API bool stoa_amount_parse(const char *text, int64_t *micro);
STOA_API void stoa_amount_format(char out[32], int64_t micro);
/* "stoa1..@hub". hub NULL or "": without it. out has STOA_ADDRESS_MAX room. */
STOA_API void stoa_address_format(char *out, const stoa_id *account, const char *hub);
/* hub (may be NULL) has STOA_HUB_NAME_MAX + 1 room; "" when none is named. */
STOA_API bool stoa_address_parse(const char *text, stoa_id *account, char *hub);
/* 64 lower-case hex digits; out has 65 room. */
STOA_API void stoa_id_format(char out[65], const stoa_id *id);
STOA_API bool stoa_id_parse(const char *text, stoa_id *id);
STOA_API const char *stoa_kind_word(unsigned kind); /* "transfer", ..; "?" */
/* Node name to the node id that accruals carry. */
STOA_API stoa_id stoa_node_id(const char *name);

/* ---- wallets ----------------------------------------------------------------------- */

/* Give the passphrase of a key file. Write it with a final zero to out[cap]; return false
 * to give up. role: "device", "root", "recovery". `again`: a wrong one was given before.
 * The library wipes `out` after use. Asked at most once per key and open wallet. */
typedef bool (*stoa_passphrase_fn)(void *context, const char *role, bool again, char *out,
                                   size_t cap);

#define STOA_PLAINTEXT_KEYS 1u /* create: key files without encryption; spell it out */
#define STOA_QUICK_KDF 2u      /* create: cheap key stretching, for tests and demos */
#define STOA_DEVICE_ONLY 4u /* create: no root key; a device to be enrolled elsewhere */
#define STOA_TRUST_FIRST_USE                                                             \
    8u /* connect: believe and record the first hub identity seen */
#define STOA_ANONYMOUS                                                                     \
    16u /* connect: do not say who we are, so no passphrase is asked; pinned accounts      \
           cannot be read then, and a hub may refuse to take entries */

typedef struct stoa_options {
    size_t size;
    unsigned flags;
    stoa_passphrase_fn passphrase; /* NULL: encrypted keys cannot be used */
    void *passphrase_context;
    const char
        *fingerprint;    /* hub identity to insist on, 64 hex digits; NULL: recorded */
    const char *ca_file; /* extra roots for wss://; NULL: the system's */
    const uint8_t *root_seed;   /* create: restore this root key; NULL: a fresh one */
    const uint8_t *device_seed; /* create: likewise */
    uint32_t timeout_ms;        /* default for calls; 0: STOA_TIMEOUT_DEFAULT_MS */
} stoa_options;

/* Make a wallet in `dir` (created 0700; must be missing or empty of wallets) with its key
 * files, written whole and never over something. Does not open it. */
STOA_API stoa_result stoa_wallet_create(const char *dir, const stoa_options *options,
                                        stoa_error *error);
/* Open; *out is released by stoa_wallet_close. Locks the directory against a second
 * process. A damaged database is STOA_CONFIG with its file named; keys are never touched.
 */
STOA_API stoa_result stoa_wallet_open(stoa_wallet **out, const char *dir,
                                      const stoa_options *options, stoa_error *error);
/* Saves local checkpoints, wipes keys, releases everything. NULL is allowed. */
STOA_API void stoa_wallet_close(stoa_wallet *w);
/* Forget the local database (renamed beside, not deleted) so that it is rebuilt from the
 * hub. Entries signed but not known to be in the ledger are lost with it: says how many
 * in *unresolved (-1: unreadable) and does nothing when that is not 0 unless `force`. */
STOA_API stoa_result stoa_wallet_rebuild(const char *dir, bool force, int *unresolved,
                                         stoa_error *error);

typedef struct stoa_wallet_info {
    size_t size;
    stoa_id device; /* public key that signs entries */
    bool has_root, encrypted;
    stoa_id root;
    char url[STOA_URL_MAX];          /* "" before the first connect */
    char hub[STOA_HUB_NAME_MAX + 1]; /* "" before the first connect */
    stoa_id federation;
    char fingerprint[65]; /* SHA-256 over the ids of all log_opens: the hub's identity */
    unsigned slots;
    unsigned accounts;
    unsigned unresolved; /* entries saved whose outcome is not known */
    bool first_use;      /* the fingerprint was taken as the hub gave it, compared with nothing */
    uint64_t met_ms;     /* when it was recorded, this machine's clock; 0: not known */
} stoa_wallet_info;
STOA_API void stoa_wallet_get(const stoa_wallet *w, stoa_wallet_info *out);

/* Copy a secret seed out (paper backup). role "device" or "root". Wipe it afterwards. */
STOA_API stoa_result stoa_key_export(stoa_wallet *w, const char *role,
                                     uint8_t seed[STOA_KEY_SEED_BYTES],
                                     stoa_error *error);
/* Is the passphrase that the callback gives right for this role? STOA_OK or STOA_DENIED.
 */
STOA_API stoa_result stoa_key_check(stoa_wallet *w, const char *role, stoa_error *error);
/* Encrypt all key files of the wallet anew under `passphrase` (NULL: plain text). */
STOA_API stoa_result stoa_key_rewrap(stoa_wallet *w, const char *passphrase,
                                     stoa_error *error);
/* Make a recovery key in a file of its own, kept elsewhere by the holder; *key is given
 * to stoa_account_open. passphrase NULL: plain text. Never overwrites. */
STOA_API stoa_result stoa_recovery_key_create(const char *path, const char *passphrase,
                                              stoa_id *key, stoa_error *error);

/* ---- hub --------------------------------------------------------------------------- */

typedef struct stoa_limits {
    size_t size;
    uint64_t frame_bytes, entry_bytes, entries_a_frame, subscriptions, inflight_entries,
        page_records, entries_a_second, burst, idle_ms, unsent_bytes;
} stoa_limits;

/* Connect and greet. url NULL: the remembered one. The hub must prove the identity
 * recorded (or given, or met for the first time with STOA_TRUST_FIRST_USE), and every
 * checkpoint it shows must agree with the newest one known: else STOA_NO with code "fork"
 * or "behind", both signed notes kept as evidence, and no connection. timeout_ms 0: the
 * wallet's. */
STOA_API stoa_result stoa_connect(stoa_wallet *w, const char *url, uint32_t timeout_ms,
                                  stoa_error *error);
STOA_API void stoa_disconnect(stoa_wallet *w);
STOA_API bool stoa_connected(const stoa_wallet *w);
/* Limits in force for this connection. */
STOA_API stoa_result stoa_limits_get(stoa_wallet *w, stoa_limits *out, stoa_error *error);
/* Newest checkpoint known of a slot: the signed note, borrowed until the next call. */
typedef struct stoa_checkpoint {
    size_t size;
    unsigned slot;
    uint64_t tree_size;
    stoa_id root;
    const char *note;
    size_t note_size;
    uint64_t seen_ms; /* wall clock when this wallet first saw it */
} stoa_checkpoint;
STOA_API stoa_result stoa_checkpoint_get(stoa_wallet *w, unsigned slot, bool ask_hub,
                                         stoa_checkpoint *out, stoa_error *error);
/* Evidence kept: two notes that cannot both be true. i counts from 0; false past the end.
 */
typedef struct stoa_evidence {
    size_t size;
    unsigned slot;
    uint64_t at_ms;
    const char *known, *shown; /* notes with final zero, borrowed until the next call */
    const char *what;
} stoa_evidence;
STOA_API bool stoa_evidence_get(stoa_wallet *w, unsigned i, stoa_evidence *out);

/* ---- accounts ---------------------------------------------------------------------- */

typedef struct stoa_account {
    size_t size;
    stoa_id id;
    char name[STOA_NAME_MAX + 1];
    char address[STOA_ADDRESS_MAX];
    unsigned slot;
    bool pinned;
    bool synced;       /* at least its open entry is here */
    bool can_write;    /* this wallet's device is enrolled */
    uint64_t position; /* records known */
    uint64_t index;    /* of the newest record in its slot's log */
    unsigned members, devices;
    bool bound;
    unsigned chain; /* of the on-chain register, when bound */
    char register_address[129];
    bool recovery_pending;
    uint64_t recovery_ready_ms; /* hub time from which it can be finished */
} stoa_account;

STOA_API unsigned stoa_account_count(const stoa_wallet *w);
STOA_API stoa_result stoa_account_at(stoa_wallet *w, unsigned i, stoa_account *out,
                                     stoa_error *error);
/* By local name, address or hex id; NULL or "": the only one there is. */
STOA_API stoa_result stoa_account_find(stoa_wallet *w, const char *text,
                                       stoa_account *out, stoa_error *error);
/* Follow an account that exists: one this wallet's device was enrolled in, or one to
 * read. */
STOA_API stoa_result stoa_account_follow(stoa_wallet *w, const char *address,
                                         const char *name, stoa_account *out,
                                         stoa_error *error);
STOA_API stoa_result stoa_account_rename(stoa_wallet *w, const stoa_id *account,
                                         const char *name, stoa_error *error);

/* Offline answer from what is known; call stoa_sync before for news. */
typedef struct stoa_balance {
    size_t size;
    int64_t settled;     /* as of `index` */
    int64_t pending_out; /* signed here, not known to be accepted */
    int64_t pending_in;  /* sent by accounts of this wallet, not credited yet */
    int64_t position;    /* own split position, when a member */
    uint64_t index;      /* newest record of the account known */
    uint64_t tree_size;  /* of the checkpoint that proves it */
    uint64_t checked_ms; /* wall clock of the last sync */
    uint64_t age_ms;     /* since then */
    uint64_t unproven;   /* newest records, not yet proven to be in the log */
} stoa_balance;
STOA_API stoa_result stoa_balance_get(stoa_wallet *w, const stoa_id *account,
                                      stoa_balance *out, stoa_error *error);

typedef struct stoa_member {
    size_t size;
    unsigned number;
    stoa_id root;
    bool own;
    unsigned devices;
    int64_t position;
} stoa_member;
STOA_API bool stoa_member_at(stoa_wallet *w, const stoa_id *account, unsigned i,
                             stoa_member *out);
typedef struct stoa_device {
    size_t size;
    stoa_id key;
    unsigned member;
    bool own, revoked;
    uint64_t entries;
} stoa_device;
/* Enrolled devices first, revoked ones after them. */
STOA_API bool stoa_device_at(stoa_wallet *w, const stoa_id *account, unsigned i,
                             stoa_device *out);

/* ---- writing ----------------------------------------------------------------------- */

typedef enum stoa_state {
    STOA_SAVED = 0,    /* signed and on this disk */
    STOA_SENT = 1,     /* given to the hub; outcome not known */
    STOA_ACCEPTED = 2, /* durable at home; receipt verified */
    STOA_CREDITED = 3, /* every payee settled (other kinds: same as accepted) */
    STOA_DROPPED = 4   /* refused, or can never be accepted any more */
} stoa_state;

/* How to write. NULL means all defaults. */
typedef struct stoa_how {
    size_t size;
    const char *request; /* caller's own id: the same one again gives the same entry */
    stoa_state wait;     /* up to which state; STOA_SAVED: sign offline, do not send;
                            0-initialised structs want STOA_WAIT_DEFAULT below */
    uint32_t timeout_ms; /* 0: the wallet's */
    const void *memo;    /* sealed to the members' devices (and those given) */
    size_t memo_size;
    const stoa_id *memo_keys; /* more devices that may read it, e.g. the payee's */
    size_t memo_key_count;
    bool fresh; /* a second equal payment although one is unresolved */
} stoa_how;
/* Defaults: wait until credited, wallet's timeout. */
#define STOA_HOW_INIT                                                                    \
    {                                                                                    \
        sizeof(stoa_how), NULL, STOA_CREDITED, 0, NULL, 0, NULL, 0, false                \
    }

typedef struct stoa_receipt {
    size_t size;
    stoa_id id;
    stoa_id account;
    unsigned kind;
    stoa_state state;
    int code;       /* STOA_DROPPED: why, number in the table of errors */
    bool resumed;   /* an entry saved earlier, not a new one */
    bool hubs_word; /* credited as the hub says; the credit is not readable by us */
    bool bounced;   /* some payee sent it back */
    unsigned payees, payees_left;
    int64_t amount; /* transfers: total */
    unsigned slot;
    uint64_t index, position, hub_lamport, hub_time_ms;
    uint64_t tree_size; /* checkpoint that proves it */
    uint64_t saved_ms;  /* wall clock */
    uint64_t seq;
} stoa_receipt;

/* All writing functions: build the entry, save it durably, send it, verify the receipt
 * (checkpoint signature, leaf, inclusion, consistency with the newest checkpoint known),
 * and wait as told. `receipt` may be NULL; it is filled as soon as the entry is saved,
 * also when the result is STOA_UNKNOWN. Without a connection only wait == STOA_SAVED
 * works. STOA_OK           the wanted state is reached STOA_UNKNOWN      sent, and no
 * trustworthy answer: stoa_resume finds out, never pays twice STOA_INTERRUPTED  accepted
 * for certain, but not credited in time: stoa_resume waits on STOA_REFUSED      not in
 * the ledger, and the entry will not be sent again STOA_LIMITED      not in the ledger
 * yet; saved: stoa_resume sends it again STOA_NO           the hub's receipt does not
 * verify (fork, bad proof): trust nothing */

/* Open a new account for this wallet's root key and device. *id is its id. */
typedef struct stoa_open_params {
    size_t size;
    const char *name;        /* local name */
    bool pinned;             /* data stays in the hub's region */
    const stoa_id *recovery; /* public key of a recovery key; NULL: none */
} stoa_open_params;
STOA_API stoa_result stoa_account_open(stoa_wallet *w, const stoa_open_params *p,
                                       const stoa_how *how, stoa_id *id,
                                       stoa_receipt *receipt, stoa_error *error);

typedef struct stoa_payee {
    stoa_id account;
    const char *hub; /* NULL or "": this hub */
    int64_t amount;
} stoa_payee;
/* Pay. Payees in any order, each once. An equal payment that did not reach the state
 * waited for is resumed, not made a second time (unless how->fresh or a how->request). */
STOA_API stoa_result stoa_send(stoa_wallet *w, const stoa_id *account,
                               const stoa_payee payees[], size_t payee_count,
                               const stoa_how *how, stoa_receipt *receipt,
                               stoa_error *error);
STOA_API stoa_result stoa_note(stoa_wallet *w, const stoa_id *account, const void *data,
                               size_t size, const stoa_how *how, stoa_receipt *receipt,
                               stoa_error *error);

typedef struct stoa_share {
    stoa_id root; /* a member */
    int64_t amount;
} stoa_share;
typedef struct stoa_terms {
    stoa_id payer; /* member who paid */
    int64_t amount;
    const stoa_share *shares; /* sum to amount; any order, each member once */
    size_t share_count;
} stoa_terms;
STOA_API stoa_result stoa_split(stoa_wallet *w, const stoa_id *account,
                                const stoa_terms *terms, const stoa_how *how,
                                stoa_receipt *receipt, stoa_error *error);
/* The old terms are looked up in the local records. `terms` NULL: void it. */
STOA_API stoa_result stoa_split_change(stoa_wallet *w, const stoa_id *account,
                                       const stoa_id *split, const stoa_terms *terms,
                                       const stoa_how *how, stoa_receipt *receipt,
                                       stoa_error *error);
/* Bind the on-chain register: chain 0..9, address 1..128 bytes. */
STOA_API stoa_result stoa_bind(stoa_wallet *w, const stoa_id *account, unsigned chain,
                               const char *address, const stoa_how *how,
                               stoa_receipt *receipt, stoa_error *error);

/* Devices. The new device makes a request (text, checksummed, nothing secret); an old one
 * with the root key adds it; then the new one follows the account. */
STOA_API stoa_result stoa_device_request(stoa_wallet *w, char out[STOA_TOKEN_MAX],
                                         stoa_error *error);
STOA_API bool stoa_device_request_parse(const char *text, stoa_id *device);
STOA_API stoa_result stoa_device_add(stoa_wallet *w, const stoa_id *account,
                                     const stoa_id *device, const stoa_how *how,
                                     stoa_receipt *receipt, stoa_error *error);
STOA_API stoa_result stoa_device_revoke(stoa_wallet *w, const stoa_id *account,
                                        const stoa_id *device, const stoa_how *how,
                                        stoa_receipt *receipt, stoa_error *error);

/* Members. Inviting and removing need this member's root key, as adding a device does.
 * The token is a secret: who holds it first can join. ttl_ms at most 30 days. */
STOA_API stoa_result stoa_invite(stoa_wallet *w, const stoa_id *account, uint64_t ttl_ms,
                                 char token[STOA_TOKEN_MAX], const stoa_how *how,
                                 stoa_receipt *receipt, stoa_error *error);
STOA_API stoa_result stoa_join(stoa_wallet *w, const char *token, const char *name,
                               const stoa_how *how, stoa_id *account,
                               stoa_receipt *receipt, stoa_error *error);
STOA_API stoa_result stoa_member_remove(stoa_wallet *w, const stoa_id *account,
                                        const stoa_id *root, const stoa_how *how,
                                        stoa_receipt *receipt, stoa_error *error);

/* Replace this member's root key by a fresh one (saved before the entry is). */
STOA_API stoa_result stoa_root_rotate(stoa_wallet *w, const stoa_id *account,
                                      const stoa_how *how, stoa_receipt *receipt,
                                      stoa_error *error);
/* A member who lost the root: others sign for the new one. The proposal (text) goes to
 * the co-signers; each gives back a proof (text); then the rotation is written with them.
 */
STOA_API stoa_result stoa_rotate_propose(stoa_wallet *w, const stoa_id *account,
                                         const stoa_id *old_root,
                                         char out[STOA_TOKEN_MAX], stoa_error *error);
STOA_API stoa_result stoa_rotate_cosign(stoa_wallet *w, const char *proposal,
                                        char out[STOA_TOKEN_MAX], stoa_error *error);
STOA_API stoa_result stoa_rotate_finish(stoa_wallet *w, const char *proposal,
                                        const char *const proofs[], size_t proof_count,
                                        const stoa_how *how, stoa_receipt *receipt,
                                        stoa_error *error);
/* Recovery: begin with the recovery key's file; wait 72 h of hub time; finish with it:
 * this wallet's root key and device become the founder's. Any root key of a member can
 * cancel. */
STOA_API stoa_result stoa_recovery_begin(stoa_wallet *w, const stoa_id *account,
                                         const char *key_path, const stoa_how *how,
                                         stoa_receipt *receipt, stoa_error *error);
STOA_API stoa_result stoa_recovery_finish(stoa_wallet *w, const stoa_id *account,
                                          const char *key_path, const stoa_how *how,
                                          stoa_receipt *receipt, stoa_error *error);
STOA_API stoa_result stoa_recovery_cancel(stoa_wallet *w, const stoa_id *account,
                                          const stoa_how *how, stoa_receipt *receipt,
                                          stoa_error *error);

/* Batches: between begin and end, writing with wait == STOA_SAVED goes into one durable
 * save (thousands of entries a second); then stoa_resume sends them pipelined. end(false)
 * forgets them all. Nothing may be sent in between. */
STOA_API stoa_result stoa_batch_begin(stoa_wallet *w, stoa_error *error);
STOA_API stoa_result stoa_batch_end(stoa_wallet *w, bool keep, stoa_error *error);

/* Called for each entry whose state changed. Return false to stop. */
typedef bool (*stoa_receipt_fn)(void *context, const stoa_receipt *receipt);
/* Send every saved but unresolved entry again, the same bytes, pipelined and in order,
 * and wait as told. account NULL: all. id NULL: all of the account. The worst result
 * wins. */
STOA_API stoa_result stoa_resume(stoa_wallet *w, const stoa_id *account,
                                 const stoa_id *id, stoa_state wait, uint32_t timeout_ms,
                                 stoa_receipt_fn visit, void *context, stoa_error *error);
/* Entries written here, newest first; account NULL: all; `unresolved`: only those saved,
 * sent, or accepted and not credited. */
STOA_API stoa_result stoa_outgoing(stoa_wallet *w, const stoa_id *account,
                                   bool unresolved, stoa_receipt_fn visit, void *context,
                                   stoa_error *error);
/* What is known of one entry written here; STOA_NO when there is none. */
STOA_API stoa_result stoa_outgoing_find(stoa_wallet *w, const stoa_id *id,
                                        stoa_receipt *out, stoa_error *error);
/* The signed bytes of an entry written or followed here: for files, QR codes, other
 * couriers. out has STOA_ENVELOPE_MAX room. */
STOA_API stoa_result stoa_entry_bytes(stoa_wallet *w, const stoa_id *id, uint8_t *out,
                                      size_t *size, stoa_error *error);
/* Hand in bytes signed elsewhere (by any wallet). Checked, sent, receipt verified. */
STOA_API stoa_result stoa_submit(stoa_wallet *w, const void *envelope, size_t size,
                                 uint32_t timeout_ms, stoa_receipt *receipt,
                                 stoa_error *error);
/* Give up an entry that was saved and never sent. One that was sent cannot be dropped. */
STOA_API stoa_result stoa_drop(stoa_wallet *w, const stoa_id *id, stoa_error *error);

/* ---- reading ----------------------------------------------------------------------- */

/* Fetch, verify and apply what is new. account NULL: all. */
STOA_API stoa_result stoa_sync(stoa_wallet *w, const stoa_id *account,
                               uint32_t timeout_ms, stoa_error *error);

typedef struct stoa_record {
    size_t size;
    stoa_id id;
    stoa_id account;
    unsigned kind;
    const char *kind_word;
    stoa_id device;
    uint64_t seq, lamport, time_ms; /* the writer's remark */
    unsigned slot;
    uint64_t index, position, hub_lamport, hub_time_ms;
    int64_t delta;    /* what it did to the balance */
    int64_t balance;  /* after it */
    bool by_hub, own; /* own: by this wallet's device */
    unsigned
        party_count; /* transfer: payees; credit: 1, the account is not named by it */
    stoa_id cause;   /* credit: the transfer; accrue: the node id */
    uint64_t epoch;  /* accrue */
    bool is_return;  /* credit: money that came back */
    bool has_memo;
    uint64_t memo_size;
    const uint8_t *payload; /* canonical MessagePack, borrowed for the call */
    size_t payload_size;
    const uint8_t *envelope; /* the whole entry as signed, borrowed for the call */
    size_t envelope_size;
} stoa_record;
typedef bool (*stoa_record_fn)(void *context, const stoa_record *record);

/* Local records of an account from position `from`, at most `max` (0: all), in order. */
STOA_API stoa_result stoa_history(stoa_wallet *w, const stoa_id *account, uint64_t from,
                                  uint64_t max, stoa_record_fn visit, void *context,
                                  stoa_error *error);
/* One record by entry id; visit is called at most once. STOA_NO: not known here. */
STOA_API stoa_result stoa_record_find(stoa_wallet *w, const stoa_id *id,
                                      stoa_record_fn visit, void *context,
                                      stoa_error *error);
/* Payee i of a transfer record, or share i of a split (account: member root). */
STOA_API bool stoa_record_party(const stoa_record *r, unsigned i, stoa_id *account,
                                int64_t *amount);

/* Follow live: every new record of the account once, verified, in order, from what is
 * known on. Returns STOA_OK after `for_ms` (0: until visit returns false) or when visit
 * stops. */
STOA_API stoa_result stoa_watch(stoa_wallet *w, const stoa_id *account, uint32_t for_ms,
                                stoa_record_fn visit, void *context, stoa_error *error);

/* A memo that one of this wallet's keys can read. out has STOA_MEMO_MAX room. */
STOA_API stoa_result stoa_memo_get(stoa_wallet *w, const stoa_id *entry, uint8_t *out,
                                   size_t *size, stoa_error *error);

/* A proof of one record that verifies alone, offline: C2SP tlog-proof text, the leaf in
 * its extra data with the envelope. Needs a connection. out has STOA_PROOF_MAX
 * room. */
STOA_API stoa_result stoa_proof_get(stoa_wallet *w, const stoa_id *entry, char *out,
                                    stoa_error *error);
/* The same under the newest checkpoint that the hub's witnesses have cosigned. */
STOA_API stoa_result stoa_proof_get_cosigned(stoa_wallet *w, const stoa_id *entry, char *out,
                                             stoa_error *error);
/* What the hub says the newest record of an account is, signed by it, as one text that stands
 * alone ("stoa-head/v1", docs/PROTOCOL.md): kept, the log can be held to it later, by
 * stoa-audit verify --head. Where this wallet has the account's records the head is compared
 * with them: another history is STOA_NO with code "fork", `text` is given all the same, and
 * evidence is kept in the wallet's folder. Needs a connection. `text` has STOA_HEAD_MAX room and
 * is empty when there is none. */
#define STOA_HEAD_MAX ((1u << 20) + 1)
typedef struct stoa_head {
    size_t size; /* set by the caller: sizeof */
    stoa_id account;
    unsigned slot;
    uint64_t position;  /* records of the account */
    uint64_t tree_size; /* of the slot's log when it was said */
    stoa_id head;       /* over all of them */
    bool compared;      /* with this wallet's own records, and the same */
} stoa_head;
STOA_API stoa_result stoa_head_get(stoa_wallet *w, const stoa_id *account, char *text,
                                   stoa_head *out, stoa_error *error);
/* Verify the text of a proof. `vkey`: the slot's log key as text, NULL: the one this wallet knows
 * for the origin (w may be NULL when vkey is given). STOA_OK or STOA_NO. */
STOA_API stoa_result stoa_proof_check(stoa_wallet *w, const char *vkey, const char *text,
                                      size_t size, stoa_record_fn visit, void *context,
                                      stoa_error *error);

typedef enum stoa_verify_mode {
    STOA_VERIFY_TIP = 0, /* chains, Merkle parts, last signature of every key */
    STOA_VERIFY_FULL = 1 /* every signature */
} stoa_verify_mode;
typedef struct stoa_verify_report {
    size_t size;
    uint64_t records, signatures;
    uint64_t position, index; /* proven up to here */
    uint64_t tree_size;
    uint64_t bad_position; /* of the first bad record, with STOA_NO */
    stoa_id state;         /* digest of the account's state */
    uint64_t elapsed_us;
    bool inclusion; /* the newest record is in the tree of the checkpoint (proof was had)
                     */
    bool rebuilt;   /* a damaged local checkpoint was replaced */
} stoa_verify_report;
/* done, total: records. Return false to stop (STOA_INTERRUPTED). */
typedef bool (*stoa_progress_fn)(void *context, uint64_t done, uint64_t total);
/* Replay an account from its first record over the bytes on this disk, and compare with
 * the proven head. threads 0: all cores. With a connection the inclusion proof is asked
 * anew. */
STOA_API stoa_result stoa_verify(stoa_wallet *w, const stoa_id *account,
                                 stoa_verify_mode mode, unsigned threads,
                                 stoa_progress_fn progress, void *context,
                                 stoa_verify_report *report, stoa_error *error);

/* Bring records in from a file of another wallet (same hub), from stoa_record.envelope
 * and its fields, in order of position. They are applied and must chain; they count as
 * proven only after the next stoa_sync. position must be the next one. */
typedef struct stoa_import_record {
    size_t size;
    uint64_t index, position, hub_lamport, hub_time_ms;
    const uint8_t *envelope;
    size_t envelope_size;
} stoa_import_record;
STOA_API stoa_result stoa_import(stoa_wallet *w, const stoa_id *account,
                                 const stoa_import_record records[], size_t count,
                                 stoa_error *error);

#ifdef __cplusplus
}
#endif
#endif
