#include "relay/admin_answer.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "relay/clock.h"
#include "relay/redis_address.h"
#include "relay/region.h"
#include "relay/relay.h"
#include "relay/why.h"

#define ADDRESS_TEXT 48

static void address_text(const struct ws_address *a, char out[ADDRESS_TEXT])
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN] = "?";
    if (memcmp(a->b, v4, sizeof(v4)) == 0) {
        (void)inet_ntop(AF_INET, a->b + 12, out, ADDRESS_TEXT);
        return;
    }
    (void)inet_ntop(AF_INET6, a->b, text, sizeof(text));
    snprintf(out, ADDRESS_TEXT, "%.*s/64", ADDRESS_TEXT - 4, text);
}

/* Two samples, and what lies between them. */
struct window {
    bool any;
    struct vital older, newest;
    struct vital_now now;
    uint64_t ms;
};

static struct window window_of(struct relay *r)
{
    struct window w = {0};
    w.any = vitals_get(&r->vitals, VITALS_WINDOW_MS, &w.older, &w.newest, &w.now);
    w.ms = w.newest.mono_ms - w.older.mono_ms;
    return w;
}

#define SINCE(w, member) ((w)->newest.member - (w)->older.member)

static uint64_t rate(const struct window *w, uint64_t n)
{
    return w->ms ? n * 1000u / w->ms : 0;
}

/* lag */

static void lag_row(json_t *list, const char *what, bool known, uint64_t entries,
                    bool age_known, uint64_t age_ms, bool ok)
{
    json_array_append_new(
        list, json_pack("{s:s, s:o, s:o, s:s}", "what", what, "behind_entries",
                        known ? json_integer((json_int_t)entries) : json_null(), "age_ms",
                        age_known ? json_integer((json_int_t)age_ms) : json_null(),
                        "state", ok ? "ok" : "late"));
}

static void lag_members(struct relay *r, json_t *list)
{
    static const uint64_t late_ms = 5000;
    struct region_member *m = calloc(REGION_RELAYS_MAX, sizeof(*m));
    size_t count = m && region_on(r) ? region_members(r, m) : 0;
    for (size_t i = 0; i < count; i++) {
        char what[REGION_NAME_MAX + 16];
        snprintf(what, sizeof(what), "relay %s%s", m[i].relay,
                 m[i].self ? " (this)" : "");
        lag_row(list, what, false, 0, true, m[i].silent_ms, m[i].silent_ms < late_ms);
    }
    free(m);
}

json_t *answer_lag(struct relay *r)
{
    json_t *list = json_array();
    struct window w = window_of(r);
    struct metrics *m = r->metrics;
    uint64_t wall = clock_wall_ms(), since = atomic_load(&r->append_since_ms);
    uint64_t point = (uint64_t)metrics_value(m, METRIC_CHECKPOINT_TIME, 0);
    lag_row(list, "entries not answered", w.any, w.now.inflight, false, 0,
            w.now.inflight < w.now.inflight_max || w.now.inflight_max == 0);
    lag_row(list, "commit", true, (uint64_t)metrics_value(m, METRIC_QUEUE, M_QUEUE_COMMIT),
            true, since ? clock_mono_ms() - since : 0,
            !since || clock_mono_ms() - since < WHY_COMMIT_HANGS_MS);
    lag_row(list, "payments not settled", true,
            (uint64_t)metrics_value(m, METRIC_CHANNEL_ITEMS, 0), false, 0, true);
    lag_row(list, "checkpoint", false, 0, point > 0, wall > point ? wall - point : 0,
            true);
    lag_row(list, "main loop", false, 0, w.any,
            clock_mono_ms() - w.newest.mono_ms,
            !w.any || clock_mono_ms() - w.newest.mono_ms < WHY_LOOP_SILENT_MS);
    if (region_on(r) && settings(r)->region.bus[0] != 0)
        lag_row(list, "bus", false, 0, w.any, w.now.bus_silent_ms,
                w.now.bus_silent_ms < WHY_BUS_SILENT_MS);
    lag_members(r, list);
    return json_pack("{s:o}", "lag", list);
}

/* top */

static json_t *top_rates(const struct window *w)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "committed_entries",
        (json_int_t)rate(w, SINCE(w, committed)), "refused_entries",
        (json_int_t)rate(w, SINCE(w, limited_rate) + SINCE(w, limited_queue)),
        "bad_signatures", (json_int_t)rate(w, SINCE(w, verified_bad)), "bytes_in",
        (json_int_t)rate(w, SINCE(w, bytes_in)), "bytes_out",
        (json_int_t)rate(w, SINCE(w, bytes_out)), "transactions",
        (json_int_t)rate(w, SINCE(w, commits)), "slow_readers",
        (json_int_t)rate(w, SINCE(w, slow_moved) + SINCE(w, slow_cut)));
}

json_t *answer_top(struct relay *r)
{
    json_t *list = json_array();
    struct window w = window_of(r);
    for (size_t i = 0; i < w.now.top_count; i++) {
        char text[ADDRESS_TEXT];
        const struct talker_row *row = &w.now.top[i];
        address_text(&row->address, text);
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:i}", "address", text, "entries_a_second",
                            (json_int_t)row->entries, "refused_a_second",
                            (json_int_t)row->refused, "permille", (int)row->permille));
    }
    return json_pack("{s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
                     "window_ms",
                     (json_int_t)w.ms, "a_second", top_rates(&w), "connections",
                     (json_int_t)w.now.connections, "subscriptions",
                     (json_int_t)w.now.subscriptions, "inflight_entries",
                     (json_int_t)w.now.inflight, "queue_entries",
                     (json_int_t)w.now.inflight_max, "unsent_bytes",
                     (json_int_t)w.now.unsent_bytes, "message_bytes",
                     (json_int_t)frames_bytes(), "message_limit_bytes",
                     (json_int_t)r->plan.messages, "held_connections",
                     (json_int_t)w.now.held, "addresses", list);
}

/* why */

static bool has_slots(const struct store_place *p)
{
    return memchr(p->slot, true, sizeof(p->slot)) != NULL;
}

static bool suspect(const struct store_place *p)
{
    return store_place_marked(p) || p->append_ms > 0;
}

/* The other servers, one after the other within one limit; first those that may be it. */
static void look_at_places(struct relay *r, const size_t number[], struct why_snapshot *s)
{
    uint64_t until = clock_mono_ms() + WHY_PLACES_MS;
    for (unsigned turn = 0; turn < 2; turn++)
        for (size_t i = 1; i < s->place_count; i++) {
            struct why_place *w = &s->place[i];
            struct store_why why = {{0}};
            uint64_t now = clock_mono_ms(), left = until > now ? until - now : 0;
            if (suspect(&w->is) != (turn == 0) || left < WHY_PLACE_LEAST_MS)
                continue;
            w->looked = true;
            if (!r->store->ops->probe(r->store, number[i],
                                      left < WHY_PLACE_MS ? (unsigned)left : WHY_PLACE_MS,
                                      &w->probe, &why))
                snprintf(w->probe_why, sizeof(w->probe_why), "%.400s", why.text);
        }
}

static void place_facts(struct relay *r, struct why_snapshot *s)
{
    size_t number[STORE_PLACES_MAX];
    struct store_place *all = calloc(STORE_PLACES_MAX, sizeof(*all));
    size_t count = all && r->store->ops->places ? r->store->ops->places(r->store, all) : 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || has_slots(&all[i])) {
            number[s->place_count] = i;
            s->place[s->place_count++].is = all[i];
        }
    free(all);
    look_at_places(r, number, s);
}

static void store_facts(struct relay *r, struct why_snapshot *s)
{
    const struct relay_config *c = settings(r);
    const char *uri = c->store.uri;
    struct store_why why = {{0}};
    s->store = strncmp(uri, "memory:", 7) == 0   ? WHY_MEMORY_STORE
               : strncmp(uri, "sqlite:", 7) == 0 ? WHY_SQLITE
                                                 : WHY_POSTGRES;
    s->store_place = s->store == WHY_POSTGRES ? uri : c->hub.state_dir;
    s->store_away = atomic_load(&r->store_away);
    s->low_room = atomic_load(&r->low_room);
    int64_t free_bytes = metrics_value(r->metrics, METRIC_STORE_FREE, 0);
    s->room_known = s->store == WHY_SQLITE && free_bytes > 0;
    s->free_bytes = (uint64_t)free_bytes;
    s->min_free_bytes = c->store.min_free_bytes;
    if (s->store == WHY_POSTGRES && !store_probe(uri, WHY_SERVER_MS, &s->probe, &why))
        snprintf(s->probe_why, sizeof(s->probe_why), "%.400s", why.text);
    place_facts(r, s);
}

static void bus_facts(struct relay *r, const struct window *w, struct why_snapshot *s)
{
    struct redis_address address;
    char why[REDIS_WHY_MAX];
    s->bus = region_on(r) && settings(r)->region.bus[0] != 0;
    s->bus_silent_ms = w->now.bus_silent_ms;
    if (s->bus && redis_address_parse(&address, settings(r)->region.bus, why))
        redis_address_cli(&address, s->bus_asked_by, sizeof(s->bus_asked_by));
}

static void stage_facts(struct relay *r, const struct window *w, struct why_snapshot *s)
{
    uint64_t threads_us = w->ms * 1000u * r->verify.thread_count;
    uint64_t since = atomic_load(&r->append_since_ms), now = clock_mono_ms();
    s->window_ms = w->ms;
    s->committed = SINCE(w, committed);
    s->refused_rate = SINCE(w, limited_rate);
    s->refused_queue = SINCE(w, limited_queue);
    s->inflight = w->now.inflight;
    s->inflight_max = w->now.inflight_max;
    s->verify_threads = r->verify.thread_count;
    s->verify_busy = threads_us ? SINCE(w, verify_busy_us) * 1000u / threads_us : 0;
    s->verify_wait_us =
        SINCE(w, verify_count) ? SINCE(w, verify_us) / SINCE(w, verify_count) : 0;
    s->verify_jobs_waiting = w->now.verify_waiting;
    s->commits = SINCE(w, commits);
    s->commit_us = s->commits ? SINCE(w, commit_us) / s->commits : 0;
    s->commit_usual_us = vitals_commit_usual_us(&r->vitals);
    s->append_ms = since && now > since ? now - since : 0;
    s->drift_ms = vitals_drift_ms(&w->older, &w->newest);
    s->loop_silent_ms = now - w->newest.mono_ms;
}

static void snapshot_take(struct relay *r, struct why_snapshot *s)
{
    struct window w = window_of(r);
    *s = (struct why_snapshot){
        .write_state = (enum err)atomic_load(&r->write_state),
        .draining = w.now.draining,
        .grace_ms = settings(r)->drain.grace_ms,
        .region = region_on(r),
        .leases_lapsed = !region_fresh(r),
        .slots = r->slots,
        .unowned = w.now.unowned,
        .first_unowned = w.now.first_unowned,
        .unowned_ms = w.now.unowned_ms,
        .connections = w.now.connections,
        .held = w.now.held,
        .memory_used = frames_bytes(),
        .memory_max = r->plan.messages,
        .memory_tight = w.now.tight,
        .cosign = r->cosigner != NULL,
        .logs_below_quorum =
            (uint64_t)metrics_value(r->metrics, METRIC_COSIGN_BELOW, 0)};
    bus_facts(r, &w, s);
    if (w.any)
        stage_facts(r, &w, s);
    if (w.now.top_count > 0) {
        s->top_entries = w.now.top[0].entries;
        s->top_refused = w.now.top[0].refused;
        s->top_share = w.now.top[0].permille;
        address_text(&w.now.top[0].address, s->top_address);
    }
    store_facts(r, s);
}

static json_t *found_json(const struct why_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct why_finding *f = &report->found[i];
        json_t *tries = json_array();
        for (unsigned t = 0; t < f->try_count; t++)
            json_array_append_new(tries, json_string(f->try_this[t]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:o}", "cause",
                                              why_word(f->cause), "said", f->said, "seen",
                                              f->seen, "effect", f->effect, "try", tries));
    }
    return list;
}

static json_t *looks_json(const struct why_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->look_count; i++) {
        const struct why_look *l = &report->looks[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", l->what, "state",
                                              !l->known ? "unknown"
                                              : l->ok   ? "ok"
                                                        : "bad",
                                              "seen", l->seen));
    }
    return list;
}

json_t *answer_why(struct relay *r)
{
    struct why_snapshot *s = calloc(1, sizeof(*s));
    struct why_report *report = calloc(1, sizeof(*report));
    json_t *j = NULL;
    if (s && report) {
        snapshot_take(r, s);
        why_judge(s, report);
        j = json_pack("{s:b, s:o, s:o}", "well", report->count == 0, "found",
                      found_json(report), "looked", looks_json(report));
    }
    free(s);
    free(report);
    return j;
}
