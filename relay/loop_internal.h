/* Shared by the loop_*.c files. Everything here belongs to the loop thread. */
#ifndef RELAY_LOOP_INTERNAL_H
#define RELAY_LOOP_INTERNAL_H

#include "relay/addresses.h"
#include "relay/loop.h"
#include "relay/relay.h"
#include "relay/session.h"
#include "relay/talkers.h"
#include "relay/topics.h"
#include "relay/turns.h"

#define CATCHUP_PAGES_MAX 2u /* pages of one connection under way */
#define CATCHUP_UNSENT_MAX                                                               \
    (512u << 10) /* with more waiting for the socket, no next page */
#define UNSENT_FRAMES_MAX                                                                \
    4096u /* as limits.unsent_bytes, in frames: small ones cost more than their bytes */
#define QUEUE_RESUME_PART(n)                                                             \
    ((n) / 4 * 3)              /* below it paused connections are read again */
#define QUEUE_REFUSE_FACTOR 2u /* past this times limits.queue_entries: busy */
#define WINDOW_BATCHES                                                                   \
    2u /* batches' entries at most that are being verified and committed at one time; the \
          others wait for their connection's turn */
#define WINDOW_ENTRIES_MIN 512u
#define WINDOW_SLACK_MS 50u
#define MEMORY_AWAY_A_TICK 32u   /* connections sent away at one time for their memory */
#define TIGHT_TOLD_MS 5000u      /* why tells of it for as long */
#define TARPIT_PATIENCE_MS 1000u /* an answer may be on its way for as long */

struct json_t;

enum close_code {
    CLOSE_GOING_AWAY = 1001,
    CLOSE_PROTOCOL = 1002,
    CLOSE_UNSUPPORTED = 1003,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_LARGE = 1009
};

struct conn {
    struct session session;
    conn_id id;
    struct ws_conn *ws; /* NULL: gone; the rest stays until its jobs are through */
    struct ws_address address;
    struct job *jobs_first, *jobs_last; /* in the order sent */
    struct sub *subs;
    uint16_t pages;    /* catch-up reads under way */
    uint64_t hello_us; /* when its HELLO was complete */
    struct turn turn;           /* jobs that wait to be verified */
    struct quota *of_device, *of_address; /* held */
    uint64_t told_ms;    /* until when it was asked to wait */
    uint64_t ignored_ms; /* since when it has not; 0: it has */
    uint64_t held_ms;    /* until when nothing is read from it; 0: read on */
    uint64_t sent_entries, refused_entries; /* since the last tick */
    bool is_ws, auditor, waits_for_queue;
    bool sends;   /* something of it is not answered */
    bool leaving; /* is sent away when it is owed nothing */
};

/* What is published of a slot. */
struct published {
    tree_size size;
    uint64_t time_ms;
    struct hash root;
    size_t note_size;
    char note[CHECKPOINT_BYTES_MAX];
};

struct loop {
    struct relay *r;
    struct session_rules rules;
    struct conn **conns; /* by index; NULL: free */
    uint32_t *generations;
    uint32_t conn_cap, free_hint;
    size_t conn_count, ws_count;
    struct addresses addresses;
    struct topics topics;
    struct published published[SLOTS_MAX];
    struct quotas quotas;
    struct turns turns;
    struct chain_of_links to_verify; /* gathered in this turn */
    uint64_t verifying;              /* entries in the verify pool */
    uint64_t inflight;               /* entries taken and not answered */
    uint64_t reads;                  /* questions taken and not answered */
    uint64_t unsent;                 /* bytes, counted once a second */
    bool queue_full;
    bool tight; /* messages take most of what the memory plan gives them */
    uint64_t tight_ms;
    struct conn *away[MEMORY_AWAY_A_TICK]; /* scratch of memory_tick */
    size_t away_count;
    uint64_t senders; /* connections with entries that are not answered */
    uint64_t held;    /* connections from which nothing is read for a while */
    uint64_t answered, answer_rate; /* entries in this second, and a second */
    uint64_t window; /* entries being verified and committed at one time, at most */
    struct talkers talkers;
    uint64_t unowned_since_ms; /* 0: every slot has an owner */
    uint64_t bus_silent_since_ms;
    uint32_t unseen_slot; /* scratch of on_event */
    uint64_t began_ms, second_ms, drain_ms;
    bool draining, said_bye, door_shut;
    uint64_t leave_ms; /* when clients began to be sent to other relays */
    size_t leaving_all, leaving_told, may_leave;
    size_t clients_left; /* scratch of drain_step */
};

/* loop.c */
struct conn *conn_of(struct loop *l, conn_id id);
void conn_send(struct loop *l, struct conn *c,
               struct frame *f); /* owned; NULL is allowed */
/* Say why and close. */
void conn_end(struct loop *l, struct conn *c, uint64_t rid, enum err code,
              uint16_t close);
/* With `more` bytes added, does more wait for its socket than may? */
bool conn_is_slow(const struct loop *l, const struct conn *c, size_t more);
void conn_input(struct loop *l, struct conn *c); /* read on or pause, as budgets say */
void conn_answered(struct loop *l, struct conn *c, uint32_t entries);
void conn_release(struct loop *l, struct conn *c); /* free it when nothing needs it */
void conn_walk(struct loop *l, void (*each)(struct loop *l, struct conn *c));
/* To the readers; false: too many wait, `q` was dropped. */
bool ask_reader(struct loop *l, struct request *q);

/* Read the settings again; `report` as relay/reload.h, may be NULL. */
void loop_reload(struct loop *l, struct json_t **report);

/* loop_gate.c */
/* A socket: false: no memory. */
bool gate_opened(struct loop *l, struct conn *c);
void gate_welcomed(struct loop *l, struct conn *c);
void gate_left(struct loop *l, struct conn *c);   /* its socket is gone */
void gate_closed(struct loop *l, struct conn *c); /* and all that was under way of it */
/* Jobs to the verify pool, by turns, as there is room. */
void gate_feed(struct loop *l);
/* Its number of entries without an answer has changed. */
void gate_sender(struct loop *l, struct conn *c);
/* May what it just sent be taken? When the queue is full, only of who has less than his share
 * in it. */
bool gate_has_room(const struct loop *l, const struct conn *c);
/* When who is refused busy should come again: when the queue has room by the present rate. */
uint64_t gate_busy_ms(const struct loop *l, const struct conn *c);
/* Bad signatures and the like; told to wait, and for how long. */
void gate_offended(struct loop *l, struct conn *c);
void gate_told(struct loop *l, struct conn *c, uint64_t retry_ms);
/* Every tick; once a second. */
void gate_tick(struct loop *l);
void gate_second(struct loop *l);

/* loop_memory.c: every round, every tick; and what may be unsent to one connection. */
void memory_look(struct loop *l);
void memory_tick(struct loop *l);
uint64_t memory_unsent_max(const struct loop *l);

/* loop_drain.c: finish what is under way, say goodbye, end; and its next step, every tick. */
void loop_drain(struct loop *l);
void drain_step(struct loop *l, uint64_t now);

/* loop_admin.c: answer what the operator's door asks. */
void on_admin(struct loop *l);
/* loop_vitals.c: once a second, for whoever asks how the relay is. */
void vitals_tick(struct loop *l);

/* loop_frames.c: what a message does. */
void on_message(void *context, void *user, struct frame *f);
void welcome(struct loop *l, struct conn *c);
void greet(struct loop *l, struct conn *c);
void jobs_verified(struct loop *l, struct chain_of_links *done);

/* loop_fanout.c */
/* False: it was refused. */
bool subscribe(struct loop *l, struct conn *c, const struct wire_frame *f);
void unsubscribe(struct loop *l, struct conn *c, const struct wire_frame *f);
void unsubscribe_all(struct loop *l, struct conn *c);
void on_event(struct loop *l, struct event *e);
void on_page(struct loop *l, struct mail *m);
void catchup(struct loop *l,
             struct conn *c); /* ask for the next pages, as there is room */

/* loop_http.c */
void on_http(void *context, void *user, const struct ws_request *asked);
void on_tile(struct loop *l, struct conn *c, struct mail *m);
/* loop_status.c: the body of /v1/status, as an object and as text; NULL: no memory. */
struct json_t *status_object(struct loop *l);
struct frame *status_json(struct loop *l);
/* loop_region.c: a member of it; NULL: a hub of one process. New reference. */
struct json_t *relay_json(struct loop *l);
/* loop_witness.c: members of it; NULL: nothing of that kind is set up. New references. */
struct json_t *witness_json(struct loop *l);
struct json_t *cosign_json(struct loop *l);

#endif
