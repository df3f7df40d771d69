#include "ledger/bech32m.h"

#include <string.h>

#define CHECKSUM_CHARS 6
#define BECH32M_CONST UINT32_C(0x2bc830a3)
#define TEXT_MAX 90

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t step(uint32_t check, uint32_t value)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                          0x2a1462b3};
    uint32_t top = check >> 25;
    check = (check & 0x1ffffff) << 5 ^ value;
    for (unsigned i = 0; i < 5; i++)
        if (top >> i & 1)
            check ^= generator[i];
    return check;
}

static uint32_t prefix_check(const char *prefix, size_t size)
{
    uint32_t check = 1;
    for (size_t i = 0; i < size; i++)
        check = step(check, (uint32_t)(unsigned char)prefix[i] >> 5);
    check = step(check, 0);
    for (size_t i = 0; i < size; i++)
        check = step(check, (uint32_t)(unsigned char)prefix[i] & 31);
    return check;
}

size_t bech32m_encode(char *out, const char *prefix,
                      const uint8_t payload[BECH32M_PAYLOAD_BYTES])
{
    size_t prefix_size = strlen(prefix);
    uint32_t check = prefix_check(prefix, prefix_size);
    memcpy(out, prefix, prefix_size);
    size_t at = prefix_size;
    out[at++] = '1';

    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < BECH32M_PAYLOAD_BYTES; i++) {
        bits = bits << 8 | payload[i];
        bit_count += 8;
        for (; bit_count >= 5; bit_count -= 5) {
            uint32_t value = bits >> (bit_count - 5) & 31;
            check = step(check, value);
            out[at++] = charset[value];
        }
    }
    uint32_t last = bits << (5 - bit_count) & 31; /* 256 = 51 * 5 + 1 bits */
    check = step(check, last);
    out[at++] = charset[last];

    for (unsigned i = 0; i < CHECKSUM_CHARS; i++)
        check = step(check, 0);
    check ^= BECH32M_CONST;
    for (unsigned i = 0; i < CHECKSUM_CHARS; i++)
        out[at++] = charset[check >> (5 * (CHECKSUM_CHARS - 1 - i)) & 31];
    return at;
}

/* Copy in lower case; false for mixed case, for what is not printable, or too long. */
static bool lower(char out[TEXT_MAX], const char *text, size_t size)
{
    bool has_lower = false, has_upper = false;
    if (size > TEXT_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c < 33 || c > 126)
            return false;
        has_lower |= c >= 'a' && c <= 'z';
        has_upper |= c >= 'A' && c <= 'Z';
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return !(has_lower && has_upper);
}

/* Values of the characters behind the separator; false for a character outside the set.
 */
static bool values_of(uint8_t *values, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char *found = strchr(charset, text[i]);
        if (!found || text[i] == '\0')
            return false;
        values[i] = (uint8_t)(found - charset);
    }
    return true;
}

/* Lower-case text to values; the checksum is right. */
static bool open_text(const char *text, size_t size, size_t *prefix_size,
                      uint8_t values[TEXT_MAX])
{
    size_t separator = size;
    while (separator > 0 && text[separator - 1] != '1')
        separator--;
    if (separator < 2 || size - separator < CHECKSUM_CHARS)
        return false;
    *prefix_size = separator - 1;
    if (!values_of(values, text + separator, size - separator))
        return false;
    uint32_t check = prefix_check(text, *prefix_size);
    for (size_t i = 0; i < size - separator; i++)
        check = step(check, values[i]);
    return check == BECH32M_CONST;
}

bool bech32m_checksum_ok(const char *text, size_t size)
{
    char small[TEXT_MAX];
    uint8_t values[TEXT_MAX];
    size_t prefix_size;
    return lower(small, text, size) && open_text(small, size, &prefix_size, values);
}

bool bech32m_decode(uint8_t payload[BECH32M_PAYLOAD_BYTES], const char *prefix,
                    const char *text, size_t size)
{
    char small[TEXT_MAX];
    uint8_t values[TEXT_MAX];
    size_t prefix_size;
    size_t wanted = strlen(prefix);
    if (size != wanted + 1 + BECH32M_DATA_CHARS || !lower(small, text, size) ||
        !open_text(small, size, &prefix_size, values))
        return false;
    if (prefix_size != wanted || memcmp(small, prefix, wanted) != 0)
        return false;

    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t filled = 0;
    for (size_t i = 0; i < BECH32M_DATA_CHARS - CHECKSUM_CHARS; i++) {
        bits = bits << 5 | values[i];
        bit_count += 5;
        if (bit_count >= 8) {
            bit_count -= 8;
            payload[filled++] = (uint8_t)(bits >> bit_count);
        }
    }
    return filled == BECH32M_PAYLOAD_BYTES && (bits & ((1u << bit_count) - 1)) == 0;
}
