#include "tests/integration/audit_io/world.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "crypto/keyfile.h"

#define POINT 1000000

static void give_points(struct world *w, const struct person *p, uint64_t epoch,
                        int64_t amount)
{
    char path[512];
    struct key *issuer = NULL;
    uint8_t envelope[1024];
    struct wire_result r;
    hubproc_path(&w->hub, "state/keys/issuer.key", path);
    assert_int_equal(keyfile_load(path, &issuer, NULL, NULL), KEYFILE_OK);
    struct pubkey public_key = key_public(issuer);
    assert_true(wirekit_head(&w->k, &p->account, &public_key));
    size_t n = issuer_accrue(issuer, &p->account, w->k.f.next_seq, &w->k.f.tip,
                             w->k.f.tip_lamport, epoch, amount, envelope, sizeof(envelope));
    assert_true(wirekit_submit_one(&w->k, bytes_of(envelope, n), &r));
    assert_int_equal(r.code, 0);
    key_free(issuer);
}

static struct key *log_key(struct world *w)
{
    char path[512];
    struct key *k = NULL;
    hubproc_path(&w->hub, "state/keys/log.key", path);
    assert_int_equal(keyfile_load(path, &k, NULL, NULL), KEYFILE_OK);
    return k;
}

static void write_policy(struct world *w)
{
    char path[600], text[VKEY_TEXT_MAX];
    snprintf(path, sizeof(path), "%s/policy", w->dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (uint32_t i = 0; i < w->k.hub.slots; i++) {
        assert_true(vkey_format(&w->k.log[i], text, sizeof(text)) > 0);
        fprintf(f, "log %s\n", text);
    }
    fprintf(f, "quorum none\n");
    assert_int_equal(fclose(f), 0);
}

void world_open(struct world *w)
{
    struct wire_result r;
    assert_true(crypto_start());
    memset(w, 0, sizeof(*w));
    hub_new(&w->hub, false);
    assert_true(wirekit_open(&w->k, w->hub.port, NULL));
    hub_trust(&w->hub, &w->k);
    snprintf(w->dir, sizeof(w->dir), "%s/work", w->hub.dir);
    assert_int_equal(world_run(w, "true"), 0);
    write_policy(w);
    for (unsigned i = 0; i < WORLD_PEOPLE; i++) {
        open_account(&w->k, &w->people[i], 40 + i);
        give_points(w, &w->people[i], 1, (int64_t)(i + 1) * 1000 * POINT + i);
    }
    struct person *pinned = &w->people[WORLD_PEOPLE];
    person_make(pinned, 99);
    person_open(pinned, &w->k.hub, RESIDENCY_PINNED);
    assert_true(wirekit_submit_one(&w->k, person_bytes(pinned), &r));
    assert_int_equal(r.code, 0);
    person_note(pinned, 40);
    assert_true(wirekit_submit_one(&w->k, person_bytes(pinned), &r));
}

void world_close(struct world *w)
{
    wirekit_close(&w->k);
    for (unsigned i = 0; i <= WORLD_PEOPLE; i++)
        person_free(&w->people[i]);
    hubproc_close(&w->hub);
}

void world_pay(struct world *w, unsigned count)
{
    struct hash nobody = {{9}};
    struct wire_result r;
    for (unsigned i = 0; i < count; i++) {
        struct person *from = &w->people[i % WORLD_PEOPLE];
        const struct person *to = &w->people[(i * 3 + 1) % WORLD_PEOPLE];
        if (i % 7 == 6 || from == to)
            person_note(from, 20 + i % 50);
        else if (i % 31 == 5) /* comes back */
            person_transfer(from, &nobody, 3 * POINT);
        else
            person_transfer(from, &to->account, POINT / 2 + i);
        assert_true(wirekit_submit_one(&w->k, person_bytes(from), &r));
        assert_int_equal(r.code, 0);
    }
}

void world_settle(struct world *w)
{
    uint64_t last = 0, now = 1;
    /* Sizes that no longer grow: nothing is on its way. */
    for (int i = 0; i < 100 && (now != last || i < 3); i++) {
        const struct timespec t = {.tv_nsec = 60000000};
        (void)nanosleep(&t, NULL);
        last = now;
        now = 0;
        for (uint32_t slot = 0; slot < w->k.hub.slots; slot++) {
            char note[2048];
            struct checkpoint c;
            size_t size = world_note(w, slot, note, sizeof(note));
            assert_true(checkpoint_open(&c, note, size, &w->k.log[slot]));
            now += c.size;
        }
    }
}

static void read_back(const char *dir, const char *name, char *out)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    out[fread(out, 1, WORLD_OUT - 1, f)] = 0;
    fclose(f);
}

static int run(struct world *w, const char *before, const char *command)
{
    static char line[8192];
    int n = snprintf(line, sizeof(line),
                     "mkdir -p %s && cd %s && { %s%s ; } > .out 2> .err < /dev/null", w->dir,
                     w->dir, before, command);
    assert_true(n > 0 && (size_t)n < sizeof(line));
    int status = system(line);
    read_back(w->dir, ".out", w->out);
    read_back(w->dir, ".err", w->err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int world_audit(struct world *w, const char *format, ...)
{
    static char text[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    return run(w, STOA_AUDIT " ", text);
}

int world_run(struct world *w, const char *format, ...)
{
    static char text[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    return run(w, "", text);
}

size_t world_note(struct world *w, uint32_t slot, char *out, size_t cap)
{
    char path[64];
    size_t size;
    snprintf(path, sizeof(path), "/log/%02x/checkpoint", (unsigned)slot);
    assert_int_equal(rawhttp_get(w->hub.port, path, out, cap, &size), 200);
    return size;
}

void world_forge(struct world *w, uint32_t slot, uint64_t size, char *out, size_t cap)
{
    struct checkpoint c = {.size = size};
    struct key *k = log_key(w);
    memcpy(c.origin, w->k.log[slot].name, sizeof(c.origin));
    c.root = hash_sha256("another tree", 12);
    assert_true(checkpoint_sign(out, cap, &c, &w->k.log[slot], k) > 0);
    key_free(k);
}

uint64_t world_fork_copy(struct world *w, const char *from, const char *to, uint32_t slot)
{
    char path[700], note[2048];
    struct hash hashes[TILE_HASHES];
    struct frontier f = {0};
    struct checkpoint c;
    assert_int_equal(world_run(w, "rm -rf %s; cp -r %s %s", to, from, to), 0);
    snprintf(path, sizeof(path), "%s/%s/log/%02x/checkpoint", w->dir, to, (unsigned)slot);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    size_t size = fread(note, 1, sizeof(note), file);
    assert_true(checkpoint_open(&c, note, size, &w->k.log[slot]));
    assert_true(c.size > 1 && c.size < TILE_HASHES);
    char tile[700];
    snprintf(tile, sizeof(tile), "%s/%s/log/%02x/tile/0/000.p/%u", w->dir, to, (unsigned)slot,
             (unsigned)c.size);
    FILE *t = fopen(tile, "r+");
    assert_non_null(t);
    assert_int_equal(fread(hashes, HASH_BYTES, c.size, t), c.size);
    hashes[c.size - 1].b[0] ^= 1;
    rewind(t);
    assert_int_equal(fwrite(hashes, HASH_BYTES, c.size, t), c.size);
    assert_int_equal(fclose(t), 0);
    for (uint64_t i = 0; i < c.size; i++)
        assert_true(frontier_append(&f, &hashes[i]));
    c.root = frontier_root(&f);
    struct key *k = log_key(w);
    size = checkpoint_sign(note, sizeof(note), &c, &w->k.log[slot], k);
    key_free(k);
    assert_true(size > 0);
    rewind(file);
    assert_int_equal(fwrite(note, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return c.size;
}
