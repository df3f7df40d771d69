/* stoactl slot list|move|forget: where the slots of a Postgres ledger are, putting one
 * elsewhere, and removing what it left (ledger/store_postgres_move.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger/store_postgres_move.h"
#include "relay/stoactl.h"

/* `unfit` (may be NULL): what to do where a server is not as it must be. */
static int failed(struct ctl *c, enum err e, const struct store_why *why, const char *unfit)
{
    return ctl_fail(
        c, e == ERR_STORE || e == ERR_UNKNOWN ? EXIT_UNREACHABLE : ctl_exit_of(e), e,
        e == ERR_CONFIG ? unfit : NULL, "%s", why->text[0] ? why->text : err_text(e));
}

static bool missing(struct ctl *c, enum ctl_option o)
{
    return !c->value[o] || !c->value[o][0];
}

/* ---- move ---- */

static bool on_progress(void *context, const struct move_progress *p)
{
    struct ctl *c = context;
    switch (p->step) {
    case MOVE_FOUND:
        ctl_say(c, "it is at %s", p->from);
        break;
    case MOVE_COPIED:
        ctl_say(c, "%" PRIu64 " records copied", p->records);
        break;
    case MOVE_AWAY:
        ctl_say(c,
                "moved: %" PRIu64 " records; it stood still for %" PRIu64 ".%03" PRIu64
                " s",
                p->records, p->frozen_ms / 1000, p->frozen_ms % 1000);
        break;
    case MOVE_TOLD:
        if (c->json)
            c->out = json_pack("{s:I, s:I}", "records", (json_int_t)p->records,
                               "still_ms", (json_int_t)p->frozen_ms);
        break;
    case MOVE_ROOM:
    case MOVE_FROZEN:
    case MOVE_VERIFIED:
    case MOVE_HERE:
    case MOVE_FORGOTTEN:
        break;
    }
    return true;
}

/* Both work on one slot, and name a server beside --store by `server`. */
static int on_one_slot(struct ctl *c, enum ctl_option server,
                       bool (*progress)(void *context, const struct move_progress *p),
                       enum err (*work)(const struct move_order *o, struct store_why *why))
{
    struct store_why why = {{0}};
    char *end;
    unsigned long slot = strtoul(c->args[0], &end, 16);
    if (missing(c, OPT_STORE) || missing(c, server))
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "--store wants the hub's own database, %s",
                        server == OPT_TO ? "--to the server the slot goes to"
                                         : "--at the server to remove it from");
    if (*end || end == c->args[0] || slot >= SLOTS_MAX)
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "a slot is two hex digits as in its log's name, not %s",
                        c->args[0]);
    struct move_order o = {.store = c->value[OPT_STORE],
                           .to = c->value[server],
                           .as = c->value[OPT_AS],
                           .slot = (uint32_t)slot,
                           .progress = progress,
                           .context = c};
    enum err e = work(&o, &why);
    if (e != ERR_OK)
        return failed(c, e, &why,
                      "connect as the owner of both schemas (--as), and stoactl schema apply "
                      "first");
    return ctl_finish(c, EXIT_DONE);
}

int ctl_slot_move(struct ctl *c)
{
    return on_one_slot(c, OPT_TO, on_progress, postgres_move);
}

/* ---- forget ---- */

static bool on_forgotten(void *context, const struct move_progress *p)
{
    struct ctl *c = context;
    if (p->step != MOVE_FORGOTTEN)
        return true;
    ctl_say(c, "removed: %" PRIu64 " records at %s", p->records, p->from);
    if (c->json)
        c->out = json_pack("{s:I}", "records", (json_int_t)p->records);
    return true;
}

int ctl_slot_forget(struct ctl *c)
{
    return on_one_slot(c, OPT_AT, on_forgotten, postgres_forget);
}

/* ---- list ---- */

struct listing {
    struct ctl *c;
    json_t *rows;
};

static void on_slot(void *context, uint32_t slot, const char *uri, bool moving)
{
    struct listing *l = context;
    if (l->rows)
        json_array_append_new(l->rows, json_pack("{s:i, s:s, s:b}", "slot", (int)slot,
                                                 "place", uri, "moving", moving));
    else
        printf("%02x  %s%s\n", slot, uri[0] ? uri : "here",
               moving ? "  (being moved)" : "");
}

int ctl_slot_list(struct ctl *c)
{
    struct store_why why = {{0}};
    struct listing l = {.c = c, .rows = c->json ? json_array() : NULL};
    if (missing(c, OPT_STORE))
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "--store wants the hub's own database");
    enum err e = postgres_where(c->value[OPT_STORE], c->value[OPT_AS], on_slot, &l, &why);
    if (e != ERR_OK) {
        json_decref(l.rows);
        return failed(c, e, &why, NULL);
    }
    if (c->json)
        c->out = json_pack("{s:o}", "slots", l.rows);
    return ctl_finish(c, EXIT_DONE);
}
