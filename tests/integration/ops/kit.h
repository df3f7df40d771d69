/* What the tests of operation share: one question at a relay's admin socket, and the causes
 * that `why` names. Tests only: failures end the test with a sentence. */
#ifndef TESTS_INTEGRATION_OPS_KIT_H
#define TESTS_INTEGRATION_OPS_KIT_H

#include <jansson.h>

#include "tests/lib/hubproc.h"
#include "tests/lib/wirekit.h"

#define OPS_WAIT_MS 15000u

/* A hub in memory with these settings ("section.key=value") and an admin socket; and its end,
 * which must be a clean one. */
void ops_start(struct hubproc *h, unsigned count, const char *const settings[]);
void ops_stop(struct hubproc *h);
/* Give a hub that is not started yet a socket in its folder. */
void ops_socket(struct hubproc *h);
/* The answer to {"do": what}; to be released. */
json_t *ops_ask(const struct hubproc *h, const char *what);
/* The first cause that `why` names now, "" when nothing is wrong; valid until the next
 * call. */
const char *ops_why(const struct hubproc *h);
/* Wait until `why` names this cause first ("": nothing is wrong). Returns the finding (NULL
 * for ""), valid until the next call of these; fails the test when it does not. */
const json_t *ops_expect(const struct hubproc *h, const char *cause);
/* A text of a finding: "said", "seen"; and the i-th thing to try. */
const char *ops_text(const json_t *finding, const char *member);
const char *ops_try(const json_t *finding, size_t i);
void ops_nap(unsigned ms);

/* One frame that submits the same entry again and again, its signature spoiled. */
struct ops_flood {
    uint8_t frame[200000];
    size_t size;
};
void ops_make_flood(struct ops_flood *f, struct wirekit *k, size_t count);
/* Send as much as is taken, and read what comes. Returns the frames read. */
unsigned ops_pump(struct wirekit *k, const struct ops_flood *f);
/* One value of /metrics, by its whole name with labels; 0 when it is not there. */
double ops_metric(const struct hubproc *h, const char *name);

/* Release what ops_why and ops_expect keep. */
void ops_close(void);

#endif
