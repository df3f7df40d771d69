/* C2SP tlog-policy: which logs a reader trusts, which witnesses, and how many of them must
 * have cosigned. The reader's own file; never taken from the server that is checked. Pure:
 * no I/O, no clock, no heap.
 *
 *     log <vkey> [url]
 *     witness <name> <vkey> [url]
 *     group <name> all|any|<k> <member>..
 *     quorum <name>|none                      exactly one
 *
 * `#` begins a comment line; fields are separated by spaces and tabs; names are defined
 * before they are used, each is a member at most once. Source: c2sp.org/tlog-policy. */
#ifndef CRYPTO_POLICY_H
#define CRYPTO_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/note.h"

#define POLICY_BYTES_MAX (1u << 20)
#define POLICY_LOGS_MAX 1024    /* a hub has one a slot */
#define POLICY_WITNESSES_MAX 63 /* with the log's key: what note_open takes */
#define POLICY_GROUPS_MAX 64
#define POLICY_NAME_MAX 64
#define POLICY_URL_MAX 256
#define POLICY_WHY_MAX 160

struct policy_log {
    struct vkey key; /* alg 01; its name is the log's origin */
    char url[POLICY_URL_MAX + 1]; /* "" when none is given */
};
struct policy_witness {
    char name[POLICY_NAME_MAX + 1];
    struct vkey key; /* alg 04 */
    char url[POLICY_URL_MAX + 1];
};
struct policy_group {
    char name[POLICY_NAME_MAX + 1];
    unsigned need; /* how many members must hold */
    uint64_t witnesses; /* bit i: witnesses[i] */
    uint64_t groups;    /* bit i: groups[i], i below this one's own number */
};

/* A plain value of about 600 KiB: keep it on the heap. */
struct policy {
    size_t log_count, witness_count, group_count;
    struct policy_log logs[POLICY_LOGS_MAX];
    struct policy_witness witnesses[POLICY_WITNESSES_MAX];
    struct policy_group groups[POLICY_GROUPS_MAX];
    enum { POLICY_NONE, POLICY_WITNESS, POLICY_GROUP } quorum_kind;
    unsigned quorum; /* number of the witness or group */
    struct hash hash; /* SHA-256 of the file's bytes: what reports name */
};

struct policy_problem {
    unsigned line; /* from 1; 0: the file as a whole */
    char why[POLICY_WHY_MAX];
};

/* Strict. False: `problem` (may be NULL) says where and what; `p` is not to be used. */
bool policy_parse(struct policy *p, const char *text, size_t size,
                  struct policy_problem *problem);

/* What a checkpoint's signatures show under a policy. */
struct policy_verdict {
    enum note_verdict note; /* NOTE_OK: signed by `log`, no known line fails */
    size_t log;             /* number in logs, when note is NOTE_OK */
    struct checkpoint checkpoint;
    uint64_t witnesses; /* bit i: witnesses[i] cosigned */
    uint64_t times[POLICY_WITNESSES_MAX]; /* unix seconds of each cosignature */
    bool quorum; /* met; true without any witness for `quorum none` */
};
/* The log is found by the note's own origin; a cosignature from the future is no concern of
 * this (no clock here). Only with NOTE_OK is anything else in `v` set. */
void policy_check(const struct policy *p, const char *note, size_t size,
                  struct policy_verdict *v);
/* Is the quorum met by this set? */
bool policy_quorum(const struct policy *p, uint64_t witnesses);
/* The log with this origin; false: none. */
bool policy_log_find(const struct policy *p, const char *origin, size_t *number);

#endif
