/* stoactl witness status: the logs a hub witnesses, and who witnesses the hub's. */
#include "relay/stoactl.h"

#include <stdio.h>

int ctl_witness_status(struct ctl *c)
{
    json_t *answer;
    int http_status;
    int code = ctl_fetch_status(c, &answer, &http_status);
    if (code != EXIT_DONE)
        return code;
    json_t *witness = json_object_get(answer, "witness");
    json_t *cosign = json_object_get(answer, "cosign");
    if (!witness && !cosign) {
        json_decref(answer);
        return ctl_fail(c, EXIT_NO, ERR_NOT_FOUND,
                        "set witness.logs or cosign.policy; see docs/OPERATIONS.md",
                        "this hub witnesses no log and asks no witness");
    }
    bool met = !cosign || json_is_true(json_object_get(cosign, "quorum_met"));
    if (c->json) {
        c->out = json_object();
        if (witness)
            json_object_set(c->out, "witness", witness);
        if (cosign)
            json_object_set(c->out, "cosign", cosign);
    } else {
        if (witness)
            ctl_print_value("witness", witness);
        if (cosign)
            ctl_print_value("cosign", cosign);
    }
    json_decref(answer);
    return ctl_finish(c, met ? EXIT_DONE : EXIT_NO);
}
