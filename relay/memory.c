#include "relay/memory.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

void memory_plan(struct memory_plan *out, const struct memory_wishes *w,
                 const struct memory_facts *f)
{
    struct memory_plan p = {.physical = w->physical ? w->physical : f->physical,
                            .reserved = w->reserved > f->resident ? w->reserved
                                                                  : f->resident,
                            .safety = w->safety,
                            .connections = w->connections};
    if (p.safety == 0) {
        p.safety = p.physical / MEMORY_SAFETY_PART;
        if (p.safety < MEMORY_SAFETY_MIN)
            p.safety = MEMORY_SAFETY_MIN;
    }
    p.allocatable = minus(p.physical, p.reserved + p.safety);
    p.queue_bytes = w->queue_entries * MEMORY_ENTRY_BYTES;
    /* Messages get at least a quarter: connections that cannot speak are of no use. */
    uint64_t left = minus(p.allocatable, p.queue_bytes);
    p.connection = MEMORY_CONNECTION_BYTES + (w->tls ? MEMORY_TLS_BYTES : 0);
    uint64_t most = (left - left / 4) / p.connection;
    if (p.connections > most) {
        p.connections = most > MEMORY_CONNECTIONS_MIN ? most : MEMORY_CONNECTIONS_MIN;
        p.tight = true;
    }
    p.connections_bytes = p.connections * p.connection;
    p.messages = minus(left, p.connections_bytes);
    if (p.messages < MEMORY_MESSAGES_MIN) {
        p.messages = MEMORY_MESSAGES_MIN;
        p.tight = true;
    }
    *out = p;
}

/* What the machine has. */

/* One number in a file; false: no file, or "max". */
static bool number_in(const char *path, uint64_t *out)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fscanf(f, "%" SCNu64, out) == 1;
    fclose(f);
    return ok;
}

/* The least limit of a cgroup and those above it; `least` stays when there is none. */
static void cgroup_limit(const char *mount, char *path, const char *file, uint64_t *least)
{
    char name[1024];
    for (;;) {
        uint64_t limit;
        int n = snprintf(name, sizeof(name), "%s%s/%s", mount, path, file);
        if (n > 0 && (size_t)n < sizeof(name) && number_in(name, &limit) && limit < *least)
            *least = limit;
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* /proc/self/cgroup: "0::/path" is cgroup 2, "N:..,memory,..:/path" the older one. */
static void cgroups(uint64_t *least)
{
    char line[900];
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return;
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (strcmp(names, ":") == 0)
            cgroup_limit("/sys/fs/cgroup", path, "memory.max", least);
        else if (strstr(names, "memory"))
            cgroup_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", least);
    }
    fclose(f);
}

void memory_facts(struct memory_facts *out)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t whole = 0, resident = 0;
    *out = (struct memory_facts){0};
    if (pages > 0 && size > 0)
        out->physical = (uint64_t)pages * (uint64_t)size;
    if (out->physical)
        cgroups(&out->physical);
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return;
    if (fscanf(f, "%" SCNu64 " %" SCNu64, &whole, &resident) == 2 && size > 0)
        out->resident = resident * (uint64_t)size;
    fclose(f);
}

static void row(FILE *out, const char *name, uint64_t bytes, const char *note)
{
    fprintf(out, "  %-12s %10" PRIu64 " MiB  %s\n", name, bytes >> 20, note);
}

void memory_print(const struct memory_plan *p, FILE *out)
{
    char open[64];
    snprintf(open, sizeof(open), "for %" PRIu64 " connections", p->connections);
    fputs("memory plan: allocatable = physical - reserved - safety\n", out);
    row(out, "physical", p->physical, "");
    row(out, "reserved", p->reserved, "program, ledger state, caches of the store");
    row(out, "safety", p->safety, "");
    row(out, "allocatable", p->allocatable, "");
    row(out, "connections", p->connections_bytes, open);
    row(out, "queue", p->queue_bytes, "for entries under way");
    row(out, "messages", p->messages, "in and out, of all clients together");
    if (p->tight)
        fputs("  this is tight: raise memory.physical_bytes, or lower\n"
              "  memory.reserved_bytes, limits.queue_entries or listen.max_connections\n",
              out);
}
