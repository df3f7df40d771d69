/* An issuer's CSV that parses is within the limits, and its rows written out again parse
 * to the same rows; what does not parse says why. First byte: accrue or adjust. */
#include <inttypes.h>
#include <string.h>

#include "crypto/note.h"
#include "fuzz.h"
#include "ledger/address.h"
#include "relay/stoactl_rows.h"

static void put(char **at, const char *text)
{
    size_t size = strlen(text);
    memcpy(*at, text, size);
    *at += size;
}

static void put_quoted(char **at, const char *text)
{
    *(*at)++ = '"';
    for (; *text; text++) {
        if (*text == '"')
            *(*at)++ = '"';
        *(*at)++ = *text;
    }
    *(*at)++ = '"';
}

static char *write_rows(const struct rows *r, size_t *size)
{
    char *text = malloc(64 + r->count * (300 + 2 * REASON_BYTES_MAX)), *at = text;
    char hex[2 * HASH_BYTES + 1], number[64];
    PROPERTY(text != NULL);
    put(&at, r->kind == KIND_ACCRUE ? "node,epoch,account,amount\n"
                                    : "reason,account,amount\r\n");
    for (size_t i = 0; i < r->count; i++) {
        const struct row *row = &r->row[i];
        if (r->kind == KIND_ACCRUE) {
            hex_encode(hex, row->node.b, HASH_BYTES);
            put(&at, hex);
            (void)snprintf(number, sizeof number, ",%" PRIu64 ",", row->epoch);
            put(&at, number);
        } else {
            put_quoted(&at, row->reason);
            put(&at, ",");
        }
        hex_encode(hex, row->account.b, HASH_BYTES);
        put(&at, hex);
        put(&at, row->amount < 0 ? ",-" : ",");
        amount_format(number, row->amount < 0 ? -row->amount : row->amount);
        put(&at, number);
        put(&at, "\n");
    }
    *at = '\0';
    *size = (size_t)(at - text);
    return text;
}

static void check_rows(const struct rows *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct row *row = &r->row[i];
        PROPERTY(row->amount != 0 && row->amount != INT64_MIN);
        PROPERTY(row->next == ROW_NONE || (row->next > i && row->next < r->count));
        if (row->next != ROW_NONE)
            PROPERTY(hash_equal(&row->account, &r->row[row->next].account));
        if (r->kind == KIND_ACCRUE)
            PROPERTY(row->amount > 0 && row->epoch <= INT64_MAX);
        else
            PROPERTY(row->reason[0] && strlen(row->reason) <= REASON_BYTES_MAX);
        for (size_t j = 0; j < i && r->count < 100; j++)
            PROPERTY(!hash_equal(&row->key, &r->row[j].key));
    }
}

static void check_again(const struct rows *r)
{
    struct rows again;
    size_t size;
    char *text = write_rows(r, &size);
    PROPERTY(rows_parse(&again, r->kind, text, size));
    PROPERTY(again.count == r->count);
    for (size_t i = 0; i < r->count; i++) {
        const struct row *a = &r->row[i], *b = &again.row[i];
        PROPERTY(hash_equal(&a->account, &b->account) && a->amount == b->amount);
        PROPERTY(hash_equal(&a->node, &b->node) && a->epoch == b->epoch);
        PROPERTY(hash_equal(&a->key, &b->key) && a->next == b->next);
        PROPERTY(r->kind == KIND_ACCRUE || strcmp(a->reason, b->reason) == 0);
    }
    rows_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct rows r;
    if (!started)
        started = crypto_start();
    PROPERTY(started);
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (rows_parse(&r, data[0] % 2 ? KIND_ADJUST : KIND_ACCRUE, text, size - 1)) {
        check_rows(&r);
        check_again(&r);
    } else {
        PROPERTY(r.problem_count > 0);
        for (size_t i = 0; i < r.problem_count && i < ROWS_PROBLEMS_MAX; i++)
            PROPERTY(r.problems[i].text[0] != '\0');
    }
    rows_close(&r);
    return 0;
}
