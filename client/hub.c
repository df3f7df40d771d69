/* Meeting a hub: greeting, identity, and the newest checkpoints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"
#include "crypto/context.h"

#define NOTES_BYTES_MAX (CHECKPOINT_BYTES_MAX * SLOTS_MAX)
#define LOG_OPENS_AT_ONCE 32

/* What WELCOME brought, copied, because more questions follow before it is used. */
struct welcome {
    struct pubkey relay;
    uint32_t slots;
    size_t count;
    struct bytes notes[SLOTS_MAX];
    struct buf room;
};

/* ---- greeting ------------------------------------------------------------------------
 */

static stoa_result wait_open(stoa_wallet *w, uint64_t deadline, stoa_error *error)
{
    struct link_event e;
    do {
        uint64_t now = mono_ms();
        w->transport.poll(w->transport.context,
                          deadline > now ? (uint32_t)(deadline - now) : 0, &e);
        if (e.type == LINK_CLOSED)
            return because(error, ERR_NET, "%s", e.why);
        if (e.type == LINK_OPEN)
            return STOA_OK;
    } while (mono_ms() < deadline);
    return because(error, ERR_TIMEOUT, "hub did not take the connection in time");
}

static stoa_result check_challenge(stoa_wallet *w, const struct wire_frame *c,
                                   stoa_error *error)
{
    if (c->version != WIRE_VERSION)
        return because_as(error, STOA_DATA, ERR_VERSION,
                          "hub speaks version %llu, this is %d",
                          (unsigned long long)c->version, WIRE_VERSION);
    if (c->slots == 0 || c->slots > SLOTS_MAX ||
        !hub_name_ok((const char *)c->hub.data, c->hub.size))
        return because(error, ERR_FRAME, "hub's challenge is not one");
    if (!w->has_hub)
        return STOA_OK;
    if (!hash_equal(&c->federation, &w->federation) || c->slots != w->slots ||
        c->hub.size != strlen(w->hub) || memcmp(c->hub.data, w->hub, c->hub.size) != 0)
        return because(error, ERR_HELLO, "this is hub %.*s, and the wallet's hub is %s",
                       (int)c->hub.size, (const char *)c->hub.data, w->hub);
    return STOA_OK;
}

/* A device that can be unlocked says who it is; otherwise one reads anonymously. */
static const struct key *hello_key(stoa_wallet *w)
{
    const struct wallet_key *k = &w->keys[w->device];
    const struct key *key = NULL;
    if (w->flags & STOA_ANONYMOUS)
        return NULL;
    if (k->key || !k->encrypted || w->passphrase)
        if (keys_unlock(w, &k->pub, &key, NULL) != STOA_OK)
            return NULL;
    return key;
}

/* The newest checkpoints known, so that a hub restored from a backup finds out. */
static void collect_notes(stoa_wallet *w, struct welcome *known)
{
    for (uint32_t i = 0; w->has_hub && i < w->slots; i++) {
        struct bytes note;
        uint64_t seen;
        if (client_store_note_load(w->store, i, &note, &seen) != ERR_OK ||
            !buf_add(&known->room, note.data, note.size))
            continue;
        known->notes[known->count++].size = note.size;
    }
    size_t at = 0;
    for (size_t i = 0; i < known->count; i++) {
        known->notes[i].data = known->room.data + at;
        at += known->notes[i].size;
    }
}

static stoa_result say_hello(stoa_wallet *w, const struct wire_frame *c,
                             struct hash *nonce, const struct key *key, uint64_t deadline,
                             stoa_error *error)
{
    struct welcome known = {.count = 0};
    struct wire_frame f = {.type = WIRE_HELLO, .rid = ++w->rid};
    uint8_t message[MESSAGE_BYTES_MAX];
    char hub[HUB_NAME_MAX + 1];
    snprintf(hub, sizeof(hub), "%.*s", (int)c->hub.size, (const char *)c->hub.data);
    random_bytes(nonce->b, HASH_BYTES);
    f.nonce = *nonce;
    if (key) {
        f.has_device = f.has_sig = true;
        f.device = key_public(key);
        size_t n =
            hello_message(message, &c->federation, hub, &c->nonce, nonce, &f.device);
        f.sig = key_sign(key, CTX_HELLO, message, n);
    }
    collect_notes(w, &known);
    f.note_count = known.count;
    struct mp_writer m = frame_begin(w, 1024 + known.room.size + 8 * known.count);
    wire_put(&m, &f);
    for (size_t i = 0; i < known.count; i++)
        wire_put_note(&m, known.notes[i]);
    buf_close(&known.room);
    return frame_send(w, &m, deadline, error);
}

static stoa_result take_welcome(stoa_wallet *w, struct wire_frame *f, struct welcome *out,
                                stoa_error *error)
{
    out->relay = f->device;
    out->count = f->note_count;
    if (f->note_count != out->slots)
        return because(error, ERR_FRAME, "hub's welcome has not one checkpoint a slot");
    for (size_t i = 0; i < out->count; i++) {
        struct bytes note;
        wire_next_note(&f->notes, &note);
        out->notes[i].size = note.size;
        if (note.size > CHECKPOINT_BYTES_MAX * 4 ||
            !buf_add(&out->room, note.data, note.size))
            return because(error, ERR_FRAME,
                           "hub's welcome has a checkpoint that is too long");
    }
    size_t at = 0;
    for (size_t i = 0; i < out->count; i++) {
        out->notes[i].data = out->room.data ? out->room.data + at : NULL;
        at += out->notes[i].size;
    }
    (void)w;
    return STOA_OK;
}

struct meeting {
    struct hash federation, hub_nonce, nonce;
    char hub[HUB_NAME_MAX + 1];
    uint32_t slots;
    struct welcome welcome;
    struct record opened[SLOTS_MAX]; /* at a first meeting */
};

static stoa_result greet(stoa_wallet *w, struct meeting *m, uint64_t deadline,
                         stoa_error *error)
{
    struct wire_frame f;
    uint8_t message[MESSAGE_BYTES_MAX];
    TRY_R(wait_open(w, deadline, error));
    w->connected = true;
    TRY_R(rpc_wait(w, 0, WIRE_CHALLENGE, deadline, &f, error));
    TRY_R(check_challenge(w, &f, error));
    const struct key *key = hello_key(w);
    m->federation = f.federation;
    m->hub_nonce = f.nonce;
    m->slots = m->welcome.slots = (uint32_t)f.slots;
    snprintf(m->hub, sizeof(m->hub), "%.*s", (int)f.hub.size, (const char *)f.hub.data);
    TRY_R(say_hello(w, &f, &m->nonce, key, deadline, error));
    TRY_R(rpc_wait(w, w->rid, WIRE_WELCOME, deadline, &f, error));
    struct pubkey device;
    if (key)
        device = key_public(key);
    size_t n = hello_message(message, &m->federation, m->hub, &m->hub_nonce, &m->nonce,
                             key ? &device : NULL);
    if (!sig_verify(&f.sig, &f.device, CTX_WELCOME, message, n))
        return because(error, ERR_HELLO,
                       "hub's answer to our challenge is not signed by the "
                       "relay key it names");
    return take_welcome(w, &f, &m->welcome, error);
}

/* ---- identity ------------------------------------------------------------------------
 */

/* Record 0 of a slot must be what it says it is, signed by its own relay key. */
static bool log_open_fits(const struct record *r, const struct meeting *m, uint32_t slot,
                          struct hash *id)
{
    struct entry e;
    struct payload p;
    if (r->index != 0 || r->position != 0 || r->slot != slot ||
        entry_decode(&e, r->envelope.data, r->envelope.size) != ERR_OK ||
        e.kind != KIND_LOG_OPEN || !entry_verify(&e) ||
        payload_decode(&p, e.kind, e.payload) != ERR_OK)
        return false;
    const struct p_log_open *o = &p.log_open;
    *id = e.id;
    return hash_equal(&o->federation, &m->federation) && o->hub.size == strlen(m->hub) &&
           memcmp(o->hub.data, m->hub, o->hub.size) == 0 && o->slot == slot &&
           o->slots == m->slots && pubkey_equal(&o->relay, &e.device);
}

static stoa_result ask_log_open(stoa_wallet *w, uint32_t slot, uint64_t deadline,
                                uint64_t *rid, stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_FETCH,
                           .rid = ++w->rid,
                           .key = {.what = WIRE_SLOT, .slot = slot},
                           .from = 0,
                           .max = 1};
    *rid = f.rid;
    struct mp_writer m = frame_begin(w, 256);
    wire_put(&m, &f);
    return frame_send(w, &m, deadline, error);
}

/* `opens` gets the records themselves, one after the other, their sizes in m->opened. */
static stoa_result fetch_identity(stoa_wallet *w, struct meeting *m, struct hash ids[],
                                  struct buf *opens, uint64_t deadline, stoa_error *error)
{
    uint64_t rids[LOG_OPENS_AT_ONCE];
    for (uint32_t from = 0; from < m->slots; from += LOG_OPENS_AT_ONCE) {
        uint32_t n = m->slots - from;
        if (n > LOG_OPENS_AT_ONCE)
            n = LOG_OPENS_AT_ONCE;
        for (uint32_t i = 0; i < n; i++)
            TRY_R(ask_log_open(w, from + i, deadline, &rids[i], error));
        for (uint32_t i = 0; i < n; i++) {
            struct wire_frame page;
            struct record r;
            TRY_R(rpc_wait(w, rids[i], WIRE_PAGE, deadline, &page, error));
            if (page.count != 1)
                return because(error, ERR_HELLO, "hub does not show the start of slot %u",
                               from + i);
            wire_next_record(&page.list, &r);
            if (!log_open_fits(&r, m, from + i, &ids[from + i]))
                return because(error, ERR_HELLO, "slot %u does not start as its hub says",
                               from + i);
            m->opened[from + i] = r;
            if (!buf_add(opens, r.envelope.data, r.envelope.size))
                return because(error, ERR_MEMORY, "out of memory");
        }
    }
    return STOA_OK;
}

static stoa_result save_identity(stoa_wallet *w, stoa_error *error)
{
    size_t room = 256 + HUB_NAME_MAX + SLOTS_MAX * (HASH_BYTES + 2);
    struct mp_writer m = frame_begin(w, room);
    mp_array(&m, 4);
    mp_bin(&m, w->federation.b, HASH_BYTES);
    mp_str(&m, w->hub, strlen(w->hub));
    mp_uint(&m, w->slots);
    mp_array(&m, w->slots);
    for (uint32_t i = 0; i < w->slots; i++)
        mp_bin(&m, w->log_open[i].b, HASH_BYTES);
    if (m.full)
        return because(error, ERR_ROOM, "hub identity does not fit");
    TRY_S(client_store_set(w->store, "hub", bytes_of(m.data, m.size)));
    return STOA_OK;
}

/* The start of every slot names its log key: kept, so that a proof of any slot can be
 * checked without a connection. */
static stoa_result take_log_opens(stoa_wallet *w, struct meeting *m,
                                  const struct buf *opens, stoa_error *error)
{
    size_t at = 0;
    for (uint32_t i = 0; i < w->slots; i++) {
        struct slot_view *v;
        struct record *r = &m->opened[i];
        r->envelope.data = opens->data + at;
        at += r->envelope.size;
        TRY_R(slot_load(w, i, &v, error));
        if (v->row.position == 0)
            TRY_R(slot_take(w, v, r, error));
    }
    return STOA_OK;
}

static stoa_result keep_log_opens(stoa_wallet *w, struct meeting *m,
                                  const struct buf *opens, stoa_error *error)
{
    TRY_S(client_store_begin(w->store));
    stoa_result r = take_log_opens(w, m, opens, error);
    enum err e = client_store_end(w->store, r == STOA_OK);
    if (r != STOA_OK || e != ERR_OK)
        slots_close(w); /* memory is ahead of the disk */
    return r != STOA_OK || e == ERR_OK ? r : because_store(w, error, e);
}

/* First meeting: the identity is the ids of all log_opens; believe it only when it is the
 * one given, or when told to trust whom we meet first. */
static stoa_result recognise(stoa_wallet *w, struct meeting *m, const struct hash ids[],
                             stoa_error *error)
{
    char hex[65];
    struct hash fingerprint = hash_sha256(ids, m->slots * sizeof(ids[0]));
    hex_encode(hex, fingerprint.b, HASH_BYTES);
    if (w->fingerprint_wanted[0] && strcmp(hex, w->fingerprint_wanted) != 0)
        return because_as(error, STOA_NO, ERR_HELLO,
                          "hub %s has fingerprint %s, and %s was asked for", m->hub, hex,
                          w->fingerprint_wanted);
    if (!w->fingerprint_wanted[0] && !(w->flags & STOA_TRUST_FIRST_USE)) {
        stoa_result r = because_as(error, STOA_DENIED, ERR_HELLO,
                                   "hub %s is new to this wallet; its fingerprint is %s",
                                   m->hub, hex);
        because_hint(error,
                     "compare the fingerprint with one from another source, then give it "
                     "or say to trust on first use");
        return r;
    }
    memcpy(w->log_open, ids, m->slots * sizeof(ids[0]));
    w->federation = m->federation;
    w->slots = m->slots;
    w->fingerprint = fingerprint;
    memcpy(w->hub, m->hub, sizeof(w->hub));
    if (!w->met_ms) { /* a rebuilt wallet remembers how it was */
        w->first_use = !w->fingerprint_wanted[0];
        w->met_ms = w->now_ms();
    }
    stoa_result r = save_identity(w, error);
    w->has_hub = r == STOA_OK;
    return r;
}

static stoa_result meet(stoa_wallet *w, struct meeting *m, uint64_t deadline,
                        stoa_error *error)
{
    struct hash ids[SLOTS_MAX];
    struct buf opens = {0};
    stoa_result r = fetch_identity(w, m, ids, &opens, deadline, error);
    if (r == STOA_OK)
        r = recognise(w, m, ids, error);
    if (r == STOA_OK)
        r = keep_log_opens(w, m, &opens, error);
    buf_close(&opens);
    return r;
}

/* ---- connect -------------------------------------------------------------------------
 */

static stoa_result check_relay_key(stoa_wallet *w, const struct welcome *m,
                                   uint64_t deadline, stoa_error *error)
{
    struct slot_view *v;
    uint32_t slot = 0;
    for (uint32_t i = 0; i < w->slots; i++)
        if (w->slot[i] && w->slot[i]->has_note)
            slot = i;
    TRY_R(slot_need(w, slot, deadline, &v, error));
    if (!pubkey_equal(&v->f.hub.relay, &m->relay))
        TRY_R(slot_follow(w, v, deadline, error));
    if (!pubkey_equal(&v->f.hub.relay, &m->relay))
        return because(error, ERR_HELLO,
                       "hub answers with a relay key that its ledger does not name");
    w->relay = m->relay;
    return STOA_OK;
}

/* Where a checkpoint is known, the one shown must have grown out of it. */
static stoa_result check_notes(stoa_wallet *w, const struct welcome *m, uint64_t deadline,
                               stoa_error *error)
{
    for (uint32_t i = 0; i < w->slots; i++) {
        struct bytes note;
        uint64_t seen;
        struct slot_view *v;
        struct checkpoint c;
        if (client_store_note_load(w->store, i, &note, &seen) == ERR_NOT_FOUND)
            continue;
        TRY_R(slot_need(w, i, deadline, &v, error));
        TRY_R(slot_advance(w, v, m->notes[i], deadline, &c, error));
    }
    return STOA_OK;
}

static stoa_result connect_now(stoa_wallet *w, const char *url, uint64_t deadline,
                               stoa_error *error)
{
    struct meeting m;
    memset(&m, 0, sizeof(m));
    w->closed_why[0] = '\0';
    w->bye = 0;
    enum err e = w->dial(w->dial_context, url, w->ca_file, &w->transport);
    if (e != ERR_OK)
        return because(error, e, "%s is not the address of a hub (ws:// or wss://)", url);
    stoa_result r = greet(w, &m, deadline, error);
    bool first = !w->has_hub;
    if (r == STOA_OK && first)
        r = meet(w, &m, deadline, error);
    if (r == STOA_OK)
        r = check_relay_key(w, &m.welcome, deadline, error);
    if (r == STOA_OK)
        r = check_notes(w, &m.welcome, deadline, error);
    buf_close(&m.welcome.room);
    if (r == STOA_UNREACHABLE && w->bye == ERR_BEHIND)
        return because_as(error, STOA_NO, ERR_BEHIND,
                          "hub finds that it is behind or beside a checkpoint that it "
                          "signed and this wallet knows; nothing was sent");
    if (r != STOA_OK)
        return r;
    w->welcomed = true;
    for (unsigned i = 0; i < w->account_count; i++)
        if (w->accounts[i]->row.slot == UINT32_MAX)
            w->accounts[i]->row.slot = slot_of(&w->accounts[i]->row.id, w->slots);
    if (first || w->compared || strcmp(w->url, url) != 0) {
        snprintf(w->url, sizeof(w->url), "%s", url);
        r = wallet_save_card(w, error);
        w->compared = w->compared && r != STOA_OK;
    }
    return r;
}

stoa_result stoa_connect(stoa_wallet *w, const char *url, uint32_t timeout_ms,
                         stoa_error *error)
{
    uint64_t deadline = deadline_of(w, timeout_ms);
    if (w->batch)
        return because(error, ERR_USAGE, "a batch is open");
    char copy[STOA_URL_MAX];
    if (!url || !url[0])
        url = w->url;
    if (!url[0])
        return because(error, ERR_USAGE, "no hub is known yet: name its address");
    if (strlen(url) >= sizeof(copy))
        return because(error, ERR_USAGE, "address is too long");
    snprintf(copy, sizeof(copy), "%s", url);
    stoa_disconnect(w);
    stoa_result r = connect_now(w, copy, deadline, error);
    if (r != STOA_OK)
        stoa_disconnect(w);
    return r;
}

void stoa_disconnect(stoa_wallet *w)
{
    rpc_close(w);
}

bool stoa_connected(const stoa_wallet *w)
{
    return w->connected && w->welcomed;
}

/* ---- about ---------------------------------------------------------------------------
 */

stoa_result stoa_limits_get(stoa_wallet *w, stoa_limits *out, stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_LIMITS}, answer;
    TRY_R(need_connection(w, error));
    TRY_R(rpc_call(w, &f, WIRE_LIMITS_IS, deadline_of(w, 0), &answer, error));
    const struct wire_limits *l = &w->limits;
    stoa_limits v = {sizeof(v),          l->frame_bytes,      l->entry_bytes,
                     l->entries_a_frame, l->subscriptions,    l->inflight_entries,
                     l->page_records,    l->entries_a_second, l->burst,
                     l->idle_ms,         l->unsent_bytes};
    give(out, &v, sizeof(v));
    return STOA_OK;
}

stoa_result stoa_checkpoint_get(stoa_wallet *w, unsigned slot, bool ask_hub,
                                stoa_checkpoint *out, stoa_error *error)
{
    struct slot_view *v;
    struct bytes note;
    stoa_checkpoint c = {.size = sizeof(c), .slot = slot};
    if (ask_hub) {
        uint64_t deadline = deadline_of(w, 0);
        TRY_R(need_connection(w, error));
        TRY_R(slot_need(w, slot, deadline, &v, error));
        TRY_R(slot_refresh(w, v, deadline, error));
    } else {
        TRY_R(slot_load(w, slot, &v, error));
    }
    if (!v->has_note)
        return because(error, ERR_NOT_FOUND, "no checkpoint of slot %u is known yet",
                       slot);
    TRY_S(client_store_note_load(w->store, slot, &note, &c.seen_ms));
    c.tree_size = v->known.size;
    c.root = id_of(&v->known.root);
    c.note = (const char *)note.data;
    c.note_size = note.size;
    give(out, &c, sizeof(c));
    return STOA_OK;
}

bool stoa_evidence_get(stoa_wallet *w, unsigned i, stoa_evidence *out)
{
    struct client_evidence x;
    if (client_store_evidence_at(w->store, i, &x) != ERR_OK)
        return false;
    stoa_evidence v = {.size = sizeof(v),
                       .slot = x.slot,
                       .at_ms = x.at_ms,
                       .known = (const char *)x.known.data,
                       .shown = (const char *)x.shown.data,
                       .what = (const char *)x.what.data};
    give(out, &v, sizeof(v));
    return true;
}
