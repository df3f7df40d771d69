#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sig.h"
#include "relay/config_number.h"
#include "relay/stoactl.h"

#define TIMEOUT_MS_DEFAULT 30000

#define OPTION_ROW_(name, text, value, help) {text, value, help},
static const struct {
    const char *text;
    const char *value;
    const char *help;
} options[OPT_COUNT] = {CTL_OPTIONS(OPTION_ROW_)};
#undef OPTION_ROW_

#define BIT(name) (1u << OPT_##name)
#define COMMON (BIT(JSON) | BIT(QUIET) | BIT(HELP))
#define LOCAL (BIT(SOCKET) | BIT(CONFIG))
#define ISSUE                                                                            \
    (COMMON | BIT(NO_PROGRESS) | BIT(TIMEOUT) | BIT(HUB) | BIT(KEY) | BIT(PASSPHRASE) |  \
     BIT(CA_FILE) | BIT(CSV) | BIT(CHECK))

static const struct ctl_command commands[] = {
    {"status", "[URL]", 0, 1, COMMON | BIT(HUB) | BIT(CA_FILE) | BIT(TIMEOUT) | LOCAL,
     "what a hub says about itself",
     "Asks the relay of this machine at its unix socket; with a URL, and where there is no\n"
     "socket (http://127.0.0.1:7001), /v1/status of the hub there. Exit 1 when the hub "
     "answers\n"
     "that it is not well.\n",
     ctl_status},
    {"why", "", 0, 0, COMMON | BIT(TIMEOUT) | LOCAL,
     "why the relay is slow or refuses, and what to type next",
     "Looks at the stages of the write path, the store and its server, clocks, clients,\n"
     "slots and witnesses. Exit 0 when nothing is wrong, 1 when a cause was found.\n",
     ctl_why},
    {"lag", "", 0, 0, COMMON | BIT(TIMEOUT) | LOCAL,
     "what is behind: by how many entries, and for how long",
     "A \"-\" is not known, never 0. Exit 1 when something is late.\n", ctl_lag},
    {"top", "", 0, 0, COMMON | BIT(TIMEOUT) | LOCAL,
     "rates of the last ten seconds, and who sends the most", "", ctl_top},
    {"reload", "", 0, 0, COMMON | BIT(TIMEOUT) | LOCAL,
     "read the settings again; says what became of each key that differs",
     "The same as SIGHUP. A file with a problem changes nothing: exit 78, with every "
     "problem.\n",
     ctl_reload},
    {"drain", "[--wait]", 0, 0, COMMON | BIT(TIMEOUT) | BIT(WAIT) | LOCAL,
     "finish what is under way, send clients away, end",
     "The same as SIGTERM. With --wait: exit 0 when the relay has ended, 2 when it has not "
     "within\n"
     "--timeout.\n",
     ctl_drain},
    {"accrue", "ACCOUNT AMOUNT --node NAME --epoch N", 0, 2,
     ISSUE | BIT(NODE) | BIT(EPOCH), "issue points an account earned",
     "With --csv, columns account,node,epoch,amount. Epochs of an account and node must "
     "rise, so\n"
     "the same file may be run again after a cut: what is there already is not issued "
     "twice.\n\n"
     "  stoactl accrue --key issuer.key stoa1q.. 12.5 --node fra-7 --epoch 401\n"
     "  stoactl accrue --key issuer.key --csv epoch-401.csv\n",
     ctl_issue},
    {"adjust", "ACCOUNT AMOUNT --reason TEXT", 0, 2, ISSUE | BIT(REASON) | BIT(JOURNAL),
     "correct a balance; never below zero",
     "With --csv, columns account,amount,reason. Every correction is saved in a journal "
     "(FILE.csv.journal,\n"
     "or stoactl-adjust.journal) before it is sent; the same command run again after a "
     "cut\n"
     "sends the same bytes, so it counts once.\n\n"
     "  stoactl adjust --key issuer.key stoa1q.. -3.25 --reason \"double report, ticket "
     "118\"\n",
     ctl_issue},
    {"key show", "FILE", 1, 1, COMMON, "role and public key of a key file",
     "Asks for no passphrase.\n", ctl_key_show},
    {"key new", "cosigner FILE", 2, 2, COMMON | BIT(PASSPHRASE),
     "make the cosigner key of a hub that is older than witnesses",
     "FILE is cosigner.key in the hub's keys folder, its passphrase the hub's\n"
     "(--passphrase none: a plain file). Nothing is ever overwritten.\n\n"
     "  stoactl key new cosigner /var/lib/stoa/keys/cosigner.key\n",
     ctl_key_new},
    {"witness status", "[URL]", 0, 1, COMMON | BIT(HUB) | BIT(CA_FILE) | BIT(TIMEOUT),
     "the logs a hub witnesses, and who witnesses its own",
     "Exit 1 when a log of the hub is served below its quorum.\n", ctl_witness_status},
    {"log publish", "DIR", 1, 1,
     COMMON | BIT(CONFIG) | BIT(STORE) | BIT(HUB) | BIT(CA_FILE) | BIT(TIMEOUT) | BIT(EVERY) |
         BIT(CHECK) | BIT(REBUILD),
     "the logs as files, for any web server or CDN",
     "Reads the ledger of --config or --store (also while the hub runs) and writes below DIR\n"
     "what the hub serves below /log: only what is new, each file whole or not at all, the\n"
     "checkpoint last and only when the files give its root. Envelopes of pinned accounts\n"
     "are left out. An older or another tree never replaces one that is there: exit 1, and\n"
     "both are named. Killed at any point, DIR is a valid log. With --hub the checkpoints\n"
     "are those the hub serves, so with its witnesses' signatures.\n\n"
     "  stoactl log publish /srv/www --config /etc/stoa/stoa.toml --every 2s\n",
     ctl_log_publish},
    {"log policy", "[--url URL]", 0, 0, COMMON | BIT(CONFIG) | BIT(STORE) | BIT(URL),
     "the keys of the logs, as a C2SP tlog-policy for readers",
     "What stoa verify --policy and stoa-audit verify --policy take. With the witnesses and\n"
     "the quorum of cosign.policy, when the settings name one. Each key is shown to sign its\n"
     "log's checkpoint, and to be log.key of the hub where that file can be read.\n\n"
     "  stoactl log policy --url https://logs.example >eu-1.policy\n",
     ctl_log_policy},
    {"schema status", "--store URI", 0, 0, COMMON | BIT(STORE),
     "version and migrations of a Postgres store",
     "Exit 1 when a migration is missing, or one that was applied had other text.\n",
     ctl_schema_status},
    {"schema plan", "--store URI", 0, 0, COMMON | BIT(STORE),
     "the SQL that apply would run", "Changes nothing.\n", ctl_schema_plan},
    {"schema apply", "--store URI", 0, 0, COMMON | BIT(STORE),
     "bring a Postgres store's schema up to date",
     "Connect as the role that owns the schema, or shall own it. Each migration is one\n"
     "transaction; run again it does nothing. Passwords: ?passfile=PATH in the URI.\n\n"
     "  stoactl schema apply --store postgresql://stoa_owner@db.example/stoa\n",
     ctl_schema_apply},
    {"slot list", "--store URI", 0, 0, COMMON | BIT(STORE) | BIT(AS),
     "which server each slot of a Postgres ledger is on", "", ctl_slot_list},
    {"slot move", "SLOT --to URI --store URI", 1, 1, COMMON | BIT(STORE) | BIT(TO) | BIT(AS),
     "put a slot on another server, or back, while the hub runs",
     "--store is the hub's own database. Records are copied while the slot goes on; for the last\n"
     "ones it stands still. Run again after whatever broke it off.\n\n"
     "  stoactl schema apply --store postgresql://stoa_owner@db2.example/stoa\n"
     "  stoactl slot move 03 --to postgresql://stoa_relay@db2.example/stoa --as stoa_owner \\\n"
     "      --store postgresql://stoa_relay@db.example/stoa\n",
     ctl_slot_move},
    {"slot forget", "SLOT --at URI --store URI", 1, 1,
     COMMON | BIT(STORE) | BIT(AT) | BIT(AS),
     "remove what a slot has left on a server it is not on",
     "--store is the hub's own database. The slot's records are read back where it is now and\n"
     "compared with the signed root; when that is not all well, nothing is removed.\n\n"
     "  stoactl slot forget 03 --at postgresql://stoa_relay@db.example/stoa --as stoa_owner \\\n"
     "      --store postgresql://stoa_relay@db.example/stoa\n",
     ctl_slot_forget},
    {"projection run", "--store URI", 0, 0, COMMON | BIT(STORE) | BIT(EVERY),
     "keep balances, earnings and rich list up to the log",
     "Runs until SIGTERM, as role stoa_projector; looks every 250ms (--every) and waits for a\n"
     "server that is away. Any number may run.\n",
     ctl_projection_run},
    {"projection status", "--store URI", 0, 0, COMMON | BIT(STORE),
     "how far behind the log the projections are",
     "Exit 1 when nobody has looked at a slot for 10 s.\n", ctl_projection_status},
    {"projection rebuild", "[SLOT] --store URI", 0, 1, COMMON | BIT(STORE) | BIT(CHECK),
     "make projections anew from the log",
     "One transaction a slot; readers see what was there until it is done. Says whether the\n"
     "result is the same. With --check nothing is written: exit 1 when a slot differs.\n",
     ctl_projection_rebuild},
    {"help", "[ERROR | errors]", 0, 1, COMMON,
     "what an error means, by number, code or word",
     "  stoactl help T4130      stoactl help balance      stoactl help errors\n",
     ctl_help},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

void ctl_print_usage(const struct ctl_command *command)
{
    printf("usage: stoactl %s %s [options]\n%s\n\n%s\n", command->name, command->args,
           command->what, command->more);
    for (unsigned i = 0; i < OPT_COUNT; i++) {
        if (!(command->options >> i & 1))
            continue;
        char text[64];
        snprintf(text, sizeof text, "--%s%s%s", options[i].text,
                 options[i].value ? " " : "", options[i].value ? options[i].value : "");
        printf("  %-22s %s\n", text, options[i].help);
    }
}

void ctl_print_commands(void)
{
    puts("usage: stoactl COMMAND [arguments] [options]\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-14s %s\n", commands[i].name, commands[i].what);
    puts("\nstoactl COMMAND --help tells more. Exit codes: 0 done, 1 no, 2 not finished "
         "(run it\n"
         "again), 3 outcome unknown (run it again), 4 refused, 64 usage, 65 bad input, "
         "69 hub\n"
         "not reachable, 75 later, 77 not allowed, 78 configuration.");
}

/* The command at argv[*at], which is moved past its one or two words. */
static const struct ctl_command *find_command(int argc, char **argv, int *at)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const char *name = commands[i].name;
        const char *second = strchr(name, ' ');
        size_t first = second ? (size_t)(second - name) : strlen(name);
        if (strlen(argv[*at]) != first || strncmp(argv[*at], name, first) != 0)
            continue;
        if (second && (*at + 1 >= argc || strcmp(argv[*at + 1], second + 1) != 0))
            continue;
        *at += second ? 2 : 1;
        return &commands[i];
    }
    return NULL;
}

/* --name, --name=value or --name value at argv[*at]. */
static int take_option(struct ctl *c, int argc, char **argv, int *at)
{
    const char *text = argv[*at] + 2;
    size_t size = strcspn(text, "=");
    for (unsigned i = 0; i < OPT_COUNT; i++) {
        if (strlen(options[i].text) != size || strncmp(options[i].text, text, size) != 0)
            continue;
        if (c->command && !(c->command->options >> i & 1))
            break;
        const char *value = text[size] == '=' ? text + size + 1 : NULL;
        if (!options[i].value && value)
            return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL, "--%s takes no value",
                            options[i].text);
        if (options[i].value && !value) {
            if (*at + 1 >= argc)
                return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL, "--%s wants a %s",
                                options[i].text, options[i].value);
            value = argv[++*at];
        }
        c->value[i] = value ? value : "";
        return EXIT_DONE;
    }
    return ctl_fail(c, EXIT_USAGE, ERR_USAGE, "stoactl help", "no option --%.*s here",
                    (int)size, text);
}

/* A sign and a digit begin an amount, not an option. */
static bool is_option(const char *text)
{
    return text[0] == '-' && text[1] == '-' && text[2] != '\0';
}

static int parse(struct ctl *c, int argc, char **argv)
{
    bool only_args = false;
    for (int at = 1; at < argc; at++) {
        if (!only_args && strcmp(argv[at], "--") == 0) {
            only_args = true;
        } else if (!only_args && is_option(argv[at])) {
            int code = take_option(c, argc, argv, &at);
            if (code != EXIT_DONE)
                return code;
        } else if (!c->command) {
            c->command = find_command(argc, argv, &at);
            if (!c->command)
                return ctl_fail(c, EXIT_USAGE, ERR_USAGE, "stoactl help",
                                "there is no command \"%s\"", argv[at]);
            at--;
        } else if (c->arg_count == c->command->args_max) {
            return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL, "too many arguments: %s",
                            argv[at]);
        } else {
            c->args[c->arg_count++] = argv[at];
        }
    }
    return EXIT_DONE;
}

/* Options that came before the command may not be the command's. */
static int check(struct ctl *c)
{
    for (unsigned i = 0; i < OPT_COUNT; i++)
        if (c->value[i] && !(c->command->options >> i & 1))
            return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL, "%s takes no --%s",
                            c->command->name, options[i].text);
    if (c->arg_count < c->command->args_min)
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL, "wanted: stoactl %s %s",
                        c->command->name, c->command->args);
    if (c->value[OPT_TIMEOUT] &&
        (!config_ms_parse(c->value[OPT_TIMEOUT], &c->timeout_ms) || c->timeout_ms == 0))
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "--timeout must be like 10s, 500ms or 2m");
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct ctl c = {.timeout_ms = TIMEOUT_MS_DEFAULT};
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++)
        c.json = c.json || strcmp(argv[i], "--json") == 0;
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("stoactl " STOA_VERSION);
        return EXIT_DONE;
    }
    int code = parse(&c, argc, argv);
    if (code != EXIT_DONE)
        return code;
    if (!c.command) {
        ctl_print_commands();
        return argc > 1 && c.value[OPT_HELP] ? EXIT_DONE : EXIT_USAGE;
    }
    if (c.value[OPT_HELP]) {
        ctl_print_usage(c.command);
        return EXIT_DONE;
    }
    c.quiet = c.value[OPT_QUIET] != NULL;
    c.progress = !c.quiet && !c.json && !c.value[OPT_NO_PROGRESS];
    code = check(&c);
    if (code != EXIT_DONE)
        return code;
    if (!crypto_start())
        return ctl_fail(&c, EXIT_BUG, ERR_BUG, NULL, "the crypto library did not start");
    return c.command->run(&c);
}
