/* A web server between an auditor and a hub that can lie: it passes GETs on, or changes the
 * answer. One thread, one request a connection. */
#ifndef TESTS_INTEGRATION_AUDIT_IO_LIAR_H
#define TESTS_INTEGRATION_AUDIT_IO_LIAR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct liar {
    uint16_t hub_port, port;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock; /* held for an answer; hold it to change or read what follows */
    _Atomic bool stop;
    bool silent;               /* answers 503 to all */
    char flip[128];            /* paths with this in them: last byte changed */
    char shorten[128];         /* and these are cut by half */
    char checkpoint_path[128]; /* this one gets `checkpoint` instead */
    char checkpoint[2048];
    int busy; /* so many more answers are 503 with Retry-After: 1 */
    int asked;
};

bool liar_open(struct liar *l, uint16_t hub_port);
void liar_close(struct liar *l);

#endif
