/* test_power [--seeds N] [--from S]
 *
 * The real sequencer on the real SQLite store on a disk that loses power. Many lives of one
 * ledger a seed: entries, snapshots, attachments, WAL checkpoints; power goes at a random
 * write or sync, while working, closing or recovering. After each: the slot loads, and every
 * entry, checkpoint and attachment that was acknowledged is there. Aborts when not. */
#include "tests/unit/sequencer/people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/sig.h"
#include "tests/crash/power.h"

#define SLOTS 4
#define PEOPLE 8
#define LIVES 6
#define BATCHES 24
#define SEALED_MAX 512
#define ACKS_MAX 20000

struct ack {
    struct hash id;
    uint32_t slot;
    uint64_t index;
};

struct world {
    uint64_t seed, rng;
    char folder[256], uri[300];
    struct hub h;
    struct person people[PEOPLE];
    struct ack acks[ACKS_MAX];
    size_t ack_count;
    struct recover_mark marks[SLOTS];
    struct hash sealed[SEALED_MAX];
    size_t sealed_count;
    uint64_t token;
};

static struct totals {
    uint64_t acks, lives, in_recovery;
} totals;

static _Noreturn void wrong(const struct world *w, const char *what)
{
    fprintf(stderr, "WRONG: %s\nseed %llu failed; run again with: --seeds 1 --from %llu\n",
            what, (unsigned long long)w->seed, (unsigned long long)w->seed);
    abort();
}

static uint32_t below(struct world *w, uint32_t n)
{
    w->rng = w->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w->rng >> 33) % n;
}

/* ---- what was said ---- */

static void on_published(void *context, uint32_t slot, const struct checkpoint *c)
{
    struct world *w = context;
    w->marks[slot] = (struct recover_mark){.size = c->size, .root = c->root};
}

static void take_acks(struct world *w)
{
    for (size_t i = 0; i < w->h.seen.result_count; i++) {
        const struct hub_result *r = &w->h.seen.results[i];
        if (!r->accepted || w->ack_count == ACKS_MAX)
            continue;
        w->acks[w->ack_count++] =
            (struct ack){.id = r->id, .slot = r->slot, .index = r->index};
        totals.acks++;
    }
    hub_forget(&w->h);
}

/* ---- work ---- */

static bool add_part(void *context, struct bytes part)
{
    struct buf *b = context;
    return buf_add(b, part.data, part.size);
}

/* As one part; nobody minds when it cannot be saved. */
static void save_snapshot(struct world *w, uint32_t slot)
{
    struct buf b = {0};
    struct slotlog *log = sequencer_slotlog(w->h.q, slot);
    if (log != NULL &&
        slotlog_snapshot(log, w->h.config.relay, add_part, &b) == ERR_OK) {
        struct bytes part = bytes_of(b.data, b.size);
        (void)w->h.store->ops->snapshot_save(w->h.store, slot, log->frontier.size, &part,
                                             1);
    }
    buf_close(&b);
}

static void seal_something(struct world *w)
{
    struct store *st = w->h.store;
    if (w->sealed_count == SEALED_MAX)
        return;
    struct hash id = hash_sha256(&w->token, sizeof w->token);
    if (st->ops->sealed_put(st, &id, bytes_of(id.b, sizeof id.b)) == ERR_OK)
        w->sealed[w->sealed_count++] = id;
    /* Erasing makes the next maintain empty the WAL. */
    if (w->sealed_count > 1 && below(w, 2) == 0)
        if (st->ops->sealed_erase(st, &w->sealed[0]) == ERR_OK || power_is_off())
            w->sealed[0] = w->sealed[--w->sealed_count];
}

static void write_some(struct world *w)
{
    struct hash nobody = kit_hash(99);
    uint32_t count = 1 + below(w, 12);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t who = below(w, PEOPLE), dice = below(w, 10);
        struct person *p = &w->people[who];
        struct refusal r;
        if (dice < 4)
            person_note(p, "some text that an entry carries");
        else
            person_pay(p, dice == 4 ? &nobody : &w->people[(who + 1 + dice % 7) % PEOPLE].id, 1);
        if (hub_submit(&w->h, &p->entry.e, ++w->token, &r) != SEQ_QUEUED) {
            fprintf(stderr, "%s\n", err_text(r.code));
            wrong(w, "a good entry is not queued");
        }
    }
}

/* Until the power goes or the work is done. */
static void work(struct world *w)
{
    for (int i = 0; i < BATCHES && !power_is_off(); i++) {
        write_some(w);
        w->h.now_ms++;
        w->h.mono_ms++;
        enum err e = hub_commit(&w->h);
        take_acks(w);
        if (e != ERR_OK)
            return;
        if (below(w, 5) == 0)
            seal_something(w);
        if (below(w, 8) == 0)
            save_snapshot(w, below(w, SLOTS));
        if (below(w, 3) == 0)
            (void)w->h.store->ops->maintain(w->h.store);
    }
}

/* ---- after it ---- */

static void stop(struct world *w)
{
    hub_crash(&w->h);
    if (w->h.store != NULL)
        w->h.store->ops->close(w->h.store);
    w->h.store = NULL;
    power_restore(below(w, UINT32_MAX));
}

static enum err try_start(struct world *w, struct store_why *why)
{
    TRY(store_open(w->uri, &w->h.store, why));
    TRY(sequencer_open(&w->h.q, &w->h.config));
    for (uint32_t i = 0; i < SLOTS; i++) {
        enum err e = hub_recover(&w->h, i, &w->marks[i]);
        if (e != ERR_OK) {
            snprintf(why->text, sizeof why->text, "%.500s", w->h.report.why);
            return e;
        }
    }
    return ERR_OK;
}

static void start(struct world *w)
{
    struct store_why why = {""};
    if (below(w, 3) == 0) { /* and once more on the way up */
        power_cut_after(1 + below(w, 30));
        enum err e = try_start(w, &why);
        if (e != ERR_OK && !power_is_off())
            wrong(w, why.text);
        totals.in_recovery += power_is_off();
        stop(w);
    }
    power_cut_after(0);
    enum err e = try_start(w, &why);
    if (e != ERR_OK) {
        fprintf(stderr, "%s: %s\n", err_text(e), why.text);
        wrong(w, "the ledger does not open after a power cut");
    }
}

static void check_sealed(struct world *w, struct store_reader *reader)
{
    for (size_t i = 0; i < w->sealed_count; i++) {
        struct buf b = {0};
        if (reader->ops->sealed(reader, &w->sealed[i], &b) != ERR_OK ||
            b.size != sizeof w->sealed[i] || memcmp(b.data, &w->sealed[i], b.size) != 0)
            wrong(w, "an attachment that was taken is gone");
        buf_close(&b);
    }
}

static void check(struct world *w)
{
    struct store_reader *reader;
    if (w->h.store->ops->reader_open(w->h.store, &reader) != ERR_OK)
        wrong(w, "no reader");
    for (size_t i = 0; i < w->ack_count; i++) {
        uint32_t slot = 0;
        uint64_t index = 0;
        const struct ack *a = &w->acks[i];
        if (reader->ops->find(reader, &a->id, &slot, &index) != ERR_OK ||
            slot != a->slot || index != a->index)
            wrong(w, "an acknowledged entry is gone");
    }
    check_sealed(w, reader);
    reader->ops->close(reader);
    hub_check_supply(&w->h);
    for (size_t i = 0; i < PEOPLE; i++) { /* what was not acknowledged may be gone */
        struct person *p = &w->people[i];
        struct account *a = hub_account_at(&w->h, &p->id);
        struct pubkey device = kit_pub(p->key + 1);
        if (a == NULL)
            wrong(w, "an account is gone");
        p->chain = *account_chain(
            a, &sequencer_slotlog(w->h.q, slot_of(&p->id, SLOTS))->hub, &device);
    }
}

/* ---- a seed ---- */

static void make(struct world *w)
{
    const char *tmp = getenv("TMPDIR");
    struct store_identity id = {
        .federation = kit_hash(1), .hub = HUB_NAME, .slots = SLOTS};
    struct store_why why = {""};
    struct store *store;
    snprintf(w->folder, sizeof w->folder, "%s/stoa-power-XXXXXX", tmp ? tmp : "/tmp");
    if (mkdtemp(w->folder) == NULL)
        wrong(w, "no folder");
    snprintf(w->uri, sizeof w->uri, "sqlite:%s/ledger.db", w->folder);
    if (store_create(w->uri, &id, &store, &why) != ERR_OK)
        wrong(w, why.text);
    hub_create_on(&w->h, SLOTS, store);
    w->h.published = on_published;
    w->h.published_context = w;
    people_open(w->people, PEOPLE, &w->h, 100000);
    stop(w);
    start(w);
}

static void run_seed(uint64_t seed)
{
    static struct world w;
    char command[300];
    memset(&w, 0, sizeof w);
    w.seed = seed;
    w.rng = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    make(&w);
    for (int life = 0; life < LIVES; life++) {
        power_cut_after(1 + below(&w, 10 + below(&w, 1000)));
        work(&w);
        stop(&w); /* closing may be where the power goes */
        totals.lives++;
        start(&w);
        check(&w);
    }
    struct store *store = w.h.store;
    hub_close(&w.h);
    store->ops->close(store);
    power_forget();
    snprintf(command, sizeof command, "rm -r '%s'", w.folder);
    if (system(command) != 0)
        wrong(&w, "cannot clear away");
}

static uint64_t from = 1, seeds = 20;

static void nothing_acknowledged_is_lost_by_a_power_cut(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < seeds; i++)
        run_seed(from + i);
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(argv[i + 1], NULL, 10);
    }
    if (!crypto_start() || !power_install())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_by_a_power_cut),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    struct power_counts c = power_counts();
    printf("lives %llu, cuts %llu (%llu while recovering), acknowledgements %llu\n"
           "writes %llu, syncs %llu; unsynced at a cut: survived %llu, torn %llu, lost "
           "%llu; files %llu\n",
           (unsigned long long)totals.lives, (unsigned long long)c.cuts,
           (unsigned long long)totals.in_recovery, (unsigned long long)totals.acks,
           (unsigned long long)c.writes, (unsigned long long)c.syncs,
           (unsigned long long)c.survived, (unsigned long long)c.torn,
           (unsigned long long)c.lost, (unsigned long long)c.undone);
    kit_close();
    return failed;
}
