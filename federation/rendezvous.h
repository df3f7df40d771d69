/* Which relay of a hub should sequence which slot: highest random weight (Thaler and
 * Ravishankar, 1998) with equal shares. Every relay comes to the same answer from the same
 * names, and one that comes or goes moves few slots beside its own share. Pure. */
#ifndef FEDERATION_RENDEZVOUS_H
#define FEDERATION_RENDEZVOUS_H

#include <stddef.h>
#include <stdint.h>

#define RENDEZVOUS_RELAYS_MAX 64
#define RENDEZVOUS_SLOTS_MAX 256
#define RENDEZVOUS_NONE UINT32_MAX

/* owner[slot] for slots [0, slots): the place of its relay among `names`, or RENDEZVOUS_NONE
 * when there are none. No relay gets more than one slot more than another. The order of the
 * names does not matter, their bytes do; none twice. */
void rendezvous(const char *const names[], size_t count, uint32_t slots, uint32_t owner[]);

/* How much the pair weighs: the first eight bytes, big-endian, of the hash in context
 * CTX_RENDEZVOUS over the slot as one byte and the name. */
uint64_t rendezvous_weight(const char *name, uint32_t slot);

#endif
