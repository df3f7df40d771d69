/* A receipt that parses is, written again, the same text, and what it says stays within what
 * the ledger has; what does not parse is malformed. First byte: the text as it is, or extra
 * data (the rest) put into a proof that is right otherwise. */
#include <string.h>

#include "crypto/note.h"
#include "fuzz.h"
#include "input.h"
#include "ledger/receipt.h"

/* What stands in a receipt but for the record: a proof without a path under a tree of one. */
static size_t wrap(char *out, size_t room, struct bytes extra)
{
    static char base64[1 << 17];
    static const char note[] =
        "hub.test/00\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"
        "\xe2\x80\x94 hub.test/00 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n";
    struct tlog_proof p = {.note = note, .note_size = sizeof note - 1};
    p.extra_size = base64_encode(base64, sizeof base64, extra.data, extra.size);
    p.extra = base64;
    return tlog_proof_format(out, room, &p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[RECEIPT_BYTES_MAX + 1];
    struct input in = input_of(data, size);
    bool wrapped = take(&in, 1) % 2 == 1;
    struct bytes rest = take_bytes(&in, RECEIPT_BYTES_MAX);
    size_t n = rest.size;
    if (wrapped && (rest.size == 0 || rest.size > 60000))
        return 0;
    if (wrapped) {
        n = wrap(text, sizeof text, rest);
        PROPERTY(n > 0);
    } else if (n > 0) {
        memcpy(text, rest.data, n);
    }
    struct receipt r;
    enum err e = receipt_parse(&r, text, n);
    PROPERTY(e == ERR_OK || e == ERR_MALFORMED);
    if (e == ERR_OK) {
        struct buf again = {0};
        PROPERTY(r.r.slot < SLOTS_MAX && r.r.index == r.proof.index);
        PROPERTY(r.r.envelope.size <= ENVELOPE_BYTES_MAX);
        PROPERTY(r.r.envelope.size == 0 || (r.r.envelope.data >= r.room.data &&
                                            r.r.envelope.data + r.r.envelope.size <=
                                                r.room.data + r.room.size));
        PROPERTY(receipt_format(&again, &r.r, r.proof.path, r.proof.path_count,
                                bytes_of(r.proof.note, r.proof.note_size)) == ERR_OK);
        PROPERTY(again.size == n && memcmp(again.data, text, n) == 0);
        buf_close(&again);
    }
    receipt_close(&r);
    return 0;
}
