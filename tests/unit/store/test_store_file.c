/* A ledger file that is missing, cut, damaged, foreign, newer, or in use: told, named,
 * and left as it is. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/sig.h"
#include "tests/conformance/suite.h"

static void shut(struct suite *s)
{
    s->reader->ops->close(s->reader);
    s->store->ops->close(s->store);
    s->reader = NULL;
    s->store = NULL;
}

static struct bytes load(const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    return bytes_of(data, (size_t)st.st_size);
}

static void dump(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    close(fd);
}

static enum err try_open(struct suite *s, struct store_why *why)
{
    return store_open(s->uri, &s->store, why);
}

/* Refused with this error, the path named, the file as before. */
static void expect_refused(struct suite *s, enum err want)
{
    char path[600];
    struct store_why why;
    suite_path(s, path, sizeof path);
    struct bytes before = load(path);
    enum err e = try_open(s, &why);
    if (e != want)
        fail_msg("%s instead of %s: %s", err_word(e), err_word(want), why.text);
    assert_null(s->store);
    assert_non_null(strstr(why.text, path));
    struct bytes after = load(path);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    free((void *)(uintptr_t)before.data);
    free((void *)(uintptr_t)after.data);
}

static void fill(struct suite *s)
{
    for (uint32_t i = 0; i < SUITE_SLOTS; i++)
        assert_int_equal(suite_append(s, i, 40), STORE_COMMITTED);
    shut(s);
}

static void a_truncated_file_is_corrupt_at_every_length(void **state)
{
    struct suite *s = *state;
    char path[600];
    fill(s);
    suite_path(s, path, sizeof path);
    struct bytes whole = load(path);
    for (size_t size = 0; size < whole.size; size += size < 200 ? 1 : 1021) {
        dump(path, whole.data, size);
        expect_refused(s, ERR_CORRUPT);
    }
    for (size_t size = 0; size < whole.size; size += 8192) {
        dump(path, whole.data, size);
        expect_refused(s, ERR_CORRUPT);
    }
    uint8_t *longer = calloc(1, whole.size + 8192);
    memcpy(longer, whole.data, whole.size);
    dump(path, longer, whole.size + 8192);
    expect_refused(s, ERR_CORRUPT);
    free(longer);
    dump(path, whole.data, whole.size);
    assert_int_equal(try_open(s, NULL), ERR_OK);
    assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
    suite_check_all(s);
    free((void *)(uintptr_t)whole.data);
}

/* Each byte of the header flipped in turn: refused, or (where the byte means nothing)
 * opened with everything there. */
static void a_flipped_header_byte_never_gives_a_wrong_ledger(void **state)
{
    struct suite *s = *state;
    char path[600];
    unsigned refused = 0;
    fill(s);
    suite_path(s, path, sizeof path);
    struct bytes whole = load(path);
    uint8_t *flipped = malloc(whole.size);
    for (size_t at = 0; at < 100; at++) {
        memcpy(flipped, whole.data, whole.size);
        flipped[at] ^= 0xff;
        dump(path, flipped, whole.size);
        struct store_why why;
        enum err e = try_open(s, &why);
        if (e == ERR_OK) {
            assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
            suite_check_all(s);
            shut(s);
        } else {
            assert_true(e == ERR_CORRUPT || e == ERR_SCHEMA);
            assert_non_null(strstr(why.text, path));
            refused += 1;
        }
    }
    assert_true(refused >= 16 + 2 + 4 + 4 + 4);
    free(flipped);
    free((void *)(uintptr_t)whole.data);
}

/* Bytes flipped anywhere: opening and reading never crash, and what is read is right or
 * an error. */
static bool right(void *context, const struct record *r, const struct hash *account)
{
    struct suite *s = context;
    (void)account;
    const struct model_record *m = &s->slot[r->slot].records[r->index];
    struct hash leaf = record_leaf_hash(r);
    assert_memory_equal(&leaf, &m->leaf_hash, HASH_BYTES);
    return true;
}

static bool right_item(void *context, const struct channel_item *i)
{
    *(size_t *)context += 1;
    assert_int_equal(i->amount,
                     (int64_t)i->source_index - 7); /* as the feed makes them */
    return true;
}

static void flipped_bytes_are_errors_not_answers(void **state)
{
    struct suite *s = *state;
    char path[600];
    fill(s);
    suite_path(s, path, sizeof path);
    struct bytes whole = load(path);
    uint8_t *flipped = malloc(whole.size);
    uint64_t random = 77;
    unsigned told = 0;
    for (int i = 0; i < 200; i++) {
        memcpy(flipped, whole.data, whole.size);
        for (int k = 0; k < 4; k++)
            flipped[100 + feed_random(&random) % (whole.size - 100)] ^=
                (uint8_t)(1 + feed_random(&random) % 255);
        dump(path, flipped, whole.size);
        enum err e = try_open(s, NULL);
        told += e != ERR_OK;
        if (e != ERR_OK || s->store->ops->reader_open(s->store, &s->reader) != ERR_OK) {
            if (s->store != NULL)
                s->store->ops->close(s->store);
            s->store = NULL;
            continue;
        }
        for (uint32_t slot = 0; slot < SUITE_SLOTS; slot++) {
            struct hash out[TILE_HASHES];
            e = s->reader->ops->records(s->reader, slot, 0, 100, right, s);
            assert_true(e == ERR_OK || e == ERR_CORRUPT);
            told += e == ERR_CORRUPT;
            e = s->reader->ops->tile(s->reader, slot, 0, 0, 40, out);
            assert_true(e == ERR_OK || e == ERR_CORRUPT || e == ERR_RANGE);
            for (uint64_t k = 0; e == ERR_OK && k < 40; k++)
                assert_memory_equal(&out[k], &s->slot[slot].records[k].leaf_hash,
                                    HASH_BYTES);
        }
        for (uint32_t slot = 0; slot < SUITE_SLOTS; slot++) {
            size_t items =
                0; /* damage seen by the writer breaks the store: ERR_IO after */
            e = s->store->ops->outbox(s->store, slot, right_item, &items);
            assert_true(e == ERR_OK || e == ERR_CORRUPT || e == ERR_IO);
        }
        shut(s);
    }
    assert_true(told > 50);
    free(flipped);
    free((void *)(uintptr_t)whole.data);
}

static void change(struct suite *s, const char *sql)
{
    char path[600];
    sqlite3 *db = NULL;
    suite_path(s, path, sizeof path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_newer_schema_is_refused_with_both_versions(void **state)
{
    struct suite *s = *state;
    struct store_why why;
    fill(s);
    change(s, "PRAGMA user_version=7");
    expect_refused(s, ERR_SCHEMA);
    (void)try_open(s, &why);
    assert_non_null(strstr(why.text, "7"));
    assert_non_null(strstr(why.text, "1"));
    change(s, "PRAGMA user_version=0");
    expect_refused(s, ERR_CORRUPT);
}

static void what_sqlite_accepts_but_is_no_ledger_is_corrupt(void **state)
{
    struct suite *s = *state;
    char path[600];
    fill(s);
    suite_path(s, path, sizeof path);
    struct bytes whole = load(path);
    static const char *const damage[] = {
        "DELETE FROM slot WHERE slot=3",
        "DELETE FROM record_2 WHERE idx=39",
        "UPDATE slot SET size=41 WHERE slot=5",
        "UPDATE slot SET size=36 WHERE slot=5", /* as many edges, but four records fewer
                                                 */
        "UPDATE slot SET edges=x'00' WHERE slot=5",
        "DELETE FROM ledger",
        "DROP TABLE record_9",
        "DROP TABLE outbox",
        "UPDATE ledger SET slots=3",
        "PRAGMA application_id=0",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        dump(path, whole.data, whole.size);
        change(s, damage[i]);
        expect_refused(s, ERR_CORRUPT);
    }
    assert_int_equal(unlink(path), 0);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db, "CREATE TABLE notes(a); INSERT INTO notes VALUES(1)", NULL, NULL,
                 NULL);
    sqlite3_close(db);
    expect_refused(s, ERR_CORRUPT);
    dump(path, "this is a text file, long enough to be looked at\n", 49);
    expect_refused(s, ERR_CORRUPT);
    free((void *)(uintptr_t)whole.data);
}

static void a_second_opening_is_locked_out(void **state)
{
    struct suite *s = *state;
    struct store *other = NULL;
    struct store_why why;
    assert_int_equal(store_open(s->uri, &other, &why), ERR_LOCKED);
    assert_non_null(strstr(why.text, "another process"));
    pid_t child = fork();
    if (child == 0) {
        enum err e = store_open(s->uri, &other, &why);
        _exit(e == ERR_LOCKED ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(suite_append(s, 1, 3), STORE_COMMITTED);
    suite_reopen(s);
    suite_check_all(s);
}

static void a_ledger_that_lost_its_file_is_not_made_anew(void **state)
{
    struct suite *s = *state;
    char path[600], wal[700];
    struct store_identity id;
    struct store_why why;
    fill(s);
    suite_path(s, path, sizeof path);
    snprintf(wal, sizeof wal, "%s-wal", path);
    assert_int_equal(unlink(path), 0);
    dump(wal, "something", 9);
    suite_identity(&id);
    assert_int_equal(try_open(s, &why), ERR_MISSING);
    assert_int_equal(store_create(s->uri, &id, &s->store, &why), ERR_EXISTS);
    assert_non_null(strstr(why.text, wal));
    assert_int_equal(unlink(wal), 0);
    assert_int_equal(store_create(s->uri, &id, &s->store, &why), ERR_OK);
    assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
}

static void a_folder_that_is_not_there_is_a_file_error(void **state)
{
    (void)state;
    struct store_identity id;
    struct store_why why;
    struct store *other = NULL;
    suite_identity(&id);
    assert_int_equal(store_create("sqlite:/nonexistent/x/ledger", &id, &other, &why),
                     ERR_FILE);
    assert_non_null(strstr(why.text, "/nonexistent/x/ledger"));
    assert_int_equal(store_open("sqlite:/nonexistent/x/ledger", &other, &why),
                     ERR_MISSING);
}

static void files_are_for_their_owner_only(void **state)
{
    struct suite *s = *state;
    static const char *const suffixes[] = {"", "-wal", "-index", ".lock"};
    assert_int_equal(suite_append(s, 1, 3), STORE_COMMITTED);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[600];
        struct stat st;
        suite_path(s, path, sizeof path);
        strcat(path, suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
}

static bool contains(struct bytes file, const char *what, size_t size)
{
    return memmem(file.data, file.size, what, size) != NULL;
}

/* Small ones live in shared pages that are split and merged, large ones in pages of their
 * own. */
static void erased_bytes_are_gone_from_every_file(void **state)
{
    struct suite *s = *state;
    static const char *const suffixes[] = {"", "-wal", "-index"};
    static const char mark[] = "MARKED-BYTES-OF-A-PERSON";
    static uint8_t data[60000];
    char path[600];
    suite_path(s, path, sizeof path);
    for (uint32_t i = 0; i < 300; i++) {
        size_t size = i % 3 == 0 ? 64 : i % 3 == 1 ? 700 : 20000 + i * 100;
        for (size_t k = 0; k + sizeof mark < size; k += sizeof mark)
            memcpy(data + k, mark, sizeof mark);
        struct hash id = hash_sha256(&i, sizeof i);
        assert_int_equal(s->store->ops->sealed_put(s->store, &id, bytes_of(data, size)),
                         ERR_OK);
        if (i % 50 == 0)
            assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
    }
    struct bytes before = load(path);
    strcat(path, "-wal");
    struct bytes wal = load(path);
    assert_true(contains(before, mark, sizeof mark - 1) || contains(wal, mark, 24));
    free((void *)(uintptr_t)before.data);
    free((void *)(uintptr_t)wal.data);
    for (uint32_t i = 0; i < 300; i++) {
        struct hash id = hash_sha256(&i, sizeof i);
        assert_int_equal(s->store->ops->sealed_erase(s->store, &id), ERR_OK);
    }
    assert_int_equal(s->store->ops->maintain(s->store), ERR_OK);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        suite_path(s, path, sizeof path);
        strcat(path, suffixes[i]);
        struct bytes after = load(path);
        assert_false(contains(after, mark, sizeof mark - 1));
        free((void *)(uintptr_t)after.data);
    }
}

int main(void)
{
    suite_kind = "sqlite";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_truncated_file_is_corrupt_at_every_length,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(a_flipped_header_byte_never_gives_a_wrong_ledger,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(flipped_bytes_are_errors_not_answers, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(a_newer_schema_is_refused_with_both_versions,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(what_sqlite_accepts_but_is_no_ledger_is_corrupt,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(a_second_opening_is_locked_out, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(a_ledger_that_lost_its_file_is_not_made_anew,
                                        suite_setup, suite_teardown),
        cmocka_unit_test(a_folder_that_is_not_there_is_a_file_error),
        cmocka_unit_test_setup_teardown(files_are_for_their_owner_only, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(erased_bytes_are_gone_from_every_file,
                                        suite_setup, suite_teardown),
    };
    return crypto_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
