#include "tests/integration/postgres/forged.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crypto/be64.h"
#include "ledger/store.h"

PGconn *forged_db;

void forged_sql(const char *text)
{
    free(forged_ask(text));
}

char *forged_ask(const char *text)
{
    PGresult *r = PQexec(forged_db, text);
    ExecStatusType s = PQresultStatus(r);
    struct buf b = {0};
    if (s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK)
        fail_msg("%s\n%.200s", PQerrorMessage(forged_db), text);
    for (int row = 0; row < PQntuples(r); row++)
        for (int i = 0; i < PQnfields(r); i++) {
            const char *value = PQgetvalue(r, row, i);
            assert_true(buf_add(&b, value, strlen(value)));
            assert_true(buf_add(&b, i + 1 < PQnfields(r) ? "|" : "\n", 1));
        }
    assert_true(buf_add(&b, "", 1));
    PQclear(r);
    return (char *)b.data;
}

static void add_text(struct buf *b, const char *text)
{
    assert_true(buf_add(b, text, strlen(text)));
}

static void add_hex(struct buf *b, const void *data, size_t size, const char *after)
{
    char *hex = malloc(2 * size + 1);
    assert_non_null(hex);
    hex_encode(hex, data, size);
    add_text(b, "'\\x");
    add_text(b, hex);
    add_text(b, "'");
    add_text(b, after);
    free(hex);
}

/* The hub wrote leaf_hash over the leaf it signed; `leaf` is what the other columns say.
 */
static void add_row(struct buf *b, const struct row *r, uint32_t slot)
{
    char numbers[160];
    struct hash leaf_hash = hash_leaf(r->leaf, LEAF_BYTES);
    snprintf(numbers, sizeof numbers, "(%u, %llu, %llu, %llu, %llu, ", (unsigned)slot,
             (unsigned long long)r->index, (unsigned long long)r->position,
             (unsigned long long)be64(r->leaf + 64),
             (unsigned long long)be64(r->leaf + 72));
    add_text(b, numbers);
    add_hex(b, &r->account, HASH_BYTES, ", ");
    add_hex(b, &r->id, HASH_BYTES, ", ");
    add_hex(b, r->leaf + HASH_BYTES, HASH_BYTES, ", ");
    add_hex(b, &leaf_hash, HASH_BYTES, ", ");
    add_hex(b, r->envelope, r->size, ")");
}

static void add_slot(struct buf *b, const struct forge_slot *s, uint32_t slot)
{
    char line[120];
    snprintf(line, sizeof line, "UPDATE stoa.slot SET size = %zu, edges = ", s->count);
    add_text(b, line);
    add_hex(b, s->edges, s->edge_count * HASH_BYTES, ", checkpoint = ");
    add_hex(b, s->note, s->note_size, "");
    snprintf(line, sizeof line, " WHERE slot = %u;", (unsigned)slot);
    add_text(b, line);
    for (size_t i = 0; i < s->count; i++) {
        add_text(b, i == 0 ? "INSERT INTO stoa.record VALUES " : ", ");
        add_row(b, &s->rows[i], slot);
    }
    add_text(b, ";");
    for (unsigned level = 0; level < 2; level++)
        for (size_t n = 0; (n + 1) * TILE_HASHES <= s->tile_hashes[level]; n++) {
            const struct hash *hashes = s->tiles[level] + n * TILE_HASHES;
            struct hash root = tile_root(hashes, TILE_HASHES);
            snprintf(line, sizeof line, "INSERT INTO stoa.tile VALUES (%u, %u, %zu, ",
                     (unsigned)slot, level, n);
            add_text(b, line);
            add_hex(b, &root, HASH_BYTES, ", ");
            add_hex(b, hashes, TILE_HASHES * HASH_BYTES, ");");
        }
}

void forged_write(const struct forge *f)
{
    struct buf b = {0};
    add_text(
        &b,
        "BEGIN; TRUNCATE stoa.record, stoa.tile; UPDATE stoa.ledger SET hub = '" FORGE_HUB
        "', slots = 4, federation = ");
    add_hex(&b, &f->federation, HASH_BYTES, ";");
    for (uint32_t i = 0; i < FORGE_SLOTS; i++)
        add_slot(&b, &f->slot[i], i);
    add_text(&b, "COMMIT");
    assert_true(buf_add(&b, "", 1));
    forged_sql((const char *)b.data);
    buf_close(&b);
}

int forged_make(struct pgproc *server, const char *database, char uri[400])
{
    struct store *store = NULL;
    struct store_why why = {{0}};
    struct store_identity id = {.slots = FORGE_SLOTS, .hub = FORGE_HUB};
    memset(&id.federation, 7, sizeof id.federation);
    if (!pgproc_database(server, database))
        return 1;
    pgproc_uri(server, database, 0, uri, 400);
    if (store_create(uri, &id, &store, &why) != ERR_OK) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    store->ops->close(store);
    forged_db = PQconnectdb(uri);
    forged_sql(
        "DO $$ DECLARE c record; BEGIN FOR c IN SELECT conname, conrelid::regclass AS t"
        " FROM pg_constraint WHERE connamespace = 'stoa'::regnamespace AND"
        " coninhcount = 0 AND contype IN ('f', 'c', 'u') ORDER BY contype = 'f' DESC LOOP"
        " EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);"
        " END LOOP; END $$");
    return 0;
}
