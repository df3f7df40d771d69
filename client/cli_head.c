/* stoa head: what the hub vouches for about an account, kept as a file; and such a file checked
 * offline by stoa verify. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "crypto/policy.h"
#include "ledger/evidence.h"

static void say_head(struct cli *c, const stoa_id *account, uint64_t position, uint64_t size,
                     const stoa_id *head)
{
    char address[STOA_ADDRESS_MAX], hex[65];
    stoa_address_format(address, account, NULL);
    stoa_id_format(hex, head);
    cli_put_text(c, NULL, "account", address);
    cli_put_number(c, NULL, "position", position);
    cli_put_number(c, NULL, "tree_size", size);
    cli_put_id(c, NULL, "head", head);
    if (!c->json)
        (void)printf("account   %s\nrecords   %" PRIu64 ", among the first %" PRIu64
                     " of the log\nhead      %s\n",
                     address, position, size, hex);
}

static stoa_result whose(struct cli *c, stoa_id *id)
{
    char hub[STOA_HUB_NAME_MAX + 1];
    stoa_account a = {.size = sizeof a};
    if (c->arg_count > 0)
        return cli_payee(c, c->args[0], id, hub);
    stoa_result r = cli_account(c, NULL, &a);
    *id = a.id;
    return r;
}

stoa_result cli_run_head(struct cli *c)
{
    stoa_id id;
    stoa_head h = {.size = sizeof h};
    char *text = malloc(STOA_HEAD_MAX);
    if (!text)
        return cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    text[0] = 0;
    stoa_result r = cli_connect(c);
    if (r == STOA_OK)
        r = whose(c, &id);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_head_get(c->wallet, &id, text, &h, &c->error));
    if (text[0]) {
        const char *to = c->value[OPT_OUT];
        stoa_result w = to ? cli_write_file(c, to, text, strlen(text)) : STOA_OK;
        if (r == STOA_OK)
            r = w;
        say_head(c, &id, h.position, h.tree_size, &h.head);
        cli_put_bool(c, NULL, "compared", h.compared);
        if (!c->json && r == STOA_OK)
            (void)printf("compared  %s\n",
                         h.compared ? "with this wallet's own records: the same"
                                    : "with nothing: this wallet has no records of it so far");
        if (to && w == STOA_OK) {
            cli_put_text(c, NULL, "file", to);
            cli_say(c, "written to %s: stoa-audit verify HUB --head FILE holds the log to it",
                    to);
        } else if (c->json) {
            cli_put_text(c, NULL, "statement", text);
        }
    }
    free(text);
    return r;
}

bool cli_is_head(const char *text, size_t size)
{
    size_t n = strlen(HEAD_FILE_FIRST);
    return size >= n && memcmp(text, HEAD_FILE_FIRST, n) == 0;
}

stoa_result cli_verify_head(struct cli *c, const struct policy *p, const char *text, size_t size)
{
    struct head_file f;
    struct vkey *keys = calloc(p->log_count + 1, sizeof(*keys));
    char by[65], hash[65];
    if (!keys)
        return cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < p->log_count; i++)
        keys[i] = p->logs[i].key;
    const struct evidence_trust trust = {.logs = keys, .log_count = p->log_count};
    enum err e = head_file_check(text, size, &trust, &f);
    free(keys);
    if (e != ERR_OK)
        return cli_fail(c, e == ERR_MALFORMED ? STOA_DATA : STOA_NO, (int)e, NULL, "%s",
                        f.why);
    if (!f.trusted)
        return cli_fail(c, STOA_NO, ERR_SIGNATURE, NULL, "its log is none of the policy");
    stoa_id account, head;
    memcpy(account.b, f.head.account.b, sizeof account.b);
    memcpy(head.b, f.head.head.b, sizeof head.b);
    hex_encode(by, f.by.b, PUBKEY_BYTES);
    hex_encode(hash, p->hash.b, HASH_BYTES);
    if (!c->json)
        (void)printf("proven    the hub vouched for this: its relay key signed it, and the log "
                     "names that key\n");
    say_head(c, &account, f.head.position, f.head.size, &head);
    cli_put_text(c, NULL, "kind", "head");
    cli_put_text(c, NULL, "log", f.log.name);
    cli_put_text(c, NULL, "relay_key", by);
    cli_put_text(c, NULL, "policy", hash);
    static const char not[] =
        "that the log keeps to it: stoa-audit verify HUB --head FILE holds it to that";
    if (c->json)
        (void)json_array_append_new(cli_array(c, "not_proven"), json_string(not));
    else
        (void)printf("log       %s\nrelay key %s\npolicy    sha256:%s\nnot       %s\n",
                     f.log.name, by, hash, not);
    return STOA_OK;
}
