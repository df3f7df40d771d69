/* device .., member .., split .., note, bind, recovery .., root .. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"

#define TTL_DEFAULT_MS UINT64_C(86400000)

/* Connect, sync, name the account. */
static stoa_result ready(struct cli *c, stoa_account *a)
{
    stoa_result r = cli_connect(c);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_sync(c->wallet, NULL, c->timeout_ms, &c->error));
    return r == STOA_OK ? cli_account(c, c->value[OPT_ACCOUNT], a) : r;
}

static stoa_result ready_to_write(struct cli *c, stoa_account *a, stoa_how *how)
{
    stoa_result r = cli_how(c, how);
    return r == STOA_OK ? ready(c, a) : r;
}

static stoa_result ready_to_read(struct cli *c, stoa_account *a)
{
    bool online;
    stoa_result r = cli_try_sync(c, NULL, &online);
    return r == STOA_OK
               ? cli_account(c, c->arg_count ? c->args[0] : c->value[OPT_ACCOUNT], a)
               : r;
}

stoa_result cli_run_device_request(struct cli *c)
{
    char request[STOA_TOKEN_MAX];
    stoa_result r = cli_open(c);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_device_request(c->wallet, request, &c->error));
    if (r != STOA_OK)
        return r;
    cli_put_text(c, NULL, "request", request);
    if (!c->json)
        (void)printf("%s\n", request);
    cli_say(c, "on a device that has the root key: stoa device add %s", request);
    return STOA_OK;
}

stoa_result cli_run_device_add(struct cli *c)
{
    stoa_id device;
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    if (!stoa_device_request_parse(c->args[0], &device))
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa device request",
                        "that is no device request, or a letter is wrong");
    stoa_result r = ready_to_write(c, &a, &how);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_device_add(c->wallet, &a.id, &device, &how, &receipt, &c->error);
    r = cli_written(c, r, &receipt, since);
    if (r == STOA_OK)
        cli_say(c, "on the new device: stoa account follow %s", a.address);
    return r;
}

stoa_result cli_run_device_revoke(struct cli *c)
{
    stoa_id device;
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    if (!stoa_id_parse(c->args[0], &device) &&
        !stoa_device_request_parse(c->args[0], &device))
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa device list",
                        "a device is 64 hex digits");
    stoa_result r = ready_to_write(c, &a, &how);
    if (r == STOA_OK)
        r = cli_confirm(c, false, "End this device's right to write, for ever?");
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_device_revoke(c->wallet, &a.id, &device, &how, &receipt, &c->error);
    return cli_written(c, r, &receipt, since);
}

stoa_result cli_run_device_list(struct cli *c)
{
    stoa_account a;
    stoa_result r = ready_to_read(c, &a);
    if (r != STOA_OK)
        return r;
    if (c->json)
        (void)cli_array(c, "devices");
    stoa_device d = {.size = sizeof d};
    for (unsigned i = 0; stoa_device_at(c->wallet, &a.id, i, &d); i++) {
        char key[65];
        stoa_id_format(key, &d.key);
        if (!c->json) {
            (void)printf("%s  member %u%s%s, %" PRIu64 " entries\n", key, d.member,
                         d.own ? ", this one" : "", d.revoked ? ", revoked" : "",
                         d.entries);
            continue;
        }
        json_t *row = json_object();
        cli_put_text(c, row, "key", key);
        cli_put_number(c, row, "member", d.member);
        cli_put_bool(c, row, "own", d.own);
        cli_put_bool(c, row, "revoked", d.revoked);
        cli_put_number(c, row, "entries", d.entries);
        (void)json_array_append_new(cli_array(c, "devices"), row);
    }
    return STOA_OK;
}

stoa_result cli_run_member_invite(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    char token[STOA_TOKEN_MAX] = "";
    uint64_t ttl = TTL_DEFAULT_MS;
    if (cli_has(c, OPT_TTL) && (!cli_time_parse(c->value[OPT_TTL], &ttl) || ttl == 0))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--ttl wants a time such as 2d");
    stoa_result r = ready_to_write(c, &a, &how);
    if (r != STOA_OK)
        return r;
    r = stoa_invite(c->wallet, &a.id, ttl, token, &how, &receipt, &c->error);
    if (r == STOA_OK && c->json) {
        cli_put_text(c, NULL, "token", token);
        cli_receipt(c, &receipt, 0);
    } else if (r == STOA_OK) {
        (void)printf("%s\n", token);
        cli_say(c,
                "secret: whoever holds it first can join, once: stoa member join TOKEN");
    } else {
        r = cli_written(c, r, &receipt, 0);
    }
    cli_wipe(token, sizeof token);
    return r;
}

stoa_result cli_run_member_join(struct cli *c)
{
    stoa_how how;
    stoa_id id;
    stoa_receipt receipt = {.size = sizeof receipt};
    char *text = NULL;
    const char *token = c->args[0];
    size_t size;
    stoa_result r = cli_how(c, &how);
    if (r == STOA_OK && strcmp(token, "-") == 0) {
        text = cli_read_file(c, "-", &size);
        if (!text)
            return STOA_DATA;
        text[strcspn(text, "\r\n")] = 0;
        token = text;
    }
    if (r == STOA_OK)
        r = cli_connect(c);
    uint64_t since = cli_now_ms();
    if (r == STOA_OK) {
        r = stoa_join(c->wallet, token, c->value[OPT_NAME], &how, &id, &receipt,
                      &c->error);
        r = cli_written(c, r, &receipt, since);
        char address[STOA_ADDRESS_MAX];
        stoa_address_format(address, &receipt.account, NULL);
        if (r == STOA_OK && !c->json)
            (void)printf("account   %s\n", address);
    }
    free(text);
    return r;
}

/* "me", a member's number, or a root key. */
static stoa_result member_of(struct cli *c, const stoa_account *a, const char *text,
                             size_t size, stoa_member *out)
{
    char word[80];
    uint64_t number = UINT64_MAX;
    stoa_id root;
    (void)snprintf(word, sizeof word, "%.*s", (int)(size < 70 ? size : 70), text);
    bool is_me = strcmp(word, "me") == 0;
    bool is_key = stoa_id_parse(word, &root);
    bool is_number = !is_key && cli_number_parse(word, &number);
    *out = (stoa_member){.size = sizeof *out};
    for (unsigned i = 0; stoa_member_at(c->wallet, &a->id, i, out); i++)
        if ((is_me && out->own) || (is_number && out->number == number) ||
            (is_key && memcmp(&out->root, &root, sizeof root) == 0))
            return STOA_OK;
    return cli_fail(c, STOA_DATA, ERR_MEMBER_UNKNOWN, "stoa member list",
                    "no member \"%.70s\" in %s", word, a->name);
}

stoa_result cli_run_member_remove(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    stoa_member m;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = ready_to_write(c, &a, &how);
    if (r == STOA_OK)
        r = member_of(c, &a, c->args[0], strlen(c->args[0]), &m);
    if (r == STOA_OK)
        r = cli_confirm(c, false, "Remove member %u and all its devices?", m.number);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_member_remove(c->wallet, &a.id, &m.root, &how, &receipt, &c->error);
    return cli_written(c, r, &receipt, since);
}

stoa_result cli_run_member_list(struct cli *c)
{
    stoa_account a;
    stoa_result r = ready_to_read(c, &a);
    if (r != STOA_OK)
        return r;
    if (c->json)
        (void)cli_array(c, "members");
    stoa_member m = {.size = sizeof m};
    for (unsigned i = 0; stoa_member_at(c->wallet, &a.id, i, &m); i++) {
        char root[65], position[40];
        stoa_id_format(root, &m.root);
        cli_amount_text(position, m.position);
        if (!c->json) {
            (void)printf("%3u  %s  %u device%s, position %s%s\n", m.number, root,
                         m.devices, m.devices == 1 ? "" : "s", position,
                         m.own ? "  (you)" : "");
            continue;
        }
        json_t *row = json_object();
        cli_put_number(c, row, "number", m.number);
        cli_put_text(c, row, "root", root);
        cli_put_bool(c, row, "own", m.own);
        cli_put_number(c, row, "devices", m.devices);
        cli_put_amount(c, row, "position", m.position);
        (void)json_array_append_new(cli_array(c, "members"), row);
    }
    return STOA_OK;
}

struct terms {
    stoa_share shares[STOA_SHARES_MAX];
    stoa_terms terms;
};

static stoa_result equal_shares(struct cli *c, const stoa_account *a, struct terms *t)
{
    stoa_member m = {.size = sizeof m};
    size_t count = 0;
    for (; count < STOA_SHARES_MAX &&
           stoa_member_at(c->wallet, &a->id, (unsigned)count, &m);
         count++)
        t->shares[count].root = m.root;
    if (count == 0)
        return cli_fail(c, STOA_DATA, ERR_MEMBER_UNKNOWN, "stoa sync",
                        "no members are known");
    int64_t part = t->terms.amount / (int64_t)count,
            rest = t->terms.amount % (int64_t)count;
    for (size_t i = 0; i < count; i++) /* the first ones carry what does not divide */
        t->shares[i].amount = part + ((int64_t)i < rest);
    t->terms.share_count = count;
    return STOA_OK;
}

static stoa_result terms_parse(struct cli *c, const stoa_account *a, const char *amount,
                               struct terms *t)
{
    stoa_member m;
    const char *share;
    const char *payer = cli_has(c, OPT_PAYER) ? c->value[OPT_PAYER] : "me";
    memset(t, 0, sizeof *t);
    t->terms.shares = t->shares;
    if (!stoa_amount_parse(amount, &t->terms.amount) || t->terms.amount <= 0)
        return cli_fail(c, STOA_DATA, ERR_AMOUNT, "12.50", "\"%.40s\" is no amount",
                        amount);
    stoa_result r = member_of(c, a, payer, strlen(payer), &m);
    if (r != STOA_OK)
        return r;
    t->terms.payer = m.root;
    if (cli_has(c, OPT_EQUAL) == (cli_repeated(c, OPT_SHARE, 0) != NULL))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "--equal",
                        "say --equal, or --share for each member");
    if (cli_has(c, OPT_EQUAL))
        return equal_shares(c, a, t);
    for (unsigned i = 0; (share = cli_repeated(c, OPT_SHARE, i)) != NULL; i++) {
        const char *equals = strchr(share, '=');
        if (!equals || !stoa_amount_parse(equals + 1, &t->shares[i].amount))
            return cli_fail(c, STOA_DATA, ERR_AMOUNT, "--share 1=12.50",
                            "\"%.80s\" is no share", share);
        r = member_of(c, a, share, (size_t)(equals - share), &m);
        if (r != STOA_OK)
            return r;
        t->shares[i].root = m.root;
        t->terms.share_count = i + 1;
    }
    return STOA_OK;
}

stoa_result cli_run_split(struct cli *c)
{
    static struct terms t;
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = ready_to_write(c, &a, &how);
    if (r == STOA_OK)
        r = terms_parse(c, &a, c->args[0], &t);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_split(c->wallet, &a.id, &t.terms, &how, &receipt, &c->error);
    return cli_written(c, r, &receipt, since);
}

static stoa_result change_split(struct cli *c, const char *amount)
{
    static struct terms t;
    stoa_how how;
    stoa_account a;
    stoa_id id;
    stoa_receipt receipt = {.size = sizeof receipt};
    if (!stoa_id_parse(c->args[0], &id))
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa history",
                        "an id is 64 hex digits");
    stoa_result r = ready_to_write(c, &a, &how);
    if (r == STOA_OK && amount)
        r = terms_parse(c, &a, amount, &t);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_split_change(c->wallet, &a.id, &id, amount ? &t.terms : NULL, &how, &receipt,
                          &c->error);
    return cli_written(c, r, &receipt, since);
}

stoa_result cli_run_split_correct(struct cli *c)
{
    return change_split(c, c->args[1]);
}

stoa_result cli_run_split_void(struct cli *c)
{
    return change_split(c, NULL);
}

stoa_result cli_run_note(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    const char *data = c->args[0];
    size_t size = strlen(data);
    char *text = NULL;
    if (strcmp(data, "-") == 0) {
        text = cli_read_file(c, "-", &size);
        if (!text)
            return STOA_DATA;
        data = text;
    }
    stoa_result r = size <= STOA_NOTE_MAX
                        ? ready_to_write(c, &a, &how)
                        : cli_fail(c, STOA_DATA, ERR_TOO_LARGE, NULL,
                                   "a note is at most %d bytes", STOA_NOTE_MAX);
    if (r == STOA_OK) {
        uint64_t since = cli_now_ms();
        r = stoa_note(c->wallet, &a.id, data, size, &how, &receipt, &c->error);
        r = cli_written(c, r, &receipt, since);
    }
    free(text);
    return r;
}

stoa_result cli_run_bind(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    uint64_t chain;
    stoa_receipt receipt = {.size = sizeof receipt};
    if (!cli_number_parse(c->args[0], &chain) || chain > 9)
        return cli_fail(c, STOA_DATA, ERR_CHAIN, NULL, "a chain is 0 to 9, not \"%.20s\"",
                        c->args[0]);
    stoa_result r = ready_to_write(c, &a, &how);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_bind(c->wallet, &a.id, (unsigned)chain, c->args[1], &how, &receipt,
                  &c->error);
    return cli_written(c, r, &receipt, since);
}

stoa_result cli_run_recovery_begin(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = ready_to_write(c, &a, &how);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_recovery_begin(c->wallet, &a.id, c->args[0], &how, &receipt, &c->error);
    r = cli_written(c, r, &receipt, since);
    if (r == STOA_OK)
        cli_say(
            c,
            "in 72 hours: stoa recovery finish; any root key of a member can cancel it");
    return r;
}

stoa_result cli_run_recovery_finish(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = ready_to_write(c, &a, &how);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_recovery_finish(c->wallet, &a.id, c->args[0], &how, &receipt, &c->error);
    return cli_written(c, r, &receipt, since);
}

stoa_result cli_run_recovery_cancel(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = ready_to_write(c, &a, &how);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_recovery_cancel(c->wallet, &a.id, &how, &receipt, &c->error);
    return cli_written(c, r, &receipt, since);
}

stoa_result cli_run_root_rotate(struct cli *c)
{
    stoa_how how;
    stoa_account a;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = ready_to_write(c, &a, &how);
    if (r == STOA_OK)
        r = cli_confirm(c, false, "Replace this wallet's root key by a fresh one?");
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_root_rotate(c->wallet, &a.id, &how, &receipt, &c->error);
    return cli_written(c, r, &receipt, since);
}

stoa_result cli_run_root_propose(struct cli *c)
{
    stoa_account a;
    stoa_id old;
    char text[STOA_TOKEN_MAX];
    if (!stoa_id_parse(c->args[0], &old))
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa member list",
                        "a root key is 64 hex digits");
    stoa_result r = ready(c, &a);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_rotate_propose(c->wallet, &a.id, &old, text, &c->error));
    if (r != STOA_OK)
        return r;
    cli_put_text(c, NULL, "proposal", text);
    if (!c->json)
        (void)printf("%s\n", text);
    return STOA_OK;
}

stoa_result cli_run_root_cosign(struct cli *c)
{
    char text[STOA_TOKEN_MAX];
    stoa_result r = cli_connect(c);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_sync(c->wallet, NULL, c->timeout_ms, &c->error));
    if (r == STOA_OK)
        r = cli_confirm(c, false,
                        "Sign another member's new root key? Be sure it is that person.");
    if (r == STOA_OK)
        r = cli_failed(c, stoa_rotate_cosign(c->wallet, c->args[0], text, &c->error));
    if (r != STOA_OK)
        return r;
    cli_put_text(c, NULL, "proof", text);
    if (!c->json)
        (void)printf("%s\n", text);
    return STOA_OK;
}

stoa_result cli_run_root_finish(struct cli *c)
{
    stoa_how how;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_result r = cli_how(c, &how);
    if (r == STOA_OK)
        r = cli_connect(c);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_sync(c->wallet, NULL, c->timeout_ms, &c->error));
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_rotate_finish(c->wallet, c->args[0], (const char *const *)c->args + 1,
                           c->arg_count - 1, &how, &receipt, &c->error);
    return cli_written(c, r, &receipt, since);
}
