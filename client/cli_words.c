/* Values as text: times, amounts, receipts. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "client/cli.h"

void cli_time_text(char out[32], uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (unix_ms > UINT64_C(253402300799000) || !gmtime_r(&seconds, &tm) ||
        strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, 32, "%" PRIu64 " ms", unix_ms);
}

void cli_ago_text(char out[32], uint64_t ms)
{
    uint64_t s = ms / 1000;
    if (s < 120)
        (void)snprintf(out, 32, "%" PRIu64 " s", s);
    else if (s < 7200)
        (void)snprintf(out, 32, "%" PRIu64 " min", s / 60);
    else if (s < 172800)
        (void)snprintf(out, 32, "%" PRIu64 " h", s / 3600);
    else
        (void)snprintf(out, 32, "%" PRIu64 " d", s / 86400);
}

void cli_amount_text(char out[40], int64_t micro)
{
    char number[32];
    if (micro >= 0) {
        stoa_amount_format(number, micro);
        (void)snprintf(out, 40, "%s", number);
        return;
    }
    stoa_amount_format(number, micro == INT64_MIN ? INT64_MAX : -micro);
    (void)snprintf(out, 40, "-%s", number);
}

const char *cli_state_word(stoa_state s)
{
    static const char *const words[] = {"saved", "sent", "accepted", "credited",
                                        "dropped"};
    return (unsigned)s < sizeof words / sizeof words[0] ? words[s] : "?";
}

void cli_csv_text(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        (void)fputs(text, out);
        return;
    }
    (void)fputc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            (void)fputc('"', out);
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

static void put_receipt(struct cli *c, const stoa_receipt *r)
{
    cli_put_id(c, NULL, "id", &r->id);
    cli_put_id(c, NULL, "account", &r->account);
    cli_put_text(c, NULL, "kind", stoa_kind_word(r->kind));
    cli_put_text(c, NULL, "state", cli_state_word(r->state));
    cli_put_bool(c, NULL, "resumed", r->resumed);
    if (r->state == STOA_DROPPED)
        cli_put_number(c, NULL, "refusal", (uint64_t)r->code);
    if (r->state == STOA_ACCEPTED || r->state == STOA_CREDITED) {
        cli_put_number(c, NULL, "slot", r->slot);
        cli_put_number(c, NULL, "index", r->index);
        cli_put_number(c, NULL, "position", r->position);
        cli_put_number(c, NULL, "hub_lamport", r->hub_lamport);
        cli_put_number(c, NULL, "hub_time_ms", r->hub_time_ms);
        cli_put_number(c, NULL, "tree_size", r->tree_size);
    }
    if (r->payees) {
        cli_put_amount(c, NULL, "amount", r->amount);
        cli_put_number(c, NULL, "payees", r->payees);
        cli_put_number(c, NULL, "payees_left", r->payees_left);
        cli_put_bool(c, NULL, "bounced", r->bounced);
        cli_put_bool(c, NULL, "hubs_word", r->hubs_word);
    }
}

void cli_receipt(struct cli *c, const stoa_receipt *r, uint64_t since_ms)
{
    char id[65], latency[40] = "";
    if (since_ms)
        (void)snprintf(latency, sizeof latency, "  %" PRIu64 " ms",
                       cli_now_ms() - since_ms);
    if (c->json) {
        put_receipt(c, r);
        return;
    }
    stoa_id_format(id, &r->id);
    (void)printf("id        %s%s\n", id,
                 r->resumed ? "  (saved earlier, not a new one)" : "");
    if (r->state == STOA_SAVED)
        (void)printf("saved     on this disk, not sent\n");
    else if (r->state == STOA_SENT)
        (void)printf("sent      outcome not known yet\n");
    else if (r->state == STOA_DROPPED)
        (void)printf("dropped   not in the ledger and never will be (code %d)\n",
                     r->code);
    else
        (void)printf("%-9s slot %u index %" PRIu64 " position %" PRIu64 "%s\n",
                     r->payees ? cli_state_word(r->state) : "accepted", r->slot, r->index,
                     r->position, latency);
    if (r->bounced)
        (void)printf("bounced   a payee does not exist; the money comes back\n");
    if (r->state == STOA_CREDITED && r->hubs_word)
        (void)printf("note      credited by the hub's word: the payee's records are not "
                     "ours to read\n");
}

stoa_result cli_written(struct cli *c, stoa_result r, const stoa_receipt *receipt,
                        uint64_t since_ms)
{
    static const stoa_id none;
    bool saved = memcmp(&receipt->id, &none, sizeof none) != 0;
    if (saved && (c->json || r == STOA_OK || r == STOA_UNKNOWN || r == STOA_INTERRUPTED))
        cli_receipt(c, receipt, since_ms);
    if ((r == STOA_UNKNOWN || r == STOA_INTERRUPTED || r == STOA_LIMITED) && saved) {
        char id[65];
        stoa_id_format(id, &receipt->id);
        (void)snprintf(c->error.hint, sizeof c->error.hint, "stoa resume %s", id);
    }
    return cli_failed(c, r);
}
