/* Wallets, passphrases and connections for every command. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"
#include "crypto/keyfile.h"

#define SEED_HEX_DIGITS 64

stoa_result cli_wallet_dir(struct cli *c)
{
    const char *home = getenv("STOA_HOME"), *data = getenv("XDG_DATA_HOME");
    int n;
    if (cli_has(c, OPT_WALLET))
        n = snprintf(c->dir, sizeof c->dir, "%s", c->value[OPT_WALLET]);
    else if (home && *home)
        n = snprintf(c->dir, sizeof c->dir, "%s", home);
    else if (data && *data)
        n = snprintf(c->dir, sizeof c->dir, "%s/stoa", data);
    else if ((home = getenv("HOME")) && *home)
        n = snprintf(c->dir, sizeof c->dir, "%s/.local/share/stoa", home);
    else
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "--wallet DIR",
                        "no wallet named and no HOME set");
    if (n < 1 || (size_t)n >= sizeof c->dir)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "--wallet DIR",
                        "the wallet's path is empty or too long");
    return STOA_OK;
}

char *cli_passphrase(struct cli *c, const char *source, const char *prompt, bool confirm)
{
    const char *why = "it is not there";
    if (strcmp(source, "tty") == 0 && cli_has(c, OPT_NO_INPUT)) {
        (void)cli_fail(c, STOA_DENIED, ERR_NOT_ALLOWED, "--passphrase file:PATH",
                       "a passphrase is needed and --no-input was given");
        return NULL;
    }
    char *text = crypto_start() ? passphrase_read(source, prompt, confirm, &why) : NULL;
    if (!text)
        (void)cli_fail(c, STOA_DENIED, ERR_NOT_ALLOWED,
                       "--passphrase tty | fd:N | file:PATH | cmd:COMMAND",
                       "no passphrase from %.60s: %s", source, why);
    return text;
}

void cli_passphrase_free(char *text)
{
    secret_free(text);
}

void cli_wipe(void *data, size_t size)
{
    secret_wipe(data, size);
}

/* Asked once for all roles; asked again only where a person can type another. */
static bool on_passphrase(void *context, const char *role, bool again, char *out,
                          size_t cap)
{
    struct cli *c = context;
    const char *source = cli_has(c, OPT_PASSPHRASE) ? c->value[OPT_PASSPHRASE] : "tty";
    char prompt[64];
    if (again && strcmp(source, "tty") != 0)
        return false;
    if (again) {
        secret_free(c->passphrase);
        c->passphrase = NULL;
    }
    if (!c->passphrase) {
        (void)snprintf(prompt, sizeof prompt, "Passphrase of the %s key: ", role);
        c->passphrase = cli_passphrase(c, source, prompt, false);
    }
    if (!c->passphrase || strlen(c->passphrase) >= cap)
        return false;
    memcpy(out, c->passphrase, strlen(c->passphrase) + 1);
    return true;
}

stoa_options cli_options_of(struct cli *c, unsigned flags)
{
    stoa_options o;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;
    o.flags = flags | (cli_has(c, OPT_TRUST) ? STOA_TRUST_FIRST_USE : 0u);
    o.passphrase = on_passphrase;
    o.passphrase_context = c;
    o.fingerprint = c->value[OPT_FINGERPRINT];
    o.ca_file = c->value[OPT_CA_FILE];
    o.timeout_ms = c->timeout_ms;
    return o;
}

/* A command that makes a new key: it is kept as the wallet's other keys are. */
static stoa_result open_like_its_keys(struct cli *c)
{
    stoa_wallet_info info = {.size = sizeof info};
    stoa_wallet_get(c->wallet, &info);
    if (info.encrypted)
        return STOA_OK;
    stoa_wallet_close(c->wallet);
    c->wallet = NULL;
    stoa_options o = cli_options_of(c, STOA_PLAINTEXT_KEYS);
    return stoa_wallet_open(&c->wallet, c->dir, &o, &c->error);
}

stoa_result cli_open(struct cli *c)
{
    if (c->wallet)
        return STOA_OK;
    stoa_result r = cli_wallet_dir(c);
    if (r != STOA_OK)
        return r;
    stoa_options o = cli_options_of(c, 0);
    r = stoa_wallet_open(&c->wallet, c->dir, &o, &c->error);
    if (r == STOA_OK && strncmp(c->command->name, "root ", 5) == 0)
        r = open_like_its_keys(c);
    if (r == STOA_CONFIG && c->error.code == ERR_CORRUPT)
        (void)snprintf(c->error.hint, sizeof c->error.hint,
                       "stoa sync --rebuild (with --force where entries may be open)");
    if (r != STOA_OK && access(c->dir, F_OK) != 0)
        return cli_fail(c, STOA_CONFIG, ERR_MISSING,
                        "stoa init --hub ws://127.0.0.1:7001", "no wallet at %s", c->dir);
    return cli_failed(c, r);
}

stoa_result cli_connect(struct cli *c)
{
    stoa_result r = cli_open(c);
    if (r != STOA_OK || stoa_connected(c->wallet))
        return r;
    stoa_wallet_info info = {.size = sizeof info};
    stoa_wallet_get(c->wallet, &info);
    if (!info.url[0] && !cli_has(c, OPT_HUB))
        return cli_fail(c, STOA_CONFIG, ERR_MISSING,
                        "--hub ws://127.0.0.1:7001 --trust-on-first-use",
                        "this wallet knows no hub yet");
    r = stoa_connect(c->wallet, c->value[OPT_HUB], c->timeout_ms, &c->error);
    if (r == STOA_DENIED && !info.hub[0] && c->error.code == ERR_HELLO)
        (void)snprintf(c->error.hint, sizeof c->error.hint,
                       "compare it with what the operator publishes, then --fingerprint "
                       "HEX; or --trust-on-first-use");
    if (r == STOA_UNREACHABLE && !c->error.hint[0])
        (void)snprintf(c->error.hint, sizeof c->error.hint,
                       "the same again later, or --hub URL");
    return cli_failed(c, r);
}

stoa_result cli_try_sync(struct cli *c, const stoa_id *account, bool *online)
{
    *online = false;
    stoa_result r = cli_open(c);
    if (r != STOA_OK || cli_has(c, OPT_OFFLINE))
        return r;
    r = cli_connect(c);
    if (r == STOA_OK)
        r = stoa_sync(c->wallet, account, c->timeout_ms, &c->error);
    if (r == STOA_OK) {
        *online = true;
        return r;
    }
    if (r != STOA_UNREACHABLE)
        return cli_failed(c, r);
    cli_say(c, "hub not reached (%s); answering from this disk", c->error.message);
    c->failed = false;
    return STOA_OK;
}

stoa_result cli_account(struct cli *c, const char *text, stoa_account *out)
{
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    stoa_result r = stoa_account_find(c->wallet, text, out, &c->error);
    if (r != STOA_OK && !c->error.hint[0])
        (void)snprintf(c->error.hint, sizeof c->error.hint, "stoa account list");
    return cli_failed(c, r);
}

stoa_result cli_payee(struct cli *c, const char *text, stoa_id *id, char *hub)
{
    hub[0] = 0;
    if (stoa_address_parse(text, id, hub) || stoa_id_parse(text, id))
        return STOA_OK;
    stoa_account a = {.size = sizeof a};
    stoa_error ignored = {.size = sizeof ignored};
    if (*text && stoa_account_find(c->wallet, text, &a, &ignored) == STOA_OK) {
        *id = a.id;
        return STOA_OK;
    }
    return cli_fail(
        c, STOA_DATA, ERR_MALFORMED, "stoa account list",
        "\"%.80s\" is no address (the checksum decides), id or name of an account", text);
}

stoa_result cli_secret_seed(struct cli *c, const char *source, uint8_t seed[32])
{
    char digits[SEED_HEX_DIGITS + 1];
    size_t n = 0;
    char *text = cli_passphrase(c, source, "Secret key, 64 hex digits: ", false);
    if (!text)
        return STOA_DENIED;
    for (const char *at = text; *at && n <= SEED_HEX_DIGITS; at++)
        if (*at != ' ' && *at != '-')
            digits[n < SEED_HEX_DIGITS ? n++ : n] = *at;
    digits[n] = 0;
    secret_free(text);
    bool good = n == SEED_HEX_DIGITS && cli_hex_parse(digits, seed, 32);
    secret_wipe(digits, sizeof digits);
    if (!good)
        return cli_fail(c, STOA_DATA, ERR_MALFORMED, NULL,
                        "a secret key is 64 hex digits");
    return STOA_OK;
}
