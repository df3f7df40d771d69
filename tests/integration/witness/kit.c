#include "tests/integration/witness/kit.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "crypto/keyfile.h"
#include "federation/witness.h"
#include "tests/lib/freeport.h"

void kit_log_make(struct kit_log *l, const char *origin, uint8_t seed)
{
    uint8_t bytes[32] = {seed, 1};
    memset(l, 0, sizeof(*l));
    l->key = key_from_seed(bytes);
    assert_non_null(l->key);
    struct pubkey pub = key_public(l->key);
    assert_true(vkey_make(&l->vkey, origin, NOTE_ED25519, &pub));
    for (size_t i = 0; i < KIT_LEAVES_MAX; i++) {
        uint8_t leaf[2] = {seed, (uint8_t)i};
        l->leaves[i] = hash_leaf(leaf, sizeof(leaf));
    }
}

void kit_log_fork(struct kit_log *out, const struct kit_log *l, size_t from)
{
    *out = *l;
    for (size_t i = from; i < KIT_LEAVES_MAX; i++)
        out->leaves[i] = hash_leaf(l->leaves[i].b, HASH_BYTES);
}

void kit_log_free(struct kit_log *l)
{
    key_free(l->key);
    l->key = NULL;
}

static struct hash root_of(const struct hash *leaves, size_t n)
{
    struct frontier f = {0};
    for (size_t i = 0; i < n; i++)
        assert_true(frontier_append(&f, &leaves[i]));
    return n ? frontier_root(&f) : hash_empty();
}

static bool node(void *context, unsigned level, uint64_t n, struct hash *out)
{
    const struct kit_log *l = context;
    *out = root_of(l->leaves + (n << level), (size_t)1 << level);
    return true;
}

size_t kit_note(const struct kit_log *l, size_t size, char out[CHECKPOINT_BYTES_MAX])
{
    struct checkpoint c = {.size = size, .root = root_of(l->leaves, size)};
    snprintf(c.origin, sizeof(c.origin), "%s", l->vkey.name);
    size_t n = checkpoint_sign(out, CHECKPOINT_BYTES_MAX, &c, &l->vkey, l->key);
    assert_true(n > 0);
    return n;
}

size_t kit_request(const struct kit_log *l, size_t old, size_t size, char *out)
{
    char note[CHECKPOINT_BYTES_MAX];
    struct hash path[MERKLE_PATH_MAX];
    size_t count = 0, n = kit_note(l, size, note);
    union {
        const struct kit_log *in;
        void *out;
    } context = {.in = l};
    struct merkle_source s = {.node = node, .context = context.out};
    if (old > 0 && old < size)
        assert_true(merkle_prove_consistency(old, size, &s, path, &count));
    n = witness_request_write(out, KIT_BODY_MAX, old, path, count, bytes_of(note, n));
    assert_true(n > 0);
    return n;
}

void kit_post(uint16_t port, const char *path, const void *body, size_t size,
              struct kit_answer *a)
{
    char *request = malloc(size + 1024), *out = malloc(KIT_ANSWER_MAX);
    size_t got;
    assert_true(request && out);
    int n = snprintf(request, 1024,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                     "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                     path, size);
    memcpy(request + n, body, size);
    memset(a, 0, sizeof(*a));
    a->status = rawhttp_exchange(port, request, (size_t)n + size, out, KIT_ANSWER_MAX, &got);
    const char *end = strstr(out, "\r\n\r\n");
    if (end) {
        size_t head = (size_t)(end - out) + 4;
        snprintf(a->head, sizeof(a->head), "%.*s", (int)head, out);
        a->body_size = got - head < sizeof(a->body) ? got - head : sizeof(a->body) - 1;
        memcpy(a->body, out + head, a->body_size);
    }
    free(request);
    free(out);
}

void kit_ask(uint16_t port, const struct kit_log *l, size_t old, size_t size,
             struct kit_answer *a)
{
    static _Thread_local char body[KIT_BODY_MAX];
    size_t n = kit_request(l, old, size, body);
    kit_post(port, "/witness/add-checkpoint", body, n, a);
}

int kit_get(uint16_t port, const char *path, char *out, size_t cap)
{
    size_t size;
    return rawhttp_get(port, path, out, cap, &size);
}

void kit_file(const struct hubproc *h, const char *name, const char *text, char path[512])
{
    hubproc_path(h, name, path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

struct pubkey kit_public(const struct hubproc *h, const char *file)
{
    char name[64], path[512], role[KEYFILE_ROLE_MAX];
    struct pubkey pub;
    bool encrypted;
    snprintf(name, sizeof(name), "state/keys/%s", file);
    hubproc_path(h, name, path);
    assert_int_equal(keyfile_load_public(path, &pub, role, &encrypted), KEYFILE_OK);
    return pub;
}

void kit_logs_of(const struct hubproc *h, const char *name, unsigned slots, char *text,
                 size_t cap)
{
    struct pubkey log = kit_public(h, "log.key");
    for (unsigned slot = 0; slot < slots; slot++) {
        char origin[NOTE_NAME_MAX + 1], vkey[VKEY_TEXT_MAX];
        struct vkey v;
        snprintf(origin, sizeof(origin), "%s/%02x", name, slot);
        assert_true(vkey_make(&v, origin, NOTE_ED25519, &log));
        assert_true(vkey_format(&v, vkey, sizeof(vkey)) > 0);
        size_t at = strlen(text);
        snprintf(text + at, cap - at, "log %s\n", vkey);
    }
}

struct vkey kit_cosigner(const struct hubproc *h, const char *name)
{
    struct pubkey pub = kit_public(h, "cosigner.key");
    char own[NOTE_NAME_MAX + 1];
    struct vkey v;
    snprintf(own, sizeof(own), "%s/witness", name);
    assert_true(vkey_make(&v, own, NOTE_COSIGNATURE, &pub));
    return v;
}

double kit_metric(uint16_t port, const char *line)
{
    static char page[KIT_ANSWER_MAX];
    char wanted[256];
    assert_int_equal(kit_get(port, "/metrics", page, sizeof(page)), 200);
    snprintf(wanted, sizeof(wanted), "\nstoa_%s ", line);
    const char *at = strstr(page, wanted);
    return at ? strtod(at + strlen(wanted), NULL) : -1;
}

uint16_t kit_free_port(void)
{
    uint16_t port = freeport();
    assert_int_not_equal(port, 0);
    return port;
}

void kit_nap(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}
