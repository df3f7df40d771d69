#include "relay/redis_address.h"

#include <stdio.h>
#include <string.h>

#define TCP "redis://"
#define UNIX "redis+unix:"

static bool say(char *why, const char *text)
{
    snprintf(why, REDIS_WHY_MAX, "%s", text);
    return false;
}

/* A piece of text that fits `cap` with its final zero and has no control character. */
static bool copy(char *out, size_t cap, const char *text, size_t size)
{
    if (size >= cap)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
            return false;
    memcpy(out, text, size);
    out[size] = '\0';
    return true;
}

static bool copy_port(char out[6], const char *text, size_t size)
{
    unsigned port = 0;
    for (size_t i = 0; i < size && i < 6; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port > 0 && port <= 65535 && text[0] != '0' && copy(out, 6, text, size);
}

/* Letters of names and of addresses (`%`: an IPv6 zone): whatever else stands there, it is no
 * host, and would be read as another part of a URI. */
static bool is_host(const char *text, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_:%";
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || !strchr(letters, text[i]))
            return false;
    return size > 0;
}

/* "host", "host:port", "[::1]:port". */
static bool copy_place(struct redis_address *a, const char *text, size_t size)
{
    const char *end = text + size, *colon = NULL;
    const char *host = text, *host_end = end;
    if (size > 0 && text[0] == '[') {
        host_end = memchr(text, ']', size);
        if (!host_end || (host_end + 1 != end && host_end[1] != ':'))
            return false;
        host = text + 1;
        colon = host_end + 1 != end ? host_end + 1 : NULL;
    } else {
        colon = memchr(text, ':', size);
        if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
            return false; /* an IPv6 address wants brackets */
        host_end = colon ? colon : end;
    }
    if (colon && !copy_port(a->port, colon + 1, (size_t)(end - colon - 1)))
        return false;
    return is_host(host, (size_t)(host_end - host)) &&
           copy(a->host, sizeof(a->host), host, (size_t)(host_end - host));
}

static bool copy_option(struct redis_address *a, const char *text, size_t size, char *why)
{
    static const char passfile[] = "passfile=", sharded[] = "sharded=";
    size_t n = sizeof(passfile) - 1;
    if (size > n && memcmp(text, passfile, n) == 0)
        return copy(a->passfile, sizeof(a->passfile), text + n, size - n) ||
               say(why, "passfile is too long, or has a space in it");
    n = sizeof(sharded) - 1;
    if (size == n + 3 && memcmp(text, "sharded=yes", size) == 0) {
        a->sharded = true;
        return true;
    }
    if (size == n + 2 && memcmp(text, "sharded=no", size) == 0)
        return true;
    return say(why, "options are passfile=PATH and sharded=yes");
}

static bool copy_options(struct redis_address *a, const char *text, char *why)
{
    while (*text) {
        size_t size = strcspn(text, "&");
        if (!copy_option(a, text, size, why))
            return false;
        text += size + (text[size] == '&');
    }
    return true;
}

static bool copy_tcp(struct redis_address *a, const char *text, size_t size, char *why)
{
    const char *at = memchr(text, '@', size);
    if (at) {
        size_t user = (size_t)(at - text);
        if (memchr(text, ':', user))
            return say(why,
                       "a password in a URI can be seen in configuration and backups; "
                       "put it into a file of mode 0600: ?passfile=PATH");
        if (user == 0 || !copy(a->user, sizeof(a->user), text, user))
            return say(why, "the user's name is empty or too long");
        text += user + 1;
        size -= user + 1;
    }
    const char *slash = memchr(text, '/', size);
    size_t place = slash ? (size_t)(slash - text) : size;
    if (slash && place + 1 != size && !(place + 2 == size && slash[1] == '0'))
        return say(why, "pub/sub knows no databases: leave the /NUMBER away");
    if (!copy_place(a, text, place))
        return say(why, "HOST:PORT is not one; an IPv6 address stands in brackets");
    return true;
}

bool redis_address_parse(struct redis_address *out, const char *uri, char *why)
{
    size_t head = strcspn(uri, "?");
    memset(out, 0, sizeof(*out));
    memcpy(out->port, REDIS_PORT_DEFAULT, sizeof(REDIS_PORT_DEFAULT));
    if (strncmp(uri, UNIX, strlen(UNIX)) == 0) {
        size_t size = head - strlen(UNIX);
        if (size == 0 || !copy(out->path, sizeof(out->path), uri + strlen(UNIX), size))
            return say(why, "the socket's path is empty or longer than 107 bytes");
    } else if (strncmp(uri, TCP, strlen(TCP)) == 0) {
        if (!copy_tcp(out, uri + strlen(TCP), head - strlen(TCP), why))
            return false;
    } else {
        return say(why, "must begin with redis:// or redis+unix:");
    }
    return copy_options(out, uri[head] == '?' ? uri + head + 1 : "", why);
}

bool redis_address_moved(struct redis_address *a, const char *text, size_t size)
{
    struct redis_address to = *a;
    bool same_host = size > 0 && text[0] == ':';
    if (a->path[0])
        return false;
    if (same_host ? !copy_port(to.port, text + 1, size - 1)
                  : !copy_place(&to, text, size))
        return false;
    *a = to;
    return true;
}

void redis_address_cli(const struct redis_address *a, char *out, size_t cap)
{
    char password[REDIS_PASSFILE_MAX + 48] = "", user[REDIS_USER_MAX + 16] = "";
    if (a->passfile[0])
        snprintf(password, sizeof(password), "REDISCLI_AUTH=\"$(head -n 1 '%s')\" ",
                 a->passfile);
    if (a->user[0])
        snprintf(user, sizeof(user), " --user %s", a->user);
    int n = a->path[0] ? snprintf(out, cap, "%sredis-cli -s '%s'%s", password, a->path, user)
                       : snprintf(out, cap, "%sredis-cli -h %s -p %s%s", password, a->host,
                                  a->port, user);
    if (n < 0 || (size_t)n >= cap)
        out[0] = '\0';
}

void redis_address_name(const struct redis_address *a, char *out, size_t cap)
{
    if (a->path[0])
        snprintf(out, cap, UNIX "%s", a->path);
    else if (strchr(a->host, ':'))
        snprintf(out, cap, TCP "[%s]:%s", a->host, a->port);
    else
        snprintf(out, cap, TCP "%s:%s", a->host, a->port);
}
