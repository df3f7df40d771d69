/* Shared by the engine's files; nobody else includes it. */
#ifndef CLIENT_AUDIT_ENGINE_H
#define CLIENT_AUDIT_ENGINE_H

#include "client/audit/audit.h"
#include "client/audit/items.h"
#include "client/replay.h"

#define TILE_LEVELS 6 /* 256^6 leaves */

/* What a source handed over, waiting for its turn: records are judged in the order read. */
struct block {
    struct block *next;
    size_t count, at;
    struct audit_record records[AUDIT_READ_MAX];
};

/* Slots' checkpoints are not taken in one moment: of a hub at work one slot may show that it
 * settled what stands past the checkpoint that was read of the slot it came from. */
struct channel_end {
    struct item_list sent;    /* by this slot, to slot i */
    struct item_list settled; /* by this slot, from slot i */
    uint64_t beyond;          /* number of the first settled item that does; UINT64_MAX: none */
    uint64_t beyond_last;     /* index in slot i that the last one names */
};

struct seen {
    tree_size size;
    struct hash root;
    char *note; /* owned, with a final zero */
    size_t note_size;
};

struct slot_audit {
    struct audit *a;
    uint32_t slot;
    const struct policy_log *log;
    struct audit_slot_result *out;
    struct buf note; /* the checkpoint audited */
    struct checkpoint checkpoint;
    struct policy_verdict verdict;
    bool judged; /* the checkpoint can be trusted: records are worth reading */
    /* reading; shared by the thread that reads and the one that judges */
    pthread_mutex_t lock;
    char read_where[AUDIT_WHY_MAX];
    uint64_t next; /* index the next read begins at */
    struct block *first, *last;
    enum err read_err;
    /* judging */
    uint64_t index; /* of the record in turn */
    struct replay p;
    bool dead;     /* a record could not be applied: states are not followed any more */
    bool lost;     /* indices do not follow each other: the tree cannot be built */
    uint64_t leaves; /* in the tree so far */
    const struct verify_lane *lane;
    /* Over leaves computed from envelopes where there are any; made of the tiles by
     * judge_tree, not kept up leaf by leaf. */
    struct frontier tree;
    struct frontier stored; /* over leaves as stored, from the first that differs on */
    bool differs;
    struct hash tile[TILE_LEVELS][TILE_HASHES];
    unsigned tile_count[TILE_LEVELS];
    uint64_t tile_number[TILE_LEVELS];
    bool tile_bad, damaged; /* told once */
    bool signature_told;
    bool ahead; /* rules or kinds that this program does not know */
    uint64_t twice; /* index of an entry that may stand in the log already; 0: none */
    struct hash twice_id, twice_account;
    struct pubkey twice_device;
    uint64_t twice_seq;
    size_t twice_finding;
    bool reused; /* another entry of that account, device and seq stands at reused_at */
    uint64_t reused_at;
    size_t forked; /* number + 1 of a seen checkpoint that cannot be true beside this tree */
    struct channel_end *channels;
    struct seen *seen; /* ascending size */
    size_t seen_count, seen_at;
    tree_size from; /* a saved state reached this far */
    uint64_t last_time_ms; /* hub time of the newest record */
    /* results */
    struct audit_finding findings[AUDIT_SLOT_FINDINGS_MAX];
    size_t finding_count, finding_more;
    uint64_t withheld;
    bool pinned_seen;
};

struct promise;

struct audit {
    struct audit_source *source;
    const struct audit_options *o;
    struct audit_report *report;
    struct item_file items;
    size_t count;
    struct slot_audit *slots;
    uint64_t total, before;
    uint64_t signatures;
    bool interrupted;
    bool compared; /* channels' ends were, as far as both reach */
    bool early;    /* a slot settled what its source does not show, even now */
    struct promise *promises; /* receipts and heads held against the log */
    size_t promise_count;
    struct {
        uint64_t began_us, told_us;
    } clock;
};

/* findings.c */
void find_add(struct slot_audit *s, const struct audit_finding *f);
/* At a record; expected and found are texts ("" for none). */
__attribute__((format(printf, 7, 8))) void
find_at(struct slot_audit *s, enum audit_check check, uint64_t index,
        const struct audit_record *r, const char *expected, const char *found,
        const char *format, ...);
enum audit_check audit_check_of(enum err e);
void skip_check(struct audit_report *r, enum audit_check c, const char *why);
void report_close_slots(struct audit *a);

/* judge.c: one record after the other */
enum err judge_read(void *context, struct record out[], size_t max, size_t *count,
                    void **hold);
void judge_release(void *context, void *hold);
enum err judge_apply(void *context, const struct entry *e, const struct record *r,
                     const struct hash *leaf);
enum err judge_refuse(void *context, const struct record *r, enum err why);
enum err judge_finish(void *context);
void judge_blocks_close(struct slot_audit *s);
/* state.c: no item of any channel. */
void channels_clear(struct slot_audit *s);
/* The tree over all leaves so far, into s->tree. */
void judge_tree(struct slot_audit *s);

/* state.c: what is kept between runs */
enum err audit_folder(const char *path, char why[AUDIT_WHY_MAX]);
/* Whole, durable, by rename. */
enum err audit_write(const char *dir, const char *name, const void *data, size_t size,
                     char why[AUDIT_WHY_MAX]);
enum err state_load(struct audit *a, char why[AUDIT_WHY_MAX]);
enum err state_save(struct audit *a, char why[AUDIT_WHY_MAX]);
enum err seen_load(struct slot_audit *s);
enum err seen_add(struct slot_audit *s, struct bytes note, const struct checkpoint *c);
/* A note counts only if the log's own key signed it, whoever brought it. */
enum err seen_note(struct slot_audit *s, struct bytes note);
enum err seen_save(struct audit *a, char why[AUDIT_WHY_MAX]);
/* evidence_keep.c. What was found, as files that stand alone, in o->evidence_dir. */
enum err evidence_keep(struct audit *a, char why[AUDIT_WHY_MAX]);
/* Inclusion path of a leaf in the tree of these leaf hashes. */
bool evidence_path(const struct hash *leaves, uint64_t size, uint64_t index,
                   struct hash out[MERKLE_PATH_MAX], size_t *count);

/* promise.c. load: after the slots are open. ERR_MALFORMED: one of them is not what it should
 * be, `why` says which. check: after the records were judged. */
enum err promises_load(struct audit *a, char why[AUDIT_WHY_MAX]);
enum err promises_check(struct audit *a);
enum err promises_keep(struct audit *a, char why[AUDIT_WHY_MAX]);
void promises_close(struct audit *a);

#endif
