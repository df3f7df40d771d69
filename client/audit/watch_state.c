/* What a watch remembers, and what it shows to Prometheus. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/engine.h"
#include "client/audit/watch.h"

#define STATE "watch.json"
#define SCHEMA "stoa.watch-state/1"

static json_t *log_json(const struct watch_log *l, unsigned slot)
{
    char root[2 * HASH_BYTES + 1];
    hex_encode(root, l->root.b, HASH_BYTES);
    return json_pack("{s:i, s:b, s:b, s:s, s:I, s:s, s:I}", "slot", (int)slot, "known",
                     l->known, "bad", l->bad, "origin", l->origin, "size",
                     (json_int_t)l->size, "root", root, "life_ms", (json_int_t)l->life_ms);
}

enum err watch_save(struct watched *s, char why[AUDIT_WHY_MAX])
{
    json_t *logs = json_array(), *told = json_array();
    for (unsigned i = 0; i < SLOTS_MAX; i++)
        if (s->logs[i].known || s->logs[i].bad)
            (void)json_array_append_new(logs, log_json(&s->logs[i], i));
    for (size_t i = 0; i < s->told_count; i++) {
        char text[2 * HASH_BYTES + 1];
        hex_encode(text, s->told[i].b, HASH_BYTES);
        (void)json_array_append_new(told, json_string(text));
    }
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:o, s:o}", "schema", SCHEMA,
                          "began_ms", (json_int_t)s->began_ms, "heartbeat_ms",
                          (json_int_t)s->heartbeat_ms, "event_number",
                          (json_int_t)s->event_number, "stale", s->stale, "fork", s->fork,
                          "finding", s->finding, "audited", s->audited, "logs", logs, "told",
                          told);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return ERR_MEMORY;
    enum err e = folder_put(&s->dir, STATE, bytes_of(text, strlen(text)), true, why);
    free(text);
    return e;
}

static uint64_t number(const json_t *o, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(o, name));
    return v > 0 ? (uint64_t)v : 0;
}

static bool load_log(struct watched *s, const json_t *o)
{
    uint64_t slot = number(o, "slot");
    const char *origin = json_string_value(json_object_get(o, "origin"));
    const char *root = json_string_value(json_object_get(o, "root"));
    if (slot >= SLOTS_MAX || !origin || !root || strlen(origin) > NOTE_NAME_MAX)
        return false;
    struct watch_log *l = &s->logs[slot];
    l->known = json_is_true(json_object_get(o, "known"));
    l->bad = json_is_true(json_object_get(o, "bad"));
    snprintf(l->origin, sizeof(l->origin), "%s", origin);
    l->size = number(o, "size");
    l->life_ms = number(o, "life_ms");
    return hex_decode(l->root.b, HASH_BYTES, root, strlen(root));
}

static bool load(struct watched *s, const json_t *o)
{
    const char *schema = json_string_value(json_object_get(o, "schema"));
    const json_t *logs = json_object_get(o, "logs"), *told = json_object_get(o, "told");
    if (!schema || strcmp(schema, SCHEMA) != 0 || !json_is_array(logs) || !json_is_array(told))
        return false;
    s->began_ms = number(o, "began_ms");
    s->heartbeat_ms = number(o, "heartbeat_ms");
    s->event_number = number(o, "event_number");
    s->stale = json_is_true(json_object_get(o, "stale"));
    s->fork = json_is_true(json_object_get(o, "fork"));
    s->finding = json_is_true(json_object_get(o, "finding"));
    s->audited = json_is_true(json_object_get(o, "audited"));
    for (size_t i = 0; i < json_array_size(logs); i++)
        if (!load_log(s, json_array_get(logs, i)))
            return false;
    for (size_t i = 0; i < json_array_size(told) && s->told_count < WATCH_TOLD_MAX; i++) {
        const char *text = json_string_value(json_array_get(told, i));
        if (!text || !hex_decode(s->told[s->told_count++].b, HASH_BYTES, text, strlen(text)))
            return false;
    }
    return true;
}

enum err watch_load(struct watched *s)
{
    struct buf b = {0};
    json_error_t problem;
    enum err e = fetch_read(&s->dir, STATE, &b);
    if (e == ERR_NOT_FOUND) {
        s->began_ms = watch_now_ms();
        buf_close(&b);
        return ERR_OK;
    }
    if (e == ERR_OK) {
        json_t *o = json_loadb((const char *)b.data, b.size, JSON_REJECT_DUPLICATES, &problem);
        e = o && load(s, o) ? ERR_OK : ERR_CORRUPT;
        json_decref(o);
    }
    buf_close(&b);
    return e;
}

/* ---- Prometheus ---------------------------------------------------------------------- */

/* Label values: backslash, quote and line feed are escaped. */
static void label(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", f);
        else if (*text == '\\' || *text == '"')
            fprintf(f, "\\%c", *text);
        else
            fputc(*text, f);
    }
}

static void per_log(FILE *f, const struct watch *w, const char *name, const char *help,
                    bool size)
{
    fprintf(f, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
    for (size_t i = 0; i < w->count; i++)
        for (unsigned k = 0; k < SLOTS_MAX; k++) {
            const struct watch_log *l = &w->sources[i].logs[k];
            if (!l->known)
                continue;
            fprintf(f, "%s{source=\"", name);
            label(f, w->sources[i].where);
            fprintf(f, "\",log=\"");
            label(f, l->origin);
            if (size)
                fprintf(f, "\"} %" PRIu64 "\n", l->size);
            else
                fprintf(f, "\"} %" PRIu64 ".%03" PRIu64 "\n", l->life_ms / 1000,
                        l->life_ms % 1000);
        }
}

static void per_source(FILE *f, const struct watch *w)
{
    static const char *const alarms[] = {"fork", "finding", "stale"};
    fprintf(f, "# HELP stoa_audit_alarm 1 while an alarm is on.\n"
               "# TYPE stoa_audit_alarm gauge\n");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *s = &w->sources[i];
        const bool on[] = {s->fork, watch_has_finding(s), s->stale};
        for (size_t k = 0; k < 3; k++) {
            fprintf(f, "stoa_audit_alarm{source=\"");
            label(f, s->where);
            fprintf(f, "\",event=\"%s\"} %d\n", alarms[k], on[k]);
        }
    }
}

enum err watch_prometheus(const struct watch *w, char why[AUDIT_WHY_MAX])
{
    char *text = NULL, dir[512];
    size_t size = 0;
    if (!w->prometheus)
        return ERR_OK;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return ERR_MEMORY;
    uint64_t now = watch_now_ms();
    per_log(f, w, "stoa_audit_last_good_timestamp_seconds", "Newest sign of life of a log.",
            false);
    per_log(f, w, "stoa_audit_log_size_entries", "Size of the newest checkpoint that was good.",
            true);
    per_source(f, w);
    fprintf(f,
            "# HELP stoa_audit_round_timestamp_seconds When the watch last looked.\n"
            "# TYPE stoa_audit_round_timestamp_seconds gauge\n"
            "stoa_audit_round_timestamp_seconds %" PRIu64 ".%03" PRIu64 "\n",
            now / 1000, now % 1000);
    if (fclose(f) != 0) {
        free(text);
        return ERR_MEMORY;
    }
    const char *name = strrchr(w->prometheus, '/');
    snprintf(dir, sizeof(dir), "%.*s", name ? (int)(name - w->prometheus) : 1,
             name ? w->prometheus : ".");
    enum err e = audit_write(dir[0] ? dir : "/", name ? name + 1 : w->prometheus, text, size, why);
    free(text);
    return e;
}
