/* The ledger as the store holds it against what people kept of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/merkle.h"
#include "ledger/store.h"
#include "tests/integration/region/town.h"

struct reading {
    struct town *town;
    uint32_t slot;
    struct frontier f;
    struct hash *leaves, *ids;
    size_t count, cap;
    struct shown *shown; /* of this slot, by size */
    size_t shown_count, shown_at;
    bool bad;
};

static bool say(struct reading *r, const char *what, uint64_t index)
{
    if (r->town->why[0] == 0)
        snprintf(r->town->why, sizeof r->town->why, "slot %u: %s at %llu", r->slot, what,
                 (unsigned long long)index);
    r->bad = true;
    return false;
}

static bool take(void *context, const struct record *record, const struct hash *account)
{
    struct reading *r = context;
    (void)account;
    if (record->index != r->f.size)
        return say(r, "a gap", r->f.size);
    if (r->count == r->cap) {
        r->cap = r->cap * 2 + 1024;
        r->leaves = realloc(r->leaves, r->cap * sizeof *r->leaves);
        r->ids = realloc(r->ids, r->cap * sizeof *r->ids);
        if (r->leaves == NULL || r->ids == NULL)
            abort();
    }
    r->leaves[r->count] = record_leaf_hash(record);
    r->ids[r->count] =
        hash_context(CTX_ENTRY, record->envelope.data, record->envelope.size - SIG_BYTES);
    if (!frontier_append(&r->f, &r->leaves[r->count++]))
        abort();
    struct hash root = frontier_root(&r->f);
    for (; r->shown_at < r->shown_count && r->shown[r->shown_at].size == r->f.size;
         r->shown_at++)
        if (!hash_equal(&r->shown[r->shown_at].root, &root))
            return say(r, "another tree than the checkpoint shown", r->f.size);
    return true;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = ((const struct shown *)a)->size, y = ((const struct shown *)b)->size;
    return x < y ? -1 : x > y;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

static void gather_shown(struct reading *r)
{
    size_t all = 0;
    for (unsigned i = 0; i < r->town->people; i++)
        all += r->town->one[i].shown_count;
    r->shown = malloc((all + 1) * sizeof *r->shown);
    if (r->shown == NULL)
        abort();
    for (unsigned i = 0; i < r->town->people; i++)
        for (size_t n = 0; n < r->town->one[i].shown_count; n++)
            if (r->town->one[i].shown[n].slot == r->slot)
                r->shown[r->shown_count++] = r->town->one[i].shown[n];
    qsort(r->shown, r->shown_count, sizeof *r->shown, by_size);
}

static bool deeds_are_there(struct reading *r)
{
    for (unsigned i = 0; i < r->town->people; i++)
        for (size_t n = 0; n < r->town->one[i].deed_count; n++) {
            const struct deed *d = &r->town->one[i].deeds[n];
            if (d->slot == r->slot &&
                (d->index >= r->count || !hash_equal(&r->leaves[d->index], &d->leaf)))
                return say(r, "an entry that was accepted is not there", d->index);
        }
    qsort(r->ids, r->count, sizeof *r->ids, by_bytes);
    for (size_t i = 1; i < r->count; i++)
        if (hash_equal(&r->ids[i - 1], &r->ids[i]))
            return say(r, "an entry stands there twice", i);
    return true;
}

static bool verify_slot(struct town *t, struct store *s, struct store_reader *reader,
                        uint32_t slot)
{
    struct reading r = {.town = t, .slot = slot};
    struct store_slot at;
    gather_shown(&r);
    bool ok = s->ops->slot(s, slot, &at) == ERR_OK &&
              reader->ops->records(reader, slot, 0, at.size, take, &r) == ERR_OK &&
              !r.bad;
    if (!ok)
        (void)say(&r, "the store cannot be read", r.count);
    else if (r.count != at.size || r.shown_at != r.shown_count)
        ok = say(&r, "less than was shown", r.count);
    ok = ok && deeds_are_there(&r);
    free(r.shown);
    free(r.leaves);
    free(r.ids);
    return ok;
}

bool town_verify(struct town *t)
{
    char uri[400];
    struct store *s = NULL;
    struct store_reader *reader = NULL;
    struct store_why why = {{0}};
    regionproc_uri(t->region, uri, sizeof uri);
    bool ok =
        store_open(uri, &s, &why) == ERR_OK && s->ops->reader_open(s, &reader) == ERR_OK;
    if (!ok)
        snprintf(t->why, sizeof t->why, "%.300s", why.text);
    for (uint32_t slot = 0; ok && slot < REGIONPROC_SLOTS; slot++)
        ok = verify_slot(t, s, reader, slot);
    if (reader != NULL)
        reader->ops->close(reader);
    if (s != NULL)
        s->ops->close(s);
    return ok;
}
