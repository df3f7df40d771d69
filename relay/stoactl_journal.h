/* Entries built for an adjust, saved before they are sent, so that a run that was cut
 * short can be repeated and sends the same bytes: a file of lines, only ever added to.
 *
 *     stoactl-journal-2
 *     sent <row key, 64 hex digits> <envelope, base64> <sum>
 *     done <row key> <0 accepted, else the refusal's number> <sum>
 *
 * The sum is the first 16 hex digits of the SHA-256 of what stands before its blank. An end
 * without its LF, or with zeros in it, was cut by a crash and is taken away: it was not synced,
 * so nothing of it was sent. A line that does not fit its sum is damage, and the file is
 * refused: forgetting it would be a second correction. Several "sent" of one row: the last
 * counts, those before it were refused for good. An edge: one file. */
#ifndef RELAY_STOACTL_JOURNAL_H
#define RELAY_STOACTL_JOURNAL_H

#include <stdbool.h>

#include "ledger/bytes.h"
#include "ledger/err.h"
#include "relay/stoactl_rows.h"

#define JOURNAL_WHY_MAX 400

struct journal;

/* Open or create (0600), lock against a second run, and bring `rows` up to date: rows
 * done in an earlier run become ROW_ALREADY or ROW_REFUSED (`keep_done`), rows sent and
 * not answered get their envelope. Without `keep_done`, only the latter: a new run of one
 * row is a new wish. ERR_LOCKED, ERR_FILE, ERR_MEMORY, with a sentence in `why`
 * (JOURNAL_WHY_MAX room). */
MUST_CHECK enum err journal_open(struct journal **out, const char *path,
                                 struct rows *rows, bool keep_done, char *why);
/* Kept in memory until journal_sync. False: no memory. */
bool journal_sent(struct journal *j, const struct row *row, struct bytes envelope);
bool journal_done(struct journal *j, const struct row *row);
/* Everything said so far is on the disk. False: it is not, and nothing may be sent. */
bool journal_sync(struct journal *j);
/* Syncs; NULL is allowed. */
void journal_close(struct journal *j);

#endif
