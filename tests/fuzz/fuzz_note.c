/* A note opens only when a key we know signed exactly its text, by libcrypto's word too,
 * and with one bit of the text flipped it does not open; a checkpoint or key that parses
 * is the one that is written. First byte: the bytes as they are, or a text to be signed.
 */
#include <string.h>

#include "crypto/note.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"

#define ORIGIN "hub.example/0a"
#define LINE_MAX_BYTES 512

static struct vkey keys[2]; /* log, witness */
static const struct key *witness;

static void make_keys(void)
{
    if (keys[0].name[0])
        return;
    struct pubkey log = known_pub(0), cosigner = known_pub(1);
    PROPERTY(vkey_make(&keys[0], ORIGIN, NOTE_ED25519, &log));
    PROPERTY(vkey_make(&keys[1], "witness.example", NOTE_COSIGNATURE, &cosigner));
    witness = known_key(1);
}

/* Is there a line of the log's key that libcrypto accepts over this text? */
static bool other_accepts(const struct note *n, const char *data, size_t size)
{
    static const char head[] = "\xe2\x80\x94 " ORIGIN " ";
    const char *end = data + size, *at = n->text + n->text_size + 1;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        PROPERTY(stop != NULL);
        uint8_t blob[4 + SIG_BYTES];
        size_t length = (size_t)(stop - at), got = 0;
        if (length > sizeof head - 1 && memcmp(at, head, sizeof head - 1) == 0 &&
            base64_decode(blob, sizeof blob, &got, at + sizeof head - 1,
                          length - (sizeof head - 1)) &&
            got == sizeof blob) {
            struct signature sig;
            memcpy(sig.b, blob + 4, SIG_BYTES);
            if (other_verify(&sig, &keys[0].key, NULL, n->text, n->text_size))
                return true;
        }
        at = stop + 1;
    }
    return false;
}

static void check_checkpoint(const char *text, size_t size)
{
    struct checkpoint c;
    static char again[LINE_MAX_BYTES + NOTE_NAME_MAX];
    if (!checkpoint_parse(&c, text, size))
        return;
    PROPERTY(c.size <= INT64_MAX);
    PROPERTY(checkpoint_format(again, sizeof again, &c) == size);
    PROPERTY(memcmp(again, text, size) == 0);
}

static void check_note(char *data, size_t size, uint64_t bit)
{
    struct note n, twice;
    struct checkpoint c;
    enum note_verdict verdict = note_open(&n, data, size, keys, 2);
    PROPERTY(checkpoint_open(&c, data, size, &keys[0]) == false ||
             (verdict == NOTE_OK || verdict == NOTE_BAD));
    if (verdict != NOTE_OK) {
        PROPERTY(n.text == NULL && n.verified == 0);
        return;
    }
    PROPERTY(n.verified != 0 && n.text_size > 0 && n.text_size < size);
    PROPERTY(n.text[n.text_size - 1] == '\n');
    PROPERTY(n.signature_count <= NOTE_SIGNATURES_MAX);
    PROPERTY((n.verified & 1) == 0 || other_accepts(&n, data, size));
    check_checkpoint(n.text, n.text_size);

    bit %= 8 * n.text_size;
    data[bit / 8] = (char)(data[bit / 8] ^ (1 << bit % 8));
    PROPERTY(note_open(&twice, data, size, keys, 2) != NOTE_OK);
}

/* Any text, signed by the log and perhaps by the witness, then one byte changed perhaps.
 */
static void check_signed(struct input *in)
{
    static char note[NOTE_BYTES_MAX + 2 * LINE_MAX_BYTES];
    unsigned how = take_below(in, 4);
    uint64_t when = take(in, 4), at = take(in, 2), bit = take(in, 2);
    uint8_t change = (uint8_t)take(in, 1);
    struct bytes text = take_bytes(in, NOTE_BYTES_MAX / 2);
    size_t size = note_sign(note, NOTE_BYTES_MAX, (const char *)text.data, text.size,
                            &keys[0], known_key(0));
    if (size == 0)
        return; /* not a text a note can have */
    if (how & 1)
        size += note_cosign_line(note + size, LINE_MAX_BYTES, (const char *)text.data,
                                 text.size, when, &keys[1], witness);
    struct note n;
    if (size <= NOTE_BYTES_MAX)
        PROPERTY(note_open(&n, note, size, keys, 2) == NOTE_OK && (n.verified & 1));
    if (how & 2)
        note[at % size] = (char)(note[at % size] ^ (char)change);
    char *exact = malloc(size);
    PROPERTY(exact != NULL);
    memcpy(exact, note, size);
    check_note(exact, size, bit);
    free(exact);
}

static void check_vkey(const char *text, size_t size)
{
    struct vkey v;
    char again[VKEY_TEXT_MAX];
    if (!vkey_parse(&v, text, size))
        return;
    PROPERTY(vkey_format(&v, again, sizeof again) == size);
    PROPERTY(memcmp(again, text, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    make_keys();
    if (size > 0 && data[0] == 1) {
        (void)take(&in, 1);
        check_signed(&in);
        return 0;
    }
    check_vkey((const char *)data, size);
    check_checkpoint((const char *)data, size);
    char *copy = malloc(size + 1);
    if (!copy)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    check_note(copy, size, size * 7);
    free(copy);
    return 0;
}
