/* A forged log in the containers an audit reads: a published directory, a hub's SQLite file, exports
 * as JSON lines and as SQLite. What stands in the forge is written as it is, faults and all. */
#ifndef CLIENT_AUDIT_IMAGE_H
#define CLIENT_AUDIT_IMAGE_H

#include "client/audit/forge.h"

enum image_format { IMAGE_DIRECTORY, IMAGE_SQLITE, IMAGE_JSONL, IMAGE_EXPORT, IMAGE_FORMATS };
#define IMAGE_BESIDE ".log" /* what is written beside an export, after its name */
extern const char *const image_words[IMAGE_FORMATS];

/* Into `path`, which must not exist. False: could not be written. */
bool image_write(const struct forge *f, enum image_format format, const char *path);
/* What only one container has: a byte of a file turned, a file cut, grown or removed; an SQL
 * statement. False: could not be done. */
bool image_turn(const char *path, const char *file, long offset); /* < 0: from the end */
bool image_cut(const char *path, const char *file, long bytes); /* off the end */
bool image_grow(const char *path, const char *file);
bool image_remove(const char *path, const char *file);
bool image_sql(const char *path, const char *sql);
/* A line of an export, from 1: gone, twice, changed with the next one, cut in its middle, the last
 * one of the file; or one member's value changed. */
enum image_change { IMAGE_DROP, IMAGE_DOUBLE, IMAGE_SWAP, IMAGE_CUT, IMAGE_END, IMAGE_TURN };
bool image_line(const char *path, size_t number, enum image_change change, const char *member);
/* image_export.c, for image_write */
bool image_export_write(const struct forge *f, bool sqlite, const char *path);

#endif
