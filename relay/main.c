/* stoad: the relay of a hub. Parses the command line; the rest is relay/start.c. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "ledger/trace.h"
#include "ledger/wire.h"
#include "relay/config.h"
#include "relay/memory.h"
#include "relay/metrics.h"
#include "relay/start.h"

#define EXIT_USAGE 64
#define SETS_MAX 128

enum command { COMMAND_RUN, COMMAND_INIT, COMMAND_CHECK };

struct arguments {
    enum command command;
    const char *file;
    const char *sets[SETS_MAX];
    size_t set_count;
    struct start_options run;
    struct init_options init;
};

static const char usage[] =
    "usage: stoad [run] [--config FILE] [--set section.key=value]..\n"
    "       stoad init [--config FILE] [--set section.key=value].. [--slots N]\n"
    "                  [--federation HEX]\n"
    "       stoad --check-config | --print-default-config | --list-metrics | --version\n"
    "a hub in memory (store.uri=memory:) also takes run --slots N --federation HEX\n"
    "--issuer HEX (public key that may create points)\n";

static int wrong_use(const char *what, const char *argument)
{
    fprintf(stderr, "error[T6401] %s%s%s\n%s", what, *argument ? ": " : "", argument,
            usage);
    return EXIT_USAGE;
}

static bool parse_slots(const char *text, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (!*text || *end || n == 0 || n > SLOTS_MAX || (n & (n - 1)) != 0)
        return false;
    *out = (unsigned)n;
    return true;
}

/* An option with a value. 0: taken, else an exit code. */
static int take_option(struct arguments *a, const char *name, const char *value)
{
    if (!value)
        return wrong_use("option needs a value", name);
    if (strcmp(name, "--config") == 0) {
        a->file = value;
        return 0;
    }
    if (strcmp(name, "--set") == 0) {
        if (a->set_count == SETS_MAX)
            return wrong_use("too many --set", "");
        a->sets[a->set_count++] = value;
        return 0;
    }
    if (strcmp(name, "--slots") == 0) {
        if (!parse_slots(value, &a->run.slots))
            return wrong_use("slots is a power of two up to 256", value);
        a->init.slots = a->run.slots;
        return 0;
    }
    if (strcmp(name, "--federation") == 0) {
        if (!hex_decode(a->run.federation.b, HASH_BYTES, value, strlen(value)))
            return wrong_use("federation is 64 hex digits", value);
        a->init.federation = a->run.federation;
        a->init.has_federation = a->run.has_federation = true;
        return 0;
    }
    if (strcmp(name, "--issuer") == 0) {
        if (!hex_decode(a->run.issuer.b, PUBKEY_BYTES, value, strlen(value)))
            return wrong_use("issuer is 64 hex digits", value);
        a->run.has_issuer = true;
        return 0;
    }
    return wrong_use("unknown option", name);
}

/* Those that print and end. True: done. */
static bool print_and_end(const char *argument)
{
    if (strcmp(argument, "--version") == 0)
        printf("stoad %s (wire %u, store schema 1)\n", STOA_VERSION, WIRE_VERSION);
    else if (strcmp(argument, "--print-default-config") == 0)
        config_print_default(stdout);
    else if (strcmp(argument, "--list-metrics") == 0)
        metrics_list(stdout);
    else if (strcmp(argument, "--help") == 0)
        fputs(usage, stdout);
    else
        return false;
    return true;
}

static int parse(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--check-config") == 0) {
            a->command = COMMAND_CHECK;
        } else if (strcmp(arg, "--quick-keys") == 0) {
            a->init.quick_keys = true;
        } else if (arg[0] == '-') {
            char name[64];
            const char *equals = strchr(arg, '=');
            size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
            snprintf(name, sizeof(name), "%.*s", (int)(n < 63 ? n : 63), arg);
            const char *value = equals ? equals + 1 : argv[i + 1];
            int bad = take_option(a, name, value);
            if (bad)
                return bad;
            i += equals == NULL;
        } else if (i == 1 && strcmp(arg, "run") == 0) {
            a->command = COMMAND_RUN;
        } else if (i == 1 && strcmp(arg, "init") == 0) {
            a->command = COMMAND_INIT;
        } else {
            return wrong_use("unknown command", arg);
        }
    }
    return 0;
}

/* Secret keys live here: no core dumps, no tracing by others. */
static void harden(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int main(int argc, char **argv)
{
    struct arguments *a = calloc(1, sizeof(*a));
    if (!a)
        return CONFIG_EXIT;
    for (int i = 1; i < argc; i++)
        if (print_and_end(argv[i])) {
            free(a);
            return fflush(stdout) == 0 ? 0 : 1;
        }
    int code = parse(a, argc, argv);
    if (code) {
        free(a);
        return code;
    }
    struct config_sources sources = {.file = a->file,
                                     .sets = a->sets,
                                     .set_count = a->set_count,
                                     .environment = environ};
    struct config *config = config_load(&sources);
    if (!config || config_problem_count(config) > 0) {
        if (config)
            config_print_problems(config, stderr, "nothing was started");
        config_close(config);
        free(a);
        return CONFIG_EXIT;
    }
    const struct relay_config *values = config_values(config);
    trace_init((struct trace_config){.level = (enum trace_level)values->log.level,
                                     .format = (enum trace_format)values->log.format,
                                     .fd = 2,
                                     .burst = TRACE_BURST_DEFAULT});
    if (a->command == COMMAND_CHECK) {
        struct memory_facts facts;
        struct memory_plan plan;
        memory_facts(&facts);
        facts.resident = 0; /* nothing is loaded */
        memory_plan(&plan, &(struct memory_wishes){MEMORY_WISHES(values)}, &facts);
        printf("configuration is fine\n");
        memory_print(&plan, stdout);
    } else if (!crypto_start()) {
        say_error(7001, "crypto", "a self-check failed; this machine must not run a hub",
                  "");
        code = 70;
    } else {
        harden();
        a->run.sources = &sources;
        code = a->command == COMMAND_INIT ? relay_init(values, &a->init)
                                          : relay_run(values, &a->run);
    }
    config_close(config);
    free(a);
    return code;
}
