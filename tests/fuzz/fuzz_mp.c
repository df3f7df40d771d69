/* mp_skip takes exactly what the typed readers take, that has one encoding, and it is
 * what msgpack-c reads of our subset and writes as the same bytes. */
#include <string.h>

#include "fuzz.h"
#include "ledger/mp.h"
#include "other.h"

/* Read one value by its type and write it again; false when no typed reader takes it. */
static bool copy(struct mp_reader *r, struct mp_writer *w, unsigned depth)
{
    struct mp_reader start = *r;
    struct bytes b;
    uint64_t u;
    int64_t i;
    bool flag;
    size_t count;
    if (mp_read_nil(r))
        return mp_nil(w), true;
    *r = start;
    if (mp_read_bool(r, &flag))
        return mp_bool(w, flag), true;
    *r = start;
    if (mp_read_uint(r, &u))
        return mp_uint(w, u), true;
    *r = start;
    if (mp_read_int(r, &i))
        return mp_int(w, i), true;
    *r = start;
    if (mp_read_bin(r, &b, SIZE_MAX))
        return mp_bin(w, b.data, b.size), true;
    *r = start;
    if (mp_read_str(r, &b, SIZE_MAX))
        return mp_str(w, (const char *)b.data, b.size), true;
    *r = start;
    if (depth == MP_DEPTH_MAX || !mp_read_array(r, &count, SIZE_MAX))
        return false;
    mp_array(w, count);
    for (size_t n = 0; n < count; n++)
        if (!copy(r, w, depth + 1))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[1 << 20];
    if (size > sizeof again)
        return 0;
    struct mp_reader skipped = mp_reader_of(data, size), read = skipped;
    struct mp_writer w = mp_writer_of(again, sizeof again);
    bool taken = mp_skip(&skipped);
    PROPERTY(taken == !skipped.bad);
    PROPERTY(copy(&read, &w, 0) == taken);
    if (taken) {
        PROPERTY(read.at == skipped.at);
        PROPERTY(!w.full && w.size == (size_t)(read.at - data));
        PROPERTY(memcmp(again, data, w.size) == 0);
    }
    size_t other_size = 0;
    enum other_mp other = other_mp_read(data, size, &other_size);
    if (other == OTHER_UNASKED)
        return 0;
    PROPERTY(taken == (other == OTHER_SAME));
    PROPERTY(!taken || other_size == w.size);
    return 0;
}
