/* What the state fuzzer's files share: both worlds, and the steps that change them. */
#ifndef TEST_FUZZ_STATE_STEPS_H
#define TEST_FUZZ_STATE_STEPS_H

#include "input.h"
#include "ledger/mp.h"
#include "state_model.h"
#include "tests/unit/account/kit.h"

#define STATE_HUB "hub.test"
#define STATE_ACCOUNTS 4 /* account i is in slot i % MODEL_SLOTS */
#define STATE_STEPS 100
#define STATE_ITEMS 512
#define STATE_KEPT 16
/* Numbers of keys: hub's and spare ones for the hub, then the pool people's keys are
 * from. */
enum { STATE_ISSUER = 1, STATE_RELAY, STATE_LOG, STATE_POOL = 8, STATE_KEYS = 48 };

struct state_world {
    uint64_t time_ms;
    struct pubkey pubs[STATE_KEYS];
    struct model_hub hubs[MODEL_SLOTS];
    struct hub_account real_hubs[MODEL_SLOTS];
    uint64_t index[MODEL_SLOTS];
    struct model_account accounts[STATE_ACCOUNTS];
    struct account real[STATE_ACCOUNTS];
    unsigned items, taken; /* on channels, in order; items before `taken` were tried */
    struct channel_item item[STATE_ITEMS];
    unsigned kept; /* entries seen, to be shown again */
    struct {
        uint32_t account;
        size_t size;
        uint8_t bytes[2048];
    } entry[STATE_KEPT];
};
extern struct state_world world;

/* Apply by both and compare everything. */
enum err state_apply(uint32_t account, const struct entry *e);
enum err state_apply_hub(uint32_t slot, const struct entry *e);

/* One step; false: the caller is to reload the states. */
bool state_step(struct input *in);
/* A payload of `kind` for account n out of the input, mostly a right one. `key`: number
 * of the key that should sign it. */
void state_payload(struct input *in, uint32_t n, uint64_t kind, struct payload *p,
                   uint32_t *key);
/* Number of a key of the pool, of a member, of a device; the number of a public key. */
uint32_t state_any_key(struct input *in, uint32_t n);
uint32_t state_number_of(const struct pubkey *key);
struct pubkey state_any_pub(struct input *in, uint32_t n);

#endif
