#include "tests/conformance/suite.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/pgproc.h"

const char *suite_kind = "memory";
static struct pgproc server;
static unsigned databases;

static bool on_server(void)
{
    return strcmp(suite_kind, "postgresql") == 0;
}

int suite_server_start(void)
{
    if (!on_server())
        return 0;
    if (!pgproc_there()) {
        fprintf(stderr, "skipped: no postgres is installed (deploy/packages.sh test)\n");
        return 77;
    }
    if (pgproc_open(&server))
        return 0;
    fprintf(stderr, "%s\n", server.why);
    return 1;
}

void suite_server_stop(void)
{
    if (on_server())
        pgproc_close(&server);
}

struct pgproc *suite_server(void)
{
    return &server;
}

const char *suite_database(const struct suite *s)
{
    return strrchr(s->uri, '/') + 1;
}

/* Each test has a database of its own; the last one is dropped to keep the folder small. */
static void make_database(struct suite *s)
{
    char name[32], drop[80];
    snprintf(drop, sizeof drop, "DROP DATABASE IF EXISTS test_%u WITH (FORCE)", databases);
    assert_true(databases == 0 || pgproc_sql(&server, "postgres", drop, NULL, 0));
    snprintf(name, sizeof name, "test_%u", ++databases);
    assert_true(pgproc_database(&server, name));
    pgproc_uri(&server, name, 0, s->uri, sizeof s->uri);
}

void suite_identity(struct store_identity *id)
{
    memset(id, 0, sizeof *id);
    id->federation = hash_sha256("federation", 10);
    strcpy(id->hub, "frankfurt.example");
    id->slots = SUITE_SLOTS;
}

static void make_folder(struct suite *s)
{
    const char *base = getenv("TMPDIR");
    snprintf(s->folder, sizeof s->folder, "%s/stoa-store-XXXXXX",
             base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(s->folder));
}

static void remove_folder(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e = NULL;
    while (d != NULL && (e = readdir(d)) != NULL) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlink(path);
    }
    if (d != NULL)
        closedir(d);
    (void)rmdir(folder);
}

void suite_path(const struct suite *s, char *out, size_t cap)
{
    snprintf(out, cap, "%s/ledger.db", s->folder);
}

int suite_setup(void **state)
{
    struct suite *s = calloc(1, sizeof *s);
    struct store_identity id;
    struct store_why why;
    assert_non_null(s);
    s->durable = strcmp(suite_kind, "memory") != 0;
    if (on_server()) {
        make_database(s);
    } else if (s->durable) {
        make_folder(s);
        snprintf(s->uri, sizeof s->uri, "%s:%s/ledger.db", suite_kind, s->folder);
    } else {
        snprintf(s->uri, sizeof s->uri, "%s:", suite_kind);
    }
    suite_identity(&id);
    enum err e = store_create(s->uri, &id, &s->store, &why);
    if (e != ERR_OK)
        fail_msg("create: %s", why.text);
    for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
        uint64_t epoch = 0;
        assert_int_equal(s->store->ops->claim(s->store, i, &epoch), ERR_OK);
        assert_int_equal(epoch, 1);
        feed_slot_init(&s->slot[i].feed, i, SUITE_SLOTS, epoch);
    }
    assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
    *state = s;
    return 0;
}

static void close_store(struct suite *s)
{
    if (s->reader != NULL)
        s->reader->ops->close(s->reader);
    if (s->store != NULL)
        s->store->ops->close(s->store);
    s->reader = NULL;
    s->store = NULL;
}

int suite_teardown(void **state)
{
    struct suite *s = *state;
    close_store(s);
    for (uint32_t i = 0; i < SUITE_SLOTS; i++) {
        for (uint64_t k = 0; k < suite_size(s, i); k++)
            free((void *)(uintptr_t)s->slot[i].records[k].r.envelope.data);
        free(s->slot[i].records);
        free(s->slot[i].items);
    }
    if (s->folder[0] != '\0')
        remove_folder(s->folder);
    free(s);
    return 0;
}

void suite_reopen(struct suite *s)
{
    struct store_why why;
    if (!s->durable)
        return;
    close_store(s);
    if (store_open(s->uri, &s->store, &why) != ERR_OK)
        fail_msg("open: %s", why.text);
    assert_int_equal(s->store->ops->reader_open(s->store, &s->reader), ERR_OK);
}

uint64_t suite_size(const struct suite *s, uint32_t slot)
{
    return s->slot[slot].feed.frontier.size;
}

void suite_make(struct suite *s, struct feed_append *f, uint32_t slot, size_t records)
{
    feed_make(f, &s->slot[slot].feed, records, SUITE_ENVELOPE, 3, s->salt++);
}

void suite_commit(struct suite *s, const struct feed_append *f)
{
    struct model_slot *m = &s->slot[f->a.slot];
    uint64_t size = m->feed.frontier.size + f->a.record_count;
    m->records = realloc(m->records, (size + 1) * sizeof *m->records);
    m->items =
        realloc(m->items, (m->item_count + f->a.item_count + 1) * sizeof *m->items);
    assert_non_null(m->records);
    assert_non_null(m->items);
    for (size_t i = 0; i < f->a.record_count; i++) {
        const struct store_record *in = &f->records[i];
        uint8_t *envelope = malloc(in->r.envelope.size);
        assert_non_null(envelope);
        memcpy(envelope, in->r.envelope.data, in->r.envelope.size);
        struct model_record *out = &m->records[f->a.old_size + i];
        *out = (struct model_record){in->r, in->account, in->id, in->leaf_hash};
        out->r.envelope.data = envelope;
    }
    memcpy(m->items + m->item_count, f->items, f->a.item_count * sizeof *m->items);
    m->item_count += f->a.item_count;
    memcpy(m->checkpoint, f->a.checkpoint.data, f->a.checkpoint.size);
    m->checkpoint_size = f->a.checkpoint.size;
    m->feed = f->after;
}

enum store_outcome suite_append_items(struct suite *s, uint32_t slot, size_t records,
                                      uint64_t outbox_low)
{
    struct feed_append f;
    enum store_outcome outcome = STORE_UNKNOWN;
    suite_make(s, &f, slot, records);
    f.a.outbox_low = outbox_low;
    s->store->ops->append(s->store, &f.a, 1, &outcome);
    if (outcome == STORE_COMMITTED)
        suite_commit(s, &f);
    feed_close(&f);
    return outcome;
}

enum store_outcome suite_append(struct suite *s, uint32_t slot, size_t records)
{
    return suite_append_items(s, slot, records, 0);
}

struct hash suite_root(const struct hash leaves[], size_t count)
{
    if (count == 1)
        return leaves[0];
    size_t half = 1;
    while (2 * half < count)
        half *= 2;
    struct hash left = suite_root(leaves, half);
    struct hash right = suite_root(leaves + half, count - half);
    return hash_node(&left, &right);
}

struct hash suite_node(const struct suite *s, uint32_t slot, unsigned level, uint64_t n)
{
    size_t count = (size_t)1 << level;
    struct hash *leaves = malloc(count * sizeof *leaves);
    assert_non_null(leaves);
    for (size_t i = 0; i < count; i++)
        leaves[i] = s->slot[slot].records[(n << level) + i].leaf_hash;
    struct hash root = suite_root(leaves, count);
    free(leaves);
    return root;
}

static void check_record(const struct model_record *m, const struct record *r,
                         const struct hash *account)
{
    assert_int_equal(r->slot, m->r.slot);
    assert_int_equal(r->index, m->r.index);
    assert_int_equal(r->position, m->r.position);
    assert_int_equal(r->hub_lamport, m->r.hub_lamport);
    assert_int_equal(r->hub_time_ms, m->r.hub_time_ms);
    assert_memory_equal(&r->account_head, &m->r.account_head, HASH_BYTES);
    assert_memory_equal(account, &m->account, HASH_BYTES);
    assert_int_equal(r->envelope.size, m->r.envelope.size);
    assert_memory_equal(r->envelope.data, m->r.envelope.data, r->envelope.size);
}

struct walk {
    const struct model_slot *m;
    uint64_t next;
    const struct hash *account; /* an account's records, else all */
};

static bool visit(void *context, const struct record *r, const struct hash *account)
{
    struct walk *w = context;
    while (w->account != NULL && !hash_equal(&w->m->records[w->next].account, w->account))
        w->next += 1;
    check_record(&w->m->records[w->next], r, account);
    w->next += 1;
    return true;
}

void suite_check_slot(struct suite *s, uint32_t slot)
{
    const struct model_slot *m = &s->slot[slot];
    struct store_slot ours, theirs;
    assert_int_equal(s->store->ops->slot(s->store, slot, &ours), ERR_OK);
    assert_int_equal(s->reader->ops->slot(s->reader, slot, &theirs), ERR_OK);
    assert_memory_equal(&ours, &theirs, sizeof ours);
    struct hash edges[MERKLE_LEVELS_MAX];
    assert_int_equal(ours.size, m->feed.frontier.size);
    assert_int_equal(ours.epoch, m->feed.epoch);
    assert_int_equal(ours.edge_count, frontier_edges(&m->feed.frontier, edges));
    assert_memory_equal(ours.edges, edges, ours.edge_count * sizeof *edges);
    assert_int_equal(ours.checkpoint_size, m->checkpoint_size);
    assert_memory_equal(ours.checkpoint, m->checkpoint, m->checkpoint_size);
    struct walk w = {m, 0, NULL};
    assert_int_equal(s->reader->ops->records(s->reader, slot, 0, UINT64_MAX, visit, &w),
                     ERR_OK);
    assert_int_equal(w.next, ours.size);
}

void suite_check_all(struct suite *s)
{
    for (uint32_t i = 0; i < SUITE_SLOTS; i++)
        suite_check_slot(s, i);
}

static void check_accounts(struct suite *s, uint32_t slot)
{
    for (unsigned n = 0; n < FEED_ACCOUNTS; n++) {
        struct hash account = feed_account(slot, SUITE_SLOTS, n);
        uint64_t positions = s->slot[slot].feed.position[n];
        struct walk w = {&s->slot[slot], 0, &account};
        assert_int_equal(
            s->reader->ops->account(s->reader, &account, 0, UINT64_MAX, visit, &w),
            ERR_OK);
        uint64_t rest = 0;
        for (uint64_t i = w.next; i < suite_size(s, slot); i++)
            rest += hash_equal(&s->slot[slot].records[i].account, &account);
        assert_int_equal(rest, 0);
        /* From the middle, and past the end. */
        struct walk none = {&s->slot[slot], UINT64_MAX, &account};
        assert_int_equal(
            s->reader->ops->account(s->reader, &account, positions, 10, visit, &none),
            ERR_OK);
        assert_int_equal(none.next, UINT64_MAX);
    }
}

static void check_tiles(struct suite *s, uint32_t slot)
{
    uint64_t size = suite_size(s, slot);
    for (unsigned level = 0; level < 3; level++)
        for (uint64_t n = 0; n << (8 * level + 8) <= size; n++) {
            struct hash got[TILE_HASHES];
            unsigned width = tile_width(size, level, n);
            if (width < TILE_HASHES)
                assert_int_equal(
                    s->reader->ops->tile(s->reader, slot, level, n, width + 1, got),
                    ERR_RANGE);
            if (width == 0)
                continue;
            assert_int_equal(s->reader->ops->tile(s->reader, slot, level, n, width, got),
                             ERR_OK);
            for (unsigned i = 0; i < width; i += level == 2 || n % 16 == 0 ? 1 : 61) {
                struct hash want = suite_node(s, slot, 8 * level, n * TILE_HASHES + i);
                assert_memory_equal(&got[i], &want, HASH_BYTES);
            }
        }
}

static void check_nodes(struct suite *s, uint32_t slot)
{
    uint64_t size = suite_size(s, slot), state = size;
    for (unsigned level = 0; level < MERKLE_LEVELS_MAX; level++) {
        struct hash got, want;
        uint64_t count = size >> level;
        assert_int_equal(s->reader->ops->node(s->reader, slot, level, count, &got),
                         ERR_RANGE);
        for (unsigned i = 0; i < 40 && count > 0; i++) {
            uint64_t n = i == 0 ? count - 1 : i == 1 ? 0 : feed_random(&state) % count;
            if (level > 8 && i > 4)
                break; /* the naive way is slow up there */
            assert_int_equal(s->reader->ops->node(s->reader, slot, level, n, &got),
                             ERR_OK);
            want = suite_node(s, slot, level, n);
            assert_memory_equal(&got, &want, HASH_BYTES);
        }
    }
}

void suite_check_lookups(struct suite *s, uint32_t slot, uint64_t step)
{
    for (uint64_t i = 0; i < suite_size(s, slot); i += step) {
        uint32_t at_slot = UINT32_MAX;
        uint64_t at = UINT64_MAX;
        const struct hash *id = &s->slot[slot].records[i].id;
        assert_int_equal(s->reader->ops->find(s->reader, id, &at_slot, &at), ERR_OK);
        assert_int_equal(at_slot, slot);
        assert_int_equal(at, i);
        struct hash absent = *id;
        absent.b[31] ^= 1; /* the same prefix: a candidate that is not it */
        assert_int_equal(s->reader->ops->find(s->reader, &absent, &at_slot, &at),
                         ERR_NOT_FOUND);
        absent.b[0] ^= 0x55;
        assert_int_equal(s->reader->ops->find(s->reader, &absent, &at_slot, &at),
                         ERR_NOT_FOUND);
    }
    check_accounts(s, slot);
    check_tiles(s, slot);
    check_nodes(s, slot);
}
