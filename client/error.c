#include <stdio.h>
#include <string.h>

#include "client/wallet.h"
#include "crypto/context.h"
#include "ledger/address.h"

stoa_result result_of(enum err code)
{
    switch (code) {
    case ERR_OK:
        return STOA_OK;
    case ERR_POLICY_RATE:
    case ERR_BUSY:
    case ERR_DRAINING:
    case ERR_SLOW:
        return STOA_LIMITED;
    case ERR_NOT_ALLOWED:
    case ERR_HELLO:
        return STOA_DENIED;
    case ERR_BEHIND:
    case ERR_FORK:
    case ERR_CORRUPT:
    case ERR_NOT_FOUND:
        return STOA_NO;
    case ERR_UNKNOWN:
        return STOA_UNKNOWN;
    case ERR_USAGE:
        return STOA_USAGE;
    case ERR_CONFIG:
    case ERR_FILE:
    case ERR_MISSING:
    case ERR_EXISTS:
    case ERR_LOCKED:
    case ERR_SCHEMA:
    case ERR_STORE_FULL:
        return STOA_CONFIG;
    case ERR_BUG:
    case ERR_MEMORY:
    case ERR_ROOM:
        return STOA_BUG;
    default:
        break;
    }
    if (code < 110 || code == ERR_FRAME || code == ERR_RULES_AHEAD)
        return STOA_DATA;
    if (code < 200)
        return code == ERR_UNAVAILABLE ? STOA_LIMITED : STOA_REFUSED;
    return STOA_UNREACHABLE;
}

/* What a person can do next, where the code alone says it. */
static const char *hint_of(enum err code)
{
    switch (code) {
    case ERR_BALANCE:
        return "send less, or wait for what is on its way";
    case ERR_SEQ_TAKEN:
    case ERR_PREV:
    case ERR_LAMPORT:
        return "another copy of this device wrote meanwhile: sync, then try again";
    case ERR_REF_UNKNOWN:
        return "others wrote much meanwhile: sync, then the same command again";
    case ERR_NET:
    case ERR_TIMEOUT:
        return "check the address and the network, then try again";
    case ERR_POLICY_RATE:
    case ERR_BUSY:
        return "wait and resume";
    case ERR_UNAVAILABLE:
    case ERR_DRAINING:
        return "wait a moment, then the same again";
    case ERR_DEVICE_UNKNOWN:
        return "ask a member to add this device";
    case ERR_RULES_AHEAD:
        return "use a newer version of this program";
    case ERR_BEHIND:
    case ERR_FORK:
        return "do not trust this hub's answers; show the evidence to another hub or "
               "auditor";
    case ERR_LOCKED:
        return "close the other program that uses this wallet";
    default:
        return "";
    }
}

__attribute__((format(printf, 4, 0))) static stoa_result
fill(stoa_error *e, stoa_result result, enum err code, const char *form, va_list args)
{
    stoa_error v = {.size = sizeof(v), .code = (int)code};
    if (!e)
        return result;
    v.retry = (stoa_retry)err_retry(code);
    snprintf(v.word, sizeof(v.word), "%s", err_word(code));
    vsnprintf(v.message, sizeof(v.message), form, args);
    snprintf(v.hint, sizeof(v.hint), "%s", hint_of(code));
    give(e, &v, sizeof(v));
    return result;
}

stoa_result because(stoa_error *e, enum err code, const char *form, ...)
{
    va_list args;
    va_start(args, form);
    stoa_result r = fill(e, result_of(code), code, form, args);
    va_end(args);
    return r;
}

stoa_result because_as(stoa_error *e, stoa_result result, enum err code, const char *form,
                       ...)
{
    va_list args;
    va_start(args, form);
    stoa_result r = fill(e, result, code, form, args);
    va_end(args);
    return r;
}

void because_hint(stoa_error *e, const char *hint)
{
    if (e)
        snprintf(e->hint, sizeof(e->hint), "%s", hint);
}

stoa_result because_store(stoa_wallet *w, stoa_error *e, enum err code)
{
    const char *why = w->store ? client_store_why(w->store) : "";
    if (code == ERR_MEMORY)
        return because(e, code, "out of memory");
    if (code == ERR_CORRUPT)
        return because_as(e, STOA_CONFIG, code, "%s", why);
    return because_as(e, STOA_CONFIG, code, "%s", why[0] ? why : err_text(code));
}

void give(void *out, const void *value, size_t size)
{
    size_t room;
    memcpy(&room, out, sizeof(room));
    if (room < sizeof(room) || room > size)
        room = size;
    memcpy((char *)out + sizeof(room), (const char *)value + sizeof(room),
           room - sizeof(room));
}

/* ---- words ---------------------------------------------------------------------------
 */

const char *stoa_version(void)
{
    return STOA_VERSION;
}

bool stoa_error_row(unsigned i, int *code, const char **word, const char **text,
                    stoa_retry *retry)
{
    enum err e;
    if (!err_row(i, &e))
        return false;
    *code = (int)e;
    *word = err_word(e);
    *text = err_text(e);
    *retry = (stoa_retry)err_retry(e);
    return true;
}

bool stoa_amount_parse(const char *text, int64_t *micro)
{
    return amount_parse(text, micro);
}

void stoa_amount_format(char out[32], int64_t micro)
{
    amount_format(out, micro);
}

_Static_assert(STOA_ADDRESS_MAX >= ADDRESS_TEXT_MAX, "room for an address");
_Static_assert(STOA_ENVELOPE_MAX == ENVELOPE_BYTES_MAX, "one limit");
_Static_assert(STOA_PAYEES_MAX == PAYEES_MAX && STOA_SHARES_MAX == MEMBERS_MAX,
               "one limit");
_Static_assert(STOA_HUB_NAME_MAX == HUB_NAME_MAX, "one limit");
_Static_assert(STOA_NAME_MAX == CLIENT_NAME_MAX, "one limit");

void stoa_address_format(char *out, const stoa_id *account, const char *hub)
{
    struct hash h = hash_of(account);
    (void)address_format(out, &h, hub);
}

bool stoa_address_parse(const char *text, stoa_id *account, char *hub)
{
    struct hash h;
    if (!address_parse(text, &h, hub))
        return false;
    *account = id_of(&h);
    return true;
}

void stoa_id_format(char out[65], const stoa_id *id)
{
    hex_encode(out, id->b, STOA_ID_BYTES);
}

bool stoa_id_parse(const char *text, stoa_id *id)
{
    return hex_decode(id->b, STOA_ID_BYTES, text, strlen(text));
}

const char *stoa_kind_word(unsigned kind)
{
    return kind_word(kind);
}

stoa_id stoa_node_id(const char *name)
{
    struct hash h = hash_context(CTX_NODE, name, strlen(name));
    return id_of(&h);
}
