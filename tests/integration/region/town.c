#include "tests/integration/region/town.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/context.h"
#include "crypto/keyfile.h"
#include "tests/lib/clock.h"

#define ANSWER_MS 4000
#define GIVE_UP_MS 60000 /* for one entry */
#define BETWEEN_MS 4
#define RETRY_MS_MAX 300u

static void nap_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

__attribute__((format(printf, 2, 3))) static bool wrong(struct town *t,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&t->lock);
    if (t->why[0] == 0)
        vsnprintf(t->why, sizeof t->why, format, args);
    pthread_mutex_unlock(&t->lock);
    va_end(args);
    return false;
}

static bool well(struct town *t)
{
    pthread_mutex_lock(&t->lock);
    bool ok = t->why[0] == 0;
    pthread_mutex_unlock(&t->lock);
    return ok;
}

static void *grow(void *p, size_t *cap, size_t count, size_t width)
{
    if (count <= *cap)
        return p;
    *cap = count * 2 + 64;
    p = realloc(p, *cap * width);
    if (p == NULL)
        abort();
    return p;
}

/* ---- connections ---- */

void town_ports(struct town *t)
{
    for (unsigned i = 0; t->region != NULL && i < t->region->count; i++)
        atomic_store(&t->port[i], t->region->relay[i].pid ? t->region->relay[i].port : 0);
}

void town_gone(struct town *t, unsigned relay)
{
    atomic_store(&t->port[relay], 0);
}

static void leave(struct citizen *c)
{
    if (c->connected)
        wirekit_close(&c->k);
    c->connected = false;
}

/* What he has seen so far goes with his HELLO: a relay that shows less is found out. */
static bool go_to(struct citizen *c, unsigned relay)
{
    struct bytes notes[REGIONPROC_SLOTS];
    char keys[512];
    size_t count = 0;
    unsigned port = atomic_load(&c->town->port[relay]);
    leave(c);
    if (port == 0)
        return false;
    for (int i = 0; i < REGIONPROC_SLOTS; i++)
        if (c->note_size[i] > 0)
            notes[count++] = bytes_of(c->notes[i], c->note_size[i]);
    regionproc_keys(c->town->region, keys);
    c->connected = true;
    c->at = relay;
    if (wirekit_open_with(&c->k, (uint16_t)port, c->p.device, notes, count))
        return wirekit_trust_folder(&c->k, keys);
    if (c->k.f.type == WIRE_ERROR && c->k.f.code == ERR_BEHIND)
        (void)wrong(c->town, "relay %u is behind what another one has shown", relay);
    leave(c);
    return false;
}

/* To the relay he was at, else to the next one that is there. */
static bool connect_somewhere(struct citizen *c)
{
    for (unsigned n = 0; n < c->town->region->count && well(c->town); n++)
        if (go_to(c, (c->at + n) % c->town->region->count))
            return true;
    return false;
}

/* ---- answers ---- */

static bool see_note(struct citizen *c, uint32_t slot)
{
    struct checkpoint n;
    if (!checkpoint_open(&n, c->k.notes[slot], c->k.note_size[slot], &c->k.log[slot]))
        return wrong(c->town, "slot %u: a checkpoint that the log's key did not sign",
                     slot);
    if (c->note_size[slot] > 0 && n.size < c->note_of[slot])
        return wrong(c->town, "slot %u: %llu shown after %llu by relay %u", slot,
                     (unsigned long long)n.size, (unsigned long long)c->note_of[slot],
                     c->at);
    c->note_of[slot] = n.size;
    c->note_size[slot] = c->k.note_size[slot];
    memcpy(c->notes[slot], c->k.notes[slot], c->k.note_size[slot]);
    c->shown = grow(c->shown, &c->shown_cap, c->shown_count + 1, sizeof *c->shown);
    c->shown[c->shown_count++] =
        (struct shown){.slot = slot, .size = n.size, .root = n.root};
    return true;
}

static bool accepted(struct citizen *c, const struct wire_result *w)
{
    struct bytes envelope = person_bytes(&c->p);
    struct record record = {.slot = (uint32_t)w->slot,
                            .index = w->index,
                            .position = w->position,
                            .account_head = w->account_head,
                            .hub_lamport = w->hub_lamport,
                            .hub_time_ms = w->hub_time_ms,
                            .envelope = envelope};
    if (w->slot >= REGIONPROC_SLOTS || !wirekit_receipt_ok(&c->k, w, envelope))
        return wrong(c->town, "a receipt for %llu/%llu does not lead to its checkpoint",
                     (unsigned long long)w->slot, (unsigned long long)w->index);
    if (c->deed_count == 0)
        c->slot = record.slot;
    else if (c->slot != record.slot)
        return wrong(c->town, "one account in slots %u and %u", c->slot, record.slot);
    c->deeds = grow(c->deeds, &c->deed_cap, c->deed_count + 1, sizeof *c->deeds);
    c->deeds[c->deed_count++] = (struct deed){.id = c->p.id,
                                              .leaf = record_leaf_hash(&record),
                                              .slot = record.slot,
                                              .index = record.index};
    return see_note(c, record.slot);
}

static bool is_passing(uint64_t code, unsigned *which)
{
    static const enum err passing[] = {ERR_UNAVAILABLE, ERR_BUSY, ERR_DRAINING,
                                       ERR_POLICY_RATE};
    for (*which = 0; *which < sizeof passing / sizeof *passing; (*which)++)
        if (code == (uint64_t)passing[*which])
            return true;
    return false;
}

/* The newest entry until it is in the log. */
static bool deliver(struct citizen *c)
{
    uint64_t began = mono_ms();
    while (well(c->town)) {
        struct wire_result w;
        unsigned which;
        if (mono_ms() - began > GIVE_UP_MS)
            return wrong(c->town, "an entry for slot %u is not accepted for a minute",
                         c->slot);
        if (!c->connected && !connect_somewhere(c)) {
            nap_ms(20);
            continue;
        }
        struct bytes one = person_bytes(&c->p);
        bool answered = wirekit_submit(&c->k, &one, 1, 0);
        while (answered &&
               (answered = wirekit_expect(&c->k, WIRE_RESULTS,
                                          (int)atomic_load(&c->town->answer_ms))) &&
               (w = wirekit_result(&c->k)).rid != c->k.rid)
            ;
        if (!answered) {
            leave(c);
            c->at = (c->at + 1) % c->town->region->count;
            c->reconnects++;
        } else if (w.code == 0) {
            return accepted(c, &w);
        } else if (!is_passing(w.code, &which)) {
            return wrong(c->town, "relay %u refused a good entry for slot %u: %s", c->at,
                         c->slot, err_text((enum err)w.code));
        } else {
            c->refused[which]++;
            if (w.code == ERR_DRAINING) {
                leave(c);
                c->at = (c->at + 1) % c->town->region->count;
                c->reconnects++;
            } else {
                nap_ms((unsigned)(w.retry_after_ms < RETRY_MS_MAX ? w.retry_after_ms
                                                                  : RETRY_MS_MAX));
            }
        }
    }
    return false;
}

static void note_mark(struct citizen *c, uint64_t began)
{
    uint64_t mark = atomic_load(&c->town->mark_ms);
    if (mark == 0 || began < mark || c->marked == mark)
        return;
    pthread_mutex_lock(&c->town->lock);
    c->marked = mark;
    c->after_ms = mono_ms() - mark;
    pthread_mutex_unlock(&c->town->lock);
}

static void *live(void *context)
{
    struct citizen *c = context;
    struct town *t = c->town;
    for (; !atomic_load(&t->stop) && well(t); c->turn++) {
        unsigned to =
            (c->number + 1 + (unsigned)(c->turn / 2) % (t->people - 1)) % t->people;
        bool pays = c->turn % 2 == 1;
        uint64_t began = mono_ms();
        if (pays)
            person_transfer(&c->p, &t->one[to].p.account, 1);
        else
            person_note(&c->p, 60);
        if (!deliver(c))
            break;
        note_mark(c, began);
        if (pays) {
            pthread_mutex_lock(&t->lock);
            t->balance[c->number] -= 1;
            t->balance[to] += 1;
            pthread_mutex_unlock(&t->lock);
        }
        nap_ms(BETWEEN_MS);
    }
    return NULL;
}

/* ---- beginning and end ---- */

static bool give_points(struct citizen *c, const struct key *issuer)
{
    struct pubkey key = key_public(issuer);
    struct wire_result w;
    uint8_t envelope[1024];
    for (uint64_t end = mono_ms() + GIVE_UP_MS; mono_ms() < end; nap_ms(50)) {
        if ((!c->connected && !connect_somewhere(c)) ||
            !wirekit_head(&c->k, &c->p.account, &key))
            continue;
        size_t n =
            issuer_accrue(issuer, &c->p.account, c->k.f.next_seq, &c->k.f.tip,
                          c->k.f.tip_lamport, 1, TOWN_POINTS, envelope, sizeof envelope);
        if (wirekit_submit_one(&c->k, bytes_of(envelope, n), &w) && w.code == 0)
            return true;
    }
    return wrong(c->town, "no points for citizen %u", c->number);
}

bool town_open(struct town *t, struct regionproc *r, unsigned people, uint64_t seed)
{
    char path[600], keys[512];
    struct key *issuer = NULL;
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    t->region = r;
    atomic_store(&t->answer_ms, ANSWER_MS);
    t->people = people;
    town_ports(t);
    regionproc_keys(r, keys);
    snprintf(path, sizeof path, "%s/issuer.key", keys);
    if (keyfile_load(path, &issuer, NULL, NULL) != KEYFILE_OK)
        return wrong(t, "no issuer key");
    bool ok = true;
    for (unsigned i = 0; i < people; i++) {
        struct citizen *c = &t->one[i];
        *c = (struct citizen){.town = t, .number = i, .at = i % r->count};
        person_make(&c->p, seed + i);
    }
    for (unsigned i = 0; ok && i < people; i++) {
        struct citizen *c = &t->one[i];
        for (uint64_t end = mono_ms() + GIVE_UP_MS; !connect_somewhere(c);)
            if (mono_ms() > end || !well(t))
                return wrong(t, "no relay takes a connection");
        person_open(&c->p, &c->k.hub, RESIDENCY_GLOBAL);
        ok = deliver(c) && give_points(c, issuer);
        t->balance[i] = TOWN_POINTS;
    }
    key_free(issuer);
    return ok;
}

bool town_start(struct town *t)
{
    atomic_store(&t->stop, false);
    for (unsigned i = 0; i < t->people; i++) {
        leave(&t->one[i]); /* everywhere somebody */
        t->one[i].at = i % t->region->count;
    }
    for (unsigned i = 0; i < t->people; i++)
        if (pthread_create(&t->one[i].thread, NULL, live, &t->one[i]) != 0)
            abort();
    t->started = true;
    return well(t);
}

bool town_stop(struct town *t)
{
    atomic_store(&t->stop, true);
    for (unsigned i = 0; t->started && i < t->people; i++)
        pthread_join(t->one[i].thread, NULL);
    t->started = false;
    return well(t);
}

void town_close(struct town *t)
{
    if (t->region == NULL)
        return;
    (void)town_stop(t);
    for (unsigned i = 0; i < t->people; i++) {
        leave(&t->one[i]);
        person_free(&t->one[i].p);
        free(t->one[i].deeds);
        free(t->one[i].shown);
    }
    pthread_mutex_destroy(&t->lock);
    t->region = NULL;
}

void town_mark(struct town *t)
{
    atomic_store(&t->mark_ms, mono_ms());
}

uint64_t town_waited(struct town *t, uint32_t slots, unsigned timeout_ms)
{
    uint64_t mark = atomic_load(&t->mark_ms);
    for (uint64_t end = mono_ms() + timeout_ms; mono_ms() < end && well(t); nap_ms(10)) {
        uint64_t longest = 0;
        bool all = true;
        pthread_mutex_lock(&t->lock);
        for (unsigned i = 0; i < t->people; i++) {
            const struct citizen *c = &t->one[i];
            if (!(slots >> c->slot & 1))
                continue;
            all = all && c->marked == mark;
            longest = c->after_ms > longest ? c->after_ms : longest;
        }
        pthread_mutex_unlock(&t->lock);
        if (all)
            return longest;
    }
    return UINT64_MAX;
}

const char *town_waiting(struct town *t, uint32_t slots)
{
    int owner[REGIONPROC_SLOTS] = {0};
    size_t at = 0;
    (void)regionproc_owners(t->region, owner);
    t->who[0] = 0;
    for (unsigned i = 0; i < t->people && at < sizeof t->who; i++)
        if ((slots >> t->one[i].slot & 1) && t->one[i].marked != atomic_load(&t->mark_ms))
            at += (size_t)snprintf(t->who + at, sizeof t->who - at,
                                   "%u at relay %u%s for slot %u of relay %d; ", i,
                                   t->one[i].at, t->one[i].connected ? "" : " (no link)",
                                   t->one[i].slot, owner[t->one[i].slot]);
    return t->who;
}

/* The threads are not running, or the numbers are of a moment ago. */
uint64_t town_receipts(const struct town *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < t->people; i++)
        n += t->one[i].deed_count;
    return n;
}

uint64_t town_refused(const struct town *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < t->people; i++)
        for (size_t k = 0; k < sizeof t->one[i].refused / sizeof *t->one[i].refused; k++)
            n += t->one[i].refused[k];
    return n;
}

uint64_t town_reconnects(const struct town *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < t->people; i++)
        n += t->one[i].reconnects;
    return n;
}

/* ---- afterwards ---- */

static bool balances_at(struct town *t, unsigned relay, unsigned *bad, int64_t *has)
{
    struct citizen *c = &t->one[0];
    if (!go_to(c, relay))
        return false;
    for (unsigned i = 0; i < t->people; i++) {
        *bad = i;
        *has = -1;
        if (!wirekit_head(&c->k, &t->one[i].p.account, NULL))
            return false;
        *has = c->k.f.balance;
        if (*has != t->balance[i])
            return false;
    }
    return true;
}

bool town_settled(struct town *t, unsigned timeout_ms)
{
    town_ports(t);
    for (unsigned relay = 0; relay < t->region->count; relay++) {
        unsigned bad = 0;
        int64_t has = -1;
        uint64_t end = mono_ms() + timeout_ms;
        if (atomic_load(&t->port[relay]) == 0)
            continue;
        while (!balances_at(t, relay, &bad, &has)) {
            if (mono_ms() > end || !well(t))
                return wrong(t, "relay %u: citizen %u (slot %u) has %lld, must have %lld",
                             relay, bad, t->one[bad].slot, (long long)has,
                             (long long)t->balance[bad]);
            nap_ms(30);
        }
    }
    leave(&t->one[0]);
    return well(t);
}

bool town_audit(struct town *t)
{
    static const char *const program =
#ifdef STOA_AUDIT
        STOA_AUDIT;
#else
        "stoa-audit";
#endif
    char uri[400];
    int status = -1;
    regionproc_uri(t->region, uri, sizeof uri);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, 1);
        execlp(program, program, "verify", uri, "--trust-on-first-use", (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0)
        return wrong(t, "stoa-audit verify: exit %d",
                     WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return true;
}
