/* The town: hubs, the accounts on them, the devices that write to them, the issuer, and
 * the weather that spoils it. Each is an actor of world.h; the cores inside are the real
 * ones. */
#ifndef TESTS_SIM_TOWN_H
#define TESTS_SIM_TOWN_H

#include "hub.h"
#include "ledger/wire.h"
#include "model.h"
#include "reads.h"
#include "relay/session.h"
#include "signatures.h"
#include "unit/account/kit.h"
#include "world.h"

#define HUBS_MAX 4
#define GROUPS_MAX 24
#define WINDOW 6   /* unanswered entries of one device */
#define SUBMITS 32 /* SUBMIT frames a device remembers */
#define SPLITS_KEPT 8
#define SPLIT_SHARES 3
#define LOG_KEYS_MAX 64
#define NOBODY UINT32_MAX
#define EPOCH_MS UINT64_C(1750000000000)

enum { MSG_DIAL, MSG_FRAME, MSG_HANGUP };

/* ---- entries ---- */

/* Every entry anybody wrote. */
struct sim_entry {
    uint8_t *bytes;
    size_t size;
    struct hash id;
    uint64_t kind;
    uint64_t seq;
    struct chain before; /* the writer's chain without it */
    uint32_t adds;       /* number of the key it enrolls as a device, 0: none */
    const char *never;   /* why it may not be accepted; NULL: it may be */
    bool known;          /* registered: it decodes */
    bool acked;          /* some hub said so */
    bool told;           /* its writer was told */
    uint32_t slot;
    uint64_t index;
};

/* ---- accounts ---- */

struct split_made {
    struct hash id;
    struct pubkey payer, roots[SPLIT_SHARES];
    int64_t amount, shares[SPLIT_SHARES];
    uint32_t count;
};

/* Something an account does more of than sense would allow. */
enum plan { PLAN_NONE, PLAN_DEVICES, PLAN_INVITES, PLAN_MEMBERS, PLAN_NODES, PLAN_COUNT };

struct group {
    uint32_t site; /* number of its hub */
    struct hash id;
    uint32_t open_entry;
    bool open;
    uint32_t recovery_key; /* 0: none */
    enum plan plan;
    uint64_t nodes;
    size_t split_count;
    struct split_made splits[SPLITS_KEPT];
};

/* ---- hubs ---- */

/* One connection, as the hub sees it. */
struct line {
    bool up;
    bool is_stream; /* nothing is lost on it, and all keeps its order */
    uint64_t number;
    struct site *site;
    struct conn *conn;       /* the relay's view of it, kept for the next */
    struct session *session; /* in there */
    struct stream out;
    uint64_t slow_until; /* its socket takes nothing */
    bool head_asked;
    struct wire_frame head; /* HEAD to be answered when nothing is queued */
};

/* An entry at the door. */
struct waiting {
    uint32_t actor; /* NOBODY: from the hub's own operator */
    uint64_t line;
    uint64_t rid, i;
    bool from_wire;
    bool wants_settled;
    uint8_t *bytes;
    size_t size;
};

struct due {
    uint32_t actor;
    uint64_t line;
    bool sent;
    struct wire_result r;
};

struct token {
    uint32_t actor;
    uint64_t line;
    uint64_t rid, i;
    uint32_t entry;
    bool counted; /* against the session's budget */
    bool wants_settled;
};

struct digest_seen {
    tree_size size;
    struct hash digest;
};

/* A note that was opened and held against the books: the same bytes need no second look.
 */
struct note_seen {
    size_t size;
    char text[CHECKPOINT_BYTES_MAX];
    struct checkpoint c;
};

/* A hub: the real sequencer, recovery and sessions on a disk of ours. */
struct site {
    struct actor actor;
    struct hub hub;
    struct model *model;
    uint32_t number;
    char name[24];
    struct hash federation;
    struct session_rules rules;
    uint32_t door_max;
    struct alloc mem; /* the heap, which fails while memory_short */
    struct world *w;
    bool memory_short;
    bool up;
    uint64_t boot;   /* which life of the process; timers of another are void */
    int64_t skew_ms; /* of its wall clock */
    bool cycle_set;
    bool in_flight, written;
    const struct store_append *appends;
    size_t append_count;
    enum store_outcome outcome[SLOTS_MAX];
    uint32_t full_for;  /* appends the disk stays full */
    struct line *lines; /* by actor */
    size_t door_count, door_cap;
    struct waiting *door;
    size_t token_count, token_cap;
    struct token *tokens;
    size_t answer_count, answer_cap;
    struct due *answers;
    struct reads *reads; /* of this life; NULL: it does not run */
    uint32_t auditor;    /* number of the key that may read everything */
    struct recover_mark marks[SLOTS_MAX]; /* newest published */
    uint64_t settled_index[SLOTS_MAX];    /* newest settlement reported, plus 1 */
    struct digest_seen digests[SLOTS_MAX];
    struct note_seen notes[SLOTS_MAX];
    struct disk *backup;
    uint64_t relay_key_ms; /* when it last went down to come up with a new relay key */
    uint64_t unsure_ms[SLOTS_MAX]; /* when an append was last not known to be there */
    struct disk *good; /* what it should run on; NULL: it does */
    uint64_t good_at;  /* when that is put back */
    tree_size backup_size[SLOTS_MAX];
    uint32_t next_key; /* for rotations */
    uint32_t log_count;
    struct pubkey log_keys[LOG_KEYS_MAX]; /* every log key it ever had */
    uint64_t crashes;
};

/* ---- devices ---- */

enum peer_state {
    PEER_OPENING, /* its account is not open yet, or it has not joined it */
    PEER_LIVE,
    PEER_DEAD, /* a hub said it was revoked */
    PEER_GONE  /* stopped by itself */
};

enum line_state { LINE_DOWN, LINE_DIALED, LINE_HELLO, LINE_OPEN };

struct submit_sent {
    uint64_t rid;
    uint32_t count;
    uint32_t entries[WINDOW];
};

/* What a device keeps on its disk. */
struct peer_disk {
    struct chain chain;
    uint32_t window[WINDOW]; /* entries without an answer, oldest first */
    uint32_t window_count;
};

struct peer {
    struct actor actor;
    struct site *site;
    uint32_t group;
    uint32_t key;
    bool is_recovery;
    bool is_clone;
    enum peer_state state;
    struct peer_disk now;
    struct peer_disk old;
    bool has_old;
    bool must_ask; /* its state is old: ask HEAD before writing */
    bool said_farewell;
    uint32_t think_ms;
    enum line_state line_state;
    uint64_t line;
    uint64_t line_since, heard_ms, resend_at, asked_at, dial_at;
    uint64_t rid;
    struct hash nonce; /* of HELLO */
    struct submit_sent sent[SUBMITS];
    size_t note_size; /* newest checkpoint it saw */
    char note[CHECKPOINT_BYTES_MAX];
};

/* ---- the town ---- */

struct town {
    struct world *w;
    uint32_t site_count;
    struct site *sites[HUBS_MAX];
    uint32_t group_count;
    struct group groups[GROUPS_MAX];
    uint32_t peer_count, peers_max;
    struct peer *peers[ACTORS_MAX];
    size_t entry_count, entry_cap;
    struct sim_entry *entries;
    uint32_t *entry_cells;
    uint32_t next_key;
    uint64_t next_line;
    uint64_t next_epoch;
    uint32_t weights[16];   /* of kinds, by number */
    struct kit_entry entry; /* scratch */
    struct payload payload; /* scratch */
};

static inline struct town *town_of(const struct world *w)
{
    return w->rooms;
}

/* town.c */
void town_open(struct town *t, struct world *w);
void town_close(struct town *t);
/* One seed from beginning to end; the hash names the whole story. */
struct hash town_run(const struct sim_options *o, struct stats *total, bool show);
uint32_t entry_keep(struct town *t, const uint8_t *bytes, size_t size);
/* NOBODY when the bytes were never written by anybody here. */
uint32_t entry_find(const struct town *t, const struct hash *id);
uint32_t fresh_key(struct town *t);
/* The account as its hub has it now; NULL when the hub or slot is down. */
struct account *account_now(struct site *s, const struct hash *id);
struct slotlog *log_now(struct site *s, const struct hash *id);
/* Everything that can be checked at this moment. */
void check_step(struct world *w);
void check_end(struct world *w);

/* site.c: a hub's process */
struct site *site_add(struct world *w, uint32_t number, uint32_t slots);
void site_poke(struct world *w, struct site *s);
void site_crash(struct world *w, struct site *s, const char *why, uint64_t down_ms);
void site_snapshot(struct world *w, struct site *s);
void site_restore_backup(struct world *w, struct site *s);
uint64_t site_wall_ms(const struct world *w, const struct site *s);
extern const struct actor_ops site_ops;
enum {
    SITE_CYCLE,
    SITE_WRITE,
    SITE_OUTCOME,
    SITE_RELOAD,
    SITE_BOOT,
    SITE_TICK,
    SITE_READ,
    SITE_MAIL
};

/* site_commit.c: its commits */
void site_timer_commit(struct world *w, struct site *s, uint32_t what);
/* site_boot.c: recovery */
void site_reload(struct world *w, struct site *s);
bool site_all_ready(const struct site *s);
bool site_any_stopped(const struct site *s);
/* Give back what is not committed, as a hub that is drained does. */
void site_drop(struct world *w, struct site *s);

/* door.c: its connections */
void door_message(struct world *w, struct site *s, const struct message *m);
void door_tick(struct world *w, struct site *s);
/* Give the sequencer what waits at the door; then send what is answered. */
void door_take(struct world *w, struct site *s);
/* An entry of the operator's or the issuer's, at the hub itself. */
void door_local(struct world *w, struct site *s, const struct kit_entry *e,
                bool from_wire);
void door_result(struct world *w, struct site *s, const struct hub_result *r);
void door_flush(struct world *w, struct site *s);
void door_close(struct world *w, struct site *s);
void door_send(struct world *w, struct site *s, struct line *l, const void *bytes,
               size_t size);
void door_welcome(struct world *w, struct site *s, struct line *l);
/* Say goodbye and close. */
void door_bye(struct world *w, struct site *s, struct line *l, enum err code);
/* Open a note of this log by any key it ever had, and hold it against the books. */
const struct checkpoint *site_note(struct world *w, struct site *s, const char *whom,
                                   uint64_t slot, struct bytes note);

/* peer.c */
struct peer *peer_add(struct world *w, struct site *s, uint32_t group, uint32_t key);
void peer_clone(struct world *w, const struct peer *p);
void peer_restart(struct world *w, struct peer *p);
/* Writes the payload in t->payload as the device's next entry. */
uint32_t peer_write(struct world *w, struct peer *p, const struct chain *on);
void peer_submit(struct world *w, struct peer *p, const uint32_t entries[],
                 uint32_t count);
/* peer_wire.c */
void peer_dial(struct world *w, struct peer *p);
void peer_hang_up(struct world *w, struct peer *p);
void peer_ask_head(struct world *w, struct peer *p);
void peer_message(struct world *w, struct actor *a, const struct message *m);
/* peer_result.c */
void peer_result(struct world *w, struct peer *p, const struct wire_result *r,
                 const struct checkpoint *at);

/* listener.c: who reads. Key 0: he does not say who he is. */
void listener_add(struct world *w, struct site *s, uint32_t key, bool auditor,
                  uint32_t group);

/* words.c: what a device writes. */
void words_write(struct world *w, struct peer *p);
void words_note(struct world *w, struct peer *p, uint32_t size_max);
/* wrong.c: what nobody should write. */
void wrong_write(struct world *w, struct peer *p);
/* issuer.c, weather.c */
void issuer_add(struct world *w);
void weather_add(struct world *w);

#endif
