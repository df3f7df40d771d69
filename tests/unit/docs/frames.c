/* Frames with the verdict of the wire codec. */
#include <stdlib.h>
#include <string.h>

#include "ledger/wire.h"
#include "samples.h"
#include "vectors.h"

static void put(FILE *out, const char *what, const void *data, size_t size)
{
    static struct wire_frame f;
    const uint8_t *b = data;
    fprintf(out, "%s ", err_word(wire_decode(&f, data, size)));
    if (size == 0)
        fputc('-', out);
    for (size_t i = 0; i < size;) {
        size_t run = 1;
        while (i + run < size && b[i + run] == b[i])
            run++;
        if (run >= 64) {
            fprintf(out, "(%02x*%zu)", b[i], run);
            i += run;
        } else {
            fprintf(out, "%02x", b[i++]);
        }
    }
    fprintf(out, " %s\n", what);
}
#define PUT(what, literal) put(out, what, literal, sizeof(literal) - 1)

#define ID32                                                                             \
    "\xc4\x20"                                                                           \
    "01234567890123456789012345678901"

static void bad_frames(FILE *out)
{
    PUT("no bytes", "");
    PUT("not an array", "\x13");
    PUT("type 29", "\x92\x1d\x01");
    PUT("FORWARD of text", "\x94\x1c\xc0" ID32 "\xa1"
                           "x");
    PUT("OK of three values", "\x93\x13\x01\x00");
    PUT("OK with a byte after it", "\x92\x13\x01\x00");
    PUT("OK whose type is not shortest", "\x92\xcc\x13\x01");
    PUT("rid 2^63", "\x92\x13\xcf\x80\x00\x00\x00\x00\x00\x00\x00");
    PUT("rid negative", "\x92\x13\xff");
    PUT("CHECKPOINT of slot 256", "\x93\x0d\x01\xcd\x01\x00");
    PUT("CHECKPOINT_IS with an empty note", "\x93\x0e\x01\xc4\x00");
    PUT("PROOF of kind 2", "\x96\x0b\x01\x02\x00\x00\x01");
    PUT("PROOF_IS whose path is not whole hashes", "\x93\x0c\x01\xc4\x01\x00");
    PUT("SUBSCRIBE to an entry id", "\x95\x06\x01\x02" ID32 "\x00");
    PUT("SUBSCRIBE to an account by a number", "\x95\x06\x01\x00\x05\x00");
    PUT("FETCH of what 3", "\x96\x09\x01\x03" ID32 "\x00\x01");
    PUT("SUBMIT with flag 2", "\x94\x03\x01\x02\x90");
    PUT("SUBMIT that announces more entries than there are bytes",
        "\x94\x03\x01\x00\xdc\x04\x00");
    PUT("SUBMIT of text", "\x94\x03\x01\x00\x91\xa1"
                          "x");
    PUT("HELLO with a device and no signature", "\x96\x01\x01" ID32 ID32 "\xc0\x90");
    PUT("HELLO with an empty note", "\x96\x01\x01" ID32 "\xc0\xc0\x91\xc4\x00");
    PUT("RECORDS of mode 2", "\x96\x07\x01\x00\x02\x90\xc0");
    PUT("RESULTS with an accepted result of eight values",
        "\x93\x04\x90\x91\x98\x01\x00\x00\xc0\x00\x00\x00\xc0");
    PUT("RESULTS with a refused result of eleven values",
        "\x93\x04\x90\x91\x9b\x01\x00\x6e\x00\x00\x00\xc0\x00\x00\xc4\x00\x00");
    PUT("SETTLED of payee 64", "\x92\x05\x91\x96" ID32 "\x40\xc2\x00\x00\x00");
    PUT("SETTLEMENT_IS with state 3", "\x94\x16\x01\x03\x00");
    PUT("BYE with text that is not UTF-8", "\x94\x1a\x01\xa1\xff\x00");
    uint8_t *large = calloc(1, WIRE_FRAME_MAX + 1);
    must(large != NULL, "memory");
    put(out, "one byte over 1 MiB", large, WIRE_FRAME_MAX + 1);
    free(large);
}

void print_frames(FILE *out, struct world *w)
{
    (void)w;
    uint8_t frame[SAMPLE_BYTES_MAX];
    const char *name;
    fputs("# verdict of the wire codec, frame in hex, what it is.\n"
          "# (hh*n) stands for n times the byte hh; - for no bytes.\n",
          out);
    size_t size;
    for (size_t i = 0; (size = sample(i, frame, &name)) > 0; i++)
        put(out, name, frame, size);
    bad_frames(out);
}
