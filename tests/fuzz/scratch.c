#include "scratch.h"

#include <dirent.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define FILES 4

static char folder[300];

const char *scratch_file(unsigned n, struct bytes data)
{
    static int fds[FILES];
    static char paths[FILES][40];
    PROPERTY(n < FILES);
    if (fds[n] == 0) {
        fds[n] = memfd_create("scratch", MFD_CLOEXEC);
        PROPERTY(fds[n] > 0);
        (void)snprintf(paths[n], sizeof paths[n], "/proc/self/fd/%d", fds[n]);
    }
    PROPERTY(ftruncate(fds[n], 0) == 0);
    for (size_t at = 0; at < data.size;) {
        ssize_t put = pwrite(fds[n], data.data + at, data.size - at, (off_t)at);
        PROPERTY(put > 0);
        at += (size_t)put;
    }
    return paths[n];
}

static void remove_folder(void)
{
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *row; (row = readdir(d));) {
        char path[600];
        if (row->d_name[0] != '.' && (size_t)snprintf(path, sizeof path, "%s/%s", folder,
                                                      row->d_name) < sizeof path)
            (void)unlink(path);
    }
    (void)closedir(d);
    (void)rmdir(folder);
}

const char *scratch_folder(void)
{
    if (folder[0])
        return folder;
    const char *base = getenv("TMPDIR");
    if (access("/dev/shm", W_OK) == 0)
        base = "/dev/shm";
    (void)snprintf(folder, sizeof folder, "%.250s/fuzz-XXXXXX", base ? base : "/tmp");
    PROPERTY(mkdtemp(folder) != NULL);
    (void)atexit(remove_folder);
    return folder;
}
