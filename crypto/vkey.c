#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/internal.h"
#include "crypto/note.h"

#define VKEY_ID_DIGITS 8
#define VKEY_KEY_BYTES (1 + PUBKEY_BYTES) /* algorithm, key */

size_t utf8_step(const char *data, size_t size, uint32_t *rune)
{
    const uint8_t *in = (const uint8_t *)data;
    if (size == 0)
        return 0;
    if (in[0] < 0x80) {
        *rune = in[0];
        return 1;
    }
    size_t length = in[0] >= 0xf0 ? 4 : in[0] >= 0xe0 ? 3 : 2;
    if (in[0] < 0xc2 || in[0] > 0xf4 || size < length)
        return 0;
    uint32_t r = in[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((in[i] & 0xc0) != 0x80)
            return 0;
        r = r << 6 | (in[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (r < least[length] || r > 0x10ffff || (r >= 0xd800 && r <= 0xdfff))
        return 0;
    *rune = r;
    return length;
}

/* Unicode property White_Space. */
static bool is_space(uint32_t rune)
{
    return (rune >= 0x09 && rune <= 0x0d) || rune == 0x20 || rune == 0x85 ||
           rune == 0xa0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) ||
           rune == 0x2028 || rune == 0x2029 || rune == 0x202f || rune == 0x205f ||
           rune == 0x3000;
}

bool note_name_shape_ok(const char *name, size_t size)
{
    if (size == 0)
        return false;
    for (size_t i = 0; i < size;) {
        uint32_t rune;
        size_t step = utf8_step(name + i, size - i, &rune);
        if (step == 0 || is_space(rune) || rune == '+')
            return false;
        i += step;
    }
    return true;
}

bool note_name_ok(const char *name, size_t size)
{
    if (size > NOTE_NAME_MAX || !note_name_shape_ok(name, size))
        return false;
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

static uint32_t vkey_id(const char *name, size_t name_size,
                        const uint8_t key[VKEY_KEY_BYTES])
{
    const struct hash_part parts[] = {
        {name, name_size}, {"\n", 1}, {key, VKEY_KEY_BYTES}};
    struct hash h = hash_parts(parts, 3);
    return (uint32_t)h.b[0] << 24 | (uint32_t)h.b[1] << 16 | (uint32_t)h.b[2] << 8 |
           h.b[3];
}

/* `name` need not end in a zero. */
static bool vkey_fill(struct vkey *v, const char *name, size_t name_size,
                      const uint8_t key[VKEY_KEY_BYTES])
{
    if (!note_name_ok(name, name_size) ||
        (key[0] != NOTE_ED25519 && key[0] != NOTE_COSIGNATURE))
        return false;
    struct vkey made = {.id = vkey_id(name, name_size, key), .alg = key[0]};
    memcpy(made.name, name, name_size);
    memcpy(made.key.b, key + 1, PUBKEY_BYTES);
    *v = made;
    return true;
}

bool vkey_make(struct vkey *v, const char *name, enum note_alg alg,
               const struct pubkey *key)
{
    uint8_t bytes[VKEY_KEY_BYTES] = {(uint8_t)alg};
    memcpy(bytes + 1, key->b, PUBKEY_BYTES);
    return vkey_fill(v, name, strnlen(name, NOTE_NAME_MAX + 1), bytes);
}

bool vkey_parse(struct vkey *v, const char *text, size_t size)
{
    const char *plus = size > 0 ? memchr(text, '+', size) : NULL;
    if (plus == NULL)
        return false;
    size_t name_size = (size_t)(plus - text);
    const char *digits = plus + 1;
    size_t left = size - name_size - 1;
    uint8_t id[VKEY_ID_DIGITS / 2];
    if (left < VKEY_ID_DIGITS + 1 || digits[VKEY_ID_DIGITS] != '+' ||
        !hex_decode(id, sizeof id, digits, VKEY_ID_DIGITS))
        return false;

    uint8_t key[VKEY_KEY_BYTES];
    size_t key_size;
    if (!base64_decode(key, sizeof key, &key_size, digits + VKEY_ID_DIGITS + 1,
                       left - VKEY_ID_DIGITS - 1) ||
        key_size != sizeof key)
        return false;

    struct vkey found;
    if (!vkey_fill(&found, text, name_size, key))
        return false;
    uint32_t claimed =
        (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
    if (found.id != claimed)
        return false;
    *v = found;
    return true;
}

size_t vkey_format(const struct vkey *v, char *out, size_t cap)
{
    uint8_t key[VKEY_KEY_BYTES] = {v->alg};
    memcpy(key + 1, v->key.b, PUBKEY_BYTES);
    char text[VKEY_KEY_BYTES * 4 / 3 + 1];
    base64_encode(text, sizeof text, key, sizeof key);
    int length = snprintf(out, cap, "%s+%08" PRIx32 "+%s", v->name, v->id, text);
    return length > 0 && (size_t)length < cap ? (size_t)length : 0;
}
