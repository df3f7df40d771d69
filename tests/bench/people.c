#include "tests/bench/people.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/context.h"
#include "ledger/mp.h"
#include "tests/bench/bench.h"

enum writing { WRITE_NOTES, WRITE_TRANSFERS, WRITE_MIXED };

struct job {
    struct crowd *crowd;
    struct sheet *sheet;
    enum writing what;
    size_t envelope_bytes, transfer_every;
};

static void sheet_make(struct sheet *s, size_t rows, size_t accounts)
{
    s->rows = rows;
    s->accounts = accounts;
    s->bytes = malloc(rows * accounts * ENTRY_STRIDE + 1);
    s->size = take(rows * accounts * sizeof s->size[0]);
    if (!s->bytes)
        die("out of memory for %zu entries", rows * accounts);
}

void sheet_close(struct sheet *s)
{
    free(s->bytes);
    free(s->size);
    memset(s, 0, sizeof *s);
}

/* Sign into a place of the sheet; the entry's id comes back. */
static struct hash sign(struct sheet *s, size_t row, size_t account, struct entry_draft *d,
                        const struct payload *p, const struct key *writer)
{
    uint8_t payload[ENTRY_STRIDE];
    size_t i = row * s->accounts + account, size = 0;
    uint8_t *out = s->bytes + i * ENTRY_STRIDE;
    struct mp_writer w = mp_writer_of(payload, sizeof payload);
    payload_encode(&w, p);
    if (w.full)
        die("payload too big");
    d->kind = p->kind;
    d->payload = bytes_of(payload, w.size);
    d->time_ms = UINT64_C(1700000000000);
    need(entry_build(d, writer, out, ENTRY_STRIDE, &size), "sign an entry");
    s->size[i] = (uint16_t)size;
    return hash_context(CTX_ENTRY, out, size - SIG_BYTES);
}

/* ---- opens ---- */

static void open_one(void *context, size_t i)
{
    struct crowd *c = context;
    struct person *a = &c->people[i];
    struct payload p;
    uint8_t message[MESSAGE_BYTES_MAX];
    p.kind = KIND_OPEN;
    p.open = (struct p_open){.federation = c->federation,
                             .hub = bytes_of(c->hub, strlen(c->hub)),
                             .root = key_public(c->root),
                             .residency = RESIDENCY_GLOBAL};
    random_bytes(p.open.nonce.b, HASH_BYTES);
    size_t size = grant_open_message(message, &p.open, &a->pub);
    p.open.root_sig = key_sign(c->root, CTX_DEVICE, message, size);
    struct entry_draft d = {.lamport = 1};
    a->id = sign(&c->opens, 0, i, &d, &p, a->device);
    a->next_seq = 1;
    a->tip = a->id;
    a->tip_lamport = 1;
}

void crowd_open(struct crowd *c, const struct hash *federation, const char *hub, size_t count)
{
    memset(c, 0, sizeof *c);
    c->federation = *federation;
    snprintf(c->hub, sizeof c->hub, "%s", hub);
    c->count = count;
    c->people = take(count * sizeof c->people[0]);
    c->root = key_generate();
    for (size_t i = 0; i < count; i++) {
        c->people[i].device = key_generate();
        if (!c->people[i].device || !c->root)
            die("no memory for key %zu", i);
        c->people[i].pub = key_public(c->people[i].device);
    }
    sheet_make(&c->opens, 1, count);
    in_parallel(count, 0, open_one, c);
}

void crowd_close(struct crowd *c)
{
    for (size_t i = 0; i < c->count; i++)
        key_free(c->people[i].device);
    key_free(c->root);
    free(c->people);
    sheet_close(&c->opens);
    memset(c, 0, sizeof *c);
}

/* ---- what they write ---- */

static void advance(struct person *a, const struct hash *id)
{
    a->next_seq++;
    a->tip = *id;
    a->tip_lamport++;
}

static struct entry_draft next_draft(const struct person *a)
{
    return (struct entry_draft){.account = &a->id,
                                .seq = a->next_seq,
                                .prev = &a->tip,
                                .lamport = a->tip_lamport + 1};
}

/* *data_size is what made the last envelope as long as wanted: numbers grow now and then. */
static void write_note(const struct job *j, size_t row, size_t i, size_t *data_size)
{
    struct person *a = &j->crowd->people[i];
    struct payload p;
    uint8_t data[ENTRY_STRIDE];
    for (;;) {
        p.kind = KIND_NOTE;
        memset(data, (int)('a' + row % 26), *data_size);
        p.note.data = bytes_of(data, *data_size);
        struct entry_draft d = next_draft(a);
        struct hash id = sign(j->sheet, row, i, &d, &p, a->device);
        size_t size = j->sheet->size[row * j->sheet->accounts + i];
        if (size == j->envelope_bytes) {
            advance(a, &id);
            return;
        }
        *data_size += j->envelope_bytes - size; /* also downwards, modulo 2^64 */
        if (*data_size > sizeof data)
            die("a note cannot have %zu bytes", j->envelope_bytes);
    }
}

static void write_transfer(const struct job *j, size_t row, size_t i)
{
    struct crowd *c = j->crowd;
    struct person *a = &c->people[i];
    size_t other = (i + 1 + (row * 7919) % (c->count - 1)) % c->count;
    struct payload p;
    p.kind = KIND_TRANSFER;
    p.transfer.payee_count = 1;
    p.transfer.payees[0] = (struct payee){.account = c->people[other].id, .amount = 1};
    struct entry_draft d = next_draft(a);
    struct hash id = sign(j->sheet, row, i, &d, &p, a->device);
    advance(a, &id);
}

static void write_column(void *context, size_t i)
{
    struct job *j = context;
    size_t data_size = 200;
    for (size_t row = 0; row < j->sheet->rows; row++) {
        bool pays = j->what == WRITE_TRANSFERS ||
                    (j->what == WRITE_MIXED && (row + i) % j->transfer_every == 0);
        if (pays)
            write_transfer(j, row, i);
        else
            write_note(j, row, i, &data_size);
    }
}

static void write_all(struct job *j, size_t rows)
{
    sheet_make(j->sheet, rows, j->crowd->count);
    in_parallel(j->crowd->count, 0, write_column, j);
}

void crowd_notes(struct crowd *c, struct sheet *out, size_t rows, size_t envelope_bytes)
{
    struct job j = {.crowd = c, .sheet = out, .what = WRITE_NOTES,
                    .envelope_bytes = envelope_bytes};
    write_all(&j, rows);
}

void crowd_transfers(struct crowd *c, struct sheet *out, size_t rows)
{
    struct job j = {.crowd = c, .sheet = out, .what = WRITE_TRANSFERS};
    write_all(&j, rows);
}

void crowd_mixed(struct crowd *c, struct sheet *out, size_t rows, size_t envelope_bytes,
                 size_t transfer_every)
{
    struct job j = {.crowd = c, .sheet = out, .what = WRITE_MIXED,
                    .envelope_bytes = envelope_bytes, .transfer_every = transfer_every};
    write_all(&j, rows);
}

/* ---- points for them ---- */

struct accruals {
    const struct crowd *crowd;
    struct sheet *sheet;
    const struct key *issuer;
    int64_t amount;
};

static void accrue_one(void *context, size_t i)
{
    const struct accruals *x = context;
    const struct person *a = &x->crowd->people[i];
    struct payload p;
    p.kind = KIND_ACCRUE;
    p.accrue = (struct p_accrue){.node = a->id, .epoch = 1, .amount = x->amount};
    struct entry_draft d = {.account = &a->id, .prev = &a->id, .lamport = 2};
    (void)sign(x->sheet, 0, i, &d, &p, x->issuer);
}

void crowd_accruals(const struct crowd *c, struct sheet *out, const struct key *issuer,
                    int64_t amount)
{
    struct accruals x = {.crowd = c, .sheet = out, .issuer = issuer, .amount = amount};
    sheet_make(out, 1, c->count);
    in_parallel(c->count, 0, accrue_one, &x);
}
