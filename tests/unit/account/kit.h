/* Signed entries for tests: keys by number, payloads of every kind that needs signatures,
 * and entries standing on the writer's chain. Everything is deterministic. What the kit
 * cannot build is a bug of the test and aborts. */
#ifndef TESTS_ACCOUNT_KIT_H
#define TESTS_ACCOUNT_KIT_H

#include "crypto/key.h"
#include "ledger/account.h"
#include "ledger/kinds.h"

#define KIT_ENTRY_BYTES 20480

/* `e` points into `bytes`: do not copy by value, and keep it while `e` is used. */
struct kit_entry {
    struct entry e;
    size_t size;
    uint8_t bytes[KIT_ENTRY_BYTES];
};

/* The n-th key, made on first use; freed by kit_close. Not thread-safe. */
const struct key *kit_key(uint32_t n);
struct pubkey kit_pub(uint32_t n);
/* Among the keys made so far; NULL: none of them. */
const struct key *kit_key_of(const struct pubkey *pub);
/* The root key of the member whose device the n-th key is in `a`. */
const struct key *kit_root_of(const struct account *a, uint32_t n);
void kit_close(void);
/* 32 bytes that name `n`, for node ids, federations, nonces. */
struct hash kit_hash(uint64_t n);

/* Encode `p` into the draft, sign, decode into out->e. The draft's payload is ignored. */
void kit_sign(struct kit_entry *out, const struct entry_draft *draft,
              const struct payload *p, const struct key *writer);
/* The next entry of `writer` in `a`, without refs. p->kind is the kind. The writer has to
 * have a chain there (account_chain). */
void kit_build(struct kit_entry *out, const struct account *a,
               const struct hub_account *h, const struct key *writer,
               const struct payload *p);
/* The next entry of the relay in the hub account. */
void kit_build_hub(struct kit_entry *out, const struct hub_account *h,
                   const struct key *relay, const struct payload *p);
/* An entry of a key that has no chain: seq 0, lamport and prev as given. */
void kit_build_first(struct kit_entry *out, const struct hash *account,
                     const struct hash *prev, uint64_t lamport, const struct key *writer,
                     const struct payload *p);

struct kit_log {
    struct hash federation;
    const char *hub;
    uint32_t slot, slots;
    const struct key *issuer, *relay, *log;
};
void kit_log_open(struct kit_entry *out, const struct kit_log *l);

struct kit_open {
    struct hash federation;
    const char *hub;
    const struct key *root, *device;
    const struct key *recovery; /* NULL: none */
    uint64_t residency;
    uint64_t nonce;
};
void kit_open(struct kit_entry *out, const struct kit_open *o);
/* As kit_open, with the first nonce from o->nonce on that puts the account into `slot`.
 */
void kit_open_in_slot(struct kit_entry *out, const struct kit_open *o, uint32_t slot,
                      uint32_t slots);

/* Payloads. `p` may be big: it is filled for its kind only. */
void kit_device_add(struct payload *p, const struct hash *account, const struct key *root,
                    const struct pubkey *device, uint64_t grant);
void kit_device_revoke(struct payload *p, const struct pubkey *device);
/* `by`: the root of the writer's member. */
void kit_invite(struct payload *p, const struct hash *account, const struct key *by,
                const struct pubkey *key, uint64_t expires_ms);
void kit_member_add(struct payload *p, const struct hash *account,
                    const struct hash *invite, const struct key *invite_key,
                    const struct key *root, const struct pubkey *device);
/* `by` as for kit_invite; the number is the one `root` has in `a`, 0 when it has none. */
void kit_member_remove(struct payload *p, const struct account *a, const struct key *by,
                       const struct pubkey *root);
/* how 0; and the base of the other two */
void kit_rotate(struct payload *p, const struct account *a, const struct key *old_root,
                const struct key *new_root);
void kit_rotate_by_members(struct payload *p, const struct account *a,
                           const struct pubkey *old_root, const struct key *new_root,
                           const struct key *const cosigners[], size_t count);
void kit_rotate_by_recovery(struct payload *p, const struct account *a,
                            const struct pubkey *old_root, const struct key *new_root,
                            const struct pubkey *device);
void kit_recovery_begin(struct payload *p);
void kit_recovery_cancel(struct payload *p, const struct hash *account,
                         const struct hash *begin, const struct key *root);
/* Start with kit_transfer, then kit_pay once or more; payees are kept sorted. */
void kit_transfer(struct payload *p);
void kit_pay(struct payload *p, const struct hash *payee, int64_t amount);
/* Terms by kit_terms, then kit_share; `raw` is filled by decoding only. */
void kit_terms(struct split_terms *t, const struct pubkey *payer, int64_t amount);
void kit_share(struct split_terms *t, const struct pubkey *root, int64_t share);
void kit_note(struct payload *p, const void *data, size_t size);
void kit_bind(struct payload *p, uint64_t chain, const char *address);
void kit_accrue(struct payload *p, const struct hash *node, uint64_t epoch,
                int64_t amount);
void kit_adjust(struct payload *p, int64_t delta);
void kit_hub_key(struct payload *p, const struct hub_account *h, enum hub_role role,
                 const struct key *old_key, const struct key *new_key);
/* Origins are kept in `origin`, which has to live as long as the payload. */
#define KIT_ORIGIN_ROOM (NOTE_NAME_MAX + 1)
void kit_credit(struct payload *p, const struct channel_item *item, const char *hub,
                char origin[KIT_ORIGIN_ROOM]);
void kit_bounce(struct payload *p, const struct channel_item *item, const char *hub,
                enum bounce_reason reason, char origin[KIT_ORIGIN_ROOM]);

#endif
