#include "relay/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/kinds.h"
#include "relay/config_internal.h"

#define RELOAD false
#define RESTART true
#define ROW(section, key, type, dflt, when, min, max, help)                              \
    {#section, #key, TYPE_##type,                                                        \
     #dflt,    when, min,                                                                \
     max,      help, offsetof(struct relay_config, section.key)},
#define SECTION(section, LIST) LIST(ROW)
const struct config_row config_rows[] = {CONFIG_SECTIONS(SECTION){.section = NULL}};
#undef SECTION
#undef ROW
_Static_assert(sizeof config_rows / sizeof config_rows[0] <= CONFIG_ROWS_MAX, "rows");

const struct config_row *config_row_find(const char *section, const char *key)
{
    for (const struct config_row *row = config_rows; row->section; row++)
        if (strcmp(row->section, section) == 0 && strcmp(row->key, key) == 0)
            return row;
    return NULL;
}

bool config_section_known(const char *section)
{
    for (const struct config_row *row = config_rows; row->section; row++)
        if (strcmp(row->section, section) == 0)
            return true;
    return false;
}

static void put_defaults(struct relay_config *out)
{
    memset(out, 0, sizeof *out);
    for (const struct config_row *row = config_rows; row->section; row++) {
        bool ok = config_put_default(out, row);
        assert(ok); /* the table's own defaults */
    }
}

static bool expand(struct relay_config *values)
{
    bool ok = true;
    for (const struct config_row *row = config_rows; row->section; row++)
        ok = config_expand(values, row) && ok;
    return ok;
}

void config_defaults(struct relay_config *out)
{
    put_defaults(out);
    bool ok = expand(out);
    assert(ok);
}

struct config *config_load(const struct config_sources *s)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    put_defaults(&c->values);
    config_read_files(c, s->file);
    if (s->environment)
        config_read_environment(c, s->environment);
    config_read_sets(c, s->sets, s->set_count);
    if (!expand(&c->values)) {
        struct config_place place = {.name = "hub.state_dir"};
        config_trouble_add(c, CONFIG_VALUE, &place,
                           "a path with {state_dir} is too long");
    }
    config_check_together(c);
    config_trouble_sort(c);
    return c;
}

void config_close(struct config *c)
{
    free(c);
}

const struct relay_config *config_values(const struct config *c)
{
    return &c->values;
}

/* Two settings that cannot both be meant. */
static void check_pair(struct config *c, bool ok, const char *section, const char *key,
                       const char *sentence)
{
    if (ok)
        return;
    char name[64];
    snprintf(name, sizeof name, "%s.%s", section, key);
    const struct config_row *row = config_row_find(section, key);
    assert(row);
    const char *origin = c->origin[row - config_rows];
    struct config_place place = {.name = origin[0] ? origin : "default"};
    config_trouble_add(c, CONFIG_CONFLICT, &place, "%s %s", name, sentence);
}

/* One of several relays: they must find one store and each other. */
static void check_region(struct config *c)
{
    const struct relay_config *v = &c->values;
    const char *peer = v->region.peer[0] ? v->region.peer : v->listen.client;
    char host[CONFIG_TEXT_MAX];
    uint16_t port = 0;
    bool one = v->region.relay[0] == '\0';
    check_pair(c, one || hub_name_ok(v->region.relay, strlen(v->region.relay)), "region",
               "relay", "must be of a-z 0-9 . - _ with a letter or digit at both ends");
    check_pair(c, one || strncmp(v->store.uri, "postgres", 8) == 0, "region", "relay",
               "wants a postgresql:// store: relays share a hub through it");
    check_pair(c, !v->region.peer[0] || config_address(v->region.peer, host, &port),
               "region", "peer", "must be like \"10.0.0.7:7001\" or \"[::1]:7001\"");
    bool any = config_address(peer, host, &port) &&
               (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0);
    check_pair(c, one || !any, "region", "peer",
               "must say where other relays reach this one: they cannot connect to "
               "every address");
}

void config_check_together(struct config *c)
{
    const struct relay_config *v = &c->values;
    check_region(c);
    check_pair(c,
               !v->store.replica[0] || (strncmp(v->store.uri, "postgres", 8) == 0 &&
                                        strncmp(v->store.replica, "postgres", 8) == 0),
               "store", "replica", "wants a postgresql:// store, and is one itself");
    check_pair(c, !v->tls.certificate[0] == !v->tls.key[0], "tls",
               v->tls.certificate[0] ? "key" : "certificate",
               "is missing: TLS wants a certificate and its key");
    check_pair(c, v->limits.ping_ms < v->limits.idle_ms, "limits", "ping_ms",
               "must be below limits.idle_ms, or quiet connections are closed unasked");
    check_pair(c, v->limits.entry_bytes < v->limits.frame_bytes, "limits", "entry_bytes",
               "must be below limits.frame_bytes, or the largest entry fits no frame");
    check_pair(c, v->limits.inflight_entries >= v->limits.entries_a_frame, "limits",
               "inflight_entries", "must not be below limits.entries_a_frame");
    check_pair(c, v->limits.queue_entries >= v->limits.entries_a_frame, "limits",
               "queue_entries", "must not be below limits.entries_a_frame");
}

size_t config_diff(const struct relay_config *old_values,
                   const struct relay_config *new_values,
                   void (*each)(void *context, const char *section, const char *key,
                                bool restart),
                   void *context)
{
    size_t count = 0;
    for (const struct config_row *row = config_rows; row->section; row++) {
        if (config_equal(old_values, new_values, row))
            continue;
        count++;
        if (each)
            each(context, row->section, row->key, row->restart);
    }
    return count;
}

void config_show(const struct relay_config *values, const char *section, const char *key,
                 char *out, size_t cap)
{
    const struct config_row *row = config_row_find(section, key);
    out[0] = '\0';
    if (row)
        config_format(out, cap, values, row);
}

size_t config_key_count(void)
{
    return sizeof config_rows / sizeof config_rows[0] - 1;
}

void config_apply_reload(struct relay_config *running, const struct relay_config *loaded)
{
    for (const struct config_row *row = config_rows; row->section; row++)
        if (!row->restart)
            config_copy(running, loaded, row);
}
