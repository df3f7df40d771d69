#include "crypto/tlog_proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/internal.h"

#define EXTRA_WORD "extra "
#define INDEX_WORD "index "

/* The next line, LF left out. */
static bool next_line(const char **at, const char *end, const char **line, size_t *size)
{
    const char *lf = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (lf == NULL)
        return false;
    *line = *at;
    *size = (size_t)(lf - *at);
    *at = lf + 1;
    return true;
}

static bool begins(const char *line, size_t size, const char *word)
{
    return size > strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

bool tlog_proof_parse(struct tlog_proof *p, const char *text, size_t size)
{
    const char *at = text + strlen(TLOG_PROOF_FIRST), *end = text + size, *line;
    size_t n;
    *p = (struct tlog_proof){.index = 0};
    if (size > TLOG_PROOF_BYTES_MAX || size < strlen(TLOG_PROOF_FIRST) ||
        memcmp(text, TLOG_PROOF_FIRST, strlen(TLOG_PROOF_FIRST)) != 0 ||
        !next_line(&at, end, &line, &n))
        return false;
    if (begins(line, n, EXTRA_WORD)) {
        size_t decoded;
        p->extra = line + strlen(EXTRA_WORD);
        p->extra_size = n - strlen(EXTRA_WORD);
        if (p->extra_size > TLOG_PROOF_EXTRA_MAX ||
            !base64_check(p->extra, p->extra_size, &decoded) ||
            !next_line(&at, end, &line, &n))
            return false;
    }
    if (!begins(line, n, INDEX_WORD) ||
        !decimal_parse(line + strlen(INDEX_WORD), n - strlen(INDEX_WORD), &p->index))
        return false;
    for (;;) {
        size_t decoded;
        if (!next_line(&at, end, &line, &n))
            return false;
        if (n == 0)
            break;
        if (p->path_count == MERKLE_PATH_MAX ||
            !base64_decode(p->path[p->path_count].b, HASH_BYTES, &decoded, line, n) ||
            decoded != HASH_BYTES)
            return false;
        p->path_count++;
    }
    p->note = at;
    p->note_size = (size_t)(end - at);
    return p->note_size > 0;
}

/* Append; false when it does not fit with a final zero. */
static bool put(char *out, size_t cap, size_t *used, const char *data, size_t size)
{
    if (size >= cap - *used)
        return false;
    memcpy(out + *used, data, size);
    *used += size;
    out[*used] = 0;
    return true;
}

static bool put_base64(char *out, size_t cap, size_t *used, const void *data, size_t size)
{
    size_t n = size > 0 ? base64_encode(out + *used, cap - *used, data, size) : 0;
    *used += n;
    return (n > 0 || size == 0) && put(out, cap, used, "\n", 1);
}

size_t tlog_proof_format(char *out, size_t cap, const struct tlog_proof *p)
{
    char number[32];
    size_t used = 0;
    int n = snprintf(number, sizeof number, INDEX_WORD "%" PRIu64 "\n", p->index);
    if (cap == 0 || p->index > INT64_MAX || p->path_count > MERKLE_PATH_MAX ||
        p->note_size == 0 || p->note_size > NOTE_BYTES_MAX ||
        (p->extra && (p->extra_size == 0 || p->extra_size > TLOG_PROOF_EXTRA_MAX)))
        return 0;
    bool ok = put(out, cap, &used, TLOG_PROOF_FIRST, strlen(TLOG_PROOF_FIRST));
    if (ok && p->extra)
        ok = put(out, cap, &used, EXTRA_WORD, strlen(EXTRA_WORD)) &&
             put(out, cap, &used, p->extra, p->extra_size) &&
             put(out, cap, &used, "\n", 1);
    ok = ok && put(out, cap, &used, number, (size_t)n);
    for (size_t i = 0; ok && i < p->path_count; i++)
        ok = put_base64(out, cap, &used, p->path[i].b, HASH_BYTES);
    ok = ok && put(out, cap, &used, "\n", 1) &&
         put(out, cap, &used, p->note, p->note_size);
    return ok ? used : 0;
}

bool tlog_proof_holds(const struct tlog_proof *p, const struct checkpoint *c,
                      const struct hash *leaf)
{
    return merkle_verify_inclusion(p->index, c->size, leaf, p->path, p->path_count,
                                   &c->root);
}
