/* send, sign, submit, resume. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"

static stoa_result wait_of(struct cli *c, stoa_state *out)
{
    const char *text = c->value[OPT_WAIT];
    *out = STOA_CREDITED;
    if (!text)
        return STOA_OK;
    for (unsigned s = STOA_SAVED; s <= STOA_CREDITED; s++)
        if (s != STOA_SENT && strcmp(text, cli_state_word((stoa_state)s)) == 0) {
            *out = (stoa_state)s;
            return STOA_OK;
        }
    return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL,
                    "--wait is saved, accepted or credited, not \"%.20s\"", text);
}

stoa_result cli_how(struct cli *c, stoa_how *how)
{
    static stoa_id memo_keys[CLI_REPEATS_MAX]; /* lives as long as the one command */
    stoa_how init = STOA_HOW_INIT;
    const char *key;
    *how = init;
    how->request = c->value[OPT_REQUEST];
    how->timeout_ms = c->timeout_ms;
    how->fresh = cli_has(c, OPT_FRESH);
    if (how->request && (!*how->request || strlen(how->request) > STOA_REQUEST_MAX))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--request is 1 to %d bytes",
                        STOA_REQUEST_MAX);
    if (cli_has(c, OPT_MEMO)) {
        how->memo = c->value[OPT_MEMO];
        how->memo_size = strlen(c->value[OPT_MEMO]);
        if (how->memo_size > STOA_MEMO_MAX)
            return cli_fail(c, STOA_DATA, ERR_TOO_LARGE, NULL,
                            "a memo is at most %d bytes", STOA_MEMO_MAX);
    }
    for (unsigned i = 0; (key = cli_repeated(c, OPT_MEMO_KEY, i)) != NULL; i++) {
        if (!stoa_id_parse(key, &memo_keys[i]))
            return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa key show",
                            "--memo-key wants 64 hex digits");
        how->memo_key_count = i + 1;
    }
    how->memo_keys = how->memo_key_count ? memo_keys : NULL;
    return wait_of(c, &how->wait);
}

struct payment {
    stoa_payee payees[STOA_PAYEES_MAX];
    char hubs[STOA_PAYEES_MAX][STOA_HUB_NAME_MAX + 1];
    const char *names[STOA_PAYEES_MAX];
    size_t count;
    int64_t total;
    stoa_account from;
};

/* Words are TO AMOUNT pairs, or with --to given as often, amounts only. */
static stoa_result payment_parse(struct cli *c, struct payment *p)
{
    bool named = cli_repeated(c, OPT_TO, 0) != NULL;
    p->count = named ? c->arg_count : c->arg_count / 2;
    if (p->count == 0 || (!named && c->arg_count % 2 != 0))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "stoa send stoa1q..@hub 12.50",
                        "say whom and how much");
    if (p->count > STOA_PAYEES_MAX)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "at most %d payees",
                        STOA_PAYEES_MAX);
    for (size_t i = 0; i < p->count; i++) {
        const char *amount = named ? c->args[i] : c->args[2 * i + 1];
        p->names[i] = named ? cli_repeated(c, OPT_TO, (unsigned)i) : c->args[2 * i];
        if (!p->names[i])
            return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL,
                            "there are more amounts than --to");
        stoa_payee *payee = &p->payees[i];
        if (!stoa_amount_parse(amount, &payee->amount) || payee->amount <= 0)
            return cli_fail(c, STOA_DATA, ERR_AMOUNT, "12.50", "\"%.40s\" is no amount",
                            amount);
        stoa_result r = cli_payee(c, p->names[i], &payee->account, p->hubs[i]);
        if (r != STOA_OK)
            return r;
        payee->hub = p->hubs[i];
        p->total += payee->amount; /* each at most 1e18, 64 of them are checked below */
        if (p->total < 0 || p->total > INT64_MAX / 2)
            return cli_fail(c, STOA_DATA, ERR_OVERFLOW, NULL,
                            "the amounts' sum is too large");
    }
    if (named && cli_repeated(c, OPT_TO, (unsigned)p->count))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL,
                        "there are more --to than amounts");
    return cli_account(c, c->value[OPT_FROM], &p->from);
}

static stoa_result ask(struct cli *c, const struct payment *p)
{
    char total[40], settled[40];
    stoa_balance b = {.size = sizeof b};
    cli_amount_text(total, p->total);
    if (stoa_balance_get(c->wallet, &p->from.id, &b, NULL) == STOA_OK) {
        cli_amount_text(settled, b.settled);
        cli_say(c, "from    %s, settled %s as of index %" PRIu64, p->from.name, settled,
                b.index);
    }
    for (size_t i = 0; i < p->count; i++) {
        char address[STOA_ADDRESS_MAX], amount[40];
        cli_amount_text(amount, p->payees[i].amount);
        stoa_address_format(address, &p->payees[i].account, p->payees[i].hub);
        cli_say(c, "to      %s  %s", address, amount);
    }
    return cli_confirm(c, false, "Send %s points?", total);
}

struct watchers {
    struct cli *c;
    uint64_t since_ms, accepted_ms, credited_ms;
    stoa_receipt last;
    bool any;
};

static bool on_receipt(void *context, const stoa_receipt *r)
{
    struct watchers *w = context;
    uint64_t ms = cli_now_ms() - w->since_ms;
    if (r->state == STOA_ACCEPTED || r->state == STOA_CREDITED)
        w->accepted_ms = w->accepted_ms ? w->accepted_ms : ms + 1;
    if (r->state == STOA_CREDITED)
        w->credited_ms = w->credited_ms ? w->credited_ms : ms + 1;
    w->last = *r;
    w->any = true;
    return true;
}

static void tell_latency(struct cli *c, const struct watchers *w)
{
    if (w->accepted_ms)
        cli_put_number(c, NULL, "accepted_ms", w->accepted_ms - 1);
    if (w->credited_ms)
        cli_put_number(c, NULL, "credited_ms", w->credited_ms - 1);
    if (c->json || w->last.state < STOA_ACCEPTED || w->last.state > STOA_CREDITED)
        return;
    if (w->accepted_ms)
        (void)printf("accepted  %" PRIu64 " ms", w->accepted_ms - 1);
    else
        (void)printf("accepted  earlier");
    if (w->credited_ms)
        (void)printf(" · credited %" PRIu64 " ms", w->credited_ms - 1);
    else if (w->last.state == STOA_CREDITED)
        (void)printf(" · credited");
    (void)printf("  slot %u index %" PRIu64 "%s\n", w->last.slot, w->last.index,
                 w->last.bounced ? "  (sent back: a payee does not exist)" : "");
}

static void tell_balance(struct cli *c, const stoa_id *account)
{
    stoa_balance b = {.size = sizeof b};
    char settled[40], pending[40];
    stoa_error ignored = {.size = sizeof ignored};
    (void)stoa_sync(c->wallet, account, c->timeout_ms, &ignored);
    if (stoa_balance_get(c->wallet, account, &b, &ignored) != STOA_OK)
        return;
    cli_put_amount(c, NULL, "settled", b.settled);
    cli_put_amount(c, NULL, "pending_out", b.pending_out);
    cli_amount_text(settled, b.settled);
    cli_amount_text(pending, b.pending_out);
    if (!c->json)
        (void)printf("balance   %s settled, %s pending\n", settled, pending);
}

/* The entry is on the disk: get it into the ledger and say how long it took. */
static stoa_result deliver(struct cli *c, const stoa_receipt *saved, stoa_state wait)
{
    struct watchers w = {.c = c, .since_ms = cli_now_ms(), .last = *saved};
    w.last.size = sizeof w.last;
    stoa_result r = stoa_resume(c->wallet, &saved->account, &saved->id, wait,
                                c->timeout_ms, on_receipt, &w, &c->error);
    stoa_receipt known = {.size = sizeof known};
    if (stoa_outgoing_find(c->wallet, &saved->id, &known, NULL) == STOA_OK)
        w.last = known;
    w.last.resumed = saved->resumed;
    if (c->json)
        cli_receipt(c, &w.last, 0);
    tell_latency(c, &w);
    if (r == STOA_OK)
        tell_balance(c, &saved->account);
    if (r == STOA_UNKNOWN || r == STOA_INTERRUPTED || r == STOA_LIMITED) {
        char id[65];
        stoa_id_format(id, &saved->id);
        (void)snprintf(c->error.hint, sizeof c->error.hint, "stoa resume %s", id);
    }
    return cli_failed(c, r);
}

stoa_result cli_run_send(struct cli *c)
{
    static struct payment p;
    stoa_how how;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = cli_how(c, &how);
    if (r == STOA_OK)
        r = cli_open(c);
    if (r == STOA_OK)
        r = payment_parse(c, &p);
    stoa_state wait = how.wait;
    if (r == STOA_OK && wait != STOA_SAVED)
        r = cli_connect(c);
    if (r == STOA_OK && wait != STOA_SAVED)
        r = cli_failed(c, stoa_sync(c->wallet, &p.from.id, c->timeout_ms, &c->error));
    if (r == STOA_OK)
        r = ask(c, &p);
    if (r != STOA_OK)
        return r;
    how.wait = STOA_SAVED;
    r = stoa_send(c->wallet, &p.from.id, p.payees, p.count, &how, &receipt, &c->error);
    if (r != STOA_OK)
        return cli_written(c, r, &receipt, 0);
    char id[65];
    stoa_id_format(id, &receipt.id);
    if (!c->json)
        (void)printf("id        %s\n          %s\n", id,
                     receipt.resumed
                         ? "saved earlier: this goes on with it, it does not pay again"
                         : "saved before sending: running this again cannot pay twice");
    (void)fflush(stdout);
    if (wait == STOA_SAVED) {
        cli_receipt(c, &receipt, 0);
        return STOA_OK;
    }
    return deliver(c, &receipt, wait);
}

stoa_result cli_run_sign(struct cli *c)
{
    static struct payment p;
    static uint8_t bytes[STOA_ENVELOPE_MAX];
    size_t size = sizeof bytes;
    stoa_how how;
    stoa_receipt receipt = {.size = sizeof receipt};
    if (!cli_has(c, OPT_OUT))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "--out pay.stoa",
                        "sign wants --out FILE");
    stoa_result r = cli_how(c, &how);
    if (r == STOA_OK)
        r = cli_open(c);
    if (r == STOA_OK)
        r = payment_parse(c, &p);
    if (r == STOA_OK)
        r = ask(c, &p);
    if (r != STOA_OK)
        return r;
    how.wait = STOA_SAVED;
    r = stoa_send(c->wallet, &p.from.id, p.payees, p.count, &how, &receipt, &c->error);
    if (r == STOA_OK)
        r = stoa_entry_bytes(c->wallet, &receipt.id, bytes, &size, &c->error);
    if (r != STOA_OK)
        return cli_failed(c, r);
    r = cli_write_file(c, c->value[OPT_OUT], bytes, size);
    if (r != STOA_OK)
        return r;
    cli_receipt(c, &receipt, 0);
    cli_put_text(c, NULL, "file", c->value[OPT_OUT]);
    if (!c->json)
        (void)printf("file      %s, %zu bytes: hand it in with stoa submit\n",
                     c->value[OPT_OUT], size);
    return STOA_OK;
}

stoa_result cli_run_submit(struct cli *c)
{
    size_t size;
    stoa_receipt receipt = {.size = sizeof receipt};
    char *bytes = cli_read_file(c, c->args[0], &size);
    if (!bytes)
        return STOA_DATA;
    stoa_result r = cli_connect(c);
    uint64_t since = cli_now_ms();
    if (r == STOA_OK) {
        r = stoa_submit(c->wallet, bytes, size, c->timeout_ms, &receipt, &c->error);
        if (r == STOA_UNKNOWN)
            (void)snprintf(c->error.hint, sizeof c->error.hint,
                           "stoa submit %.200s: again, it cannot count twice",
                           c->args[0]);
        r = cli_failed(c, r);
        if (r == STOA_OK)
            cli_receipt(c, &receipt, since);
    }
    free(bytes);
    return r;
}

struct resumed {
    struct cli *c;
    uint64_t count;
};

static bool on_resumed(void *context, const stoa_receipt *r)
{
    struct resumed *all = context;
    struct cli *c = all->c;
    char id[65], amount[40];
    stoa_id_format(id, &r->id);
    cli_amount_text(amount, r->amount);
    all->count++;
    if (!c->json) {
        (void)printf("%s  %-9s %s %s\n", id, cli_state_word(r->state),
                     stoa_kind_word(r->kind), r->payees ? amount : "");
        return true;
    }
    json_t *row = json_object();
    cli_put_id(c, row, "id", &r->id);
    cli_put_text(c, row, "state", cli_state_word(r->state));
    cli_put_text(c, row, "kind", stoa_kind_word(r->kind));
    cli_put_amount(c, row, "amount", r->amount);
    (void)json_array_append_new(cli_array(c, "changes"), row);
    return true;
}

stoa_result cli_run_resume(struct cli *c)
{
    stoa_id id;
    stoa_state wait;
    stoa_result r = wait_of(c, &wait);
    if (r == STOA_OK && c->arg_count && !stoa_id_parse(c->args[0], &id))
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa resume",
                        "an id is 64 hex digits");
    if (r == STOA_OK && cli_has(c, OPT_DROP) && !c->arg_count)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "stoa resume ID --drop",
                        "--drop wants an ID");
    if (r == STOA_OK && cli_has(c, OPT_DROP)) {
        r = cli_open(c);
        if (r == STOA_OK)
            r = cli_failed(c, stoa_drop(c->wallet, &id, &c->error));
        if (r == STOA_OK && !c->json)
            (void)printf("dropped   %s: it was never sent and never will be\n",
                         c->args[0]);
        return r;
    }
    if (r == STOA_OK)
        r = cli_connect(c);
    if (r != STOA_OK)
        return r;
    struct resumed all = {.c = c};
    if (c->json)
        (void)cli_array(c, "changes");
    r = stoa_resume(c->wallet, NULL, c->arg_count ? &id : NULL, wait, c->timeout_ms,
                    on_resumed, &all, &c->error);
    stoa_wallet_info info = {.size = sizeof info};
    stoa_wallet_get(c->wallet, &info);
    cli_put_number(c, NULL, "unresolved", info.unresolved);
    if (!c->json && r == STOA_OK)
        (void)printf("%s\n",
                     info.unresolved ? "some entries are still open" : "nothing is open");
    return cli_failed(c, r);
}
