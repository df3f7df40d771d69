/* stoa-audit: commands, options, help. */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/audit/cli.h"

#ifndef STOA_VERSION
#define STOA_VERSION "0"
#endif

/* Which options a command knows. Another one is refused: who gives it expects something. */
#define BIT(name) (UINT64_C(1) << AUDIT_OPT_##name)
#define OUTPUT_ (BIT(JSON) | BIT(JSONL) | BIT(QUIET) | BIT(HELP))
#define SOURCE_ (BIT(POLICY) | BIT(FIRST_USE) | BIT(STATE) | BIT(JOBS) | BIT(QPS) | BIT(CA_FILE))
#define AUDIT_                                                                             \
    (BIT(THREADS) | BIT(MAX_AGE) | BIT(MAX_DURATION) | BIT(CHECKPOINT) | BIT(RECEIPT) |    \
     BIT(HEAD) | BIT(EVIDENCE))
#define REPORT_ (BIT(REPORT) | BIT(KEY) | BIT(PASSPHRASE) | BIT(NAME))
_Static_assert(AUDIT_OPT_COUNT <= 64, "one bit an option");

struct row {
    const char *name, *args;
    int args_min, args_max;
    uint64_t options;
    audit_command_fn *run;
    const char *what, *example;
};

static const struct row rows[] = {
#ifdef AUDIT_HAS_FETCH
    {"fetch", "URL DIR", 2, 2, 
     BIT(POLICY) | BIT(JOBS) | BIT(QPS) | BIT(CA_FILE) | BIT(SLOT) | OUTPUT_,
     audit_cmd_fetch,
     "copy a hub's logs into a folder, each byte checked as it comes; goes on where it stopped",
     "stoa-audit fetch https://eu.example eu-logs --policy eu.policy"},
#endif
    {"verify", "SOURCE", 1, 1, 
     SOURCE_ | AUDIT_ | REPORT_ | BIT(TIP) | OUTPUT_,
     audit_cmd_verify,
     "check everything: each envelope, signature, rule, leaf, tile and checkpoint",
     "stoa-audit verify https://eu.example --policy eu.policy --state my-audit --report out"},
    {"replay", "SOURCE", 1, 1, 
     SOURCE_ | AUDIT_ | REPORT_ | OUTPUT_,
     audit_cmd_replay,
     "the same without signatures of entries: states, sums, trees",
     "stoa-audit replay ledger.db --policy eu.policy"},
    {"report", "FILE", 1, 1, 
     OUTPUT_,
     audit_cmd_report, "show a report.json as text",
     "stoa-audit report out/report.json"},
    {"reproduce", "FILE SOURCE", 2, 2, 
     SOURCE_ | AUDIT_ | BIT(TIP) | OUTPUT_,
     audit_cmd_reproduce,
     "audit the same checkpoints again and compare the report byte for byte",
     "stoa-audit reproduce out/report.json eu-logs --policy eu.policy"},
#ifdef AUDIT_HAS_EXPORT
    {"export", "SOURCE", 1, 1, 
     SOURCE_ | AUDIT_ | BIT(TIP) | BIT(FORMAT) | BIT(OUT) | BIT(UNVERIFIED) | OUTPUT_,
     audit_cmd_export, "records as JSON lines, CSV, SQLite or hledger",
     "stoa-audit export eu-logs --policy eu.policy --format hledger --out eu.journal"},
#endif
#ifdef AUDIT_HAS_DIFF
    {"diff", "SOURCE SOURCE", 2, 2, 
     SOURCE_ | BIT(SLOT) | BIT(EVIDENCE) | OUTPUT_,
     audit_cmd_diff,
     "compare two copies of the same logs: first difference, who is ahead",
     "stoa-audit diff https://eu.example https://mirror.example --policy eu.policy"},
#endif
#ifdef AUDIT_HAS_WATCH
    {"watch", "SOURCE", 1, 64, 
     BIT(POLICY) | BIT(STATE) | BIT(JOBS) | BIT(QPS) | BIT(CA_FILE) | AUDIT_ | BIT(TIP) |
         BIT(EVERY) | BIT(HOOKS) | BIT(MAX_SILENCE) | BIT(PROMETHEUS) | BIT(ONCE) | OUTPUT_,
     audit_cmd_watch,
     "look again and again; programs in --hooks hear of findings, forks and silence",
     "stoa-audit watch https://eu.example --policy eu.policy --state watch --hooks hooks.d"},
#endif
    {"explain", "FINDING", 0, 1, 
     OUTPUT_,
     audit_cmd_explain,
     "what a finding means and what to do; without a name: all of them",
     "stoa-audit explain A2102"},
    {"policy", "check|show|hash FILE", 2, 2, 
     OUTPUT_,
     audit_cmd_policy, "read a policy file",
     "stoa-audit policy show eu.policy"},
#ifdef AUDIT_HAS_EVIDENCE
    {"evidence", "check|show FILE", 2, 2, 
     BIT(POLICY) | BIT(REFUSAL) | OUTPUT_,
     audit_cmd_evidence,
     "does this file show, by itself, that a key signed what cannot all be true?",
     "stoa-audit evidence check fork.evidence --policy eu.policy"},
#endif
#ifdef AUDIT_HAS_SELFTEST
    {"selftest", "", 0, 0, 
     BIT(ONLY) | OUTPUT_,
     audit_cmd_selftest,
     "plant faults in copies of a good ledger; every one must be named",
     "stoa-audit selftest"},
#endif
};

static const struct {
    const char *text, *value, *help;
} options[AUDIT_OPT_COUNT] = {
#define ROW(name, text, value, help) [AUDIT_OPT_##name] = {text, value, help},
    AUDIT_OPTION_LIST(ROW)
#undef ROW
};

static struct audit_cli cli;

static void on_signal(int number)
{
    (void)number;
    __atomic_store_n(&cli.cancel, 1, __ATOMIC_RELAXED);
}

static void help_all(FILE *out)
{
    fprintf(out, "stoa-audit checks Stoa's public logs and trusts nobody.\n\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        fprintf(out, "  %-10s %s\n", rows[i].name, rows[i].what);
    fprintf(out,
            "\nSOURCE is a hub's URL, a published folder, an export (.jsonl, SQLite), a SQLite\n"
            "ledger or postgresql://..\n"
            "Exit: 0 good, 1 a finding, 2 not finished (run it again), 64 usage, 65 bad data,\n"
            "69 not reachable, 78 no or bad policy.\n"
            "  try: stoa-audit COMMAND --help\n");
}

static void help_one(FILE *out, const struct row *r)
{
    fprintf(out, "stoa-audit %s %s\n  %s\n\n  example: %s\n\n", r->name, r->args, r->what,
            r->example);
    for (int i = 0; i < AUDIT_OPT_COUNT; i++) {
        char left[40];
        if (!(r->options >> i & 1))
            continue;
        snprintf(left, sizeof(left), "--%s%s%s", options[i].text, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        fprintf(out, "  %-24s %s\n", left, options[i].help);
    }
}

/* Options into cli; the rest of the words are the arguments. False: usage. */
static bool parse(const struct row *r, int argc, char **argv)
{
    struct option list[AUDIT_OPT_COUNT + 1];
    memset(list, 0, sizeof(list));
    for (int i = 0; i < AUDIT_OPT_COUNT; i++)
        list[i] = (struct option){.name = options[i].text,
                                  .has_arg = options[i].value ? required_argument
                                                              : no_argument,
                                  .val = i};
    opterr = 1;
    for (;;) {
        int i = getopt_long(argc, argv, "hO:", list, NULL);
        if (i == -1)
            break;
        if (i == 'h')
            i = AUDIT_OPT_HELP;
        if (i == 'O')
            i = AUDIT_OPT_FORMAT;
        if (i < 0 || i >= AUDIT_OPT_COUNT)
            return false;
        if (!(r->options >> i & 1)) {
            fprintf(stderr, "error: %s has no option --%s\n", r->name, options[i].text);
            return false;
        }
        cli.value[i] = optarg ? optarg : "";
        bool promise = i == AUDIT_OPT_RECEIPT || i == AUDIT_OPT_HEAD;
        if ((i == AUDIT_OPT_CHECKPOINT && cli.checkpoint_count == AUDIT_REPEATS_MAX) ||
            (promise && cli.promise_count == AUDIT_REPEATS_MAX)) {
            fprintf(stderr, "error: --%s may stand at most %d times\n", options[i].text,
                    AUDIT_REPEATS_MAX);
            return false;
        }
        if (i == AUDIT_OPT_CHECKPOINT)
            cli.checkpoints[cli.checkpoint_count++] = optarg;
        if (promise)
            cli.promises[cli.promise_count++] = optarg;
    }
    cli.args = argv + optind;
    cli.arg_count = argc - optind;
    return true;
}

static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND; /* the second one ends the program */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    (void)sigaction(SIGPIPE, &action, NULL);
}

int main(int argc, char **argv)
{
    const struct row *r = NULL;
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("stoa-audit %s\n", STOA_VERSION);
        return EXIT_GOOD;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        help_all(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_BAD_USAGE : EXIT_GOOD;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(argv[1], rows[i].name) == 0)
            r = &rows[i];
    if (!r)
        return audit_error(&cli, EXIT_BAD_USAGE, "stoa-audit --help", "no command \"%s\"",
                           argv[1]);
    if (!parse(r, argc - 1, argv + 1)) {
        fprintf(stderr, "  try: stoa-audit %s --help\n", r->name);
        return EXIT_BAD_USAGE;
    }
    if (audit_given(&cli, AUDIT_OPT_HELP)) {
        help_one(stdout, r);
        return EXIT_GOOD;
    }
    if (cli.arg_count < r->args_min || cli.arg_count > r->args_max)
        return audit_error(&cli, EXIT_BAD_USAGE, r->example, "usage: stoa-audit %s %s",
                           r->name, r->args);
    if (!crypto_start())
        return audit_error(&cli, EXIT_OUR_BUG, "install libsodium 1.0.18 or newer",
                           "the signature library did not pass its self-check");
    catch_signals();
    return r->run(&cli);
}
