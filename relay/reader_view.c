/* GET /v1/account/.., /v1/rich-list, /v1/projections: what projections hold, with the log
 * position they hold it for and how far that is behind. Public: pinned accounts are not
 * there. */
#include "relay/reader_internal.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ledger/address.h"
#include "ledger/projection.h"
#include "ledger/trace.h"

#define ACCOUNT_PATH "/v1/account/"
#define EARNINGS "/earnings"
#define BEFORE "before="
#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"
#define TEXT_ROOM 200

struct projected {
    struct reader *rd;
    struct store_reader *store; /* the reader's own, or the replica's */
    const struct projection_ops *ops;
    struct projection_slot slots[SLOTS_MAX]; /* by number, when there .. */
    bool there[SLOTS_MAX]; /* .. a replica may be of one of several servers */
    bool all;
    struct projection_top top;
};

static json_t *decimal(int64_t v)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRId64, v);
    return json_string(text);
}

static json_t *hex(const struct hash *h)
{
    char text[2 * HASH_BYTES + 1];
    hex_encode(text, h->b, HASH_BYTES);
    return json_string(text);
}

static json_t *address(const struct projected *v, const struct hash *account)
{
    char text[ADDRESS_TEXT_MAX];
    address_format(text, account, v->rd->r->hub);
    return json_string(text);
}

/* What this hub has signed is known here even when a replica has not heard of it yet. */
static uint64_t size_of(const struct projected *v, const struct projection_slot *s)
{
    struct recover_mark mark = highwater_get(&v->rd->r->highwater, s->cursor.slot);
    return mark.size > s->size ? mark.size : s->size;
}

static json_t *as_of(const struct projected *v, const struct projection_slot *s)
{
    uint64_t size = size_of(v, s), next = s->cursor.next;
    return json_pack(
        "{s:i, s:I, s:I, s:I, s:I, s:o, s:s}", "slot", (int)s->cursor.slot, "records",
        (json_int_t)next, "hub_time_ms", (json_int_t)s->cursor.time_ms, "behind",
        (json_int_t)(size > next ? size - next : 0), "size", (json_int_t)size, "age_ms",
        s->begun ? json_integer((json_int_t)s->age_ms) : json_null(), "source",
        v->store == v->rd->store ? "store" : "replica");
}

static json_t *all_slots(const struct projected *v)
{
    json_t *list = json_array();
    for (uint32_t slot = 0; slot < v->rd->r->slots; slot++)
        json_array_append_new(list, as_of(v, &v->slots[slot]));
    return list;
}

/* An account that may be shown. */
static enum err find(struct projected *v, const struct hash *id,
                     struct projection_account_row *row)
{
    if (!v->there[slot_of(id, v->rd->r->slots)])
        return ERR_NOT_FOUND;
    TRY(v->ops->account(v->store, id, row));
    return row->pinned ? ERR_NOT_FOUND : ERR_OK;
}

static enum err account_json(struct projected *v, const struct hash *id, json_t **out)
{
    struct projection_account_row row;
    TRY(find(v, id, &row));
    *out = json_pack("{s:s, s:o, s:o, s:o, s:I, s:o, s:I, s:o}", "schema",
                     "stoa/account/1", "account", address(v, id), "id", hex(id),
                     "balance", decimal(row.balance), "position",
                     (json_int_t)row.records - 1, "head", hex(&row.head), "index",
                     (json_int_t)row.index, "as_of", as_of(v, &v->slots[row.slot]));
    return ERR_OK;
}

static json_t *day_json(const struct projection_earning_row *x)
{
    char date[16] = "";
    time_t t = (time_t)((uint64_t)x->day * (PROJECTION_DAY_MS / 1000));
    struct tm tm;
    if (gmtime_r(&t, &tm))
        (void)strftime(date, sizeof(date), "%Y-%m-%d", &tm);
    return json_pack("{s:s, s:i, s:o, s:I, s:I}", "date", date, "day", (int)x->day,
                     "amount", decimal(x->amount), "accruals", (json_int_t)x->accruals,
                     "index", (json_int_t)x->index);
}

static enum err earnings_json(struct projected *v, const struct hash *id, uint32_t before,
                              json_t **out)
{
    struct projection_account_row row;
    struct projection_earning_row days[PROJECTION_PAGE + 1];
    size_t count = 0;
    TRY(find(v, id, &row));
    TRY(v->ops->earnings(v->store, id, before, days, &count));
    bool more = count > PROJECTION_PAGE;
    json_t *list = json_array();
    for (size_t i = 0; i < count && i < PROJECTION_PAGE; i++)
        json_array_append_new(list, day_json(&days[i]));
    *out = json_pack("{s:s, s:o, s:o, s:o, s:o}", "schema", "stoa/earnings/1", "account",
                     address(v, id), "days", list, "next",
                     more ? json_integer((json_int_t)days[PROJECTION_PAGE - 1].day)
                          : json_null(),
                     "as_of", as_of(v, &v->slots[row.slot]));
    return ERR_OK;
}

static bool keep(void *context, const struct projection_rich_row *row)
{
    projection_top_add(context, row);
    return true;
}

static enum err rich_json(struct projected *v, json_t **out)
{
    uint64_t hour = projection_hour(v->slots, v->rd->r->slots);
    v->top.count = 0;
    TRY(v->ops->rich(v->store, hour, keep, &v->top));
    json_t *list = json_array();
    for (size_t i = 0; i < v->top.count; i++) {
        const struct projection_rich_row *x = &v->top.rows[i];
        json_array_append_new(list,
                              json_pack("{s:i, s:o, s:o, s:i}", "rank", (int)i + 1,
                                        "account", address(v, &x->account), "balance",
                                        decimal(x->balance), "slot", (int)x->slot));
    }
    *out = json_pack("{s:s, s:I, s:o, s:o}", "schema", "stoa/rich-list/1", "hour_ms",
                     (json_int_t)(hour * PROJECTION_HOUR_MS), "accounts", list, "as_of",
                     all_slots(v));
    return ERR_OK;
}

/* "<address or id>" or "<..>/earnings", then maybe "?before=<day>". */
static enum err account_page(struct projected *v, const char *rest, const char *query,
                             json_t **out)
{
    char name[ADDRESS_TEXT_MAX], hub[HUB_NAME_MAX + 1] = "";
    struct hash id;
    size_t size = strcspn(rest, "/");
    bool earnings = strcmp(rest + size, EARNINGS) == 0;
    if (size >= sizeof(name) || (rest[size] != '\0' && !earnings))
        return ERR_NOT_FOUND;
    memcpy(name, rest, size);
    name[size] = '\0';
    bool by_hex =
        size == 2 * (size_t)HASH_BYTES && hex_decode(id.b, HASH_BYTES, name, size);
    if (!by_hex && !address_parse(name, &id, hub))
        return ERR_USAGE;
    if (hub[0] && strcmp(hub, v->rd->r->hub) != 0)
        return ERR_NOT_FOUND;
    if (!earnings)
        return account_json(v, &id, out);
    unsigned long before = UINT32_MAX;
    if (strncmp(query, BEFORE, strlen(BEFORE)) == 0) {
        char *end;
        const char *number = query + strlen(BEFORE);
        before = strtoul(number, &end, 10);
        if (end == number || *end || *number < '0' || *number > '9' ||
            before > UINT32_MAX)
            return ERR_USAGE;
    } else if (query[0]) {
        return ERR_USAGE;
    }
    return earnings_json(v, &id, (uint32_t)before, out);
}

static enum err slots_of(struct projected *v)
{
    size_t count = 0;
    uint32_t there = 0;
    memset(v->there, 0, sizeof(v->there));
    TRY(v->ops->slots(v->store, v->slots, &count));
    for (size_t i = count;
         i-- > 0;) { /* ascending: from the end on, none is overwritten */
        uint32_t slot = v->slots[i].cursor.slot;
        if (slot >= v->rd->r->slots || slot < i)
            return ERR_STORE;
        v->slots[slot] = v->slots[i];
        v->there[slot] = true;
        there++;
    }
    v->all = there == v->rd->r->slots;
    return ERR_OK;
}

static enum err page_of(struct projected *v, struct store_reader *store, const char *path,
                        const char *query, json_t **out)
{
    v->store = store;
    v->ops = store->ops->projection;
    if (!v->ops)
        return ERR_MISSING;
    TRY(slots_of(v));
    if (strncmp(path, ACCOUNT_PATH, strlen(ACCOUNT_PATH)) == 0)
        return account_page(v, path + strlen(ACCOUNT_PATH), query, out);
    if (!v->all)
        return ERR_NOT_FOUND;
    if (strcmp(path, "/v1/rich-list") == 0)
        return rich_json(v, out);
    *out = json_pack("{s:s, s:o}", "schema", "stoa/projections/1", "slots", all_slots(v));
    return ERR_OK;
}

/* The replica's answer, or the store's when the replica has none. An account that the
 * replica does not know may only be too new for it. */
static enum err page(struct projected *v, const char *path, const char *query,
                     json_t **out)
{
    struct store_reader *replica = reader_replica(v->rd);
    if (replica) {
        enum err e = page_of(v, replica, path, query, out);
        if (e == ERR_OK || e == ERR_USAGE)
            return e;
        if (e != ERR_NOT_FOUND)
            reader_replica_drop(v->rd, e);
    }
    return page_of(v, v->rd->store, path, query, out);
}

static void refused(enum err e, unsigned *status, char text[TEXT_ROOM])
{
    *status = e == ERR_NOT_FOUND || e == ERR_MISSING ? 404 : e == ERR_USAGE ? 400 : 503;
    snprintf(text, TEXT_ROOM, "%s: %s\n", err_word(e),
             e == ERR_MISSING
                 ? "this hub keeps no projections; they need a postgresql:// store"
             : e == ERR_USAGE ? "wanted: /v1/account/<stoa1.. or 64 hex digits>[/earnings"
                                "[?before=<day>]]"
             : e == ERR_NOT_FOUND ? "no such account, or it is not public"
                                  : "the projections cannot be read now");
}

void serve_view(struct reader *rd, const struct request *q)
{
    char asked[VIEW_PATH_MAX], text[TEXT_ROOM], *body = NULL;
    struct mail *m = mail_new(MAIL_WITNESS, q->conn);
    struct projected *v = calloc(1, sizeof(*v));
    json_t *j = NULL;
    size_t size = q->frame->size;
    memcpy(asked, frame_data(q->frame), size);
    asked[size] = '\0';
    char *query = strchr(asked, '?');
    if (query)
        *query++ = '\0';
    enum err e = ERR_MEMORY;
    if (v) {
        v->rd = rd;
        e = page(v, asked, query ? query : "", &j);
    }
    if (e == ERR_IO)
        (void)reader_code(rd, e);
    else if (e != ERR_OK && e != ERR_NOT_FOUND && e != ERR_USAGE && e != ERR_MISSING)
        trace(TRACE_WARN, "reader.view", TRACE_ERR("why", e));
    body = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    json_decref(j);
    free(v);
    if (!m) {
        free(body);
        return;
    }
    m->status = 200;
    if (!body)
        refused(e == ERR_OK ? ERR_MEMORY : e, &m->status, text);
    const char *shown = body ? body : text;
    m->type = body ? JSON_TYPE : TEXT_TYPE;
    m->frame = frame_new(strlen(shown) + 1);
    if (m->frame) {
        memcpy(frame_data(m->frame), shown, strlen(shown));
        if (body)
            frame_data(m->frame)[strlen(shown)] = '\n';
        m->frame->size = (uint32_t)(strlen(shown) + (body != NULL));
    } else {
        m->status = 500;
    }
    free(body);
    relay_mail_one(rd->r, m);
}

struct progress {
    bool there; /* it answered */
    bool known; /* .. and every slot was begun: else the numbers mean nothing */
    uint64_t records, behind, age_ms;
};

static struct progress progress_of(struct store_reader *store)
{
    struct progress p = {0};
    const struct projection_ops *ops = store ? store->ops->projection : NULL;
    struct projection_slot *slots = ops ? calloc(SLOTS_MAX, sizeof(*slots)) : NULL;
    size_t count = 0;
    p.there = slots && ops->slots(store, slots, &count) == ERR_OK;
    p.known = p.there && count > 0;
    for (size_t i = 0; i < count; i++) {
        const struct projection_slot *s = &slots[i];
        p.records += s->cursor.next;
        p.behind += s->size > s->cursor.next ? s->size - s->cursor.next : 0;
        p.age_ms = s->age_ms > p.age_ms ? s->age_ms : p.age_ms;
        p.known = p.known && s->begun;
    }
    free(slots);
    return p;
}

void view_watch(struct reader *rd)
{
    struct metrics *m = rd->r->metrics;
    struct progress p = progress_of(rd->store);
    metrics_set(m, METRIC_PROJECTION_KNOWN, 0, p.known);
    if (p.known) {
        metrics_set(m, METRIC_PROJECTION_RECORDS, 0, (int64_t)p.records);
        metrics_set(m, METRIC_PROJECTION_BEHIND, 0, (int64_t)p.behind);
        metrics_set(m, METRIC_PROJECTION_AGE, 0, (int64_t)p.age_ms);
    }
    struct store_reader *replica = reader_replica(rd);
    p = progress_of(replica);
    metrics_set(m, METRIC_REPLICA_UP, 0, p.there);
    if (p.known)
        metrics_set(m, METRIC_REPLICA_AGE, 0, (int64_t)p.age_ms);
    if (replica && !p.there)
        reader_replica_drop(rd, ERR_STORE);
}
