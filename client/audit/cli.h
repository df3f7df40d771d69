/* stoa-audit's command line: one table of commands (main.c), one struct of options. Data goes to
 * standard output, messages and progress to standard error. */
#ifndef CLIENT_AUDIT_CLI_H
#define CLIENT_AUDIT_CLI_H

#include <stdio.h>

#include "client/audit/audit.h"
#include "crypto/keyfile.h"

/* What a program ends with; the same table for all of Stoa's. */
enum audit_exit_code {
    EXIT_GOOD = 0,
    EXIT_FINDING = 1,
    EXIT_UNFINISHED = 2,
    EXIT_BAD_USAGE = 64,
    EXIT_BAD_DATA = 65,
    EXIT_UNREACHABLE = 69,
    EXIT_OUR_BUG = 70,
    EXIT_CONFIG = 78
};

/* enum name, text, value's name (NULL: a flag), help */
#define AUDIT_OPTION_LIST(X)                                                               \
    X(POLICY, "policy", "FILE", "whom you trust: C2SP tlog-policy")                        \
    X(FIRST_USE, "trust-on-first-use", NULL,                                               \
      "take the keys from the source itself, record them and say so")                      \
    X(STATE, "state", "DIR", "keep state there: the next run costs only what is new")      \
    X(REPORT, "report", "DIR", "write report.json, .txt, .html, .note and evidence there") \
    X(KEY, "key", "FILE", "sign the report with this key file")                            \
    X(PASSPHRASE, "passphrase", "SOURCE", "of that key: tty | fd:N | file:PATH | cmd:..")  \
    X(NAME, "name", "NAME", "who signs the report")                                        \
    X(TIP, "tip", NULL, "check one signature a key: each vouches for all before it")       \
    X(THREADS, "threads", "N", "threads (default: one a core)")                            \
    X(MAX_AGE, "max-age", "TIME", "the newest sign of life may be this old: 10m, 1h")      \
    X(MAX_DURATION, "max-duration", "TIME", "stop then, save and end with 2")              \
    X(CHECKPOINT, "checkpoint", "FILE", "one more checkpoint that must fit; may repeat")   \
    X(RECEIPT, "receipt", "FILE", "a receipt the log must keep (stoa receipt); may repeat") \
    X(HEAD, "head", "FILE", "an account head the log must keep (stoa head); may repeat")   \
    X(JOBS, "jobs", "N", "connections at a time (default 4)")                              \
    X(QPS, "qps", "N", "requests a second at most")                                        \
    X(SLOT, "slot", "N", "this slot only")                                                 \
    X(CA_FILE, "ca-file", "FILE", "roots for https, PEM")                                  \
    X(FORMAT, "format", "NAME", "of an export: jsonl | csv | sqlite | hledger")            \
    X(OUT, "out", "FILE", "write there")                                                   \
    X(UNVERIFIED, "unverified", NULL, "export what did not pass, and label it so")         \
    X(EVIDENCE, "evidence", "DIR", "keep evidence there")                                  \
    X(REFUSAL, "refusal", "FILE", "a signed refusal that clears a device")                 \
    X(EVERY, "every", "TIME", "how often to look (default 30s)")                           \
    X(HOOKS, "hooks", "DIR", "programs to run on events")                                  \
    X(MAX_SILENCE, "max-silence", "TIME", "silence that is an alarm (default 10m)")        \
    X(PROMETHEUS, "prometheus", "FILE", "write metrics there")                             \
    X(ONCE, "once", NULL, "look once and end")                                             \
    X(ONLY, "only", "NAME", "one fault of the selftest")                                   \
    X(JSON, "json", NULL, "the report as JSON on standard output; errors too")             \
    X(JSONL, "jsonl", NULL, "progress as JSON lines on standard error")                    \
    X(QUIET, "quiet", NULL, "only data and errors")                                        \
    X(HELP, "help", NULL, "help of this command")

#define AUDIT_OPTION_ENUM_(name, text, value, help) AUDIT_OPT_##name,
enum audit_option { AUDIT_OPTION_LIST(AUDIT_OPTION_ENUM_) AUDIT_OPT_COUNT };
#undef AUDIT_OPTION_ENUM_

#define AUDIT_REPEATS_MAX 64
#define CLI_FILE_MAX (64u << 20)

struct audit_cli {
    const char *value[AUDIT_OPT_COUNT]; /* NULL: not given; flags "" */
    const char *checkpoints[AUDIT_REPEATS_MAX];
    size_t checkpoint_count;
    const char *promises[AUDIT_REPEATS_MAX]; /* --receipt and --head */
    size_t promise_count;
    int arg_count;
    char **args;
    _Bool cancel; /* set by SIGINT, SIGTERM and --max-duration; read with __atomic_load_n */
    uint64_t deadline_ms; /* of the monotonic clock; 0: none */
};

static inline bool audit_given(const struct audit_cli *c, enum audit_option o)
{
    return c->value[o] != NULL;
}

/* "error: <text>" and "  try: <hint>" on standard error, or one JSON object; returns `code`. */
__attribute__((format(printf, 4, 5))) int audit_error(const struct audit_cli *c, int code,
                                                      const char *try_this,
                                                      const char *format, ...);
/* Exit code for an error of opening or reading a source. */
int audit_exit_of(enum err e);
/* Numbers and durations; false, and an error was printed: exit with EXIT_BAD_USAGE. */
bool audit_number(const struct audit_cli *c, enum audit_option o, uint64_t dflt,
                  uint64_t max, uint64_t *out);
bool audit_duration_ms(const struct audit_cli *c, enum audit_option o, uint64_t dflt,
                       uint64_t *out);
/* The policy of --policy, or made of the source's own log_open records on first use (then it is
 * recorded in --state as policy and printed). NULL: an error was printed, *exit_code is set. */
struct policy *audit_policy(struct audit_cli *c, struct audit_source *source,
                            int *exit_code);
/* Whole file; false: an error was printed. */
bool audit_file(const struct audit_cli *c, const char *path, size_t max, struct buf *out);
struct audit_source *audit_source(struct audit_cli *c, const char *where, int *exit_code);
/* Fill from the command line: mode, threads, state, checkpoints, progress. */
bool audit_options_of(struct audit_cli *c, struct audit_options *o);
void audit_options_free(struct audit_options *o);
/* A progress line on a terminal, JSON lines with --jsonl; false when the user asked to stop. */
bool audit_progress_show(void *context, const struct audit_progress *p);
void audit_progress_end(struct audit_cli *c);

typedef int audit_command_fn(struct audit_cli *c);
audit_command_fn audit_cmd_verify, audit_cmd_replay, audit_cmd_report, audit_cmd_reproduce,
    audit_cmd_explain, audit_cmd_policy, audit_cmd_evidence, audit_cmd_selftest;
audit_command_fn audit_cmd_fetch, audit_cmd_export, audit_cmd_diff, audit_cmd_watch;

#endif
