/* TOML text to section, key and value, by toml++ behind one C function. Values are
 * borrowed for the length of a callback. */
#ifndef RELAY_CONFIG_TOML_H
#define RELAY_CONFIG_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum config_raw_kind {
    RAW_WORDS, /* text without a type: flags, environment, defaults */
    RAW_TEXT,
    RAW_INTEGER,
    RAW_LIST,
    RAW_OTHER /* what no setting takes */
};

struct config_raw {
    enum config_raw_kind is;
    const char *type; /* for messages: "a number", .. */
    int64_t integer;
    const char *text;
    size_t text_size;
    const char *const *items; /* NULL: an element that is not text */
    size_t item_count;
};

/* Both count from 1; columns are characters. */
struct config_spot {
    unsigned line;
    unsigned column;
    unsigned width;
};

struct config_toml_sink {
    void *context;
    /* False: its keys are not given. */
    bool (*section)(void *context, const char *section, struct config_spot at);
    /* section "": a value outside of any section. */
    void (*value)(void *context, const char *section, const char *key,
                  struct config_spot key_at, struct config_spot value_at,
                  const struct config_raw *raw);
    /* Not TOML; nothing else is called then. */
    void (*failed)(void *context, const char *why, struct config_spot at);
};

void config_toml_read(const char *text, size_t size, const struct config_toml_sink *sink);

#ifdef __cplusplus
}
#endif

#endif
