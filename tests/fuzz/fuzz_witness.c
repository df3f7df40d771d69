/* A request that parses is, written again, the same bytes; a witness cosigns only what the
 * log's key signed (by libcrypto's word too), from where it stands, to the root the log's
 * leaves have; an honest request is always cosigned. First byte: the bytes as they are, or an
 * honest request with one byte changed. */
#include <string.h>

#include "federation/lines.h"
#include "federation/witness.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"

#define ORIGIN "hub.example/0a"
#define LEAVES 20

static struct vkey log_key;
static struct hash leaves[LEAVES];

static struct hash root_of(const struct hash *from, size_t n)
{
    struct frontier f = {0};
    for (size_t i = 0; i < n; i++)
        PROPERTY(frontier_append(&f, &from[i]));
    return n ? frontier_root(&f) : hash_empty();
}

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    (void)context;
    *out = root_of(leaves + (n << level), (size_t)1 << level);
    return true;
}

static void make_log(void)
{
    if (log_key.name[0])
        return;
    struct pubkey pub = known_pub(0);
    PROPERTY(vkey_make(&log_key, ORIGIN, NOTE_ED25519, &pub));
    for (size_t i = 0; i < LEAVES; i++)
        leaves[i] = hash_leaf(&i, 1);
}

/* What may be cosigned is what the log really holds: there is no other signed text here. */
static void check_verdict(const struct witness_request *q, tree_size at)
{
    struct witness_state state = {.size = at, .root = root_of(leaves, (size_t)at)};
    struct witness_verdict v;
    struct signed_line line;
    witness_judge(&v, q, &log_key, &state);
    PROPERTY(v.why != NULL);
    if (!v.is_signed) {
        PROPERTY(v.status == WITNESS_MALFORMED || v.status == WITNESS_UNSIGNED ||
                 v.status == WITNESS_REFUSED);
        return;
    }
    PROPERTY(v.checkpoint.size <= LEAVES && !v.fork);
    size_t skip = v.text.size + 1;
    PROPERTY(line_find(&line, v.text,
                       bytes_of(q->note.data + skip, q->note.size - skip), &log_key));
    PROPERTY(other_verify(&line.sig, &log_key.key, NULL, v.text.data, v.text.size));
    if (v.status == WITNESS_COSIGN) {
        PROPERTY(q->old == at && v.checkpoint.size >= at);
        PROPERTY((q->count == 0) == (at == 0 || at == v.checkpoint.size));
        struct hash root = root_of(leaves, (size_t)v.checkpoint.size);
        PROPERTY(hash_equal(&root, &v.checkpoint.root));
    } else if (v.status == WITNESS_CONFLICT) {
        PROPERTY(q->old != at);
    }
}

static void check_request(const char *data, size_t size, tree_size at)
{
    static char again[WITNESS_BODY_MAX + 1];
    struct witness_request q;
    char origin[NOTE_NAME_MAX + 1];
    if (!witness_request_parse(&q, bytes_of(data, size)))
        return;
    PROPERTY(q.count <= WITNESS_PATH_MAX && q.old <= INT64_MAX);
    PROPERTY(size > WITNESS_BODY_MAX ||
             (witness_request_write(again, sizeof again, q.old, q.path, q.count, q.note) ==
                  size &&
              memcmp(again, data, size) == 0));
    if (witness_request_origin(&q, origin))
        PROPERTY(note_name_ok(origin, strlen(origin)));
    check_verdict(&q, at);
}

static void check_honest(struct input *in)
{
    static char request[8192];
    char note[CHECKPOINT_BYTES_MAX];
    struct hash path[MERKLE_PATH_MAX];
    struct merkle_source source = {.node = node};
    struct checkpoint c = {.origin = ORIGIN};
    size_t count = 0, old = take_below(in, LEAVES + 1), where = (size_t)take(in, 2);
    tree_size at = take_below(in, LEAVES + 1);
    uint8_t change = (uint8_t)take(in, 1);
    c.size = old + take_below(in, (unsigned)(LEAVES + 1 - old));
    c.root = root_of(leaves, (size_t)c.size);
    size_t n = checkpoint_sign(note, sizeof note, &c, &log_key, known_key(0));
    PROPERTY(n > 0);
    if (old > 0 && old < c.size)
        PROPERTY(merkle_prove_consistency(old, c.size, &source, path, &count));
    size_t size =
        witness_request_write(request, sizeof request, old, path, count, bytes_of(note, n));
    PROPERTY(size > 0);
    struct witness_request q;
    struct witness_verdict v;
    struct witness_state state = {.size = old, .root = root_of(leaves, old)};
    PROPERTY(witness_request_parse(&q, bytes_of(request, size)));
    witness_judge(&v, &q, &log_key, &state);
    PROPERTY(v.status == WITNESS_COSIGN);
    request[where % size] = (char)(request[where % size] ^ (char)change);
    char *exact = malloc(size);
    PROPERTY(exact != NULL);
    memcpy(exact, request, size);
    check_request(exact, size, at);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    make_log();
    if (size > 0 && data[0] == 1) {
        (void)take(&in, 1);
        check_honest(&in);
        return 0;
    }
    char *copy = malloc(size + 1);
    if (!copy)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    check_request(copy, size, size % (LEAVES + 1));
    free(copy);
    return 0;
}
