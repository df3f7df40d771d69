/* An issuer's run against a hub that is a few arrays: nothing is issued twice, whatever
 * is lost, refused or cut on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/context.h"
#include "crypto/sig.h"
#include "ledger/entry.h"
#include "relay/stoactl_issue.h"
#include "relay/stoactl_journal.h"

#define ACCOUNTS 5
#define ENTRIES_MAX 200

/* The hub: per account a chain of ids, a balance, an epoch. */
static struct hub {
    struct chain {
        struct hash tip;
        uint64_t next_seq, lamport;
        int64_t balance;
        uint64_t epoch;
        struct hash known[ENTRIES_MAX];
        size_t known_count;
    } accounts[ACCOUNTS];
    size_t accepted;
    unsigned busy;      /* answer this many submits "busy" */
    unsigned drop;      /* take this many submits and lose the answer */
    unsigned interlope; /* before this many submits, write a credit on the chain */
} hub;

static struct key *issuer;
static struct rows rows;
static struct issue *issue;
static struct journal *journal;
static char journal_path[64];
static uint64_t now;

static void advance(struct chain *c, const struct hash *id, uint64_t lamport)
{
    c->tip = *id;
    c->next_seq++;
    c->lamport = lamport;
    c->known[c->known_count++] = *id;
}

/* The relay writes a credit of one micro-point. */
static void credit(struct chain *c)
{
    struct hash id = hash_sha256(&c->next_seq, sizeof c->next_seq);
    advance(c, &id, c->lamport + 7);
    c->balance++;
}

static struct chain *chain_of(const struct hash *account)
{
    return account->b[0] < ACCOUNTS ? &hub.accounts[account->b[0]] : NULL;
}

static void refuse(struct wire_result *r, enum err code, const struct chain *c)
{
    r->code = code;
    r->has_head = c != NULL;
    if (c) {
        r->next_seq = c->next_seq;
        r->tip = c->tip;
        r->tip_lamport = c->lamport;
    }
}

static void judge(struct wire_result *r, const struct entry *e)
{
    struct chain *c = chain_of(&e->account);
    struct payload p;
    if (!c) {
        refuse(r, ERR_ACCOUNT_UNKNOWN, NULL);
        return;
    }
    for (size_t i = 0; i < c->known_count; i++)
        if (hash_equal(&c->known[i], &e->id)) {
            r->flags = WIRE_RESULT_DUPLICATE;
            return;
        }
    assert_true(entry_verify(e));
    assert_int_equal(payload_decode(&p, e->kind, e->payload), ERR_OK);
    int64_t delta = e->kind == KIND_ACCRUE ? p.accrue.amount : p.adjust.delta;
    if (e->seq != c->next_seq)
        refuse(r, e->seq < c->next_seq ? ERR_SEQ_TAKEN : ERR_GAP, c);
    else if (!hash_equal(&e->prev, &c->tip))
        refuse(r, ERR_PREV, c);
    else if (e->lamport != c->lamport + 1)
        refuse(r, ERR_LAMPORT, c);
    else if (e->kind == KIND_ACCRUE && p.accrue.epoch <= c->epoch)
        refuse(r, ERR_EPOCH_OLD, c);
    else if (c->balance + delta < 0)
        refuse(r, ERR_BALANCE, c);
    if (r->code != 0)
        return;
    if (e->kind == KIND_ACCRUE)
        c->epoch = p.accrue.epoch;
    c->balance += delta;
    r->index = hub.accepted++;
    advance(c, &e->id, e->lamport);
}

/* One frame from the client; the answer into out, its size, 0: none. */
static size_t answer(const uint8_t *data, size_t size, uint8_t *out)
{
    struct wire_frame f;
    struct mp_writer w = mp_writer_of(out, ISSUE_FRAME_BYTES_MAX);
    assert_int_equal(wire_decode(&f, data, size), ERR_OK);
    if (f.type == WIRE_HEAD) {
        const struct chain *c = chain_of(&f.id);
        if (!c)
            wire_put(&w, &(struct wire_frame){.type = WIRE_ERROR,
                                              .rid = f.rid,
                                              .code = ERR_ACCOUNT_UNKNOWN});
        else
            wire_put(&w, &(struct wire_frame){.type = WIRE_HEAD_IS,
                                              .rid = f.rid,
                                              .has_chain = true,
                                              .next_seq = c->next_seq,
                                              .tip = c->tip,
                                              .tip_lamport = c->lamport});
        return w.size;
    }
    assert_int_equal(f.type, WIRE_SUBMIT);
    struct bytes envelope;
    struct entry e;
    struct wire_result r = {.rid = f.rid};
    wire_next_envelope(&f.list, &envelope);
    assert_int_equal(entry_decode(&e, envelope.data, envelope.size), ERR_OK);
    if (hub.interlope > 0 && chain_of(&e.account)) {
        hub.interlope--;
        credit(chain_of(&e.account));
    }
    if (hub.busy > 0) {
        hub.busy--;
        refuse(&r, ERR_BUSY, NULL);
    } else {
        judge(&r, &e);
    }
    if (hub.drop > 0 && r.code == 0) {
        hub.drop--;
        return 0;
    }
    wire_put(&w, &(struct wire_frame){.type = WIRE_RESULTS});
    wire_put_list(&w, 1);
    wire_put_result(&w, &r);
    return w.size;
}

static size_t finished;

static bool on_save(void *context, const struct row *row, struct bytes envelope)
{
    (void)context;
    return !journal || journal_sent(journal, row, envelope);
}

static void on_finished(void *context, const struct row *row)
{
    (void)context;
    finished++;
    if (journal)
        assert_true(journal_done(journal, row));
}

static const struct issue_hooks hooks = {NULL, on_save, on_finished};

/* Let client and hub talk until nothing moves any more; at most `frames` from the client.
 */
static void talk(size_t frames)
{
    uint8_t out[ISSUE_FRAME_BYTES_MAX], in[ISSUE_FRAME_BYTES_MAX];
    while (frames-- > 0) {
        size_t size = issue_next(issue, now, 1000, out);
        if (size == 0) {
            uint64_t wake = issue_wake_ms(issue);
            if (wake == UINT64_MAX)
                return;
            now = wake;
            continue;
        }
        if (journal)
            assert_true(journal_sync(journal));
        size = answer(out, size, in);
        struct wire_frame f;
        if (size > 0) {
            assert_int_equal(wire_decode(&f, in, size), ERR_OK);
            issue_receive(issue, &f, now);
        }
    }
}

static void account_id(char out[65], unsigned n)
{
    memset(out, '0', 64);
    out[1] = (char)('0' + n);
    out[64] = '\0';
}

static void load(enum kind kind, unsigned accounts, unsigned each)
{
    static char text[65536];
    char id[65];
    strcpy(text, kind == KIND_ACCRUE ? "account,node,epoch,amount\n"
                                     : "account,amount,reason\n");
    for (unsigned i = 0; i < each; i++)
        for (unsigned a = 0; a < accounts; a++) {
            account_id(id, a);
            size_t at = strlen(text);
            if (kind == KIND_ACCRUE)
                snprintf(text + at, sizeof text - at, "%s,n,%u,1\n", id, i + 1);
            else
                snprintf(text + at, sizeof text - at, "%s,1,r%u\n", id, i);
        }
    assert_true(rows_parse(&rows, kind, strdup(text), strlen(text)));
}

static int start(void **state)
{
    (void)state;
    memset(&hub, 0, sizeof hub);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        hub.accounts[i].tip = hash_sha256(&i, sizeof i);
        hub.accounts[i].lamport = 1;
    }
    finished = 0;
    now = 0;
    issuer = key_generate();
    snprintf(journal_path, sizeof journal_path, "/tmp/stoa-journal-XXXXXX");
    int fd = mkstemp(journal_path);
    close(fd);
    unlink(journal_path);
    return !issuer;
}

static void close_run(void)
{
    issue_close(issue);
    issue = NULL;
    journal_close(journal);
    journal = NULL;
    rows_close(&rows);
}

static int stop(void **state)
{
    (void)state;
    close_run();
    key_free(issuer);
    unlink(journal_path);
    return 0;
}

static void open_issue(void)
{
    issue = issue_open(&rows, issuer, &hooks);
    assert_non_null(issue);
    issue_connected(issue, 3);
}

static size_t count(enum row_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < rows.count; i++)
        n += rows.row[i].state == state;
    return n;
}

static void all_rows_are_accepted_in_order(void **state)
{
    (void)state;
    load(KIND_ACCRUE, ACCOUNTS, 4);
    open_issue();
    talk(1000);
    assert_true(issue_done(issue));
    assert_int_equal(count(ROW_ACCEPTED), 20);
    assert_int_equal(finished, 20);
    for (unsigned i = 0; i < ACCOUNTS; i++)
        assert_int_equal(hub.accounts[i].balance, 4000000);
}

static void no_rows_are_done_at_once(void **state)
{
    (void)state;
    load(KIND_ACCRUE, 0, 0);
    open_issue();
    assert_true(issue_done(issue));
    talk(10);
}

static void a_run_again_issues_nothing_twice(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        close_run();
        load(KIND_ACCRUE, ACCOUNTS, 4);
        open_issue();
        talk(1000);
        assert_true(issue_done(issue));
        assert_int_equal(count(i == 0 ? ROW_ACCEPTED : ROW_ALREADY), 20);
    }
    assert_int_equal(hub.accepted, 20);
}

static void a_taken_place_is_built_again(void **state)
{
    (void)state;
    hub.interlope = 10;
    load(KIND_ACCRUE, 2, 6);
    open_issue();
    talk(1000);
    assert_int_equal(count(ROW_ACCEPTED), 12);
    assert_int_equal(hub.accounts[0].balance + hub.accounts[1].balance, 12000000 + 10);
}

static void a_place_taken_for_ever_ends_in_a_refusal(void **state)
{
    (void)state;
    hub.interlope = 100;
    load(KIND_ADJUST, 1, 1);
    open_issue();
    talk(1000);
    assert_true(issue_done(issue));
    assert_int_equal(rows.row[0].state, ROW_REFUSED);
    assert_int_equal(rows.row[0].code, ERR_SEQ_TAKEN);
    assert_int_equal(hub.interlope, 100 - ISSUE_REBUILDS_MAX - 1);
}

static void a_busy_hub_is_asked_again_later(void **state)
{
    (void)state;
    hub.busy = 7;
    load(KIND_ADJUST, 3, 2);
    open_issue();
    talk(1000);
    assert_int_equal(count(ROW_ACCEPTED), 6);
    assert_true(now > 0);
    hub.busy = 1000000;
    close_run();
    load(KIND_ADJUST, 1, 1);
    open_issue();
    talk(1000);
    assert_int_equal(rows.row[0].state, ROW_REFUSED);
    assert_int_equal(rows.row[0].code, ERR_BUSY);
}

static void refusals_are_of_their_row_only(void **state)
{
    (void)state;
    char text[400], a[65], x[65];
    account_id(a, 1);
    account_id(x, 9); /* unknown */
    snprintf(text, sizeof text,
             "account,amount,reason\n%s,-1,too much\n%s,1,unknown\n%s,2,fine\n", a, x, a);
    assert_true(rows_parse(&rows, KIND_ADJUST, strdup(text), strlen(text)));
    open_issue();
    talk(1000);
    assert_int_equal(rows.row[0].code, ERR_BALANCE);
    assert_int_equal(rows.row[1].code, ERR_ACCOUNT_UNKNOWN);
    assert_int_equal(rows.row[2].state, ROW_ACCEPTED);
    assert_int_equal(hub.accounts[1].balance, 2000000);
}

static void lost_answers_are_asked_for_with_the_same_bytes(void **state)
{
    (void)state;
    hub.drop = 4;
    load(KIND_ADJUST, 4, 3);
    open_issue();
    for (int i = 0; i < 10 && !issue_done(issue); i++) {
        talk(1000);
        issue_connected(issue, 2); /* the link broke, and stands again */
    }
    assert_int_equal(count(ROW_ACCEPTED), 12);
    assert_int_equal(hub.accepted, 12);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(hub.accounts[i].balance, 3000000);
}

static void open_journal(void)
{
    char why[JOURNAL_WHY_MAX];
    enum err e = journal_open(&journal, journal_path, &rows, true, why);
    if (e != ERR_OK)
        fail_msg("%s", why);
}

/* Cut after every number of frames, with answers lost, places taken and the program
 * started anew from its journal: each row counts exactly once. */
static void a_journal_makes_every_cut_harmless(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 40; cut++) {
        start(state);
        for (int round = 0; round < 100; round++) {
            load(KIND_ADJUST, 3, 4);
            open_journal();
            open_issue();
            hub.drop = round < 3 ? 1 : 0;
            hub.interlope = round < 3 ? 1 : 0;
            talk(round < 3 ? cut : 10000);
            bool done = issue_done(issue);
            if (!done)
                issue_abandon(issue);
            close_run();
            if (done)
                break;
        }
        assert_int_equal(hub.accepted, 12);
        stop(state);
    }
    start(state);
}

static void a_torn_journal_line_is_taken_away(void **state)
{
    (void)state;
    load(KIND_ADJUST, 2, 2);
    open_journal();
    open_issue();
    talk(1000);
    close_run();
    FILE *f = fopen(journal_path, "a");
    assert_non_null(f);
    fputs("sent 0102", f);
    fclose(f);
    load(KIND_ADJUST, 2, 2);
    open_journal();
    assert_int_equal(count(ROW_ALREADY), 4);
    close_run();
    f = fopen(journal_path, "r");
    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    assert_int_equal(fgetc(f), '\n');
    fclose(f);
}

static size_t load_journal(char *text, size_t room)
{
    FILE *f = fopen(journal_path, "r");
    assert_non_null(f);
    size_t size = fread(text, 1, room, f);
    fclose(f);
    return size;
}

static void dump_journal(const char *text, size_t size)
{
    FILE *f = fopen(journal_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    fclose(f);
}

/* What was durable is never forgotten: a second correction would follow. */
static void a_damaged_journal_is_refused_and_left_as_it_is(void **state)
{
    (void)state;
    static char text[20000], after[20000];
    char why[JOURNAL_WHY_MAX];
    load(KIND_ADJUST, 2, 2);
    open_journal();
    open_issue();
    talk(1000);
    close_run();
    size_t size = load_journal(text, sizeof text);
    assert_true(size > 1000 && size < sizeof text);
    for (size_t at = 0; at < size - 1; at += 7) {
        text[at] ^= 1;
        dump_journal(text, size);
        load(KIND_ADJUST, 2, 2);
        assert_int_equal(journal_open(&journal, journal_path, &rows, true, why), ERR_FILE);
        assert_true(why[0] != 0);
        assert_int_equal(load_journal(after, sizeof after), size);
        assert_memory_equal(after, text, size);
        text[at] ^= 1;
        close_run();
    }
    /* Zeros at the end are what a power cut leaves of lines that were not synced. */
    memset(text + size, 0, 300);
    text[size + 250] = '\n';
    dump_journal(text, size + 300);
    load(KIND_ADJUST, 2, 2);
    open_journal();
    assert_int_equal(count(ROW_ALREADY), 4);
    close_run();
    assert_int_equal(load_journal(after, sizeof after), size);
}

static void a_journal_is_used_by_one_run_at_a_time(void **state)
{
    (void)state;
    load(KIND_ADJUST, 1, 1);
    open_journal();
    struct journal *second;
    char why[JOURNAL_WHY_MAX];
    assert_int_equal(journal_open(&second, journal_path, &rows, true, why), ERR_LOCKED);
    assert_null(second);
}

static void another_file_is_not_taken_for_a_journal(void **state)
{
    (void)state;
    FILE *f = fopen(journal_path, "w");
    assert_non_null(f);
    fputs("account,amount,reason\n", f);
    fclose(f);
    load(KIND_ADJUST, 1, 1);
    char why[JOURNAL_WHY_MAX];
    assert_int_equal(journal_open(&journal, journal_path, &rows, true, why), ERR_FILE);
    f = fopen(journal_path, "r");
    assert_int_equal(fgetc(f), 'a'); /* unharmed */
    fclose(f);
    f = fopen(journal_path, "w");
    assert_non_null(f);
    fputs("one line, not ended", f);
    fclose(f);
    assert_int_equal(journal_open(&journal, journal_path, &rows, true, why), ERR_FILE);
    f = fopen(journal_path, "r");
    assert_int_equal(fgetc(f), 'o');
    fclose(f);
}

static void what_was_sent_and_not_answered_is_unknown(void **state)
{
    (void)state;
    hub.drop = 2;
    load(KIND_ADJUST, 2, 2);
    open_issue();
    talk(1000);
    assert_false(issue_done(issue));
    assert_int_equal(issue_abandon(issue), 2);
    assert_int_equal(count(ROW_UNKNOWN), 2);
    assert_int_equal(count(ROW_OPEN), 2);
}

static void late_and_foreign_answers_are_passed_over(void **state)
{
    (void)state;
    uint8_t out[ISSUE_FRAME_BYTES_MAX], old[ISSUE_FRAME_BYTES_MAX];
    load(KIND_ADJUST, 1, 1);
    open_issue();
    size_t size = issue_next(issue, 0, 0, out); /* HEAD */
    size_t old_size = answer(out, size, old);
    struct wire_frame f;
    issue_connected(issue, 2);
    assert_true(issue_next(issue, 0, 0, out) > 0); /* HEAD again, with another rid */
    assert_int_equal(wire_decode(&f, old, old_size), ERR_OK);
    issue_receive(issue, &f, 0);
    assert_int_equal(issue_next(issue, 0, 0, out), 0); /* still asked */
    f.rid = UINT64_C(77) << 24;
    issue_receive(issue, &f, 0);
    issue_receive(issue, &(struct wire_frame){.type = WIRE_OK, .rid = 1}, 0);
    issue_receive(issue, &(struct wire_frame){.type = WIRE_ERROR, .rid = INT64_MAX}, 0);
    assert_false(issue_done(issue));
}

int main(void)
{
    if (!crypto_start())
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(all_rows_are_accepted_in_order),
        TEST(no_rows_are_done_at_once),
        TEST(a_run_again_issues_nothing_twice),
        TEST(a_taken_place_is_built_again),
        TEST(a_place_taken_for_ever_ends_in_a_refusal),
        TEST(a_busy_hub_is_asked_again_later),
        TEST(refusals_are_of_their_row_only),
        TEST(lost_answers_are_asked_for_with_the_same_bytes),
        TEST(a_journal_makes_every_cut_harmless),
        TEST(a_torn_journal_line_is_taken_away),
        TEST(a_damaged_journal_is_refused_and_left_as_it_is),
        TEST(a_journal_is_used_by_one_run_at_a_time),
        TEST(another_file_is_not_taken_for_a_journal),
        TEST(what_was_sent_and_not_answered_is_unknown),
        TEST(late_and_foreign_answers_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
