/* A forged log as an export: written as a directory first, and exported from there as stoa-audit
 * does it with --unverified, faults and all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/export.h"
#include "client/audit/image.h"
#include "client/audit/source.h"

#define PATH_ROOM 800
#define FILE_ROOM (8u << 20)

static void fill_report(struct audit_report *r, const struct forge *f)
{
    struct checkpoint c;
    for (uint32_t i = 0; i < FORGE_SLOTS; i++) {
        struct audit_slot_result *s = &r->slots[r->slot_count++];
        const struct forge_slot *from = &f->slot[i];
        const char *end = memmem(from->note, from->note_size, "\n\n", 2);
        s->slot = i;
        s->size = from->count;
        snprintf(s->origin, sizeof(s->origin), "%s", f->log_key[i].name);
        if (end && checkpoint_parse(&c, from->note, (size_t)(end + 1 - from->note)))
            s->root = c.root;
    }
}

static bool export_from(struct audit_source *s, const struct forge *f, bool sqlite,
                        const char *path)
{
    char why[AUDIT_WHY_MAX] = "";
    uint64_t records;
    struct export_writer w;
    struct audit_report *r = calloc(1, sizeof(*r));
    FILE *out = NULL;
    bool ok = r != NULL;
    if (ok && sqlite)
        ok = export_sqlite_open(&w, path, why) == ERR_OK;
    else if (ok)
        ok = (out = fopen(path, "wbe")) != NULL;
    if (ok && out)
        w = export_jsonl(out);
    if (ok) {
        fill_report(r, f);
        ok = export_run(s, r, false, &w, NULL, &records, why) == ERR_OK;
        if (sqlite)
            export_sqlite_close(&w);
    }
    if (out)
        ok = fclose(out) == 0 && ok;
    if (!ok)
        fprintf(stderr, "selftest: no export could be made: %s\n", why);
    free(r);
    return ok;
}

bool image_export_write(const struct forge *f, bool sqlite, const char *path)
{
    char folder[PATH_ROOM], why[AUDIT_WHY_MAX];
    struct audit_source *s;
    snprintf(folder, sizeof(folder), "%.700s%s", path, IMAGE_BESIDE);
    if (!image_write(f, IMAGE_DIRECTORY, folder) ||
        audit_source_open(&s, folder, NULL, why) != ERR_OK)
        return false;
    bool ok = export_from(s, f, sqlite, path);
    s->ops->close(s);
    return ok;
}

/* ---- what only lines have ------------------------------------------------------------------ */

/* The line's first byte, and its length with the LF; NULL past the end. */
static char *line_of(char *text, size_t size, size_t number, size_t *length)
{
    char *at = text, *end = text + size;
    for (size_t i = 1; at < end; i++) {
        char *lf = memchr(at, '\n', (size_t)(end - at));
        char *next = lf ? lf + 1 : end;
        *length = (size_t)(next - at);
        if (i == number)
            return at;
        at = next;
    }
    return NULL;
}

static bool turn_member(char *line, size_t length, const char *member)
{
    char name[40];
    int n = snprintf(name, sizeof(name), "\"%s\":", member);
    char *at = memmem(line, length, name, (size_t)n);
    if (!at)
        return false;
    at += n;
    at += *at == '"';
    *at = (char)(*at == '1' ? '2' : *at == 'A' ? 'B' : *at == '"' ? '"' : *at >= 'a' ? '1' : 'A');
    if (*at == 'A' && strcmp(member, "envelope") != 0 && strcmp(member, "leaf") != 0)
        *at = '1'; /* digits of numbers and hex stay what they may be */
    return true;
}

bool image_line(const char *path, size_t number, enum image_change change, const char *member)
{
    size_t size = 0, length = 0, more;
    char *room = malloc(FILE_ROOM), *copy = malloc(FILE_ROOM);
    FILE *f = room && copy ? fopen(path, "rbe") : NULL;
    if (f) {
        size = fread(room, 1, FILE_ROOM / 2, f);
        fclose(f);
    }
    char *line = line_of(room, size, number, &length);
    bool ok = line != NULL;
    if (ok) {
        size_t tail = size - (size_t)(line - room) - length;
        switch (change) {
        case IMAGE_DROP:
            memmove(line, line + length, tail);
            size -= length;
            break;
        case IMAGE_DOUBLE:
            memmove(line + 2 * length, line + length, tail);
            memcpy(line + length, line, length);
            size += length;
            break;
        case IMAGE_SWAP: /* with the next one */
            ok = line_of(room, size, number + 1, &more) != NULL;
            if (ok) {
                memcpy(copy, line, length);
                memmove(line, line + length, more);
                memcpy(line + more, copy, length);
            }
            break;
        case IMAGE_CUT:
            size = (size_t)(line - room) + length / 2;
            break;
        case IMAGE_END:
            size = (size_t)(line - room) + length;
            break;
        case IMAGE_TURN:
            ok = turn_member(line, length, member);
            break;
        }
    }
    f = ok ? fopen(path, "wbe") : NULL;
    ok = f && fwrite(room, 1, size, f) == size;
    ok = f && fclose(f) == 0 && ok;
    free(room);
    free(copy);
    return ok;
}
