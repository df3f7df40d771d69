#include "client/audit/watch.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/diff.h"
#include "client/audit/engine.h"
#include "client/audit/export_hold.h"
#include "client/audit/fetch_evidence.h"

#define NOTE_FILE "seen/%02x.note"
#define TELL_MAX 16 /* findings told one by one in a round; more are counted */

/* One look at one source. */
struct look {
    struct watch *w;
    struct watched *s;
    struct audit_source *source;
    struct audit_report *report;
    uint64_t now_ms;
    bool grew, forked, answered;
    char *why; /* of our own disk */
};

static bool cancelled(const struct watch *w)
{
    return w->cancel && __atomic_load_n(w->cancel, __ATOMIC_RELAXED);
}

/* ---- telling ------------------------------------------------------------------------- */

__attribute__((format(printf, 6, 7))) static enum err
tell(struct look *k, enum watch_event event, int slot, const struct audit_finding *f,
     const char *evidence, const char *format, ...)
{
    struct watch_told t = {
        .event = event, .slot = slot, .finding = f, .evidence = evidence};
    va_list list;
    va_start(list, format);
    vsnprintf(t.summary, sizeof(t.summary), format, list);
    va_end(list);
    return watch_tell(k->w, k->s, &t, k->why);
}

/* Was this told before? Remembers it; the oldest is forgotten first. */
static bool told_before(struct watched *s, const void *data, size_t size)
{
    struct hash h = hash_sha256(data, size);
    for (size_t i = 0; i < s->told_count; i++)
        if (hash_equal(&s->told[i], &h))
            return true;
    if (s->told_count == WATCH_TOLD_MAX) {
        memmove(s->told, s->told + 1, (WATCH_TOLD_MAX - 1) * sizeof(s->told[0]));
        s->told_count--;
    }
    s->told[s->told_count++] = h;
    return false;
}

/* ---- checkpoints --------------------------------------------------------------------- */

static uint64_t newest_cosignature_ms(const struct watch *w, const struct policy_verdict *v)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < w->policy->witness_count; i++)
        if (v->witnesses >> i & 1 && v->times[i] > newest)
            newest = v->times[i];
    return newest < UINT64_MAX / 1000 ? newest * 1000 : 0;
}

/* A checkpoint that is not acceptable: told when it begins. */
static enum err bad_checkpoint(struct look *k, uint32_t slot, const char *what)
{
    struct watch_log *l = &k->s->logs[slot];
    if (l->bad)
        return ERR_OK;
    l->bad = true;
    return tell(k, WATCH_FINDING, (int)slot, NULL, "", "%.150s slot %02x: its checkpoint %s",
                k->s->where, (unsigned)slot, what);
}

static enum err fork_found(struct look *k, uint32_t slot, const struct policy_verdict *v,
                           const struct buf *note, const struct buf *kept,
                           struct diff_log *log)
{
    char name[FETCH_EVIDENCE_NAME_MAX] = "";
    const struct watch_log *l = &k->s->logs[slot];
    bool larger = v->checkpoint.size >= l->size;
    struct bytes a = bytes_of(kept->data, kept->size), b = bytes_of(note->data, note->size);
    const struct fetch_evidence_of pair = {
        .folder = FETCH_EVIDENCE "/",
        .log = &k->w->policy->logs[v->log].key,
        .small = larger ? a : b,
        .large = larger ? b : a,
        .small_size = larger ? l->size : v->checkpoint.size,
        .tree = log && log->tree.size > 0 ? &log->tree : NULL};
    k->forked = k->s->fork = true;
    enum err e = fetch_evidence_write(&k->s->dir, &pair, name);
    if (e == ERR_FILE || e == ERR_STORE_FULL || e == ERR_MEMORY)
        return e;
    if (told_before(k->s, name, strlen(name)))
        return ERR_OK;
    return tell(k, WATCH_FORK, (int)slot, NULL, name,
                "%.120s: FORK of %.120s: signed sizes %" PRIu64 " and %" PRIu64
                " cannot both be true",
                k->s->where, l->origin, l->size, v->checkpoint.size);
}

/* Does the checkpoint go with the one kept? *fork; ERR_NOT_FOUND: cannot be told now. */
static enum err goes_with(struct look *k, uint32_t slot, const struct checkpoint *c,
                          struct diff_log *log, bool *fork)
{
    const struct watch_log *l = &k->s->logs[slot];
    struct hash root;
    *fork = false;
    if (c->size == l->size) {
        *fork = !hash_equal(&c->root, &l->root);
        return ERR_OK;
    }
    bool larger = c->size > l->size;
    enum err e = diff_log_open(log, k->source, slot, larger ? c->size : l->size,
                               larger ? &c->root : &l->root);
    if (e == ERR_OK)
        e = fetch_tree_root(&log->tree, larger ? l->size : c->size, &root);
    if (e == ERR_OK)
        *fork = !hash_equal(&root, larger ? &l->root : &c->root);
    return e;
}

static enum err keep(struct look *k, uint32_t slot, const struct policy_verdict *v,
                     const struct buf *note)
{
    char path[FETCH_PATH_MAX];
    struct watch_log *l = &k->s->logs[slot];
    const struct checkpoint *c = &v->checkpoint;
    uint64_t cosigned = newest_cosignature_ms(k->w, v);
    bool grew = !l->known || c->size > l->size;
    l->bad = false;
    if (grew) {
        snprintf(path, sizeof(path), NOTE_FILE, (unsigned)slot);
        TRY(folder_put(&k->s->dir, path, bytes_of(note->data, note->size), true, k->why));
        l->known = true;
        memcpy(l->origin, c->origin, sizeof(l->origin));
        l->size = c->size;
        l->root = c->root;
        k->grew = true;
        k->s->audited = false;
    }
    uint64_t life = k->w->policy->witness_count == 0 || grew ? k->now_ms : cosigned;
    if (life > k->now_ms)
        life = k->now_ms; /* a witness whose clock is ahead */
    if (life > l->life_ms)
        l->life_ms = life;
    return ERR_OK;
}

static enum err judge_note(struct look *k, uint32_t slot, const struct buf *note,
                           struct policy_verdict *v, struct diff_log *log)
{
    char path[FETCH_PATH_MAX];
    struct buf kept = {0};
    bool fork;
    struct watch_log *l = &k->s->logs[slot];
    policy_check(k->w->policy, (const char *)note->data, note->size, v);
    if (v->note != NOTE_OK)
        return bad_checkpoint(k, slot, "is not signed by a log of the policy");
    if (l->known && strcmp(l->origin, v->checkpoint.origin) != 0)
        return bad_checkpoint(k, slot, "is of another log than before");
    if (l->known) {
        enum err e = goes_with(k, slot, &v->checkpoint, log, &fork);
        if (e == ERR_CORRUPT)
            return bad_checkpoint(k, slot, "is signed, but the tiles do not lead to its root");
        if (e != ERR_OK) {
            k->s->incomplete = true; /* not a sign of life either */
            return e == ERR_MEMORY ? e : ERR_OK;
        }
        if (fork) {
            snprintf(path, sizeof(path), NOTE_FILE, (unsigned)slot);
            e = fetch_read(&k->s->dir, path, &kept);
            if (e == ERR_OK)
                e = fork_found(k, slot, v, note, &kept, log);
            buf_close(&kept);
            return e;
        }
        if (v->checkpoint.size < l->size)
            return ERR_OK; /* an older one: true, but nothing new */
    }
    if (!v->quorum)
        return bad_checkpoint(k, slot, "lacks cosignatures that the policy's quorum asks for");
    return keep(k, slot, v, note);
}

static enum err look_at_slot(struct look *k, uint32_t slot, struct policy_verdict *v,
                             struct diff_log *log)
{
    struct buf note = {0};
    memset(log, 0, sizeof(*log));
    enum err e = k->source->ops->checkpoint(k->source, slot, &note);
    if (e == ERR_OK) {
        k->answered = true;
        e = judge_note(k, slot, &note, v, log);
    } else if (e == ERR_NOT_FOUND) {
        e = ERR_OK; /* one that was there before falls silent */
    } else if (e != ERR_MEMORY) {
        k->s->unreachable = true;
        snprintf(k->s->why, sizeof(k->s->why), "%.390s", audit_source_where(k->source, slot));
        e = ERR_OK;
    }
    buf_close(&note);
    return e;
}

static enum err look_at_all(struct look *k)
{
    bool named[SLOTS_MAX] = {false};
    struct policy_verdict *v = malloc(sizeof(*v));
    struct diff_log *log = malloc(sizeof(*log));
    enum err e = v && log ? ERR_OK : ERR_MEMORY;
    for (size_t i = 0; i < k->w->policy->log_count; i++) {
        const char *origin = k->w->policy->logs[i].key.name;
        size_t n = strlen(origin);
        uint8_t slot;
        if (n > 3 && origin[n - 3] == '/' && hex_decode(&slot, 1, origin + n - 2, 2))
            named[slot] = true;
    }
    for (uint32_t i = 0; i < SLOTS_MAX && e == ERR_OK; i++) {
        if (named[i])
            e = look_at_slot(k, i, v, log);
        /* Five tries of one request are answer enough for this round. */
        if (k->s->unreachable || cancelled(k->w))
            break;
    }
    free(log);
    free(v);
    return e;
}

/* ---- records ------------------------------------------------------------------------- */

static enum err tell_findings(struct look *k)
{
    const struct audit_report *r = k->report;
    size_t told = 0, more = 0;
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct audit_finding *f = &r->findings[i];
        char key[512];
        if (f->severity != AUDIT_CRITICAL)
            continue;
        k->s->finding = true;
        int n = snprintf(key, sizeof(key), "%d %u %" PRIu64 " %s", (int)f->check,
                         (unsigned)f->slot, f->index, f->text);
        if (told_before(k->s, key, (size_t)n < sizeof(key) ? (size_t)n : sizeof(key) - 1))
            continue;
        if (++told > TELL_MAX) {
            more++;
            continue;
        }
        TRY(tell(k, WATCH_FINDING, f->slot < SLOTS_MAX ? (int)f->slot : -1, f, f->evidence,
                 "%.100s: A%d %s: %s", k->s->where, AUDIT_FINDING_FIRST + (int)f->check,
                 audit_check_word(f->check), f->text));
    }
    if (more > 0)
        return tell(k, WATCH_FINDING, -1, NULL, "", "%.200s: %zu findings more in this round",
                    k->s->where, more);
    return ERR_OK;
}

static enum err audit_suffix(struct look *k)
{
    char state[700], evidence[700], why[AUDIT_WHY_MAX];
    struct audit_options o = k->w->audit;
    if (k->s->audited || k->forked || !k->answered || k->s->unreachable)
        return ERR_OK;
    snprintf(state, sizeof(state), "%.580s/%s/audit", k->w->state_dir, k->s->folder);
    snprintf(evidence, sizeof(evidence), "%.580s/%s/evidence", k->w->state_dir, k->s->folder);
    o.policy = k->w->policy;
    o.state_dir = state;
    o.evidence_dir = evidence;
    enum err e = audit_run(k->source, &o, k->report, why);
    if (e != ERR_OK) {
        k->s->incomplete = true;
        snprintf(k->s->why, sizeof(k->s->why), "%s", why[0] ? why : err_text(e));
        return e == ERR_MEMORY ? e : ERR_OK;
    }
    k->s->audited = k->report->complete;
    k->s->incomplete = k->s->incomplete || !k->report->complete;
    return tell_findings(k);
}

/* ---- silence ------------------------------------------------------------------------- */

static enum err judge_silence(struct look *k)
{
    struct watched *s = k->s;
    uint64_t life = UINT64_MAX;
    int worst = -1;
    for (unsigned i = 0; i < SLOTS_MAX; i++)
        if (s->logs[i].known && s->logs[i].life_ms < life) {
            life = s->logs[i].life_ms;
            worst = (int)i;
        }
    if (worst < 0)
        life = s->began_ms;
    bool stale = k->now_ms > life && k->now_ms - life > k->w->max_silence_ms;
    if (stale && !s->stale) {
        s->stale = true;
        return tell(k, WATCH_STALE, worst, NULL, "", "%.150s: nothing fresh for %" PRIu64 " s%s%.150s",
                    s->where, (k->now_ms - life) / 1000, s->why[0] ? ": " : "", s->why);
    }
    if (!stale && s->stale) {
        s->stale = false;
        return tell(k, WATCH_RECOVERED, worst, NULL, "", "%.200s: shows fresh checkpoints again",
                    s->where);
    }
    return ERR_OK;
}

static enum err heartbeat(struct look *k)
{
    struct watched *s = k->s;
    size_t logs = 0;
    uint64_t records = 0;
    if (s->unreachable || k->now_ms - s->heartbeat_ms < WATCH_HEARTBEAT_MS)
        return ERR_OK;
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        logs += s->logs[i].known;
        records += s->logs[i].size;
    }
    s->heartbeat_ms = k->now_ms;
    return tell(k, WATCH_HEARTBEAT, -1, NULL, "", "%.200s: %zu logs, %" PRIu64 " records%s%s%s",
                s->where, logs, records, s->fork ? ", FORK" : "",
                watch_has_finding(s) ? ", findings" : "", s->stale ? ", stale" : "");
}

static enum err look_at(struct watch *w, struct watched *s, char why[AUDIT_WHY_MAX])
{
    char said[AUDIT_WHY_MAX] = "";
    struct audit_source *inner = NULL;
    struct look k = {.w = w, .s = s, .now_ms = watch_now_ms(), .why = why};
    s->unreachable = s->incomplete = false;
    s->why[0] = 0;
    k.report = calloc(1, sizeof(*k.report));
    if (!k.report)
        return ERR_MEMORY;
    enum err e = audit_source_open(&inner, s->where, &w->source, said);
    if (e == ERR_OK) {
        e = export_hold(&k.source, inner);
        if (e == ERR_OK)
            e = look_at_all(&k);
        if (e == ERR_OK && !cancelled(w))
            e = audit_suffix(&k);
        if (k.source)
            k.source->ops->close(k.source);
    } else {
        s->unreachable = true;
        snprintf(s->why, sizeof(s->why), "%s", said[0] ? said : err_text(e));
        e = e == ERR_MEMORY ? e : ERR_OK;
    }
    free(k.report);
    k.report = NULL;
    s->unreachable = s->unreachable || !k.answered;
    if (e == ERR_OK && !cancelled(w))
        e = judge_silence(&k);
    if (e == ERR_OK && !cancelled(w))
        e = heartbeat(&k);
    if (e == ERR_OK)
        e = watch_save(s, why);
    return e;
}

/* ---- all ----------------------------------------------------------------------------- */

static void folder_of(const char *where, char out[80])
{
    char tag[9];
    struct hash h = hash_sha256(where, strlen(where));
    const char *from = strstr(where, "://");
    size_t n = 0;
    hex_encode(tag, h.b, 4);
    for (from = from ? from + 3 : where; *from && n < 60; from++)
        out[n++] = isalnum((unsigned char)*from) ? *from : '-';
    snprintf(out + n, 80 - n, "-%s", tag);
}

enum err watch_open(struct watch *w, char *const where[], size_t count,
                    char why[AUDIT_WHY_MAX])
{
    char path[700];
    w->sources = calloc(count, sizeof(*w->sources));
    if (!w->sources)
        return ERR_MEMORY;
    TRY(audit_folder(w->state_dir, why));
    for (size_t i = 0; i < count; i++)
        w->sources[i].dir.fd = -1;
    for (size_t i = 0; i < count; i++) {
        struct watched *s = &w->sources[i];
        s->where = where[i];
        folder_of(where[i], s->folder);
        snprintf(path, sizeof(path), "%.600s/%s", w->state_dir, s->folder);
        w->count = i + 1;
        TRY(folder_open(&s->dir, path, why));
        enum err e = watch_load(s);
        if (e != ERR_OK) {
            snprintf(why, AUDIT_WHY_MAX,
                     "%.300s/watch.json cannot be read; move it away to begin anew", path);
            return e;
        }
    }
    return ERR_OK;
}

void watch_close(struct watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        folder_close(&w->sources[i].dir);
    free(w->sources);
    w->sources = NULL;
    w->count = 0;
}

enum err watch_round(struct watch *w, char why[AUDIT_WHY_MAX])
{
    for (size_t i = 0; i < w->count && !cancelled(w); i++)
        TRY(look_at(w, &w->sources[i], why));
    w->rounds++;
    return watch_prometheus(w, why);
}

bool watch_has_finding(const struct watched *s)
{
    bool found = s->finding;
    for (size_t i = 0; i < SLOTS_MAX; i++)
        found = found || s->logs[i].bad;
    return found;
}

int watch_exit(const struct watch *w)
{
    int code = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *s = &w->sources[i];
        if (s->fork || s->stale || watch_has_finding(s))
            return 1;
        if (s->unreachable)
            code = 69;
        else if (s->incomplete && code == 0)
            code = 2;
    }
    return code;
}
