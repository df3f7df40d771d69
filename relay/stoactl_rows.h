/* What an issuer has to write: rows of a CSV file or one from the command line. Pure but
 * for its memory. */
#ifndef RELAY_STOACTL_ROWS_H
#define RELAY_STOACTL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "ledger/kinds.h"

#define ROWS_MAX 2000000
#define ROWS_FILE_BYTES_MAX (UINT64_C(512) << 20)
#define ROWS_COLUMNS_MAX 32
#define ROWS_PROBLEMS_MAX 20
#define ROWS_PROBLEM_TEXT_MAX 200

enum row_state {
    ROW_OPEN,     /* nothing known of it */
    ROW_ACCEPTED, /* durable in the log */
    ROW_ALREADY,  /* accepted by an earlier run, or epoch passed */
    ROW_REFUSED,  /* by the rules: `code` */
    ROW_UNKNOWN   /* sent and not answered */
};

#define ROW_NONE SIZE_MAX

struct row {
    struct hash account;
    struct hash node;   /* accrue */
    uint64_t epoch;     /* accrue */
    int64_t amount;     /* accrue: > 0; adjust: delta */
    const char *reason; /* adjust; in the text of the rows */
    size_t line;        /* in the file; 0: command line */
    size_t next;        /* next row of this account, or ROW_NONE */
    enum row_state state;
    uint64_t code;
    uint64_t index;    /* accepted: in the slot's log */
    uint8_t *envelope; /* built by an earlier run and saved: sent as it is. Owned */
    size_t envelope_size;
    struct hash key; /* what a journal knows the row by */
};

struct rows {
    enum kind kind; /* KIND_ACCRUE or KIND_ADJUST */
    struct row *row;
    size_t count;
    char *text; /* owned; reasons point into it */
    size_t problem_count;
    struct {
        size_t line;
        char text[ROWS_PROBLEM_TEXT_MAX];
    } problems[ROWS_PROBLEMS_MAX];
};

/* Parse CSV (RFC 4180, UTF-8, LF or CRLF) with a header line that names its columns, in
 * any order, others are passed over: account,node,epoch,amount or account,amount,reason.
 * `text` is taken over (heap), with a final zero behind its `size` bytes. Accounts are
 * addresses or 64 hex digits, a node is a name or 64 hex digits. Epochs of one account
 * and node must rise within the file. False: problems (told in out->problems, the first
 * ROWS_PROBLEMS_MAX) or no memory. */
bool rows_parse(struct rows *out, enum kind kind, char *text, size_t size);
/* One row from words; the same checks. */
bool rows_one(struct rows *out, enum kind kind, const char *account, const char *node,
              const char *epoch, const char *amount, const char *reason);
void rows_close(struct rows *r);
/* Link the rows of each account in order and name them for the journal (equal rows by
 * their count). Called by the two above. */
bool rows_link(struct rows *r);

#endif
