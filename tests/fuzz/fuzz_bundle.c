/* Bundles, envelopes and tiles as an auditor gets them from a server: what is read are the
 * spans that a plain walk over the file finds, in order, up to the size asked for, and a file
 * that holds less, more or something else is refused with its name. First bytes: how many
 * records there are to be (2), where to begin (2), how many at most, which files are there;
 * then the length of the bundle (2), the bundle, and the envelopes. */
#include <string.h>

#include "client/audit/source_edges.h"
#include "crypto/merkle.h"
#include "fuzz.h"
#include "input.h"

#define SIZE_MAX_ 600
#define SLOT 3
#define PARTS_MAX 9000

struct served {
    struct bytes leaves, envelopes;
    unsigned missing; /* bit 0: partial files, 1: full ones, 2: the envelopes */
};

static struct served served;

static enum err get(void *context, const char *path, struct buf *out, char why[AUDIT_WHY_MAX])
{
    const struct served *s = context;
    bool partial = strstr(path, ".p/") != NULL;
    bool envelopes = strstr(path, "/envelopes/") != NULL;
    struct bytes b = envelopes || strstr(path, "/tile/0/") ? s->envelopes : s->leaves;
    (void)snprintf(why, AUDIT_WHY_MAX, "%s", path);
    if ((s->missing & (partial ? 1u : 2u)) || (envelopes && s->missing & 4))
        return ERR_NOT_FOUND;
    PROPERTY(strncmp(path, "log/03/", 7) == 0);
    return b.size == 0 || buf_add(out, b.data, b.size) ? ERR_OK : ERR_MEMORY;
}

static enum err slots(void *context, uint32_t out[], size_t *count)
{
    (void)context;
    out[0] = SLOT;
    *count = 1;
    return ERR_OK;
}

static void close_nothing(void *context)
{
    (void)context;
}

/* Lengths and bytes, one after the other. */
struct walked {
    size_t count, end; /* where the last whole one ends */
    struct {
        size_t at, size;
    } part[PARTS_MAX];
};

static void walk(struct walked *w, struct bytes b)
{
    w->count = 0;
    for (w->end = 0; w->count < PARTS_MAX && b.size - w->end >= 2;) {
        size_t n = b.data[w->end] * 256u + b.data[w->end + 1];
        if (n > b.size - w->end - 2)
            return;
        w->part[w->count].at = w->end + 2;
        w->part[w->count++].size = n;
        w->end += 2 + n;
    }
}

/* Is the file, of `want` records by its name, what one may be: no more than these? */
static bool ends_well(const struct walked *w, size_t size, size_t want)
{
    if (w->count < want)
        return true; /* short: whoever needs the rest finds out */
    size_t end = want ? w->part[want - 1].at + w->part[want - 1].size : 0;
    return end == size;
}

/* How many records a read from `from` has to give; 0: it has to refuse. */
static size_t expected(uint64_t from, uint64_t size, size_t max, const struct walked *l,
                       const struct walked *e)
{
    uint64_t n = from / TILE_HASHES, left = size - n * TILE_HASHES;
    size_t width = left < TILE_HASHES ? (size_t)left : TILE_HASHES;
    bool full = width == TILE_HASHES, whole = full || served.missing & 1;
    size_t first = (size_t)(from % TILE_HASHES), count = 0;
    size_t want = whole ? TILE_HASHES : width;
    if ((whole && served.missing & 2) || served.missing & 4)
        return 0;
    for (size_t i = first; i < width && i < l->count && i < e->count && count < max; i++) {
        if (l->part[i].size != LEAF_BYTES)
            break;
        count++;
    }
    return ends_well(l, served.leaves.size, want) && ends_well(e, served.envelopes.size, want)
               ? count
               : 0;
}

static void read_once(struct audit_source *s, uint64_t from, uint64_t size, size_t max)
{
    static struct audit_record got[AUDIT_READ_MAX];
    static struct walked l, e;
    size_t count = 77;
    void *hold = got;
    walk(&l, served.leaves);
    walk(&e, served.envelopes);
    enum err err = s->ops->read(s, SLOT, from, size, got, max, &count, &hold);
    size_t want = from < size ? expected(from, size, max, &l, &e) : 0;
    PROPERTY(count == want);
    PROPERTY((err == ERR_OK) == (want > 0 || from >= size));
    PROPERTY((hold != NULL) == (want > 0));
    if (err != ERR_OK)
        PROPERTY(err == ERR_CORRUPT && strstr(s->ops->where(s, SLOT), "log/03/") != NULL);
    for (size_t i = 0; i < count; i++) {
        size_t k = (size_t)(from % TILE_HASHES) + i;
        const struct audit_record *r = &got[i];
        PROPERTY(r->r.slot == SLOT && r->r.index == from + i && r->r.index < size);
        PROPERTY(memcmp(r->leaf, served.leaves.data + l.part[k].at, LEAF_BYTES) == 0);
        PROPERTY(r->r.envelope.size == e.part[k].size && r->offset == e.part[k].at);
        PROPERTY(!!(r->has & AUDIT_HAS_ENVELOPE) == (e.part[k].size > 0));
        if (e.part[k].size > 0)
            PROPERTY(memcmp(r->r.envelope.data, served.envelopes.data + e.part[k].at,
                            e.part[k].size) == 0);
    }
    if (hold)
        s->ops->release(s, hold);
}

/* The envelopes' bytes as a tile. */
static void read_tile(struct audit_source *s, unsigned width)
{
    static struct hash out[TILE_HASHES];
    struct hash root;
    enum err e = s->ops->tile(s, SLOT, 0, 0, width, out, &root);
    bool whole = width == TILE_HASHES || served.missing & 1;
    size_t want = (whole ? TILE_HASHES : width) * (size_t)HASH_BYTES;
    if (whole && served.missing & 2)
        PROPERTY(e == ERR_NOT_FOUND);
    else
        PROPERTY(e == (served.envelopes.size == want ? ERR_OK : ERR_CORRUPT));
    if (e == ERR_OK)
        PROPERTY(memcmp(out, served.envelopes.data, width * (size_t)HASH_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct audit_files files = {
        .context = &served, .get = get, .slots = slots, .close = close_nothing};
    struct input in = input_of(data, size);
    struct audit_source *s;
    uint64_t records = take(&in, 2) % (SIZE_MAX_ + 1);
    uint64_t from = take(&in, 2) % (SIZE_MAX_ + 2);
    size_t max = 1 + (size_t)take(&in, 1);
    served.missing = (unsigned)take(&in, 1) % 8;
    size_t length = (size_t)take(&in, 2);
    served.leaves = take_bytes(&in, length);
    served.envelopes = take_bytes(&in, in.left);
    PROPERTY(audit_source_files(&s, "fuzz", &files) == ERR_OK);
    read_once(s, from, records, max);
    read_tile(s, 1 + (unsigned)(from % TILE_HASHES));
    s->ops->close(s);
    return 0;
}
