/* The kinds of source that source.c picks from. */
#ifndef CLIENT_AUDIT_SOURCE_EDGES_H
#define CLIENT_AUDIT_SOURCE_EDGES_H

#include "client/audit/source.h"

enum err audit_source_url(struct audit_source **out, const char *url,
                          const struct audit_source_options *o, char why[AUDIT_WHY_MAX]);
enum err audit_source_directory(struct audit_source **out, const char *path,
                                char why[AUDIT_WHY_MAX]);
enum err audit_source_sqlite(struct audit_source **out, const char *path,
                             char why[AUDIT_WHY_MAX]);
/* `uri` as the hub's store.uri names it. */
enum err audit_source_postgres(struct audit_source **out, const char *uri,
                               char why[AUDIT_WHY_MAX]);
enum err audit_source_export(struct audit_source **out, const char *path,
                             char why[AUDIT_WHY_MAX]);

/* A source of files in the layout of source.h, however a file is had. `get` appends the whole
 * file; ERR_NOT_FOUND; `why` names it. From any thread, for different slots. */
struct audit_files {
    void *context;
    enum err (*get)(void *context, const char *path, struct buf *out,
                    char why[AUDIT_WHY_MAX]);
    /* Slots that are there, ascending. */
    enum err (*slots)(void *context, uint32_t out[], size_t *count);
    void (*close)(void *context);
};
enum err audit_source_files(struct audit_source **out, const char *kind,
                            const struct audit_files *files);

/* One bundle taken apart: entries of `data` up to `max`. Returns how many are whole;
 * *end is where the next would begin. */
size_t audit_bundle(struct bytes data, struct bytes out[], size_t max, size_t *end);

#endif
