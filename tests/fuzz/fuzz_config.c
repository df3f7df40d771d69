/* Settings that load without a problem are within their limits and load again, from the
 * text they are shown as, to the same values; what does not load says at least one
 * problem. The file, then, each behind a zero byte, up to eight --set words. */
#include <string.h>

#include "fuzz.h"
#include "input.h"
#include "relay/config_internal.h"
#include "scratch.h"

#define SETS_MAX 8

static struct config *load(const char *path, const char *const sets[], size_t count)
{
    struct config *c = config_load(
        &(struct config_sources){.file = path, .sets = sets, .set_count = count});
    PROPERTY(c != NULL);
    return c;
}

/* A masked password is not the password. */
static bool is_masked(const struct config_row *row, const char *text)
{
    return row->type == TYPE_STORE && strstr(text, "***") != NULL;
}

static void check_limits(const struct relay_config *v)
{
    for (const struct config_row *row = config_rows; row->section; row++) {
        uint64_t n;
        memcpy(&n, (const char *)v + row->offset, sizeof n);
        if (row->type == TYPE_COUNT || row->type == TYPE_BYTES || row->type == TYPE_MS)
            PROPERTY(n >= (uint64_t)row->min && n <= (uint64_t)row->max);
    }
    PROPERTY(v->access.auditors.count <= CONFIG_LIST_MAX);
    PROPERTY(v->access.origins.count <= CONFIG_LIST_MAX);
}

static void check_again(const struct config *c)
{
    static char text[sizeof(struct relay_config) * 2 + 8192];
    static char value[CONFIG_LIST_MAX * CONFIG_TEXT_MAX * 2];
    bool masked[CONFIG_ROWS_MAX];
    size_t used = 0;
    for (const struct config_row *row = config_rows; row->section; row++) {
        config_format(value, sizeof value, &c->values, row);
        masked[row - config_rows] = is_masked(row, value);
        int put =
            masked[row - config_rows]
                ? 0
                : snprintf(text + used, sizeof text - used, "[%s]\n%s = %s\n",
                           row > config_rows && !strcmp(row->section, row[-1].section)
                               ? "-"
                               : row->section,
                           row->key, value);
        PROPERTY(put >= 0 && used + (size_t)put < sizeof text);
        /* A section is named once. */
        if (put > 0 && strncmp(text + used, "[-]\n", 4) == 0) {
            memmove(text + used, text + used + 4, (size_t)put - 3);
            put -= 4;
        }
        used += (size_t)put;
    }
    struct config *again = load(scratch_file(1, bytes_of(text, used)), NULL, 0);
    if (config_problem_count(again) != 0)
        config_print_problems(again, stderr, NULL);
    PROPERTY(config_problem_count(again) == 0);
    for (const struct config_row *row = config_rows; row->section; row++)
        PROPERTY(masked[row - config_rows] ||
                 config_equal(&c->values, &again->values, row));
    config_close(again);
}

static void check_problems(const struct config *c)
{
    static FILE *nowhere;
    unsigned code = 0;
    const char *text = NULL;
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    PROPERTY(nowhere != NULL);
    PROPERTY(config_problem(c, 0, &code, &text) && code >= 7801 && code <= 7899);
    PROPERTY(text != NULL && text[0] != '\0');
    config_print_problems(c, nowhere, "nothing was applied");
    config_show_origin(c, nowhere);
    config_show_origin_json(c, nowhere);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *sets[SETS_MAX];
    size_t count = 0, file_size = size;
    char *copy = malloc(size + 1);
    if (!copy)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (copy[i] == '\0') {
            file_size = file_size == size ? i : file_size;
            if (count < SETS_MAX)
                sets[count++] = copy + i + 1;
        }
    struct config *c = load(scratch_file(0, bytes_of(copy, file_size)), sets, count);
    if (config_problem_count(c) == 0) {
        check_limits(&c->values);
        check_again(c);
    } else {
        check_problems(c);
    }
    config_close(c);
    free(copy);
    return 0;
}
