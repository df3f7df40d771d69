/* entry_decode never crashes, and what it takes encodes again to the same bytes. */
#include <string.h>

#include "fuzz.h"
#include "ledger/entry.h"
#include "ledger/kinds.h"
#include "sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[ENVELOPE_BYTES_MAX];
    struct entry e;
    if (entry_decode(&e, data, size) != ERR_OK)
        return 0;
    PROPERTY(reencode(again, &e) == size);
    PROPERTY(memcmp(again, data, size) == 0);

    bool first = e.kind == KIND_OPEN || e.kind == KIND_LOG_OPEN;
    PROPERTY(e.has_account == !first && e.has_prev == !first);
    PROPERTY(e.ref_count <= ENTRY_REFS_MAX);
    for (unsigned i = 1; i < e.ref_count; i++)
        PROPERTY(hash_compare(&e.refs[i - 1], &e.refs[i]) < 0);
    return 0;
}
