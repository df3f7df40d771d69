/* One audit: which logs, every slot judged, then what only all of them together show. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/audit/engine.h"
#include "ledger/scratch.h"

#define PROGRESS_EVERY_US 200000 /* five times a second */
#define NOWHERE UINT64_MAX

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- which logs ------------------------------------------------------------------------
 */

/* "<hub>/<two hex>" */
static bool split_origin(const char *origin, char hub[HUB_NAME_MAX + 1], uint32_t *slot)
{
    size_t n = strlen(origin);
    uint8_t number;
    if (n < 4 || n - 3 > HUB_NAME_MAX || origin[n - 3] != '/' ||
        !hex_decode(&number, 1, origin + n - 2, 2))
        return false;
    memcpy(hub, origin, n - 3);
    hub[n - 3] = 0;
    *slot = number;
    return true;
}

static void first_line(const struct buf *note, char out[AUDIT_TEXT_MAX])
{
    size_t n = 0;
    while (n < note->size && n < AUDIT_TEXT_MAX - 1 && note->data[n] >= ' ' &&
           note->data[n] < 127)
        n++;
    memcpy(out, note->data, n);
    out[n] = 0;
}

/* The checkpoint of a slot and what it is worth under the policy. */
static void take_checkpoint(struct slot_audit *s)
{
    struct audit *a = s->a;
    enum err e = a->source->ops->checkpoint(a->source, s->slot, &s->note);
    if (e != ERR_OK) {
        find_at(s, AUDIT_SOURCE, NOWHERE, NULL, "a checkpoint", "none", "%.199s",
                audit_source_where(a->source, s->slot)[0]
                    ? audit_source_where(a->source, s->slot)
                    : err_text(e));
        return;
    }
    policy_check(a->o->policy, (const char *)s->note.data, s->note.size, &s->verdict);
    char origin[AUDIT_TEXT_MAX], hub[HUB_NAME_MAX + 1];
    uint32_t slot;
    first_line(&s->note, origin);
    switch (s->verdict.note) {
    case NOTE_OK:
        break;
    case NOTE_MALFORMED:
        find_at(s, AUDIT_SIGNATURE, NOWHERE, NULL, "", "",
                "the checkpoint is not a C2SP signed note");
        return;
    case NOTE_UNKNOWN:
        find_at(s, AUDIT_SIGNATURE, NOWHERE, NULL, "", origin,
                "the checkpoint is signed by no log of the policy");
        return;
    case NOTE_BAD:
        find_at(s, AUDIT_SIGNATURE, NOWHERE, NULL, "", origin,
                "the signature on the checkpoint does not verify");
        return;
    }
    s->checkpoint = s->verdict.checkpoint;
    s->log = &a->o->policy->logs[s->verdict.log];
    snprintf(s->out->origin, sizeof(s->out->origin), "%s", s->checkpoint.origin);
    s->out->size = s->checkpoint.size;
    s->out->root = s->checkpoint.root;
    if (!split_origin(s->checkpoint.origin, hub, &slot) || slot != s->slot) {
        find_at(s, AUDIT_ORDER, NOWHERE, NULL, "", origin,
                "this checkpoint is of another slot");
        return;
    }
    if (!a->report->hub[0])
        memcpy(a->report->hub, hub, sizeof(hub));
    if (strcmp(a->report->hub, hub) != 0) {
        find_at(s, AUDIT_ORDER, NOWHERE, NULL, a->report->hub, hub,
                "this checkpoint is of another hub");
        return;
    }
    s->judged = s->out->trusted = true;
    s->out->witnesses = s->verdict.witnesses;
    s->out->quorum = s->verdict.quorum;
}

/* Logs of this hub that the policy names and the source does not show. */
static void missing_logs(struct audit *a)
{
    const struct policy *p = a->o->policy;
    char hub[HUB_NAME_MAX + 1];
    uint32_t slot;
    for (size_t i = 0; i < p->log_count; i++) {
        bool there = false;
        if (!split_origin(p->logs[i].key.name, hub, &slot) ||
            strcmp(hub, a->report->hub) != 0)
            continue;
        for (size_t k = 0; k < a->count && !there; k++)
            there = a->slots[k].slot == slot;
        if (there || a->count == 0)
            continue;
        find_at(&a->slots[0], AUDIT_SOURCE, NOWHERE, NULL, p->logs[i].key.name, "nothing",
                "the policy names a log that is not there");
        struct slot_audit *s = &a->slots[0];
        if (s->finding_count)
            s->findings[s->finding_count - 1].slot = slot;
    }
}

static enum err open_slots(struct audit *a, char why[AUDIT_WHY_MAX])
{
    uint32_t slots[SLOTS_MAX];
    enum err e = a->source->ops->slots(a->source, slots, &a->count);
    if (e != ERR_OK || a->count == 0) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", a->source->name,
                 e == ERR_OK ? "no log is there" : err_text(e));
        return e == ERR_OK ? ERR_MISSING : e;
    }
    a->slots = calloc(a->count, sizeof(*a->slots));
    if (!a->slots)
        return ERR_MEMORY;
    a->report->slot_count = a->count;
    bool keep_tips = a->o->mode == AUDIT_TIP && !a->o->no_signatures;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        s->a = a;
        s->slot = slots[i];
        s->out = &a->report->slots[i];
        s->out->slot = slots[i];
        pthread_mutex_init(&s->lock, NULL);
        s->channels = calloc(SLOTS_MAX, sizeof(*s->channels));
        if (!s->channels)
            return ERR_MEMORY;
        channels_clear(s);
        TRY(replay_open(&s->p, s->slot, keep_tips));
    }
    for (size_t i = 0; i < a->count; i++)
        take_checkpoint(&a->slots[i]);
    return ERR_OK;
}

static void close_slots(struct audit *a)
{
    promises_close(a);
    for (size_t i = 0; a->slots && i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (s->channels)
            channels_clear(s);
        for (size_t k = 0; k < s->seen_count; k++)
            free(s->seen[k].note);
        judge_blocks_close(s);
        free(s->seen);
        free(s->channels);
        buf_close(&s->note);
        replay_close(&s->p);
        if (s->a)
            pthread_mutex_destroy(&s->lock);
    }
    free(a->slots);
    a->slots = NULL;
    a->count = 0;
}

/* ---- running ---------------------------------------------------------------------------
 */

static bool on_progress(void *context, uint64_t done)
{
    struct audit *a = context;
    const struct audit_options *o = a->o;
    uint64_t now = now_us();
    uint64_t every = o->progress_us ? o->progress_us : PROGRESS_EVERY_US;
    if (!o->progress || (now - a->clock.told_us < every && done < a->total))
        return true;
    a->clock.told_us = now;
    double seconds = (double)(now - a->clock.began_us) / 1e6;
    struct audit_progress p = {.operation = o->no_signatures ? "replay" : "verify",
                               .done = a->before + done,
                               .total = a->before + a->total};
    for (size_t i = 0; i < a->count; i++)
        p.errors += __atomic_load_n(&a->slots[i].finding_count, __ATOMIC_RELAXED);
    p.rate = seconds > 0 ? (double)done / seconds : 0;
    p.eta_ms = p.rate > 0 && a->total > done
                   ? (uint64_t)((double)(a->total - done) / p.rate * 1e3)
                   : 0;
    return o->progress(o->progress_context, &p);
}

static enum err run_lanes(struct audit *a)
{
    struct verify_lane *lanes = calloc(a->count, sizeof(*lanes));
    size_t count = 0;
    if (!lanes)
        return ERR_MEMORY;
    a->total = a->before = 0;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (!s->judged)
            continue;
        a->total += s->checkpoint.size - s->from;
        a->before += s->from;
        lanes[count++] = (struct verify_lane){.context = s,
                                              .read = judge_read,
                                              .release = judge_release,
                                              .apply = judge_apply,
                                              .refuse = judge_refuse,
                                              .finish = judge_finish,
                                              .withheld = true};
        s->lane = &lanes[count - 1];
    }
    struct verify_options o = {.mode = a->o->mode == AUDIT_FULL ? VERIFY_FULL : VERIFY_TIP,
                               .threads = a->o->threads,
                               .no_signatures = a->o->no_signatures,
                               .progress = a->o->progress ? on_progress : NULL,
                               .progress_context = a};
    uint64_t signatures = 0;
    a->clock.began_us = now_us();
    enum err e = verify_lanes(lanes, count, &o, &signatures);
    a->signatures += signatures;
    free(lanes);
    if (e == ERR_TIMEOUT) {
        a->interrupted = true;
        e = ERR_OK;
    }
    return e;
}

/* ---- tips: one signature vouches for all before it -------------------------------------
 */

struct tip_check {
    struct slot_audit *slot;
    const struct tips *tips;
    uint64_t signatures;
    enum err err;
};
struct tip_run {
    struct tip_check *checks;
};

static enum err check_tips(void *context, size_t i)
{
    struct tip_check *c = &((struct tip_run *)context)->checks[i];
    c->err = tips_verify(c->tips, &c->signatures);
    return c->err == ERR_SIGNATURE ? ERR_OK : c->err;
}

/* Some signature of this slot is bad: which record is the first? */
static enum err name_bad_signature(struct slot_audit *s)
{
    struct audit_source *source = s->a->source;
    struct block *b = malloc(sizeof(*b));
    bool found = false;
    enum err e = b ? ERR_OK : ERR_MEMORY;
    for (uint64_t at = s->from; at < s->index && e == ERR_OK && !found;) {
        void *hold = NULL;
        b->count = 0;
        e = source->ops->read(source, s->slot, at, s->checkpoint.size, b->records,
                              AUDIT_READ_MAX, &b->count, &hold);
        if (e != ERR_OK || b->count == 0)
            break;
        for (size_t i = 0; i < b->count && !found; i++) {
            UNINITIALIZED struct entry x;
            const struct audit_record *r = &b->records[i];
            if (!(r->has & AUDIT_HAS_ENVELOPE) ||
                entry_decode(&x, r->r.envelope.data, r->r.envelope.size) != ERR_OK ||
                entry_verify(&x))
                continue;
            find_at(s, AUDIT_SIGNATURE, r->r.index, r, "", err_word(ERR_SIGNATURE), "%s",
                    err_text(ERR_SIGNATURE));
            s->findings[s->finding_count - 1].code = ERR_SIGNATURE;
            found = true;
        }
        at = b->records[b->count - 1].r.index + 1;
        source->ops->release(source, hold);
    }
    free(b);
    if (!found && e == ERR_OK)
        find_at(s, AUDIT_SIGNATURE, NOWHERE, NULL, "", "",
                "the last entry of a key does not verify");
    return e == ERR_MEMORY ? e : ERR_OK;
}

static enum err verify_tips(struct audit *a)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < a->count; i++)
        count += a->slots[i].p.seat_count + 1;
    struct tip_run g = {.checks = calloc(count, sizeof(*g.checks))};
    if (!g.checks)
        return ERR_MEMORY;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        g.checks[at++] = (struct tip_check){.slot = s, .tips = &s->p.hub_tips};
        for (size_t k = 0; k < s->p.seat_count; k++)
            g.checks[at++] =
                (struct tip_check){.slot = s, .tips = &s->p.seats[k]->tips};
    }
    enum err e = verify_each(count, a->o->threads, check_tips, &g);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        struct slot_audit *s = g.checks[i].slot;
        a->signatures += g.checks[i].signatures;
        s->out->signatures += g.checks[i].signatures;
        if (g.checks[i].err != ERR_SIGNATURE || s->signature_told)
            continue;
        s->signature_told = true;
        e = name_bad_signature(s);
    }
    free(g.checks);
    return e;
}

/* ---- all slots together ----------------------------------------------------------------
 */

static bool whole_hub(const struct audit *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct slot_audit *s = &a->slots[i];
        if (!s->judged || s->dead || s->lost || s->withheld || !s->p.hub.open ||
            s->p.view != VIEW_SLOT || s->index != s->checkpoint.size ||
            s->p.hub.slots != a->count)
            return false;
    }
    return a->count > 0;
}

/* Does the source's log by now reach what the other slot settled from it? */
static bool reaches(struct audit *a, const struct slot_audit *from, uint64_t index)
{
    struct buf note = {0};
    struct policy_verdict v;
    bool there = audit_source_later(a->source, from->slot, &note) == ERR_OK;
    if (there)
        policy_check(a->o->policy, (const char *)note.data, note.size, &v);
    there = there && v.note == NOTE_OK &&
            strcmp(v.checkpoint.origin, from->checkpoint.origin) == 0 &&
            v.checkpoint.size > index;
    buf_close(&note);
    return there;
}

/* What was settled past the checkpoint read of its source is compared by the audit that reads
 * further; until the source's log reaches it, this one is not finished. */
static void settled_early(struct audit *a, const struct slot_audit *from,
                          const struct slot_audit *to, const struct channel_end *end)
{
    char why[AUDIT_TEXT_MAX];
    a->early = a->early || !reaches(a, from, end->beyond_last);
    snprintf(why, sizeof(why),
             "slot %02x settled what stands past the checkpoint read of slot %02x (index %" PRIu64
             "): an audit that reads further compares it",
             to->slot, from->slot, end->beyond_last);
    skip_check(a->report, AUDIT_CONSERVATION, why);
}

static enum err compare_pair(struct audit *a, struct slot_audit *from, struct slot_audit *to,
                             bool whole)
{
    const struct item_list *sent = &from->channels[to->slot].sent;
    const struct channel_end *end = &to->channels[from->slot];
    const struct item_list *settled = &end->settled;
    char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
    uint64_t differ;
    TRY(items_compare(&a->items, sent, settled, &differ));
    if (differ != UINT64_MAX) {
        struct hash x, y;
        TRY(item_at(&a->items, sent, differ, &x));
        TRY(item_at(&a->items, settled, differ, &y));
        hex_encode(expected, x.b, HASH_BYTES);
        hex_encode(found, y.b, HASH_BYTES);
        find_at(to, AUDIT_CONSERVATION, NOWHERE, NULL, expected, found,
                "item %" PRIu64 " of the channel from slot %02x is not the one it sent",
                differ, from->slot);
    } else if (whole && settled->count > sent->count && end->beyond <= sent->count) {
        settled_early(a, from, to, end);
    } else if (whole && settled->count > sent->count) {
        snprintf(expected, sizeof(expected), "%" PRIu64, sent->count);
        snprintf(found, sizeof(found), "%" PRIu64, settled->count);
        find_at(to, AUDIT_CONSERVATION, NOWHERE, NULL, expected, found,
                "more was settled than slot %02x ever sent", from->slot);
    }
    return ERR_OK;
}

static enum err check_conservation(struct audit *a)
{
    struct audit_report *r = a->report;
    int64_t balances = 0, made = 0;
    uint64_t flying = 0;
    bool clean = true, whole = whole_hub(a);
    if (!whole)
        skip_check(r, AUDIT_CONSERVATION,
                   "not every slot of the hub could be followed to its end");
    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < a->count; k++) {
            size_t before = a->slots[i].finding_count;
            TRY(compare_pair(a, &a->slots[k], &a->slots[i], whole));
            clean = clean && a->slots[i].finding_count == before;
        }
    a->compared = true;
    if (!whole)
        return ERR_OK;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        balances += s->out->balances;
        made += s->p.hub.accrued + s->p.hub.adjusted;
        flying += s->p.hub.sent - s->p.hub.settled;
    }
    r->conserved = clean && (uint64_t)balances + flying == (uint64_t)made;
    if (clean && !r->conserved) {
        char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
        snprintf(expected, sizeof(expected), "%" PRId64, made);
        snprintf(found, sizeof(found), "%" PRIu64, (uint64_t)balances + flying);
        find_at(&a->slots[0], AUDIT_CONSERVATION, NOWHERE, NULL, expected, found,
                "balances and points in flight are not what was accrued and adjusted");
    }
    return ERR_OK;
}

/* The container's own name for the hub against the log's. */
static void check_identity(struct audit *a)
{
    struct hash federation;
    char hub[HUB_NAME_MAX + 1];
    uint32_t slots;
    if (!a->source->ops->identity ||
        a->source->ops->identity(a->source, &federation, hub, &slots) != ERR_OK)
        return;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (!s->p.hub.open || s->dead)
            continue;
        if (strcmp(hub, s->p.hub.hub) != 0 || slots != s->p.hub.slots ||
            !hash_equal(&federation, &s->p.hub.federation)) {
            find_at(s, AUDIT_SOURCE, NOWHERE, NULL, s->p.hub.hub, hub,
                    "the container names another hub, federation or number of slots than "
                    "the log");
            return;
        }
    }
}

static void check_keys(struct audit *a)
{
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        if (!s->judged || s->dead || !s->p.hub.open)
            continue;
        if (strcmp(s->p.hub.log.name, s->log->key.name) != 0 ||
            !pubkey_equal(&s->p.hub.log.key, &s->log->key.key))
            find_at(s, AUDIT_KEY_VALID, NOWHERE, NULL, "", "",
                    "the log names another log key in force than the policy");
    }
}

static void check_cosignatures(struct audit *a)
{
    struct audit_report *r = a->report;
    if (a->o->policy->quorum_kind == POLICY_NONE) {
        skip_check(r, AUDIT_COSIGN, "the policy asks for no witness (quorum none)");
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        char found[AUDIT_TEXT_MAX];
        if (!s->judged || s->verdict.quorum)
            continue;
        snprintf(found, sizeof(found), "%d of the policy's %zu witnesses",
                 __builtin_popcountll(s->verdict.witnesses), a->o->policy->witness_count);
        find_at(s, AUDIT_COSIGN, NOWHERE, NULL, "the policy's quorum", found,
                "too few witnesses have cosigned this checkpoint");
    }
}

/* The newest sign of life: a cosignature, or the hub's time of the newest record. */
static void check_cadence(struct audit *a)
{
    if (a->o->max_age_s == 0) {
        if (!(a->report->skipped >> AUDIT_CADENCE & 1))
            skip_check(a->report, AUDIT_CADENCE, "no largest age was given (--max-age)");
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        uint64_t newest = s->last_time_ms / 1000;
        char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
        if (!s->judged)
            continue;
        for (size_t k = 0; k < a->o->policy->witness_count; k++)
            if ((s->verdict.witnesses >> k & 1) && s->verdict.times[k] > newest)
                newest = s->verdict.times[k];
        if (newest + a->o->max_age_s >= a->o->now_s)
            continue;
        snprintf(expected, sizeof(expected), "at most %" PRIu64 " s", a->o->max_age_s);
        snprintf(found, sizeof(found), "%" PRIu64 " s", a->o->now_s - newest);
        find_at(s, AUDIT_CADENCE, NOWHERE, NULL, expected, found,
                "the newest record or cosignature is too old");
    }
}

static void close_results(struct audit *a)
{
    struct audit_report *r = a->report;
    uint64_t withheld = 0;
    r->complete = !a->interrupted && !a->early;
    r->records = r->checked = 0;
    for (size_t i = 0; i < a->count; i++) {
        struct slot_audit *s = &a->slots[i];
        struct audit_slot_result *out = s->out;
        out->from = s->from;
        out->checked = s->index;
        out->accounts = s->p.seat_count;
        out->withheld = s->withheld;
        out->accrued = s->p.hub.accrued;
        out->adjusted = s->p.hub.adjusted;
        out->in_flight = (int64_t)(s->p.hub.sent - s->p.hub.settled);
        r->records += s->checkpoint.size;
        r->checked += s->index < s->checkpoint.size ? s->index : s->checkpoint.size;
        withheld += s->withheld;
        if (!s->judged || s->ahead || s->index < s->checkpoint.size)
            r->complete = false;
    }
    if (withheld) {
        char why[AUDIT_TEXT_MAX];
        snprintf(why, sizeof(why),
                 "%" PRIu64 " records of pinned accounts are withheld here: their leaves "
                 "are in the tree, their content is not shown",
                 withheld);
        skip_check(r, AUDIT_CONSERVATION, why);
    }
    if (a->source->own)
        skip_check(r, AUDIT_RESIDENCY,
                   "this is the hub's own file, where pinned accounts belong");
    if (a->o->no_signatures)
        skip_check(r, AUDIT_SIGNATURE, "replay checks no signatures of entries");
}

static enum err run_once(struct audit *a, bool with_state, char why[AUDIT_WHY_MAX])
{
    struct audit_report *r = a->report;
    bool first_use = a->o->first_use;
    a->compared = a->early = false;
    memset(r, 0, sizeof(*r));
    r->policy = a->o->policy->hash;
    r->first_use = first_use;
    r->mode = a->o->mode;
    for (unsigned c = 1; c < AUDIT_CHECK_END; c++)
        r->ran |= UINT64_C(1) << c;
    TRY(open_slots(a, why));
    missing_logs(a);
    TRY(promises_load(a, why));
    for (size_t i = 0; i < a->count; i++)
        TRY(seen_load(&a->slots[i]));
    if (with_state)
        TRY(state_load(a, why));
    TRY(run_lanes(a));
    if (a->o->mode == AUDIT_TIP && !a->o->no_signatures)
        TRY(verify_tips(a));
    TRY(check_conservation(a));
    TRY(promises_check(a));
    check_identity(a);
    check_keys(a);
    check_cosignatures(a);
    check_cadence(a);
    close_results(a);
    return ERR_OK;
}

/* A tree that went on from a saved state and does not give the signed root may be a fork or
 * damage before that state: then everything is read again. */
static bool wants_whole(const struct audit *a)
{
    bool resumed = false, bad = false;
    for (size_t i = 0; i < a->count; i++) {
        resumed = resumed || a->slots[i].from > 0;
        bad = bad || a->slots[i].finding_count > 0;
    }
    return resumed && bad;
}

enum err audit_run(struct audit_source *source, const struct audit_options *o,
                   struct audit_report *r, char why[AUDIT_WHY_MAX])
{
    struct audit a = {.source = source, .o = o, .report = r};
    why[0] = 0;
    if (item_file_open(&a.items) != ERR_OK) {
        snprintf(why, AUDIT_WHY_MAX, "no temporary file can be made: set TMPDIR to a folder "
                                     "with room");
        return ERR_FILE;
    }
    enum err e = run_once(&a, o->state_dir != NULL, why);
    if (e == ERR_OK && !a.interrupted && wants_whole(&a)) {
        close_slots(&a);
        e = run_once(&a, false, why);
    }
    if (e == ERR_OK)
        e = evidence_keep(&a, why);
    for (size_t i = 0; e == ERR_OK && o->audited && i < a.count; i++)
        if (a.slots[i].judged)
            o->audited(o->audited_context, a.slots[i].slot,
                       bytes_of(a.slots[i].note.data, a.slots[i].note.size));
    if (e == ERR_OK) {
        report_close_slots(&a);
        if (o->state_dir)
            e = seen_save(&a, why);
        if (e == ERR_OK && o->state_dir && audit_exit(r) != 1)
            e = state_save(&a, why);
    }
    close_slots(&a);
    item_file_close(&a.items);
    return e;
}
