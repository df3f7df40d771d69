#include "ledger/address.h"

#include <string.h>

#include "ledger/bech32m.h"

#define PREFIX "stoa"
#define ADDRESS_CHARS (sizeof PREFIX - 1 + 1 + BECH32M_DATA_CHARS)

size_t address_format(char *out, const struct hash *account, const char *hub)
{
    size_t size = bech32m_encode(out, PREFIX, account->b);
    if (hub && hub[0] != '\0') {
        size_t hub_size = strnlen(hub, HUB_NAME_MAX);
        out[size++] = '@';
        memcpy(out + size, hub, hub_size);
        size += hub_size;
    }
    out[size] = '\0';
    return size;
}

/* Copy in lower case with a final zero; false for mixed case. */
static bool lower(char *out, const char *text, size_t size)
{
    bool has_lower = false, has_upper = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        has_lower |= c >= 'a' && c <= 'z';
        has_upper |= c >= 'A' && c <= 'Z';
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    out[size] = '\0';
    return !(has_lower && has_upper);
}

bool address_parse(const char *text, struct hash *account, char *hub)
{
    char small[ADDRESS_TEXT_MAX];
    size_t size = strnlen(text, ADDRESS_TEXT_MAX);
    if (hub)
        hub[0] = '\0';
    if (size < ADDRESS_CHARS || size >= ADDRESS_TEXT_MAX || !lower(small, text, size))
        return false;

    const char *name = small + ADDRESS_CHARS;
    size_t name_size = 0;
    if (size > ADDRESS_CHARS) {
        name++;
        name_size = size - ADDRESS_CHARS - 1;
        if (small[ADDRESS_CHARS] != '@' || !hub_name_ok(name, name_size))
            return false;
    }
    struct hash found;
    if (!bech32m_decode(found.b, PREFIX, small, ADDRESS_CHARS))
        return false;
    *account = found;
    if (hub) {
        memcpy(hub, name, name_size);
        hub[name_size] = '\0';
    }
    return true;
}
