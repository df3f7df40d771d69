/* A hub's ledger file with bytes changed, cut or a torn log beside it: opening, recovering and
 * reading end with what was written or with an error that has its word; never with another
 * record, place, item, attachment or balance under a checkpoint, and what was signed and is not
 * there is told as long as somebody remembers it. First byte: which image (whole; or as a crash
 * leaves it, with its write-ahead log), and whether the hub has its high-water mark; then edits:
 * which file and how many bytes (0: cut it there), where (3), what. */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "input.h"
#include "scratch.h"
#include "tests/unit/sequencer/people.h"

#define SLOTS 2
#define PEOPLE 4
#define NOTES 150 /* a full tile in slot 0 */
#define EDITS_MAX 12
#define FILE_MAX (1u << 20)
#define PATH_ROOM 400
#define RECORDS_MAX 400
#define ITEMS_MAX 64

enum { DB, DB_WAL, INDEX, INDEX_WAL, FILES };
static const char *const suffixes[FILES] = {"", "-wal", "-index", "-index-wal"};
static const char *const others[] = {"-shm", "-index-shm", "-journal"};

struct image {
    uint8_t *data[FILES];
    size_t size[FILES];
};
static struct image images[2]; /* closed; as a crash leaves it */

/* What is true. */
struct kept {
    uint64_t position;
    struct hash leaf, id, account, root; /* root: of the tree up to and with this record */
};
static struct {
    tree_size size[SLOTS];
    struct kept record[SLOTS][RECORDS_MAX];
    struct hash digest[SLOTS];
    size_t items[SLOTS];
    struct channel_item item[SLOTS][ITEMS_MAX];
    struct recover_mark mark[SLOTS];
    struct hash sealed_entry;
} truth;

static struct hub hub;
static char path[PATH_ROOM], uri[PATH_ROOM + 8];
static const char sealed_data[] = "salt and ciphertext of an attachment";

static const char *file_name(unsigned f)
{
    static char name[PATH_ROOM + 16];
    (void)snprintf(name, sizeof name, "%s%s", path, suffixes[f]);
    return name;
}

/* ---- the good ledger ---- */

static bool keep_record(void *context, const struct record *r, const struct hash *account)
{
    struct frontier *f = context;
    struct entry e;
    PROPERTY(r->index < RECORDS_MAX && r->index == f->size);
    struct kept *k = &truth.record[r->slot][r->index];
    PROPERTY(entry_decode(&e, r->envelope.data, r->envelope.size) == ERR_OK);
    *k = (struct kept){r->position, record_leaf_hash(r), e.id, *account, {{0}}};
    PROPERTY(frontier_append(f, &k->leaf));
    k->root = frontier_root(f);
    truth.size[r->slot] = f->size;
    truth.mark[r->slot] = (struct recover_mark){f->size, k->root};
    return true;
}

static bool keep_item(void *context, const struct channel_item *i)
{
    uint32_t slot = *(const uint32_t *)context;
    PROPERTY(truth.items[slot] < ITEMS_MAX);
    truth.item[slot][truth.items[slot]++] = *i;
    return true;
}

static void read_truth(void)
{
    struct store_reader *r;
    PROPERTY(hub.store->ops->reader_open(hub.store, &r) == ERR_OK);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        struct frontier f = {.size = 0};
        PROPERTY(r->ops->records(r, slot, 0, RECORDS_MAX, keep_record, &f) == ERR_OK);
        truth.digest[slot] = hub_digest_of(&hub, slot);
        PROPERTY(hub.store->ops->outbox(hub.store, slot, keep_item, &slot) == ERR_OK);
    }
    r->ops->close(r);
}

static void read_image(struct image *im)
{
    for (unsigned f = 0; f < FILES; f++) {
        FILE *in = fopen(file_name(f), "rb");
        im->data[f] = malloc(FILE_MAX);
        PROPERTY(im->data[f] != NULL);
        im->size[f] = in ? fread(im->data[f], 1, FILE_MAX, in) : 0;
        PROPERTY(im->size[f] < FILE_MAX);
        if (in)
            (void)fclose(in);
    }
    PROPERTY(im->size[DB] > 0);
}

/* Everything a ledger can hold: full tiles, payments settled and under way, a snapshot, an
 * attachment. */
static void work(void)
{
    static struct person people[PEOPLE];
    people_open(people, PEOPLE, &hub, 1000);
    for (unsigned i = 0; i < NOTES; i++)
        for (unsigned k = 0; k < PEOPLE; k += 2) { /* those of slot 0 */
            person_note(&people[k], "text");
            person_send(&people[k], &hub, 0);
        }
    PROPERTY(hub_commit(&hub) == ERR_OK);
    for (unsigned k = 0; k < PEOPLE; k++) {
        person_pay(&people[k], &people[(k + 1) % PEOPLE].id, 5);
        person_send(&people[k], &hub, 0);
    }
    hub_settle(&hub);
    hub_snapshot(&hub, 0);
    for (unsigned k = 0; k < PEOPLE; k++) { /* not settled any more */
        person_pay(&people[k], &people[(k + 1) % PEOPLE].id, 7);
        person_send(&people[k], &hub, 0);
    }
    PROPERTY(hub_commit(&hub) == ERR_OK);
    truth.sealed_entry = people[0].entry.e.id;
    PROPERTY(hub.store->ops->sealed_put(hub.store, &truth.sealed_entry,
                                        bytes_of(sealed_data, sizeof sealed_data)) == ERR_OK);
}

static void make_images(void)
{
    struct store_identity id = {.federation = kit_hash(1), .hub = HUB_NAME, .slots = SLOTS};
    struct store_why why = {""};
    struct store *store;
    (void)snprintf(path, sizeof path, "%s/ledger.db", scratch_folder());
    (void)snprintf(uri, sizeof uri, "sqlite:%s", path);
    PROPERTY(store_create(uri, &id, &store, &why) == ERR_OK);
    hub_create_on(&hub, SLOTS, store);
    work();
    read_truth();
    read_image(&images[1]);
    hub_crash(&hub);
    store->ops->close(store);
    read_image(&images[0]);
    PROPERTY(images[1].size[DB_WAL] > 0 && images[0].size[DB_WAL] == 0);
    PROPERTY(truth.size[0] > TILE_HASHES && truth.items[0] + truth.items[1] > 0);
}

/* ---- a damaged one ---- */

static void write_files(const struct image *im, struct input *in)
{
    static uint8_t data[FILES][FILE_MAX];
    size_t size[FILES];
    for (unsigned f = 0; f < FILES; f++) {
        size[f] = im->size[f];
        memcpy(data[f], im->data[f], size[f]);
    }
    for (unsigned i = 0; i < EDITS_MAX && in->left > 0; i++) {
        unsigned what = (unsigned)take(in, 1), f = what % FILES, n = what / FILES % 34;
        size_t at = (size_t)take(in, 3);
        at = im->size[f] ? at % im->size[f] : 0;
        if (n == 0)
            size[f] = at < size[f] ? at : size[f];
        else
            take_fill(in, data[f] + at, n < im->size[f] - at ? n : im->size[f] - at);
    }
    for (unsigned f = 0; f < FILES; f++) {
        (void)unlink(file_name(f));
        if (im->size[f] == 0)
            continue;
        FILE *out = fopen(file_name(f), "wb");
        PROPERTY(out && fwrite(data[f], 1, size[f], out) == size[f] && fclose(out) == 0);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char name[PATH_ROOM + 16];
        (void)snprintf(name, sizeof name, "%s%s", path, others[i]);
        (void)unlink(name);
    }
}

/* What a call on a damaged ledger may say. */
static bool good(enum err e)
{
    bool known = e == ERR_OK || e == ERR_NOT_FOUND || e == ERR_CORRUPT || e == ERR_IO ||
                 e == ERR_STORE || e == ERR_STORE_FULL || e == ERR_MEMORY || e == ERR_RANGE;
    if (!known)
        fprintf(stderr, "an error of another kind: %s\n", err_word(e));
    PROPERTY(known);
    return e == ERR_OK;
}

struct walk {
    uint32_t slot;
    uint64_t next;
};

static bool same_record(void *context, const struct record *r, const struct hash *account)
{
    struct walk *w = context;
    PROPERTY(r->slot == w->slot && r->index == w->next++);
    const struct kept *k = &truth.record[r->slot][r->index];
    struct hash leaf = record_leaf_hash(r);
    PROPERTY(hash_equal(&leaf, &k->leaf) && hash_equal(account, &k->account));
    PROPERTY(r->position == k->position);
    return true;
}

static bool of_account(void *context, const struct record *r, const struct hash *account)
{
    struct walk *w = context;
    PROPERTY(r->slot < SLOTS && r->index < truth.size[r->slot]);
    const struct kept *k = &truth.record[r->slot][r->index];
    struct hash leaf = record_leaf_hash(r);
    PROPERTY(hash_equal(&leaf, &k->leaf) && hash_equal(account, &k->account));
    PROPERTY(r->position == w->next++);
    return true;
}

/* By id, by account, as a tile: `size` is what the slot stands at. */
static void look_up(struct store_reader *r, uint32_t slot, tree_size size)
{
    static struct hash out[TILE_HASHES];
    for (uint64_t i = 0; i < size; i += 7) {
        const struct kept *k = &truth.record[slot][i];
        uint32_t at = SLOTS;
        uint64_t index = 0;
        enum err e = r->ops->find(r, &k->id, &at, &index);
        PROPERTY(e != ERR_NOT_FOUND);
        if (good(e))
            PROPERTY(at == slot && index == i);
        struct walk w = {.next = k->position};
        e = r->ops->account(r, &k->account, k->position, 3, of_account, &w);
        if (good(e))
            PROPERTY(w.next > k->position);
    }
    for (uint64_t n = 0; n * TILE_HASHES < size; n++) {
        uint64_t left = size - n * TILE_HASHES;
        unsigned width = left < TILE_HASHES ? (unsigned)left : TILE_HASHES;
        if (good(r->ops->tile(r, slot, 0, n, width, out)))
            for (unsigned i = 0; i < width; i++)
                PROPERTY(hash_equal(&out[i], &truth.record[slot][n * TILE_HASHES + i].leaf));
    }
}

static void read_slot(struct store_reader *r, uint32_t slot, bool recovered)
{
    static struct store_slot at;
    if (!good(r->ops->slot(r, slot, &at)))
        return;
    PROPERTY(at.size <= truth.size[slot] || !recovered);
    struct walk w = {.slot = slot};
    uint64_t size = at.size < truth.size[slot] ? at.size : truth.size[slot];
    enum err e = r->ops->records(r, slot, 0, size, same_record, &w);
    if (good(e))
        PROPERTY(w.next == size);
    if (recovered)
        look_up(r, slot, size);
}

static bool same_item(void *context, const struct channel_item *i)
{
    struct walk *w = context;
    PROPERTY(w->next < truth.items[w->slot]); /* else one that nobody sent */
    const struct channel_item *k = &truth.item[w->slot][w->next++];
    PROPERTY(hash_equal(&i->cause, &k->cause) && hash_equal(&i->payee, &k->payee));
    PROPERTY(hash_equal(&i->payer, &k->payer) && i->amount == k->amount);
    PROPERTY(i->out_seq == k->out_seq && i->payee_index == k->payee_index);
    PROPERTY(i->source_index == k->source_index && i->is_return == k->is_return);
    PROPERTY(i->destination_slot == k->destination_slot);
    PROPERTY(i->source_lamport == k->source_lamport);
    return true;
}

/* Did the hub take the slot as it stands? Then it is what it was, or (without a mark) what it
 * was some commits ago, when part of the write-ahead log is lost. */
static bool recover(uint32_t slot, bool with_mark, bool has_wal)
{
    enum err e = hub_recover(&hub, slot, with_mark ? &truth.mark[slot] : NULL);
    PROPERTY(e == ERR_OK || hub.report.why[0] != 0);
    PROPERTY(e != ERR_BEHIND || (with_mark && has_wal));
    if (e == ERR_BEHIND || !good(e))
        return false;
    struct slotlog *log = sequencer_slotlog(hub.q, slot);
    tree_size size = log->frontier.size;
    PROPERTY(size <= truth.size[slot]);
    PROPERTY(size == truth.size[slot] || (!with_mark && has_wal));
    if (size == 0)
        return true; /* all of it stood in the log that is lost */
    struct hash root = frontier_root(&log->frontier);
    PROPERTY(hash_equal(&root, &truth.record[slot][size - 1].root));
    if (size == truth.size[slot]) {
        struct hash digest = hub_digest_of(&hub, slot);
        PROPERTY(hash_equal(&digest, &truth.digest[slot]));
        struct walk w = {.slot = slot};
        if (good(hub.store->ops->outbox(hub.store, slot, same_item, &w)))
            PROPERTY(w.next == truth.items[slot]);
    }
    return true;
}

static void read_all(const bool recovered[SLOTS])
{
    struct store_reader *r;
    struct buf b = {0};
    if (!good(hub.store->ops->reader_open(hub.store, &r)))
        return;
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        read_slot(r, slot, recovered[slot]);
    if (good(r->ops->sealed(r, &truth.sealed_entry, &b)))
        PROPERTY(b.size == sizeof sealed_data && memcmp(b.data, sealed_data, b.size) == 0);
    buf_close(&b);
    r->ops->close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    struct store_why why = {""};
    bool recovered[SLOTS] = {false};
    if (images[0].size[DB] == 0)
        make_images();
    unsigned how = (unsigned)take(&in, 1);
    const struct image *im = &images[how % 2];
    write_files(im, &in);
    enum err e = store_open(uri, &hub.store, &why);
    PROPERTY(e == ERR_OK || why.text[0] != 0);
    if (e == ERR_SCHEMA || e == ERR_FILE || !good(e))
        return 0;
    PROPERTY(hub.store->ops->identity(hub.store)->slots == SLOTS);
    PROPERTY(sequencer_open(&hub.q, &hub.config) == ERR_OK);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        recovered[slot] = recover(slot, how & 2, im->size[DB_WAL] > 0);
    read_all(recovered);
    (void)good(hub.store->ops->maintain(hub.store));
    hub_crash(&hub);
    hub.store->ops->close(hub.store);
    return 0;
}
