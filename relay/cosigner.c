#include "relay/cosigner.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/policy.h"
#include "federation/witness.h"
#include "ledger/trace.h"
#include "ledger/web.h"
#include "relay/clock.h"
#include "relay/policy_file.h"
#include "relay/relay.h"

#define URL_MAX (POLICY_URL_MAX + 32)
#define GRACE_MS 15000u /* after the start, before a missing quorum is told */
/* Our own checkpoint is all that a request carries beside the proof. */
#define BODY_MAX (32u + WITNESS_PATH_MAX * 45u + CHECKPOINT_BYTES_MAX + 2u)

/* One witness. */
struct asker {
    struct cosigner *c;
    unsigned number;
    struct store_reader *store;
    struct web *web;
    pthread_t thread;
    bool running;
    enum cosign_result was; /* how the last question ended: a change is traced */
    char url[URL_MAX];
    char body[BODY_MAX];
};
struct cosigner {
    struct relay *r;
    struct policy *policy;
    void *room;
    pthread_mutex_t lock;
    struct cosign *core;
    struct queue stop; /* never filled: its end is the signal */
    _Bool stopping;
    uint64_t began_ms;
    bool told, below; /* what watch said last */
    size_t asker_count;
    struct asker askers[POLICY_WITNESSES_MAX];
};

static struct cosign_times times_of(const struct cosigner *c)
{
    const struct relay_config *s = settings(c->r);
    return (struct cosign_times){.every_ms = s->cosign.every_ms,
                                 .max_age_ms = s->cosign.max_age_ms};
}

struct source {
    struct store_reader *store;
    uint32_t slot;
};

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct source *s = context;
    return s->store->ops->node(s->store, s->slot, level, n, out) == ERR_OK;
}

/* The request's body; 0: the store cannot be read now. */
static size_t write_request(struct asker *a, const struct cosign_ask *ask)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t count = 0;
    struct source s = {.store = a->store, .slot = ask->slot};
    struct merkle_source from = {.node = node, .context = &s};
    if (ask->old > 0 && ask->old < ask->size &&
        !merkle_prove_consistency(ask->old, ask->size, &from, path, &count))
        return 0;
    return witness_request_write(a->body, sizeof(a->body), ask->old, path, count,
                                 bytes_of(ask->note, ask->note_size));
}

static const char *result_word(enum cosign_result r)
{
    static const char *const words[] = {"cosigned", "moved", "ahead", "refused", "failed"};
    return words[r];
}

static void told(struct asker *a, const struct cosign_ask *ask, enum cosign_result r,
                 unsigned status, const char *why)
{
    struct cosigner *c = a->c;
    if (r == COSIGN_TAKEN) {
        metrics_count(c->r->metrics, METRIC_COSIGNED, a->number, 1);
        metrics_set(c->r->metrics, METRIC_COSIGN_SEEN, a->number,
                    (int64_t)clock_wall_ms());
    } else if (r != COSIGN_MOVED) {
        metrics_count(c->r->metrics, METRIC_COSIGN_FAILED, a->number, 1);
    }
    if (r == a->was || r == COSIGN_MOVED)
        return;
    a->was = r;
    trace(r == COSIGN_TAKEN ? TRACE_INFO : TRACE_WARN, "cosign.witness",
          TRACE_STR("witness", c->policy->witnesses[a->number].name),
          TRACE_STR("result", result_word(r)), TRACE_U64("status", status),
          TRACE_U64("slot", ask->slot), TRACE_STR("why", why));
}

static void put_question(struct asker *a, const struct cosign_ask *ask)
{
    struct cosigner *c = a->c;
    struct web_answer got = {0};
    struct signed_line line = {{0}, 0, {{0}}};
    tree_size size = 0;
    uint64_t random;
    char why[WEB_WHY_MAX] = "";
    enum cosign_result result = COSIGN_FAILED;
    size_t body = write_request(a, ask);
    random_bytes(&random, sizeof(random));
    if (body > 0) {
        struct web_request q = {.method = "POST",
                                .url = a->url,
                                .body = bytes_of(a->body, body),
                                .type = "text/plain; charset=utf-8",
                                .timeout_ms = (uint32_t)settings(c->r)->cosign.timeout_ms,
                                .body_max = COSIGNER_ANSWER_MAX,
                                .cancel = &c->stopping};
        if (web_ask(a->web, &q, &got, why) == ERR_OK)
            result = cosign_read(c->policy, ask, got.status,
                                 bytes_of(got.body.data, got.body.size),
                                 clock_wall_ms() / 1000, &line, &size);
    } else {
        snprintf(why, sizeof(why), "the store cannot be read");
    }
    pthread_mutex_lock(&c->lock);
    cosign_answered(c->core, ask, result, &line, size, got.retry_after_ms, random,
                    clock_wall_ms() / 1000, clock_mono_ms());
    pthread_mutex_unlock(&c->lock);
    if (!__atomic_load_n(&c->stopping, __ATOMIC_RELAXED))
        told(a, ask, result, got.status, why);
    buf_close(&got.body);
}

static void *asker_thread(void *context)
{
    struct asker *a = context;
    struct cosigner *c = a->c;
    struct chain_of_links none;
    struct cosign_ask ask;
    uint64_t wait_ms = 1;
    while (queue_take(&c->stop, &none, 1, wait_ms)) {
        for (bool more = true; more && !__atomic_load_n(&c->stopping, __ATOMIC_RELAXED);) {
            struct cosign_times t = times_of(c);
            pthread_mutex_lock(&c->lock);
            more = cosign_next(c->core, &t, a->number, clock_mono_ms(), &ask, &wait_ms);
            pthread_mutex_unlock(&c->lock);
            if (more)
                put_question(a, &ask);
        }
    }
    return NULL;
}

void cosigner_published(struct cosigner *c, uint32_t slot, tree_size size, struct bytes note)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    cosign_published(c->core, slot, size, note, clock_mono_ms());
    pthread_mutex_unlock(&c->lock);
}

size_t cosigner_served(struct cosigner *c, uint32_t slot, char out[COSIGNED_BYTES_MAX])
{
    if (!c)
        return 0;
    struct cosign_times t = times_of(c);
    pthread_mutex_lock(&c->lock);
    size_t size = cosign_served_note(c->core, &t, slot, clock_mono_ms(), out);
    pthread_mutex_unlock(&c->lock);
    return size;
}

size_t cosigner_quorum(struct cosigner *c, uint32_t slot, char out[COSIGNED_BYTES_MAX])
{
    if (!c)
        return 0;
    pthread_mutex_lock(&c->lock);
    size_t size = cosign_quorum_note(c->core, slot, out);
    pthread_mutex_unlock(&c->lock);
    return size;
}

void cosigner_slot(struct cosigner *c, uint32_t slot, struct cosign_state *out)
{
    struct cosign_times t = times_of(c);
    pthread_mutex_lock(&c->lock);
    cosign_slot(c->core, &t, slot, clock_mono_ms(), out);
    pthread_mutex_unlock(&c->lock);
}

void cosigner_witness(struct cosigner *c, unsigned witness, struct cosign_witness *out)
{
    pthread_mutex_lock(&c->lock);
    cosign_witness_state(c->core, witness, clock_mono_ms(), out);
    pthread_mutex_unlock(&c->lock);
}

const struct policy *cosigner_policy(const struct cosigner *c)
{
    return c->policy;
}

void cosigner_watch(struct cosigner *c)
{
    if (!c)
        return;
    struct cosign_state s;
    uint64_t below = 0;
    for (uint32_t slot = 0; slot < c->r->slots; slot++) {
        cosigner_slot(c, slot, &s);
        below += !s.fresh;
    }
    metrics_set(c->r->metrics, METRIC_COSIGN_BELOW, 0, (int64_t)below);
    metrics_set(c->r->metrics, METRIC_COSIGN_QUORUM, 0, below == 0);
    if (below > 0 && !c->told && clock_mono_ms() - c->began_ms < GRACE_MS)
        return; /* nobody was asked before */
    if (c->told && c->below == (below > 0))
        return;
    c->told = true;
    c->below = below > 0;
    trace(below ? TRACE_WARN : TRACE_INFO,
          below ? "cosign.below_quorum" : "cosign.quorum_met", TRACE_U64("logs", below));
}

/* It is the file that this hub's readers are given, so it names this hub's logs. Every
 * witness that has an address is asked; together they must be able to make a quorum. */
static enum err check(struct cosigner *c, char *why)
{
    uint64_t all = 0;
    const struct policy *p = c->policy;
    for (uint32_t slot = 0; slot < c->r->slots; slot++) {
        const struct vkey *v = &c->r->log_vkeys[slot];
        size_t number;
        if (policy_log_find(p, v->name, &number) &&
            pubkey_equal(&p->logs[number].key.key, &v->key))
            continue;
        snprintf(why, COSIGNER_WHY_MAX,
                 "%.300s has no line \"log\" with this hub's key for %s",
                 settings(c->r)->cosign.policy, v->name);
        return ERR_CONFIG;
    }
    for (unsigned i = 0; i < p->witness_count; i++) {
        metrics_name_witness(c->r->metrics, i, p->witnesses[i].name);
        if (p->witnesses[i].url[0])
            all |= UINT64_C(1) << i;
    }
    if (policy_quorum(p, all))
        return ERR_OK;
    snprintf(why, COSIGNER_WHY_MAX,
             "%.300s: the witnesses that have a URL cannot make the quorum",
             settings(c->r)->cosign.policy);
    return ERR_CONFIG;
}

static enum err prepare(struct cosigner *c, char *why)
{
    TRY(policy_file_read(&c->policy, settings(c->r)->cosign.policy, why, COSIGNER_WHY_MAX));
    TRY(check(c, why));
    c->room = calloc(1, cosign_room(c->r->slots, c->policy->witness_count));
    if (!c->room)
        return ERR_MEMORY;
    c->core = cosign_open(c->room, c->policy, c->r->slots);
    return ERR_OK;
}

enum err cosigner_open(struct cosigner **out, struct relay *r, char *why)
{
    *out = NULL;
    why[0] = 0;
    if (!settings(r)->cosign.policy[0])
        return ERR_OK;
    struct cosigner *c = calloc(1, sizeof(*c));
    if (!c)
        return ERR_MEMORY;
    c->r = r;
    c->began_ms = clock_mono_ms();
    pthread_mutex_init(&c->lock, NULL);
    queue_init(&c->stop);
    enum err e = prepare(c, why);
    if (e != ERR_OK) {
        cosigner_close(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

static enum err start_one(struct cosigner *c, unsigned number)
{
    const struct policy_witness *w = &c->policy->witnesses[number];
    const char *ca = settings(c->r)->cosign.ca_file;
    struct asker *a = &c->askers[c->asker_count++];
    size_t size = strlen(w->url);
    a->c = c;
    a->number = number;
    a->was = COSIGN_MOVED; /* none yet */
    while (size > 0 && w->url[size - 1] == '/')
        size--;
    snprintf(a->url, sizeof(a->url), "%.*s/add-checkpoint", (int)size, w->url);
    TRY(web_open(&a->web, ca[0] ? ca : NULL));
    TRY(c->r->store->ops->reader_open(c->r->store, &a->store));
    if (pthread_create(&a->thread, NULL, asker_thread, a) != 0)
        return ERR_MEMORY;
    a->running = true;
    return ERR_OK;
}

enum err cosigner_start(struct cosigner *c)
{
    if (!c)
        return ERR_OK;
    for (unsigned i = 0; i < c->policy->witness_count; i++)
        if (c->policy->witnesses[i].url[0])
            TRY(start_one(c, i));
    return ERR_OK;
}

void cosigner_stop(struct cosigner *c)
{
    if (!c)
        return;
    __atomic_store_n(&c->stopping, true, __ATOMIC_RELAXED);
    queue_end(&c->stop);
    for (size_t i = 0; i < c->asker_count; i++) {
        struct asker *a = &c->askers[i];
        if (a->running)
            pthread_join(a->thread, NULL);
        a->running = false;
        if (a->store)
            a->store->ops->close(a->store);
        a->store = NULL;
        web_close(a->web);
        a->web = NULL;
    }
}

void cosigner_close(struct cosigner *c)
{
    if (!c)
        return;
    cosigner_stop(c);
    queue_close(&c->stop);
    pthread_mutex_destroy(&c->lock);
    free(c->room);
    free(c->policy);
    free(c);
}
