/* evidence check|show FILE: offline, under the user's own policy. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "client/audit/cli.h"
#include "crypto/be64.h"
#include "ledger/evidence.h"

#define REFUSAL_BYTES (HASH_BYTES + 8 + 8 + SIG_BYTES)

/* A refusal as evidence writes it: base64 of id, code, time, signature. */
static bool load_refusal(struct audit_cli *c, struct known_refusal *r)
{
    struct buf b = {0};
    uint8_t data[REFUSAL_BYTES];
    size_t size;
    if (!audit_file(c, c->value[AUDIT_OPT_REFUSAL], 4096, &b))
        return false;
    while (b.size > 0 && b.data[b.size - 1] == '\n')
        b.size--;
    bool ok = base64_decode(data, sizeof(data), &size, (const char *)b.data, b.size) &&
              size == sizeof(data);
    buf_close(&b);
    if (!ok) {
        (void)audit_error(c, EXIT_BAD_DATA, NULL, "%s is no signed refusal",
                          c->value[AUDIT_OPT_REFUSAL]);
        return false;
    }
    memcpy(r->id.b, data, HASH_BYTES);
    r->code = be64(data + HASH_BYTES);
    r->hub_time_ms = be64(data + HASH_BYTES + 8);
    memcpy(r->sig.b, data + HASH_BYTES + 16, SIG_BYTES);
    return true;
}

static void show(const struct audit_cli *c, const struct evidence_result *r)
{
    char accused[2 * PUBKEY_BYTES + 1], account[2 * HASH_BYTES + 1];
    hex_encode(accused, r->accused.b, PUBKEY_BYTES);
    hex_encode(account, r->account.b, HASH_BYTES);
    if (audit_given(c, AUDIT_OPT_JSON)) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "schema",
                              "stoa.evidence/1", "verdict", evidence_verdict_word(r->verdict),
                              "kind", evidence_kind_word(r->kind), "log", r->origin, "accused",
                              accused, "account", account, "why", r->why);
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
        if (text)
            puts(text);
        free(text);
        json_decref(o);
        return;
    }
    printf("%s  %s\n", evidence_verdict_word(r->verdict), r->why);
    if (r->verdict == EVIDENCE_INVALID)
        return;
    printf("kind     %s\nlog      %s\nkey      %s\n", evidence_kind_word(r->kind), r->origin,
           accused);
    if (!hash_is_zero(&r->account))
        printf("account  %s\n", account);
    printf("at       %" PRIu64 "\n", r->index);
    if (r->verdict == EVIDENCE_PROVEN)
        printf("assumes  that nobody but its owner had the key\n");
}

int audit_cmd_evidence(struct audit_cli *c)
{
    struct evidence_result r;
    struct known_refusal refusal;
    struct buf b = {0};
    int code;
    if (strcmp(c->args[0], "check") != 0 && strcmp(c->args[0], "show") != 0)
        return audit_error(c, EXIT_BAD_USAGE, "stoa-audit evidence check FILE --policy FILE",
                           "evidence does check or show, not \"%.40s\"", c->args[0]);
    bool judge = strcmp(c->args[0], "check") == 0;
    struct policy *p = NULL;
    if (judge || audit_given(c, AUDIT_OPT_POLICY)) {
        p = audit_policy(c, NULL, &code);
        if (!p)
            return code;
    }
    struct evidence_trust trust = {.log_count = 0};
    struct vkey *keys = calloc(POLICY_LOGS_MAX, sizeof(*keys));
    if (!keys || (audit_given(c, AUDIT_OPT_REFUSAL) && !load_refusal(c, &refusal)) ||
        !audit_file(c, c->args[1], EVIDENCE_BYTES_MAX, &b)) {
        free(keys);
        free(p);
        return EXIT_BAD_DATA;
    }
    for (size_t i = 0; p && i < p->log_count; i++)
        keys[trust.log_count++] = p->logs[i].key;
    trust.logs = keys;
    trust.refusals = &refusal;
    trust.refusal_count = audit_given(c, AUDIT_OPT_REFUSAL) ? 1 : 0;
    evidence_check(b.data, b.size, &trust, &r);
    show(c, &r);
    buf_close(&b);
    free(keys);
    free(p);
    if (r.verdict == EVIDENCE_INVALID)
        return EXIT_BAD_DATA;
    /* 1: the answer to "is everybody innocent?" is no. */
    return r.verdict == EVIDENCE_PROVEN || r.verdict == EVIDENCE_REUSED ? EXIT_FINDING
                                                                       : EXIT_GOOD;
}
