/* Whatever bytes of a wallet's database are changed, opening and reading it ends with an
 * answer or an error from its table, never a crash, an endless loop or a value out of its
 * range, and what fails says why. The input is a row of edits to a small good file:
 * where, how many bytes (0: cut it there), what; first byte: also a write-ahead log
 * beside it. */
#include <string.h>
#include <unistd.h>

#include "client/client_store.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"
#include "sample.h"
#include "scratch.h"

#define EDITS_MAX 24
#define IMAGE_MAX (1u << 18)
#define ROWS 6
#define PATH_ROOM 400

static uint8_t image[IMAGE_MAX];
static size_t image_size;
static char path[PATH_ROOM], wal[PATH_ROOM + 8];
static struct hash ids[ROWS];

static void must(enum err e)
{
    if (e != ERR_OK)
        fprintf(stderr, "good wallet: %s\n", err_word(e));
    PROPERTY(e == ERR_OK);
}

static void fill_account(struct client_store *s, unsigned i)
{
    static uint8_t envelope[ENVELOPE_BYTES_MAX];
    struct rng g = {i};
    struct entry e;
    size_t size = sample_entry(envelope, sample_kind(i), &g, known_key(0));
    PROPERTY(entry_decode(&e, envelope, size) == ERR_OK);
    ids[i] = e.id;
    struct client_account a = {.id = e.id, .slot = i, .of_hub = i % 2, .position = 1};
    must(client_store_account_add(s, &a));
    struct record r = {.slot = i, .index = i, .envelope = e.envelope};
    must(client_store_record_add(s, &a, &r, &e.id, 5));
    must(client_store_state_save(s, &a, bytes_of("state", 5)));
    must(client_store_note_save(s, i, 7, bytes_of("note", 4), 1));
    struct client_outgoing o = {.id = e.id,
                                .account = e.id,
                                .state = (enum client_state)(i % 5),
                                .request = bytes_of("request 1", i == 1 ? 9 : 0),
                                .envelope = e.envelope,
                                .sealed = bytes_of("sealed", i % 3 ? 6 : 0)};
    must(client_store_outgoing_add(s, &o));
}

static void make_image(void)
{
    char why[CLIENT_WHY_MAX];
    struct client_store *s = NULL;
    (void)snprintf(path, sizeof path, "%s/wallet.db", scratch_folder());
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    must(client_store_open(&s, path, true, why));
    must(client_store_begin(s));
    must(client_store_set(s, "name", bytes_of("value", 5)));
    for (unsigned i = 0; i < ROWS; i++)
        fill_account(s, i);
    must(client_store_evidence_save(s,
                                    &(struct client_evidence){.known = bytes_of("a", 1),
                                                              .shown = bytes_of("b", 1),
                                                              .what = bytes_of("c", 1)}));
    must(client_store_end(s, true));
    client_store_close(s);
    FILE *in = fopen(path, "rb");
    PROPERTY(in != NULL);
    image_size = fread(image, 1, sizeof image, in);
    PROPERTY(image_size > 512 && image_size < sizeof image);
    (void)fclose(in);
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
    FILE *out = fopen(name, "wb");
    PROPERTY(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0);
}

static bool on_record(void *context, const struct record *r, int64_t balance)
{
    struct entry e;
    unsigned *count = context;
    (void)balance;
    if (entry_decode(&e, r->envelope.data, r->envelope.size) == ERR_OK)
        PROPERTY(e.body.size < r->envelope.size);
    return ++*count < 1000;
}

/* Every error has its place in the table, and a sentence where the caller shows one. */
static bool good(const struct client_store *s, enum err e)
{
    static const enum err known[] = {ERR_OK,         ERR_NOT_FOUND, ERR_CORRUPT,
                                     ERR_FILE,       ERR_LOCKED,    ERR_MEMORY,
                                     ERR_STORE_FULL, ERR_EXISTS};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        found |= known[i] == e;
    PROPERTY(found);
    if (e == ERR_CORRUPT || e == ERR_FILE)
        PROPERTY(client_store_why(s)[0] != '\0');
    return e == ERR_OK;
}

static void touch(struct bytes b)
{
    static volatile uint8_t sum;
    for (size_t i = 0; i < b.size; i++)
        sum = (uint8_t)(sum + b.data[i]);
}

static void read_accounts(struct client_store *s)
{
    struct client_account a, b;
    struct bytes span;
    uint64_t position = 0, seen = 0;
    for (unsigned i = 0; i < ROWS + 2; i++) {
        if (good(s, client_store_account_at(s, i % 2, i / 2, &a))) {
            unsigned count = 0;
            PROPERTY(memchr(a.name, 0, sizeof a.name) != NULL);
            (void)good(s, client_store_records(s, &a, 0, 50, on_record, &count));
            if (good(s, client_store_state_load(s, &a, &span)))
                touch(span);
        }
        if (i < ROWS && good(s, client_store_account(s, &ids[i], &b)))
            PROPERTY(hash_equal(&b.id, &ids[i]));
        if (i < ROWS && good(s, client_store_record_find(s, &ids[i], &b, &position)))
            PROPERTY(position < UINT64_C(1) << 40);
        if (good(s, client_store_note_load(s, i, &span, &seen)))
            touch(span);
    }
}

static void check_outgoing(const struct client_outgoing *o)
{
    PROPERTY((unsigned)o->state <= CLIENT_DROPPED);
    touch(o->request);
    touch(o->envelope);
    touch(o->sealed);
}

static void read_outgoing(struct client_store *s)
{
    struct client_outgoing o;
    struct client_evidence e;
    uint64_t count = 0;
    for (unsigned pass = 0; pass < 3; pass++) {
        int64_t after = 0;
        for (unsigned i = 0; i < 20; i++) {
            enum err r = pass == 2 ? client_store_outgoing_sealed(s, NULL, after, &o)
                                   : client_store_outgoing_next(s, NULL, after,
                                                                pass ? 31 : 7, false, &o);
            if (!good(s, r))
                break;
            check_outgoing(&o);
            after = o.number;
        }
    }
    if (good(s, client_store_outgoing_request(s, "request 1", &o)))
        check_outgoing(&o);
    if (good(s, client_store_outgoing_find(s, &ids[2], &o)))
        check_outgoing(&o);
    (void)good(s, client_store_outgoing_count(s, 31, &count));
    if (good(s, client_store_evidence_at(s, 0, &e))) {
        touch(e.known);
        touch(e.shown);
        touch(e.what);
    }
}

/* A damaged file may also be written to before the damage is met. */
static void write_some(struct client_store *s)
{
    if (!good(s, client_store_begin(s)))
        return;
    bool keep = good(s, client_store_set(s, "name", bytes_of("other", 5)));
    struct client_account a;
    if (good(s, client_store_account(s, &ids[0], &a)))
        keep &= good(s, client_store_account_put(s, &a)) &&
                good(s, client_store_records_cut(s, &a, 0));
    keep &= good(s, client_store_outgoing_drop(s, &ids[1]));
    (void)good(s, client_store_end(s, keep));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[IMAGE_MAX];
    char why[CLIENT_WHY_MAX];
    struct input in = input_of(data, size);
    struct client_store *s = NULL;
    if (image_size == 0)
        make_image();
    memcpy(file, image, image_size);
    size_t file_size = image_size;
    bool with_wal = take(&in, 1) % 8 == 7;
    for (unsigned i = 0; i < EDITS_MAX && in.left > 0; i++) {
        size_t at = take(&in, 3) % image_size, n = take_below(&in, 33);
        if (n == 0)
            file_size = at < file_size ? at : file_size;
        else
            take_fill(&in, file + at, n < image_size - at ? n : image_size - at);
    }
    write_file(path, file, file_size);
    (void)unlink(wal);
    if (with_wal)
        write_file(wal, in.at, in.left);
    enum err e = client_store_open(&s, path, false, why);
    PROPERTY((e == ERR_OK) == (s != NULL));
    PROPERTY(e == ERR_OK || e == ERR_MEMORY || why[0] != '\0');
    PROPERTY(e == ERR_OK || e == ERR_CORRUPT || e == ERR_SCHEMA || e == ERR_MISSING ||
             e == ERR_FILE || e == ERR_LOCKED || e == ERR_MEMORY || e == ERR_STORE_FULL);
    if (s) {
        read_accounts(s);
        read_outgoing(s);
        write_some(s);
    }
    client_store_close(s);
    return 0;
}
