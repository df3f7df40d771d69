/* A disk that is really full: a small tmpfs of the test's own, seen by nobody else, and
 * gone with it. Skipped where the kernel does not let us make one. */
#include "tests/integration/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/integration/ops/kit.h"

#define DISK_BYTES "size=48m"
#define NOTES_MAX 12000u
#define NOTE_BYTES 9000u
#define READY_TRIES 200u

static struct hubproc hub;
static char disk[512], keys[512];
static bool mounted;

static void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok;
}

/* Mounts of our own; without privilege in a user namespace of our own. */
static bool own_mounts(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWNS) != 0) {
        if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return false;
        (void)write_text("/proc/self/setgroups", "deny");
        snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
        if (!write_text("/proc/self/uid_map", map))
            return false;
        snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid);
        if (!write_text("/proc/self/gid_map", map))
            return false;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static int setup(void **state)
{
    (void)state;
    assert_true(crypto_start());
    assert_true(hubproc_open(&hub, false));
    hubproc_path(&hub, "disk", disk);
    hubproc_path(&hub, "disk/state/keys", keys);
    assert_int_equal(mkdir(disk, 0700), 0);
    mounted = own_mounts() && mount("none", disk, "tmpfs", 0, DISK_BYTES) == 0;
    if (!mounted)
        return 0;
    hubproc_set(&hub, "hub.state_dir=%s/state", disk);
    ops_socket(&hub);
    if (!hubproc_init(&hub))
        fail_msg("stoad init: %s", hub.why);
    hub_start(&hub);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_kill(&hub);
    if (mounted)
        (void)umount2(disk, MNT_DETACH);
    hubproc_close(&hub);
    return 0;
}

/* Room is taken away and given back. */
static void fill_disk(void)
{
    static const uint8_t zeros[65536];
    char path[600];
    snprintf(path, sizeof(path), "%s/ballast", disk);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    for (size_t n = sizeof(zeros); n >= 1;)
        if (write(fd, zeros, n) < 0) {
            assert_int_equal(errno, ENOSPC);
            n /= 2;
        }
    close(fd);
}

static void free_disk(void)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/ballast", disk);
    assert_int_equal(unlink(path), 0);
}

static int get(const char *path, char *body, size_t cap)
{
    size_t size;
    return rawhttp_get(hub.port, path, body, cap, &size);
}

static void wait_for_write(int status)
{
    char body[4096];
    for (unsigned i = 0; i < READY_TRIES; i++, sleep_ms(50))
        if (get("/readyz/write", body, sizeof(body)) == status)
            break;
    assert_int_equal(get("/readyz/write", body, sizeof(body)), status);
    if (status == 503)
        assert_non_null(strstr(body, "store_full"));
}

/* A writer and the ids of everything that was acknowledged, by position. */
struct scribe {
    struct wirekit k;
    struct person p;
    struct hash acked[NOTES_MAX];
    size_t count;
};

static void begin(struct scribe *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    assert_true(wirekit_open(&w->k, hub.port, NULL));
    assert_true(wirekit_trust_folder(&w->k, keys));
    open_account(&w->k, &w->p, seed);
    w->acked[w->count++] = w->p.id;
}

static void finish(struct scribe *w)
{
    wirekit_close(&w->k);
    person_free(&w->p);
}

/* Send what the person holds; true: acknowledged. Else it was refused for the disk. */
static bool send_it(struct scribe *w)
{
    struct wire_result r;
    assert_true(wirekit_submit_one(&w->k, person_bytes(&w->p), &r));
    if (r.code == 0) {
        assert_int_equal(r.position, w->count);
        assert_true(wirekit_receipt_ok(&w->k, &r, person_bytes(&w->p)));
        assert_true(w->count < NOTES_MAX);
        w->acked[w->count++] = w->p.id;
        return true;
    }
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_true(r.retry_after_ms > 0);
    assert_false(r.has_sig);
    return false;
}

static bool refused_for(struct scribe *w, unsigned tries)
{
    for (unsigned i = 0; i < tries; i++, sleep_ms(300))
        if (send_it(w)) /* the same bytes, as a client does */
            return false;
    return true;
}

/* Folding its journal back gives a hub room to go on with for a while: until none is
 * left. The newest entry is refused then. */
static void write_until_full(struct scribe *w)
{
    do {
        fill_disk();
        do
            person_note(&w->p, NOTE_BYTES);
        while (send_it(w));
    } while (!refused_for(w, 8));
}

/* Every acknowledged entry is where its receipt said. */
static void check_all(struct scribe *w)
{
    struct wirekit k;
    struct wire_frame fetch = {.type = WIRE_FETCH,
                               .key = {.what = WIRE_ACCOUNT, .id = w->p.account},
                               .max = 1000};
    assert_true(wirekit_open(&k, hub.port, NULL));
    while (fetch.from < w->count) {
        fetch.rid = ++k.rid;
        assert_true(wirekit_send(&k, &fetch));
        assert_true(wirekit_expect(&k, WIRE_PAGE, WAIT_MS));
        assert_true(k.f.end >= w->count && k.f.count > 0);
        struct mp_reader list = k.f.list;
        for (size_t i = 0; i < k.f.count; i++) {
            struct record r;
            wire_next_record(&list, &r);
            struct hash id =
                hash_context(CTX_ENTRY, r.envelope.data, r.envelope.size - SIG_BYTES);
            if (r.position < w->count)
                assert_true(hash_equal(&id, &w->acked[r.position]));
        }
        fetch.from = k.f.next;
    }
    wirekit_close(&k);
}

static void a_full_disk_refuses_writes_until_there_is_room(void **state)
{
    static struct scribe w;
    char body[4096];
    (void)state;
    if (!mounted)
        skip();
    begin(&w, 1);
    for (int round = 0; round < 3; round++) {
        write_until_full(&w);
        wait_for_write(503);
        assert_int_equal(get("/readyz/read", body, sizeof(body)), 200);
        assert_int_equal(get("/readyz", body, sizeof(body)), 200);
        assert_non_null(strstr(body, "read: ok\nwrite: store_full\n"));
        const json_t *f = ops_expect(&hub, "disk_full");
        assert_non_null(strstr(ops_try(f, 0), disk)); /* df -h of that very folder */
        check_all(&w);
        free_disk();
        wait_for_write(200);
        assert_true(send_it(&w));
        for (int i = 0; i < 20; i++) {
            person_note(&w.p, 50);
            assert_true(send_it(&w));
        }
        check_all(&w);
        (void)ops_expect(&hub, "");
    }
    ops_close();
    finish(&w);
}

static void stopped_or_killed_with_a_full_disk_it_starts_again(void **state)
{
    static struct scribe w;
    (void)state;
    if (!mounted)
        skip();
    begin(&w, 2);
    for (int round = 0; round < 2; round++) {
        write_until_full(&w);
        wait_for_write(503);
        if (round == 0) {
            hubproc_signal(&hub, SIGTERM);
            assert_int_equal(hubproc_wait(&hub, 15000), 0);
        } else {
            hubproc_kill(&hub);
        }
        wirekit_close(&w.k);
        free_disk();
        hub_start(&hub);
        wait_for_write(200);
        check_all(&w);
        assert_true(wirekit_open(&w.k, hub.port, NULL));
        assert_true(wirekit_trust_folder(&w.k, keys));
        assert_true(send_it(&w));
    }
    hubproc_signal(&hub, SIGTERM);
    assert_int_equal(hubproc_wait(&hub, 15000), 0);
    hub_start(&hub);
    check_all(&w);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_refuses_writes_until_there_is_room),
        cmocka_unit_test(stopped_or_killed_with_a_full_disk_it_starts_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
