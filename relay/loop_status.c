/* The body of /v1/status: what an operator's tool wants to know, as JSON. */
#include "relay/loop_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "relay/bus_redis.h"
#include "relay/clock.h"
#include "relay/follow.h"

#define UNHEARD_MAX 200u

static json_t *slots_json(struct loop *l)
{
    json_t *list = json_array();
    uint64_t now = clock_wall_ms();
    for (uint32_t slot = 0; slot < l->r->slots; slot++) {
        const struct published *p = &l->published[slot];
        char root[2 * HASH_BYTES + 1];
        hex_encode(root, p->root.b, HASH_BYTES);
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:I, s:s, s:I}", "slot", (int)slot, "origin",
                            l->r->log_vkeys[slot].name, "size", (json_int_t)p->size,
                            "root", root, "checkpoint_age_ms",
                            (json_int_t)(now > p->time_ms ? now - p->time_ms : 0)));
    }
    return list;
}

static json_t *queues_json(struct loop *l)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "inflight_entries",
                     (json_int_t)l->inflight, "inflight_reads", (json_int_t)l->reads,
                     "verify_jobs", (json_int_t)queue_count(&l->r->verify.in),
                     "commit_jobs", (json_int_t)queue_count(&l->r->commit),
                     "reader_requests", (json_int_t)atomic_load(&l->r->reads_waiting),
                     "channel_items",
                     (json_int_t)metrics_value(l->r->metrics, METRIC_CHANNEL_ITEMS, 0));
}

/* The scheme only: a URI may name what is nobody's business. */
static void scheme_of(const char *uri, char out[16])
{
    size_t n = strcspn(uri, ":");
    n = n < 15 ? n : 15;
    memcpy(out, uri, n);
    out[n] = 0;
}

/* Slots of other relays, and what tells of them. NULL: a hub of one process. */
static json_t *follow_json(const struct loop *l)
{
    struct bus_redis_state bus;
    char unheard[UNHEARD_MAX];
    const struct metrics *m = l->r->metrics;
    if (!l->r->follow)
        return NULL;
    json_t *j = json_pack("{s:I, s:I}", "loading_slots",
                          (json_int_t)follow_loading(l->r), "age_ms",
                          (json_int_t)metrics_value(m, METRIC_FOLLOW_AGE, 0));
    if (j && follow_bus(l->r, &bus))
        json_object_set_new(
            j, "bus",
            json_pack("{s:b, s:s, s:I, s:s, s:I, s:s}", "up", bus.up, "where", bus.where,
                      "since_ms", (json_int_t)(clock_mono_ms() - bus.since_ms), "why",
                      bus.why, "unheard_relays",
                      (json_int_t)follow_unheard(l->r, unheard, sizeof(unheard)),
                      "unheard", unheard));
    return j;
}

struct json_t *status_object(struct loop *l)
{
    char federation[2 * HASH_BYTES + 1], relay[2 * PUBKEY_BYTES + 1], scheme[16];
    enum err write = (enum err)atomic_load(&l->r->write_state);
    if (l->draining)
        write = ERR_DRAINING;
    hex_encode(federation, l->r->federation.b, HASH_BYTES);
    hex_encode(relay, l->r->relay_public.b, PUBKEY_BYTES);
    scheme_of(settings(l->r)->store.uri, scheme);
    struct metrics *m = l->r->metrics;
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:s, s:I, s:I, s:I, s:o, s:o, "
        "s:{s:s, s:I}}",
        "schema", "stoa/status/1", "version", STOA_VERSION, "hub", l->r->hub, "region",
        settings(l->r)->hub.region, "federation", federation, "relay_key", relay,
        "uptime_ms", (json_int_t)(clock_mono_ms() - l->began_ms), "ready_read",
        !l->draining && !atomic_load(&l->r->store_away) && follow_joined(l->r), "ready_write", write == ERR_OK, "write_state", err_word(write),
        "connections", (json_int_t)l->ws_count, "subscriptions",
        (json_int_t)l->topics.subs, "accounts",
        (json_int_t)metrics_value(m, METRIC_ACCOUNTS, 0), "queues", queues_json(l),
        "slots", slots_json(l), "store", "kind", scheme, "free_bytes",
        (json_int_t)metrics_value(m, METRIC_STORE_FREE, 0));
    if (!j)
        return NULL;
    const struct memory_plan *p = &l->r->plan;
    json_object_set_new(
        j, "memory",
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "physical_bytes",
                  (json_int_t)p->physical, "reserved_bytes", (json_int_t)p->reserved,
                  "safety_bytes", (json_int_t)p->safety, "allocatable_bytes",
                  (json_int_t)p->allocatable, "connections", (json_int_t)p->connections,
                  "message_limit_bytes", (json_int_t)p->messages, "message_bytes",
                  (json_int_t)frames_bytes(), "tight", l->tight));
    json_t *witness = witness_json(l), *cosign = cosign_json(l), *follow = follow_json(l);
    json_t *relay_of = relay_json(l);
    if (relay_of)
        json_object_set_new(j, "relay", relay_of);
    if (follow)
        json_object_set_new(j, "follow", follow);
    if (witness)
        json_object_set_new(j, "witness", witness);
    if (cosign)
        json_object_set_new(j, "cosign", cosign);
    return j;
}

struct frame *status_json(struct loop *l)
{
    json_t *j = status_object(l);
    if (!j)
        return NULL;
    char *text = json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    if (!text)
        return NULL;
    size_t size = strlen(text);
    struct frame *f = frame_new(size + 1);
    if (f) {
        memcpy(frame_data(f), text, size);
        frame_data(f)[size] = '\n';
        f->size = (uint32_t)size + 1;
    }
    free(text);
    return f;
}
