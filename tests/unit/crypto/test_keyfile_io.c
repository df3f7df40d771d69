#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/keyfile.h"

static char folder[64];
static struct key *key;

static int make_folder(void **state)
{
    if (start_crypto(state) != 0)
        return -1;
    key = key_generate();
    snprintf(folder, sizeof folder, "keyfile-test-XXXXXX");
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    key_free(key);
    DIR *d = opendir(".");
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (e->d_name[0] != '.')
            unlink(e->d_name);
    closedir(d);
    return chdir("..") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static size_t files_here(void)
{
    size_t count = 0;
    DIR *d = opendir(".");
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void a_saved_key_loads_and_is_its_owner_s_alone(void **state)
{
    (void)state;
    mode_t mask = umask(0);
    assert_int_equal(keyfile_save("a.key", key, "device", "pass", KEYFILE_COST_TEST),
                     KEYFILE_OK);
    umask(mask);
    struct stat st;
    assert_int_equal(stat("a.key", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    struct key *k;
    char role[KEYFILE_ROLE_MAX];
    assert_int_equal(keyfile_load("a.key", &k, role, "pass"), KEYFILE_OK);
    assert_string_equal(role, "device");
    struct pubkey pub = key_public(k);
    struct pubkey wanted = key_public(key);
    assert_true(pubkey_equal(&pub, &wanted));
    key_free(k);
    assert_int_equal(keyfile_load("a.key", &k, NULL, "word"), KEYFILE_PASSPHRASE);
    assert_null(k);

    bool encrypted = false;
    struct pubkey peeked;
    assert_int_equal(keyfile_load_public("a.key", &peeked, role, &encrypted), KEYFILE_OK);
    assert_true(encrypted && pubkey_equal(&peeked, &wanted));
}

static void save_never_replaces_a_file(void **state)
{
    (void)state;
    FILE *f = fopen("there", "w");
    fputs("precious\n", f);
    fclose(f);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    size_t before = files_here();
    assert_int_equal(keyfile_save("there", key, "device", NULL, KEYFILE_COST_TEST),
                     KEYFILE_EXISTS);
    assert_int_equal(keyfile_save("dangling", key, "device", NULL, KEYFILE_COST_TEST),
                     KEYFILE_EXISTS);
    size_t size;
    char *data = file_read("there", &size);
    assert_int_equal(size, 9);
    assert_memory_equal(data, "precious\n", 9);
    free(data);
    assert_int_equal(files_here(), before);
}

static void trouble_is_reported_and_leaves_nothing_behind(void **state)
{
    (void)state;
    size_t before = files_here();
    assert_int_equal(
        keyfile_save("no/such/folder", key, "device", NULL, KEYFILE_COST_TEST),
        KEYFILE_IO);
    assert_int_equal(errno, ENOENT);
    struct key *k;
    assert_int_equal(keyfile_load("absent", &k, NULL, NULL), KEYFILE_IO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(keyfile_load(".", &k, NULL, NULL), KEYFILE_IO);
    assert_int_equal(files_here(), before);
}

static void a_file_too_long_for_a_key_is_malformed(void **state)
{
    (void)state;
    FILE *f = fopen("long", "w");
    for (unsigned i = 0; i < KEYFILE_BYTES_MAX + 1; i++)
        fputc('x', f);
    fclose(f);
    struct key *k;
    struct pubkey pub;
    assert_int_equal(keyfile_load("long", &k, NULL, NULL), KEYFILE_MALFORMED);
    assert_int_equal(keyfile_load_public("long", &pub, NULL, NULL), KEYFILE_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_key_loads_and_is_its_owner_s_alone),
        cmocka_unit_test(save_never_replaces_a_file),
        cmocka_unit_test(trouble_is_reported_and_leaves_nothing_behind),
        cmocka_unit_test(a_file_too_long_for_a_key_is_malformed),
    };
    return cmocka_run_group_tests_name("keyfile_io", tests, make_folder, remove_folder);
}
