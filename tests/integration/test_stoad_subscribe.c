/* Subscriptions under load: what a subscriber gets is the log, record by record, without
 * a gap or a repeat, whatever he is: early, late, slow, or not allowed. */
#include "tests/integration/hub.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"

#define NOTES_EACH 3000u
#define PER_FRAME 20u
#define WRITTEN_MS 60000u /* everything is, at most */

static struct hubproc hub;

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    assert_true(hubproc_open(&hub, true));
    hubproc_set(&hub, "limits.unsent_bytes=65536");
    hubproc_set(&hub, "limits.stalled_ms=3s");
    hubproc_set(&hub, "limits.page_records=100");
    hub_start(&hub);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_signal(&hub, 15);
    int code = hubproc_wait(&hub, 15000);
    hubproc_close(&hub);
    return code == 0 ? 0 : -1;
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

/* A writer in a thread of its own. */
struct load {
    struct wirekit k;
    struct person p;
    pthread_t thread;
    unsigned frames, pause_ms;
    size_t note_bytes;
    atomic_uint accepted;
};

static void *write_frames(void *context)
{
    struct load *w = context;
    static __thread uint8_t room[PER_FRAME][2048];
    for (unsigned f = 0; f < w->frames; f++) {
        struct bytes list[PER_FRAME];
        for (unsigned i = 0; i < PER_FRAME; i++) {
            person_note(&w->p, w->note_bytes);
            memcpy(room[i], w->p.bytes, w->p.size);
            list[i] = bytes_of(room[i], w->p.size);
        }
        if (!wirekit_submit(&w->k, list, PER_FRAME, 0))
            break;
        for (size_t got = 0; got < PER_FRAME; got += w->k.f.count) {
            if (!wirekit_expect(&w->k, WIRE_RESULTS, WAIT_MS))
                return NULL;
            atomic_fetch_add(&w->accepted, (unsigned)w->k.f.count);
        }
        if (w->pause_ms)
            sleep_ms(w->pause_ms);
    }
    return NULL;
}

static void load_begin(struct load *w, uint64_t seed, unsigned notes, size_t note_bytes)
{
    memset(w, 0, sizeof(*w));
    assert_true(wirekit_open(&w->k, hub.port, NULL));
    open_account(&w->k, &w->p, seed);
    w->frames = notes / PER_FRAME;
    w->note_bytes = note_bytes;
}

static void load_run(struct load *w)
{
    assert_int_equal(pthread_create(&w->thread, NULL, write_frames, w), 0);
}

static void load_wait(struct load *w)
{
    pthread_join(w->thread, NULL);
    assert_int_equal(atomic_load(&w->accepted), w->frames * PER_FRAME);
}

static void load_close(struct load *w)
{
    wirekit_close(&w->k);
    person_free(&w->p);
}

static void load_end(struct load *w)
{
    load_wait(w);
    load_close(w);
}

/* What a subscriber holds of one stream. */
struct follower {
    struct wirekit k;
    struct wire_key key;
    uint64_t next;
    unsigned live, caught_up, notes;
};

static void follow(struct follower *f, const struct wire_key *key, uint64_t from)
{
    memset(f, 0, sizeof(*f));
    assert_true(wirekit_open(&f->k, hub.port, NULL));
    f->key = *key;
    f->next = from;
    assert_true(wirekit_subscribe(&f->k, key, from));
    assert_true(wirekit_receive(&f->k, WAIT_MS));
    assert_int_equal(f->k.f.type, WIRE_OK);
}

static void take(struct follower *f)
{
    assert_int_equal(f->k.f.type, WIRE_RECORDS);
    assert_int_equal(f->k.f.key.what, f->key.what);
    struct mp_reader list = f->k.f.list;
    for (size_t i = 0; i < f->k.f.count; i++) {
        struct record r;
        wire_next_record(&list, &r);
        assert_int_equal(f->key.what == WIRE_SLOT ? r.index : r.position, f->next);
        f->next++;
    }
    if (f->k.f.mode == WIRE_LIVE) {
        f->live++;
        assert_true(f->k.f.note.size > 0);
    }
    f->notes += f->k.f.note.size > 0;
}

static void follow_until(struct follower *f, uint64_t end)
{
    while (f->next < end) {
        assert_true(wirekit_receive(&f->k, WAIT_MS));
        take(f);
    }
    assert_int_equal(f->next, end);
}

/* He reads all the time: who does not is cut after limits.stalled_ms. */
static void follow_what_came(struct follower *f)
{
    while (wirekit_receive(&f->k, 0))
        take(f);
}

static void an_account_is_followed_from_its_first_record_into_the_present(void **state)
{
    static struct load w;
    struct follower f;
    (void)state;
    load_begin(&w, 1, NOTES_EACH, 60);
    w.pause_ms = 1;
    load_run(&w);
    sleep_ms(50);
    follow(&f, &(struct wire_key){.what = WIRE_ACCOUNT, .id = w.p.account}, 0);
    follow_until(&f, 1 + NOTES_EACH);
    load_wait(&w);
    /* Who was slower than the writer comes into the present with one of the next. */
    for (int i = 0; i < 100 && f.live == 0; i++) {
        struct wire_result r;
        person_note(&w.p, 60);
        assert_true(wirekit_submit_one(&w.k, person_bytes(&w.p), &r));
        assert_int_equal(r.code, 0);
        follow_until(&f, f.next + 1);
    }
    assert_true(f.live > 0);
    load_close(&w);
    wirekit_close(&f.k);
}

static void many_followers_of_a_slot_joining_at_any_time_see_the_same(void **state)
{
    enum { FOLLOWERS = 12 };
    static struct load a, b;
    static struct follower f[FOLLOWERS];
    (void)state;
    /* Two accounts of one slot. */
    load_begin(&a, 10, NOTES_EACH, 40);
    uint64_t seed = 1000;
    uint64_t slot = slot_of(&a.p.account, a.k.hub.slots);
    for (;; seed++) {
        struct person p;
        person_make(&p, seed);
        person_open(&p, &a.k.hub, RESIDENCY_GLOBAL);
        uint64_t its = slot_of(&p.account, a.k.hub.slots);
        person_free(&p);
        if (its == slot)
            break;
    }
    load_begin(&b, seed, NOTES_EACH, 300);
    struct wire_key key = {.what = WIRE_SLOT, .slot = slot};
    struct checkpoint c;
    a.pause_ms = b.pause_ms = 2;
    load_run(&a);
    load_run(&b);
    for (int i = 0; i < FOLLOWERS; i++) {
        follow(&f[i], &key, (uint64_t)i);
        sleep_ms(15);
    }
    for (uint64_t end = mono_ms() + WRITTEN_MS; mono_ms() < end; sleep_ms(5)) {
        for (int i = 0; i < FOLLOWERS; i++)
            follow_what_came(&f[i]);
        if (atomic_load(&a.accepted) + atomic_load(&b.accepted) == 2 * NOTES_EACH)
            break;
    }
    load_wait(&a);
    load_wait(&b);
    assert_true(wirekit_send(
        &a.k, &(struct wire_frame){.type = WIRE_CHECKPOINT, .rid = 1, .slot = slot}));
    assert_true(wirekit_expect(&a.k, WIRE_CHECKPOINT_IS, WAIT_MS));
    const char *text = (const char *)a.k.f.note.data;
    const char *stop = strstr(text, "\n\n");
    assert_non_null(stop);
    assert_true(checkpoint_parse(&c, text, (size_t)(stop - text) + 1));
    assert_true(c.size >= 2 * NOTES_EACH);
    for (int i = 0; i < FOLLOWERS; i++) {
        follow_until(&f[i], c.size);
        wirekit_close(&f[i].k);
    }
    wirekit_close(&a.k);
    wirekit_close(&b.k);
    person_free(&a.p);
    person_free(&b.p);
}

static void a_slow_reader_is_moved_to_catch_up_and_misses_nothing(void **state)
{
    static struct load w;
    struct follower f;
    struct rawws_options o = {.port = hub.port, .receive_buffer = 4096};
    (void)state;
    (void)o;
    load_begin(&w, 30, NOTES_EACH, 1500);
    follow(&f, &(struct wire_key){.what = WIRE_ACCOUNT, .id = w.p.account}, 0);
    load_run(&w);
    for (int i = 0; i < 15 && f.next < 1 + NOTES_EACH; i++) {
        sleep_ms(100); /* the hub fills his socket and more */
        assert_true(wirekit_receive(&f.k, WAIT_MS));
        take(&f);
    }
    follow_until(&f, 1 + NOTES_EACH);
    load_end(&w);
    wirekit_close(&f.k);
}

static void a_stalled_reader_is_cut(void **state)
{
    static struct load w;
    struct follower f;
    (void)state;
    load_begin(&w, 40, 12000, 1500); /* more than both sockets' buffers hold */
    follow(&f, &(struct wire_key){.what = WIRE_ACCOUNT, .id = w.p.account}, 0);
    load_run(&w);
    load_end(&w);
    sleep_ms(5500);
    while (wirekit_receive(&f.k, 2000))
        ;
    assert_true(f.k.ws.closed);
    wirekit_close(&f.k);
}

static void unsubscribed_means_silence(void **state)
{
    static struct load w;
    struct follower f;
    (void)state;
    load_begin(&w, 50, 200, 60);
    follow(&f, &(struct wire_key){.what = WIRE_ACCOUNT, .id = w.p.account}, 0);
    follow_until(&f, 1);
    assert_true(wirekit_send(
        &f.k, &(struct wire_frame){.type = WIRE_UNSUBSCRIBE, .rid = 9, .key = f.key}));
    assert_true(wirekit_expect(&f.k, WIRE_OK, WAIT_MS));
    load_run(&w);
    load_end(&w);
    assert_false(wirekit_receive(&f.k, 300));
    /* And again from where he was. */
    assert_true(wirekit_subscribe(&f.k, &f.key, f.next));
    assert_true(wirekit_expect(&f.k, WIRE_OK, WAIT_MS));
    follow_until(&f, 201);
    wirekit_close(&f.k);
}

static void a_pinned_account_is_read_by_its_devices_only(void **state)
{
    struct wirekit anyone, own;
    struct person p;
    struct wire_result r;
    (void)state;
    assert_true(wirekit_open(&anyone, hub.port, NULL));
    person_make(&p, 60);
    person_open(&p, &anyone.hub, RESIDENCY_PINNED);
    assert_true(wirekit_submit_one(&anyone, person_bytes(&p), &r));
    assert_int_equal(r.code, 0);
    struct wire_key key = {.what = WIRE_ACCOUNT, .id = p.account};
    struct wire_frame fetch = {.type = WIRE_FETCH, .rid = 5, .key = key, .max = 10};

    assert_true(wirekit_subscribe(&anyone, &key, 0));
    assert_true(wirekit_expect(&anyone, WIRE_ERROR, WAIT_MS));
    assert_int_equal(anyone.f.code, ERR_NOT_ALLOWED);
    assert_true(wirekit_send(&anyone, &fetch));
    assert_true(wirekit_expect(&anyone, WIRE_ERROR, WAIT_MS));
    assert_int_equal(anyone.f.code, ERR_NOT_ALLOWED);
    assert_false(wirekit_head(&anyone, &p.account, NULL));
    assert_int_equal(anyone.f.code, ERR_NOT_ALLOWED);

    assert_true(wirekit_open(&own, hub.port, p.device));
    assert_true(wirekit_send(&own, &fetch));
    assert_true(wirekit_expect(&own, WIRE_PAGE, WAIT_MS));
    assert_int_equal(own.f.count, 1);
    assert_true(wirekit_head(&own, &p.account, NULL));

    /* In the slot's stream its place is there and its envelope is not, in both modes. */
    struct follower f;
    follow(&f, &(struct wire_key){.what = WIRE_SLOT, .slot = r.slot}, r.index);
    assert_true(wirekit_receive(&f.k, WAIT_MS));
    struct record record;
    struct mp_reader list = f.k.f.list;
    wire_next_record(&list, &record);
    assert_int_equal(record.index, r.index);
    assert_int_equal(record.envelope.size, 0);
    f.next = r.index + 1;
    person_note(&p, 44);
    assert_true(wirekit_submit_one(&own, person_bytes(&p), &r));
    assert_int_equal(r.code, 0);
    assert_true(wirekit_receive(&f.k, WAIT_MS));
    assert_int_equal(f.k.f.mode, WIRE_LIVE);
    list = f.k.f.list;
    wire_next_record(&list, &record);
    assert_int_equal(record.index, r.index);
    assert_int_equal(record.envelope.size, 0);
    wirekit_close(&f.k);
    wirekit_close(&anyone);
    wirekit_close(&own);
    person_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_is_followed_from_its_first_record_into_the_present),
        cmocka_unit_test(many_followers_of_a_slot_joining_at_any_time_see_the_same),
        cmocka_unit_test(a_slow_reader_is_moved_to_catch_up_and_misses_nothing),
        cmocka_unit_test(a_stalled_reader_is_cut),
        cmocka_unit_test(unsubscribed_means_silence),
        cmocka_unit_test(a_pinned_account_is_read_by_its_devices_only),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
