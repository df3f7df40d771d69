/* How a person names an account: bech32m (BIP 350) of its 32-byte id with prefix "stoa",
 * optionally "@" and the home hub's name: stoa1q...@hub.example. Also the id by hex. Pure. */
#ifndef LEDGER_ADDRESS_H
#define LEDGER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/hash.h"
#include "ledger/kinds.h"

#define ADDRESS_TEXT_MAX (64 + 1 + HUB_NAME_MAX + 1)

/* `hub` NULL or "": without it. Returns the length; out has ADDRESS_TEXT_MAX room. */
size_t address_format(char *out, const struct hash *account, const char *hub);
/* Accepts one case throughout (upper case for QR codes). `hub` (HUB_NAME_MAX + 1 room, may be
 * NULL) becomes "" when none is named. False: bad checksum, length, prefix or hub name. */
bool address_parse(const char *text, struct hash *account, char *hub);

/* Points with up to six decimals to micro-points and back: "12.5" -> 12500000. Strict: no
 * sign, no exponent, no blanks, at most 1e12 points. */
bool amount_parse(const char *text, int64_t *micro);
/* "12.50": at least two decimals, no trailing zeros beyond them; out has 32 room. */
void amount_format(char *out, int64_t micro);

#endif
