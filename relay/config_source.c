/* Where settings come from: files, environment, flags. */
#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/config_internal.h"

#define PATH_BYTES_MAX 4096
#define NAME_BYTES_MAX 64
#define ENVIRONMENT_PREFIX "STOAD__"
#define CONF_DIR "conf.d"
#define CONF_SUFFIX ".toml"

/* One file being read. */
struct reading {
    struct config *c;
    const char *path;
    const char *text;
    size_t size;
};

static struct config_place place_of(const struct reading *r, struct config_spot spot)
{
    return (struct config_place){r->path, r->text, r->size, spot, true};
}

static void unknown_key(struct config *c, const struct config_place *place,
                        const char *section, const char *key)
{
    struct config_trouble *t =
        config_trouble_add(c, CONFIG_UNKNOWN, place, "unknown key \"%s\"", key);
    if (t)
        config_hint_key(t->hint, section, key);
}

static void unknown_section(struct config *c, const struct config_place *place,
                            const char *section)
{
    struct config_trouble *t =
        config_trouble_add(c, CONFIG_UNKNOWN, place, "unknown section \"%s\"", section);
    if (t)
        config_hint_section(t->hint, section);
}

/* Put a value where it belongs, or say why not. A store's URI may hold a password: its
 * line is not shown. */
static void put(struct config *c, const struct config_row *row,
                const struct config_raw *raw, const struct config_place *place,
                const char *origin)
{
    char why[CONFIG_MESSAGE_MAX];
    if (config_put(&c->values, row, raw, why)) {
        snprintf(c->origin[row - config_rows], CONFIG_PLACE_MAX, "%s", origin);
        return;
    }
    struct config_place shown = *place;
    if (row->type == TYPE_STORE)
        shown.text = NULL;
    config_trouble_add(c, CONFIG_VALUE, &shown, "%s.%s %s", row->section, row->key, why);
}

static bool on_section(void *context, const char *section, struct config_spot at)
{
    const struct reading *r = context;
    if (config_section_known(section))
        return true;
    struct config_place place = place_of(r, at);
    unknown_section(r->c, &place, section);
    return false;
}

static void on_value(void *context, const char *section, const char *key,
                     struct config_spot key_at, struct config_spot value_at,
                     const struct config_raw *raw)
{
    const struct reading *r = context;
    struct config_place place = place_of(r, key_at);
    if (section[0] == '\0' && config_section_known(key)) {
        config_trouble_add(r->c, CONFIG_VALUE, &place, "\"%s\" is a section: write [%s]",
                           key, key);
        return;
    }
    const struct config_row *row = config_row_find(section, key);
    if (!row) {
        unknown_key(r->c, &place, section, key);
        return;
    }
    char origin[CONFIG_PLACE_MAX];
    snprintf(origin, sizeof origin, "%s:%u", r->path, key_at.line);
    place = place_of(r, value_at);
    put(r->c, row, raw, &place, origin);
}

static void on_failed(void *context, const char *why, struct config_spot at)
{
    const struct reading *r = context;
    struct config_place place = place_of(r, at);
    config_trouble_add(r->c, CONFIG_SYNTAX, &place, "not TOML: %s", why);
}

static void unreadable(struct config *c, const char *path, const char *why)
{
    struct config_place place = {.name = path};
    config_trouble_add(c, CONFIG_UNREADABLE, &place, "cannot read the file: %s", why);
}

static void read_file(struct config *c, const char *path, bool must_exist)
{
    c->source_count++;
    FILE *f = fopen(path, "re");
    if (!f) {
        if (must_exist || errno != ENOENT)
            unreadable(c, path, strerror(errno));
        return;
    }
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    if (!text) {
        fclose(f);
        unreadable(c, path, "out of memory");
        return;
    }
    errno = 0;
    size_t size = fread(text, 1, CONFIG_FILE_BYTES_MAX + 1, f);
    if (ferror(f)) {
        unreadable(c, path, strerror(errno));
    } else if (size > CONFIG_FILE_BYTES_MAX) {
        unreadable(c, path, "longer than 1 MiB");
    } else {
        struct reading r = {c, path, text, size};
        struct config_toml_sink sink = {&r, on_section, on_value, on_failed};
        config_toml_read(text, size, &sink);
    }
    free(text);
    fclose(f);
}

static int is_conf_name(const struct dirent *e)
{
    size_t size = strlen(e->d_name);
    size_t suffix = strlen(CONF_SUFFIX);
    return e->d_name[0] != '.' && size > suffix &&
           strcmp(e->d_name + size - suffix, CONF_SUFFIX) == 0;
}

/* By bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_conf_dir(struct config *c, const char *dir)
{
    struct dirent **names = NULL;
    int count = scandir(dir, &names, is_conf_name, by_name);
    if (count < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            unreadable(c, dir, strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES_MAX];
        int n = snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (i >= CONFIG_FILES_MAX)
            unreadable(c, dir, "more than 64 files in it");
        else if (n > 0 && (size_t)n < sizeof path)
            read_file(c, path, true);
        free(names[i]);
        if (i >= CONFIG_FILES_MAX)
            while (++i < count)
                free(names[i]);
    }
    free(names);
}

void config_read_files(struct config *c, const char *file)
{
    const char *path = file ? file : CONFIG_FILE_DEFAULT;
    read_file(c, path, file != NULL);
    const char *slash = strrchr(path, '/');
    char dir[PATH_BYTES_MAX];
    int n = snprintf(dir, sizeof dir, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path,
                     CONF_DIR);
    if (n > 0 && (size_t)n < sizeof dir)
        read_conf_dir(c, dir);
}

/* A value that came as words: `text` is all of it for the excerpt, the value at `value`.
 */
static void put_words(struct config *c, const char *section, const char *key,
                      const char *text, const char *value, const char *source,
                      unsigned name_width)
{
    char origin[CONFIG_PLACE_MAX];
    snprintf(origin, sizeof origin, "%s %.*s", source, (int)name_width, text);
    struct config_place place = {origin, text, strlen(text), {1, 1, name_width}, false};
    const struct config_row *row = config_row_find(section, key);
    if (!row && !config_section_known(section)) {
        unknown_section(c, &place, section);
    } else if (!row) {
        unknown_key(c, &place, section, key);
    } else {
        struct config_raw raw = {
            .is = RAW_WORDS, .type = "text", .text = value, .text_size = strlen(value)};
        place.spot.column = (unsigned)(value - text) + 1;
        place.spot.width = value[0] ? (unsigned)strlen(value) : 1;
        put(c, row, &raw, &place, origin);
    }
}

/* Lower-case copy of text[size]; false when it does not fit. */
static bool lower(char out[NAME_BYTES_MAX], const char *text, size_t size)
{
    if (size == 0 || size >= NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[size] = '\0';
    return true;
}

void config_read_environment(struct config *c, char *const *environment)
{
    c->source_count++;
    for (; *environment; environment++) {
        const char *text = *environment;
        if (strncmp(text, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) != 0)
            continue;
        const char *value = strchr(text, '=');
        if (!value)
            continue;
        const char *section = text + strlen(ENVIRONMENT_PREFIX);
        const char *between = strstr(section, "__");
        char section_name[NAME_BYTES_MAX], key_name[NAME_BYTES_MAX];
        unsigned width = (unsigned)(value - text);
        if (!between || between > value ||
            !lower(section_name, section, (size_t)(between - section)) ||
            !lower(key_name, between + 2, (size_t)(value - between - 2))) {
            struct config_place place = {
                "environment", text, width, {1, 1, width}, false};
            config_trouble_add(c, CONFIG_NOT_SETTING, &place,
                               "\"%.*s\" is not STOAD__SECTION__KEY", (int)width, text);
            continue;
        }
        put_words(c, section_name, key_name, text, value + 1, "environment", width);
    }
}

void config_read_sets(struct config *c, const char *const *sets, size_t count)
{
    c->source_count++;
    for (size_t i = 0; i < count; i++) {
        const char *text = sets[i];
        const char *value = strchr(text, '=');
        const char *dot = strchr(text, '.');
        char section[NAME_BYTES_MAX], key[NAME_BYTES_MAX];
        if (!value || !dot || dot > value ||
            !lower(section, text, (size_t)(dot - text)) ||
            !lower(key, dot + 1, (size_t)(value - dot - 1))) {
            struct config_place place = {
                "--set", text, strlen(text), {1, 1, (unsigned)strlen(text)}, false};
            config_trouble_add(c, CONFIG_NOT_SETTING, &place,
                               "\"%s\" is not section.key=value", text);
            continue;
        }
        put_words(c, section, key, text, value + 1, "--set", (unsigned)(value - text));
    }
}
