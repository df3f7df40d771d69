/* The operator's door: a thread that answers at the unix socket listen.admin, one request
 * after another. What only the loop can do (status, drain, reload) is handed to it and
 * waited for; the rest is answered here from what the loop left behind every second
 * (relay/vitals.h), so that `why` works while the loop hangs. Who may ask, and the form of
 * requests and answers: relay/admin_socket.h; the verbs: docs/OPERATIONS.md. */
#ifndef RELAY_ADMIN_H
#define RELAY_ADMIN_H

#include "ledger/err.h"
#include "relay/queue.h"

#define ADMIN_PATIENCE_MS 2000u /* for the line of a request, and for its reader */
#define ADMIN_LOOP_MS 5000u     /* for the loop's answer; a reload reads files */
#define ADMIN_ASKS_MAX 8u       /* asked of the loop and not answered: past it none is */

struct relay;
struct admin;
struct json_t;

/* verb, word, answer by the admin thread itself; NULL: the loop's */
#define ADMIN_VERBS(X)                                                                   \
    X(LAG, "lag", answer_lag)                                                            \
    X(TOP, "top", answer_top)                                                            \
    X(WHY, "why", answer_why)                                                            \
    X(STATUS, "status", NULL)                                                            \
    X(DRAIN, "drain", NULL)                                                              \
    X(RELOAD, "reload", NULL)

#define ADMIN_ENUM_(verb, word, answer) ADMIN_##verb,
enum admin_verb { ADMIN_VERBS(ADMIN_ENUM_) ADMIN_VERB_COUNT };
#undef ADMIN_ENUM_

/* A question to the loop, and its answer. Has one owner at a time. */
struct admin_ask {
    struct link link;
    enum admin_verb verb;
    uint64_t number;
    struct json_t *answer; /* owned; NULL: no memory */
};

/* Listens and starts the thread; *out stays NULL when there is to be no socket. `why`
 * (ADMIN_WHY_MAX room) is a sentence. Errors of admin_listen, ERR_MEMORY. */
MUST_CHECK enum err admin_open(struct admin **out, struct relay *r, char *why);
/* Loop thread: the next question, to be given back; NULL: none (also when a is NULL). */
struct admin_ask *admin_take(struct admin *a);
void admin_give(struct admin *a, struct admin_ask *ask);
/* Ends the thread and removes the socket. The loop has stopped. */
void admin_close(struct admin *a);

#endif
