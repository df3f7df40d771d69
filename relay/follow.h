/* The slots that other relays of this hub sequence, as this one shows them: a thread that
 * learns of their commits from the bus (federation/bus.h) or, when that is silent, gone or
 * lying, by asking the store every region.poll_ms, replays the records, and posts the events
 * that subscriptions live on. With it every relay answers for every slot.
 *
 * It also keeps the *view* of every slot: how much of it this relay shows. Readers read no
 * further. The view never gets smaller, and when it grows the set of pinned accounts already
 * knows whose records are new, whoever committed them.
 *
 * A hub of one process has none of this: relay->follow is NULL, and every function here may be
 * called with it. Design: docs/architecture/region.md, "Following". */
#ifndef RELAY_FOLLOW_H
#define RELAY_FOLLOW_H

#include "relay/relay.h"

#define FOLLOW_NEWS_MAX 2048u         /* messages not looked at yet; more are dropped .. */
#define FOLLOW_NEWS_BYTES (32u << 20) /* .. and their slots looked up in the store */
#define FOLLOW_EVENT_RECORDS 4096u    /* of one event; with more, subscribers read the store */
#define FOLLOW_EVENT_BYTES (8u << 20)
#define FOLLOW_TURN_MS 250u      /* longest sleep: owners may have changed */
#define FOLLOW_RETRY_MS 1000u    /* a slot that could not be loaded is tried again .. */
#define FOLLOW_RETRY_MAX_MS 30000u /* .. and each time after twice as long, up to this */
#define FOLLOW_JOIN_MS 30000u /* a relay that cannot load a slot for so long serves the rest */
#define FOLLOW_READ_WAIT_MS 250u   /* a reader waits for what an owner's answer showed */
#define FOLLOW_HELLO_WAIT_MS 1500u /* and for what a client brings from another relay */

struct follow;
struct bus_redis_state;

/* Region only: opens a handle of its own on the store, and the bus. `why` has STORE_WHY_MAX
 * room. ERR_CONFIG: region.bus; ERR_MEMORY; errors of store_open. */
MUST_CHECK enum err follow_open(struct relay *r, char *why);
MUST_CHECK enum err follow_start(struct relay *r);
/* End the thread and the bus; then nothing is published any more. */
void follow_stop(struct relay *r);
void follow_end(struct relay *r);

/* Commit thread: a slot of ours was committed, or loaded. */
void follow_own(struct relay *r, uint32_t slot, tree_size size, struct bytes note);
/* Any thread, any rate: whoever may know says that the slot's log has `size` records by now
 * (0: more than before). */
void follow_ring(struct relay *r, uint32_t slot, tree_size size);
/* The same from an owner's own answer, which a client here has seen or will see: readers wait
 * for it, so that nobody is shown less than he was. */
void follow_seen(struct relay *r, uint32_t slot, tree_size size);
/* Owners changed. Any thread. */
void follow_owners(struct relay *r);

/* Readers: the slot as far as this relay shows it; epoch and edges are not filled.
 * ERR_UNAVAILABLE: not loaded yet, or an owner's answer has shown more and the store does not
 * say so. */
MUST_CHECK enum err follow_at(struct relay *r, uint32_t slot, struct store_slot *out);
/* Wait until the view holds `size` records, at most so long. */
bool follow_wait(struct relay *r, uint32_t slot, tree_size size, uint64_t wait_ms);
/* Slots that cannot be read here yet. */
uint32_t follow_loading(const struct relay *r);
/* Could all be read once, or is it long enough that this began? What a load balancer should
 * wait for: false only while a relay starts. */
bool follow_joined(const struct relay *r);
/* Names of relays that live by their leases and are not heard on the bus though it is up, ", "
 * between them; how many. */
unsigned follow_unheard(const struct relay *r, char *out, size_t cap);
/* How the bus is; false: none is configured. */
bool follow_bus(const struct relay *r, struct bus_redis_state *out);

#endif
