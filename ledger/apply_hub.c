/* Rules of the hub account: what its log is, which keys and rules are in force, and items
 * that come back. */
#include <assert.h>

#include "crypto/context.h"
#include "ledger/apply.h"

/* -- log_open
 * ---------------------------------------------------------------------------- */

static bool log_shape_ok(const struct p_log_open *p)
{
    return p->slots >= 1 && p->slots <= SLOTS_MAX && (p->slots & (p->slots - 1)) == 0 &&
           p->slot < p->slots && hub_name_ok((const char *)p->hub.data, p->hub.size);
}

/* The log key's text, under the name this log has to have. */
static bool log_vkey_parse(const struct p_log_open *p, struct vkey *log)
{
    char origin[CHANNEL_ORIGIN_ROOM];
    slot_origin(origin, p->hub, (uint32_t)p->slot);
    return vkey_parse(log, (const char *)p->log_vkey.data, p->log_vkey.size) &&
           log->alg == NOTE_ED25519 && strcmp(log->name, origin) == 0;
}

enum err check_log_open(struct apply *x)
{
    const struct p_log_open *p = &x->p->log_open;
    struct vkey log;
    if (p->rules != RULES_VERSION)
        return ERR_RULES_AHEAD;
    if (!log_shape_ok(p) || !log_vkey_parse(p, &log))
        return ERR_PAYLOAD;
    if (!same32(&p->relay, &x->e->device))
        return ERR_AUTHORITY;
    if (!sig_key_enrollable(&p->issuer) || !sig_key_enrollable(&p->relay) ||
        !sig_key_enrollable(&log.key))
        return ERR_KEY_WEAK;
    return same32(&p->issuer, &p->relay) || same32(&p->issuer, &log.key) ||
                   same32(&p->relay, &log.key)
               ? ERR_KEY_USED
               : ERR_OK;
}

void commit_log_open(struct apply *x)
{
    struct hub_account *h = x->h;
    const struct p_log_open *p = &x->p->log_open;
    h->open = true;
    h->id = x->e->id;
    h->federation = p->federation;
    memcpy(h->hub, p->hub.data, p->hub.size);
    h->hub[p->hub.size] = 0;
    h->slot = (uint32_t)p->slot;
    h->slots = (uint32_t)p->slots;
    slot_origin(h->origin, p->hub, h->slot);
    h->rules = p->rules;
    h->issuer = p->issuer;
    h->relay = p->relay;
    bool ok = log_vkey_parse(p, &h->log);
    assert(ok); /* check_log_open parsed it */
}

/* -- hub_key, rules
 * ---------------------------------------------------------------------- */

static const struct pubkey *key_of_role(const struct hub_account *h, uint64_t role)
{
    switch (role) {
    case ROLE_ISSUER:
        return &h->issuer;
    case ROLE_RELAY:
        return &h->relay;
    case ROLE_LOG:
        return &h->log.key;
    default:
        return NULL;
    }
}

enum err check_hub_key(struct apply *x)
{
    const struct p_hub_key *p = &x->p->hub_key;
    const struct pubkey *old_key = key_of_role(x->h, p->role);
    if (old_key == NULL)
        return ERR_PAYLOAD;
    if (!same32(old_key, &p->old_key))
        return ERR_AUTHORITY;
    if (!sig_key_enrollable(&p->new_key))
        return ERR_KEY_WEAK;
    if (is_hub_key(x->h, &p->new_key))
        return ERR_KEY_USED;
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t size = hub_key_message(message, &x->h->id, p->role, &p->old_key, &p->new_key);
    return sig_verify(&p->old_sig, &p->old_key, CTX_HUB_KEY, message, size) &&
                   sig_verify(&p->new_sig, &p->new_key, CTX_HUB_KEY, message, size)
               ? ERR_OK
               : ERR_SIGNATURE;
}

void commit_hub_key(struct apply *x)
{
    struct hub_account *h = x->h;
    const struct p_hub_key *p = &x->p->hub_key;
    if (p->role == ROLE_ISSUER) {
        h->issuer = p->new_key;
    } else if (p->role == ROLE_RELAY) {
        h->relay = p->new_key;
    } else {
        bool ok = vkey_make(&h->log, h->origin, NOTE_ED25519, &p->new_key);
        assert(ok); /* the name was taken before */
    }
}

enum err check_rules(struct apply *x)
{
    uint64_t version = x->p->rules.version;
    if (version <= x->h->rules)
        return ERR_RULES;
    return version > RULES_VERSION ? ERR_RULES_AHEAD : ERR_OK;
}

void commit_rules(struct apply *x)
{
    x->h->rules = x->p->rules.version;
}

/* -- bounce
 * ------------------------------------------------------------------------------ */

enum err check_bounce(struct apply *x)
{
    const struct hub_account *h = x->h;
    const struct p_bounce *p = &x->p->bounce;
    if (p->item.reason > BOUNCE_OVERFLOW || p->item.payee_index >= PAYEES_MAX)
        return ERR_PAYLOAD;
    TRY(check_settles(x, &p->item));
    if (slot_of(&p->payer, h->slots) != x->slot ||
        slot_of(&p->payee, h->slots) != h->slot)
        return ERR_CHANNEL;
    return p->item.amount > 0 ? ERR_OK : ERR_AMOUNT;
}

/* The money goes back where it came from; a return is settled like any other item but
 * never bounces. */
void commit_bounce(struct apply *x)
{
    const struct p_bounce *p = &x->p->bounce;
    commit_settles(x, &p->item);
    if (x->fx != NULL)
        x->fx->bounced = true;
    if (x->view != VIEW_SLOT)
        return;
    channel_put(x, &(struct channel_item){.cause = x->e->id,
                                          .payer = p->payer,
                                          .payee = p->payer,
                                          .amount = p->item.amount,
                                          .destination_slot = x->slot,
                                          .is_return = true});
}
