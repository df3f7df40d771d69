/* stoa-audit watch URL.. --state DIR --hooks DIR */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/audit/cli.h"
#include "client/audit/watch.h"

#define EVERY_MS 30000
#define SILENCE_MS 600000
#define SLICE_MS 100

static bool cancelled(struct audit_cli *c)
{
    return __atomic_load_n(&c->cancel, __ATOMIC_RELAXED);
}

static void wait_ms(struct audit_cli *c, uint64_t ms)
{
    for (uint64_t at = 0; at < ms && !cancelled(c); at += SLICE_MS) {
        const struct timespec t = {.tv_nsec = SLICE_MS * 1000000L};
        (void)nanosleep(&t, NULL);
    }
}

static int run(struct audit_cli *c, struct watch *w, uint64_t every_ms)
{
    char why[AUDIT_WHY_MAX] = "";
    enum err e = watch_open(w, c->args, (size_t)c->arg_count, why);
    int code = EXIT_UNFINISHED; /* a watch has no end of its own */
    while (e == ERR_OK && !cancelled(c)) {
        e = watch_round(w, why);
        audit_progress_end(c);
        if (audit_given(c, AUDIT_OPT_ONCE)) {
            code = cancelled(c) ? EXIT_UNFINISHED : watch_exit(w);
            break;
        }
        wait_ms(c, every_ms);
    }
    watch_close(w);
    if (e != ERR_OK)
        return audit_error(c, audit_exit_of(e), NULL, "%s", why[0] ? why : err_text(e));
    return code;
}

int audit_cmd_watch(struct audit_cli *c)
{
    uint64_t every, silence, jobs, qps;
    int code;
    struct audit_options o;
    if (!audit_duration_ms(c, AUDIT_OPT_EVERY, EVERY_MS, &every) ||
        !audit_duration_ms(c, AUDIT_OPT_MAX_SILENCE, SILENCE_MS, &silence) ||
        !audit_number(c, AUDIT_OPT_JOBS, 0, 64, &jobs) ||
        !audit_number(c, AUDIT_OPT_QPS, 0, 100000, &qps))
        return EXIT_BAD_USAGE;
    if (!audit_given(c, AUDIT_OPT_STATE))
        return audit_error(c, EXIT_BAD_USAGE, "--state DIR",
                           "a watch has to remember what it saw");
    struct policy *p = audit_policy(c, NULL, &code);
    if (!p)
        return code;
    memset(&o, 0, sizeof(o));
    if (!audit_options_of(c, &o)) {
        audit_options_free(&o);
        free(p);
        return EXIT_BAD_USAGE;
    }
    struct watch w = {.policy = p,
                      .source = {.jobs = (unsigned)jobs,
                                 .qps = (unsigned)qps,
                                 .ca_file = c->value[AUDIT_OPT_CA_FILE],
                                 .cancel = &c->cancel},
                      .audit = o,
                      .state_dir = c->value[AUDIT_OPT_STATE],
                      .hooks_dir = c->value[AUDIT_OPT_HOOKS],
                      .prometheus = c->value[AUDIT_OPT_PROMETHEUS],
                      .max_silence_ms = silence,
                      .cancel = &c->cancel};
    code = run(c, &w, every);
    audit_options_free(&o);
    free(p);
    return code;
}
