/* A made-up log as a web server would show it, with the faults a server can have. Envelopes
 * are any bytes: for tests of what copies and compares, not of what judges. */
#ifndef TESTS_UNIT_AUDIT_IO_LOGKIT_H
#define TESTS_UNIT_AUDIT_IO_LOGKIT_H

#include "client/audit/source_edges.h"
#include "crypto/policy.h"

#define LOGKIT_MAX 70000

struct logkit {
    char hub[32];
    uint32_t slot;
    struct key *key;
    struct vkey vkey;
    uint64_t size;       /* records there are */
    uint64_t shown;      /* size of the checkpoint that is shown */
    uint64_t seed;       /* of the records */
    uint64_t fork_at;    /* from this record on, others; UINT64_MAX: none */
    struct hash *leaves; /* leaf hashes */
    bool cut_partials;   /* 404 for what is not full */
    char flip[96];       /* path whose last byte is wrong; "" none */
    int flips;           /* how often; -1: always */
    char gone[96];       /* path that is 404 */
    int64_t fail_after;  /* requests until ERR_NET; -1: never */
    uint64_t asked;      /* requests so far */
    uint64_t asked_files; /* of them, not checkpoints */
};

void logkit_make(struct logkit *k, const char *hub, uint32_t slot, uint64_t size,
                 uint64_t seed);
void logkit_free(struct logkit *k);
/* Again with this many records; a fork when `fork_at` is below. */
void logkit_grow(struct logkit *k, uint64_t size, uint64_t fork_at);
struct audit_files logkit_files(struct logkit *k);
/* "log <vkey>\nquorum none\n" */
void logkit_policy(struct policy *p, const struct logkit *k);
/* A record of it. Every 17th envelope is withheld. */
void logkit_leaf(const struct logkit *k, uint64_t i, uint8_t leaf[LEAF_BYTES]);
size_t logkit_envelope(const struct logkit *k, uint64_t i, uint8_t out[256]);
struct hash logkit_root(const struct logkit *k, uint64_t size);

#endif
