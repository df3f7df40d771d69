/* What the threads of a relay hand to each other: jobs (entries on their way into the
 * log), requests (questions for a reader or the commit thread) and mail (what comes back
 * to the loop). Everything has one owner at a time; handing on is handing over.
 * Connections are named by id, never by pointer, outside the loop thread. */
#ifndef RELAY_WORK_H
#define RELAY_WORK_H

#include "ledger/sequencer.h"
#include "ledger/store_lease.h"
#include "ledger/wire.h"
#include "relay/frame.h"
#include "relay/queue.h"

#define JOB_ENTRIES_MAX 32u /* entries of one job: what a verify thread takes at once */
#define ANSWER_BYTES_MAX (256u << 10) /* of results or records in one frame we send */
#define LOOKUPS_A_REQUEST 64u
#define VIEW_PATH_MAX 400u /* path?query of a projection, with room for a zero */

/* Index in the low, generation in the high 32 bits; 0 is nobody. */
typedef uint64_t conn_id;

enum work_kind { WORK_JOB, WORK_REQUEST };
struct work {
    struct link link;
    enum work_kind kind;
};

struct job;
struct job_item {
    struct job *job;
    uint32_t i;         /* which entry of its SUBMIT */
    enum err verdict;   /* ERR_OK until something is wrong with it */
    struct entry entry; /* before verify only `envelope` is set; whole only when `verdict`
                           is ERR_OK after it */
};
/* Up to JOB_ENTRIES_MAX entries of one SUBMIT. Keeps the frame they lie in. */
struct job {
    struct work work;
    struct job *next_of_conn; /* loop: order of the connection */
    conn_id conn;
    uint64_t rid;
    uint64_t flags;
    uint64_t since_us; /* when its frame was complete */
    struct frame *frame;
    bool vouched;  /* from another relay of this hub, which checked the signatures */
    bool verified; /* loop: back from the verify pool */
    uint32_t count;
    uint32_t open; /* commit: items without an answer yet */
    struct job_item items[];
};

/* An entry whose seq is taken: found in the store it is a duplicate, else refused. */
struct lookup {
    conn_id conn;
    uint64_t rid;
    uint32_t i;
    struct hash id;
    struct refusal refusal;
};

#define LEVEL_ENVELOPES (-2)

/* Of payments between slots of this relay and of others (relay/region_channel.c). */
struct region_batch {
    size_t item_count, sent_count, jump_count;
    struct channel_item *items;  /* sent to slots here */
    struct seq_sent *sent;       /* settled elsewhere, one by one */
    struct lease_channel *jumps; /* .. up to there, with nothing to tell of it */
};

enum request_kind {
    REQUEST_FRAME, /* a client's FETCH, PROOF, SEALED_GET, SEALED_PUT, HEAD, SETTLEMENT */
    REQUEST_PAGE,  /* the next records of a subscription */
    REQUEST_HELLO, /* compare the checkpoints a HELLO brought */
    REQUEST_LOOKUP, /* duplicates */
    REQUEST_TILE,   /* HTTP: a tile or an entry bundle */
    REQUEST_VIEW,   /* HTTP: what projections hold; `frame` is path?query */
    REQUEST_SEAL,   /* reader -> commit: a checked attachment to put into the store */
    REQUEST_CHANNEL, /* region -> commit: what slots of other relays sent and settled */
    REQUEST_STOP    /* reader -> commit: this slot was shown a tree beside its own */
};
struct request {
    struct work work;
    enum request_kind kind;
    conn_id conn;
    bool has_device; /* who asks */
    struct pubkey device;
    uint64_t since_us;
    struct frame *frame; /* FRAME, HELLO, SEAL: kept, spans of `f` point into it; VIEW */
    struct wire_frame f; /* FRAME, HELLO, SEAL */
    struct wire_key key; /* PAGE */
    uint64_t next;       /* PAGE */
    uint32_t serial;     /* PAGE */
    uint32_t slot;       /* TILE, STOP */
    int level;           /* TILE: -1 entries, LEVEL_ENVELOPES envelopes */
    uint64_t tile;
    unsigned width;
    uint32_t lookup_count;  /* LOOKUP */
    struct lookup *lookups; /* owned */
    struct region_batch *channel; /* CHANNEL; owned */
};

/* One committed record as subscribers get it: bytes of an encoded record in the block. */
struct event_record {
    struct hash account;
    uint64_t position;
    uint32_t at, size;               /* with its envelope */
    uint32_t public_at, public_size; /* without it; the same bytes for a global account */
    bool pinned;
    uint32_t next_of_account; /* loop's scratch */
};
/* A slot that advanced. `records` is NULL when nobody listened at the time. */
struct event {
    uint32_t slot;
    tree_size old_size, new_size;
    uint64_t time_ms;
    struct hash root;
    size_t note_size;
    char note[CHECKPOINT_BYTES_MAX];
    bool any_pinned;
    size_t count;
    struct event_record *records; /* owned */
    uint8_t *block;               /* owned */
};

enum mail_kind {
    MAIL_SEND,  /* a frame for a connection; gives back budgets */
    MAIL_EVENT, /* a commit */
    MAIL_PAGE,  /* records for a subscription */
    MAIL_HELLO, /* verdict over a HELLO's checkpoints */
    MAIL_HTTP,  /* body of an HTTP answer */
    MAIL_WITNESS, /* an HTTP answer with its status and type, as it goes out */
    MAIL_OWNERS, /* another relay owns a slot now, or none does: ask relay/region.h */
    MAIL_SEEN,   /* a checkpoint that a client is shown next, before its event is here */
    MAIL_STATE  /* the commit thread changed what it can do: look at hub->writable */
};
struct mail {
    struct link link;
    enum mail_kind kind;
    conn_id conn;
    struct frame *frame; /* SEND, PAGE, HTTP, WITNESS; SEEN: the note; may be NULL; owned */
    unsigned status;     /* WITNESS: of HTTP */
    const char *type;    /* WITNESS: static; never cached */
    uint32_t entries;    /* SEND: submitted entries it answers */
    bool read;           /* SEND: it answers a read */
    bool own;            /* SEEN: out of our own store; else another relay says so */
    enum err code;       /* PAGE, HELLO, HTTP */
    struct wire_key key; /* PAGE */
    uint32_t serial;
    uint64_t next;
    uint32_t slot;
    tree_size view;      /* PAGE: size of the slot's log that was read */
    bool at_end;         /* PAGE: everything under `view` has been sent */
    struct event *event; /* EVENT; owned */
};

/* Allocate (NULL: no memory) and release with everything owned. */
struct job *job_new(uint32_t count);
void job_drop(struct job *j);
void region_batch_drop(struct region_batch *b);
struct request *request_new(enum request_kind kind, conn_id conn);
void request_drop(struct request *r);
struct mail *mail_new(enum mail_kind kind, conn_id conn);
void mail_drop(struct mail *m);
void event_drop(struct event *e);

/* Frames of one answer. NULL: no memory. */
struct frame *frame_of(const struct wire_frame *f); /* for frames without lists */
struct frame *frame_error(uint64_t rid, enum err code, uint64_t retry_after_ms);
struct frame *frame_bye(enum err code, uint64_t retry_after_ms);

#endif
