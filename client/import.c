/* stoa import: another wallet's records, or a bank's transactions. */
#include "client/import.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/context.h"
#include "crypto/note.h"

#define HUB_FILE "hub" /* identity of the hub this work folder belongs to */

struct bank_import {
    struct bank bank;
    struct import_keys keys;
    struct import_hub hub;
    struct book book;
    struct import_run run;
    struct hash *ids;
    char work[CLI_PATH_MAX];
    uint64_t started_ms, rows_done_ms;
    struct verify_log_report verified;
    struct verify_slot verify[SLOTS_MAX];
    char *notes[SLOTS_MAX];
};

static stoa_result work_folder(struct cli *c, struct bank_import *x)
{
    if (cli_has(c, OPT_WORK)) {
        (void)snprintf(x->work, sizeof x->work, "%.900s", c->value[OPT_WORK]);
        return STOA_OK;
    }
    stoa_result r = cli_wallet_dir(c);
    if (r == STOA_OK && mkdir(c->dir, 0700) != 0 && errno != EEXIST)
        r = cli_fail(c, STOA_DATA, ERR_FILE, "--work DIR", "%.200s: %s", c->dir,
                     strerror(errno));
    (void)snprintf(x->work, sizeof x->work, "%.900s/import-bank", c->dir);
    return r;
}

/* The hub's identity: SHA-256 over the ids of all log_opens. Recorded at the first import
 * into this folder and insisted on ever after. */
static stoa_result same_hub(struct cli *c, struct bank_import *x)
{
    char path[CLI_PATH_MAX], known[2 * HASH_BYTES + 2] = "", found[2 * HASH_BYTES + 2];
    uint8_t ids[SLOTS_MAX * HASH_BYTES];
    for (uint32_t i = 0; i < x->hub.slots; i++)
        memcpy(ids + i * HASH_BYTES, x->book.slot[i].hub.id.b, HASH_BYTES);
    struct hash identity = hash_sha256(ids, x->hub.slots * (size_t)HASH_BYTES);
    hex_encode(found, identity.b, sizeof identity.b);
    if (cli_has(c, OPT_FINGERPRINT) && strcmp(c->value[OPT_FINGERPRINT], found) != 0)
        return cli_fail(c, STOA_NO, ERR_FORK, NULL,
                        "the hub's identity is %s, not the one asked for", found);
    (void)snprintf(path, sizeof path, "%.1000s/" HUB_FILE, x->work);
    FILE *in = fopen(path, "re");
    if (!in) {
        cli_say(c, "hub       %s, identity %s", x->hub.name, found);
        return cli_write_file(c, path, found, strlen(found));
    }
    bool read = fgets(known, sizeof known, in) != NULL;
    (void)fclose(in);
    known[strcspn(known, "\r\n")] = 0;
    if (!read || strcmp(known, found) != 0)
        return cli_fail(c, STOA_NO, ERR_FORK, "--work another folder",
                        "this folder belongs to another hub (%.64s)", known);
    return STOA_OK;
}

static stoa_result make_ids(struct cli *c, struct bank_import *x)
{
    uint8_t room[IMPORT_ENTRY_MAX];
    size_t size;
    x->ids = calloc(x->bank.party_count, sizeof *x->ids);
    if (!x->ids)
        return cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    for (uint32_t i = 0; i < x->bank.party_count; i++) {
        enum err r = import_open_entry(&x->keys, &x->bank.parties[i], &x->hub.federation,
                                       x->hub.name, room, &size, &x->ids[i]);
        if (r != ERR_OK)
            return cli_fail(c, STOA_BUG, (int)r, NULL, "%s: %s", x->bank.parties[i].name,
                            err_text(r));
    }
    return STOA_OK;
}

/* ---- full verification of what the hub keeps ---- */

static enum err read_slot(void *context, uint32_t slot, uint64_t from,
                          struct record out[], size_t max, size_t *count, void **hold)
{
    const struct bank_import *x = context;
    const struct book_slot *s = &x->book.slot[slot];
    *hold = NULL;
    *count = 0;
    while (*count < max && from + *count < s->count) {
        const struct book_record *r = &s->records[from + *count];
        out[*count] = (struct record){.slot = slot,
                                      .index = from + *count,
                                      .position = r->position,
                                      .account_head = r->head,
                                      .hub_lamport = r->hub_lamport,
                                      .hub_time_ms = r->hub_time_ms,
                                      .envelope = bytes_of(r->envelope, r->size)};
        ++*count;
    }
    return ERR_OK;
}

/* The newest checkpoint of every slot, and every record it covers. */
static stoa_result ask_checkpoints(struct cli *c, struct bank_import *x)
{
    uint32_t have = 0;
    stoa_result r = STOA_OK;
    for (uint32_t i = 0; r == STOA_OK && i < x->hub.slots; i++)
        r = import_hub_checkpoint(&x->hub, i);
    uint64_t end = cli_now_ms() + IMPORT_SILENCE_MS;
    while (r == STOA_OK && have < x->hub.slots && cli_now_ms() < end) {
        bool got;
        r = import_hub_poll(&x->hub, 20, &got);
        struct wire_frame *f = &x->hub.frame;
        if (r != STOA_OK || !got)
            continue;
        uint64_t slot = f->rid - 2;
        if (f->type == WIRE_RECORDS) {
            for (size_t i = 0; i < f->count; i++) {
                struct record record;
                wire_next_record(&f->list, &record);
                if (record.slot < x->book.slots &&
                    record.index >= x->book.slot[record.slot].count &&
                    book_apply(&x->book, &record) != ERR_OK)
                    return cli_fail(c, STOA_NO, ERR_CORRUPT, NULL, "%s", x->book.why);
            }
        } else if (f->type == WIRE_CHECKPOINT_IS && slot < x->hub.slots &&
                   !x->notes[slot]) {
            x->notes[slot] = malloc(f->note.size + 1);
            if (!x->notes[slot])
                return cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
            memcpy(x->notes[slot], f->note.data, f->note.size);
            x->verify[slot].slot = (uint32_t)slot;
            x->verify[slot].checkpoint = bytes_of(x->notes[slot], f->note.size);
            x->verify[slot].log_open = &x->book.slot[slot].hub.id;
            have++;
        }
    }
    if (r == STOA_OK && have < x->hub.slots)
        r = cli_fail(c, STOA_INTERRUPTED, ERR_TIMEOUT,
                     "run the same import again: it goes on",
                     "the hub gives no checkpoint");
    return r;
}

struct verifying {
    struct cli_progress progress;
    uint64_t total;
};

static bool on_verify(void *context, uint64_t done)
{
    struct verifying *v = context;
    cli_progress_tell(&v->progress, done, v->total);
    return !cli_interrupted();
}

static stoa_result verify_everything(struct cli *c, struct bank_import *x)
{
    struct verifying v = {.total = x->book.records};
    struct verify_source source = {.context = x, .read = read_slot};
    uint64_t threads = 0;
    if (cli_has(c, OPT_THREADS) && !cli_number_parse(c->value[OPT_THREADS], &threads))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--threads wants a number");
    struct verify_options o = {.mode = VERIFY_FULL,
                               .threads = (unsigned)threads,
                               .progress = on_verify,
                               .progress_context = &v};
    stoa_result r = ask_checkpoints(c, x);
    if (r != STOA_OK)
        return r;
    cli_progress_begin(&v.progress, c, "verify", "records");
    enum err e = verify_log(&source, x->verify, x->hub.slots, &o, &x->verified);
    cli_progress_end(&v.progress, x->verified.records, v.total);
    if (e == ERR_TIMEOUT)
        return cli_fail(c, STOA_INTERRUPTED, (int)e,
                        "run the same import again: it goes on",
                        "stopped while verifying");
    for (uint32_t i = 0; i < x->hub.slots; i++)
        if (x->verify[i].err != ERR_OK)
            return cli_fail(c, STOA_NO, (int)x->verify[i].err, NULL,
                            "slot %u index %" PRIu64 " does not verify: %s", i,
                            x->verify[i].index, x->verify[i].why);
    if (e != ERR_OK || !x->verified.all_slots || !x->verified.conserved)
        return cli_fail(c, STOA_NO, (int)(e == ERR_OK ? ERR_CORRUPT : e), NULL,
                        "the log as a whole does not verify: %s",
                        e == ERR_OK ? "points are not conserved" : err_text(e));
    return STOA_OK;
}

static void tell_refusals(struct cli *c, const struct import_run *run)
{
    json_t *by_code = c->json ? json_object() : NULL;
    for (uint64_t i = 0; i < sizeof run->refusals / sizeof run->refusals[0]; i++) {
        enum err code;
        if (!run->refusals[i])
            continue;
        const char *word = err_from_number(i, &code) ? err_word(code) : "?";
        if (by_code)
            (void)json_object_set_new(by_code, word, json_integer(run->refusals[i]));
        else
            (void)printf("refused   %u %s, sent again\n", run->refusals[i], word);
    }
    if (by_code)
        (void)json_object_set_new(c->out, "refusals", by_code);
    else if (!run->refused)
        (void)printf("refused   none\n");
}

static void tell(struct cli *c, const struct bank_import *x, int64_t held)
{
    const struct bank *b = &x->bank;
    uint32_t rows = b->row_count - x->run.rows_before;
    double seconds = (double)(x->rows_done_ms - x->run.rows_began_ms) / 1000.0;
    double rate = seconds > 0 ? rows / seconds : 0;
    double verify_seconds = (double)x->verified.elapsed_us / 1e6;
    char text[40];
    cli_put_number(c, NULL, "rows", b->row_count);
    cli_put_number(c, NULL, "rows_before", x->run.rows_before);
    cli_put_number(c, NULL, "accounts", b->party_count);
    cli_put_number(c, NULL, "entries", x->run.entries);
    cli_put_number(c, NULL, "records", x->book.records);
    cli_put_number(c, NULL, "balances_checked", x->book.rows_checked);
    cli_put_amount(c, NULL, "accrued", b->accrued);
    cli_put_amount(c, NULL, "held", held);
    cli_put_number(c, NULL, "signatures_verified", x->verified.signatures);
    if (c->json) {
        (void)json_object_set_new(c->out, "seconds", json_real(seconds));
        (void)json_object_set_new(c->out, "rows_a_second", json_real(rate));
        (void)json_object_set_new(c->out, "verify_seconds", json_real(verify_seconds));
        tell_refusals(c, &x->run);
        return;
    }
    cli_amount_text(text, held);
    (void)printf("rows      %u in %.2f s, %.0f rows/s", rows, seconds, rate);
    if (x->run.rows_before)
        (void)printf("  (%u were there from an earlier run)", x->run.rows_before);
    (void)printf("\nentries   %" PRIu64 " written, %" PRIu64 " records in the log\n",
                 x->run.entries, x->book.records);
    tell_refusals(c, &x->run);
    (void)printf("balances  %u of %u rows come out as the bank's, to the hundredth\n"
                 "payees    %u payments arrived, every payee holds what was paid\n"
                 "supply    %s accrued, %s held: conserved\n",
                 x->book.rows_checked, b->row_count, x->book.credits, text, text);
    (void)printf("verify    %u slots, %" PRIu64 " records, %" PRIu64
                 " signatures in %.2f s: good\n",
                 x->hub.slots, x->verified.records, x->verified.signatures,
                 verify_seconds);
}

static stoa_result run_bank(struct cli *c, struct bank_import *x)
{
    int64_t held = 0;
    x->started_ms = cli_now_ms();
    stoa_result r = bank_read(c, &x->bank, c->args[0]);
    if (r == STOA_OK)
        r = work_folder(c, x);
    if (r == STOA_OK)
        r = import_keys_load(c, &x->keys, x->work);
    if (r == STOA_OK) {
        cli_say(c, "file      %u rows: %u earned, %u paid, %u accounts and payees",
                x->bank.row_count, x->bank.earned, x->bank.paid, x->bank.party_count);
        r = import_hub_open(c, &x->hub, c->value[OPT_HUB]);
    }
    if (r == STOA_OK)
        r = make_ids(c, x);
    if (r == STOA_OK && book_open(&x->book, &x->bank, x->ids, x->hub.slots) != ERR_OK)
        r = cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    x->run = (struct import_run){
        .c = c, .bank = &x->bank, .keys = &x->keys, .hub = &x->hub, .book = &x->book};
    if (r == STOA_OK)
        r = import_run_open(&x->run);
    if (r == STOA_OK)
        r = import_catch_up(&x->run);
    if (r == STOA_OK)
        r = same_hub(c, x);
    if (r == STOA_OK)
        r = import_pipeline(&x->run);
    x->rows_done_ms = cli_now_ms();
    if (r == STOA_OK && !book_balances(&x->book, &held))
        r = cli_fail(c, STOA_NO, ERR_CORRUPT, NULL, "%s", x->book.why);
    if (r == STOA_OK)
        r = verify_everything(c, x);
    if (r == STOA_OK)
        tell(c, x, held);
    return r;
}

stoa_result cli_import_bank(struct cli *c)
{
    if (!cli_has(c, OPT_HUB) || !cli_has(c, OPT_ISSUER_KEY))
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "stoa help import",
                        "import --csv wants --hub URL and --issuer-key FILE");
    struct bank_import *x = calloc(1, sizeof *x);
    if (!x)
        return cli_fail(c, STOA_BUG, ERR_MEMORY, NULL, "out of memory");
    cli_catch_signals();
    stoa_result r = run_bank(c, x);
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        free(x->notes[i]);
    import_run_close(&x->run);
    book_close(&x->book);
    import_hub_close(&x->hub);
    import_keys_close(&x->keys);
    bank_close(&x->bank);
    free(x->ids);
    free(x);
    return r;
}

stoa_result cli_run_import(struct cli *c)
{
    return cli_has(c, OPT_CSV) ? cli_import_bank(c) : cli_import_records(c);
}
