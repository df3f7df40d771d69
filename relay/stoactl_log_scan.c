/* A log read from its first record on. What its own bytes tell is checked: each envelope
 * is the one its leaf commits to, and the leaves give the root (by the caller). The
 * signatures of entries and the rules are an auditor's. */
#include <stdio.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/kinds.h"
#include "relay/stoactl_log.h"

void log_scan_init(struct log_scan *s, const struct store_identity *hub, uint32_t slot)
{
    memset(s, 0, sizeof(*s));
    s->slot = slot;
    snprintf(s->origin, sizeof(s->origin), "%s/%02x", hub->hub, (unsigned)slot);
}

enum err log_record_open(struct entry *e, const struct log_record *r)
{
    struct hash h = hash_sha256(r->envelope.data, r->envelope.size);
    if (memcmp(h.b, r->leaf, HASH_BYTES) != 0 ||
        entry_decode(e, r->envelope.data, r->envelope.size) != ERR_OK)
        return ERR_CORRUPT;
    return ERR_OK;
}

static bool add_key(struct log_scan *s, tree_size from, const struct vkey *v)
{
    if (s->key_count == LOG_KEYS_MAX)
        return false;
    s->keys[s->key_count++] = (struct log_key){.from = from, .vkey = *v};
    return true;
}

static bool take_log_open(struct log_scan *s, const struct entry *e)
{
    struct payload p;
    struct vkey v;
    if (e->kind != KIND_LOG_OPEN || payload_decode(&p, e->kind, e->payload) != ERR_OK ||
        !vkey_parse(&v, (const char *)p.log_open.log_vkey.data,
                    p.log_open.log_vkey.size) ||
        v.alg != NOTE_ED25519 || strcmp(v.name, s->origin) != 0)
        return false;
    s->hub_account = e->id;
    return add_key(s, 1, &v);
}

/* From the record on that changes it, trees are signed by the new key. The old one
 * vouches. */
static bool take_hub_key(struct log_scan *s, const struct entry *e, uint64_t index)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    struct payload p;
    struct vkey v;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return false;
    const struct p_hub_key *k = &p.hub_key;
    if (k->role != ROLE_LOG)
        return true;
    size_t size =
        hub_key_message(message, &s->hub_account, k->role, &k->old_key, &k->new_key);
    return s->key_count > 0 &&
           pubkey_equal(&k->old_key, &s->keys[s->key_count - 1].vkey.key) &&
           sig_verify(&k->old_sig, &k->old_key, CTX_HUB_KEY, message, size) &&
           vkey_make(&v, s->origin, NOTE_ED25519, &k->new_key) &&
           add_key(s, index + 1, &v);
}

static bool take_open(struct pinned *pinned, const struct entry *e)
{
    struct payload p;
    if (payload_decode(&p, e->kind, e->payload) != ERR_OK)
        return false;
    const struct account a = {.id = e->id, .residency = (uint8_t)p.open.residency};
    return pinned_update(pinned, &a) == ERR_OK;
}

struct scanning {
    struct log_scan *scan;
    struct pinned *pinned;
    const char *problem; /* of the record the scan stopped at */
};

static bool on_record(void *context, const struct log_record *r)
{
    struct scanning *c = context;
    struct log_scan *s = c->scan;
    struct entry e;
    struct hash leaf = hash_leaf(r->leaf, LEAF_BYTES);
    if (log_record_open(&e, r) != ERR_OK)
        c->problem = "its envelope is not the one its leaf commits to";
    else if (r->index == 0 && !take_log_open(s, &e))
        c->problem = "is no log_open of this log";
    else if (e.kind == KIND_HUB_KEY && hash_equal(&e.account, &s->hub_account) &&
             !take_hub_key(s, &e, r->index))
        c->problem = "changes the log key, but not from the one in force";
    else if (e.kind == KIND_OPEN && !take_open(c->pinned, &e))
        c->problem = "opens an account, and cannot be read";
    else if (!log_tree_add(&s->tree, &leaf, NULL, NULL))
        c->problem = "is past the largest tree there can be";
    return c->problem == NULL;
}

enum err log_scan_to(struct log_scan *s, struct log_source *source, struct pinned *pinned,
                     tree_size size, char *why)
{
    struct scanning c = {.scan = s, .pinned = pinned};
    TRY(log_source_records(source, s->slot, s->tree.size, size, on_record, &c, why));
    if (!c.problem)
        return ERR_OK;
    snprintf(why, LOG_WHY_MAX, "the ledger: slot %02x, record %llu: %s",
             (unsigned)s->slot, (unsigned long long)s->tree.size, c.problem);
    return ERR_CORRUPT;
}

const struct vkey *log_scan_key(const struct log_scan *s, tree_size size)
{
    const struct vkey *v = NULL;
    for (size_t i = 0; i < s->key_count && s->keys[i].from <= size; i++)
        v = &s->keys[i].vkey;
    return v;
}
