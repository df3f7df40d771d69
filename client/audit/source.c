#include "client/audit/source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/audit/source_edges.h"
#include "client/audit/source_export.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Leave out "user:password@" of a URL. */
static void name_of(char out[256], const char *where)
{
    const char *host = strstr(where, "://");
    const char *at = host ? strchr(host + 3, '@') : NULL;
    const char *slash = host ? strchr(host + 3, '/') : NULL;
    if (at && (!slash || at < slash))
        snprintf(out, 256, "%.*s%.200s", (int)(host + 3 - where), where, at + 1);
    else
        snprintf(out, 256, "%.255s", where);
}

enum err audit_source_open(struct audit_source **out, const char *where,
                           const struct audit_source_options *o, char why[AUDIT_WHY_MAX])
{
    static const struct audit_source_options none;
    struct stat st;
    enum err e;
    *out = NULL;
    why[0] = 0;
    if (!o)
        o = &none;
    if (strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0) {
        e = audit_source_url(out, where, o, why);
    } else if (strncmp(where, "postgresql:", 11) == 0 ||
               strncmp(where, "postgres:", 9) == 0) {
        e = audit_source_postgres(out, where, why);
    } else if (strncmp(where, "sqlite:", 7) == 0) {
        e = audit_source_sqlite(out, where + 7, why);
    } else if (strcmp(where, "-") == 0) {
        e = audit_source_export(out, where, why);
    } else if (stat(where, &st) != 0) {
        snprintf(why, AUDIT_WHY_MAX,
                 "%.200s: no such file or directory; a source is a hub's URL, a published "
                 "directory, a .jsonl export, a SQLite ledger or postgresql://..",
                 where);
        return ERR_MISSING;
    } else if (S_ISDIR(st.st_mode)) {
        e = audit_source_directory(out, where, why);
    } else if (ends_with(where, ".jsonl") || audit_export_is_sqlite(where)) {
        e = audit_source_export(out, where, why);
    } else {
        e = audit_source_sqlite(out, where, why);
    }
    if (e == ERR_OK)
        name_of((*out)->name, where);
    return e;
}

const char *audit_source_where(const struct audit_source *s, uint32_t slot)
{
    return s->ops->where ? s->ops->where(s, slot) : "";
}

enum err audit_source_later(struct audit_source *s, uint32_t slot, struct buf *note)
{
    return s->ops->later ? s->ops->later(s, slot, note) : s->ops->checkpoint(s, slot, note);
}
