/* What a service manager hands over and hears: listening sockets (sd_listen_fds(3)) and
 * datagrams about our state (sd_notify(3)). Both are stable protocols of an environment
 * variable and a system call or two, which their pages describe so that no library is needed.
 * Without such a manager every call does nothing. An edge. Main thread only. */
#ifndef RELAY_SERVICE_H
#define RELAY_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/err.h"

#define SERVICE_SOCKETS_MAX 8u
#define SERVICE_WHY_MAX 256
#define SERVICE_STATUS_MAX 200 /* of a line for people */

struct service {
    int notify; /* -1: nobody wants to hear */
    uint64_t watchdog_ms, alive_ms; /* 0: none */
    int socket[SERVICE_SOCKETS_MAX]; /* TCP, listening; whoever takes them sets the count 0 */
    unsigned socket_count;
};

/* Reads the environment and takes those variables out of it, so that no child is misled.
 * ERR_CONFIG: a socket that was handed over is not a listening TCP socket, or there are too
 * many; `why` (SERVICE_WHY_MAX) says which. Released by service_close either way. */
MUST_CHECK enum err service_open(struct service *s, char *why);
void service_close(struct service *s);

/* `status` is a line for people (systemctl status). */
void service_ready(const struct service *s, const char *status);
/* A reload begins; its end is service_ready. */
void service_reloading(const struct service *s);
void service_stopping(const struct service *s, const char *status);
/* As often as convenient, by the thread whose hanging is worth a restart. */
void service_alive(struct service *s, uint64_t now_mono_ms);

#endif
