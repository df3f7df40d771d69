/* Reads JSON objects, one a line, from standard input. Each must parse and have a
 * "schema" member. With a path (a.0.b) as argument, prints that member of each. Exit 1
 * when something is missing. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (4u << 20)

static const json_t *member(const json_t *at, const char *path)
{
    char word[128];
    while (at && *path) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof(word))
            return NULL;
        memcpy(word, path, n);
        word[n] = 0;
        path += n + (path[n] == '.');
        at = json_is_array(at) ? json_array_get(at, (size_t)strtoul(word, NULL, 10))
                               : json_object_get(at, word);
    }
    return at;
}

static int print(const json_t *v)
{
    if (!v)
        return 1;
    if (json_is_string(v))
        puts(json_string_value(v));
    else if (json_is_array(v))
        printf("%zu\n", json_array_size(v));
    else if (json_dumpf(v, stdout, JSON_ENCODE_ANY | JSON_COMPACT) == 0)
        putchar('\n');
    return 0;
}

int main(int argc, char **argv)
{
    char *line = malloc(LINE_MAX_BYTES);
    unsigned lines = 0;
    int bad = 0;
    while (line && fgets(line, LINE_MAX_BYTES, stdin)) {
        json_error_t why;
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &why);
        lines++;
        if (!json_is_object(o) || !json_is_string(json_object_get(o, "schema"))) {
            fprintf(stderr, "line %u: %s\n", lines,
                    o ? "no object with a schema" : why.text);
            bad = 1;
        } else if (argc > 1 && print(member(o, argv[1])) != 0) {
            fprintf(stderr, "line %u: no member %s\n", lines, argv[1]);
            bad = 1;
        }
        json_decref(o);
    }
    free(line);
    if (lines == 0)
        fprintf(stderr, "nothing to read\n");
    return bad || lines == 0;
}
