#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto/note.h"
#include "ledger/kinds.h"
#include "ledger/trace.h"
#include "relay/config_internal.h"
#include "relay/config_number.h"

#define STATE_DIR_MARK "{state_dir}"

static bool say(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool say(char *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, CONFIG_MESSAGE_MAX, format, args);
    va_end(args);
    return false;
}

static void *member(struct relay_config *values, const struct config_row *row)
{
    return (char *)values + row->offset;
}

static const void *member_of(const struct relay_config *values,
                             const struct config_row *row)
{
    return (const char *)values + row->offset;
}

static bool is_number(enum config_type type)
{
    return type == TYPE_COUNT || type == TYPE_BYTES || type == TYPE_MS;
}

static bool in_range(const struct config_row *row, uint64_t v, char *why)
{
    if (v >= (uint64_t)row->min && v <= (uint64_t)row->max)
        return true;
    char low[CONFIG_NUMBER_MAX], high[CONFIG_NUMBER_MAX];
    config_number_format(low, row->type == TYPE_BYTES, row->type == TYPE_MS,
                         (uint64_t)row->min);
    config_number_format(high, row->type == TYPE_BYTES, row->type == TYPE_MS,
                         (uint64_t)row->max);
    return say(why, "must be %s to %s", low, high);
}

static bool put_number(struct relay_config *out, const struct config_row *row,
                       const struct config_raw *raw, char *why)
{
    uint64_t v = 0;
    if (raw->is == RAW_INTEGER) {
        if (raw->integer < 0)
            return say(why, "must not be negative");
        v = (uint64_t)raw->integer;
    } else if (raw->is != RAW_WORDS && (raw->is != RAW_TEXT || row->type == TYPE_COUNT)) {
        return say(why, "must be a number%s, not %s",
                   row->type == TYPE_MS      ? " (ms) or like \"5s\""
                   : row->type == TYPE_BYTES ? " (bytes) or like \"64KiB\""
                                             : "",
                   raw->type);
    } else if (row->type == TYPE_COUNT ? !config_count_parse(raw->text, &v)
               : row->type == TYPE_MS  ? !config_ms_parse(raw->text, &v)
                                       : !config_bytes_parse(raw->text, &v)) {
        return say(why, "%s",
                   row->type == TYPE_MS
                       ? "must be like 250, \"250ms\", \"5s\" or \"1m30s\""
                   : row->type == TYPE_BYTES
                       ? "must be like 65536, \"64KiB\" or \"4MiB\" (B KiB MiB GiB TiB)"
                       : "must be a number");
    }
    if (!in_range(row, v, why))
        return false;
    *(uint64_t *)member(out, row) = v;
    return true;
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* A URI is shown by `config print`, in argv and in backups: it may not hold a password. */
static bool has_password(const char *uri)
{
    const char *host = strstr(uri, "//") + 2;
    size_t user = strcspn(host, "@/?");
    return strstr(uri, "password=") != NULL ||
           (host[user] == '@' && memchr(host, ':', user) != NULL);
}

static const char *store_complaint(const char *uri)
{
    bool postgres = starts(uri, "postgresql://") || starts(uri, "postgres://");
    if (postgres && has_password(uri))
        return "must not hold a password; put it into a file of mode 0600 and add "
               "?passfile=PATH";
    return postgres || !uri[0] || strcmp(uri, "memory:") == 0 || (starts(uri, "sqlite:") && uri[7])
               ? NULL
               : "must be memory:, sqlite:PATH or postgresql://USER@HOST/DATABASE";
}

static bool all_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* What text of this type must look like, or NULL when it does. */
static const char *text_complaint(enum config_type type, const char *text)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    switch (type) {
    case TYPE_NAME:
        return hub_name_ok(text, strlen(text))
                   ? NULL
                   : "must be of a-z 0-9 . - _ with a letter or digit at both ends";
    case TYPE_ADDRESS:
        return config_address(text, host, &port) ? NULL
                                                 : "must be like \"127.0.0.1:7001\", "
                                                   "\"[::1]:7001\" or \"0.0.0.0:7001\"";
    case TYPE_STORE:
        return store_complaint(text);
    case TYPE_SECRET:
        return strcmp(text, "none") == 0 || strcmp(text, "tty") == 0 ||
                       (starts(text, "fd:") && all_digits(text + 3)) ||
                       (starts(text, "file:") && text[5]) ||
                       (starts(text, "cmd:") && text[4])
                   ? NULL
                   : "must be none, tty, fd:N, file:PATH or cmd:COMMAND (a source, not "
                     "the "
                     "passphrase)";
    default:
        return NULL;
    }
}

static bool put_text(struct relay_config *out, const struct config_row *row,
                     const struct config_raw *raw, char *why)
{
    if (raw->is != RAW_TEXT && raw->is != RAW_WORDS)
        return say(why, "must be text, not %s", raw->type);
    size_t size = raw->text_size;
    if (strlen(raw->text) != size || has_control(raw->text))
        return say(why, "must not hold control characters");
    if (size < (size_t)row->min || size > (size_t)row->max || size >= CONFIG_TEXT_MAX)
        return say(why, "must be %" PRId64 " to %" PRId64 " bytes long", row->min,
                   row->max);
    const char *complaint = text_complaint(row->type, raw->text);
    if (complaint)
        return say(why, "%s", complaint);
    memset(member(out, row), 0, CONFIG_TEXT_MAX);
    memcpy(member(out, row), raw->text, size);
    return true;
}

static bool put_word(struct relay_config *out, const struct config_row *row,
                     const struct config_raw *raw, char *why)
{
    enum trace_level level;
    uint64_t *at = member(out, row);
    const char *text = raw->is == RAW_TEXT || raw->is == RAW_WORDS ? raw->text : "";
    if (row->type == TYPE_LEVEL) {
        if (!trace_level_from_word(text, &level))
            return say(why, "must be error, warn, info or debug");
        *at = level;
        return true;
    }
    if (strcmp(text, "logfmt") != 0 && strcmp(text, "json") != 0)
        return say(why, "must be logfmt or json");
    *at = strcmp(text, "json") == 0 ? TRACE_JSON : TRACE_LOGFMT;
    return true;
}

/* One element, at `i`. */
static bool put_item(void *list, const struct config_row *row, size_t i, const char *text,
                     size_t size, char *why)
{
    if (row->type == TYPE_PUBKEYS) {
        struct config_pubkeys *keys = list;
        if (!hex_decode(keys->item[i].b, sizeof keys->item[i].b, text, size))
            return say(why, "element %zu must be a public key: 64 hex digits", i + 1);
        if (!sig_key_enrollable(&keys->item[i]))
            return say(why, "element %zu is not a usable Ed25519 public key", i + 1);
        keys->count = i + 1;
        return true;
    }
    struct config_texts *texts = list;
    if (size == 0 || size >= CONFIG_TEXT_MAX)
        return say(why, "element %zu must be 1 to %d bytes long", i + 1,
                   CONFIG_TEXT_MAX - 1);
    memcpy(texts->item[i], text, size);
    texts->item[i][size] = '\0';
    texts->count = i + 1;
    if (has_control(texts->item[i]))
        return say(why, "element %zu must not hold control characters", i + 1);
    return true;
}

/* Flags and environment: elements between commas. */
static bool put_words_list(void *list, const struct config_row *row, const char *text,
                           char *why)
{
    size_t i = 0;
    while (*text) {
        size_t size = strcspn(text, ",");
        if (i == (size_t)row->max)
            return say(why, "must have at most %" PRId64 " elements", row->max);
        if (!put_item(list, row, i++, text, size, why))
            return false;
        text += size + (text[size] == ',');
    }
    return true;
}

static bool put_list(struct relay_config *out, const struct config_row *row,
                     const struct config_raw *raw, char *why)
{
    union {
        struct config_texts texts;
        struct config_pubkeys pubkeys;
    } made = {.texts = {0}};
    size_t size = row->type == TYPE_TEXTS ? sizeof made.texts : sizeof made.pubkeys;
    if (raw->is == RAW_WORDS) {
        if (!put_words_list(&made, row, raw->text, why))
            return false;
    } else if (raw->is != RAW_LIST) {
        return say(why, "must be a list of texts, like [\"..\", \"..\"], not %s",
                   raw->type);
    } else if (raw->item_count > (size_t)row->max) {
        return say(why, "must have at most %" PRId64 " elements", row->max);
    } else {
        for (size_t i = 0; i < raw->item_count; i++) {
            const char *item = raw->items[i];
            if (!item)
                return say(why, "element %zu must be text", i + 1);
            if (!put_item(&made, row, i, item, strlen(item), why))
                return false;
        }
    }
    memcpy(member(out, row), &made, size);
    return true;
}

bool config_put(struct relay_config *out, const struct config_row *row,
                const struct config_raw *raw, char *why)
{
    why[0] = '\0';
    if (is_number(row->type))
        return put_number(out, row, raw, why);
    if (row->type == TYPE_LEVEL || row->type == TYPE_FORMAT)
        return put_word(out, row, raw, why);
    if (row->type == TYPE_TEXTS || row->type == TYPE_PUBKEYS)
        return put_list(out, row, raw, why);
    return put_text(out, row, raw, why);
}

bool config_put_default(struct relay_config *out, const struct config_row *row)
{
    char text[CONFIG_TEXT_MAX];
    char why[CONFIG_MESSAGE_MAX];
    bool quoted = row->literal[0] == '"';
    size_t size = strlen(row->literal) - (quoted ? 2 : 0);
    memcpy(text, row->literal + quoted, size);
    text[size] = '\0';
    struct config_raw raw = {.is = RAW_WORDS, .text = text, .text_size = size};
    return config_put(out, row, &raw, why);
}

static size_t value_size(const struct config_row *row)
{
    switch (row->type) {
    case TYPE_TEXTS:
        return sizeof(struct config_texts);
    case TYPE_PUBKEYS:
        return sizeof(struct config_pubkeys);
    case TYPE_COUNT:
    case TYPE_BYTES:
    case TYPE_MS:
    case TYPE_LEVEL:
    case TYPE_FORMAT:
        return sizeof(uint64_t);
    default:
        return CONFIG_TEXT_MAX;
    }
}

/* Values are made whole, with zeros behind their ends, so bytes decide. */
bool config_equal(const struct relay_config *a, const struct relay_config *b,
                  const struct config_row *row)
{
    return memcmp(member_of(a, row), member_of(b, row), value_size(row)) == 0;
}

void config_copy(struct relay_config *to, const struct relay_config *from,
                 const struct config_row *row)
{
    memcpy(member(to, row), member_of(from, row), value_size(row));
}

bool config_expand(struct relay_config *values, const struct config_row *row)
{
    if (value_size(row) != CONFIG_TEXT_MAX ||
        row->offset == offsetof(struct relay_config, hub.state_dir))
        return true;
    char *text = member(values, row);
    char *mark = strstr(text, STATE_DIR_MARK);
    if (!mark)
        return true;
    char made[CONFIG_TEXT_MAX] = "";
    int n = snprintf(made, sizeof made, "%.*s%s%s", (int)(mark - text), text,
                     values->hub.state_dir, mark + strlen(STATE_DIR_MARK));
    if (n < 0 || (size_t)n >= sizeof made)
        return false;
    memcpy(text, made, sizeof made);
    return true;
}

/* Text that grows in a fixed place and stops at its end. */
static void add(char *out, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(char *out, size_t cap, const char *format, ...)
{
    size_t size = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + size, cap - size, format, args);
    va_end(args);
}

static void add_quoted(char *out, size_t cap, const char *text)
{
    add(out, cap, "\"");
    for (; *text; text++)
        add(out, cap, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    add(out, cap, "\"");
}

void config_format(char *out, size_t cap, const struct relay_config *values,
                   const struct config_row *row)
{
    const void *at = member_of(values, row);
    const struct config_texts *texts = at;
    const struct config_pubkeys *keys = at;
    uint64_t number = 0;
    if (value_size(row) == sizeof number)
        memcpy(&number, at, sizeof number);
    char text[CONFIG_TEXT_MAX];
    out[0] = '\0';
    switch (row->type) {
    case TYPE_COUNT:
    case TYPE_BYTES:
    case TYPE_MS:
        config_number_format(text, row->type == TYPE_BYTES, row->type == TYPE_MS, number);
        add(out, cap, all_digits(text) ? "%s" : "\"%s\"", text);
        break;
    case TYPE_LEVEL:
        add_quoted(out, cap, trace_level_word((enum trace_level)number));
        break;
    case TYPE_FORMAT:
        add_quoted(out, cap, number == TRACE_JSON ? "json" : "logfmt");
        break;
    case TYPE_TEXTS:
        for (size_t i = 0; i < texts->count; i++) {
            add(out, cap, "%s", i ? ", " : "[");
            add_quoted(out, cap, texts->item[i]);
        }
        add(out, cap, "%s", texts->count ? "]" : "[]");
        break;
    case TYPE_PUBKEYS:
        for (size_t i = 0; i < keys->count; i++) {
            hex_encode(text, keys->item[i].b, sizeof keys->item[i].b);
            add(out, cap, "%s\"%s\"", i ? ", " : "[", text);
        }
        add(out, cap, "%s", keys->count ? "]" : "[]");
        break;
    default:
        memcpy(text, at, sizeof text);
        add_quoted(out, cap, text);
        break;
    }
}
