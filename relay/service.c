#include "relay/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ledger/trace.h"

#define FIRST_SOCKET 3   /* SD_LISTEN_FDS_START */
#define WATCHDOG_PART 3u /* three signs of life in the time that is allowed */
#define SAY_MS_MAX 500   /* a manager that does not read is not waited for longer */
#define MESSAGE_MAX (SERVICE_STATUS_MAX + 100)

/* A variable as a number; 0 when it is not one. */
static uint64_t number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    return *end || errno ? 0 : n;
}

/* Meant for this process, and not for one it came from. */
static bool is_ours(const char *pid_name)
{
    return number_of(pid_name) == (uint64_t)getpid();
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool usable(int fd)
{
    int domain = option_of(fd, SO_DOMAIN);
    return (domain == AF_INET || domain == AF_INET6) && option_of(fd, SO_TYPE) == SOCK_STREAM &&
           option_of(fd, SO_ACCEPTCONN) == 1;
}

static enum err take_sockets(struct service *s, char *why)
{
    uint64_t count = number_of("LISTEN_FDS");
    if (count == 0 || !is_ours("LISTEN_PID"))
        return ERR_OK;
    if (count > SERVICE_SOCKETS_MAX) {
        snprintf(why, SERVICE_WHY_MAX, "%" PRIu64 " sockets were handed over; at most %u are taken",
                 count, SERVICE_SOCKETS_MAX);
        return ERR_CONFIG;
    }
    for (int fd = FIRST_SOCKET; fd < FIRST_SOCKET + (int)count; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (!usable(fd) || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
            fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
            snprintf(why, SERVICE_WHY_MAX,
                     "descriptor %d that was handed over is not a listening TCP socket", fd);
            return ERR_CONFIG;
        }
        s->socket[s->socket_count++] = fd;
    }
    return ERR_OK;
}

/* The manager's socket: a path, or a name in the abstract namespace behind "@". */
static void find_manager(struct service *s)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_usec = SAY_MS_MAX * 1000};
    size_t size = path ? strlen(path) : 0;
    if (size < 2 || (path[0] != '/' && path[0] != '@') || size >= sizeof(to.sun_path)) {
        if (size)
            trace(TRACE_WARN, "service.no_manager", TRACE_STR("socket", path));
        return;
    }
    memcpy(to.sun_path, path, size);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    s->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s->notify < 0)
        return;
    (void)setsockopt(s->notify, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    if (connect(s->notify, (const struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) != 0) {
        trace(TRACE_WARN, "service.no_manager", TRACE_STR("socket", path),
              TRACE_STR("why", strerror(errno)));
        close(s->notify);
        s->notify = -1;
    }
}

enum err service_open(struct service *s, char *why)
{
    static const char *const names[] = {"LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES",
                                        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    *s = (struct service){.notify = -1};
    enum err e = take_sockets(s, why);
    find_manager(s);
    if (s->notify >= 0 && (!getenv("WATCHDOG_PID") || is_ours("WATCHDOG_PID")))
        s->watchdog_ms = number_of("WATCHDOG_USEC") / 1000;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unsetenv(names[i]);
    return e;
}

void service_close(struct service *s)
{
    for (unsigned i = 0; i < s->socket_count; i++)
        close(s->socket[i]);
    s->socket_count = 0;
    if (s->notify >= 0)
        close(s->notify);
    s->notify = -1;
}

static void say(const struct service *s, const char *message)
{
    if (s->notify >= 0 && send(s->notify, message, strlen(message), MSG_NOSIGNAL) < 0)
        trace(TRACE_WARN, "service.not_heard", TRACE_STR("why", strerror(errno)));
}

/* A status is one line: the protocol's fields are lines. */
static void say_status(const struct service *s, const char *field, const char *status)
{
    char message[MESSAGE_MAX];
    int n = snprintf(message, sizeof(message), "%s\nSTATUS=", field);
    snprintf(message + n, sizeof(message) - (size_t)n, "%.*s",
             (int)(strcspn(status, "\n") < SERVICE_STATUS_MAX ? strcspn(status, "\n")
                                                              : SERVICE_STATUS_MAX),
             status);
    say(s, message);
}

void service_ready(const struct service *s, const char *status)
{
    say_status(s, "READY=1", status);
}

void service_stopping(const struct service *s, const char *status)
{
    say_status(s, "STOPPING=1", status);
}

void service_reloading(const struct service *s)
{
    char message[MESSAGE_MAX];
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
    say(s, message);
}

void service_alive(struct service *s, uint64_t now_mono_ms)
{
    if (s->watchdog_ms == 0 || now_mono_ms - s->alive_ms < s->watchdog_ms / WATCHDOG_PART)
        return;
    s->alive_ms = now_mono_ms;
    say(s, "WATCHDOG=1");
}
