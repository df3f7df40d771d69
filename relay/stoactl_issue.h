/* Writing an issuer's rows to a hub: what to send next and what its answers mean. One row
 * of an account at a time, many accounts at once. Core: no I/O, no clock; the shell
 * brings frames and time, and saves what it is told to save before it sends.
 *
 * The issuer writes on the hub's own chain of an account, where the relay writes credits
 * too, so a place can be taken in between: then the entry is built again on the head that
 * came with the refusal. An entry once built is otherwise sent again byte for byte, so
 * that no answer lost on the way can make it count twice. */
#ifndef RELAY_STOACTL_ISSUE_H
#define RELAY_STOACTL_ISSUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/key.h"
#include "ledger/wire.h"
#include "relay/stoactl_rows.h"

#define ISSUE_WINDOW_MAX 512  /* accounts under way at one time */
#define ISSUE_REBUILDS_MAX 16 /* of one row: the place was taken each time */
#define ISSUE_RETRIES_MAX 200 /* of one row: hub was busy or unavailable each time */
#define ISSUE_BACKOFF_MS 250
#define ISSUE_BACKOFF_MS_MAX 10000
#define ISSUE_FRAME_BYTES_MAX 2048

struct issue;

struct issue_hooks {
    void *context;
    /* An entry was built for this row and will be in the next frame: make it durable
     * before that is sent. NULL: nothing is saved. False stops: issue_broken. */
    bool (*save)(void *context, const struct row *row, struct bytes envelope);
    /* The row has its final state. */
    void (*finished)(void *context, const struct row *row);
};

/* `rows` and `issuer` are borrowed until issue_close. Rows whose state is not ROW_OPEN
 * are passed over. NULL: out of memory. */
struct issue *issue_open(struct rows *rows, const struct key *issuer,
                         const struct issue_hooks *hooks);
void issue_close(struct issue *s);
/* A connection stands: `window` accounts may be under way on it (0: ISSUE_WINDOW_MAX).
 * What was under way on the last one is sent again. */
void issue_connected(struct issue *s, size_t window);
/* The next frame to send, into out[ISSUE_FRAME_BYTES_MAX]; 0: nothing to send now. */
size_t issue_next(struct issue *s, uint64_t mono_ms, uint64_t unix_ms, uint8_t *out);
/* A decoded frame after WELCOME; others than answers are passed over. */
void issue_receive(struct issue *s, const struct wire_frame *f, uint64_t mono_ms);
/* Every row has its final state. */
bool issue_done(const struct issue *s);
bool issue_broken(const struct issue *s);
/* Give up: rows that were sent and not answered become ROW_UNKNOWN; returns how many. */
size_t issue_abandon(struct issue *s);
/* When issue_next may have something although no frame came; UINT64_MAX: never. */
uint64_t issue_wake_ms(const struct issue *s);

#endif
