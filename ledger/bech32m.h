/* Checksummed text of BIP 350 (bech32m) for one payload size: 32 bytes. Pure, no heap.
 * (https://github.com/bitcoin/bips/blob/master/bip-0350.mediawiki) */
#ifndef LEDGER_BECH32M_H
#define LEDGER_BECH32M_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BECH32M_PAYLOAD_BYTES 32
#define BECH32M_DATA_CHARS 58 /* 52 of payload, 6 of checksum */

/* Length of the text for a prefix (1..22 lower-case letters); no final zero is written. */
size_t bech32m_encode(char *out, const char *prefix,
                      const uint8_t payload[BECH32M_PAYLOAD_BYTES]);
/* One case throughout. False: another prefix or length, a strange character, mixed case,
 * padding that is not zero, or a wrong checksum; `payload` is then not to be used. */
bool bech32m_decode(uint8_t payload[BECH32M_PAYLOAD_BYTES], const char *prefix,
                    const char *text, size_t size);
/* The checksum predicate alone over prefix and 5-bit values, for published vectors. */
bool bech32m_checksum_ok(const char *text, size_t size);

#endif
