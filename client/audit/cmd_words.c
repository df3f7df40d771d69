/* report, explain, policy: what needs no audit. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/audit/cli.h"

/* What each finding means and what to do, in the order of the checks. */
static const char *const meaning[AUDIT_CHECK_END] = {
    [AUDIT_ENCODING] =
        "The bytes of an envelope are not one canonical entry of a kind this program knows. A hub "
        "never logs such an entry: its log was written by something else, or the copy is damaged "
        "(then the leaf check speaks first). Fetch the bundle again from another place.",
    [AUDIT_SIGNATURE] =
        "An entry or a checkpoint is not signed by the key it names. If its leaf is in the signed "
        "tree, the hub logged an entry that its writer did not sign.",
    [AUDIT_KEY_VALID] =
        "The key was no device of the account at this place in the log: never enrolled, revoked "
        "before, or weak. The hub accepted what it had to refuse.",
    [AUDIT_CHAIN] =
        "A device's entries form one chain by seq and prev. A gap or a fork in it means that an "
        "entry was left out, or that the hub accepted two histories of one device.",
    [AUDIT_ORDER] =
        "Indices and positions count up by one and each account head covers the one before. A jump "
        "means that a record was dropped, repeated or moved, in the log or in this copy.",
    [AUDIT_LAMPORT] = "A Lamport clock is not exactly one more than what it follows, or the hub's "
                      "time runs backwards: records were put in an order they did not have.",
    [AUDIT_DUPLICATE] = "One entry stands in the log twice: a payment may have been taken twice.",
    [AUDIT_AUTHORITY] =
        "The writer may not write this: a wrong hub key, a missing root or invite signature, a "
        "rule of membership, recovery or the hub's own kinds.",
    [AUDIT_BALANCE] = "An account was overdrawn, or an amount breaks the rules.",
    [AUDIT_CONSERVATION] =
        "Points appeared or vanished: a channel item was settled twice, changed, or never sent; or "
        "balances and points in flight are not what was accrued and adjusted.",
    [AUDIT_LEAF] =
        "The stored envelope is not the one whose hash is in the leaf. When the leaves give the "
        "signed root, the envelope was changed after it was logged; else the leaf was.",
    [AUDIT_INCLUSION] =
        "The leaves do not give the stored tiles or the root that the checkpoint signs: this copy "
        "is not the log that was signed.",
    [AUDIT_CONSISTENCY] =
        "The log signed two trees that cannot both be true. This is proof against the holder of "
        "the log key: keep both notes and show them to others.",
    [AUDIT_COSIGN] = "Fewer witnesses than the policy asks for have cosigned the checkpoint: "
                     "others may be shown another tree.",
    [AUDIT_RESIDENCY] = "An envelope of a pinned account is where the public can read it.",
    [AUDIT_CADENCE] = "The log shows nothing new for longer than allowed, or an older checkpoint "
                      "than one seen before: a stalled hub, or one that hides what it wrote.",
    [AUDIT_SOURCE] = "The container is damaged: cut short, a missing file, a bad row. Nothing is "
                     "said about the hub; get the bytes from another place.",
    [AUDIT_PROMISE] =
        "The hub gave somebody a receipt, or signed an account's head on request, and its log does "
        "not keep to it. With the signed tree this is proof against the holder of the keys: the "
        "evidence file shows it to anybody.",
};

static void explain(enum audit_check c)
{
    printf("A%d %s: %s\n  %s\n", AUDIT_FINDING_FIRST + (int)c, audit_check_word(c),
           audit_check_text(c), meaning[c]);
}

int audit_cmd_explain(struct audit_cli *c)
{
    bool any = false;
    for (unsigned i = 1; i < AUDIT_CHECK_END; i++) {
        char id[16];
        snprintf(id, sizeof(id), "A%u", AUDIT_FINDING_FIRST + i);
        if (c->arg_count == 1 && strcasecmp(c->args[0], id) != 0 &&
            strcmp(c->args[0], audit_check_word(i)) != 0)
            continue;
        explain(i);
        any = true;
    }
    if (any)
        return EXIT_GOOD;
    return audit_error(c, EXIT_BAD_USAGE, "stoa-audit explain", "no finding \"%.40s\"",
                       c->args[0]);
}

static void show_policy(const struct policy *p)
{
    for (size_t i = 0; i < p->log_count; i++)
        printf("log      %s+%08x  %s\n", p->logs[i].key.name, (unsigned)p->logs[i].key.id,
               p->logs[i].url);
    for (size_t i = 0; i < p->witness_count; i++)
        printf("witness  %s  %s+%08x  %s\n", p->witnesses[i].name, p->witnesses[i].key.name,
               (unsigned)p->witnesses[i].key.id, p->witnesses[i].url);
    for (size_t i = 0; i < p->group_count; i++)
        printf("group    %s  %u of %d\n", p->groups[i].name, p->groups[i].need,
               __builtin_popcountll(p->groups[i].witnesses) +
                   __builtin_popcountll(p->groups[i].groups));
    printf("quorum   %s\n", p->quorum_kind == POLICY_NONE ? "none"
                            : p->quorum_kind == POLICY_WITNESS
                                ? p->witnesses[p->quorum].name
                                : p->groups[p->quorum].name);
}

int audit_cmd_policy(struct audit_cli *c)
{
    char hash[2 * HASH_BYTES + 1];
    int code;
    const char *verb = c->args[0];
    c->value[AUDIT_OPT_POLICY] = c->args[1];
    struct policy *p = audit_policy(c, NULL, &code);
    if (!p)
        return code;
    hex_encode(hash, p->hash.b, HASH_BYTES);
    if (strcmp(verb, "show") == 0)
        show_policy(p);
    if (strcmp(verb, "show") == 0 || strcmp(verb, "hash") == 0)
        printf("sha256:%s\n", hash);
    else if (strcmp(verb, "check") == 0)
        printf("good: %zu logs, %zu witnesses, sha256:%s\n", p->log_count, p->witness_count,
               hash);
    else
        code = audit_error(c, EXIT_BAD_USAGE, "stoa-audit policy check FILE",
                           "policy does check, show or hash, not \"%.40s\"", verb);
    bool known = strcmp(verb, "show") == 0 || strcmp(verb, "hash") == 0 ||
                 strcmp(verb, "check") == 0;
    free(p);
    return known ? EXIT_GOOD : code;
}

int audit_cmd_report(struct audit_cli *c)
{
    struct buf b = {0};
    json_error_t why;
    size_t i;
    json_t *row;
    if (!audit_file(c, c->args[0], CLI_FILE_MAX, &b))
        return EXIT_BAD_DATA;
    json_t *o = json_loadb((const char *)b.data, b.size, 0, &why);
    buf_close(&b);
    const char *schema = json_string_value(json_object_get(o, "schema"));
    const char *verdict = json_string_value(json_object_get(o, "verdict"));
    if (!schema || !verdict || strcmp(schema, "stoa.audit/1") != 0) {
        json_decref(o);
        return audit_error(c, EXIT_BAD_DATA, NULL, "%.200s is no report of an audit",
                           c->args[0]);
    }
#define TEXT(key) json_string_value(json_object_get(o, key))
    printf("hub      %s  policy sha256:%s  mode %s\nread     %s of %s\n", TEXT("hub"),
           TEXT("policy"), TEXT("mode"), TEXT("checked"), TEXT("records"));
#undef TEXT
    json_array_foreach(json_object_get(o, "findings"), i, row)
    {
        const char *index = json_string_value(json_object_get(row, "index"));
        printf("  %s %s  slot %02x  %s  %s: %s\n",
               json_string_value(json_object_get(row, "id")),
               json_string_value(json_object_get(row, "severity")),
               (unsigned)json_integer_value(json_object_get(row, "slot")),
               index ? index : "log", json_string_value(json_object_get(row, "check")),
               json_string_value(json_object_get(row, "text")));
    }
    printf("%s\n", verdict);
    int code = strcmp(verdict, "good") == 0       ? EXIT_GOOD
               : strcmp(verdict, "findings") == 0 ? EXIT_FINDING
                                                  : EXIT_UNFINISHED;
    json_decref(o);
    return code;
}
