/* fetch_log PORT SLOT MAX: reads a whole log by FETCH, MAX records a page, as anybody may, and
 * prints how many records there were and the hash of all their leaves and envelopes. A page
 * that is not where the last one ended, or is empty before the end, is an error. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/note.h"
#include "tests/lib/wirekit.h"

#define ANSWER_MS 20000

static int fail(const char *what, uint64_t at)
{
    (void)fprintf(stderr, "fetch_log: %s at %" PRIu64 "\n", what, at);
    return 1;
}

/* One page into the sum. False: it is not what was asked for. */
static bool add_page(struct wirekit *k, struct hash *sum, uint64_t slot, uint64_t *next)
{
    struct mp_reader list = k->f.list;
    for (size_t i = 0; i < k->f.count; i++) {
        struct record r;
        wire_next_record(&list, &r);
        if (r.slot != slot || r.index != *next)
            return false;
        struct hash leaf = record_leaf_hash(&r);
        struct hash envelope = hash_sha256(r.envelope.data, r.envelope.size);
        leaf = hash_node(&leaf, &envelope);
        *sum = hash_node(sum, &leaf);
        *next += 1;
    }
    return k->f.next == *next;
}

int main(int argc, char **argv)
{
    static struct wirekit k;
    struct hash all = hash_empty();
    uint64_t next = 0;
    if (argc != 4)
        return fail("usage", 0);
    uint64_t slot = strtoull(argv[2], NULL, 16), max = strtoull(argv[3], NULL, 10);
    if (!wirekit_open(&k, (uint16_t)atoi(argv[1]), NULL))
        return fail("no connection", 0);
    do {
        struct wire_frame f = {.type = WIRE_FETCH,
                               .rid = ++k.rid,
                               .key = {.what = WIRE_SLOT, .slot = slot},
                               .from = next,
                               .max = max};
        uint64_t before = next;
        if (!wirekit_send(&k, &f) || !wirekit_expect(&k, WIRE_PAGE, ANSWER_MS))
            return fail("no page", next);
        if (!add_page(&k, &all, slot, &next) || next > k.f.end ||
            (next == before && next < k.f.end))
            return fail("another page", before);
    } while (next < k.f.end);
    char hex[2 * HASH_BYTES + 1];
    hex_encode(hex, all.b, HASH_BYTES);
    printf("%" PRIu64 " %s\n", next, hex);
    wirekit_close(&k);
    return 0;
}
