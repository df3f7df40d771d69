/* stoactl log publish: a hub's logs as files, once or again and again. */
#include "relay/stoactl_log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/config_number.h"

#define HTTP_OK 200
#define SMALL_ROUND 4096u /* records of a slot; more: all files are synced at once */
#define FAILURES_SHOWN 8u

/* What one command keeps between rounds. */
struct publisher {
    struct ctl *c;
    struct log_setup setup;
    struct log_source *source; /* open within a round */
    struct store_identity hub;
    struct log_dir dir;
    struct pinned pinned;
    uint32_t slots;
    struct log_slot *slot; /* one each */
    bool *bad;             /* in this round */
    bool warm; /* a round has ended well: what lies in the directory is durable */
    bool check, rebuild;
    uint64_t records, changed; /* of this round */
    unsigned failures;
    int code; /* the worst of this round */
    json_t *rows;
};

/* What was found is an answer, no: so much for 1. What a later run may bring is not. */
static enum ctl_exit code_of(enum err e)
{
    return e == ERR_BEHIND || e == ERR_SIGNATURE ? EXIT_NO
           : e == ERR_STORE                      ? EXIT_UNREACHABLE
           : e == ERR_STORE_FULL                 ? EXIT_UNFINISHED
                                                 : ctl_exit_of(e);
}

static void failed(struct publisher *p, uint32_t slot, enum err e, const char *why)
{
    p->bad[slot] = true;
    log_scan_init(&p->slot[slot].scan, &p->hub, slot);
    if (p->failures++ == 0)
        p->code = (int)code_of(e);
    if (p->rows) {
        json_t *row = json_pack("{s:i, s:s, s:s}", "slot", (int)slot, "error",
                                err_word(e), "message", why[0] ? why : err_text(e));
        json_array_append_new(p->rows, row);
    } else if (p->failures <= FAILURES_SHOWN) {
        (void)ctl_fail(
            p->c, code_of(e), e,
            e == ERR_FORK || e == ERR_BEHIND
                ? "keep both and look: a restored backup, or another hub's directory"
                : NULL,
            "%s", why[0] ? why : err_text(e));
    }
}

/* With --hub: as that hub serves it, so with its witnesses' lines. */
static enum err served_note(struct publisher *p, uint32_t slot, struct log_note *out,
                            char *why)
{
    char path[64], *body = NULL;
    int status = 0;
    const char *url = p->c->value[OPT_HUB];
    snprintf(path, sizeof(path), "/log/%02x/checkpoint", (unsigned)slot);
    struct ctl_http q = {.url = url,
                         .path = path,
                         .ca_file = p->c->value[OPT_CA_FILE],
                         .timeout_ms = p->c->timeout_ms};
    TRY(ctl_http_get(&q, &status, &body, why));
    bool ok = status == HTTP_OK && log_note_read(out, body, strlen(body));
    free(body);
    if (ok)
        return ERR_OK;
    snprintf(why, LOG_WHY_MAX, "%.300s%s: HTTP %d, and no checkpoint", url, path, status);
    return ERR_NET;
}

/* What is to be published of a slot: `fresh`. */
static enum err choose(struct publisher *p, uint32_t slot, char *why)
{
    struct log_slot *s = &p->slot[slot];
    struct store_slot at;
    tree_size served = s->fresh.says.size;
    TRY(log_source_slot(p->source, slot, &at, why));
    if (p->c->value[OPT_HUB]) {
        if (served > at.size) {
            snprintf(why, LOG_WHY_MAX,
                     "%s: the hub serves size %" PRIu64 ", this ledger ends at %" PRIu64
                     ": not the ledger of that hub?",
                     s->scan.origin, served, at.size);
            return ERR_BEHIND;
        }
        /* One with a quorum may be older than what was published while there was none. */
        if (s->old.size > 0 && served < s->old.says.size && s->old.says.size <= at.size)
            s->fresh = s->old;
        return ERR_OK;
    }
    if (log_note_read(&s->fresh, at.checkpoint, at.checkpoint_size) &&
        s->fresh.says.size == at.size)
        return ERR_OK;
    snprintf(why, LOG_WHY_MAX, "%s: the ledger's checkpoint is damaged", s->scan.origin);
    return ERR_CORRUPT;
}

static enum err read_old(struct publisher *p, uint32_t slot, char *why)
{
    char path[LOG_PATH_MAX];
    struct buf b = {0};
    struct log_slot *s = &p->slot[slot];
    s->old.size = 0;
    log_checkpoint_path(path, slot);
    enum err e = folder_read(&p->dir.folder, path, NOTE_BYTES_MAX, &b);
    if (e == ERR_OK && !log_note_read(&s->old, (const char *)b.data, b.size)) {
        snprintf(why, LOG_WHY_MAX, "%s in the directory is no checkpoint", path);
        e = ERR_SIGNATURE;
    }
    buf_close(&b);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Read what is there, check it, and everything that shall follow it. */
static enum err prepare(struct publisher *p, uint32_t slot, char *why)
{
    struct log_slot *s = &p->slot[slot];
    TRY(read_old(p, slot, why));
    TRY(choose(p, slot, why));
    if (s->old.size > 0 &&
        s->old.says.size < s->scan.tree.size) /* put back by somebody */
        log_scan_init(&s->scan, &p->hub, slot);
    TRY(log_slot_check(s, p->source, &p->pinned, p->rebuild, why));
    if (log_setup_key_ok(&p->setup, log_scan_key(&s->scan, s->fresh.says.size)))
        return ERR_OK;
    snprintf(why, LOG_WHY_MAX, "%s: the log names another key than log.key of this hub",
             s->scan.origin);
    return ERR_SIGNATURE;
}

static bool wanted(const struct publisher *p, uint32_t slot)
{
    return !p->bad[slot] && !p->check && (p->rebuild || log_slot_is_new(&p->slot[slot]));
}

static void report(struct publisher *p, uint32_t slot, tree_size before)
{
    const struct log_slot *s = &p->slot[slot];
    char root[2 * HASH_BYTES + 1];
    hex_encode(root, s->fresh.says.root.b, HASH_BYTES);
    p->records += s->fresh.says.size - before;
    p->changed++;
    if (p->rows)
        json_array_append_new(
            p->rows, json_pack("{s:i, s:s, s:I, s:I, s:s}", "slot", (int)slot, "origin",
                               s->scan.origin, "from", (json_int_t)before, "size",
                               (json_int_t)s->fresh.says.size, "root", root));
    else if (!p->c->quiet)
        printf("%s  %" PRIu64 " -> %" PRIu64 "  %s\n", s->scan.origin, before,
               s->fresh.says.size, root);
}

/* Files first, then, when all of them are on disk, the checkpoints. */
static void write_all(struct publisher *p)
{
    char why[LOG_WHY_MAX] = "";
    bool sync = !p->warm, any = false;
    for (uint32_t i = 0; i < p->slots; i++) {
        struct log_slot *s = &p->slot[i];
        if (!wanted(p, i))
            continue;
        bool small = p->warm && s->fresh.says.size - s->start.size <= SMALL_ROUND;
        enum err e = log_slot_write(s, p->source, &p->pinned, &p->dir, small, why);
        if (e != ERR_OK)
            failed(p, i, e, why);
        sync = sync || !small;
        any = true;
    }
    enum err synced = any && sync ? folder_sync(&p->dir.folder, why) : ERR_OK;
    for (uint32_t i = 0; i < p->slots; i++) {
        if (!wanted(p, i))
            continue;
        tree_size before = p->slot[i].old.size > 0 ? p->slot[i].old.says.size : 0;
        enum err e =
            synced == ERR_OK ? log_slot_finish(&p->slot[i], &p->dir, why) : synced;
        if (e != ERR_OK)
            failed(p, i, e, why);
        else
            report(p, i, before);
    }
}

static int print_round(struct publisher *p)
{
    struct ctl *c = p->c;
    if (c->json) {
        c->out =
            json_pack("{s:b, s:i, s:I, s:I, s:I, s:I, s:o}", "ok", p->failures == 0,
                      "slots", (int)p->slots, "records", (json_int_t)p->records, "files",
                      (json_int_t)p->dir.files, "bytes", (json_int_t)p->dir.bytes,
                      "removed", (json_int_t)p->dir.removed, "logs", p->rows);
        p->rows = NULL;
        return ctl_finish(c, p->code);
    }
    if (p->failures > FAILURES_SHOWN)
        fprintf(stderr, "%u more logs failed\n", p->failures - FAILURES_SHOWN);
    if (p->check)
        ctl_say(c, "checked %u of %u logs; nothing was written", p->slots - p->failures,
                p->slots);
    else
        ctl_say(c,
                "%" PRIu64 " of %u logs published, %" PRIu64 " new records in %" PRIu64
                " files, %" PRIu64 " partial files removed",
                p->changed, p->slots, p->records, p->dir.files, p->dir.removed);
    return p->code;
}

static void fetch_all(struct publisher *p)
{
    char why[LOG_WHY_MAX] = "";
    for (uint32_t i = 0; p->c->value[OPT_HUB] && i < p->slots; i++) {
        enum err e = served_note(p, i, &p->slot[i].fresh, why);
        if (e != ERR_OK)
            failed(p, i, e, why);
    }
}

/* One look at the ledger. The connection is new each time: an old one would keep the WAL
 * of a running hub from starting again. What the hub serves is asked for before: then it
 * is in the ledger. */
static int round_once(struct publisher *p, bool quiet_if_same)
{
    char why[LOG_WHY_MAX] = "";
    p->records = p->changed = p->dir.files = p->dir.bytes = p->dir.removed = 0;
    p->failures = 0;
    p->code = EXIT_DONE;
    memset(p->bad, 0, p->slots * sizeof(p->bad[0]));
    p->rows = p->c->json ? json_array() : NULL;
    fetch_all(p);
    log_source_close(p->source);
    p->source = NULL;
    int code = log_setup_open(p->c, &p->setup, &p->source);
    if (code != EXIT_DONE) {
        json_decref(p->rows);
        return code;
    }
    for (uint32_t i = 0; i < p->slots; i++) {
        if (p->bad[i])
            continue;
        enum err e = prepare(p, i, why);
        if (e != ERR_OK)
            failed(p, i, e, why);
        why[0] = '\0';
    }
    write_all(p);
    log_source_close(p->source);
    p->source = NULL;
    p->warm = p->warm || p->failures == 0;
    if (!quiet_if_same || p->changed > 0 || p->failures > 0)
        return print_round(p);
    json_decref(p->rows);
    p->rows = NULL;
    return p->code;
}

static int open_all(struct publisher *p)
{
    struct ctl *c = p->c;
    char why[LOG_WHY_MAX] = "";
    int code = log_setup_read(c, &p->setup);
    if (code == EXIT_DONE)
        code = log_setup_open(c, &p->setup, &p->source);
    if (code != EXIT_DONE)
        return code;
    if (p->setup.hub[0] && !p->setup.has_key)
        ctl_say(c,
                "log.key of this hub cannot be read: the keys are those the log names");
    p->hub = *log_source_identity(p->source);
    p->slots = p->hub.slots;
    p->slot = calloc(p->slots, sizeof(*p->slot));
    p->bad = calloc(p->slots, sizeof(*p->bad));
    enum err e = p->slot && p->bad ? pinned_open(&p->pinned, 0, NULL, 0) : ERR_MEMORY;
    for (uint32_t i = 0; e == ERR_OK && i < p->slots; i++)
        log_scan_init(&p->slot[i].scan, &p->hub, i);
    if (e == ERR_OK)
        e = log_dir_open(&p->dir, c->args[0], why);
    return e == ERR_OK
               ? EXIT_DONE
               : ctl_fail(c, code_of(e), e, NULL, "%s", why[0] ? why : err_text(e));
}

static void close_all(struct publisher *p)
{
    folder_close(&p->dir.folder);
    log_source_close(p->source);
    pinned_close(&p->pinned);
    free(p->slot);
    free(p->bad);
}

/* What goes away by itself does not end a command that goes on for ever. */
static bool goes_on(int code)
{
    return code == EXIT_DONE || code == EXIT_UNREACHABLE || code == EXIT_UNFINISHED;
}

static volatile sig_atomic_t ending;

static void on_signal(int signal)
{
    (void)signal;
    ending = 1;
}

/* Until a signal, which lets a round come to its end, or something that does not go away.
 */
static int again(struct publisher *p, uint64_t every_ms)
{
    int code = EXIT_DONE;
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    struct timespec pause = {.tv_sec = (time_t)(every_ms / 1000),
                             .tv_nsec = (long)(every_ms % 1000) * 1000000};
    while (goes_on(code)) {
        fflush(stdout);
        p->rebuild = false;
        nanosleep(&pause, NULL);
        if (ending)
            return EXIT_DONE;
        code = round_once(p, true);
    }
    return code;
}

int ctl_log_publish(struct ctl *c)
{
    struct publisher p = {.c = c,
                          .check = c->value[OPT_CHECK] != NULL,
                          .rebuild = c->value[OPT_REBUILD] != NULL};
    uint64_t every_ms = 0;
    p.dir.folder.fd = -1;
    if (c->value[OPT_EVERY] &&
        (!config_ms_parse(c->value[OPT_EVERY], &every_ms) || every_ms == 0 || p.check))
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL,
                        "--every must be like 2s or 1m, and goes not with --check");
    int code = open_all(&p);
    if (code == EXIT_DONE)
        code = round_once(&p, false);
    if (every_ms > 0 && goes_on(code) && p.slot)
        code = again(&p, every_ms);
    close_all(&p);
    return code;
}
