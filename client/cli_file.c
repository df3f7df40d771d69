#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"

static char *read_all(struct cli *c, FILE *in, const char *path, size_t *size)
{
    size_t cap = 65536;
    char *data = malloc(cap + 1);
    *size = 0;
    while (data) {
        *size += fread(data + *size, 1, cap - *size, in);
        if (*size < cap)
            break;
        if (cap >= CLI_FILE_BYTES_MAX) {
            free(data);
            (void)cli_fail(c, STOA_DATA, ERR_TOO_LARGE, NULL, "%.200s is over %u bytes",
                           path, CLI_FILE_BYTES_MAX);
            return NULL;
        }
        cap *= 2;
        char *more = realloc(data, cap + 1);
        if (!more)
            free(data);
        data = more;
    }
    if (!data) {
        (void)cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
        return NULL;
    }
    if (ferror(in)) {
        (void)cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s: %s", path, strerror(errno));
        free(data);
        return NULL;
    }
    data[*size] = 0;
    return data;
}

char *cli_read_file(struct cli *c, const char *path, size_t *size)
{
    if (strcmp(path, "-") == 0)
        return read_all(c, stdin, "standard input", size);
    FILE *in = fopen(path, "rbe");
    if (!in) {
        (void)cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s: %s", path, strerror(errno));
        return NULL;
    }
    char *data = read_all(c, in, path, size);
    (void)fclose(in);
    return data;
}

stoa_result cli_write_file(struct cli *c, const char *path, const void *data, size_t size)
{
    char beside[CLI_PATH_MAX];
    int n = snprintf(beside, sizeof beside, "%s.part", path);
    if (n < 0 || (size_t)n >= sizeof beside)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "path is too long");
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (size_t at = 0; good && at < size;) {
        ssize_t wrote = write(fd, (const char *)data + at, size - at);
        good = wrote > 0 || (wrote < 0 && errno == EINTR);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    good = good && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        (void)close(fd);
    good = good && rename(beside, path) == 0;
    if (good)
        return STOA_OK;
    if (why == 0)
        why = errno;
    (void)unlink(beside);
    return cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s cannot be written: %s", path,
                    strerror(why));
}
