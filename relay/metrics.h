/* What a relay counts and shows at /metrics, from one table. Prometheus text format
 * 0.0.4; names begin with stoa_, units are seconds and bytes, labels have few fixed
 * values: never an account, a key or an address. Every cell is there from metrics_open
 * on: no heap after it, relaxed atomics only, any thread. */
#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ledger/bytes.h"
#include "ledger/err.h"

/* Label sets: the index of a value is what the calls below take. */
enum metric_state {
    M_STATE_STARTING,
    M_STATE_SERVING,
    M_STATE_DRAINING,
    M_STATE_STOPPED
};
enum metric_ready { M_READY_READ, M_READY_WRITE };
enum metric_verdict { M_VERDICT_OK, M_VERDICT_BAD };
enum metric_op { M_OP_OPEN, M_OP_APPEND, M_OP_READ, M_OP_SNAPSHOT, M_OP_SEALED };
enum metric_queue { M_QUEUE_VERIFY, M_QUEUE_SEQUENCE, M_QUEUE_COMMIT, M_QUEUE_OUTBOX };
enum metric_settle { M_SETTLE_CREDIT, M_SETTLE_BOUNCE };
enum metric_limit {
    M_LIMIT_TOTAL,
    M_LIMIT_ADDRESS,
    M_LIMIT_ORIGIN,
    M_LIMIT_HANDSHAKE,
    M_LIMIT_RATE,
    M_LIMIT_INFLIGHT,
    M_LIMIT_SUBSCRIPTIONS,
    M_LIMIT_QUEUE,
    M_LIMIT_RATE_ADDRESS,
    M_LIMIT_RATE_ACCOUNT,
    M_LIMIT_TARPIT,
    M_LIMIT_MEMORY
};
enum metric_direction { M_DIRECTION_IN, M_DIRECTION_OUT };
enum metric_scope { M_SCOPE_LOCAL };
enum metric_transport { M_TRANSPORT_WEBSOCKET, M_TRANSPORT_HTTP };
/* Of requests: frames by their name, HTTP by what is asked for. */
enum metric_route {
    M_ROUTE_HELLO,
    M_ROUTE_SUBMIT,
    M_ROUTE_SUBSCRIBE,
    M_ROUTE_FETCH,
    M_ROUTE_PROOF,
    M_ROUTE_CHECKPOINT,
    M_ROUTE_HEAD,
    M_ROUTE_SETTLEMENT,
    M_ROUTE_SEALED,
    M_ROUTE_OTHER,
    M_ROUTE_HTTP_LOG,
    M_ROUTE_HTTP_STATUS,
    M_ROUTE_HTTP_METRICS,
    M_ROUTE_HTTP_OTHER,
    M_ROUTE_HTTP_WITNESS
};
/* Of POST /witness/add-checkpoint. */
enum metric_witnessed {
    M_WITNESSED_COSIGNED,
    M_WITNESSED_MALFORMED,
    M_WITNESSED_UNSIGNED,
    M_WITNESSED_UNKNOWN,
    M_WITNESSED_CONFLICT,
    M_WITNESSED_REFUSED,
    M_WITNESSED_LIMITED,
    M_WITNESSED_FAILED
};
/* Messages to other relays that were not sent. */
enum metric_bus_drop { M_BUS_DROP_DOWN, M_BUS_DROP_FULL };
/* Messages from other relays: enum bus_why of federation/bus.h, and what was too much. */
#define M_BUS_HEARD_LATE BUS_WHYS
enum metric_source { M_SOURCE_BUS, M_SOURCE_STORE };
/* Of an entry handed to the owner of its slot; M_FORWARD_OWN: the slot became ours. */
enum metric_forward {
    M_FORWARD_ACCEPTED,
    M_FORWARD_REFUSED,
    M_FORWARD_BUSY,
    M_FORWARD_UNAVAILABLE,
    M_FORWARD_OWN
};
enum metric_link { M_LINK_UP, M_LINK_DOWN };
/* Of a slot taken: its last owner fell silent, or nobody had it; of one that was left. */
enum metric_taken { M_TAKEN_ORPHAN, M_TAKEN_FREE };
enum metric_left { M_LEFT_LOST, M_LEFT_GIVEN };
#define METRIC_WITNESSES_MAX 63
#define METRIC_WITNESS_NAME_MAX 64 /* what is longer is cut */
enum metric_code { M_CODE_OK, M_CODE_REFUSED, M_CODE_FAILED };

/* name, kind, text name without prefix, label a, label b, unit, help.
 * Units: ONE; MS and US are kept as integers and shown as seconds. Histogram buckets
 * follow the unit. Labels: words of metrics.c. */
#define METRIC_LIST(X)                                                                   \
    X(METRIC_READY, GAUGE, "ready", KIND, NONE, ONE,                                     \
      "1 when requests of this kind are served")                                         \
    X(METRIC_HUB_STATE, GAUGE, "hub_state", STATE, NONE, ONE, "1 for the present state") \
    X(METRIC_COMMITTED, COUNTER, "entries_committed_total", NONE, NONE, ONE,             \
      "entries and hub records made durable")                                            \
    X(METRIC_REJECTED, COUNTER, "entries_rejected_total", REASON, NONE, ONE,             \
      "entries refused, by error word")                                                  \
    X(METRIC_DUPLICATE, COUNTER, "entries_duplicate_total", NONE, NONE, ONE,             \
      "entries sent again and answered with their old place")                            \
    X(METRIC_LEDGER_SIZE, GAUGE, "ledger_size_entries", NONE, NONE, ONE,                 \
      "records in all slots' logs")                                                      \
    X(METRIC_ACCOUNTS, GAUGE, "accounts", NONE, NONE, ONE, "accounts at home here")      \
    X(METRIC_REQUEST, HISTOGRAM, "request_duration_seconds", ROUTE, CODE, US,            \
      "from a request's last byte to its answer's first")                                \
    X(METRIC_SETTLE, HISTOGRAM, "settle_duration_seconds", SCOPE, NONE, US,              \
      "from a transfer's commit to its last payee's credit or bounce")                   \
    X(METRIC_SETTLED, COUNTER, "payments_settled_total", SETTLE, NONE, ONE,              \
      "channel items settled")                                                           \
    X(METRIC_CHANNEL_ITEMS, GAUGE, "channel_pending_items", NONE, NONE, ONE,             \
      "payments debited and not settled yet")                                            \
    X(METRIC_INFLIGHT, GAUGE, "inflight_requests", NONE, NONE, ONE,                      \
      "entries and questions taken and not answered yet")                                \
    X(METRIC_CONNECTIONS, GAUGE, "client_connections", TRANSPORT, NONE, ONE, "open now") \
    X(METRIC_SUBSCRIPTIONS, GAUGE, "subscriptions", NONE, NONE, ONE, "open now")         \
    X(METRIC_QUEUE, GAUGE, "queue_entries", QUEUE, NONE, ONE, "entries waiting")         \
    X(METRIC_UNSENT, GAUGE, "unsent_bytes", NONE, NONE, ONE,                             \
      "bytes waiting for clients to read them")                                          \
    X(METRIC_MEMORY_USED, GAUGE, "message_bytes", NONE, NONE, ONE,                       \
      "messages in memory, in and out, of all clients")                                  \
    X(METRIC_MEMORY_MAX, GAUGE, "message_limit_bytes", NONE, NONE, ONE,                  \
      "what they may take by the memory plan")                                           \
    X(METRIC_SLOW_MOVED, COUNTER, "slow_readers_moved_total", NONE, NONE, ONE,           \
      "subscriptions moved from live back to catch-up")                                  \
    X(METRIC_SLOW_CUT, COUNTER, "slow_readers_cut_total", NONE, NONE, ONE,               \
      "connections closed because nothing was read")                                     \
    X(METRIC_LIMITED, COUNTER, "ratelimit_rejections_total", LIMIT, NONE, ONE,           \
      "connections, frames or entries turned away by a limit")                           \
    X(METRIC_FRAMES, COUNTER, "frames_total", DIRECTION, NONE, ONE,                      \
      "WebSocket messages")                                                              \
    X(METRIC_BYTES, COUNTER, "wire_bytes_total", DIRECTION, NONE, ONE,                   \
      "bytes of WebSocket messages")                                                     \
    X(METRIC_VERIFY, COUNTER, "signature_verify_total", VERDICT, NONE, ONE,              \
      "entry signatures checked")                                                        \
    X(METRIC_VERDICT, HISTOGRAM, "verify_duration_seconds", NONE, NONE, US,              \
      "from a frame's arrival to the verdict over a job of its entries")                 \
    X(METRIC_COMMIT, HISTOGRAM, "commit_duration_seconds", NONE, NONE, US,               \
      "one durable transaction")                                                         \
    X(METRIC_BATCH, HISTOGRAM, "commit_batch_entries", NONE, NONE, ONE,                  \
      "records in one transaction")                                                      \
    X(METRIC_CHECKPOINT_SIZE, GAUGE, "checkpoint_size_entries", NONE, NONE, ONE,         \
      "records under the newest published checkpoints, all slots")                       \
    X(METRIC_CHECKPOINT_TIME, GAUGE, "checkpoint_timestamp_seconds", NONE, NONE, MS,     \
      "when the newest checkpoint was published")                                        \
    X(METRIC_STORE_ERRORS, COUNTER, "store_errors_total", OP, NONE, ONE,                 \
      "store calls that failed")                                                         \
    X(METRIC_STORE_FREE, GAUGE, "store_free_bytes", NONE, NONE, ONE,                     \
      "room on the store's disk")                                                        \
    X(METRIC_STORE_BYTES, GAUGE, "store_size_bytes", NONE, NONE, ONE,                    \
      "size of the store")                                                               \
    X(METRIC_PROJECTION_KNOWN, GAUGE, "projection_known", NONE, NONE, ONE,               \
      "1 while projections can be read and somebody has begun every slot's; else the "   \
      "three below mean nothing")                                                        \
    X(METRIC_PROJECTION_RECORDS, GAUGE, "projection_records", NONE, NONE, ONE,           \
      "records the projections hold, all slots")                                         \
    X(METRIC_PROJECTION_BEHIND, GAUGE, "projection_behind_records", NONE, NONE, ONE,     \
      "records they do not hold yet, all slots")                                         \
    X(METRIC_PROJECTION_AGE, GAUGE, "projection_age_seconds", NONE, NONE, MS,            \
      "since the slot that was looked at least lately was looked at for more records")     \
    X(METRIC_REPLICA_UP, GAUGE, "replica_up", NONE, NONE, ONE,                           \
      "1 while store.replica answers")                                                   \
    X(METRIC_REPLICA_AGE, GAUGE, "replica_age_seconds", NONE, NONE, MS,                  \
      "age of what the replica shows, of the slot that is oldest there")                 \
    X(METRIC_REPLICA_READS, COUNTER, "replica_reads_total", NONE, NONE, ONE,             \
      "tiles and pages of records that store.replica answered")                          \
    X(METRIC_RELOAD_OK, GAUGE, "config_last_reload_successful", NONE, NONE, ONE,         \
      "1 when the last reload was applied")                                              \
    X(METRIC_RELOAD_TIME, GAUGE, "config_last_reload_success_timestamp_seconds", NONE,   \
      NONE, MS, "when a reload was last applied")                                        \
    X(METRIC_GENERATION, GAUGE, "config_generation", NONE, NONE, ONE,                    \
      "reloads applied since the start, plus 1")                                         \
    X(METRIC_RESTART, GAUGE, "config_restart_required", NONE, NONE, ONE,                 \
      "changed settings that wait for a restart")                                        \
    X(METRIC_TLS_END, GAUGE, "tls_certificate_not_after_timestamp_seconds", NONE, NONE,  \
      MS, "when the certificate of the client port ends; 0 is plain")                    \
    X(METRIC_WITNESSED, COUNTER, "witness_requests_total", WITNESSED, NONE, ONE,         \
      "checkpoints of other logs brought here to be cosigned")                           \
    X(METRIC_WITNESS_FORKS, COUNTER, "witness_forks_total", NONE, NONE, ONE,             \
      "signed forks of witnessed logs, refused and kept as evidence")                    \
    X(METRIC_COSIGNED, COUNTER, "cosign_received_total", WITNESS, NONE, ONE,             \
      "cosignatures of this hub's checkpoints")                                          \
    X(METRIC_COSIGN_FAILED, COUNTER, "cosign_failures_total", WITNESS, NONE, ONE,        \
      "questions to a witness that brought none")                                        \
    X(METRIC_COSIGN_SEEN, GAUGE, "cosign_last_timestamp_seconds", WITNESS, NONE, MS,     \
      "when a witness last cosigned")                                                    \
    X(METRIC_COSIGN_QUORUM, GAUGE, "cosign_quorum_met", NONE, NONE, ONE,                 \
      "1 while every log serves a checkpoint that met the quorum")                       \
    X(METRIC_COSIGN_BELOW, GAUGE, "cosign_logs_below_quorum", NONE, NONE, ONE,           \
      "logs whose newest checkpoint is served without a quorum")                         \
    X(METRIC_BUS_UP, GAUGE, "bus_up", NONE, NONE, ONE,                                   \
      "1 while this relay publishes on the bus and listens to every slot's channel")     \
    X(METRIC_BUS_UNHEARD, GAUGE, "bus_relays_unheard", NONE, NONE, ONE,                  \
      "relays of this hub that live and were not heard on the bus for 5 s")              \
    X(METRIC_BUS_PUBLISHED, COUNTER, "bus_published_total", NONE, NONE, ONE,             \
      "messages to other relays handed to the bus")                                      \
    X(METRIC_BUS_DROPPED, COUNTER, "bus_publish_dropped_total", BUSDROP, NONE, ONE,      \
      "messages to other relays that were not sent; the store has what they told")       \
    X(METRIC_BUS_HEARD, COUNTER, "bus_heard_total", BUSHEARD, NONE, ONE,                 \
      "messages from the bus by what became of them; only \"used\" was believed")        \
    X(METRIC_FOLLOWED, COUNTER, "followed_records_total", SOURCE, NONE, ONE,             \
      "records of other relays' slots taken over, by where they came from")              \
    X(METRIC_FOLLOW_LOOKS, COUNTER, "follow_store_looks_total", NONE, NONE, ONE,         \
      "questions to the store whether another relay's slot has grown")                   \
    X(METRIC_FOLLOW_LAG, HISTOGRAM, "follow_lag_seconds", NONE, NONE, US,                \
      "from the hub time of another relay's newest record to its delivery here")         \
    X(METRIC_FOLLOW_AGE, GAUGE, "follow_age_seconds", NONE, NONE, MS,                    \
      "since the followed slot that was heard of least lately was heard of")             \
    X(METRIC_FOLLOW_LOADING, GAUGE, "follow_loading_slots", NONE, NONE, ONE,             \
      "slots of other relays that cannot be read here yet")                              \
    X(METRIC_FORWARDED, COUNTER, "forwarded_entries_total", FORWARD, NONE, ONE,          \
      "entries handed to the relay that owns their slot, by what came of them")          \
    X(METRIC_FORWARD_AGAIN, COUNTER, "forward_resent_total", NONE, NONE, ONE,            \
      "entries and questions sent again: link lost, owner changed, or unavailable")      \
    X(METRIC_FORWARD, HISTOGRAM, "forward_duration_seconds", NONE, NONE, US,             \
      "from a client's frame to the owner's answer, of what was forwarded")              \
    X(METRIC_FORWARDING, GAUGE, "forward_waiting", NONE, NONE, ONE,                      \
      "entries and questions under way to owners of other slots")                        \
    X(METRIC_FORWARD_BYTES, GAUGE, "forward_waiting_bytes", NONE, NONE, ONE,             \
      "memory they take")                                                                \
    X(METRIC_PEER_LINKS, GAUGE, "peer_links", LINK, NONE, ONE,                           \
      "links to relays that own slots")                                                  \
    X(METRIC_SLOTS_OWNED, GAUGE, "region_slots_owned", NONE, NONE, ONE,                  \
      "slots this relay of several sequences")                                           \
    X(METRIC_SLOTS_TAKEN, COUNTER, "region_slots_taken_total", TAKEN, NONE, ONE,         \
      "leases of slots taken, by how the slot was found")                                \
    X(METRIC_SLOTS_LEFT, COUNTER, "region_slots_left_total", LEFT, NONE, ONE,            \
      "slots given to other relays, or lost to them")                                    \
    X(METRIC_LEASE_RENEW, HISTOGRAM, "region_lease_renew_seconds", NONE, NONE, US,       \
      "one heartbeat with the renewal of all leases")                                    \
    X(METRIC_LEASE_FAILED, COUNTER, "region_lease_failures_total", NONE, NONE, ONE,      \
      "heartbeats that did not reach the store")                                         \
    X(METRIC_TRACE, COUNTER, "log_messages_total", LEVEL, NONE, ONE,                     \
      "trace lines, written or suppressed; filled in by metrics_write")

#define METRIC_ENUM_(id, kind, name, a, b, unit, help) id,
enum metric { METRIC_LIST(METRIC_ENUM_) METRIC_COUNT };
#undef METRIC_ENUM_

struct metrics; /* opaque: holds the cells, sized by the table */

/* The only allocation; NULL when memory is out. `schema` is the store's. */
struct metrics *metrics_open(unsigned schema, unsigned wire);
void metrics_close(struct metrics *m);
/* Names for the label "witness", from the operator's own policy file; before any thread
 * runs. Without it metrics with that label show no lines. */
void metrics_name_witness(struct metrics *m, unsigned number, const char *name);

/* Below, `label` is an index of the metric's label a (0 when it has none) and, when it
 * has a label b too, METRIC_PAIR(a, b). A kind or label that does not fit is a bug
 * (asserted). `m` NULL does nothing, so that cores under test need none. */
#define METRIC_PAIR(a, b) ((unsigned)(a) | (unsigned)(b) << 16)
/* Counters. */
void metrics_count(struct metrics *m, enum metric id, unsigned label, uint64_t n);
/* entries_rejected_total by the refusal itself. */
void metrics_reject(struct metrics *m, enum err why);
/* Gauges, in the metric's unit. */
void metrics_set(struct metrics *m, enum metric id, unsigned label, int64_t v);
void metrics_change(struct metrics *m, enum metric id, unsigned label, int64_t by);
/* hub_state: this one 1, the others 0. */
void metrics_state(struct metrics *m, enum metric_state state);
/* Histograms, in the metric's unit: microseconds, or things. */
void metrics_observe(struct metrics *m, enum metric id, unsigned label, uint64_t v);

/* One cell as it is: a counter, a gauge, or a histogram's number of observations. */
int64_t metrics_value(const struct metrics *m, enum metric id, unsigned label);

/* A histogram's sum of observed values, in its unit. */
uint64_t metrics_sum(const struct metrics *m, enum metric id, unsigned label);

/* All of it as text, with build_info and process_*; false when memory is out. */
bool metrics_write(const struct metrics *m, struct buf *out);
/* For --list-metrics: name, kind, labels, help, one a line. */
void metrics_list(FILE *out);

#endif
