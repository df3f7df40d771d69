/* What a device makes of an answer. */
#include <string.h>

#include "crypto/context.h"
#include "town.h"

static bool is_waiting(const struct peer *p, uint32_t entry, uint32_t *at)
{
    for (uint32_t i = 0; i < p->now.window_count; i++)
        if (p->now.window[i] == entry) {
            *at = i;
            return true;
        }
    return false;
}

/* A receipt proves itself: PROTOCOL.md "Receipts". */
static void check_receipt(struct world *w, const struct peer *p,
                          const struct sim_entry *e, const struct wire_result *r,
                          const struct checkpoint *at)
{
    uint8_t leaf[LEAF_BYTES];
    struct hash path[MERKLE_PATH_MAX];
    struct hash content = hash_sha256(e->bytes, e->size);
    memcpy(leaf, content.b, 32);
    memcpy(leaf + 32, r->account_head.b, 32);
    for (int i = 0; i < 8; i++) {
        leaf[64 + i] = (uint8_t)(r->hub_lamport >> (56 - 8 * i));
        leaf[72 + i] = (uint8_t)(r->hub_time_ms >> (56 - 8 * i));
    }
    struct hash leaf_hash = hash_leaf(leaf, sizeof leaf);
    memcpy(path, r->path.data, r->path.size);
    if (!merkle_verify_inclusion(r->index, at->size, &leaf_hash, path,
                                 r->path.size / HASH_BYTES, &at->root))
        fail(w, "%s gets a receipt that proves nothing", p->actor.name);
    const char *why =
        model_check_ack(p->site->model, (uint32_t)r->slot, r->index, &e->id);
    if (why != NULL)
        fail(w, "%s: %s", p->actor.name, why);
}

/* ---- accepted ---- */

static void begin_device(struct world *w, const struct peer *p, const struct sim_entry *e,
                         uint64_t lamport)
{
    struct town *t = town_of(w);
    if (e->adds == 0 || t->peer_count >= t->peers_max)
        return;
    struct peer *d = peer_add(w, p->site, p->group, e->adds);
    d->state = PEER_LIVE;
    d->now.chain = (struct chain){.next_seq = 0, .tip = e->id, .tip_lamport = lamport};
}

static void on_accepted(struct world *w, struct peer *p, uint32_t n,
                        const struct wire_result *r, const struct checkpoint *at)
{
    struct town *t = town_of(w);
    struct sim_entry *e = &t->entries[n];
    uint32_t i;
    check_receipt(w, p, e, r, at);
    if (!e->told) {
        e->told = true;
        static struct entry d;
        if (entry_decode(&d, e->bytes, e->size) != ERR_OK)
            fail(w, "an accepted entry does not decode");
        begin_device(w, p, e, d.lamport);
    }
    if (e->kind == KIND_OPEN)
        t->groups[p->group].open = true;
    if (p->state == PEER_OPENING && (e->kind == KIND_OPEN || e->kind == KIND_MEMBER_ADD))
        p->state = PEER_LIVE;
    if (!is_waiting(p, n, &i))
        return;
    p->now.window_count--;
    memmove(&p->now.window[i], &p->now.window[i + 1],
            (p->now.window_count - i) * sizeof p->now.window[0]);
}

/* ---- refused ---- */

/* Start again from the head: what is not in the log under it never will be, unless an old
 * copy comes late, and then the next refusal says so. */
static void rebase(struct world *w, struct peer *p, uint32_t at,
                   const struct wire_result *r)
{
    const struct sim_entry *e = &town_of(w)->entries[p->now.window[at]];
    if (r->has_head) {
        p->now.window_count = 0;
        p->now.chain = (struct chain){
            .next_seq = r->next_seq, .tip = r->tip, .tip_lamport = r->tip_lamport};
    } else {
        p->now.window_count = at;
        p->now.chain = e->before;
    }
    w->stats.rebased++;
}

static void check_signed(struct world *w, const struct peer *p, const struct sim_entry *e,
                         const struct wire_result *r)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = refusal_message(message, &e->id, r->code, r->hub_time_ms);
    if (!r->has_sig)
        return;
    struct pubkey now = key_public(p->site->hub.config.relay);
    if (sig_verify(&r->sig, &now, CTX_REFUSAL, message, size))
        return;
    for (uint32_t n = 1 + p->site->number * 1000; n < p->site->next_key; n++) {
        struct pubkey key = pub_at(n);
        if (model_was_relay(p->site->model, &key) &&
            sig_verify(&r->sig, &key, CTX_REFUSAL, message, size))
            return;
    }
    fail(w, "%s gets a refusal nobody signed", p->actor.name);
}

static void on_refused(struct world *w, struct peer *p, uint32_t n,
                       const struct wire_result *r)
{
    struct town *t = town_of(w);
    const struct sim_entry *e = &t->entries[n];
    enum err code;
    uint32_t at;
    if (!err_from_number(r->code, &code))
        fail(w, "a refusal without a name");
    if (e->known && r->code >= 110 && r->code <= 159)
        check_signed(w, p, e, r);
    if (!is_waiting(p, n, &at))
        return;
    if (err_retry(code) == ERR_RETRY_SAME && code != ERR_RECOVERY_EARLY)
        return;
    /* With a head it is about the device it names; without one, about the writer. */
    if (!r->has_head && (code == ERR_DEVICE_REVOKED || code == ERR_DEVICE_UNKNOWN)) {
        say(w, "%s hears that it is %s", p->actor.name, err_word(code));
        p->state = PEER_DEAD;
        p->now.window_count = 0;
    } else if (p->state == PEER_OPENING) {
        if (e->kind == KIND_OPEN)
            return; /* it cannot be; in the end it is held against the hub */
        say(w, "%s may not join: %s", p->actor.name, err_word(code));
        p->state = PEER_GONE;
        p->now.window_count = 0;
    } else if (!r->has_head || r->next_seq >= e->seq) {
        if (at == 0 || !r->has_head || r->next_seq > e->seq)
            rebase(w, p, at, r);
    }
}

void peer_result(struct world *w, struct peer *p, const struct wire_result *r,
                 const struct checkpoint *at)
{
    const struct submit_sent *s = &p->sent[r->rid % SUBMITS];
    if (s->rid != r->rid || r->i >= s->count)
        return; /* long ago */
    if (r->code == 0)
        on_accepted(w, p, s->entries[r->i], r, at);
    else
        on_refused(w, p, s->entries[r->i], r);
}
