/* The report as canonical JSON: members sorted, no white space, integers that may pass 2^53 as
 * strings; nothing of host, clock or duration, so the same bytes in give the same bytes out. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/audit.h"

#define SCHEMA "stoa.audit/1"

static json_t *hex(const struct hash *h)
{
    char text[2 * HASH_BYTES + 1];
    hex_encode(text, h->b, HASH_BYTES);
    return json_string(text);
}

static json_t *u64(uint64_t v)
{
    return json_sprintf("%" PRIu64, v);
}

static json_t *i64(int64_t v)
{
    return json_sprintf("%" PRId64, v);
}

static json_t *checks_json(const struct audit_report *r)
{
    json_t *list = json_array();
    for (unsigned c = 1; c < AUDIT_CHECK_END; c++) {
        bool ran = r->ran >> c & 1;
        json_t *row = json_pack("{s:s, s:b}", "check", audit_check_word(c), "ran", ran);
        if (!ran)
            json_object_set_new(row, "why", json_string(r->skipped_why[c]));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *slot_json(const struct audit_slot_result *s)
{
    json_t *o = json_pack("{s:i, s:s, s:b, s:b}", "slot", (int)s->slot, "origin", s->origin,
                          "trusted", s->trusted, "quorum", s->quorum);
    json_object_set_new(o, "size", u64(s->size));
    json_object_set_new(o, "checked", u64(s->checked));
    json_object_set_new(o, "root", hex(&s->root));
    json_object_set_new(o, "state", hex(&s->digest));
    json_object_set_new(o, "accounts", u64(s->accounts));
    json_object_set_new(o, "withheld", u64(s->withheld));
    json_object_set_new(o, "accrued", i64(s->accrued));
    json_object_set_new(o, "adjusted", i64(s->adjusted));
    json_object_set_new(o, "balances", i64(s->balances));
    json_object_set_new(o, "in_flight", i64(s->in_flight));
    json_object_set_new(o, "witnesses",
                        json_integer(__builtin_popcountll(s->witnesses)));
    return o;
}

static json_t *finding_json(const struct audit_finding *f)
{
    json_t *o = json_pack(
        "{s:o, s:s, s:s, s:i, s:s, s:s, s:s}", "id",
        json_sprintf("A%d", AUDIT_FINDING_FIRST + (int)f->check), "check",
        audit_check_word(f->check), "severity",
        f->severity == AUDIT_CRITICAL ? "critical" : "warning", "slot", (int)f->slot,
        "text", f->text, "expected", f->expected, "found", f->found);
    if (!o)
        return NULL;
    if (f->index != UINT64_MAX)
        json_object_set_new(o, "index", u64(f->index));
    if (f->file[0]) {
        json_object_set_new(o, "file", json_string(f->file));
        json_object_set_new(o, "offset", u64(f->offset));
    }
    if (f->code != ERR_OK)
        json_object_set_new(o, "code", json_string(err_word(f->code)));
    if (f->evidence[0])
        json_object_set_new(o, "evidence", json_string(f->evidence));
    return o;
}

enum err audit_report_json(const struct audit_report *r, struct buf *out)
{
    json_t *slots = json_array(), *findings = json_array();
    for (size_t i = 0; i < r->slot_count; i++)
        json_array_append_new(slots, slot_json(&r->slots[i]));
    for (size_t i = 0; i < r->finding_count; i++)
        json_array_append_new(findings, finding_json(&r->findings[i]));
    static const char *const verdicts[] = {"good", "findings", "incomplete"};
    json_t *o = json_pack(
        "{s:s, s:s, s:o, s:b, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
        SCHEMA, "hub", r->hub, "policy", hex(&r->policy), "first_use", r->first_use, "mode",
        r->mode == AUDIT_FULL ? "full" : "tip", "verdict", verdicts[audit_exit(r)],
        "conserved", r->conserved, "checks", checks_json(r), "slots", slots, "findings",
        findings, "more_findings", u64(r->finding_more), "records", u64(r->records),
        "checked", u64(r->checked));
    char *text = o ? json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    bool ok = text && buf_add(out, text, strlen(text)) && buf_add(out, "\n", 1);
    free(text);
    json_decref(o);
    return ok ? ERR_OK : ERR_MEMORY;
}
