#include "client/replay.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/key.h"
#include "ledger/scratch.h"

#define TABLE_FIRST 1024 /* places; a power of two */

/* ---- accounts ------------------------------------------------------------------------
 */

static size_t place_of(const struct replay *p, const struct hash *id)
{
    uint64_t word;
    memcpy(&word, id->b, sizeof(word));
    word = (word ^ p->mix) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(word >> 20) & (p->table_size - 1);
}

struct replay_seat *replay_find(const struct replay *p, const struct hash *id)
{
    if (p->table_size == 0)
        return NULL;
    for (size_t at = place_of(p, id); p->table[at]; at = (at + 1) & (p->table_size - 1)) {
        struct replay_seat *seat = p->seats[p->table[at] - 1];
        if (memcmp(seat->account.id.b, id->b, HASH_BYTES) == 0)
            return seat;
    }
    return NULL;
}

static void put(struct replay *p, uint32_t number)
{
    size_t at = place_of(p, &p->seats[number]->account.id);
    while (p->table[at])
        at = (at + 1) & (p->table_size - 1);
    p->table[at] = number + 1;
}

static enum err grow(struct replay *p)
{
    size_t size = p->table_size ? p->table_size * 2 : TABLE_FIRST;
    uint32_t *table = calloc(size, sizeof(*table));
    struct replay_seat **seats = realloc(p->seats, size / 2 * sizeof(struct replay_seat *));
    if (seats)
        p->seats = seats;
    if (!table || !seats) {
        free(table);
        return ERR_MEMORY;
    }
    free(p->table);
    p->table = table;
    p->table_size = size;
    for (uint32_t i = 0; i < p->seat_count; i++)
        put(p, i);
    return ERR_OK;
}

enum err replay_open(struct replay *p, uint32_t slot, bool keep_tips)
{
    memset(p, 0, sizeof(*p));
    p->slot = slot;
    p->keep_tips = keep_tips;
    p->view = VIEW_SLOT;
    hub_account_init(&p->hub, &alloc_heap);
    random_bytes(&p->mix, sizeof(p->mix));
    p->fx = calloc(1, sizeof(*p->fx));
    return p->fx ? ERR_OK : ERR_MEMORY;
}

void replay_close(struct replay *p)
{
    for (size_t i = 0; i < p->seat_count; i++) {
        account_close(&p->seats[i]->account);
        tips_close(&p->seats[i]->tips);
        free(p->seats[i]);
    }
    tips_close(&p->hub_tips);
    hub_account_close(&p->hub);
    free(p->seats);
    free(p->table);
    free(p->fx);
}

static enum err seat_new(struct replay *p, struct replay_seat **out)
{
    if (p->seat_count * 2 >= p->table_size)
        TRY(grow(p));
    *out = calloc(1, sizeof(**out));
    return *out ? ERR_OK : ERR_MEMORY;
}

static void seat_put(struct replay *p, struct replay_seat *seat)
{
    p->seats[p->seat_count] = seat;
    put(p, (uint32_t)p->seat_count++);
}

enum err replay_add(struct replay *p, const struct account *a)
{
    struct replay_seat *seat;
    if (replay_find(p, &a->id))
        return ERR_ACCOUNT_EXISTS;
    TRY(seat_new(p, &seat));
    seat->account = *a;
    seat_put(p, seat);
    return ERR_OK;
}

static enum err open_account(struct replay *p, const struct entry *e,
                             const struct record *r)
{
    struct replay_seat *seat;
    TRY(seat_new(p, &seat));
    account_init(&seat->account, &alloc_heap);
    enum err err = account_apply(&seat->account, &p->hub, e, r, p->view, p->fx);
    if (err != ERR_OK) {
        account_close(&seat->account);
        free(seat);
        return err;
    }
    seat_put(p, seat);
    return ERR_OK;
}

/* ---- records ------------------------------------------------------------------------
 */

static bool of_hub(const struct entry *e)
{
    return e->kind == KIND_LOG_OPEN || e->kind == KIND_HUB_KEY || e->kind == KIND_RULES ||
           e->kind == KIND_BOUNCE;
}

/* Is the record at the position its account has reached? */
static enum err check_position(const struct record *r, uint64_t expected,
                               struct replay_fault *fault)
{
    if (r->position == REPLAY_POSITION_UNKNOWN || r->position == expected)
        return ERR_OK;
    *fault = (struct replay_fault){
        .what = REPLAY_AT, .expected = expected, .found = r->position};
    return ERR_CORRUPT;
}

static enum err apply_to_account(struct replay *p, const struct entry *e,
                                 const struct record *r, struct replay_fault *fault,
                                 struct replay_seat **out)
{
    if (e->kind == KIND_OPEN) {
        if (replay_find(p, &e->id))
            return ERR_ACCOUNT_EXISTS;
        TRY(check_position(r, 0, fault));
        TRY(open_account(p, e, r));
        *out = p->seats[p->seat_count - 1];
        return ERR_OK;
    }
    *out = p->table_size ? replay_find(p, &e->account) : NULL;
    if (!*out)
        return ERR_ACCOUNT_UNKNOWN;
    TRY(check_position(r, (*out)->account.position, fault));
    return account_apply(&(*out)->account, &p->hub, e, r, p->view, p->fx);
}

static enum err apply_to(struct replay *p, const struct entry *e, const struct record *r,
                         struct replay_fault *fault)
{
    struct tips *tips = &p->hub_tips;
    const struct hash *head = &p->hub.head;
    if (of_hub(e)) {
        TRY(check_position(r, p->hub.position, fault));
        TRY(hub_account_apply(&p->hub, e, r, p->view, p->fx));
    } else {
        struct replay_seat *seat;
        TRY(apply_to_account(p, e, r, fault, &seat));
        tips = &seat->tips;
        head = &seat->account.head;
    }
    if (memcmp(head->b, r->account_head.b, HASH_BYTES) != 0) {
        *fault = (struct replay_fault){
            .what = REPLAY_HEAD, .expected_head = *head, .found_head = r->account_head};
        return ERR_CORRUPT;
    }
    return p->keep_tips ? tips_note(tips, e) : ERR_OK;
}

/* hub_lamport(i) = 1 + max(hub_lamport(i-1), source hub lamport of a credit or bounce).
 */
static enum err check_clocks(struct replay *p, const struct entry *e,
                             const struct record *r, struct replay_fault *fault)
{
    uint64_t before = p->hub_lamport;
    if (e->kind == KIND_CREDIT || e->kind == KIND_BOUNCE) {
        UNINITIALIZED struct payload payload;
        TRY(payload_decode(&payload, e->kind, e->payload));
        uint64_t source = e->kind == KIND_BOUNCE ? payload.bounce.item.source_lamport
                                                 : payload.credit.source_lamport;
        if (source > before)
            before = source;
    }
    if (r->hub_lamport != before + 1) {
        *fault = (struct replay_fault){
            .what = REPLAY_LAMPORT, .expected = before + 1, .found = r->hub_lamport};
        return ERR_CORRUPT;
    }
    if (r->hub_time_ms < p->hub_time_ms) {
        *fault = (struct replay_fault){
            .what = REPLAY_TIME, .expected = p->hub_time_ms, .found = r->hub_time_ms};
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

enum err replay_apply(struct replay *p, const struct entry *e, const struct record *r,
                      struct replay_fault *fault)
{
    fault->what = REPLAY_RULE;
    if ((p->size == 0) != (e->kind == KIND_LOG_OPEN)) {
        fault->what = REPLAY_PLACE;
        return ERR_CORRUPT;
    }
    TRY(check_clocks(p, e, r, fault));
    TRY(apply_to(p, e, r, fault));
    p->hub_lamport = r->hub_lamport;
    p->hub_time_ms = r->hub_time_ms;
    p->size++;
    return ERR_OK;
}

void replay_withheld(struct replay *p, const struct record *r)
{
    p->view = VIEW_ACCOUNT;
    p->hub_lamport = r->hub_lamport;
    p->hub_time_ms = r->hub_time_ms;
    p->size++;
}

struct hash item_hash(const struct hash *cause, uint64_t payee_index,
                      const struct hash *payee, int64_t amount, uint64_t source_index,
                      uint64_t source_lamport, bool is_return)
{
    uint64_t numbers[5] = {payee_index, (uint64_t)amount, source_index, source_lamport,
                           is_return};
    struct hash_part parts[3] = {
        {cause->b, HASH_BYTES}, {payee->b, HASH_BYTES}, {numbers, sizeof(numbers)}};
    return hash_parts(parts, 3);
}

/* ---- the end -------------------------------------------------------------------------
 */

static int by_id(const void *a, const void *b)
{
    const struct replay_seat *const *x = a, *const *y = b;
    return memcmp((*x)->account.id.b, (*y)->account.id.b, HASH_BYTES);
}

/* Digest over all accounts, hub account included, in ascending id order. */
enum err replay_digest(struct replay *p, struct hash *digest, int64_t *balances)
{
    struct frontier f;
    struct buf room = {0};
    size_t cap = hub_account_encode_size(&p->hub);
    memset(&f, 0, sizeof(f));
    *balances = 0;
    if (!buf_reserve(&room, cap))
        return ERR_MEMORY;
    struct hash of_hub_account = hub_account_digest(&p->hub, room.data, room.cap);
    bool hub_done = false;
    if (p->seat_count)
        qsort(p->seats, p->seat_count, sizeof(p->seats[0]), by_id);
    for (size_t i = 0; i <= p->seat_count; i++) {
        struct account *a = i < p->seat_count ? &p->seats[i]->account : NULL;
        if (!hub_done && (!a || memcmp(p->hub.id.b, a->id.b, HASH_BYTES) < 0)) {
            struct hash leaf = hash_leaf(of_hub_account.b, HASH_BYTES);
            (void)frontier_append(&f, &leaf);
            hub_done = true;
        }
        if (!a)
            break;
        if (!buf_reserve(&room, account_encode_size(a))) {
            buf_close(&room);
            return ERR_MEMORY;
        }
        struct hash of_account = account_digest(a, room.data, room.cap);
        struct hash leaf = hash_leaf(of_account.b, HASH_BYTES);
        (void)frontier_append(&f, &leaf);
        *balances += a->balance;
    }
    buf_close(&room);
    *digest = frontier_root(&f);
    return ERR_OK;
}
