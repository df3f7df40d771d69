/* Shared by the reader_*.c files. */
#ifndef RELAY_READER_INTERNAL_H
#define RELAY_READER_INTERNAL_H

#include "crypto/context.h"
#include "relay/reader.h"
#include "relay/relay.h"

/* One thread. */
struct reader {
    struct relay *r;
    const atomic_bool *ending; /* of all readers: nobody is answered any more */
    struct store_reader *store;
    struct store_slot slot; /* scratch: where a slot stands */
    struct buf records;     /* scratch: encoded records of a page */
    pthread_t thread;
    tree_size seen[SLOTS_MAX]; /* what the loop was told that we show */
    bool first; /* it also looks how far the projections are */
    /* store.replica: opened when first asked, left for a while when it fails. */
    struct store *replica_store;
    struct store_reader *replica; /* NULL: none now */
    uint64_t replica_retry_ms;
    uint32_t replica_pause_ms; /* the last one; 0: it was opened since */
    struct replica_proof {
        tree_size size;    /* so far the replica's log is the beginning of ours .. */
        uint64_t until_ms; /* .. as was seen a while ago */
        uint64_t next_ms;  /* not looked again before */
    } proven[SLOTS_MAX];
};

/* Records of one answer under construction. */
struct page {
    struct reader *reader;
    const struct request *q;
    const struct pubkey *device; /* NULL: anonymous */
    bool auditor;
    bool withhold; /* pinned accounts without envelopes, unless for an auditor */
    bool by_id;    /* .. or for a device of the account: one record asked for by id */
    uint64_t view; /* records at or past this index are not there yet */
    uint64_t from, next, max;
    uint64_t slot;
    size_t count;
    bool more; /* stopped because the answer is full */
    bool failed;
};

/* reader_page.c */
MUST_CHECK enum err page_read(struct page *p, struct reader *rd, const struct request *q,
                              const struct wire_key *key, uint64_t from, uint64_t max);
void serve_fetch(struct reader *rd, const struct request *q);
void serve_page(struct reader *rd, const struct request *q);

/* reader_proof.c */
void serve_proof(struct reader *rd, const struct request *q);
void serve_hello(struct reader *rd, const struct request *q);
void serve_lookup(struct reader *rd, const struct request *q);
void serve_tile(struct reader *rd, const struct request *q);

/* reader_view.c */
void serve_view(struct reader *rd, const struct request *q);
/* How far the projections are, for /metrics. */
void view_watch(struct reader *rd);

/* Root of the slot's tree when it had `size` leaves, as `store` holds it. */
MUST_CHECK enum err reader_root(struct store_reader *store, uint32_t slot, tree_size size,
                                struct hash *root);

/* reader_replica.c: where reads that may be stale go. */
/* NULL: none is configured, or it does not answer. */
struct store_reader *reader_replica(struct reader *rd);
/* Who is to be asked for what never changes of the slot in rd->slot, all of it below
 * `end` (at most rd->slot.size): the replica when it is known to have that, else the
 * store. */
struct store_reader *reader_settled(struct reader *rd, uint32_t slot, uint64_t end);
/* It failed: do without it for a while. */
void reader_replica_drop(struct reader *rd, enum err why);
void reader_replica_close(struct reader *rd);

/* reader.c */
void reader_reply(struct reader *rd, const struct request *q, struct frame *f);
void reader_error(struct reader *rd, const struct request *q, enum err code);
/* What a client is told of a store's answer. */
enum err reader_code(struct reader *rd, enum err e);
/* Where a slot stands, into rd->slot. ERR_UNAVAILABLE while a commit is not cleared up. */
enum err reader_at(struct reader *rd, uint32_t slot);
/* The same, with record `index` of it, which the store has. */
enum err reader_shows(struct reader *rd, uint32_t slot, uint64_t index);
/* True when the store can be read; else traced, and a broken store stops the process. */
bool reader_slot(struct reader *rd, uint32_t slot);
bool reader_node(void *context, unsigned level, uint64_t n, struct hash *out);
struct reader_source {
    struct reader *rd;
    uint32_t slot;
};

#endif
