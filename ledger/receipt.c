#include "ledger/receipt.h"

#include <string.h>

#include "ledger/mp.h"

#define FIELDS 6
#define FIELDS_BYTES 128 /* of all but the envelope */

void receipt_close(struct receipt *r)
{
    buf_close(&r->room);
}

static bool take_extra(struct receipt *out)
{
    const struct tlog_proof *p = &out->proof;
    size_t n = 0, size;
    uint64_t slot = 0;
    struct bytes envelope;
    if (!p->extra || !buf_reserve(&out->room, p->extra_size))
        return false;
    if (!base64_decode(out->room.data, out->room.cap, &size, p->extra, p->extra_size))
        return false;
    out->room.size = size;
    struct mp_reader m = mp_reader_of(out->room.data, size);
    if (!mp_read_array(&m, &n, FIELDS) || n != FIELDS || !mp_read_uint(&m, &slot) ||
        !mp_read_uint(&m, &out->r.position) ||
        !mp_read_bin_exact(&m, out->r.account_head.b, HASH_BYTES) ||
        !mp_read_uint(&m, &out->r.hub_lamport) || !mp_read_uint(&m, &out->r.hub_time_ms) ||
        !mp_read_bin(&m, &envelope, ENVELOPE_BYTES_MAX) || !mp_done(&m) || slot >= SLOTS_MAX)
        return false;
    out->r.slot = (uint32_t)slot;
    out->r.envelope = envelope;
    return true;
}

enum err receipt_parse(struct receipt *out, const char *text, size_t size)
{
    memset(out, 0, sizeof(*out));
    if (size > RECEIPT_BYTES_MAX || !tlog_proof_parse(&out->proof, text, size) ||
        !take_extra(out))
        return ERR_MALFORMED;
    out->r.index = out->proof.index;
    return ERR_OK;
}

enum err receipt_format(struct buf *out, const struct record *r, const struct hash path[],
                        size_t count, struct bytes note)
{
    struct buf extra = {0}, text = {0};
    struct tlog_proof p = {.index = r->index, .path_count = count};
    enum err e = ERR_MEMORY;
    if (count > MERKLE_PATH_MAX || r->envelope.size > ENVELOPE_BYTES_MAX)
        return ERR_TOO_LARGE;
    memcpy(p.path, path, count * sizeof(path[0]));
    p.note = (const char *)note.data;
    p.note_size = note.size;
    size_t room = FIELDS_BYTES + r->envelope.size, base64 = (room + 2) / 3 * 4 + 1;
    if (!buf_reserve(&extra, room) || !buf_reserve(&text, base64) ||
        !buf_reserve(out, RECEIPT_BYTES_MAX))
        goto end;
    struct mp_writer m = mp_writer_of(extra.data, extra.cap);
    mp_array(&m, FIELDS);
    mp_uint(&m, r->slot);
    mp_uint(&m, r->position);
    mp_bin(&m, r->account_head.b, HASH_BYTES);
    mp_uint(&m, r->hub_lamport);
    mp_uint(&m, r->hub_time_ms);
    mp_bin(&m, r->envelope.data, r->envelope.size);
    p.extra = (const char *)text.data;
    p.extra_size = base64_encode((char *)text.data, text.cap, extra.data, m.size);
    size_t n = tlog_proof_format((char *)out->data + out->size, out->cap - out->size, &p);
    e = n > 0 && !m.full ? ERR_OK : ERR_TOO_LARGE;
    out->size += n;
end:
    buf_close(&extra);
    buf_close(&text);
    return e;
}
