#include "relay/redis_link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "crypto/key.h"

#define READ_BYTES 65536u
#define READS_A_TURN 16u /* then the others get their turn */
#define WORDS_MAX 300u   /* SUBSCRIBE and all slots */
#define AUTH_ROOM (REDIS_PASSWORD_MAX + REDIS_USER_MAX + 64)

#if HIREDIS_MAJOR >= 1
typedef size_t list_length;
#else
typedef int list_length;
#endif

struct redis_link {
    int fd;
    bool connecting, wants_auth, authed;
    char *auth; /* secret_alloc'ed command, sent first */
    size_t auth_size;
    redisReader *reader;
    redisReplyObjectFunctions functions; /* the library's, but for lists */
    void *(*library_list)(const redisReadTask *task, list_length count);
    size_t fed; /* bytes since the last whole reply */
    struct buf out;
    size_t sent; /* of out */
    char why[REDIS_WHY_MAX];
};

static enum err fail(struct redis_link *l, const char *what, const char *why)
{
    snprintf(l->why, sizeof(l->why), "%s%s%.200s", what, why[0] ? ": " : "", why);
    return ERR_NET;
}

/* ---- the reader ----------------------------------------------------------------------
 */

/* The library takes memory for as many elements as a header announces: 2^31 pointers for
 * twelve bytes. NULL ends the connection. */
static void *short_list(const redisReadTask *task, list_length count)
{
    const struct redis_link *l = task->privdata;
    return (size_t)count > REDIS_LIST_MAX ? NULL : l->library_list(task, count);
}

static bool make_reader(struct redis_link *l)
{
    l->reader = redisReaderCreate();
    if (!l->reader)
        return false;
    l->functions = *l->reader->fn;
    l->library_list = l->functions.createArray;
    l->functions.createArray = short_list;
    l->reader->fn = &l->functions;
    l->reader->privdata = l;
    return true;
}

static void show_item(struct redis_reply *out, size_t i, const redisReply *r)
{
    bool text = r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ||
                r->type == REDIS_REPLY_ERROR;
    out->item[i] = text ? bytes_of(r->str, (size_t)r->len) : bytes_of(NULL, 0);
    out->item_number[i] = r->type == REDIS_REPLY_INTEGER ? r->integer : 0;
}

static void show(struct redis_reply *out, const redisReply *r)
{
    memset(out, 0, sizeof(*out));
    switch (r->type) {
    case REDIS_REPLY_ARRAY:
        out->kind = REDIS_LIST;
        for (size_t i = 0; i < r->elements && i < REDIS_LIST_MAX; i++, out->count++)
            show_item(out, i, r->element[i]);
        break;
    case REDIS_REPLY_INTEGER:
        out->kind = REDIS_NUMBER;
        out->number = r->integer;
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        out->kind = r->type == REDIS_REPLY_ERROR ? REDIS_FAILED : REDIS_TEXT;
        out->count = 1;
        show_item(out, 0, r);
        break;
    default:
        out->kind = REDIS_NOTHING;
        break;
    }
}

/* ---- who we are ----------------------------------------------------------------------
 */

/* The first line of the passfile, into out[REDIS_PASSWORD_MAX + 1]. */
static bool read_password(const char *path, char *out, size_t *size, char *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(why, REDIS_WHY_MAX, "passfile: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    ssize_t n = read(fd, out, REDIS_PASSWORD_MAX + 1);
    close(fd);
    if ((st.st_mode & 077) != 0) {
        snprintf(why, REDIS_WHY_MAX, "passfile: others may read it; chmod 600");
        return false;
    }
    *size = 0;
    while (n > 0 && *size < (size_t)n && out[*size] != '\n' && out[*size] != '\r')
        ++*size;
    if (*size == 0 || *size > REDIS_PASSWORD_MAX) {
        snprintf(why, REDIS_WHY_MAX,
                 "passfile: no password in its first line, or over %d bytes",
                 REDIS_PASSWORD_MAX);
        return false;
    }
    return true;
}

/* AUTH [user] password, in memory that is wiped; nothing else ever holds it. */
static enum err make_auth(struct redis_link *l, const struct redis_address *a, char *why)
{
    if (!a->passfile[0])
        return ERR_OK;
    char *password = secret_alloc(REDIS_PASSWORD_MAX + 1);
    l->auth = secret_alloc(AUTH_ROOM);
    size_t size = 0;
    enum err e = password && l->auth ? ERR_OK : ERR_MEMORY;
    if (e == ERR_OK && !read_password(a->passfile, password, &size, why))
        e = ERR_FILE;
    if (e == ERR_OK) {
        int n = a->user[0]
                    ? snprintf(l->auth, AUTH_ROOM,
                               "*3\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n$%zu\r\n",
                               strlen(a->user), a->user, size)
                    : snprintf(l->auth, AUTH_ROOM, "*2\r\n$4\r\nAUTH\r\n$%zu\r\n", size);
        assert(n > 0 && (size_t)n + size + 2 <= AUTH_ROOM);
        memcpy(l->auth + n, password, size);
        memcpy(l->auth + (size_t)n + size, "\r\n", 2);
        l->auth_size = (size_t)n + size + 2;
        l->wants_auth = true;
    }
    if (password)
        secret_free(password);
    return e;
}

/* ---- opening -------------------------------------------------------------------------
 */

static int start_connect(struct redis_link *l, const struct sockaddr *to, socklen_t size,
                         int family)
{
    int one = 1, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, to, size) == 0 || errno == EINPROGRESS) {
        l->connecting = true;
        return fd;
    }
    int kept = errno;
    close(fd);
    errno = kept;
    return -1;
}

static int connect_unix(struct redis_link *l, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, path, strlen(path) + 1);
    return start_connect(l, (const struct sockaddr *)&to, sizeof(to), AF_UNIX);
}

/* A refused connection is told later, so a name's next address is the next attempt's. */
static int connect_tcp(struct redis_link *l, const struct redis_address *a,
                       unsigned attempt, char *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(a->host, a->port, &hints, &list), fd = -1;
    if (code != 0) {
        snprintf(why, REDIS_WHY_MAX, "%.60s: %s", a->host, gai_strerror(code));
        return -1;
    }
    unsigned count = 0;
    for (struct addrinfo *i = list; i; i = i->ai_next)
        count++;
    struct addrinfo *one = list;
    for (unsigned skip = attempt % count; skip > 0; skip--)
        one = one->ai_next;
    fd = start_connect(l, one->ai_addr, one->ai_addrlen, one->ai_family);
    if (fd < 0)
        snprintf(why, REDIS_WHY_MAX, "connect: %s", strerror(errno));
    freeaddrinfo(list);
    return fd;
}

enum err redis_link_open(struct redis_link **out, const struct redis_address *a,
                         unsigned attempt, char *why)
{
    struct redis_link *l = calloc(1, sizeof(*l));
    *out = NULL;
    if (!l)
        return ERR_MEMORY;
    l->fd = -1;
    enum err e = make_reader(l) ? make_auth(l, a, why) : ERR_MEMORY;
    if (e == ERR_OK) {
        l->fd = a->path[0] ? connect_unix(l, a->path) : connect_tcp(l, a, attempt, why);
        if (l->fd < 0 && a->path[0])
            snprintf(why, REDIS_WHY_MAX, "connect: %s", strerror(errno));
        e = l->fd < 0 ? ERR_NET : ERR_OK;
    }
    if (e != ERR_OK)
        redis_link_close(l);
    else
        *out = l;
    return e;
}

void redis_link_close(struct redis_link *l)
{
    if (!l)
        return;
    if (l->fd >= 0)
        close(l->fd);
    if (l->reader)
        redisReaderFree(l->reader);
    if (l->auth)
        secret_free(l->auth);
    buf_close(&l->out);
    free(l);
}

/* ---- traffic -------------------------------------------------------------------------
 */

int redis_link_fd(const struct redis_link *l)
{
    return l->fd;
}

short redis_link_events(const struct redis_link *l)
{
    bool writes = l->connecting || (redis_link_ready(l) && l->sent < l->out.size);
    return (short)(POLLIN | (writes ? POLLOUT : 0));
}

bool redis_link_ready(const struct redis_link *l)
{
    return !l->connecting && (!l->wants_auth || l->authed);
}

size_t redis_link_unsent(const struct redis_link *l)
{
    return l->out.size - l->sent;
}

const char *redis_link_why(const struct redis_link *l)
{
    return l->why;
}

bool redis_link_send(struct redis_link *l, size_t count, const struct bytes words[])
{
    const char *argv[WORDS_MAX];
    size_t sizes[WORDS_MAX];
    char *command = NULL;
    assert(count <= WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        argv[i] = (const char *)words[i].data;
        sizes[i] = words[i].size;
    }
    int size = (int)redisFormatCommandArgv(&command, (int)count, argv, sizes);
    bool ok = size > 0 && redis_link_unsent(l) + (size_t)size <= REDIS_UNSENT_MAX;
    if (ok && l->sent > 0) { /* what is out makes room */
        memmove(l->out.data, l->out.data + l->sent, l->out.size - l->sent);
        l->out.size -= l->sent;
        l->sent = 0;
    }
    ok = ok && buf_add(&l->out, command, (size_t)size);
    if (size > 0)
        redisFreeCommand(command);
    return ok;
}

static enum err finish_connect(struct redis_link *l)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error != 0)
        return fail(l, "connect", strerror(error));
    l->connecting = false;
    if (!l->wants_auth)
        return ERR_OK;
    /* A fresh socket takes these few bytes whole. */
    ssize_t n = send(l->fd, l->auth, l->auth_size, MSG_NOSIGNAL);
    bool whole = n == (ssize_t)l->auth_size;
    secret_free(l->auth);
    l->auth = NULL;
    return whole ? ERR_OK : fail(l, "AUTH could not be sent", "");
}

static enum err write_some(struct redis_link *l)
{
    while (l->sent < l->out.size) {
        ssize_t n =
            send(l->fd, l->out.data + l->sent, l->out.size - l->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return ERR_OK;
        if (n < 0)
            return fail(l, "send", strerror(errno));
        l->sent += (size_t)n;
    }
    l->out.size = l->sent = 0;
    return ERR_OK;
}

static enum err take_auth(struct redis_link *l, const redisReply *r)
{
    if (r->type == REDIS_REPLY_ERROR)
        return fail(l, "AUTH", r->str);
    if (r->type != REDIS_REPLY_STATUS)
        return fail(l, "AUTH: not a Redis", "");
    l->authed = true;
    return ERR_OK;
}

static enum err take_replies(struct redis_link *l,
                             void (*each)(void *context, const struct redis_reply *r),
                             void *context)
{
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        void *got = NULL;
        if (redisReaderGetReply(l->reader, &got) != REDIS_OK)
            return fail(l, "not RESP, or a list too long", l->reader->errstr);
        if (!got)
            return l->fed <= REDIS_REPLY_MAX ? ERR_OK : fail(l, "a reply over 1 MiB", "");
        /* What stands behind this reply in what was fed counts for the next one. */
        l->fed = l->reader->len - l->reader->pos;
        if (l->wants_auth && !l->authed) {
            e = take_auth(l, got);
        } else {
            struct redis_reply r;
            show(&r, got);
            each(context, &r);
        }
        freeReplyObject(got);
    }
    return e;
}

static enum err read_some(struct redis_link *l,
                          void (*each)(void *context, const struct redis_reply *r),
                          void *context)
{
    static _Thread_local char room[READ_BYTES];
    for (unsigned i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(l->fd, room, sizeof(room), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return ERR_OK;
        if (n <= 0)
            return fail(l, n < 0 ? "receive" : "closed by the server",
                        n < 0 ? strerror(errno) : "");
        l->fed += (size_t)n;
        if (redisReaderFeed(l->reader, room, (size_t)n) != REDIS_OK)
            return fail(l, "reader", l->reader->errstr);
        TRY(take_replies(l, each, context));
        if ((size_t)n < sizeof(room))
            return ERR_OK;
    }
    return ERR_OK;
}

enum err redis_link_serve(struct redis_link *l, short revents,
                          void (*each)(void *context, const struct redis_reply *r),
                          void *context)
{
    if (l->connecting && (revents & (POLLOUT | POLLERR | POLLHUP)))
        TRY(finish_connect(l));
    if (l->connecting)
        return ERR_OK;
    if (revents & (POLLIN | POLLERR | POLLHUP))
        TRY(read_some(l, each, context));
    return redis_link_ready(l) ? write_some(l) : ERR_OK;
}
