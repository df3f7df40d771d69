/* A key file that opens holds the key it names, peeks as it opens, and (in the clear) is
 * the file that is written for that key; an encrypted one opens with no other byte
 * changed. First byte 1: a file made here with one byte changed; else the bytes as they
 * are. */
#include <string.h>

#include "crypto/keyfile.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"

#define PASSPHRASE "correct horse"

/* Deriving keys is meant to be slow; files that ask for more than a test's cost are read
 * but not opened. */
static bool is_quick(const char *text, size_t size)
{
    static const char cost[] = "argon2id 1 8388608 ";
    for (size_t i = 0; i + sizeof cost - 1 <= size; i++)
        if (memcmp(text + i, cost, sizeof cost - 1) == 0)
            return true;
    return false;
}

static void check_file(const char *text, size_t size)
{
    struct pubkey pub;
    struct key *k = NULL;
    char role[KEYFILE_ROLE_MAX + 1] = "", peeked[KEYFILE_ROLE_MAX + 1] = "";
    static char again[KEYFILE_BYTES_MAX];
    bool encrypted = false;
    enum keyfile_result peek = keyfile_peek(text, size, &pub, peeked, &encrypted);
    PROPERTY(peek == KEYFILE_OK || peek == KEYFILE_MALFORMED);
    enum keyfile_result r = keyfile_decode(&k, role, text, size, NULL);
    PROPERTY(peek == KEYFILE_OK || r == KEYFILE_MALFORMED);
    PROPERTY((r == KEYFILE_OK) == (k != NULL));
    if (peek == KEYFILE_OK && encrypted) {
        PROPERTY(r == KEYFILE_NEEDED || r == KEYFILE_MALFORMED);
        if (is_quick(text, size))
            r = keyfile_decode(&k, role, text, size, PASSPHRASE);
    }
    if (r != KEYFILE_OK)
        return;
    struct pubkey found = key_public(k);
    PROPERTY(pubkey_equal(&found, &pub) && strcmp(role, peeked) == 0);
    if (!encrypted) {
        PROPERTY(keyfile_encode(again, k, role, NULL, KEYFILE_COST_TEST) == KEYFILE_OK);
        PROPERTY(strlen(again) == size && memcmp(again, text, size) == 0);
    }
    key_free(k);
}

/* Base64 and digits have one form, so a changed byte changes what is authenticated. */
static void check_changed(struct input *in)
{
    static char sealed[KEYFILE_BYTES_MAX];
    struct key *k = NULL;
    if (!sealed[0])
        PROPERTY(keyfile_encode(sealed, known_key(0), "device", PASSPHRASE,
                                KEYFILE_COST_TEST) == KEYFILE_OK);
    size_t size = strlen(sealed), at = take(in, 2) % size;
    char *text = malloc(size);
    PROPERTY(text != NULL);
    memcpy(text, sealed, size);
    char change = (char)take(in, 1);
    text[at] = (char)(text[at] ^ change);
    if (is_quick(text, size))
        PROPERTY((keyfile_decode(&k, NULL, text, size, PASSPHRASE) == KEYFILE_OK) ==
                 (change == 0));
    key_free(k);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    (void)known_key(0);
    if (size > 0 && data[0] == 1) {
        (void)take(&in, 1);
        check_changed(&in);
    } else {
        check_file((const char *)data, size);
    }
    return 0;
}
