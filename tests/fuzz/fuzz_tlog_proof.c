/* A proof that parses is written again byte for byte, fits no smaller room, points only
 * into its own text, and never stands in a tree that ends at or before its index. */
#include <stdlib.h>
#include <string.h>

#include "crypto/tlog_proof.h"
#include "fuzz.h"

static void check_again(const struct tlog_proof *p, const char *text, size_t size)
{
    char *out = malloc(size + 1);
    PROPERTY(out != NULL);
    PROPERTY(tlog_proof_format(out, size + 1, p) == size);
    PROPERTY(memcmp(out, text, size) == 0);
    PROPERTY(tlog_proof_format(out, size, p) == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct tlog_proof p;
    if (!tlog_proof_parse(&p, text, size))
        return 0;
    PROPERTY(p.note > text && p.note + p.note_size == text + size);
    PROPERTY(p.extra == NULL || (p.extra > text && p.extra + p.extra_size < p.note));
    PROPERTY(p.path_count <= MERKLE_PATH_MAX && p.index <= INT64_MAX);
    if (p.note_size <= NOTE_BYTES_MAX)
        check_again(&p, text, size);
    struct hash leaf = hash_sha256(data, size);
    struct checkpoint c = {.size = p.index, .root = leaf};
    PROPERTY(!tlog_proof_holds(&p, &c, &leaf));
    return 0;
}
