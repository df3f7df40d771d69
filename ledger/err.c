#include "ledger/err.h"

#include <stdbool.h>
#include <stddef.h>

struct err_line {
    enum err code;
    enum err_retry retry;
    const char *word;
    const char *text;
};

#define LINE(name, number, word, retry, text) {name, ERR_RETRY_##retry, word, text},
static const struct err_line lines[] = {ERR_LIST(LINE)};
#undef LINE

#define LINE_COUNT (sizeof lines / sizeof lines[0])

static const struct err_line *line_of(uint64_t number)
{
    for (size_t i = 0; i < LINE_COUNT; i++)
        if ((uint64_t)lines[i].code == number)
            return &lines[i];
    return NULL;
}

const char *err_word(enum err e)
{
    const struct err_line *line = line_of((uint64_t)e);
    return line ? line->word : "?";
}

const char *err_text(enum err e)
{
    const struct err_line *line = line_of((uint64_t)e);
    return line ? line->text : "?";
}

enum err_retry err_retry(enum err e)
{
    const struct err_line *line = line_of((uint64_t)e);
    return line ? line->retry : ERR_RETRY_NO;
}

bool err_from_number(uint64_t number, enum err *out)
{
    const struct err_line *line = line_of(number);
    if (!line)
        return false;
    *out = line->code;
    return true;
}

bool err_row(unsigned i, enum err *out)
{
    if (i >= LINE_COUNT)
        return false;
    *out = lines[i].code;
    return true;
}
