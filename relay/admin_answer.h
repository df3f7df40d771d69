/* What the operator's door answers by itself, from the vitals, the metrics and a look at the
 * store's server: lag, top, why. Admin thread; `why` may take as long as the server does not
 * answer. Each is a new JSON object; NULL: no memory. */
#ifndef RELAY_ADMIN_ANSWER_H
#define RELAY_ADMIN_ANSWER_H

struct relay;
struct json_t;

/* What is behind, by how many entries and for how long; null where that is not known. */
struct json_t *answer_lag(struct relay *r);
/* Rates of the last ten seconds, and the addresses that send the most. */
struct json_t *answer_top(struct relay *r);
/* relay/why.h over the present snapshot. */
struct json_t *answer_why(struct relay *r);

#endif
