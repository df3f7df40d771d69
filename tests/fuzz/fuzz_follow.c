/* A holder's own checkpoint of an account: what decodes is, encoded again, the same bytes and
 * within its limits; with one byte changed and its digest not made good it never decodes, and
 * with the digest made good it decodes to what it says or is corrupt. First byte: which state
 * (none, or an account that was opened; bit 7: bytes as they are); then edits: where (2), how
 * many bytes of 8, what, and in the last one whether the digest is made good. */
#include <string.h>

#include "client/follow.h"
#include "crypto/context.h"
#include "fuzz.h"
#include "input.h"
#include "ledger/mp.h"
#include "other.h"
#include "tests/unit/account/kit.h"

#define SLOT 1
#define SLOTS 2
#define ROOM (1u << 16)

static uint8_t image[2][ROOM], again[ROOM];
static size_t image_size[2];

static void apply(struct follow *f, const struct kit_entry *e, uint64_t index, uint64_t lamport)
{
    struct record r = {.slot = SLOT,
                       .index = index,
                       .position = 0,
                       .hub_lamport = lamport,
                       .hub_time_ms = 1700000000000 + index,
                       .envelope = e->e.envelope};
    PROPERTY(follow_apply(f, &e->e, &r) == ERR_OK);
}

static void make_images(void)
{
    static struct kit_entry opened, open;
    struct follow f;
    struct follow_proof p = {.position = 1, .size = 2};
    if (image_size[0] > 0)
        return;
    PROPERTY(crypto_start());
    kit_log_open(&opened, &(struct kit_log){.federation = kit_hash(7),
                                            .hub = "hub.test",
                                            .slot = SLOT,
                                            .slots = SLOTS,
                                            .issuer = kit_key(1),
                                            .relay = known_key(0),
                                            .log = kit_key(3)});
    kit_open_in_slot(&open,
                     &(struct kit_open){.federation = kit_hash(7),
                                        .hub = "hub.test",
                                        .root = kit_key(4),
                                        .device = kit_key(5)},
                     SLOT, SLOTS);
    for (unsigned i = 0; i < 2; i++) {
        follow_init(&f, &alloc_heap, &open.e.id, &opened.e.id, SLOT);
        apply(&f, &opened, 0, 1);
        if (i == 1)
            apply(&f, &open, 1, 2);
        PROPERTY(follow_encode_size(&f) <= ROOM);
        image_size[i] = follow_encode(&f, &p, image[i], ROOM);
        PROPERTY(image_size[i] > HASH_BYTES);
        follow_close(&f);
    }
}

static bool check(const uint8_t *data, size_t size)
{
    struct follow f;
    struct follow_proof p;
    enum err e = follow_decode(&f, &alloc_heap, &p, bytes_of(data, size));
    PROPERTY(e == ERR_OK || e == ERR_CORRUPT);
    if (e != ERR_OK)
        return false;
    PROPERTY(f.slot < SLOTS_MAX && follow_encode_size(&f) <= ROOM);
    PROPERTY(!f.hub.open || (f.hub.slot == f.slot && hash_equal(&f.hub.id, &f.hub_id)));
    PROPERTY(f.account.position == 0 || hash_equal(&f.account.id, &f.id));
    PROPERTY(follow_encode(&f, &p, again, ROOM) == size && memcmp(again, data, size) == 0);
    follow_close(&f);
    return true;
}

/* Bytes of the digest itself: a bin of 32 at the end. */
static void make_good(uint8_t *data, size_t size)
{
    struct hash d = hash_context(CTX_CHECKPOINT, data, size - HASH_BYTES - 2);
    memcpy(data + size - HASH_BYTES, d.b, HASH_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    make_images();
    unsigned flags = take_below(&in, 256), which = flags & 1;
    if (flags & 128) {
        uint8_t *raw = malloc(in.left ? in.left : 1);
        PROPERTY(raw != NULL);
        if (in.left > 0)
            memcpy(raw, in.at, in.left);
        if (in.left > HASH_BYTES + 2 && flags & 64)
            make_good(raw, in.left);
        (void)check(raw, in.left);
        free(raw);
        return 0;
    }
    size_t n = image_size[which];
    uint8_t *changed = malloc(n);
    PROPERTY(changed != NULL);
    memcpy(changed, image[which], n);
    bool good = flags & 64;
    for (unsigned edits = 0; in.left > 0 && edits < 8; edits++) {
        size_t at = (size_t)take(&in, 2) % n;
        for (unsigned many = 1 + take_below(&in, 8); many > 0 && at < n; many--, at++)
            changed[at] = (uint8_t)take(&in, 1);
    }
    bool same = memcmp(changed, image[which], n) == 0;
    if (good)
        make_good(changed, n);
    bool ok = check(changed, n);
    PROPERTY(!same || ok);
    PROPERTY(good || same || !ok);
    free(changed);
    return 0;
}
