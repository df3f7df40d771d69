#include "crypto/mac.h"

#include <assert.h>
#include <sodium.h>

#include "crypto/be64.h"
#include "crypto/internal.h"

#define BLOCK_BYTES 64u /* of SHA-256 */
#define NUMBER_BYTES 8u

/* RFC 2104, section 2: what the inner and the outer hash begin with. In secret_alloc memory. */
struct mac_key {
    uint8_t inner[BLOCK_BYTES], outer[BLOCK_BYTES];
};

struct mac_key *mac_key_from(const uint8_t secret[HASH_BYTES])
{
    struct mac_key *m = secret_alloc(sizeof(*m));
    if (!m)
        return NULL;
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        uint8_t byte = i < HASH_BYTES ? secret[i] : 0;
        m->inner[i] = byte ^ 0x36;
        m->outer[i] = byte ^ 0x5c;
    }
    return m;
}

struct mac_key *mac_key_shared(const struct key *k, const char *context,
                               const void *message, size_t size)
{
    struct signature sig = key_sign(k, context, message, size);
    struct hash h = hash_context(context, sig.b, sizeof(sig.b));
    struct mac_key *m = mac_key_from(h.b);
    secret_wipe(&sig, sizeof(sig));
    secret_wipe(&h, sizeof(h));
    return m;
}

void mac_key_free(struct mac_key *m)
{
    secret_free(m);
}

/* By the hash of hash.h, which uses the processor's own SHA-256 where there is one; libsodium's
 * is portable and several times slower, and an entry that is forwarded goes through here twice. */
struct hash mac_make(const struct mac_key *m, uint64_t number,
                     const struct hash_part parts[], size_t count)
{
    struct hash_part all[2 + MAC_PARTS_MAX];
    uint8_t be[NUMBER_BYTES];
    assert(count <= MAC_PARTS_MAX);
    be64_put(be, number);
    all[0] = (struct hash_part){m->inner, BLOCK_BYTES};
    all[1] = (struct hash_part){be, NUMBER_BYTES};
    for (size_t i = 0; i < count; i++)
        all[2 + i] = parts[i];
    struct hash inner = hash_parts(all, 2 + count);
    struct hash_part last[2] = {{m->outer, BLOCK_BYTES}, {inner.b, HASH_BYTES}};
    struct hash mac = hash_parts(last, 2);
    secret_wipe(&inner, sizeof(inner));
    return mac;
}

bool mac_check(const struct mac_key *m, uint64_t number, const struct hash_part parts[],
               size_t count, const struct hash *mac)
{
    struct hash want = mac_make(m, number, parts, count);
    return sodium_memcmp(want.b, mac->b, HASH_BYTES) == 0;
}
