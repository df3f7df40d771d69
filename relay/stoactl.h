/* stoactl, the operator's command line: what its files share. Data goes to standard
 * output, messages and progress to standard error; with --json exactly one object, with a
 * "schema" member, goes to standard output, errors included. */
#ifndef RELAY_STOACTL_H
#define RELAY_STOACTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "ledger/err.h"

#define CTL_ARGS_MAX 8
#define CTL_CONFIG "/etc/stoa/stoa.toml"
#define CTL_MESSAGE_MAX 900

/* Exit codes of every command line here. */
enum ctl_exit {
    EXIT_DONE = 0,
    EXIT_NO = 1,
    EXIT_UNFINISHED = 2,
    EXIT_UNKNOWN = 3,
    EXIT_REFUSED = 4,
    EXIT_USAGE = 64,
    EXIT_DATA = 65,
    EXIT_UNREACHABLE = 69,
    EXIT_BUG = 70,
    EXIT_LATER = 75,
    EXIT_NOT_ALLOWED = 77,
    EXIT_CONFIG = 78
};

/* name, text, value's name (NULL: a flag), help */
#define CTL_OPTIONS(X)                                                                   \
    X(JSON, "json", NULL, "one JSON object on standard output, errors too")              \
    X(QUIET, "quiet", NULL, "no messages, only data and errors")                         \
    X(NO_PROGRESS, "no-progress", NULL, "no progress line")                              \
    X(TIMEOUT, "timeout", "TIME", "give up when nothing moves for this long: 10s, 2m")   \
    X(HUB, "hub", "URL", "the hub: ws://host:port, wss://.. (http://.., https://.. do as well)")        \
    X(KEY, "key", "FILE", "key file of the issuer")                                      \
    X(PASSPHRASE, "passphrase", "SOURCE",                                                \
      "of the key file: tty (default) | fd:N | "                                         \
      "file:PATH | cmd:COMMAND")                                                         \
    X(CA_FILE, "ca-file", "FILE", "more roots to trust for wss:// and https://, PEM")                 \
    X(CSV, "csv", "FILE",                                                                \
      "many rows; the first line names the columns; - is standard input")                \
    X(JOURNAL, "journal", "FILE",                                                        \
      "where built corrections are kept before they are sent")                           \
    X(NODE, "node", "NAME", "node the points were earned with: a name or 64 hex digits") \
    X(EPOCH, "epoch", "N", "epoch they were earned in; rises for each account and node") \
    X(REASON, "reason", "TEXT", "why the balance is corrected; everybody can read it")   \
    X(STORE, "store", "URI", "a hub's store: postgresql://USER@HOST/DATABASE")            \
    X(CHECK, "check", NULL, "check and stop; nothing is sent or written")                 \
    X(SOCKET, "socket", "PATH", "the relay's unix socket; default: listen.admin of the settings") \
    X(CONFIG, "config", "FILE", "the hub's settings; default: " CTL_CONFIG)               \
    X(WAIT, "wait", NULL, "wait until it is done, at most --timeout")                    \
    X(EVERY, "every", "TIME", "go on, and look again after this: 2s, 1m")                \
    X(URL, "url", "URL", "where readers find the logs: https://logs.example")            \
    X(TO, "to", "URI", "the server a slot goes to, as relays are to connect to it")       \
    X(AT, "at", "URI", "the server that keeps what a slot has left there")                \
    X(AS, "as", "USER", "who connects to both servers for this: an owner")               \
    X(REBUILD, "rebuild", NULL, "compare every file, not only what is new")              \
    X(HELP, "help", NULL, "help of this command")

#define CTL_OPTION_ENUM_(name, text, value, help) OPT_##name,
enum ctl_option { CTL_OPTIONS(CTL_OPTION_ENUM_) OPT_COUNT };
#undef CTL_OPTION_ENUM_

struct ctl;
struct ctl_command {
    const char *name; /* one or two words */
    const char *args;
    unsigned args_min, args_max;
    uint32_t options; /* bits of enum ctl_option */
    const char *what;
    const char *more;
    int (*run)(struct ctl *c); /* the exit code */
};

struct ctl {
    const struct ctl_command *command; /* NULL until found */
    const char *value[OPT_COUNT];      /* NULL: not given; "": a flag given */
    const char *args[CTL_ARGS_MAX];
    unsigned arg_count;
    bool json, quiet, progress;
    uint64_t timeout_ms;
    json_t *out; /* members of the object, with --json; else NULL */
};

/* Tell the error, in words or JSON, and return `exit_code`. The code shown is
 * T<exit><error>; `hint` may be NULL. */
int ctl_fail(struct ctl *c, enum ctl_exit exit_code, enum err e, const char *hint,
             const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The exit code that fits an error. */
enum ctl_exit ctl_exit_of(enum err e);
/* A message on standard error; not with --quiet or --json. */
void ctl_say(const struct ctl *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Print the JSON object, if that is wanted; returns `exit_code`. */
int ctl_finish(struct ctl *c, int exit_code);
/* "1,234,567" into out[32]. */
void ctl_number(char out[32], uint64_t v);
bool ctl_is_terminal(int fd);

int ctl_status(struct ctl *c);
int ctl_lag(struct ctl *c);
int ctl_top(struct ctl *c);
int ctl_why(struct ctl *c);
int ctl_reload(struct ctl *c);
int ctl_drain(struct ctl *c);
int ctl_issue(struct ctl *c); /* accrue and adjust */
int ctl_key_show(struct ctl *c);
int ctl_key_new(struct ctl *c);
int ctl_witness_status(struct ctl *c);
int ctl_log_publish(struct ctl *c);
int ctl_log_policy(struct ctl *c);
int ctl_schema_status(struct ctl *c);
int ctl_schema_plan(struct ctl *c);
int ctl_schema_apply(struct ctl *c);
int ctl_slot_move(struct ctl *c);
int ctl_slot_list(struct ctl *c);
int ctl_slot_forget(struct ctl *c);
int ctl_projection_run(struct ctl *c);
int ctl_projection_status(struct ctl *c);
int ctl_projection_rebuild(struct ctl *c);
int ctl_help(struct ctl *c);
void ctl_print_usage(const struct ctl_command *command);
void ctl_print_commands(void);

/* /v1/status of the hub that is meant; *answer is an object to be released. Else the exit
 * code of an error that was told. */
int ctl_fetch_status(struct ctl *c, json_t **answer, int *http_status);
/* One question to the relay at its unix socket (relay/admin_socket.h): *answer is an object
 * to be released. Else the exit code of an error that was told; `missing` (may be NULL):
 * instead of telling that nobody listens there, set it and return EXIT_UNREACHABLE. */
int ctl_ask(struct ctl *c, const char *what, json_t **answer, bool *missing);
/* Whatever a hub told, for people: one "name  value" a line. */
void ctl_print_value(const char *name, const json_t *v);

/* One HTTP GET of a path at the hub that `url` names (http, https, ws, wss); the body is put
 * into `body` (heap, with a final zero, freed by the caller). ERR_USAGE: no such URL; ERR_NET;
 * ERR_TIMEOUT; ERR_TOO_LARGE; with a sentence in why[CTL_MESSAGE_MAX]. */
struct ctl_http {
    const char *url, *path;
    const char *ca_file; /* more roots to trust; NULL: the system's */
    uint64_t timeout_ms;
};
MUST_CHECK enum err ctl_http_get(const struct ctl_http *q, int *status, char **body, char *why);

#endif
