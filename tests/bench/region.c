#include "tests/bench/region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES 700
#define SETTLE_MS 30000u /* a relay that came last has its share by then */
#define SETTLE_STEP_MS 250u

static struct bench_region *running;

static char script[512];

/* region.sh WHAT, output to a file of its own; its exit code. */
static int region_sh(const char *what, const char *out)
{
    char command[1400];
    snprintf(command, sizeof command, "sh '%s' %s >'%s' 2>&1 </dev/null", script, what, out);
    int status = system(command); /* every word of it is ours */
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void say_file(const char *path)
{
    char line[LINE_MAX_BYTES];
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        fprintf(stderr, "    %s", line);
    if (f)
        fclose(f);
}

static void must(struct bench_region *g, const char *what)
{
    char out[300];
    snprintf(out, sizeof out, "%s.out", g->dir);
    if (region_sh(what, out) != 0) {
        say_file(out);
        (void)unlink(out);
        die("deploy/region.sh %s failed", what);
    }
    (void)unlink(out);
}

static void end_running(void)
{
    if (running)
        (void)region_sh("down --delete", "/dev/null");
    running = NULL;
}

bool region_there(void)
{
    return system("PATH=$PATH:/usr/sbin; { command -v haproxy && command -v redis-server && "
                  "command -v setsid && ls /usr/lib/postgresql/*/bin/initdb; } "
                  ">/dev/null 2>&1") == 0;
}

/* NAME=value of region.env. */
static void value_of(const struct bench_region *g, const char *name, char *out, size_t cap)
{
    char path[300], line[LINE_MAX_BYTES];
    size_t n = strlen(name);
    snprintf(path, sizeof path, "%s/region.env", g->dir);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, n) == 0 && line[n] == '=') {
            snprintf(out, cap, "%.*s", (int)strcspn(line + n + 1, "\n"), line + n + 1);
            fclose(f);
            return;
        }
    if (f)
        fclose(f);
    die("%s does not name %s", path, name);
}

static int pid_of(const struct bench_region *g, const char *name)
{
    char path[300];
    int pid = 0;
    snprintf(path, sizeof path, "%s/%s.pid", g->dir, name);
    FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%d", &pid) != 1 || pid <= 0)
        die("no pid in %s", path);
    fclose(f);
    return pid;
}

static void reach(struct bench_region *g, unsigned n)
{
    char name[16], address[64];
    struct bench_hub *h = &g->relay[n];
    snprintf(name, sizeof name, "relay%u", n + 1);
    h->proc.pid = pid_of(g, name);
    snprintf(name, sizeof name, "RELAY%u", n + 1);
    value_of(g, name, address, sizeof address);
    const char *colon = strrchr(address, ':');
    h->proc.port = (uint16_t)(colon ? atoi(colon + 1) : 0);
    hub_learn(h);
    g->hubs[n] = h;
}

void region_open(struct bench_region *g, unsigned relays, const struct options *o)
{
    char folder[4096], count[8], settings[2000] = "log.level=warn";
    const char *base = getenv("TMPDIR");
    memset(g, 0, sizeof *g);
    g->relays = relays;
    hub_programs(folder);
    snprintf(script, sizeof script, "%s/region.sh", STOA_DEPLOY);
    snprintf(g->dir, sizeof g->dir, "%s/stoa-br-%d", base && *base ? base : "/tmp",
             (int)getpid());
    snprintf(count, sizeof count, "%u", relays);
    for (unsigned i = 0; o && i < o->hub_setting_count; i++) {
        size_t n = strlen(settings);
        snprintf(settings + n, sizeof settings - n, " %s", o->hub_settings[i]);
    }
    setenv("STOA_BIN", folder, 0);
    setenv("STOA_REGION_DIR", g->dir, 1);
    setenv("STOA_REGION_RELAYS", count, 1);
    setenv("STOA_REGION_SET", settings, 1);
    running = g;
    on_die(end_running);
    region_up(g);
    value_of(g, "ISSUER_KEY", g->issuer_key, sizeof g->issuer_key);
}

void region_close(struct bench_region *g)
{
    must(g, "down --delete");
    running = NULL;
    on_die(NULL);
}

void region_again(struct bench_region *g)
{
    must(g, "down");
    region_up(g);
}

void region_kill(struct bench_region *g, unsigned n)
{
    char what[16];
    snprintf(what, sizeof what, "kill %u", n + 1);
    must(g, what);
}

double region_cpu(const struct bench_region *g)
{
    double sum = 0;
    for (unsigned i = 0; i < g->relays; i++)
        sum += cpu_seconds_of(g->relay[i].proc.pid);
    return sum;
}

/* A server's sessions are its children. */
static double cpu_of_children(int parent)
{
    char path[64], line[LINE_MAX_BYTES];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    FILE *f = fopen(path, "re");
    if (f && fgets(line, sizeof line, f))
        for (char *at = line, *end; *at; at = end) {
            long pid = strtol(at, &end, 10);
            if (end == at)
                break;
            sum += cpu_seconds_of((int)pid);
        }
    if (f)
        fclose(f);
    return sum;
}

double region_cpu_servers(const struct bench_region *g)
{
    int postgres = pid_of(g, "postgres");
    return cpu_seconds_of(postgres) + cpu_of_children(postgres) +
           cpu_seconds_of(pid_of(g, "redis"));
}

unsigned region_slots_of(struct bench_region *g, unsigned n, bool of[SLOTS_MAX])
{
    char command[900], line[64];
    unsigned count = 0;
    memset(of, 0, SLOTS_MAX * sizeof of[0]);
    snprintf(command, sizeof command,
             "psql -X -A -t -h '%s/pg/run' -U stoa_owner -d stoa -c \"SELECT slot FROM stoa.lease "
             "WHERE holder = 'relay%u' AND instance IS NOT NULL AND until > now()\"",
             g->dir, n + 1);
    FILE *f = popen(command, "re");
    if (!f)
        die("no psql");
    while (fgets(line, sizeof line, f)) {
        unsigned long slot = strtoul(line, NULL, 10);
        if (slot < SLOTS_MAX && !of[slot]) {
            of[slot] = true;
            count++;
        }
    }
    if (pclose(f) != 0)
        die("psql failed");
    return count;
}

/* Relays start one after another, and the first takes every slot: what is measured before the
 * last one has its share is not the region that was asked for. */
static void settle(struct bench_region *g)
{
    static bool of[SLOTS_MAX];
    unsigned share = g->relay[0].slots / g->relays, fewest = 0;
    for (unsigned ms = 0; ms < SETTLE_MS; ms += SETTLE_STEP_MS) {
        fewest = SLOTS_MAX;
        for (unsigned i = 0; i < g->relays; i++) {
            unsigned n = region_slots_of(g, i, of);
            fewest = n < fewest ? n : fewest;
        }
        if (fewest >= share)
            return;
        usleep(SETTLE_STEP_MS * 1000);
    }
    die("a relay has %u slots after %u s, its share is %u", fewest, SETTLE_MS / 1000, share);
}

void region_up(struct bench_region *g)
{
    char what[64];
    snprintf(what, sizeof what, "up --while %d", (int)getpid());
    must(g, what);
    for (unsigned i = 0; i < g->relays; i++)
        reach(g, i);
    settle(g);
}
