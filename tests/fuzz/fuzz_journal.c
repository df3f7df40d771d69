/* A stoactl journal that was damaged or cut is refused and left alone, or what it says of every
 * row is what its lines up to the damage say, and it was only the end that was lost; opened
 * once more it says the same. First bytes: the lines, as choices, up to a zero; then whether
 * done rows count, where it is cut (2 bytes, 0xffff: nowhere) and edits of 4 bytes: where (2),
 * how many of 8 bytes, what byte. */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "input.h"
#include "other.h"
#include "relay/stoactl_journal.h"
#include "sample.h"
#include "scratch.h"

#define ROWS 4
#define LINES_MAX 12
#define FILE_MAX 60000
#define PATH_ROOM 400
#define NOWHERE 0xffff
#define ENTRY_ACCOUNT_AT 4 /* in an envelope that names its account */

static char path[PATH_ROOM];
static uint8_t envelopes[ROWS][2][ENVELOPE_BYTES_MAX];
static size_t sizes[ROWS][2];
static struct hash accounts[ROWS];

/* What a journal says, line by line. */
struct said {
    unsigned row;
    bool done;
    unsigned which; /* envelope, or 0: accepted, 1: refused */
    size_t end;     /* of the line in the file */
};
static struct said said[LINES_MAX];
static unsigned lines;

static void make_rows(struct rows *r)
{
    memset(r, 0, sizeof *r);
    r->kind = KIND_ADJUST;
    r->row = calloc(ROWS, sizeof *r->row);
    PROPERTY(r->row != NULL);
    r->count = ROWS;
    for (unsigned i = 0; i < ROWS; i++)
        r->row[i] = (struct row){.account = accounts[i], .amount = 5, .next = ROW_NONE};
    r->row[1].account = accounts[0]; /* equal rows are told apart */
    for (unsigned i = 0; i < ROWS; i++)
        r->row[i].reason = "reason";
    PROPERTY(rows_link(r));
}

static void make_once(void)
{
    if (path[0])
        return;
    (void)snprintf(path, sizeof path, "%s/journal", scratch_folder());
    for (unsigned i = 0; i < ROWS; i++)
        for (unsigned k = 0; k < 2; k++) {
            struct rng g = {i * 2 + k};
            struct entry e;
            sizes[i][k] = sample_entry(envelopes[i][k], KIND_NOTE, &g, known_key(0));
            PROPERTY(entry_decode(&e, envelopes[i][k], sizes[i][k]) == ERR_OK);
            if (k == 0)
                accounts[i] = *entry_account(&e);
            memcpy(envelopes[i][k] + ENTRY_ACCOUNT_AT, accounts[i == 1 ? 0 : i].b, HASH_BYTES);
            PROPERTY(entry_decode(&e, envelopes[i][k], sizes[i][k]) == ERR_OK);
        }
}

static size_t read_file(uint8_t *out)
{
    FILE *f = fopen(path, "rb");
    PROPERTY(f != NULL);
    size_t size = fread(out, 1, FILE_MAX, f);
    PROPERTY(size < FILE_MAX);
    (void)fclose(f);
    return size;
}

static void write_file(const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    PROPERTY(f != NULL && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static void write_journal(struct input *in)
{
    char why[JOURNAL_WHY_MAX];
    struct journal *j;
    struct rows r;
    struct bytes file;
    static uint8_t room[FILE_MAX];
    (void)unlink(path);
    make_rows(&r);
    PROPERTY(journal_open(&j, path, &r, true, why) == ERR_OK);
    for (lines = 0; lines < LINES_MAX; lines++) {
        unsigned what = (unsigned)take(in, 1);
        if (what == 0)
            break;
        struct said *s = &said[lines];
        *s = (struct said){what % ROWS, what & 4, what >> 3 & 1, 0};
        struct row *row = &r.row[s->row];
        row->code = s->which ? 17 : 0;
        PROPERTY(s->done ? journal_done(j, row)
                         : journal_sent(j, row,
                                        bytes_of(envelopes[s->row][s->which],
                                                 sizes[s->row][s->which])));
        PROPERTY(journal_sync(j));
        file = bytes_of(room, read_file(room));
        s->end = file.size;
    }
    journal_close(j);
    rows_close(&r);
}

/* Every row as the first `count` lines leave it. */
static bool follows(const struct rows *r, unsigned count, bool keep_done)
{
    for (unsigned i = 0; i < ROWS; i++) {
        enum row_state state = ROW_OPEN;
        unsigned which = 2; /* none */
        for (unsigned k = 0; k < count; k++) {
            if (said[k].row != i)
                continue;
            if (!said[k].done) {
                state = ROW_OPEN;
                which = said[k].which;
                continue;
            }
            which = 2;
            if (keep_done && said[k].which == 0)
                state = ROW_ALREADY;
        }
        const struct row *row = &r->row[i];
        if (row->state != state || (row->envelope != NULL) != (which < 2))
            return false;
        if (which < 2 && (row->envelope_size != sizes[i][which] ||
                          memcmp(row->envelope, envelopes[i][which], sizes[i][which]) != 0))
            return false;
    }
    return true;
}

/* The first byte that is not what was written; size when all are. */
static size_t damage(struct input *in, uint8_t *file, size_t *size)
{
    static uint8_t good[FILE_MAX];
    size_t cut = take(in, 2), at = 0, whole = *size;
    memcpy(good, file, whole);
    for (unsigned i = 0; i < 8 && in->left > 0; i++) {
        size_t where = take(in, 2) % whole;
        unsigned count = take_below(in, 9), byte = (unsigned)take(in, 1);
        for (; count > 0 && where < whole; where++, count--)
            file[where] = (uint8_t)byte;
    }
    if (cut != NOWHERE)
        *size = cut % (whole + 1);
    while (at < *size && file[at] == good[at])
        at++;
    return at;
}

static void open_again(unsigned count, bool keep_done)
{
    char why[JOURNAL_WHY_MAX];
    struct journal *j;
    struct rows r;
    make_rows(&r);
    PROPERTY(journal_open(&j, path, &r, keep_done, why) == ERR_OK);
    PROPERTY(follows(&r, count, keep_done));
    journal_close(j);
    rows_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_MAX], after[FILE_MAX];
    char why[JOURNAL_WHY_MAX];
    struct input in = input_of(data, size);
    struct journal *j;
    struct rows r;
    make_once();
    write_journal(&in);
    bool keep_done = take(&in, 1) % 2 == 0;
    size_t whole = read_file(file), left = whole;
    size_t good = damage(&in, file, &left);
    write_file(file, left);
    unsigned count = 0; /* lines before the damage */
    while (count < lines && said[count].end <= good)
        count++;

    make_rows(&r);
    enum err e = journal_open(&j, path, &r, keep_done, why);
    if (e == ERR_OK) {
        PROPERTY(follows(&r, count, keep_done));
        /* Whatever comes after the first bad line went with it: it had no LF, or zeros. */
        if (good < left && good >= strlen("stoactl-journal-2\n"))
            PROPERTY(memchr(file + good, '\n', left - good) == NULL ||
                     memchr(file + good, 0, left - good) != NULL);
        journal_close(j);
    } else {
        PROPERTY(e == ERR_FILE && why[0] != 0);
        PROPERTY(good < left);
        PROPERTY(read_file(after) == left && memcmp(after, file, left) == 0);
    }
    rows_close(&r);
    if (e == ERR_OK)
        open_again(count, keep_done);
    return 0;
}
