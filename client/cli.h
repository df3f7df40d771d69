/* The holder's command line: what its files share. One table (cli_table.c) holds every
 * command with its options, help and marks; parsing, help and completion read it. Data
 * goes to standard output, messages and progress to standard error; with --json exactly
 * one object (or one a line for streams) goes to standard output, errors included. */
#ifndef CLIENT_CLI_H
#define CLIENT_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "client/stoa.h"
#include "ledger/err.h"

#define CLI_ARGS_MAX 160
#define CLI_REPEATS_MAX 100 /* of options that may be given several times, together */
#define CLI_PATH_MAX 1024
#define CLI_OPTIONS_MAX 16 /* of one command */
#define CLI_FILE_BYTES_MAX (64u << 20)
#define CLI_LINE_MAX (256u << 10) /* one line of a file of records */

/* enum name, text, value's name (NULL: a flag), common to all commands, help */
#define CLI_OPTION_LIST(X)                                                               \
    X(JSON, "json", NULL, 1, "machine output: one JSON object, errors too")              \
    X(QUIET, "quiet", NULL, 1, "no messages, only data and errors")                      \
    X(NO_PROGRESS, "no-progress", NULL, 1, "no progress line")                           \
    X(NO_INPUT, "no-input", NULL, 1, "never ask: fail where a question would come")      \
    X(YES, "yes", NULL, 1, "answer yes to questions")                                    \
    X(TIMEOUT, "timeout", "TIME", 1, "how long to wait for the hub: 10s, 500ms, 2m")     \
    X(WALLET, "wallet", "DIR", 1,                                                        \
      "the wallet (default $STOA_HOME or ~/.local/share/stoa)")                          \
    X(PASSPHRASE, "passphrase", "SOURCE", 1,                                             \
      "where the passphrase comes from: tty | fd:N | file:PATH | cmd:COMMAND")           \
    X(HUB, "hub", "URL", 1,                                                              \
      "the hub: ws://host:port or wss://.. (default: as last time)")                     \
    X(FINGERPRINT, "fingerprint", "HEX", 1,                                              \
      "identity the hub must prove, 64 hex digits")                                      \
    X(TRUST, "trust-on-first-use", NULL, 1,                                                 \
      "believe and record a hub met for the first time")                                 \
    X(CA_FILE, "ca-file", "FILE", 1, "more roots to trust for wss://, PEM")              \
    X(HELP, "help", NULL, 1, "help of this command")                                     \
    X(PLAINTEXT, "plaintext-keys", NULL, 0, "keep keys without a passphrase")            \
    X(QUICK_KDF, "quick-kdf", NULL, 0, "cheap key stretching: tests and demos only")     \
    X(DEVICE_ONLY, "device-only", NULL, 0,                                               \
      "no root key: a device to be added elsewhere")                                     \
    X(ROOT_SEED, "root-seed", "SOURCE", 0, "restore the root key from 64 hex digits")    \
    X(DEVICE_SEED, "device-seed", "SOURCE", 0, "restore the device key likewise")        \
    X(OPEN, "open", "NAME", 0, "open an account of this name too")                       \
    X(NAME, "name", "NAME", 0, "local name of the account")                              \
    X(PINNED, "pinned", NULL, 0, "data never leaves the hub's region")                   \
    X(RECOVERY, "recovery", "KEY", 0, "public key that may recover the account")         \
    X(ACCOUNT, "account", "ACCOUNT", 0, "name, address or id (default: the only one)")   \
    X(FROM, "from", "ACCOUNT", 0, "account that pays (default: the only one)")           \
    X(TO, "to", "ADDRESS", 0, "payee; may be given several times, an amount for each")   \
    X(MEMO, "memo", "TEXT", 0, "sealed: only members' devices can read it")              \
    X(MEMO_KEY, "memo-key", "KEY", 0, "one more device that can read the memo")          \
    X(REQUEST, "request", "ID", 0, "your own id: the same one again never writes twice") \
    X(WAIT, "wait", "STATE", 0, "saved | accepted | credited (default)")                 \
    X(FRESH, "fresh", NULL, 0, "a second equal payment although one is unresolved")      \
    X(OFFLINE, "offline", NULL, 0, "answer from this disk only")                         \
    X(CSV, "csv", NULL, 0, "comma-separated values, RFC 4180")                           \
    X(SINCE, "since", "POSITION", 0, "first position wanted")                            \
    X(MAX, "max", "N", 0, "at most so many")                                             \
    X(MEMOS, "memos", NULL, 0, "fetch and show memos")                                   \
    X(FULL, "full", NULL, 0, "check every signature")                                    \
    X(THREADS, "threads", "N", 0, "threads to use (default: all cores)")                 \
    X(FOR, "for", "TIME", 0, "stop after this time")                                     \
    X(COUNT, "count", "N", 0, "stop after so many records")                              \
    X(TTL, "ttl", "TIME", 0, "how long it can be used: 30m, 2h, 7d (default 1d)")        \
    X(OUT, "out", "FILE", 0, "write there instead of standard output")                   \
    X(POLICY, "policy", "FILE", 0, "whom you trust: C2SP tlog-policy")                   \
    X(COSIGNED, "cosigned", NULL, 0,                                                     \
      "under the newest checkpoint that the hub's witnesses cosigned")                   \
    X(VKEY, "vkey", "TEXT", 0, "log key to trust (default: the one this wallet knows)")  \
    X(NEW_PASSPHRASE, "new-passphrase", "SOURCE", 0, "where the new one comes from")     \
    X(PAYER, "payer", "MEMBER", 0, "who paid: number, root key or me (default)")         \
    X(SHARE, "share", "MEMBER=AMOUNT", 0,                                                \
      "one member's part; may be given several times")                                   \
    X(EQUAL, "equal", NULL, 0, "the same part for every member")                         \
    X(FORCE, "force", NULL, 0, "although entries of unknown outcome are lost")           \
    X(REBUILD, "rebuild", NULL, 0, "forget the local database and fetch it anew")        \
    X(DROP, "drop", NULL, 0, "give up an entry that was never sent")                     \
    X(EVIDENCE, "evidence", NULL, 0, "signed notes that cannot both be true")            \
    X(ISSUER_KEY, "issuer-key", "FILE", 0, "the hub's issuer key file")                  \
    X(WORK, "work", "DIR", 0,                                                            \
      "folder of the import (default: import-bank in the wallet)")                       \
    X(DIR, "dir", "DIR", 0, "folder of the demo (default: a temporary one)")             \
    X(ONCE, "once", NULL, 0, "end by itself; exit 0 only when every check held")

#define CLI_OPTION_ENUM_(name, text, value, common, help) OPT_##name,
enum cli_option { OPT_NONE, CLI_OPTION_LIST(CLI_OPTION_ENUM_) OPT_COUNT_ };
#undef CLI_OPTION_ENUM_

struct cli_option_row {
    const char *text;
    const char *value;
    bool common;
    const char *help;
};
extern const struct cli_option_row cli_options[OPT_COUNT_];

struct cli;
struct cli_command {
    const char *name; /* one or two words */
    const char *args; /* as in the usage line */
    bool changes;     /* the ledger or this disk; else read-only */
    unsigned args_min, args_max;
    const char *what;                 /* one line */
    const char *more;                 /* paragraph, may be "" */
    const char *examples;             /* lines */
    uint8_t options[CLI_OPTIONS_MAX]; /* enum cli_option, ended by OPT_NONE */
    stoa_result (*run)(struct cli *c);
};
extern const struct cli_command cli_commands[];
extern const unsigned cli_command_count;

struct cli_repeat {
    enum cli_option option;
    const char *value;
};

struct cli {
    const struct cli_command *command; /* NULL until found */
    char schema[64];
    const char *program;
    const char
        *value[OPT_COUNT_]; /* NULL: not given; "": flag given; else the last value */
    struct cli_repeat repeats[CLI_REPEATS_MAX];
    unsigned repeat_count;
    const char *args[CLI_ARGS_MAX]; /* after the command's words */
    unsigned arg_count;
    bool json, quiet, progress;
    bool streamed; /* --json lines were printed; no object at the end unless an error */
    uint32_t timeout_ms; /* 0: default */
    json_t *out;         /* members of the object, with --json */
    stoa_wallet *wallet;
    char dir[CLI_PATH_MAX];
    char *passphrase; /* locked memory; asked once */
    stoa_error error;
    bool failed; /* `error` is filled */
};

/* ---- cli_parse.c: words into a struct cli, wallets and connections ---- */

stoa_result cli_parse(struct cli *c, int argc, char **argv);
bool cli_has(const struct cli *c, enum cli_option o);
/* i-th value of an option that repeats; NULL past the end. */
const char *cli_repeated(const struct cli *c, enum cli_option o, unsigned i);
/* "10s", "500ms", "2m", "7d", "1500" (ms). */
bool cli_time_parse(const char *text, uint64_t *ms);
bool cli_number_parse(const char *text, uint64_t *out);
bool cli_hex_parse(const char *text, uint8_t *out, size_t size);
/* Nearest word of the commands or options, NULL when none is near. */
const char *cli_nearest_command(const char *word);
const char *cli_nearest_option(const char *word);

/* ---- cli_wallet_open.c ---- */

stoa_result cli_wallet_dir(struct cli *c);
/* Options of the library from ours; passphrase callback included. */
stoa_options cli_options_of(struct cli *c, unsigned flags);
stoa_result cli_open(struct cli *c);
/* Open and connect. */
stoa_result cli_connect(struct cli *c);
/* Open; connect and sync unless --offline or no hub answers, which is said. *online
 * tells. */
stoa_result cli_try_sync(struct cli *c, const stoa_id *account, bool *online);
/* The account named by an option or argument; NULL: the only one. */
stoa_result cli_account(struct cli *c, const char *text, stoa_account *out);
/* Address, local name or hex id. hub has STOA_HUB_NAME_MAX + 1 room. */
stoa_result cli_payee(struct cli *c, const char *text, stoa_id *id, char *hub);
/* A passphrase from a source; locked memory, NULL with the error set. */
char *cli_passphrase(struct cli *c, const char *source, const char *prompt, bool confirm);
void cli_passphrase_free(char *text);
/* 32 secret bytes from 64 hex digits out of a source. Wiped by the caller. */
stoa_result cli_secret_seed(struct cli *c, const char *source, uint8_t seed[32]);
void cli_wipe(void *data, size_t size);

/* ---- cli_head.c: files of stoa head ---- */

struct policy;
bool cli_is_head(const char *text, size_t size);
stoa_result cli_verify_head(struct cli *c, const struct policy *p, const char *text, size_t size);

/* ---- cli_out.c: what a person or a program reads ---- */

/* Fill the error; returns `r`. code: number in the table of errors. hint may be NULL. */
stoa_result cli_fail(struct cli *c, stoa_result r, int code, const char *hint,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The library filled c->error; returns `r`. */
stoa_result cli_failed(struct cli *c, stoa_result r);
/* "T4130" into out[8]. */
void cli_code(char out[8], stoa_result r, int code);
/* Print the error or the JSON object; the exit code. */
int cli_finish(struct cli *c, stoa_result r);
/* A message on standard error; not with --quiet or --json. */
void cli_say(const struct cli *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Ask on the terminal; STOA_OK for yes. `must`: without a terminal, --yes is needed. */
stoa_result cli_confirm(struct cli *c, bool must, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Members of the JSON object; nothing without --json. `to` NULL: the object itself. */
void cli_put_text(struct cli *c, json_t *to, const char *name, const char *value);
void cli_put_number(struct cli *c, json_t *to, const char *name, uint64_t value);
void cli_put_bool(struct cli *c, json_t *to, const char *name, bool value);
/* "<name>": "12.50", "<name>_micro": 12500000 */
void cli_put_amount(struct cli *c, json_t *to, const char *name, int64_t micro);
void cli_put_id(struct cli *c, json_t *to, const char *name, const stoa_id *id);
/* An array of the object, made when first asked for. */
json_t *cli_array(struct cli *c, const char *name);
/* One JSON line of a stream; takes `line`. */
void cli_stream(struct cli *c, const char *schema, json_t *line);

/* How the wallet came to believe its hub's identity, and since when. */
void cli_put_trust(struct cli *c, const stoa_wallet_info *info);
void cli_say_trust(const stoa_wallet_info *info);

void cli_time_text(char out[32], uint64_t unix_ms); /* 2026-01-31 12:00:00Z */
void cli_ago_text(char out[32], uint64_t ms);       /* 3 s, 2 min, 5 h, 4 d */
void cli_amount_text(char out[40], int64_t micro);  /* with sign when negative */
const char *cli_state_word(stoa_state s);
void cli_csv_text(FILE *out, const char *text);
bool cli_colour(FILE *out);
uint64_t cli_now_ms(void);  /* monotonic */
uint64_t cli_wall_ms(void); /* since 1970 */

/* A receipt: text or members. `since_ms` (monotonic): latency is told; 0: not. */
void cli_receipt(struct cli *c, const stoa_receipt *r, uint64_t since_ms);
/* Finish a writing function: print the receipt, keep the result. */
stoa_result cli_written(struct cli *c, stoa_result r, const stoa_receipt *receipt,
                        uint64_t since_ms);
/* stoa_how from the options. */
stoa_result cli_how(struct cli *c, stoa_how *how);

/* ---- cli_progress.c ---- */

struct cli_progress {
    const struct cli *c;
    const char *label, *unit;
    uint64_t began_ms, told_ms;
    bool shown, on_terminal;
};
#define CLI_PROGRESS_EVERY_MS 200 /* at most five lines a second */
void cli_progress_begin(struct cli_progress *p, const struct cli *c, const char *label,
                        const char *unit);
void cli_progress_tell(struct cli_progress *p, uint64_t done, uint64_t total);
void cli_progress_end(struct cli_progress *p, uint64_t done, uint64_t total);
/* Ctrl-C asks politely: set by SIGINT and SIGTERM after cli_catch_signals. */
void cli_catch_signals(void);
bool cli_interrupted(void);

/* ---- cli_file.c ---- */

/* Whole file or "-"; released by free. NULL with the error set. A final zero is added. */
char *cli_read_file(struct cli *c, const char *path, size_t *size);
/* Written beside and renamed: never half a file. */
stoa_result cli_write_file(struct cli *c, const char *path, const void *data,
                           size_t size);

/* Import of JSON lines (cli_records.c) and of bank data (import.c). */
stoa_result cli_import_records(struct cli *c);
stoa_result cli_import_bank(struct cli *c);

/* ---- commands ---- */

#define CLI_COMMANDS_(X)                                                                 \
    X(init)                                                                              \
    X(key_show) X(key_check) X(key_export) X(key_passphrase) X(open) X(balance) X(send)  \
        X(history) X(sync) X(verify) X(watch) X(device_add) X(device_revoke)             \
            X(device_list) X(device_request) X(member_invite) X(member_join)             \
                X(member_remove) X(member_list) X(checkpoint) X(export) X(import)        \
                    X(demo) X(resume) X(head) X(receipt_get) X(receipt_check) X(verify_file) X(limits) X(note)  \
                        X(split) X(split_correct) X(split_void) X(bind) X(account_list)  \
                            X(account_follow) X(account_rename) X(sign) X(submit)        \
                                X(recovery_create) X(recovery_begin) X(recovery_finish)  \
                                    X(recovery_cancel) X(root_rotate) X(root_propose)    \
                                        X(root_cosign) X(root_finish) X(help)            \
                                            X(completion) X(version)
#define CLI_RUN_(name) stoa_result cli_run_##name(struct cli *c);
CLI_COMMANDS_(CLI_RUN_)
#undef CLI_RUN_

#endif
