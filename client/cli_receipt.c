/* stoa verify FILE: a receipt checked offline, under the policy of whoever holds it. It says what
 * was proven and what was not; nothing comes from the hub that is checked. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "crypto/policy.h"
#include "ledger/kinds.h"
#include "ledger/receipt.h"

static stoa_result load_policy(struct cli *c, struct policy *p)
{
    struct policy_problem why;
    size_t size;
    char *text = cli_read_file(c, c->value[OPT_POLICY], &size);
    if (!text)
        return STOA_DATA;
    bool ok = policy_parse(p, text, size, &why);
    free(text);
    if (ok)
        return STOA_OK;
    return cli_fail(c, STOA_CONFIG, ERR_CONFIG, "stoa-audit policy check FILE",
                    "policy %.200s, line %u: %s", c->value[OPT_POLICY], why.line, why.why);
}

static stoa_result no_policy(struct cli *c)
{
    return cli_fail(c, STOA_CONFIG, ERR_CONFIG,
                    "--policy FILE (the operator publishes one), or --trust-on-first-use to use "
                    "the key this wallet met first",
                    "whose log is to be trusted? no policy was given");
}

/* The log key this wallet recorded when it met the hub first. */
static stoa_result trust_wallet(struct cli *c, const char *text, size_t size)
{
    stoa_result r = cli_open(c);
    if (r != STOA_OK)
        return r;
    r = cli_failed(c, stoa_proof_check(c->wallet, NULL, text, size, NULL, NULL, &c->error));
    if (r != STOA_OK)
        return r;
    stoa_wallet_info info = {.size = sizeof info};
    stoa_wallet_get(c->wallet, &info);
    cli_put_text(c, NULL, "fingerprint", info.fingerprint);
    cli_put_trust(c, &info);
    if (c->json)
        return r;
    (void)printf("key       of hub %s, as this wallet recorded it\nidentity  %s\n", info.hub,
                 info.fingerprint);
    cli_say_trust(&info);
    return r;
}

static void say_cosignatures(struct cli *c, const struct policy *p,
                             const struct policy_verdict *v)
{
    for (size_t i = 0; i < p->witness_count; i++) {
        char when[32];
        if (!(v->witnesses >> i & 1))
            continue;
        cli_time_text(when, v->times[i] * 1000);
        if (!c->json)
            (void)printf("cosigned  by %s, as of %s\n", p->witnesses[i].name, when);
        json_t *row = c->json ? json_object() : NULL;
        if (!row)
            continue;
        cli_put_text(c, row, "witness", p->witnesses[i].name);
        cli_put_number(c, row, "time", v->times[i]);
        (void)json_array_append_new(cli_array(c, "cosigned"), row);
    }
}

static void say_proven(struct cli *c, const struct receipt *x, const struct entry *e,
                       const struct checkpoint *at)
{
    char id[65], device[65], root[65], account[STOA_ADDRESS_MAX], when[32];
    stoa_id about;
    memcpy(about.b, entry_account(e)->b, sizeof(about.b));
    hex_encode(id, e->id.b, HASH_BYTES);
    hex_encode(device, e->device.b, PUBKEY_BYTES);
    hex_encode(root, at->root.b, HASH_BYTES);
    stoa_address_format(account, &about, NULL);
    cli_time_text(when, x->r.hub_time_ms);
    cli_put_text(c, NULL, "id", id);
    cli_put_text(c, NULL, "kind", kind_word(e->kind));
    cli_put_text(c, NULL, "account", account);
    cli_put_text(c, NULL, "device", device);
    cli_put_text(c, NULL, "log", at->origin);
    cli_put_number(c, NULL, "index", x->r.index);
    cli_put_number(c, NULL, "tree_size", at->size);
    cli_put_text(c, NULL, "root", root);
    cli_put_number(c, NULL, "hub_time_ms", x->r.hub_time_ms);
    if (c->json)
        return;
    (void)printf("proven    this entry is in the log, signed by its device\n"
                 "entry     %s\nkind      %s\naccount   %s\ndevice    %s\n"
                 "log       %s, index %" PRIu64 ", hub's time %s\n"
                 "tree      %" PRIu64 " records, root %s, signed by the log\n",
                 id, kind_word(e->kind), account, device, at->origin, x->r.index, when, at->size,
                 root);
}

static void say_not_proven(struct cli *c, const struct policy *p, bool quorum)
{
    static const char *const always[] = {
        "that the hub shows everybody the same order of this account (an audit of the log does)",
        "anything after this record: whether the money is still there"};
    const char *of_quorum =
        p && p->quorum_kind != POLICY_NONE && quorum
            ? NULL
            : "that others are shown the same tree: no quorum of witnesses was asked for";
    for (size_t i = 0; i < 3; i++) {
        const char *text = i < 2 ? always[i] : of_quorum;
        if (!text)
            continue;
        if (!c->json)
            (void)printf("not       %s\n", text);
        else
            (void)json_array_append_new(cli_array(c, "not_proven"), json_string(text));
    }
}

static stoa_result judge(struct cli *c, const struct policy *p, const struct receipt *x)
{
    struct policy_verdict v;
    struct entry e;
    policy_check(p, x->proof.note, x->proof.note_size, &v);
    if (v.note == NOTE_MALFORMED)
        return cli_fail(c, STOA_NO, ERR_MALFORMED, NULL, "its checkpoint is not a signed note");
    if (v.note == NOTE_UNKNOWN)
        return cli_fail(c, STOA_NO, ERR_SIGNATURE, NULL,
                        "its checkpoint is signed by no log of the policy");
    if (v.note == NOTE_BAD)
        return cli_fail(c, STOA_NO, ERR_SIGNATURE, NULL,
                        "a signature on its checkpoint does not verify");
    struct hash leaf = record_leaf_hash(&x->r);
    if (!tlog_proof_holds(&x->proof, &v.checkpoint, &leaf))
        return cli_fail(c, STOA_NO, ERR_CORRUPT, NULL,
                        "the entry is not in the tree of its checkpoint");
    enum err err = entry_decode(&e, x->r.envelope.data, x->r.envelope.size);
    if (err != ERR_OK || !entry_verify(&e))
        return cli_fail(c, STOA_NO, err != ERR_OK ? (int)err : (int)ERR_SIGNATURE, NULL,
                        "the entry is not signed by the device it names");
    if (!v.quorum)
        return cli_fail(c, STOA_NO, ERR_SIGNATURE, "stoa receipt ID --cosigned",
                        "too few witnesses of the policy have cosigned: %d, and the quorum is "
                        "not met",
                        __builtin_popcountll(v.witnesses));
    say_proven(c, x, &e, &v.checkpoint);
    say_cosignatures(c, p, &v);
    char hash[65];
    hex_encode(hash, p->hash.b, HASH_BYTES);
    cli_put_text(c, NULL, "policy", hash);
    if (!c->json)
        (void)printf("policy    sha256:%s, quorum %s\n", hash,
                     p->quorum_kind == POLICY_NONE ? "none" : "met");
    say_not_proven(c, p, v.quorum);
    return STOA_OK;
}

/* The wallet's own key: what it proves is said the same way. */
static stoa_result judge_by_wallet(struct cli *c, const char *text, size_t size,
                                   const struct receipt *x)
{
    struct entry e;
    struct checkpoint at;
    stoa_result r = trust_wallet(c, text, size);
    if (r != STOA_OK)
        return r;
    /* stoa_proof_check has opened the note and verified all of it. */
    const char *end = memmem(x->proof.note, x->proof.note_size, "\n\n", 2);
    if (!end ||
        !checkpoint_parse(&at, x->proof.note, (size_t)(end + 1 - x->proof.note)) ||
        entry_decode(&e, x->r.envelope.data, x->r.envelope.size) != ERR_OK)
        return cli_fail(c, STOA_BUG, ERR_BUG, NULL, "a verified receipt does not parse");
    say_proven(c, x, &e, &at);
    say_not_proven(c, NULL, false);
    return STOA_OK;
}

stoa_result cli_run_verify_file(struct cli *c)
{
    size_t size;
    stoa_result r = STOA_OK;
    bool by_policy = cli_has(c, OPT_POLICY);
    if (!by_policy && !cli_has(c, OPT_TRUST))
        return no_policy(c);
    if (!crypto_start())
        return cli_fail(c, STOA_BUG, ERR_BUG, NULL, "crypto library fails its self-check");
    char *text = cli_read_file(c, c->args[0], &size);
    struct receipt *x = calloc(1, sizeof(*x));
    struct policy *p = calloc(1, sizeof(*p));
    if (!text)
        r = STOA_DATA;
    else if (!x || !p)
        r = cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    else if (by_policy)
        r = load_policy(c, p);
    bool head = r == STOA_OK && cli_is_head(text, size);
    if (head && !by_policy)
        r = no_policy(c);
    else if (head)
        r = cli_verify_head(c, p, text, size);
    else if (r == STOA_OK && receipt_parse(x, text, size) != ERR_OK)
        r = cli_fail(c, STOA_DATA, ERR_MALFORMED, NULL, "%.200s is no receipt and no head",
                     c->args[0]);
    if (r == STOA_OK && !head)
        r = by_policy ? judge(c, p, x) : judge_by_wallet(c, text, size, x);
    if (x)
        receipt_close(x);
    free(x);
    free(p);
    free(text);
    return r;
}
