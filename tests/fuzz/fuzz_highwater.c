/* A high-water file that loads is, saved again, the same bytes; any other is refused and
 * leaves the marks as they were. First byte: how many slots the hub has, and (bit 7) whether
 * the checksum is made good here; then the text. */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "input.h"
#include "relay/highwater.h"
#include "scratch.h"

#define TEXT_MAX 40000
#define PATH_ROOM 600

static char path[PATH_ROOM];

static size_t read_file(uint8_t *out, size_t room)
{
    FILE *f = fopen(path, "rb");
    PROPERTY(f != NULL);
    size_t size = fread(out, 1, room, f);
    (void)fclose(f);
    return size;
}

static void write_file(const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    PROPERTY(f != NULL && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static size_t seal(uint8_t *text, size_t size)
{
    char hex[2 * HASH_BYTES + 1];
    struct hash sum = hash_sha256(text, size);
    hex_encode(hex, sum.b, HASH_BYTES);
    return size + (size_t)snprintf((char *)text + size, 80, "sha256 %s\n", hex);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t slots[] = {1, 2, 4, SLOTS_MAX};
    static uint8_t text[TEXT_MAX + 100], again[TEXT_MAX + 100];
    struct input in = input_of(data, size);
    unsigned how = (unsigned)take(&in, 1);
    struct bytes rest = take_bytes(&in, TEXT_MAX);
    size_t length = rest.size;
    if (!path[0])
        (void)snprintf(path, sizeof path, "%s/" HIGHWATER_FILE, scratch_folder());
    if (length > 0)
        memcpy(text, rest.data, length);
    if (how & 0x80)
        length = seal(text, length);
    write_file(text, length);

    struct highwater h;
    struct hash root = {{9}};
    highwater_open(&h, scratch_folder(), slots[how % 4]);
    highwater_set(&h, 0, 7, &root);
    enum err e = highwater_load(&h);
    PROPERTY(e == ERR_OK || e == ERR_CORRUPT);
    if (e == ERR_OK) {
        struct recover_mark last = highwater_get(&h, slots[how % 4] - 1);
        highwater_set(&h, slots[how % 4] - 1, last.size, &last.root);
        PROPERTY(highwater_save(&h) == ERR_OK);
        PROPERTY(read_file(again, sizeof again) == length);
        PROPERTY(memcmp(again, text, length) == 0);
    } else {
        PROPERTY(highwater_get(&h, 0).size == 7);
        for (uint32_t i = 1; i < slots[how % 4]; i++)
            PROPERTY(highwater_get(&h, i).size == 0);
    }
    highwater_close(&h);
    return 0;
}
