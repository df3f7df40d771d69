/* The wire protocol from a test's side of the socket: hello, frames out, frames in, and
 * the checks a client makes of a receipt. Blocking; one thread. */
#ifndef TESTS_LIB_WIREKIT_H
#define TESTS_LIB_WIREKIT_H

#include "tests/lib/people.h"
#include "tests/lib/rawws.h"

#define WIREKIT_FRAME_MAX (1u << 20)

/* A connection with what the hub said. */
struct wirekit {
    struct rawws ws;
    struct hub_facts hub;
    struct wire_frame f; /* newest frame; spans live until the next receive */
    uint64_t rid;
    char (
        *notes)[CHECKPOINT_BYTES_MAX]; /* newest checkpoint of each slot, and its size */
    size_t note_size[SLOTS_MAX];
    struct vkey log[SLOTS_MAX]; /* filled by wirekit_trust */
    bool trusted;
};

/* Connect, upgrade, CHALLENGE, HELLO (as `device`, or anonymous), WELCOME; checks the
 * hub's signature over the challenge. False: not welcome (f is the newest frame, if any).
 */
bool wirekit_open(struct wirekit *k, uint16_t port, const struct key *device);
/* The same with checkpoints in HELLO. */
bool wirekit_open_with(struct wirekit *k, uint16_t port, const struct key *device,
                       const struct bytes notes[], size_t count);
/* Anonymous, from this address of ours ("127.0.0.7"). */
bool wirekit_open_from(struct wirekit *k, uint16_t port, const char *source);
/* Up to CHALLENGE only. */
bool wirekit_challenged(struct wirekit *k, uint16_t port);
void wirekit_close(struct wirekit *k);
/* Log keys to check receipts with: the hub's log public key. */
void wirekit_trust(struct wirekit *k, const struct pubkey *log);
/* Read log.key's public half in a hub's keys folder and trust it. */
bool wirekit_trust_folder(struct wirekit *k, const char *keys_dir);

/* A frame without lists. */
bool wirekit_send(struct wirekit *k, const struct wire_frame *f);
/* One SUBMIT; rid is k->rid, counted up before. */
bool wirekit_submit(struct wirekit *k, const struct bytes envelopes[], size_t count,
                    uint64_t flags);
bool wirekit_subscribe(struct wirekit *k, const struct wire_key *key, uint64_t from);
/* Next frame into k->f; false: none in time, or the end. */
bool wirekit_receive(struct wirekit *k, int timeout_ms);
/* Next frame of this type; others are skipped. */
bool wirekit_expect(struct wirekit *k, uint64_t type, int timeout_ms);
/* The only result of the newest RESULTS. */
struct wire_result wirekit_result(struct wirekit *k);
/* Submit one envelope and wait for its result. False: none came. */
bool wirekit_submit_one(struct wirekit *k, struct bytes envelope, struct wire_result *r);
/* Is an accepted result true? Its path leads from the leaf of `envelope` to the root of
 * the slot's checkpoint in the newest RESULTS, which the trusted log key signed. */
bool wirekit_receipt_ok(struct wirekit *k, const struct wire_result *r,
                        struct bytes envelope);
/* HEAD: asks, fills k->f with HEAD_IS and checks its signature. */
bool wirekit_head(struct wirekit *k, const struct hash *account,
                  const struct pubkey *key);

#endif
