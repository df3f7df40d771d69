#include "federation/witness.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OLD "old "
#define HASH_TEXT_BYTES 44

/* The next line without its LF; false: none ends here. */
static bool take_line(struct bytes *rest, struct bytes *line)
{
    const uint8_t *lf = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    if (!lf)
        return false;
    size_t size = (size_t)(lf - rest->data);
    *line = bytes_of(rest->data, size);
    *rest = bytes_of(lf + 1, rest->size - size - 1);
    return true;
}

bool witness_size_parse(tree_size *out, struct bytes text)
{
    tree_size v = 0;
    if (text.size == 0 || (text.data[0] == '0' && text.size > 1))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || v > ((tree_size)INT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool witness_request_parse(struct witness_request *q, struct bytes body)
{
    struct bytes line;
    size_t skip = strlen(OLD);
    memset(q, 0, sizeof(*q));
    if (!take_line(&body, &line) || line.size <= skip ||
        memcmp(line.data, OLD, skip) != 0 ||
        !witness_size_parse(&q->old, bytes_of(line.data + skip, line.size - skip)))
        return false;
    while (take_line(&body, &line)) {
        size_t got;
        if (line.size == 0) {
            q->note = body;
            return body.size > 0;
        }
        if (q->count == WITNESS_PATH_MAX || line.size != HASH_TEXT_BYTES ||
            !base64_decode(q->path[q->count].b, HASH_BYTES, &got,
                           (const char *)line.data, line.size) ||
            got != HASH_BYTES)
            return false;
        q->count++;
    }
    return false;
}

size_t witness_request_write(char *out, size_t cap, tree_size old,
                             const struct hash path[], size_t count, struct bytes note)
{
    int n = snprintf(out, cap, OLD "%" PRIu64 "\n", old);
    size_t at = (size_t)n;
    if (n < 0 || count > WITNESS_PATH_MAX ||
        cap < at + count * (HASH_TEXT_BYTES + 1) + 1 + note.size + 1)
        return 0;
    for (size_t i = 0; i < count; i++) {
        at += base64_encode(out + at, cap - at, path[i].b, HASH_BYTES);
        out[at++] = '\n';
    }
    out[at++] = '\n';
    memcpy(out + at, note.data, note.size);
    at += note.size;
    out[at] = 0;
    return at;
}

bool witness_request_origin(const struct witness_request *q,
                            char origin[NOTE_NAME_MAX + 1])
{
    struct bytes rest = q->note, line;
    if (!take_line(&rest, &line) || line.size > NOTE_NAME_MAX ||
        !note_name_ok((const char *)line.data, line.size))
        return false;
    memcpy(origin, line.data, line.size);
    origin[line.size] = 0;
    return true;
}

struct witness_state witness_never(void)
{
    return (struct witness_state){.size = 0, .root = hash_empty()};
}

static void say(struct witness_verdict *v, enum witness_status status, const char *why)
{
    v->status = status;
    v->why = why;
}

/* A root over nothing that is not the root of nothing: the one thing the table has a row of
 * its own for among texts that are no checkpoint. */
static bool empty_with_root(struct bytes text)
{
    struct bytes origin, size, root;
    uint8_t hash[HASH_BYTES];
    size_t got;
    return take_line(&text, &origin) && take_line(&text, &size) &&
           take_line(&text, &root) && text.size == 0 && size.size == 1 &&
           size.data[0] == '0' &&
           base64_decode(hash, sizeof(hash), &got, (const char *)root.data, root.size) &&
           got == HASH_BYTES;
}

void witness_judge(struct witness_verdict *v, const struct witness_request *q,
                   const struct vkey *log, const struct witness_state *at)
{
    struct note n;
    memset(v, 0, sizeof(*v));
    if (!log) {
        say(v, WITNESS_UNKNOWN, "this log is not witnessed here\n");
        return;
    }
    enum note_verdict note =
        note_open(&n, (const char *)q->note.data, q->note.size, log, 1);
    if (note == NOTE_MALFORMED) {
        say(v, WITNESS_MALFORMED, "the checkpoint is not a signed note\n");
        return;
    }
    if (note != NOTE_OK) {
        say(v, WITNESS_UNSIGNED, "the log's key did not sign this checkpoint\n");
        return;
    }
    v->text = bytes_of(n.text, n.text_size);
    if (!checkpoint_parse(&v->checkpoint, n.text, n.text_size)) {
        if (empty_with_root(v->text))
            say(v, WITNESS_REFUSED, "size 0 has the root of the empty tree only\n");
        else
            say(v, WITNESS_MALFORMED,
                "the note is not a checkpoint of three lines\n");
        return;
    }
    v->is_signed = true;
    const struct checkpoint *c = &v->checkpoint;
    v->fork = c->size == at->size && !hash_equal(&c->root, &at->root);
    if (q->old > c->size)
        say(v, WITNESS_MALFORMED, "old is larger than the checkpoint's size\n");
    else if (q->old != at->size)
        say(v, WITNESS_CONFLICT, "");
    else if (!merkle_verify_consistency(q->old, c->size, q->path, q->count, &at->root,
                                        &c->root))
        say(v, WITNESS_REFUSED,
            q->old == c->size
                ? "same size, and another root or a proof that is not empty\n"
                : "the proof does not lead from what was cosigned to this checkpoint\n");
    else
        say(v, WITNESS_COSIGN, "");
}
