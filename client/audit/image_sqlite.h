/* Edge of image.c: the only file of the selftest that sees sqlite3.h. */
#ifndef CLIENT_AUDIT_IMAGE_SQLITE_H
#define CLIENT_AUDIT_IMAGE_SQLITE_H

#include "client/audit/forge.h"

bool image_sqlite_write(const struct forge *f, const char *path);
bool image_sqlite_run(const char *path, const char *sql);

#endif
