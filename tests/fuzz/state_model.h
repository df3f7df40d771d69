/* The account rules a second time, from the text of the protocol and in another shape:
 * plain arrays, wide integers, a copy taken back on refusal, its own encoding of signed
 * messages and libcrypto's verdict over them. It knows nothing of how ledger/ is built.
 */
#ifndef TEST_FUZZ_STATE_MODEL_H
#define TEST_FUZZ_STATE_MODEL_H

#include "input.h"
#include "ledger/account.h"
#include "ledger/entry.h"
#include "ledger/kinds.h"

#define MODEL_SLOTS 2
#define MODEL_LIST 160 /* more than one input can make of anything */
#define MODEL_TERMS 512

struct model_chain {
    uint64_t next;
    struct hash tip;
    uint64_t lamport;
};

struct model_member {
    uint32_t number;
    struct pubkey root;
    uint64_t grants, rotations;
    wide position;
};

struct model_device {
    struct pubkey key;
    uint32_t member;
    struct model_chain chain;
};

struct model_invite {
    struct hash id;
    struct pubkey key;
    uint64_t expires, lamport;
};

struct model_split {
    struct hash id;
    size_t size;
    uint8_t terms[MODEL_TERMS]; /* the terms themselves, not their hash */
};

struct model_account {
    bool open;
    struct hash id;
    uint64_t written;
    wide balance;
    uint64_t residency;
    bool has_recovery, pending;
    struct pubkey recovery;
    struct hash begin;
    uint64_t begin_ms;
    struct model_chain recovery_chain, hub_chain;
    bool bound;
    uint64_t bound_chain;
    size_t bound_size;
    uint8_t bound_address[ADDRESS_BYTES_MAX];
    uint32_t joined; /* members that ever were */
    unsigned members, devices, revoked, invites, refs, nodes, splits;
    struct model_member member[MODEL_LIST];
    struct model_device device[MODEL_LIST];
    struct pubkey gone[MODEL_LIST];
    struct model_invite invite[MODEL_LIST];
    struct reference ref[MODEL_LIST]; /* all there ever were; the last 64 count */
    struct node_epoch node[MODEL_LIST];
    struct model_split split[MODEL_LIST];
};

struct model_item {
    struct hash payer, payee;
    int64_t amount;
    bool is_return;
};

struct model_hub {
    struct hash id, federation;
    const char *name;
    uint32_t slot;
    uint64_t written;
    struct model_chain chain;
    struct pubkey issuer, relay, log;
    wide accrued, adjusted, sent, settled;
    uint64_t next_in[MODEL_SLOTS], next_out[MODEL_SLOTS];
};

struct model_effects {
    unsigned count;
    struct model_item items[PAYEES_MAX];
    uint64_t seq[PAYEES_MAX];
    uint32_t to[PAYEES_MAX];
    bool settles, bounced;
    uint32_t from;
    uint64_t settled_seq;
};

/* Keys that may never be enrolled. */
#define MODEL_WEAK 3
extern const struct pubkey model_weak[MODEL_WEAK];

/* What the rules say of an entry, and what happens then. A refusal changes nothing. `a`
 * is the account the entry names, or an unopened one. */
enum err model_apply(struct model_account *a, struct model_hub *h, const struct entry *e,
                     uint64_t now_ms, struct model_effects *fx);
enum err model_hub_apply(struct model_hub *h, const struct entry *e,
                         struct model_effects *fx);
/* Aborts where the real states are not what the model says. */
void model_compare(const struct model_account *a, const struct account *real);
void model_compare_hub(const struct model_hub *h, const struct hub_account *real);

/* state_members.c */
enum err model_root_rotate(struct model_account *a, const struct model_hub *h,
                           const struct entry *e, const struct p_root_rotate *p,
                           uint64_t now_ms, bool by_recovery, int writer);
struct model_member *model_member_of(struct model_account *a, const struct pubkey *root);
bool model_is_known(const struct model_account *a, const struct model_hub *h,
                    const struct pubkey *key, uint64_t now_ms);
enum err model_may_be_device(const struct model_account *a, const struct model_hub *h,
                             const struct pubkey *key, uint64_t now_ms);
bool model_is_weak(const struct pubkey *key);
unsigned model_devices_of(const struct model_account *a, uint32_t member);
void model_enrol(struct model_account *a, const struct pubkey *key, uint32_t member,
                 const struct entry *e, uint64_t next);
void model_revoke_all(struct model_account *a, uint32_t member);
enum err model_members(struct model_account *a, const struct model_hub *h,
                       const struct entry *e, const struct payload *p, uint64_t now_ms,
                       bool by_recovery, int writer);

/* A signed message, encoded by hand. */
struct model_message {
    size_t size;
    uint8_t b[512];
};
void model_put_array(struct model_message *m, unsigned count);
void model_put_bin(struct model_message *m, const void *data, size_t size);
void model_put_uint(struct model_message *m, uint64_t v);
void model_put_str(struct model_message *m, const char *text, size_t size);
void model_put_nil(struct model_message *m);
bool model_signed(const struct model_message *m, const char *context,
                  const struct pubkey *key, const struct signature *sig);

#endif
