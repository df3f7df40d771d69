#include "client/token.h"

#include <stdio.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/note.h"

#define CHECK_BYTES 4

/* The checksum covers the prefix too, so that one kind of token is not taken for another.
 */
static struct hash check_of(const char *prefix, const uint8_t *data, size_t size)
{
    struct hash_part parts[2] = {{prefix, strlen(prefix)}, {data, size}};
    return hash_parts(parts, 2);
}

bool token_put(char *out, const char *prefix, const uint8_t *data, size_t size)
{
    uint8_t room[STOA_TOKEN_MAX];
    size_t n = strlen(prefix);
    if (n + 1 > STOA_TOKEN_MAX || size + CHECK_BYTES > sizeof(room))
        return false;
    memcpy(room, data, size);
    struct hash check = check_of(prefix, data, size);
    memcpy(room + size, check.b, CHECK_BYTES);
    memcpy(out, prefix, n);
    bool ok = base64_encode(out + n, STOA_TOKEN_MAX - n, room, size + CHECK_BYTES) > 0;
    secret_wipe(room, sizeof(room));
    return ok;
}

bool token_get(const char *text, const char *prefix, uint8_t *out, size_t cap,
               size_t *size)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(prefix), length = strcspn(text, " \t\r\n");
    if (length <= n || strncmp(text, prefix, n) != 0 || length > STOA_TOKEN_MAX)
        return false;
    if (!base64_decode(out, cap, size, text + n, length - n) || *size < CHECK_BYTES)
        return false;
    *size -= CHECK_BYTES;
    struct hash check = check_of(prefix, out, *size);
    return memcmp(check.b, out + *size, CHECK_BYTES) == 0;
}
