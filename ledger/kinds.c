#include "ledger/kinds.h"

#include <string.h>

struct kind_line {
    enum kind kind;
    enum writer writer;
    const char *word; /* NULL: no such kind */
};

/* Rows of the table in order, and the same by number: the codec asks for every entry. */
#define LINE(name, number, word, writer) {name, writer, word},
static const struct kind_line lines[] = {KIND_LIST(LINE)};
#undef LINE
#define LINE(name, number, word, writer) [number] = {name, writer, word},
static const struct kind_line by_number[] = {KIND_LIST(LINE)};
#undef LINE

#define LINE_COUNT (sizeof lines / sizeof lines[0])
#define NUMBER_COUNT (sizeof by_number / sizeof by_number[0])

static const struct kind_line *line_of(uint64_t kind)
{
    if (kind >= NUMBER_COUNT || !by_number[kind].word)
        return NULL;
    return &by_number[kind];
}

const char *kind_word(uint64_t kind)
{
    const struct kind_line *line = line_of(kind);
    return line ? line->word : "?";
}

bool kind_writer(uint64_t kind, enum writer *out)
{
    const struct kind_line *line = line_of(kind);
    if (!line)
        return false;
    *out = line->writer;
    return true;
}

bool kind_from_word(const char *word, enum kind *out)
{
    for (size_t i = 0; i < LINE_COUNT; i++)
        if (strcmp(lines[i].word, word) == 0) {
            *out = lines[i].kind;
            return true;
        }
    return false;
}

bool kind_row(unsigned i, enum kind *out)
{
    if (i >= LINE_COUNT)
        return false;
    *out = lines[i].kind;
    return true;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool hub_name_ok(const char *name, size_t size)
{
    if (size == 0 || size > HUB_NAME_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_letter_or_digit(name[i]) && name[i] != '.' && name[i] != '-' &&
            name[i] != '_')
            return false;
    return is_letter_or_digit(name[0]) && is_letter_or_digit(name[size - 1]);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool origin_ok(const char *origin, size_t size)
{
    return size > 3 && origin[size - 3] == '/' && is_hex(origin[size - 2]) &&
           is_hex(origin[size - 1]) && hub_name_ok(origin, size - 3);
}
