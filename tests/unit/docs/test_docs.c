/* docs/PROTOCOL.md and docs/vectors hold what the code says: examples byte by byte,
 * tables row by row, every vector with its code. After a change on purpose: make_vectors
 * prints the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/context.h"
#include "crypto/seal.h"
#include "ledger/kinds.h"
#include "ledger/wire.h"
#include "vectors.h"

static struct world *world;
static char *page;

/* The whole file with a final zero. */
static char *read_file(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", STOA_DOCS, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s cannot be read", path);
    size_t size = 0, cap = 1 << 20, got;
    char *text = malloc(cap + 1);
    assert_non_null(text);
    while ((got = fread(text + size, 1, cap - size, f)) > 0)
        size += got;
    assert_true(size < cap);
    fclose(f);
    text[size] = 0;
    return text;
}

static int start(void **state)
{
    (void)state;
    world = world_open();
    page = read_file("PROTOCOL.md");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_close(world);
    free(page);
    return 0;
}

static char *printed(void (*print)(FILE *out, struct world *w))
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    print(f, world);
    assert_int_equal(fclose(f), 0);
    return text;
}

/* What stands in the page between "<!-- name: begin -->" and its end; to be freed. */
static char *section(const char *name)
{
    char mark[64];
    snprintf(mark, sizeof mark, "<!-- %s: begin -->\n", name);
    const char *from = strstr(page, mark);
    if (from == NULL)
        fail_msg("page has no section %s", name);
    from += strlen(mark);
    snprintf(mark, sizeof mark, "<!-- %s: end -->", name);
    const char *to = strstr(from, mark);
    if (to == NULL)
        fail_msg("section %s does not end", name);
    char *text = strndup(from, (size_t)(to - from));
    assert_non_null(text);
    return text;
}

static void expect_same(const char *what, const char *found, const char *wanted)
{
    size_t at = 0, line = 1;
    while (found[at] && found[at] == wanted[at])
        line += found[at++] == '\n';
    if (found[at] != wanted[at])
        fail_msg("%s differs at its line %zu: \"%.60s\", and the code says \"%.60s\"",
                 what, line, found + at, wanted + at);
}

/* ---- examples and vectors ---- */

static void the_worked_examples_are_what_the_code_makes(void **state)
{
    (void)state;
    char *found = section("worked"), *wanted = printed(print_worked);
    expect_same("worked examples", found, wanted);
    free(found);
    free(wanted);
}

static void expect_file(const char *name, void (*print)(FILE *out, struct world *w))
{
    char *found = read_file(name), *wanted = printed(print);
    expect_same(name, found, wanted);
    free(found);
    free(wanted);
}

static void the_vector_files_are_what_the_code_makes(void **state)
{
    (void)state;
    expect_file("vectors/worked.txt", print_values);
    expect_file("vectors/entries.txt", print_entries);
    expect_file("vectors/frames.txt", print_frames);
}

static unsigned hex_digit(char c)
{
    assert_true((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* "0a(00*70)ff", "-": as the files' heads say. *text is moved past it. */
static size_t parse_bytes(const char **text, uint8_t *out, size_t cap)
{
    const char *at = *text;
    size_t size = 0;
    if (*at == '-')
        at++;
    while (*at != ' ' && *at != '\n' && *at != 0) {
        size_t run = 1;
        bool repeated = *at == '(';
        at += repeated;
        uint8_t byte = (uint8_t)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
        at += 2;
        if (repeated) {
            char *end;
            assert_true(*at == '*');
            run = strtoul(at + 1, &end, 10);
            assert_true(*end == ')');
            at = end + 1;
        }
        assert_true(run <= cap - size);
        memset(out + size, byte, run);
        size += run;
    }
    *text = at;
    return size;
}

/* Codes that the form and the signature of an entry can give. */
static const enum err form_codes[] = {
    ERR_MALFORMED, ERR_TOO_LARGE, ERR_VERSION,    ERR_KIND_UNKNOWN,  ERR_KIND_RESERVED,
    ERR_PAYLOAD,   ERR_SIGNATURE, ERR_REFS_ORDER, ERR_AMOUNT,        ERR_PAYEES,
    ERR_SPLIT_SUM, ERR_CHAIN,     ERR_KEY_WEAK,   ERR_ROOT_SIGNATURE};

static unsigned judge_lines(const char *name, bool frames, unsigned seen[1000])
{
    static uint8_t bytes[WIRE_FRAME_MAX + 2];
    static struct wire_frame f;
    unsigned bad = 0;
    char *text = read_file(name);
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        assert_non_null(strchr(at, '\n'));
        if (*at == '#')
            continue;
        char word[32];
        size_t n = strcspn(at, " ");
        assert_true(n < sizeof word);
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        const char *hex = at + n + 1;
        size_t size = parse_bytes(&hex, bytes, sizeof bytes);
        enum err e = frames ? wire_decode(&f, bytes, size)
                            : judge_entry(world, bytes_of(bytes, size));
        if (strcmp(err_word(e), word) != 0)
            fail_msg("%s: %s, and it is %s:%.*s", name, word, err_word(e),
                     (int)strcspn(hex, "\n"), hex);
        seen[e]++;
        bad += e != ERR_OK;
    }
    free(text);
    return bad;
}

static void every_envelope_of_the_vectors_gets_its_code(void **state)
{
    (void)state;
    unsigned seen[1000] = {0};
    assert_true(judge_lines("vectors/entries.txt", false, seen) >= 80);
    for (size_t i = 0; i < sizeof form_codes / sizeof form_codes[0]; i++)
        if (seen[form_codes[i]] == 0)
            fail_msg("no vector is refused %s", err_word(form_codes[i]));
    assert_true(seen[ERR_OK] >= 3);
}

static void every_frame_of_the_vectors_gets_its_verdict(void **state)
{
    (void)state;
    unsigned seen[1000] = {0};
    assert_true(judge_lines("vectors/frames.txt", true, seen) >= 20);
    assert_true(seen[ERR_OK] >= 27 && seen[ERR_TOO_LARGE] == 1);
}

/* ---- tables ---- */

/* Row i of a section's table behind its two head lines, cell by cell; false past the end.
 * Cells are split at " | ", and "\|" inside one is left alone. */
static bool row_cell(const char *table, unsigned row, unsigned cell, char out[512])
{
    const char *at = table;
    for (unsigned skip = row + 2; skip > 0 && at; skip--) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (at == NULL || *at != '|')
        return false;
    const char *end = strchr(at, '\n');
    assert_non_null(end);
    at += 2;
    for (; cell > 0; cell--) {
        at = strstr(at, " | ");
        assert_true(at != NULL && at < end);
        at += 3;
    }
    const char *to = strstr(at, " |");
    assert_true(to != NULL && to < end);
    size_t size = (size_t)(to - at);
    assert_true(size < 512);
    memcpy(out, at, size);
    out[size] = 0;
    return true;
}

static void expect_cell(const char *table, unsigned row, unsigned cell,
                        const char *wanted)
{
    char found[512];
    if (!row_cell(table, row, cell, found))
        fail_msg("table ends before %s", wanted);
    assert_string_equal(found, wanted);
}

static void expect_end(const char *table, unsigned row)
{
    char found[512];
    if (row_cell(table, row, 0, found))
        fail_msg("table has a row too many: %s", found);
}

static void the_table_of_codes_is_err_h(void **state)
{
    (void)state;
    static const char *const retry[] = {
        [ERR_RETRY_NO] = "no", [ERR_RETRY_SAME] = "same", [ERR_RETRY_AGAIN] = "again"};
    char *table = section("codes"), text[64];
    enum err e;
    unsigned i = 0;
    for (; err_row(i, &e); i++) {
        snprintf(text, sizeof text, "%d", (int)e);
        expect_cell(table, i, 0, text);
        snprintf(text, sizeof text, "`%s`", err_word(e));
        expect_cell(table, i, 1, text);
        expect_cell(table, i, 2, retry[err_retry(e)]);
        expect_cell(table, i, 3, err_text(e));
    }
    expect_end(table, i);
    free(table);
}

static void the_table_of_kinds_is_kinds_h(void **state)
{
    (void)state;
    static const char *const writers[] = {[BY_MEMBER] = "member",
                                          [BY_ISSUER] = "issuer",
                                          [BY_RELAY] = "relay",
                                          [BY_NOBODY] = "nobody"};
    char *table = section("kinds"), text[64];
    enum kind k;
    enum writer writer;
    unsigned i = 0;
    for (; kind_row(i, &k); i++) {
        snprintf(text, sizeof text, "%d", (int)k);
        expect_cell(table, i, 0, text);
        snprintf(text, sizeof text, "`%s`", kind_word(k));
        expect_cell(table, i, 1, text);
        assert_true(kind_writer(k, &writer));
        expect_cell(table, i, 2, writers[writer]);
    }
    expect_end(table, i);
    free(table);
}

static void the_table_of_contexts_is_context_h(void **state)
{
    (void)state;
    char *table = section("contexts"), *header = read_file("../crypto/context.h");
    unsigned row = 0;
    for (const char *at = header; (at = strstr(at, "\n#define CTX_")) != NULL;) {
        const char *from = strchr(at, '"');
        assert_non_null(from);
        at = strchr(from + 1, '"');
        assert_non_null(at);
        char text[64];
        snprintf(text, sizeof text, "`%.*s`", (int)(at - from - 1), from + 1);
        expect_cell(table, row++, 0, text);
    }
    expect_end(table, row);
    free(table);
    free(header);
}

static void the_table_of_frames_is_wire_h(void **state)
{
    (void)state;
#define FRAME(name, number) {#name, number},
    static const struct {
        const char *name;
        unsigned number;
    } frames[] = {WIRE_LIST(FRAME)};
#undef FRAME
    char *table = section("frames"), text[64];
    unsigned i = 0;
    for (; i < sizeof frames / sizeof frames[0]; i++) {
        snprintf(text, sizeof text, "%u", frames[i].number);
        expect_cell(table, i, 0, text);
        expect_cell(table, i, 1, frames[i].name + strlen("WIRE_"));
    }
    expect_end(table, i);
    free(table);
}

static void the_table_of_limits_is_the_code_s(void **state)
{
    (void)state;
    static const int64_t values[] = {MEMBERS_MAX,        DEVICES_PER_MEMBER_MAX,
                                     DEVICES_MAX,        REVOKED_MAX,
                                     INVITES_MAX,        PAYEES_MAX,
                                     NODES_MAX,          ENTRY_REFS_MAX,
                                     REF_WINDOW,         SPLIT_WINDOW,
                                     ENVELOPE_BYTES_MAX, NOTE_DATA_MAX,
                                     SLOTS_MAX,          INVITE_MS_MAX,
                                     RECOVERY_WAIT_MS,   WIRE_FRAME_MAX,
                                     SEAL_CIPHER_MAX,    SEAL_PLAIN_MAX,
                                     RULES_VERSION};
    char *table = section("constants"), text[64];
    unsigned i = 0;
    for (; i < sizeof values / sizeof values[0]; i++) {
        snprintf(text, sizeof text, "%lld", (long long)values[i]);
        expect_cell(table, i, 1, text);
    }
    expect_end(table, i);
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_examples_are_what_the_code_makes),
        cmocka_unit_test(the_vector_files_are_what_the_code_makes),
        cmocka_unit_test(every_envelope_of_the_vectors_gets_its_code),
        cmocka_unit_test(every_frame_of_the_vectors_gets_its_verdict),
        cmocka_unit_test(the_table_of_codes_is_err_h),
        cmocka_unit_test(the_table_of_kinds_is_kinds_h),
        cmocka_unit_test(the_table_of_contexts_is_context_h),
        cmocka_unit_test(the_table_of_frames_is_wire_h),
        cmocka_unit_test(the_table_of_limits_is_the_code_s),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
