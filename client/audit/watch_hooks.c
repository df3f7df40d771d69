/* Programs that hear of events: no shell, a clean environment, one at a time, bounded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/audit/watch.h"

#define STEP_MS 10
#define PATH_BYTES 1024

const char *watch_event_word(enum watch_event e)
{
#define WORD(name, word) word,
    static const char *const words[] = {WATCH_EVENTS(WORD)};
#undef WORD
    return e < WATCH_EVENT_COUNT ? words[e] : "?";
}

uint64_t watch_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static json_t *finding_json(const struct audit_finding *f)
{
    char id[16], index[24];
    snprintf(id, sizeof(id), "A%u", (unsigned)(AUDIT_FINDING_FIRST + (int)f->check));
    snprintf(index, sizeof(index), "%" PRIu64, f->index);
    return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "id", id, "check",
                     audit_check_word(f->check), "severity",
                     f->severity == AUDIT_CRITICAL ? "critical" : "warning", "slot",
                     (int)f->slot, "index", index, "expected", f->expected, "found", f->found,
                     "text", f->text);
}

static char *event_json(const struct watched *s, const struct watch_told *t)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I}", "schema", "stoa.watch/1", "event",
                          watch_event_word(t->event), "summary", t->summary, "source",
                          s->where, "time_ms", (json_int_t)watch_now_ms());
    char *text = NULL;
    bool ok = o != NULL;
    if (ok && t->slot >= 0) {
        const struct watch_log *l = &s->logs[t->slot];
        ok = json_object_set_new(o, "slot", json_integer(t->slot)) == 0 &&
             json_object_set_new(o, "origin", json_string(l->origin)) == 0 &&
             json_object_set_new(o, "size", json_integer((json_int_t)l->size)) == 0;
    }
    if (ok && t->finding)
        ok = json_object_set_new(o, "finding", finding_json(t->finding)) == 0;
    if (ok && t->evidence && t->evidence[0])
        ok = json_object_set_new(o, "evidence", json_string(t->evidence)) == 0;
    if (ok)
        text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static void wait_for(pid_t pid)
{
    for (unsigned ms = 0; ms < WATCH_HOOK_MS; ms += STEP_MS) {
        const struct timespec t = {.tv_nsec = STEP_MS * 1000000L};
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        (void)nanosleep(&t, NULL);
    }
    (void)kill(-pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static void run_hook(const char *path, char *const env[])
{
    posix_spawnattr_t a;
    posix_spawn_file_actions_t files;
    sigset_t none, all;
    pid_t pid;
    char *argv[2] = {strdup(path), NULL};
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if (!argv[0] || posix_spawnattr_init(&a) != 0) {
        free(argv[0]);
        return;
    }
    if (posix_spawn_file_actions_init(&files) == 0) {
        (void)posix_spawnattr_setflags(&a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF);
        (void)posix_spawnattr_setpgroup(&a, 0);
        (void)posix_spawnattr_setsigmask(&a, &none);
        (void)posix_spawnattr_setsigdefault(&a, &all);
        (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
        (void)posix_spawn_file_actions_adddup2(&files, 2, 1); /* our output is data */
        int problem = posix_spawn(&pid, path, &files, &a, argv, env);
        if (problem == 0)
            wait_for(pid);
        else
            fprintf(stderr, "hook %s: %s\n", path, strerror(problem));
        (void)posix_spawn_file_actions_destroy(&files);
    }
    (void)posix_spawnattr_destroy(&a);
    free(argv[0]);
}

static int wanted(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void run_hooks(const char *dir, char *const env[])
{
    struct dirent **list;
    char path[PATH_BYTES];
    struct stat st;
    int ran = 0, count = scandir(dir, &list, wanted, alphasort);
    if (count < 0) {
        fprintf(stderr, "hooks: %s: %s\n", dir, strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%.700s/%.300s", dir, list[i]->d_name);
        free(list[i]);
        if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || access(path, X_OK) != 0)
            continue;
        if (ran++ < WATCH_HOOKS_MAX)
            run_hook(path, env);
    }
    free(list);
}

static void call(const struct watch *w, const struct watched *s, const struct watch_told *t,
                 const char *file)
{
    char event[64], summary[WATCH_SUMMARY_MAX + 16], json[PATH_BYTES + 32];
    char path[2 * PATH_BYTES], home[PATH_BYTES];
    const char *p = getenv("PATH"), *h = getenv("HOME");
    if (!w->hooks_dir)
        return;
    /* A hook may have another working directory than we have. */
    char *folder = realpath(w->state_dir, NULL);
    snprintf(event, sizeof(event), "EVENT=%s", watch_event_word(t->event));
    snprintf(summary, sizeof(summary), "SUMMARY=%s", t->summary);
    snprintf(json, sizeof(json), "JSON_FILENAME=%.800s/%.79s/%.95s",
             folder ? folder : w->state_dir, s->folder, file);
    free(folder);
    snprintf(path, sizeof(path), "PATH=%.2000s", p ? p : "/usr/bin:/bin");
    snprintf(home, sizeof(home), "HOME=%.1000s", h ? h : "/");
    char *const env[] = {event, summary, json, path, home, NULL};
    run_hooks(w->hooks_dir, env);
}

enum err watch_tell(const struct watch *w, struct watched *s, const struct watch_told *t,
                    char why[AUDIT_WHY_MAX])
{
    char file[FETCH_PATH_MAX], old[FETCH_PATH_MAX];
    char *text = event_json(s, t);
    if (!text)
        return ERR_MEMORY;
    s->event_number++;
    snprintf(file, sizeof(file), "events/%08" PRIu64 ".json", s->event_number);
    enum err e = folder_put(&s->dir, file, bytes_of(text, strlen(text)), true, why);
    free(text);
    TRY(e);
    if (s->event_number > WATCH_EVENTS_KEPT) {
        snprintf(old, sizeof(old), "events/%08" PRIu64 ".json",
                 s->event_number - WATCH_EVENTS_KEPT);
        folder_remove(&s->dir, old);
    }
    fprintf(stderr, "%s: %s\n", watch_event_word(t->event), t->summary);
    call(w, s, t, file);
    return ERR_OK;
}
