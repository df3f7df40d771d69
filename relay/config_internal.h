/* The settings table as data, and a config while it is being put together. Used by
 * config*.c only. */
#ifndef RELAY_CONFIG_INTERNAL_H
#define RELAY_CONFIG_INTERNAL_H

#include "relay/config.h"
#include "relay/config_toml.h"

#define CONFIG_ROWS_MAX 128
#define CONFIG_PLACE_MAX 400
#define CONFIG_MESSAGE_MAX 400
#define CONFIG_EXCERPT_MAX 160
#define CONFIG_VALUE_MAX (CONFIG_TEXT_MAX * 2)

/* What a program exits with, then which problem. */
enum config_code {
    CONFIG_UNKNOWN = 7801,
    CONFIG_VALUE = 7802,
    /* 7803 is the store's: schema unknown to this version */
    CONFIG_SYNTAX = 7804,
    CONFIG_UNREADABLE = 7805,
    CONFIG_NOT_SETTING = 7806,
    CONFIG_CONFLICT = 7807
};

enum config_type {
    TYPE_NAME,
    TYPE_TEXT,
    TYPE_PATH,
    TYPE_ADDRESS,
    TYPE_STORE,
    TYPE_SECRET,
    TYPE_COUNT,
    TYPE_BYTES,
    TYPE_MS,
    TYPE_LEVEL,
    TYPE_FORMAT,
    TYPE_TEXTS,
    TYPE_PUBKEYS
};

struct config_row {
    const char *section;
    const char *key;
    enum config_type type;
    const char *literal; /* the default as TOML writes it; a list's is "\"\"" */
    bool restart;
    int64_t min;
    int64_t max;
    const char *help;
    size_t offset; /* in struct relay_config */
};

/* Ends with a row whose section is NULL. */
extern const struct config_row config_rows[];
const struct config_row *config_row_find(const char *section, const char *key);
bool config_section_known(const char *section);

/* Check `raw` and put it at the row's place in `out`. False: `out` unchanged and `why`
 * (CONFIG_MESSAGE_MAX room) says what it must be. */
bool config_put(struct relay_config *out, const struct config_row *row,
                const struct config_raw *raw, char *why);
bool config_put_default(struct relay_config *out, const struct config_row *row);
/* The value as TOML writes it, into out[cap]; passwords in a store's URI are masked. */
void config_format(char *out, size_t cap, const struct relay_config *values,
                   const struct config_row *row);
bool config_equal(const struct relay_config *a, const struct relay_config *b,
                  const struct config_row *row);
void config_copy(struct relay_config *to, const struct relay_config *from,
                 const struct config_row *row);
/* Put state_dir where {state_dir} stands; false when a result is too long. */
bool config_expand(struct relay_config *values, const struct config_row *row);

struct config_trouble {
    unsigned code;
    size_t rank; /* order of its source */
    size_t made; /* order within it */
    struct config_spot spot;
    bool in_file;
    char place[CONFIG_PLACE_MAX];
    char message[CONFIG_MESSAGE_MAX];
    char hint[CONFIG_MESSAGE_MAX];
    char excerpt[CONFIG_EXCERPT_MAX + 1];
};

struct config {
    struct relay_config values;
    char origin[CONFIG_ROWS_MAX][CONFIG_PLACE_MAX];
    size_t source_count;
    size_t trouble_count; /* may pass what is kept */
    struct config_trouble troubles[CONFIG_PROBLEMS_MAX];
};

/* Where a problem is: a place for people, and the text around it (NULL: none). */
struct config_place {
    const char *name; /* path, "environment", "--set" */
    const char *text;
    size_t text_size;
    struct config_spot spot; /* line 0: no line */
    bool is_file;            /* the line's number is worth telling */
};

struct config_trouble *config_trouble_add(struct config *c, enum config_code code,
                                          const struct config_place *place,
                                          const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void config_trouble_sort(struct config *c);
/* The key, or section, that was most likely meant, into `hint`; "" when none is near. */
void config_hint_key(char *hint, const char *section, const char *key);
void config_hint_section(char *hint, const char *section);

/* Each reads one kind of source into `c`. */
void config_read_files(struct config *c, const char *file);
void config_read_environment(struct config *c, char *const *environment);
void config_read_sets(struct config *c, const char *const *sets, size_t count);
/* What is wrong only when values stand side by side. */
void config_check_together(struct config *c);

#endif
