/* A Range header with one byte range (RFC 9110 section 14.1.2). Pure. What is not one plain
 * range is treated as not asked for, as the RFC allows. */
#ifndef RELAY_HTTP_RANGE_H
#define RELAY_HTTP_RANGE_H

#include <stddef.h>
#include <stdint.h>

enum http_range_kind {
    RANGE_NONE,
    RANGE_FROM, /* first to last; last UINT64_MAX: to the end */
    RANGE_LAST  /* the last `first` bytes */
};
struct http_range {
    enum http_range_kind kind;
    uint64_t first, last;
};

struct http_range http_range_parse(const char *text);
/* Status 200 (whole), 206 or 416 for a body of `whole` bytes; where the answer's part starts
 * and how long it is (416: nothing). */
unsigned http_range_apply(const struct http_range *r, size_t whole, size_t *from,
                          size_t *size);

#endif
