/* Bytes of canonical MessagePack with names beside them. */
#include <string.h>

#include "ledger/mp.h"
#include "vectors.h"

#define NAME_COLUMN 24

/* The end of one name with what it holds in brackets. */
static const char *spec_end(const char *spec)
{
    unsigned depth = 0;
    for (; *spec; spec++) {
        if (*spec == '(' || *spec == '[')
            depth++;
        else if (*spec == ')' || *spec == ']') {
            if (depth == 0)
                return spec;
            depth--;
        } else if (*spec == ',' && depth == 0) {
            return spec;
        }
    }
    return spec;
}

static size_t header_size(uint8_t tag)
{
    switch (tag) {
    case 0xc4:
    case 0xd9:
        return 2;
    case 0xc5:
    case 0xda:
    case 0xdc:
        return 3;
    case 0xc6:
    case 0xdb:
    case 0xdd:
        return 5;
    default:
        return 1;
    }
}

static void put_hex(FILE *out, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", data[i]);
}

static void put_value(FILE *out, const struct bytes value)
{
    size_t head = header_size(value.data[0]);
    put_hex(out, value.data, head);
    if (value.size > head) {
        fputc(' ', out);
        put_hex(out, value.data + head, value.size - head);
    }
    uint8_t tag = value.data[0];
    if ((tag >= 0xa0 && tag <= 0xbf) || tag == 0xd9)
        fprintf(out, "  \"%.*s\"", (int)(value.size - head),
                (const char *)value.data + head);
    else if (tag >= 0xcc && tag <= 0xcf) {
        struct mp_reader r = mp_reader_of(value.data, value.size);
        uint64_t v = 0;
        mp_read_uint(&r, &v);
        fprintf(out, "  %llu", (unsigned long long)v);
    }
    fputc('\n', out);
}

static void put_name(FILE *out, const char *name, size_t size, unsigned indent)
{
    int pad = NAME_COLUMN - (int)(2 * indent) - (int)size;
    fprintf(out, "%*s%.*s%*s", (int)(2 * indent), "", (int)size, name, pad > 1 ? pad : 1,
            "");
}

static void walk(FILE *out, const char *spec, struct mp_reader *r, unsigned indent)
{
    const char *end = spec_end(spec);
    size_t name = strcspn(spec, "([,)]");
    put_name(out, spec, name, indent);
    must(r->at < r->end, "value to annotate");
    bool nested = spec + name < end;
    bool array = (*r->at & 0xf0) == 0x90 || *r->at == 0xdc;
    if (!nested || !array) {
        struct bytes value;
        must(mp_read_raw(r, &value), "annotated value reads");
        put_value(out, value);
        return;
    }
    struct bytes head = bytes_of(r->at, header_size(*r->at));
    size_t count;
    must(mp_read_array(r, &count, SIZE_MAX), "annotated array reads");
    put_hex(out, head.data, head.size);
    fprintf(out, "  array of %zu\n", count);
    bool list = spec[name] == '[';
    const char *at = spec + name + 1;
    for (size_t i = 0; i < count; i++) {
        walk(out, at, r, indent + 1);
        if (list)
            continue;
        at = spec_end(at);
        must(i + 1 == count ? *at == ')' : *at == ',', "names fit the array");
        at++;
    }
}

void annotate(FILE *out, const char *spec, struct bytes value)
{
    struct mp_reader r = mp_reader_of(value.data, value.size);
    walk(out, spec, &r, 0);
    must(mp_done(&r), "annotation reaches the end");
}
