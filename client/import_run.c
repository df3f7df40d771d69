/* The pipeline: entries go out as fast as the hub's window allows, answers and records
 * come back, and what the hub could not take for now is sent again in order. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/import.h"
#include "crypto/context.h"

#define POLL_MS 20
#define FRAME_HEAD_BYTES 32
#define ENTRY_HEAD_BYTES 5

stoa_result import_run_open(struct import_run *r)
{
    size_t parties = r->bank->party_count;
    r->window = r->hub->limits.inflight_entries < IMPORT_INFLIGHT_MAX
                    ? (uint32_t)r->hub->limits.inflight_entries
                    : IMPORT_INFLIGHT_MAX;
    if (r->window == 0)
        r->window = 1;
    r->device_chain = calloc(parties, sizeof *r->device_chain);
    r->hub_chain = calloc(parties, sizeof *r->hub_chain);
    r->turns = calloc(parties, sizeof *r->turns);
    r->ready = calloc(parties, sizeof *r->ready);
    r->flights = calloc(r->window, sizeof *r->flights);
    r->envelopes = malloc((size_t)r->window * IMPORT_ENTRY_MAX);
    r->began_ms = cli_now_ms();
    if (!r->device_chain || !r->hub_chain || !r->turns || !r->ready || !r->flights ||
        !r->envelopes)
        return cli_fail(r->c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    return STOA_OK;
}

void import_run_close(struct import_run *r)
{
    free(r->device_chain);
    free(r->hub_chain);
    free(r->turns);
    free(r->ready);
    free(r->flights);
    free(r->envelopes);
}

static stoa_result wrong(struct import_run *r)
{
    return cli_fail(r->c, STOA_NO, ERR_CORRUPT, NULL, "%s", r->book->why);
}

static stoa_result take_records(struct import_run *r, struct wire_frame *f)
{
    for (size_t i = 0; i < f->count; i++) {
        struct record record;
        wire_next_record(&f->list, &record);
        if (record.slot >= r->book->slots ||
            record.index < r->book->slot[record.slot].count)
            continue; /* known already */
        if (book_apply(r->book, &record) != ERR_OK)
            return wrong(r);
    }
    return STOA_OK;
}

/* Pages of all slots, a few asked for at a time. */
static stoa_result read_pages(struct import_run *r)
{
    uint32_t slots = r->hub->slots, asked = 0, done = 0, under_way = 0;
    while (done < slots) {
        bool got;
        while (asked < slots && under_way < IMPORT_FETCHES_MAX) {
            stoa_result s = import_hub_fetch(r->hub, asked++, 0);
            if (s != STOA_OK)
                return s;
            under_way++;
        }
        stoa_result s = import_hub_poll(r->hub, POLL_MS, &got);
        if (s != STOA_OK)
            return s;
        if (cli_interrupted() || cli_now_ms() - r->hub->heard_ms > IMPORT_SILENCE_MS)
            return cli_fail(r->c, STOA_INTERRUPTED, ERR_TIMEOUT,
                            "run the same import again: it goes on",
                            "stopped while reading the ledger");
        if (!got || r->hub->frame.type != WIRE_PAGE)
            continue;
        struct wire_frame *f = &r->hub->frame;
        uint32_t slot = (uint32_t)(f->rid - 2);
        uint64_t next = f->next, end = f->end;
        bool some = f->count > 0;
        s = take_records(r, f);
        if (s == STOA_OK && next < end && some) {
            s = import_hub_fetch(r->hub, slot, next);
        } else {
            done++;
            under_way--;
        }
        if (s != STOA_OK)
            return s;
    }
    return STOA_OK;
}

stoa_result import_catch_up(struct import_run *r)
{
    stoa_result s = read_pages(r);
    for (uint32_t i = 0; s == STOA_OK && i < r->hub->slots; i++)
        s = import_hub_subscribe(r->hub, i, r->book->slot[i].count);
    if (s != STOA_OK)
        return s;
    for (uint32_t i = 0; i < r->hub->slots; i++)
        if (!r->book->slot[i].hub.open)
            return cli_fail(r->c, STOA_NO, ERR_CORRUPT, NULL, "slot %u has no log", i);
    if (!import_hub_proves(r->hub, &r->book->slot[0].hub.relay))
        return cli_fail(r->c, STOA_NO, ERR_HELLO, NULL,
                        "the hub does not prove the relay key its log names");
    if (!pubkey_equal(&r->book->slot[0].hub.issuer, &r->keys->issuer_public))
        return cli_fail(r->c, STOA_DENIED, ERR_AUTHORITY, NULL,
                        "--issuer-key is not this hub's issuer key");
    r->rows_before = r->book->rows_checked;
    return STOA_OK;
}

/* May the account write its next row now? Then it stands in the ring, once. */
static void enqueue(struct import_run *r, uint32_t party)
{
    struct import_turn *t = &r->turns[party];
    if (t->queued || t->next == NO_ROW)
        return;
    bool pays = r->bank->rows[t->next].payee != NO_PARTY;
    if (t->flying > 0 && t->flying_pay != pays)
        return;
    t->queued = true;
    r->ready[(r->ready_head + r->ready_count++) % r->bank->party_count] = party;
}

/* Where our next entries of every account stand: from what the ledger holds. */
static void begin_rows(struct import_run *r)
{
    for (uint32_t i = 0; i < r->bank->party_count; i++) {
        const struct book_account *a = book_find(r->book, &r->book->ids[i]);
        r->turns[i].next = NO_ROW;
        if (!a || r->bank->parties[i].is_payee)
            continue;
        r->device_chain[i] = a->account.devices[0].chain;
        r->hub_chain[i] = a->account.hub;
        r->turns[i].next = a->next_row;
        enqueue(r, i);
    }
}

static struct chain *chain_of(struct import_run *r, const struct bank_row *row)
{
    return row->payee == NO_PARTY ? &r->hub_chain[row->account]
                                  : &r->device_chain[row->account];
}

static enum err build_row(struct import_run *r, uint32_t number, uint8_t *out,
                          size_t *size)
{
    static struct payload payload;
    uint8_t room[256];
    const struct bank_row *row = &r->bank->rows[number];
    struct chain *chain = chain_of(r, row);
    struct entry e;
    if (row->payee == NO_PARTY) {
        payload.kind = KIND_ACCRUE;
        payload.accrue =
            (struct p_accrue){r->book->node, (uint64_t)number + 1, row->amount};
    } else {
        payload.kind = KIND_TRANSFER;
        payload.transfer.payee_count = 1;
        payload.transfer.payees[0] =
            (struct payee){.account = r->book->ids[row->payee], .amount = row->amount};
    }
    struct mp_writer w = mp_writer_of(room, sizeof room);
    payload_encode(&w, &payload);
    struct entry_draft draft = {.account = &r->book->ids[row->account],
                                .seq = chain->next_seq,
                                .prev = &chain->tip,
                                .lamport = chain->tip_lamport + 1,
                                .time_ms = row->time_ms,
                                .kind = payload.kind,
                                .payload = bytes_of(room, w.size)};
    struct key *device = NULL;
    const struct key *signer = r->keys->issuer;
    if (row->payee != NO_PARTY)
        signer = device = import_device(r->keys, r->bank->parties[row->account].name);
    enum err result =
        signer ? entry_build(&draft, signer, out, IMPORT_ENTRY_MAX, size) : ERR_MEMORY;
    key_free(device);
    if (result == ERR_OK)
        result = entry_decode(&e, out, *size);
    if (result == ERR_OK)
        *chain = (struct chain){chain->next_seq + 1, e.id, draft.lamport};
    return result;
}

/* The next entry that the ledger lacks, or none for now. */
static bool find_next(struct import_run *r, uint32_t *item)
{
    if (r->opening) {
        for (; r->next < r->bank->party_count; r->next++)
            if (!book_find(r->book, &r->book->ids[r->next])) {
                *item = r->next++;
                return true;
            }
        return false;
    }
    if (r->ready_count == 0)
        return false;
    uint32_t party = r->ready[r->ready_head];
    struct import_turn *t = &r->turns[party];
    r->ready_head = (r->ready_head + 1) % r->bank->party_count;
    r->ready_count--;
    *item = t->next;
    t->queued = false;
    t->flying++;
    t->flying_pay = r->bank->rows[t->next].payee != NO_PARTY;
    t->next = r->bank->rows[t->next].next;
    enqueue(r, party);
    return true;
}

static void accepted(struct import_run *r, const struct import_flight *flight)
{
    r->accepted++;
    if (r->opening)
        return;
    uint32_t party = r->bank->rows[flight->row].account;
    r->turns[party].flying--;
    enqueue(r, party);
}

static stoa_result fill(struct import_run *r)
{
    uint32_t item;
    while (!r->trouble && r->tail - r->head < r->window && find_next(r, &item)) {
        uint64_t at = r->tail % r->window;
        uint8_t *out = r->envelopes + at * IMPORT_ENTRY_MAX;
        size_t size = 0;
        struct hash id;
        enum err result = r->opening ? import_open_entry(r->keys, &r->bank->parties[item],
                                                         &r->hub->federation,
                                                         r->hub->name, out, &size, &id)
                                     : build_row(r, item, out, &size);
        if (result != ERR_OK)
            return cli_fail(r->c, STOA_BUG, (int)result, NULL,
                            "row %u: entry cannot be made: %s", item + 1,
                            err_text(result));
        r->flights[at] = (struct import_flight){.row = item, .size = (uint32_t)size};
        r->tail++;
        r->entries++;
        if (r->tail - r->unsent >= r->hub->limits.entries_a_frame)
            return STOA_OK; /* a frame is full: let it go out while the next is made */
    }
    return STOA_OK;
}

/* How many entries may go out now: a hub that limits the rate counts on its side too, but
 * what is over it comes back refused and has to be sent again. */
static uint64_t allowed(struct import_run *r)
{
    const struct wire_limits *l = &r->hub->limits;
    uint64_t now_ms = cli_now_ms();
    if (l->entries_a_second == 0)
        return WIRE_ENTRIES_MAX;
    uint64_t full = l->burst * 1000;
    r->tokens += (r->tokens_ms ? now_ms - r->tokens_ms : l->burst) * l->entries_a_second;
    r->tokens = r->tokens < full ? r->tokens : full;
    r->tokens_ms = now_ms;
    return r->tokens / 1000;
}

/* Everything made and not sent, as frames. */
static stoa_result flush(struct import_run *r)
{
    for (uint64_t may; r->unsent < r->tail && (may = allowed(r)) > 0;) {
        uint64_t count = 0, bytes = FRAME_HEAD_BYTES;
        while (r->unsent + count < r->tail && count < r->hub->limits.entries_a_frame &&
               count < may && count < WIRE_ENTRIES_MAX) {
            uint32_t size = r->flights[(r->unsent + count) % r->window].size;
            if (count > 0 && bytes + size + ENTRY_HEAD_BYTES > r->hub->limits.frame_bytes)
                break;
            bytes += size + ENTRY_HEAD_BYTES;
            count++;
        }
        struct wire_frame f = {.type = WIRE_SUBMIT, .rid = r->unsent, .count = count};
        struct mp_writer w = import_hub_writer(r->hub);
        wire_put(&w, &f);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t at = (r->unsent + i) % r->window;
            wire_put_envelope(
                &w, bytes_of(r->envelopes + at * IMPORT_ENTRY_MAX, r->flights[at].size));
        }
        stoa_result s = import_hub_send(r->hub, 0, &w);
        if (s != STOA_OK)
            return s;
        r->unsent += count;
        if (r->hub->limits.entries_a_second)
            r->tokens -= count * 1000;
    }
    return STOA_OK;
}

static void take_results(struct import_run *r, struct wire_frame *f)
{
    for (size_t i = 0; i < f->count; i++) {
        struct wire_result result;
        wire_next_result(&f->list, &result);
        uint64_t number = result.rid + result.i;
        if (number < r->head || number >= r->unsent)
            continue;
        struct import_flight *flight = &r->flights[number % r->window];
        if (flight->answered)
            continue;
        flight->answered = true;
        flight->accepted = result.code == 0;
        flight->code = (uint16_t)(result.code < 512 ? result.code : 511);
        if (flight->accepted) {
            accepted(r, flight);
            continue;
        }
        r->refused++;
        r->refusals[flight->code]++;
        r->trouble = true;
        if (result.retry_after_ms > r->retry_after_ms)
            r->retry_after_ms = result.retry_after_ms;
    }
    while (!r->trouble && r->head < r->unsent && r->flights[r->head % r->window].answered)
        r->head++;
}

static stoa_result refused(struct import_run *r, const struct import_flight *flight)
{
    enum err code;
    const char *word = err_from_number(flight->code, &code) ? err_word(code) : "?";
    if (r->opening)
        return cli_fail(r->c, STOA_NO, flight->code, NULL,
                        "account %s cannot be opened: %s",
                        r->bank->parties[flight->row].name, word);
    return cli_fail(r->c, STOA_NO, flight->code, NULL, "row %u was refused: %s",
                    flight->row + 1, word);
}

static void nap(uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                         .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

/* All that was sent is answered and some was refused: when the hub was only busy, what
 * was refused goes out again in order, the same bytes; else the first refusal is the
 * answer. */
static stoa_result mend(struct import_run *r)
{
    const struct import_flight *first = NULL;
    bool busy = false;
    uint64_t progress = 0;
    for (uint64_t n = r->head; n < r->unsent; n++) {
        const struct import_flight *f = &r->flights[n % r->window];
        enum err code;
        if (!f->answered)
            return STOA_OK; /* not yet */
        progress += f->accepted;
        if (f->accepted)
            continue;
        first = first ? first : f;
        busy = busy || (err_from_number(f->code, &code) && code != ERR_GAP &&
                        err_retry(code) == ERR_RETRY_SAME);
    }
    if (!first)
        return cli_fail(r->c, STOA_BUG, ERR_BUG, NULL, "a refusal was lost");
    if (!busy)
        return refused(r, first);
    r->rounds = progress ? 0 : r->rounds + 1;
    if (r->rounds > IMPORT_ROUNDS_MAX)
        return cli_fail(r->c, STOA_LIMITED, first->code,
                        "run the same import again: it goes on",
                        "the hub takes nothing any more");
    uint64_t to = r->unsent;
    for (uint64_t n = r->unsent; n-- > r->head;) { /* move the refused ones to the end */
        uint64_t from = n % r->window;
        if (r->flights[from].accepted)
            continue;
        uint64_t at = --to % r->window;
        if (at != from) {
            r->flights[at] = r->flights[from];
            memcpy(r->envelopes + at * IMPORT_ENTRY_MAX,
                   r->envelopes + from * IMPORT_ENTRY_MAX, r->flights[at].size);
        }
        r->flights[at].answered = false;
        r->flights[at].code = 0;
    }
    r->head = r->unsent = to;
    r->trouble = false;
    uint64_t wait = r->retry_after_ms ? r->retry_after_ms : POLL_MS;
    nap(wait < IMPORT_RETRY_MS_MAX ? wait : IMPORT_RETRY_MS_MAX);
    r->retry_after_ms = 0;
    return STOA_OK;
}

static stoa_result step(struct import_run *r)
{
    bool got;
    stoa_result s = fill(r);
    if (s == STOA_OK && !r->trouble)
        s = flush(r);
    /* Wait only when there is nothing to make; take all that is there. */
    uint32_t wait = r->trouble || r->tail - r->head == r->window ? POLL_MS : 0;
    bool idle = r->opening ? r->next >= r->bank->party_count : r->ready_count == 0;
    do {
        if (s == STOA_OK)
            s = import_hub_poll(r->hub, idle ? POLL_MS : wait, &got);
        if (s != STOA_OK)
            return s;
        if (got &&
            (r->hub->frame.type == WIRE_RECORDS || r->hub->frame.type == WIRE_PAGE))
            s = take_records(r, &r->hub->frame);
        else if (got && r->hub->frame.type == WIRE_RESULTS)
            take_results(r, &r->hub->frame);
        wait = 0;
        idle = false;
    } while (got && s == STOA_OK);
    if (s == STOA_OK && r->trouble)
        s = mend(r);
    if (s == STOA_OK && cli_interrupted())
        s = cli_fail(r->c, STOA_INTERRUPTED, ERR_TIMEOUT,
                     "run the same import again: it goes on",
                     "stopped; %u of %u rows are in the ledger", r->book->rows_checked,
                     r->bank->row_count);
    if (s == STOA_OK && cli_now_ms() - r->hub->heard_ms > IMPORT_SILENCE_MS)
        s = cli_fail(r->c, STOA_INTERRUPTED, ERR_TIMEOUT,
                     "run the same import again: it goes on", "the hub is silent");
    return s;
}

stoa_result import_pipeline(struct import_run *r)
{
    const struct bank *bank = r->bank;
    struct cli_progress progress;
    stoa_result s = STOA_OK;
    r->hub->heard_ms = cli_now_ms();
    r->opening = true;
    cli_progress_begin(&progress, r->c, "open", "accounts");
    while (s == STOA_OK && r->book->opened < bank->party_count) {
        s = step(r);
        cli_progress_tell(&progress, r->book->opened, bank->party_count);
    }
    while (s == STOA_OK && r->head < r->tail)
        s = step(r);
    cli_progress_end(&progress, r->book->opened, bank->party_count);
    if (s != STOA_OK)
        return s;
    r->opening = false;
    begin_rows(r);
    r->rows_began_ms = cli_now_ms();
    cli_progress_begin(&progress, r->c, "import", "rows");
    while (s == STOA_OK && (r->book->rows_checked < bank->row_count ||
                            r->book->credits < bank->paid || r->head < r->tail)) {
        s = step(r);
        cli_progress_tell(&progress, r->book->rows_checked - r->rows_before,
                          bank->row_count - r->rows_before);
    }
    cli_progress_end(&progress, r->book->rows_checked - r->rows_before,
                     bank->row_count - r->rows_before);
    return s;
}
