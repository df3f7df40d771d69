/* A Range header that is taken asks for the bytes that a second reading of the RFC's words
 * asks for, whatever the body's length; what is not one plain range asks for the whole. First
 * two bytes: the body's length; the rest the header's value. */
#include <string.h>

#include "fuzz.h"
#include "input.h"
#include "relay/http_range.h"

#define TEXT_MAX 64
#define WHOLE_MAX 300

/* RFC 9110 section 14.1.2, said again: two strings of digits round a dash, numbers kept as far
 * as they can matter here. */
struct plain {
    bool good, from, to;
    unsigned first, last; /* WHOLE_MAX + 1 and more is all the same */
    bool backwards;
};

static const char *digits(const char *at, bool *any, unsigned *value)
{
    *any = false;
    *value = 0;
    for (; *at && strchr("0123456789", *at); at++) {
        *any = true;
        *value = *value * 10 + (unsigned)(*at - '0');
        *value = *value > 1000000 ? 1000000 : *value;
    }
    return at;
}

/* Is the number written at a larger than the one at b? Without leading zeros, by length. */
static bool larger(const char *a, const char *b)
{
    a += strspn(a, "0");
    b += strspn(b, "0");
    size_t x = strspn(a, "0123456789"), y = strspn(b, "0123456789");
    return x != y ? x > y : strncmp(a, b, x) > 0;
}

static struct plain read_plain(const char *text)
{
    struct plain p = {.good = false};
    if (strncmp(text, "bytes=", 6) != 0)
        return p;
    const char *first = text + 6, *at = digits(first, &p.from, &p.first);
    if (*at != '-')
        return p;
    const char *last = at + 1;
    at = digits(last, &p.to, &p.last);
    p.backwards = p.from && p.to && larger(first, last);
    p.good = *at == 0 && (p.from || p.to) && !p.backwards;
    return p;
}

static bool wanted(const struct plain *p, unsigned i, unsigned whole)
{
    if (!p->good)
        return true;
    if (!p->from)
        return i + p->last >= whole; /* a suffix */
    return i >= p->first && (!p->to || i <= p->last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX + 1];
    struct input in = input_of(data, size);
    unsigned whole = (unsigned)take(&in, 2) % (WHOLE_MAX + 1);
    struct bytes value = take_bytes(&in, TEXT_MAX);
    if (value.size > 0)
        memcpy(text, value.data, value.size);
    text[value.size] = 0;

    struct http_range r = http_range_parse(text);
    struct plain p = read_plain(text);
    /* Beyond 2^64 two numbers are as good as equal, so only there may "backwards" pass. */
    if (!(p.backwards && r.kind != RANGE_NONE && r.first == UINT64_MAX))
        PROPERTY((r.kind != RANGE_NONE) == p.good);
    size_t from, part;
    unsigned status = http_range_apply(&r, whole, &from, &part);
    PROPERTY(from <= whole && part <= whole - from);
    PROPERTY(status == 200 || status == 206 || status == 416);
    PROPERTY((status == 200) == (r.kind == RANGE_NONE));
    PROPERTY((status == 416) == (status != 200 && part == 0));
    for (unsigned i = 0; i < whole; i++)
        PROPERTY((i >= from && i < from + part) == (wanted(&p, i, whole) && status != 416));
    return 0;
}
