/* One hub, some clients, a bad network and a bad disk, under one seed. Virtual time;
 * nothing happens that the seed did not decide. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "hub.h"
#include "model.h"
#include "rng.h"
#include "unit/account/kit.h"

#define CLIENTS_MAX 12
#define DEVICES_MAX_SIM 3
#define WINDOW 6 /* unanswered entries of one device */
#define KEYS_PER_CLIENT 8

/* An entry somebody wrote. Its number is the token it is submitted with. */
struct sim_entry {
    uint8_t *bytes;
    size_t size;
    struct hash id;
    uint64_t seq;
    uint64_t lamport;
    uint32_t kind;
    uint32_t client, device;
    uint32_t adds_device; /* device_add: which */
    bool acked;
    uint32_t slot; /* as acknowledged */
    uint64_t index;
};

struct sim_device {
    bool enrolled;
    bool asked; /* a device_add for it is under way */
    struct chain chain;
    uint32_t waiting[WINDOW]; /* entries, oldest first */
    uint32_t waiting_count;
    bool has_seen; /* something for other devices to refer to */
    struct hash seen;
    uint64_t seen_lamport;
};

struct sim_client {
    struct hash id;
    bool open;
    uint32_t open_entry;
    struct sim_device devices[DEVICES_MAX_SIM];
};

struct message {
    bool to_hub;
    uint32_t entry;
    bool accepted;
    uint32_t slot;
    uint64_t index;
    struct refusal refusal;
};

struct sim_counts {
    uint64_t steps, crashes, commits, lost, unknown, full, broken, clock_jumps, snapshots,
        snapshots_used, messages, dropped, doubled, acked, duplicates, lookups, refused,
        rebased, reloads;
};

struct sim {
    uint64_t seed;
    struct rng rng;
    bool signatures; /* the hub verifies devices' signatures */
    struct hub hub;
    struct model *model;
    uint32_t client_count;
    struct sim_client clients[CLIENTS_MAX];
    struct sim_entry *entries;
    size_t entry_count, entry_cap;
    struct message *messages;
    size_t message_count, message_cap;
    uint64_t epoch; /* of the newest accrue */
    bool calm;      /* nothing fails any more */
    uint32_t drop_per_mille, double_per_mille;
    uint32_t full_for; /* commits the disk stays full */
    tree_size published[SLOTS_MAX];
    struct hash published_root[SLOTS_MAX];
    tree_size early[SLOTS_MAX]; /* one older checkpoint, chosen by chance */
    struct hash early_root[SLOTS_MAX];
    uint64_t settled_index[SLOTS_MAX]; /* newest settlement reported, plus 1 */
    struct sim_counts counts;
    char *trace;
    size_t trace_size, trace_cap;
    struct hash trace_sum;
};

/* Run a seed to its end; aborts when something is wrong. The digest names the whole run.
 */
struct hash sim_run(uint64_t seed, struct sim_counts *total, struct model_counts *money);
/* Print every run's trace. */
extern bool sim_trace;
/* Lines of the run that is going on, for whoever finds it aborting. */
void sim_print_trace(void);

/* sim.c */
__attribute__((format(printf, 2, 3))) void say(struct sim *s, const char *format, ...);
__attribute__((format(printf, 2, 3))) _Noreturn void fail(struct sim *s,
                                                          const char *format, ...);
void send_message(struct sim *s, const struct message *m);

/* sim_client.c */
void client_make(struct sim *s, uint32_t n);
void client_act(struct sim *s, uint32_t n);
/* Send everything unanswered again. */
void client_resend(struct sim *s, uint32_t n);
bool client_is_done(const struct sim *s, uint32_t n);
void client_answered(struct sim *s, const struct message *m);

/* sim_hub.c */
void hub_receive(struct sim *s, uint32_t entry);
void hub_accrue(struct sim *s);
void hub_cycle(struct sim *s);
void hub_die(struct sim *s, const char *why);
void hub_reload(struct sim *s);
/* Everything that can be checked at this moment. */
void check(struct sim *s);
void check_acks(struct sim *s);

#endif
