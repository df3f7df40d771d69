/* Clients that ask and ask: what waits for them is bounded, nobody who only reads slowly
 * is cut, and others are served meanwhile. */
#include "tests/integration/hub.h"

#include <stdio.h>
#include <time.h>

#include "crypto/seal.h"

#define UNSENT_BYTES 65536u
#define ONE_ANSWER_MAX (256u << 10)

static struct hubproc hub;

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    assert_true(hubproc_open(&hub, true));
    hubproc_set(&hub, "limits.unsent_bytes=%u", UNSENT_BYTES);
    hubproc_set(&hub, "limits.idle_ms=2s");
    hubproc_set(&hub, "limits.ping_ms=1s");
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

static double gauge(const char *name)
{
    static char body[1 << 20];
    char line[128];
    size_t size;
    assert_int_equal(rawhttp_get(hub.port, "/metrics", body, sizeof(body), &size), 200);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(body, line);
    assert_non_null(at);
    return strtod(at + strlen(line), NULL);
}

static void queue_frame(struct wirekit *k, const struct wire_frame *f)
{
    uint8_t room[256];
    struct mp_writer w = mp_writer_of(room, sizeof(room));
    wire_put(&w, f);
    assert_false(w.full);
    assert_true(rawws_queue(&k->ws, room, w.size));
}

static void answers_that_nobody_reads_stop_the_asker(void **state)
{
    enum { ASKED = 400000 };
    struct wirekit k;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    for (uint64_t i = 1; i <= ASKED; i++)
        queue_frame(&k, &(struct wire_frame){
                            .type = i % 2 ? WIRE_CHECKPOINT : WIRE_LIMITS, .rid = i});
    for (int i = 0; i < 45; i++) { /* past idle_ms, twice */
        assert_true(rawws_flush(&k.ws));
        sleep_ms(100);
    }
    assert_true(gauge("stoa_unsent_bytes") > 0);
    assert_true(gauge("stoa_unsent_bytes") <= UNSENT_BYTES + ONE_ANSWER_MAX);
    /* He reads on, and nothing was forgotten. */
    for (uint64_t i = 1; i <= ASKED; i++) {
        if (i % 64 == 1)
            assert_true(rawws_flush(&k.ws));
        assert_true(wirekit_receive(&k, WAIT_MS));
        assert_int_equal(k.f.rid, i);
    }
    wirekit_close(&k);
}

static void a_writer_is_served_among_many_who_ask(void **state)
{
    enum { ASKERS = 24, EACH = 800 };
    static struct wirekit askers[ASKERS];
    struct wirekit k;
    struct person p;
    struct wire_result r;
    unsigned answered = 0;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    open_account(&k, &p, 1);
    for (int a = 0; a < ASKERS; a++) {
        assert_true(wirekit_open(&askers[a], hub.port, NULL));
        for (uint64_t i = 1; i <= EACH; i++)
            queue_frame(&askers[a],
                        &(struct wire_frame){.type = i % 2 ? WIRE_HEAD : WIRE_SETTLEMENT,
                                             .rid = i,
                                             .id = p.account});
        assert_true(rawws_flush(&askers[a].ws));
    }
    for (int i = 0; i < 20; i++) {
        person_note(&p, 20);
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
        assert_int_equal(r.code, 0);
    }
    for (int a = 0; a < ASKERS; a++) {
        for (uint64_t i = 1; i <= EACH; i++, answered++) {
            assert_true(rawws_flush(&askers[a].ws));
            assert_true(wirekit_receive(&askers[a], WAIT_MS));
            if (askers[a].f.type == WIRE_ERROR)
                assert_int_equal(askers[a].f.code, ERR_BUSY);
            else
                assert_true(askers[a].f.type == WIRE_HEAD_IS ||
                            askers[a].f.type == WIRE_SETTLEMENT_IS);
        }
        wirekit_close(&askers[a]);
    }
    assert_int_equal(answered, ASKERS * EACH);
    person_free(&p);
    wirekit_close(&k);
}

/* An entry with an attachment, on its way into the log; `put` is then ready to send. */
struct sealed_note {
    uint8_t sealed[SEAL_CIPHER_MAX];
    struct wire_frame put;
};

static void seal_note(struct sealed_note *s, struct person *p)
{
    static const uint8_t payload[3] = {0x91, 0xc4, 0x00}; /* a note of no bytes */
    size_t size;
    struct pubkey to = key_public(p->device);
    struct hash prev = p->tip;
    s->put = (struct wire_frame){.type = WIRE_SEALED_PUT};
    assert_true(seal_make(s->sealed, sizeof(s->sealed), &size, s->put.salt.b, "lunch", 5,
                          &to, 1));
    struct hash commitment = seal_commitment(s->put.salt.b, s->sealed, size);
    struct entry_draft d = {.account = &p->account,
                            .seq = p->next_seq++,
                            .prev = &prev,
                            .lamport = ++p->lamport,
                            .time_ms = 1,
                            .kind = KIND_NOTE,
                            .payload = bytes_of(payload, sizeof(payload)),
                            .sealed_commitment = &commitment,
                            .sealed_size = size};
    assert_int_equal(entry_build(&d, p->device, p->bytes, sizeof(p->bytes), &p->size),
                     ERR_OK);
    p->id = p->tip = hash_context(CTX_ENTRY, p->bytes, p->size - SIG_BYTES);
    s->put.id = p->id;
    s->put.data = bytes_of(s->sealed, size);
}

static void attachments_wait_for_entries_and_for_room(void **state)
{
    enum { NOTES = 200 };
    static struct hubproc disk;
    static struct sealed_note notes[NOTES + 1];
    static struct wirekit k, sealer;
    struct person p, other;
    struct wire_result r;
    unsigned done = 0;
    (void)state;
    hub_new(&disk, false);
    assert_true(wirekit_open(&k, disk.port, NULL));
    assert_true(wirekit_open(&sealer, disk.port, NULL));
    open_account(&k, &p, 1);
    open_account(&k, &other, 2);
    for (unsigned i = 0; i <= NOTES; i++) {
        seal_note(&notes[i], &p);
        assert_true(wirekit_submit_one(&k, person_bytes(&p), &r));
        assert_int_equal(r.code, 0);
    }
    for (unsigned i = 0; i < NOTES; i++) {
        static uint8_t room[WIRE_FRAME_MAX];
        struct mp_writer w = mp_writer_of(room, sizeof(room));
        notes[i].put.rid = i + 1;
        wire_put(&w, &notes[i].put);
        assert_true(rawws_queue(&sealer.ws, room, w.size));
    }
    for (int i = 0; i < 20; i++) {
        assert_true(rawws_flush(&sealer.ws));
        person_note(&other, 20);
        assert_true(wirekit_submit_one(&k, person_bytes(&other), &r));
        assert_int_equal(r.code, 0);
    }
    for (; done < NOTES; done++) {
        assert_true(rawws_flush(&sealer.ws));
        assert_true(wirekit_receive(&sealer, WAIT_MS));
        assert_int_equal(sealer.f.type, WIRE_OK);
    }
    wirekit_close(&sealer);
    wirekit_close(&k);
    hubproc_signal(&disk, 15);
    assert_int_equal(hubproc_wait(&disk, 15000), 0);

    /* What is kept free for the log is not for attachments. */
    hubproc_set(&disk, "store.min_free_bytes=1125899906842624");
    hub_start(&disk);
    assert_true(wirekit_open(&k, disk.port, NULL));
    int status = 200;
    for (int i = 0; i < 100 && status == 200; i++) {
        char body[4096];
        size_t size;
        sleep_ms(50);
        status = rawhttp_get(disk.port, "/readyz/write", body, sizeof(body), &size);
    }
    assert_int_equal(status, 503);
    assert_true(wirekit_send(&k, &notes[NOTES].put));
    assert_true(wirekit_receive(&k, WAIT_MS));
    assert_int_equal(k.f.type, WIRE_ERROR);
    assert_int_equal(k.f.code, ERR_UNAVAILABLE);
    assert_true(wirekit_send(
        &k,
        &(struct wire_frame){.type = WIRE_SEALED_GET, .rid = 1, .id = notes[0].put.id}));
    assert_true(wirekit_expect(&k, WIRE_SEALED_IS, WAIT_MS));
    wirekit_close(&k);
    person_free(&p);
    person_free(&other);
    hubproc_close(&disk);
}

static void subscribing_again_and_again_costs_only_the_subscriber(void **state)
{
    enum { TIMES = 5000 };
    struct wirekit k;
    struct wire_key key = {.what = WIRE_ACCOUNT};
    unsigned ok = 0;
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    for (uint64_t i = 0; i < TIMES; i++) {
        memcpy(key.id.b, &i, sizeof(i)); /* accounts that nobody has */
        queue_frame(&k, &(struct wire_frame){
                            .type = WIRE_SUBSCRIBE, .rid = i, .key = key, .from = i});
        queue_frame(&k,
                    &(struct wire_frame){.type = WIRE_UNSUBSCRIBE, .rid = i, .key = key});
    }
    while (ok < 2 * TIMES) {
        assert_true(rawws_flush(&k.ws));
        assert_true(wirekit_receive(&k, WAIT_MS));
        if (k.f.type != WIRE_RECORDS) {
            assert_int_equal(k.f.type, WIRE_OK);
            assert_int_equal(k.f.rid, ok / 2);
            ok++;
        }
    }
    for (int i = 0; i < 50 && gauge("stoa_subscriptions") > 0; i++)
        sleep_ms(100);
    assert_true(gauge("stoa_subscriptions") == 0);
    wirekit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_that_nobody_reads_stop_the_asker),
        cmocka_unit_test(a_writer_is_served_among_many_who_ask),
        cmocka_unit_test(attachments_wait_for_entries_and_for_room),
        cmocka_unit_test(subscribing_again_and_again_costs_only_the_subscriber),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
