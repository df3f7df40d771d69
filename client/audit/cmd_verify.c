/* verify, replay, reproduce: an audit, its report, and its repetition. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/audit/cli.h"
#include "client/audit/engine.h"

#define NAME_DEFAULT "auditor"
#define NOTE_TEXT "stoa-audit report v1\n"

/* The checkpoints that were audited, as they were when they were. */
struct audited {
    struct buf note[SLOTS_MAX];
    bool failed;
};

static void on_audited(void *context, uint32_t slot, struct bytes note)
{
    struct audited *a = context;
    buf_clear(&a->note[slot]);
    a->failed = a->failed || !buf_add(&a->note[slot], note.data, note.size);
}

static void audited_close(struct audited *a)
{
    for (size_t i = 0; a && i < SLOTS_MAX; i++)
        buf_close(&a->note[i]);
    free(a);
}

/* What a run leaves in the folder of its report, beside the four files: the checkpoints it was
 * made of, so that it can be made again when the hub has gone on. */
static enum err keep_checkpoints(const struct audited *a, const char *dir,
                                 char why[AUDIT_WHY_MAX])
{
    char folder[600], name[8];
    if (a->failed)
        return ERR_MEMORY;
    snprintf(folder, sizeof(folder), "%.580s/checkpoints", dir);
    TRY(audit_folder(folder, why));
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        if (a->note[i].size == 0)
            continue;
        snprintf(name, sizeof(name), "%02x", (unsigned)i);
        TRY(audit_write(folder, name, a->note[i].data, a->note[i].size, why));
    }
    return ERR_OK;
}

/* A C2SP signed note over the report's hash: who vouches for having made it. */
static int sign_report(struct audit_cli *c, const char *dir, const struct buf *json)
{
    const char *path = c->value[AUDIT_OPT_KEY], *why_secret = NULL;
    const char *name = audit_given(c, AUDIT_OPT_NAME) ? c->value[AUDIT_OPT_NAME] : NAME_DEFAULT;
    char text[256], note[1024], hash[2 * HASH_BYTES + 1], why[AUDIT_WHY_MAX];
    struct key *k = NULL;
    struct vkey v;
    if (!path)
        return EXIT_GOOD;
    char *secret = NULL;
    if (audit_given(c, AUDIT_OPT_PASSPHRASE)) {
        secret = passphrase_read(c->value[AUDIT_OPT_PASSPHRASE], "passphrase of the key: ",
                                 false, &why_secret);
        if (!secret)
            return audit_error(c, EXIT_CONFIG, NULL, "%s", why_secret);
    }
    enum keyfile_result result = keyfile_load(path, &k, NULL, secret);
    secret_free(secret);
    if (result != KEYFILE_OK)
        return audit_error(c, EXIT_CONFIG, "--passphrase file:PATH or tty", "%s: %s", path,
                           keyfile_result_text(result));
    struct pubkey pub = key_public(k);
    struct hash h = hash_sha256(json->data, json->size);
    hex_encode(hash, h.b, HASH_BYTES);
    int n = snprintf(text, sizeof(text), NOTE_TEXT "report.json sha256 %s\n", hash);
    size_t size = vkey_make(&v, name, NOTE_ED25519, &pub)
                      ? note_sign(note, sizeof(note), text, (size_t)n, &v, k)
                      : 0;
    key_free(k);
    if (size == 0)
        return audit_error(c, EXIT_BAD_USAGE, "--name audit.example",
                           "\"%.64s\" cannot be the name of a key", name);
    if (audit_write(dir, "report.note", note, size, why) != ERR_OK)
        return audit_error(c, EXIT_BAD_DATA, NULL, "%s", why);
    return EXIT_GOOD;
}

static int write_report(struct audit_cli *c, const struct audited *a,
                        const struct audit_report *r)
{
    static const struct {
        const char *name;
        enum err (*make)(const struct audit_report *r, struct buf *out);
    } files[] = {{"report.json", audit_report_json},
                 {"report.txt", audit_report_text},
                 {"report.html", audit_report_html}};
    const char *dir = c->value[AUDIT_OPT_REPORT];
    char why[AUDIT_WHY_MAX] = "out of memory";
    struct buf json = {0};
    if (!dir)
        return EXIT_GOOD;
    enum err e = audit_folder(dir, why);
    for (size_t i = 0; i < sizeof files / sizeof files[0] && e == ERR_OK; i++) {
        struct buf b = {0};
        e = files[i].make(r, &b);
        if (e == ERR_OK)
            e = audit_write(dir, files[i].name, b.data, b.size, why);
        if (i == 0)
            json = b;
        else
            buf_close(&b);
    }
    if (e == ERR_OK)
        e = keep_checkpoints(a, dir, why);
    int code = e == ERR_OK ? sign_report(c, dir, &json)
                           : audit_error(c, EXIT_BAD_DATA, NULL, "%s", why);
    buf_close(&json);
    return code;
}

static int show(struct audit_cli *c, const struct audit_report *r)
{
    struct buf b = {0};
    enum err e = audit_given(c, AUDIT_OPT_JSON) ? audit_report_json(r, &b)
                                                : audit_report_text(r, &b);
    if (e == ERR_OK)
        fwrite(b.data, 1, b.size, stdout);
    buf_close(&b);
    return e == ERR_OK && fflush(stdout) == 0 ? audit_exit(r) : EXIT_OUR_BUG;
}

static int run(struct audit_cli *c, bool no_signatures)
{
    int code = EXIT_BAD_USAGE;
    char why[AUDIT_WHY_MAX], evidence[600];
    struct audit_options o;
    struct audit_report *r = calloc(1, sizeof(*r));
    struct audited *a = calloc(1, sizeof(*a));
    struct audit_source *s = r && a ? audit_source(c, c->args[0], &code) : NULL;
    struct policy *p = s ? audit_policy(c, s, &code) : NULL;
    memset(&o, 0, sizeof(o));
    if (p && audit_options_of(c, &o)) {
        o.audited = on_audited;
        o.audited_context = a;
        o.policy = p;
        o.no_signatures = no_signatures;
        if (!o.evidence_dir && audit_given(c, AUDIT_OPT_REPORT)) {
            snprintf(evidence, sizeof(evidence), "%.580s/evidence",
                     c->value[AUDIT_OPT_REPORT]);
            if (audit_folder(c->value[AUDIT_OPT_REPORT], why) == ERR_OK)
                o.evidence_dir = evidence;
        }
        enum err e = audit_run(s, &o, r, why);
        audit_progress_end(c);
        if (e != ERR_OK) {
            code = audit_error(c, audit_exit_of(e), NULL, "%s", why[0] ? why : err_text(e));
        } else {
            int wrote = write_report(c, a, r);
            code = show(c, r);
            if (wrote != EXIT_GOOD)
                code = wrote;
        }
    }
    audit_options_free(&o);
    audited_close(a);
    free(p);
    if (s)
        s->ops->close(s);
    free(r);
    return code;
}

int audit_cmd_verify(struct audit_cli *c)
{
    return run(c, false);
}

int audit_cmd_replay(struct audit_cli *c)
{
    return run(c, true);
}

/* ---- reproduce ---------------------------------------------------------------------------
 */

/* A source that shows the checkpoints a report was made of. */
struct again {
    struct audit_source base;
    struct audit_source_ops ops;
    struct audit_source *under;
    char dir[560];
};

static struct again *again_of(struct audit_source *s)
{
    return (struct again *)(void *)s;
}
static const char *again_where(const struct audit_source *s, uint32_t slot)
{
    return audit_source_where(((const struct again *)(const void *)s)->under, slot);
}
static enum err again_slots(struct audit_source *s, uint32_t out[], size_t *count)
{
    struct audit_source *u = again_of(s)->under;
    return u->ops->slots(u, out, count);
}
static enum err again_checkpoint(struct audit_source *s, uint32_t slot, struct buf *note)
{
    struct again *a = again_of(s);
    char path[600], room[4096];
    snprintf(path, sizeof(path), "%.560s/%02x", a->dir, (unsigned)slot);
    FILE *f = fopen(path, "rbe");
    if (!f)
        return a->under->ops->checkpoint(a->under, slot, note);
    size_t n;
    bool ok = true;
    while (ok && (n = fread(room, 1, sizeof(room), f)) > 0)
        ok = note->size + n <= NOTE_BYTES_MAX && buf_add(note, room, n);
    fclose(f);
    return ok ? ERR_OK : ERR_MEMORY;
}
static enum err again_later(struct audit_source *s, uint32_t slot, struct buf *note)
{
    return audit_source_later(again_of(s)->under, slot, note);
}
static enum err again_read(struct audit_source *s, uint32_t slot, uint64_t from,
                           tree_size size, struct audit_record out[], size_t max,
                           size_t *count, void **hold)
{
    struct audit_source *u = again_of(s)->under;
    return u->ops->read(u, slot, from, size, out, max, count, hold);
}
static void again_release(struct audit_source *s, void *hold)
{
    struct audit_source *u = again_of(s)->under;
    u->ops->release(u, hold);
}
static enum err again_tile(struct audit_source *s, uint32_t slot, unsigned level,
                           uint64_t n, unsigned width, struct hash out[TILE_HASHES],
                           struct hash *root)
{
    struct audit_source *u = again_of(s)->under;
    return u->ops->tile(u, slot, level, n, width, out, root);
}
static enum err again_identity(struct audit_source *s, struct hash *federation,
                               char hub[HUB_NAME_MAX + 1], uint32_t *slots)
{
    struct audit_source *u = again_of(s)->under;
    return u->ops->identity(u, federation, hub, slots);
}

static void again_open(struct again *a, struct audit_source *under, const char *report)
{
    const char *slash = strrchr(report, '/');
    memset(a, 0, sizeof(*a));
    a->under = under;
    snprintf(a->dir, sizeof(a->dir), "%.*s%scheckpoints",
             slash ? (int)(slash + 1 - report) : 0, report, "");
    /* No frontier: what is kept now is of a later checkpoint. */
    a->ops = (struct audit_source_ops){
        .where = again_where,
        .slots = again_slots,
        .checkpoint = again_checkpoint,
        .later = again_later,
        .read = again_read,
        .release = again_release,
        .tile = under->ops->tile ? again_tile : NULL,
        .identity = under->ops->identity ? again_identity : NULL};
    a->base = *under;
    a->base.ops = &a->ops;
}

static bool is_tip(const struct buf *json)
{
    json_error_t why;
    json_t *o = json_loadb((const char *)json->data, json->size, 0, &why);
    const char *mode = json_string_value(json_object_get(o, "mode"));
    bool tip = mode && strcmp(mode, "tip") == 0;
    json_decref(o);
    return tip;
}

int audit_cmd_reproduce(struct audit_cli *c)
{
    int code = EXIT_BAD_USAGE;
    char why[AUDIT_WHY_MAX];
    struct buf old = {0}, fresh = {0};
    struct again again;
    struct audit_options o;
    memset(&o, 0, sizeof(o));
    if (!audit_file(c, c->args[0], CLI_FILE_MAX, &old))
        return EXIT_BAD_DATA;
    struct audit_report *r = calloc(1, sizeof(*r));
    struct audit_source *s = r ? audit_source(c, c->args[1], &code) : NULL;
    struct policy *p = s ? audit_policy(c, s, &code) : NULL;
    if (p && audit_options_of(c, &o)) {
        o.policy = p;
        o.state_dir = NULL;
        if (is_tip(&old))
            o.mode = AUDIT_TIP;
        again_open(&again, s, c->args[0]);
        enum err e = audit_run(&again.base, &o, r, why);
        audit_progress_end(c);
        if (e == ERR_OK)
            e = audit_report_json(r, &fresh);
        if (e != ERR_OK) {
            code = audit_error(c, audit_exit_of(e), NULL, "%s", why[0] ? why : err_text(e));
        } else if (!r->complete && audit_exit(r) == EXIT_UNFINISHED) {
            printf("not finished: checked %" PRIu64 " of %" PRIu64 "\n", r->checked,
                   r->records);
            code = EXIT_UNFINISHED;
        } else {
            bool same = fresh.size == old.size && memcmp(fresh.data, old.data, old.size) == 0;
            printf("%s\n", same ? "reproduced: the same report, byte for byte"
                                : "NOT reproduced: this source gives another report");
            code = same ? EXIT_GOOD : EXIT_FINDING;
        }
    }
    audit_options_free(&o);
    buf_close(&old);
    buf_close(&fresh);
    free(p);
    if (s)
        s->ops->close(s);
    free(r);
    return code;
}
