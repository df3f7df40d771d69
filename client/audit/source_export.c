/* An export as a source: JSONL here, SQLite in source_export_sqlite.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/audit/export_line.h"
#include "client/audit/source_edges.h"
#include "client/audit/source_export.h"

#define COPY_BYTES 65536
#define FILE_NAME "export"

struct jsonl {
    struct audit_source base;
    int fd;
    struct bytes data; /* mapped */
    struct export_head head;
    uint32_t slots; /* of the hub, from its first log_open */
    uint64_t *lines; /* where each record's line begins */
    uint64_t line_count, line_cap;
    uint64_t first[SLOTS_MAX]; /* of head.slot[i]: number in lines */
    char where[SLOTS_MAX][AUDIT_WHY_MAX];
};

struct held {
    struct buf envelopes;
    struct export_record record;
};

static struct jsonl *jsonl_of(struct audit_source *s)
{
    return (struct jsonl *)(void *)s;
}

static const char *where_of(const struct audit_source *s, uint32_t slot)
{
    return ((const struct jsonl *)(const void *)s)->where[slot];
}

static void close_jsonl(struct audit_source *base)
{
    struct jsonl *s = jsonl_of(base);
    union {
        const void *from;
        void *to;
    } map = {.from = s->data.data}; /* munmap takes it without const */
    for (size_t i = 0; s->head.slot && i < SLOTS_MAX; i++)
        buf_close(&s->head.slot[i].note);
    free(s->head.slot);
    free(s->lines);
    if (map.to)
        (void)munmap(map.to, s->data.size);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

static const struct export_slot *slot_at(const struct jsonl *s, uint32_t slot, size_t *at)
{
    for (*at = 0; *at < s->head.slot_count; (*at)++)
        if (s->head.slot[*at].slot == slot)
            return &s->head.slot[*at];
    return NULL;
}

static enum err slots_of(struct audit_source *base, uint32_t out[], size_t *count)
{
    const struct jsonl *s = jsonl_of(base);
    for (size_t i = 0; i < s->head.slot_count; i++)
        out[i] = s->head.slot[i].slot;
    *count = s->head.slot_count;
    return ERR_OK;
}

static enum err checkpoint_of(struct audit_source *base, uint32_t slot, struct buf *note)
{
    size_t at;
    const struct export_slot *t = slot_at(jsonl_of(base), slot, &at);
    if (!t)
        return ERR_NOT_FOUND;
    return buf_add(note, t->note.data, t->note.size) ? ERR_OK : ERR_MEMORY;
}

/* Without its LF. */
static struct bytes line_at(const struct jsonl *s, uint64_t at)
{
    const uint8_t *from = s->data.data + at;
    const uint8_t *end = memchr(from, '\n', s->data.size - at);
    return bytes_of(from, (size_t)(end - from));
}

static void fill(struct audit_record *out, const struct export_record *r, uint64_t offset)
{
    memset(out, 0, sizeof(*out));
    out->has = AUDIT_HAS_LEAF | AUDIT_HAS_CLOCKS | AUDIT_HAS_HEAD;
    out->r.slot = r->slot;
    out->r.index = r->index;
    out->r.hub_lamport = export_lamport(r);
    out->r.hub_time_ms = export_time_ms(r);
    out->r.account_head = export_head(r);
    memcpy(out->leaf, r->leaf, LEAF_BYTES);
    if (r->has_position) {
        out->has |= AUDIT_HAS_POSITION;
        out->r.position = r->position;
    }
    if (r->envelope.size) {
        out->has |= AUDIT_HAS_ENVELOPE;
        out->r.envelope.size = r->envelope.size;
    }
    out->file = FILE_NAME;
    out->offset = offset;
}

static enum err read_records(struct audit_source *base, uint32_t slot, uint64_t from,
                             tree_size size, struct audit_record out[], size_t max,
                             size_t *count, void **hold)
{
    struct jsonl *s = jsonl_of(base);
    size_t number;
    const struct export_slot *t = slot_at(s, slot, &number);
    *count = 0;
    *hold = NULL;
    if (!t || from >= size || from >= t->records)
        return ERR_OK;
    struct held *h = calloc(1, sizeof(*h));
    enum err e = h ? ERR_OK : ERR_MEMORY;
    while (e == ERR_OK && *count < max && from < size && from < t->records) {
        uint64_t at = s->lines[s->first[number] + from];
        char why[AUDIT_WHY_MAX];
        bool same;
        e = export_line_read(&h->record, line_at(s, at), s->slots, &h->envelopes, &same, why);
        if (e != ERR_OK) {
            snprintf(s->where[slot], AUDIT_WHY_MAX, "byte %" PRIu64 ": %.350s", at, why);
            break;
        }
        fill(&out[*count], &h->record, at);
        if (!same)
            out[*count].damage = "the line says other than its envelope and leaf do";
        (*count)++;
        from++;
    }
    if (e == ERR_CORRUPT && *count > 0)
        e = ERR_OK; /* told by the next call, which begins there */
    if (e != ERR_OK) {
        if (h)
            buf_close(&h->envelopes);
        free(h);
        *count = 0;
        return e;
    }
    size_t at = 0; /* the room may have moved while it grew */
    for (size_t i = 0; i < *count; i++) {
        out[i].r.envelope.data = out[i].r.envelope.size ? h->envelopes.data + at : NULL;
        at += out[i].r.envelope.size;
    }
    *hold = h;
    return ERR_OK;
}

static void release(struct audit_source *s, void *hold)
{
    struct held *h = hold;
    (void)s;
    if (h)
        buf_close(&h->envelopes);
    free(h);
}

static const struct audit_source_ops ops = {.where = where_of,
                                            .close = close_jsonl,
                                            .slots = slots_of,
                                            .checkpoint = checkpoint_of,
                                            .read = read_records,
                                            .release = release};

/* ---- opening ------------------------------------------------------------------------- */

/* Standard input, into a file without a name. */
static enum err take_input(struct jsonl *s, char why[AUDIT_WHY_MAX])
{
    uint8_t room[COPY_BYTES];
    s->fd = memfd_create("stoa-export", MFD_CLOEXEC);
    for (ssize_t n = 1; s->fd >= 0 && n != 0;) {
        n = read(STDIN_FILENO, room, sizeof(room));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (n > 0 && write(s->fd, room, (size_t)n) != n)) {
            close(s->fd);
            s->fd = -1;
        }
    }
    if (s->fd >= 0)
        return ERR_OK;
    snprintf(why, AUDIT_WHY_MAX, "standard input: %s", strerror(errno));
    return ERR_FILE;
}

static enum err map(struct jsonl *s, const char *path, char why[AUDIT_WHY_MAX])
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        TRY(take_input(s, why));
    else
        s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", path, strerror(errno));
        return errno == ENOENT ? ERR_MISSING : ERR_FILE;
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s is empty or no file", path);
        return ERR_CORRUPT;
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, s->fd, 0);
    if (data == MAP_FAILED) {
        snprintf(why, AUDIT_WHY_MAX, "%.200s: %s", path, strerror(errno));
        return ERR_FILE;
    }
    s->data = bytes_of(data, (size_t)st.st_size);
    return ERR_OK;
}

static enum err add_line(struct jsonl *s, uint64_t at)
{
    if (s->line_count == s->line_cap) {
        uint64_t cap = s->line_cap ? s->line_cap * 2 : 1024;
        uint64_t *lines = realloc(s->lines, (size_t)cap * sizeof(*lines));
        if (!lines)
            return ERR_MEMORY;
        s->lines = lines;
        s->line_cap = cap;
    }
    s->lines[s->line_count++] = at;
    return ERR_OK;
}

struct place {
    uint64_t number; /* of the line, from 1 */
    uint64_t at;
    char *why;
};

static enum err bad_line(const struct place *p, const char *what)
{
    char text[AUDIT_WHY_MAX];
    snprintf(text, sizeof(text), "%.320s", what);
    snprintf(p->why, AUDIT_WHY_MAX, "line %" PRIu64 ", byte %" PRIu64 ": %.320s", p->number,
             p->at, text);
    return ERR_CORRUPT;
}

/* Lines of a slot stand together, counting up from 0; slots in the order of the first line. */
static enum err place_record(struct jsonl *s, struct bytes line, size_t *number,
                             uint64_t *next, const struct place *p)
{
    uint32_t slot;
    uint64_t index;
    if (line.size > EXPORT_LINE_MAX)
        return bad_line(p, "longer than any record's line");
    if (!export_line_place(line, &slot, &index))
        return bad_line(p, "does not begin with slot and index, as a record's line does");
    while (*number < s->head.slot_count && s->head.slot[*number].slot != slot) {
        (*number)++;
        *next = 0;
        if (*number < s->head.slot_count)
            s->first[*number] = s->line_count;
    }
    if (*number == s->head.slot_count)
        return bad_line(p, "of a slot that is not in the first line, or out of order");
    if (index < *next)
        return bad_line(p, "this index stands there already");
    if (index > *next)
        return bad_line(p, "the index before this one is missing");
    (*next)++;
    s->head.slot[*number].records = *next;
    return add_line(s, p->at);
}

static enum err check_manifest(struct jsonl *s, struct bytes line, const struct place *p)
{
    uint64_t counted[SLOTS_MAX];
    char what[AUDIT_WHY_MAX];
    for (size_t i = 0; i < s->head.slot_count; i++)
        counted[i] = s->head.slot[i].records;
    enum err e = export_line_read_manifest(&s->head, line, what);
    if (e == ERR_CORRUPT)
        return bad_line(p, what);
    TRY(e);
    for (size_t i = 0; i < s->head.slot_count; i++)
        if (counted[i] != s->head.slot[i].records)
            return bad_line(p, "the manifest counts other records than stand in the file");
    return ERR_OK;
}

static enum err find_slots(struct jsonl *s)
{
    struct export_record *r = calloc(1, sizeof(*r));
    struct buf room = {0};
    char why[AUDIT_WHY_MAX];
    bool same;
    if (!r)
        return ERR_MEMORY;
    /* A first line that cannot be read is told when it is read. */
    if (s->line_count > 0 &&
        export_line_read(r, line_at(s, s->lines[0]), 0, &room, &same, why) == ERR_OK)
        s->slots = export_slots_of(r);
    buf_close(&room);
    free(r);
    return ERR_OK;
}

static enum err index_lines(struct jsonl *s, char why[AUDIT_WHY_MAX])
{
    struct place p = {.number = 1, .why = why};
    size_t number = 0;
    uint64_t next = 0;
    char what[AUDIT_WHY_MAX];
    s->head.slot = calloc(SLOTS_MAX, sizeof(*s->head.slot));
    if (!s->head.slot)
        return ERR_MEMORY;
    if (s->data.data[s->data.size - 1] != '\n') {
        for (const uint8_t *at = s->data.data; at < s->data.data + s->data.size; at++)
            p.number += *at == '\n';
        p.at = s->data.size;
        return bad_line(&p, "the file is cut in the middle of this line");
    }
    struct bytes line = line_at(s, 0);
    enum err e = line.size > EXPORT_LINE_HEAD_MAX
                     ? ERR_CORRUPT
                     : export_line_read_head(&s->head, line, what);
    if (e == ERR_CORRUPT)
        return bad_line(&p, line.size > EXPORT_LINE_HEAD_MAX ? "too long" : what);
    if (e != ERR_OK) {
        snprintf(why, AUDIT_WHY_MAX, "%.390s", what);
        return e;
    }
    for (;;) {
        p.at += line.size + 1;
        p.number++;
        if (p.at == s->data.size)
            return bad_line(&p, "the file ends without its manifest: it was cut");
        line = line_at(s, p.at);
        if (p.at + line.size + 1 == s->data.size)
            break;
        TRY(place_record(s, line, &number, &next, &p));
    }
    TRY(check_manifest(s, line, &p));
    return find_slots(s);
}

static enum err open_jsonl(struct audit_source **out, const char *path,
                           char why[AUDIT_WHY_MAX])
{
    struct jsonl *s = calloc(1, sizeof(*s));
    char what[AUDIT_WHY_MAX] = "";
    if (!s)
        return ERR_MEMORY;
    s->fd = -1;
    s->base.ops = &ops;
    s->base.kind = "export";
    enum err e = map(s, path, why);
    if (e == ERR_OK) {
        e = index_lines(s, what);
        if (e != ERR_OK)
            snprintf(why, AUDIT_WHY_MAX, "%.100s: %.290s", path, what[0] ? what : err_text(e));
    }
    if (e != ERR_OK) {
        close_jsonl(&s->base);
        return e;
    }
    *out = &s->base;
    return ERR_OK;
}

bool audit_export_is_sqlite(const char *path)
{
    uint8_t head[72];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, head, sizeof(head)) : -1;
    if (fd >= 0)
        close(fd);
    /* SQLite file format, section 1.3: the application id stands at byte 68. */
    return n == (ssize_t)sizeof(head) && memcmp(head, "SQLite format 3", 16) == 0 &&
           ((uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 | (uint32_t)head[70] << 8 |
            head[71]) == EXPORT_APPLICATION_ID;
}

enum err audit_source_export(struct audit_source **out, const char *path,
                             char why[AUDIT_WHY_MAX])
{
    *out = NULL;
    if (strcmp(path, "-") != 0 && audit_export_is_sqlite(path))
        return audit_source_export_sqlite(out, path, why);
    return open_jsonl(out, path, why);
}
