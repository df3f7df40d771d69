/* Wallets: their files, their hub, accounts, members, memos. */
#include "desk.h"
#include "ledger/evidence.h"
#include "unit/account/kit.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_new_hub_is_not_believed_without_being_told_to(void **state)
{
    struct desk *d = *state;
    stoa_options o = {
        .size = sizeof(o), .flags = STOA_PLAINTEXT_KEYS, .timeout_ms = 2000};
    snprintf(d->path[0], sizeof(d->path[0]), "%s/w", d->dir);
    GOOD(d, stoa_wallet_create(d->path[0], &o, &d->error));
    GOOD(d, stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error));
    wallet_set_dial(d->w[0], fakehub_dial, &d->hub);
    assert_int_equal(stoa_connect(d->w[0], "ws://fake/", 0, &d->error), STOA_DENIED);
    assert_false(stoa_connected(d->w[0]));
    assert_non_null(strstr(d->error.message, "fingerprint"));
    stoa_wallet_close(d->w[0]);
    char wrong[65];
    memset(wrong, 'a', 64);
    wrong[64] = '\0';
    o.fingerprint = wrong;
    GOOD(d, stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error));
    wallet_set_dial(d->w[0], fakehub_dial, &d->hub);
    assert_int_equal(stoa_connect(d->w[0], "ws://fake/", 0, &d->error), STOA_NO);
}

static void the_hub_is_remembered_by_its_fingerprint(void **state)
{
    struct desk *d = *state;
    stoa_wallet_info a = {.size = sizeof(a)}, b = {.size = sizeof(b)};
    desk_wallet(d, 0);
    stoa_wallet_get(d->w[0], &a);
    assert_string_equal(a.hub, HUB_NAME);
    assert_int_equal(strlen(a.fingerprint), 64);
    desk_again(d, 0, false);
    stoa_wallet_get(d->w[0], &b);
    assert_string_equal(a.fingerprint, b.fingerprint);
    assert_string_equal(b.url, "ws://fake/");
    /* Another hub of the same name is found out. */
    struct fakehub other;
    fakehub_open(&other, 8);
    wallet_set_dial(d->w[0], fakehub_dial, &other);
    assert_int_equal(stoa_connect(d->w[0], NULL, 0, &d->error), STOA_DENIED);
    fakehub_close(&other);
}

static void the_balance_is_known_offline_with_its_age(void **state)
{
    struct desk *d = *state;
    stoa_balance b = {.size = sizeof(b)};
    desk_funded(d, 0, 42 * POINT);
    desk_again(d, 0, false);
    GOOD(d, stoa_balance_get(d->w[0], &d->account[0], &b, &d->error));
    assert_int_equal(b.settled, 42 * POINT);
    assert_true(b.index > 0);
    assert_true(b.tree_size > b.index);
    assert_true(b.checked_ms > 0);
}

static void a_second_process_is_kept_out(void **state)
{
    struct desk *d = *state;
    stoa_options o = {.size = sizeof(o)};
    stoa_wallet *second;
    desk_wallet(d, 0);
    assert_int_equal(stoa_wallet_open(&second, d->path[0], &o, &d->error), STOA_CONFIG);
    assert_string_equal(d->error.word, "locked");
    assert_null(second);
    assert_int_equal(stoa_wallet_create(d->path[0], &o, &d->error), STOA_CONFIG);
    assert_string_equal(d->error.word, "exists");
}

static bool answer(void *context, const char *role, bool again, char *out, size_t cap)
{
    const char *const *words = context;
    (void)role;
    snprintf(out, cap, "%s", words[again ? 1 : 0]);
    return out[0] != '\0';
}

static void keys_are_encrypted_and_can_be_rewrapped(void **state)
{
    struct desk *d = *state;
    const char *right[] = {"correct horse", ""}, *wrong[] = {"wrong", "wrong"},
               *second[] = {"wrong", "battery staple"};
    stoa_options o = {.size = sizeof(o),
                      .flags = STOA_QUICK_KDF | STOA_TRUST_FIRST_USE,
                      .passphrase = answer,
                      .passphrase_context = right};
    uint8_t seed[STOA_KEY_SEED_BYTES];
    snprintf(d->path[0], sizeof(d->path[0]), "%s/w", d->dir);
    GOOD(d, stoa_wallet_create(d->path[0], &o, &d->error));
    o.passphrase_context = wrong;
    GOOD(d, stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error));
    assert_int_equal(stoa_key_export(d->w[0], "root", seed, &d->error), STOA_DENIED);
    stoa_wallet_close(d->w[0]);
    o.passphrase_context = right;
    GOOD(d, stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error));
    GOOD(d, stoa_key_check(d->w[0], "device", &d->error));
    GOOD(d, stoa_key_rewrap(d->w[0], "battery staple", &d->error));
    assert_int_equal(stoa_key_check(d->w[0], "device", &d->error), STOA_DENIED);
    stoa_wallet_close(d->w[0]);
    o.passphrase_context = second;
    GOOD(d, stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error));
    GOOD(d, stoa_key_export(d->w[0], "device", seed, &d->error));
}

/* ---- damage --------------------------------------------------------------------------
 */

static void database(const struct desk *d, unsigned n, char out[128])
{
    snprintf(out, 128, "%s/stoa.db", d->path[n]);
}

static void run_sql(const struct desk *d, unsigned n, const char *text)
{
    char path[128];
    sqlite3 *db;
    database(d, n, path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* One byte of the payload of the record `back` before the newest. */
static void flip_record(const struct desk *d, unsigned n, int back)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *q;
    uint8_t bytes[4096];
    database(d, n, path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT place,envelope FROM record WHERE place>>40="
                           "(SELECT place>>40 FROM record GROUP BY 1 ORDER BY "
                           "count(*) DESC LIMIT 1) ORDER BY place "
                           "DESC LIMIT 1 OFFSET ?1",
                           -1, &q, NULL),
        SQLITE_OK);
    sqlite3_bind_int(q, 1, back);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    sqlite3_int64 place = sqlite3_column_int64(q, 0);
    size_t size = (size_t)sqlite3_column_bytes(q, 1);
    memcpy(bytes, sqlite3_column_blob(q, 1), size);
    bytes[size - 67] ^= 1;
    sqlite3_finalize(q);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "UPDATE record SET envelope=?2 WHERE place=?1",
                                        -1, &q, NULL),
                     SQLITE_OK);
    sqlite3_bind_int64(q, 1, place);
    sqlite3_bind_blob(q, 2, bytes, (int)size, SQLITE_TRANSIENT);
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void a_damaged_local_checkpoint_costs_a_replay_only(void **state)
{
    static const char *const damage[] = {
        "UPDATE state SET value=x'00'",
        ("UPDATE state SET value=CAST(substr(value,1,200)||x'ff'||"
         "substr(value,202) AS BLOB)"),
        "DELETE FROM state",
        "UPDATE state SET value=zeroblob(70000)",
    };
    struct desk *d = *state;
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 42 * POINT);
    GOOD(d, desk_pay(d, 0, 1, 2 * POINT, NULL, NULL));
    desk_sync(d, 0);
    for (unsigned i = 0; i < 4; i++) {
        stoa_wallet_close(d->w[0]);
        d->w[0] = NULL;
        run_sql(d, 0, damage[i]);
        desk_again(d, 0, false);
        assert_int_equal(desk_settled(d, 0), 40 * POINT);
    }
    desk_connect(d, 0);
    desk_sync(d, 0);
}

static void a_changed_record_on_disk_is_found(void **state)
{
    struct desk *d = *state;
    stoa_verify_report r = {.size = sizeof(r)};
    desk_funded(d, 0, 42 * POINT);
    for (int i = 0; i < 5; i++)
        GOOD(d, stoa_note(d->w[0], &d->account[0], "note", 4, NULL, NULL, &d->error));
    desk_sync(d, 0);
    GOOD(d, stoa_verify(d->w[0], &d->account[0], STOA_VERIFY_FULL, 2, NULL, NULL, &r,
                        &d->error));
    assert_true(r.inclusion);
    assert_true(r.signatures > 6);
    assert_int_equal(r.position, 7);
    GOOD(d, stoa_verify(d->w[0], &d->account[0], STOA_VERIFY_TIP, 1, NULL, NULL, &r,
                        &d->error));
    assert_true(r.signatures >= 3 && r.signatures <= 4);
    stoa_wallet_close(d->w[0]);
    d->w[0] = NULL;
    flip_record(d, 0, 2);
    desk_again(d, 0, true);
    assert_int_equal(stoa_verify(d->w[0], &d->account[0], STOA_VERIFY_TIP, 1, NULL, NULL,
                                 &r, &d->error),
                     STOA_NO);
    assert_int_equal(stoa_verify(d->w[0], &d->account[0], STOA_VERIFY_FULL, 2, NULL, NULL,
                                 &r, &d->error),
                     STOA_NO);
}

static void a_damaged_database_is_named_and_keys_stay(void **state)
{
    struct desk *d = *state;
    stoa_options o = {.size = sizeof(o),
                      .flags = STOA_PLAINTEXT_KEYS | STOA_TRUST_FIRST_USE};
    char path[128];
    int unresolved;
    desk_funded(d, 0, 42 * POINT);
    stoa_wallet_close(d->w[0]);
    d->w[0] = NULL;
    database(d, 0, path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    char rubbish[4096];
    memset(rubbish, 0xa5, sizeof(rubbish));
    assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), 0), sizeof(rubbish));
    close(fd);
    assert_int_equal(stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error), STOA_CONFIG);
    assert_non_null(strstr(d->error.message, path));
    assert_non_null(strstr(d->error.hint, "rebuild"));
    assert_int_equal(stoa_wallet_rebuild(d->path[0], false, &unresolved, &d->error),
                     STOA_NO);
    assert_int_equal(unresolved, -1);
    GOOD(d, stoa_wallet_rebuild(d->path[0], true, &unresolved, &d->error));
    desk_again(d, 0, true);
    assert_int_equal(stoa_account_count(d->w[0]), 1);
    desk_sync(d, 0);
    assert_int_equal(desk_settled(d, 0), 42 * POINT);
    GOOD(d, stoa_note(d->w[0], &d->account[0], "alive", 5, NULL, NULL, &d->error));
}

/* How the hub's identity came to be believed is remembered with its time, also by a wallet
 * whose database was rebuilt; comparing it later with a fingerprint given is remembered too. */
static void the_first_meeting_is_on_record(void **state)
{
    struct desk *d = *state;
    stoa_wallet_info met = {.size = sizeof(met)}, now = {.size = sizeof(now)};
    int unresolved;
    desk_wallet(d, 0);
    stoa_wallet_get(d->w[0], &met);
    assert_true(met.first_use);
    assert_true(met.met_ms > 0);
    desk_again(d, 0, false);
    stoa_wallet_get(d->w[0], &now);
    assert_true(now.first_use);
    assert_true(now.met_ms == met.met_ms);
    stoa_wallet_close(d->w[0]);
    d->w[0] = NULL;
    GOOD(d, stoa_wallet_rebuild(d->path[0], true, &unresolved, &d->error));
    desk_again(d, 0, true);
    stoa_wallet_get(d->w[0], &now);
    assert_true(now.first_use);
    assert_true(now.met_ms == met.met_ms);

    stoa_options o = {.size = sizeof(o), .flags = STOA_PLAINTEXT_KEYS | STOA_QUICK_KDF};
    char wrong[65];
    memset(wrong, 'a', 64);
    wrong[64] = '\0';
    stoa_wallet_close(d->w[0]);
    d->w[0] = NULL;
    o.fingerprint = wrong;
    assert_int_equal(stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error), STOA_DENIED);
    assert_null(d->w[0]);
    o.fingerprint = met.fingerprint;
    GOOD(d, stoa_wallet_open(&d->w[0], d->path[0], &o, &d->error));
    desk_connect(d, 0);
    desk_again(d, 0, false);
    stoa_wallet_get(d->w[0], &now);
    assert_false(now.first_use);
    assert_true(now.met_ms >= met.met_ms);
}

static void a_record_costs_at_most_a_kilobyte(void **state)
{
    enum { COUNT = 2000, DATA = 260 }; /* an envelope of about 500 bytes */
    struct desk *d = *state;
    stoa_how how = STOA_HOW_INIT;
    char path[128];
    struct stat before, after;
    uint8_t data[DATA];
    desk_funded(d, 0, 0);
    desk_wallet(d, 1); /* a reader's wallet: records only */
    database(d, 1, path);
    stoa_account a = {.size = sizeof(a)};
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    GOOD(d, stoa_account_follow(d->w[1], a.address, "", NULL, &d->error));
    desk_again(d, 1, false);
    assert_int_equal(stat(path, &before), 0);
    desk_connect(d, 0);
    how.wait = STOA_SAVED;
    GOOD(d, stoa_batch_begin(d->w[0], &d->error));
    for (int i = 0; i < COUNT; i++) {
        random_bytes(data, sizeof(data));
        GOOD(d, stoa_note(d->w[0], &d->account[0], data, DATA, &how, NULL, &d->error));
    }
    GOOD(d, stoa_batch_end(d->w[0], true, &d->error));
    GOOD(d,
         stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 60000, NULL, NULL, &d->error));
    desk_connect(d, 1);
    GOOD(d, stoa_sync(d->w[1], &d->account[0], 60000, &d->error));
    desk_again(d, 1, false);
    assert_int_equal(stat(path, &after), 0);
    double each = (double)(after.st_size - before.st_size) / COUNT;
    print_message("%.0f bytes a record on disk\n", each);
    assert_true(each <= 1024);
}

/* ---- rollback ------------------------------------------------------------------------
 */

static void a_hub_that_goes_back_is_refused_with_evidence(void **state)
{
    struct desk *d = *state;
    stoa_evidence x = {.size = sizeof(x)};
    desk_funded(d, 0, 42 * POINT);
    struct disk *backup = disk_copy(d->hub.h.disk);
    GOOD(d, stoa_note(d->w[0], &d->account[0], "later", 5, NULL, NULL, &d->error));
    d->hub.disk_shown = backup;
    stoa_disconnect(d->w[0]);
    assert_int_equal(stoa_connect(d->w[0], NULL, 0, &d->error), STOA_NO);
    assert_string_equal(d->error.word, "behind");
    assert_false(stoa_connected(d->w[0]));
    assert_true(stoa_evidence_get(d->w[0], 0, &x));
    assert_true(strlen(x.known) > 0 && strlen(x.shown) > 0);
    assert_string_not_equal(x.known, x.shown);
    d->hub.disk_shown = NULL;
    disk_close(backup);
    GOOD(d, stoa_connect(d->w[0], NULL, 0, &d->error));
}

/* The log gets a new key while a note is on its way: the tree it is of does not hold the
 * change, and the key before it still counts. */
static void a_note_from_before_the_log_key_changed_is_believed(void **state)
{
    static struct kit_entry e;
    static struct payload p;
    struct desk *d = *state;
    struct refusal r;
    struct slot_view *v;
    struct checkpoint c;
    stoa_evidence x = {.size = sizeof(x)};
    char note[CHECKPOINT_BYTES_MAX];
    desk_funded(d, 0, 10 * POINT);
    fakehub_fund(&d->hub, &d->account[0], POINT);
    struct hub *h = &d->hub.h;
    struct hash id = hash_of(&d->account[0]);
    uint32_t slot = slot_of(&id, h->slots);
    const struct disk_slot *log = &h->disk->slot[slot];
    size_t size = log->checkpoint_size;
    memcpy(note, log->checkpoint, size);

    const struct hub_account *hub = &sequencer_slotlog(h->q, slot)->hub;
    kit_hub_key(&p, hub, ROLE_LOG, kit_key(HUB_KEY_LOG), kit_key(50));
    kit_build_hub(&e, hub, kit_key(HUB_KEY_RELAY), &p);
    hub_crash(h);
    h->config.log = kit_key(50);
    assert_int_equal(hub_start(h), ERR_OK);
    assert_int_equal(sequencer_submit(h->q, &e.e, 1, false, h->now_ms, &r), SEQ_QUEUED);
    assert_int_equal(hub_commit(h), ERR_OK);

    uint64_t deadline = mono_ms() + 2000;
    struct bytes shown = bytes_of(note, size);
    GOOD(d, slot_need(d->w[0], slot, deadline, &v, &d->error));
    GOOD(d, slot_follow(d->w[0], v, deadline, &d->error));
    struct pubkey now = kit_pub(50);
    assert_true(pubkey_equal(&v->f.hub.log.key, &now));
    GOOD(d, slot_believe(d->w[0], v, &shown, 1, &c, deadline, &d->error));
    assert_false(stoa_evidence_get(d->w[0], 0, &x));
    desk_sync(d, 0); /* and the one after it, by the new key */
    note[size - 10] = (char)(note[size - 10] == 'A' ? 'B' : 'A');
    assert_int_equal(slot_believe(d->w[0], v, &shown, 1, &c, deadline, &d->error), STOA_NO);
}

static void a_fork_is_kept_as_evidence_that_stands_alone(void **state)
{
    struct desk *d = *state;
    static uint8_t room[65536];
    char path[200];
    struct evidence_result r;
    size_t found = 0;
    desk_funded(d, 0, 42 * POINT);
    stoa_disconnect(d->w[0]);
    d->hub.forked = true;
    assert_int_equal(stoa_connect(d->w[0], NULL, 0, &d->error), STOA_NO);
    assert_string_equal(d->error.word, "fork");
    assert_non_null(strstr(d->error.message, "stands alone"));
    d->hub.forked = false;
    for (unsigned slot = 0; slot < d->hub.h.slots; slot++)
        for (unsigned size = 1; size < 64; size++) {
            snprintf(path, sizeof(path), "%s/fork-%02x-%u.evidence", d->path[0], slot, size);
            FILE *f = fopen(path, "rbe");
            if (!f)
                continue;
            size_t n = fread(room, 1, sizeof(room), f);
            fclose(f);
            found++;
            evidence_check(room, n,
                           &(struct evidence_trust){.logs = &d->hub.h.log_keys[slot],
                                                    .log_count = 1},
                           &r);
            assert_int_equal(r.verdict, EVIDENCE_PROVEN);
        }
    assert_true(found > 0);
}

static size_t read_whole(const char *path, uint8_t *room, size_t cap)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return 0;
    size_t n = fread(room, 1, cap, f);
    fclose(f);
    return n;
}

static void a_head_is_kept_and_a_wrong_one_is_proven(void **state)
{
    struct desk *d = *state;
    static char text[STOA_HEAD_MAX];
    static uint8_t room[1u << 20];
    char path[240];
    struct head_file file;
    struct evidence_result r;
    stoa_head h = {.size = sizeof h};
    desk_funded(d, 0, 42 * POINT);
    GOOD(d, stoa_sync(d->w[0], NULL, 0, &d->error));
    stoa_account a = {.size = sizeof a};
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    GOOD(d, stoa_head_get(d->w[0], &a.id, text, &h, &d->error));
    assert_true(h.compared);
    assert_true(h.position >= 2 && h.tree_size >= h.position);
    const struct evidence_trust trust = {.logs = &d->hub.h.log_keys[h.slot], .log_count = 1};
    assert_int_equal(head_file_check(text, strlen(text), &trust, &file), ERR_OK);
    assert_true(file.trusted);
    assert_int_equal(file.head.position, h.position);
    assert_memory_equal(file.head.account.b, a.id.b, HASH_BYTES);
    for (size_t i = 0; i < strlen(text); i += 7) { /* any change is told */
        text[i] ^= 1;
        enum err e = head_file_check(text, strlen(text), &trust, &file);
        assert_true(e != ERR_OK || !file.trusted);
        text[i] ^= 1;
    }
    d->hub.wrong_head = true;
    assert_int_equal(stoa_head_get(d->w[0], &a.id, text, &h, &d->error), STOA_NO);
    assert_string_equal(d->error.word, "fork");
    assert_non_null(strstr(d->error.message, "stands alone"));
    assert_int_equal(head_file_check(text, strlen(text), &trust, &file), ERR_OK);
    snprintf(path, sizeof(path), "%s/head-%02x%02x%02x%02x-%llu.evidence", d->path[0], a.id.b[0],
             a.id.b[1], a.id.b[2], a.id.b[3], (unsigned long long)h.position);
    size_t n = read_whole(path, room, sizeof(room));
    evidence_check(room, n, &trust, &r);
    assert_int_equal(r.verdict, EVIDENCE_PROVEN);
    assert_int_equal(r.kind, EVIDENCE_HEAD);
    d->hub.wrong_head = false;
}

/* ---- people --------------------------------------------------------------------------
 */

static void a_second_device_is_enrolled_writes_and_is_revoked(void **state)
{
    struct desk *d = *state;
    char request[STOA_TOKEN_MAX];
    stoa_id device;
    stoa_device x = {.size = sizeof(x)};
    stoa_account a = {.size = sizeof(a)};
    desk_funded(d, 0, 10 * POINT);
    desk_wallet(d, 1);
    GOOD(d, stoa_device_request(d->w[1], request, &d->error));
    assert_true(stoa_device_request_parse(request, &device));
    request[20] ^= 1;
    assert_false(stoa_device_request_parse(request, &device));
    request[20] ^= 1;
    assert_true(stoa_device_request_parse(request, &device));
    desk_connect(d, 0);
    GOOD(d, stoa_device_add(d->w[0], &d->account[0], &device, NULL, NULL, &d->error));
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    desk_connect(d, 1);
    GOOD(d, stoa_account_follow(d->w[1], a.address, "shared", &a, &d->error));
    assert_true(a.can_write);
    assert_int_equal(a.devices, 2);
    GOOD(d, stoa_note(d->w[1], &d->account[0], "from two", 8, NULL, NULL, &d->error));
    desk_connect(d, 0);
    desk_sync(d, 0);
    GOOD(d, stoa_device_revoke(d->w[0], &d->account[0], &device, NULL, NULL, &d->error));
    desk_sync(d, 0);
    assert_true(stoa_device_at(d->w[0], &d->account[0], 1, &x));
    assert_true(x.revoked);
    desk_connect(d, 1);
    assert_int_equal(
        stoa_note(d->w[1], &d->account[0], "again", 5, NULL, NULL, &d->error),
        STOA_REFUSED);
    assert_string_equal(d->error.word, "device_revoked");
}

/* Wallet 1 becomes a second device of wallet 0's account. */
static void second_device(struct desk *d)
{
    char request[STOA_TOKEN_MAX];
    stoa_id device;
    stoa_account a = {.size = sizeof(a)};
    desk_funded(d, 0, 10 * POINT);
    desk_wallet(d, 1);
    GOOD(d, stoa_device_request(d->w[1], request, &d->error));
    assert_true(stoa_device_request_parse(request, &device));
    desk_connect(d, 0);
    GOOD(d, stoa_device_add(d->w[0], &d->account[0], &device, NULL, NULL, &d->error));
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    desk_connect(d, 1);
    GOOD(d, stoa_account_follow(d->w[1], a.address, "shared", &a, &d->error));
    d->account[1] = d->account[0];
}

/* Device n notes something; its id, and how many refs it carries (the first in *ref). */
static unsigned noted(struct desk *d, unsigned n, stoa_state wait, stoa_id *id,
                      stoa_id *ref)
{
    static uint8_t bytes[STOA_ENVELOPE_MAX];
    stoa_how how = STOA_HOW_INIT;
    stoa_receipt r = {.size = sizeof(r)};
    struct entry e;
    size_t size;
    how.wait = wait;
    GOOD(d, stoa_note(d->w[n], &d->account[0], "n", 1, &how, &r, &d->error));
    GOOD(d, stoa_entry_bytes(d->w[n], &r.id, bytes, &size, &d->error));
    assert_int_equal(entry_decode(&e, bytes, size), ERR_OK);
    *id = r.id;
    if (e.ref_count)
        *ref = id_of(&e.refs[0]);
    return e.ref_count;
}

static void entries_refer_to_what_other_devices_wrote(void **state)
{
    struct desk *d = *state;
    stoa_id a, b, ref;
    second_device(d);
    assert_int_equal(noted(d, 1, STOA_ACCEPTED, &b, &ref), 0); /* all is behind prev */
    assert_int_equal(noted(d, 1, STOA_ACCEPTED, &b, &ref), 0);
    desk_connect(d, 0);
    assert_int_equal(noted(d, 0, STOA_ACCEPTED, &a, &ref), 0); /* not seen yet */
    desk_sync(d, 0);
    assert_int_equal(noted(d, 0, STOA_SAVED, &a, &ref), 1); /* the newest, not both */
    assert_memory_equal(&ref, &b, sizeof(b));
    assert_int_equal(noted(d, 0, STOA_SAVED, &a, &ref), 0); /* behind prev, saved only */
    desk_again(d, 0, true);
    assert_int_equal(noted(d, 0, STOA_ACCEPTED, &a, &ref), 0);
    desk_sync(d, 0);
    assert_int_equal(noted(d, 0, STOA_ACCEPTED, &a, &ref), 0);
    desk_connect(d, 1);
    desk_sync(d, 1);
    assert_int_equal(noted(d, 1, STOA_ACCEPTED, &b, &ref), 1);
    assert_memory_equal(&ref, &a, sizeof(a));
    desk_sync(d, 1);
    GOOD(d, stoa_verify(d->w[1], &d->account[0], STOA_VERIFY_FULL, 1, NULL, NULL, NULL,
                        &d->error));
}

static void an_invite_that_carries_refs_can_be_used(void **state)
{
    struct desk *d = *state;
    char token[STOA_TOKEN_MAX];
    stoa_id b, ref;
    second_device(d);
    for (int i = 0; i < 9; i++)
        (void)noted(d, 1, STOA_ACCEPTED, &b, &ref);
    desk_connect(d, 0);
    desk_sync(d, 0);
    uint64_t ahead = clock_ms() - d->hub.h.now_ms;
    d->hub.h.now_ms += ahead;
    d->hub.h.mono_ms += ahead;
    GOOD(d, stoa_invite(d->w[0], &d->account[0], 3600000, token, NULL, NULL, &d->error));
    desk_wallet(d, 2);
    GOOD(d, stoa_join(d->w[2], token, "ours", NULL, &d->account[2], NULL, &d->error));
}

static void a_device_without_the_root_key_admits_and_removes_nobody(void **state)
{
    struct desk *d = *state;
    char token[STOA_TOKEN_MAX] = "";
    stoa_member m = {.size = sizeof(m)};
    stoa_id nobody = {{1}};
    second_device(d);
    assert_true(stoa_member_at(d->w[1], &d->account[0], 0, &m));
    assert_int_equal(
        stoa_invite(d->w[1], &d->account[0], 3600000, token, NULL, NULL, &d->error),
        STOA_DENIED);
    assert_string_equal(token, "");
    assert_int_equal(
        stoa_member_remove(d->w[1], &d->account[0], &m.root, NULL, NULL, &d->error),
        STOA_DENIED);
    assert_int_equal(
        stoa_member_remove(d->w[1], &d->account[0], &nobody, NULL, NULL, &d->error),
        STOA_REFUSED);
    assert_string_equal(d->error.word, "member_unknown");
}

static void a_ref_that_would_leave_the_window_is_left_out(void **state)
{
    struct desk *d = *state;
    stoa_id a, b, ref;
    second_device(d);
    desk_connect(d, 0);
    desk_sync(d, 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(noted(d, 0, STOA_SAVED, &a, &ref), 0);
    desk_connect(d, 1);
    assert_int_equal(noted(d, 1, STOA_ACCEPTED, &b, &ref), 0);
    desk_connect(d, 0);
    desk_sync(d, 0);
    assert_int_equal(noted(d, 0, STOA_SAVED, &a, &ref), 0); /* 60 of ours come first */
    GOOD(d, stoa_resume(d->w[0], NULL, NULL, STOA_ACCEPTED, 0, NULL, NULL, &d->error));
    desk_connect(d, 1);
    assert_int_equal(noted(d, 1, STOA_ACCEPTED, &b, &ref), 0);
    desk_connect(d, 0);
    desk_sync(d, 0);
    assert_int_equal(noted(d, 0, STOA_ACCEPTED, &a, &ref), 1);
    assert_memory_equal(&ref, &b, sizeof(b));
}

static void members_join_split_correct_and_leave(void **state)
{
    struct desk *d = *state;
    char token[STOA_TOKEN_MAX];
    stoa_id joined;
    stoa_member m[2] = {{.size = sizeof(m[0])}, {.size = sizeof(m[1])}};
    stoa_receipt r = {.size = sizeof(r)};
    stoa_balance b = {.size = sizeof(b)};
    desk_funded(d, 0, 10 * POINT);
    desk_wallet(d, 1);
    desk_connect(d, 0);
    /* The fake hub's clock stands in the past: an expiry by our clock would be too far.
     */
    uint64_t ahead = clock_ms() - d->hub.h.now_ms;
    d->hub.h.now_ms += ahead;
    d->hub.h.mono_ms += ahead;
    GOOD(d, stoa_invite(d->w[0], &d->account[0], 3600000, token, NULL, NULL, &d->error));
    desk_connect(d, 1);
    GOOD(d, stoa_join(d->w[1], token, "flat", NULL, &joined, NULL, &d->error));
    assert_memory_equal(&joined, &d->account[0], sizeof(joined));
    GOOD(d, stoa_sync(d->w[1], &joined, 0, &d->error));
    assert_true(stoa_member_at(d->w[1], &joined, 0, &m[0]));
    assert_true(stoa_member_at(d->w[1], &joined, 1, &m[1]));
    assert_true(m[1].own);
    stoa_share shares[2] = {{m[0].root, 3 * POINT}, {m[1].root, 7 * POINT}};
    stoa_terms terms = {m[1].root, 10 * POINT, shares, 2};
    GOOD(d, stoa_split(d->w[1], &joined, &terms, NULL, &r, &d->error));
    GOOD(d, stoa_sync(d->w[1], &joined, 0, &d->error));
    GOOD(d, stoa_balance_get(d->w[1], &joined, &b, &d->error));
    assert_int_equal(b.position, 3 * POINT);
    shares[0].amount = 5 * POINT;
    shares[1].amount = 5 * POINT;
    GOOD(d, stoa_split_change(d->w[1], &joined, &r.id, &terms, NULL, NULL, &d->error));
    GOOD(d, stoa_sync(d->w[1], &joined, 0, &d->error));
    GOOD(d, stoa_balance_get(d->w[1], &joined, &b, &d->error));
    assert_int_equal(b.position, 5 * POINT);
    GOOD(d, stoa_split_change(d->w[1], &joined, &r.id, NULL, NULL, NULL, &d->error));
    GOOD(d, stoa_sync(d->w[1], &joined, 0, &d->error));
    assert_int_equal(
        stoa_split_change(d->w[1], &joined, &r.id, NULL, NULL, NULL, &d->error),
        STOA_REFUSED);
    desk_connect(d, 0);
    desk_sync(d, 0);
    stoa_how how = STOA_HOW_INIT;
    how.request = "remove the second";
    GOOD(d,
         stoa_member_remove(d->w[0], &d->account[0], &m[1].root, &how, NULL, &d->error));
    desk_sync(d, 0);
    GOOD(d, /* again: it is done */
         stoa_member_remove(d->w[0], &d->account[0], &m[1].root, &how, NULL, &d->error));
    assert_false(stoa_member_at(d->w[0], &d->account[0], 1, &m[1]));
}

static void a_root_key_is_rotated(void **state)
{
    struct desk *d = *state;
    stoa_member a = {.size = sizeof(a)}, b = {.size = sizeof(b)};
    stoa_id other = {{1}};
    desk_funded(d, 0, 0);
    assert_true(stoa_member_at(d->w[0], &d->account[0], 0, &a));
    GOOD(d, stoa_root_rotate(d->w[0], &d->account[0], NULL, NULL, &d->error));
    desk_sync(d, 0);
    assert_true(stoa_member_at(d->w[0], &d->account[0], 0, &b));
    assert_memory_not_equal(&a.root, &b.root, sizeof(a.root));
    desk_again(d, 0, true);
    desk_wallet(d, 1);
    char request[STOA_TOKEN_MAX];
    GOOD(d, stoa_device_request(d->w[1], request, &d->error));
    assert_true(stoa_device_request_parse(request, &other));
    desk_connect(d, 0);
    GOOD(d, stoa_device_add(d->w[0], &d->account[0], &other, NULL, NULL, &d->error));
}

static void a_lost_wallet_is_recovered_after_the_wait(void **state)
{
    struct desk *d = *state;
    char path[128];
    stoa_id key;
    stoa_account a = {.size = sizeof(a)};
    stoa_open_params p = {.size = sizeof(p), .name = "main", .recovery = &key};
    snprintf(path, sizeof(path), "%s/recovery.key", d->dir);
    GOOD(d, stoa_recovery_key_create(path, NULL, &key, &d->error));
    desk_wallet(d, 0);
    GOOD(d, stoa_account_open(d->w[0], &p, NULL, &d->account[0], NULL, &d->error));
    fakehub_fund(&d->hub, &d->account[0], 9 * POINT);
    desk_sync(d, 0);
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    desk_wallet(d, 1);
    GOOD(d, stoa_account_follow(d->w[1], a.address, "mine", &a, &d->error));
    assert_false(a.can_write);
    uint64_t ahead = clock_ms() - d->hub.h.now_ms;
    d->hub.h.now_ms += ahead;
    d->hub.h.mono_ms += ahead;
    GOOD(d, stoa_recovery_begin(d->w[1], &d->account[0], path, NULL, NULL, &d->error));
    GOOD(d, stoa_sync(d->w[1], &d->account[0], 0, &d->error));
    GOOD(d, stoa_account_at(d->w[1], 0, &a, &d->error));
    assert_true(a.recovery_pending);
    /* Too early: an answer at once, nothing stays open. */
    stoa_how patient = STOA_HOW_INIT;
    patient.timeout_ms = 60000;
    d->error.size = sizeof(d->error);
    assert_int_equal(
        stoa_recovery_finish(d->w[1], &d->account[0], path, &patient, NULL, &d->error),
        STOA_REFUSED);
    assert_string_equal(d->error.word, "recovery_early");
    assert_int_equal(d->error.retry, STOA_RETRY_AGAIN);
    assert_true(d->error.retry_after_ms > 0);
    stoa_wallet_info info = {.size = sizeof(info)};
    stoa_wallet_get(d->w[1], &info);
    assert_int_equal(info.unresolved, 0);
    d->hub.h.now_ms += (uint64_t)RECOVERY_WAIT_MS + 1000;
    d->hub.h.mono_ms += (uint64_t)RECOVERY_WAIT_MS + 1000;
    GOOD(d, stoa_recovery_finish(d->w[1], &d->account[0], path, NULL, NULL, &d->error));
    GOOD(d, stoa_sync(d->w[1], &d->account[0], 0, &d->error));
    GOOD(d, stoa_account_at(d->w[1], 0, &a, &d->error));
    assert_true(a.can_write);
    GOOD(d, stoa_note(d->w[1], &d->account[0], "back", 4, NULL, NULL, &d->error));
}

/* ---- memos, proofs, live
 * --------------------------------------------------------------- */

static void a_memo_is_read_by_those_it_is_sealed_to(void **state)
{
    static uint8_t out[STOA_MEMO_MAX];
    struct desk *d = *state;
    stoa_wallet_info info = {.size = sizeof(info)};
    stoa_receipt r = {.size = sizeof(r)};
    stoa_how how = STOA_HOW_INIT;
    size_t size;
    desk_funded(d, 1, 0);
    stoa_wallet_get(d->w[1], &info);
    desk_funded(d, 0, 10 * POINT);
    how.memo = "lunch";
    how.memo_size = 5;
    how.memo_keys = &info.device;
    how.memo_key_count = 1;
    GOOD(d, desk_pay(d, 0, 1, POINT, &how, &r));
    GOOD(d, stoa_memo_get(d->w[0], &r.id, out, &size, &d->error));
    assert_int_equal(size, 5);
    assert_memory_equal(out, "lunch", 5);
    d->hub.sealed[0].data.data[100] ^= 1;
    assert_int_equal(stoa_memo_get(d->w[0], &r.id, out, &size, &d->error), STOA_NO);
    d->hub.sealed[0].data.data[100] ^= 1;
    /* The payee reads it too, once it follows the payer's account. */
    stoa_account a = {.size = sizeof(a)};
    desk_sync(d, 0);
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    desk_connect(d, 1);
    GOOD(d, stoa_account_follow(d->w[1], a.address, "payer", NULL, &d->error));
    GOOD(d, stoa_memo_get(d->w[1], &r.id, out, &size, &d->error));
    assert_memory_equal(out, "lunch", 5);
}

static bool keep_id(void *context, const stoa_record *r)
{
    *(stoa_id *)context = r->id;
    return true;
}

static void a_proof_verifies_alone_and_not_when_changed(void **state)
{
    static char text[STOA_PROOF_MAX];
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    stoa_id seen;
    char vkey[VKEY_TEXT_MAX];
    desk_funded(d, 0, 10 * POINT);
    GOOD(d, stoa_note(d->w[0], &d->account[0], "hello", 5, NULL, &r, &d->error));
    desk_sync(d, 0);
    GOOD(d, stoa_proof_get(d->w[0], &r.id, text, &d->error));
    size_t size = strlen(text);
    GOOD(d, stoa_proof_check(d->w[0], NULL, text, size, keep_id, &seen, &d->error));
    assert_memory_equal(&seen, &r.id, sizeof(seen));
    assert_true(vkey_format(&d->hub.h.log_keys[r.slot], vkey, sizeof(vkey)) > 0);
    GOOD(d, stoa_proof_check(NULL, vkey, text, size, NULL, NULL, &d->error));
    for (size_t i = 0; i < size; i += 7) {
        char was = text[i];
        text[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(
            stoa_proof_check(NULL, vkey, text, size, NULL, NULL, &d->error), STOA_OK);
        text[i] = was;
    }
}

static void a_proof_of_any_slot_is_checked_offline(void **state)
{
    static char text[STOA_PROOF_MAX];
    struct desk *d = *state;
    stoa_receipt r = {.size = sizeof(r)};
    stoa_open_params p = {.size = sizeof(p)};
    char name[8];
    bool seen[4] = {false};
    desk_wallet(d, 1); /* has met the hub, and nothing else */
    desk_again(d, 1, false);
    desk_wallet(d, 0);
    for (int i = 0; i < 100 && !(seen[0] && seen[1] && seen[2] && seen[3]); i++) {
        snprintf(name, sizeof(name), "a%d", i);
        p.name = name;
        GOOD(d, stoa_account_open(d->w[0], &p, NULL, &d->account[0], &r, &d->error));
        seen[r.slot] = true;
        GOOD(d, stoa_sync(d->w[0], &d->account[0], 0, &d->error));
        GOOD(d, stoa_proof_get(d->w[0], &r.id, text, &d->error));
        GOOD(d,
             stoa_proof_check(d->w[1], NULL, text, strlen(text), NULL, NULL, &d->error));
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
}

struct counted {
    unsigned records;
    int64_t balance;
    uint64_t next;
    unsigned stop_at;
};

static bool count(void *context, const stoa_record *r)
{
    struct counted *c = context;
    assert_int_equal(r->position, c->next);
    c->next++;
    c->records++;
    c->balance += r->delta;
    assert_int_equal(c->balance, r->balance);
    return c->records != c->stop_at;
}

static void history_carries_the_running_balance(void **state)
{
    struct desk *d = *state;
    struct counted c = {0};
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 10 * POINT);
    for (int i = 0; i < 3; i++)
        GOOD(d, desk_pay(d, 0, 1, POINT, NULL, NULL));
    desk_sync(d, 0);
    GOOD(d, stoa_history(d->w[0], &d->account[0], 0, 0, count, &c, &d->error));
    assert_int_equal(c.records, 5);
    assert_int_equal(c.balance, 7 * POINT);
    memset(&c, 0, sizeof(c));
    c.stop_at = 2;
    GOOD(d, stoa_history(d->w[0], &d->account[0], 0, 0, count, &c, &d->error));
    assert_int_equal(c.records, 2);
}

static void watching_tells_every_new_record_once(void **state)
{
    struct desk *d = *state;
    struct counted c = {0};
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 10 * POINT);
    desk_connect(d, 1);
    desk_sync(d, 1);
    c.next = 1;
    c.stop_at = 1;
    fakehub_fund(&d->hub, &d->account[1], 3 * POINT);
    GOOD(d, stoa_watch(d->w[1], &d->account[1], 2000, count, &c, &d->error));
    assert_int_equal(c.records, 1);
    assert_int_equal(desk_settled(d, 1), 3 * POINT);
    c.stop_at = 3;
    fakehub_fund(&d->hub, &d->account[1], POINT);
    fakehub_fund(&d->hub, &d->account[1], POINT);
    GOOD(d, stoa_watch(d->w[1], &d->account[1], 2000, count, &c, &d->error));
    assert_int_equal(c.records, 3);
    GOOD(d, stoa_watch(d->w[1], &d->account[1], 20, count, &c, &d->error));
}

/* The line is lost between records and their proof: the next watch tells them. */
static void a_watch_cut_short_misses_no_record(void **state)
{
    struct desk *d = *state;
    struct counted c = {.next = 1, .stop_at = 1};
    desk_funded(d, 1, 0);
    desk_funded(d, 0, 10 * POINT);
    desk_connect(d, 1);
    desk_sync(d, 1);
    d->hub.cut_at_proof = true;
    fakehub_fund(&d->hub, &d->account[1], 3 * POINT);
    assert_int_equal(stoa_watch(d->w[1], &d->account[1], 2000, count, &c, &d->error),
                     STOA_UNREACHABLE);
    assert_int_equal(c.records, 0);
    desk_connect(d, 1);
    GOOD(d, stoa_watch(d->w[1], &d->account[1], 200, count, &c, &d->error));
    assert_int_equal(c.records, 1);
}

struct copied {
    stoa_import_record records[16];
    uint8_t envelopes[16][1024];
    size_t count;
};

static bool copy(void *context, const stoa_record *r)
{
    struct copied *c = context;
    stoa_import_record *x = &c->records[c->count];
    memcpy(c->envelopes[c->count], r->envelope, r->envelope_size);
    *x = (stoa_import_record){.size = sizeof(*x),
                              .index = r->index,
                              .position = r->position,
                              .hub_lamport = r->hub_lamport,
                              .hub_time_ms = r->hub_time_ms,
                              .envelope = c->envelopes[c->count],
                              .envelope_size = r->envelope_size};
    c->count++;
    return true;
}

static void exported_records_can_be_imported_and_are_checked(void **state)
{
    static struct copied c;
    struct desk *d = *state;
    stoa_account a = {.size = sizeof(a)};
    c.count = 0;
    desk_funded(d, 0, 10 * POINT);
    desk_wallet(d, 1);
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    GOOD(d, stoa_account_follow(d->w[1], a.address, "copy", NULL, &d->error));
    desk_connect(d, 0);
    for (int i = 0; i < 3; i++)
        GOOD(d, stoa_note(d->w[0], &d->account[0], "x", 1, NULL, NULL, &d->error));
    desk_sync(d, 0);
    GOOD(d, stoa_history(d->w[0], &d->account[0], 2, 0, copy, &c, &d->error));
    assert_int_equal(c.count, 3);
    c.envelopes[1][c.records[1].envelope_size - 1] ^= 1;
    assert_int_equal(stoa_import(d->w[1], &d->account[0], c.records, c.count, &d->error),
                     STOA_DATA);
    c.envelopes[1][c.records[1].envelope_size - 1] ^= 1;
    GOOD(d, stoa_import(d->w[1], &d->account[0], c.records, c.count, &d->error));
    GOOD(d, stoa_account_at(d->w[1], 0, &a, &d->error));
    assert_int_equal(a.position, 5);
    desk_connect(d, 1);
    stoa_balance b = {.size = sizeof(b)};
    GOOD(d, stoa_balance_get(d->w[1], &d->account[0], &b, &d->error));
    assert_int_equal(b.unproven, c.count);
    GOOD(d, stoa_sync(d->w[1], &d->account[0], 0, &d->error));
    GOOD(d, stoa_balance_get(d->w[1], &d->account[0], &b, &d->error));
    assert_int_equal(b.unproven, 0);
    assert_true(b.checked_ms > 0);
}

/* ---- a hub that shows other records
 * ----------------------------------------------------- */

struct lie {
    uint64_t position;
    enum { LIE_FLIP, LIE_DROP, LIE_TIME } how;
    struct hash account;
};

static bool lie(void *context, struct record *r, struct buf *envelope)
{
    const struct lie *x = context;
    struct entry e;
    if (entry_decode(&e, envelope->data, envelope->size) != ERR_OK ||
        !hash_equal(entry_account(&e), &x->account) || r->position != x->position)
        return true;
    if (x->how == LIE_DROP)
        return false;
    if (x->how == LIE_FLIP)
        envelope->data[envelope->size - 70] ^= 1;
    if (x->how == LIE_TIME)
        r->hub_time_ms += 1;
    return true;
}

static void a_hub_that_shows_other_records_is_refused(void **state)
{
    struct desk *d = *state;
    stoa_account a = {.size = sizeof(a)};
    desk_funded(d, 0, 10 * POINT);
    for (int i = 0; i < 3; i++)
        GOOD(d, stoa_note(d->w[0], &d->account[0], "abcdefgh", 8, NULL, NULL, &d->error));
    GOOD(d, stoa_account_at(d->w[0], 0, &a, &d->error));
    struct lie lies[] = {
        {2, LIE_FLIP, hash_of(&a.id)},
        {2, LIE_DROP, hash_of(&a.id)},
        {4, LIE_TIME, hash_of(&a.id)}}; /* the newest: proven by inclusion */
    for (int i = 0; i < 3; i++) {
        char path[16];
        snprintf(path, sizeof(path), "r%d", i);
        desk_wallet(d, 1);
        d->hub.show = lie;
        d->hub.show_context = &lies[i];
        d->error.size = sizeof(d->error);
        assert_int_equal(stoa_account_follow(d->w[1], a.address, "", NULL, &d->error),
                         STOA_NO);
        d->hub.show = NULL;
        desk_connect(d, 1);
        GOOD(d, stoa_sync(d->w[1], NULL, 0, &d->error));
        stoa_wallet_close(d->w[1]);
        d->w[1] = NULL;
        char cmd[256];
        snprintf(cmd, sizeof(cmd), "rm -rf %s", d->path[1]);
        assert_int_equal(system(cmd), 0);
        desk_connect(d, 0);
    }
}

/* What a hub says that has no place, no store or no time just now: it passes, so what to do next
 * is said. */
static void what_passes_says_what_to_do_meanwhile(void **state)
{
    static const enum err passing[] = {ERR_UNAVAILABLE, ERR_DRAINING, ERR_BUSY,
                                       ERR_POLICY_RATE, ERR_TIMEOUT};
    (void)state;
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        stoa_error e = {.size = sizeof(e)};
        (void)because(&e, passing[i], "hub says: %s", err_text(passing[i]));
        if (e.hint[0] == 0)
            fail_msg("%s", err_word(passing[i]));
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_open, desk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_passes_says_what_to_do_meanwhile),
        CASE(a_new_hub_is_not_believed_without_being_told_to),
        CASE(the_hub_is_remembered_by_its_fingerprint),
        CASE(the_balance_is_known_offline_with_its_age),
        CASE(a_second_process_is_kept_out),
        CASE(keys_are_encrypted_and_can_be_rewrapped),
        CASE(a_damaged_local_checkpoint_costs_a_replay_only),
        CASE(a_changed_record_on_disk_is_found),
        CASE(a_damaged_database_is_named_and_keys_stay),
        CASE(the_first_meeting_is_on_record),
        CASE(a_record_costs_at_most_a_kilobyte),
        CASE(a_hub_that_goes_back_is_refused_with_evidence),
        CASE(a_note_from_before_the_log_key_changed_is_believed),
        CASE(a_fork_is_kept_as_evidence_that_stands_alone),
        CASE(a_head_is_kept_and_a_wrong_one_is_proven),
        CASE(a_second_device_is_enrolled_writes_and_is_revoked),
        CASE(entries_refer_to_what_other_devices_wrote),
        CASE(an_invite_that_carries_refs_can_be_used),
        CASE(a_device_without_the_root_key_admits_and_removes_nobody),
        CASE(a_ref_that_would_leave_the_window_is_left_out),
        CASE(members_join_split_correct_and_leave),
        CASE(a_root_key_is_rotated),
        CASE(a_lost_wallet_is_recovered_after_the_wait),
        CASE(a_memo_is_read_by_those_it_is_sealed_to),
        CASE(a_proof_verifies_alone_and_not_when_changed),
        CASE(a_proof_of_any_slot_is_checked_offline),
        CASE(history_carries_the_running_balance),
        CASE(watching_tells_every_new_record_once),
        CASE(a_watch_cut_short_misses_no_record),
        CASE(exported_records_can_be_imported_and_are_checked),
        CASE(a_hub_that_shows_other_records_is_refused),
    };
    return cmocka_run_group_tests_name("wallet", tests, NULL, NULL);
}
