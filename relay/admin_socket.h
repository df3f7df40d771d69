/* The operator's unix socket, both ends: a path, mode 0600, one request a connection.
 * The request is one line of JSON, {"do":"status"}, at most ADMIN_LINE_MAX bytes; the
 * answer is one JSON object, at most ADMIN_ANSWER_MAX bytes, then the end. Who may ask is
 * decided by the kernel's word on who connected (SO_PEERCRED, unix(7)): the same user, or
 * root. Blocking calls with deadlines; no state. Used by stoad and stoactl. */
#ifndef RELAY_ADMIN_SOCKET_H
#define RELAY_ADMIN_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/err.h"

#define ADMIN_LINE_MAX 4096u
#define ADMIN_ANSWER_MAX (4u << 20)
#define ADMIN_BACKLOG 16
#define ADMIN_WHY_MAX 640

/* Listen at `path`. A socket that nobody listens at any more is replaced, anything else that
 * is there stays. Sets *fd. `why` (ADMIN_WHY_MAX room) is a sentence.
 * ERR_LOCKED: another process listens there; ERR_EXISTS: something that is no socket is
 * there; ERR_FILE. */
MUST_CHECK enum err admin_listen(const char *path, int *fd, char *why);
/* ERR_MISSING: no socket there, or nobody listens; ERR_NOT_ALLOWED; ERR_FILE. */
MUST_CHECK enum err admin_connect(const char *path, int *fd, char *why);

/* Is the process at the other end ours (same user) or root's? */
bool admin_peer_ok(int fd);

/* Read up to the first newline, which is replaced by a final zero; *size is without it.
 * ERR_TOO_LARGE: none within `cap` bytes; ERR_TIMEOUT; ERR_NET: the end came first. */
MUST_CHECK enum err admin_read_line(int fd, char *out, size_t cap, size_t *size,
                                    uint64_t timeout_ms);
/* Everything up to the end into *out (heap, final zero, caller frees). As above, and
 * ERR_MEMORY. `timeout_ms` is for the whole. */
MUST_CHECK enum err admin_read_all(int fd, char **out, size_t max, uint64_t timeout_ms);
/* ERR_TIMEOUT, ERR_NET. */
MUST_CHECK enum err admin_write(int fd, const void *data, size_t size,
                                uint64_t timeout_ms);

#endif
