/* Decoding a frame never crashes, and a decoded frame written again is the same bytes. */
#include <string.h>

#include "fuzz.h"
#include "reencode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[WIRE_FRAME_MAX];
    struct wire_frame f;
    if (wire_decode(&f, data, size) != ERR_OK)
        return 0;
    struct mp_writer w = mp_writer_of(again, sizeof again);
    reencode(&w, &f);
    PROPERTY(!w.full && w.size == size && memcmp(again, data, size) == 0);
    return 0;
}
