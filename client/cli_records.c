/* history, watch, export, and import of another wallet's file. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli.h"
#include "crypto/key.h"

#define WATCH_SLICE_MS 250
#define AGAIN_FIRST_MS 100u
#define AGAIN_MAX_MS 5000u
#define AGAIN_STEP_MS 50u
#define IMPORT_BATCH 256

/* A record kept after the callback: what history shows. */
struct line {
    stoa_id id, other, cause;
    unsigned kind, parties;
    uint64_t position, index, time_ms;
    int64_t delta, balance;
    bool has_memo, own, has_other, has_cause;
};

struct lines {
    struct line *items;
    size_t count, cap;
};

static bool on_line(void *context, const stoa_record *r)
{
    struct lines *all = context;
    if (all->count == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 256;
        struct line *more = realloc(all->items, cap * sizeof *more);
        if (!more)
            return false;
        all->items = more;
        all->cap = cap;
    }
    struct line *line = &all->items[all->count++];
    int64_t amount;
    *line = (struct line){.id = r->id,
                          .kind = r->kind,
                          .parties = r->party_count,
                          .position = r->position,
                          .index = r->index,
                          .time_ms = r->hub_time_ms,
                          .delta = r->delta,
                          .balance = r->balance,
                          .has_memo = r->has_memo,
                          .own = r->own};
    static const stoa_id none;
    line->has_cause = r->by_hub && memcmp(&r->cause, &none, sizeof none) != 0;
    line->cause = r->cause;
    line->has_other = !line->has_cause && stoa_record_party(r, 0, &line->other, &amount);
    return true;
}

static void other_text(const struct line *line, char out[STOA_ADDRESS_MAX + 16])
{
    char address[STOA_ADDRESS_MAX];
    out[0] = 0;
    if (!line->has_other)
        return;
    stoa_address_format(address, &line->other, NULL);
    if (line->parties > 1)
        (void)snprintf(out, STOA_ADDRESS_MAX + 16, "%s +%u", address, line->parties - 1);
    else
        (void)snprintf(out, STOA_ADDRESS_MAX + 16, "%s", address);
}

static void memo_of(struct cli *c, const struct line *line, char *out, size_t cap)
{
    static uint8_t memo[STOA_MEMO_MAX];
    size_t size = 0;
    stoa_error why = {.size = sizeof why};
    out[0] = 0;
    if ((!line->has_memo && !line->has_cause) || !cli_has(c, OPT_MEMOS))
        return;
    /* A credit's memo is the payer's: readable where that account is followed too. */
    const stoa_id *entry = line->has_memo ? &line->id : &line->cause;
    if (stoa_memo_get(c->wallet, entry, memo, &size, &why) != STOA_OK) {
        if (line->has_memo)
            (void)snprintf(out, cap, "(memo: %s)", why.word);
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i < size && n + 1 < cap; i++) { /* nothing that moves a terminal */
        bool upper =
            memo[i] == 0xc2 && i + 1 < size && memo[i + 1] >= 0x80 && memo[i + 1] < 0xa0;
        out[n++] = upper || memo[i] < 32 || memo[i] == 127 ? ' ' : (char)memo[i];
        i += upper;
    }
    out[n] = 0;
}

static void print_line(struct cli *c, const struct line *line)
{
    static char memo[STOA_MEMO_MAX + 1];
    char id[65], when[32], delta[40], balance[40], other[STOA_ADDRESS_MAX + 16];
    stoa_id_format(id, &line->id);
    cli_time_text(when, line->time_ms);
    cli_amount_text(delta, line->delta);
    cli_amount_text(balance, line->balance);
    other_text(line, other);
    memo_of(c, line, memo, sizeof memo);
    if (cli_has(c, OPT_CSV)) {
        (void)printf("%" PRIu64 ",%" PRIu64 ",%s,%s,%" PRId64 ",%" PRId64 ",6,%s,%s,",
                     line->position, line->index, when, stoa_kind_word(line->kind),
                     line->delta, line->balance, id, other);
        cli_csv_text(stdout, memo);
        (void)fputs("\r\n", stdout);
        return;
    }
    if (c->json) {
        json_t *row = json_object();
        cli_put_number(c, row, "position", line->position);
        cli_put_number(c, row, "index", line->index);
        cli_put_text(c, row, "time", when);
        cli_put_number(c, row, "hub_time_ms", line->time_ms);
        cli_put_text(c, row, "kind", stoa_kind_word(line->kind));
        cli_put_amount(c, row, "amount", line->delta);
        cli_put_amount(c, row, "balance", line->balance);
        cli_put_id(c, row, "id", &line->id);
        cli_put_text(c, row, "counterparty", other);
        if (line->has_cause)
            cli_put_id(c, row, "cause", &line->cause);
        cli_put_bool(c, row, "own", line->own);
        if (*memo)
            cli_put_text(c, row, "memo", memo);
        (void)json_array_append_new(cli_array(c, "records"), row);
        return;
    }
    (void)printf("%5" PRIu64 "  %s  %-14s %14s %14s  %.16s  %.20s%s%s%s\n",
                 line->position, when, stoa_kind_word(line->kind),
                 line->delta ? delta : "", balance, id, other, *other ? ".." : "",
                 *memo ? "  " : "", memo);
}

/* The words of a command that takes one account, by argument or option. */
static stoa_result account_of(struct cli *c, stoa_account *a)
{
    return cli_account(c, c->arg_count ? c->args[0] : c->value[OPT_ACCOUNT], a);
}

static stoa_result read_window(struct cli *c, uint64_t *from, uint64_t *max)
{
    *from = 0;
    *max = 0;
    if (cli_has(c, OPT_SINCE) && !cli_number_parse(c->value[OPT_SINCE], from))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--since wants a position");
    if (cli_has(c, OPT_MAX) && !cli_number_parse(c->value[OPT_MAX], max))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--max wants a number");
    return STOA_OK;
}

stoa_result cli_run_history(struct cli *c)
{
    bool online;
    stoa_account a;
    uint64_t from, max;
    struct lines all = {0};
    stoa_result r = read_window(c, &from, &max);
    if (r == STOA_OK)
        r = cli_try_sync(c, NULL, &online);
    if (r == STOA_OK)
        r = account_of(c, &a);
    if (r == STOA_OK)
        r = cli_failed(
            c, stoa_history(c->wallet, &a.id, from, max, on_line, &all, &c->error));
    if (r == STOA_OK) {
        cli_put_text(c, NULL, "account", a.address);
        cli_put_bool(c, NULL, "online", online);
        if (c->json)
            (void)cli_array(c, "records");
        else if (cli_has(c, OPT_CSV))
            (void)printf(
                "position,index,time,kind,amount,balance,scale,id,counterparty,memo\r\n");
        else
            (void)printf("%5s  %-20s  %-14s %14s %14s  %-16s  %s\n", "pos", "time",
                         "kind", "amount", "balance", "id", "counterparty");
        for (size_t i = 0; i < all.count; i++)
            print_line(c, &all.items[i]);
    }
    free(all.items);
    return r;
}

struct watching {
    struct cli *c;
    uint64_t seen, max;
    bool deaf; /* nobody reads standard output any more */
    uint64_t end_ms;   /* UINT64_MAX: until a signal */
    uint32_t again_ms; /* pause before the next connection; 0: connected */
};

static bool on_live(void *context, const stoa_record *r)
{
    struct watching *w = context;
    struct cli *c = w->c;
    char id[65], when[32], delta[40], balance[40];
    stoa_id_format(id, &r->id);
    cli_time_text(when, r->hub_time_ms);
    cli_amount_text(delta, r->delta);
    cli_amount_text(balance, r->balance);
    w->seen++;
    if (c->json) {
        json_t *line = json_object();
        cli_put_id(c, line, "account", &r->account);
        cli_put_number(c, line, "position", r->position);
        cli_put_number(c, line, "slot", r->slot);
        cli_put_number(c, line, "index", r->index);
        cli_put_number(c, line, "hub_time_ms", r->hub_time_ms);
        cli_put_text(c, line, "kind", r->kind_word);
        cli_put_amount(c, line, "amount", r->delta);
        cli_put_amount(c, line, "balance", r->balance);
        cli_put_text(c, line, "id", id);
        cli_stream(c, c->schema, line);
    } else {
        (void)printf("%s  %-14s %14s  balance %s  %.16s\n", when, r->kind_word,
                     r->delta ? delta : "", balance, id);
    }
    w->deaf = fflush(stdout) != 0 || ferror(stdout);
    return !w->deaf && !cli_interrupted() && (w->max == 0 || w->seen < w->max);
}

static bool watch_goes_on(const struct watching *w)
{
    return !w->deaf && !cli_interrupted() && (w->max == 0 || w->seen < w->max) &&
           cli_now_ms() < w->end_ms;
}

/* A relay that drains or dies takes its connections with it; another one, or the same
 * soon, goes on from the record that was told last. True: to be tried once more. */
static bool watch_again(struct watching *w, stoa_result r)
{
    struct cli *c = w->c;
    uint32_t jitter;
    if (r != STOA_UNREACHABLE && r != STOA_LIMITED)
        return false;
    if (w->again_ms == 0 && !stoa_connected(c->wallet))
        cli_say(c, "connection lost (%s); connecting again", c->error.message);
    w->again_ms = w->again_ms == 0                 ? AGAIN_FIRST_MS
                  : w->again_ms < AGAIN_MAX_MS / 2 ? 2 * w->again_ms
                                                   : AGAIN_MAX_MS;
    uint64_t pause = w->again_ms;
    if (c->error.retry_after_ms > pause)
        pause = c->error.retry_after_ms < AGAIN_MAX_MS ? c->error.retry_after_ms
                                                       : AGAIN_MAX_MS;
    random_bytes(&jitter, sizeof jitter);
    uint64_t until = cli_now_ms() + pause / 2 + jitter % (pause / 2 + 1);
    struct timespec step = {0, AGAIN_STEP_MS * 1000000L};
    while (cli_now_ms() < until && watch_goes_on(w))
        (void)nanosleep(&step, NULL);
    return true;
}

static stoa_result watch_connected(struct watching *w)
{
    struct cli *c = w->c;
    if (w->again_ms == 0)
        return STOA_OK;
    if (!stoa_connected(c->wallet)) {
        stoa_result r =
            stoa_connect(c->wallet, c->value[OPT_HUB], c->timeout_ms, &c->error);
        if (r != STOA_OK)
            return r;
        cli_say(c, "connected again");
    }
    w->again_ms = 0;
    return STOA_OK;
}

stoa_result cli_run_watch(struct cli *c)
{
    stoa_account a;
    uint64_t for_ms = 0;
    struct watching w = {.c = c};
    if (cli_has(c, OPT_FOR) &&
        (!cli_time_parse(c->value[OPT_FOR], &for_ms) || for_ms == 0))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--for wants a time such as 10s");
    if (cli_has(c, OPT_COUNT) && !cli_number_parse(c->value[OPT_COUNT], &w.max))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--count wants a number");
    stoa_result r = cli_connect(c);
    if (r == STOA_OK)
        r = account_of(c, &a);
    if (r != STOA_OK)
        return r;
    cli_catch_signals();
    cli_say(c, "watching %s; Ctrl-C ends", a.address);
    c->streamed = c->json;
    w.end_ms = for_ms ? cli_now_ms() + for_ms : UINT64_MAX;
    while (watch_goes_on(&w)) {
        uint64_t left = w.end_ms - cli_now_ms();
        r = watch_connected(&w);
        if (r == STOA_OK)
            r = stoa_watch(c->wallet, &a.id,
                           left < WATCH_SLICE_MS ? (uint32_t)left + 1 : WATCH_SLICE_MS,
                           on_live, &w, &c->error);
        if (r != STOA_OK && !watch_again(&w, r))
            break;
    }
    return w.again_ms > 0 && cli_interrupted() ? STOA_OK : cli_failed(c, r);
}

static void hex_text(char *out, const uint8_t *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * size] = 0;
}

struct exporting {
    struct cli *c;
    FILE *out;
    uint64_t count;
    bool failed;
};

static bool on_export(void *context, const stoa_record *r)
{
    static char hex[2 * STOA_ENVELOPE_MAX + 1];
    struct exporting *x = context;
    char id[65], account[65];
    stoa_id_format(id, &r->id);
    stoa_id_format(account, &r->account);
    hex_text(hex, r->envelope, r->envelope_size);
    x->failed =
        fprintf(x->out,
                "{\"schema\":\"stoa.record/1\",\"account\":\"%s\",\"slot\":%u,"
                "\"index\":%" PRIu64 ",\"position\":%" PRIu64 ",\"hub_lamport\":%" PRIu64
                ",\"hub_time_ms\":%" PRIu64 ",\"kind\":\"%s\",\"id\":\"%s\","
                "\"amount_micro\":%" PRId64 ",\"balance_micro\":%" PRId64
                ",\"envelope\":\"%s\"}\n",
                account, r->slot, r->index, r->position, r->hub_lamport, r->hub_time_ms,
                r->kind_word, id, r->delta, r->balance, hex) < 0;
    x->count++;
    return !x->failed;
}

stoa_result cli_run_export(struct cli *c)
{
    bool online;
    stoa_account a;
    char beside[CLI_PATH_MAX];
    const char *path = c->value[OPT_OUT];
    stoa_result r = cli_try_sync(c, NULL, &online);
    if (r == STOA_OK)
        r = account_of(c, &a);
    if (r != STOA_OK)
        return r;
    struct exporting x = {.c = c, .out = stdout};
    if (path) {
        (void)snprintf(beside, sizeof beside, "%.1000s.part", path);
        x.out = fopen(beside, "we");
        if (!x.out)
            return cli_fail(c, STOA_DATA, ERR_FILE, NULL, "%.200s cannot be written",
                            beside);
    }
    r = cli_failed(c, stoa_history(c->wallet, &a.id, 0, 0, on_export, &x, &c->error));
    bool bad = fflush(x.out) != 0 || x.failed;
    if (path &&
        (fclose(x.out) != 0 || bad || r != STOA_OK || rename(beside, path) != 0)) {
        (void)remove(beside);
        bad = true;
    }
    if (r == STOA_OK && bad)
        return cli_fail(c, STOA_DATA, ERR_FILE, NULL, "the records cannot be written");
    if (r == STOA_OK && path) {
        cli_put_text(c, NULL, "file", path);
        cli_put_number(c, NULL, "records", x.count);
        cli_say(c, "%" PRIu64 " record%s written to %s", x.count, x.count == 1 ? "" : "s",
                path);
    } else {
        c->streamed = true;
    }
    return r;
}

/* A batch of lines on their way into the wallet. */
struct batch {
    stoa_import_record records[IMPORT_BATCH];
    uint8_t *bytes[IMPORT_BATCH];
    size_t count;
    stoa_id account;
};

static bool number_member(const json_t *o, const char *name, uint64_t *out)
{
    const json_t *v = json_object_get(o, name);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static stoa_result take_record(struct cli *c, struct batch *b, const json_t *o,
                               uint64_t line)
{
    stoa_import_record *r = &b->records[b->count];
    const char *hex = json_string_value(json_object_get(o, "envelope"));
    const char *account = json_string_value(json_object_get(o, "account"));
    const char *schema = json_string_value(json_object_get(o, "schema"));
    stoa_id id;
    size_t size = hex ? strlen(hex) / 2 : 0;
    bool good = schema && strcmp(schema, "stoa.record/1") == 0 && account &&
                stoa_id_parse(account, &id) && number_member(o, "index", &r->index) &&
                number_member(o, "position", &r->position) &&
                number_member(o, "hub_lamport", &r->hub_lamport) &&
                number_member(o, "hub_time_ms", &r->hub_time_ms) && size > 0 &&
                size <= STOA_ENVELOPE_MAX;
    uint8_t *bytes = good ? malloc(size) : NULL;
    good = bytes && cli_hex_parse(hex, bytes, size);
    if (!good || (line > 1 && memcmp(&id, &b->account, sizeof id) != 0)) {
        free(bytes);
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa export",
                        "line %" PRIu64 " is no record of one account", line);
    }
    b->account = id;
    b->bytes[b->count] = bytes;
    r->size = sizeof *r;
    r->envelope = bytes;
    r->envelope_size = size;
    b->count++;
    return STOA_OK;
}

static stoa_result put_batch(struct cli *c, struct batch *b)
{
    stoa_result r = STOA_OK;
    if (b->count)
        r = cli_failed(
            c, stoa_import(c->wallet, &b->account, b->records, b->count, &c->error));
    for (size_t i = 0; i < b->count; i++)
        free(b->bytes[i]);
    b->count = 0;
    return r;
}

/* Skip what the wallet has; the first record of the file says which account it is. */
static stoa_result known_position(struct cli *c, const struct batch *b, uint64_t *known)
{
    char address[STOA_ADDRESS_MAX];
    stoa_account a = {.size = sizeof a};
    stoa_address_format(address, &b->account, NULL);
    stoa_error ignored = {.size = sizeof ignored};
    if (stoa_account_find(c->wallet, address, &a, &ignored) != STOA_OK) {
        stoa_result r = cli_connect(c);
        if (r == STOA_OK)
            r = cli_failed(c,
                           stoa_account_follow(c->wallet, address, NULL, &a, &c->error));
        if (r != STOA_OK)
            return r;
    }
    *known = a.synced ? a.position : 0;
    return STOA_OK;
}

static stoa_result import_lines(struct cli *c, char *text, struct batch *b,
                                uint64_t *taken)
{
    uint64_t line = 0, known = 0;
    bool first = true;
    for (char *at = text; *at;) {
        char *end = strchr(at, '\n');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        json_error_t why;
        json_t *o = json_loadb(at, n, JSON_REJECT_DUPLICATES, &why);
        line++;
        at += n + (end != NULL);
        if (!o)
            return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa export",
                            "line %" PRIu64 ": %s", line, why.text);
        stoa_result r = take_record(c, b, o, line);
        json_decref(o);
        if (r == STOA_OK && first)
            r = known_position(c, b, &known);
        first = false;
        if (r != STOA_OK)
            return r;
        if (b->records[b->count - 1].position < known) {
            free(b->bytes[--b->count]);
            continue;
        }
        *taken += 1;
        if (b->count == IMPORT_BATCH && (r = put_batch(c, b)) != STOA_OK)
            return r;
    }
    return STOA_OK;
}

stoa_result cli_import_records(struct cli *c)
{
    static struct batch b;
    size_t size;
    uint64_t taken = 0;
    stoa_result r = cli_has(c, OPT_HUB) ? cli_connect(c) : cli_open(c);
    if (r != STOA_OK)
        return r;
    char *text = cli_read_file(c, c->args[0], &size);
    if (!text)
        return STOA_DATA;
    r = import_lines(c, text, &b, &taken);
    stoa_result put = r == STOA_OK ? put_batch(c, &b) : r;
    while (b.count)
        free(b.bytes[--b.count]);
    free(text);
    if (put != STOA_OK)
        return put;
    cli_put_number(c, NULL, "records", taken);
    if (!c->json)
        (void)printf("%" PRIu64 " record%s taken; the next `stoa sync` proves %s\n",
                     taken, taken == 1 ? "" : "s", taken == 1 ? "it" : "them");
    return STOA_OK;
}
