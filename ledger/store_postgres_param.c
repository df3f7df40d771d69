/* Parameters and columns in the server's binary form: big-endian, lengths first. */
#include "ledger/store_postgres.h"

#include <assert.h>
#include <string.h>
#include <stdlib.h>

#define ARRAY_HEADER 20

static void put32(uint8_t out[4], uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void add(struct pg_params *p, const void *data, size_t size)
{
    assert(p->count < PG_PARAMS_MAX && size <= INT32_MAX);
    p->value[p->count] = data;
    p->length[p->count] = (int)size;
    p->count += 1;
}

void pg_add_i32(struct pg_params *p, uint32_t v)
{
    assert(p->count < PG_PARAMS_MAX && v <= INT32_MAX);
    put32(p->number[p->count], v);
    add(p, p->number[p->count], 4);
}

void pg_add_i64(struct pg_params *p, uint64_t v)
{
    assert(p->count < PG_PARAMS_MAX);
    be64_put(p->number[p->count], v > INT64_MAX ? INT64_MAX : v);
    add(p, p->number[p->count], 8);
}

void pg_add_bytes(struct pg_params *p, const void *data, size_t size)
{
    add(p, size == 0 ? (const void *)"" : data, size);
}

void pg_array_clear(struct pg_array *a, enum pg_type type)
{
    uint8_t header[ARRAY_HEADER] = {0};
    put32(header, 1); /* dimensions */
    put32(header + 8, (uint32_t)type);
    put32(header + 16, 1); /* the first index */
    buf_clear(&a->b);
    a->count = 0;
    a->failed = !buf_add(&a->b, header, sizeof header);
}

void pg_array_bytes(struct pg_array *a, const void *data, size_t size)
{
    uint8_t length[4];
    put32(length, (uint32_t)size);
    if (a->failed || !buf_reserve(&a->b, size + sizeof length) ||
        !buf_add(&a->b, length, sizeof length) ||
        (size > 0 && !buf_add(&a->b, data, size))) {
        a->failed = true;
        return;
    }
    a->count += 1;
}

void pg_array_i32(struct pg_array *a, uint32_t v)
{
    uint8_t word[4];
    put32(word, v);
    pg_array_bytes(a, word, sizeof word);
}

void pg_array_i64(struct pg_array *a, uint64_t v)
{
    uint8_t word[8];
    be64_put(word, v);
    pg_array_bytes(a, word, sizeof word);
}

enum err pg_add_arrays(struct pg_params *p, struct pg_array arrays[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct pg_array *a = &arrays[i];
        if (a->failed)
            return ERR_MEMORY;
        if (a->count == 0)
            put32(a->b.data, 0); /* an empty array has no dimension */
        put32(a->b.data + 12, a->count);
        add(p, a->b.data, a->count == 0 ? 12 : a->b.size);
    }
    return ERR_OK;
}

enum err pg_u64(const PGresult *r, int row, int column, uint64_t max, uint64_t *out)
{
    if (column >= PQnfields(r) || PQgetisnull(r, row, column))
        return ERR_CORRUPT;
    const uint8_t *in = (const uint8_t *)PQgetvalue(r, row, column);
    int size = PQgetlength(r, row, column);
    if ((size != 4 && size != 8) || (in[0] & 0x80) != 0)
        return ERR_CORRUPT;
    uint64_t v = 0;
    for (int i = 0; i < size; i++)
        v = v << 8 | in[i];
    *out = v;
    return v <= max ? ERR_OK : ERR_CORRUPT;
}

enum err pg_span(const PGresult *r, int row, int column, struct bytes *out)
{
    if (column >= PQnfields(r) || PQgetisnull(r, row, column))
        return ERR_CORRUPT;
    *out = bytes_of(PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column));
    return ERR_OK;
}

enum err pg_hash(const PGresult *r, int row, int column, struct hash *out)
{
    struct bytes b;
    TRY(pg_span(r, row, column, &b));
    if (b.size != HASH_BYTES)
        return ERR_CORRUPT;
    memcpy(out->b, b.data, HASH_BYTES);
    return ERR_OK;
}

uint64_t pg_changed(const PGresult *r)
{
    union {
        const PGresult *in;
        PGresult *out;
    } result = {r}; /* libpq forgot the const */
    return strtoull(PQcmdTuples(result.out), NULL, 10);
}
