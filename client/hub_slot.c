/* Slots as a client sees them: the hub account's records say which keys are in force, and
 * every checkpoint must be consistent with the newest one known. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/wallet.h"
#include "ledger/evidence.h"
#include "ledger/scratch.h"

#define REFRESH_TRIES 3u /* a key changes twice in a row at most */

static void slot_drop(struct slot_view *v)
{
    follow_close(&v->f);
    free(v);
}

void slots_close(stoa_wallet *w)
{
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct slot_view *v = w->slot[i];
        if (!v)
            continue;
        slot_drop(v);
        w->slot[i] = NULL;
    }
}

/* ---- from disk -----------------------------------------------------------------------
 */

struct replay {
    struct follow *f;
    enum err err;
};

static bool replay_hub(void *context, const struct record *stored, int64_t balance)
{
    struct replay *x = context;
    struct record r = *stored;
    struct entry e;
    (void)balance;
    x->err = entry_decode(&e, r.envelope.data, r.envelope.size);
    if (x->err != ERR_OK)
        return false;
    x->err = follow_apply(x->f, &e, &r);
    return x->err == ERR_OK;
}

/* The hub account's records are few (keys, rules, bounces): replayed each time. */
static stoa_result replay_slot(stoa_wallet *w, struct slot_view *v, stoa_error *error)
{
    struct replay x = {&v->f, ERR_OK};
    follow_close(&v->f);
    follow_init(&v->f, &alloc_heap, NULL, &v->row.id, v->row.slot);
    TRY_S(client_store_records(w->store, &v->row, 0, v->row.position, replay_hub, &x));
    if (x.err == ERR_OK && v->f.hub.position == v->row.position)
        return STOA_OK;
    return because_as(
        error, STOA_CONFIG, ERR_CORRUPT,
        "local records of the hub's slot %u do not replay: rebuild the database",
        v->row.slot);
}

static stoa_result load_note(stoa_wallet *w, struct slot_view *v, stoa_error *error)
{
    struct bytes note;
    uint64_t seen;
    enum err e = client_store_note_load(w->store, v->row.slot, &note, &seen);
    if (e == ERR_NOT_FOUND)
        return STOA_OK;
    TRY_S(e);
    /* Its signature was checked under the key then in force; only text is needed now. */
    const char *end = memmem(note.data, note.size, "\n\n", 2);
    if (!end || !checkpoint_parse(&v->known, (const char *)note.data,
                                  (size_t)(end + 1 - (const char *)note.data)))
        return because_as(
            error, STOA_CONFIG, ERR_CORRUPT,
            "the checkpoint kept for slot %u is damaged: rebuild the database",
            v->row.slot);
    v->has_note = true;
    return STOA_OK;
}

stoa_result slot_load(stoa_wallet *w, uint32_t slot, struct slot_view **out,
                      stoa_error *error)
{
    if (!w->has_hub || slot >= w->slots)
        return because(error, ERR_NET, "this wallet was never connected to its hub");
    struct slot_view *v = w->slot[slot];
    if (!v) {
        v = calloc(1, sizeof(*v));
        if (!v)
            return because(error, ERR_MEMORY, "out of memory");
        w->slot[slot] = v;
    }
    *out = v;
    if (v->loaded)
        return STOA_OK;
    enum err e = client_store_account(w->store, &w->log_open[slot], &v->row);
    if (e == ERR_NOT_FOUND) {
        memset(&v->row, 0, sizeof(v->row));
        v->row.id = w->log_open[slot];
        v->row.slot = slot;
        v->row.of_hub = true;
        e = client_store_account_add(w->store, &v->row);
    }
    TRY_S(e);
    TRY_R(replay_slot(w, v, error));
    TRY_R(load_note(w, v, error));
    v->loaded = true;
    return STOA_OK;
}

/* ---- hub account ---------------------------------------------------------------------
 */

static enum err take_hub_record(stoa_wallet *w, struct slot_view *v,
                                const struct record *r)
{
    struct entry e;
    TRY(entry_decode(&e, r->envelope.data, r->envelope.size));
    if (!entry_verify(&e))
        return ERR_SIGNATURE;
    TRY(follow_apply(&v->f, &e, r));
    TRY(client_store_record_add(w->store, &v->row, r, &e.id, 0));
    v->row.position = r->position + 1;
    return ERR_OK;
}

/* Those of a page's list, or `only` those given, in one durable step. */
static stoa_result take_hub_records(stoa_wallet *w, struct slot_view *v, size_t count,
                                    const struct record *only, struct mp_reader *list,
                                    stoa_error *error)
{
    enum err e = client_store_begin(w->store);
    TRY_S(e);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        struct record r;
        if (only)
            r = only[i];
        else
            wire_next_record(list, &r);
        e = take_hub_record(w, v, &r);
    }
    if (e == ERR_OK)
        e = client_store_account_put(w->store, &v->row);
    enum err end = client_store_end(w->store, e == ERR_OK);
    if (e == ERR_OK && end == ERR_OK)
        return STOA_OK;
    v->loaded = false; /* what memory holds is ahead of the disk */
    if (e == ERR_OK || of_disk(e))
        return because_store(w, error, e == ERR_OK ? end : e);
    return because_as(error, e == ERR_RULES_AHEAD ? STOA_DATA : STOA_NO, e,
                      "hub shows records of slot %u's hub account that do not verify: %s",
                      v->row.slot, err_text(e));
}

stoa_result slot_take(stoa_wallet *w, struct slot_view *v, const struct record *r,
                      stoa_error *error)
{
    return take_hub_records(w, v, 1, r, NULL, error);
}

/* Those that were never proven may be why the next ones do not go on from them: once they are
 * asked for anew. */
stoa_result slot_follow(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                        stoa_error *error)
{
    for (bool again = v->row.position > v->row.proven;;) {
        struct wire_frame f = {.type = WIRE_FETCH,
                               .key = {.what = WIRE_ACCOUNT, .id = v->row.id},
                               .from = v->row.position,
                               .max = FETCH_RECORDS};
        struct wire_frame page;
        TRY_R(rpc_call(w, &f, WIRE_PAGE, deadline, &page, error));
        if (page.end < v->row.position)
            return slot_evidence(w, v, (struct bytes){0}, ERR_BEHIND,
                                 "hub shows fewer records of its own account than before",
                                 error);
        stoa_result r =
            page.count > 0 ? take_hub_records(w, v, page.count, NULL, &page.list, error) : STOA_OK;
        if (r == STOA_NO && again) {
            again = false;
            TRY_S(slot_cut_unproven(w, v));
            TRY_R(slot_load(w, v->row.slot, &v, error));
            continue;
        }
        TRY_R(r);
        if (page.count == 0 || v->row.position >= page.end)
            return STOA_OK;
    }
}

stoa_result slot_need(stoa_wallet *w, uint32_t slot, uint64_t deadline,
                      struct slot_view **out, stoa_error *error)
{
    TRY_R(slot_load(w, slot, out, error));
    if ((*out)->row.position > 0)
        return STOA_OK;
    TRY_R(need_connection(w, error));
    TRY_R(slot_follow(w, *out, deadline, error));
    if ((*out)->row.position == 0)
        return because(error, ERR_HELLO, "hub does not show the log_open of slot %u",
                       slot);
    return STOA_OK;
}

/* ---- checkpoints ---------------------------------------------------------------------
 */

bool wallet_keep_file(stoa_wallet *w, const char *name, const struct buf *data)
{
    char path[WALLET_DIR_MAX + 96], beside[WALLET_DIR_MAX + 128];
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    snprintf(beside, sizeof(beside), "%s.part", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (size_t at = 0; ok && at < data->size;) {
        ssize_t n = write(fd, data->data + at, data->size - at);
        ok = n > 0 || (n < 0 && errno == EINTR);
        at += n > 0 ? (size_t)n : 0;
    }
    ok = ok && fsync(fd) == 0;
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    return ok && rename(beside, path) == 0;
}

/* A fork that can be shown to anybody: both notes, and the path between them, as one file in
 * the wallet's folder. `path` is as RFC 9162 makes it; of a smaller tree whose size is a power
 * of two it does not say enough. */
static bool keep_alone(stoa_wallet *w, const struct slot_view *v, struct bytes known,
                       struct bytes shown, const struct hash path[], size_t count)
{
    char name[64];
    struct buf out = {0};
    bool ok = known.size > 0 && shown.size > 0 &&
              evidence_fork(&out, &v->f.hub.log, known, shown, path, count) == ERR_OK;
    snprintf(name, sizeof(name), "fork-%02x-%llu.evidence", (unsigned)v->row.slot,
             (unsigned long long)v->known.size);
    ok = ok && wallet_keep_file(w, name, &out);
    buf_close(&out);
    return ok;
}

/* Two notes that cannot both be true, or one that goes back: keep both and stop. */
static stoa_result keep_evidence(stoa_wallet *w, struct slot_view *v, struct bytes shown,
                                 const struct hash path[], size_t count, enum err code,
                                 const char *what, stoa_error *error)
{
    struct bytes known = {0};
    uint64_t seen;
    enum err e = client_store_note_load(w->store, v->row.slot, &known, &seen);
    struct client_evidence x = {.slot = v->row.slot,
                                .at_ms = w->now_ms(),
                                .known = e == ERR_OK ? known : (struct bytes){0},
                                .shown = shown,
                                .what = bytes_of(what, strlen(what))};
    bool alone = code == ERR_FORK && keep_alone(w, v, x.known, shown, path, count);
    bool kept = client_store_evidence_save(w->store, &x) == ERR_OK;
    return because_as(error, STOA_NO, code,
                      "slot %u: %s; the newest known has %llu leaves. %s", v->row.slot, what,
                      (unsigned long long)v->known.size,
                      alone  ? "Evidence that stands alone was kept in the wallet's folder"
                      : kept ? "Evidence was kept"
                             : "Evidence could NOT be kept: look at the disk");
}

stoa_result slot_evidence(stoa_wallet *w, struct slot_view *v, struct bytes shown,
                          enum err code, const char *what, stoa_error *error)
{
    return keep_evidence(w, v, shown, NULL, 0, code, what, error);
}

/* A tree somebody signed; `note` says where its note is, NONE for the newest one known.
 */
struct seen {
    struct checkpoint c;
    size_t note;
};
#define NONE SIZE_MAX

static int by_size(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return (x->c.size > y->c.size) - (x->c.size < y->c.size);
}

/* The log's key as the records before an index leave it. */
struct key_search {
    uint64_t until;
    bool found;
    struct vkey key;
};

static bool search_key(void *context, const struct record *r, int64_t balance)
{
    struct key_search *x = context;
    UNINITIALIZED struct payload p;
    struct entry e;
    (void)balance;
    if (r->index >= x->until || entry_decode(&e, r->envelope.data, r->envelope.size) != ERR_OK)
        return false;
    if ((e.kind != KIND_LOG_OPEN && e.kind != KIND_HUB_KEY) ||
        payload_decode(&p, e.kind, e.payload) != ERR_OK)
        return true;
    if (e.kind == KIND_LOG_OPEN) {
        x->found = vkey_parse(&x->key, (const char *)p.log_open.log_vkey.data,
                              p.log_open.log_vkey.size);
    } else if (p.hub_key.role == ROLE_LOG && x->found) {
        char name[sizeof(x->key.name)];
        memcpy(name, x->key.name, sizeof(name));
        x->found = vkey_make(&x->key, name, NOTE_ED25519, &p.hub_key.new_key);
    }
    return true;
}

/* A tree that does not hold the newest change of the log's key is signed by the key before it:
 * so is a note that was on its way while the change came in. */
static bool open_by_earlier_key(stoa_wallet *w, const struct slot_view *v, struct bytes note,
                                struct checkpoint *out)
{
    const char *text = (const char *)note.data, *end = memmem(text, note.size, "\n\n", 2);
    struct checkpoint claimed;
    if (!end || !checkpoint_parse(&claimed, text, (size_t)(end + 1 - text)))
        return false;
    struct key_search x = {.until = claimed.size};
    return client_store_records(w->store, &v->row, 0, v->row.position, search_key, &x) ==
               ERR_OK &&
           x.found && checkpoint_open(out, text, note.size, &x.key);
}

/* The log's key may have changed: look at the hub account once before saying no. */
static stoa_result open_note(stoa_wallet *w, struct slot_view *v, struct bytes note,
                             bool *followed, uint64_t deadline, struct checkpoint *out,
                             stoa_error *error)
{
    for (;;) {
        if (v->f.hub.open &&
            checkpoint_open(out, (const char *)note.data, note.size, &v->f.hub.log))
            return STOA_OK;
        if (v->f.hub.open && open_by_earlier_key(w, v, note, out))
            return STOA_OK;
        if (*followed)
            return slot_evidence(w, v, note, ERR_SIGNATURE,
                                 "hub's checkpoint is not signed by the log's key",
                                 error);
        *followed = true;
        TRY_R(slot_follow(w, v, deadline, error));
    }
}

static stoa_result send_proof(stoa_wallet *w, uint64_t kind, uint32_t slot, uint64_t a,
                              uint64_t b, uint64_t deadline, uint64_t *rid,
                              stoa_error *error)
{
    struct wire_frame f = {
        .type = WIRE_PROOF, .rid = ++w->rid, .kind = kind, .slot = slot, .a = a, .b = b};
    *rid = f.rid;
    struct mp_writer m = frame_begin(w, 256);
    wire_put(&m, &f);
    return frame_send(w, &m, deadline, error);
}

static size_t path_hashes(struct bytes path, struct hash out[MERKLE_PATH_MAX])
{
    size_t count = path.size / HASH_BYTES;
    if (count > MERKLE_PATH_MAX || path.size % HASH_BYTES)
        return SIZE_MAX;
    if (count)
        memcpy(out, path.data, path.size);
    return count;
}

static bool consistent(const struct wire_frame *answer, const struct checkpoint *old,
                       const struct checkpoint *new)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t count = path_hashes(answer->path, path);
    return count != SIZE_MAX && merkle_verify_consistency(old->size, new->size, path,
                                                          count, &old->root, &new->root);
}

/* Trees in order of size: ask for all the proofs between neighbours at once, then check.
 */
static stoa_result check_some(stoa_wallet *w, struct slot_view *v, const struct seen t[],
                              size_t pairs, const struct bytes notes[], uint64_t deadline,
                              stoa_error *error)
{
    uint64_t rids[PROOFS_AT_ONCE] = {0};
    for (size_t i = 0; i < pairs; i++)
        if (t[i].c.size > 0 && t[i].c.size < t[i + 1].c.size)
            TRY_R(send_proof(w, WIRE_CONSISTENCY, v->row.slot, t[i].c.size,
                             t[i + 1].c.size, deadline, &rids[i], error));
    for (size_t i = 0; i < pairs; i++) {
        const struct checkpoint *a = &t[i].c, *b = &t[i + 1].c;
        bool ok = a->size < b->size || hash_equal(&a->root, &b->root);
        struct hash path[MERKLE_PATH_MAX];
        size_t path_count = 0;
        if (rids[i]) {
            struct wire_frame answer;
            TRY_R(rpc_wait(w, rids[i], WIRE_PROOF_IS, deadline, &answer, error));
            ok = consistent(&answer, a, b);
            path_count = ok || (a->size & (a->size - 1)) == 0
                             ? 0
                             : path_hashes(answer.path, path);
            if (path_count == SIZE_MAX)
                path_count = 0;
        }
        if (!ok)
            return keep_evidence(
                w, v, notes[t[i + 1].note == NONE ? t[i].note : t[i + 1].note], path,
                path_count, ERR_FORK,
                "hub shows a tree that is not on one line with the known one", error);
    }
    return STOA_OK;
}

static stoa_result check_trees(stoa_wallet *w, struct slot_view *v, struct seen t[],
                               size_t count, const struct bytes notes[],
                               uint64_t deadline, stoa_error *error)
{
    qsort(t, count, sizeof(t[0]), by_size);
    for (size_t from = 0; from + 1 < count; from += PROOFS_AT_ONCE) {
        size_t pairs = count - 1 - from;
        TRY_R(check_some(w, v, t + from, pairs < PROOFS_AT_ONCE ? pairs : PROOFS_AT_ONCE,
                         notes, deadline, error));
    }
    struct seen *newest = &t[count - 1];
    while (newest > t && newest->note == NONE && newest[-1].c.size == newest->c.size)
        newest--; /* the same tree: nothing newer */
    if (newest->note == NONE || (v->has_note && newest->c.size == v->known.size))
        return STOA_OK;
    TRY_S(client_store_note_save(w->store, v->row.slot, newest->c.size,
                                 notes[newest->note], w->now_ms()));
    v->known = newest->c;
    v->has_note = true;
    return STOA_OK;
}

stoa_result slot_believe(stoa_wallet *w, struct slot_view *v, const struct bytes notes[],
                         size_t count, struct checkpoint out[], uint64_t deadline,
                         stoa_error *error)
{
    bool followed = false;
    struct seen *trees = calloc(count + 1, sizeof(*trees));
    if (!trees)
        return because(error, ERR_MEMORY, "out of memory");
    stoa_result r = STOA_OK;
    for (size_t i = 0; i < count && r == STOA_OK; i++) {
        r = open_note(w, v, notes[i], &followed, deadline, &out[i], error);
        trees[i] = (struct seen){out[i], i};
    }
    if (r == STOA_OK && v->has_note)
        trees[count] = (struct seen){v->known, NONE};
    if (r == STOA_OK)
        r = check_trees(w, v, trees, count + v->has_note, notes, deadline, error);
    free(trees);
    return r;
}

/* A fresh note, which may not go back behind what this wallet saw. */
stoa_result slot_refresh(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                         stoa_error *error)
{
    struct wire_frame f = {.type = WIRE_CHECKPOINT, .slot = v->row.slot}, answer;
    struct checkpoint c;
    TRY_R(rpc_call(w, &f, WIRE_CHECKPOINT_IS, deadline, &answer, error));
    return slot_advance(w, v, answer.note, deadline, &c, error);
}

stoa_result slot_advance(stoa_wallet *w, struct slot_view *v, struct bytes shown,
                         uint64_t deadline, struct checkpoint *out, stoa_error *error)
{
    char room[CHECKPOINT_BYTES_MAX * 4];
    if (shown.size == 0 || shown.size > sizeof(room))
        return because_as(error, STOA_NO, ERR_FRAME,
                          "hub's checkpoint of slot %u has no size "
                          "that can be",
                          v->row.slot);
    memcpy(room, shown.data, shown.size); /* the frame goes with the next question */
    struct bytes note = bytes_of(room, shown.size);
    bool followed = false;
    struct checkpoint c;
    TRY_R(open_note(w, v, note, &followed, deadline, &c, error));
#ifndef STOA_BREAK_SMALLER_CHECKPOINT
    if (v->has_note && c.size < v->known.size)
        return slot_evidence(w, v, note, ERR_BEHIND,
                             "hub shows a smaller tree than it did before", error);
#endif
    return slot_believe(w, v, &note, 1, out, deadline, error);
}

stoa_result slot_includes(stoa_wallet *w, struct slot_view *v, uint64_t index,
                          const struct hash *leaf, uint64_t deadline, stoa_error *error)
{
    uint64_t rid;
    struct wire_frame answer;
    struct hash path[MERKLE_PATH_MAX];
    if (index >= v->known.size)
        return because(error, ERR_CORRUPT,
                       "hub shows record %llu of slot %u, past its own checkpoint of %llu",
                       (unsigned long long)index, v->row.slot,
                       (unsigned long long)v->known.size);
    TRY_R(send_proof(w, WIRE_INCLUSION, v->row.slot, index, v->known.size, deadline, &rid,
                     error));
    TRY_R(rpc_wait(w, rid, WIRE_PROOF_IS, deadline, &answer, error));
    size_t count = path_hashes(answer.path, path);
    if (count != SIZE_MAX &&
        merkle_verify_inclusion(index, v->known.size, leaf, path, count, &v->known.root))
        return STOA_OK;
    return because(error, ERR_CORRUPT,
                   "record %llu of slot %u is not in the tree that the hub signed",
                   (unsigned long long)index, v->row.slot);
}

/* ---- what is proven ------------------------------------------------------------------
 */

/* A checkpoint over all that was shown so far. To open one whose key is new, the hub's own records
 * are followed, and those may be younger than it: then the next one has them. */
static stoa_result refresh_over(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                                stoa_error *error)
{
    for (unsigned i = 0; i < REFRESH_TRIES; i++) {
        TRY_R(slot_refresh(w, v, deadline, error));
        if (v->row.position == 0 || v->f.hub_index < v->known.size)
            break;
    }
    return STOA_OK;
}

stoa_result slot_prove(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                       stoa_error *error)
{
    TRY_R(refresh_over(w, v, deadline, error));
    if (v->row.proven == v->row.position)
        return STOA_OK;
    stoa_result r = slot_includes(w, v, v->f.hub_index, follow_leaf(&v->f.hub_newest), deadline,
                                  error);
    if (r == STOA_NO)
        ignore(slot_cut_unproven(w, v)); /* or the next call does */
    TRY_R(r);
    v->row.proven = v->row.position;
    v->row.proven_size = v->known.size;
    TRY_S(client_store_account_put(w->store, &v->row));
    return STOA_OK;
}

bool blames_records(const stoa_error *e)
{
    return e->code != ERR_FORK && e->code != ERR_BEHIND && e->code != ERR_SIGNATURE;
}

stoa_result slot_sync(stoa_wallet *w, struct slot_view *v, uint64_t deadline,
                      stoa_error *error)
{
    for (bool again = v->row.position > v->row.proven;; again = false) {
        stoa_error why = {.size = sizeof(why)};
        TRY_R(slot_follow(w, v, deadline, error));
        if (v->row.position == v->row.proven)
            return STOA_OK;
        stoa_result r = slot_prove(w, v, deadline, &why);
        if (r != STOA_NO || !again || !blames_records(&why)) {
            if (r != STOA_OK && error)
                give(error, &why, sizeof(why));
            return r;
        }
        TRY_R(slot_need(w, v->row.slot, deadline, &v, error));
    }
}
