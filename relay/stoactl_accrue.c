/* stoactl accrue and adjust: rows in, a summary out. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ledger/address.h"
#include "relay/clock.h"
#include "relay/keys.h"
#include "relay/stoactl.h"
#include "relay/stoactl_run.h"

#define URL_DEFAULT "ws://127.0.0.1:7001"
#define JOURNAL_SUFFIX ".journal"
#define JOURNAL_ALONE "stoactl-adjust.journal"
#define PATH_BYTES_MAX 4096
#define TOLD_MAX 10000 /* refused rows told one by one */
#define PROGRESS_TERMINAL_MS 250
#define PROGRESS_FILE_MS 5000

struct job {
    struct ctl *c;
    struct rows rows;
    bool alone; /* one row, from the command line */
    char journal_path[PATH_BYTES_MAX];
    struct journal *journal;
    struct key *issuer;
    size_t tally[ROW_UNKNOWN + 1];
    size_t at_start; /* rows done by earlier runs */
    size_t told;
    uint64_t started_ms;
    uint64_t shown_ms;
    json_t *refused;
    char hub[HUB_NAME_MAX + 1];
};

static size_t rows_done(const struct job *j)
{
    return j->tally[ROW_ACCEPTED] + j->tally[ROW_ALREADY] + j->tally[ROW_REFUSED];
}

static void print_progress(struct job *j, bool last)
{
    bool terminal = ctl_is_terminal(STDERR_FILENO);
    uint64_t now = clock_mono_ms();
    if (!j->c->progress || j->alone ||
        (!last &&
         now - j->shown_ms < (terminal ? PROGRESS_TERMINAL_MS : PROGRESS_FILE_MS)))
        return;
    j->shown_ms = now;
    uint64_t done = rows_done(j), total = j->rows.count;
    uint64_t here = done - j->at_start, ms = now - j->started_ms + 1;
    uint64_t rate = here * 1000 / ms;
    char done_text[32], total_text[32], rate_text[32], eta[48] = "";
    ctl_number(done_text, done);
    ctl_number(total_text, total);
    ctl_number(rate_text, rate);
    if (!last && here > 0)
        snprintf(eta, sizeof eta, "  ETA %" PRIu64 " s",
                 (total - done) * ms / here / 1000 + 1);
    fprintf(stderr, "%s%s  %s/%s  %" PRIu64 "%%  %s/s%s%s%s", terminal ? "\r" : "",
            j->c->command->name, done_text, total_text, total ? done * 100 / total : 100,
            rate_text, eta, terminal ? "   \x1b[K" : "", !terminal || last ? "\n" : "");
}

static void on_progress(void *context)
{
    print_progress(context, false);
}

static bool on_save(void *context, const struct row *row, struct bytes envelope)
{
    struct job *j = context;
    return !j->journal || journal_sent(j->journal, row, envelope);
}

static void tell_refused(struct job *j, const struct row *row)
{
    enum err e = ERR_UNKNOWN;
    char account[ADDRESS_TEXT_MAX];
    bool known = err_from_number(row->code, &e);
    const char *word = known ? err_word(e) : "?";
    const char *text =
        known ? err_text(e) : "refused for a reason this version does not know";
    address_format(account, &row->account, "");
    if (j->c->json) {
        json_t *o = json_object();
        json_object_set_new(o, "row", json_integer(row - j->rows.row + 1));
        json_object_set_new(o, "line", json_integer((json_int_t)row->line));
        json_object_set_new(o, "account", json_string(account));
        json_object_set_new(o, "number", json_integer((json_int_t)row->code));
        json_object_set_new(o, "reason", json_string(word));
        json_object_set_new(o, "message", json_string(text));
        json_array_append_new(j->refused, o);
        return;
    }
    fprintf(stderr, "%srefused[T%d%03" PRIu64 "] ",
            ctl_is_terminal(STDERR_FILENO) ? "\r\x1b[K" : "", EXIT_REFUSED, row->code);
    if (!j->alone)
        fprintf(stderr, "line %zu: ", row->line);
    fprintf(stderr, "%s: %s   %s\n", word, text, account);
}

static void on_finished(void *context, const struct row *row)
{
    struct job *j = context;
    j->tally[row->state]++;
    if (j->journal)
        (void)journal_done(j->journal, row); /* a lost "done" costs one question more */
    if (row->state == ROW_REFUSED && j->told++ < TOLD_MAX)
        tell_refused(j, row);
}

/* All of a file, with a final zero; NULL with errno. */
static char *read_whole(const char *path, size_t *size)
{
    bool input = strcmp(path, "-") == 0;
    FILE *f = input ? stdin : fopen(path, "re");
    struct buf b = {0};
    bool ok = f != NULL;
    while (ok && b.size <= ROWS_FILE_BYTES_MAX) {
        ok = buf_reserve(&b, 65537);
        size_t n = ok ? fread(b.data + b.size, 1, 65536, f) : 0;
        b.size += n;
        if (n == 0)
            break;
    }
    if (ok && (ferror(f) || b.size > ROWS_FILE_BYTES_MAX)) {
        errno = ferror(f) ? EIO : EFBIG;
        ok = false;
    }
    if (f && !input)
        fclose(f);
    if (!ok) {
        int kept = errno;
        buf_close(&b);
        errno = kept;
        return NULL;
    }
    b.data[b.size] = '\0';
    *size = b.size;
    return (char *)b.data;
}

static int tell_problems(struct job *j, const char *path)
{
    const struct rows *r = &j->rows;
    size_t shown =
        r->problem_count < ROWS_PROBLEMS_MAX ? r->problem_count : ROWS_PROBLEMS_MAX;
    if (j->alone)
        return ctl_fail(j->c, EXIT_USAGE, ERR_USAGE, NULL, "%s", r->problems[0].text);
    if (!j->c->json)
        for (size_t i = 0; i < shown; i++)
            fprintf(stderr, "%s:%zu: %s\n", path, r->problems[i].line,
                    r->problems[i].text);
    if (j->c->json) {
        j->c->out = json_object();
        json_t *list = json_array();
        for (size_t i = 0; i < shown; i++) {
            json_t *o = json_object();
            json_object_set_new(o, "line", json_integer((json_int_t)r->problems[i].line));
            json_object_set_new(o, "message", json_string_nocheck(r->problems[i].text));
            json_array_append_new(list, o);
        }
        json_object_set_new(j->c->out, "problems", list);
    }
    return ctl_fail(j->c, EXIT_DATA, ERR_MALFORMED, NULL,
                    "%zu problem%s in %s; nothing was sent", r->problem_count,
                    r->problem_count == 1 ? "" : "s", path);
}

static int read_rows(struct job *j)
{
    struct ctl *c = j->c;
    enum kind kind = strcmp(c->command->name, "accrue") == 0 ? KIND_ACCRUE : KIND_ADJUST;
    const char *csv = c->value[OPT_CSV];
    j->alone = csv == NULL;
    if (!csv) {
        if (c->arg_count != 2 ||
            (kind == KIND_ACCRUE && (!c->value[OPT_NODE] || !c->value[OPT_EPOCH])) ||
            (kind == KIND_ADJUST && !c->value[OPT_REASON]))
            return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL, "wanted: %s, or --csv FILE",
                            c->command->args);
        bool ok = rows_one(&j->rows, kind, c->args[0], c->value[OPT_NODE],
                           c->value[OPT_EPOCH], c->args[1], c->value[OPT_REASON]);
        return ok ? EXIT_DONE : tell_problems(j, "arguments");
    }
    if (c->arg_count > 0)
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "rows come from --csv: no arguments");
    size_t size = 0;
    char *text = read_whole(csv, &size);
    if (!text)
        return ctl_fail(c, EXIT_DATA, ERR_FILE, NULL, "cannot read %s: %s", csv,
                        strerror(errno));
    return rows_parse(&j->rows, kind, text, size) ? EXIT_DONE : tell_problems(j, csv);
}

static int open_journal(struct job *j)
{
    struct ctl *c = j->c;
    const char *csv = c->value[OPT_CSV], *named = c->value[OPT_JOURNAL];
    if (j->rows.kind != KIND_ADJUST)
        return EXIT_DONE; /* epochs rise: a second accrual is refused by the ledger itself
                           */
    if (!named && csv && strcmp(csv, "-") == 0)
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, "--journal FILE",
                        "rows from standard input need a journal with a name");
    int n = named ? snprintf(j->journal_path, sizeof j->journal_path, "%s", named)
            : !csv
                ? snprintf(j->journal_path, sizeof j->journal_path, "%s", JOURNAL_ALONE)
                : snprintf(j->journal_path, sizeof j->journal_path, "%s%s", csv,
                           JOURNAL_SUFFIX);
    char why[JOURNAL_WHY_MAX];
    if (n < 0 || (size_t)n >= sizeof j->journal_path)
        return ctl_fail(c, EXIT_DATA, ERR_FILE, NULL, "path of the journal is too long");
    enum err e = journal_open(&j->journal, j->journal_path, &j->rows, !j->alone, why);
    if (e == ERR_OK)
        return EXIT_DONE;
    return ctl_fail(c, ctl_exit_of(e), e, NULL, "journal %s: %s", j->journal_path, why);
}

static int open_issuer(struct job *j)
{
    struct ctl *c = j->c;
    char why[KEYS_WHY_MAX];
    if (!c->value[OPT_KEY])
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "--key FILE is missing: the issuer's");
    enum err e =
        key_file_open(&j->issuer, c->value[OPT_KEY], "issuer",
                      c->value[OPT_PASSPHRASE] ? c->value[OPT_PASSPHRASE] : "tty", why);
    if (e == ERR_OK)
        return EXIT_DONE;
    return ctl_fail(c, ctl_exit_of(e), e, NULL, "%s", why);
}

/* Micro-points of all rows, or of those with one state; false when they pass 2^63-1. */
static bool sum_rows(const struct job *j, bool all, enum row_state state, int64_t *out)
{
    int64_t sum = 0;
    for (size_t i = 0; i < j->rows.count; i++)
        if ((all || j->rows.row[i].state == state) &&
            __builtin_add_overflow(sum, j->rows.row[i].amount, &sum))
            return false;
    *out = sum;
    return true;
}

static void put_sum(const struct job *j, json_t *to, char text[32], bool all)
{
    int64_t sum = 0;
    snprintf(text, 32, "?");
    if (!sum_rows(j, all, ROW_ACCEPTED, &sum))
        return;
    amount_format(text, sum);
    if (to) {
        json_object_set_new(to, all ? "asked" : "issued", json_string(text));
        json_object_set_new(to, all ? "asked_micro" : "issued_micro", json_integer(sum));
    }
}

static int finish_check(struct job *j)
{
    struct ctl *c = j->c;
    char sum[32], count[32];
    if (c->json) {
        c->out = json_object();
        json_object_set_new(c->out, "rows", json_integer((json_int_t)j->rows.count));
    }
    put_sum(j, c->out, sum, true);
    ctl_number(count, j->rows.count);
    if (!c->json)
        printf("%s rows are well-formed, %s points; nothing was sent\n", count, sum);
    return ctl_finish(c, EXIT_DONE);
}

static void put_tally(struct job *j)
{
    static const char *const names[] = {"open", "accepted", "already", "refused",
                                        "unknown"};
    struct ctl *c = j->c;
    char sum[32];
    c->out = json_object();
    json_object_set_new(c->out, "hub", json_string_nocheck(j->hub));
    json_object_set_new(c->out, "rows", json_integer((json_int_t)j->rows.count));
    j->tally[ROW_OPEN] = 0;
    for (size_t i = 0; i < j->rows.count; i++)
        j->tally[ROW_OPEN] += j->rows.row[i].state == ROW_OPEN;
    for (unsigned state = 0; state <= ROW_UNKNOWN; state++)
        json_object_set_new(c->out, names[state],
                            json_integer((json_int_t)j->tally[state]));
    put_sum(j, c->out, sum, false);
    if (j->alone && j->rows.row[0].state == ROW_ACCEPTED)
        json_object_set_new(c->out, "index",
                            json_integer((json_int_t)j->rows.row[0].index));
    json_object_set(c->out, "refusals", j->refused);
}

static void print_tally(const struct job *j)
{
    char accepted[32], already[32], refused[32], count[32], sum[32];
    ctl_number(accepted, j->tally[ROW_ACCEPTED]);
    ctl_number(already, j->tally[ROW_ALREADY]);
    ctl_number(refused, j->tally[ROW_REFUSED]);
    ctl_number(count, j->rows.count);
    put_sum(j, NULL, sum, false);
    uint64_t ms = clock_mono_ms() - j->started_ms;
    if (j->alone && j->tally[ROW_ACCEPTED])
        printf("accepted  %s points  hub %s  log index %" PRIu64 "\n", sum, j->hub,
               j->rows.row[0].index);
    else if (j->alone && j->tally[ROW_ALREADY])
        printf("already issued: the epoch is not above the last one of this node\n");
    else if (!j->alone)
        printf("accepted %s  already %s  refused %s  of %s rows   %s points   %" PRIu64
               ".%" PRIu64 " s\n",
               accepted, already, refused, count, sum, ms / 1000, ms % 1000 / 100);
}

/* What the command as a whole comes to. */
static int conclude(struct job *j, enum err e, const char *why)
{
    struct ctl *c = j->c;
    const char *again = "run the same command again: nothing is issued twice";
    if (c->json)
        put_tally(j);
    else if (e == ERR_OK || rows_done(j) > 0)
        print_tally(j);
    if (e == ERR_LIMIT)
        return ctl_fail(c, EXIT_UNFINISHED, ERR_UNKNOWN, again,
                        "interrupted after %zu of %zu rows", rows_done(j), j->rows.count);
    if (e != ERR_OK && j->tally[ROW_UNKNOWN] > 0)
        return ctl_fail(c, j->alone ? EXIT_UNKNOWN : EXIT_UNFINISHED, ERR_UNKNOWN, again,
                        "%s; %zu sent and not answered", why, j->tally[ROW_UNKNOWN]);
    if (e != ERR_OK)
        return ctl_fail(c, rows_done(j) > j->at_start ? EXIT_UNFINISHED : ctl_exit_of(e),
                        e, rows_done(j) > j->at_start ? again : NULL, "%s", why);
    if (c->json && j->alone && j->tally[ROW_REFUSED] > 0) {
        enum err why_not = ERR_UNKNOWN;
        (void)err_from_number(j->rows.row[0].code, &why_not);
        return ctl_fail(c, EXIT_REFUSED, why_not, NULL, "%s", err_text(why_not));
    }
    return ctl_finish(c, j->tally[ROW_REFUSED] > 0 ? EXIT_REFUSED : EXIT_DONE);
}

static int run(struct job *j)
{
    struct ctl *c = j->c;
    char why[RUN_WHY_MAX] = "";
    struct issue_hooks hooks = {j, on_save, on_finished};
    struct run_options o = {
        .url = c->value[OPT_HUB] ? c->value[OPT_HUB] : URL_DEFAULT,
        .ca_file = c->value[OPT_CA_FILE],
        .issuer = j->issuer,
        .timeout_ms = c->timeout_ms,
        .journal = j->journal,
        .progress = on_progress,
        .context = j,
    };
    for (size_t i = 0; i < j->rows.count; i++)
        if (j->rows.row[i].state != ROW_OPEN)
            j->tally[j->rows.row[i].state]++;
    j->at_start = rows_done(j);
    struct issue *s = issue_open(&j->rows, j->issuer, &hooks);
    if (!s)
        return ctl_fail(c, EXIT_BUG, ERR_MEMORY, NULL, "out of memory");
    j->started_ms = clock_mono_ms();
    j->shown_ms = j->started_ms;
    enum err e = issue_done(s) ? ERR_OK : run_issue(s, &o, j->hub, why);
    if (e != ERR_OK)
        j->tally[ROW_UNKNOWN] = issue_abandon(s);
    issue_close(s);
    print_progress(j, true);
    return conclude(j, e, why);
}

int ctl_issue(struct ctl *c)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return ctl_fail(c, EXIT_BUG, ERR_MEMORY, NULL, "out of memory");
    j->c = c;
    j->refused = json_array();
    int code = read_rows(j);
    if (code == EXIT_DONE && c->value[OPT_CHECK]) {
        code = finish_check(j);
    } else if (code == EXIT_DONE) {
        code = open_issuer(j);
        if (code == EXIT_DONE)
            code = open_journal(j);
        if (code == EXIT_DONE)
            code = run(j);
    }
    journal_close(j->journal);
    key_free(j->issuer);
    rows_close(&j->rows);
    json_decref(j->refused);
    free(j);
    return code;
}
