/* The formats that are text. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "client/audit/export.h"
#include "client/audit/export_line.h"

static enum err file_error(void)
{
    return errno == ENOSPC || errno == EDQUOT ? ERR_STORE_FULL : ERR_FILE;
}

static enum err put(FILE *out, const struct buf *b)
{
    return fwrite(b->data, 1, b->size, out) == b->size ? ERR_OK : file_error();
}

/* ---- JSONL --------------------------------------------------------------------------- */

static enum err jsonl_begin(void *context, const struct export_head *h)
{
    struct buf b = {0};
    enum err e = export_line_head(&b, h);
    if (e == ERR_OK)
        e = put(context, &b);
    buf_close(&b);
    return e;
}

static enum err jsonl_record(void *context, const struct export_record *r)
{
    struct buf b = {0};
    enum err e = export_line_record(&b, r);
    if (e == ERR_OK)
        e = put(context, &b);
    buf_close(&b);
    return e;
}

static enum err jsonl_end(void *context, const struct export_head *h)
{
    struct buf b = {0};
    enum err e = export_line_manifest(&b, h);
    if (e == ERR_OK)
        e = put(context, &b);
    buf_close(&b);
    return e == ERR_OK && fflush(context) != 0 ? file_error() : e;
}

struct export_writer export_jsonl(FILE *out)
{
    return (struct export_writer){out, jsonl_begin, jsonl_record, jsonl_end};
}

/* ---- CSV: RFC 4180, lines end in CR LF; no field of ours needs quotes ----------------- */

static enum err csv_begin(void *context, const struct export_head *h)
{
    return fprintf(context,
                   "slot,index,position,id,kind,hub_time_ms,from,to,amount,scale,unit%s\r\n",
                   h->verified ? "" : ",unverified") > 0
               ? ERR_OK
               : file_error();
}

static enum err csv_record(void *context, const struct export_record *r)
{
    char id[2 * HASH_BYTES + 1];
    hex_encode(id, r->id.b, HASH_BYTES);
    for (size_t i = 0; i < r->move_count; i++) {
        char from[EXPORT_PLACE_MAX], to[EXPORT_PLACE_MAX];
        export_place_text(&r->moves[i].from, from);
        export_place_text(&r->moves[i].to, to);
        if (fprintf(context,
                    "%u,%" PRIu64 ",%" PRIu64 ",%s,%s,%" PRIu64 ",%s,%s,%" PRId64
                    ",%d,%s\r\n",
                    (unsigned)r->slot, r->index, r->position, id, r->kind,
                    export_time_ms(r), from, to, r->moves[i].amount, EXPORT_SCALE,
                    EXPORT_UNIT) < 0)
            return file_error();
    }
    return ERR_OK;
}

static enum err text_end(void *context, const struct export_head *h)
{
    (void)h;
    return fflush(context) == 0 ? ERR_OK : file_error();
}

struct export_writer export_csv(FILE *out)
{
    return (struct export_writer){out, csv_begin, csv_record, text_end};
}

/* ---- hledger journal ----------------------------------------------------------------- */

#define SECOND_LAST INT64_C(253402300799) /* of the year 9999 */

static void date_of(uint64_t time_ms, char out[16])
{
    time_t second = (time_t)(time_ms / 1000);
    struct tm t;
    if (time_ms / 1000 > (uint64_t)SECOND_LAST)
        second = (time_t)SECOND_LAST;
    memset(&t, 0, sizeof(t));
    (void)gmtime_r(&second, &t);
    (void)strftime(out, 16, "%Y-%m-%d", &t);
}

static enum err journal_begin(void *context, const struct export_head *h)
{
    char policy[2 * HASH_BYTES + 1];
    hex_encode(policy, h->policy.b, HASH_BYTES);
    bool ok = fprintf(context, "; %s, policy sha256:%s\n", EXPORT_SCHEMA, policy) > 0 &&
              (h->verified || fprintf(context, "; UNVERIFIED: did not pass an audit\n") > 0);
    for (size_t i = 0; i < h->slot_count && ok; i++) {
        char root[2 * HASH_BYTES + 1];
        hex_encode(root, h->slot[i].checkpoint.root.b, HASH_BYTES);
        ok = fprintf(context, "; %s size %" PRIu64 " root %s\n", h->slot[i].origin,
                     h->slot[i].checkpoint.size, root) > 0;
    }
    ok = ok && fprintf(context, "\ncommodity 1.000000 %s\n", EXPORT_UNIT) > 0;
    return ok ? ERR_OK : file_error();
}

static bool posting(FILE *out, const struct export_place *p, const char *sign, int64_t amount)
{
    char place[EXPORT_PLACE_MAX];
    export_place_text(p, place);
    return fprintf(out, "    %s  %s%" PRId64 ".%06" PRId64 " %s\n", place, sign,
                   amount / 1000000, amount % 1000000, EXPORT_UNIT) > 0;
}

static enum err journal_record(void *context, const struct export_record *r)
{
    char date[16], id[17];
    if (r->move_count == 0)
        return ERR_OK;
    date_of(export_time_ms(r), date);
    hex_encode(id, r->id.b, 8);
    bool ok = fprintf(context, "\n%s %s  ; slot:%02x, index:%" PRIu64 ", id:%s\n", date,
                      r->kind, (unsigned)r->slot, r->index, id) > 0;
    for (size_t i = 0; i < r->move_count && ok; i++)
        ok = posting(context, &r->moves[i].to, "", r->moves[i].amount) &&
             posting(context, &r->moves[i].from, "-", r->moves[i].amount);
    return ok ? ERR_OK : file_error();
}

static enum err journal_end(void *context, const struct export_head *h)
{
    uint64_t records = 0, withheld = 0;
    for (size_t i = 0; i < h->slot_count; i++) {
        records += h->slot[i].records;
        withheld += h->slot[i].withheld;
    }
    if (fprintf(context, "\n; end: %" PRIu64 " records, %" PRIu64 " withheld\n", records,
                withheld) < 0)
        return file_error();
    return text_end(context, h);
}

struct export_writer export_hledger(FILE *out)
{
    return (struct export_writer){out, journal_begin, journal_record, journal_end};
}
