/* A hub's keys on disk: <keys_dir>/log.key signs checkpoints, relay.key signs what the
 * hub writes and promises, cosigner.key cosigns other logs' checkpoints, issuer.key creates
 * points. stoad run loads the first two, and the third when it is there: hubs older than it
 * have none, and cannot witness. The issuer's public key comes from the log, and its file
 * belongs on another machine. An edge: files, and whatever a passphrase source needs. */
#ifndef RELAY_KEYS_H
#define RELAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/key.h"
#include "crypto/keyfile.h"
#include "ledger/err.h"

#define KEYS_WHY_MAX 700
#define COSIGNER_NAME "%s/witness" /* of a hub: the name of its vkey */

/* Owned; released by hub_keys_close, which wipes. All zero is closed. */
struct hub_keys {
    struct key *log;
    struct key *relay;
    struct key *cosigner; /* NULL: there is no cosigner.key */
};

struct hub_pubkeys {
    struct pubkey log;
    struct pubkey relay;
    struct pubkey issuer;
    struct pubkey cosigner; /* all zero: none */
};

/* Make the four key files, and `dir` (0700) when it is not there. `source` is a
 * passphrase source of crypto/keyfile.h, asked twice, or "none" for plain files. None of
 * the files may exist (ERR_EXISTS: nothing was written); when one cannot be written,
 * those already written by this call are removed. `why` (KEYS_WHY_MAX room) is a sentence
 * for people. ERR_EXISTS, ERR_FILE, ERR_MEMORY, ERR_CONFIG: no passphrase. */
MUST_CHECK enum err hub_keys_generate(const char *dir, const char *source,
                                      enum keyfile_cost cost, struct hub_pubkeys *out,
                                      char *why);
/* Load log.key, relay.key and cosigner.key. ERR_MISSING: one of the first two is not there; ERR_FILE: not readable, not a key
 * file, wrong role, or open to others; ERR_CONFIG: passphrase missing or wrong;
 * ERR_MEMORY. */
MUST_CHECK enum err hub_keys_load(struct hub_keys *out, const char *dir,
                                  const char *source, char *why);
void hub_keys_close(struct hub_keys *k);
/* Public keys without a passphrase. Errors as above. */
MUST_CHECK enum err hub_keys_public(struct hub_pubkeys *out, const char *dir, char *why);

/* One key file of a given role (NULL: any); the passphrase is only asked for when the
 * file is encrypted. *out is released by key_free. Errors as hub_keys_load. */
MUST_CHECK enum err key_file_open(struct key **out, const char *path, const char *role,
                                  const char *source, char *why);

/* One new key file of a role, 0600. ERR_EXISTS: something is there; others as
 * hub_keys_generate. */
MUST_CHECK enum err key_file_make(const char *path, const char *role, const char *source,
                                  enum keyfile_cost cost, struct pubkey *out, char *why);

#endif
