#include "ledger/evidence_text.h"

#include <stdlib.h>
#include <string.h>

struct evidence_room {
    struct evidence_room *next;
    uint8_t bytes[];
};

bool evidence_open(struct evidence_lines *l, const char *first, const void *data, size_t size)
{
    size_t n = strlen(first);
    *l = (struct evidence_lines){.at = data, .end = (const char *)data + size};
    if (size > EVIDENCE_BYTES_MAX || size < n || memcmp(data, first, n) != 0)
        return false;
    l->at += n;
    return true;
}

void evidence_close(struct evidence_lines *l)
{
    while (l->rooms) {
        struct evidence_room *r = l->rooms;
        l->rooms = r->next;
        free(r);
    }
}

bool evidence_line(struct evidence_lines *l, const char *name, struct bytes *value)
{
    size_t n = strlen(name);
    if (l->failed || (size_t)(l->end - l->at) < n + 2 || memcmp(l->at, name, n) != 0 ||
        l->at[n] != ' ')
        return false;
    const char *start = l->at + n + 1;
    const char *lf = memchr(start, '\n', (size_t)(l->end - start));
    if (!lf)
        return false;
    *value = bytes_of(start, (size_t)(lf - start));
    l->at = lf + 1;
    return true;
}

static bool decode(struct evidence_lines *l, struct bytes text, struct bytes *out)
{
    size_t cap = text.size / 4 * 3 + 3, size;
    struct evidence_room *r = malloc(sizeof(*r) + cap);
    if (!r)
        return !(l->failed = true);
    r->next = l->rooms;
    l->rooms = r;
    if (text.size == 0 ||
        !base64_decode(r->bytes, cap, &size, (const char *)text.data, text.size))
        return !(l->failed = true);
    *out = bytes_of(r->bytes, size);
    return true;
}

bool evidence_blob(struct evidence_lines *l, const char *name, struct bytes *value)
{
    struct bytes text;
    return evidence_line(l, name, &text) && decode(l, text, value);
}

int evidence_parts(struct evidence_lines *l, const char *name, struct bytes part[],
                   size_t count)
{
    struct bytes text;
    if (!evidence_line(l, name, &text))
        return 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *space = text.size ? memchr(text.data, ' ', text.size) : NULL;
        bool last = i + 1 == count;
        if ((space == NULL) != last)
            return -1;
        struct bytes one = bytes_of(text.data, last ? text.size : (size_t)(space - text.data));
        if (!decode(l, one, &part[i]))
            return -1;
        if (!last)
            text = bytes_of(space + 1, text.size - one.size - 1);
    }
    return 1;
}

bool evidence_done(const struct evidence_lines *l)
{
    return !l->failed && l->at == l->end;
}

bool evidence_put(struct buf *out, const char *name, const char *value, size_t size)
{
    return buf_add(out, name, strlen(name)) && buf_add(out, " ", 1) &&
           buf_add(out, value, size) && buf_add(out, "\n", 1);
}

static bool put_base64(struct buf *out, const void *data, size_t size)
{
    size_t room = (size + 2) / 3 * 4 + 1;
    if (size == 0 || !buf_reserve(out, room))
        return false;
    size_t n = base64_encode((char *)out->data + out->size, room, data, size);
    out->size += n;
    return n > 0;
}

bool evidence_put_parts(struct buf *out, const char *name, const struct bytes part[],
                        size_t count)
{
    if (!buf_add(out, name, strlen(name)))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!buf_add(out, " ", 1) || !put_base64(out, part[i].data, part[i].size))
            return false;
    return buf_add(out, "\n", 1);
}

bool evidence_put_blob(struct buf *out, const char *name, const void *data, size_t size)
{
    struct bytes part = bytes_of(data, size);
    return evidence_put_parts(out, name, &part, 1);
}
