/* Where a Redis is, as region.bus says it. Pure.
 *
 *     redis://[USER@]HOST[:PORT][/][?passfile=PATH&sharded=yes]     [::1] in brackets
 *     redis+unix:PATH[?..]
 *
 * A password is never part of it: `passfile` names a file of mode 0600 whose first line
 * is the password. `sharded` wants a Redis Cluster's sharded pub/sub (Redis 7). */
#ifndef RELAY_REDIS_ADDRESS_H
#define RELAY_REDIS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define REDIS_HOST_MAX 255
#define REDIS_PORT_DEFAULT "6379"
#define REDIS_UNIX_PATH_MAX 107 /* sun_path of Linux */
#define REDIS_USER_MAX 64
#define REDIS_PASSFILE_MAX 300
#define REDIS_WHY_MAX 256

struct redis_address {
    char host[REDIS_HOST_MAX + 1]; /* "": a unix socket */
    char port[6];
    char path[REDIS_UNIX_PATH_MAX + 1];    /* unix socket */
    char user[REDIS_USER_MAX + 1];         /* "": the default user */
    char passfile[REDIS_PASSFILE_MAX + 1]; /* "": no password */
    bool sharded;
};

/* False: `why` (REDIS_WHY_MAX) says what is wrong, never quoting what may be a password.
 */
bool redis_address_parse(struct redis_address *out, const char *uri, char *why);
/* "host:port" as an error of a cluster names another node ("[::1]:7000", ":7000" for the
 * same host). User, passfile and `sharded` stay. False: not one; unchanged. */
bool redis_address_moved(struct redis_address *a, const char *text, size_t size);
/* For people: no user, no passfile. */
void redis_address_name(const struct redis_address *a, char *out, size_t cap);
/* The beginning of the command with which a person asks it: "redis-cli -s PATH". The password
 * is read from its file when the command runs, and is no argument of it. "" if it does not
 * fit. */
void redis_address_cli(const struct redis_address *a, char *out, size_t cap);

#endif
