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

#define HEADER "stoactl-journal-2\n"
#define KEY_CHARS (2 * HASH_BYTES)
#define SUM_BYTES 8
#define SUM_CHARS (1 + 2 * SUM_BYTES) /* with the blank before it */
#define WORD_CHARS 5                  /* "sent ", "done " */
#define LINE_BYTES_MAX (KEY_CHARS + 4 * (ENVELOPE_BYTES_MAX + 2) / 3 + SUM_CHARS + 32)

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

/* False: the line is not one that we wrote, or out of memory. */
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
        return false;
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

static void sum_of(char out[SUM_CHARS + 1], const void *line, size_t size)
{
    struct hash h = hash_sha256(line, size);
    out[0] = ' ';
    hex_encode(out + 1, h.b, SUM_BYTES);
}

/* Does the line (without its LF) end in the sum of what is before? Cuts that off. */
static bool take_sum(char *line, size_t *size)
{
    char sum[SUM_CHARS + 1];
    if (*size < SUM_CHARS)
        return false;
    sum_of(sum, line, *size - SUM_CHARS);
    if (memcmp(sum, line + *size - SUM_CHARS, SUM_CHARS) != 0)
        return false;
    *size -= SUM_CHARS;
    line[*size] = '\0';
    return true;
}

/* One whole line without LF and sum. False: it says nothing that we would write, or out of
 * memory. */
static bool take_line(const struct by_key *index, const char *line, size_t size,
                      bool keep_done)
{
    bool sent = strncmp(line, "sent ", WORD_CHARS) == 0;
    const char *rest = line + WORD_CHARS + KEY_CHARS + 1;
    if ((!sent && strncmp(line, "done ", WORD_CHARS) != 0) ||
        size <= WORD_CHARS + KEY_CHARS + 1 || rest[-1] != ' ')
        return false;
    struct row *row = find_row(index, line + WORD_CHARS);
    if (!row)
        return true; /* a row of another file */
    if (sent)
        return take_sent(row, rest, strlen(rest));
    take_done(row, rest, keep_done);
    return true;
}

/* The next line without its LF, at most `room` bytes of it. False: the file is at its end. */
struct line {
    char *text;
    size_t size;  /* kept */
    size_t bytes; /* in the file, the LF included */
    bool whole;   /* ended by LF, and all of it is here */
    bool zeros;   /* a byte of it is zero */
};
static bool next_line(FILE *f, struct line *l, size_t room)
{
    int c;
    l->size = l->bytes = 0;
    l->whole = l->zeros = false;
    while ((c = getc_unlocked(f)) != EOF) {
        l->bytes++;
        if (c == '\n') {
            l->whole = l->size == l->bytes - 1;
            break;
        }
        l->zeros = l->zeros || c == 0;
        if (l->size < room)
            l->text[l->size++] = (char)c;
    }
    return l->bytes > 0;
}

static enum err damaged(char *why, size_t number)
{
    snprintf(why, JOURNAL_WHY_MAX,
             "line %zu is damaged: what it kept may have been sent. Bring the file back, or "
             "look in the log which rows are there, and take those out of the rows",
             number);
    return ERR_FILE;
}

/* What a crash cuts off is the end: a line without its LF, or zeros where its bytes were not
 * written yet. Anything else that does not fit its sum was durable once and must not be
 * forgotten. *good is where the last line that counts ends. */
static enum err replay_lines(FILE *f, struct line *l, const struct by_key *index,
                             bool keep_done, uint64_t *good, char *why)
{
    size_t number = 1, cut = 0;
    while (next_line(f, l, LINE_BYTES_MAX)) {
        number++;
        bool fits = cut == 0 && l->whole && !l->zeros && take_sum(l->text, &l->size);
        if (fits && !take_line(index, l->text, l->size, keep_done))
            return damaged(why, number);
        if (fits) {
            *good += l->bytes;
            continue;
        }
        if (l->whole && !l->zeros)
            return damaged(why, cut ? cut : number);
        cut = cut ? cut : number;
    }
    return ERR_OK;
}

static enum err replay_header(FILE *f, struct line *l, uint64_t *good, char *why)
{
    size_t size = strlen(HEADER) - 1;
    if (!next_line(f, l, LINE_BYTES_MAX))
        return ERR_OK; /* a new one */
    bool whole = l->whole && l->size == size;
    bool cut = !l->whole && l->size == l->bytes && l->size <= size;
    if ((!whole && !cut) || memcmp(l->text, HEADER, l->size) != 0) {
        snprintf(why, JOURNAL_WHY_MAX, "it is not a journal of this version of stoactl");
        return ERR_FILE;
    }
    *good = whole ? l->bytes : 0;
    return ERR_OK;
}

/* Reads all lines; *good is where the last one that counts ends. */
static enum err replay(FILE *f, struct rows *rows, bool keep_done, uint64_t *good,
                       char *why)
{
    struct by_key index = {0};
    struct line l = {.text = malloc(LINE_BYTES_MAX + 1)};
    enum err e = l.text && sort_rows(&index, rows) ? ERR_OK : ERR_MEMORY;
    *good = 0;
    if (e == ERR_OK)
        e = replay_header(f, &l, good, why);
    if (e == ERR_OK && *good > 0)
        e = replay_lines(f, &l, &index, keep_done, good, why);
    if (e == ERR_OK && ferror(f)) {
        snprintf(why, JOURNAL_WHY_MAX, "%s", strerror(errno));
        e = ERR_FILE;
    }
    free(index.sorted);
    free(l.text);
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

/* End the line that began at `from`. */
static bool end_line(struct journal *j, size_t from)
{
    char sum[SUM_CHARS + 1];
    sum_of(sum, j->waiting.data + from, j->waiting.size - from);
    return buf_add(&j->waiting, sum, SUM_CHARS) && buf_add(&j->waiting, "\n", 1);
}

bool journal_sent(struct journal *j, const struct row *row, struct bytes envelope)
{
    char hex[KEY_CHARS + 1];
    size_t from = j->waiting.size, room = 4 * (envelope.size + 2) / 3 + 8;
    hex_encode(hex, row->key.b, sizeof row->key.b);
    if (!buf_add(&j->waiting, "sent ", WORD_CHARS) ||
        !buf_add(&j->waiting, hex, KEY_CHARS) || !buf_add(&j->waiting, " ", 1) ||
        !buf_reserve(&j->waiting, room))
        return false;
    j->waiting.size += base64_encode((char *)j->waiting.data + j->waiting.size, room,
                                     envelope.data, envelope.size);
    return end_line(j, from);
}

bool journal_done(struct journal *j, const struct row *row)
{
    char hex[KEY_CHARS + 1];
    char line[KEY_CHARS + 40];
    size_t from = j->waiting.size;
    hex_encode(hex, row->key.b, sizeof row->key.b);
    int n = snprintf(line, sizeof line, "done %s %" PRIu64, hex, row->code);
    return n > 0 && buf_add(&j->waiting, line, (size_t)n) && end_line(j, from);
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
