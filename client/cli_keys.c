/* init, key .., recovery create, account list/follow/rename, open. */
#include <inttypes.h>
#include <string.h>

#include "client/cli.h"
#include "crypto/keyfile.h"

void cli_put_trust(struct cli *c, const stoa_wallet_info *info)
{
    if (info->met_ms == 0)
        return;
    cli_put_text(c, NULL, "trust", info->first_use ? "first-use" : "fingerprint");
    cli_put_number(c, NULL, "trust_since_ms", info->met_ms);
}

void cli_say_trust(const stoa_wallet_info *info)
{
    char when[32];
    cli_time_text(when, info->met_ms);
    if (info->met_ms == 0)
        return;
    (void)printf("trust     %s %s%s\n",
                 info->first_use ? "on first use," : "as given with --fingerprint,", when,
                 info->first_use ? "; compare the identity with what the operator publishes"
                                 : "");
}

static void put_identity(struct cli *c)
{
    char id[65];
    stoa_wallet_info info = {.size = sizeof info};
    stoa_wallet_get(c->wallet, &info);
    cli_put_text(c, NULL, "wallet", c->dir);
    cli_put_id(c, NULL, "device", &info.device);
    if (info.has_root)
        cli_put_id(c, NULL, "root", &info.root);
    cli_put_bool(c, NULL, "encrypted", info.encrypted);
    cli_put_text(c, NULL, "hub", info.hub);
    cli_put_text(c, NULL, "url", info.url);
    cli_put_text(c, NULL, "fingerprint", info.fingerprint);
    cli_put_trust(c, &info);
    cli_put_number(c, NULL, "slots", info.slots);
    cli_put_number(c, NULL, "accounts", info.accounts);
    cli_put_number(c, NULL, "unresolved", info.unresolved);
    if (c->json)
        return;
    stoa_id_format(id, &info.device);
    (void)printf("wallet    %s\ndevice    %s\n", c->dir, id);
    stoa_id_format(id, &info.root);
    (void)printf("root      %s\n",
                 info.has_root ? id : "none: this device is added by another");
    (void)printf("keys      %s\n",
                 info.encrypted ? "encrypted" : "plain text, no passphrase");
    if (info.hub[0])
        (void)printf("hub       %s  %s\nidentity  %s\n", info.hub, info.url,
                     info.fingerprint);
    if (info.hub[0])
        cli_say_trust(&info);
    else
        (void)printf("hub       none yet\n");
    if (info.unresolved)
        (void)printf("open      %u %s of unknown outcome: stoa resume\n", info.unresolved,
                     info.unresolved == 1 ? "entry" : "entries");
}

static stoa_result open_account(struct cli *c, const char *name, const stoa_id *recovery)
{
    stoa_how how;
    stoa_id id;
    stoa_receipt receipt = {.size = sizeof receipt};
    stoa_open_params p = {.size = sizeof p,
                          .name = name,
                          .pinned = cli_has(c, OPT_PINNED),
                          .recovery = recovery};
    stoa_result r = cli_how(c, &how);
    if (r != STOA_OK)
        return r;
    uint64_t since = cli_now_ms();
    r = stoa_account_open(c->wallet, &p, &how, &id, &receipt, &c->error);
    stoa_account a = {.size = sizeof a};
    char text[65];
    stoa_id_format(text, &id);
    if ((r == STOA_OK || r == STOA_UNKNOWN) &&
        stoa_account_find(c->wallet, text, &a, NULL) == STOA_OK) {
        cli_put_text(c, NULL, "name", a.name);
        cli_put_text(c, NULL, "address", a.address);
        if (!c->json)
            (void)printf("account   %s\naddress   %s\n", a.name, a.address);
    }
    return cli_written(c, r, &receipt, since);
}

/* Keys asked for, in words; the passphrase of encrypted ones is kept for opening. */
static stoa_result choose_passphrase(struct cli *c)
{
    if (cli_has(c, OPT_PLAINTEXT) && cli_has(c, OPT_PASSPHRASE))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL,
                        "--plaintext-keys and --passphrase exclude each other");
    if (cli_has(c, OPT_PLAINTEXT))
        return STOA_OK;
    const char *source = cli_has(c, OPT_PASSPHRASE) ? c->value[OPT_PASSPHRASE] : "tty";
    c->passphrase = cli_passphrase(c, source, "New passphrase: ", true);
    if (!c->passphrase)
        return STOA_DENIED;
    if (!c->passphrase[0])
        return cli_fail(
            c, STOA_DENIED, ERR_NOT_ALLOWED, "--plaintext-keys",
            "the passphrase is empty; keys without one must be asked for in words");
    return STOA_OK;
}

stoa_result cli_run_init(struct cli *c)
{
    uint8_t root[32], device[32];
    unsigned flags = (cli_has(c, OPT_PLAINTEXT) ? STOA_PLAINTEXT_KEYS : 0u) |
                     (cli_has(c, OPT_QUICK_KDF) ? STOA_QUICK_KDF : 0u) |
                     (cli_has(c, OPT_DEVICE_ONLY) ? STOA_DEVICE_ONLY : 0u);
    if (cli_has(c, OPT_OPEN) && !cli_has(c, OPT_HUB))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "--hub ws://127.0.0.1:7001",
                        "--open wants --hub");
    stoa_result r = cli_wallet_dir(c);
    if (r == STOA_OK && cli_has(c, OPT_ROOT_SEED))
        r = cli_secret_seed(c, c->value[OPT_ROOT_SEED], root);
    if (r == STOA_OK && cli_has(c, OPT_DEVICE_SEED))
        r = cli_secret_seed(c, c->value[OPT_DEVICE_SEED], device);
    if (r == STOA_OK)
        r = choose_passphrase(c);
    if (r == STOA_OK) {
        stoa_options o = cli_options_of(c, flags);
        o.root_seed = cli_has(c, OPT_ROOT_SEED) ? root : NULL;
        o.device_seed = cli_has(c, OPT_DEVICE_SEED) ? device : NULL;
        r = cli_failed(c, stoa_wallet_create(c->dir, &o, &c->error));
    }
    cli_wipe(root, sizeof root);
    cli_wipe(device, sizeof device);
    if (r != STOA_OK)
        return r;
    stoa_options o = cli_options_of(c, STOA_TRUST_FIRST_USE);
    r = cli_failed(c, stoa_wallet_open(&c->wallet, c->dir, &o, &c->error));
    if (r == STOA_OK && cli_has(c, OPT_HUB))
        r = cli_connect(c);
    if (r != STOA_OK)
        return r;
    if (cli_has(c, OPT_HUB) && !cli_has(c, OPT_FINGERPRINT))
        cli_say(
            c,
            "first meeting: compare the identity below with what the operator publishes");
    put_identity(c);
    return cli_has(c, OPT_OPEN) ? open_account(c, c->value[OPT_OPEN], NULL) : STOA_OK;
}

stoa_result cli_run_open(struct cli *c)
{
    stoa_id recovery;
    if (cli_has(c, OPT_RECOVERY) && !stoa_id_parse(c->value[OPT_RECOVERY], &recovery))
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, "stoa recovery create FILE",
                        "--recovery wants 64 hex digits");
    stoa_result r = cli_connect(c);
    if (r != STOA_OK)
        return r;
    return open_account(c, c->arg_count ? c->args[0] : "main",
                        cli_has(c, OPT_RECOVERY) ? &recovery : NULL);
}

stoa_result cli_run_key_show(struct cli *c)
{
    stoa_result r = cli_open(c);
    if (r == STOA_OK)
        put_identity(c);
    return r;
}

static const char *role_of(const struct cli *c)
{
    return c->arg_count ? c->args[0] : "device";
}

static stoa_result check_role(struct cli *c)
{
    const char *role = role_of(c);
    if (strcmp(role, "device") == 0 || strcmp(role, "root") == 0)
        return STOA_OK;
    return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL,
                    "a role is device or root, not \"%.20s\"", role);
}

stoa_result cli_run_key_check(struct cli *c)
{
    stoa_result r = check_role(c);
    if (r == STOA_OK)
        r = cli_open(c);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_key_check(c->wallet, role_of(c), &c->error));
    if (r == STOA_OK) {
        cli_put_text(c, NULL, "role", role_of(c));
        cli_put_bool(c, NULL, "right", true);
        if (!c->json)
            (void)printf("%s key: the passphrase is right\n", role_of(c));
    }
    return r;
}

/* Groups of eight digits, so that a person can copy and compare them. */
static size_t seed_text(char out[80], const uint8_t seed[32])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (unsigned i = 0; i < 32; i++) {
        if (i && i % 4 == 0)
            out[n++] = '-';
        out[n++] = digits[seed[i] >> 4];
        out[n++] = digits[seed[i] & 15];
    }
    out[n] = 0;
    return n;
}

stoa_result cli_run_key_export(struct cli *c)
{
    uint8_t seed[STOA_KEY_SEED_BYTES];
    char text[80];
    stoa_result r = check_role(c);
    if (r == STOA_OK)
        r = cli_open(c);
    if (r == STOA_OK)
        r = cli_confirm(c, true, "Show the secret %s key? Whoever sees it can spend.",
                        role_of(c));
    if (r != STOA_OK)
        return r;
    r = cli_failed(c, stoa_key_export(c->wallet, role_of(c), seed, &c->error));
    if (r != STOA_OK)
        return r;
    size_t n = seed_text(text, seed);
    cli_wipe(seed, sizeof seed);
    cli_put_text(c, NULL, "role", role_of(c));
    if (cli_has(c, OPT_OUT)) {
        text[n++] = '\n';
        r = cli_write_file(c, c->value[OPT_OUT], text, n);
        cli_put_text(c, NULL, "file", c->value[OPT_OUT]);
    } else if (c->json) {
        cli_put_text(c, NULL, "seed", text);
    } else {
        (void)printf("%s\n", text);
    }
    cli_wipe(text, sizeof text);
    return r;
}

stoa_result cli_run_key_passphrase(struct cli *c)
{
    if (cli_has(c, OPT_PLAINTEXT) == cli_has(c, OPT_NEW_PASSPHRASE) &&
        cli_has(c, OPT_PLAINTEXT))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL,
                        "--plaintext-keys and --new-passphrase exclude each other");
    stoa_result r = cli_open(c);
    if (r != STOA_OK)
        return r;
    char *next = NULL;
    if (!cli_has(c, OPT_PLAINTEXT)) {
        const char *source =
            cli_has(c, OPT_NEW_PASSPHRASE) ? c->value[OPT_NEW_PASSPHRASE] : "tty";
        next = cli_passphrase(c, source, "New passphrase: ", true);
        if (!next)
            return STOA_DENIED;
    }
    r = cli_failed(c, stoa_key_rewrap(c->wallet, next, &c->error));
    cli_passphrase_free(next);
    if (r == STOA_OK) {
        cli_put_bool(c, NULL, "encrypted", !cli_has(c, OPT_PLAINTEXT));
        if (!c->json)
            (void)printf("%s\n", cli_has(c, OPT_PLAINTEXT)
                                     ? "keys are plain text now"
                                     : "keys are under the new passphrase");
    }
    return r;
}

stoa_result cli_run_recovery_create(struct cli *c)
{
    stoa_id key;
    char text[65];
    stoa_result r = choose_passphrase(c);
    if (r == STOA_OK)
        r = cli_failed(
            c, stoa_recovery_key_create(c->args[0], c->passphrase, &key, &c->error));
    if (r != STOA_OK)
        return r;
    stoa_id_format(text, &key);
    cli_put_text(c, NULL, "file", c->args[0]);
    cli_put_id(c, NULL, "key", &key);
    if (!c->json)
        (void)printf("file      %s\nkey       %s\n", c->args[0], text);
    cli_say(c, "keep the file apart from the wallet; then: stoa open NAME --recovery %s",
            text);
    return STOA_OK;
}

static void put_account(struct cli *c, json_t *row, const stoa_account *a)
{
    cli_put_text(c, row, "name", a->name);
    cli_put_id(c, row, "id", &a->id);
    cli_put_text(c, row, "address", a->address);
    cli_put_number(c, row, "slot", a->slot);
    cli_put_bool(c, row, "pinned", a->pinned);
    cli_put_bool(c, row, "synced", a->synced);
    cli_put_bool(c, row, "can_write", a->can_write);
    cli_put_number(c, row, "records", a->position);
    cli_put_number(c, row, "index", a->index);
    cli_put_number(c, row, "members", a->members);
    cli_put_number(c, row, "devices", a->devices);
    if (a->bound) {
        cli_put_number(c, row, "chain", a->chain);
        cli_put_text(c, row, "register", a->register_address);
    }
    cli_put_bool(c, row, "recovery_pending", a->recovery_pending);
    if (a->recovery_pending)
        cli_put_number(c, row, "recovery_ready_ms", a->recovery_ready_ms);
}

static void print_account(const stoa_account *a)
{
    (void)printf("%-12s %s  %s%s, %" PRIu64 " record%s, %u member%s, %u device%s\n",
                 a->name[0] ? a->name : "-", a->address,
                 a->can_write ? "own" : "read-only", a->pinned ? ", pinned" : "",
                 a->position, a->position == 1 ? "" : "s", a->members,
                 a->members == 1 ? "" : "s", a->devices, a->devices == 1 ? "" : "s");
    if (a->bound)
        (void)printf("             register: chain %u %s\n", a->chain,
                     a->register_address);
    if (a->recovery_pending)
        (void)printf("             recovery is under way: stoa recovery cancel\n");
}

stoa_result cli_run_account_list(struct cli *c)
{
    bool online;
    stoa_result r = cli_try_sync(c, NULL, &online);
    if (r != STOA_OK)
        return r;
    if (c->json)
        (void)cli_array(c, "accounts");
    for (unsigned i = 0; i < stoa_account_count(c->wallet); i++) {
        stoa_account a = {.size = sizeof a};
        r = stoa_account_at(c->wallet, i, &a, &c->error);
        if (r != STOA_OK)
            return cli_failed(c, r);
        if (!c->json) {
            print_account(&a);
            continue;
        }
        json_t *row = json_object();
        put_account(c, row, &a);
        (void)json_array_append_new(cli_array(c, "accounts"), row);
    }
    return STOA_OK;
}

stoa_result cli_run_account_follow(struct cli *c)
{
    stoa_account a = {.size = sizeof a};
    stoa_result r = cli_connect(c);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_account_follow(c->wallet, c->args[0], c->value[OPT_NAME],
                                              &a, &c->error));
    if (r == STOA_OK)
        r = cli_failed(c, stoa_sync(c->wallet, &a.id, c->timeout_ms, &c->error));
    char id[65];
    stoa_id_format(id, &a.id);
    if (r == STOA_OK)
        r = cli_account(c, id, &a);
    if (r != STOA_OK)
        return r;
    put_account(c, NULL, &a);
    if (!c->json)
        print_account(&a);
    return STOA_OK;
}

stoa_result cli_run_account_rename(struct cli *c)
{
    stoa_account a;
    stoa_result r = cli_open(c);
    if (r == STOA_OK)
        r = cli_account(c, c->args[0], &a);
    if (r == STOA_OK)
        r = cli_failed(c, stoa_account_rename(c->wallet, &a.id, c->args[1], &c->error));
    if (r != STOA_OK)
        return r;
    cli_put_text(c, NULL, "name", c->args[1]);
    cli_put_id(c, NULL, "id", &a.id);
    if (!c->json)
        (void)printf("%s  %s\n", c->args[1], a.address);
    return STOA_OK;
}
