#include "relay/stoactl_rows.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/note.h"
#include "ledger/address.h"
#include "ledger/bytes.h"
#include "ledger/mp.h"

enum column {
    COLUMN_ACCOUNT,
    COLUMN_NODE,
    COLUMN_EPOCH,
    COLUMN_AMOUNT,
    COLUMN_REASON,
    COLUMN_COUNT
};
static const char *const column_names[COLUMN_COUNT] = {"account", "node", "epoch",
                                                       "amount", "reason"};

static bool column_wanted(enum kind kind, enum column c)
{
    if (kind == KIND_ACCRUE)
        return c != COLUMN_REASON;
    return c == COLUMN_ACCOUNT || c == COLUMN_AMOUNT || c == COLUMN_REASON;
}

static void problem(struct rows *r, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void problem(struct rows *r, size_t line, const char *format, ...)
{
    size_t i = r->problem_count++;
    if (i >= ROWS_PROBLEMS_MAX)
        return;
    r->problems[i].line = line;
    va_list args;
    va_start(args, format);
    vsnprintf(r->problems[i].text, sizeof r->problems[i].text, format, args);
    va_end(args);
}

static bool parse_account(struct hash *out, const char *text)
{
    return hex_decode(out->b, sizeof out->b, text, strlen(text)) ||
           address_parse(text, out, NULL);
}

static bool parse_node(struct hash *out, const char *text)
{
    size_t size = strlen(text);
    if (size == 0)
        return false;
    if (!hex_decode(out->b, sizeof out->b, text, size))
        *out = hash_context(CTX_NODE, text, size);
    return true;
}

static bool parse_epoch(uint64_t *out, const char *text)
{
    uint64_t v = 0;
    if (*text == '\0')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
    }
    *out = v;
    return *text == '\0';
}

/* An accrual is above zero; a correction has a sign, and is not zero. */
static bool parse_amount(int64_t *out, enum kind kind, const char *text)
{
    bool minus = kind == KIND_ADJUST && text[0] == '-';
    bool plus = kind == KIND_ADJUST && text[0] == '+';
    if (!amount_parse(text + (minus || plus), out) || *out == 0)
        return false;
    if (minus)
        *out = -*out;
    return true;
}

static bool parse_row(struct rows *r, struct row *row, char *const fields[COLUMN_COUNT])
{
    size_t before = r->problem_count;
    if (!parse_account(&row->account, fields[COLUMN_ACCOUNT]))
        problem(r, row->line, "account \"%.80s\" is no address and not 64 hex digits",
                fields[COLUMN_ACCOUNT]);
    if (!parse_amount(&row->amount, r->kind, fields[COLUMN_AMOUNT]))
        problem(r, row->line, "amount \"%.40s\" must be points like 12.5%s, not zero",
                fields[COLUMN_AMOUNT], r->kind == KIND_ADJUST ? " or -12.5" : "");
    if (r->kind == KIND_ACCRUE) {
        if (!parse_node(&row->node, fields[COLUMN_NODE]))
            problem(r, row->line, "node is empty");
        if (!parse_epoch(&row->epoch, fields[COLUMN_EPOCH]))
            problem(r, row->line, "epoch \"%.40s\" is not a number",
                    fields[COLUMN_EPOCH]);
    } else {
        row->reason = fields[COLUMN_REASON];
        size_t size = strlen(row->reason);
        if (size == 0 || size > REASON_BYTES_MAX)
            problem(r, row->line, "reason must be 1 to %d bytes long", REASON_BYTES_MAX);
    }
    return r->problem_count == before;
}

/* One field at *at, its end made a zero; *at is moved behind the comma or line end. Sets
 * *last at the end of a line. NULL: a quote is never closed, or text follows it. */
static char *take_field(char **at, bool *last, size_t *lines)
{
    char *start = *at, *from = *at, *to = *at;
    if (*from == '"') {
        for (from++;; from++) {
            if (*from == '"' && from[1] == '"')
                from++;
            else if (*from == '"' || *from == '\0')
                break;
            *lines += *from == '\n';
            *to++ = *from;
        }
        if (*from++ != '"')
            return NULL;
    } else {
        for (; *from != ',' && *from != '\n' && *from != '\0'; from++)
            *to++ = *from;
        if (to > start && to[-1] == '\r')
            to--;
    }
    if (*from == '\r' && from[1] == '\n')
        from++;
    if (*from != ',' && *from != '\n' && *from != '\0')
        return NULL;
    *last = *from != ',';
    *at = from + (*from != '\0');
    *to = '\0';
    return start;
}

/* Fields of one line; the number of them, 0 when malformed. *line counts on. */
static size_t take_line(char **at, char *fields[ROWS_COLUMNS_MAX], size_t *line)
{
    size_t count = 0;
    bool last = false;
    while (!last) {
        char *field = take_field(at, &last, line);
        if (!field || count == ROWS_COLUMNS_MAX)
            return 0;
        fields[count++] = field;
    }
    ++*line;
    return count;
}

/* Which field a column is in; false when one is missing or named twice. */
static bool read_header(struct rows *r, char *const fields[], size_t count,
                        size_t place[COLUMN_COUNT])
{
    for (unsigned c = 0; c < COLUMN_COUNT; c++) {
        place[c] = ROW_NONE;
        for (size_t i = 0; i < count; i++)
            if (strcmp(fields[i], column_names[c]) == 0) {
                if (place[c] != ROW_NONE)
                    problem(r, 1, "column \"%s\" is there twice", column_names[c]);
                place[c] = i;
            }
        if (place[c] == ROW_NONE && column_wanted(r->kind, (enum column)c))
            problem(r, 1, "first line must name the columns; \"%s\" is missing",
                    column_names[c]);
    }
    return r->problem_count == 0;
}

static bool add_row(struct rows *r, size_t *cap)
{
    if (r->count < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : 256;
    struct row *row = realloc(r->row, more * sizeof *row);
    if (!row)
        return false;
    r->row = row;
    *cap = more;
    return true;
}

static bool read_rows(struct rows *r, char *at, const size_t place[COLUMN_COUNT],
                      size_t columns)
{
    char *fields[ROWS_COLUMNS_MAX];
    size_t cap = 0;
    for (size_t line = 2; *at != '\0';) {
        size_t begin = line;
        size_t count = take_line(&at, fields, &line);
        if (count == 1 && fields[0][0] == '\0')
            continue; /* an empty line */
        if (count != columns) {
            problem(r, begin, "%s",
                    count ? "another number of columns than the first line"
                          : "quotes or columns are wrong");
            if (count == 0)
                break; /* nothing after it can be trusted */
            continue;
        }
        if (r->count == ROWS_MAX || !add_row(r, &cap)) {
            problem(r, begin, "too many rows for one run");
            break;
        }
        char *wanted[COLUMN_COUNT];
        for (unsigned c = 0; c < COLUMN_COUNT; c++)
            wanted[c] = place[c] == ROW_NONE ? fields[0] : fields[place[c]];
        struct row *row = &r->row[r->count];
        *row = (struct row){.line = begin, .next = ROW_NONE};
        if (parse_row(r, row, wanted))
            r->count++;
    }
    return r->problem_count == 0;
}

bool rows_parse(struct rows *out, enum kind kind, char *text, size_t size)
{
    *out = (struct rows){.kind = kind, .text = text};
    char *fields[ROWS_COLUMNS_MAX];
    size_t place[COLUMN_COUNT];
    size_t line = 1;
    char *at = text;
    if (strlen(text) != size) {
        problem(out, 0, "holds a zero byte: not a text file");
        return false;
    }
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        at += 3; /* a byte order mark, as spreadsheets write it */
    size_t columns = take_line(&at, fields, &line);
    if (!read_header(out, fields, columns, place))
        return false;
    return read_rows(out, at, place, columns) && rows_link(out);
}

bool rows_one(struct rows *out, enum kind kind, const char *account, const char *node,
              const char *epoch, const char *amount, const char *reason)
{
    *out = (struct rows){.kind = kind, .row = calloc(1, sizeof(struct row))};
    const char *given[COLUMN_COUNT] = {account, node, epoch, amount, reason};
    char *fields[COLUMN_COUNT];
    size_t size = 0;
    for (unsigned c = 0; c < COLUMN_COUNT; c++)
        size += given[c] ? strlen(given[c]) + 1 : 1;
    out->text = malloc(size);
    if (!out->row || !out->text) {
        problem(out, 0, "out of memory");
        return false;
    }
    char *at = out->text;
    for (unsigned c = 0; c < COLUMN_COUNT; c++) {
        size_t bytes = given[c] ? strlen(given[c]) : 0;
        fields[c] = at;
        if (bytes > 0)
            memcpy(at, given[c], bytes);
        at += bytes;
        *at++ = '\0';
    }
    out->row[0].next = ROW_NONE;
    out->count = 1;
    return parse_row(out, &out->row[0], fields) && rows_link(out);
}

void rows_close(struct rows *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->row[i].envelope);
    free(r->row);
    free(r->text);
    *r = (struct rows){0};
}

/* The name of a row in a journal: what it says, and how many equal ones came before. */
static struct hash key_of(const struct rows *r, const struct row *row, uint64_t before)
{
    uint8_t data[REASON_BYTES_MAX + 256];
    struct mp_writer w = mp_writer_of(data, sizeof data);
    mp_array(&w, 6);
    mp_uint(&w, (uint64_t)r->kind);
    mp_bin(&w, row->account.b, sizeof row->account.b);
    mp_bin(&w, row->node.b, sizeof row->node.b);
    mp_uint(&w, row->epoch);
    mp_int(&w, row->amount);
    mp_str(&w, row->reason ? row->reason : "", row->reason ? strlen(row->reason) : 0);
    mp_uint(&w, before);
    return hash_sha256(data, w.size);
}

static int compare_rows(const struct rows *r, size_t a, size_t b)
{
    const struct row *x = &r->row[a], *y = &r->row[b];
    int by = hash_compare(&x->account, &y->account);
    if (by == 0 && r->kind == KIND_ACCRUE)
        by = hash_compare(&x->node, &y->node);
    if (by == 0 && x->amount != y->amount && r->kind == KIND_ADJUST)
        by = x->amount < y->amount ? -1 : 1;
    if (by == 0 && r->kind == KIND_ADJUST)
        by = strcmp(x->reason, y->reason);
    return by;
}

static int by_content(const void *a, const void *b, void *context)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    int by = compare_rows(context, x, y);
    return by ? by : x < y ? -1 : x > y;
}

static int by_account(const void *a, const void *b, void *context)
{
    const struct rows *r = context;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    int by = hash_compare(&r->row[x].account, &r->row[y].account);
    return by ? by : x < y ? -1 : x > y;
}

/* Neighbours in this order are equal (adjust), or of one account and node (accrue). */
static void check_and_name(struct rows *r, const size_t *order)
{
    uint64_t before = 0;
    for (size_t i = 0; i < r->count; i++) {
        struct row *row = &r->row[order[i]];
        bool same = i > 0 && compare_rows(r, order[i - 1], order[i]) == 0;
        before = same ? before + 1 : 0;
        if (same && r->kind == KIND_ACCRUE && row->epoch <= r->row[order[i - 1]].epoch)
            problem(r, row->line,
                    "epoch %" PRIu64 " does not rise above line %zu of the same account "
                    "and node",
                    row->epoch, r->row[order[i - 1]].line);
        row->key = key_of(r, row, r->kind == KIND_ADJUST ? before : 0);
    }
}

bool rows_link(struct rows *r)
{
    size_t *order = malloc((r->count ? r->count : 1) * sizeof *order);
    if (!order) {
        problem(r, 0, "out of memory");
        return false;
    }
    for (size_t i = 0; i < r->count; i++)
        order[i] = i;
    qsort_r(order, r->count, sizeof *order, by_content, r);
    check_and_name(r, order);
    qsort_r(order, r->count, sizeof *order, by_account, r);
    for (size_t i = 0; i < r->count; i++) {
        bool same = i + 1 < r->count &&
                    hash_equal(&r->row[order[i]].account, &r->row[order[i + 1]].account);
        r->row[order[i]].next = same ? order[i + 1] : ROW_NONE;
    }
    free(order);
    return r->problem_count == 0;
}
