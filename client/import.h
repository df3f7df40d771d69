/* Import of bank data into a hub by its issuer, checked row by row against the bank's own
 * balances: what its files share.
 *
 *     import_csv    the file, as rows and parties          no network
 *     import_keys   keys and opening entries, derived      no network
 *     import_book   every record of the hub, applied       pure but for the heap
 *     import_hub    connections and frames                 the edge
 *     import_run    the pipeline between them
 *     import        the command
 *
 * The importer is the only writer of the accounts it opens, so it knows their heads
 * ahead: entries are made long before their predecessors are answered. Everything it
 * signs is derived from one saved seed and the rows, so a second run makes the same
 * bytes. */
#ifndef CLIENT_IMPORT_H
#define CLIENT_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli.h"
#include "client/verify.h"
#include "crypto/key.h"
#include "ledger/account.h"
#include "ledger/link.h"
#include "ledger/wire.h"

#define IMPORT_ROWS_MAX 16000000u
#define IMPORT_PARTIES_MAX 2000000u
#define IMPORT_LINE_MAX 512   /* bytes of a line of the file */
#define IMPORT_NAME_MAX 128   /* bytes of an account's or counterparty's name */
#define IMPORT_ENTRY_MAX 1024 /* bytes of an entry made here */
#define IMPORT_INFLIGHT_MAX 8192u
#define IMPORT_CONNECTIONS_MAX 32
#define IMPORT_ROUNDS_MAX 200 /* rounds of sending again without any progress */
#define IMPORT_RETRY_MS_MAX 5000
#define IMPORT_FETCHES_MAX 8 /* pages asked for at a time */
#define IMPORT_PAGE_RECORDS 500
#define IMPORT_SILENCE_MS 30000 /* without any answer while some is due */
#define IMPORT_NODE "bank"
#define MICRO_A_CENT 10000
#define NO_ROW UINT32_MAX
#define NO_PARTY UINT32_MAX

/* ---- import_csv.c ---- */

struct bank_row {
    uint32_t account; /* party whose account it is */
    uint32_t payee;   /* party paid; NO_PARTY: earned */
    uint32_t next;    /* next row of the account, NO_ROW */
    int64_t amount;   /* micro-points */
    int64_t balance;  /* after it, as the bank says */
    uint64_t time_ms; /* midnight of its date */
};
struct bank_party {
    char *name;                 /* "account:576", "payee:cash" */
    uint32_t first, last, rows; /* of an account */
    uint32_t payments;          /* to a payee */
    int64_t expected;           /* at the end */
    uint64_t time_ms;           /* of the first row naming it */
    bool is_payee;
};
struct bank {
    struct bank_row *rows;
    struct bank_party *parties;
    uint32_t row_count, party_count, earned, paid;
    int64_t accrued; /* sum of what was earned */
};
/* Read and check the file: form, amounts, and that its balances add up. */
stoa_result bank_read(struct cli *c, struct bank *b, const char *path);
void bank_close(struct bank *b);

/* ---- import_keys.c ---- */

struct import_keys {
    uint8_t master[SEED_BYTES];
    struct key *issuer;
    struct pubkey issuer_public;
};
/* The seed in `dir`/import.key (made when missing) and the issuer's key. */
stoa_result import_keys_load(struct cli *c, struct import_keys *k, const char *dir);
void import_keys_close(struct import_keys *k);
/* Device key of a party; NULL when locked memory is out. Released by key_free. */
struct key *import_device(const struct import_keys *k, const char *party);
/* The opening entry, the same bytes every time. */
MUST_CHECK enum err import_open_entry(const struct import_keys *k,
                                      const struct bank_party *p,
                                      const struct hash *federation, const char *hub,
                                      uint8_t *out, size_t *size, struct hash *id);

/* ---- import_book.c ---- */

struct book_account {
    struct account account;
    uint32_t party; /* NO_PARTY: not ours */
    uint32_t next_row;
    uint32_t credits;
};
struct book_record {
    struct hash head;
    uint64_t position, hub_lamport, hub_time_ms;
    uint8_t *envelope;
    uint32_t size;
};
struct book_slot {
    struct hub_account hub;
    struct book_record *records;
    size_t count, cap;
};
struct book {
    const struct bank *bank;
    struct hash node;
    uint32_t slots;
    struct book_slot *slot;
    struct book_account *accounts;
    size_t account_count, account_cap;
    uint32_t *table; /* account + 1, by id */
    size_t table_size;
    struct hash *ids;      /* of parties */
    uint32_t *party_table; /* party + 1, by id */
    size_t party_table_size;
    uint32_t opened, rows_checked, credits;
    uint64_t records;
    char why[320]; /* what is wrong, when something is */
};
/* `ids`: account ids of the parties, borrowed. */
MUST_CHECK enum err book_open(struct book *k, const struct bank *bank, struct hash *ids,
                              uint32_t slots);
void book_close(struct book *k);
/* Apply the next record of its slot; ours are compared with their rows. On an error `why`
 * is filled. */
MUST_CHECK enum err book_apply(struct book *k, const struct record *r);
struct book_account *book_find(const struct book *k, const struct hash *id);
/* At the end: payees hold what was paid, accounts what the bank says, nothing is lost. */
bool book_balances(struct book *k, int64_t *held);

/* ---- import_hub.c ---- */

struct import_peer {
    struct link *link;
    bool greeted;
    struct hash hub_nonce, client_nonce;
};
struct import_hub {
    struct cli *c;
    const char *url;
    struct import_peer peers[IMPORT_CONNECTIONS_MAX];
    unsigned peer_count;
    struct hash federation;
    char name[HUB_NAME_MAX + 1];
    uint32_t slots;
    struct wire_limits limits;
    struct pubkey relay; /* as WELCOME says; checked against the log later */
    struct signature welcome;
    uint64_t heard_ms;
    uint8_t *room;           /* for frames, WIRE_FRAME_MAX */
    struct wire_frame frame; /* the newest one */
};
stoa_result import_hub_open(struct cli *c, struct import_hub *h, const char *url);
void import_hub_close(struct import_hub *h);
/* Does WELCOME's signature fit the relay key that the log names? */
bool import_hub_proves(const struct import_hub *h, const struct pubkey *relay);
/* Which connection follows a slot. */
unsigned import_hub_peer(const struct import_hub *h, uint32_t slot);
/* Room for a frame to be encoded, and sending it. */
struct mp_writer import_hub_writer(struct import_hub *h);
stoa_result import_hub_send(struct import_hub *h, unsigned peer,
                            const struct mp_writer *w);
/* The next frame of any connection in h->frame; *got false: none within timeout_ms. ERROR
 * and BYE frames are failures. */
stoa_result import_hub_poll(struct import_hub *h, uint32_t timeout_ms, bool *got);
stoa_result import_hub_fetch(struct import_hub *h, uint32_t slot, uint64_t from);
stoa_result import_hub_subscribe(struct import_hub *h, uint32_t slot, uint64_t from);
stoa_result import_hub_checkpoint(struct import_hub *h, uint32_t slot);

/* ---- import_run.c ---- */

struct import_flight {
    uint32_t row; /* or party, while opening */
    uint32_t size;
    uint16_t code; /* refusal; 0: none */
    bool answered, accepted;
};
/* Earnings and payments of an account are two chains (the issuer's and the device's), and
 * nothing in the entries orders one against the other. So an account changes from one to
 * the other only when all it sent before is accepted: were an earning held back by a busy
 * hub, a payment sent after it could otherwise pass it. */
struct import_turn {
    uint32_t next;   /* row to write, NO_ROW */
    uint32_t flying; /* entries sent and not accepted */
    bool flying_pay; /* what they are */
    bool queued;     /* in `ready` */
};
struct import_run {
    struct cli *c;
    const struct bank *bank;
    const struct import_keys *keys;
    struct import_hub *hub;
    struct book *book;
    struct chain *device_chain, *hub_chain; /* by party, as sent */
    struct import_turn *turns;              /* by party */
    uint32_t *ready; /* ring of parties that have a row to write now */
    uint32_t ready_head, ready_count;
    struct import_flight *flights;
    uint8_t *envelopes; /* IMPORT_ENTRY_MAX each */
    uint32_t window;
    uint64_t head, tail; /* absolute numbers: head..tail are in flight */
    uint64_t unsent;     /* first one not yet in a frame */
    bool opening, trouble;
    uint32_t next; /* party to open next */
    uint64_t entries, accepted, refused, rounds;
    uint64_t retry_after_ms;
    uint64_t tokens, tokens_ms; /* thousandths of an entry the hub's rate lets out now */
    uint32_t refusals[512];     /* by code */
    uint64_t began_ms, rows_began_ms;
    uint32_t rows_before; /* in the ledger when this run began */
};
stoa_result import_run_open(struct import_run *r);
void import_run_close(struct import_run *r);
/* Read what the ledger holds, then subscribe. */
stoa_result import_catch_up(struct import_run *r);
/* Open accounts, write rows, wait until every one came back and was checked. */
stoa_result import_pipeline(struct import_run *r);

#endif
