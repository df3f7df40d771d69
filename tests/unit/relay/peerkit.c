#include "tests/unit/relay/peerkit.h"

#include <stdio.h>

#include "relay/commit_internal.h"
#include "relay/follow.h"

static const char hub_name[] = "aa.stoa.example";

/* relay/region.c, as the test wants it. */

static pthread_mutex_t region_lock = PTHREAD_MUTEX_INITIALIZER;
static int owner[SLOTS];
static char owner_address[OWNERS][40];
static uint64_t generation;

void owned_by(uint32_t slot, int who)
{
    pthread_mutex_lock(&region_lock);
    owner[slot] = who;
    generation++;
    pthread_mutex_unlock(&region_lock);
}

int owner_now(uint32_t slot)
{
    pthread_mutex_lock(&region_lock);
    int who = owner[slot];
    pthread_mutex_unlock(&region_lock);
    return who;
}

/* Nothing is followed here. */
void follow_seen(struct relay *r, uint32_t slot, tree_size size)
{
    (void)r;
    (void)slot;
    (void)size;
}

bool region_owns(const struct relay *r, uint32_t slot)
{
    (void)r;
    return owner_now(slot) == SELF;
}

bool region_owner(const struct relay *r, uint32_t slot, struct region_owner *out)
{
    (void)r;
    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&region_lock);
    int who = owner[slot];
    out->self = who == SELF;
    if (who >= 0) {
        snprintf(out->relay, sizeof(out->relay), "relay%d", who);
        snprintf(out->peer, sizeof(out->peer), "%s", owner_address[who]);
    }
    pthread_mutex_unlock(&region_lock);
    return who != NOBODY;
}

uint64_t region_generation(const struct relay *r)
{
    (void)r;
    pthread_mutex_lock(&region_lock);
    uint64_t g = generation;
    pthread_mutex_unlock(&region_lock);
    return g;
}

/* relay/start.c and relay/commit_answer.c. */

uint32_t relay_slot_of(const struct relay *r, const struct hash *account)
{
    return (uint32_t)(((uint32_t)account->b[0] << 8 | account->b[1]) * r->slots >> 16);
}

void relay_mail(struct relay *r, struct chain_of_links *mail)
{
    queue_put(&r->mail, mail);
}

void result_refused(struct wire_result *out, const struct relay *r, uint64_t rid, uint32_t i,
                    const struct hash *id, const struct refusal *refusal, uint64_t now_ms)
{
    (void)r;
    assert_null(id);
    *out = (struct wire_result){.rid = rid,
                                .i = i,
                                .code = (uint64_t)refusal->code,
                                .retry_after_ms = refusal->retry_after_ms,
                                .hub_time_ms = now_ms};
}

/* The relay. */

void open_owner(struct kit *k, unsigned n, uint16_t port)
{
    assert_true(fakeowner_open(&k->owner[n], &k->rules, &k->ledger, port));
    snprintf(owner_address[n], sizeof(owner_address[n]), "127.0.0.1:%u",
             fakeowner_port(&k->owner[n]));
}

void stop_owner(struct kit *k, unsigned n)
{
    assert_true(k->stopped_count < STOPPED_MAX);
    k->stopped[k->stopped_count++] = fakeowner_stop(&k->owner[n]);
}

int kit_set_up(void **state)
{
    struct kit *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    for (uint32_t i = 0; i < SLOTS; i++)
        owner[i] = NOBODY;
    atomic_init(&k->r.config, &k->config);
    k->r.hub = hub_name;
    k->r.slots = SLOTS;
    k->r.federation.b[0] = 9;
    k->r.keys.relay = key_generate();
    k->r.relay_public = key_public(k->r.keys.relay);
    queue_init(&k->r.commit);
    queue_init(&k->r.mail);
    k->rules = (struct session_rules){.federation = k->r.federation,
                                      .hub = hub_name,
                                      .slots = SLOTS,
                                      .limits = {.frame_bytes = WIRE_FRAME_MAX,
                                                 .entry_bytes = ENVELOPE_BYTES_MAX,
                                                 .entries_a_frame = WIRE_ENTRIES_MAX,
                                                 .inflight_entries = 100,
                                                 .idle_ms = 1000},
                                      .relay = k->r.keys.relay,
                                      .relay_public = k->r.relay_public,
                                      .handshake_ms = 5000};
    k->facts.federation = k->r.federation;
    memcpy(k->facts.hub, hub_name, sizeof(hub_name));
    fakeledger_open(&k->ledger);
    for (unsigned i = 0; i < OWNERS; i++)
        open_owner(k, i, 0);
    for (unsigned i = 0; i < PEOPLE; i++)
        person_make(&k->person[i], i + 1);
    assert_int_equal(peers_open(&k->r.peers, &k->r), ERR_OK);
    k->next_rid = 1;
    *state = k;
    return 0;
}

static void take_results(struct kit *k, conn_id conn, const struct wire_frame *f)
{
    struct mp_reader list = f->list;
    k->results_frames++;
    for (size_t i = 0; i < f->count; i++) {
        struct wire_result r;
        wire_next_result(&list, &r);
        assert_true(r.rid > 0 && r.rid < k->next_rid);
        assert_int_equal(r.rid % PEOPLE + 1, conn); /* its own connection */
        struct asked *a = &k->asked[r.rid + r.i];
        assert_int_equal(a->answers, 0); /* once */
        a->answers++;
        a->code = r.code;
        a->retry_after_ms = r.retry_after_ms;
        a->flags = r.flags;
        k->answered++;
    }
}

static void take_mail(struct kit *k, struct mail *m)
{
    struct wire_frame f;
    if (m->kind == MAIL_SEEN) {
        assert_int_equal(m->slot, 1);
        assert_int_equal(m->frame->size, strlen(FAKE_NOTE));
        k->notes++;
        mail_drop(m);
        return;
    }
    assert_int_equal(m->kind, MAIL_SEND);
    assert_int_equal(wire_decode(&f, frame_data(m->frame), m->frame->size), ERR_OK);
    k->entries_back += m->entries;
    if (f.type == WIRE_RESULTS) {
        assert_int_equal(m->entries, f.count);
        take_results(k, m->conn, &f);
    } else if (f.type == WIRE_SETTLED) {
        k->settled++;
    } else {
        assert_true(m->read);
        k->question_answers++;
        k->newest = f;
        memset(&k->newest.text, 0, sizeof(k->newest.text));
    }
    mail_drop(m);
}

void turn(struct kit *k)
{
    struct chain_of_links got;
    peers_tick(k->r.peers);
    peers_flush(k->r.peers);
    (void)queue_take(&k->r.mail, &got, SIZE_MAX, 5);
    for (struct link *l; (l = links_pop(&got));)
        take_mail(k, (struct mail *)l);
}

void turns(struct kit *k, uint64_t ms)
{
    for (uint64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;)
        turn(k);
}

int kit_tear_down(void **state)
{
    struct kit *k = *state;
    struct chain_of_links got;
    peers_stop(k->r.peers);
    peers_close(k->r.peers);
    for (unsigned i = 0; i < OWNERS; i++)
        if (k->owner[i].ws)
            stop_owner(k, i);
    for (unsigned i = 0; i < k->stopped_count; i++)
        ws_close(k->stopped[i]);
    fakeledger_close(&k->ledger);
    (void)queue_take(&k->r.mail, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));)
        mail_drop((struct mail *)l);
    (void)queue_take(&k->r.commit, &got, SIZE_MAX, 0);
    for (struct link *l; (l = links_pop(&got));) {
        struct work *w = (struct work *)l;
        if (w->kind == WORK_JOB)
            job_drop((struct job *)w);
        else
            request_drop((struct request *)w);
    }
    queue_close(&k->r.mail);
    queue_close(&k->r.commit);
    for (unsigned i = 0; i < PEOPLE; i++)
        person_free(&k->person[i]);
    key_free(k->r.keys.relay);
    free(k);
    return 0;
}

struct job *job_of(struct kit *k, unsigned who, unsigned count, uint64_t flags)
{
    struct person *p = &k->person[who];
    struct frame *f = frame_new((size_t)count * 600);
    struct job *j = job_new(count);
    while (k->next_rid % PEOPLE != who)
        k->next_rid++;
    assert_non_null(f);
    assert_non_null(j);
    assert_true(k->next_rid + count + PEOPLE < ASKED_MAX);
    j->frame = f;
    j->conn = who + 1;
    j->rid = k->next_rid;
    j->flags = flags;
    j->since_us = clock_mono_us();
    if (k->deadline_in_ms)
        j->since_us -= (FORWARD_PATIENCE_MS - k->deadline_in_ms) * 1000u;
    for (unsigned i = 0; i < count; i++) {
        if (p->next_seq == 0)
            person_open(p, &k->facts, RESIDENCY_GLOBAL);
        else if (flags & WIRE_SUBMIT_SETTLED)
            person_transfer(p, &k->facts.federation, 1);
        else
            person_note(p, 20);
        memcpy(frame_data(f) + f->size, p->bytes, p->size);
        j->items[i].i = i;
        j->items[i].verdict =
            entry_decode(&j->items[i].entry, frame_data(f) + f->size, p->size);
        assert_int_equal(j->items[i].verdict, ERR_OK);
        f->size += (uint32_t)p->size;
        k->asked[k->next_rid + i] = (struct asked){.id = p->id};
    }
    k->next_rid += count;
    return j;
}

uint64_t submit_flags(struct kit *k, unsigned who, unsigned count, uint64_t flags)
{
    struct job *j = job_of(k, who, count, flags);
    uint64_t rid = j->rid;
    assert_false(peers_take(k->r.peers, j));
    peers_flush(k->r.peers);
    return rid;
}

uint64_t submit(struct kit *k, unsigned who, unsigned count)
{
    return submit_flags(k, who, count, 0);
}

uint32_t slot_of_person(struct kit *k, unsigned who)
{
    return relay_slot_of(&k->r, &k->person[who].account);
}

void all_to(int who)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        owned_by(i, who);
}

void all_accepted(struct kit *k, uint64_t rid, unsigned count)
{
    for (uint64_t i = rid; i < rid + count; i++) {
        assert_int_equal(k->asked[i].answers, 1);
        assert_int_equal(k->asked[i].code, 0);
        assert_true(fakeledger_has(&k->ledger, &k->asked[i].id));
    }
}

uint32_t table_items(struct kit *k)
{
    pthread_mutex_lock(&k->r.peers->lock);
    uint32_t n = k->r.peers->core->load.items;
    pthread_mutex_unlock(&k->r.peers->lock);
    return n;
}
