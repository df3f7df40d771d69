/* Stands in for libFuzzer: runs the target over every file of the folders (or files)
 * named, then over cuts of it and flipped bits, and over what the fuzzer's own mutator
 * makes of it where it has one, so that a replay with any compiler is worth something.
 * The tries around one file are bounded. Inputs are copied to blocks of their own size,
 * so that a sanitizer sees a read past the end. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_BYTES_MAX (2u << 20)
#define CUTS_MAX 256 /* of one file; -cuts=N in front of the folders makes it fewer */
#define MUTATIONS 64

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
    __attribute__((weak));
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static unsigned inputs;
static size_t cuts_max = CUTS_MAX;

static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = calloc(1, size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    inputs++;
}

/* For custom mutators: a few bytes changed, always the same way. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    static uint32_t state = 1;
    for (unsigned i = 0; i < 3 && size > 0; i++) {
        state = state * 1664525u + 1013904223u;
        data[(state >> 8) % size] ^= (uint8_t)(1u << state % 8);
    }
    return size < max_size ? size : max_size;
}

static void run_mutations(const uint8_t *data, size_t size)
{
    static uint8_t room[INPUT_BYTES_MAX];
    if (!LLVMFuzzerCustomMutator)
        return;
    for (unsigned seed = 0; seed < MUTATIONS; seed++) {
        memcpy(room, data, size);
        run(room, LLVMFuzzerCustomMutator(room, size, sizeof room, seed));
    }
}

static void run_around(uint8_t *data, size_t size)
{
    run(data, size);
    run_mutations(data, size);
    size_t stride = size / cuts_max + 1;
    for (size_t at = 0; at < size; at += stride) {
        run(data, at);
        uint8_t bit = (uint8_t)(1u << (at / stride) % 8);
        data[at] ^= bit;
        run(data, size);
        data[at] ^= bit;
    }
}

static void run_file(const char *path)
{
    static uint8_t data[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    run_around(data, size);
}

static void run_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        perror(path);
        exit(1);
    }
    for (struct dirent *row; (row = readdir(folder));) {
        char name[4096];
        if (row->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(name, sizeof name, "%s/%s", path, row->d_name) < sizeof name)
            run_file(name);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    run((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        struct stat s;
        unsigned long cuts = 0;
        if (sscanf(argv[i], "-cuts=%lu", &cuts) == 1)
            cuts_max = cuts > 0 ? cuts : 1;
        else if (stat(argv[i], &s) == 0 && S_ISDIR(s.st_mode))
            run_folder(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%u inputs\n", inputs);
    return inputs > 1 ? 0 : 1;
}
