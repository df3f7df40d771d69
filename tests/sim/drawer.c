#include "drawer.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORIES_MAX 16 /* that nftw holds open */

static char root[DRAWER_PATH_MAX / 2];
static unsigned long count;

static void give_up(const char *what, const char *path)
{
    fprintf(stderr, "sim: %s %s\n", what, path);
    perror("sim");
    abort();
}

static void join(char *out, size_t room, const char *dir, const char *name)
{
    if (snprintf(out, room, "%s/%s", dir, name) >= (int)room)
        give_up("a path is too long:", dir);
}

void drawer_open(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "/dev/shm/stoa-sim-XXXXXX");
    if (mkdtemp(root) != NULL)
        return;
    snprintf(root, sizeof root, "%.*s/stoa-sim-XXXXXX", (int)sizeof root - 20,
             tmp != NULL && tmp[0] != 0 ? tmp : "/tmp");
    if (mkdtemp(root) == NULL)
        give_up("no folder", root);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void drawer_remove(const char *path)
{
    (void)nftw(path, remove_one, DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS);
}

void drawer_close(void)
{
    if (root[0] != 0)
        drawer_remove(root);
    root[0] = 0;
}

void drawer_new(char path[DRAWER_PATH_MAX])
{
    if (snprintf(path, DRAWER_PATH_MAX, "%s/%d-%lu", root, (int)getpid(), ++count) >=
        DRAWER_PATH_MAX)
        give_up("a path is too long:", root);
}

static void copy_file(const char *from, const char *to)
{
    char room[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n = -1;
    if (in < 0 || out < 0)
        give_up("cannot copy", from);
    while ((n = read(in, room, sizeof room)) > 0)
        if (write(out, room, (size_t)n) != n)
            give_up("cannot write", to);
    if (n < 0 || close(in) != 0 || close(out) != 0)
        give_up("cannot copy", from);
}

void drawer_copy(const char *from, const char *to)
{
    char a[2 * DRAWER_PATH_MAX + 256], b[2 * DRAWER_PATH_MAX + 256];
    DIR *dir = opendir(from);
    if (dir == NULL || mkdir(to, 0700) != 0)
        give_up("cannot copy", from);
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        struct stat st;
        size_t n = strlen(d->d_name);
        if (d->d_name[0] == '.' || strcmp(d->d_name, "lock") == 0 ||
            (n > 4 && strcmp(d->d_name + n - 4, "-shm") == 0))
            continue; /* what a process that is gone does not leave */
        join(a, sizeof a, from, d->d_name);
        join(b, sizeof b, to, d->d_name);
        if (stat(a, &st) != 0)
            give_up("cannot look at", a);
        if (S_ISDIR(st.st_mode))
            drawer_copy(a, b);
        else
            copy_file(a, b);
    }
    closedir(dir);
}

void drawer_replace(const char *from, const char *to)
{
    drawer_remove(to);
    if (rename(from, to) != 0)
        give_up("cannot rename", from);
}

bool drawer_has(const char *path, const char *suffix)
{
    DIR *dir = opendir(path);
    bool found = false;
    if (dir == NULL)
        return false;
    for (struct dirent *d; !found && (d = readdir(dir)) != NULL;) {
        size_t n = strlen(d->d_name), m = strlen(suffix);
        found = n > m && strcmp(d->d_name + n - m, suffix) == 0;
    }
    closedir(dir);
    return found;
}
