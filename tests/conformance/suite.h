/* What the conformance tests share: a store of the kind under test, a naive model of what
 * it must hold, and the comparison of the two. */
#ifndef CONFORMANCE_SUITE_H
#define CONFORMANCE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/conformance/feed.h"

#define SUITE_SLOTS 16
#define SUITE_ENVELOPE 160

/* As committed, kept the plainest way. */
struct model_record {
    struct record r; /* envelope owned */
    struct hash account, id, leaf_hash;
};
struct model_slot {
    struct feed_slot feed;
    struct model_record *records;
    struct channel_item *items;
    size_t item_count;
    char checkpoint[CHECKPOINT_BYTES_MAX];
    size_t checkpoint_size;
};

struct suite {
    char uri[512];
    char folder[256]; /* "" for a kind without files */
    bool durable;     /* can be closed and opened again */
    uint64_t salt;
    struct store *store;
    struct store_reader *reader;
    struct model_slot slot[SUITE_SLOTS];
};

extern const char *suite_kind; /* "memory", "sqlite", "postgresql" */

/* What the kind needs to run: for postgresql a server. 0; 77: there is none to start; 1. */
int suite_server_start(void);
void suite_server_stop(void);
struct pgproc;
struct pgproc *suite_server(void); /* the one of postgresql */
const char *suite_database(const struct suite *s); /* on it */

/* A fresh ledger, every slot claimed at epoch 1. cmocka setup and teardown. */
int suite_setup(void **state);
int suite_teardown(void **state);
void suite_identity(struct store_identity *id);
/* Close and open again (nothing for memory), reader included. */
void suite_reopen(struct suite *s);
void suite_path(const struct suite *s, char *out, size_t cap); /* of the file, sqlite */

/* Append `records` to one slot; the model follows when it commits. */
enum store_outcome suite_append(struct suite *s, uint32_t slot, size_t records);
enum store_outcome suite_append_items(struct suite *s, uint32_t slot, size_t records,
                                      uint64_t outbox_low);
/* What feed_make gives for the slot's present; commit it into the model. */
void suite_make(struct suite *s, struct feed_append *f, uint32_t slot, size_t records);
void suite_commit(struct suite *s, const struct feed_append *f);

uint64_t suite_size(const struct suite *s, uint32_t slot);
/* Complete subtree root by the definition of RFC 6962. */
struct hash suite_root(const struct hash leaves[], size_t count);
struct hash suite_node(const struct suite *s, uint32_t slot, unsigned level, uint64_t n);

/* The slot row and all records of a slot equal the model. */
void suite_check_slot(struct suite *s, uint32_t slot);
void suite_check_all(struct suite *s);
/* find, account, node and tile too; every `step`-th record. */
void suite_check_lookups(struct suite *s, uint32_t slot, uint64_t step);

int suite_open_tests(void);
int suite_append_tests(void);
int suite_read_tests(void);
int suite_side_tests(void);
int suite_fault_tests(void);
int suite_thread_tests(void);

#endif
