#include <string.h>

#include "crypto/internal.h"
#include "crypto/note.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(char *out, size_t cap, const void *data, size_t size)
{
    if (size > SIZE_MAX / 4 || (size + 2) / 3 * 4 >= cap)
        return 0;
    const uint8_t *in = data;
    size_t used = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)in[i] << 16;
        if (left > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            group |= in[i + 2];
        out[used++] = alphabet[group >> 18 & 63];
        out[used++] = alphabet[group >> 12 & 63];
        out[used++] = '=';
        out[used++] = '=';
        if (left > 1)
            out[used - 2] = alphabet[group >> 6 & 63];
        if (left > 2)
            out[used - 1] = alphabet[group & 63];
    }
    out[used] = 0;
    return used;
}

/* 0..63, or 64 for a character outside the alphabet. */
static uint32_t digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 64;
}

/* Four characters to 1..3 bytes; 0 when they are none. Padding only where `last` allows.
 */
static size_t decode_group(uint8_t out[3], const char *text, bool last)
{
    size_t padding = 0;
    if (last && text[3] == '=')
        padding = text[2] == '=' ? 2 : 1;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t digit = i < 4 - padding ? digit_of(text[i]) : 0;
        if (digit > 63)
            return 0;
        group = group << 6 | digit;
    }
    /* Bits that stand for no byte must be zero, or two texts would mean the same bytes.
     */
    if ((padding == 1 && (group & 0xff) != 0) || (padding == 2 && (group & 0xffff) != 0))
        return 0;
    out[0] = (uint8_t)(group >> 16);
    out[1] = (uint8_t)(group >> 8);
    out[2] = (uint8_t)group;
    return 3 - padding;
}

bool base64_check(const char *text, size_t size, size_t *decoded_size)
{
    if (size % 4 != 0)
        return false;
    size_t total = 0;
    for (size_t i = 0; i < size; i += 4) {
        uint8_t group[3];
        size_t bytes = decode_group(group, text + i, i + 4 == size);
        if (bytes == 0)
            return false;
        total += bytes;
    }
    *decoded_size = total;
    return true;
}

bool base64_decode(uint8_t *out, size_t cap, size_t *out_size, const char *text,
                   size_t size)
{
    size_t total;
    if (!base64_check(text, size, &total) || total > cap)
        return false;
    size_t used = 0;
    for (size_t i = 0; i < size; i += 4) {
        uint8_t group[3];
        size_t bytes = decode_group(group, text + i, i + 4 == size);
        memcpy(out + used, group, bytes);
        used += bytes;
    }
    *out_size = used;
    return true;
}

static const char hex_digits[] = "0123456789abcdef";

void hex_encode(char *out, const void *data, size_t size)
{
    const uint8_t *in = data;
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = hex_digits[in[i] >> 4];
        out[2 * i + 1] = hex_digits[in[i] & 15];
    }
    out[2 * size] = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(uint8_t *out, size_t out_size, const char *text, size_t size)
{
    if (size % 2 != 0 || size / 2 != out_size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (hex_value(text[i]) < 0)
            return false;
    for (size_t i = 0; i < out_size; i++)
        out[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    return true;
}

bool decimal_parse(const char *text, size_t size, uint64_t *value)
{
    if (size == 0 || (size > 1 && text[0] == '0'))
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (v > (INT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *value = v;
    return true;
}
