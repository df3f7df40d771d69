#include "relay/http_range.h"

#include <stdbool.h>
#include <string.h>

#define UNIT "bytes="

/* Decimal digits; a number past 2^64 is as good as the largest. */
static bool number(const char **at, uint64_t *out)
{
    const char *p = *at;
    *out = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        *out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
    }
    bool any = p != *at;
    *at = p;
    return any;
}

struct http_range http_range_parse(const char *text)
{
    struct http_range none = {.kind = RANGE_NONE}, r = none;
    if (strncmp(text, UNIT, strlen(UNIT)) != 0)
        return none;
    text += strlen(UNIT);
    bool from = number(&text, &r.first);
    if (*text++ != '-')
        return none;
    bool to = number(&text, &r.last);
    if (*text != 0 || (!from && !to) || (from && to && r.last < r.first))
        return none;
    r.kind = from ? RANGE_FROM : RANGE_LAST;
    if (from && !to)
        r.last = UINT64_MAX;
    if (!from)
        r.first = r.last;
    return r;
}

unsigned http_range_apply(const struct http_range *r, size_t whole, size_t *from,
                          size_t *size)
{
    *from = 0;
    *size = whole;
    if (r->kind == RANGE_NONE)
        return 200;
    if (r->kind == RANGE_LAST) {
        if (r->first == 0 || whole == 0) {
            *size = 0;
            return 416;
        }
        *size = r->first < whole ? (size_t)r->first : whole;
        *from = whole - *size;
        return 206;
    }
    if (r->first >= whole) {
        *size = 0;
        return 416;
    }
    *from = (size_t)r->first;
    *size = (r->last < whole ? (size_t)r->last + 1 : whole) - *from;
    return 206;
}
