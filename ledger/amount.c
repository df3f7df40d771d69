#include "ledger/address.h"

#define MICRO 1000000
#define POINTS_MAX INT64_C(1000000000000)
#define DECIMALS 6

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool amount_parse(const char *text, int64_t *micro)
{
    const char *at = text;
    int64_t points = 0;
    if (!is_digit(*at) || (*at == '0' && is_digit(at[1])))
        return false;
    for (; is_digit(*at); at++) {
        points = points * 10 + (*at - '0');
        if (points > POINTS_MAX)
            return false;
    }

    int64_t fraction = 0;
    if (*at == '.') {
        unsigned digits = 0;
        for (at++; is_digit(*at); at++) {
            if (++digits > DECIMALS)
                return false;
            fraction = fraction * 10 + (*at - '0');
        }
        if (digits == 0)
            return false;
        for (; digits < DECIMALS; digits++)
            fraction *= 10;
    }
    if (*at != '\0' || (points == POINTS_MAX && fraction > 0))
        return false;
    *micro = points * MICRO + fraction;
    return true;
}

void amount_format(char *out, int64_t micro)
{
    uint64_t size = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    uint64_t points = size / MICRO;
    uint64_t fraction = size % MICRO;

    char reversed[20];
    unsigned count = 0;
    do
        reversed[count++] = (char)('0' + points % 10);
    while ((points /= 10) > 0);

    if (micro < 0)
        *out++ = '-';
    while (count > 0)
        *out++ = reversed[--count];
    *out++ = '.';
    unsigned digits = 0;
    for (uint64_t unit = MICRO / 10; unit > 0 && (digits < 2 || fraction > 0);
         unit /= 10) {
        *out++ = (char)('0' + fraction / unit);
        fraction %= unit;
        digits++;
    }
    *out = '\0';
}
