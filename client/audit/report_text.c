/* The report for people: a few lines of text, and a page. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/audit/audit.h"

#define LINE_MAX_BYTES 2048

struct page {
    struct buf *out;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void add(struct page *p, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= sizeof(line) || !buf_add(p->out, line, (size_t)n))
        p->failed = true;
}

static unsigned ran(const struct audit_report *r)
{
    return (unsigned)__builtin_popcountll(r->ran);
}

/* "1234567.500000 points" of micro-points */
static void points(char out[48], int64_t micro)
{
    uint64_t n = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    snprintf(out, 48, "%s%" PRIu64 ".%06" PRIu64, micro < 0 ? "-" : "", n / 1000000,
             n % 1000000);
}

static const char *verdict(const struct audit_report *r)
{
    switch (audit_exit(r)) {
    case 0:
        return "GOOD";
    case 1:
        return "FAIL";
    default:
        return "INCOMPLETE";
    }
}

static void sums(const struct audit_report *r, int64_t *balances, int64_t *made,
                 int64_t *flying, uint64_t *accounts, unsigned *quorum)
{
    *balances = *made = *flying = 0;
    *accounts = 0;
    *quorum = 0;
    for (size_t i = 0; i < r->slot_count; i++) {
        const struct audit_slot_result *s = &r->slots[i];
        *balances += s->balances;
        *made += s->accrued + s->adjusted;
        *flying += s->in_flight;
        *accounts += s->accounts;
        *quorum += s->trusted && s->quorum;
    }
}

static void finding_text(struct page *p, const struct audit_finding *f)
{
    char where[64] = "the log";
    if (f->index != UINT64_MAX)
        snprintf(where, sizeof(where), "record %" PRIu64, f->index);
    add(p, "  A%d %s  slot %02x %s  %s: %s\n", AUDIT_FINDING_FIRST + (int)f->check,
        f->severity == AUDIT_CRITICAL ? "critical" : "warning", (unsigned)f->slot, where,
        audit_check_word(f->check), f->text);
    if (f->file[0])
        add(p, "        in %s, %s %" PRIu64 "\n", f->file,
            strncmp(f->file, "table", 5) == 0 ? "row" : "byte", f->offset);
    if (f->expected[0])
        add(p, "        expected %s\n", f->expected);
    if (f->found[0])
        add(p, "        found    %s\n", f->found);
    if (f->evidence[0])
        add(p, "        evidence %s\n", f->evidence);
}

enum err audit_report_text(const struct audit_report *r, struct buf *out)
{
    struct page p = {.out = out};
    char hash[2 * HASH_BYTES + 1], a[48], b[48], c[48];
    int64_t balances, made, flying;
    uint64_t accounts;
    unsigned quorum;
    sums(r, &balances, &made, &flying, &accounts, &quorum);
    hex_encode(hash, r->policy.b, HASH_BYTES);
    points(a, balances);
    points(b, flying);
    points(c, made);
    add(&p, "policy   sha256:%s%s\n", hash,
        r->first_use ? "  made from the source itself, on first use: it shows that nothing "
                       "changed since, not whose log this is"
                     : "");
    add(&p, "hub      %s  %zu logs", r->hub[0] ? r->hub : "none that the policy knows",
        r->slot_count);
    if (r->skipped >> AUDIT_COSIGN & 1)
        add(&p, ", no witness asked for\n");
    else
        add(&p, ", %u with the policy's quorum of witnesses\n", quorum);
    add(&p, "read     %" PRIu64 " of %" PRIu64 " entries, %" PRIu64 " accounts, mode %s\n",
        r->checked, r->records, accounts, r->mode == AUDIT_FULL ? "full" : "tip");
    if (r->ran >> AUDIT_CONSERVATION & 1)
        add(&p, "points   %s on accounts + %s in flight %s %s accrued and adjusted\n", a, b,
            r->conserved ? "=" : "is not", c);
    add(&p, "checks   %u of %d ran\n", ran(r), AUDIT_CHECK_END - 1);
    for (unsigned i = 1; i < AUDIT_CHECK_END; i++)
        if (r->skipped >> i & 1)
            add(&p, "         %s skipped: %s\n", audit_check_word(i), r->skipped_why[i]);
    for (size_t i = 0; i < r->finding_count; i++)
        finding_text(&p, &r->findings[i]);
    if (r->finding_more)
        add(&p, "  and %zu more\n", r->finding_more);
    add(&p, "%s", verdict(r));
    if (audit_exit(r) == 2)
        add(&p, "  checked %" PRIu64 " of %" PRIu64 "; run it again to go on", r->checked,
            r->records);
    else
        add(&p, "  %zu findings", r->finding_count + r->finding_more);
    add(&p, "\n");
    return p.failed ? ERR_MEMORY : ERR_OK;
}

/* ---- HTML: one file, no script, nothing fetched ------------------------------------------
 */

static void escaped(struct page *p, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            add(p, "&lt;");
            break;
        case '>':
            add(p, "&gt;");
            break;
        case '&':
            add(p, "&amp;");
            break;
        case '"':
            add(p, "&quot;");
            break;
        default:
            add(p, "%c", *text);
        }
    }
}

static void cell(struct page *p, const char *text)
{
    add(p, "<td>");
    escaped(p, text);
    add(p, "</td>");
}

static void finding_html(struct page *p, const struct audit_finding *f)
{
    char text[192];
    snprintf(text, sizeof(text), "A%d", AUDIT_FINDING_FIRST + (int)f->check);
    add(p, "<tr>");
    cell(p, text);
    cell(p, f->severity == AUDIT_CRITICAL ? "critical" : "warning");
    cell(p, audit_check_word(f->check));
    snprintf(text, sizeof(text), "%02x", (unsigned)f->slot);
    cell(p, text);
    snprintf(text, sizeof(text), "%" PRIu64, f->index);
    cell(p, f->index == UINT64_MAX ? "" : text);
    snprintf(text, sizeof(text), "%s %" PRIu64, f->file, f->offset);
    cell(p, f->file[0] ? text : "");
    cell(p, f->text);
    cell(p, f->expected);
    cell(p, f->found);
    add(p, "</tr>\n");
}

static void slot_html(struct page *p, const struct audit_slot_result *s, bool quorum_asked)
{
    char text[2 * HASH_BYTES + 1];
    add(p, "<tr>");
    cell(p, s->origin);
    snprintf(text, sizeof(text), "%" PRIu64, s->size);
    cell(p, text);
    snprintf(text, sizeof(text), "%" PRIu64, s->checked);
    cell(p, text);
    snprintf(text, sizeof(text), "%" PRIu64, s->accounts);
    cell(p, text);
    snprintf(text, sizeof(text), "%" PRIu64, s->withheld);
    cell(p, text);
    cell(p, s->trusted ? "yes" : "no");
    cell(p, !quorum_asked ? "none asked for" : s->quorum ? "met" : "not met");
    hex_encode(text, s->root.b, HASH_BYTES);
    cell(p, text);
    add(p, "</tr>\n");
}

enum err audit_report_html(const struct audit_report *r, struct buf *out)
{
    struct page p = {.out = out};
    struct buf text = {0};
    add(&p, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<title>Audit of ");
    escaped(&p, r->hub);
    add(&p, "</title>\n<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem;"
            "color-scheme:light dark}table{border-collapse:collapse;display:block;"
            "overflow-x:auto}td,th{border:1px solid;padding:.2rem .5rem;text-align:left;"
            "vertical-align:top}td{overflow-wrap:anywhere}pre{white-space:pre-wrap}</style>\n"
            "<h1>%s</h1>\n<pre>",
        verdict(r));
    enum err e = audit_report_text(r, &text);
    if (e == ERR_OK && buf_add(&text, "", 1))
        escaped(&p, (const char *)text.data);
    buf_close(&text);
    add(&p, "</pre>\n");
    if (r->finding_count > 0) {
        add(&p, "<h2>Findings</h2>\n<table><tr><th>id<th>severity<th>check<th>slot<th>record"
                "<th>where<th>what<th>expected<th>found</tr>\n");
        for (size_t i = 0; i < r->finding_count; i++)
            finding_html(&p, &r->findings[i]);
        add(&p, "</table>\n");
    }
    add(&p, "<h2>Logs</h2>\n<table><tr><th>log<th>size<th>read<th>accounts<th>withheld"
            "<th>signed<th>quorum<th>root</tr>\n");
    for (size_t i = 0; i < r->slot_count; i++)
        slot_html(&p, &r->slots[i], !(r->skipped >> AUDIT_COSIGN & 1));
    add(&p, "</table>\n</html>\n");
    return p.failed ? ERR_MEMORY : e;
}
