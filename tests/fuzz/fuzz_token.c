/* A token that is taken is the one that is written for what it holds, of one kind only, and
 * with one character changed it is not taken; a request it carries names a key that may be
 * enrolled. First byte: text as it is, or bytes wrapped here with one character changed; bits
 * 1..2: which kind. */
#include <string.h>

#include "client/token.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"

#define KINDS 4u
static const char *const kinds[KINDS] = {"stoa-device-1:", "stoa-invite-1:", "stoa-rotate-1:",
                                         "stoa-cosign-1:"};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Is it taken as this kind, and if so, is it the token of what it holds? */
static bool taken(const char *text, unsigned kind)
{
    uint8_t *out = malloc(STOA_TOKEN_MAX);
    char again[STOA_TOKEN_MAX];
    size_t size = 0;
    PROPERTY(out != NULL);
    bool ok = token_get(text, kinds[kind], out, STOA_TOKEN_MAX, &size);
    if (ok) {
        while (blank(*text))
            text++;
        PROPERTY(token_put(again, kinds[kind], out, size));
        size_t n = strlen(again);
        PROPERTY(strncmp(text, again, n) == 0 && (text[n] == 0 || blank(text[n])));
        for (unsigned k = 0; k < KINDS; k++)
            PROPERTY(k == kind || !token_get(text, kinds[k], out, STOA_TOKEN_MAX, &size));
    }
    free(out);
    return ok;
}

static void check_text(const char *text, unsigned kind)
{
    stoa_id device;
    bool ok = taken(text, kind);
    if (!stoa_device_request_parse(text, &device))
        return;
    struct pubkey key;
    memcpy(key.b, device.b, sizeof(key.b));
    PROPERTY(ok == (kind == 0) && sig_key_enrollable(&key));
}

static void check_made(struct input *in, unsigned kind)
{
    char text[STOA_TOKEN_MAX + 2] = " ";
    size_t at = (size_t)take(in, 2);
    uint8_t change = (uint8_t)take(in, 1);
    struct bytes data = take_bytes(in, 400);
    if (!token_put(text + 1, kinds[kind], data.data ? data.data : in->at, data.size))
        return;
    PROPERTY(taken(text, kind));
    at = 1 + at % (strlen(text) - 1);
    if (change == 0 || text[at] == (char)(text[at] ^ (char)change) || blank((char)(text[at] ^ (char)change)))
        return;
    text[at] = (char)(text[at] ^ (char)change);
    PROPERTY(!taken(text, kind));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    unsigned way = take_below(&in, 8), kind = way / 2;
    PROPERTY(crypto_start());
    if (way & 1) {
        check_made(&in, kind);
        return 0;
    }
    char *text = malloc(in.left + 1);
    PROPERTY(text != NULL);
    if (in.left > 0)
        memcpy(text, in.at, in.left);
    text[in.left] = 0;
    check_text(text, kind);
    free(text);
    return 0;
}
