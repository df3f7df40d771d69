/* One slot judged, record after record. Every value is computed from the bytes and compared with
 * what is stored; nothing stored is believed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/engine.h"
#include "crypto/be64.h"
#include "ledger/scratch.h"

#define NOWHERE UINT64_MAX

static void hex(char out[AUDIT_TEXT_MAX], const struct hash *h)
{
    hex_encode(out, h->b, HASH_BYTES);
}

static void decimal(char out[AUDIT_TEXT_MAX], uint64_t n)
{
    snprintf(out, AUDIT_TEXT_MAX, "%" PRIu64, n);
}

/* ---- reading -------------------------------------------------------------------------
 */

static void as_record(struct record *out, const struct audit_record *r, uint32_t slot)
{
    *out = r->r;
    out->slot = slot;
    if (r->has & AUDIT_HAS_LEAF) {
        memcpy(out->account_head.b, r->leaf + HASH_BYTES, HASH_BYTES);
        out->hub_lamport = be64(r->leaf + 64);
        out->hub_time_ms = be64(r->leaf + 72);
    }
    if (!(r->has & AUDIT_HAS_POSITION))
        out->position = REPLAY_POSITION_UNKNOWN;
    if (!(r->has & AUDIT_HAS_ENVELOPE))
        out->envelope = bytes_of(NULL, 0);
}

/* What cannot be read ends the reading of this slot, is told, and leaves the audit of it
 * incomplete. */
static enum err read_failed(struct slot_audit *s, enum err e)
{
    s->read_err = e;
    return ERR_OK;
}

enum err judge_read(void *context, struct record out[], size_t max, size_t *count,
                    void **hold)
{
    struct slot_audit *s = context;
    struct audit_source *source = s->a->source;
    *count = 0;
    *hold = NULL;
    struct block *b = malloc(sizeof(*b));
    if (!b)
        return ERR_MEMORY;
    b->next = NULL;
    b->count = b->at = 0;
    if (max > AUDIT_READ_MAX)
        max = AUDIT_READ_MAX;
    pthread_mutex_lock(&s->lock);
    enum err e = source->ops->read(source, s->slot, s->next, s->checkpoint.size, b->records,
                                   max, &b->count, hold);
    if (e != ERR_OK)
        snprintf(s->read_where, sizeof(s->read_where), "%s",
                 audit_source_where(source, s->slot));
    if (e != ERR_OK || b->count == 0) {
        pthread_mutex_unlock(&s->lock);
        free(b);
        return e == ERR_MEMORY ? e : read_failed(s, e);
    }
    if (s->last)
        s->last->next = b;
    else
        s->first = b;
    s->last = b;
    s->next = b->records[b->count - 1].r.index + 1;
    for (size_t i = 0; i < b->count; i++)
        as_record(&out[i], &b->records[i], s->slot);
    *count = b->count;
    pthread_mutex_unlock(&s->lock);
    return ERR_OK;
}

void judge_release(void *context, void *hold)
{
    struct slot_audit *s = context;
    if (hold)
        s->a->source->ops->release(s->a->source, hold);
}

/* The stored record whose turn it is. */
static const struct audit_record *turn(struct slot_audit *s)
{
    pthread_mutex_lock(&s->lock);
    struct block *b = s->first;
    if (b->at == b->count) {
        s->first = b->next;
        if (!s->first)
            s->last = NULL;
        free(b);
        b = s->first;
    }
    const struct audit_record *r = &b->records[b->at++];
    pthread_mutex_unlock(&s->lock);
    return r;
}

void judge_blocks_close(struct slot_audit *s)
{
    while (s->first) {
        struct block *b = s->first;
        s->first = b->next;
        free(b);
    }
    s->last = NULL;
}

/* ---- the tree ------------------------------------------------------------------------
 */

static enum err stored_tile(struct slot_audit *s, unsigned level, uint64_t n,
                            unsigned width, struct hash out[TILE_HASHES], struct hash *root)
{
    struct audit_source *source = s->a->source;
    pthread_mutex_lock(&s->lock);
    enum err e = source->ops->tile(source, s->slot, level, n, width, out, root);
    if (e != ERR_OK)
        snprintf(s->read_where, sizeof(s->read_where), "%s",
                 audit_source_where(source, s->slot));
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* A stored tile against the hashes its leaves give, and their root (NULL: not full yet). One
 * finding a slot: what is above a bad hash is bad as well. */
static void check_tile(struct slot_audit *s, unsigned level, uint64_t n, unsigned width,
                       const struct hash *computed)
{
    UNINITIALIZED struct hash stored[TILE_HASHES];
    struct hash root;
    char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX], name[96];
    if (!s->a->source->ops->tile || s->tile_bad || s->lost || s->differs)
        return;
    uint64_t first = n * TILE_HASHES << (8 * level);
    (void)tile_path(name, sizeof(name), (int)level, n, width);
    enum err e = stored_tile(s, level, n, width, stored, &root);
    if (e == ERR_NOT_FOUND && width < TILE_HASHES && s->a->source->own)
        return; /* a hub keeps full tiles only */
    if (e != ERR_OK) {
        s->tile_bad = true;
        find_at(s, e == ERR_CORRUPT ? AUDIT_INCLUSION : AUDIT_SOURCE, first, NULL, "",
                e == ERR_NOT_FOUND ? "nothing" : "", "%.90s: %.100s", name,
                e == ERR_NOT_FOUND ? "this tile is not there" : s->read_where);
        return;
    }
    for (unsigned i = 0; i < width; i++) {
        if (hash_equal(&stored[i], &s->tile[level][i]))
            continue;
        struct audit_record at = {.file = name, .offset = (uint64_t)i * HASH_BYTES};
        hex(expected, &s->tile[level][i]);
        hex(found, &stored[i]);
        s->tile_bad = true;
        find_at(s, AUDIT_INCLUSION, first + ((uint64_t)i << (8 * level)), &at, expected,
                found, "a stored hash of level %u is not the one its leaves give", level);
        return;
    }
    if (computed && s->a->source->tile_roots && !hash_equal(&root, computed)) {
        struct audit_record at = {.file = name};
        hex(expected, computed);
        hex(found, &root);
        s->tile_bad = true;
        find_at(s, AUDIT_INCLUSION, first, &at, expected, found,
                "the root stored beside a tile of level %u is not that of its hashes", level);
    }
}

static void add_to_tiles(struct slot_audit *s, struct hash leaf)
{
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        s->tile[level][s->tile_count[level]++] = leaf;
        if (s->tile_count[level] < TILE_HASHES)
            return;
        leaf = tile_root(s->tile[level], TILE_HASHES);
        check_tile(s, level, s->tile_number[level], TILE_HASHES, &leaf);
        s->tile_count[level] = 0;
        s->tile_number[level]++;
    }
}

/* A tile that is not full yet holds the roots of full subtrees, as many as its count; in twos,
 * fours .. they are the edges of those levels. */
void judge_tree(struct slot_audit *s)
{
    s->tree.size = s->leaves;
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        unsigned at = 0, count = s->tile_count[level];
        for (unsigned bit = TILE_HEIGHT; bit-- > 0;) {
            if (!(count >> bit & 1))
                continue;
            s->tree.edge[level * TILE_HEIGHT + bit] =
                tile_root(s->tile[level] + at, (size_t)1 << bit);
            at += 1u << bit;
        }
    }
}

static void check_seen(struct slot_audit *s)
{
    while (s->seen_at < s->seen_count && s->seen[s->seen_at].size <= s->leaves) {
        const struct seen *c = &s->seen[s->seen_at++];
        if (c->size != s->leaves)
            continue;
        judge_tree(s);
        struct hash root = frontier_root(&s->tree);
        if (hash_equal(&c->root, &root))
            continue;
        UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
        hex(expected, &c->root);
        hex(found, &root);
        s->forked = s->seen_at; /* number + 1 */
        find_at(s, AUDIT_CONSISTENCY, c->size, NULL, expected, found,
                "the log signed another tree of %" PRIu64
                " leaves before: two trees of one log cannot both be true",
                c->size);
    }
}

/* `computed` is what the envelope gives (NULL: withheld), `as_stored` what the source says. */
static void add_leaf(struct slot_audit *s, const struct hash *computed,
                     const struct hash *as_stored)
{
    const struct hash *leaf = computed ? computed : as_stored;
    if (computed && !hash_equal(computed, as_stored) && !s->differs) {
        s->differs = true;
        judge_tree(s);
        s->stored = s->tree;
    }
    if (s->differs)
        (void)frontier_append(&s->stored, as_stored);
    add_to_tiles(s, *leaf);
    s->leaves++;
    if (!s->differs && !s->lost)
        check_seen(s);
}

/* ---- one record -----------------------------------------------------------------------
 */

/* Stored columns that repeat what the leaf says. */
static void check_columns(struct slot_audit *s, const struct audit_record *r)
{
    UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    const char *what = NULL;
    if (!(r->has & AUDIT_HAS_LEAF))
        return;
    if ((r->has & AUDIT_HAS_HEAD) &&
        memcmp(r->r.account_head.b, r->leaf + HASH_BYTES, HASH_BYTES) != 0) {
        hex_encode(expected, r->leaf + HASH_BYTES, HASH_BYTES);
        hex(found, &r->r.account_head);
        what = "account head";
    } else if ((r->has & AUDIT_HAS_CLOCKS) && r->r.hub_lamport != be64(r->leaf + 64)) {
        decimal(expected, be64(r->leaf + 64));
        decimal(found, r->r.hub_lamport);
        what = "hub's Lamport clock";
    } else if ((r->has & AUDIT_HAS_CLOCKS) && r->r.hub_time_ms != be64(r->leaf + 72)) {
        decimal(expected, be64(r->leaf + 72));
        decimal(found, r->r.hub_time_ms);
        what = "hub's time";
    }
    if (what)
        find_at(s, AUDIT_LEAF, s->index, r, expected, found,
                "the stored %s is not the one in the stored leaf", what);
}

/* Place, row and stored columns. False: nothing more can be said of this record. */
static bool check_stored(struct slot_audit *s, const struct audit_record *r)
{
    UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    if (r->r.index != s->index) {
        decimal(expected, s->index);
        decimal(found, r->r.index);
        if (!s->lost)
            find_at(s, AUDIT_ORDER, s->index, r, expected, found, "%s",
                    r->r.index > s->index ? "a record is missing: indices jump"
                                          : "a record stands twice or out of its place");
        s->lost = s->dead = true;
        s->index = r->r.index;
    }
    if (r->damage && !s->damaged) {
        s->damaged = true;
        find_at(s, AUDIT_SOURCE, s->index, r, "", "", "%s", r->damage);
    }
    if (!(r->has & AUDIT_HAS_LEAF) && !(r->has & AUDIT_HAS_HEAD)) {
        s->lost = s->dead = true;
        return false;
    }
    check_columns(s, r);
    return true;
}

/* The leaf as stored against the one the envelope gives. False: they differ. */
static bool check_leaf(struct slot_audit *s, const struct audit_record *r,
                       const struct hash *computed, const uint8_t data[LEAF_BYTES])
{
    UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    struct hash stored = *computed;
    bool same = !(r->has & AUDIT_HAS_LEAF) || memcmp(r->leaf, data, LEAF_BYTES) == 0;
    if (!same)
        stored = hash_leaf(r->leaf, LEAF_BYTES);
    if (!same) {
        struct hash envelope = hash_sha256(r->r.envelope.data, r->r.envelope.size);
        hex(expected, &envelope);
        hex_encode(found, r->leaf, HASH_BYTES);
        find_at(s, AUDIT_LEAF, s->index, r, expected, found,
                "the stored leaf is not the one of the stored envelope");
        s->dead = true;
    } else if ((r->has & AUDIT_HAS_LEAF_HASH) && !hash_equal(&r->leaf_hash, computed)) {
        hex(expected, computed);
        hex(found, &r->leaf_hash);
        find_at(s, AUDIT_LEAF, s->index, r, expected, found,
                "the stored leaf hash is not the one of the stored envelope");
    }
    add_leaf(s, computed, &stored);
    return same;
}

/* Stored columns that name what the envelope says itself. */
static void check_names(struct slot_audit *s, const struct audit_record *r,
                        const struct entry *e)
{
    UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    if ((r->has & AUDIT_HAS_ID) && !hash_equal(&r->id, &e->id)) {
        hex(expected, &e->id);
        hex(found, &r->id);
        find_at(s, AUDIT_LEAF, s->index, r, expected, found,
                "the stored id is not the one of the envelope");
    }
    const struct hash *account = e->kind == KIND_BOUNCE && !e->has_account
                                     ? &s->p.hub.id
                                     : entry_account(e);
    if ((r->has & AUDIT_HAS_ACCOUNT) && !hash_equal(&r->account, account)) {
        hex(expected, account);
        hex(found, &r->account);
        find_at(s, AUDIT_ORDER, s->index, r, expected, found,
                "the stored account is not the one the envelope is about");
    }
}

static void tell_fault(struct slot_audit *s, const struct audit_record *r, enum err e,
                       const struct replay_fault *f)
{
    char expected[AUDIT_TEXT_MAX] = "", found[AUDIT_TEXT_MAX] = "";
    decimal(expected, f->expected);
    decimal(found, f->found);
    switch (f->what) {
    case REPLAY_AT:
        find_at(s, AUDIT_ORDER, s->index, r, expected, found,
                "the stored position is not the next one of the account");
        return;
    case REPLAY_HEAD:
        hex(expected, &f->expected_head);
        hex(found, &f->found_head);
        find_at(s, AUDIT_ORDER, s->index, r, expected, found,
                "the account head does not chain to the record before it");
        return;
    case REPLAY_LAMPORT:
        find_at(s, AUDIT_LAMPORT, s->index, r, expected, found,
                "the hub's Lamport clock is not one more than the last");
        return;
    case REPLAY_TIME:
        find_at(s, AUDIT_LAMPORT, s->index, r, expected, found,
                "the hub's time runs backwards");
        return;
    case REPLAY_PLACE:
        find_at(s, AUDIT_ORDER, s->index, r, "", "",
                "a log begins with its log_open, and has one only");
        return;
    case REPLAY_RULE:
        break;
    }
    find_at(s, audit_check_of(e), s->index, r, "", err_word(e), "%s", err_text(e));
    s->findings[s->finding_count - 1].code = e;
    if (e == ERR_RULES_AHEAD || e == ERR_KIND_RESERVED) {
        s->findings[s->finding_count - 1].severity = AUDIT_WARNING;
        s->ahead = true;
    }
}

/* Size of the log that was read of a slot; UINT64_MAX: none was. */
static uint64_t size_read(const struct audit *a, uint32_t slot)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->slots[i].slot == slot && a->slots[i].judged)
            return a->slots[i].checkpoint.size;
    return UINT64_MAX;
}

/* A channel settles in the order of its source's log: once past what was read of it, it stays
 * past it. */
static void settled_at(struct slot_audit *s, const struct audit_record *r, uint32_t source,
                       uint64_t index)
{
    struct channel_end *c = &s->channels[source];
    UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    if (c->beyond != UINT64_MAX && index < c->beyond_last) {
        snprintf(expected, sizeof(expected), "%" PRIu64 " or more", c->beyond_last);
        decimal(found, index);
        find_at(s, AUDIT_CONSERVATION, s->index, r, expected, found,
                "items of slot %02x are not settled in the order of its log", source);
        c->beyond = UINT64_MAX;
    } else if (index >= size_read(s->a, source)) {
        if (c->beyond == UINT64_MAX)
            c->beyond = c->settled.count;
        c->beyond_last = index;
    }
}

/* Items that this record put on channels or settled. */
static enum err carry(struct slot_audit *s, const struct audit_record *r, const struct entry *e)
{
    const struct effects *fx = s->p.fx;
    struct item_file *f = &s->a->items;
    if (s->p.view != VIEW_SLOT)
        return ERR_OK;
    for (size_t i = 0; i < fx->item_count; i++) {
        const struct channel_item *m = &fx->items[i];
        struct hash h = item_hash(&m->cause, m->payee_index, &m->payee, m->amount,
                                  m->source_index, m->source_lamport, m->is_return);
        TRY(item_add(f, &s->channels[m->destination_slot].sent, &h));
    }
    if (!fx->settles)
        return ERR_OK;
    UNINITIALIZED struct payload p;
    TRY(payload_decode(&p, e->kind, e->payload));
    const struct p_credit *c = e->kind == KIND_BOUNCE ? &p.bounce.item : &p.credit;
    const struct hash *payee =
        e->kind == KIND_BOUNCE ? &p.bounce.payee : entry_account(e);
    bool is_return = e->kind == KIND_CREDIT && c->reason == CREDIT_RETURN;
    struct hash h = item_hash(&c->cause, c->payee_index, payee, c->amount, c->source_index,
                              c->source_lamport, is_return);
    settled_at(s, r, fx->settle_source, c->source_index);
    return item_add(f, &s->channels[fx->settle_source].settled, &h);
}

static void check_residency(struct slot_audit *s, const struct audit_record *r,
                            const struct entry *e)
{
    if (s->a->source->own || s->pinned_seen || e->kind != KIND_OPEN)
        return;
    const struct replay_seat *seat = replay_find(&s->p, &e->id);
    if (!seat || seat->account.residency != RESIDENCY_PINNED)
        return;
    s->pinned_seen = true;
    find_at(s, AUDIT_RESIDENCY, s->index, r, "withheld", "an envelope",
            "the envelope of a pinned account is public here");
}

static enum err replay_one(struct slot_audit *s, const struct audit_record *r,
                           const struct entry *e, const struct record *record)
{
    struct replay_fault fault;
    if (s->dead)
        return ERR_OK;
    enum err err = replay_apply(&s->p, e, record, &fault);
    if (err == ERR_MEMORY)
        return err;
    if (err != ERR_OK) {
        s->dead = true;
        if (err == ERR_SEQ_TAKEN || err == ERR_ACCOUNT_EXISTS) {
            s->twice = s->index;
            s->twice_id = e->id;
            s->twice_account = *entry_account(e);
            s->twice_device = e->device;
            s->twice_seq = e->seq;
            s->twice_finding = s->finding_count;
        }
        tell_fault(s, r, err, &fault);
        return ERR_OK;
    }
    check_residency(s, r, e);
    return carry(s, r, e);
}

enum err judge_apply(void *context, const struct entry *e, const struct record *r,
                     const struct hash *leaf)
{
    struct slot_audit *s = context;
    const struct audit_record *stored = turn(s);
    if (!check_stored(s, stored)) {
        s->index++;
        return ERR_OK;
    }
    enum err err = ERR_OK;
    if (!e) { /* withheld */
        struct hash h = hash_leaf(stored->leaf, LEAF_BYTES);
        if (s->a->source->own && !s->damaged) {
            s->damaged = s->dead = true;
            find_at(s, AUDIT_LEAF, s->index, stored, "an envelope", "nothing",
                    "the envelope is not there, in the hub's own file");
        }
        s->withheld++;
        add_leaf(s, NULL, &h);
        if (!s->dead)
            replay_withheld(&s->p, r);
    } else if (check_leaf(s, stored, leaf, s->lane->leaf_data)) {
        check_names(s, stored, e);
        err = replay_one(s, stored, e, r);
    }
    s->last_time_ms = r->hub_time_ms;
    s->index++;
    return err;
}

enum err judge_refuse(void *context, const struct record *r, enum err why)
{
    struct slot_audit *s = context;
    const struct audit_record *stored = turn(s);
    UNINITIALIZED struct entry e;
    enum err err = ERR_OK;
    if (why == ERR_MEMORY)
        return why;
    if (!check_stored(s, stored)) {
        s->index++;
        return ERR_OK;
    }
    uint8_t data[LEAF_BYTES];
    record_leaf(r, data);
    struct hash leaf = hash_leaf(data, LEAF_BYTES);
    if (check_leaf(s, stored, &leaf, data)) {
        find_at(s, audit_check_of(why), s->index, stored, "", err_word(why), "%s",
                err_text(why));
        s->findings[s->finding_count - 1].code = why;
        if (why == ERR_SIGNATURE &&
            entry_decode(&e, r->envelope.data, r->envelope.size) == ERR_OK)
            err = replay_one(s, stored, &e, r);
        else
            s->dead = true;
    }
    s->last_time_ms = r->hub_time_ms;
    s->index++;
    return err;
}

/* ---- the end --------------------------------------------------------------------------
 */

/* A refused entry that stands in the log already is named as what it is; one whose seq another
 * entry has is remembered with it. */
static enum err look_for_twin(struct slot_audit *s)
{
    struct audit_source *source = s->a->source;
    if (s->twice_finding >= s->finding_count || s->twice == 0)
        return ERR_OK;
    struct audit_finding *f = &s->findings[s->twice_finding];
    struct block *b = malloc(sizeof(*b));
    enum err e = b ? ERR_OK : ERR_MEMORY;
    for (uint64_t at = 0; at < s->twice && e == ERR_OK;) {
        void *hold = NULL;
        b->count = 0;
        e = source->ops->read(source, s->slot, at, s->checkpoint.size, b->records,
                              AUDIT_READ_MAX, &b->count, &hold);
        if (e != ERR_OK || b->count == 0)
            break;
        for (size_t i = 0; i < b->count; i++) {
            UNINITIALIZED struct entry x;
            const struct record *r = &b->records[i].r;
            if (r->index >= s->twice ||
                entry_decode(&x, r->envelope.data, r->envelope.size) != ERR_OK)
                continue;
            if (!hash_equal(&x.id, &s->twice_id)) {
                if (x.seq == s->twice_seq && pubkey_equal(&x.device, &s->twice_device) &&
                    hash_equal(entry_account(&x), &s->twice_account)) {
                    s->reused = true;
                    s->reused_at = r->index;
                }
                continue;
            }
            f->check = AUDIT_DUPLICATE;
            snprintf(f->text, sizeof(f->text),
                     "this entry stands in the log already, at index %" PRIu64, r->index);
            at = s->twice;
        }
        if (at < s->twice)
            at = b->records[b->count - 1].r.index + 1;
        source->ops->release(source, hold);
    }
    free(b);
    return e == ERR_MEMORY ? e : ERR_OK;
}

static void check_length(struct slot_audit *s)
{
    UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    if (s->read_err != ERR_OK) {
        find_at(s, AUDIT_SOURCE, s->next, NULL, "", "", "%.199s",
                s->read_where[0] ? s->read_where : err_text(s->read_err));
        s->findings[s->finding_count - 1].code = s->read_err;
    } else if (s->index < s->checkpoint.size) {
        decimal(expected, s->checkpoint.size);
        decimal(found, s->index);
        find_at(s, AUDIT_SOURCE, s->index, NULL, expected, found,
                "the records end before the size that the checkpoint signs");
    }
}

static void check_root(struct slot_audit *s)
{
    UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    judge_tree(s);
    struct hash root = frontier_root(&s->tree), stored = frontier_root(&s->stored);
    s->out->root = root;
    if (hash_equal(&root, &s->checkpoint.root) ||
        (s->differs && hash_equal(&stored, &s->checkpoint.root)))
        return;
    hex(expected, &s->checkpoint.root);
    hex(found, &root);
    find_at(s, AUDIT_INCLUSION, NOWHERE, NULL, expected, found,
            "the leaves do not give the root that the checkpoint signs");
}

/* The frontier a hub keeps beside its checkpoint. */
static void check_edges(struct slot_audit *s)
{
    struct audit_source *source = s->a->source;
    struct hash edges[MERKLE_LEVELS_MAX], own[MERKLE_LEVELS_MAX];
    tree_size size;
    size_t count;
    if (!source->ops->edges || s->differs)
        return;
    enum err e = source->ops->edges(source, s->slot, &size, edges, &count);
    if (e == ERR_OK && size != s->checkpoint.size) {
        struct buf now = {0};
        bool same = source->ops->checkpoint(source, s->slot, &now) == ERR_OK &&
                    now.size == s->note.size &&
                    memcmp(now.data, s->note.data, now.size) == 0;
        buf_close(&now);
        if (same) /* else the hub has gone on meanwhile */
            find_at(s, AUDIT_SOURCE, NOWHERE, NULL, "", "",
                    "the slot's row names another size than its checkpoint");
        return;
    }
    if (e != ERR_OK || count != frontier_edges(&s->tree, own) ||
        memcmp(edges, own, count * sizeof(own[0])) != 0)
        find_at(s, AUDIT_INCLUSION, NOWHERE, NULL, "", "",
                "the frontier kept beside the checkpoint is not the one of the leaves");
}

enum err judge_finish(void *context)
{
    struct slot_audit *s = context;
    check_length(s);
    if (s->index == s->checkpoint.size && !s->lost && s->read_err == ERR_OK) {
        for (unsigned level = 0; level < TILE_LEVELS; level++)
            if (s->tile_count[level] > 0)
                check_tile(s, level, s->tile_number[level], s->tile_count[level], NULL);
        check_root(s);
        check_edges(s);
    }
    if (s->seen_at < s->seen_count && s->seen[s->seen_count - 1].size > s->checkpoint.size) {
        UNINITIALIZED char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
        decimal(expected, s->seen[s->seen_count - 1].size);
        decimal(found, s->checkpoint.size);
        find_at(s, AUDIT_CADENCE, NOWHERE, NULL, expected, found,
                "the checkpoint shown is older than one seen before");
    }
    TRY(look_for_twin(s));
    if (s->dead)
        return ERR_OK;
    return replay_digest(&s->p, &s->out->digest, &s->out->balances);
}
