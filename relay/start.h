/* Bringing a relay up and down: store, keys, recovery, threads, in the order that makes
 * each step safe; and the maintenance thread. Main thread only. */
#ifndef RELAY_START_H
#define RELAY_START_H

#include <stdbool.h>

#include "ledger/err.h"
#include "crypto/hash.h"
#include "crypto/sig.h"

struct relay_config;
struct config_sources;

#define START_WHY_MAX 800
#define MAINTAIN_EVERY_MS 100u

/* What `stoad run` may be told beside its settings, for a memory: store only. */
struct start_options {
    bool has_federation;
    struct hash federation;
    bool has_issuer;
    struct pubkey issuer; /* who may create points in a hub that lives in RAM */
    unsigned slots;       /* 0: the default */
    const struct config_sources *sources; /* read again at SIGHUP; NULL: no reload */
};

/* Run until a signal or a failure; returns the exit code: 0 drained, 78 cannot be started
 * as it is configured, 70 broken. Prints the ready line, and errors for people. */
int relay_run(const struct relay_config *config, const struct start_options *o);

/* Make a hub: state folder, keys, store, log_open in every slot. Prints what was made. */
struct init_options {
    bool has_federation;
    struct hash federation;
    unsigned slots;  /* 0: the default */
    bool quick_keys; /* tests: cheap key derivation */
};
int relay_init(const struct relay_config *config, const struct init_options *o);

/* "error[T78xx] <what>: <why>" and a line to try, on standard error. */
void say_error(unsigned code, const char *what, const char *why, const char *try_this);

#endif
