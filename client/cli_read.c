/* balance, sync, verify, receipt get/check, checkpoint, limits. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"

static void put_balance(struct cli *c, const stoa_account *a, const stoa_balance *b,
                        bool online)
{
    char settled[40], text[40], age[32];
    cli_amount_text(settled, b->settled);
    cli_ago_text(age, b->age_ms);
    if (c->json) {
        json_t *row = json_object();
        cli_put_text(c, row, "name", a->name);
        cli_put_text(c, row, "address", a->address);
        cli_put_amount(c, row, "settled", b->settled);
        cli_put_amount(c, row, "pending_out", b->pending_out);
        cli_put_amount(c, row, "pending_in", b->pending_in);
        cli_put_amount(c, row, "after_pending",
                       b->settled - b->pending_out + b->pending_in);
        cli_put_amount(c, row, "position", b->position);
        cli_put_number(c, row, "index", b->index);
        cli_put_number(c, row, "tree_size", b->tree_size);
        cli_put_number(c, row, "checked_ms", b->checked_ms);
        cli_put_number(c, row, "age_ms", b->age_ms);
        cli_put_number(c, row, "unproven", b->unproven);
        cli_put_bool(c, row, "online", online);
        (void)json_array_append_new(cli_array(c, "balances"), row);
        return;
    }
    (void)printf("%-12s %s settled", a->name[0] ? a->name : "-", settled);
    if (b->pending_out || b->pending_in) {
        cli_amount_text(text, b->pending_out);
        (void)printf(", %s going out", text);
        cli_amount_text(text, b->pending_in);
        (void)printf(", %s coming in", text);
        cli_amount_text(text, b->settled - b->pending_out + b->pending_in);
        (void)printf(", %s after that", text);
    }
    if (b->position) {
        cli_amount_text(text, b->position);
        (void)printf(", split position %s", text);
    }
    if (b->checked_ms)
        (void)printf("   as of index %" PRIu64 ", %s ago\n", b->index, age);
    else
        (void)printf("   never checked with a hub\n");
    if (b->unproven)
        (void)printf("             the newest %" PRIu64
                     " record%s not proven yet: stoa sync\n",
                     b->unproven, b->unproven == 1 ? " is" : "s are");
}

stoa_result cli_run_balance(struct cli *c)
{
    bool online;
    stoa_account a;
    stoa_result r = cli_try_sync(c, NULL, &online);
    if (r != STOA_OK)
        return r;
    unsigned count = stoa_account_count(c->wallet);
    if (c->arg_count || count == 1) {
        r = cli_account(c, c->arg_count ? c->args[0] : NULL, &a);
        if (r != STOA_OK)
            return r;
        count = 1;
    }
    if (c->json)
        (void)cli_array(c, "balances");
    for (unsigned i = 0; i < count; i++) {
        stoa_balance b = {.size = sizeof b};
        if (count > 1) {
            a = (stoa_account){.size = sizeof a};
            r = stoa_account_at(c->wallet, i, &a, &c->error);
        }
        if (r == STOA_OK)
            r = stoa_balance_get(c->wallet, &a.id, &b, &c->error);
        if (r != STOA_OK)
            return cli_failed(c, r);
        put_balance(c, &a, &b, online);
    }
    if (count == 0)
        cli_say(c, "no account yet: stoa open NAME, or stoa account follow ADDRESS");
    return STOA_OK;
}

static stoa_result rebuild(struct cli *c)
{
    int unresolved = 0;
    stoa_result r = cli_wallet_dir(c);
    if (r == STOA_OK)
        r = stoa_wallet_rebuild(c->dir, cli_has(c, OPT_FORCE), &unresolved, &c->error);
    if (r != STOA_OK) {
        if (unresolved != 0 && !c->error.hint[0])
            (void)snprintf(c->error.hint, sizeof c->error.hint,
                           "stoa resume, or --force");
        return cli_failed(c, r);
    }
    cli_say(c, "the old database was renamed; fetching everything anew");
    return STOA_OK;
}

stoa_result cli_run_sync(struct cli *c)
{
    stoa_account a;
    bool one = c->arg_count != 0;
    stoa_result r = cli_has(c, OPT_REBUILD) ? rebuild(c) : STOA_OK;
    if (r == STOA_OK)
        r = cli_connect(c);
    if (r == STOA_OK && one)
        r = cli_account(c, c->args[0], &a);
    uint64_t since = cli_now_ms();
    if (r == STOA_OK)
        r = cli_failed(
            c, stoa_sync(c->wallet, one ? &a.id : NULL, c->timeout_ms, &c->error));
    if (r != STOA_OK)
        return r;
    uint64_t records = 0;
    unsigned count = stoa_account_count(c->wallet);
    for (unsigned i = 0; i < count; i++) {
        a = (stoa_account){.size = sizeof a};
        if (stoa_account_at(c->wallet, i, &a, NULL) == STOA_OK)
            records += a.position;
    }
    cli_put_number(c, NULL, "accounts", count);
    cli_put_number(c, NULL, "records", records);
    cli_put_number(c, NULL, "elapsed_ms", cli_now_ms() - since);
    if (!c->json)
        (void)printf("%u account%s, %" PRIu64 " record%s, verified  %" PRIu64 " ms\n",
                     count, count == 1 ? "" : "s", records, records == 1 ? "" : "s",
                     cli_now_ms() - since);
    return STOA_OK;
}

static bool on_verified(void *context, uint64_t done, uint64_t total)
{
    cli_progress_tell(context, done, total);
    return !cli_interrupted();
}

static void put_report(struct cli *c, const stoa_account *a, const stoa_verify_report *v,
                       bool good)
{
    char state[65];
    json_t *row = c->json ? json_object() : NULL;
    stoa_id_format(state, &v->state);
    if (row) {
        cli_put_text(c, row, "name", a->name);
        cli_put_id(c, row, "id", &a->id);
        cli_put_bool(c, row, "good", good);
        cli_put_number(c, row, "records", v->records);
        cli_put_number(c, row, "signatures", v->signatures);
        cli_put_number(c, row, "index", v->index);
        cli_put_number(c, row, "tree_size", v->tree_size);
        cli_put_bool(c, row, "inclusion", v->inclusion);
        cli_put_bool(c, row, "rebuilt", v->rebuilt);
        cli_put_number(c, row, "elapsed_us", v->elapsed_us);
        cli_put_text(c, row, "state", state);
        if (!good)
            cli_put_number(c, row, "bad_position", v->bad_position);
        (void)json_array_append_new(cli_array(c, "accounts"), row);
        return;
    }
    if (!good) {
        (void)printf("%-12s BAD at position %" PRIu64 "\n", a->name, v->bad_position);
        return;
    }
    (void)printf("%-12s good: %" PRIu64 " record%s, %" PRIu64
                 " signature%s, %s, %.1f ms\n"
                 "             state %s\n",
                 a->name, v->records, v->records == 1 ? "" : "s", v->signatures,
                 v->signatures == 1 ? "" : "s",
                 v->inclusion ? "proven in the log" : "inclusion not proven (offline)",
                 (double)v->elapsed_us / 1000.0, state);
    if (v->rebuilt)
        (void)printf("             a damaged local checkpoint was replaced\n");
}

static stoa_result verify_one(struct cli *c, const stoa_account *a, unsigned threads)
{
    struct cli_progress progress;
    stoa_verify_report report = {.size = sizeof report};
    cli_progress_begin(&progress, c, "verify", "records");
    stoa_result r = stoa_verify(c->wallet, &a->id,
                                cli_has(c, OPT_FULL) ? STOA_VERIFY_FULL : STOA_VERIFY_TIP,
                                threads, on_verified, &progress, &report, &c->error);
    cli_progress_end(&progress, report.records, a->position);
    if (r == STOA_OK || r == STOA_NO)
        put_report(c, a, &report, r == STOA_OK);
    return cli_failed(c, r);
}

stoa_result cli_run_verify(struct cli *c)
{
    /* A file is checked offline, without any wallet; an account is replayed. */
    if (c->arg_count && (cli_has(c, OPT_POLICY) || access(c->args[0], R_OK) == 0))
        return cli_run_verify_file(c);
    bool online;
    stoa_account a;
    uint64_t threads = 0;
    if (cli_has(c, OPT_THREADS) &&
        (!cli_number_parse(c->value[OPT_THREADS], &threads) || threads > 1024))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--threads wants a small number");
    stoa_result r = cli_try_sync(c, NULL, &online);
    if (r != STOA_OK)
        return r;
    cli_catch_signals();
    cli_put_text(c, NULL, "mode", cli_has(c, OPT_FULL) ? "full" : "tip");
    unsigned count = stoa_account_count(c->wallet);
    if (c->arg_count || count == 1) {
        r = cli_account(c, c->arg_count ? c->args[0] : NULL, &a);
        return r == STOA_OK ? verify_one(c, &a, (unsigned)threads) : r;
    }
    for (unsigned i = 0; r == STOA_OK && i < count; i++) {
        a = (stoa_account){.size = sizeof a};
        r = cli_failed(c, stoa_account_at(c->wallet, i, &a, &c->error));
        if (r == STOA_OK)
            r = verify_one(c, &a, (unsigned)threads);
    }
    return r;
}

stoa_result cli_run_receipt_get(struct cli *c)
{
    static char text[STOA_PROOF_MAX];
    stoa_id id;
    if (!stoa_id_parse(c->args[0], &id))
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa history",
                        "an id is 64 hex digits");
    stoa_result r = cli_connect(c);
    if (r == STOA_OK)
        r = cli_failed(c, cli_has(c, OPT_COSIGNED)
                              ? stoa_proof_get_cosigned(c->wallet, &id, text, &c->error)
                              : stoa_proof_get(c->wallet, &id, text, &c->error));
    if (r != STOA_OK)
        return r;
    if (cli_has(c, OPT_OUT)) {
        r = cli_write_file(c, c->value[OPT_OUT], text, strlen(text));
        cli_put_text(c, NULL, "file", c->value[OPT_OUT]);
        if (r == STOA_OK)
            cli_say(c, "written to %s: stoa verify FILE --policy POLICY checks it offline",
                    c->value[OPT_OUT]);
    } else if (c->json) {
        cli_put_text(c, NULL, "proof", text);
    } else {
        (void)fputs(text, stdout);
    }
    cli_put_id(c, NULL, "id", &id);
    return r;
}

static bool on_proven(void *context, const stoa_record *r)
{
    struct cli *c = context;
    char id[65], account[STOA_ADDRESS_MAX], when[32];
    stoa_id_format(id, &r->id);
    stoa_address_format(account, &r->account, NULL);
    cli_time_text(when, r->hub_time_ms);
    cli_put_id(c, NULL, "id", &r->id);
    cli_put_text(c, NULL, "kind", r->kind_word);
    cli_put_text(c, NULL, "account", account);
    cli_put_number(c, NULL, "slot", r->slot);
    cli_put_number(c, NULL, "index", r->index);
    cli_put_number(c, NULL, "hub_time_ms", r->hub_time_ms);
    if (!c->json)
        (void)printf(
            "entry     %s\nkind      %s\naccount   %s\nlog       slot %u index %" PRIu64
            ", %s\n",
            id, r->kind_word, account, r->slot, r->index, when);
    for (unsigned i = 0; i < r->party_count; i++) {
        stoa_id party;
        int64_t amount;
        char text[40];
        if (!stoa_record_party(r, i, &party, &amount))
            break;
        stoa_address_format(account, &party, NULL);
        cli_amount_text(text, amount);
        if (!c->json) {
            (void)printf("to        %s  %s\n", account, text);
            continue;
        }
        json_t *row = json_object();
        cli_put_text(c, row, "account", account);
        cli_put_amount(c, row, "amount", amount);
        (void)json_array_append_new(cli_array(c, "parties"), row);
    }
    return true;
}

/* The proof is of a slot whose log key this wallet never met: meet it, when a hub
 * answers. The origin line says which slot. */
static bool learn_log_key(struct cli *c, const char *text)
{
    char origin[STOA_HUB_NAME_MAX + 4];
    stoa_wallet_info info = {.size = sizeof info};
    stoa_checkpoint k = {.size = sizeof k};
    stoa_error ignored = {.size = sizeof ignored};
    uint8_t slot;
    stoa_wallet_get(c->wallet, &info);
    (void)snprintf(origin, sizeof origin, "\n%s/", info.hub);
    const char *at = strstr(text, origin);
    if (!at || !info.hub[0])
        return false;
    const char digits[3] = {at[strlen(origin)],
                            at[strlen(origin)] ? at[strlen(origin) + 1] : 0, 0};
    if (!cli_hex_parse(digits, &slot, 1) ||
        stoa_connect(c->wallet, NULL, c->timeout_ms, &ignored) != STOA_OK)
        return false;
    return stoa_checkpoint_get(c->wallet, slot, true, &k, &ignored) == STOA_OK;
}

static stoa_result check_proof(struct cli *c, const char *text, size_t size)
{
    stoa_result r = stoa_proof_check(c->wallet, c->value[OPT_VKEY], text, size, on_proven,
                                     c, &c->error);
    if (r == STOA_NO && c->error.code == ERR_NOT_FOUND && learn_log_key(c, text))
        r = stoa_proof_check(c->wallet, c->value[OPT_VKEY], text, size, on_proven, c,
                             &c->error);
    if (r == STOA_NO && c->error.code == ERR_NOT_FOUND)
        return cli_fail(c, STOA_NO, ERR_NOT_FOUND,
                        "--vkey KEY, or once with the hub at hand",
                        "this wallet never met the log the proof is of");
    return cli_failed(c, r);
}

stoa_result cli_run_receipt_check(struct cli *c)
{
    size_t size;
    char *text = cli_read_file(c, c->args[0], &size);
    if (!text)
        return STOA_DATA;
    stoa_result r = cli_has(c, OPT_VKEY) ? STOA_OK : cli_open(c);
    if (r == STOA_OK)
        r = check_proof(c, text, size);
    free(text);
    cli_put_bool(c, NULL, "good", r == STOA_OK);
    if (r == STOA_OK && !c->json)
        (void)printf("good      the record is in the signed log\n");
    return r;
}

static stoa_result show_checkpoint(struct cli *c, unsigned slot, bool ask)
{
    stoa_checkpoint k = {.size = sizeof k};
    char seen[32];
    stoa_result r =
        cli_failed(c, stoa_checkpoint_get(c->wallet, slot, ask, &k, &c->error));
    if (r != STOA_OK)
        return r;
    cli_time_text(seen, k.seen_ms);
    if (!c->json) {
        (void)printf("# slot %u, %" PRIu64 " record%s, first seen here %s\n%.*s\n", slot,
                     k.tree_size, k.tree_size == 1 ? "" : "s", seen, (int)k.note_size,
                     k.note);
        return STOA_OK;
    }
    json_t *row = json_object();
    cli_put_number(c, row, "slot", slot);
    cli_put_number(c, row, "tree_size", k.tree_size);
    cli_put_id(c, row, "root", &k.root);
    cli_put_number(c, row, "seen_ms", k.seen_ms);
    (void)json_object_set_new(row, "note", json_stringn(k.note, k.note_size));
    (void)json_array_append_new(cli_array(c, "checkpoints"), row);
    return STOA_OK;
}

static stoa_result show_evidence(struct cli *c)
{
    unsigned i = 0;
    stoa_evidence e = {.size = sizeof e};
    for (; stoa_evidence_get(c->wallet, i, &e); i++) {
        char at[32];
        cli_time_text(at, e.at_ms);
        if (!c->json) {
            (void)printf("# slot %u, %s: %s\n# known\n%s\n# shown\n%s\n", e.slot, at,
                         e.what, e.known, e.shown);
            continue;
        }
        json_t *row = json_object();
        cli_put_number(c, row, "slot", e.slot);
        cli_put_number(c, row, "at_ms", e.at_ms);
        cli_put_text(c, row, "what", e.what);
        cli_put_text(c, row, "known", e.known);
        cli_put_text(c, row, "shown", e.shown);
        (void)json_array_append_new(cli_array(c, "evidence"), row);
    }
    if (i == 0) {
        cli_say(c, "no evidence: this hub never contradicted itself here");
        return STOA_OK;
    }
    return cli_fail(c, STOA_NO, ERR_FORK, "show these notes to an auditor",
                    i == 1 ? "%u contradiction is kept" : "%u contradictions are kept",
                    i);
}

stoa_result cli_run_checkpoint(struct cli *c)
{
    bool ask = !cli_has(c, OPT_OFFLINE) && !cli_has(c, OPT_EVIDENCE);
    uint64_t slot = 0;
    stoa_result r = ask ? cli_connect(c) : cli_open(c);
    if (r != STOA_OK)
        return r;
    if (cli_has(c, OPT_EVIDENCE))
        return show_evidence(c);
    stoa_wallet_info info = {.size = sizeof info};
    stoa_wallet_get(c->wallet, &info);
    if (c->arg_count) {
        if (!cli_number_parse(c->args[0], &slot) || slot >= info.slots)
            return cli_fail(c, STOA_DATA, ERR_MALFORMED, NULL,
                            "this hub has slots 0 to %u",
                            info.slots ? info.slots - 1 : 0);
        return show_checkpoint(c, (unsigned)slot, ask);
    }
    for (unsigned i = 0; r == STOA_OK && i < info.slots; i++)
        r = show_checkpoint(c, i, ask);
    return r;
}

stoa_result cli_run_limits(struct cli *c)
{
    stoa_limits l = {.size = sizeof l};
    stoa_result r = cli_connect(c);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_limits_get(c->wallet, &l, &c->error));
    if (r != STOA_OK)
        return r;
    const struct {
        const char *name, *text;
        uint64_t value;
    } rows[] = {
        {"frame_bytes", "bytes in a frame", l.frame_bytes},
        {"entry_bytes", "bytes in an entry", l.entry_bytes},
        {"entries_a_frame", "entries in a frame", l.entries_a_frame},
        {"subscriptions", "subscriptions", l.subscriptions},
        {"inflight_entries", "entries not answered yet", l.inflight_entries},
        {"page_records", "records in a page", l.page_records},
        {"entries_a_second", "entries a second (0: no limit)", l.entries_a_second},
        {"burst", "entries at once", l.burst},
        {"idle_ms", "silence allowed, ms", l.idle_ms},
        {"unsent_bytes", "bytes waiting for a slow reader", l.unsent_bytes}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cli_put_number(c, NULL, rows[i].name, rows[i].value);
        if (!c->json)
            (void)printf("%-32s %" PRIu64 "\n", rows[i].text, rows[i].value);
    }
    return STOA_OK;
}
