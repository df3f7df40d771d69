#include "relay/policy_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err read_text(const char *path, char *text, size_t *size, char *why, size_t cap)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        snprintf(why, cap, "cannot read %.300s: %s", path, strerror(errno));
        return ERR_CONFIG;
    }
    *size = fread(text, 1, POLICY_BYTES_MAX + 1u, f);
    bool bad = ferror(f) != 0;
    fclose(f);
    if (bad || *size > POLICY_BYTES_MAX) {
        snprintf(why, cap, "%.300s: %s", path, bad ? "cannot be read" : "is over 1 MiB");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err policy_file_read(struct policy **out, const char *path, char *why, size_t cap)
{
    struct policy_problem problem;
    struct policy *p = malloc(sizeof(*p));
    char *text = malloc(POLICY_BYTES_MAX + 1u);
    size_t size = 0;
    enum err e = p && text ? read_text(path, text, &size, why, cap) : ERR_MEMORY;
    if (e == ERR_OK && !policy_parse(p, text, size, &problem)) {
        snprintf(why, cap, "%.300s, line %u: %s", path, problem.line, problem.why);
        e = ERR_CONFIG;
    }
    free(text);
    if (e != ERR_OK) {
        free(p);
        p = NULL;
    }
    *out = p;
    return e;
}
