/* One trace line being built: keys, values and escaping, logfmt or JSON. Used by trace.c
 * only. A field that does not fit is left out whole and sets `cut`. Pure. */
#ifndef LEDGER_TRACE_TEXT_H
#define LEDGER_TRACE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "ledger/bytes.h"
#include "ledger/trace.h"

struct trace_text {
    char *line; /* borrowed */
    size_t size;
    size_t cap;
    bool json;
    bool cut;
};

void trace_put_raw(struct trace_text *t, const char *text);
/* key and text; at most TRACE_TEXT_MAX bytes of it. */
void trace_put_text(struct trace_text *t, const char *key, struct bytes text);
void trace_put_field(struct trace_text *t, const struct trace_field *field);

#endif
