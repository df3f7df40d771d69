/* The certificate and the key that the client port shows: read, checked against each other,
 * and put in force for connections to come. TLS 1.2 and 1.3 only (RFC 9325). An edge: the only
 * file here that sees libssl; reads files, heap. No thread rules of its own. */
#ifndef RELAY_TLS_H
#define RELAY_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/err.h"

#define TLS_FILE_BYTES_MAX (256u << 10)
#define TLS_CHAIN_MAX 16 /* certificates in one file */
#define TLS_WHY_MAX 700

struct tls;

/* Both files are PEM: the certificate with its chain behind it, and a key without passphrase.
 * The key's file may be read by its owner and group, not by others, and written by its owner
 * only. `why` (TLS_WHY_MAX room) is a sentence that names the file. ERR_FILE: not a file that
 * can be read; ERR_AUTHORITY: others may read or change the key; ERR_CONFIG: what is in them
 * cannot be used; ERR_MEMORY. Released by tls_free. */
MUST_CHECK enum err tls_load(struct tls **out, const char *certificate, const char *key,
                             char *why);
/* NULL is allowed. */
void tls_free(struct tls *t);

/* When its certificate ends, ms since 1970; a certificate that is over is not refused: its
 * reader is the one to judge. */
int64_t tls_not_after_ms(const struct tls *t);
/* Which one it is: "sha256:<first bytes> until <date>"; "none" for NULL. */
#define TLS_TEXT_MAX 80
void tls_text(const struct tls *t, char out[TLS_TEXT_MAX]);

/* Put in force in an SSL_CTX, for handshakes from now on; the context keeps what it needs of
 * it. False: it was refused, and what was in force before still is. */
bool tls_use(const struct tls *t, void *ssl_context);

/* An SSL_CTX without anything in it, for a library that would otherwise load the system's roots
 * into one that is never used. NULL: no memory. Released by tls_nothing_free; NULL is allowed. */
void *tls_nothing(void);
void tls_nothing_free(void *ssl_context);

#endif
