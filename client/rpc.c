/* Questions and answers over one connection, in order of need: an answer is waited for by
 * its rid, and what comes unasked is kept until somebody wants it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"

#define SMALL_FRAME 4096
#define BUSY_POLL_MS 50

/* ---- the real transport --------------------------------------------------------------
 */

static enum err link_transport_send(void *context, const void *frame, size_t size)
{
    return link_send(context, frame, size);
}

static void link_transport_poll(void *context, uint32_t timeout_ms,
                                struct link_event *out)
{
    link_poll(context, timeout_ms, out);
}

static void link_transport_close(void *context)
{
    link_close(context, LINGER_MS);
}

enum err link_dial(void *context, const char *url, const char *ca_file,
                   struct transport *out)
{
    (void)context;
    struct link *l;
    struct link_options o = {.url = url,
                             .ca_file = ca_file && ca_file[0] ? ca_file : NULL};
    TRY(link_open(&l, &o));
    *out = (struct transport){l, link_transport_send, link_transport_poll,
                              link_transport_close};
    return ERR_OK;
}

/* ---- frames out ----------------------------------------------------------------------
 */

struct mp_writer frame_begin(stoa_wallet *w, size_t room)
{
    buf_clear(&w->frame);
    if (!buf_reserve(&w->frame, room))
        return mp_writer_of(NULL, 0);
    return mp_writer_of(w->frame.data, w->frame.cap);
}

static stoa_result lost(stoa_wallet *w, stoa_error *error)
{
    w->connected = false;
    return because(error, ERR_NET, "%s",
                   w->closed_why[0] ? w->closed_why : "connection was lost");
}

static bool is_unasked(uint64_t type)
{
    return type == WIRE_RESULTS || type == WIRE_SETTLED || type == WIRE_RECORDS ||
           type == WIRE_ERROR;
}

/* Is this an answer to a question asked after `rid`, and so somebody's soon? */
static bool is_early(const stoa_wallet *w, const struct wire_frame *f, uint64_t rid)
{
    switch (f->type) {
    case WIRE_PAGE:
    case WIRE_PROOF_IS:
    case WIRE_CHECKPOINT_IS:
    case WIRE_HEAD_IS:
    case WIRE_SETTLEMENT_IS:
    case WIRE_SEALED_IS:
    case WIRE_OK:
        return f->rid > rid && f->rid <= w->rid;
    default:
        return false;
    }
}

static bool keep(stoa_wallet *w, struct bytes frame)
{
    struct kept *k = malloc(sizeof(*k) + frame.size);
    if (!k)
        return false;
    k->next = NULL;
    k->size = frame.size;
    memcpy(k->data, frame.data, frame.size);
    if (w->kept_last)
        w->kept_last->next = k;
    else
        w->kept = k;
    w->kept_last = k;
    return true;
}

/* One event. STOA_OK with f->type == UINT64_MAX: nothing within the time. */
static stoa_result pump(stoa_wallet *w, uint64_t deadline, struct wire_frame *f,
                        struct bytes *frame, stoa_error *error)
{
    struct link_event e;
    uint64_t now = mono_ms();
    uint64_t left = deadline > now ? deadline - now : 0;
    w->transport.poll(w->transport.context,
                      left > UINT32_MAX ? UINT32_MAX : (uint32_t)left, &e);
    f->type = UINT64_MAX;
    *frame = bytes_of(NULL, 0);
    if (e.type == LINK_CLOSED) {
        if (!w->closed_why[0])
            snprintf(w->closed_why, sizeof(w->closed_why), "%s", e.why);
        return lost(w, error);
    }
    if (e.type != LINK_FRAME)
        return STOA_OK;
    if (wire_decode(f, e.frame.data, e.frame.size) != ERR_OK) {
        snprintf(w->closed_why, sizeof(w->closed_why),
                 "hub sent a frame that does not decode");
        return lost(w, error);
    }
    *frame = e.frame;
    if (f->type == WIRE_LIMITS_IS || f->type == WIRE_CHALLENGE)
        w->limits = f->limits;
    if (f->type == WIRE_BYE)
        w->bye = f->code;
    if (f->type == WIRE_BYE)
        snprintf(w->closed_why, sizeof(w->closed_why), "hub says goodbye: %.*s",
                 (int)f->text.size, (const char *)f->text.data);
    return STOA_OK;
}

stoa_result frame_send(stoa_wallet *w, const struct mp_writer *m, uint64_t deadline,
                       stoa_error *error)
{
    if (m->full || !m->data)
        return because(error, ERR_MEMORY, "frame does not fit");
    for (;;) {
        if (!w->connected)
            return lost(w, error);
        enum err e = w->transport.send(w->transport.context, m->data, m->size);
        if (e == ERR_OK)
            return STOA_OK;
        if (e != ERR_BUSY) {
            if (e == ERR_NET)
                return lost(w, error);
            return because(error, e, "frame was not sent: %s", err_text(e));
        }
        if (mono_ms() >= deadline)
            return because(error, ERR_TIMEOUT, "hub takes nothing in");
        struct wire_frame f;
        struct bytes frame;
        TRY_R(pump(w, mono_ms() + BUSY_POLL_MS, &f, &frame, error));
        if ((is_unasked(f.type) || is_early(w, &f, 0)) && !keep(w, frame))
            return because(error, ERR_MEMORY, "out of memory");
    }
}

/* ---- frames in -----------------------------------------------------------------------
 */

static stoa_result refused(const struct wire_frame *f, stoa_error *error)
{
    enum err code;
    if (!err_from_number(f->code, &code) || code == ERR_OK)
        code = ERR_FRAME;
    stoa_result r = because(error, code, "hub says: %.*s", (int)f->text.size,
                            f->text.size ? (const char *)f->text.data : "");
    if (error)
        error->retry_after_ms = f->retry_after_ms;
    return r;
}

static void unlink_kept(stoa_wallet *w, struct kept **at, struct kept *before)
{
    struct kept *k = *at;
    *at = k->next;
    if (w->kept_last == k)
        w->kept_last = before;
}

/* A hub answers several questions in any order: an answer that came while an earlier one
 * was waited for. */
static bool take_answer(stoa_wallet *w, uint64_t rid, uint64_t type,
                        struct wire_frame *out)
{
    struct kept **at = &w->kept, *before = NULL;
    for (; *at; before = *at, at = &(*at)->next) {
        if (wire_decode(out, (*at)->data, (*at)->size) != ERR_OK || out->rid != rid ||
            (out->type != type && out->type != WIRE_ERROR))
            continue;
        w->answer = *at;
        unlink_kept(w, at, before);
        return true;
    }
    return false;
}

stoa_result rpc_wait(stoa_wallet *w, uint64_t rid, uint64_t type, uint64_t deadline,
                     struct wire_frame *out, stoa_error *error)
{
    struct bytes frame;
    free(w->answer);
    w->answer = NULL;
    if (type != WIRE_CHALLENGE && take_answer(w, rid, type, out))
        return out->type == type ? STOA_OK : refused(out, error);
    for (;;) {
        TRY_R(pump(w, deadline, out, &frame, error));
        if (out->type == UINT64_MAX) {
            if (mono_ms() >= deadline)
                return because(error, ERR_TIMEOUT, "hub did not answer in time");
            continue;
        }
        if (out->type == type && (type == WIRE_CHALLENGE || out->rid == rid))
            return STOA_OK;
        if (out->type == WIRE_ERROR && (out->rid == rid || out->rid == 0))
            return refused(out, error);
        if ((is_unasked(out->type) || is_early(w, out, rid)) && !keep(w, frame))
            return because(error, ERR_MEMORY, "out of memory");
    }
}

stoa_result rpc_call(stoa_wallet *w, struct wire_frame *f, uint64_t answer,
                     uint64_t deadline, struct wire_frame *out, stoa_error *error)
{
    f->rid = ++w->rid;
    struct mp_writer m = frame_begin(w, SMALL_FRAME + f->data.size + f->note.size);
    wire_put(&m, f);
    TRY_R(frame_send(w, &m, deadline, error));
    return rpc_wait(w, f->rid, answer, deadline, out, error);
}

static struct kept *take_kept(stoa_wallet *w, uint64_t type, uint64_t type2,
                              struct wire_frame *out)
{
    struct kept **at = &w->kept, *before = NULL;
    for (; *at; before = *at, at = &(*at)->next) {
        if (wire_decode(out, (*at)->data, (*at)->size) != ERR_OK)
            continue;
        if (out->type != type && out->type != type2)
            continue;
        struct kept *k = *at;
        unlink_kept(w, at, before);
        return k;
    }
    return NULL;
}

stoa_result rpc_next(stoa_wallet *w, uint64_t type, uint64_t type2, uint64_t deadline,
                     struct kept **kept, struct wire_frame *out, stoa_error *error)
{
    struct bytes frame;
    for (;;) {
        *kept = take_kept(w, type, type2, out);
        if (*kept)
            return STOA_OK;
        TRY_R(need_connection(w, error));
        TRY_R(pump(w, deadline, out, &frame, error));
        if (is_unasked(out->type) && !keep(w, frame))
            return because(error, ERR_MEMORY, "out of memory");
        if (out->type == UINT64_MAX && mono_ms() >= deadline)
            return because(error, ERR_TIMEOUT, "nothing came in time");
    }
}

void rpc_forget(stoa_wallet *w)
{
    free(w->answer);
    w->answer = NULL;
    while (w->kept) {
        struct kept *k = w->kept;
        w->kept = k->next;
        free(k);
    }
    w->kept_last = NULL;
}

void rpc_close(stoa_wallet *w)
{
    if (w->transport.close)
        w->transport.close(w->transport.context);
    memset(&w->transport, 0, sizeof(w->transport));
    w->connected = false;
    w->welcomed = false;
    rpc_forget(w);
}

stoa_result need_connection(stoa_wallet *w, stoa_error *error)
{
    if (w->batch)
        return because(error, ERR_USAGE, "a batch is open: nothing is sent until it ends");
    if (w->connected)
        return STOA_OK;
    if (w->closed_why[0])
        return lost(w, error);
    return because(error, ERR_NET, "not connected to a hub");
}
