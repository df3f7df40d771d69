/* Exports: verified records as JSON lines, CSV (RFC 4180), SQLite, and an hledger journal.
 * Formats: docs/AUDIT.md section "Exports".
 *
 * What is written is held to the report of an audit made just before: leaves computed again
 * while writing have to give the roots that were audited, so that a source that changes its
 * mind in between does not get a word in. */
#ifndef CLIENT_AUDIT_EXPORT_H
#define CLIENT_AUDIT_EXPORT_H

#include <stdio.h>

#include "client/audit/export_record.h"

#define EXPORT_SCHEMA "stoa.export/1"
#define EXPORT_APPLICATION_ID 0x53744578 /* "StEx", in an SQLite file's header */

enum export_format { EXPORT_JSONL, EXPORT_CSV, EXPORT_SQLITE, EXPORT_HLEDGER };
bool export_format_of(const char *word, enum export_format *out);

/* What an export says of itself: first and, for counts and roots, last. */
struct export_slot {
    uint32_t slot;
    char origin[NOTE_NAME_MAX + 1];
    struct checkpoint checkpoint;
    struct buf note;
    uint64_t records, withheld; /* counted while writing */
};
struct export_head {
    struct hash policy;
    bool verified; /* passed an audit under it */
    uint32_t slots; /* of the hub; 0: not known */
    size_t slot_count;
    struct export_slot *slot;
};

/* One format. Errors of any call: ERR_FILE, ERR_STORE_FULL, ERR_MEMORY. */
struct export_writer {
    void *context;
    enum err (*begin)(void *context, const struct export_head *h);
    enum err (*record)(void *context, const struct export_record *r);
    enum err (*end)(void *context, const struct export_head *h);
};

/* Every record of every audited slot of `report`, slot by slot, to `w`. ERR_CORRUPT: what was
 * read is not what was audited (`why` says where). Without `verified` the roots are not
 * insisted on, and the export says so. ERR_TIMEOUT: `cancel` was set. */
MUST_CHECK enum err export_run(struct audit_source *s, const struct audit_report *report,
                               bool verified, const struct export_writer *w,
                               const _Bool *cancel, uint64_t *records,
                               char why[AUDIT_WHY_MAX]);

/* Writers of text write to `out`, which stays the caller's. */
struct export_writer export_jsonl(FILE *out);
struct export_writer export_csv(FILE *out);
struct export_writer export_hledger(FILE *out);
/* Makes `path`, which must not be there yet. Closed by export_sqlite_close, also after an
 * error. ERR_FILE, ERR_EXISTS. */
MUST_CHECK enum err export_sqlite_open(struct export_writer *w, const char *path,
                                       char why[AUDIT_WHY_MAX]);
void export_sqlite_close(struct export_writer *w);

#endif
