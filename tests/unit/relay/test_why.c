/* Which numbers name which cause: a table of snapshots, each of a planted fault, and what
 * must not be found in them. */
#include "tests/unit/relay/test.h"

#include <stdio.h>

#include "relay/why.h"

/* A relay that works hard and well. */
static struct why_snapshot well(enum why_store store)
{
    struct why_snapshot s = {.window_ms = 10000,
                             .loop_silent_ms = 400,
                             .committed = 50000,
                             .inflight = 900,
                             .inflight_max = 16384,
                             .verify_wait_us = 900,
                             .verify_busy = 500,
                             .verify_threads = 2,
                             .commits = 100,
                             .commit_us = 9000,
                             .commit_usual_us = 8000,
                             .append_ms = 4,
                             .store = store,
                             .room_known = store == WHY_SQLITE,
                             .free_bytes = UINT64_C(50) << 30,
                             .min_free_bytes = UINT64_C(256) << 20,
                             .store_place = "/var/lib/stoa",
                             .drift_ms = 3,
                             .connections = 100,
                             .top_entries = 120,
                             .top_share = 24,
                             .top_address = "192.0.2.7"};
    if (store == WHY_POSTGRES)
        s.probe = (struct store_probe){.kind = STORE_PROBE_SERVER,
                                       .there = true,
                                       .connect_ms = 4,
                                       .answer_us = 300,
                                       .server_ms = 1000000120,
                                       .asked_ms = 1000000000};
    return s;
}

/* Each plants one fault in a relay that is otherwise well. */

static void nothing(struct why_snapshot *s)
{
    (void)s;
}
static void idle(struct why_snapshot *s)
{
    s->committed = s->commits = s->commit_us = s->append_ms = s->inflight = 0;
    s->verify_busy = s->verify_wait_us = s->top_entries = s->connections = 0;
    s->top_share = 0;
}
static void just_begun(struct why_snapshot *s)
{
    *s = (struct why_snapshot){.store = s->store, .store_place = s->store_place};
}
static void postgres_slow(struct why_snapshot *s)
{
    s->commits = 9;
    s->commit_us = 1100000;
}
static void postgres_hangs(struct why_snapshot *s)
{
    s->commits = s->commit_us = s->committed = 0;
    s->append_ms = 4000;
}
static void postgres_lock(struct why_snapshot *s)
{
    postgres_hangs(s);
    s->probe.waiting = 1;
    s->probe.waited_ms = 1900;
    s->probe.held = true;
    s->probe.holder_pid = 31337;
    s->probe.held_ms = 47000;
    strcpy(s->probe.holder_user, "ops");
    strcpy(s->probe.holder_state, "active");
    strcpy(s->probe.holder_query, "CREATE INDEX ON stoa.record (account)");
    strcpy(s->probe.holder_lock, "ShareLock on stoa.record_00");
}
static void postgres_lock_between_tries(struct why_snapshot *s)
{
    postgres_lock(s);
    s->append_ms = s->probe.waiting = s->probe.waited_ms = 0;
    s->store_away = true;
    s->write_state = ERR_UNAVAILABLE;
}
static void postgres_lock_of_nobody_we_see(struct why_snapshot *s)
{
    postgres_hangs(s);
    s->probe.waiting = 2;
    s->probe.waited_ms = 2500;
}
static void a_lock_that_hinders_nobody(struct why_snapshot *s)
{
    postgres_lock(s);
    s->probe.waiting = s->probe.waited_ms = s->append_ms = 0;
}
static void postgres_away(struct why_snapshot *s)
{
    s->store_away = true;
    s->write_state = ERR_UNAVAILABLE;
    s->append_ms = 5000;
    s->probe = (struct store_probe){.kind = STORE_PROBE_SERVER};
    strcpy(s->probe_why, "stoa@db: connection refused");
}
static void one_session_too_many(struct why_snapshot *s)
{
    s->probe = (struct store_probe){.kind = STORE_PROBE_SERVER};
}
static void postgres_hangs_and_nobody_writes(struct why_snapshot *s)
{
    idle(s);
    s->region = s->leases_lapsed = true;
    s->probe = (struct store_probe){.kind = STORE_PROBE_SERVER};
}
/* Slots 03, 05 to 07 at one more server, 0a at a third one. */
static void three_servers(struct why_snapshot *s)
{
    static const struct store_probe there = {.kind = STORE_PROBE_SERVER,
                                             .there = true,
                                             .connect_ms = 5,
                                             .answer_us = 400};
    s->place_count = 3;
    for (size_t i = 0; i < 3; i++) {
        struct why_place *w = &s->place[i];
        snprintf(w->is.name, sizeof(w->is.name), "postgresql://stoa@db%zu/stoa", i);
        snprintf(w->is.asked_by, sizeof(w->is.asked_by), " -h 'db%zu' -d 'stoa'", i);
        w->is.append_us = 3000;
        w->looked = true;
        w->probe = there;
    }
    s->place[0].is.slot[0] = true;
    s->place[1].is.slot[3] = s->place[1].is.slot[5] = true;
    s->place[1].is.slot[6] = s->place[1].is.slot[7] = true;
    s->place[2].is.slot[10] = true;
}
static void place_is_full(struct why_snapshot *s)
{
    three_servers(s);
    s->write_state = ERR_STORE_FULL;
    s->place[1].is.full = true;
}
static void place_was_full(struct why_snapshot *s)
{
    place_is_full(s);
    s->write_state = ERR_OK;
}
static void own_server_is_full_too(struct why_snapshot *s)
{
    place_is_full(s);
    s->place[0].is.full = true;
}
static void place_refuses(struct why_snapshot *s)
{
    three_servers(s);
    s->write_state = ERR_UNAVAILABLE;
    s->place[1].is.away = true;
    s->place[1].probe = (struct store_probe){.kind = STORE_PROBE_SERVER};
    strcpy(s->place[1].probe_why, "stoa@db1: connection refused");
}
static void place_hangs(struct why_snapshot *s)
{
    three_servers(s);
    s->place[2].is.deaf = true;
    s->place[2].probe = (struct store_probe){.kind = STORE_PROBE_SERVER};
    strcpy(s->place[2].probe_why, "stoa@db2: no answer in 1500 ms");
}
static void place_begins_to_hang(struct why_snapshot *s)
{
    place_hangs(s);
    s->place[2].is.deaf = false;
    s->append_ms = s->place[2].is.append_ms = 1800;
}
static void places_hang_and_time_is_up(struct why_snapshot *s)
{
    place_hangs(s);
    s->place[1].is.deaf = true;
    s->place[1].looked = false;
}
static void place_answers_others_only(struct why_snapshot *s)
{
    three_servers(s);
    s->place[1].is.deaf = true;
}
static void place_not_opened(struct why_snapshot *s)
{
    three_servers(s);
    s->write_state = ERR_UNAVAILABLE;
    s->place[2].is.unopened = true;
    strcpy(s->place[2].is.why.text, "db2: the ledger there is another one");
}
static void place_session_too_many(struct why_snapshot *s)
{
    three_servers(s);
    s->place[1].probe = (struct store_probe){.kind = STORE_PROBE_SERVER};
}
static void place_with_no_time_for_a_look(struct why_snapshot *s)
{
    three_servers(s);
    s->place[1].looked = false;
    s->place[1].probe = (struct store_probe){.kind = STORE_PROBE_NONE};
}
static void place_lock(struct why_snapshot *s)
{
    struct why_snapshot own = *s;
    three_servers(s);
    postgres_lock(&own);
    s->place[1].probe = own.probe;
    s->append_ms = s->place[1].is.append_ms = 1900;
}
static void place_lock_between_tries(struct why_snapshot *s)
{
    place_lock(s);
    s->append_ms = s->place[1].is.append_ms = 0;
    s->place[1].probe.waiting = s->place[1].probe.waited_ms = 0;
    s->place[1].is.away = true;
}
static void place_lock_that_hinders_nobody(struct why_snapshot *s)
{
    place_lock_between_tries(s);
    s->place[1].is.away = false;
}
static void place_lock_of_nobody_we_see(struct why_snapshot *s)
{
    place_lock(s);
    s->place[1].probe.held = false;
}
static void place_lock_and_the_way_there_unknown(struct why_snapshot *s)
{
    place_lock(s);
    s->place[1].is.asked_by[0] = 0;
}
static void place_slow(struct why_snapshot *s)
{
    three_servers(s);
    postgres_slow(s);
    s->place[2].is.append_us = 1090000;
}
static void own_server_slow(struct why_snapshot *s)
{
    place_slow(s);
    s->place[0].is.append_us = 1500000;
}
static void many_servers_add_up(struct why_snapshot *s)
{
    three_servers(s);
    s->commits = 9;
    s->commit_us = 400000;
    for (size_t i = 0; i < 3; i++)
        s->place[i].is.append_us = 133000;
}
static void postgres_full(struct why_snapshot *s)
{
    s->write_state = ERR_STORE_FULL;
}
static void redis_gone(struct why_snapshot *s)
{
    s->bus = s->region = true;
    s->slots = 16;
    s->bus_silent_ms = 4000;
    snprintf(s->bus_asked_by, sizeof(s->bus_asked_by), "redis-cli -s '/run/redis.sock'");
}
static void redis_there(struct why_snapshot *s)
{
    s->bus = true;
}
static void slot_unowned(struct why_snapshot *s)
{
    s->region = true;
    s->slots = 16;
    s->unowned = 3;
    s->first_unowned = 10;
    s->unowned_ms = 9000;
}
static void slot_changes_hands(struct why_snapshot *s)
{
    slot_unowned(s);
    s->unowned_ms = 1500;
}
static void verifier_slow(struct why_snapshot *s)
{
    s->verify_busy = 990;
    s->verify_wait_us = 800000;
    s->verify_jobs_waiting = 400;
}
static void verifier_busy_and_in_time(struct why_snapshot *s)
{
    s->verify_busy = 990;
    s->verify_wait_us = 4000;
}
static void verifier_waits_for_commits(struct why_snapshot *s)
{
    verifier_slow(s);
    s->commits = 9;
    s->commit_us = 1100000;
}
static void disk_full(struct why_snapshot *s)
{
    s->low_room = true;
    s->write_state = ERR_STORE_FULL;
    s->free_bytes = UINT64_C(12) << 20;
}
static void disk_nearly_full(struct why_snapshot *s)
{
    s->low_room = true;
    s->free_bytes = UINT64_C(200) << 20;
}
static void clock_jumped(struct why_snapshot *s)
{
    s->write_state = ERR_CLOCK;
}
static void clock_just_jumped_back(struct why_snapshot *s)
{
    s->drift_ms = -3600000;
}
static void clock_skewed(struct why_snapshot *s)
{
    s->probe.server_ms = s->probe.asked_ms - 7000;
}
static void flooded_and_refused(struct why_snapshot *s)
{
    s->top_share = 930;
    s->top_entries = 9000;
    s->top_refused = 8000;
    s->refused_rate = 80000;
}
static void flooded_and_paused(struct why_snapshot *s)
{
    s->top_share = 930;
    s->top_entries = 9000;
    s->inflight = 20000;
    s->verify_busy = 999;
    s->verify_wait_us = 300000;
}
static void one_busy_client(struct why_snapshot *s)
{
    s->top_share = 990;
    s->top_entries = 5000;
}
static void loop_hangs(struct why_snapshot *s)
{
    s->loop_silent_ms = 30000;
}
static void memory_used_up(struct why_snapshot *s)
{
    s->memory_max = s->memory_used = UINT64_C(1) << 30;
}
static void drained(struct why_snapshot *s)
{
    s->draining = true;
    s->grace_ms = 10000;
}
static void below_quorum(struct why_snapshot *s)
{
    s->cosign = true;
    s->logs_below_quorum = 16;
}
static void restored_copy(struct why_snapshot *s)
{
    s->write_state = ERR_BEHIND;
}
static void damaged(struct why_snapshot *s)
{
    s->write_state = ERR_CORRUPT;
}
static void stopped_for_something_else(struct why_snapshot *s)
{
    s->write_state = ERR_RULES_AHEAD;
}

#define NOTHING WHY_CAUSE_COUNT
#define POSTGRES(name, plant, first, said, seen, try_this)                               \
    {name, plant, WHY_POSTGRES, first, 1, said, seen, try_this}
#define WELL(name, plant) {name, plant, WHY_POSTGRES, NOTHING, 0, 0, 0, 0}
static const struct {
    const char *name;
    void (*plant)(struct why_snapshot *s);
    enum why_store store;
    enum why_cause first; /* the first finding; NOTHING: none at all */
    size_t count;
    const char *said, *seen, *try_this; /* parts of the first finding; NULL: whatever */
} cases[] = {
    {"nothing", nothing, WHY_SQLITE, NOTHING, 0, 0, 0, 0},
    {"nothing, Postgres", nothing, WHY_POSTGRES, NOTHING, 0, 0, 0, 0},
    {"nothing, memory", nothing, WHY_MEMORY_STORE, NOTHING, 0, 0, 0, 0},
    {"idle", idle, WHY_SQLITE, NOTHING, 0, 0, 0, 0},
    {"just begun", just_begun, WHY_SQLITE, NOTHING, 0, 0, 0, 0},
    {"Postgres slow", postgres_slow, WHY_POSTGRES, WHY_STORE_SLOW, 1, "Postgres is slow",
     "1.1 s", "pg_stat_activity"},
    {"disk slow", postgres_slow, WHY_SQLITE, WHY_STORE_SLOW, 1, "the disk is slow", "8 ms",
     "iostat"},
    {"Postgres hangs", postgres_hangs, WHY_POSTGRES, WHY_STORE_SLOW, 1, 0,
     "one is under way", 0},
    {"Postgres lock", postgres_lock, WHY_POSTGRES, WHY_STORE_LOCK, 1,
     "pid 31337, user ops, holds ShareLock on stoa.record_00", "CREATE INDEX",
     "pg_cancel_backend(31337)"},
    {"lock between tries", postgres_lock_between_tries, WHY_POSTGRES, WHY_STORE_LOCK, 1, 0,
     0, "pg_cancel_backend(31337)"},
    {"lock of a stranger", postgres_lock_of_nobody_we_see, WHY_POSTGRES, WHY_STORE_LOCK, 1,
     0, "2 wait", "pg_blocking_pids"},
    {"harmless lock", a_lock_that_hinders_nobody, WHY_POSTGRES, NOTHING, 0, 0, 0, 0},
    {"Postgres away", postgres_away, WHY_POSTGRES, WHY_STORE_AWAY, 1, "is away",
     "connection refused", "pg_isready"},
    {"a session too many", one_session_too_many, WHY_POSTGRES, NOTHING, 0, 0, 0, 0},
    {"quiet and Postgres hangs", postgres_hangs_and_nobody_writes, WHY_POSTGRES,
     WHY_STORE_AWAY, 1, "is away", 0, "pg_isready"},
    WELL("three servers", three_servers),
    POSTGRES("a server of slots refuses", place_refuses, WHY_PLACE_AWAY,
             "of slots 03, 05-07 is away: postgresql://stoa@db1/stoa", "connection refused",
             "pg_isready -h 'db1' -d 'stoa'"),
    POSTGRES("a server of slots hangs", place_hangs, WHY_PLACE_AWAY,
             "of slot 0a hangs: postgresql://stoa@db2/stoa", "no answer in 1500 ms",
             "pg_isready -h 'db2'"),
    POSTGRES("it begins to hang", place_begins_to_hang, WHY_PLACE_AWAY, "of slot 0a is away",
             "no answer", "'db2'"),
    POSTGRES("two hang", places_hang_and_time_is_up, WHY_PLACE_AWAY, "05-07 hangs",
             "1 more server likewise; 1 was not looked at", "'db1'"),
    POSTGRES("it answers others only", place_answers_others_only, WHY_PLACE_AWAY,
             "does not answer the relay's sessions", "ready in 5 ms", "'db1'"),
    POSTGRES("a server of slots is not ours", place_not_opened, WHY_PLACE_AWAY,
             "slot 0a cannot be used", "another one", "'db2'"),
    WELL("a session too many there", place_session_too_many),
    WELL("no time for a look there", place_with_no_time_for_a_look),
    POSTGRES("lock at a server of slots", place_lock, WHY_PLACE_LOCK,
             "pid 31337, user ops, holds ShareLock on stoa.record_00 at "
             "postgresql://stoa@db1/stoa, the server of slots 03, 05-07", "CREATE INDEX",
             "psql -h 'db1' -d 'stoa' -c 'SELECT pg_cancel_backend(31337)'"),
    POSTGRES("lock there between tries", place_lock_between_tries, WHY_PLACE_LOCK, "db1", 0,
             "pg_cancel_backend(31337)"),
    WELL("harmless lock there", place_lock_that_hinders_nobody),
    POSTGRES("lock of a stranger there", place_lock_of_nobody_we_see, WHY_PLACE_LOCK, "db1",
             "1 wait", "psql -h 'db1'"),
    POSTGRES("lock there, the way unknown", place_lock_and_the_way_there_unknown,
             WHY_PLACE_LOCK, "db1", 0, "on that server: psql -c 'SELECT pg_cancel"),
    POSTGRES("a slow server of slots", place_slow, WHY_PLACE_SLOW,
             "of slot 0a is slow to commit: postgresql://stoa@db2/stoa", "1.0 s",
             "psql -h 'db2'"),
    POSTGRES("the hub's own is the slowest", own_server_slow, WHY_STORE_SLOW, "Postgres", 0,
             "psql -c"),
    POSTGRES("none is slow by itself", many_servers_add_up, WHY_STORE_SLOW, "Postgres", 0, 0),
    {"Postgres full", postgres_full, WHY_POSTGRES, WHY_DISK_FULL, 1, 0, 0,
     "data_directory"},
    POSTGRES("a full server of slots", place_is_full, WHY_DISK_FULL,
             "server of slots 03, 05-07 is full: postgresql://stoa@db1/stoa", "no records",
             "$(psql -h 'db1' -d 'stoa' -Atc"),
    WELL("a server of slots was full", place_was_full),
    POSTGRES("the hub's own is full too", own_server_is_full_too, WHY_DISK_FULL,
             "the ledger's disk", 0, "$(psql -Atc"),
    {"Redis gone", redis_gone, WHY_POSTGRES, WHY_BUS_GONE, 1, "Redis", "4.0 s",
     "redis-cli -s '/run/redis.sock' ping"},
    {"Redis there", redis_there, WHY_POSTGRES, NOTHING, 0, 0, 0, 0},
    {"slot without owner", slot_unowned, WHY_POSTGRES, WHY_SLOT_UNOWNED, 1,
     "3 of 16 slots have no owner, slot 0a", "9.0 s", "stoactl lag"},
    {"slot changes hands", slot_changes_hands, WHY_POSTGRES, NOTHING, 0, 0, 0, 0},
    {"slow verifier", verifier_slow, WHY_SQLITE, WHY_VERIFY_SLOW, 1, "signatures",
     "busy 99 %", "top -H"},
    {"busy verifier", verifier_busy_and_in_time, WHY_SQLITE, NOTHING, 0, 0, 0, 0},
    {"verifier behind commits", verifier_waits_for_commits, WHY_SQLITE, WHY_STORE_SLOW, 1,
     0, 0, 0},
    {"disk full", disk_full, WHY_SQLITE, WHY_DISK_FULL, 1, "disk is full", "12 MiB free",
     "df -h /var/lib/stoa"},
    {"disk nearly full", disk_nearly_full, WHY_SQLITE, WHY_DISK_FULL, 1, 0, "200 MiB", 0},
    {"clock jumped", clock_jumped, WHY_SQLITE, WHY_CLOCK_JUMPED, 1, 0, 0, "timedatectl"},
    {"clock just jumped", clock_just_jumped_back, WHY_SQLITE, WHY_CLOCK_JUMPED, 1, 0,
     "-3600000 ms", 0},
    {"clock skew", clock_skewed, WHY_POSTGRES, WHY_CLOCK_SKEW, 1, "clock", "-7000 ms",
     "timedatectl"},
    {"flood, refused", flooded_and_refused, WHY_SQLITE, WHY_FLOOD, 1, "192.0.2.7",
     "9000 entries/s, 93 %", "stoactl top"},
    {"flood, paused", flooded_and_paused, WHY_SQLITE, WHY_FLOOD, 1, "192.0.2.7", 0, 0},
    {"one busy client", one_busy_client, WHY_SQLITE, NOTHING, 0, 0, 0, 0},
    {"loop hangs", loop_hangs, WHY_SQLITE, WHY_LOOP_HANGS, 1, 0, "30.0 s", "top -H"},
    {"memory", memory_used_up, WHY_SQLITE, WHY_MEMORY, 1, 0, "1024 MiB", "stoactl top"},
    {"draining", drained, WHY_SQLITE, WHY_DRAINING, 1, 0, "100 connections", "--wait"},
    {"below quorum", below_quorum, WHY_SQLITE, WHY_QUORUM, 1, 0, "16", "witness status"},
    {"restored copy", restored_copy, WHY_SQLITE, WHY_BEHIND, 1, "restored", 0, "newest"},
    {"damage", damaged, WHY_SQLITE, WHY_DAMAGE, 1, "damaged", 0, "journalctl"},
    {"something else", stopped_for_something_else, WHY_SQLITE, WHY_WRITES_STOPPED, 1, 0,
     "rules_ahead", "stoactl help rules_ahead"},
};

static void has(const char *name, const char *text, const char *part)
{
    if (part && !strstr(text, part))
        fail_msg("%s: no \"%s\" in \"%s\"", name, part, text);
}

static void every_planted_fault_is_named(void **state)
{
    bool named[WHY_CAUSE_COUNT] = {false};
    static struct why_report r;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct why_snapshot s = well(cases[i].store);
        cases[i].plant(&s);
        why_judge(&s, &r);
        if (r.count != cases[i].count)
            fail_msg("%s: %zu causes, the first %s: %s", cases[i].name, r.count,
                     r.count ? why_word(r.found[0].cause) : "-", r.found[0].said);
        if (r.count == 0)
            continue;
        assert_string_equal(why_word(r.found[0].cause), why_word(cases[i].first));
        has(cases[i].name, r.found[0].said, cases[i].said);
        has(cases[i].name, r.found[0].seen, cases[i].seen);
        assert_true(r.found[0].try_count > 0);
        has(cases[i].name, r.found[0].try_this[0], cases[i].try_this);
        assert_true(r.found[0].effect[0] != 0);
        named[r.found[0].cause] = true;
    }
    for (unsigned i = 0; i < WHY_CAUSE_COUNT; i++)
        if (!named[i])
            fail_msg("no case for %s", why_word((enum why_cause)i));
}

static void two_faults_are_both_told_the_basic_one_first(void **state)
{
    static struct why_report r;
    struct why_snapshot s = well(WHY_SQLITE);
    (void)state;
    disk_full(&s);
    flooded_and_refused(&s);
    below_quorum(&s);
    why_judge(&s, &r);
    assert_int_equal(r.count, 3);
    assert_int_equal(r.found[0].cause, WHY_DISK_FULL);
    assert_int_equal(r.found[1].cause, WHY_FLOOD);
    assert_int_equal(r.found[2].cause, WHY_QUORUM);
}

/* The longest server names, and as many slots as go there, in the room there is. */
static void what_is_told_of_a_server_fits(void **state)
{
    static struct why_report r;
    static struct why_snapshot s;
    (void)state;
    s = well(WHY_POSTGRES);
    place_lock(&s);
    s.place_count = STORE_PLACES_MAX;
    for (size_t i = 1; i < s.place_count; i++) {
        s.place[i] = s.place[1];
        memset(s.place[i].is.name, 'n', 250);
        s.place[i].is.name[250] = 0;
        memset(s.place[i].is.asked_by, 'a', 250);
        s.place[i].is.asked_by[250] = 0;
        for (size_t k = 0; k < SLOTS_MAX; k += 2)
            s.place[i].is.slot[k] = true;
    }
    why_judge(&s, &r);
    assert_int_equal(r.count, 1);
    has("many slots", r.found[0].said, " .. (");
    has("many slots", r.found[0].said, " in all)");
    has("many servers", r.found[0].seen, "; 31 more servers likewise");
    has("a long way", r.found[0].try_this[0], "pg_cancel_backend(31337)'");
    assert_int_equal(r.found[0].try_count, 2);
    unsigned places = 0;
    for (size_t i = 0; i < r.look_count; i++)
        if (strcmp(r.looks[i].what, "place") == 0) {
            assert_false(r.looks[i].ok);
            has("a look", r.looks[i].seen, "of our sessions wait");
            places++;
        }
    assert_int_equal(places, STORE_PLACES_MAX - 1);
}

static void what_was_looked_at_is_told_and_unknown_is_not_fine(void **state)
{
    static struct why_report r;
    struct why_snapshot s = well(WHY_POSTGRES);
    (void)state;
    s.region = s.bus = s.cosign = true;
    s.memory_max = 1 << 30;
    why_judge(&s, &r);
    assert_int_equal(r.count, 0);
    assert_true(r.look_count >= 12);
    for (size_t i = 0; i < r.look_count; i++) {
        assert_true(r.looks[i].ok);
        assert_true(r.looks[i].seen[0] != 0);
        assert_int_equal(r.looks[i].known, strcmp(r.looks[i].what, "disk") != 0);
    }
    just_begun(&s);
    why_judge(&s, &r);
    for (size_t i = 0; i < r.look_count; i++)
        if (strcmp(r.looks[i].what, "verify") == 0)
            assert_false(r.looks[i].known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_planted_fault_is_named),
        cmocka_unit_test(two_faults_are_both_told_the_basic_one_first),
        cmocka_unit_test(what_is_told_of_a_server_fits),
        cmocka_unit_test(what_was_looked_at_is_told_and_unknown_is_not_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
