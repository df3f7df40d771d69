/* The bank's file: one row a transaction, in the bank's order. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/import.h"

#define FIELDS 6
#define CENTS_MAX (INT64_C(1000000000000) * 100) /* as amount_parse: 1e12 points */

struct reading {
    struct cli *c;
    struct bank *b;
    uint32_t *table; /* party + 1, by name */
    size_t table_size;
    size_t row_cap, party_cap;
    const char *path;
};

static stoa_result bad(const struct reading *r, const char *what)
{
    return cli_fail(r->c, STOA_DATA, ERR_MALFORMED,
                    "date,account,kind,amount_cents,counterparty,balance_cents",
                    "%.200s row %u: %s", r->path, r->b->row_count + 1, what);
}

static size_t place_of(const char *name, size_t size)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ h >> 29) & (size - 1);
}

static bool grow_table(struct reading *r)
{
    size_t size = r->table_size ? 2 * r->table_size : 4096;
    uint32_t *table = calloc(size, sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 0; i < r->b->party_count; i++) {
        size_t at = place_of(r->b->parties[i].name, size);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = i + 1;
    }
    free(r->table);
    r->table = table;
    r->table_size = size;
    return true;
}

static stoa_result party_of(struct reading *r, const char *name, bool is_payee,
                            uint64_t time_ms, uint32_t *out)
{
    struct bank *b = r->b;
    size_t at = 0;
    if (r->table_size) {
        at = place_of(name, r->table_size);
        for (; r->table[at]; at = (at + 1) & (r->table_size - 1))
            if (strcmp(b->parties[r->table[at] - 1].name, name) == 0) {
                *out = r->table[at] - 1;
                return STOA_OK;
            }
    }
    if (b->party_count == IMPORT_PARTIES_MAX)
        return bad(r, "too many accounts");
    if (b->party_count == r->party_cap) {
        size_t cap = r->party_cap ? 2 * r->party_cap : 1024;
        struct bank_party *more = realloc(b->parties, cap * sizeof *more);
        if (!more)
            return cli_fail(r->c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
        b->parties = more;
        r->party_cap = cap;
    }
    struct bank_party *p = &b->parties[b->party_count];
    *p = (struct bank_party){.name = strdup(name),
                             .first = NO_ROW,
                             .last = NO_ROW,
                             .time_ms = time_ms,
                             .is_payee = is_payee};
    if (!p->name)
        return cli_fail(r->c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    *out = b->party_count++;
    if (2 * (size_t)b->party_count > r->table_size) {
        if (!grow_table(r))
            return cli_fail(r->c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    } else {
        r->table[at] = b->party_count;
    }
    return STOA_OK;
}

static bool cents_of(const char *text, int64_t *micro)
{
    uint64_t v;
    if (!cli_number_parse(text, &v) || v > (uint64_t)CENTS_MAX)
        return false;
    *micro = (int64_t)v * MICRO_A_CENT;
    return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + (int64_t)d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool date_of(const char *text, uint64_t *ms)
{
    unsigned y, m, d;
    char end;
    if (strlen(text) != 10 || sscanf(text, "%4u-%2u-%2u%c", &y, &m, &d, &end) != 3 ||
        y < 1970 || m < 1 || m > 12 || d < 1 || d > 31)
        return false;
    *ms = (uint64_t)days_of((int64_t)y, m, d) * 86400000;
    return true;
}

static stoa_result link_row(struct reading *r, struct bank_row *row)
{
    struct bank *b = r->b;
    struct bank_party *account = &b->parties[row->account];
    int64_t delta = row->payee == NO_PARTY ? row->amount : -row->amount;
    if (account->expected + delta != row->balance || row->balance < 0)
        return bad(r, "the bank's balance does not follow from the row before");
    account->expected = row->balance;
    if (account->last == NO_ROW)
        account->first = b->row_count;
    else
        b->rows[account->last].next = b->row_count;
    account->last = b->row_count;
    account->rows++;
    if (row->payee == NO_PARTY) {
        if (__builtin_add_overflow(b->accrued, row->amount, &b->accrued))
            return bad(r, "the sum of all earnings is too large");
        b->earned++;
    } else {
        b->parties[row->payee].payments++;
        b->parties[row->payee].expected += row->amount;
        b->paid++;
    }
    return STOA_OK;
}

static stoa_result take_fields(struct reading *r, char *field[FIELDS])
{
    struct bank *b = r->b;
    struct bank_row row = {.payee = NO_PARTY, .next = NO_ROW};
    char name[IMPORT_NAME_MAX + 16];
    if (!date_of(field[0], &row.time_ms))
        return bad(r, "no date of the form 1993-01-31");
    if (!*field[1] || strlen(field[1]) > IMPORT_NAME_MAX ||
        strlen(field[4]) > IMPORT_NAME_MAX)
        return bad(r, "account or counterparty is empty or too long");
    if (!cents_of(field[3], &row.amount) || row.amount == 0)
        return bad(r, "no amount in hundredths above 0");
    if (!cents_of(field[5], &row.balance))
        return bad(r, "no balance in hundredths");
    (void)snprintf(name, sizeof name, "account:%s", field[1]);
    stoa_result result = party_of(r, name, false, row.time_ms, &row.account);
    if (result != STOA_OK)
        return result;
    if (strcmp(field[2], "pay") == 0) {
        (void)snprintf(name, sizeof name, "payee:%s", field[4]);
        result = party_of(r, name, true, row.time_ms, &row.payee);
        if (result != STOA_OK)
            return result;
    } else if (strcmp(field[2], "earn") != 0) {
        return bad(r, "kind is neither earn nor pay");
    }
    if (b->row_count == IMPORT_ROWS_MAX)
        return bad(r, "too many rows");
    if (b->row_count == r->row_cap) {
        size_t cap = r->row_cap ? 2 * r->row_cap : 16384;
        struct bank_row *more = realloc(b->rows, cap * sizeof *more);
        if (!more)
            return cli_fail(r->c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
        b->rows = more;
        r->row_cap = cap;
    }
    b->rows[b->row_count] = row;
    result = link_row(r, &row);
    b->row_count++;
    return result;
}

static stoa_result take_line(struct reading *r, char *line)
{
    char *field[FIELDS];
    unsigned n = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *at = line; at; n++) {
        if (n == FIELDS)
            return bad(r, "more than six columns");
        field[n] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = 0;
    }
    if (n != FIELDS)
        return bad(r, "fewer than six columns");
    return take_fields(r, field);
}

/* `gzip -dc` reading the file as its standard input: a fixed argument vector, no shell.
 */
static pid_t unpack(const char *path, FILE **out)
{
    int pipe_ends[2];
    FILE *in = fopen(path, "rbe");
    if (!in || pipe2(pipe_ends, O_CLOEXEC) != 0) {
        if (in)
            (void)fclose(in);
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(fileno(in), STDIN_FILENO);
        (void)dup2(pipe_ends[1], STDOUT_FILENO);
        (void)close(pipe_ends[0]);
        (void)close(pipe_ends[1]);
        (void)execlp("gzip", "gzip", "-dc", (char *)NULL);
        _exit(127);
    }
    (void)fclose(in);
    (void)close(pipe_ends[1]);
    *out = child > 0 ? fdopen(pipe_ends[0], "r") : NULL;
    if (!*out)
        (void)close(pipe_ends[0]);
    return child;
}

static stoa_result read_lines(struct reading *r, FILE *in)
{
    char line[IMPORT_LINE_MAX];
    bool header = true;
    while (fgets(line, sizeof line, in)) {
        if (!strchr(line, '\n') && !feof(in))
            return bad(r, "line is too long");
        if (header && strncmp(line, "date,account,kind,", 18) != 0)
            return bad(r, "the first line is not the header");
        stoa_result result = header ? STOA_OK : take_line(r, line);
        header = false;
        if (result != STOA_OK)
            return result;
    }
    if (ferror(in) || r->b->row_count == 0)
        return bad(r, "nothing to read");
    return STOA_OK;
}

stoa_result bank_read(struct cli *c, struct bank *b, const char *path)
{
    struct reading r = {.c = c, .b = b, .path = path};
    size_t size = strlen(path);
    bool packed = size > 3 && strcmp(path + size - 3, ".gz") == 0;
    FILE *in = NULL;
    pid_t child = 0;
    memset(b, 0, sizeof *b);
    if (access(path, R_OK) == 0) {
        if (packed)
            child = unpack(path, &in);
        else
            in = fopen(path, "re");
    }
    if (!in)
        return cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s: %s", path,
                        strerror(errno));
    stoa_result result = read_lines(&r, in);
    (void)fclose(in);
    int status = 0;
    if (child > 0 && (waitpid(child, &status, 0) != child || status != 0) &&
        result == STOA_OK)
        result = cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s: gzip -dc failed", path);
    free(r.table);
    return result;
}

void bank_close(struct bank *b)
{
    for (uint32_t i = 0; i < b->party_count; i++)
        free(b->parties[i].name);
    free(b->parties);
    free(b->rows);
    memset(b, 0, sizeof *b);
}
