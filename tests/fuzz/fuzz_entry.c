/* entry_decode never crashes, what it takes encodes again to the same bytes and means the
 * same to msgpack-c, and its signature is good only where libcrypto says so too. */
#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "ledger/entry.h"
#include "ledger/kinds.h"
#include "other.h"
#include "sample.h"

static void check_signature(const struct entry *e)
{
    bool ours = entry_verify(e);
    bool theirs =
        other_verify(&e->sig, &e->device, CTX_ENTRY, e->body.data, e->body.size);
    PROPERTY(!ours || theirs);
    if (known_secret(&e->device) != NULL) /* an honest key */
        PROPERTY(ours == theirs);
}

static void check_other_codec(const struct entry *e)
{
    size_t size = 0;
    enum other_mp other = other_mp_read(e->body.data, e->body.size, &size);
    PROPERTY(other != OTHER_REFUSED);
    PROPERTY(other == OTHER_UNASKED || size == e->body.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[ENVELOPE_BYTES_MAX];
    struct entry e;
    for (unsigned n = 0; n < 4; n++)
        (void)known_key(n);
    if (entry_decode(&e, data, size) != ERR_OK)
        return 0;
    PROPERTY(reencode(again, &e) == size);
    PROPERTY(memcmp(again, data, size) == 0);

    bool first = e.kind == KIND_OPEN || e.kind == KIND_LOG_OPEN;
    PROPERTY(e.has_account == !first && e.has_prev == !first);
    PROPERTY(e.ref_count <= ENTRY_REFS_MAX);
    for (unsigned i = 1; i < e.ref_count; i++)
        PROPERTY(hash_compare(&e.refs[i - 1], &e.refs[i]) < 0);
    check_signature(&e);
    check_other_codec(&e);
    return 0;
}
