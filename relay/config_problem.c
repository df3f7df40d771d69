/* What is wrong with settings, shown the way people find it. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "relay/config_internal.h"

#define WORD_MAX 40

/* The line of the spot, controls as blanks, without its end. */
static void take_excerpt(struct config_trouble *t, const struct config_place *place)
{
    t->excerpt[0] = '\0';
    if (!place->text || place->spot.line == 0)
        return;
    const char *at = place->text;
    const char *end = place->text + place->text_size;
    for (unsigned line = 1; line < place->spot.line && at < end; at++)
        line += *at == '\n';
    size_t size = 0;
    for (; at < end && *at != '\n' && *at != '\r' && size < CONFIG_EXCERPT_MAX; at++)
        t->excerpt[size++] = (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at;
    t->excerpt[size] = '\0';
}

struct config_trouble *config_trouble_add(struct config *c, enum config_code code,
                                          const struct config_place *place,
                                          const char *format, ...)
{
    size_t i = c->trouble_count++;
    if (i >= CONFIG_PROBLEMS_MAX)
        return NULL;
    struct config_trouble *t = &c->troubles[i];
    t->code = code;
    t->rank = c->source_count;
    t->made = i;
    t->spot = place->spot;
    t->in_file = place->is_file;
    if (place->is_file)
        snprintf(t->place, sizeof t->place, "%s:%u:%u", place->name, place->spot.line,
                 place->spot.column);
    else
        snprintf(t->place, sizeof t->place, "%s", place->name);
    va_list args;
    va_start(args, format);
    vsnprintf(t->message, sizeof t->message, format, args);
    va_end(args);
    take_excerpt(t, place);
    return t;
}

static int by_place(const void *a, const void *b)
{
    const struct config_trouble *x = a;
    const struct config_trouble *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->spot.line != y->spot.line)
        return x->spot.line < y->spot.line ? -1 : 1;
    return x->made < y->made ? -1 : x->made > y->made;
}

static size_t kept(const struct config *c)
{
    return c->trouble_count < CONFIG_PROBLEMS_MAX ? c->trouble_count
                                                  : CONFIG_PROBLEMS_MAX;
}

void config_trouble_sort(struct config *c)
{
    qsort(c->troubles, kept(c), sizeof c->troubles[0], by_place);
}

size_t config_problem_count(const struct config *c)
{
    return c->trouble_count;
}

bool config_was_read(const struct config *c)
{
    for (size_t i = 0; i < kept(c); i++)
        if (c->troubles[i].code == CONFIG_SYNTAX ||
            c->troubles[i].code == CONFIG_UNREADABLE)
            return false;
    return c->trouble_count <= kept(c);
}

bool config_problem(const struct config *c, size_t i, unsigned *code, const char **text)
{
    if (i >= kept(c))
        return false;
    *code = c->troubles[i].code;
    *text = c->troubles[i].message;
    return true;
}

static void print_excerpt(const struct config_trouble *t, FILE *out)
{
    char label[16] = "";
    if (t->in_file)
        snprintf(label, sizeof label, "%u", t->spot.line);
    int width = (int)strlen(label) > 2 ? (int)strlen(label) : 2;
    fprintf(out, "  %*s | %s\n", width, label, t->excerpt);
    if (t->spot.column == 0 || t->spot.column > strlen(t->excerpt) + 2)
        return;
    fprintf(out, "  %*s | %*s", width, "", (int)t->spot.column - 1, "");
    size_t end = strlen(t->excerpt) + 1; /* columns count from 1 */
    fputc('^', out);
    for (size_t i = 1; i < t->spot.width && t->spot.column + i < end; i++)
        fputc('^', out);
    fputc('\n', out);
}

void config_print_problems(const struct config *c, FILE *out, const char *last_line)
{
    for (size_t i = 0; i < kept(c); i++) {
        const struct config_trouble *t = &c->troubles[i];
        fprintf(out, "error[T%u] config: %s at %s%s%s\n", t->code, t->message, t->place,
                t->hint[0] ? " \xe2\x80\x94 " : "", t->hint);
        if (t->excerpt[0])
            print_excerpt(t, out);
    }
    if (c->trouble_count == 0)
        return;
    fprintf(out, "%zu problem%s", c->trouble_count, c->trouble_count == 1 ? "" : "s");
    if (c->trouble_count > kept(c))
        fprintf(out, ", the first %zu shown", kept(c));
    fprintf(out, "%s%s\n", last_line ? "; " : "", last_line ? last_line : "");
}

/* Edit distance (insert, delete, change, swap of neighbours); long words are far apart.
 */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                older[j - 2] + 1 < best)
                best = older[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[n % 3][m];
}

static bool is_near(size_t d, const char *word)
{
    size_t size = strlen(word);
    return d <= (size < 4 ? 1 : size < 9 ? 2 : 3);
}

void config_hint_section(char *hint, const char *section)
{
    const char *best = NULL;
    size_t best_distance = WORD_MAX;
    for (const struct config_row *row = config_rows; row->section; row++) {
        size_t d = distance(section, row->section);
        if (d < best_distance) {
            best_distance = d;
            best = row->section;
        }
    }
    hint[0] = '\0';
    if (best && is_near(best_distance, best))
        snprintf(hint, CONFIG_MESSAGE_MAX, "did you mean [%s]?", best);
}

void config_hint_key(char *hint, const char *section, const char *key)
{
    const struct config_row *best = NULL;
    size_t best_distance = WORD_MAX;
    for (const struct config_row *row = config_rows; row->section; row++) {
        /* the same section first, the same word elsewhere second */
        bool here = strcmp(row->section, section) == 0;
        size_t d = 2 * distance(key, row->key) + (here ? 0 : 1);
        if (d < best_distance) {
            best_distance = d;
            best = row;
        }
    }
    hint[0] = '\0';
    if (!best || !is_near(best_distance / 2, best->key))
        return;
    if (strcmp(best->section, section) == 0)
        snprintf(hint, CONFIG_MESSAGE_MAX, "did you mean \"%s\"?", best->key);
    else
        snprintf(hint, CONFIG_MESSAGE_MAX, "did you mean \"%s\" under [%s]?", best->key,
                 best->section);
}
