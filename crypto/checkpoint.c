#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/internal.h"
#include "crypto/note.h"

#define HASH_TEXT_BYTES 44 /* 32 bytes in base64 */

static bool checkpoint_allowed(const struct checkpoint *c)
{
    struct hash empty = hash_empty();
    return note_name_ok(c->origin, strnlen(c->origin, sizeof c->origin)) &&
           c->size <= INT64_MAX && (c->size != 0 || hash_equal(&c->root, &empty));
}

size_t checkpoint_format(char *out, size_t cap, const struct checkpoint *c)
{
    if (!checkpoint_allowed(c))
        return 0;
    char root[HASH_TEXT_BYTES + 1];
    base64_encode(root, sizeof root, c->root.b, HASH_BYTES);
    int length = snprintf(out, cap, "%s\n%" PRIu64 "\n%s\n", c->origin, c->size, root);
    return length > 0 && (size_t)length < cap ? (size_t)length : 0;
}

/* The next line, LF left out. */
static bool take_line(const char **at, const char *end, const char **line, size_t *size)
{
    const char *lf = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (lf == NULL)
        return false;
    *line = *at;
    *size = (size_t)(lf - *at);
    *at = lf + 1;
    return true;
}

bool checkpoint_parse(struct checkpoint *c, const char *text, size_t size)
{
    const char *at = text;
    const char *end = text + size;
    const char *origin;
    const char *count;
    const char *root;
    size_t origin_size;
    size_t count_size;
    size_t root_size;
    if (!take_line(&at, end, &origin, &origin_size) ||
        !take_line(&at, end, &count, &count_size) ||
        !take_line(&at, end, &root, &root_size) || at != end)
        return false;

    struct checkpoint found = {.size = 0};
    size_t hash_size;
    if (origin_size > NOTE_NAME_MAX || !decimal_parse(count, count_size, &found.size) ||
        !base64_decode(found.root.b, HASH_BYTES, &hash_size, root, root_size) ||
        hash_size != HASH_BYTES)
        return false;
    memcpy(found.origin, origin, origin_size);
    /* A zero byte in the origin would shorten it. */
    if (strlen(found.origin) != origin_size || !checkpoint_allowed(&found))
        return false;
    *c = found;
    return true;
}

size_t checkpoint_sign(char *out, size_t cap, const struct checkpoint *c,
                       const struct vkey *v, const struct key *k)
{
    char text[CHECKPOINT_BYTES_MAX];
    size_t size = checkpoint_format(text, sizeof text, c);
    if (size == 0 || strcmp(c->origin, v->name) != 0)
        return 0;
    return note_sign(out, cap, text, size, v, k);
}

bool checkpoint_open(struct checkpoint *c, const char *data, size_t size,
                     const struct vkey *v)
{
    struct note n;
    struct checkpoint found;
    if (v->alg != NOTE_ED25519 || note_open(&n, data, size, v, 1) != NOTE_OK ||
        !checkpoint_parse(&found, n.text, n.text_size) ||
        strcmp(found.origin, v->name) != 0)
        return false;
    *c = found;
    return true;
}
