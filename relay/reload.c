#include "relay/reload.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/relay.h"

#define LAST_LINE_MAX 128
#define TLS_CODE_TEXT "T7824"

struct settings_made *settings_copy(struct relay *r, const struct relay_config *c)
{
    struct settings_made *s = malloc(sizeof(*s));
    if (!s)
        return NULL;
    s->config = *c;
    s->older = r->made;
    r->made = s;
    return s;
}

void settings_free(struct relay *r)
{
    for (struct settings_made *s; (s = r->made);) {
        r->made = s->older;
        free(s);
    }
}

static void set_trace(const struct relay_config *c)
{
    trace_init((struct trace_config){.level = (enum trace_level)c->log.level,
                                     .format = (enum trace_format)c->log.format,
                                     .fd = 2,
                                     .burst = TRACE_BURST_DEFAULT});
}

enum err settings_tls(struct tls **out, const struct relay_config *c, char *why)
{
    *out = NULL;
    why[0] = '\0';
    if (!c->tls.certificate[0])
        return ERR_OK;
    enum err e = tls_load(out, c->tls.certificate, c->tls.key, why);
    if (e != ERR_OK && !why[0])
        snprintf(why, TLS_WHY_MAX, "%s", err_text(e));
    return e;
}

void settings_tls_told(struct relay *r, const struct tls *t)
{
    int64_t end = t ? tls_not_after_ms(t) : 0;
    tls_text(t, r->certificate);
    metrics_set(r->metrics, METRIC_TLS_END, 0, end);
    if (t)
        trace((uint64_t)end < clock_wall_ms() ? TRACE_WARN : TRACE_INFO, "tls.certificate",
              TRACE_STR("is", r->certificate));
}

/* What differs, told key by key. */
struct changes {
    const struct relay_config *old_values, *new_values;
    unsigned applied, waiting;
    json_t *applied_list, *waiting_list;
};

static void on_change(void *context, const char *section, const char *key, bool restart)
{
    struct changes *n = context;
    char name[CONFIG_KEY_MAX], was[CONFIG_SHOWN_MAX], is[CONFIG_SHOWN_MAX];
    *(restart ? &n->waiting : &n->applied) += 1;
    snprintf(name, sizeof(name), "%s.%s", section, key);
    config_show(n->old_values, section, key, was, sizeof(was));
    config_show(n->new_values, section, key, is, sizeof(is));
    json_array_append_new(restart ? n->waiting_list : n->applied_list,
                          json_pack("{s:s, s:s, s:s}", "key", name, "old", was, "new", is));
    trace(TRACE_INFO, "reload.changed", TRACE_STR("section", section),
          TRACE_STR("key", key), TRACE_BOOL("needs_restart", restart));
}

/* Nothing was applied: why, for people and for programs. */
static json_t *report_problems(const struct relay *r, const struct config *loaded,
                               const char *tls_why)
{
    char last[LAST_LINE_MAX];
    char *text = NULL;
    size_t size = 0;
    json_t *list = json_array();
    unsigned code;
    const char *sentence;
    snprintf(last, sizeof(last), "nothing was applied, generation %" PRIu64
             " still running", r->generation);
    for (size_t i = 0; loaded && config_problem(loaded, i, &code, &sentence); i++) {
        char name[16];
        snprintf(name, sizeof(name), "T%u", code);
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "code", name, "message", sentence));
    }
    FILE *f = open_memstream(&text, &size);
    if (tls_why[0])
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "code", TLS_CODE_TEXT, "message", tls_why));
    if (f && tls_why[0])
        fprintf(f, "error[%s] tls: %s\n%s\n", TLS_CODE_TEXT, tls_why, last);
    else if (f && loaded)
        config_print_problems(loaded, f, last);
    if (f && fclose(f) == 0 && text)
        fputs(text, stderr);
    json_t *report = json_pack("{s:b, s:I, s:o, s:s}", "applied_any", 0, "generation",
                               (json_int_t)r->generation, "problems", list, "text",
                               text ? text : "out of memory");
    free(text);
    return report;
}

static json_t *report_changes(const struct relay *r, struct changes *n, uint64_t before)
{
    return json_pack("{s:b, s:I, s:I, s:O, s:O, s:I}", "applied_any", 1,
                     "generation_before", (json_int_t)before, "generation",
                     (json_int_t)r->generation, "applied", n->applied_list,
                     "needs_restart", n->waiting_list, "unchanged",
                     (json_int_t)(config_key_count() - n->applied - n->waiting));
}

/* Never published: nobody reads it. */
static void settings_forget(struct relay *r, struct settings_made *newest)
{
    r->made = newest->older;
    free(newest);
}

static void publish(struct relay *r, struct settings_made *next)
{
    if (pinned_set_auditors(&r->pinned, next->config.access.auditors.item,
                            next->config.access.auditors.count) != ERR_OK)
        trace_event(TRACE_ERROR, "reload.auditors_kept");
    atomic_store_explicit(&r->config, &next->config, memory_order_release);
    set_trace(&next->config);
    r->generation++;
    metrics_set(r->metrics, METRIC_GENERATION, 0, (int64_t)r->generation);
}

static void told(const struct relay *r, const struct changes *n)
{
    metrics_set(r->metrics, METRIC_RESTART, 0, n->waiting);
    metrics_set(r->metrics, METRIC_RELOAD_TIME, 0, (int64_t)clock_wall_ms());
    trace(TRACE_INFO, "reload.done", TRACE_U64("generation", r->generation),
          TRACE_U64("applied", n->applied), TRACE_U64("need_restart", n->waiting));
}

/* Another certificate for connections to come. True: there is one. */
static bool renew(struct relay *r, const struct tls *t, struct changes *n)
{
    char was[TLS_TEXT_MAX], is[TLS_TEXT_MAX];
    memcpy(was, r->certificate, sizeof(was));
    tls_text(t, is);
    if (strcmp(was, is) == 0)
        return false;
    if (!ws_use_tls(r->ws, t)) {
        trace_event(TRACE_ERROR, "tls.kept_old");
        return false;
    }
    settings_tls_told(r, t);
    json_array_append_new(n->applied_list, json_pack("{s:s, s:s, s:s}", "key", "certificate",
                                                     "old", was, "new", is));
    return true;
}

/* Nothing was changed. */
static void refuse(struct relay *r, const struct config *loaded, const char *tls_why,
                   json_t **report)
{
    json_t *problems = report_problems(r, loaded, tls_why);
    trace(TRACE_WARN, "reload.refused", TRACE_U64("generation", r->generation));
    if (report)
        *report = problems;
    else
        json_decref(problems);
}

bool relay_reload(struct relay *r, json_t **report)
{
    char tls_why[TLS_WHY_MAX] = "";
    struct tls *tls = NULL;
    struct config *loaded = r->sources ? config_load(r->sources) : NULL;
    bool ok = loaded && config_problem_count(loaded) == 0 &&
              settings_tls(&tls, config_values(loaded), tls_why) == ERR_OK;
    struct settings_made *next = ok ? settings_copy(r, settings(r)) : NULL;
    uint64_t before = r->generation;
    metrics_set(r->metrics, METRIC_RELOAD_OK, 0, next != NULL);
    if (!next) {
        refuse(r, loaded, tls_why, report);
        tls_free(tls);
        config_close(loaded);
        return false;
    }
    struct changes n = {.old_values = settings(r),
                        .new_values = config_values(loaded),
                        .applied_list = json_array(),
                        .waiting_list = json_array()};
    config_diff(n.old_values, n.new_values, on_change, &n);
    config_apply_reload(&next->config, config_values(loaded));
    bool renewed = renew(r, tls, &n);
    tls_free(tls);
    if (n.applied == 0 && !renewed) /* what is in force stays, and stays the only copy of itself */
        settings_forget(r, next);
    else
        publish(r, next);
    told(r, &n);
    if (report)
        *report = report_changes(r, &n, before);
    json_decref(n.applied_list);
    json_decref(n.waiting_list);
    config_close(loaded);
    return true;
}
