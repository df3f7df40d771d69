/* stoa-audit export SOURCE --format jsonl|csv|sqlite|hledger [--out FILE] */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/audit/cli.h"
#include "client/audit/export.h"
#include "client/audit/export_hold.h"

#define PATH_BYTES 1024

struct target {
    enum export_format format;
    const char *path; /* NULL: standard output */
    char part[PATH_BYTES];
    FILE *out;
    struct export_writer w;
};

static enum err open_target(struct target *t, char why[AUDIT_WHY_MAX])
{
    t->out = stdout;
    if (t->path) {
        int n = snprintf(t->part, sizeof(t->part), "%s.part", t->path);
        if (n < 0 || (size_t)n >= sizeof(t->part)) {
            snprintf(why, AUDIT_WHY_MAX, "the name of --out is too long");
            return ERR_USAGE;
        }
        (void)unlink(t->part); /* of a run that was cut short */
        if (t->format == EXPORT_SQLITE)
            return export_sqlite_open(&t->w, t->part, why);
        t->out = fopen(t->part, "wxe");
        if (!t->out) {
            snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", t->part, strerror(errno));
            return ERR_FILE;
        }
    }
    t->w = t->format == EXPORT_JSONL ? export_jsonl(t->out)
           : t->format == EXPORT_CSV ? export_csv(t->out)
                                     : export_hledger(t->out);
    return ERR_OK;
}

static bool sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The name is given to a whole file or to none. */
static enum err close_target(struct target *t, enum err e, char why[AUDIT_WHY_MAX])
{
    if (t->format == EXPORT_SQLITE)
        export_sqlite_close(&t->w);
    else if (t->path && t->out && fclose(t->out) != 0 && e == ERR_OK)
        e = ERR_FILE;
    if (!t->path)
        return e;
    if (e == ERR_OK && (!sync_file(t->part) || rename(t->part, t->path) != 0)) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", t->path, strerror(errno));
        e = ERR_FILE;
    }
    if (e != ERR_OK)
        (void)unlink(t->part);
    return e;
}

static int write_out(struct audit_cli *c, struct audit_source *s, struct audit_report *r,
                     struct target *t)
{
    char why[AUDIT_WHY_MAX] = "";
    uint64_t records = 0;
    bool verified = audit_exit(r) == 0;
    if (!verified && !audit_given(c, AUDIT_OPT_UNVERIFIED)) {
        int code = audit_exit(r);
        return audit_error(c, code, "stoa-audit verify, to see the findings; or --unverified",
                           "nothing was exported: the audit %s",
                           code == EXIT_FINDING ? "found something" : "did not come to its end");
    }
    enum err e = open_target(t, why);
    if (e == ERR_OK)
        e = export_run(s, r, verified, &t->w, &c->cancel, &records, why);
    e = close_target(t, e, why);
    if (e != ERR_OK)
        return audit_error(c, e == ERR_CORRUPT ? EXIT_FINDING : audit_exit_of(e), NULL, "%s",
                           why[0] ? why : err_text(e));
    if (!audit_given(c, AUDIT_OPT_QUIET))
        fprintf(stderr, "exported %" PRIu64 " records%s\n", records,
                verified ? "" : ", UNVERIFIED");
    return EXIT_GOOD;
}

static int run(struct audit_cli *c, struct audit_source *s, struct target *t)
{
    int code = EXIT_BAD_USAGE;
    char why[AUDIT_WHY_MAX] = "";
    struct audit_options o;
    struct audit_report *r = calloc(1, sizeof(*r));
    struct policy *p = r ? audit_policy(c, s, &code) : NULL;
    memset(&o, 0, sizeof(o));
    if (p && audit_options_of(c, &o)) {
        o.policy = p;
        o.state_dir = NULL; /* what is exported is read, and so judged, from the beginning */
        enum err e = audit_run(s, &o, r, why);
        audit_progress_end(c);
        code = e == ERR_OK ? write_out(c, s, r, t)
                           : audit_error(c, audit_exit_of(e), NULL, "%s",
                                         why[0] ? why : err_text(e));
    }
    audit_options_free(&o);
    free(p);
    free(r);
    return code;
}

int audit_cmd_export(struct audit_cli *c)
{
    struct target t = {.path = c->value[AUDIT_OPT_OUT]};
    const char *word = c->value[AUDIT_OPT_FORMAT];
    struct audit_source *inner, *s;
    int code;
    if (!word || !export_format_of(word, &t.format))
        return audit_error(c, EXIT_BAD_USAGE, "-O jsonl", "an export is of a format: jsonl, "
                                                          "csv, sqlite or hledger");
    if (t.format == EXPORT_SQLITE && !t.path)
        return audit_error(c, EXIT_BAD_USAGE, "--out FILE",
                           "a SQLite file cannot be written to standard output");
    if (t.path && access(t.path, F_OK) == 0)
        return audit_error(c, EXIT_BAD_USAGE, "another name", "%s is there already", t.path);
    inner = audit_source(c, c->args[0], &code);
    if (!inner)
        return code;
    if (export_hold(&s, inner) != ERR_OK)
        return audit_error(c, EXIT_OUR_BUG, NULL, "out of memory");
    code = run(c, s, &t);
    s->ops->close(s);
    return code;
}
