/* Our signature predicate and libcrypto's: honest signatures are accepted by both, with
 * one bit flipped refused by both, and what ours accepts of anything at all, libcrypto
 * accepts. First byte: what to try; then a key (number or bytes), a signature and a
 * message. */
#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"

#define HONEST_KEYS 8

static void check_flipped(struct signature sig, struct pubkey pub, uint8_t *message,
                          size_t size, uint64_t bit)
{
    bit %= 8 * (SIG_BYTES + PUBKEY_BYTES + size);
    uint8_t mask = (uint8_t)(1u << bit % 8);
    size_t at = (size_t)(bit / 8);
    if (at < SIG_BYTES)
        sig.b[at] ^= mask;
    else if (at < SIG_BYTES + PUBKEY_BYTES)
        pub.b[at - SIG_BYTES] ^= mask;
    else
        message[at - SIG_BYTES - PUBKEY_BYTES] ^= mask;
    PROPERTY(!sig_verify(&sig, &pub, CTX_ENTRY, message, size));
    PROPERTY(!other_verify(&sig, &pub, CTX_ENTRY, message, size));
}

static void check_honest(struct input *in)
{
    static uint8_t message[4096];
    unsigned n = take_below(in, HONEST_KEYS);
    uint64_t bit = take(in, 3);
    struct bytes rest = take_bytes(in, sizeof message);
    if (rest.size > 0)
        memcpy(message, rest.data, rest.size);
    struct pubkey pub = known_pub(n), stranger = known_pub((n + 1) % HONEST_KEYS);
    struct signature sig = key_sign(known_key(n), CTX_ENTRY, message, rest.size);
    PROPERTY(sig_key_enrollable(&pub));
    PROPERTY(sig_verify(&sig, &pub, CTX_ENTRY, message, rest.size));
    PROPERTY(other_verify(&sig, &pub, CTX_ENTRY, message, rest.size));
    PROPERTY(!sig_verify(&sig, &pub, CTX_HEAD, message, rest.size));
    PROPERTY(!sig_verify(&sig, &stranger, CTX_ENTRY, message, rest.size));
    check_flipped(sig, pub, message, rest.size, bit);
}

/* Anything at all; strange keys and points come from the seeds. */
static void check_any(struct input *in)
{
    struct signature sig;
    struct pubkey pub;
    take_fill(in, pub.b, sizeof pub.b);
    take_fill(in, sig.b, sizeof sig.b);
    struct bytes message = take_bytes(in, 4096);
    bool ours = sig_verify_bare(&sig, &pub, message.data, message.size);
    PROPERTY(!ours || other_verify(&sig, &pub, NULL, message.data, message.size));
    /* Signed by a key that may be enrolled, both must say the same. */
    if (sig_key_enrollable(&pub))
        PROPERTY(ours == other_verify(&sig, &pub, NULL, message.data, message.size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    (void)known_key(0);
    if (take(&in, 1) % 2 == 0)
        check_honest(&in);
    else
        check_any(&in);
    return 0;
}
