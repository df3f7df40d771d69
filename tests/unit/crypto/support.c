#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/note.h"
#include "crypto/sig.h"

static char *join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    assert_non_null(path);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

FILE *own_vectors(const char *name)
{
    const char *folder = getenv("STOA_OWN_VECTORS");
    if (folder == NULL)
        fail_msg("STOA_OWN_VECTORS names no folder");
    char *path = join(folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s cannot be opened", path);
    free(path);
    return f;
}

bool record_next(FILE *f, struct record *r)
{
    while (fgets(r->text, sizeof r->text, f) != NULL) {
        assert_non_null(strchr(r->text, '\n'));
        r->count = 0;
        char *rest = NULL;
        for (char *word = strtok_r(r->text, " \n", &rest); word != NULL;
             word = strtok_r(NULL, " \n", &rest)) {
            assert_true(r->count < FIELDS_MAX);
            r->field[r->count++] = word;
        }
        if (r->count > 0 && r->field[0][0] != '#')
            return true;
    }
    return false;
}

char *shared_path(const char *name)
{
    const char *folder = getenv("STOA_VECTORS");
    char *path = join(folder != NULL ? folder : ".", name);
    FILE *f = folder != NULL ? fopen(path, "rb") : NULL;
    if (f == NULL) {
        print_message("skipped: published vectors %s are not here\n", path);
        free(path);
        return NULL;
    }
    fclose(f);
    return path;
}

json_t *shared_json(const char *name)
{
    char *path = shared_path(name);
    if (path == NULL)
        return NULL;
    json_error_t error;
    /* Some sizes are past 2^63 on purpose: as reals they are still past any tree. */
    json_t *json = json_load_file(path, JSON_DECODE_INT_AS_REAL, &error);
    if (json == NULL)
        fail_msg("%s: %s", path, error.text);
    free(path);
    return json;
}

char *file_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s cannot be opened", path);
    char *data = NULL;
    size_t used = 0;
    size_t n;
    do {
        data = realloc(data, used + 65536);
        assert_non_null(data);
        n = fread(data + used, 1, 65536, f);
        used += n;
    } while (n > 0);
    fclose(f);
    *size = used;
    return data;
}

uint8_t *hex_bytes(const char *hex, size_t *size)
{
    if (strcmp(hex, "-") == 0)
        hex = "";
    *size = strlen(hex) / 2;
    uint8_t *out = malloc(*size + 1);
    assert_non_null(out);
    assert_true(hex_decode(out, *size, hex, strlen(hex)));
    return out;
}

void hex_exact(uint8_t *out, size_t size, const char *hex)
{
    assert_true(hex_decode(out, size, hex, strlen(hex)));
}

struct hash hex_hash(const char *hex)
{
    struct hash h;
    hex_exact(h.b, HASH_BYTES, hex);
    return h;
}

int start_crypto(void **state)
{
    (void)state;
    return crypto_start() ? 0 : -1;
}
