/* address_parse and amount_parse never crash; what they take is written again as the same
 * address (in lower case) and as the same amount. */
#include <string.h>

#include "fuzz.h"
#include "ledger/address.h"

static void check_address(const char *text)
{
    struct hash account;
    char hub[HUB_NAME_MAX + 1], again[ADDRESS_TEXT_MAX];
    if (!address_parse(text, &account, hub))
        return;
    PROPERTY(address_format(again, &account, hub) == strlen(text));
    for (size_t i = 0; text[i]; i++) {
        char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        PROPERTY(again[i] == c);
    }
}

static void check_amount(const char *text)
{
    int64_t micro, found;
    char again[32];
    if (!amount_parse(text, &micro))
        return;
    PROPERTY(micro >= 0 && micro <= INT64_C(1000000000000000000));
    amount_format(again, micro);
    PROPERTY(amount_parse(again, &found) && found == micro);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    check_address(text);
    check_amount(text);
    free(text);
    return 0;
}
