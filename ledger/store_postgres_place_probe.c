/* Which of a hub's servers keeps commits waiting? What is noted while calls go their way, and
 * a look at one server (ledger/store_probe.h). Nothing here waits for a lock that is held
 * while a server is asked. */
#include "ledger/store_postgres_place.h"

#include <stdio.h>
#include <string.h>

_Static_assert(STORE_PLACES_MAX == POSTGRES_PLACES_MAX + 1, "and one that is not open");

void place_append_began(struct pg_places *x, size_t i)
{
    atomic_store(&x->append_since_us[i], pg_now_us());
}

void place_append_ended(struct pg_places *x, size_t i, bool full)
{
    uint64_t now = pg_now_us();
    atomic_store(&x->full[i], full);
    atomic_store(&x->append_us[i], now - atomic_load(&x->append_since_us[i]));
    atomic_store(&x->appended_us[i], now);
    atomic_store(&x->append_since_us[i], 0);
}

/* One such server is enough to be told of; of two, the one that was tried last. */
void place_astray(struct pg_places *x, uint32_t slot, const char *uri,
                  const struct store_why *why)
{
    pthread_mutex_lock(&x->astray_lock);
    if (strcmp(x->astray_uri, uri) != 0) {
        memset(x->astray, 0, sizeof x->astray);
        snprintf(x->astray_uri, sizeof x->astray_uri, "%s", uri);
        x->astray_why.text[0] = '\0';
    }
    if (why->text[0] != '\0') /* not when it was too soon to try again */
        x->astray_why = *why;
    x->astray[slot] = true;
    pthread_mutex_unlock(&x->astray_lock);
}

void place_found(struct pg_places *x, uint32_t slot)
{
    pthread_mutex_lock(&x->astray_lock);
    x->astray[slot] = false;
    pthread_mutex_unlock(&x->astray_lock);
}

static void describe(const struct pg_target *t, struct store_place *out)
{
    snprintf(out->name, sizeof out->name, "%s", t->name);
    if (t->options != NULL)
        pg_target_asked_by(t, out->asked_by, sizeof out->asked_by);
}

static void describe_open(struct pg_places *x, size_t i, struct store_place *out)
{
    struct postgres_store *p = x->store[i];
    uint64_t since = atomic_load(&x->append_since_us[i]);
    uint64_t ended = atomic_load(&x->appended_us[i]), now = pg_now_us();
    describe(&p->target, out);
    out->away = atomic_load(&p->away);
    out->deaf = atomic_load(&p->deaf);
    out->full = atomic_load(&x->full[i]);
    out->append_ms = since > 0 ? (now - since) / 1000u : 0;
    if (now - ended < STORE_PLACE_FRESH_MS * UINT64_C(1000))
        out->append_us = atomic_load(&x->append_us[i]);
}

/* The URI of the place that is not open; "" when there is none. */
static void copy_astray(struct pg_places *x, char uri[POSTGRES_URI_MAX],
                        struct store_place *out)
{
    bool any = false;
    pthread_mutex_lock(&x->astray_lock);
    for (size_t k = 0; k < SLOTS_MAX; k++)
        any = any || x->astray[k];
    snprintf(uri, POSTGRES_URI_MAX, "%s", any ? x->astray_uri : "");
    if (out != NULL) {
        memcpy(out->slot, x->astray, sizeof out->slot);
        out->why = x->astray_why;
    }
    pthread_mutex_unlock(&x->astray_lock);
}

static bool astray_target(const char *uri, struct pg_target *t, struct store_why *why)
{
    const char *rest = strchr(uri, ':');
    return pg_target_open(t, rest == NULL ? "" : rest + 1, why) == ERR_OK;
}

size_t place_list(struct store *base, struct store_place *out)
{
    struct postgres_store *s = postgres_of(base);
    struct pg_places *x = s->places;
    struct pg_target t = {NULL, ""};
    char uri[POSTGRES_URI_MAX];
    size_t count = atomic_load(&x->count);
    memset(out, 0, STORE_PLACES_MAX * sizeof *out);
    for (size_t i = 0; i < count; i++)
        describe_open(x, i, &out[i]);
    struct store_place *astray = &out[count]; /* next to the others */
    copy_astray(x, uri, astray);
    for (uint32_t k = 0; k < s->ledger.identity.slots; k++)
        if (place_at(s, k) < count && !astray->slot[k])
            out[place_at(s, k)].slot[k] = true;
    if (uri[0] == '\0')
        return count;
    astray->unopened = true;
    (void)astray_target(uri, &t, NULL);
    describe(&t, astray);
    pg_target_close(&t);
    return count + 1;
}

bool place_probe(struct store *base, size_t place, unsigned limit_ms,
                 struct store_probe *out, struct store_why *why)
{
    struct pg_places *x = postgres_of(base)->places;
    struct pg_target t = {NULL, ""};
    char uri[POSTGRES_URI_MAX];
    *out = (struct store_probe){.kind = STORE_PROBE_SERVER};
    store_why_set(why, "%s", "");
    if (place < atomic_load(&x->count))
        return postgres_probe(&x->store[place]->target, limit_ms, out, why);
    copy_astray(x, uri, NULL);
    if (uri[0] != '\0' && astray_target(uri, &t, why))
        (void)postgres_probe(&t, limit_ms, out, why);
    pg_target_close(&t);
    return out->there;
}
