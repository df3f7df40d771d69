#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/audit/engine.h"

static const struct {
    const char *word, *text;
} checks[AUDIT_CHECK_END] = {
#define ROW(name, number, word, text) [number] = {word, text},
    AUDIT_CHECKS(ROW)
#undef ROW
};

const char *audit_check_word(enum audit_check c)
{
    return c > 0 && c < AUDIT_CHECK_END ? checks[c].word : "?";
}

const char *audit_check_text(enum audit_check c)
{
    return c > 0 && c < AUDIT_CHECK_END ? checks[c].text : "?";
}

/* Which check a rule's refusal belongs to. Every code that decoding or applying an entry can
 * answer has a line of its own; what is none of theirs is the container's. */
enum audit_check audit_check_of(enum err e)
{
    switch (e) {
    case ERR_MALFORMED:
    case ERR_TOO_LARGE:
    case ERR_VERSION:
    case ERR_KIND_UNKNOWN:
    case ERR_KIND_RESERVED:
    case ERR_PAYLOAD:
    case ERR_REFS_ORDER:
    case ERR_PAYEES:
    case ERR_CHAIN:
        return AUDIT_ENCODING;
    case ERR_SIGNATURE:
        return AUDIT_SIGNATURE;
    case ERR_KEY_WEAK:
    case ERR_DEVICE_UNKNOWN:
    case ERR_DEVICE_REVOKED:
        return AUDIT_KEY_VALID;
    case ERR_SEQ_TAKEN:
    case ERR_GAP:
    case ERR_PREV:
    case ERR_REF_UNKNOWN:
    case ERR_GRANT:
        return AUDIT_CHAIN;
    case ERR_ACCOUNT_UNKNOWN:
        return AUDIT_ORDER;
    case ERR_ACCOUNT_EXISTS:
        return AUDIT_DUPLICATE;
    case ERR_LAMPORT:
        return AUDIT_LAMPORT;
    case ERR_BALANCE:
    case ERR_AMOUNT:
    case ERR_SUPPLY:
    case ERR_OVERFLOW:
    case ERR_SPLIT_SUM:
        return AUDIT_BALANCE;
    case ERR_CHANNEL:
        return AUDIT_CONSERVATION;
    case ERR_AUTHORITY:
    case ERR_FEDERATION:
    case ERR_ROOT_SIGNATURE:
    case ERR_INVITE_SIGNATURE:
    case ERR_COSIGNERS:
    case ERR_HUB_UNKNOWN:
    case ERR_EPOCH_OLD:
    case ERR_NODE_LIMIT:
    case ERR_MEMBER_UNKNOWN:
    case ERR_MEMBER_EXISTS:
    case ERR_MEMBER_LIMIT:
    case ERR_MEMBER_LAST:
    case ERR_DEVICE_EXISTS:
    case ERR_DEVICE_LIMIT:
    case ERR_DEVICE_LAST:
    case ERR_INVITE_UNKNOWN:
    case ERR_INVITE_EXPIRED:
    case ERR_INVITE_LIMIT:
    case ERR_POSITION_OPEN:
    case ERR_RECOVERY_NONE:
    case ERR_RECOVERY_EARLY:
    case ERR_RECOVERY_PENDING:
    case ERR_SPLIT_UNKNOWN:
    case ERR_RULES:
    case ERR_RULES_AHEAD:
    case ERR_KEY_USED:
    case ERR_EXPIRY:
        return AUDIT_AUTHORITY;
    default:
        return AUDIT_SOURCE;
    }
}

void find_add(struct slot_audit *s, const struct audit_finding *f)
{
    if (s->finding_count == AUDIT_SLOT_FINDINGS_MAX) {
        s->finding_more++;
        return;
    }
    s->findings[s->finding_count] = *f;
    s->findings[s->finding_count++].slot = s->slot;
}

void find_at(struct slot_audit *s, enum audit_check check, uint64_t index,
             const struct audit_record *r, const char *expected, const char *found,
             const char *format, ...)
{
    struct audit_finding f = {
        .check = check, .severity = AUDIT_CRITICAL, .code = ERR_OK, .index = index};
    va_list list;
    if (r) {
        snprintf(f.file, sizeof(f.file), "%s", r->file ? r->file : "");
        f.offset = r->offset;
    }
    snprintf(f.expected, sizeof(f.expected), "%s", expected);
    snprintf(f.found, sizeof(f.found), "%s", found);
    va_start(list, format);
    vsnprintf(f.text, sizeof(f.text), format, list);
    va_end(list);
    find_add(s, &f);
}

void skip_check(struct audit_report *r, enum audit_check c, const char *why)
{
    r->skipped |= UINT64_C(1) << c;
    r->ran &= ~(UINT64_C(1) << c);
    snprintf(r->skipped_why[c], sizeof(r->skipped_why[c]), "%s", why);
}

/* Findings of all slots, in the order of slots: the same for the same bytes, however threads
 * ran. */
void report_close_slots(struct audit *a)
{
    struct audit_report *r = a->report;
    for (size_t i = 0; i < a->count; i++) {
        const struct slot_audit *s = &a->slots[i];
        for (size_t k = 0; k < s->finding_count; k++) {
            if (r->finding_count == AUDIT_FINDINGS_MAX)
                r->finding_more++;
            else
                r->findings[r->finding_count++] = s->findings[k];
        }
        r->finding_more += s->finding_more;
    }
}

int audit_exit(const struct audit_report *r)
{
    for (size_t i = 0; i < r->finding_count; i++)
        if (r->findings[i].severity == AUDIT_CRITICAL)
            return 1;
    if (r->finding_more > 0)
        return 1;
    return r->complete ? 0 : 2;
}
