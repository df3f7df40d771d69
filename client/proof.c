/* Proofs that verify alone: C2SP tlog-proof, the leaf's fields in its extra data, then
 * the envelope. Format: docs/architecture/client.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/wallet.h"

#define PROOF_FIRST "c2sp.org/tlog-proof@v1\n"
#define ENVELOPE_LINE "envelope "
#define EXTRA_FIELDS 5 /* slot, position, head, hub lamport, hub time */
#define EXTRA_MAX 128

/* ---- make ----------------------------------------------------------------------------
 */

struct text {
    char *out;
    size_t size;
    bool full;
};

static void add(struct text *t, const char *data, size_t size)
{
    if (t->full || size >= STOA_PROOF_MAX - t->size) {
        t->full = true;
        return;
    }
    memcpy(t->out + t->size, data, size);
    t->size += size;
    t->out[t->size] = '\0';
}

static void add_base64(struct text *t, const void *data, size_t size)
{
    if (t->full)
        return;
    size_t n = base64_encode(t->out + t->size, STOA_PROOF_MAX - t->size, data, size);
    t->full = n == 0 && size > 0;
    t->size += n;
}

static size_t extra_of(uint8_t out[EXTRA_MAX], const struct record *r)
{
    struct mp_writer m = mp_writer_of(out, EXTRA_MAX);
    mp_array(&m, EXTRA_FIELDS);
    mp_uint(&m, r->slot);
    mp_uint(&m, r->position);
    mp_bin(&m, r->account_head.b, HASH_BYTES);
    mp_uint(&m, r->hub_lamport);
    mp_uint(&m, r->hub_time_ms);
    return m.size;
}

struct head_run {
    struct hash head;
    uint64_t until;
    struct record r;
    struct buf envelope;
    bool found;
};

/* The account head at a position is the chain over all envelopes up to it. */
static bool chain_heads(void *context, const struct record *r, int64_t balance)
{
    struct head_run *x = context;
    (void)balance;
    x->head = account_head_next(&x->head, r->envelope);
    if (r->position < x->until)
        return true;
    x->r = *r;
    x->r.account_head = x->head;
    x->found = buf_add(&x->envelope, r->envelope.data, r->envelope.size);
    x->r.envelope = bytes_of(x->envelope.data, x->envelope.size);
    return false;
}

static stoa_result write_proof(stoa_wallet *w, const struct head_run *x,
                               struct slot_view *v, const struct wire_frame *path,
                               char *out, stoa_error *error)
{
    struct text t = {.out = out};
    uint8_t extra[EXTRA_MAX];
    char line[64];
    struct bytes note;
    uint64_t seen;
    add(&t, PROOF_FIRST, strlen(PROOF_FIRST));
    add(&t, "extra ", 6);
    size_t n = extra_of(extra, &x->r);
    add_base64(&t, extra, n);
    snprintf(line, sizeof(line), "\nindex %llu\n", (unsigned long long)x->r.index);
    add(&t, line, strlen(line));
    for (size_t i = 0; i + HASH_BYTES <= path->path.size; i += HASH_BYTES) {
        add_base64(&t, path->path.data + i, HASH_BYTES);
        add(&t, "\n", 1);
    }
    add(&t, "\n", 1);
    TRY_S(client_store_note_load(w->store, v->row.slot, &note, &seen));
    add(&t, (const char *)note.data, note.size);
    add(&t, "\n" ENVELOPE_LINE, 1 + strlen(ENVELOPE_LINE));
    add_base64(&t, x->envelope.data, x->envelope.size);
    add(&t, "\n", 1);
    return t.full ? because(error, ERR_ROOM, "proof does not fit") : STOA_OK;
}

stoa_result stoa_proof_get(stoa_wallet *w, const stoa_id *entry, char *out,
                           stoa_error *error)
{
    struct hash id = hash_of(entry);
    struct client_account row;
    struct slot_view *v;
    struct head_run x = {.found = false};
    uint64_t deadline = deadline_of(w, 0);
    TRY_R(need_connection(w, error));
    enum err e = client_store_record_find(w->store, &id, &row, &x.until);
    if (e == ERR_NOT_FOUND)
        return because(error, e, "that entry is not in the records here: sync first");
    TRY_S(e);
    TRY_S(client_store_records(w->store, &row, 0, x.until + 1, chain_heads, &x));
    stoa_result r =
        x.found ? STOA_OK : because(error, ERR_CORRUPT, "records are missing here");
    if (r == STOA_OK)
        r = slot_need(w, row.slot, deadline, &v, error);
    if (r == STOA_OK)
        r = slot_refresh(w, v, deadline, error);
    if (r == STOA_OK) {
        struct hash leaf = record_leaf_hash(&x.r);
        r = slot_includes(w, v, x.r.index, &leaf, deadline, error);
    }
    if (r == STOA_OK) {
        struct wire_frame f = {.type = WIRE_PROOF,
                               .kind = WIRE_INCLUSION,
                               .slot = row.slot,
                               .a = x.r.index,
                               .b = v->known.size};
        struct wire_frame answer;
        r = rpc_call(w, &f, WIRE_PROOF_IS, deadline, &answer, error);
        if (r == STOA_OK)
            r = write_proof(w, &x, v, &answer, out, error);
    }
    buf_close(&x.envelope);
    return r;
}

/* ---- check ---------------------------------------------------------------------------
 */

struct parsed {
    struct record r;
    struct hash path[MERKLE_PATH_MAX];
    size_t path_count;
    struct bytes note;
    struct buf envelope;
};

/* The next line without its LF; false at the end. */
static bool next_line(struct bytes *rest, struct bytes *line)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    if (!end)
        return false;
    *line = bytes_of(rest->data, (size_t)(end - rest->data));
    rest->size -= line->size + 1;
    rest->data = end + 1;
    return true;
}

static bool starts(struct bytes *line, const char *word)
{
    size_t n = strlen(word);
    if (line->size < n || memcmp(line->data, word, n) != 0)
        return false;
    line->data += n;
    line->size -= n;
    return true;
}

static bool parse_extra(struct bytes line, struct record *r)
{
    uint8_t extra[EXTRA_MAX];
    size_t size, n = 0;
    uint64_t slot = 0;
    if (!base64_decode(extra, sizeof(extra), &size, (const char *)line.data, line.size))
        return false;
    struct mp_reader m = mp_reader_of(extra, size);
    (void)mp_read_array(&m, &n, EXTRA_FIELDS);
    (void)mp_read_uint(&m, &slot);
    (void)mp_read_uint(&m, &r->position);
    (void)mp_read_bin_exact(&m, r->account_head.b, HASH_BYTES);
    (void)mp_read_uint(&m, &r->hub_lamport);
    (void)mp_read_uint(&m, &r->hub_time_ms);
    r->slot = (uint32_t)slot;
    return mp_done(&m) && n == EXTRA_FIELDS && slot < SLOTS_MAX;
}

static bool parse_number(struct bytes line, uint64_t *out)
{
    *out = 0;
    if (line.size == 0 || line.size > 18 || (line.size > 1 && line.data[0] == '0'))
        return false;
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(line.data[i] - '0');
    }
    return true;
}

static bool parse_path(struct bytes *rest, struct parsed *p)
{
    struct bytes line;
    for (;;) {
        size_t size;
        if (!next_line(rest, &line))
            return false;
        if (line.size == 0)
            return true;
        if (p->path_count == MERKLE_PATH_MAX ||
            !base64_decode(p->path[p->path_count].b, HASH_BYTES, &size,
                           (const char *)line.data, line.size) ||
            size != HASH_BYTES)
            return false;
        p->path_count++;
    }
}

static bool parse_proof(const char *text, size_t size, struct parsed *p)
{
    struct bytes rest = bytes_of(text, size), line;
    size_t first = strlen(PROOF_FIRST), n;
    if (size > STOA_PROOF_MAX || size < first || memcmp(text, PROOF_FIRST, first) != 0)
        return false;
    rest.data += first;
    rest.size -= first;
    if (!next_line(&rest, &line) || !starts(&line, "extra ") ||
        !parse_extra(line, &p->r) || !next_line(&rest, &line) ||
        !starts(&line, "index ") || !parse_number(line, &p->r.index) ||
        !parse_path(&rest, p))
        return false;
    const uint8_t *mark =
        memmem(rest.data, rest.size, "\n" ENVELOPE_LINE, 1 + strlen(ENVELOPE_LINE));
    if (!mark)
        return false;
    p->note = bytes_of(rest.data, (size_t)(mark - rest.data));
    rest.size -= p->note.size + 1;
    rest.data = mark + 1;
    if (!next_line(&rest, &line) || rest.size != 0 || !starts(&line, ENVELOPE_LINE) ||
        !buf_reserve(&p->envelope, ENVELOPE_BYTES_MAX) ||
        !base64_decode(p->envelope.data, ENVELOPE_BYTES_MAX, &n, (const char *)line.data,
                       line.size))
        return false;
    p->envelope.size = n;
    p->r.envelope = bytes_of(p->envelope.data, n);
    return true;
}

static stoa_result log_key(stoa_wallet *w, const char *vkey, uint32_t slot,
                           struct vkey *out, stoa_error *error)
{
    struct slot_view *v;
    if (vkey)
        return vkey_parse(out, vkey, strlen(vkey))
                   ? STOA_OK
                   : because(error, ERR_USAGE, "that is not a verifier key");
    if (!w)
        return because(error, ERR_USAGE, "a verifier key is needed");
    TRY_R(slot_load(w, slot, &v, error));
    if (!v->f.hub.open)
        return because(error, ERR_NOT_FOUND, "the log key of slot %u is not known here",
                       slot);
    *out = v->f.hub.log;
    return STOA_OK;
}

static stoa_result check_parsed(stoa_wallet *w, const char *vkey, struct parsed *p,
                                stoa_record_fn visit, void *context, stoa_error *error)
{
    struct vkey key;
    struct checkpoint c;
    struct entry e;
    TRY_R(log_key(w, vkey, p->r.slot, &key, error));
    if (!checkpoint_open(&c, (const char *)p->note.data, p->note.size, &key))
        return because_as(error, STOA_NO, ERR_SIGNATURE,
                          "the checkpoint in the proof is not signed by that log");
    struct hash leaf = record_leaf_hash(&p->r);
    if (!merkle_verify_inclusion(p->r.index, c.size, &leaf, p->path, p->path_count,
                                 &c.root))
        return because(error, ERR_CORRUPT,
                       "the entry is not in the tree of that checkpoint");
    enum err err = entry_decode(&e, p->envelope.data, p->envelope.size);
    if (err != ERR_OK || !entry_verify(&e))
        return because_as(error, STOA_NO, err != ERR_OK ? err : ERR_SIGNATURE,
                          "the entry in the proof is not signed by its device");
    if (visit) {
        stoa_record out;
        record_fill(&out, &e, &p->r, 0, w);
        (void)visit(context, &out);
    }
    return STOA_OK;
}

stoa_result stoa_proof_check(stoa_wallet *w, const char *vkey, const char *text,
                             size_t size, stoa_record_fn visit, void *context,
                             stoa_error *error)
{
    struct parsed *p = calloc(1, sizeof(*p));
    if (!p)
        return because(error, ERR_MEMORY, "out of memory");
    if (!crypto_start()) {
        free(p);
        return because(error, ERR_BUG, "crypto library does not pass its self-check");
    }
    stoa_result r =
        parse_proof(text, size, p)
            ? check_parsed(w, vkey, p, visit, context, error)
            : because_as(error, STOA_DATA, ERR_MALFORMED, "that is not a proof");
    buf_close(&p->envelope);
    free(p);
    return r;
}
