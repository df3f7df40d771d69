/* A source whose checkpoints stay what they were at the first look, while the log behind it
 * grows: what is audited and what is exported are then one and the same tree. */
#ifndef CLIENT_AUDIT_EXPORT_HOLD_H
#define CLIENT_AUDIT_EXPORT_HOLD_H

#include "client/audit/source.h"

/* Takes `inner` over, and closes it, also after an error. ERR_MEMORY. */
MUST_CHECK enum err export_hold(struct audit_source **out, struct audit_source *inner);

#endif
