/* payload_check and payload_decode agree; what they take encodes again to the same bytes.
 * The first byte of the input is the kind, the rest its payload. */
#include <string.h>

#include "fuzz.h"
#include "ledger/entry.h"
#include "ledger/kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[1 << 20];
    static struct payload p;
    if (size == 0 || size > sizeof again)
        return 0;
    struct bytes rest = bytes_of(data + 1, size - 1);
    enum err checked = payload_check(data[0], rest);
    PROPERTY(payload_decode(&p, data[0], rest) == checked);
    if (checked != ERR_OK)
        return 0;
    struct mp_writer w = mp_writer_of(again, sizeof again);
    payload_encode(&w, &p);
    PROPERTY(!w.full && w.size == rest.size);
    PROPERTY(memcmp(again, rest.data, rest.size) == 0);
    return 0;
}
