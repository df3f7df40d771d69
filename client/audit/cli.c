/* What the commands share: errors, numbers, files, policy, progress. */
#include "client/audit/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/audit/engine.h"
#include "ledger/evidence.h"
#include "ledger/scratch.h"

#define POLICY_NAME "policy"

int audit_error(const struct audit_cli *c, int code, const char *try_this,
                const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    audit_progress_end(NULL);
    if (audit_given(c, AUDIT_OPT_JSON)) {
        json_t *o = json_pack("{s:s, s:{s:i, s:s, s:[s]}}", "schema", "stoa.error/1",
                              "error", "exit", code, "message", text, "try",
                              try_this ? try_this : "");
        char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
        if (line)
            puts(line);
        free(line);
        json_decref(o);
        return code;
    }
    fprintf(stderr, "error: %s\n", text);
    if (try_this)
        fprintf(stderr, "  try: %s\n", try_this);
    return code;
}

int audit_exit_of(enum err e)
{
    switch (e) {
    case ERR_OK:
        return EXIT_GOOD;
    case ERR_NET:
        return EXIT_UNREACHABLE;
    case ERR_TIMEOUT:
        return EXIT_UNFINISHED;
    case ERR_USAGE:
    case ERR_MISSING:
        return EXIT_BAD_USAGE;
    case ERR_BUG:
        return EXIT_OUR_BUG;
    default:
        return EXIT_BAD_DATA;
    }
}

bool audit_number(const struct audit_cli *c, enum audit_option o, uint64_t dflt,
                  uint64_t max, uint64_t *out)
{
    char *end;
    *out = dflt;
    if (!c->value[o])
        return true;
    errno = 0;
    unsigned long long v = strtoull(c->value[o], &end, 10);
    if (errno == 0 && *c->value[o] >= '0' && *c->value[o] <= '9' && *end == 0 && v <= max) {
        *out = v;
        return true;
    }
    (void)audit_error(c, EXIT_BAD_USAGE, NULL, "\"%s\" is not a number up to %" PRIu64,
                      c->value[o], max);
    return false;
}

bool audit_duration_ms(const struct audit_cli *c, enum audit_option o, uint64_t dflt,
                       uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    *out = dflt;
    if (!c->value[o])
        return true;
    errno = 0;
    unsigned long long v = strtoull(c->value[o], &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (errno == 0 && *c->value[o] >= '0' && *c->value[o] <= '9' &&
            strcmp(end, units[i].unit) == 0 && v < UINT32_MAX) {
            *out = v * units[i].ms;
            return true;
        }
    (void)audit_error(c, EXIT_BAD_USAGE, NULL,
                      "\"%s\" is not a duration such as 500ms, 30s, 10m, 2h or 1d",
                      c->value[o]);
    return false;
}

bool audit_file(const struct audit_cli *c, const char *path, size_t max, struct buf *out)
{
    FILE *f = fopen(path, "rbe");
    char room[65536];
    size_t n;
    if (!f) {
        (void)audit_error(c, EXIT_BAD_DATA, NULL, "%s: %s", path, strerror(errno));
        return false;
    }
    bool ok = true;
    while (ok && (n = fread(room, 1, sizeof(room), f)) > 0)
        ok = out->size + n <= max && buf_add(out, room, n);
    ok = ok && !ferror(f);
    fclose(f);
    if (!ok) {
        (void)audit_error(c, EXIT_BAD_DATA, NULL, "%s cannot be read, or is over %zu bytes",
                          path, max);
        buf_close(out);
    }
    return ok;
}

struct audit_source *audit_source(struct audit_cli *c, const char *where, int *exit_code)
{
    uint64_t jobs, qps;
    char why[AUDIT_WHY_MAX];
    struct audit_source *s;
    *exit_code = EXIT_BAD_USAGE;
    if (!audit_number(c, AUDIT_OPT_JOBS, 0, 64, &jobs) ||
        !audit_number(c, AUDIT_OPT_QPS, 0, 100000, &qps))
        return NULL;
    const struct audit_source_options o = {.jobs = (unsigned)jobs,
                                           .qps = (unsigned)qps,
                                           .ca_file = c->value[AUDIT_OPT_CA_FILE],
                                           .cancel = &c->cancel};
    enum err e = audit_source_open(&s, where, &o, why);
    if (e == ERR_OK)
        return s;
    *exit_code = audit_error(c, audit_exit_of(e), NULL, "%s", why[0] ? why : err_text(e));
    return NULL;
}

/* ---- policy ------------------------------------------------------------------------------
 */

static struct policy *parse_policy(const struct audit_cli *c, const char *name,
                                   const struct buf *text, int *exit_code)
{
    struct policy_problem why;
    struct policy *p = malloc(sizeof(*p));
    if (p && policy_parse(p, (const char *)text->data, text->size, &why))
        return p;
    *exit_code = audit_error(c, EXIT_CONFIG, "stoa-audit policy check FILE",
                             "policy %s:%u: %s", name, p ? why.line : 0,
                             p ? why.why : "out of memory");
    free(p);
    return NULL;
}

/* The log key that a log names itself, in its first record. Nothing vouches for it. */
static bool named_key(struct audit_source *s, uint32_t slot, char out[VKEY_TEXT_MAX])
{
    UNINITIALIZED struct entry e;
    UNINITIALIZED struct payload p;
    struct audit_record *r = malloc(sizeof(*r));
    size_t count = 0;
    void *hold = NULL;
    bool ok = false;
    struct buf note = {0};
    struct checkpoint c;
    /* Its size only, to ask for what is there: the text is signed by nobody yet. */
    const char *end = NULL;
    if (r && s->ops->checkpoint(s, slot, &note) == ERR_OK && note.size > 2)
        end = memmem(note.data, note.size, "\n\n", 2);
    if (end && checkpoint_parse(&c, (const char *)note.data,
                                (size_t)(end + 1 - (const char *)note.data)) &&
        s->ops->read(s, slot, 0, c.size, r, 1, &count, &hold) == ERR_OK && count == 1 &&
        entry_decode(&e, r->r.envelope.data, r->r.envelope.size) == ERR_OK &&
        e.kind == KIND_LOG_OPEN && payload_decode(&p, e.kind, e.payload) == ERR_OK &&
        p.log_open.log_vkey.size < VKEY_TEXT_MAX) {
        memcpy(out, p.log_open.log_vkey.data, p.log_open.log_vkey.size);
        out[p.log_open.log_vkey.size] = 0;
        ok = true;
    }
    if (hold)
        s->ops->release(s, hold);
    buf_close(&note);
    free(r);
    return ok;
}

static bool first_use(struct audit_source *s, struct buf *text)
{
    uint32_t slots[SLOTS_MAX];
    size_t count;
    char key[VKEY_TEXT_MAX], line[VKEY_TEXT_MAX + 8];
    if (s->ops->slots(s, slots, &count) != ERR_OK || count == 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!named_key(s, slots[i], key))
            return false;
        int n = snprintf(line, sizeof(line), "log %s\n", key);
        if (!buf_add(text, line, (size_t)n))
            return false;
    }
    return buf_add(text, "quorum none\n", 12);
}

static struct policy *trust_first(struct audit_cli *c, struct audit_source *s,
                                  int *exit_code)
{
    struct buf text = {0};
    char path[640] = "", why[AUDIT_WHY_MAX], hash[2 * HASH_BYTES + 1];
    const char *dir = c->value[AUDIT_OPT_STATE];
    struct policy *p = NULL;
    if (dir) {
        snprintf(path, sizeof(path), "%.600s/%s", dir, POLICY_NAME);
        if (access(path, R_OK) == 0) { /* trusted on an earlier use: those keys, no others */
            if (audit_file(c, path, POLICY_BYTES_MAX, &text))
                p = parse_policy(c, path, &text, exit_code);
            buf_close(&text);
            return p;
        }
    }
    if (!first_use(s, &text)) {
        *exit_code = audit_error(c, EXIT_BAD_DATA, NULL,
                                 "%.200s shows no log_open record to take keys from",
                                 s->name);
        buf_close(&text);
        return NULL;
    }
    p = parse_policy(c, "of the source", &text, exit_code);
    if (p && dir &&
        (audit_folder(dir, why) != ERR_OK ||
         audit_write(dir, POLICY_NAME, text.data, text.size, why) != ERR_OK)) {
        *exit_code = audit_error(c, EXIT_BAD_DATA, NULL, "%s", why);
        free(p);
        p = NULL;
    }
    if (p) {
        hex_encode(hash, p->hash.b, HASH_BYTES);
        fprintf(stderr,
                "trust    keys of %zu logs taken from the source itself: sha256:%s\n"
                "         %s%s\n",
                p->log_count, hash, dir ? "recorded in " : "not recorded: no --state",
                dir ? path : "");
    }
    buf_close(&text);
    return p;
}

struct policy *audit_policy(struct audit_cli *c, struct audit_source *source,
                            int *exit_code)
{
    const char *path = c->value[AUDIT_OPT_POLICY];
    struct buf text = {0};
    struct policy *p = NULL;
    *exit_code = EXIT_CONFIG;
    if (path) {
        if (audit_file(c, path, POLICY_BYTES_MAX, &text))
            p = parse_policy(c, path, &text, exit_code);
        buf_close(&text);
        return p;
    }
    if (audit_given(c, AUDIT_OPT_FIRST_USE) && source)
        return trust_first(c, source, exit_code);
    *exit_code = audit_error(
        c, EXIT_CONFIG,
        "--policy FILE (the operator prints one: stoactl log policy), or "
        "--trust-on-first-use",
        "whose logs are to be trusted? no policy was given");
    return NULL;
}

/* ---- options of a run ----------------------------------------------------------------------
 */

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Whole files, as many as were named. */
static bool load_files(struct audit_cli *c, const char *const paths[], size_t count, size_t max,
                       const struct bytes **out, size_t *loaded)
{
    struct bytes *list = calloc(count + 1, sizeof(*list));
    if (!list)
        return false;
    *out = list;
    for (size_t i = 0; i < count; i++) {
        struct buf b = {0};
        if (!audit_file(c, paths[i], max, &b))
            return false;
        list[i] = bytes_of(b.data, b.size);
        ++*loaded;
    }
    return true;
}

static void free_files(const struct bytes **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)(*list)[i].data);
    free((void *)(uintptr_t)*list);
    *list = NULL;
}

bool audit_options_of(struct audit_cli *c, struct audit_options *o)
{
    uint64_t threads, age, duration;
    memset(o, 0, sizeof(*o));
    if (!audit_number(c, AUDIT_OPT_THREADS, 0, VERIFY_THREADS_MAX, &threads) ||
        !audit_duration_ms(c, AUDIT_OPT_MAX_AGE, 0, &age) ||
        !audit_duration_ms(c, AUDIT_OPT_MAX_DURATION, 0, &duration) ||
        !load_files(c, c->checkpoints, c->checkpoint_count, NOTE_BYTES_MAX, &o->checkpoints,
                    &o->checkpoint_count) ||
        !load_files(c, c->promises, c->promise_count, HEAD_FILE_BYTES_MAX, &o->promises,
                    &o->promise_count))
        return false;
    c->deadline_ms = duration ? mono_ms() + duration : 0;
    o->mode = audit_given(c, AUDIT_OPT_TIP) ? AUDIT_TIP : AUDIT_FULL;
    o->threads = (unsigned)threads;
    o->state_dir = c->value[AUDIT_OPT_STATE];
    o->evidence_dir = c->value[AUDIT_OPT_EVIDENCE];
    o->max_age_s = age / 1000;
    o->now_s = (uint64_t)time(NULL);
    o->first_use = audit_given(c, AUDIT_OPT_FIRST_USE) && !audit_given(c, AUDIT_OPT_POLICY);
    o->progress = audit_progress_show;
    o->progress_context = c;
    return true;
}

void audit_options_free(struct audit_options *o)
{
    free_files(&o->checkpoints, o->checkpoint_count);
    free_files(&o->promises, o->promise_count);
    o->checkpoint_count = o->promise_count = 0;
}

/* ---- progress ------------------------------------------------------------------------------
 */

static bool line_open;

bool audit_progress_show(void *context, const struct audit_progress *p)
{
    struct audit_cli *c = context;
    unsigned percent = p->total ? (unsigned)((double)p->done * 100 / (double)p->total) : 100;
    if (c->deadline_ms && mono_ms() >= c->deadline_ms)
        __atomic_store_n(&c->cancel, 1, __ATOMIC_RELAXED);
    if (audit_given(c, AUDIT_OPT_JSONL)) {
        fprintf(stderr,
                "{\"schema\":\"stoa.progress/1\",\"operation\":\"%s\",\"done\":%" PRIu64
                ",\"total\":%" PRIu64 ",\"rate\":%.1f,\"errors\":%" PRIu64
                ",\"eta_ms\":%" PRIu64 "}\n",
                p->operation, p->done, p->total, p->rate, p->errors, p->eta_ms);
    } else if (!audit_given(c, AUDIT_OPT_QUIET) && isatty(STDERR_FILENO)) {
        fprintf(stderr,
                "\r\033[K%-8s %" PRIu64 "/%" PRIu64 " %u%%  %.1fk/s  errors %" PRIu64
                "  ETA %" PRIu64 " s",
                p->operation, p->done, p->total, percent, p->rate / 1000, p->errors,
                (p->eta_ms + 999) / 1000);
        fflush(stderr);
        line_open = true;
    }
    return !__atomic_load_n(&c->cancel, __ATOMIC_RELAXED);
}

void audit_progress_end(struct audit_cli *c)
{
    (void)c;
    if (line_open)
        fprintf(stderr, "\r\033[K");
    line_open = false;
}
