/* Looks at hubs again and again: every checkpoint is checked under the policy, held to all that
 * were seen before, and what is new is audited. Events go to programs in a folder, in the way
 * certspotter's hooks are called. Silence is never good news: a hub that shows nothing fresh for
 * too long is an event too. What was seen and told survives a restart.
 *
 * A sign of life is a larger checkpoint, or a newer cosignature; where the policy asks for no
 * witnesses nothing dates a checkpoint, and an answer with a good signature has to do. */
#ifndef CLIENT_AUDIT_WATCH_H
#define CLIENT_AUDIT_WATCH_H

#include "client/audit/audit.h"
#include "client/audit/fetch_path.h"

#define WATCH_SOURCES_MAX 64
#define WATCH_HOOKS_MAX 32
#define WATCH_HOOK_MS 30000        /* then it is killed */
#define WATCH_HEARTBEAT_MS 3600000 /* how often "heartbeat" is told */
#define WATCH_TOLD_MAX 1024        /* findings remembered as told */
#define WATCH_EVENTS_KEPT 1000     /* newest event files */
#define WATCH_SUMMARY_MAX 400

#define WATCH_EVENTS(X)                                                                    \
    X(FINDING, "finding")                                                                  \
    X(FORK, "fork")                                                                        \
    X(STALE, "stale")                                                                      \
    X(RECOVERED, "recovered")                                                              \
    X(HEARTBEAT, "heartbeat")
#define WATCH_EVENT_ENUM_(name, word) WATCH_##name,
enum watch_event { WATCH_EVENTS(WATCH_EVENT_ENUM_) WATCH_EVENT_COUNT };
#undef WATCH_EVENT_ENUM_
const char *watch_event_word(enum watch_event e);

struct watch_log {
    bool known; /* a checkpoint of it was good once */
    bool bad;   /* the newest one was not acceptable: told once, until one is good again */
    char origin[NOTE_NAME_MAX + 1];
    tree_size size;
    struct hash root;
    uint64_t life_ms; /* newest sign of life, wall clock */
};

struct watched {
    const char *where;
    char folder[80]; /* in the state folder */
    struct folder dir;
    struct watch_log logs[SLOTS_MAX];
    uint64_t began_ms, heartbeat_ms;
    uint64_t event_number;
    bool stale, fork, finding; /* alarms that are on */
    bool audited;              /* up to the sizes above */
    size_t told_count;
    struct hash told[WATCH_TOLD_MAX];
    /* of the newest round */
    bool unreachable, incomplete;
    char why[AUDIT_WHY_MAX];
};

struct watch {
    const struct policy *policy;
    struct audit_source_options source;
    struct audit_options audit; /* mode and threads; the rest is set here */
    const char *state_dir;
    const char *hooks_dir;  /* NULL: none */
    const char *prometheus; /* file; NULL: none */
    uint64_t max_silence_ms;
    const _Bool *cancel;
    size_t count;
    struct watched *sources;
    uint64_t rounds;
};

/* Make or open the state of every source. ERR_FILE, ERR_LOCKED, ERR_CORRUPT. */
MUST_CHECK enum err watch_open(struct watch *w, char *const where[], size_t count,
                               char why[AUDIT_WHY_MAX]);
void watch_close(struct watch *w);
/* Look once at every source. Errors are of our own disk: ERR_FILE, ERR_STORE_FULL,
 * ERR_MEMORY. */
MUST_CHECK enum err watch_round(struct watch *w, char why[AUDIT_WHY_MAX]);
/* As after --once: 1 an alarm is on, 69 unreachable, 2 not all was audited, 0. */
int watch_exit(const struct watch *w);
/* Of the audit, or a checkpoint that is not acceptable now. */
bool watch_has_finding(const struct watched *s);

/* watch_state.c */
MUST_CHECK enum err watch_load(struct watched *s);
MUST_CHECK enum err watch_save(struct watched *s, char why[AUDIT_WHY_MAX]);
MUST_CHECK enum err watch_prometheus(const struct watch *w, char why[AUDIT_WHY_MAX]);

/* watch_hooks.c: writes the event's JSON file and runs every hook, one after the other. */
struct watch_told {
    enum watch_event event;
    int slot; /* -1: none */
    char summary[WATCH_SUMMARY_MAX];
    const struct audit_finding *finding; /* may be NULL */
    const char *evidence;                /* file in the folder of the source, or "" */
};
MUST_CHECK enum err watch_tell(const struct watch *w, struct watched *s,
                               const struct watch_told *t, char why[AUDIT_WHY_MAX]);
uint64_t watch_now_ms(void);

#endif
