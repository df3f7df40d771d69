/* What the files of the book-keeper share and nobody outside includes. */
#ifndef TESTS_SIM_MODEL_BOOKS_H
#define TESTS_SIM_MODEL_BOOKS_H

#include "ledger/kinds.h"
#include "model.h"

#define RELAY_KEYS_MAX 256

/* A growing array of anything. */
struct list {
    void *items;
    size_t count, cap;
};

struct end {
    uint64_t next_seq;
    struct hash tip;
    uint64_t lamport;
};

struct written {
    struct hash id;
    uint64_t lamport;
};

struct m_device {
    struct pubkey key;
    uint32_t member;
    struct end end;
};

struct m_member {
    uint32_t number;
    struct pubkey root;
    uint64_t grants, rotations;
    int64_t position;
};

struct m_invite {
    struct hash id;
    struct pubkey key;
    uint64_t expires_ms, lamport;
};

struct m_node {
    struct hash node;
    uint64_t epoch;
};

struct m_split {
    struct hash id;
    struct hash terms;
};

/* What stands at a position of an account. */
struct place {
    uint64_t index;
    int64_t balance; /* after it */
};

struct holder {
    struct hash id;
    uint32_t slot;
    bool touched;
    bool pinned;
    struct list places;
    uint64_t position;
    struct hash head;
    int64_t balance;
    struct end hub;
    struct list devices, members, revoked, invites, nodes, splits, written;
    uint32_t next_member;
    bool has_recovery;
    struct pubkey recovery;
    struct end recovery_end;
    bool pending;
    struct hash begin;
    uint64_t begin_ms;
};

struct item {
    struct hash cause;
    uint32_t payee_index;
    struct hash payer, payee;
    int64_t amount;
    uint64_t source_index, source_lamport;
    bool is_return;
};

struct lane {
    struct list items; /* from out_seq 0 on */
    size_t settled;
};

struct kept {
    struct hash id;
    struct hash root;          /* of the tree up to here, this record included */
    struct hash leaf;          /* its hash in the tree */
    struct hash content, head; /* of the envelope; of the account */
    uint64_t lamport, time_ms, position;
    const struct holder *holder; /* NULL: the hub's own account */
    bool settles, bounced;
    uint32_t payee_index;
    struct hash cause;
};

struct book {
    struct list kept;
    uint64_t lamport, time_ms;
    struct hash edge[MERKLE_LEVELS_MAX];
    struct hash id;
    struct end end; /* the relay's in the hub account */
    uint64_t position;
    struct hash head;
    struct pubkey issuer, relay, log;
    struct list places;  /* of the hub account */
    struct list touched; /* numbers of holders */
};

struct model {
    uint32_t slots;
    const char *hub;
    struct hash federation;
    struct book *books;
    struct lane *lanes;  /* source, then destination */
    struct list holders; /* of pointers */
    uint32_t *cells;     /* number + 1 of a holder, by id */
    size_t cell_count;
    int64_t made, held, under_way;
    uint64_t items;
    uint64_t records, credits, bounces, returns;
    uint64_t kinds[STATS_KINDS];
    size_t relay_count;
    struct pubkey relays[RELAY_KEYS_MAX];
    struct payload payload;
    char why[256];
};

#define AT(list, type, i) (&((type *)(list).items)[i])
void *list_add(struct list *l, size_t size); /* zeroed */
void list_drop(struct list *l, size_t size, size_t i);

/* A record on its way into the books. */
struct taking {
    struct model *m;
    const struct disk_record *r;
    const struct entry *e;
    const struct payload *p;
    struct holder *h;
    struct m_device *device; /* the writer's, NULL: somebody else writes */
    struct m_member *member; /* of that device */
};

struct holder *holder_of(const struct model *m, const struct hash *id);
/* What is wrong, kept in m->why. */
const char *wrong(struct taking *t, const char *what);
struct m_member *member_of_root(struct holder *h, const struct pubkey *root);
struct m_device *device_of(struct holder *h, const struct pubkey *key);
/* The kinds that change who belongs to an account; NULL, or what is wrong. */
const char *take_open(struct taking *t);
const char *take_member_kind(struct taking *t);

#endif
