/* Lines of a JSONL export (schema stoa.export/1): the first says what it is, then one object a
 * record, the last is the manifest. Reading is strict: a line is what would be written of the
 * record in it, byte by byte. No I/O. */
#ifndef CLIENT_AUDIT_EXPORT_LINE_H
#define CLIENT_AUDIT_EXPORT_LINE_H

#include "client/audit/export.h"

#define EXPORT_LINE_MAX (256u << 10)       /* of a record */
#define EXPORT_LINE_HEAD_MAX (64u << 20)   /* first and last: a note a slot */

/* Append one line with its LF. ERR_MEMORY. */
MUST_CHECK enum err export_line_head(struct buf *out, const struct export_head *h);
MUST_CHECK enum err export_line_record(struct buf *out, const struct export_record *r);
MUST_CHECK enum err export_line_manifest(struct buf *out, const struct export_head *h);

/* First line. h->slot has room for SLOTS_MAX; its notes are the caller's to close, also after
 * an error. ERR_CORRUPT, ERR_SCHEMA (of a newer version), ERR_MEMORY; `why` is about the line. */
MUST_CHECK enum err export_line_read_head(struct export_head *h, struct bytes line,
                                          char why[AUDIT_WHY_MAX]);
/* A record: what is stored (slot, index, position, leaf, envelope); then derived with
 * export_record_read and compared. The envelope is put into `room`. ERR_CORRUPT (it cannot be
 * read), ERR_MEMORY. *same false: its other members are not what the record says. */
MUST_CHECK enum err export_line_read(struct export_record *r, struct bytes line,
                                     uint32_t slots, struct buf *room, bool *same,
                                     char why[AUDIT_WHY_MAX]);
/* Slot and index of a record's line, from its beginning. */
bool export_line_place(struct bytes line, uint32_t *slot, uint64_t *index);
/* Last line: counts into h->slot[i].records and withheld; slots, sizes and roots have to be
 * those of the first. ERR_CORRUPT. */
MUST_CHECK enum err export_line_read_manifest(struct export_head *h, struct bytes line,
                                              char why[AUDIT_WHY_MAX]);

#endif
