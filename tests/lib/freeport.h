/* A port of 127.0.0.1 that is free, for a program that binds it later and, when it is stopped and
 * started, again: below the range from which the system gives ports to outgoing connections and
 * to who binds port 0 (ip(7), ip_local_port_range), so that nobody gets it meanwhile by chance,
 * nor a client that dials it while nobody listens reaches itself. Any thread. */
#ifndef TESTS_FREEPORT_H
#define TESTS_FREEPORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define FREEPORT_FIRST 20000u
#define FREEPORT_END 32000u
#define FREEPORT_TRIES 200

static inline bool freeport_is_free(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    a.sin_port = htons(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Below `end`; 0: none was found. */
static inline uint16_t freeport_below(unsigned end)
{
    uint32_t drawn;
    for (int i = 0; i < FREEPORT_TRIES; i++) {
        if (getrandom(&drawn, sizeof(drawn), 0) != (ssize_t)sizeof(drawn))
            return 0;
        uint16_t port = (uint16_t)(FREEPORT_FIRST + drawn % (end - FREEPORT_FIRST));
        if (freeport_is_free(port))
            return port;
    }
    return 0;
}

static inline uint16_t freeport(void)
{
    return freeport_below(FREEPORT_END);
}

#endif
