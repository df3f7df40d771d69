/* process_*: what Prometheus libraries show of the process they are in. Linux:
 * /proc/self. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "relay/metrics_table.h"

#define STAT_BYTES_MAX 2048
#define STAT_FIELDS_MAX 24

/* Numbers of /proc/self/stat after the name, from the third on: index 0 is the state. */
enum {
    STAT_UTIME = 11,
    STAT_STIME = 12,
    STAT_THREADS = 17,
    STAT_START = 19,
    STAT_VSIZE = 20,
    STAT_RSS = 21,
    STAT_WANTED = 22
};

static bool read_stat(uint64_t out[STAT_FIELDS_MAX])
{
    char text[STAT_BYTES_MAX];
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    char *at = strrchr(text, ')'); /* the name may hold anything, but not after this */
    if (!at || at[1] == '\0')
        return false;
    char *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(at + 1, " \n", &rest); word && count < STAT_WANTED;
         word = strtok_r(NULL, " \n", &rest)) {
        out[count] = 0;
        (void)sscanf(word, "%" SCNu64, &out[count]);
        count++;
    }
    return count == STAT_WANTED;
}

/* Unix seconds when the machine started; 0 when unknown. */
static uint64_t boot_seconds(void)
{
    char line[256];
    uint64_t seconds = 0;
    FILE *f = fopen("/proc/stat", "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "btime %" SCNu64, &seconds) == 1)
            break;
    fclose(f);
    return seconds;
}

static uint64_t count_open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    uint64_t count = 0;
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        count += e->d_name[0] != '.';
    closedir(d);
    return count > 0 ? count - 1 : 0; /* not the one just opened */
}

static bool put_one(struct buf *out, const char *name, const char *kind, const char *help,
                    double v)
{
    return metrics_put(out,
                       "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.15g\n",
                       name, help, name, kind, name, v);
}

bool metrics_put_process(struct buf *out)
{
    uint64_t stat[STAT_FIELDS_MAX];
    struct rlimit files = {0};
    double ticks = (double)sysconf(_SC_CLK_TCK);
    if (!read_stat(stat) || ticks <= 0)
        return true;
    getrlimit(RLIMIT_NOFILE, &files);
    double page = (double)sysconf(_SC_PAGESIZE);
    return put_one(out, "cpu_seconds_total", "counter", "user and system CPU time",
                   (double)(stat[STAT_UTIME] + stat[STAT_STIME]) / ticks) &&
           put_one(out, "resident_memory_bytes", "gauge", "memory in RAM",
                   (double)stat[STAT_RSS] * page) &&
           put_one(out, "virtual_memory_bytes", "gauge", "address space",
                   (double)stat[STAT_VSIZE]) &&
           put_one(out, "open_fds", "gauge", "open descriptors",
                   (double)count_open_files()) &&
           put_one(out, "max_fds", "gauge", "most descriptors", (double)files.rlim_cur) &&
           put_one(out, "threads", "gauge", "threads", (double)stat[STAT_THREADS]) &&
           put_one(out, "start_time_seconds", "gauge", "when the process began",
                   (double)boot_seconds() + (double)stat[STAT_START] / ticks);
}
