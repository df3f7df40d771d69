/* Account holders for tests of the sequencer: each keeps his own end of the chain, as a
 * client does, so several entries can be under way. */
#ifndef TESTS_SEQUENCER_PEOPLE_H
#define TESTS_SEQUENCER_PEOPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub.h"
#include "unit/account/kit.h"

struct person {
    struct hash id;
    uint32_t key; /* root `key`, device `key + 1` */
    struct chain chain;
    struct kit_entry entry; /* the newest he wrote */
};

/* Build the open of an account in `slot`; not submitted. */
void person_init(struct person *p, struct hub *h, uint32_t slot, uint32_t key);
/* The next entry, signed, on his own idea of the chain. */
void person_write(struct person *p, const struct payload *payload);
void person_pay(struct person *p, const struct hash *payee, int64_t amount);
void person_note(struct person *p, const char *text);

/* Submit the newest entry and expect it queued. */
void person_send(struct person *p, struct hub *h, uint64_t token);
/* Open and commit, one person per slot round robin, with `points` for each. */
void people_open(struct person people[], size_t count, struct hub *h, int64_t points);
/* Queue an accrue by the issuer; one at a time for each account. */
void people_fund(struct hub *h, const struct hash *account, int64_t points);
/* Same envelope bytes but another valid signature over the same body. */
void other_signature(struct kit_entry *out, const struct kit_entry *e);

#define EXPECT(code, call) assert_string_equal(err_word(code), err_word(call))
#define OK(call) EXPECT(ERR_OK, call)

#endif
