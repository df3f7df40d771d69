#include "relay/evidence_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/hash.h"
#include "crypto/note.h"

#define FOLDER_MAX 600
#define PATH_MAX_ 700
#define NAME_HASH_BYTES 16

static bool write_whole(const char *path, struct bytes b)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    while (b.size > 0) {
        ssize_t n = write(fd, b.data, b.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        b = bytes_of(b.data + n, b.size - (size_t)n);
    }
    bool ok = b.size == 0 && fsync(fd) == 0;
    return close(fd) == 0 && ok;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

enum err evidence_file_keep(const char *state_dir, const char *what, struct bytes evidence,
                            char *name)
{
    char folder[FOLDER_MAX], path[PATH_MAX_], fresh[PATH_MAX_ + 8];
    char hex[2 * NAME_HASH_BYTES + 1];
    struct hash h = hash_sha256(evidence.data, evidence.size);
    struct stat s;
    hex_encode(hex, h.b, NAME_HASH_BYTES);
    snprintf(name, EVIDENCE_NAME_MAX, "%.16s-%s.evidence", what, hex);
    snprintf(folder, sizeof(folder), "%.500s/" EVIDENCE_FOLDER, state_dir);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    if (stat(path, &s) == 0)
        return ERR_EXISTS;
    if (mkdir(folder, 0700) == 0) {
        if (!sync_folder(state_dir))
            return ERR_FILE;
    } else if (errno != EEXIST) {
        return ERR_FILE;
    }
    if (write_whole(fresh, evidence) && rename(fresh, path) == 0 && sync_folder(folder))
        return ERR_OK;
    (void)unlink(fresh);
    return ERR_FILE;
}
