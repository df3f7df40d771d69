/* Settings in force, and their reload: the same for SIGHUP and `stoactl reload`. All or
 * nothing: a file with a problem changes no key; without one, [reload] keys take effect
 * and [restart] keys are told as waiting. Loop thread only. */
#ifndef RELAY_RELOAD_H
#define RELAY_RELOAD_H

#include <stdbool.h>

#include "ledger/err.h"
#include "relay/config.h"

struct relay;
struct settings_made;
struct tls;
struct json_t;

/* A copy of `c`, kept until settings_free; NULL: no memory. */
struct settings_made *settings_copy(struct relay *r, const struct relay_config *c);
void settings_free(struct relay *r);

/* The certificate and key that `c` names; *out is NULL where it names none. Errors and `why`
 * as tls_load. Released by tls_free. */
MUST_CHECK enum err settings_tls(struct tls **out, const struct relay_config *c, char *why);
/* `t` (NULL: none) is in force at the client port now: metric and trace. */
void settings_tls_told(struct relay *r, const struct tls *t);

/* Read the settings again, and the certificate with its key, and take over those that may change while running; says what it
 * did in the trace and, when `report` is not NULL, as a JSON object (new reference; NULL:
 * no memory): generation, applied[] and needs_restart[] with key, old and new value (a
 * renewed certificate is told there as "certificate"),
 * unchanged; or problems[] and text. False: something is wrong with them, nothing was
 * changed. */
bool relay_reload(struct relay *r, struct json_t **report);

#endif
