/* Settings of a relay, from one table: key, type, default, when a change takes effect,
 * limits and help. Every key is optional; nothing at all is a working local hub. Later
 * wins:
 *
 *     default < file < conf.d/<name>.toml in name order < STOAD__SECTION__KEY=v < --set
 * section.key=v
 *
 * Durations and sizes are integers (ms, bytes) or text: "5s", "1m30s", "64KiB". Text may
 * hold {state_dir}. All problems are collected and told at once; an unknown key is a
 * problem. An edge: reads files; heap. Not thread-safe; a loaded config is read-only. */
#ifndef RELAY_CONFIG_H
#define RELAY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "crypto/sig.h"

#define CONFIG_FILE_DEFAULT "/etc/stoa/stoa.toml" /* read when it is there */
#define CONFIG_TEXT_MAX 512 /* bytes of a text value with its final zero */
#define CONFIG_LIST_MAX 64  /* elements of a list */
#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_FILES_MAX 64
#define CONFIG_PROBLEMS_MAX 64
#define CONFIG_EXIT 78 /* what a program that cannot use its config exits with */

struct config_texts {
    size_t count;
    char item[CONFIG_LIST_MAX][CONFIG_TEXT_MAX];
};
struct config_pubkeys {
    size_t count;
    struct pubkey item[CONFIG_LIST_MAX];
};

/* Types: NAME a hub's name; TEXT, PATH; ADDRESS "host:port"; STORE a store's URI; SECRET
 * where a passphrase comes from, never one itself; COUNT, BYTES, MS numbers; LEVEL,
 * FORMAT one word; TEXTS, PUBKEYS lists. Columns: section, key, type, default, RELOAD or
 * RESTART, min, max, help. For text, min and max are lengths; for lists, counts. */
#define CONFIG_HUB(X)                                                                    \
    X(hub, name, NAME, "local", RESTART, 1, 128,                                         \
      "name of this hub; checked against the store, a mismatch refuses to start")        \
    X(hub, region, TEXT, "local", RESTART, 1, 64, "region the hub serves, for people")   \
    X(hub, state_dir, PATH, "./stoa-data", RESTART, 1, 400,                              \
      "folder of everything the hub keeps on disk")                                      \
    X(hub, keys_dir, PATH, "{state_dir}/keys", RESTART, 1, 400,                          \
      "folder with log.key and relay.key (issuer.key is not read by stoad run)")
#define CONFIG_LISTEN(X)                                                                 \
    X(listen, client, ADDRESS, "127.0.0.1:7001", RESTART, 3, 300,                        \
      "where clients connect: WebSocket and HTTP")                                       \
    X(listen, admin, PATH, "{state_dir}/admin.sock", RESTART, 0, 400,                    \
      "unix socket for the operator, mode 0600; \"\" is none")                           \
    X(listen, backlog, COUNT, 1024, RESTART, 1, 65535,                                   \
      "connections waiting to be accepted")                                              \
    X(listen, max_connections, COUNT, 20000, RELOAD, 1, 1000000, "open at one time")     \
    X(listen, connections_per_address, COUNT, 64, RELOAD, 0, 1000000,                    \
      "open at one time from one client address; 0 is no limit")
#define CONFIG_TLS(X)                                                                    \
    X(tls, certificate, PATH, "", RELOAD, 0, 400,                                        \
      "PEM file, the chain behind it: listen.client speaks TLS only; \"\" is plain. Read " \
      "again at each reload")                                                            \
    X(tls, key, PATH, "", RELOAD, 0, 400,                                                \
      "PEM file of its key, mode 0600 or 0640, without passphrase")                      \
    X(tls, ca_file, PATH, "", RELOAD, 0, 400,                                            \
      "roots to trust for other relays of this hub, PEM; \"\" is the system's")
#define CONFIG_STORE(X)                                                                  \
    X(store, uri, STORE, "sqlite:{state_dir}/ledger.db", RESTART, 1, 500,                \
      "memory: | sqlite:PATH | postgresql://USER@HOST/DATABASE (password: ?passfile=PATH)") \
    X(store, replica, STORE, "", RESTART, 0, 500,                                        \
      "postgresql://.. of a standby that answers for projections, and for tiles and "    \
      "records that it has; \"\" is none")                                                \
    X(store, min_free_bytes, BYTES, "256MiB", RELOAD, 0, INT64_C(1) << 50,               \
      "with less room on the disk, writes are refused and reads go on")
#define CONFIG_KEYS(X)                                                                   \
    X(keys, passphrase, SECRET, "tty", RESTART, 1, 500,                                 \
      "where the key files' passphrase comes from: tty | none (plain key files) | fd:N " \
      "| "                                                                               \
      "file:PATH | cmd:COMMAND")
#define CONFIG_LIMITS(X)                                                                 \
    X(limits, frame_bytes, BYTES, "128KiB", RELOAD, 4096, 1048576,                       \
      "largest frame a client may send; a sealed attachment needs 66 KiB")               \
    X(limits, entry_bytes, BYTES, "16KiB", RELOAD, 1024, 65471,                          \
      "largest entry taken at the door")                                                 \
    X(limits, entries_a_frame, COUNT, 256, RELOAD, 1, 1024, "entries in one SUBMIT")     \
    X(limits, subscriptions, COUNT, 50, RELOAD, 0, 100000, "of one connection")          \
    X(limits, inflight_entries, COUNT, 1024, RELOAD, 1, 65536,                           \
      "sent by one connection and not answered yet")                                     \
    X(limits, page_records, COUNT, 500, RELOAD, 1, 1024, "records in one PAGE")          \
    X(limits, entries_a_second, COUNT, 0, RELOAD, 0, 1000000,                            \
      "of one device, over time; 0 is no limit. A hub open to strangers wants about 20") \
    X(limits, burst, COUNT, 100, RELOAD, 1, 1000000,                                     \
      "entries a device may send at once before entries_a_second counts")                \
    X(limits, account_entries_a_second, COUNT, 0, RELOAD, 0, 1000000,                    \
      "accepted for one account, over time, by whatever road; 0 is no limit")            \
    X(limits, account_burst, COUNT, 200, RELOAD, 1, 1000000,                             \
      "of those at once; one transaction may go past it")                                \
    X(limits, address_entries_a_second, COUNT, 0, RELOAD, 0, 1000000,                    \
      "of all clients at one address, over time; 0 is no limit")                         \
    X(limits, address_burst, COUNT, 2000, RELOAD, 1, 1000000, "of those at once")        \
    X(limits, tarpit_ms, MS, "10s", RELOAD, 0, 600000,                                   \
      "who sends on when told to wait, or sends bad signatures, is not read for up to "  \
      "this long; 0 is never")                                                           \
    X(limits, idle_ms, MS, "120s", RELOAD, 1000, 86400000,                               \
      "a connection that sends nothing, not even a pong, is closed after this")          \
    X(limits, ping_ms, MS, "30s", RELOAD, 1000, 86400000,                                \
      "silence after which a ping is sent")                                              \
    X(limits, handshake_ms, MS, "5s", RELOAD, 100, 600000, "from connection to HELLO")   \
    X(limits, unsent_bytes, BYTES, "4MiB", RELOAD, 65536, INT64_C(1) << 30,              \
      "waiting for one slow reader before he is moved back to catch-up")                 \
    X(limits, stalled_ms, MS, "60s", RELOAD, 1000, 86400000,                             \
      "a reader that takes nothing for this long is cut")                                \
    X(limits, queue_entries, COUNT, 16384, RESTART, 64, 4194304,                         \
      "entries waiting in the whole relay; past it new ones are refused busy")
#define CONFIG_MEMORY(X)                                                                 \
    X(memory, physical_bytes, BYTES, 0, RESTART, 0, INT64_C(1) << 50,                    \
      "memory this relay may use; 0 is what the machine, or its cgroup, has")            \
    X(memory, reserved_bytes, BYTES, "256MiB", RESTART, 0, INT64_C(1) << 50,             \
      "of it for the program, the ledger's state and the store's caches; what they have " \
      "at the start when that is more")                                                  \
    X(memory, safety_bytes, BYTES, 0, RESTART, 0, INT64_C(1) << 50,                      \
      "of it for nothing; 0 is 1/16, at least 64 MiB")
#define CONFIG_VERIFY(X)                                                                 \
    X(verify, threads, COUNT, 0, RESTART, 0, 256,                                        \
      "threads that check signatures; 0 is one a core")
#define CONFIG_COMMIT(X)                                                                 \
    X(commit, batch_entries, COUNT, 1024, RELOAD, 1, 65536,                              \
      "entries in one transaction")                                                      \
    X(commit, linger_ms, MS, 0, RELOAD, 0, 1000,                                         \
      "wait this long for a fuller batch; 0 commits what is there")                      \
    X(commit, snapshot_every_records, COUNT, 100000, RELOAD, 100, INT64_C(1) << 40,      \
      "records of a slot between two saved states: what a restart replays at most")
#define CONFIG_ACCESS(X)                                                                 \
    X(access, auditors, PUBKEYS, "", RELOAD, 0, CONFIG_LIST_MAX,                         \
      "public keys (64 hex digits) that may read pinned accounts")                       \
    X(access, origins, TEXTS, "", RELOAD, 0, CONFIG_LIST_MAX,                            \
      "Origin headers of web pages that may connect; programs send none and always may")
#define CONFIG_DRAIN(X)                                                                  \
    X(drain, grace_ms, MS, "10s", RELOAD, 0, 3600000,                                    \
      "from \"draining\" to the close of connections still open")
#define CONFIG_WITNESS(X)                                                                \
    X(witness, logs, PATH, "", RESTART, 0, 400,                                          \
      "tlog-policy file: the logs it names are witnessed at /witness; \"\" is none")      \
    X(witness, requests_a_second, COUNT, 100, RELOAD, 0, 1000000,                        \
      "add-checkpoint requests of one address, over time; a busy hub asks once a second " \
      "for each of its slots; 0 is no limit")                                            \
    X(witness, burst, COUNT, 600, RELOAD, 1, 1000000,                                    \
      "of those at once; a hub that starts asks twice for each slot")
#define CONFIG_COSIGN(X)                                                                 \
    X(cosign, policy, PATH, "", RESTART, 0, 400,                                         \
      "tlog-policy file: witnesses with URLs, and the quorum of this hub's "             \
      "checkpoints; \"\" is none")                                                       \
    X(cosign, every_ms, MS, "1s", RELOAD, 10, 3600000,                                   \
      "between two checkpoints of a log that witnesses are asked for")                   \
    X(cosign, max_age_ms, MS, "10s", RELOAD, 0, 86400000,                                \
      "a checkpoint with a quorum is served this long after a newer one is there")       \
    X(cosign, timeout_ms, MS, "5s", RELOAD, 100, 600000, "of one question to a witness") \
    X(cosign, ca_file, PATH, "", RESTART, 0, 400,                                        \
      "roots to trust for https:// witnesses, PEM; \"\" is the system's")
#define CONFIG_REGION(X)                                                                 \
    X(region, relay, TEXT, "", RESTART, 0, 64,                                           \
      "name of this relay where several share one hub and one Postgres; \"\" is a hub "   \
      "of one process")                                                                  \
    X(region, peer, TEXT, "", RESTART, 0, 300,                                           \
      "host:port where the other relays reach this one; \"\" is listen.client")          \
    X(region, lease_ms, MS, "3s", RESTART, 300, 60000,                                   \
      "a relay that is silent for this long loses its slots to the others")              \
    X(region, bus, TEXT, "", RESTART, 0, 400,                                            \
      "redis://HOST:PORT or redis+unix:PATH (password: ?passfile=PATH; a cluster: "      \
      "?sharded=yes); \"\" is none")                                                         \
    X(region, poll_ms, MS, "500ms", RELOAD, 10, 60000,                                   \
      "how often the store is asked for what other relays wrote; the bus is faster")
#define CONFIG_LOG(X)                                                                    \
    X(log, level, LEVEL, "info", RELOAD, 1, 8, "error | warn | info | debug")            \
    X(log, format, FORMAT, "logfmt", RELOAD, 1, 8, "logfmt | json, on standard error")

#define CONFIG_SECTIONS(S)                                                               \
    S(hub, CONFIG_HUB)                                                                   \
    S(listen, CONFIG_LISTEN)                                                             \
    S(tls, CONFIG_TLS)                                                                   \
    S(store, CONFIG_STORE)                                                               \
    S(keys, CONFIG_KEYS)                                                                 \
    S(limits, CONFIG_LIMITS)                                                             \
    S(memory, CONFIG_MEMORY)                                                             \
    S(verify, CONFIG_VERIFY)                                                             \
    S(commit, CONFIG_COMMIT)                                                             \
    S(access, CONFIG_ACCESS)                                                             \
    S(drain, CONFIG_DRAIN)                                                               \
    S(witness, CONFIG_WITNESS)                                                           \
    S(cosign, CONFIG_COSIGN)                                                             \
    S(region, CONFIG_REGION)                                                             \
    S(log, CONFIG_LOG)

#define CONFIG_MEMBER_NAME(key) char key[CONFIG_TEXT_MAX];
#define CONFIG_MEMBER_TEXT(key) char key[CONFIG_TEXT_MAX];
#define CONFIG_MEMBER_PATH(key) char key[CONFIG_TEXT_MAX];
#define CONFIG_MEMBER_ADDRESS(key) char key[CONFIG_TEXT_MAX];
#define CONFIG_MEMBER_STORE(key) char key[CONFIG_TEXT_MAX];
#define CONFIG_MEMBER_SECRET(key) char key[CONFIG_TEXT_MAX];
#define CONFIG_MEMBER_COUNT(key) uint64_t key;
#define CONFIG_MEMBER_BYTES(key) uint64_t key;
#define CONFIG_MEMBER_MS(key) uint64_t key;
#define CONFIG_MEMBER_LEVEL(key) uint64_t key;  /* enum trace_level */
#define CONFIG_MEMBER_FORMAT(key) uint64_t key; /* enum trace_format */
#define CONFIG_MEMBER_TEXTS(key) struct config_texts key;
#define CONFIG_MEMBER_PUBKEYS(key) struct config_pubkeys key;

/* relay_config.hub.name and so on; a plain value. About 40 KiB: keep it off small stacks.
 */
#define CONFIG_MEMBER_(section, key, type, dflt, when, min, max, help)                   \
    CONFIG_MEMBER_##type(key)
#define CONFIG_SECTION_(section, LIST)                                                   \
    struct {                                                                             \
        LIST(CONFIG_MEMBER_)                                                             \
    } section;
struct relay_config {
    CONFIG_SECTIONS(CONFIG_SECTION_)
};
#undef CONFIG_SECTION_
#undef CONFIG_MEMBER_

/* host and port of an ADDRESS: "127.0.0.1:7001", "[::1]:7001", "name:7001". False: not
 * one. host has CONFIG_TEXT_MAX room and comes without brackets. Port 0 (any free one) is
 * allowed. */
bool config_address(const char *text, char *host, uint16_t *port);

/* Where to look. All borrowed for the call. */
struct config_sources {
    const char *file; /* NULL: CONFIG_FILE_DEFAULT when there is one. Named: must be
                         there. conf.d is the folder of that name beside the file */
    const char *const *sets; /* "section.key=value", in the order given */
    size_t set_count;
    char *const *environment; /* `environ`; NULL: none */
};

struct config; /* values, where each came from, and what is wrong; opaque: it owns files'
                  text */

/* NULL only when memory is out. Released by config_close. */
struct config *config_load(const struct config_sources *s);
void config_close(struct config *c);
/* Values to be used only when there are no problems. Borrowed from `c`. */
const struct relay_config *config_values(const struct config *c);
/* Every file could be read and is TOML: then a value without a problem of its own is as it
 * was meant, whatever is wrong with others. For who looks for a relay that runs already. */
bool config_was_read(const struct config *c);
size_t config_problem_count(const struct config *c);
/* Each as error[T78xx] with place, excerpt and caret, and "did you mean". `last_line`
 * (may be NULL) says what now holds, e.g. "nothing was applied, generation 12 still
 * running". */
void config_print_problems(const struct config *c, FILE *out, const char *last_line);
/* The i-th problem's code, 7801.., and its text; false past the end. */
bool config_problem(const struct config *c, size_t i, unsigned *code, const char **text);

void config_defaults(struct relay_config *out);
/* Text for --print-default-config: every key with its help and default; it is itself a
 * file that loads to the defaults. */
void config_print_default(FILE *out);
/* "section.key = value   # where it came from", one a line. */
void config_show_origin(const struct config *c, FILE *out);
/* The same as a JSON object with a "schema" member. */
void config_show_origin_json(const struct config *c, FILE *out);

/* Reload: calls `each` for every key whose value differs, in table order; `restart` says
 * that it will not take effect by itself. Returns how many differ. */
size_t config_diff(const struct relay_config *old_values,
                   const struct relay_config *new_values,
                   void (*each)(void *context, const char *section, const char *key,
                                bool restart),
                   void *context);
/* One value as TOML writes it, into out[cap]; a password in a store's URI is masked. "" when
 * there is no such key. */
#define CONFIG_KEY_MAX 64
#define CONFIG_SHOWN_MAX (CONFIG_TEXT_MAX * 2)
void config_show(const struct relay_config *values, const char *section, const char *key,
                 char *out, size_t cap);
size_t config_key_count(void);
/* Take over the values of RELOAD keys only. */
void config_apply_reload(struct relay_config *running, const struct relay_config *loaded);

#endif
