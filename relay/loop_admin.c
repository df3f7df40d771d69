/* What the operator's door asks of the loop: status, drain, reload. */
#include "relay/loop_internal.h"

#include <jansson.h>

#include "relay/admin.h"
#include "relay/reload.h"

static json_t *drain_answer(struct loop *l)
{
    bool already = l->draining;
    loop_drain(l);
    return json_pack("{s:b, s:I, s:I, s:I}", "already", already, "connections",
                     (json_int_t)l->conn_count, "inflight_entries",
                     (json_int_t)l->inflight, "grace_ms",
                     (json_int_t)settings(l->r)->drain.grace_ms);
}

static json_t *reload_answer(struct loop *l)
{
    json_t *report = NULL;
    loop_reload(l, &report);
    return report;
}

void on_admin(struct loop *l)
{
    for (struct admin_ask *ask; (ask = admin_take(l->r->admin));) {
        switch (ask->verb) {
        case ADMIN_STATUS:
            ask->answer = status_object(l);
            break;
        case ADMIN_DRAIN:
            ask->answer = drain_answer(l);
            break;
        case ADMIN_RELOAD:
            ask->answer = reload_answer(l);
            break;
        default: /* answered by the admin thread */
            break;
        }
        admin_give(l->r->admin, ask);
    }
}
