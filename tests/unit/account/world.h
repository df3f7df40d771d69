/* A hub of four slots in memory, with no sequencer: tests apply entries one by one. Every
 * apply compares digests before and after, so a refusal that changes anything fails
 * whatever test it happens in. */
#ifndef TESTS_ACCOUNT_WORLD_H
#define TESTS_ACCOUNT_WORLD_H

#include "kit.h"

#define WORLD_SLOTS 4
#define WORLD_ITEMS_MAX 4096
#define WORLD_HUB "hub.test"

/* Numbers of keys the world itself uses. */
enum { KEY_ISSUER = 1, KEY_RELAY, KEY_LOG, KEY_FREE = 100 };

struct world_slot {
    struct hub_account hub;
    uint64_t index;
    uint64_t lamport;
};

struct world {
    struct hash federation;
    uint64_t time_ms;
    enum view view;
    struct world_slot slots[WORLD_SLOTS];
    struct effects fx; /* of the last apply */
    size_t item_count; /* on channels, in the order they were put there */
    struct channel_item items[WORLD_ITEMS_MAX];
};

/* All slots open. `mem` NULL: the heap. */
void world_init(struct world *w);
void world_close(struct world *w);

/* Slot an entry's account is in. */
struct world_slot *world_slot_of(struct world *w, const struct hash *account);

/* Apply to an account, or to the hub account of `slot`. Asserts by cmocka that a refusal
 * changed nothing and that success changed the digest. */
enum err world_apply(struct world *w, struct account *a, const struct entry *e);
enum err world_apply_hub(struct world *w, uint32_t slot, const struct entry *e);

/* Build the writer's next entry with this payload and apply it. */
enum err world_do(struct world *w, struct account *a, uint32_t key,
                  const struct payload *p);
/* As world_do for the hub account. */
enum err world_do_hub(struct world *w, uint32_t slot, uint32_t key,
                      const struct payload *p);

/* Open an account: root key `key`, device `key + 1`, recovery `key + 2` when wanted. */
void world_open(struct world *w, struct account *a, uint32_t slot, uint32_t key,
                bool recovery);
/* Points from the issuer. */
void world_fund(struct world *w, struct account *a, int64_t amount);
/* Invite and join: root `key`, device `key + 1`, invite key `key + 2`; by `inviter`'s
 * device. */
void world_join(struct world *w, struct account *a, uint32_t inviter, uint32_t key);
/* Take the oldest item off the channels; false when there is none. */
bool world_take(struct world *w, struct channel_item *item);

struct hash world_digest(const struct account *a);
struct hash world_hub_digest(const struct hub_account *h);

/* Expect a code, and say which one came instead. */
#define EXPECT(code, call) expect_err((code), (call), __FILE__, __LINE__)
#define OK(call) EXPECT(ERR_OK, call)
void expect_err(enum err expected, enum err found, const char *file, int line);

#endif
