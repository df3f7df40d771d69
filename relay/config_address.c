#include <string.h>

#include "relay/config.h"
#include "relay/config_number.h"

#define PORT_MAX 65535

bool config_address(const char *text, char *host, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;
    if (!colon || strlen(text) >= CONFIG_TEXT_MAX ||
        !config_count_parse(colon + 1, &number) || number > PORT_MAX)
        return false;
    size_t size = (size_t)(colon - text);
    if (size > 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    } else if (memchr(text, ':', size)) {
        return false; /* an IPv6 address needs its brackets */
    }
    if (size == 0 || strcspn(text, "[]/ \t") < size)
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    *port = (uint16_t)number;
    return true;
}
