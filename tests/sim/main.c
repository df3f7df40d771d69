/* sim --seeds N --from S [--fresh N] [--twice] [--trace]
 *
 * Runs N seeds from S on; --fresh runs N more from a seed taken from the clock and
 * printed, so that it can be run again. --twice runs each seed two times and compares the
 * traces. The first seed that goes wrong prints its trace and ends the program. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

static void on_abort(int signal_number)
{
    (void)signal_number;
    sim_print_trace();
    _Exit(1);
}

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text == 0 || *end != 0) {
        fprintf(stderr, "sim: not a number: %s\n", text);
        exit(2);
    }
    return n;
}

static void run(uint64_t from, uint64_t seeds, bool twice, struct sim_counts *total,
                struct model_counts *money)
{
    for (uint64_t i = 0; i < seeds; i++) {
        struct hash first = sim_run(from + i, total, money);
        if (!twice)
            continue;
        struct hash second = sim_run(from + i, total, money);
        if (!hash_equal(&first, &second)) {
            fprintf(stderr, "sim: seed %llu ran two ways\n",
                    (unsigned long long)(from + i));
            exit(1);
        }
    }
}

static void report(const struct sim_counts *c, const struct model_counts *m)
{
#define LINE(name, value) printf("%-22s %12llu\n", name, (unsigned long long)(value))
    LINE("steps", c->steps);
    LINE("commits", c->commits);
    LINE("crashes", c->crashes);
    LINE("slots reloaded", c->reloads);
    LINE("slots lost", c->lost);
    LINE("outcomes unknown", c->unknown);
    LINE("disk full", c->full);
    LINE("store broken", c->broken);
    LINE("clock jumps", c->clock_jumps);
    LINE("snapshots taken", c->snapshots);
    LINE("snapshots used", c->snapshots_used);
    LINE("messages", c->messages);
    LINE("messages lost", c->dropped);
    LINE("messages doubled", c->doubled);
    LINE("entries acknowledged", c->acked);
    LINE("duplicates", c->duplicates);
    LINE("looked up", c->lookups);
    LINE("refused", c->refused);
    LINE("chains rebuilt", c->rebased);
    LINE("records", m->records);
    LINE("transfers", m->transfers);
    LINE("credits", m->credits);
    LINE("bounces", m->bounces);
    LINE("returns", m->returns);
#undef LINE
}

int main(int argc, char **argv)
{
    uint64_t seeds = 1, from = 1, fresh = 0;
    bool twice = false;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--seeds") == 0)
            seeds = number(argv[++i]);
        else if (more && strcmp(argv[i], "--from") == 0)
            from = number(argv[++i]);
        else if (more && strcmp(argv[i], "--fresh") == 0)
            fresh = number(argv[++i]);
        else if (strcmp(argv[i], "--twice") == 0)
            twice = true;
        else if (strcmp(argv[i], "--trace") == 0)
            sim_trace = true;
        else {
            fprintf(stderr,
                    "usage: sim --seeds N --from S [--fresh N] [--twice] [--trace]\n");
            return 2;
        }
    }
    signal(SIGABRT, on_abort);
    struct sim_counts total = {0};
    struct model_counts money = {0};
    run(from, seeds, twice, &total, &money);
    if (fresh > 0) {
        uint64_t start = (uint64_t)time(NULL) * 1000;
        printf("fresh seeds: --seeds %llu --from %llu\n", (unsigned long long)fresh,
               (unsigned long long)start);
        fflush(stdout);
        run(start, fresh, twice, &total, &money);
    }
    report(&total, &money);
    kit_close();
    return 0;
}
