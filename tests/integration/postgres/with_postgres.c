/* with_postgres COMMAND..: runs it with a Postgres of its own and ends with its exit code;
 * 77 where there is none to start. The command finds in the environment
 *
 *   STOA_PG_URI   of an empty database "stoa", as the owner
 *   STOA_PG_PIPE  a fifo: a word written to it is obeyed, and answered in PIPE.done
 *
 * Words:
 *
 *   crash    SIGQUIT and start again; also stop, start
 *   cut      kill -9 of one backend of a store: the server cuts all and recovers
 *   end      every session of stores is ended, the server goes on
 *   lock     nobody can read or write stoa.slot for longer than sessions wait for a lock
 *   standby  makes a server that follows, its URI in PIPE.standby
 *   newer    the schema says that a later program made it
 *   behind   stops its replay; level: goes on with it
 *   second   makes another server with an empty database, its URI in PIPE.second
 *
 * And of these two NAME-stop, -start, -crash, -promote; -hang, -go: all of its processes are
 * stopped, and go on; -save copies the files of a server
 * that is stopped, -restore puts them back. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/pgproc.h"

#define CUT_TRIES 200

enum { FIRST, STANDBY, SECOND, SERVERS };
static struct pgproc servers[SERVERS];
static const char *const names[SERVERS] = {"", "standby", "second"};
static const char *pipe_path;

/* The oldest session of a store: the writer's. After a crash there may be none for a
 * while. */
static bool cut(void)
{
    for (int i = 0; i < CUT_TRIES; i++) {
        char out[64] = "";
        struct timespec nap = {0, 50000000L};
        int pid = pgproc_sql(&servers[FIRST], "postgres",
                             "SELECT pid FROM pg_stat_activity WHERE application_name = "
                             "'stoa' ORDER BY backend_start LIMIT 1",
                             out, sizeof(out))
                      ? atoi(out)
                      : 0;
        if (pid > 1 && kill(pid, SIGKILL) == 0)
            return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

static bool tell_uri(int which)
{
    char path[320], uri[400];
    snprintf(path, sizeof(path), "%s.%s", pipe_path, names[which]);
    pgproc_uri(&servers[which], "stoa", 0, uri, sizeof(uri));
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(f, "%s\n", uri);
    return fclose(f) == 0;
}

static bool make(int which)
{
    struct pgproc *p = &servers[which];
    bool made = which == STANDBY ? pgproc_standby(p, &servers[FIRST])
                                 : pgproc_open(p) && pgproc_database(p, "stoa");
    return made && tell_uri(which);
}

/* The folder `to` becomes what `from` is. */
static bool copy(const struct pgproc *p, const char *from, const char *to)
{
    char sh[800];
    int status = 0;
    snprintf(sh, sizeof(sh), "cd '%s' && rm -rf %s && cp -a %s %s", p->dir, to, from, to);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("sh", "sh", "-c", sh, (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool obey_of(int which, const char *word)
{
    struct pgproc *p = &servers[which];
    if (strcmp(word, "start") == 0)
        return pgproc_start(p);
    if (strcmp(word, "hang") == 0 || strcmp(word, "go") == 0) {
        pgproc_pause(p, word[0] == 'h');
        return true;
    }
    if (strcmp(word, "promote") == 0)
        return pgproc_promote(p);
    if (strcmp(word, "save") == 0)
        return copy(p, "data", "saved");
    if (strcmp(word, "restore") == 0)
        return copy(p, "saved", "data");
    if (strcmp(word, "stop") != 0 && strcmp(word, "crash") != 0)
        return false;
    pgproc_stop(p, SIGQUIT);
    return strcmp(word, "stop") == 0 || pgproc_start(p);
}

static bool obey(const char *word)
{
    for (int i = STANDBY; i < SERVERS; i++) {
        size_t size = strlen(names[i]);
        if (strcmp(word, names[i]) == 0)
            return make(i);
        if (strncmp(word, names[i], size) == 0 && word[size] == '-')
            return obey_of(i, word + size + 1);
    }
    if (strcmp(word, "cut") == 0)
        return cut();
    if (strcmp(word, "end") == 0)
        return pgproc_sql(&servers[FIRST], "postgres",
                          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                          " WHERE application_name = 'stoa'",
                          NULL, 0);
    if (strcmp(word, "lock") == 0)
        return pgproc_sql(&servers[FIRST], "stoa",
                          "BEGIN; LOCK TABLE stoa.slot; SELECT pg_sleep(3); COMMIT", NULL,
                          0);
    if (strcmp(word, "newer") == 0)
        return pgproc_sql(&servers[FIRST], "stoa",
                          "INSERT INTO stoa.schema_migration VALUES (99, 'later',"
                          " sha256('x'))",
                          NULL, 0);
    if (strcmp(word, "behind") == 0 || strcmp(word, "level") == 0)
        return pgproc_sql(&servers[STANDBY], "postgres",
                          word[0] == 'b' ? "SELECT pg_wal_replay_pause()"
                                         : "SELECT pg_wal_replay_resume()",
                          NULL, 0);
    return obey_of(FIRST, word);
}

/* One line, one deed. */
static void serve(int fd, const char *done)
{
    char line[32];
    ssize_t n = read(fd, line, sizeof(line) - 1);
    if (n <= 0)
        return;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    bool ok = obey(line);
    FILE *f = fopen(done, "a");
    if (f) {
        fprintf(f, "%s %s\n", line, ok ? "ok" : "failed");
        fclose(f);
    }
}

static int wait_for(pid_t child, const char *pipe, const char *done)
{
    int status, fd = open(pipe, O_RDWR | O_CLOEXEC);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (waitpid(child, &status, WNOHANG) == child)
            break;
        if (poll(&p, 1, 50) > 0)
            serve(fd, done);
    }
    close(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    char uri[400], pipe[300], done[310];
    int code = 1;
    if (argc < 2)
        return 64;
    if (!pgproc_there()) {
        fprintf(stderr, "skipped: no postgres is installed (deploy/packages.sh test)\n");
        return 77;
    }
    if (pgproc_open(&servers[FIRST]) && pgproc_database(&servers[FIRST], "stoa")) {
        pgproc_uri(&servers[FIRST], "stoa", 0, uri, sizeof(uri));
        snprintf(pipe, sizeof(pipe), "%s/pipe", servers[FIRST].dir);
        snprintf(done, sizeof(done), "%s.done", pipe);
        pipe_path = pipe;
        setenv("STOA_PG_URI", uri, 1);
        setenv("STOA_PG_PIPE", pipe, 1);
        if (mkfifo(pipe, 0600) == 0) {
            pid_t child = fork();
            if (child == 0) {
                execvp(argv[1], argv + 1);
                _exit(127);
            }
            code = wait_for(child, pipe, done);
        }
    } else {
        fprintf(stderr, "%s\n", servers[FIRST].why);
    }
    for (int i = 0; i < SERVERS; i++)
        pgproc_close(&servers[i]);
    return code;
}
