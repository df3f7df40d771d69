#include "shrink.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "town.h"

static void on_abort(int signal_number)
{
    (void)signal_number;
    _exit(1);
}

/* Does it fail, in a process of its own, without a word? */
static bool fails(const struct sim_options *o)
{
    pid_t pid = fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_WRONLY);
        struct stats stats = {0};
        dup2(nothing, STDERR_FILENO);
        signal(SIGABRT, on_abort);
        town_run(o, &stats, false);
        _exit(0);
    }
    int status = 0;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status != 0;
}

static bool try(struct sim_options *o, const struct sim_options *smaller)
{
    if (!fails(smaller))
        return false;
    *o = *smaller;
    return true;
}

void shrink(struct sim_options *o)
{
    for (unsigned f = 0; f < BAD_COUNT; f++) {
        struct sim_options s = *o;
        s.without |= UINT64_C(1) << f;
        if (s.without != o->without)
            try(o, &s);
    }
    for (uint32_t groups = 1; groups < 12; groups++) {
        struct sim_options s = *o;
        s.groups = groups;
        if ((o->groups == 0 || groups < o->groups) && try(o, &s))
            break;
    }
    static const uint32_t sizes[] = {20, 50, 100, 200, 400, 700};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct sim_options s = *o;
        s.entries = sizes[i];
        if ((o->entries == 0 || sizes[i] < o->entries) && try(o, &s))
            break;
    }
}

void shrink_print_options(FILE *out, const struct sim_options *o)
{
    const char *before = " --without ";
    for (unsigned f = 0; f < BAD_COUNT; f++)
        if ((o->without >> f & 1) != 0) {
            fprintf(out, "%s%s", before, fault_word(f));
            before = ",";
        }
    if (o->groups > 0)
        fprintf(out, " --groups %u", o->groups);
    if (o->entries > 0)
        fprintf(out, " --entries %u", o->entries);
    if (o->plant != PLANT_NONE)
        fprintf(out, " --plant %s", plant_words[o->plant]);
}
