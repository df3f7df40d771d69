/* Key files of a hub: made whole or not at all, and opened only when nobody else can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/keys.h"

static char top[64];
static char dir[128];
static char why[KEYS_WHY_MAX];

static const char *in(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int start(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/stoa-keys-XXXXXX");
    if (!crypto_start() || !mkdtemp(top))
        return 1;
    snprintf(dir, sizeof dir, "%s/keys", top);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    const char *names[] = {"log.key", "relay.key", "issuer.key", "cosigner.key",
                           "pass"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(in(names[i]));
    rmdir(dir);
    return rmdir(top);
}

static struct hub_pubkeys generate(const char *source)
{
    struct hub_pubkeys made;
    assert_int_equal(hub_keys_generate(dir, source, KEYFILE_COST_TEST, &made, why),
                     ERR_OK);
    return made;
}

static void made_keys_are_loaded_again(void **state)
{
    (void)state;
    struct hub_pubkeys made = generate("none");
    assert_false(pubkey_equal(&made.log, &made.relay));
    assert_false(pubkey_equal(&made.log, &made.issuer));
    struct hub_keys k;
    assert_int_equal(hub_keys_load(&k, dir, "none", why), ERR_OK);
    struct pubkey log = key_public(k.log), relay = key_public(k.relay);
    assert_true(pubkey_equal(&log, &made.log));
    assert_true(pubkey_equal(&relay, &made.relay));
    hub_keys_close(&k);
    struct hub_pubkeys seen;
    assert_int_equal(hub_keys_public(&seen, dir, why), ERR_OK);
    assert_memory_equal(&seen, &made, sizeof seen);
    struct stat s;
    assert_int_equal(stat(dir, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0700);
}

static void the_issuer_key_is_not_needed_to_run(void **state)
{
    (void)state;
    generate("none");
    unlink(in("issuer.key"));
    struct hub_keys k;
    assert_int_equal(hub_keys_load(&k, dir, "none", why), ERR_OK);
    hub_keys_close(&k);
    struct hub_pubkeys seen;
    assert_int_equal(hub_keys_public(&seen, dir, why), ERR_MISSING);
    assert_non_null(strstr(why, "issuer.key"));
}

static void nothing_is_overwritten(void **state)
{
    (void)state;
    generate("none");
    unlink(in("log.key"));
    struct hub_pubkeys made;
    assert_int_equal(hub_keys_generate(dir, "none", KEYFILE_COST_TEST, &made, why),
                     ERR_EXISTS);
    assert_non_null(strstr(why, "relay.key"));
    assert_int_equal(access(in("log.key"), F_OK), -1);
}

static void encrypted_keys_need_their_passphrase(void **state)
{
    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    FILE *f = fopen(in("pass"), "w");
    assert_non_null(f);
    fputs("correct horse\n", f);
    fclose(f);
    char source[300], wrong[300];
    snprintf(source, sizeof source, "file:%s", in("pass"));
    struct hub_pubkeys made = generate(source);
    struct hub_keys k;
    assert_int_equal(hub_keys_load(&k, dir, source, why), ERR_OK);
    struct pubkey log = key_public(k.log);
    assert_true(pubkey_equal(&log, &made.log));
    hub_keys_close(&k);
    assert_int_equal(hub_keys_load(&k, dir, "none", why), ERR_CONFIG);
    assert_null(k.log);
    snprintf(wrong, sizeof wrong, "cmd:echo wrong");
    assert_int_equal(hub_keys_load(&k, dir, wrong, why), ERR_CONFIG);
    assert_null(k.log);
    assert_null(k.relay);
    assert_int_equal(hub_keys_load(&k, dir, "file:/nowhere", why), ERR_CONFIG);
}

static void a_key_open_to_others_is_refused(void **state)
{
    (void)state;
    generate("none");
    assert_int_equal(chmod(in("relay.key"), 0640), 0);
    struct hub_keys k;
    assert_int_equal(hub_keys_load(&k, dir, "none", why), ERR_FILE);
    assert_non_null(strstr(why, "relay.key"));
}

static void a_key_of_another_role_is_refused(void **state)
{
    (void)state;
    generate("none");
    unlink(in("relay.key"));
    char from[256];
    snprintf(from, sizeof from, "%s", in("issuer.key"));
    assert_int_equal(rename(from, in("relay.key")), 0);
    struct hub_keys k;
    assert_int_equal(hub_keys_load(&k, dir, "none", why), ERR_FILE);
    assert_non_null(strstr(why, "issuer"));
    struct key *one;
    assert_int_equal(key_file_open(&one, in("relay.key"), "relay", "none", why),
                     ERR_FILE);
    assert_null(one);
    assert_int_equal(key_file_open(&one, in("relay.key"), NULL, "none", why), ERR_OK);
    key_free(one);
}

static void missing_and_damaged_files_are_told_apart(void **state)
{
    (void)state;
    struct hub_keys k;
    assert_int_equal(hub_keys_load(&k, dir, "none", why), ERR_MISSING);
    generate("none");
    FILE *f = fopen(in("log.key"), "w");
    assert_non_null(f);
    fputs("not a key\n", f);
    fclose(f);
    assert_int_equal(hub_keys_load(&k, dir, "none", why), ERR_FILE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(made_keys_are_loaded_again),
        TEST(the_issuer_key_is_not_needed_to_run),
        TEST(nothing_is_overwritten),
        TEST(encrypted_keys_need_their_passphrase),
        TEST(a_key_open_to_others_is_refused),
        TEST(a_key_of_another_role_is_refused),
        TEST(missing_and_damaged_files_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
