/* One connection to a Redis: non-blocking, RESP2, nothing kept of what was said. The only
 * place that sees hiredis, of which it uses the reader and the formatter: its own event
 * loop adapters miss a refused connection (0.14), and its asynchronous API does not know
 * sharded pub/sub. Format: https://redis.io/docs/latest/develop/reference/protocol-spec/
 *
 * The other end may be anybody: a reply larger than REDIS_REPLY_MAX, a list of more than
 * REDIS_LIST_MAX things, or what is no RESP ends the connection. One thread at a time. An
 * edge: sockets, heap; redis_link_connect may ask the resolver and so wait. */
#ifndef RELAY_REDIS_LINK_H
#define RELAY_REDIS_LINK_H

#include <stdint.h>

#include "ledger/bytes.h"
#include "ledger/err.h"
#include "relay/redis_address.h"

#define REDIS_REPLY_MAX (1u << 20)
#define REDIS_LIST_MAX 16u
#define REDIS_UNSENT_MAX (4u << 20) /* waiting for the socket */
#define REDIS_PASSWORD_MAX 512

enum redis_kind { REDIS_TEXT, REDIS_NUMBER, REDIS_NOTHING, REDIS_LIST, REDIS_FAILED };
/* Spans are borrowed for the call. */
struct redis_reply {
    enum redis_kind kind; /* FAILED: an error reply, its text in item[0] */
    int64_t number;
    size_t count; /* of items: 1 for TEXT and FAILED, 0 for NUMBER and NOTHING */
    struct bytes item[REDIS_LIST_MAX];   /* text; a number in a list is empty here .. */
    int64_t item_number[REDIS_LIST_MAX]; /* .. and stands here */
};

struct redis_link; /* hides the reader */

/* Begin a connection and, with a passfile, say who we are. A name with several addresses:
 * the attempt's number chooses. `why`: REDIS_WHY_MAX. ERR_NET; ERR_FILE: the passfile;
 * ERR_MEMORY. */
MUST_CHECK enum err redis_link_open(struct redis_link **out,
                                    const struct redis_address *a, unsigned attempt,
                                    char *why);
void redis_link_close(struct redis_link *l); /* NULL is allowed */

/* What to poll for. */
int redis_link_fd(const struct redis_link *l);
short redis_link_events(const struct redis_link *l);
/* poll() said so. Each whole reply is handed over in order; the answer to AUTH is dealt
 * with here. ERR_NET: lost, close it; redis_link_why says why. */
MUST_CHECK enum err
redis_link_serve(struct redis_link *l, short revents,
                 void (*each)(void *context, const struct redis_reply *r), void *context);
/* Queue a command, length-prefixed. False: REDIS_UNSENT_MAX would be passed; nothing was
 * queued. */
bool redis_link_send(struct redis_link *l, size_t count, const struct bytes words[]);
/* Connected, and known to the server where there is a password. */
bool redis_link_ready(const struct redis_link *l);
size_t redis_link_unsent(const struct redis_link *l);
const char *redis_link_why(const struct redis_link *l);

#endif
