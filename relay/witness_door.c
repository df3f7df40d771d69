#include "relay/witness_door.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/policy.h"
#include "federation/lines.h"
#include "federation/rate.h"
#include "federation/witness.h"
#include "federation/witness_store.h"
#include "ledger/evidence.h"
#include "ledger/failpoint.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/evidence_file.h"
#include "relay/policy_file.h"
#include "relay/relay.h"

#define TEXT "text/plain; charset=utf-8"
#define SIZE_TYPE "text/x.tlog.size"
#define PATH_ROOM 600

/* What stands on disk of one log; the thread alone writes, under the lock. */
struct witnessed {
    struct hash name; /* SHA-256 of the origin */
    struct witness_state at;
    uint64_t time;
    size_t note_size;
    char note[WITNESS_NOTE_MAX];
};
struct posted {
    struct link link;
    conn_id conn;
    size_t size;
    uint8_t body[];
};
struct witness_door {
    struct relay *r;
    struct policy *policy;
    struct vkey self;
    struct witness_store *store;
    pthread_mutex_t lock;
    struct witnessed *logs; /* one a log of the policy */
    struct rate rate;       /* loop thread */
    struct queue in;
    atomic_size_t waiting;
    pthread_t thread;
    bool running;
};

/* An answer under construction. */
struct reply {
    unsigned status;
    const char *type;
    size_t size;
    char text[LINE_BYTES_MAX];
};

static void say(struct reply *a, unsigned status, const char *why)
{
    a->status = status;
    a->type = TEXT;
    a->size = (size_t)snprintf(a->text, sizeof(a->text), "%s", why);
}

static void count(struct witness_door *d, unsigned status)
{
    enum metric_witnessed m = status == WITNESS_COSIGN      ? M_WITNESSED_COSIGNED
                              : status == WITNESS_MALFORMED ? M_WITNESSED_MALFORMED
                              : status == WITNESS_UNSIGNED  ? M_WITNESSED_UNSIGNED
                              : status == WITNESS_UNKNOWN   ? M_WITNESSED_UNKNOWN
                              : status == WITNESS_CONFLICT  ? M_WITNESSED_CONFLICT
                              : status == WITNESS_REFUSED   ? M_WITNESSED_REFUSED
                              : status == 413 || status == 429 || status == 503
                                  ? M_WITNESSED_LIMITED
                                  : M_WITNESSED_FAILED;
    metrics_count(d->r->metrics, METRIC_WITNESSED, m, 1);
}

/* Two notes of one size that differ stand alone: a file that anybody can check. */
static void write_evidence(struct witness_door *d, const struct witnessed *w,
                           const struct vkey *log, const struct witness_request *q)
{
    struct buf file = {0};
    char name[EVIDENCE_NAME_MAX] = "";
    enum err e = evidence_fork(&file, log, bytes_of(w->note, w->note_size), q->note, NULL, 0);
    if (e == ERR_OK)
        e = evidence_file_keep(settings(d->r)->hub.state_dir, "fork",
                               bytes_of(file.data, file.size), name);
    buf_close(&file);
    trace(TRACE_ERROR, "witness.evidence", TRACE_STR("origin", log->name),
          TRACE_STR("file", name), TRACE_ERR("kept", e));
}

/* What the log signed and we do not cosign is kept before the answer goes out. */
static void keep_refused(struct witness_door *d, const struct witnessed *w,
                         const struct vkey *log, const struct witness_request *q,
                         const struct witness_verdict *v)
{
    const struct checkpoint *c = &v->checkpoint;
    struct witness_refusal r = {.origin = c->origin,
                                .size = c->size,
                                .root = c->root,
                                .time_ms = clock_wall_ms(),
                                .fork = v->fork,
                                .ours = bytes_of(w->note, w->note_size),
                                .theirs = q->note};
    enum err e = witness_store_refuse(d->store, &r);
    if (v->fork && (e == ERR_OK || e == ERR_LIMIT))
        metrics_count(d->r->metrics, METRIC_WITNESS_FORKS, 0, 1);
    if (e == ERR_EXISTS)
        return;
    trace(v->fork ? TRACE_ERROR : TRACE_WARN, v->fork ? "witness.fork" : "witness.refused",
          TRACE_STR("origin", c->origin), TRACE_U64("size", c->size),
          TRACE_HASH("root", &c->root), TRACE_U64("cosigned", w->at.size),
          TRACE_ERR("kept", e));
    if (v->fork && e == ERR_OK)
        write_evidence(d, w, log, q);
}

/* Text, the log's line, our line: durable, then known to readers. */
static void cosign(struct witness_door *d, struct witnessed *w, const struct vkey *log,
                   const struct witness_request *q, const struct witness_verdict *v,
                   struct reply *a)
{
    char note[WITNESS_NOTE_MAX];
    struct signed_line theirs;
    uint64_t now = clock_wall_ms() / 1000;
    const char *text = (const char *)v->text.data;
    size_t skip = v->text.size + 1, size = 0;
    struct bytes lines = bytes_of(q->note.data + skip, q->note.size - skip);
    a->size = note_cosign_line(a->text, sizeof(a->text), text, v->text.size, now, &d->self,
                               d->r->keys.cosigner);
    if (a->size == 0 || !line_find(&theirs, v->text, lines, log) ||
        skip + theirs.text.size + a->size > sizeof(note)) {
        say(a, 500, "the checkpoint cannot be cosigned here\n");
        return;
    }
    memcpy(note, q->note.data, skip);
    size = skip;
    memcpy(note + size, theirs.text.data, theirs.text.size);
    size += theirs.text.size;
    memcpy(note + size, a->text, a->size);
    size += a->size;
    struct witness_row row = {.origin = v->checkpoint.origin,
                              .size = v->checkpoint.size,
                              .root = v->checkpoint.root,
                              .time = now,
                              .note = bytes_of(note, size)};
    enum err e = witness_store_swap(d->store, w->at.size, &w->at.root, &row);
    FP("witness.stored");
    if (e != ERR_OK) {
        trace(TRACE_ERROR, "witness.not_stored", TRACE_ERR("why", e),
              TRACE_STR("origin", row.origin));
        say(a, 503, "this witness cannot write; nothing was cosigned\n");
        return;
    }
    pthread_mutex_lock(&d->lock);
    w->at = (struct witness_state){.size = row.size, .root = row.root};
    w->time = now;
    w->note_size = size;
    memcpy(w->note, note, size);
    pthread_mutex_unlock(&d->lock);
    a->status = WITNESS_COSIGN;
    a->type = TEXT;
}

static void answer(struct witness_door *d, struct bytes body, struct reply *a)
{
    struct witness_request q;
    struct witness_verdict v;
    char origin[NOTE_NAME_MAX + 1];
    size_t number;
    if (!witness_request_parse(&q, body)) {
        say(a, WITNESS_MALFORMED, "the request is not an add-checkpoint request\n");
        return;
    }
    if (!witness_request_origin(&q, origin)) {
        say(a, WITNESS_MALFORMED, "the checkpoint has no origin\n");
        return;
    }
    bool known = policy_log_find(d->policy, origin, &number);
    struct witness_state never = witness_never();
    struct witnessed *w = known ? &d->logs[number] : NULL;
    const struct vkey *log = known ? &d->policy->logs[number].key : NULL;
    witness_judge(&v, &q, log, known ? &w->at : &never);
    if (known && v.is_signed && (v.fork || v.status == WITNESS_REFUSED))
        keep_refused(d, w, log, &q, &v);
    if (v.status == WITNESS_COSIGN) {
        cosign(d, w, log, &q, &v, a);
    } else if (v.status == WITNESS_CONFLICT) {
        a->status = WITNESS_CONFLICT;
        a->type = SIZE_TYPE;
        a->size = (size_t)snprintf(a->text, sizeof(a->text), "%llu\n",
                                   (unsigned long long)w->at.size);
    } else {
        say(a, v.status, v.why);
    }
}

static void serve(struct witness_door *d, const struct posted *p)
{
    struct reply a = {0};
    struct mail *m = mail_new(MAIL_WITNESS, p->conn);
    answer(d, bytes_of(p->body, p->size), &a);
    count(d, a.status);
    if (!m)
        return;
    m->status = a.status;
    m->type = a.type;
    m->frame = frame_new(a.size);
    if (m->frame) {
        memcpy(frame_data(m->frame), a.text, a.size);
        m->frame->size = (uint32_t)a.size;
    } else {
        m->status = 500;
    }
    relay_mail_one(d->r, m);
}

static void *door_thread(void *context)
{
    struct witness_door *d = context;
    struct chain_of_links got;
    while (queue_take(&d->in, &got, 1, 1000)) {
        struct posted *p = (struct posted *)links_pop(&got);
        if (!p)
            continue;
        atomic_fetch_sub(&d->waiting, 1u);
        serve(d, p);
        free(p);
    }
    return NULL;
}

unsigned witness_door_post(struct witness_door *d, conn_id conn, const struct ws_address *a,
                           struct bytes body)
{
    if (!d)
        return 404;
    const struct relay_config *c = settings(d->r);
    unsigned status = 0;
    struct posted *p = NULL;
    if (!rate_take(&d->rate, a->b, c->witness.requests_a_second, c->witness.burst,
                   clock_mono_ms()))
        status = 429;
    else if (body.size > WITNESS_BODY_MAX)
        status = 413;
    else if (atomic_load(&d->waiting) >= WITNESS_WAITING_MAX ||
             !(p = malloc(sizeof(*p) + body.size)))
        status = 503;
    if (status) {
        count(d, status);
        return status;
    }
    *p = (struct posted){.conn = conn, .size = body.size};
    if (body.size)
        memcpy(p->body, body.data, body.size);
    atomic_fetch_add(&d->waiting, 1u);
    queue_put_one(&d->in, &p->link);
    return 0;
}

size_t witness_door_checkpoint(struct witness_door *d, const char *hex,
                               char out[WITNESS_NOTE_MAX])
{
    struct hash name;
    size_t size = 0;
    if (!d || !hex_decode(name.b, HASH_BYTES, hex, strlen(hex)))
        return 0;
    for (size_t i = 0; i < d->policy->log_count; i++) {
        if (!hash_equal(&d->logs[i].name, &name))
            continue;
        pthread_mutex_lock(&d->lock);
        size = d->logs[i].note_size;
        memcpy(out, d->logs[i].note, size);
        pthread_mutex_unlock(&d->lock);
        return size;
    }
    return 0;
}

bool witness_door_log(struct witness_door *d, size_t i, struct witness_door_log *out)
{
    if (!d || i >= d->policy->log_count)
        return false;
    pthread_mutex_lock(&d->lock);
    *out = (struct witness_door_log){.origin = d->policy->logs[i].key.name,
                                     .size = d->logs[i].at.size,
                                     .time = d->logs[i].time};
    pthread_mutex_unlock(&d->lock);
    return true;
}

const struct vkey *witness_door_vkey(const struct witness_door *d)
{
    return &d->self;
}

/* Logs that left the policy keep their rows: they may come back. */
static void load_row(void *context, const struct witness_row *row)
{
    struct witness_door *d = context;
    size_t number;
    if (!policy_log_find(d->policy, row->origin, &number) ||
        row->note.size > WITNESS_NOTE_MAX)
        return;
    struct witnessed *w = &d->logs[number];
    w->at = (struct witness_state){.size = row->size, .root = row->root};
    w->time = row->time;
    w->note_size = row->note.size;
    memcpy(w->note, row->note.data, row->note.size);
}

static enum err load(struct witness_door *d, char *why)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof(path), "%s/" WITNESS_FILE, settings(d->r)->hub.state_dir);
    d->logs = calloc(d->policy->log_count ? d->policy->log_count : 1, sizeof(*d->logs));
    if (!d->logs)
        return ERR_MEMORY;
    for (size_t i = 0; i < d->policy->log_count; i++) {
        const char *origin = d->policy->logs[i].key.name;
        d->logs[i].name = hash_sha256(origin, strlen(origin));
        d->logs[i].at = witness_never();
    }
    TRY(witness_store_open(&d->store, path, why));
    return witness_store_each(d->store, load_row, d);
}

static enum err prepare(struct witness_door *d, char *why)
{
    struct relay *r = d->r;
    char name[NOTE_NAME_MAX + 1];
    if (r->memory) {
        snprintf(why, WITNESS_DOOR_WHY_MAX,
                 "witness.logs is set, and a hub in memory would forget what it cosigned");
        return ERR_CONFIG;
    }
    if (!r->keys.cosigner) {
        snprintf(why, WITNESS_DOOR_WHY_MAX,
                 "witness.logs is set, and there is no cosigner.key in %.300s: make one "
                 "with stoactl key new cosigner",
                 settings(r)->hub.keys_dir);
        return ERR_CONFIG;
    }
    int n = snprintf(name, sizeof(name), COSIGNER_NAME, r->hub);
    struct pubkey key = key_public(r->keys.cosigner);
    if (n < 0 || (size_t)n >= sizeof(name) ||
        !vkey_make(&d->self, name, NOTE_COSIGNATURE, &key)) {
        snprintf(why, WITNESS_DOOR_WHY_MAX, "hub.name is too long for a key name");
        return ERR_CONFIG;
    }
    TRY(policy_file_read(&d->policy, settings(r)->witness.logs, why,
                         WITNESS_DOOR_WHY_MAX));
    return load(d, why);
}

enum err witness_door_open(struct witness_door **out, struct relay *r, char *why)
{
    *out = NULL;
    why[0] = 0;
    if (!settings(r)->witness.logs[0])
        return ERR_OK;
    struct witness_door *d = calloc(1, sizeof(*d));
    if (!d)
        return ERR_MEMORY;
    d->r = r;
    random_bytes(&d->rate.seed, sizeof(d->rate.seed));
    pthread_mutex_init(&d->lock, NULL);
    queue_init(&d->in);
    enum err e = prepare(d, why);
    if (e == ERR_OK && pthread_create(&d->thread, NULL, door_thread, d) != 0)
        e = ERR_MEMORY;
    d->running = e == ERR_OK;
    if (e != ERR_OK) {
        witness_door_close(d);
        return e;
    }
    *out = d;
    return ERR_OK;
}

void witness_door_close(struct witness_door *d)
{
    if (!d)
        return;
    queue_end(&d->in);
    if (d->running)
        pthread_join(d->thread, NULL);
    queue_close(&d->in);
    witness_store_close(d->store);
    pthread_mutex_destroy(&d->lock);
    free(d->logs);
    free(d->policy);
    free(d);
}
