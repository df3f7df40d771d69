#include "relay/highwater.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/failpoint.h"
#include "ledger/trace.h"

#define HEAD_LINE "stoa-highwater-1"
#define LINE_MAX_ 128
#define TEXT_MAX_ (64 + (SLOTS_MAX + 2) * LINE_MAX_)

void highwater_open(struct highwater *h, const char *dir, uint32_t slots)
{
    memset(h, 0, sizeof(*h));
    pthread_mutex_init(&h->lock, NULL);
    h->slots = slots;
    if (dir)
        snprintf(h->path, sizeof(h->path), "%s/" HIGHWATER_FILE, dir);
}

void highwater_close(struct highwater *h)
{
    pthread_mutex_destroy(&h->lock);
}

/* "<slot> <size> <root hex>" */
static bool parse_line(struct recover_mark *mark, const char *line, uint32_t slot)
{
    unsigned number;
    unsigned long long size;
    char hex[2 * HASH_BYTES + 1];
    if (sscanf(line, "%u %llu %64[0-9a-f]", &number, &size, hex) != 3 || number != slot ||
        !hex_decode(mark->root.b, HASH_BYTES, hex, strlen(hex)))
        return false;
    mark->size = size;
    return true;
}

static size_t format(const struct recover_mark marks[], uint32_t slots, char *text)
{
    char hex[2 * HASH_BYTES + 1];
    size_t n = (size_t)snprintf(text, LINE_MAX_, HEAD_LINE " %u\n", (unsigned)slots);
    for (uint32_t slot = 0; slot < slots; slot++) {
        hex_encode(hex, marks[slot].root.b, HASH_BYTES);
        n += (size_t)snprintf(text + n, LINE_MAX_, "%u %llu %s\n", (unsigned)slot,
                              (unsigned long long)marks[slot].size, hex);
    }
    struct hash sum = hash_sha256(text, n);
    hex_encode(hex, sum.b, HASH_BYTES);
    return n + (size_t)snprintf(text + n, LINE_MAX_, "sha256 %s\n", hex);
}

/* `text` has a final zero. Taken only when it is, byte for byte, what would be written for
 * what it says; the checksum is the end of that. */
static enum err parse(struct highwater *h, const char *text, size_t size)
{
    struct recover_mark marks[SLOTS_MAX] = {{.size = 0}};
    const char *at = strchr(text, '\n');
    for (uint32_t slot = 0; slot < h->slots; slot++) {
        if (!at || !parse_line(&marks[slot], at + 1, slot))
            return ERR_CORRUPT;
        at = strchr(at + 1, '\n');
    }
    char *again = malloc(TEXT_MAX_);
    if (!again)
        return ERR_MEMORY;
    bool same = format(marks, h->slots, again) == size && memcmp(again, text, size) == 0;
    free(again);
    if (same)
        memcpy(h->marks, marks, sizeof(marks));
    return same ? ERR_OK : ERR_CORRUPT;
}

enum err highwater_load(struct highwater *h)
{
    if (!h->path[0])
        return ERR_OK;
    FILE *f = fopen(h->path, "re");
    if (!f)
        return errno == ENOENT ? ERR_OK : ERR_FILE;
    char *text = calloc(1, TEXT_MAX_ + 1);
    size_t size = text ? fread(text, 1, TEXT_MAX_, f) : 0;
    enum err e = ferror(f) ? ERR_FILE : ERR_OK;
    fclose(f);
    if (!text)
        return ERR_MEMORY;
    if (e == ERR_OK)
        e = parse(h, text, size);
    free(text);
    return e;
}

void highwater_set(struct highwater *h, uint32_t slot, tree_size size,
                   const struct hash *root)
{
    pthread_mutex_lock(&h->lock);
    if (size >= h->marks[slot].size) { /* a late word does not lower it */
        h->marks[slot].size = size;
        h->marks[slot].root = *root;
        h->dirty = true;
    }
    pthread_mutex_unlock(&h->lock);
}

struct recover_mark highwater_get(struct highwater *h, uint32_t slot)
{
    pthread_mutex_lock(&h->lock);
    struct recover_mark mark = h->marks[slot];
    pthread_mutex_unlock(&h->lock);
    return mark;
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        size -= (size_t)n;
    }
    return true;
}

static bool replace_file(const char *path, const char *text, size_t size)
{
    char fresh[HIGHWATER_PATH_MAX + 8], dir[HIGHWATER_PATH_MAX];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = 0;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = FP_STEP("highwater.write", write_all(fd, text, size)) &&
              FP_STEP("highwater.fsync", fsync(fd) == 0);
    ok = close(fd) == 0 && ok && FP_STEP("highwater.rename", rename(fresh, path) == 0);
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return false;
    ok = FP_STEP("highwater.folder", fsync(folder) == 0) && ok;
    close(folder);
    return ok;
}

enum err highwater_save(struct highwater *h)
{
    if (!h->path[0])
        return ERR_OK;
    char *text = malloc(TEXT_MAX_);
    if (!text)
        return ERR_MEMORY;
    pthread_mutex_lock(&h->lock);
    bool dirty = h->dirty;
    size_t size = dirty ? format(h->marks, h->slots, text) : 0;
    h->dirty = false;
    pthread_mutex_unlock(&h->lock);
    bool ok = !dirty || replace_file(h->path, text, size);
    free(text);
    if (ok)
        return ERR_OK;
    trace(TRACE_ERROR, "highwater.not_written", TRACE_ERRNO("errno", errno));
    pthread_mutex_lock(&h->lock);
    h->dirty = true;
    pthread_mutex_unlock(&h->lock);
    return ERR_FILE;
}
