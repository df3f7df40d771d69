#include "relay/work.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_FRAME_BYTES 1024u
#define MAIL_RESERVE 64

struct job *job_new(uint32_t count)
{
    struct job *j = calloc(1, sizeof(*j) + count * sizeof(j->items[0]));
    if (!j)
        return NULL;
    j->work.kind = WORK_JOB;
    j->count = count;
    for (uint32_t i = 0; i < count; i++)
        j->items[i].job = j;
    return j;
}

void job_drop(struct job *j)
{
    if (!j)
        return;
    frame_drop(j->frame);
    free(j);
}

void region_batch_drop(struct region_batch *b)
{
    if (!b)
        return;
    free(b->items);
    free(b->sent);
    free(b->jumps);
    free(b);
}

struct request *request_new(enum request_kind kind, conn_id conn)
{
    struct request *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->work.kind = WORK_REQUEST;
    r->kind = kind;
    r->conn = conn;
    return r;
}

void request_drop(struct request *r)
{
    if (!r)
        return;
    frame_drop(r->frame);
    free(r->lookups);
    region_batch_drop(r->channel);
    free(r);
}

/* A mail carries the count of what it answers; were it lost for want of memory, that
 * would count as under way for ever, and a drain would wait for it. So some are kept. */
static struct {
    pthread_mutex_t lock;
    bool taken[MAIL_RESERVE];
    struct mail mail[MAIL_RESERVE];
} reserve = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct mail *reserve_take(void)
{
    struct mail *m = NULL;
    pthread_mutex_lock(&reserve.lock);
    for (size_t i = 0; i < MAIL_RESERVE && !m; i++)
        if (!reserve.taken[i]) {
            reserve.taken[i] = true;
            m = &reserve.mail[i];
        }
    pthread_mutex_unlock(&reserve.lock);
    if (m)
        memset(m, 0, sizeof(*m));
    return m;
}

static bool reserve_give(const struct mail *m)
{
    if (m < reserve.mail || m >= reserve.mail + MAIL_RESERVE)
        return false;
    pthread_mutex_lock(&reserve.lock);
    reserve.taken[m - reserve.mail] = false;
    pthread_mutex_unlock(&reserve.lock);
    return true;
}

struct mail *mail_new(enum mail_kind kind, conn_id conn)
{
    struct mail *m = calloc(1, sizeof(*m));
    if (!m)
        m = reserve_take();
    if (!m)
        return NULL;
    m->kind = kind;
    m->conn = conn;
    return m;
}

void mail_drop(struct mail *m)
{
    if (!m)
        return;
    frame_drop(m->frame);
    event_drop(m->event);
    if (!reserve_give(m))
        free(m);
}

void event_drop(struct event *e)
{
    if (!e)
        return;
    free(e->records);
    free(e->block);
    free(e);
}

struct frame *frame_of(const struct wire_frame *f)
{
    size_t cap = SMALL_FRAME_BYTES + f->path.size + f->note.size + f->data.size;
    struct frame *out = frame_new(cap);
    if (!out)
        return NULL;
    struct mp_writer w = frame_writer(out);
    wire_put(&w, f);
    if (w.full) {
        frame_drop(out);
        return NULL;
    }
    out->size = (uint32_t)w.size;
    return out;
}

static struct bytes text_of(enum err code)
{
    const char *text = err_text(code);
    return bytes_of(text, strlen(text));
}

struct frame *frame_error(uint64_t rid, enum err code, uint64_t retry_after_ms)
{
    return frame_of(&(struct wire_frame){.type = WIRE_ERROR,
                                         .rid = rid,
                                         .code = (uint64_t)code,
                                         .text = text_of(code),
                                         .retry_after_ms = retry_after_ms});
}

struct frame *frame_bye(enum err code, uint64_t retry_after_ms)
{
    return frame_of(&(struct wire_frame){.type = WIRE_BYE,
                                         .code = (uint64_t)code,
                                         .text = text_of(code),
                                         .retry_after_ms = retry_after_ms});
}
