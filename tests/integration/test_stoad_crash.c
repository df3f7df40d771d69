/* The end of a process, in every way: killed, told to stop, restored from an old copy,
 * started twice. What was acknowledged is there afterwards, under a tree that contains
 * the old one. */
#include "tests/integration/hub.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 4
#define NOTES_MAX 4000

static void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

/* One writer that keeps every acknowledgement. */
struct scribe {
    const struct hubproc *hub;
    struct wirekit k;
    struct person p;
    struct hash ids[NOTES_MAX];
    uint64_t index[NOTES_MAX];
    unsigned sent, acked;
    char note[CHECKPOINT_BYTES_MAX]; /* newest checkpoint seen */
    size_t note_size;
    uint64_t slot;
};

static bool take_results(struct scribe *w, int timeout_ms)
{
    if (!wirekit_expect(&w->k, WIRE_RESULTS, timeout_ms))
        return false;
    struct mp_reader list = w->k.f.list;
    for (size_t i = 0; i < w->k.f.count; i++) {
        struct wire_result r;
        wire_next_result(&list, &r);
        if (r.code != 0)
            continue;
        assert_true(r.rid < NOTES_MAX);
        w->index[r.rid] = r.index;
        w->acked++;
        w->slot = r.slot;
    }
    if (w->k.note_size[w->slot] > 0) {
        memcpy(w->note, w->k.notes[w->slot], w->k.note_size[w->slot]);
        w->note_size = w->k.note_size[w->slot];
    }
    return true;
}

static void *write_until_end(void *context)
{
    struct scribe *w = context;
    while (w->sent + 1 < NOTES_MAX) {
        person_note(&w->p, 64);
        struct bytes one = person_bytes(&w->p);
        w->k.rid = w->sent;
        if (!wirekit_submit(&w->k, &one, 1, 0))
            break;
        w->ids[w->k.rid] = w->p.id;
        w->sent = (unsigned)w->k.rid;
        while (w->sent - w->acked > 32)
            if (!take_results(w, 5000))
                return NULL;
    }
    while (w->acked < w->sent && take_results(w, 1000))
        ;
    return NULL;
}

static void begin(struct scribe *w, const struct hubproc *hub, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->hub = hub;
    assert_true(wirekit_open(&w->k, hub->port, NULL));
    hub_trust(hub, &w->k);
    open_account(&w->k, &w->p, seed);
}

/* Every acknowledged id is where it was said to be; the old checkpoint is a beginning of
 * the present tree. */
static void check_all(struct scribe *w)
{
    struct wirekit k;
    struct bytes note = bytes_of(w->note, w->note_size);
    unsigned found = 0;
    assert_true(wirekit_open_with(&k, w->hub->port, NULL, &note, w->note_size ? 1 : 0));
    for (unsigned i = 1; i <= w->sent; i++) {
        if (w->index[i] == 0)
            continue;
        found++;
        if (found % 17 != 1 && i + 40 < w->sent)
            continue; /* all of the last ones, a sample of the rest */
        assert_true(wirekit_send(
            &k, &(struct wire_frame){.type = WIRE_FETCH,
                                     .rid = ++k.rid,
                                     .key = {.what = WIRE_ID, .id = w->ids[i]},
                                     .max = 1}));
        assert_true(wirekit_receive(&k, WAIT_MS));
        assert_int_equal(k.f.type, WIRE_PAGE);
        assert_int_equal(k.f.count, 1);
        struct record r;
        struct mp_reader list = k.f.list;
        wire_next_record(&list, &r);
        assert_int_equal(r.index, w->index[i]);
    }
    assert_int_equal(found, w->acked);
    wirekit_close(&k);
}

static void finish(struct scribe *w)
{
    wirekit_close(&w->k);
    person_free(&w->p);
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
    static struct hubproc hub;
    static struct scribe writers[ROUNDS];
    pthread_t thread;
    (void)state;
    hub_new(&hub, false);
    for (int round = 0; round < ROUNDS; round++) {
        begin(&writers[round], &hub, 100 + (uint64_t)round);
        assert_int_equal(pthread_create(&thread, NULL, write_until_end, &writers[round]),
                         0);
        sleep_ms(60 + 90 * (unsigned)round);
        hubproc_kill(&hub);
        pthread_join(thread, NULL);
        assert_true(writers[round].acked > 0);
        hub_start(&hub);
        for (int i = 0; i <= round; i++)
            check_all(&writers[i]);
    }
    for (int i = 0; i < ROUNDS; i++)
        finish(&writers[i]);
    hubproc_close(&hub);
}

static void a_drain_answers_everybody_and_ends_with_0(void **state)
{
    static struct hubproc hub;
    static struct scribe w;
    pthread_t thread;
    struct wirekit idle;
    (void)state;
    hub_new(&hub, false);
    begin(&w, &hub, 200);
    assert_true(wirekit_open(&idle, hub.port, NULL));
    assert_int_equal(pthread_create(&thread, NULL, write_until_end, &w), 0);
    sleep_ms(200);
    hubproc_signal(&hub, SIGTERM);
    assert_true(wirekit_expect(&idle, WIRE_BYE, WAIT_MS));
    assert_int_equal(idle.f.code, ERR_DRAINING);
    assert_int_equal(hubproc_wait(&hub, 10000), 0);
    pthread_join(thread, NULL);
    wirekit_close(&idle);
    hub_start(&hub);
    check_all(&w);
    finish(&w);
    hubproc_signal(&hub, SIGTERM);
    assert_int_equal(hubproc_wait(&hub, 10000), 0);
    hubproc_close(&hub);
}

static void copy_file(const struct hubproc *hub, const char *from, const char *to)
{
    char a[512], b[512];
    hubproc_path(hub, from, a);
    hubproc_path(hub, to, b);
    FILE *in = fopen(a, "rb"), *out = fopen(b, "wb");
    assert_non_null(in);
    assert_non_null(out);
    char room[65536];
    size_t n;
    while ((n = fread(room, 1, sizeof(room), in)) > 0)
        assert_int_equal(fwrite(room, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void stop(struct hubproc *hub)
{
    hubproc_signal(hub, SIGTERM);
    assert_int_equal(hubproc_wait(hub, 10000), 0);
}

static void add_some(struct hubproc *hub, uint64_t seed, unsigned count, struct scribe *w)
{
    begin(w, hub, seed);
    for (unsigned i = 0; i < count; i++) {
        person_note(&w->p, 30);
        struct wire_result r;
        assert_true(wirekit_submit_one(&w->k, person_bytes(&w->p), &r));
        assert_int_equal(r.code, 0);
        w->slot = r.slot;
        memcpy(w->note, w->k.notes[r.slot], w->k.note_size[r.slot]);
        w->note_size = w->k.note_size[r.slot];
    }
}

static void a_restored_older_database_is_found_out(void **state)
{
    static struct hubproc hub;
    static struct scribe w;
    char err[2000], path[512];
    static const char *const run[] = {"run", NULL};
    (void)state;
    hub_new(&hub, false);
    add_some(&hub, 300, 5, &w);
    finish(&w);
    stop(&hub);
    copy_file(&hub, "state/ledger.db", "old.db");
    copy_file(&hub, "state/ledger.db-index", "old.db-index");
    hub_start(&hub);
    add_some(&hub, 301, 5, &w);
    stop(&hub);
    copy_file(&hub, "old.db", "state/ledger.db");
    copy_file(&hub, "old.db-index", "state/ledger.db-index");
    assert_int_equal(hubproc_run(&hub, run, err, sizeof(err)), 70);
    assert_non_null(strstr(err, "restored"));

    /* Without its own mark it is told by a client that holds the newer checkpoint. */
    hubproc_path(&hub, "state/highwater", path);
    assert_int_equal(unlink(path), 0);
    hub_start(&hub);
    struct wirekit k;
    struct bytes note = bytes_of(w.note, w.note_size);
    assert_false(wirekit_open_with(&k, hub.port, NULL, &note, 1));
    assert_int_equal(k.f.type, WIRE_BYE);
    assert_int_equal(k.f.code, ERR_BEHIND);
    wirekit_close(&k);
    char body[4096];
    size_t size;
    int status = 0;
    for (int i = 0; i < 50 && status != 503; i++) {
        sleep_ms(50);
        status = rawhttp_get(hub.port, "/readyz/write", body, sizeof(body), &size);
    }
    assert_int_equal(status, 503);
    assert_non_null(strstr(body, "behind"));
    finish(&w);
    hubproc_close(&hub);
}

static void a_second_stoad_on_one_store_is_refused(void **state)
{
    static struct hubproc hub;
    char err[2000];
    static const char *const run[] = {"run", NULL}, *const init[] = {"init", NULL};
    (void)state;
    hub_new(&hub, false);
    assert_int_equal(hubproc_run(&hub, run, err, sizeof(err)), 78);
    assert_non_null(strstr(err, "error[T78"));
    assert_int_equal(hubproc_run(&hub, init, err, sizeof(err)), 78);
    struct wirekit k;
    assert_true(wirekit_open(&k, hub.port, NULL));
    wirekit_close(&k);
    stop(&hub);
    hubproc_close(&hub);
}

static void nothing_starts_without_a_store_or_with_anothers(void **state)
{
    static struct hubproc hub;
    char err[2000];
    static const char *const run[] = {"run", NULL};
    static const char *const other[] = {"run", "--set", "hub.name=other", NULL};
    (void)state;
    assert_true(hubproc_open(&hub, false));
    assert_int_equal(hubproc_run(&hub, run, err, sizeof(err)), 78);
    assert_non_null(strstr(err, "stoad init"));
    assert_true(hubproc_init(&hub));
    assert_int_equal(hubproc_run(&hub, other, err, sizeof(err)), 78);
    assert_non_null(strstr(err, "belongs to hub"));
    char path[512];
    hubproc_path(&hub, "state/highwater", path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("stoa-highwater-1 16\n", f);
    fclose(f);
    assert_int_equal(hubproc_run(&hub, run, err, sizeof(err)), 78);
    assert_non_null(strstr(err, "highwater"));
    hubproc_close(&hub);
}

static void without_room_on_the_disk_writes_are_refused_and_reads_go_on(void **state)
{
    static struct hubproc hub;
    static struct scribe w;
    struct wire_result r;
    char body[4096];
    size_t size;
    int status = 200;
    (void)state;
    hub_new(&hub, false);
    add_some(&hub, 400, 3, &w);
    finish(&w);
    stop(&hub);
    hubproc_set(&hub, "store.min_free_bytes=1125899906842624");
    hub_start(&hub);
    struct wirekit k;
    assert_true(wirekit_open(&k, hub.port, NULL));
    for (int i = 0; i < 100 && status == 200; i++) {
        sleep_ms(50);
        status = rawhttp_get(hub.port, "/readyz/write", body, sizeof(body), &size);
    }
    assert_int_equal(status, 503);
    assert_non_null(strstr(body, "store_full"));
    struct person p;
    person_make(&p, 401);
    person_open(&p, &k.hub, RESIDENCY_GLOBAL);
    assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_true(r.retry_after_ms > 0);
    assert_int_equal(rawhttp_get(hub.port, "/readyz/read", body, sizeof(body), &size),
                     200);
    struct wire_key key = {.what = WIRE_SLOT, .slot = w.slot};
    assert_true(wirekit_send(
        &k, &(struct wire_frame){.type = WIRE_FETCH, .rid = 1, .key = key, .max = 10}));
    assert_true(wirekit_expect(&k, WIRE_PAGE, WAIT_MS));
    assert_true(k.f.count >= 4);
    person_free(&p);
    wirekit_close(&k);
    stop(&hub);
    hubproc_close(&hub);
}

int main(void)
{
    if (!crypto_start())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives_kill_9),
        cmocka_unit_test(a_drain_answers_everybody_and_ends_with_0),
        cmocka_unit_test(a_restored_older_database_is_found_out),
        cmocka_unit_test(a_second_stoad_on_one_store_is_refused),
        cmocka_unit_test(nothing_starts_without_a_store_or_with_anothers),
        cmocka_unit_test(without_room_on_the_disk_writes_are_refused_and_reads_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
