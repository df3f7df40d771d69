/* Short texts that travel between wallets by hand: prefix, base64 of bytes and a
 * checksum. */
#ifndef CLIENT_TOKEN_H
#define CLIENT_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/wallet.h"

/* out has STOA_TOKEN_MAX room. False: does not fit. */
bool token_put(char *out, const char *prefix, const uint8_t *data, size_t size);
/* False: another prefix, or mistyped. Blanks around it are skipped. */
bool token_get(const char *text, const char *prefix, uint8_t *out, size_t cap,
               size_t *size);

stoa_result own_member(stoa_wallet *w, struct account_view *v, const struct member **out,
                       stoa_error *error);
stoa_result own_root(stoa_wallet *w, const struct member *m, const struct key **root,
                     stoa_error *error);
/* An entry of this kind that is saved and unresolved. */
stoa_result unresolved_kind(stoa_wallet *w, const struct hash *account, uint64_t kind,
                            struct hash *id, bool *found, stoa_error *error);
/* Deliver a saved entry as `how` says, and give its receipt. */
stoa_result finish_entry(stoa_wallet *w, const struct hash *account,
                         const struct hash *id, const stoa_how *how,
                         stoa_receipt *receipt, stoa_error *error);

#endif
