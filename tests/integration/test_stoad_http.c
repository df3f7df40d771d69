/* HTTP beside the WebSocket: health, metrics, status; and the public log, from whose
 * tiles anybody can build the root that the checkpoint signs. */
#include "tests/integration/hub.h"

#include <jansson.h>
#include <stdio.h>

#define BODY_MAX (1u << 20)

static struct hubproc hub;
static char *body;
static size_t size;

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    body = malloc(BODY_MAX);
    hub_new(&hub, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_close(&hub);
    free(body);
    return 0;
}

static int get(const char *path)
{
    return rawhttp_get(hub.port, path, body, BODY_MAX, &size);
}

static void health_is_told(void **state)
{
    (void)state;
    assert_int_equal(get("/livez"), 200);
    assert_int_equal(get("/readyz/write"), 200);
    assert_int_equal(get("/readyz/read"), 200);
    assert_int_equal(get("/readyz"), 200);
    assert_string_equal(body, "read: ok\nwrite: ok\n");
    assert_int_equal(get("/readyz/any"), 404);
    assert_int_equal(get("/readyzz"), 404);
    assert_int_equal(get("/"), 200);
    assert_int_equal(get("/nothing/here"), 404);
    assert_int_equal(get("/log/../../etc/passwd"), 404);
    assert_int_equal(get("/log/zz/checkpoint"), 404);
    assert_int_equal(get("/log/ff/checkpoint"), 404);
}

static void metrics_and_status_are_there(void **state)
{
    (void)state;
    assert_int_equal(get("/metrics"), 200);
    assert_non_null(strstr(body, "stoa_ready{kind=\"write\"}"));
    assert_non_null(strstr(body, "stoa_build_info"));
    assert_int_equal(get("/v1/status"), 200);
    json_t *j = json_loads(body, 0, NULL);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "hub")), "local");
    assert_int_equal(json_array_size(json_object_get(j, "slots")), 16);
    assert_true(json_is_true(json_object_get(j, "ready_write")));
    json_decref(j);
    assert_int_equal(get("/readyz/write?verbose"), 200);
    j = json_loads(body, 0, NULL);
    assert_non_null(j);
    json_decref(j);
}

static struct checkpoint published(uint64_t slot, const struct vkey *log)
{
    char path[64];
    struct checkpoint c;
    snprintf(path, sizeof(path), "/log/%02x/checkpoint", (unsigned)slot);
    assert_int_equal(get(path), 200);
    assert_true(checkpoint_open(&c, body, size, log));
    return c;
}

static int get_tile(uint64_t slot, int level, uint64_t n, unsigned width)
{
    char path[256];
    int at = snprintf(path, sizeof(path), "/log/%02x/", (unsigned)slot);
    assert_true(tile_path(path + at, sizeof(path) - (size_t)at, level, n, width) > 0);
    return get(path);
}

static void the_public_log_gives_the_signed_root(void **state)
{
    struct wirekit k;
    struct person p;
    struct frontier f = {0};
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    hub_trust(&hub, &k);
    open_account(&k, &p, 1);
    uint64_t slot = slot_of(&p.account, k.hub.slots);
    for (int frame = 0; frame < 3; frame++) {
        static uint8_t room[100][400];
        struct bytes list[100];
        for (int i = 0; i < 100; i++) {
            person_note(&p, 10);
            memcpy(room[i], p.bytes, p.size);
            list[i] = bytes_of(room[i], p.size);
        }
        assert_true(wirekit_submit(&k, list, 100, 0));
        for (size_t got = 0; got < 100; got += k.f.count)
            assert_true(wirekit_expect(&k, WIRE_RESULTS, WAIT_MS));
    }
    struct checkpoint c = published(slot, &k.log[slot]);
    assert_true(c.size >= 301);
    for (uint64_t n = 0; n * TILE_HASHES < c.size; n++) {
        unsigned width = tile_width(c.size, 0, n);
        uint8_t level0[TILE_HASHES * HASH_BYTES];
        assert_int_equal(get_tile(slot, 0, n, width), 200);
        assert_int_equal(size, width * HASH_BYTES);
        memcpy(level0, body, size);
        /* The bundle's leaves hash to the tile's hashes. */
        assert_int_equal(get_tile(slot, -1, n, width), 200);
        assert_int_equal(size, width * (2 + LEAF_BYTES));
        for (unsigned i = 0; i < width; i++) {
            const char *leaf = body + i * (2 + LEAF_BYTES);
            assert_int_equal(leaf[0], 0);
            assert_int_equal(leaf[1], LEAF_BYTES);
            struct hash h = hash_leaf(leaf + 2, LEAF_BYTES);
            assert_memory_equal(h.b, level0 + i * HASH_BYTES, HASH_BYTES);
            assert_true(frontier_append(&f, &h));
        }
    }
    struct hash root = frontier_root(&f);
    assert_true(hash_equal(&root, &c.root));
    /* Nothing past the published checkpoint. */
    unsigned width = tile_width(c.size, 0, c.size / TILE_HASHES);
    assert_int_equal(get_tile(slot, 0, c.size / TILE_HASHES, width + 1), 404);
    assert_int_equal(get_tile(slot, -1, c.size / TILE_HASHES, width + 1), 404);
    assert_int_equal(get_tile(slot, 0, 1000, 256), 404);
    assert_int_equal(get_tile(slot, 1, 0, tile_width(c.size, 1, 0)), 200);
    person_free(&p);
    wirekit_close(&k);
}

static void every_question_is_timed(void **state)
{
    static const char *const lines[] = {
        "{route=\"hello\",code=\"ok\"} ", "{route=\"checkpoint\",code=\"ok\"} ",
        "{route=\"checkpoint\",code=\"refused\"} ", "{route=\"subscribe\",code=\"ok\"} ",
        "{route=\"subscribe\",code=\"refused\"} "};
    struct wirekit k;
    struct wire_key key = {.what = WIRE_SLOT, .slot = 1};
    (void)state;
    assert_true(wirekit_open(&k, hub.port, NULL));
    for (uint64_t slot = 1; slot < 256; slot += 254) {
        assert_true(wirekit_send(
            &k, &(struct wire_frame){.type = WIRE_CHECKPOINT, .rid = 1, .slot = slot}));
        assert_true(wirekit_receive(&k, WAIT_MS));
    }
    for (int i = 0; i < 2; i++)
        assert_true(wirekit_subscribe(&k, &key, 0));
    assert_true(wirekit_expect(&k, WIRE_ERROR, WAIT_MS));
    assert_int_equal(get("/metrics"), 200);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "request_duration_seconds_count%s", lines[i]);
        const char *at = strstr(body, text);
        if (!at)
            fail_msg("no %s", text);
        assert_true(strtoul(at + strlen(text), NULL, 10) > 0);
    }
    wirekit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_is_told),
        cmocka_unit_test(metrics_and_status_are_there),
        cmocka_unit_test(the_public_log_gives_the_signed_root),
        cmocka_unit_test(every_question_is_timed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
