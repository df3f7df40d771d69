/* The lines of an evidence file, read in order and written in order. Shared by evidence*.c. */
#ifndef LEDGER_EVIDENCE_TEXT_H
#define LEDGER_EVIDENCE_TEXT_H

#include "ledger/evidence.h"

/* Reader. Decoded bytes live in rooms of their own until evidence_close. */
struct evidence_lines {
    const char *at, *end;
    struct evidence_room *rooms;
    bool failed; /* memory, or base64 that is none */
};
/* False: too large, or `first` (with its LF) is not how it begins. */
bool evidence_open(struct evidence_lines *l, const char *first, const void *data, size_t size);
void evidence_close(struct evidence_lines *l);
/* The next line when it begins with "<name> ": its value. False: it does not, and nothing moved. */
bool evidence_line(struct evidence_lines *l, const char *name, struct bytes *value);
/* The same, decoded from base64. */
bool evidence_blob(struct evidence_lines *l, const char *name, struct bytes *value);
/* `count` base64 parts between spaces. 1; 0: another line; -1: this line is broken. */
int evidence_parts(struct evidence_lines *l, const char *name, struct bytes part[],
                   size_t count);
bool evidence_done(const struct evidence_lines *l);

/* Writer: false when memory is out. */
bool evidence_put(struct buf *out, const char *name, const char *value, size_t size);
bool evidence_put_blob(struct buf *out, const char *name, const void *data, size_t size);
bool evidence_put_parts(struct buf *out, const char *name, const struct bytes part[],
                        size_t count);
/* "log", "key" and "head" lines, as evidence and head files begin. */
bool evidence_put_log(struct buf *out, const struct vkey *log);
bool evidence_put_records(struct buf *out, const char *name, const struct evidence_record r[],
                          size_t count);
bool evidence_put_head(struct buf *out, const struct signed_head *h);

#endif
