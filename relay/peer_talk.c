/* The link to one other relay: a thread that connects, proves itself by the hub's relay key,
 * sends what waits for that relay, and takes its answers. It sleeps in peer_link_poll and is
 * woken by peer_link_wake. A link that is lost is opened again, with backoff, as long as the relay owns
 * anything. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/context.h"
#include "ledger/trace.h"
#include "relay/clock.h"
#include "relay/peer_internal.h"

/* Connecting. */

/* One frame of the handshake; false: not in time, or another one. */
static bool expect(struct peer_link *l, uint64_t type, uint64_t until_ms, struct wire_frame *f,
                   char *why)
{
    enum peer_link_event e = PEER_LINK_OPEN;
    struct bytes frame;
    uint64_t now = clock_mono_ms();
    snprintf(why, PEER_LINK_WHY_MAX, "no answer");
    while ((e == PEER_LINK_OPEN || e == PEER_LINK_TIMEOUT) && now < until_ms) {
        e = peer_link_poll(l, (uint32_t)(until_ms - now), &frame, why);
        now = clock_mono_ms();
    }
    if (e != PEER_LINK_FRAME)
        return false;
    enum err decoded = wire_decode(f, frame.data, frame.size);
    if (decoded == ERR_OK && f->type == type)
        return true;
    snprintf(why, PEER_LINK_WHY_MAX, "%s",
             decoded == ERR_OK && f->type == WIRE_ERROR
                 ? "it does not take us for a relay of its hub"
                 : "it does not speak as a relay of this hub");
    return false;
}

static bool send_frame(struct peer_link *l, const struct wire_frame *f)
{
    uint8_t bytes[1024];
    struct mp_writer w = mp_writer_of(bytes, sizeof(bytes));
    wire_put(&w, f);
    return !w.full && peer_link_send(l, bytes_of(bytes, w.size)) == ERR_OK;
}

/* Both sides show that they hold the relay key, over both nonces, before anything is said. */
static bool greet(struct peer *w, struct peer_link *l, char *why)
{
    const struct relay *r = w->all->r;
    uint64_t until = clock_mono_ms() + PEER_HELLO_MS;
    struct wire_frame f;
    struct hash nonce;
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!expect(l, WIRE_CHALLENGE, until, &f, why))
        return false;
    if (f.version != WIRE_VERSION || !hash_equal(&f.federation, &r->federation) ||
        f.slots != r->slots || f.hub.size != strlen(r->hub) ||
        memcmp(f.hub.data, r->hub, f.hub.size) != 0) {
        snprintf(why, PEER_LINK_WHY_MAX, "another hub answers there");
        return false;
    }
    random_bytes(nonce.b, sizeof(nonce.b));
    size_t size = hello_message(message, &r->federation, r->hub, &f.nonce, &nonce,
                                &r->relay_public);
    w->mac = mac_key_shared(r->keys.relay, CTX_PEER_MAC, message, size);
    w->forwards = 0;
    struct wire_frame hello = {.type = WIRE_HELLO,
                               .rid = 1,
                               .nonce = nonce,
                               .has_device = true,
                               .device = r->relay_public,
                               .has_sig = true,
                               .sig = key_sign(r->keys.relay, CTX_PEER, message, size)};
    if (!w->mac || !send_frame(l, &hello)) {
        snprintf(why, PEER_LINK_WHY_MAX, "no memory");
        return false;
    }
    if (!expect(l, WIRE_WELCOME, until, &f, why))
        return false;
    if (pubkey_equal(&f.device, &r->relay_public) &&
        sig_verify(&f.sig, &f.device, CTX_WELCOME, message, size))
        return true;
    snprintf(why, PEER_LINK_WHY_MAX, "it does not hold the hub's relay key");
    return false;
}

/* Sending. */

static size_t put_question(struct peer *w, const struct peer_item *i, uint64_t rid)
{
    struct mp_writer m = mp_writer_of(w->inner, PEER_INNER_BYTES);
    wire_put(&m, &(struct wire_frame){.type = i->type,
                                      .rid = rid,
                                      .id = i->id,
                                      .has_device = i->has_key,
                                      .device = i->key});
    return m.full ? 0 : m.size;
}

static size_t put_entries(struct peer *w, struct forward_item *const items[], size_t count,
                          uint64_t rid)
{
    struct mp_writer m = mp_writer_of(w->inner, PEER_INNER_BYTES);
    wire_put(&m, &(struct wire_frame){.type = WIRE_SUBMIT,
                                      .rid = rid,
                                      .flags = items[0]->group ? WIRE_SUBMIT_SETTLED : 0,
                                      .count = count});
    for (size_t i = 0; i < count; i++) {
        const struct peer_item *item = (const struct peer_item *)items[i];
        wire_put_envelope(&m, bytes_of(item->envelope, item->size));
    }
    return m.full ? 0 : m.size;
}

/* The next frame for it into w->inner; its size, 0: nothing to send now. */
static size_t next_frame(struct peer *w, struct wire_frame *outer)
{
    struct peers *p = w->all;
    struct forward_item *items[FORWARD_BATCH_ENTRIES];
    uint64_t rid;
    size_t size = 0;
    pthread_mutex_lock(&p->lock);
    size_t n = forward_batch(p->core, w->number, clock_mono_ms(), items, &rid);
    if (n > 0 && items[0]->question) {
        const struct peer_item *i = (const struct peer_item *)items[0];
        outer->has_device = i->has_device;
        outer->device = i->device;
        size = put_question(w, i, rid);
    } else if (n > 0) {
        size = put_entries(w, items, n, rid);
    }
    pthread_mutex_unlock(&p->lock);
    outer->data = bytes_of(w->inner, size);
    return size;
}

/* False: the link is no good any more. */
static bool send_waiting(struct peer *w, struct peer_link *l)
{
    while (peer_link_unsent(l) < PEER_UNSENT_MAX) {
        struct wire_frame outer = {.type = WIRE_FORWARD};
        struct hash_part parts[FORWARD_PARTS];
        if (next_frame(w, &outer) == 0)
            return true;
        forward_parts(parts, &outer);
        outer.id = mac_make(w->mac, w->forwards++, parts, FORWARD_PARTS);
        struct mp_writer m = mp_writer_of(w->outer, WIRE_FRAME_MAX);
        wire_put(&m, &outer);
        if (m.full || peer_link_send(l, bytes_of(w->outer, m.size)) != ERR_OK)
            return false;
    }
    return true;
}

/* Receiving. */

static enum metric_forward outcome(enum err code)
{
    return code == ERR_OK            ? M_FORWARD_ACCEPTED
           : code == ERR_BUSY        ? M_FORWARD_BUSY
           : code == ERR_UNAVAILABLE ? M_FORWARD_UNAVAILABLE
                                     : M_FORWARD_REFUSED;
}

static enum err code_of(uint64_t number)
{
    enum err code;
    if (number == 0)
        return ERR_OK;
    return err_from_number(number, &code) ? code : ERR_FRAME; /* a newer relay's word */
}

static void on_results(struct peer *w, const struct wire_frame *f)
{
    struct peers *p = w->all;
    struct mp_reader list = f->list;
    size_t count = 0;
    uint64_t now = clock_mono_ms();
    pthread_mutex_lock(&p->lock);
    for (size_t k = 0; k < f->count; k++) {
        struct peer_got *g = &w->got[count];
        wire_next_result(&list, &g->result);
        struct forward_item *item =
            forward_find(p->core, w->number, g->result.rid, g->result.i);
        if (!item || item->question ||
            !forward_answered(p->core, w->number, item, code_of(g->result.code), now))
            continue;
        g->item = (struct peer_item *)item;
        g->order = (uint32_t)count++;
        peer_left(p, g->item);
    }
    peer_hand_own(p, now);
    pthread_mutex_unlock(&p->lock);
    for (size_t k = 0; k < count; k++)
        metrics_count(p->r->metrics, METRIC_FORWARDED,
                      outcome(code_of(w->got[k].result.code)), 1);
    peer_answer_results(p, f, w->got, count);
}

static void on_answer(struct peer *w, struct wire_frame *f)
{
    struct peers *p = w->all;
    enum err code = f->type == WIRE_ERROR ? code_of(f->code) : ERR_OK;
    pthread_mutex_lock(&p->lock);
    struct forward_item *item = forward_find(p->core, w->number, f->rid, 0);
    if (item && (!item->question || !forward_answered(p->core, w->number, item, code,
                                                      clock_mono_ms())))
        item = NULL;
    if (item)
        peer_left(p, (struct peer_item *)item);
    pthread_mutex_unlock(&p->lock);
    if (item)
        peer_answer_question(p, (struct peer_item *)item, f);
}

/* False: that is no answer of a relay. */
static bool on_frame(struct peer *w, struct bytes frame)
{
    struct wire_frame f;
    if (wire_decode(&f, frame.data, frame.size) != ERR_OK)
        return false;
    switch (f.type) {
    case WIRE_RESULTS:
        on_results(w, &f);
        return true;
    case WIRE_SETTLED:
        peer_answer_settled(w->all, &f);
        return true;
    case WIRE_HEAD_IS:
    case WIRE_SETTLEMENT_IS:
    case WIRE_ERROR:
        on_answer(w, &f);
        return true;
    case WIRE_LIMITS_IS:
    case WIRE_BYE:
        return true; /* the close that follows says enough */
    default:
        return false;
    }
}

/* The thread. */

/* Under the lock: is it time to go? */
static bool is_done(struct peer *w)
{
    return !w->used && forward_load_of(w->all->core, (int)w->number)->items == 0 &&
           w->all->core->peer[w->number].flying == 0 &&
           clock_mono_ms() - w->unused_ms >= PEER_RETIRE_MS;
}

static bool look_around(struct peer *w, uint32_t *wait_ms)
{
    struct peers *p = w->all;
    struct forward_item *late;
    uint64_t now = clock_mono_ms();
    pthread_mutex_lock(&p->lock);
    forward_tick(p->core, now);
    peer_hand_own(p, now);
    late = peer_take_late(p, now);
    bool waiting = forward_load_of(p->core, (int)w->number)->items > 0;
    bool done = is_done(w);
    pthread_mutex_unlock(&p->lock);
    peer_say_late(p, late);
    *wait_ms = waiting ? FORWARD_AGAIN_MS : PEER_POLL_MS;
    return !done && !atomic_load(&p->stopping);
}

static void set_link(struct peer *w, struct peer_link *l, bool up)
{
    struct peers *p = w->all;
    pthread_mutex_lock(&p->lock);
    w->link = l;
    forward_link(p->core, w->number, up);
    if (!up)
        peer_hand_own(p, clock_mono_ms());
    pthread_mutex_unlock(&p->lock);
}

/* Until the link is lost, or there is no need of it. */
static void serve(struct peer *w, struct peer_link *l, char *why)
{
    enum peer_link_event e = PEER_LINK_TIMEOUT;
    struct bytes frame;
    uint32_t wait_ms = 0;
    snprintf(why, PEER_LINK_WHY_MAX, "it is not needed any more");
    while (e != PEER_LINK_CLOSED) {
        if (e == PEER_LINK_FRAME && !on_frame(w, frame)) {
            snprintf(why, PEER_LINK_WHY_MAX, "it does not speak as a relay of this hub");
            return;
        }
        if (e == PEER_LINK_TIMEOUT && !look_around(w, &wait_ms))
            return;
        if (!send_waiting(w, l)) {
            snprintf(why, PEER_LINK_WHY_MAX, "the link takes nothing more");
            return;
        }
        e = peer_link_poll(l, wait_ms, &frame, why);
    }
}

/* One connection, from its opening to its end. True: it was good for something. */
static bool converse(struct peer *w)
{
    char why[PEER_LINK_WHY_MAX] = "no memory, or no such address";
    struct peer_link *l = NULL;
    bool up = false;
    /* The relays of a hub speak alike: TLS at all of their ports, or at none. */
    const struct relay_config *c = settings(w->all->r);
    struct peer_link_options o = {.address = w->address,
                                  .tls = c->tls.certificate[0] != '\0',
                                  .ca_file = c->tls.ca_file[0] ? c->tls.ca_file : NULL,
                                  .ping_ms = PEER_PING_MS};
    if (peer_link_open(&l, &o) == ERR_OK && greet(w, l, why)) {
        up = true;
        trace(TRACE_INFO, "peer.up", TRACE_STR("relay", w->relay),
              TRACE_STR("address", w->address));
        set_link(w, l, true);
        serve(w, l, why);
        set_link(w, NULL, false);
    }
    if (!atomic_load(&w->all->stopping))
        trace(TRACE_WARN, "peer.down", TRACE_STR("relay", w->relay),
              TRACE_STR("address", w->address), TRACE_BOOL("was_up", up),
              TRACE_STR("why", why));
    peer_link_close(l);
    mac_key_free(w->mac);
    w->mac = NULL;
    return up;
}

/* Before it connects again. False: no need to. */
static bool wait_backoff(struct peer *w, uint64_t ms)
{
    struct peers *p = w->all;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&p->lock);
    while (!atomic_load(&p->stopping) && !is_done(w) &&
           pthread_cond_timedwait(&p->moved, &p->lock, &until) != ETIMEDOUT)
        ;
    bool on = !atomic_load(&p->stopping) && !is_done(w);
    w->finished = !on;
    pthread_mutex_unlock(&p->lock);
    return on;
}

void *peer_thread(void *context)
{
    struct peer *w = context;
    uint64_t backoff = PEER_BACKOFF_MS;
    w->inner = malloc(PEER_INNER_BYTES);
    w->outer = malloc(WIRE_FRAME_MAX);
    w->got = calloc(WIRE_ENTRIES_MAX, sizeof(*w->got));
    bool room = w->inner && w->outer && w->got;
    do {
        if (room && converse(w))
            backoff = PEER_BACKOFF_MS;
        else if (backoff < PEER_BACKOFF_MAX_MS)
            backoff *= 2;
    } while (wait_backoff(w, backoff));
    free(w->inner);
    free(w->outer);
    free(w->got);
    return NULL;
}
