#include "ledger/trace_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(struct trace_text *t, const char *data, size_t size)
{
    if (size > t->cap - t->size) {
        t->cut = true;
        return;
    }
    memcpy(t->line + t->size, data, size);
    t->size += size;
}

void trace_put_raw(struct trace_text *t, const char *text)
{
    put(t, text, strlen(text));
}

/* One code point of UTF-8 at p; its length, or 0 when the bytes are not one. */
static size_t code_point(const uint8_t *p, size_t left, uint32_t *out)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = p[0] < 0x80   ? 1
                  : p[0] < 0xc2 ? 0
                  : p[0] < 0xe0 ? 2
                  : p[0] < 0xf0 ? 3
                                : 4;
    if (size == 0 || p[0] > 0xf4 || size > left)
        return 0;
    uint32_t v = size == 1 ? p[0] : (uint32_t)(p[0] & (0x7f >> size));
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (v < least[size] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *out = v;
    return size;
}

/* Controls, and what changes the order or the lines of the text around it. */
static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

static bool needs_quotes(struct bytes text)
{
    if (text.size == 0)
        return true;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f || strchr("\"\\=", text.data[i]))
            return true;
    return false;
}

static void put_escaped(struct trace_text *t, uint32_t c)
{
    char escape[16];
    if (c == '\n' || c == '\r' || c == '\t')
        snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else
        snprintf(escape, sizeof escape, "\\u%04" PRIx32, c);
    trace_put_raw(t, escape);
}

static void put_quoted(struct trace_text *t, struct bytes text)
{
    put(t, "\"", 1);
    for (size_t i = 0; i < text.size;) {
        uint32_t c = 0;
        size_t size = code_point(text.data + i, text.size - i, &c);
        if (size == 0)
            trace_put_raw(t, "\\ufffd");
        else if (is_unsafe(c))
            put_escaped(t, c);
        else if (c == '"' || c == '\\')
            put(t, c == '"' ? "\\\"" : "\\\\", 2);
        else
            put(t, (const char *)text.data + i, size);
        i += size ? size : 1;
    }
    put(t, "\"", 1);
}

static void put_key(struct trace_text *t, const char *key)
{
    if (t->json) {
        if (t->size > 1)
            put(t, ",", 1);
        put_quoted(t, bytes_of(key, strlen(key)));
        put(t, ":", 1);
    } else {
        if (t->size > 0)
            put(t, " ", 1);
        trace_put_raw(t, key);
        put(t, "=", 1);
    }
}

static void put_value_text(struct trace_text *t, struct bytes text)
{
    if (t->json || needs_quotes(text))
        put_quoted(t, text);
    else
        put(t, (const char *)text.data, text.size);
}

void trace_put_text(struct trace_text *t, const char *key, struct bytes text)
{
    uint8_t shown[TRACE_TEXT_MAX + 1];
    if (text.size > TRACE_TEXT_MAX) {
        memcpy(shown, text.data, TRACE_TEXT_MAX);
        shown[TRACE_TEXT_MAX] = '~';
        text = bytes_of(shown, sizeof shown);
    }
    size_t before = t->size;
    bool cut = t->cut;
    t->cut = false;
    put_key(t, key);
    put_value_text(t, text);
    if (t->cut)
        t->size = before;
    t->cut = t->cut || cut;
}

static void put_hex_text(struct trace_text *t, const char *key, struct bytes b)
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * TRACE_HEX_MAX + 1];
    size_t shown = b.size < TRACE_HEX_MAX ? b.size : TRACE_HEX_MAX;
    size_t size = 0;
    for (size_t i = 0; i < shown; i++) {
        hex[size++] = digits[b.data[i] >> 4];
        hex[size++] = digits[b.data[i] & 15];
    }
    if (shown < b.size)
        hex[size++] = '~';
    trace_put_text(t, key, bytes_of(hex, size));
}

/* A number, true or false: never needs quotes. */
static void put_bare(struct trace_text *t, const char *key, const char *value)
{
    size_t before = t->size;
    bool cut = t->cut;
    t->cut = false;
    put_key(t, key);
    trace_put_raw(t, value);
    if (t->cut)
        t->size = before;
    t->cut = t->cut || cut;
}

void trace_put_field(struct trace_text *t, const struct trace_field *field)
{
    char number[32];
    switch (field->is) {
    case TRACE_IS_U64:
        snprintf(number, sizeof number, "%" PRIu64, field->u64);
        put_bare(t, field->key, number);
        break;
    case TRACE_IS_I64:
        snprintf(number, sizeof number, "%" PRId64, field->i64);
        put_bare(t, field->key, number);
        break;
    case TRACE_IS_BOOL:
        put_bare(t, field->key, field->boolean ? "true" : "false");
        break;
    case TRACE_IS_MS:
        snprintf(number, sizeof number, t->json ? "%" PRIu64 : "%" PRIu64 "ms",
                 field->u64);
        put_bare(t, field->key, number);
        break;
    case TRACE_IS_TEXT:
        trace_put_text(t, field->key, field->bytes);
        break;
    case TRACE_IS_HEX:
        put_hex_text(t, field->key, field->bytes);
        break;
    }
}
