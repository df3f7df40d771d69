/* selftest: does this very program find what it must find? A good log passes in every container;
 * each fault planted in a copy is named by its exact check, slot and index. */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/audit/cli.h"
#include "client/audit/image.h"
#include "client/audit/selftest.h"
#include "ledger/evidence.h"

#define PATH_ROOM 700
#define POLICY_ROOM 4096

struct selftest {
    const struct audit_cli *c;
    char dir[512];
    struct audit_report *report;
    struct policy *policy;
    unsigned ran, failed;
};

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_tree(const char *path)
{
    (void)nftw(path, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool read_policy(struct selftest *t, const struct forge *f, bool quorum)
{
    char text[POLICY_ROOM];
    struct policy_problem why;
    size_t n = forge_policy(f, text, sizeof(text), quorum);
    return policy_parse(t->policy, text, n, &why);
}

/* Audit one container; its exit code, or -1. */
static int audit_one(struct selftest *t, const char *path, enum audit_mode mode,
                     const char *state)
{
    char why[AUDIT_WHY_MAX];
    struct audit_source *s;
    char evidence[PATH_ROOM];
    snprintf(evidence, sizeof(evidence), "%s/evidence", t->dir);
    struct audit_options o = {.mode = mode,
                              .threads = 1,
                              .policy = t->policy,
                              .state_dir = state,
                              .evidence_dir = evidence};
    if (audit_source_open(&s, path, NULL, why) != ERR_OK) {
        fprintf(stderr, "selftest: %s\n", why);
        return -1;
    }
    enum err e = audit_run(s, &o, t->report, why);
    s->ops->close(s);
    if (e != ERR_OK)
        fprintf(stderr, "selftest: %s: %s\n", err_word(e), why);
    return e == ERR_OK ? audit_exit(t->report) : -1;
}

/* A container that is none any more is not opened, and the reason names the place. */
static bool is_refused(const char *path, const char *says)
{
    char why[AUDIT_WHY_MAX] = "";
    struct audit_source *s;
    enum err e = audit_source_open(&s, path, NULL, why);
    if (e == ERR_OK)
        s->ops->close(s);
    if ((e == ERR_CORRUPT || e == ERR_SCHEMA) && strstr(why, says))
        return true;
    fprintf(stderr, "selftest: %s: %s\n", err_word(e), why);
    return false;
}

static uint64_t index_of(const struct fault *x, const struct forge *f)
{
    uint64_t count = f->slot[x->slot].count;
    return x->index == SELFTEST_LAST ? count - 1 : x->index == SELFTEST_SIZE ? count : x->index;
}

/* The first finding of the slot is the fault's own. */
static bool named(const struct audit_report *r, const struct fault *x, uint64_t index)
{
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct audit_finding *f = &r->findings[i];
        if (f->slot != x->slot)
            continue;
        return f->check == x->check && f->index == index && f->severity == AUDIT_CRITICAL;
    }
    return false;
}

/* What a fault leaves behind proves it by itself. */
static bool kept(const struct selftest *t, const struct fault *x)
{
    char path[PATH_ROOM + 160];
    static uint8_t room[65536];
    struct evidence_result r;
    struct vkey keys[FORGE_SLOTS];
    if (!x->evidence)
        return true;
    const struct audit_finding *f = t->report->findings;
    for (size_t i = 0; i < t->report->finding_count; i++)
        if (t->report->findings[i].evidence[0])
            f = &t->report->findings[i];
    snprintf(path, sizeof(path), "%s/evidence/%s", t->dir, f->evidence);
    FILE *file = f->evidence[0] ? fopen(path, "rbe") : NULL;
    size_t n = file ? fread(room, 1, sizeof(room), file) : 0;
    if (file)
        fclose(file);
    for (size_t i = 0; i < FORGE_SLOTS; i++)
        keys[i] = t->policy->logs[i].key;
    evidence_check(room, n, &(struct evidence_trust){.logs = keys, .log_count = FORGE_SLOTS},
                   &r);
    return r.kind == x->evidence &&
           r.verdict == (x->evidence == EVIDENCE_SEQ_REUSED ? EVIDENCE_REUSED : EVIDENCE_PROVEN);
}

static void tell(const struct selftest *t, const struct fault *x, enum image_format format,
                 enum audit_mode mode, int code, uint64_t index)
{
    const struct audit_report *r = t->report;
    printf("FAIL  %s, %s, %s: exit %d, expected %s at slot %02x index %" PRIu64 "\n", x->name,
           image_words[format], mode == AUDIT_FULL ? "full" : "tip", code,
           audit_check_word(x->check), (unsigned)x->slot, index);
    for (size_t i = 0; i < r->finding_count && code >= 0; i++)
        printf("        found %s at slot %02x index %" PRIu64 ": %s\n",
               audit_check_word(r->findings[i].check), (unsigned)r->findings[i].slot,
               r->findings[i].index, r->findings[i].text);
}

static struct forge *good_forge(void)
{
    struct forge *f = forge_open();
    forge_fill(f);
    return f;
}

static void path_for(const struct selftest *t, enum image_format format, char out[PATH_ROOM])
{
    snprintf(out, PATH_ROOM, "%s/%s%s", t->dir, image_words[format],
             format == IMAGE_SQLITE || format == IMAGE_EXPORT ? ".db"
             : format == IMAGE_JSONL                          ? ".jsonl"
                                                              : "");
}

/* The container that stands at `path`. */
static void clear(const char *path)
{
    char other[PATH_ROOM + 16];
    static const char *const beside[] = {"", "-wal", "-shm", "-index", ".index", ".lock",
                                         "-index-wal", "-index-shm", IMAGE_BESIDE};
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
        snprintf(other, sizeof(other), "%s%s", path, beside[i]);
        remove_tree(other);
    }
}

/* An audit of the good log first, so that there is something seen. */
static bool see_good(struct selftest *t, enum image_format format, const char *state)
{
    char path[PATH_ROOM];
    struct forge *f = good_forge();
    forge_sign(f, false);
    path_for(t, format, path);
    bool ok = read_policy(t, f, false) && image_write(f, format, path) &&
              audit_one(t, path, AUDIT_FULL, state) == 0;
    forge_close(f);
    clear(path);
    return ok;
}

static void run_fault(struct selftest *t, const struct fault *x, enum image_format format,
                      enum audit_mode mode)
{
    char path[PATH_ROOM], state[PATH_ROOM];
    snprintf(state, sizeof(state), "%.600s/state", t->dir);
    path_for(t, format, path);
    clear(path);
    remove_tree(state);
    bool ok = !x->seen || see_good(t, format, state);
    struct forge *f = good_forge();
    if (x->lie)
        x->lie(f);
    forge_sign(f, false);
    uint64_t index = index_of(x, f);
    if (x->hurt)
        x->hurt(f);
    ok = ok && read_policy(t, f, x->quorum) && image_write(f, format, path) &&
         (!x->spoil || x->spoil(path));
    int code;
    t->ran++;
    if (x->refused)
        code = ok && is_refused(path, x->refused) ? 1 : -1;
    else
        code = ok ? audit_one(t, path, mode, x->seen ? state : NULL) : -1;
    if (x->refused ? code != 1 : code != 1 || !named(t->report, x, index) || !kept(t, x)) {
        t->failed++;
        tell(t, x, format, mode, code, index);
    }
    forge_close(f);
}

static void run_good(struct selftest *t, enum image_format format, enum audit_mode mode,
                     bool quorum)
{
    char path[PATH_ROOM];
    struct forge *f = good_forge();
    forge_sign(f, quorum);
    path_for(t, format, path);
    clear(path);
    bool ok = read_policy(t, f, quorum) && image_write(f, format, path);
    int code = ok ? audit_one(t, path, mode, NULL) : -1;
    t->ran++;
    if (code != 0 || t->report->finding_count > 0) {
        struct fault none = {.name = "a good log", .check = AUDIT_SOURCE};
        t->failed++;
        tell(t, &none, format, mode, code, 0);
    }
    forge_close(f);
}

static void run_all(struct selftest *t)
{
    const char *only = t->c->value[AUDIT_OPT_ONLY];
    for (unsigned format = 0; format < IMAGE_FORMATS; format++) {
        for (unsigned mode = AUDIT_TIP; mode <= AUDIT_FULL; mode++) {
            run_good(t, format, mode, false);
            run_good(t, format, mode, true);
        }
        size_t own = selftest_fault_count, more = selftest_export_fault_count;
        for (size_t i = 0; i < own + more; i++) {
            const struct fault *x =
                i < own ? &selftest_faults[i] : &selftest_export_faults[i - own];
            if (!(x->formats >> format & 1) || (only && strcmp(only, x->name) != 0))
                continue;
            for (unsigned mode = AUDIT_TIP; mode <= AUDIT_FULL; mode++)
                run_fault(t, x, format, mode);
        }
    }
}

static bool known(const char *name)
{
    for (size_t i = 0; i < selftest_fault_count; i++)
        if (strcmp(selftest_faults[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < selftest_export_fault_count; i++)
        if (strcmp(selftest_export_faults[i].name, name) == 0)
            return true;
    return false;
}

int audit_cmd_selftest(struct audit_cli *c)
{
    struct selftest t = {.c = c};
    if (audit_given(c, AUDIT_OPT_ONLY) && !known(c->value[AUDIT_OPT_ONLY]))
        return audit_error(c, EXIT_BAD_USAGE, "stoa-audit selftest, for all of them",
                           "the selftest has no fault \"%.80s\"", c->value[AUDIT_OPT_ONLY]);
    const char *base = getenv("TMPDIR");
    snprintf(t.dir, sizeof(t.dir), "%.480s/stoa-selftest-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(t.dir))
        return audit_error(c, EXIT_BAD_DATA, "set TMPDIR to a folder with room", "%s: %s",
                           t.dir, strerror(errno));
    t.report = calloc(1, sizeof(*t.report));
    t.policy = calloc(1, sizeof(*t.policy));
    if (t.report && t.policy)
        run_all(&t);
    bool ran = t.report && t.policy;
    free(t.report);
    free(t.policy);
    remove_tree(t.dir);
    if (!ran)
        return audit_error(c, EXIT_OUR_BUG, NULL, "out of memory");
    printf("%s  %zu faults, %u audits, %u failed\n", t.failed ? "FAIL" : "GOOD",
           selftest_fault_count + selftest_export_fault_count, t.ran, t.failed);
    return t.failed ? EXIT_FINDING : EXIT_GOOD;
}
