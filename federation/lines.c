#include "federation/lines.h"

#include <stdio.h>
#include <string.h>

#define KEY_ID_BYTES 4
#define TIME_BYTES 8
#define VALUE_BYTES_MAX (KEY_ID_BYTES + TIME_BYTES + SIG_BYTES)
#define DASH "\xe2\x80\x94 "

static void put_be(uint8_t *out, uint64_t v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(v >> 8 * (size - 1 - i));
}

/* Is it a line of this key, by its name and key id? */
static bool names(struct bytes line, const struct vkey *v, uint8_t value[VALUE_BYTES_MAX],
                  size_t *value_size)
{
    char head[sizeof(DASH) + NOTE_NAME_MAX + 2];
    uint8_t id[KEY_ID_BYTES];
    int n = snprintf(head, sizeof(head), DASH "%s ", v->name);
    size_t size = (size_t)n;
    if (n < 0 || line.size <= size + 1 || memcmp(line.data, head, size) != 0 ||
        !base64_decode(value, VALUE_BYTES_MAX, value_size,
                       (const char *)line.data + size, line.size - size - 1))
        return false;
    put_be(id, v->id, sizeof(id));
    return *value_size > SIG_BYTES && memcmp(value, id, sizeof(id)) == 0;
}

/* A note of this one line is what the note code can judge. */
static bool holds(struct signed_line *out, struct bytes text, struct bytes line,
                  const struct vkey *v)
{
    char room[CHECKPOINT_BYTES_MAX + LINE_BYTES_MAX];
    uint8_t value[VALUE_BYTES_MAX];
    size_t value_size;
    struct note n;
    if (line.size > LINE_BYTES_MAX || !names(line, v, value, &value_size) ||
        text.size + 1 + line.size > sizeof(room))
        return false;
    memcpy(room, text.data, text.size);
    room[text.size] = '\n';
    memcpy(room + text.size + 1, line.data, line.size);
    if (note_open(&n, room, text.size + 1 + line.size, v, 1) != NOTE_OK)
        return false;
    out->text = line;
    out->time = n.cosign_time[0];
    memcpy(out->sig.b, value + value_size - SIG_BYTES, SIG_BYTES);
    return true;
}

bool line_find(struct signed_line *out, struct bytes text, struct bytes lines,
               const struct vkey *v)
{
    const uint8_t *at = lines.data, *end = lines.data + lines.size;
    for (unsigned i = 0; i < NOTE_SIGNATURES_MAX && at < end; i++) {
        const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));
        if (!lf)
            return false;
        if (holds(out, text, bytes_of(at, (size_t)(lf - at) + 1), v))
            return true;
        at = lf + 1;
    }
    return false;
}

size_t line_write(char *out, size_t cap, const struct vkey *v, uint64_t time,
                  const struct signature *sig)
{
    uint8_t value[VALUE_BYTES_MAX];
    char text[(VALUE_BYTES_MAX + 2) / 3 * 4 + 1];
    put_be(value, v->id, KEY_ID_BYTES);
    put_be(value + KEY_ID_BYTES, time, TIME_BYTES);
    memcpy(value + KEY_ID_BYTES + TIME_BYTES, sig->b, SIG_BYTES);
    base64_encode(text, sizeof(text), value, sizeof(value));
    int n = snprintf(out, cap, DASH "%s %s\n", v->name, text);
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}
