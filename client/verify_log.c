/* Whole logs: every account of a slot replayed, then what only all slots together show.
 */
#include "client/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/replay.h"
#include "ledger/scratch.h"

/* What one channel carried, as its source put it and as its destination settled it:
 * hashes of the items in order, so that the two ends can be compared at the shorter
 * length. */
struct carried {
    uint64_t count, cap;
    struct hash *items; /* one hash an item */
};

struct slot_run {
    struct verify_slot *out;
    const struct verify_source *source;
    const struct verify_options *o;
    uint64_t next;
    struct replay p;
    struct frontier frontier;
    bool keep_items;
    struct carried *sent;    /* by destination slot */
    struct carried *settled; /* by source slot */
};

/* ---- channels ------------------------------------------------------------------------
 */

static enum err carry(struct carried *c, uint64_t seq, const struct hash *cause,
                      uint64_t payee_index, const struct hash *payee, int64_t amount,
                      uint64_t index, uint64_t lamport, bool is_return)
{
    if (seq != c->count)
        return ERR_CHANNEL;
    if (c->count == c->cap) {
        uint64_t cap = c->cap ? c->cap * 2 : 64;
        struct hash *items = realloc(c->items, (size_t)cap * sizeof(*items));
        if (!items)
            return ERR_MEMORY;
        c->items = items;
        c->cap = cap;
    }
    c->items[c->count++] =
        item_hash(cause, payee_index, payee, amount, index, lamport, is_return);
    return ERR_OK;
}

static enum err carry_all(struct slot_run *s, const struct entry *e)
{
    const struct effects *fx = s->p.fx;
    for (size_t i = 0; i < fx->item_count; i++) {
        const struct channel_item *m = &fx->items[i];
        if (m->destination_slot >= SLOTS_MAX)
            return ERR_CHANNEL;
        TRY(carry(&s->sent[m->destination_slot], m->out_seq, &m->cause, m->payee_index,
                  &m->payee, m->amount, m->source_index, m->source_lamport,
                  m->is_return));
    }
    if (!fx->settles)
        return ERR_OK;
    UNINITIALIZED struct payload p;
    TRY(payload_decode(&p, e->kind, e->payload));
    const struct p_credit *c = e->kind == KIND_BOUNCE ? &p.bounce.item : &p.credit;
    const struct hash *payee =
        e->kind == KIND_BOUNCE ? &p.bounce.payee : entry_account(e);
    bool is_return = e->kind == KIND_CREDIT && c->reason == CREDIT_RETURN;
    if (fx->settle_source >= SLOTS_MAX)
        return ERR_CHANNEL;
    return carry(&s->settled[fx->settle_source], fx->settle_seq, &c->cause,
                 c->payee_index, payee, c->amount, c->source_index, c->source_lamport,
                 is_return);
}

/* ---- one slot ------------------------------------------------------------------------
 */

static enum err slot_read(void *context, struct record out[], size_t max, size_t *count,
                          void **hold)
{
    struct slot_run *s = context;
    TRY(s->source->read(s->source->context, s->out->slot, s->next, out, max, count,
                        hold));
    s->next += *count;
    return ERR_OK;
}

static void slot_release(void *context, void *hold)
{
    struct slot_run *s = context;
    if (s->source->release)
        s->source->release(s->source->context, hold);
}

static enum err slot_apply(void *context, const struct entry *e, const struct record *r,
                           const struct hash *leaf)
{
    struct slot_run *s = context;
    struct replay_fault fault;
    if (r->slot != s->out->slot || r->index != s->frontier.size)
        return ERR_CORRUPT;
    if (r->index == 0 && s->out->log_open && !hash_equal(&e->id, s->out->log_open))
        return ERR_FORK;
    TRY(replay_apply(&s->p, e, r, &fault));
    if (s->keep_items && (s->p.fx->item_count > 0 || s->p.fx->settles))
        TRY(carry_all(s, e));
    return frontier_append(&s->frontier, leaf) ? ERR_OK : ERR_RANGE;
}

static enum err check_checkpoint(struct slot_run *s)
{
    struct bytes note = s->out->checkpoint;
    s->out->root = frontier_root(&s->frontier);
    if (note.size == 0)
        return ERR_OK;
    struct checkpoint c;
    if (!s->p.hub.open ||
        !checkpoint_open(&c, (const char *)note.data, note.size, &s->p.hub.log)) {
        snprintf(s->out->why, sizeof(s->out->why),
                 "checkpoint is not signed by the slot's log key");
        return ERR_SIGNATURE;
    }
    if (c.size != s->frontier.size || !hash_equal(&c.root, &s->out->root)) {
        snprintf(
            s->out->why, sizeof(s->out->why),
            "records give another tree than the checkpoint: %llu leaves against %llu",
            (unsigned long long)s->frontier.size, (unsigned long long)c.size);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static enum err slot_finish(void *context)
{
    struct slot_run *s = context;
    if (s->out->checkpoint.size == 0 && s->frontier.size == 0)
        return ERR_OK;
    TRY(check_checkpoint(s));
    s->out->accounts = s->p.seat_count;
    s->out->accrued = s->p.hub.accrued;
    s->out->adjusted = s->p.hub.adjusted;
    s->out->sent = s->p.hub.sent;
    s->out->settled = s->p.hub.settled;
    return replay_digest(&s->p, &s->out->digest, &s->out->balances);
}

static void slot_close(struct slot_run *s)
{
    for (size_t i = 0; s->sent && i < SLOTS_MAX; i++)
        free(s->sent[i].items);
    for (size_t i = 0; s->settled && i < SLOTS_MAX; i++)
        free(s->settled[i].items);
    free(s->sent);
    free(s->settled);
    replay_close(&s->p);
}

/* ---- all slots -----------------------------------------------------------------------
 */

struct log_run {
    struct slot_run *slots;
    size_t count;
    struct {
        struct slot_run *slot;
        const struct tips *tips;
        uint64_t signatures;
        enum err err;
    } * checks;
    size_t check_count;
};

static enum err check_tips(void *context, size_t i)
{
    struct log_run *g = context;
    g->checks[i].err = tips_verify(g->checks[i].tips, &g->checks[i].signatures);
    return g->checks[i].err;
}

static enum err verify_all_tips(struct log_run *g, const struct verify_options *o,
                                uint64_t *signatures)
{
    size_t count = 0;
    for (size_t i = 0; i < g->count; i++)
        count += g->slots[i].p.seat_count + 1;
    g->checks = calloc(count, sizeof(*g->checks));
    if (!g->checks)
        return ERR_MEMORY;
    for (size_t i = 0; i < g->count; i++) {
        struct slot_run *s = &g->slots[i];
        g->checks[g->check_count].slot = s;
        g->checks[g->check_count++].tips = &s->p.hub_tips;
        for (size_t k = 0; k < s->p.seat_count; k++) {
            g->checks[g->check_count].slot = s;
            g->checks[g->check_count++].tips = &s->p.seats[k]->tips;
        }
    }
    enum err e = verify_each(count, o->threads, check_tips, g);
    for (size_t i = 0; i < count; i++) {
        struct verify_slot *out = g->checks[i].slot->out;
        *signatures += g->checks[i].signatures;
        out->signatures += g->checks[i].signatures;
        if (g->checks[i].err != ERR_OK && out->err == ERR_OK) {
            out->err = g->checks[i].err;
            snprintf(out->why, sizeof(out->why),
                     "last entry of a key in an account does not verify");
        }
    }
    free(g->checks);
    return e;
}

/* Is every slot of one hub here, each replayed without an error? */
static bool is_whole_hub(const struct log_run *g)
{
    bool seen[SLOTS_MAX] = {false};
    size_t distinct = 0;
    for (size_t i = 0; i < g->count; i++) {
        const struct slot_run *s = &g->slots[i];
        if (!s->p.hub.open || s->out->err != ERR_OK ||
            s->p.hub.slots != g->slots[0].p.hub.slots ||
            strcmp(s->p.hub.hub, g->slots[0].p.hub.hub) != 0)
            return false;
        if (!seen[s->p.hub.slot])
            distinct++;
        seen[s->p.hub.slot] = true;
    }
    return g->count > 0 && distinct == g->slots[0].p.hub.slots && distinct == g->count;
}

/* A destination may be behind its source, never beside or past it. */
static enum err compare_channels(struct log_run *g, struct verify_log_report *report)
{
    int64_t balances = 0, made = 0;
    uint64_t flying = 0;
    for (size_t i = 0; i < g->count; i++) {
        struct slot_run *to = &g->slots[i];
        for (size_t k = 0; k < g->count; k++) {
            struct slot_run *from = &g->slots[k];
            const struct carried *put_there = &from->sent[to->p.hub.slot];
            const struct carried *taken = &to->settled[from->p.hub.slot];
            if (taken->count > put_there->count ||
                (taken->count && memcmp(taken->items, put_there->items,
                                        taken->count * sizeof(struct hash)) != 0)) {
                to->out->err = ERR_CHANNEL;
                snprintf(to->out->why, sizeof(to->out->why),
                         "settled something that slot %u did not send", from->p.hub.slot);
                return ERR_CHANNEL;
            }
        }
        balances += to->out->balances;
        made += to->out->accrued + to->out->adjusted;
        flying += to->out->sent - to->out->settled;
    }
    report->conserved = (uint64_t)balances + flying == (uint64_t)made;
    return report->conserved ? ERR_OK : ERR_CORRUPT;
}

static enum err open_run(struct slot_run *s, struct verify_slot *out,
                         const struct verify_source *source,
                         const struct verify_options *o, bool keep_items)
{
    const struct verify_slot asked = *out;
    memset(out, 0, sizeof(*out));
    out->slot = asked.slot;
    out->checkpoint = asked.checkpoint;
    out->log_open = asked.log_open;
    s->out = out;
    s->source = source;
    s->o = o;
    s->keep_items = keep_items;
    TRY(replay_open(&s->p, asked.slot, o->mode == VERIFY_TIP && !o->no_signatures));
    if (keep_items) {
        s->sent = calloc(SLOTS_MAX, sizeof(*s->sent));
        s->settled = calloc(SLOTS_MAX, sizeof(*s->settled));
    }
    return !keep_items || (s->sent && s->settled) ? ERR_OK : ERR_MEMORY;
}

static enum err run_lanes(struct log_run *g, const struct verify_options *o,
                          uint64_t *signatures)
{
    struct verify_lane *lanes = calloc(g->count, sizeof(*lanes));
    if (!lanes)
        return ERR_MEMORY;
    for (size_t i = 0; i < g->count; i++)
        lanes[i] = (struct verify_lane){.context = &g->slots[i],
                                        .read = slot_read,
                                        .release = slot_release,
                                        .apply = slot_apply,
                                        .finish = slot_finish};
    enum err e = verify_lanes(lanes, g->count, o, signatures);
    for (size_t i = 0; i < g->count; i++) {
        struct verify_slot *out = g->slots[i].out;
        out->records = g->slots[i].frontier.size;
        out->err = lanes[i].err;
        out->index = lanes[i].index;
        if (out->err != ERR_OK && !out->why[0])
            snprintf(out->why, sizeof(out->why), "record %llu: %s",
                     (unsigned long long)out->index, err_text(out->err));
    }
    free(lanes);
    return e;
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

enum err verify_log(const struct verify_source *source, struct verify_slot slots[],
                    size_t count, const struct verify_options *o,
                    struct verify_log_report *report)
{
    struct log_run g = {.count = count};
    uint64_t from = now_us();
    memset(report, 0, sizeof(*report));
    if (count == 0)
        return ERR_OK;
    g.slots = calloc(count, sizeof(*g.slots));
    if (!g.slots)
        return ERR_MEMORY;
    enum err e = ERR_OK;
    for (size_t i = 0; i < count; i++) {
        enum err opened = open_run(&g.slots[i], &slots[i], source, o, true);
        if (e == ERR_OK)
            e = opened;
    }
    if (e == ERR_OK)
        e = run_lanes(&g, o, &report->signatures);
    if (e == ERR_OK && o->mode == VERIFY_TIP && !o->no_signatures)
        e = verify_all_tips(&g, o, &report->signatures);
    if (e == ERR_OK && is_whole_hub(&g)) {
        report->all_slots = true;
        e = compare_channels(&g, report);
    }
    for (size_t i = 0; i < count; i++) {
        report->records += slots[i].records;
        slot_close(&g.slots[i]);
    }
    free(g.slots);
    report->elapsed_us = now_us() - from;
    return e;
}
