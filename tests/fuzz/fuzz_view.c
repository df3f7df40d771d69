/* Questions to the projections over HTTP: a name, form or query that means an account gets that
 * account's rows as JSON, a page of days at most, going on where the last one ended; everything
 * else gets one word and a status; no pinned account is ever shown. First byte: the path as it
 * is, or one made from the rest. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "fuzz.h"
#include "input.h"
#include "ledger/address.h"
#include "ledger/projection.h"
#include "relay/reader_internal.h"

#define SLOTS 4u
#define ACCOUNTS 6u
#define PINNED 5u /* the last of them */
#define DAYS 70u  /* of earnings, of account 0 */
#define HUB "local.example"

void __wrap_relay_mail_one(struct relay *r, struct mail *m);

static struct relay hub;
static struct reader reader;
static struct mail *got;
static struct hash id[ACCOUNTS];

static int64_t balance_of(unsigned account)
{
    static const int64_t all[ACCOUNTS] = {0, 1, -5, INT64_MAX, 4000000, 77};
    return all[account];
}

/* ---- a store that keeps projections --------------------------------------------------------- */

static enum err slots(struct store_reader *r, struct projection_slot out[SLOTS_MAX], size_t *count)
{
    (void)r;
    memset(out, 0, SLOTS * sizeof(*out));
    for (uint32_t i = 0; i < SLOTS; i++) {
        out[i].cursor = (struct projection_cursor){.slot = i, .next = i, .time_ms = 1000 * i};
        out[i].begun = i > 0;
        out[i].size = 3;
    }
    *count = SLOTS;
    return ERR_OK;
}

static enum err account(struct store_reader *r, const struct hash *which,
                        struct projection_account_row *out)
{
    (void)r;
    for (unsigned i = 0; i < ACCOUNTS; i++)
        if (hash_equal(&id[i], which)) {
            *out = (struct projection_account_row){.account = id[i],
                                                   .slot = i % SLOTS,
                                                   .balance = balance_of(i),
                                                   .records = i + 1,
                                                   .pinned = i == PINNED};
            return ERR_OK;
        }
    return ERR_NOT_FOUND;
}

static enum err earnings(struct store_reader *r, const struct hash *which, uint32_t before,
                         struct projection_earning_row out[PROJECTION_PAGE + 1], size_t *count)
{
    (void)r;
    *count = 0;
    PROPERTY(!hash_equal(&id[PINNED], which));
    if (!hash_equal(&id[0], which))
        return ERR_OK;
    for (uint32_t day = DAYS; day-- > 0 && *count <= PROJECTION_PAGE;)
        if (day < before)
            out[(*count)++] =
                (struct projection_earning_row){.day = day, .amount = day, .accruals = 1};
    return ERR_OK;
}

static enum err rich(struct store_reader *r, uint64_t hour,
                     bool (*visit)(void *context, const struct projection_rich_row *row),
                     void *context)
{
    (void)r;
    (void)hour;
    for (unsigned i = 0; i < PINNED; i++)
        (void)visit(context, &(struct projection_rich_row){id[i], i % SLOTS, balance_of(i)});
    return ERR_OK;
}

void __wrap_relay_mail_one(struct relay *r, struct mail *m)
{
    PROPERTY(r == &hub && !got);
    got = m;
}

static void set_up(void)
{
    static const struct projection_ops projection = {slots, account, earnings, rich};
    static struct store_reader_ops ops = {.projection = &projection};
    static struct store_reader store = {.ops = &ops};
    static struct relay_config config;
    if (hub.hub)
        return;
    PROPERTY(crypto_start());
    highwater_open(&hub.highwater, NULL, SLOTS);
    hub.hub = HUB;
    hub.slots = SLOTS;
    atomic_store(&hub.config, &config);
    reader.r = &hub;
    reader.store = &store;
    for (unsigned i = 0; i < ACCOUNTS; i++)
        id[i] = hash_sha256(&i, sizeof(i));
}

/* ---- questions ------------------------------------------------------------------------------- */

/* The answer's status; its JSON or NULL into *body. */
static unsigned ask(const char *path, json_t **body)
{
    char hex[2 * HASH_BYTES + 1], name[ADDRESS_TEXT_MAX];
    size_t size = strlen(path);
    struct request *q = request_new(REQUEST_VIEW, 7);
    PROPERTY(q && (q->frame = frame_new(size + 1)) != NULL);
    memcpy(frame_data(q->frame), path, size);
    q->frame->size = (uint32_t)size;
    serve_view(&reader, q);
    request_drop(q);
    PROPERTY(got && got->frame && got->frame->size > 0 && got->conn == 7);
    unsigned status = got->status;
    PROPERTY(status == 200 || status == 400 || status == 404);
    const char *text = (const char *)frame_data(got->frame);
    *body = json_loadb(text, got->frame->size, JSON_REJECT_DUPLICATES, NULL);
    PROPERTY((status == 200) == json_is_object(*body));
    PROPERTY((strcmp(got->type, "application/json") == 0) == (status == 200));
    hex_encode(hex, id[PINNED].b, HASH_BYTES);
    address_format(name, &id[PINNED], HUB);
    *strchr(name, '@') = 0;
    PROPERTY(!memmem(text, got->frame->size, hex, strlen(hex)) &&
             !memmem(text, got->frame->size, name, strlen(name)));
    mail_drop(got);
    got = NULL;
    return status;
}

static const char *word(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    PROPERTY(text != NULL);
    return text;
}

static void check_days(const json_t *j, unsigned which, uint32_t before)
{
    const json_t *days = json_object_get(j, "days"), *next = json_object_get(j, "next");
    uint32_t from = which != 0 ? 0 : before < DAYS ? before : DAYS;
    uint32_t count = from < PROJECTION_PAGE ? from : PROJECTION_PAGE;
    PROPERTY(json_array_size(days) == count);
    for (uint32_t i = 0; i < count; i++)
        PROPERTY(json_integer_value(json_object_get(json_array_get(days, i), "day")) ==
                 (json_int_t)from - 1 - (json_int_t)i);
    PROPERTY(json_is_integer(next) == (from > PROJECTION_PAGE));
    PROPERTY(!json_is_integer(next) || json_integer_value(next) == (json_int_t)(from - count));
}

static void check_made(struct input *in)
{
    char path[VIEW_PATH_MAX], name[ADDRESS_TEXT_MAX], balance[32];
    unsigned which = take_below(in, ACCOUNTS + 1), form = take_below(in, 5), tail = take_below(in, 6);
    struct hash account = which < ACCOUNTS ? id[which] : hash_sha256("nobody", 6);
    uint32_t before = (uint32_t)take(in, 1);
    bool known = which < PINNED && form != 2, ok = true;
    if (form == 0)
        hex_encode(name, account.b, HASH_BYTES);
    else
        address_format(name, &account, form == 2 ? "other.example" : HUB);
    if (form == 3) { /* one character of it is another */
        char *c = &name[take_below(in, (unsigned)(strchr(name, '@') - name))];
        *c = *c == 'q' ? 'p' : 'q';
        ok = false;
    }
    if (form == 4)
        *strchr(name, '@') = 0;
    static const char *const tails[] = {"", "/earnings", "/earnings?before=%u", "/earnings?before=%ux",
                                        "/earnings/", "/earnings?after=%u"};
    size_t n = (size_t)snprintf(path, sizeof(path), "/v1/account/%s", name);
    const char *number = strchr(tails[tail], '%');
    size_t head = number ? (size_t)(number - tails[tail]) : strlen(tails[tail]);
    if (number)
        snprintf(path + n, sizeof(path) - n, "%.*s%u%s", (int)head, tails[tail], before, number + 2);
    else
        snprintf(path + n, sizeof(path) - n, "%s", tails[tail]);
    json_t *j;
    unsigned status = ask(path, &j);
    bool good = known && ok && tail < 3;
    PROPERTY((status == 200) == good);
    if (good) {
        address_format(name, &account, HUB);
        PROPERTY(strcmp(word(j, "account"), name) == 0);
    }
    if (good && tail == 0) {
        snprintf(balance, sizeof(balance), "%" PRId64, balance_of(which));
        PROPERTY(strcmp(word(j, "balance"), balance) == 0);
    } else if (good) {
        check_days(j, which, tail == 2 ? before : UINT32_MAX);
    }
    json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    char path[VIEW_PATH_MAX] = "";
    json_t *j;
    set_up();
    if (take_below(&in, 2)) {
        check_made(&in);
        return 0;
    }
    /* What the loop hands on begins in one of these ways. */
    static const char *const begins[] = {"/v1/account/", "/v1/rich-list", "/v1/projections"};
    size_t n = (size_t)snprintf(path, sizeof(path), "%s", begins[take_below(&in, 3)]);
    struct bytes rest = take_bytes(&in, sizeof(path) - 1 - n);
    if (n > 12 && rest.size > 0) /* as a query only */
        path[n++] = '?';
    for (size_t i = 0; i < rest.size && n + 1 < sizeof(path) && rest.data[i]; i++)
        path[n++] = (char)rest.data[i];
    path[n] = 0;
    (void)ask(path, &j);
    json_decref(j);
    return 0;
}
