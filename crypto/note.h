/* C2SP signed-note v1.0.0 and tlog-checkpoint v1.0.0, Ed25519 (alg 01) and cosignature/v1
 * (alg 04). Pure and strict: what does not follow the text is refused. */
#ifndef CRYPTO_NOTE_H
#define CRYPTO_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/sig.h"

#define NOTE_NAME_MAX 192      /* bytes of a key name / origin, without the final zero */
#define NOTE_BYTES_MAX 65536   /* longest note we look at */
#define NOTE_SIGNATURES_MAX 64 /* lines; more is refused */
#define VKEY_TEXT_MAX 320
#define CHECKPOINT_BYTES_MAX 1024 /* a checkpoint we make ourselves, one signature */

enum note_alg { NOTE_ED25519 = 1, NOTE_COSIGNATURE = 4 };

/* A verifier key. Plain value. */
struct vkey {
    char name[NOTE_NAME_MAX + 1];
    uint32_t id;
    uint8_t alg;
    struct pubkey key;
};

/* A name: not empty, valid UTF-8, no Unicode space, no '+', no control byte, fits. */
bool note_name_ok(const char *name, size_t size);
/* Fill from parts; false when the name is not allowed. */
bool vkey_make(struct vkey *v, const char *name, enum note_alg alg,
               const struct pubkey *key);
/* "name+hex8+base64"; strict; false on anything else, including a wrong id. */
bool vkey_parse(struct vkey *v, const char *text, size_t size);
/* Returns the length (without final zero), 0 when cap is too small. */
size_t vkey_format(const struct vkey *v, char *out, size_t cap);

enum note_verdict {
    NOTE_OK,        /* at least one known key verifies, none fails */
    NOTE_MALFORMED, /* not a note */
    NOTE_UNKNOWN,   /* well-formed, but signed by no key we know */
    NOTE_BAD        /* a known key's line does not verify */
};

struct note {
    const char *text; /* with its final LF; borrowed from the input */
    size_t text_size;
    size_t signature_count;
    uint64_t verified;        /* bit i: keys[i] verified (first 64 keys) */
    uint64_t cosign_time[64]; /* latest cosignature of keys[i] */
};

/* Open a note with `key_count` (<= 64) known keys. Only NOTE_OK lets the text be used; on
 * anything else `out` is all zero. Lines of unknown keys are skipped, whatever their
 * algorithm. Malformed outweighs bad. */
enum note_verdict note_open(struct note *out, const char *data, size_t size,
                            const struct vkey keys[], size_t key_count);
/* Text (ending in LF) to a whole note with one alg-01 signature. Returns its length, 0
 * when cap is too small, the text is not allowed, or `v` is not k's alg-01 key. A final
 * zero is written and counted in cap. */
size_t note_sign(char *out, size_t cap, const char *text, size_t text_size,
                 const struct vkey *v, const struct key *k);
/* One cosignature/v1 line (with LF) over a checkpoint's text. 0 when cap is too small,
 * the time is 0 or over 2^63-1, or `v` is not k's alg-04 key. */
size_t note_cosign_line(char *out, size_t cap, const char *text, size_t text_size,
                        uint64_t unix_seconds, const struct vkey *v, const struct key *k);

struct checkpoint {
    char origin[NOTE_NAME_MAX + 1];
    uint64_t size;
    struct hash root;
};

/* The three-line text. 0 when cap is too small. */
size_t checkpoint_format(char *out, size_t cap, const struct checkpoint *c);
/* Strict parse of a note's text; no extension lines. size <= 2^63-1; size 0 needs the
 * empty root. */
bool checkpoint_parse(struct checkpoint *c, const char *text, size_t size);
/* Format and sign in one step; returns the note's length, 0 on failure. */
size_t checkpoint_sign(char *out, size_t cap, const struct checkpoint *c,
                       const struct vkey *v, const struct key *k);
/* Open a note by one log key and parse it; origin must equal the key's name. */
bool checkpoint_open(struct checkpoint *c, const char *data, size_t size,
                     const struct vkey *v);

/* RFC 4648 section 4 with padding; strict (canonical trailing bits). Encode returns the
 * length, 0 when cap is too small (cap counts a final zero, which is written). */
size_t base64_encode(char *out, size_t cap, const void *data, size_t size);
/* False on any deviation; *out_size is set. */
bool base64_decode(uint8_t *out, size_t cap, size_t *out_size, const char *text,
                   size_t size);
/* Lower-case hex; out has 2 * size + 1 room. */
void hex_encode(char *out, const void *data, size_t size);
/* False on any other length, and on upper case. */
bool hex_decode(uint8_t *out, size_t out_size, const char *text, size_t size);

#endif
