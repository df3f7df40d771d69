/* The public log as C2SP tlog-tiles serves it: content types, caching, ranges, HEAD, partial
 * widths, envelopes beside the leaves, and nothing past the checkpoint or behind a pin. */
#include "tests/integration/hub.h"

#include <stdio.h>

#define ANSWER_MAX (4u << 20)
#define BUNDLE_ENTRY (2 + LEAF_BYTES)

static struct hubproc hub;
static char *answer;
static size_t answer_size;
static struct wirekit k;

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    answer = malloc(ANSWER_MAX);
    hub_new(&hub, false);
    assert_true(wirekit_open(&k, hub.port, NULL));
    hub_trust(&hub, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wirekit_close(&k);
    hubproc_close(&hub);
    free(answer);
    return 0;
}

static int ask(const char *method, const char *path, const char *more)
{
    char request[1024];
    int n = snprintf(request, sizeof(request),
                     "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n",
                     method, path, more);
    assert_true(n > 0 && (size_t)n < sizeof(request));
    return rawhttp_exchange(hub.port, request, (size_t)n, answer, ANSWER_MAX, &answer_size);
}

static const char *body(size_t *size)
{
    char *at = strstr(answer, "\r\n\r\n");
    assert_non_null(at);
    *size = answer_size - (size_t)(at + 4 - answer);
    return at + 4;
}

/* A header line stands in the head of the answer. */
static void has(const char *line)
{
    char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    char *at = strcasestr(answer, line);
    if (!at || at > end)
        fail_msg("no %s in:\n%.600s", line, answer);
}

static void write_notes(struct person *p, int count)
{
    static uint8_t room[100][400];
    struct bytes list[100];
    while (count > 0) {
        int n = count < 100 ? count : 100;
        for (int i = 0; i < n; i++) {
            person_note(p, 10);
            memcpy(room[i], p->bytes, p->size);
            list[i] = bytes_of(room[i], p->size);
        }
        assert_true(wirekit_submit(&k, list, (size_t)n, 0));
        for (size_t got = 0; got < (size_t)n; got += k.f.count)
            assert_true(wirekit_expect(&k, WIRE_RESULTS, WAIT_MS));
        count -= n;
    }
}

static struct checkpoint published(uint64_t slot)
{
    char path[64];
    struct checkpoint c;
    size_t size;
    snprintf(path, sizeof(path), "/log/%02x/checkpoint", (unsigned)slot);
    assert_int_equal(ask("GET", path, ""), 200);
    const char *note = body(&size);
    assert_true(checkpoint_open(&c, note, size, &k.log[slot]));
    return c;
}

static void types_and_caching_are_those_of_tlog_tiles(void **state)
{
    struct person p;
    char path[128];
    size_t size;
    (void)state;
    open_account(&k, &p, 1);
    uint64_t slot = slot_of(&p.account, k.hub.slots);
    write_notes(&p, 300);
    struct checkpoint c = published(slot);
    has("content-type: text/plain; charset=utf-8\r\n");
    has("cache-control: public, max-age=1\r\n");
    has("access-control-allow-origin: *\r\n");
    assert_true(c.size > 256 && c.size < 512);
    snprintf(path, sizeof(path), "/log/%02x/tile/0/000", (unsigned)slot);
    assert_int_equal(ask("GET", path, ""), 200);
    has("content-type: application/octet-stream\r\n");
    has("cache-control: public, max-age=31536000, immutable\r\n");
    has("accept-ranges: bytes\r\n");
    has("content-length: 8192\r\n");
    body(&size);
    assert_int_equal(size, 8192);
    assert_int_equal(ask("HEAD", path, ""), 200);
    has("content-length: 8192\r\n");
    body(&size);
    assert_int_equal(size, 0);
    /* Partial tiles stay what they were after the full one exists. */
    static char whole[8192];
    assert_int_equal(ask("GET", path, ""), 200);
    memcpy(whole, body(&size), sizeof(whole));
    for (unsigned width = 1; width < 256; width += 51) {
        snprintf(path, sizeof(path), "/log/%02x/tile/0/000.p/%u", (unsigned)slot, width);
        assert_int_equal(ask("GET", path, ""), 200);
        const char *part = body(&size);
        assert_int_equal(size, width * 32);
        assert_memory_equal(part, whole, size);
    }
    snprintf(path, sizeof(path), "/log/%02x/tile/0/001", (unsigned)slot);
    assert_int_equal(ask("GET", path, ""), 404);
    has("cache-control: no-store\r\n");
    person_free(&p);
}

static void ranges_are_served_and_refused(void **state)
{
    static char whole[300 * BUNDLE_ENTRY];
    size_t size, part;
    struct person p;
    char path[128];
    (void)state;
    open_account(&k, &p, 2);
    uint64_t slot = slot_of(&p.account, k.hub.slots);
    write_notes(&p, 260);
    snprintf(path, sizeof(path), "/log/%02x/tile/entries/000", (unsigned)slot);
    assert_int_equal(ask("GET", path, ""), 200);
    const char *data = body(&size);
    assert_int_equal(size, 256 * BUNDLE_ENTRY);
    memcpy(whole, data, size);
    assert_int_equal(ask("GET", path, "Range: bytes=82-163\r\n"), 206);
    has("content-range: bytes 82-163/20992\r\n");
    has("content-length: 82\r\n");
    data = body(&part);
    assert_int_equal(part, 82);
    assert_memory_equal(data, whole + 82, 82);
    assert_int_equal(ask("GET", path, "Range: bytes=-1\r\n"), 206);
    data = body(&part);
    assert_true(part == 1 && data[0] == whole[size - 1]);
    assert_int_equal(ask("GET", path, "Range: bytes=20992-\r\n"), 416);
    has("content-range: bytes */20992\r\n");
    assert_int_equal(ask("GET", path, "Range: bytes=0-1,5-6\r\n"), 200);
    body(&part);
    assert_int_equal(part, size);
    person_free(&p);
}

static void other_methods_and_paths_are_refused(void **state)
{
    static const char *const missing[] = {
        "/log/00/tile/0/0", "/log/00/tile/00/000", "/log/00/tile/0/000.p/0",
        "/log/00/tile/0/000.p/256", "/log/00/tile/0/000.p/01", "/log/00/tile/64/000",
        "/log/00/tile/0/x000", "/log/00/tile/-1/000", "/log/00/tile/entries/../9/000",
        "/log/00/envelopes/", "/log/00/envelopes/000.p/300", "/log/0/checkpoint",
        "/log/000/checkpoint", "/log/00/checkpoint/", "/log/0A/checkpoint",
        "/log/00/%2e%2e/00/checkpoint/x"};
    (void)state;
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        if (ask("GET", missing[i], "") != 404)
            fail_msg("%s: %.200s", missing[i], answer);
    /* The line end that `ask` puts last is of the body here. */
    assert_int_equal(ask("POST", "/log/00/checkpoint", "Content-Length: 5\r\n\r\nabc"), 405);
    has("allow: GET, HEAD\r\n");
    assert_int_equal(ask("DELETE", "/log/00/checkpoint", ""), 405);
}

/* Every record of a slot, from leaves and envelopes alone: withheld ones have none. */
static void envelopes_stand_beside_their_leaves(void **state)
{
    struct person global, pinned;
    struct wire_result r;
    char path[128];
    size_t leaves_size, size;
    (void)state;
    open_account(&k, &global, 3);
    uint64_t slot = slot_of(&global.account, k.hub.slots);
    for (uint64_t seed = 100;; seed++) {
        person_make(&pinned, seed);
        person_open(&pinned, &k.hub, RESIDENCY_PINNED);
        if (slot_of(&pinned.account, k.hub.slots) == slot)
            break;
        person_free(&pinned);
    }
    assert_true(wirekit_submit_one(&k, person_bytes(&pinned), &r));
    assert_int_equal(r.code, 0);
    write_notes(&global, 5);
    write_notes(&pinned, 3);
    struct checkpoint c = published(slot);
    uint64_t n = (c.size - 1) / TILE_HASHES;
    unsigned width = (unsigned)(c.size - n * TILE_HASHES);
    char suffix[16] = "";
    if (width < TILE_HASHES)
        snprintf(suffix, sizeof(suffix), ".p/%u", width);
    snprintf(path, sizeof(path), "/log/%02x/tile/entries/%03u%s", (unsigned)slot,
             (unsigned)n, suffix);
    assert_int_equal(ask("GET", path, ""), 200);
    static uint8_t leaves[TILE_HASHES * BUNDLE_ENTRY];
    const char *data = body(&leaves_size);
    assert_int_equal(leaves_size, width * BUNDLE_ENTRY);
    memcpy(leaves, data, leaves_size);
    snprintf(path, sizeof(path), "/log/%02x/envelopes/%03u%s", (unsigned)slot, (unsigned)n,
             suffix);
    assert_int_equal(ask("GET", path, ""), 200);
    has("immutable");
    const uint8_t *at = (const uint8_t *)body(&size), *end = at + size;
    unsigned withheld = 0;
    for (unsigned i = 0; i < width; i++) {
        assert_true(end - at >= 2);
        size_t length = (size_t)at[0] << 8 | at[1];
        at += 2;
        assert_true((size_t)(end - at) >= length);
        struct hash h = hash_sha256(at, length);
        if (length == 0)
            withheld++;
        else
            assert_memory_equal(h.b, leaves + i * BUNDLE_ENTRY + 2, HASH_BYTES);
        at += length;
    }
    assert_ptr_equal(at, end);
    assert_int_equal(withheld, 4);
    person_free(&pinned);
    person_free(&global);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_and_caching_are_those_of_tlog_tiles),
        cmocka_unit_test(ranges_are_served_and_refused),
        cmocka_unit_test(other_methods_and_paths_are_refused),
        cmocka_unit_test(envelopes_stand_beside_their_leaves),
    };
    return cmocka_run_group_tests_name("stoad_log", tests, setup, teardown);
}
