#include <string.h>

#include "ledger/evidence_check.h"

enum err head_file_check(const void *data, size_t size, const struct evidence_trust *trust,
                         struct head_file *out)
{
    struct evidence_result result;
    struct evidence_check x = {.trust = trust, .out = &result};
    static const char none[] = "this is no head file";
    memset(out, 0, sizeof(*out));
    memset(&result, 0, sizeof(result));
    memcpy(result.why, none, sizeof(none)); /* until something says it better */
    memcpy(out->why, none, sizeof(none));
    if (size > HEAD_FILE_BYTES_MAX || !evidence_open(&x.in, HEAD_FILE_FIRST, data, size))
        return ERR_MALFORMED;
    bool ok = evidence_take_log(&x) && evidence_take_keys(&x) &&
              evidence_take_head(&x, &out->head, &out->by);
    if (ok && !evidence_done(&x.in)) {
        static const char more[] = "something stands after the head";
        memcpy(result.why, more, sizeof(more));
        ok = false;
    }
    evidence_close(&x.in);
    out->log = x.log;
    out->trusted = x.trusted;
    memset(out->why, 0, sizeof(out->why));
    if (!ok)
        memcpy(out->why, result.why, sizeof(out->why));
    return ok ? ERR_OK : ERR_SIGNATURE;
}

enum err head_file_make(struct buf *out, const struct vkey *log, const struct signed_head *h,
                        const struct evidence_record keys[], size_t key_count)
{
    size_t from = out->size;
    struct head_file f;
    const struct evidence_trust trust = {.logs = log, .log_count = 1};
    bool ok = buf_add(out, HEAD_FILE_FIRST, strlen(HEAD_FILE_FIRST)) &&
              evidence_put_log(out, log) &&
              evidence_put_records(out, "key", keys, key_count) && evidence_put_head(out, h);
    enum err e = ok ? ERR_OK : ERR_MEMORY;
    if (ok && out->size - from > HEAD_FILE_BYTES_MAX)
        e = ERR_TOO_LARGE;
    if (e == ERR_OK &&
        (head_file_check(out->data + from, out->size - from, &trust, &f) != ERR_OK || !f.trusted))
        e = ERR_SIGNATURE;
    if (e != ERR_OK)
        out->size = from;
    return e;
}
