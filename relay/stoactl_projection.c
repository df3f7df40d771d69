/* stoactl projection run|status|rebuild: keeps account, earning and rich_list of a
 * Postgres store up to the log (ledger/projection.h). A process of its own: commits do
 * not wait for it, and any number of it, anywhere, started and killed at will, come to
 * the same rows. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ledger/store_postgres_projection.h"
#include "relay/config_number.h"
#include "relay/stoactl.h"

#define EVERY_MS 250u
#define EVERY_MAX_MS 60000u
#define RETRY_MS 1000u
#define STALE_MS 10000u

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static void nap(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&t, NULL); /* a signal ends it, and is looked at */
}

static int failed(struct ctl *c, enum err e, const struct store_why *why)
{
    return ctl_fail(
        c, e == ERR_STORE ? EXIT_UNREACHABLE : ctl_exit_of(e), e,
        e == ERR_CONFIG ? "connect as stoa_projector (deploy/schema/roles.sql)" : NULL,
        "%s", why->text[0] ? why->text : err_text(e));
}

static int open_one(struct ctl *c, struct projector **p)
{
    struct store_why why = {{0}};
    const char *uri = c->value[OPT_STORE];
    if (!uri || !uri[0])
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "--store wants the store's URI: postgresql://USER@HOST/DATABASE");
    enum err e = projector_open(p, uri, &why);
    return e == ERR_OK ? EXIT_DONE : failed(c, e, &why);
}

/* Rounds until a signal. What is away is waited for; what is wrong ends it. */
static int run(struct ctl *c, struct projector *p, uint64_t every_ms)
{
    struct store_why why = {{0}};
    bool away = false;
    uint64_t all = 0;
    ctl_say(c, "projecting hub %s", projector_identity(p)->hub);
    while (!ended) {
        uint64_t records = 0;
        enum err e = projector_round(p, &records, &why);
        bool passes = e == ERR_STORE || e == ERR_STORE_FULL || e == ERR_LOCKED;
        if (e != ERR_OK && !passes)
            return failed(c, e, &why);
        if (away != (e != ERR_OK))
            ctl_say(c, "%s", e == ERR_OK ? "going on" : why.text);
        away = e != ERR_OK;
        all += records;
        if (away)
            nap(RETRY_MS);
        else if (records == 0)
            nap(every_ms);
    }
    if (c->json)
        c->out = json_pack("{s:I}", "records", (json_int_t)all);
    else
        ctl_say(c, "%" PRIu64 " records projected", all);
    return ctl_finish(c, EXIT_DONE);
}

int ctl_projection_run(struct ctl *c)
{
    struct sigaction act = {.sa_handler = on_signal};
    struct projector *p = NULL;
    uint64_t every_ms = EVERY_MS;
    const char *every = c->value[OPT_EVERY];
    if (every &&
        (!config_ms_parse(every, &every_ms) || every_ms == 0 || every_ms > EVERY_MAX_MS))
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "--every must be like 250ms or 2s, a minute at most");
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    int code = open_one(c, &p);
    if (code == EXIT_DONE)
        code = run(c, p, every_ms);
    projector_close(p);
    return code;
}

/* ---- status ---- */

static void print_slot(struct ctl *c, const struct projection_slot *s, json_t *rows)
{
    uint64_t behind = s->size > s->cursor.next ? s->size - s->cursor.next : 0;
    if (rows) {
        json_array_append_new(
            rows,
            json_pack("{s:i, s:I, s:I, s:I, s:o}", "slot", (int)s->cursor.slot, "records",
                      (json_int_t)s->cursor.next, "size", (json_int_t)s->size, "behind",
                      (json_int_t)behind, "age_ms",
                      s->begun ? json_integer((json_int_t)s->age_ms) : json_null()));
        return;
    }
    (void)c;
    if (s->begun)
        printf("%02x  %12" PRIu64 " of %" PRIu64 "  %" PRIu64
               " behind, looked at %" PRIu64 ".%03" PRIu64 " s ago\n",
               s->cursor.slot, s->cursor.next, s->size, behind, s->age_ms / 1000,
               s->age_ms % 1000);
    else
        printf("%02x  never projected, %" PRIu64 " records\n", s->cursor.slot, s->size);
}

int ctl_projection_status(struct ctl *c)
{
    static struct projection_slot slots[SLOTS_MAX];
    struct projector *p = NULL;
    struct store_why why = {{0}};
    size_t count = 0;
    bool stale = false;
    int code = open_one(c, &p);
    if (code != EXIT_DONE)
        return code;
    enum err e = projector_slots(p, slots, &count, &why);
    projector_close(p);
    if (e != ERR_OK)
        return failed(c, e, &why);
    json_t *rows = c->json ? json_array() : NULL;
    for (size_t i = 0; i < count; i++) {
        print_slot(c, &slots[i], rows);
        stale = stale || !slots[i].begun || slots[i].age_ms > STALE_MS;
    }
    if (c->json)
        c->out = json_pack("{s:b, s:o}", "stale", stale, "slots", rows);
    else if (stale)
        ctl_say(c, "nobody projects: start one with stoactl projection run --store URI");
    return ctl_finish(c, stale ? EXIT_NO : EXIT_DONE);
}

/* ---- rebuild ---- */

static int rebuild(struct ctl *c, struct projector *p, uint32_t first, uint32_t end)
{
    struct store_why why = {{0}};
    bool check = c->value[OPT_CHECK] != NULL;
    uint64_t records = 0;
    unsigned differ = 0;
    json_t *rows = c->json ? json_array() : NULL;
    for (uint32_t slot = first; slot < end && !ended; slot++) {
        struct projector_rebuilt done = {0, false};
        enum err e = projector_rebuild(p, slot, !check, &done, &why);
        if (e != ERR_OK) {
            json_decref(rows);
            return failed(c, e, &why);
        }
        records += done.records;
        differ += !done.equal;
        if (rows)
            json_array_append_new(rows, json_pack("{s:i, s:I, s:b}", "slot", (int)slot,
                                                  "records", (json_int_t)done.records,
                                                  "equal", done.equal));
        else
            printf("%02x  %" PRIu64 " records, %s\n", slot, done.records,
                   done.equal ? "the same as before"
                   : check    ? "DIFFERENT"
                              : "different from before");
    }
    if (c->json)
        c->out = json_pack("{s:I, s:i, s:o}", "records", (json_int_t)records, "different",
                           (int)differ, "slots", rows);
    return ctl_finish(c, check && differ > 0 ? EXIT_NO : EXIT_DONE);
}

int ctl_projection_rebuild(struct ctl *c)
{
    struct projector *p = NULL;
    int code = open_one(c, &p);
    if (code != EXIT_DONE)
        return code;
    uint32_t first = 0, end = projector_identity(p)->slots;
    if (c->arg_count == 1) {
        char *stop;
        unsigned long slot = strtoul(c->args[0], &stop, 16);
        if (*stop || stop == c->args[0] || slot >= end) {
            projector_close(p);
            return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                            "a slot is two hex digits as in its log's name, not %s",
                            c->args[0]);
        }
        first = (uint32_t)slot;
        end = first + 1;
    }
    code = rebuild(c, p, first, end);
    projector_close(p);
    return code;
}
