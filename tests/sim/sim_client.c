/* Account holders: each device writes its chain, several entries at a time, sends the
 * same bytes again until it is answered, and builds anew on the head a refusal brings. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static struct payload *scratch(void)
{
    static struct payload p;
    return &p;
}

static uint32_t key_of(uint32_t client, uint32_t device)
{
    return HUB_KEY_FREE + client * KEYS_PER_CLIENT + 1 + device;
}

static const struct key *root_of(uint32_t client)
{
    return kit_key(HUB_KEY_FREE + client * KEYS_PER_CLIENT);
}

static uint32_t keep_entry(struct sim *s, const struct kit_entry *e, uint32_t client,
                           uint32_t device)
{
    if (s->entry_count == s->entry_cap) {
        s->entry_cap = s->entry_cap == 0 ? 64 : s->entry_cap * 2;
        s->entries = realloc(s->entries, s->entry_cap * sizeof *s->entries);
        if (s->entries == NULL)
            abort();
    }
    uint8_t *bytes = malloc(e->size);
    if (bytes == NULL)
        abort();
    memcpy(bytes, e->bytes, e->size);
    s->entries[s->entry_count] = (struct sim_entry){.bytes = bytes,
                                                    .size = e->size,
                                                    .id = e->e.id,
                                                    .seq = e->e.seq,
                                                    .lamport = e->e.lamport,
                                                    .kind = (uint32_t)e->e.kind,
                                                    .client = client,
                                                    .device = device};
    return (uint32_t)s->entry_count++;
}

static void submit(struct sim *s, uint32_t entry)
{
    send_message(s, &(struct message){.to_hub = true, .entry = entry});
}

void client_make(struct sim *s, uint32_t n)
{
    static struct kit_entry e;
    struct sim_client *c = &s->clients[n];
    struct kit_open o = {.federation = kit_hash(1),
                         .hub = HUB_NAME,
                         .root = root_of(n),
                         .device = kit_key(key_of(n, 0)),
                         .nonce = rng_next(&s->rng)};
    kit_open(&e, &o);
    c->id = e.e.id;
    c->open_entry = keep_entry(s, &e, n, 0);
}

/* ---- writing ---- */

/* Another device's entry to refer to, sometimes. */
static unsigned choose_ref(struct sim *s, const struct sim_client *c, uint32_t device,
                           struct hash *ref, uint64_t *lamport)
{
    uint32_t other = rng_below(&s->rng, DEVICES_MAX_SIM);
    const struct sim_device *d = &c->devices[other];
    if (other == device || !d->has_seen || !rng_chance(&s->rng, 300) ||
        hash_equal(&d->seen, &c->devices[device].chain.tip))
        return 0;
    *ref = d->seen;
    *lamport = d->seen_lamport;
    return 1;
}

static void write_entry(struct sim *s, uint32_t n, uint32_t device, uint32_t adds_device)
{
    static struct kit_entry e;
    struct sim_client *c = &s->clients[n];
    struct sim_device *d = &c->devices[device];
    struct hash ref;
    uint64_t lamport = 0;
    unsigned refs = choose_ref(s, c, device, &ref, &lamport);
    if (lamport < d->chain.tip_lamport)
        lamport = d->chain.tip_lamport;
    struct entry_draft draft = {.account = &c->id,
                                .seq = d->chain.next_seq,
                                .prev = &d->chain.tip,
                                .refs = refs > 0 ? &ref : NULL,
                                .ref_count = refs,
                                .lamport = lamport + 1,
                                .time_ms = s->hub.now_ms};
    kit_sign(&e, &draft, scratch(), kit_key(key_of(n, device)));
    uint32_t entry = keep_entry(s, &e, n, device);
    s->entries[entry].adds_device = adds_device;
    d->chain = (struct chain){
        .next_seq = e.e.seq + 1, .tip = e.e.id, .tip_lamport = e.e.lamport};
    d->waiting[d->waiting_count++] = entry;
    say(s, "client %u.%u writes %s #%u seq %llu", (unsigned)n, (unsigned)device,
        kind_word(e.e.kind), (unsigned)entry, (unsigned long long)e.e.seq);
    submit(s, entry);
}

/* As the hub sees it now; at least 1. */
static int64_t all_he_has(struct sim *s, uint32_t n)
{
    const struct account *a = hub_account_at(&s->hub, &s->clients[n].id);
    return a == NULL || a->balance == 0 ? 1 : a->balance;
}

static void choose_transfer(struct sim *s, uint32_t n)
{
    struct payload *p = scratch();
    uint32_t payees =
        1 + rng_below(&s->rng, s->client_count < 4 ? s->client_count - 1 : 3);
    kit_transfer(p);
    for (uint32_t i = 0; i < payees; i++) {
        uint32_t to = (n + 1 + i) % s->client_count;
        struct hash nobody = kit_hash(rng_next(&s->rng));
        bool known = to != n && !rng_chance(&s->rng, 100);
        int64_t amount = 1 + (int64_t)rng_below(&s->rng, 60);
        if (payees == 1 && rng_chance(&s->rng, 150))
            amount = all_he_has(s, n) + (int64_t)rng_below(&s->rng, 2);
        kit_pay(p, known ? &s->clients[to].id : &nobody, amount);
    }
}

void client_act(struct sim *s, uint32_t n)
{
    struct sim_client *c = &s->clients[n];
    if (!c->open) {
        submit(s, c->open_entry);
        return;
    }
    uint32_t device = rng_below(&s->rng, DEVICES_MAX_SIM);
    struct sim_device *d = &c->devices[device];
    if (!d->enrolled)
        device = 0, d = &c->devices[0];
    if (d->waiting_count == WINDOW ||
        (d->waiting_count > 0 && rng_chance(&s->rng, 400))) {
        submit(s, d->waiting[rng_below(&s->rng, d->waiting_count)]);
        return;
    }
    uint32_t dice = rng_below(&s->rng, 100);
    uint32_t new_device = 1 + rng_below(&s->rng, DEVICES_MAX_SIM - 1);
    if (dice < 10 && device == 0 && !c->devices[new_device].asked) {
        struct pubkey key = kit_pub(key_of(n, new_device));
        uint64_t grant = c->devices[1].asked || c->devices[2].asked ? 2 : 1;
        kit_device_add(scratch(), &c->id, root_of(n), &key, grant);
        c->devices[new_device].asked = true;
        write_entry(s, n, 0, new_device);
    } else if (dice < 45) {
        kit_note(scratch(), "note", 4);
        write_entry(s, n, device, 0);
    } else {
        choose_transfer(s, n);
        write_entry(s, n, device, 0);
    }
}

void client_resend(struct sim *s, uint32_t n)
{
    const struct sim_client *c = &s->clients[n];
    if (!c->open)
        submit(s, c->open_entry);
    for (uint32_t i = 0; i < DEVICES_MAX_SIM; i++)
        for (uint32_t k = 0; k < c->devices[i].waiting_count; k++)
            submit(s, c->devices[i].waiting[k]);
}

bool client_is_done(const struct sim *s, uint32_t n)
{
    const struct sim_client *c = &s->clients[n];
    for (uint32_t i = 0; i < DEVICES_MAX_SIM; i++)
        if (c->devices[i].waiting_count > 0)
            return false;
    return c->open;
}

/* ---- answers ---- */

static bool is_waiting(const struct sim_device *d, uint32_t entry, uint32_t *at)
{
    for (uint32_t i = 0; i < d->waiting_count; i++)
        if (d->waiting[i] == entry) {
            *at = i;
            return true;
        }
    return false;
}

static void on_accepted(struct sim *s, const struct message *m)
{
    const struct sim_entry *e = &s->entries[m->entry];
    struct sim_client *c = &s->clients[e->client];
    struct sim_device *d = &c->devices[e->device];
    struct chain first = {.next_seq = 0, .tip = e->id, .tip_lamport = e->lamport};
    if (e->kind == KIND_OPEN && !c->open) {
        c->open = true;
        first.next_seq = 1;
        c->devices[0] =
            (struct sim_device){.enrolled = true, .asked = true, .chain = first};
    }
    if (e->kind == KIND_DEVICE_ADD && !c->devices[e->adds_device].enrolled) {
        struct sim_device *added = &c->devices[e->adds_device];
        *added = (struct sim_device){.enrolled = true, .asked = true, .chain = first};
    }
    d->has_seen = true;
    d->seen = e->id;
    d->seen_lamport = e->lamport;
    uint32_t at;
    if (!is_waiting(d, m->entry, &at))
        return;
    memmove(&d->waiting[at], &d->waiting[at + 1],
            (d->waiting_count - at - 1) * sizeof d->waiting[0]);
    d->waiting_count--;
}

/* Start again from the head: what is not in the log under it never will be, unless an old
 * copy comes late, and then the next refusal says so. */
static void rebase(struct sim *s, struct sim_client *c, struct sim_device *d,
                   const struct refusal *r)
{
    for (uint32_t i = 0; i < d->waiting_count; i++) {
        const struct sim_entry *e = &s->entries[d->waiting[i]];
        if (e->kind == KIND_DEVICE_ADD && !c->devices[e->adds_device].enrolled)
            c->devices[e->adds_device].asked = false;
    }
    d->waiting_count = 0;
    d->chain = (struct chain){
        .next_seq = r->next_seq, .tip = r->tip, .tip_lamport = r->tip_lamport};
    s->counts.rebased++;
}

static void on_refused(struct sim *s, const struct message *m)
{
    const struct sim_entry *e = &s->entries[m->entry];
    struct sim_client *c = &s->clients[e->client];
    struct sim_device *d = &c->devices[e->device];
    const struct refusal *r = &m->refusal;
    uint32_t at;
    s->counts.refused++;
    if (err_retry(r->code) == ERR_RETRY_SAME || !is_waiting(d, m->entry, &at))
        return;
    if (!r->has_head)
        fail(s, "entry #%u is refused %s without a head", (unsigned)m->entry,
             err_word(r->code));
    if (r->next_seq >= e->seq && (at == 0 || r->next_seq > e->seq))
        rebase(s, c, d, r);
}

void client_answered(struct sim *s, const struct message *m)
{
    if (m->accepted)
        on_accepted(s, m);
    else
        on_refused(s, m);
}
