#include "crypto/note.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/internal.h"

#define EM_DASH_SPACE "\xe2\x80\x94 "
#define LINE_HEAD_BYTES 4 /* em dash, space */
#define ID_BYTES 4
#define TIME_BYTES 8
#define PLAIN_LINE_BYTES (ID_BYTES + SIG_BYTES)
#define COSIGN_LINE_BYTES (ID_BYTES + TIME_BYTES + SIG_BYTES)
#define COSIGN_HEAD_MAX 48 /* "cosignature/v1" LF "time " 19 digits LF */
#define KEYS_MAX 64

static void put_be(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i-- > 0; value >>= 8)
        out[i] = (uint8_t)value;
}

static uint64_t get_be(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

/* UTF-8, and no byte below 20 but LF. */
static bool bytes_allowed(const char *data, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint32_t rune;
        size_t step = utf8_step(data + i, size - i, &rune);
        if (step == 0 || (rune < 0x20 && rune != '\n'))
            return false;
        i += step;
    }
    return true;
}

static bool text_allowed(const char *text, size_t size)
{
    return size > 0 && size <= NOTE_BYTES_MAX && text[size - 1] == '\n' &&
           bytes_allowed(text, size);
}

/* ---- cosignature/v1 ---- */

static size_t cosign_message(uint8_t *out, size_t cap, uint64_t unix_seconds,
                             const char *text, size_t text_size)
{
    int head =
        snprintf((char *)out, cap, "cosignature/v1\ntime %" PRIu64 "\n", unix_seconds);
    assert(head > 0 && head < COSIGN_HEAD_MAX && (size_t)head + text_size <= cap);
    memcpy(out + head, text, text_size);
    return (size_t)head + text_size;
}

static __attribute__((noinline)) bool cosign_verify(const struct signature *sig,
                                                    const struct pubkey *key,
                                                    uint64_t time, const char *text,
                                                    size_t text_size)
{
    uint8_t message[COSIGN_HEAD_MAX + NOTE_BYTES_MAX];
    if (time > INT64_MAX || text_size > NOTE_BYTES_MAX)
        return false;
    size_t size = cosign_message(message, sizeof message, time, text, text_size);
    return sig_verify_bare(sig, key, message, size);
}

/* ---- opening ---- */

struct line {
    const char *name;
    size_t name_size;
    const char *value; /* base64, checked */
    size_t value_size;
    size_t decoded_size;
    uint32_t id;
};

/* `data` is one signature line without its LF. */
static bool line_parse(struct line *line, const char *data, size_t size)
{
    if (size < LINE_HEAD_BYTES || memcmp(data, EM_DASH_SPACE, LINE_HEAD_BYTES) != 0)
        return false;
    const char *name = data + LINE_HEAD_BYTES;
    size_t left = size - LINE_HEAD_BYTES;
    const char *space = left > 0 ? memchr(name, ' ', left) : NULL;
    if (space == NULL)
        return false;
    size_t name_size = (size_t)(space - name);
    *line = (struct line){.name = name,
                          .name_size = name_size,
                          .value = space + 1,
                          .value_size = left - name_size - 1};
    if (!note_name_shape_ok(name, name_size) ||
        !base64_check(line->value, line->value_size, &line->decoded_size) ||
        line->decoded_size <= ID_BYTES)
        return false;

    uint8_t head[6]; /* eight characters: the id and what follows it */
    size_t head_size;
    if (!base64_decode(head, sizeof head, &head_size, line->value, 8))
        return false;
    line->id = (uint32_t)get_be(head, ID_BYTES);
    return true;
}

static bool line_is_by(const struct line *line, const struct vkey *v)
{
    return line->id == v->id && strlen(v->name) == line->name_size &&
           memcmp(v->name, line->name, line->name_size) == 0;
}

/* *time is set for a cosignature that verifies. */
static bool line_verify(const struct line *line, const struct vkey *v, const char *text,
                        size_t text_size, uint64_t *time)
{
    uint8_t value[COSIGN_LINE_BYTES];
    size_t size;
    size_t wanted = v->alg == NOTE_COSIGNATURE ? COSIGN_LINE_BYTES : PLAIN_LINE_BYTES;
    if (line->decoded_size != wanted ||
        !base64_decode(value, sizeof value, &size, line->value, line->value_size))
        return false;

    struct signature sig;
    memcpy(sig.b, value + wanted - SIG_BYTES, SIG_BYTES);
    if (v->alg == NOTE_ED25519)
        return sig_verify_bare(&sig, &v->key, text, text_size);
    if (v->alg != NOTE_COSIGNATURE)
        return false;
    uint64_t claimed = get_be(value + ID_BYTES, TIME_BYTES);
    if (!cosign_verify(&sig, &v->key, claimed, text, text_size))
        return false;
    *time = claimed;
    return true;
}

/* Where the text ends (its final LF included): before the last empty line. 0: nowhere. */
static size_t text_end(const char *data, size_t size)
{
    for (size_t i = size; i >= 2; i--)
        if (data[i - 2] == '\n' && data[i - 1] == '\n')
            return i - 1;
    return 0;
}

/* Check one line against every known key. False: a known key's line fails. */
static bool note_line(struct note *n, const struct line *line, const struct vkey keys[],
                      size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        if (!line_is_by(line, &keys[i]))
            continue;
        uint64_t time = 0;
        if (!line_verify(line, &keys[i], n->text, n->text_size, &time))
            return false;
        n->verified |= UINT64_C(1) << i;
        if (i < sizeof n->cosign_time / sizeof n->cosign_time[0] &&
            time > n->cosign_time[i])
            n->cosign_time[i] = time;
    }
    return true;
}

static enum note_verdict note_lines(struct note *n, const char *data, size_t size,
                                    const struct vkey keys[], size_t key_count)
{
    bool bad = false;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(data + at, '\n', size - at);
        struct line line;
        if (end == NULL || n->signature_count == NOTE_SIGNATURES_MAX ||
            !line_parse(&line, data + at, (size_t)(end - data) - at))
            return NOTE_MALFORMED;
        n->signature_count++;
        /* A later malformed line outweighs a bad one: the verdict is one of the bytes,
         * not of the keys we happen to hold. */
        bad = bad || !note_line(n, &line, keys, key_count);
        at = (size_t)(end - data) + 1;
    }
    if (n->signature_count == 0)
        return NOTE_MALFORMED;
    if (bad)
        return NOTE_BAD;
    return n->verified != 0 ? NOTE_OK : NOTE_UNKNOWN;
}

enum note_verdict note_open(struct note *out, const char *data, size_t size,
                            const struct vkey keys[], size_t key_count)
{
    assert(key_count <= KEYS_MAX);
    *out = (struct note){.text = NULL};
    if (size > NOTE_BYTES_MAX)
        return NOTE_MALFORMED;
    size_t text_size = text_end(data, size);
    if (text_size == 0 || !bytes_allowed(data, size))
        return NOTE_MALFORMED;

    struct note found = {.text = data, .text_size = text_size};
    enum note_verdict verdict =
        note_lines(&found, data + text_size + 1, size - text_size - 1, keys, key_count);
    if (verdict == NOTE_OK)
        *out = found;
    return verdict;
}

/* ---- making ---- */

/* "— name base64" LF; 0 when cap is too small. */
static size_t put_line(char *out, size_t cap, const char *name, const uint8_t *value,
                       size_t size)
{
    int head = snprintf(out, cap, EM_DASH_SPACE "%s ", name);
    if (head <= 0 || (size_t)head >= cap)
        return 0;
    size_t used = (size_t)head;
    size_t put = base64_encode(out + used, cap - used, value, size);
    if (put == 0 || used + put + 1 >= cap)
        return 0;
    used += put;
    out[used++] = '\n';
    out[used] = 0;
    return used;
}

static bool may_sign(const struct vkey *v, enum note_alg alg, const struct key *k)
{
    struct pubkey pub = key_public(k);
    return v->alg == alg && pubkey_equal(&v->key, &pub);
}

size_t note_sign(char *out, size_t cap, const char *text, size_t text_size,
                 const struct vkey *v, const struct key *k)
{
    if (!may_sign(v, NOTE_ED25519, k) || !text_allowed(text, text_size) ||
        text_size + 1 >= cap)
        return 0;

    uint8_t value[PLAIN_LINE_BYTES];
    put_be(value, v->id, ID_BYTES);
    struct signature sig = key_sign_bare(k, text, text_size);
    memcpy(value + ID_BYTES, sig.b, SIG_BYTES);

    memmove(out, text, text_size);
    out[text_size] = '\n';
    size_t head = text_size + 1;
    size_t line = put_line(out + head, cap - head, v->name, value, sizeof value);
    return line == 0 || head + line > NOTE_BYTES_MAX ? 0 : head + line;
}

size_t note_cosign_line(char *out, size_t cap, const char *text, size_t text_size,
                        uint64_t unix_seconds, const struct vkey *v, const struct key *k)
{
    uint8_t message[COSIGN_HEAD_MAX + NOTE_BYTES_MAX];
    if (!may_sign(v, NOTE_COSIGNATURE, k) || !text_allowed(text, text_size) ||
        unix_seconds == 0 || unix_seconds > INT64_MAX)
        return 0;

    size_t size = cosign_message(message, sizeof message, unix_seconds, text, text_size);
    struct signature sig = key_sign_bare(k, message, size);
    uint8_t value[COSIGN_LINE_BYTES];
    put_be(value, v->id, ID_BYTES);
    put_be(value + ID_BYTES, unix_seconds, TIME_BYTES);
    memcpy(value + ID_BYTES + TIME_BYTES, sig.b, SIG_BYTES);
    return put_line(out, cap, v->name, value, sizeof value);
}
