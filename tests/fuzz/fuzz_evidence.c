/* Evidence accuses nobody of what he did not sign: no file, and no heap of pieces that an honest
 * hub and honest devices signed, is proven or reused; with a lying hub's pieces among them only
 * the log's own keys are accused, and only before readers who know the log. A head file holds only
 * with a head the hub gave. First byte: any bytes; a heap of honest pieces; honest and lying. */
#include <string.h>

#include "crypto/key.h"
#include "fuzz.h"
#include "input.h"
#include "tests/unit/audit/pieces.h"

#define PARTS_MAX 12

static struct pieces *good, *bad;

static bool accuses(enum evidence_verdict v)
{
    return v == EVIDENCE_PROVEN || v == EVIDENCE_REUSED;
}

static struct evidence_result judge(const void *data, size_t size, bool known)
{
    const struct evidence_trust trust = {.logs = &good->f->log_key[0], .log_count = known};
    struct evidence_result r;
    evidence_check(data, size, &trust, &r);
    PROPERTY(r.why[0] != 0 && memchr(r.why, 0, sizeof(r.why)) != NULL);
    PROPERTY(r.verdict <= EVIDENCE_CLEARED);
    return r;
}

static void check_head(const void *data, size_t size)
{
    const struct evidence_trust trust = {.logs = &good->f->log_key[0], .log_count = 1};
    struct head_file f;
    enum err e = head_file_check(data, size, &trust, &f);
    PROPERTY(e == ERR_OK || f.why[0] != 0);
    if (e != ERR_OK || !f.trusted)
        return;
    struct signed_head h = pieces_head(good, f.head.size);
    PROPERTY(hash_equal(&h.account, &f.head.account) && hash_equal(&h.head, &f.head.head) &&
             h.position == f.head.position);
}

static void honest_only(const void *data, size_t size)
{
    PROPERTY(!accuses(judge(data, size, true).verdict));
    PROPERTY(!accuses(judge(data, size, false).verdict));
}

static void with_a_liar(const void *data, size_t size)
{
    struct evidence_result r = judge(data, size, true), other = judge(data, size, false);
    struct pubkey relay = key_public(good->f->relay);
    PROPERTY(!accuses(other.verdict));
    if (r.verdict != EVIDENCE_PROVEN)
        PROPERTY(r.verdict != EVIDENCE_REUSED);
    else
        PROPERTY(other.verdict == EVIDENCE_UNTRUSTED &&
                 (pubkey_equal(&r.accused, &good->f->log_key[0].key) ||
                  pubkey_equal(&r.accused, &relay)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    struct buf out = {0};
    if (!good) {
        PROPERTY(crypto_start());
        good = pieces_open();
        bad = pieces_liar();
    }
    unsigned way = take_below(&in, 4);
    if (way == 0) {
        struct bytes raw = take_bytes(&in, size);
        honest_only(raw.data, raw.size);
        check_head(raw.data, raw.size);
        return 0;
    }
    if (way == 3) { /* a head file of honest lines */
        PROPERTY(buf_add(&out, HEAD_FILE_FIRST, strlen(HEAD_FILE_FIRST)));
        PROPERTY(evidence_put_log(&out, &good->f->log_key[take_below(&in, 2)]));
    } else {
        pieces_begin(good, &out, EVIDENCE_FORK + take_below(&in, 6));
    }
    for (unsigned parts = take_below(&in, PARTS_MAX); parts > 0; parts--) {
        uint64_t what = take(&in, 1);
        struct piece p = {.what = what & 0x7f};
        p.a = take(&in, 1);
        p.b = take(&in, 1);
        p.index = take(&in, 2);
        pieces_put(way == 2 && what & 0x80 ? bad : good, &out, &p);
    }
    size_t at = take(&in, 2);
    if (at > 0 && at <= out.size)
        out.data[at - 1] ^= (uint8_t)(1u << take_below(&in, 8));
    if (way == 3)
        check_head(out.data, out.size);
    else if (way == 2)
        with_a_liar(out.data, out.size);
    else
        honest_only(out.data, out.size);
    buf_close(&out);
    return 0;
}
