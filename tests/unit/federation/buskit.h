/* A slot's log as its owner has it, and the messages the owner sends about it. */
#ifndef TESTS_FEDERATION_BUSKIT_H
#define TESTS_FEDERATION_BUSKIT_H

#include "federation/bus.h"

#define KIT_RECORDS 48
#define KIT_ENVELOPE 100

struct bus_kit {
    struct key *key;
    struct vkey vkey;
    uint32_t slot;
    uint8_t envelopes[KIT_RECORDS][KIT_ENVELOPE];
    struct record records[KIT_RECORDS];
};
/* "hub.example/<slot>"; `seed` tells logs of one slot apart. */
void bus_kit_make(struct bus_kit *k, uint32_t slot, uint8_t seed);
void bus_kit_close(struct bus_kit *k);
struct frontier bus_kit_at(const struct bus_kit *k, size_t size);
size_t bus_kit_note(const struct bus_kit *k, size_t size, char out[CHECKPOINT_BYTES_MAX]);

/* An owner's message [first, last), carried or only rung, into `out`; its size. */
struct kit_message {
    const char *sender;
    uint64_t epoch;
    size_t first, last;
    bool carry;
    uint8_t bytes[BUS_MESSAGE_MAX];
    size_t size;
    struct bus_message m;
};
/* Encode and decode again: `m` points into `bytes`. */
void bus_kit_message(const struct bus_kit *k, struct kit_message *x);

#endif
