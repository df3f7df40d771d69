#include "ledger/evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/be64.h"
#include "crypto/context.h"
#include "crypto/tlog_proof.h"
#include "ledger/evidence_check.h"
#include "ledger/kinds.h"
#include "ledger/scratch.h"
#include "ledger/wire.h"

#define REFUSAL_BYTES (HASH_BYTES + 8 + 8 + SIG_BYTES)

static const char *const kind_words[] = {
    [EVIDENCE_FORK] = "fork",   [EVIDENCE_RECEIPT] = "receipt", [EVIDENCE_HEAD] = "head",
    [EVIDENCE_HEADS] = "heads", [EVIDENCE_OMITTED] = "omitted", [EVIDENCE_SEQ_REUSED] = "seq_reused"};

const char *evidence_kind_word(enum evidence_kind k)
{
    return k >= EVIDENCE_FORK && k <= EVIDENCE_SEQ_REUSED ? kind_words[k] : "?";
}

const char *evidence_verdict_word(enum evidence_verdict v)
{
    static const char *const words[] = {"invalid", "untrusted", "proven",
                                        "reused",  "labelled",  "cleared"};
    return v <= EVIDENCE_CLEARED ? words[v] : "?";
}

/* ---- one check ------------------------------------------------------------------------- */

static bool no(struct evidence_check *x, const char *why)
{
    snprintf(x->out->why, sizeof(x->out->why), "%s", why);
    return false;
}

static void accuse(struct evidence_check *x, const struct pubkey *who, uint64_t index,
                   const char *why)
{
    x->out->verdict = x->trusted ? EVIDENCE_PROVEN : EVIDENCE_UNTRUSTED;
    x->out->accused = *who;
    x->out->index = index;
    snprintf(x->out->why, sizeof(x->out->why), "%s%s", why,
             x->trusted ? "" : " (but this log key is none that you trust)");
}

bool evidence_take_log(struct evidence_check *x)
{
    struct bytes text;
    if (!evidence_line(&x->in, "log", &text) ||
        !vkey_parse(&x->log, (const char *)text.data, text.size) ||
        x->log.alg != NOTE_ED25519)
        return no(x, "no log key where one has to stand");
    memcpy(x->out->origin, x->log.name, sizeof(x->out->origin));
    for (size_t i = 0; i < x->trust->log_count; i++) {
        const struct vkey *v = &x->trust->logs[i];
        x->trusted = x->trusted || (v->id == x->log.id && strcmp(v->name, x->log.name) == 0 &&
                                    pubkey_equal(&v->key, &x->log.key));
    }
    return true;
}

static bool take_note(struct evidence_check *x, struct checkpoint *c, struct bytes *note)
{
    if (!evidence_blob(&x->in, "note", note))
        return no(x, "no checkpoint where one has to stand");
    if (!checkpoint_open(c, (const char *)note->data, note->size, &x->log))
        return no(x, "a checkpoint is not signed by the log key");
    return true;
}

/* A proof and the leaf it is about, under a checkpoint of the log. */
static bool take_proof(struct evidence_check *x, struct tlog_proof *p, struct checkpoint *c,
                       const struct hash *leaf, struct bytes text)
{
    if (!tlog_proof_parse(p, (const char *)text.data, text.size))
        return no(x, "a proof is not a C2SP tlog-proof");
    if (!checkpoint_open(c, p->note, p->note_size, &x->log))
        return no(x, "a proof's checkpoint is not signed by the log key");
    if (!tlog_proof_holds(p, c, leaf))
        return no(x, "a proof does not lead from its leaf to its checkpoint");
    return true;
}

/* Roots that an explicit consistency path (its first hash always given) leads to. */
static bool roots_of(tree_size m, tree_size n, const struct hash path[], size_t count,
                     struct hash *small, struct hash *large)
{
    if (m == 0 || m >= n || count == 0)
        return false;
    uint64_t fn = m - 1, sn = n - 1;
    while (fn & 1) {
        fn >>= 1;
        sn >>= 1;
    }
    *small = *large = path[0];
    for (size_t i = 1; i < count; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) || fn == sn) {
            *small = hash_node(&path[i], small);
            *large = hash_node(&path[i], large);
            while (fn != 0 && !(fn & 1)) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            *large = hash_node(large, &path[i]);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0;
}

static bool check_fork(struct evidence_check *x)
{
    struct checkpoint a, b;
    struct bytes na, nb, node;
    struct hash path[MERKLE_PATH_MAX], small, large;
    size_t count = 0;
    if (!evidence_take_log(x) || !take_note(x, &a, &na))
        return false;
    if (!take_note(x, &b, &nb))
        return false;
    while (evidence_blob(&x->in, "node", &node)) {
        if (node.size != HASH_BYTES || count == MERKLE_PATH_MAX)
            return no(x, "the path is not made of hashes");
        memcpy(path[count++].b, node.data, HASH_BYTES);
    }
    if (!evidence_done(&x->in))
        return no(x, "something stands after the path");
    if (a.size == b.size) {
        if (hash_equal(&a.root, &b.root) || count > 0)
            return no(x, "the two checkpoints say the same");
        accuse(x, &x->log.key, a.size, "the log key signed two roots for one size");
        return true;
    }
    const struct checkpoint *s = a.size < b.size ? &a : &b, *l = a.size < b.size ? &b : &a;
    if (s->size == 0 || !roots_of(s->size, l->size, path, count, &small, &large) ||
        !hash_equal(&large, &l->root))
        return no(x, "the path does not lead to the larger tree");
    if (hash_equal(&small, &s->root))
        return no(x, "the smaller tree is a beginning of the larger one: no contradiction");
    accuse(x, &x->log.key, s->size,
           "the log key signed a tree that does not begin with one it signed before");
    return true;
}

static bool check_receipt(struct evidence_check *x)
{
    UNINITIALIZED struct tlog_proof p[2];
    struct checkpoint c[2];
    struct hash leaf[2];
    struct bytes proof, data;
    if (!evidence_take_log(x))
        return false;
    for (int i = 0; i < 2; i++) {
        if (!evidence_blob(&x->in, "proof", &proof) || !evidence_blob(&x->in, "leaf", &data) ||
            data.size != LEAF_BYTES)
            return no(x, "two proofs with their leaves have to stand here");
        leaf[i] = hash_leaf(data.data, data.size);
        if (!take_proof(x, &p[i], &c[i], &leaf[i], proof))
            return false;
    }
    if (!evidence_done(&x->in))
        return no(x, "something stands after the second leaf");
    if (p[0].index != p[1].index || hash_equal(&leaf[0], &leaf[1]))
        return no(x, "the two receipts do not contradict each other");
    accuse(x, &x->log.key, p[0].index, "the log showed two records at one index");
    return true;
}

/* ---- records and the keys a log names ------------------------------------------------------ */

struct record_seen {
    struct entry e;
    uint64_t index;
    struct hash head;
};

/* "<name> envelope leaf proof": in the log, under its key. */
static int take_record(struct evidence_check *x, const char *name, struct record_seen *r)
{
    struct bytes part[3];
    UNINITIALIZED struct tlog_proof p;
    struct checkpoint c;
    int there = evidence_parts(&x->in, name, part, 3);
    if (there <= 0)
        return there;
    struct hash envelope = hash_sha256(part[0].data, part[0].size);
    if (part[1].size != LEAF_BYTES || memcmp(part[1].data, envelope.b, HASH_BYTES) != 0 ||
        entry_decode(&r->e, part[0].data, part[0].size) != ERR_OK) {
        (void)no(x, "a record is not an entry with its leaf");
        return -1;
    }
    struct hash leaf = hash_leaf(part[1].data, LEAF_BYTES);
    if (!take_proof(x, &p, &c, &leaf, part[2]))
        return -1;
    r->index = p.index;
    memcpy(r->head.b, part[1].data + HASH_BYTES, HASH_BYTES);
    return 1;
}

static bool names_this_log(const struct evidence_check *x, const struct p_log_open *o)
{
    struct vkey v;
    return vkey_parse(&v, (const char *)o->log_vkey.data, o->log_vkey.size) &&
           v.id == x->log.id && strcmp(v.name, x->log.name) == 0 &&
           pubkey_equal(&v.key, &x->log.key);
}

/* log_open at index 0, then changes of the relay key in order. */
bool evidence_take_keys(struct evidence_check *x)
{
    UNINITIALIZED struct record_seen r;
    UNINITIALIZED struct payload p;
    struct hash hub;
    uint64_t last = 0;
    int there = take_record(x, "key", &r);
    if (there < 0)
        return false;
    if (there == 0 || r.index != 0 || r.e.kind != KIND_LOG_OPEN || !entry_verify(&r.e) ||
        payload_decode(&p, r.e.kind, r.e.payload) != ERR_OK ||
        !names_this_log(x, &p.log_open))
        return no(x, "the log's first record does not name its keys");
    hub = r.e.id;
    x->relay[x->relay_count++] = p.log_open.relay;
    while ((there = take_record(x, "key", &r)) == 1) {
        uint8_t message[MESSAGE_BYTES_MAX];
        struct pubkey now = x->relay[x->relay_count - 1];
        if (r.e.kind != KIND_HUB_KEY || r.index <= last || x->relay_count == EVIDENCE_KEYS_MAX ||
            !hash_equal(entry_account(&r.e), &hub) || !entry_verify(&r.e) ||
            !pubkey_equal(&r.e.device, &now) ||
            payload_decode(&p, r.e.kind, r.e.payload) != ERR_OK)
            return no(x, "a change of keys is not one");
        last = r.index;
        if (p.hub_key.role != ROLE_RELAY)
            continue;
        size_t n = hub_key_message(message, &hub, ROLE_RELAY, &p.hub_key.old_key,
                                   &p.hub_key.new_key);
        if (!pubkey_equal(&p.hub_key.old_key, &now) ||
            !sig_verify(&p.hub_key.old_sig, &now, CTX_HUB_KEY, message, n) ||
            !sig_verify(&p.hub_key.new_sig, &p.hub_key.new_key, CTX_HUB_KEY, message, n))
            return no(x, "a change of the relay key is not signed by both");
        x->relay[x->relay_count++] = p.hub_key.new_key;
    }
    return there == 0;
}

/* A signed head by one of the log's relay keys. */
bool evidence_take_head(struct evidence_check *x, struct signed_head *h, struct pubkey *by)
{
    struct bytes data;
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!evidence_blob(&x->in, "head", &data) || data.size != EVIDENCE_HEAD_BYTES)
        return no(x, "no signed head where one has to stand");
    memcpy(h->account.b, data.data, HASH_BYTES);
    h->position = be64(data.data + HASH_BYTES);
    memcpy(h->head.b, data.data + HASH_BYTES + 8, HASH_BYTES);
    h->size = be64(data.data + 2 * HASH_BYTES + 8);
    memcpy(h->sig.b, data.data + 2 * HASH_BYTES + 16, SIG_BYTES);
    size_t n = head_message(message, &h->account, h->position, &h->head, x->log.name, h->size);
    for (size_t i = 0; i < x->relay_count; i++)
        if (sig_verify(&h->sig, &x->relay[i], CTX_HEAD, message, n)) {
            *by = x->relay[i];
            x->out->account = h->account;
            return h->position > 0 || no(x, "a head of no record says nothing");
        }
    return no(x, "the head is not signed by a relay key of this log");
}

static bool check_head(struct evidence_check *x)
{
    UNINITIALIZED struct record_seen r;
    struct signed_head h;
    struct pubkey by;
    struct hash head = {{0}};
    uint64_t count = 0, last = 0;
    int there;
    if (!evidence_take_log(x) || !evidence_take_keys(x) || !evidence_take_head(x, &h, &by))
        return false;
    if (h.position > EVIDENCE_CHAIN_MAX)
        return no(x, "the account is longer than evidence may be");
    while ((there = take_record(x, "record", &r)) == 1) {
        if (!hash_equal(entry_account(&r.e), &h.account) || (count && r.index <= last))
            return no(x, "the records are not those of the account, in order");
        head = account_head_next(&head, r.e.envelope);
        if (!hash_equal(&head, &r.head))
            return no(x, "the records do not chain from the account's first one");
        last = r.index;
        count++;
    }
    if (there < 0)
        return false;
    if (!evidence_done(&x->in) || count != h.position)
        return no(x, "as many records have to stand here as the head counts");
    if (hash_equal(&head, &h.head) && last < h.size)
        return no(x, "the log says what the head says: no contradiction");
    accuse(x, &by, h.position,
           hash_equal(&head, &h.head)
               ? "the relay key vouched for a record that the log put in only later"
               : "the relay key vouched for another history of the account than the log has");
    return true;
}

static bool check_heads(struct evidence_check *x)
{
    struct signed_head a, b;
    struct pubkey by, other;
    if (!evidence_take_log(x) || !evidence_take_keys(x) || !evidence_take_head(x, &a, &other) || !evidence_take_head(x, &b, &by))
        return false;
    if (!evidence_done(&x->in))
        return no(x, "something stands after the second head");
    if (!hash_equal(&a.account, &b.account) || a.position != b.position ||
        hash_equal(&a.head, &b.head))
        return no(x, "the two heads do not contradict each other");
    accuse(x, &by, a.position, "two histories of one account were vouched for");
    return true;
}

static bool check_omitted(struct evidence_check *x)
{
    struct signed_head h;
    struct pubkey by;
    struct checkpoint c;
    struct bytes note, leaves;
    struct frontier t = {0};
    bool there = false;
    if (!evidence_take_log(x) || !evidence_take_keys(x) || !evidence_take_head(x, &h, &by) || !take_note(x, &c, &note))
        return false;
    if (!evidence_blob(&x->in, "leaves", &leaves) || !evidence_done(&x->in) ||
        c.size > EVIDENCE_LEAVES_MAX || leaves.size != c.size * LEAF_BYTES || c.size < h.size)
        return no(x, "all leaves of a tree that covers the head have to stand here");
    for (uint64_t i = 0; i < c.size; i++) {
        const uint8_t *leaf = leaves.data + i * LEAF_BYTES;
        struct hash hash = hash_leaf(leaf, LEAF_BYTES);
        (void)frontier_append(&t, &hash);
        there = there || (i < h.size && memcmp(leaf + HASH_BYTES, h.head.b, HASH_BYTES) == 0);
    }
    struct hash root = frontier_root(&t);
    if (!hash_equal(&root, &c.root))
        return no(x, "the leaves do not give the root of the checkpoint");
    if (there)
        return no(x, "the head stands in the log: no contradiction");
    accuse(x, &by, h.position, "the relay key vouched for a record that the log never had");
    return true;
}

/* ---- against a device ------------------------------------------------------------------------ */

static bool refusal_ok(const struct evidence_check *x, const struct known_refusal *r,
                       const struct hash *id)
{
    uint8_t message[MESSAGE_BYTES_MAX];
    size_t n = refusal_message(message, &r->id, r->code, r->hub_time_ms);
    if (!hash_equal(&r->id, id))
        return false;
    for (size_t i = 0; i < x->relay_count; i++)
        if (sig_verify(&r->sig, &x->relay[i], CTX_REFUSAL, message, n))
            return true;
    return false;
}

static bool was_refused(struct evidence_check *x, const struct hash *id, bool *bad)
{
    struct bytes data;
    bool refused = false;
    if (evidence_blob(&x->in, "refusal", &data)) {
        struct known_refusal r;
        *bad = data.size != REFUSAL_BYTES;
        if (*bad)
            return false;
        memcpy(r.id.b, data.data, HASH_BYTES);
        r.code = be64(data.data + HASH_BYTES);
        r.hub_time_ms = be64(data.data + HASH_BYTES + 8);
        memcpy(r.sig.b, data.data + HASH_BYTES + 16, SIG_BYTES);
        *bad = !refusal_ok(x, &r, id);
        refused = !*bad;
    }
    for (size_t i = 0; i < x->trust->refusal_count; i++)
        refused = refused || refusal_ok(x, &x->trust->refusals[i], id);
    return refused;
}

static bool check_reused(struct evidence_check *x)
{
    UNINITIALIZED struct record_seen r;
    UNINITIALIZED struct entry other;
    struct bytes data;
    bool bad = false;
    if (!evidence_take_log(x) || !evidence_take_keys(x))
        return false;
    int logged = take_record(x, "record", &r);
    if (logged < 0)
        return false;
    if (logged == 0 && (!evidence_blob(&x->in, "entry", &data) ||
                        entry_decode(&r.e, data.data, data.size) != ERR_OK))
        return no(x, "no entry where one has to stand");
    if (!evidence_blob(&x->in, "other", &data) ||
        entry_decode(&other, data.data, data.size) != ERR_OK)
        return no(x, "no other entry where one has to stand");
    if (!r.e.has_account || !other.has_account ||
        !hash_equal(&r.e.account, &other.account) ||
        !pubkey_equal(&r.e.device, &other.device) || r.e.seq != other.seq ||
        hash_equal(&r.e.id, &other.id))
        return no(x, "the two entries are not of one device, account and seq");
    if (!entry_verify(&r.e) || !entry_verify(&other))
        return no(x, "one of the two is not signed by the device");
    bool refused = was_refused(x, &other.id, &bad);
    if (bad || !evidence_done(&x->in))
        return no(x, "the refusal is none, or something stands after it");
    x->out->account = r.e.account;
    x->out->accused = other.device;
    x->out->index = other.seq;
    x->out->verdict = refused                     ? EVIDENCE_CLEARED
                      : logged == 1 && x->trusted ? EVIDENCE_REUSED
                                                  : EVIDENCE_LABELLED;
    snprintf(x->out->why, sizeof(x->out->why), "%s",
             refused ? "seq reused after a signed refusal, as an honest client does"
             : logged == 1
                 ? "seq reused: one of the two is in the log; this stands unless a signed "
                   "refusal of the other is shown"
                 : "seq reused, and neither is shown to be in a log: no accusation");
    return true;
}

void evidence_check(const void *data, size_t size, const struct evidence_trust *trust,
                    struct evidence_result *out)
{
    struct evidence_check x = {.trust = trust, .out = out};
    struct bytes word;
    bool (*const checks[])(struct evidence_check *) = {
        [EVIDENCE_FORK] = check_fork,       [EVIDENCE_RECEIPT] = check_receipt,
        [EVIDENCE_HEAD] = check_head,       [EVIDENCE_HEADS] = check_heads,
        [EVIDENCE_OMITTED] = check_omitted, [EVIDENCE_SEQ_REUSED] = check_reused};
    memset(out, 0, sizeof(*out));
    snprintf(out->why, sizeof(out->why), "this is no evidence file");
    if (!evidence_open(&x.in, EVIDENCE_FIRST, data, size) || !evidence_line(&x.in, "kind", &word)) {
        evidence_close(&x.in);
        return;
    }
    for (unsigned k = EVIDENCE_FORK; k <= EVIDENCE_SEQ_REUSED; k++) {
        if (word.size != strlen(kind_words[k]) ||
            memcmp(word.data, kind_words[k], word.size) != 0)
            continue;
        out->kind = k;
        if (!checks[k](&x)) {
            struct evidence_result none = {.kind = k};
            memcpy(none.why, out->why, sizeof(none.why));
            *out = none;
        }
    }
    evidence_close(&x.in);
}
