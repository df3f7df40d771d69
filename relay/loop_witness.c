/* Members "witness" and "cosign" of /v1/status: the logs witnessed here, and who witnesses
 * this hub's. Loop thread. */
#include "relay/loop_internal.h"

#include <jansson.h>

#include "relay/cosigner.h"
#include "relay/witness_door.h"

json_t *witness_json(struct loop *l)
{
    struct witness_door *d = l->r->witness;
    struct witness_door_log log;
    char vkey[VKEY_TEXT_MAX];
    json_t *logs = json_array();
    if (!d || !vkey_format(witness_door_vkey(d), vkey, sizeof(vkey))) {
        json_decref(logs);
        return NULL;
    }
    for (size_t i = 0; witness_door_log(d, i, &log); i++)
        json_array_append_new(
            logs, json_pack("{s:s, s:I, s:I}", "origin", log.origin, "size",
                            (json_int_t)log.size, "time", (json_int_t)log.time));
    return json_pack("{s:s, s:o}", "vkey", vkey, "logs", logs);
}

json_t *cosign_json(struct loop *l)
{
    struct cosigner *c = l->r->cosigner;
    struct cosign_witness w;
    struct cosign_state s;
    bool met = true;
    if (!c)
        return NULL;
    const struct policy *p = cosigner_policy(c);
    json_t *logs = json_array(), *witnesses = json_array();
    for (uint32_t slot = 0; slot < l->r->slots; slot++) {
        cosigner_slot(c, slot, &s);
        met = met && s.fresh;
        json_array_append_new(
            logs, json_pack("{s:i, s:I, s:I, s:b}", "slot", (int)slot, "size",
                            (json_int_t)s.newest, "cosigned_size", (json_int_t)s.size,
                            "quorum", s.fresh));
    }
    for (unsigned i = 0; i < p->witness_count; i++) {
        cosigner_witness(c, i, &w);
        json_array_append_new(
            witnesses,
            json_pack("{s:s, s:b, s:I, s:I, s:I, s:b}", "name", p->witnesses[i].name,
                      "asked", p->witnesses[i].url[0] != 0, "cosigned",
                      (json_int_t)w.cosigned, "failed", (json_int_t)w.failed, "last_time",
                      (json_int_t)w.seen_seconds, "backing_off", w.backing_off));
    }
    return json_pack("{s:b, s:o, s:o}", "quorum_met", met, "witnesses", witnesses, "logs",
                     logs);
}
