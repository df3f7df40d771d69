#include "relay/why.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const words[WHY_CAUSE_COUNT] = {
#define WORD_(name, word) [WHY_##name] = word,
    WHY_CAUSES(WORD_)
#undef WORD_
};

const char *why_word(enum why_cause cause)
{
    return (unsigned)cause < WHY_CAUSE_COUNT ? words[cause] : "?";
}

__attribute__((format(printf, 2, 3))) static void put(char out[WHY_TEXT_MAX],
                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, WHY_TEXT_MAX, format, args);
    va_end(args);
}

#define SAID(...) put(f->said, __VA_ARGS__)
#define SEEN(...) put(f->seen, __VA_ARGS__)
#define EFFECT(...) put(f->effect, __VA_ARGS__)
#define TRY_THIS(...)                                                                    \
    (assert(f->try_count < WHY_TRY_MAX), put(f->try_this[f->try_count++], __VA_ARGS__))

/* "12 ms", "3.4 s", "2 min" */
static const char *span(char out[32], uint64_t ms)
{
    if (ms < 1000)
        snprintf(out, 32, "%" PRIu64 " ms", ms);
    else if (ms < 120000)
        snprintf(out, 32, "%" PRIu64 ".%" PRIu64 " s", ms / 1000, ms % 1000 / 100);
    else
        snprintf(out, 32, "%" PRIu64 " min", ms / 60000);
    return out;
}

static const char *size_text(char out[32], uint64_t bytes)
{
    if (bytes >= UINT64_C(10) << 30)
        snprintf(out, 32, "%" PRIu64 " GiB", bytes >> 30);
    else
        snprintf(out, 32, "%" PRIu64 " MiB", bytes >> 20);
    return out;
}

static uint64_t per_second(const struct why_snapshot *s, uint64_t n)
{
    return s->window_ms ? n * 1000u / s->window_ms : 0;
}

static int64_t skew_ms(const struct why_snapshot *s)
{
    return s->probe.there ? (int64_t)(s->probe.server_ms - s->probe.asked_ms) : 0;
}

static uint64_t size_of(int64_t v)
{
    return (uint64_t)(v < 0 ? -v : v);
}

static bool commit_hangs(const struct why_snapshot *s)
{
    return s->append_ms >= WHY_COMMIT_HANGS_MS ||
           (s->commits > 0 && s->commit_us >= WHY_COMMIT_SLOW_US);
}

/* Sessions of ours wait, or somebody's lock would explain the `trouble` there is. */
static bool is_locked(const struct store_probe *p, bool trouble)
{
    return p->there && ((p->waiting > 0 && p->waited_ms >= WHY_COMMIT_HANGS_MS) ||
                        (p->held && trouble));
}

/* ---- servers of single slots ---- */

#define SLOTS_TEXT_MAX 96

static unsigned slot_count(const struct store_place *p)
{
    unsigned n = 0;
    for (size_t k = 0; k < SLOTS_MAX; k++)
        n += p->slot[k];
    return n;
}

/* "slot 03", "slots 01, 04-0f", "slots 00, 02, 04 .. (128 in all)" */
static const char *slots_text(char out[SLOTS_TEXT_MAX], const struct store_place *p)
{
    unsigned count = slot_count(p);
    const char *between = " ";
    size_t n = (size_t)snprintf(out, SLOTS_TEXT_MAX, count == 1 ? "slot" : "slots");
    for (size_t k = 0; k < SLOTS_MAX; k++) {
        size_t last = k;
        if (!p->slot[k])
            continue;
        while (last + 1 < SLOTS_MAX && p->slot[last + 1])
            last++;
        if (n + 32 > SLOTS_TEXT_MAX) {
            snprintf(out + n, SLOTS_TEXT_MAX - n, " .. (%u in all)", count);
            break;
        }
        n += (size_t)(last == k
                          ? snprintf(out + n, SLOTS_TEXT_MAX - n, "%s%02zx", between, k)
                          : snprintf(out + n, SLOTS_TEXT_MAX - n, "%s%02zx-%02zx", between,
                                     k, last));
        between = ", ";
        k = last;
    }
    return out;
}

#define REACH_MAX (STORE_PLACE_NAME_MAX + 32)
/* A program that asks that server: a command for another one would do harm there. */
static const char *reach(char out[REACH_MAX], const char *program, const struct store_place *p)
{
    if (p->asked_by[0])
        snprintf(out, REACH_MAX, "%s%s", program, p->asked_by);
    else
        snprintf(out, REACH_MAX, "on that server: %s", program);
    return out;
}

static bool place_locked(const struct why_snapshot *s, const struct why_place *w)
{
    return w->looked && is_locked(&w->probe, w->is.append_ms > 0 ||
                                                 store_place_marked(&w->is) ||
                                                 s->write_state != ERR_OK);
}

/* As for the hub's own: that nobody was found proves nothing while its slots go on. */
static bool place_away(const struct why_snapshot *s, const struct why_place *w)
{
    if (!w->looked)
        return store_place_marked(&w->is);
    if (w->probe.there)
        return store_place_marked(&w->is) && !w->probe.held && w->probe.waiting == 0;
    return store_place_marked(&w->is) || w->is.append_ms >= WHY_COMMIT_HANGS_MS ||
           s->write_state == ERR_UNAVAILABLE;
}

/* The first server of which it is so, and how many others; NULL: none. */
static const struct why_place *
places_that(const struct why_snapshot *s, unsigned *others,
            bool (*so)(const struct why_snapshot *s, const struct why_place *w))
{
    const struct why_place *first = NULL;
    *others = 0;
    for (size_t i = 1; i < s->place_count; i++) {
        if (!so(s, &s->place[i]))
            continue;
        if (first)
            *others += 1;
        else
            first = &s->place[i];
    }
    return first;
}

/* "; 2 more servers likewise; 3 were not looked at" */
static const char *others_text(char out[96], const struct why_snapshot *s, unsigned others)
{
    unsigned unseen = 0;
    int n = 0;
    for (size_t i = 1; i < s->place_count; i++)
        unseen += !s->place[i].looked;
    out[0] = 0;
    if (others > 0)
        n = snprintf(out, 96, "; %u more server%s likewise", others, others == 1 ? "" : "s");
    if (unseen > 0)
        snprintf(out + n, 96 - (size_t)n, "; %u w%s not looked at, the time was up", unseen,
                 unseen == 1 ? "as" : "ere");
    return out;
}

static uint64_t place_ms(const struct store_place *p)
{
    uint64_t last = p->append_us / 1000;
    return p->append_ms > last ? p->append_ms : last;
}

/* One transaction after the other goes to the servers: which one takes the time? NULL: there
 * is one only, or none of them is slow by itself. */
static const struct why_place *slowest(const struct why_snapshot *s)
{
    const struct why_place *most = NULL;
    for (size_t i = 0; s->place_count > 1 && i < s->place_count; i++)
        if (place_ms(&s->place[i].is) >= WHY_COMMIT_SLOW_US / 1000 &&
            (!most || place_ms(&s->place[i].is) > place_ms(&most->is)))
            most = &s->place[i];
    return most;
}

/* The judges: true when it is so, with the finding filled in. */

static bool judge_DAMAGE(const struct why_snapshot *s, struct why_finding *f)
{
    if (s->write_state != ERR_CORRUPT && s->write_state != ERR_IO &&
        s->write_state != ERR_BUG)
        return false;
    SAID("the store is damaged, or its disk fails: %s", err_text(s->write_state));
    SEEN("write state %s", err_word(s->write_state));
    EFFECT("nothing is sequenced; the relay ends, or has stopped the slots concerned");
    TRY_THIS("journalctl -u stoad -p warning -n 50");
    TRY_THIS("dmesg --level=err | tail");
    return true;
}

static bool judge_BEHIND(const struct why_snapshot *s, struct why_finding *f)
{
    if (s->write_state != ERR_BEHIND && s->write_state != ERR_FORK)
        return false;
    SAID("the store holds less than this hub has signed: a restored copy, or a second "
         "instance");
    SEEN("write state %s", err_word(s->write_state));
    EFFECT("writes refused so that no second history is signed; reads go on");
    TRY_THIS("bring back the newest copy of the ledger; docs/OPERATIONS.md, \"Behind\"");
    return true;
}

static bool judge_CLOCK_JUMPED(const struct why_snapshot *s, struct why_finding *f)
{
    if (s->write_state != ERR_CLOCK && size_of(s->drift_ms) < WHY_DRIFT_MS)
        return false;
    SAID("the wall clock of this machine jumped against the monotonic one");
    SEEN("write state %s, %+" PRId64 " ms in the last %" PRIu64 " s",
         err_word(s->write_state), s->drift_ms, s->window_ms / 1000);
    EFFECT("sequencing has stopped, since hub time must not jump; reads go on");
    TRY_THIS("timedatectl timesync-status");
    TRY_THIS("systemctl restart stoad   # when the clock is right again");
    return true;
}

static bool judge_STORE_AWAY(const struct why_snapshot *s, struct why_finding *f)
{
    /* A look that finds nobody is no proof while commits go on, or leases are renewed: it may
     * be one session too many for the server. */
    bool silent = s->probe.kind == STORE_PROBE_SERVER && !s->probe.there &&
                  (commit_hangs(s) || s->write_state != ERR_OK || s->leases_lapsed);
    if (!s->store_away && !silent)
        return false;
    if (s->probe.there) {
        /* It answers us now: a lock, or it just came back. */
        if (s->probe.held || s->probe.waiting > 0)
            return false;
        SAID("the Postgres server does not answer the relay's sessions in time");
        SEEN("a new session was ready in %" PRIu64 " ms and answered in %" PRIu64 " us",
             s->probe.connect_ms, s->probe.answer_us);
    } else {
        SAID("the Postgres server is away");
        SEEN("%s", s->probe_why[0] ? s->probe_why : "no session, no answer");
    }
    EFFECT("writes and reads are answered unavailable; the relay tries again by itself");
    TRY_THIS("pg_isready -d '%s'", s->store_place);
    TRY_THIS("systemctl status postgresql");
    return true;
}

static bool judge_PLACE_AWAY(const struct why_snapshot *s, struct why_finding *f)
{
    char slots[SLOTS_TEXT_MAX], more[96], command[REACH_MAX];
    unsigned others;
    const struct why_place *w = places_that(s, &others, place_away);
    if (!w)
        return false;
    bool there = w->looked && w->probe.there;
    SAID("the Postgres server of %s %s: %s", slots_text(slots, &w->is),
         w->is.unopened && there ? "cannot be used"
         : there                 ? "does not answer the relay's sessions in time"
         : w->is.deaf            ? "hangs"
                                 : "is away",
         w->is.name);
    others_text(more, s, others);
    if (w->is.unopened && (there || !w->probe_why[0]) && w->is.why.text[0])
        SEEN("%.300s%s", w->is.why.text, more);
    else if (there)
        SEEN("a new session was ready in %" PRIu64 " ms and answered in %" PRIu64 " us%s",
             w->probe.connect_ms, w->probe.answer_us, more);
    else
        SEEN("%.300s%s", w->probe_why[0] ? w->probe_why : "the relay's sessions got no answer",
             more);
    EFFECT("entries of accounts in these slots are refused unavailable, other slots go on; the "
           "relay tries again by itself");
    TRY_THIS("%s", reach(command, "pg_isready", &w->is));
    TRY_THIS("%s -c 'SELECT pid, state, wait_event, query FROM pg_stat_activity'",
             reach(command, "psql", &w->is));
    TRY_THIS("on that server: systemctl status postgresql");
    return true;
}

static bool place_full(const struct why_snapshot *s, const struct why_place *w)
{
    return w->is.full && s->write_state == ERR_STORE_FULL;
}

static bool judge_DISK_FULL(const struct why_snapshot *s, struct why_finding *f)
{
    char left[32], least[32], slots[SLOTS_TEXT_MAX], more[96];
    unsigned others;
    const struct why_place *w = places_that(s, &others, place_full);
    if (!s->low_room && s->write_state != ERR_STORE_FULL)
        return false;
    if (w && !s->place[0].is.full) {
        SAID("the disk of the server of %s is full: %s", slots_text(slots, &w->is), w->is.name);
        SEEN("it took no records for want of room%s", others_text(more, s, others));
        EFFECT("writes refused unavailable, reads go on; it resumes by itself when there is "
               "room");
        TRY_THIS("on that server: df -h \"$(psql%s -Atc 'SHOW data_directory')\"",
                 w->is.asked_by);
        return true;
    }
    SAID("the ledger's disk is full");
    if (s->room_known)
        SEEN("%s free, store.min_free_bytes is %s", size_text(left, s->free_bytes),
             size_text(least, s->min_free_bytes));
    else
        SEEN("the store says that it has no room");
    EFFECT("writes refused unavailable, reads go on; it resumes by itself when there is "
           "room");
    if (s->store == WHY_POSTGRES)
        TRY_THIS("on the database server: df -h \"$(psql -Atc 'SHOW data_directory')\"");
    else
        TRY_THIS("df -h %s && du -xsh %s/*", s->store_place, s->store_place);
    return true;
}

/* `at`: " at NAME, the server of slot 03", "" of the hub's own; `psql` as it is reached. */
static void tell_lock(const struct store_probe *p, const char *at, const char *psql,
                      struct why_finding *f)
{
    char held[32], waited[32], doing[2 * STORE_PROBE_TEXT_MAX + 64];
    if (!p->held) {
        SAID("sessions of the relay wait for a lock%s", at);
        SEEN("%" PRIu64 " wait, the longest %s; who holds it is gone, or not shown to this "
             "role", p->waiting, span(waited, p->waited_ms));
        EFFECT("commits wait; entries are refused when too many are under way");
        TRY_THIS("%s -c 'SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity "
                 "WHERE wait_event_type = $$Lock$$'", psql);
        return;
    }
    SAID("pid %" PRIu64 ", user %s, holds %s%s", p->holder_pid, p->holder_user,
         p->holder_lock[0] ? p->holder_lock : "a lock that commits wait for", at);
    if (p->holder_query[0])
        snprintf(doing, sizeof(doing), "%s for %s: %s",
                 p->holder_state[0] ? p->holder_state : "in a transaction",
                 span(held, p->held_ms), p->holder_query);
    else
        snprintf(doing, sizeof(doing),
                 "what it does is not shown to this role (GRANT pg_monitor TO it)");
    SEEN("%s; %" PRIu64 " session%s of ours wait, the longest %s", doing, p->waiting,
         p->waiting == 1 ? "" : "s", span(waited, p->waited_ms));
    EFFECT("commits wait; entries are refused unavailable, nothing is lost");
    TRY_THIS("%s -c 'SELECT pg_cancel_backend(%" PRIu64 ")'", psql, p->holder_pid);
    TRY_THIS("%s -c 'SELECT pg_terminate_backend(%" PRIu64 ")'   # if it is idle in a "
             "transaction", psql, p->holder_pid);
}

static bool judge_STORE_LOCK(const struct why_snapshot *s, struct why_finding *f)
{
    if (!is_locked(&s->probe,
                   s->append_ms > 0 || s->store_away || s->write_state != ERR_OK))
        return false;
    tell_lock(&s->probe, "", "psql", f);
    return true;
}

static bool judge_PLACE_LOCK(const struct why_snapshot *s, struct why_finding *f)
{
    char slots[SLOTS_TEXT_MAX], at[STORE_PLACE_NAME_MAX + SLOTS_TEXT_MAX + 32], more[96];
    char psql[REACH_MAX];
    unsigned others;
    const struct why_place *w = places_that(s, &others, place_locked);
    if (!w)
        return false;
    snprintf(at, sizeof(at), " at %s, the server of %s", w->is.name,
             slots_text(slots, &w->is));
    tell_lock(&w->probe, at, reach(psql, "psql", &w->is), f);
    size_t n = strlen(f->seen);
    snprintf(f->seen + n, sizeof(f->seen) - n, "%s", others_text(more, s, others));
    return true;
}

static bool judge_STORE_SLOW(const struct why_snapshot *s, struct why_finding *f)
{
    char now[32], usual[32];
    uint64_t ms = s->append_ms > s->commit_us / 1000 ? s->append_ms : s->commit_us / 1000;
    const struct why_place *w = slowest(s);
    if (!commit_hangs(s) || (w && w != &s->place[0]))
        return false;
    SAID("%s is slow to commit", s->store == WHY_POSTGRES ? "Postgres" : "the disk");
    SEEN("a transaction takes %s (usual %s), %" PRIu64 " in the last %" PRIu64 " s%s",
         span(now, ms), s->commit_usual_us ? span(usual, s->commit_usual_us / 1000)
                                           : "not known",
         s->commits, s->window_ms / 1000,
         s->append_ms >= WHY_COMMIT_HANGS_MS ? ", one is under way" : "");
    EFFECT("answers come late; entries are refused busy when too many are under way");
    if (s->store == WHY_POSTGRES) {
        TRY_THIS("psql -c 'SELECT pid, wait_event_type, wait_event, query FROM "
                 "pg_stat_activity WHERE application_name ~ $$^stoa$$'");
        TRY_THIS("on the database server: iostat -x 1 5");
    } else {
        TRY_THIS("iostat -x 1 5");
        TRY_THIS("iotop -obn 3");
    }
    return true;
}

static bool judge_PLACE_SLOW(const struct why_snapshot *s, struct why_finding *f)
{
    char slots[SLOTS_TEXT_MAX], now[32], psql[REACH_MAX];
    const struct why_place *w = slowest(s);
    if (!commit_hangs(s) || !w || w == &s->place[0] || place_away(s, w) ||
        place_locked(s, w))
        return false;
    SAID("the Postgres server of %s is slow to commit: %s", slots_text(slots, &w->is),
         w->is.name);
    SEEN("a transaction there takes %s%s; those at other servers wait for it",
         span(now, place_ms(&w->is)),
         w->is.append_ms >= WHY_COMMIT_HANGS_MS ? ", one is under way" : "");
    EFFECT("answers come late, of other slots too; entries are refused busy when too many are "
           "under way");
    TRY_THIS("%s -c 'SELECT pid, wait_event_type, wait_event, query FROM pg_stat_activity "
             "WHERE application_name ~ $$^stoa$$'", reach(psql, "psql", &w->is));
    TRY_THIS("on that server: iostat -x 1 5");
    TRY_THIS("stoactl slot move SLOT --to ANOTHER   # docs/OPERATIONS.md, \"Slots on several "
             "servers\"");
    return true;
}

static bool judge_CLOCK_SKEW(const struct why_snapshot *s, struct why_finding *f)
{
    if (size_of(skew_ms(s)) < WHY_SKEW_MS)
        return false;
    SAID("this machine's clock and the database server's differ");
    SEEN("theirs minus ours is %+" PRId64 " ms", skew_ms(s));
    EFFECT("hub times of this relay's slots are off; leases still go by the server's clock");
    TRY_THIS("timedatectl timesync-status   # here, and on the database server");
    TRY_THIS("chronyc tracking");
    return true;
}

static bool judge_SLOT_UNOWNED(const struct why_snapshot *s, struct why_finding *f)
{
    char long_[32];
    if (!s->region || s->unowned == 0 || s->unowned_ms < WHY_UNOWNED_MS)
        return false;
    SAID("%" PRIu64 " of %" PRIu64 " slots have no owner, slot %02" PRIx64 " first",
         s->unowned, s->slots, s->first_unowned);
    SEEN("for %s; a slot changes hands within %u s", span(long_, s->unowned_ms),
         WHY_UNOWNED_MS / 1000);
    EFFECT("entries of accounts in these slots are refused unavailable; reads go on");
    TRY_THIS("stoactl lag   # relays that are alive, and what each owns");
    TRY_THIS("journalctl -u 'stoad*' -p warning -n 50");
    return true;
}

static bool judge_LOOP_HANGS(const struct why_snapshot *s, struct why_finding *f)
{
    char silent[32];
    if (s->loop_silent_ms < WHY_LOOP_SILENT_MS)
        return false;
    SAID("the relay's main loop does not move");
    SEEN("nothing heard of it for %s", span(silent, s->loop_silent_ms));
    EFFECT("clients get no answers");
    TRY_THIS("top -H -p \"$(pidof stoad)\"   # is the machine out of CPU, or stopped?");
    return true;
}

static bool judge_MEMORY(const struct why_snapshot *s, struct why_finding *f)
{
    char used[32], most[32];
    if (s->memory_max == 0 || (!s->memory_tight && s->memory_used < s->memory_max))
        return false;
    SAID("the memory plan is used up");
    SEEN("messages take %s of %s", size_text(used, s->memory_used),
         size_text(most, s->memory_max));
    EFFECT("new entries are refused busy, nothing is read, who keeps the most is sent away");
    TRY_THIS("stoactl top");
    TRY_THIS("lower limits.unsent_bytes or limits.inflight_entries, then stoactl reload");
    TRY_THIS("raise memory.physical_bytes   # stoad --check-config shows the plan");
    return true;
}

/* Somebody sends most of what comes, and it is more than we take. */
static bool judge_FLOOD(const struct why_snapshot *s, struct why_finding *f)
{
    uint64_t refused = per_second(s, s->refused_rate + s->refused_queue);
    bool full = s->inflight_max > 0 && s->inflight >= s->inflight_max;
    if (s->top_share < WHY_FLOOD_SHARE ||
        (refused < WHY_FLOOD_ENTRIES && !(full && s->top_entries >= WHY_FLOOD_ENTRIES)))
        return false;
    SAID("a flood from %s", s->top_address);
    SEEN("it sends %" PRIu64 " entries/s, %u %% of all; %" PRIu64
         "/s are refused, %" PRIu64 " of %" PRIu64 " places in the queue are taken, %" PRIu64
         " connections held back",
         s->top_entries, s->top_share / 10, refused, s->inflight, s->inflight_max, s->held);
    EFFECT("its own entries are refused or wait; others get their turn in between");
    TRY_THIS("stoactl top");
    TRY_THIS("set limits.address_entries_a_second, then stoactl reload");
    TRY_THIS("nft add rule inet filter input ip saddr %s drop   # if it is nobody's",
             s->top_address);
    return true;
}

static bool judge_VERIFY_SLOW(const struct why_snapshot *s, struct why_finding *f)
{
    if (s->verify_busy < WHY_VERIFY_BUSY || s->verify_wait_us < WHY_VERIFY_WAIT_US ||
        commit_hangs(s))
        return false;
    SAID("signatures are checked more slowly than entries come");
    SEEN("%" PRIu64 " verify thread%s busy %" PRIu64 " %%, a verdict takes %" PRIu64
         " ms, %" PRIu64 " jobs wait", s->verify_threads,
         s->verify_threads == 1 ? "" : "s", s->verify_busy / 10, s->verify_wait_us / 1000,
         s->verify_jobs_waiting);
    EFFECT("answers come late; entries are refused busy when too many are under way");
    TRY_THIS("top -H -p \"$(pidof stoad)\"   # does something else use the CPU?");
    TRY_THIS("set verify.threads = 0 (one a core), or add a relay to the region");
    return true;
}

static bool judge_BUS_GONE(const struct why_snapshot *s, struct why_finding *f)
{
    char silent[32];
    if (!s->bus || s->bus_silent_ms < WHY_BUS_SILENT_MS)
        return false;
    SAID("Redis is gone");
    SEEN("no answer for %s", span(silent, s->bus_silent_ms));
    EFFECT("entries of other relays are seen at the next poll of the store "
           "(region.poll_ms), none is lost");
    TRY_THIS("%s ping", s->bus_asked_by[0] ? s->bus_asked_by : "redis-cli");
    TRY_THIS("systemctl status redis-server");
    return true;
}

static bool judge_DRAINING(const struct why_snapshot *s, struct why_finding *f)
{
    char grace[32];
    if (!s->draining)
        return false;
    SAID("this relay is being stopped");
    SEEN("draining, %" PRIu64 " connections left, grace %s", s->connections,
         span(grace, s->grace_ms));
    EFFECT("new entries are refused draining; clients go to another relay");
    TRY_THIS("stoactl drain --wait");
    return true;
}

static bool judge_QUORUM(const struct why_snapshot *s, struct why_finding *f)
{
    if (!s->cosign || s->logs_below_quorum == 0)
        return false;
    SAID("witnesses are missing: %" PRIu64 " logs are served below their quorum",
         s->logs_below_quorum);
    SEEN("stoa_cosign_logs_below_quorum %" PRIu64, s->logs_below_quorum);
    EFFECT("nothing waits; readers who want a quorum see older checkpoints");
    TRY_THIS("stoactl witness status");
    return true;
}

/* What no other judge explains. */
static bool judge_WRITES_STOPPED(const struct why_snapshot *s, struct why_finding *f)
{
    if (s->write_state == ERR_OK)
        return false;
    SAID("nothing is sequenced: %s", err_text(s->write_state));
    SEEN("write state %s", err_word(s->write_state));
    EFFECT("writes are refused");
    TRY_THIS("stoactl help %s", err_word(s->write_state));
    TRY_THIS("journalctl -u stoad -p warning -n 50");
    return true;
}

static bool (*const judges[WHY_CAUSE_COUNT])(const struct why_snapshot *s,
                                             struct why_finding *f) = {
#define JUDGE_(name, word) [WHY_##name] = judge_##name,
    WHY_CAUSES(JUDGE_)
#undef JUDGE_
};

/* What was looked at, whatever was found. */

__attribute__((format(printf, 5, 6))) static void
look(struct why_report *out, const char *what, bool known, bool ok, const char *format, ...)
{
    assert(out->look_count < WHY_LOOKS_MAX);
    struct why_look *l = &out->looks[out->look_count++];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(l->seen, sizeof(l->seen), format, args);
    va_end(args);
    l->what = what;
    l->known = known;
    l->ok = ok;
}

static void look_at_entries(const struct why_snapshot *s, struct why_report *out)
{
    bool known = s->window_ms > 0;
    look(out, "loop", true, s->loop_silent_ms < WHY_LOOP_SILENT_MS,
         "heard %" PRIu64 " ms ago", s->loop_silent_ms);
    look(out, "writes", true, s->write_state == ERR_OK && !s->draining, "%s",
         s->draining ? "draining" : err_word(s->write_state));
    look(out, "entries", known, s->inflight_max == 0 || s->inflight < s->inflight_max,
         "%" PRIu64 "/s committed, %" PRIu64 "/s refused, %" PRIu64 " of %" PRIu64
         " under way", per_second(s, s->committed),
         per_second(s, s->refused_rate + s->refused_queue), s->inflight, s->inflight_max);
    look(out, "verify", known,
         s->verify_busy < WHY_VERIFY_BUSY || s->verify_wait_us < WHY_VERIFY_WAIT_US,
         "%" PRIu64 " %% busy, %" PRIu64 " us to a verdict, %" PRIu64 " jobs wait",
         s->verify_busy / 10, s->verify_wait_us, s->verify_jobs_waiting);
    look(out, "commit", known, !commit_hangs(s), "%" PRIu64 " us (usual %" PRIu64
         " us), %" PRIu64 " transactions", s->commit_us, s->commit_usual_us, s->commits);
}

static void look_at_store(const struct why_snapshot *s, struct why_report *out)
{
    char left[32];
    look(out, "disk", s->room_known, !s->low_room, "%s%s",
         s->room_known ? size_text(left, s->free_bytes) : "room not known here",
         s->room_known ? " free" : "");
    if (s->store != WHY_POSTGRES)
        return;
    if (s->probe.there)
        look(out, "server", true, !s->store_away,
             "session in %" PRIu64 " ms, answer in %" PRIu64 " us", s->probe.connect_ms,
             s->probe.answer_us);
    else
        look(out, "server", true, false, "no session, no answer");
    look(out, "locks", s->probe.there, s->probe.waiting == 0,
         "%" PRIu64 " of our sessions wait", s->probe.waiting);
}

static void look_at_places(const struct why_snapshot *s, struct why_report *out)
{
    char slots[SLOTS_TEXT_MAX], seen[96];
    for (size_t i = 1; i < s->place_count; i++) {
        const struct why_place *w = &s->place[i];
        bool there = w->looked && w->probe.there;
        if (there)
            snprintf(seen, sizeof(seen), "session in %" PRIu64 " ms, answer in %" PRIu64
                     " us, %" PRIu64 " of our sessions wait", w->probe.connect_ms,
                     w->probe.answer_us, w->probe.waiting);
        else
            snprintf(seen, sizeof(seen), "%s%s",
                     w->is.deaf       ? "hangs, "
                     : w->is.unopened ? "not opened, "
                     : w->is.away     ? "away, "
                                      : "",
                     w->looked ? "no session, no answer" : "not looked at: the time was up");
        look(out, "place", w->looked || store_place_marked(&w->is),
             there && !place_away(s, w) && !place_locked(s, w) && !place_full(s, w) &&
                w->probe.waiting == 0,
             "%s, %s: %s", w->is.name, slots_text(slots, &w->is), seen);
    }
}

static void look_at_rest(const struct why_snapshot *s, struct why_report *out)
{
    look(out, "clock", true,
         size_of(s->drift_ms) < WHY_DRIFT_MS && size_of(skew_ms(s)) < WHY_SKEW_MS,
         "%+" PRId64 " ms against the monotonic one%s%+" PRId64 " ms", s->drift_ms,
         s->probe.there ? ", the server's minus ours " : ", no server to compare: ",
         skew_ms(s));
    look(out, "clients", true, s->top_share < WHY_FLOOD_SHARE || s->top_entries == 0 ||
         s->refused_rate + s->refused_queue == 0,
         "%" PRIu64 " connections, %" PRIu64
         " held back, the busiest address sends %" PRIu64 " entries/s",
         s->connections, s->held, s->top_entries);
    if (s->memory_max)
        look(out, "memory", true, !s->memory_tight && s->memory_used < s->memory_max,
             "%" PRIu64 " of %" PRIu64 " MiB", s->memory_used >> 20, s->memory_max >> 20);
    if (s->region)
        look(out, "slots", true, s->unowned == 0, "%" PRIu64 " of %" PRIu64 " unowned",
             s->unowned, s->slots);
    if (s->bus)
        look(out, "bus", true, s->bus_silent_ms < WHY_BUS_SILENT_MS,
             "silent for %" PRIu64 " ms", s->bus_silent_ms);
    if (s->cosign)
        look(out, "witnesses", true, s->logs_below_quorum == 0,
             "%" PRIu64 " logs below their quorum", s->logs_below_quorum);
}

/* A later cause that an earlier one explains is not told again. */
static bool explained(const struct why_report *out, enum why_cause cause)
{
    for (size_t i = 0; i < out->count; i++) {
        enum why_cause had = out->found[i].cause;
        if (cause == WHY_WRITES_STOPPED ||
            (cause == WHY_STORE_SLOW &&
             (had == WHY_STORE_AWAY || had == WHY_STORE_LOCK || had == WHY_DISK_FULL)) ||
            (cause == WHY_SLOT_UNOWNED && had == WHY_STORE_AWAY) ||
            (cause == WHY_CLOCK_SKEW && had == WHY_CLOCK_JUMPED) ||
            (cause == WHY_VERIFY_SLOW && had == WHY_FLOOD))
            return true;
    }
    return false;
}

void why_judge(const struct why_snapshot *s, struct why_report *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < WHY_CAUSE_COUNT; i++) {
        struct why_finding *f = &out->found[out->count];
        memset(f, 0, sizeof(*f));
        if (explained(out, (enum why_cause)i) || !judges[i](s, f))
            continue;
        f->cause = (enum why_cause)i;
        out->count++;
    }
    look_at_entries(s, out);
    look_at_store(s, out);
    look_at_places(s, out);
    look_at_rest(s, out);
}
