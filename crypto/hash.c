#include "crypto/hash.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "crypto/internal.h"

/* Short leaves are hashed from one contiguous buffer: an update less. */
#define LEAF_COPY_BYTES 128

static EVP_MD *sha256;
static pthread_key_t digest_key;
static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static bool digest_ready;
static _Thread_local EVP_MD_CTX *digest_of_thread;

static void digest_free(void *ctx)
{
    digest_of_thread = NULL;
    EVP_MD_CTX_free(ctx);
}

static void digest_fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest_ready = sha256 != NULL && pthread_key_create(&digest_key, digest_free) == 0;
}

bool hash_start(void)
{
    return pthread_once(&digest_once, digest_fetch) == 0 && digest_ready;
}

/* A hash that cannot be computed has no answer a caller could act on: stop. */
static void must(bool happened)
{
    if (!happened)
        abort();
}

static EVP_MD_CTX *digest_new(void)
{
    must(hash_start());
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx != NULL && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1);
    must(pthread_setspecific(digest_key, ctx) == 0);
    digest_of_thread = ctx;
    return ctx;
}

/* Re-initialising by NULL keeps the fetched digest: measured faster than a one-shot call
 * and no slower than copying a prepared context. */
static EVP_MD_CTX *digest_begin(void)
{
    EVP_MD_CTX *ctx = digest_of_thread;
    if (ctx == NULL)
        ctx = digest_new();
    must(EVP_DigestInit_ex2(ctx, NULL, NULL) == 1);
    return ctx;
}

static void digest_add(EVP_MD_CTX *ctx, const void *data, size_t size)
{
    must(EVP_DigestUpdate(ctx, data, size) == 1);
}

static struct hash digest_end(EVP_MD_CTX *ctx)
{
    struct hash h;
    must(EVP_DigestFinal_ex(ctx, h.b, NULL) == 1);
    return h;
}

struct hash hash_sha256(const void *data, size_t size)
{
    EVP_MD_CTX *ctx = digest_begin();
    digest_add(ctx, data, size);
    return digest_end(ctx);
}

struct hash hash_parts(const struct hash_part parts[], size_t count)
{
    EVP_MD_CTX *ctx = digest_begin();
    for (size_t i = 0; i < count; i++)
        digest_add(ctx, parts[i].data, parts[i].size);
    return digest_end(ctx);
}

/* The final zero of the C string is the 00 that parts context and bytes. */
static EVP_MD_CTX *digest_begin_context(const char *context)
{
    size_t size = strlen(context);
    assert(size > 0 && size <= CONTEXT_BYTES_MAX);
    EVP_MD_CTX *ctx = digest_begin();
    digest_add(ctx, context, size + 1);
    return ctx;
}

struct hash hash_context(const char *context, const void *data, size_t size)
{
    EVP_MD_CTX *ctx = digest_begin_context(context);
    digest_add(ctx, data, size);
    return digest_end(ctx);
}

struct hash hash_context2(const char *context, const void *a, size_t a_size,
                          const void *b, size_t b_size)
{
    EVP_MD_CTX *ctx = digest_begin_context(context);
    digest_add(ctx, a, a_size);
    digest_add(ctx, b, b_size);
    return digest_end(ctx);
}

struct hash hash_leaf(const void *data, size_t size)
{
    EVP_MD_CTX *ctx = digest_begin();
    if (size <= LEAF_COPY_BYTES) {
        uint8_t copy[1 + LEAF_COPY_BYTES];
        copy[0] = 0;
        if (size > 0)
            memcpy(copy + 1, data, size);
        digest_add(ctx, copy, 1 + size);
    } else {
        digest_add(ctx, "\0", 1);
        digest_add(ctx, data, size);
    }
    return digest_end(ctx);
}

struct hash hash_node(const struct hash *left, const struct hash *right)
{
    uint8_t copy[1 + 2 * HASH_BYTES];
    copy[0] = 1;
    memcpy(copy + 1, left->b, HASH_BYTES);
    memcpy(copy + 1 + HASH_BYTES, right->b, HASH_BYTES);
    EVP_MD_CTX *ctx = digest_begin();
    digest_add(ctx, copy, sizeof copy);
    return digest_end(ctx);
}

struct hash hash_empty(void)
{
    return (struct hash){{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                          0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                          0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                          0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};
}

bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->b, b->b, HASH_BYTES) == 0;
}

bool hash_is_zero(const struct hash *h)
{
    static const struct hash zero;
    return hash_equal(h, &zero);
}

int hash_compare(const struct hash *a, const struct hash *b)
{
    return memcmp(a->b, b->b, HASH_BYTES);
}
