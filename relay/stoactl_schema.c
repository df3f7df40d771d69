/* stoactl schema status|plan|apply: the schema of a Postgres store, by hand. `stoad init`
 * applies it to an empty database by itself; this is for an owner who keeps the right to
 * alter tables from the relay, and for upgrades. */
#include <stdio.h>
#include <string.h>

#include "crypto/note.h"
#include "ledger/store_postgres_schema.h"
#include "relay/stoactl.h"

struct listing {
    struct ctl *c;
    json_t *rows;
    bool plan, sql; /* what is missing only; and its text */
    unsigned pending, altered;
};

static void print_row(void *context, const struct postgres_schema_row *row)
{
    struct listing *l = context;
    const struct postgres_migration *m = row->migration;
    char hex[2 * HASH_BYTES + 1];
    hex_encode(hex, row->sha256.b, HASH_BYTES);
    const char *state = row->altered ? "ALTERED" : row->applied ? "applied" : "pending";
    l->pending += !row->applied;
    l->altered += row->altered;
    if (l->plan && row->applied)
        return;
    if (l->rows)
        json_array_append_new(l->rows,
                              json_pack("{s:i, s:s, s:s, s:s, s:s}", "version",
                                        m->version, "name", m->name, "state", state,
                                        "sha256", hex, "applied_at", row->applied_at));
    else if (l->sql)
        printf("-- %04d_%s.sql sha256 %s\n%s\n", m->version, m->name, hex, m->sql);
    else
        printf("%04d %-20s %-8s %.16s %s\n", m->version, m->name, state, hex,
               row->applied_at);
}

static int failed(struct ctl *c, enum err e, const struct store_why *why)
{
    const char *hint = e == ERR_CONFIG
                           ? "run it as the role that owns the schema, against "
                             "the primary"
                       : e == ERR_SCHEMA  ? "upgrade this program"
                       : e == ERR_CORRUPT ? "stoactl schema status; restore a backup, or "
                                            "undo what was edited by hand"
                                          : NULL;
    return ctl_fail(c, e == ERR_STORE ? EXIT_UNREACHABLE : ctl_exit_of(e), e, hint, "%s",
                    why->text[0] ? why->text : err_text(e));
}

static int finish(struct ctl *c, const struct listing *l, int version, int code)
{
    if (c->json) {
        c->out = json_object();
        json_object_set_new(c->out, "version", json_integer(version));
        json_object_set_new(c->out, "known", json_integer(postgres_schema_version()));
        json_object_set_new(c->out, "migrations", l->rows);
    }
    return ctl_finish(c, code);
}

static int want_store(struct ctl *c)
{
    return c->value[OPT_STORE] && c->value[OPT_STORE][0]
               ? EXIT_DONE
               : ctl_fail(
                     c, EXIT_USAGE, ERR_USAGE, NULL,
                     "--store wants the store's URI: postgresql://USER@HOST/DATABASE");
}

static int look(struct ctl *c, bool plan)
{
    struct listing l = {.c = c, .plan = plan, .sql = plan};
    struct store_why why = {{0}};
    int version = 0, code = want_store(c);
    if (code != EXIT_DONE)
        return code;
    l.rows = c->json ? json_array() : NULL;
    enum err e = postgres_schema_read(c->value[OPT_STORE], &version, print_row, &l, &why);
    if (e != ERR_OK) {
        json_decref(l.rows);
        return failed(c, e, &why);
    }
    if (l.altered > 0)
        ctl_say(c, "an applied migration is not the one built in: someone edited it");
    if (plan && l.pending == 0)
        ctl_say(c, "nothing to apply: version %d is the newest", version);
    return finish(c, &l, version,
                  l.altered || (!plan && l.pending) ? EXIT_NO : EXIT_DONE);
}

int ctl_schema_status(struct ctl *c)
{
    return look(c, false);
}

int ctl_schema_plan(struct ctl *c)
{
    return look(c, true);
}

int ctl_schema_apply(struct ctl *c)
{
    struct listing l = {.c = c};
    struct store_why why = {{0}};
    int version = 0, code = want_store(c);
    if (code != EXIT_DONE)
        return code;
    l.rows = c->json ? json_array() : NULL;
    enum err e =
        postgres_schema_apply(c->value[OPT_STORE], &version, print_row, &l, &why);
    if (e != ERR_OK) {
        json_decref(l.rows);
        return failed(c, e, &why);
    }
    ctl_say(c, "the schema is version %d", version);
    return finish(c, &l, version, EXIT_DONE);
}
