/* A device: it keeps its chain and what it has sent and not been answered, sends the same
 * bytes again until there is an answer, and builds anew on the head a refusal brings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "town.h"

#define HELLO_MS_MAX 8000
#define SILENT_MS_MAX 20000
#define HEAD_AGAIN_MS 4000

static void on_wake(struct world *w, struct peer *p);

/* ---- entries ---- */

/* Send these, in one frame. */
void peer_submit(struct world *w, struct peer *p, const uint32_t entries[],
                 uint32_t count)
{
    static uint8_t room[1u << 20];
    struct town *t = town_of(w);
    if (p->line_state != LINE_OPEN || count == 0)
        return;
    struct submit_sent *sent = &p->sent[++p->rid % SUBMITS];
    *sent = (struct submit_sent){.rid = p->rid, .count = count};
    memcpy(sent->entries, entries, count * sizeof *entries);
    struct wire_frame f = {.type = WIRE_SUBMIT, .rid = p->rid, .count = count};
    struct mp_writer m = mp_writer_of(room, sizeof room);
    wire_put(&m, &f);
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_entry *e = &t->entries[entries[i]];
        wire_put_envelope(&m, bytes_of(e->bytes, e->size));
    }
    world_send(w, p->actor.id, p->site->actor.id, MSG_FRAME, p->line, room, m.size,
               false);
}

static void resend(struct world *w, struct peer *p)
{
    p->resend_at = w->now_ms + 800 + draw(w, 3000);
    uint32_t most = (uint32_t)p->site->rules.limits.entries_a_frame;
    uint32_t count = p->now.window_count;
    peer_submit(w, p, p->now.window, count < most ? count : most);
}

/* Up to three of the account's newest entries, never the one before. */
static unsigned choose_refs(struct world *w, const struct account *a,
                            const struct chain *on, struct hash refs[3],
                            uint64_t *lamport)
{
    unsigned count = 0;
    if (a == NULL || draw(w, 3) != 0)
        return 0;
    for (unsigned tries = draw(w, 4); tries > 0 && a->ref_count > 0; tries--) {
        uint32_t at = draw(w, a->ref_count);
        const struct reference *r = &a->refs[at];
        unsigned k = 0;
        while (k < count && !hash_equal(&refs[k], &r->id))
            k++;
        if (k < count || hash_equal(&r->id, &on->tip))
            continue;
        for (k = count++; k > 0 && hash_compare(&refs[k - 1], &r->id) > 0; k--)
            refs[k] = refs[k - 1];
        refs[k] = r->id;
        if (r->lamport > *lamport)
            *lamport = r->lamport;
    }
    return count;
}

uint32_t peer_write(struct world *w, struct peer *p, const struct chain *on)
{
    struct town *t = town_of(w);
    struct hash refs[3];
    uint64_t lamport = on->tip_lamport;
    const struct hash *account = &t->groups[p->group].id;
    unsigned count = choose_refs(w, account_now(p->site, account), on, refs, &lamport);
    struct entry_draft d = {.account = account,
                            .seq = on->next_seq,
                            .prev = &on->tip,
                            .refs = refs,
                            .ref_count = count,
                            .lamport = lamport + 1,
                            .time_ms = draw(w, 10) == 0 ? rng_next(&w->rng) >> 1
                                                        : site_wall_ms(w, p->site)};
    kit_sign(&t->entry, &d, &t->payload, key_at(p->key));
    uint32_t n = entry_keep(t, t->entry.bytes, t->entry.size);
    t->entries[n].before = *on;
    say(w, "%s writes #%u, a %s, seq %llu", p->actor.name, n, kind_word(t->entry.e.kind),
        (unsigned long long)on->next_seq);
    return n;
}

/* ---- old states ---- */

static void remember(struct world *w, struct peer *p)
{
    if (draw(w, 20) != 0)
        return;
    p->old = p->now;
    p->has_old = true;
}

void peer_restart(struct world *w, struct peer *p)
{
    if (!p->has_old || p->state != PEER_LIVE)
        return;
    bool careful = draw(w, 3) > 0;
    say(w, "%s starts from an old state, seq %llu, and %s", p->actor.name,
        (unsigned long long)p->old.chain.next_seq,
        careful ? "asks for its head" : "goes on as if nothing was");
    peer_hang_up(w, p);
    p->now = p->old;
    p->must_ask = careful;
}

void peer_clone(struct world *w, const struct peer *p)
{
    struct town *t = town_of(w);
    if (p->state != PEER_LIVE || t->peer_count >= t->peers_max + 4)
        return;
    struct peer *c = peer_add(w, p->site, p->group, p->key);
    snprintf(c->actor.name, sizeof c->actor.name, "%.18s bis", p->actor.name);
    c->state = PEER_LIVE;
    c->now = p->now;
    c->is_clone = true;
    c->is_recovery = p->is_recovery;
    say(w, "%s is a clone of %s", c->actor.name, p->actor.name);
}

/* ---- waking ---- */

static bool may_begin(const struct world *w, const struct peer *p)
{
    const struct town *t = town_of(w);
    if (p->state != PEER_LIVE || !t->groups[p->group].open || p->must_ask)
        return false;
    return p->now.window_count < WINDOW && (!w->closing || !p->said_farewell);
}

static void use_line(struct world *w, struct peer *p)
{
    bool waits = p->now.window_count > 0 || p->must_ask;
    if (w->now_ms - p->heard_ms > SILENT_MS_MAX && waits) {
        peer_hang_up(w, p);
        return;
    }
    if (p->must_ask) {
        if (w->now_ms >= p->asked_at)
            peer_ask_head(w, p);
        p->asked_at = w->now_ms >= p->asked_at ? w->now_ms + HEAD_AGAIN_MS : p->asked_at;
        return;
    }
    if (p->now.window_count > 0 && w->now_ms >= p->resend_at)
        resend(w, p);
    if (!may_begin(w, p))
        return;
    if (w->closing) {
        if (p->now.window_count > 0)
            return;
        p->said_farewell = true;
        if (p->is_recovery || p->is_clone)
            return;
        words_note(w, p, 40);
    } else if (goes_wrong(w, BAD_WRONG)) {
        wrong_write(w, p);
    } else {
        words_write(w, p);
        remember(w, p);
    }
}

static void on_wake(struct world *w, struct peer *p)
{
    if (p->state == PEER_DEAD || p->state == PEER_GONE) {
        peer_hang_up(w, p);
        return;
    }
    world_at(w, &p->actor, 1 + draw(w, 2 * p->think_ms), 0, 0);
    if (p->line_state == LINE_DOWN) {
        bool wanted = p->now.window_count > 0 || p->must_ask || may_begin(w, p);
        if (wanted && w->now_ms >= p->dial_at)
            peer_dial(w, p);
    } else if (p->line_state != LINE_OPEN) {
        if (w->now_ms - p->line_since > HELLO_MS_MAX)
            peer_hang_up(w, p);
    } else if (goes_wrong(w, BAD_CUT)) {
        say(w, "the line of %s breaks", p->actor.name);
        peer_hang_up(w, p);
    } else {
        use_line(w, p);
    }
    if (goes_wrong(w, BAD_RESTART))
        peer_restart(w, p);
    if (goes_wrong(w, BAD_CLONE))
        peer_clone(w, p);
}

/* ---- life ---- */

static void on_timer(struct world *w, struct actor *a, const struct timer *t)
{
    (void)t;
    on_wake(w, (struct peer *)(void *)a);
}

static bool done(struct world *w, struct actor *a, const char **why)
{
    const struct peer *p = (struct peer *)(void *)a;
    (void)w;
    if (p->state == PEER_DEAD || p->state == PEER_GONE)
        return true;
    *why = p->state == PEER_OPENING  ? "an account is not open yet"
           : p->must_ask             ? "a device waits for its head"
           : p->now.window_count > 0 ? "an entry has no answer"
                                     : "a device has not said farewell";
    return p->state == PEER_LIVE && !p->must_ask && p->now.window_count == 0 &&
           p->said_farewell;
}

static void close_peer(struct actor *a)
{
    free(a);
}

static const struct actor_ops peer_ops = {
    .message = peer_message, .timer = on_timer, .done = done, .close = close_peer};

struct peer *peer_add(struct world *w, struct site *s, uint32_t group, uint32_t key)
{
    struct town *t = town_of(w);
    struct peer *p = calloc(1, sizeof *p);
    if (p == NULL)
        abort();
    p->actor.ops = &peer_ops;
    snprintf(p->actor.name, sizeof p->actor.name, "device %u of %u", key % 10000, group);
    p->site = s;
    p->group = group;
    p->key = key;
    p->think_ms = 100 + draw(w, 900);
    t->peers[t->peer_count++] = p;
    world_add(w, &p->actor);
    world_at(w, &p->actor, 1 + draw(w, 500), 0, 0);
    return p;
}
