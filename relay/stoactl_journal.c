#include "relay/stoactl_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/note.h"
#include "ledger/entry.h"

#define HEADER "stoactl-journal-1\n"
#define KEY_CHARS (2 * HASH_BYTES)
#define LINE_BYTES_MAX (KEY_CHARS + 4 * (ENVELOPE_BYTES_MAX + 2) / 3 + 32)

struct journal {
    int fd;
    struct buf waiting; /* said, not written */
    bool failed;
};

struct by_key {
    struct row **sorted;
    size_t count;
};

static int compare_keys(const void *a, const void *b)
{
    const struct row *const *x = a;
    const struct row *const *y = b;
    return hash_compare(&(*x)->key, &(*y)->key);
}

static bool sort_rows(struct by_key *out, struct rows *rows)
{
    out->count = rows->count;
    out->sorted = malloc((rows->count ? rows->count : 1) * sizeof *out->sorted);
    if (!out->sorted)
        return false;
    for (size_t i = 0; i < rows->count; i++)
        out->sorted[i] = &rows->row[i];
    qsort(out->sorted, out->count, sizeof *out->sorted, compare_keys);
    return true;
}

static struct row *find_row(const struct by_key *index, const char *hex)
{
    struct row wanted = {.state = ROW_OPEN};
    const struct row *at = &wanted;
    if (!hex_decode(wanted.key.b, sizeof wanted.key.b, hex, KEY_CHARS))
        return NULL;
    struct row **found =
        bsearch(&at, index->sorted, index->count, sizeof *index->sorted, compare_keys);
    return found ? *found : NULL;
}

static void forget_envelope(struct row *row)
{
    free(row->envelope);
    row->envelope = NULL;
    row->envelope_size = 0;
}

/* Only an entry that decodes and is about this account is worth sending. */
static bool take_sent(struct row *row, const char *text, size_t size)
{
    uint8_t *envelope = malloc(size + 4);
    size_t got = 0;
    struct entry e;
    if (!envelope)
        return false;
    forget_envelope(row);
    if (!base64_decode(envelope, size + 4, &got, text, size) ||
        entry_decode(&e, envelope, got) != ERR_OK ||
        !hash_equal(entry_account(&e), &row->account)) {
        free(envelope);
        return true;
    }
    row->state = ROW_OPEN;
    row->envelope = envelope;
    row->envelope_size = got;
    return true;
}

/* A row refused in an earlier run stays open: refused bytes never count, and whoever runs
 * the file again has mended something. */
static void take_done(struct row *row, const char *text, bool keep_done)
{
    forget_envelope(row);
    if (keep_done && strcmp(text, "0") == 0)
        row->state = ROW_ALREADY;
}

/* One whole line, its LF made a zero. False: out of memory. */
static bool take_line(const struct by_key *index, char *line, size_t size, bool keep_done)
{
    bool sent = size > 5 + KEY_CHARS + 1 && strncmp(line, "sent ", 5) == 0;
    bool done = size > 5 + KEY_CHARS + 1 && strncmp(line, "done ", 5) == 0;
    struct row *row = sent || done ? find_row(index, line + 5) : NULL;
    const char *rest = line + 5 + KEY_CHARS + 1;
    if (!row || line[5 + KEY_CHARS] != ' ')
        return true; /* a row of another file */
    if (sent)
        return take_sent(row, rest, strlen(rest));
    take_done(row, rest, keep_done);
    return true;
}

/* Reads all lines; *good is where the last whole one ends. */
static enum err replay(FILE *f, struct rows *rows, bool keep_done, uint64_t *good,
                       char *why)
{
    struct by_key index = {0};
    char *line = malloc(LINE_BYTES_MAX);
    enum err e = line && sort_rows(&index, rows) ? ERR_OK : ERR_MEMORY;
    bool first = true;
    *good = 0;
    while (e == ERR_OK && fgets(line, LINE_BYTES_MAX, f)) {
        size_t size = strlen(line);
        if (size == 0 || line[size - 1] != '\n')
            break; /* cut by a crash */
        if (first && strcmp(line, HEADER) != 0) {
            snprintf(why, JOURNAL_WHY_MAX, "it is not a journal of stoactl");
            e = ERR_FILE;
            break;
        }
        line[size - 1] = '\0';
        if (!first && !take_line(&index, line, size - 1, keep_done))
            e = ERR_MEMORY;
        first = false;
        *good += size;
    }
    if (e == ERR_OK && ferror(f)) {
        snprintf(why, JOURNAL_WHY_MAX, "%s", strerror(errno));
        e = ERR_FILE;
    }
    free(index.sorted);
    free(line);
    return e;
}

static enum err start(struct journal *j, const char *path, struct rows *rows,
                      bool keep_done, char *why)
{
    uint64_t good = 0;
    j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (j->fd < 0) {
        snprintf(why, JOURNAL_WHY_MAX, "%s", strerror(errno));
        return ERR_FILE;
    }
    if (flock(j->fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, JOURNAL_WHY_MAX, "another stoactl is using it");
        return ERR_LOCKED;
    }
    FILE *f = fopen(path, "re");
    if (!f) {
        snprintf(why, JOURNAL_WHY_MAX, "%s", strerror(errno));
        return ERR_FILE;
    }
    enum err e = replay(f, rows, keep_done, &good, why);
    fclose(f);
    if (e != ERR_OK)
        return e;
    bool ok = ftruncate(j->fd, (off_t)good) == 0;
    if (ok && good == 0)
        ok = buf_add(&j->waiting, HEADER, strlen(HEADER));
    if (!ok || !journal_sync(j)) {
        snprintf(why, JOURNAL_WHY_MAX, "it cannot be written: %s", strerror(errno));
        return ERR_FILE;
    }
    return ERR_OK;
}

enum err journal_open(struct journal **out, const char *path, struct rows *rows,
                      bool keep_done, char *why)
{
    *out = NULL;
    why[0] = '\0';
    struct journal *j = calloc(1, sizeof *j);
    if (!j) {
        snprintf(why, JOURNAL_WHY_MAX, "out of memory");
        return ERR_MEMORY;
    }
    j->fd = -1;
    enum err e = start(j, path, rows, keep_done, why);
    if (e != ERR_OK) {
        j->failed = true;
        journal_close(j);
        if (e == ERR_MEMORY)
            snprintf(why, JOURNAL_WHY_MAX, "out of memory");
        return e;
    }
    *out = j;
    return ERR_OK;
}

bool journal_sent(struct journal *j, const struct row *row, struct bytes envelope)
{
    char hex[KEY_CHARS + 1];
    size_t room = 4 * (envelope.size + 2) / 3 + 8;
    hex_encode(hex, row->key.b, sizeof row->key.b);
    if (!buf_add(&j->waiting, "sent ", 5) || !buf_add(&j->waiting, hex, KEY_CHARS) ||
        !buf_add(&j->waiting, " ", 1) || !buf_reserve(&j->waiting, room))
        return false;
    j->waiting.size += base64_encode((char *)j->waiting.data + j->waiting.size, room,
                                     envelope.data, envelope.size);
    return buf_add(&j->waiting, "\n", 1);
}

bool journal_done(struct journal *j, const struct row *row)
{
    char hex[KEY_CHARS + 1];
    char line[KEY_CHARS + 40];
    hex_encode(hex, row->key.b, sizeof row->key.b);
    int n = snprintf(line, sizeof line, "done %s %" PRIu64 "\n", hex, row->code);
    return n > 0 && buf_add(&j->waiting, line, (size_t)n);
}

bool journal_sync(struct journal *j)
{
    size_t done = 0;
    if (j->failed)
        return false;
    while (done < j->waiting.size) {
        ssize_t n = write(j->fd, j->waiting.data + done, j->waiting.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            j->failed = true;
            return false;
        }
        done += (size_t)n;
    }
    if (done > 0 && fdatasync(j->fd) != 0)
        j->failed = true;
    buf_clear(&j->waiting);
    return !j->failed;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (!j->failed)
        (void)journal_sync(j);
    if (j->fd >= 0)
        close(j->fd);
    buf_close(&j->waiting);
    free(j);
}
