/* A snapshot that restores is the one the restored slot writes; what is signed by the
 * relay but wrong in itself is refused without a leak. First byte: how many parts, and
 * whether digest, chain and signature are made good here (bits 0..2); then the parts'
 * bytes. */
#include <string.h>

#include "crypto/context.h"
#include "fuzz.h"
#include "input.h"
#include "ledger/slotlog.h"
#include "ledger/slotlog_order.h"
#include "other.h"

#define PARTS_MAX 4
#define END_BYTES (5 + 2 * HASH_BYTES + SIG_BYTES)
#define ROOM (1u << 18)
#define HEAD_BYTES 5

static uint8_t parts[PARTS_MAX][ROOM];
static struct bytes spans[PARTS_MAX];
static uint8_t emitted[PARTS_MAX * ROOM];
static size_t emitted_size;

static bool emit(void *context, struct bytes part)
{
    (void)context;
    PROPERTY(emitted_size + part.size <= sizeof emitted);
    memcpy(emitted + emitted_size, part.data, part.size);
    emitted_size += part.size;
    return true;
}

/* The slot digest of whatever states stand between header and end. */
static struct hash digest_of(size_t count)
{
    struct slot_digest d;
    struct hub_account h;
    slot_digest_begin(&d, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = spans[i].data, *end = at + spans[i].size;
        while (end - at >= HEAD_BYTES) {
            size_t size =
                (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
            uint8_t tag = at[0];
            at += HEAD_BYTES;
            if (size > (size_t)(end - at))
                break;
            struct bytes state = bytes_of(at, size);
            at += size;
            if (tag == 'G' && hub_account_decode(&h, &alloc_heap, state) == ERR_OK) {
                struct hash digest =
                    hash_context(CTX_ACCOUNT_STATE, state.data, state.size);
                slot_digest_begin(&d, &h.id, &digest);
                hub_account_close(&h);
            }
            struct account a;
            if (tag == 'A' && account_decode(&a, &alloc_heap, state) == ERR_OK) {
                slot_digest_add(&d, &a.id, state);
                account_close(&a);
            }
        }
    }
    return slot_digest_end(&d);
}

/* Put a good end behind the last part. */
static void sign_end(size_t count, bool good_digest)
{
    struct hash chain = {{0}}, digest = {{0}};
    uint8_t *end = parts[count - 1] + spans[count - 1].size, message[2 * HASH_BYTES];
    if (good_digest)
        digest = digest_of(count);
    for (size_t i = 0; i < count; i++)
        chain = hash_context2(CTX_SNAPSHOT, chain.b, HASH_BYTES, spans[i].data,
                              spans[i].size);
    memcpy(message, digest.b, HASH_BYTES);
    memcpy(message + HASH_BYTES, chain.b, HASH_BYTES);
    struct signature sig = key_sign(known_key(0), CTX_SNAPSHOT, message, sizeof message);
    static const uint8_t head[HEAD_BYTES] = {'E', 0, 0, 0, END_BYTES - HEAD_BYTES};
    memcpy(end, head, sizeof head);
    memcpy(end + HEAD_BYTES, message, sizeof message);
    memcpy(end + HEAD_BYTES + sizeof message, sig.b, SIG_BYTES);
    spans[count - 1].size += END_BYTES;
}

/* The header names a tree this slot does not hold here: it is left out. */
static struct bytes without_header(const uint8_t *data, size_t size)
{
    PROPERTY(size >= HEAD_BYTES && data[0] == 'H');
    size_t header = HEAD_BYTES + ((size_t)data[3] << 8 | data[4]);
    PROPERTY(header + END_BYTES <= size);
    return bytes_of(data + header, size - header - END_BYTES);
}

static void check_restored(struct slotlog *s, size_t count, tree_size size)
{
    static uint8_t joined[PARTS_MAX * ROOM];
    size_t total = 0;
    struct hash digest;
    PROPERTY(size > 0 && s->hub.open && s->hub.slot == s->slot);
    for (size_t i = 0; i < count; i++) {
        memcpy(joined + total, spans[i].data, spans[i].size);
        total += spans[i].size;
    }
    emitted_size = 0;
    PROPERTY(slotlog_snapshot(s, known_key(0), emit, NULL) == ERR_OK);
    struct bytes a = without_header(joined, total);
    struct bytes b = without_header(emitted, emitted_size);
    PROPERTY(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    PROPERTY(slotlog_digest(s, &digest) == ERR_OK);
    const uint8_t *end = joined + total - END_BYTES + HEAD_BYTES;
    PROPERTY(memcmp(end, digest.b, HASH_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slotlog s;
    struct input in = input_of(data, size);
    struct pubkey relay = known_pub(0);
    unsigned how = (unsigned)take(&in, 1);
    size_t count = 1 + (how >> 4) % PARTS_MAX;
    if (size > ROOM - END_BYTES)
        return 0;
    for (size_t i = 0; i < count; i++) {
        struct bytes part =
            take_bytes(&in, i + 1 < count ? take(&in, 2) : ROOM - END_BYTES);
        if (part.size > 0)
            memcpy(parts[i], part.data, part.size);
        spans[i] = bytes_of(parts[i], part.size);
    }
    if (how & 1)
        sign_end(count, how & 2);
    tree_size tree = 0;
    struct hash root;
    PROPERTY(slotlog_init(&s, &alloc_heap, 1, how) == ERR_OK);
    enum err e = slotlog_restore(&s, spans, count, &relay, &tree, &root);
    PROPERTY(e == ERR_OK || e == ERR_CORRUPT);
    if (e == ERR_OK)
        check_restored(&s, count, tree);
    slotlog_close(&s);
    return 0;
}
