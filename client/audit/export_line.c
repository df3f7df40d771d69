#include "client/audit/export_line.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define DECIMAL_MAX 21
#define BASE64_MAX(size) (((size) + 2) / 3 * 4 + 1)

/* ---- writing ------------------------------------------------------------------------- */

static json_t *decimal(uint64_t v)
{
    char text[DECIMAL_MAX];
    snprintf(text, sizeof(text), "%" PRIu64, v);
    return json_string(text);
}

static json_t *base64(const void *data, size_t size)
{
    char *text = malloc(BASE64_MAX(size));
    json_t *j = NULL;
    if (text && (size == 0 || base64_encode(text, BASE64_MAX(size), data, size) > 0))
        j = json_stringn(text, size ? strlen(text) : 0);
    free(text);
    return j;
}

static json_t *hex(const struct hash *h)
{
    char text[2 * HASH_BYTES + 1];
    hex_encode(text, h->b, HASH_BYTES);
    return json_string(text);
}

/* Takes the reference; false: no memory. */
static bool set(json_t *o, const char *name, json_t *value)
{
    return json_object_set_new(o, name, value) == 0;
}

static enum err put(struct buf *out, json_t *o, bool ok)
{
    char *text = ok ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    ok = text && buf_add(out, text, strlen(text)) && buf_add(out, "\n", 1);
    free(text);
    return ok ? ERR_OK : ERR_MEMORY;
}

static json_t *slot_json(const struct export_slot *s, bool first)
{
    json_t *o = json_object();
    bool ok = o && set(o, "slot", json_integer(s->slot));
    if (first)
        ok = ok && set(o, "origin", json_string(s->origin)) &&
             set(o, "size", json_integer((json_int_t)s->checkpoint.size)) &&
             set(o, "root", hex(&s->checkpoint.root)) &&
             set(o, "checkpoint",
                 json_stringn((const char *)s->note.data, s->note.size));
    else
        ok = ok && set(o, "records", json_integer((json_int_t)s->records)) &&
             set(o, "withheld", json_integer((json_int_t)s->withheld)) &&
             set(o, "root", hex(&s->checkpoint.root));
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *slots_json(const struct export_head *h, bool first)
{
    json_t *list = json_array();
    for (size_t i = 0; i < h->slot_count && list; i++)
        if (json_array_append_new(list, slot_json(&h->slot[i], first)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

enum err export_line_head(struct buf *out, const struct export_head *h)
{
    json_t *o = json_object();
    bool ok = o && set(o, "schema", json_string(EXPORT_SCHEMA)) &&
              set(o, "verified", json_boolean(h->verified)) &&
              set(o, "policy", hex(&h->policy)) &&
              set(o, "scale", json_integer(EXPORT_SCALE)) &&
              set(o, "unit", json_string(EXPORT_UNIT)) &&
              set(o, "slots", slots_json(h, true));
    return put(out, o, ok);
}

enum err export_line_manifest(struct buf *out, const struct export_head *h)
{
    uint64_t records = 0;
    json_t *o = json_object();
    for (size_t i = 0; i < h->slot_count; i++)
        records += h->slot[i].records;
    bool ok = o && set(o, "manifest", json_string(EXPORT_SCHEMA)) &&
              set(o, "records", json_integer((json_int_t)records)) &&
              set(o, "slots", slots_json(h, false));
    return put(out, o, ok);
}

static json_t *moves_json(const struct export_record *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->move_count && list; i++) {
        char from[EXPORT_PLACE_MAX], to[EXPORT_PLACE_MAX];
        json_t *m = json_object();
        export_place_text(&r->moves[i].from, from);
        export_place_text(&r->moves[i].to, to);
        bool ok = m && set(m, "from", json_string(from)) && set(m, "to", json_string(to)) &&
                  set(m, "amount", decimal((uint64_t)r->moves[i].amount));
        if (!ok) {
            json_decref(m);
            m = NULL;
        }
        if (json_array_append_new(list, m) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

enum err export_line_record(struct buf *out, const struct export_record *r)
{
    struct hash head = export_head(r);
    json_t *o = json_object();
    bool ok = o && set(o, "slot", json_integer(r->slot)) &&
              set(o, "index", json_integer((json_int_t)r->index)) &&
              set(o, "position",
                  r->has_position ? json_integer((json_int_t)r->position) : json_null()) &&
              set(o, "account", r->readable ? hex(&r->account) : json_null()) &&
              set(o, "id", r->readable ? hex(&r->id) : json_null()) &&
              set(o, "head", hex(&head)) &&
              set(o, "hub_lamport", decimal(export_lamport(r))) &&
              set(o, "hub_time_ms", decimal(export_time_ms(r))) &&
              set(o, "leaf", base64(r->leaf, LEAF_BYTES)) &&
              set(o, "envelope",
                  r->envelope.size ? base64(r->envelope.data, r->envelope.size)
                                   : json_null()) &&
              set(o, "kind", json_string(r->kind)) && set(o, "moves", moves_json(r));
    return put(out, o, ok);
}

/* ---- reading ------------------------------------------------------------------------- */

static enum err wrong(char why[AUDIT_WHY_MAX], const char *what)
{
    snprintf(why, AUDIT_WHY_MAX, "%s", what);
    return ERR_CORRUPT;
}

static json_t *parse(struct bytes line, char why[AUDIT_WHY_MAX])
{
    json_error_t problem;
    json_t *o = json_loadb((const char *)line.data, line.size,
                           JSON_REJECT_DUPLICATES, &problem);
    if (!o)
        snprintf(why, AUDIT_WHY_MAX, "not JSON at column %d: %.160s", problem.column,
                 problem.text);
    return o;
}

static bool get_number(const json_t *o, const char *name, uint64_t max, uint64_t *out)
{
    const json_t *v = json_object_get(o, name);
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        (uint64_t)json_integer_value(v) > max)
        return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static bool get_hash(const json_t *o, const char *name, struct hash *out)
{
    const char *text = json_string_value(json_object_get(o, name));
    return text && hex_decode(out->b, HASH_BYTES, text, strlen(text));
}

static bool read_slot(struct export_slot *s, const json_t *o)
{
    uint64_t slot;
    const json_t *note = json_object_get(o, "checkpoint");
    const char *origin = json_string_value(json_object_get(o, "origin"));
    size_t size = json_string_length(note);
    if (!get_number(o, "slot", SLOTS_MAX - 1, &slot) || !origin ||
        strlen(origin) > NOTE_NAME_MAX || !json_is_string(note) || size == 0 ||
        size > NOTE_BYTES_MAX || !get_number(o, "size", MERKLE_SIZE_MAX, &s->checkpoint.size) ||
        !get_hash(o, "root", &s->checkpoint.root))
        return false;
    s->slot = (uint32_t)slot;
    snprintf(s->origin, sizeof(s->origin), "%s", origin);
    return buf_add(&s->note, json_string_value(note), size);
}

/* The rest of a line is compared with what would be written. */
static enum err same_text(enum err built, const struct buf *b, struct bytes line, bool *same)
{
    *same = built == ERR_OK && b->size == line.size + 1 &&
            memcmp(b->data, line.data, line.size) == 0;
    return built;
}

static enum err read_head(struct export_head *h, const json_t *o, char why[AUDIT_WHY_MAX])
{
    const char *schema = json_string_value(json_object_get(o, "schema"));
    const json_t *slots = json_object_get(o, "slots");
    const json_t *verified = json_object_get(o, "verified");
    if (!schema || strncmp(schema, "stoa.export/", 12) != 0)
        return wrong(why, "not the first line of an export: no \"schema\":\"stoa.export/1\"");
    if (strcmp(schema, EXPORT_SCHEMA) != 0) {
        snprintf(why, AUDIT_WHY_MAX, "export has schema %.40s, this program knows %s", schema,
                 EXPORT_SCHEMA);
        return ERR_SCHEMA;
    }
    if (!json_is_boolean(verified) || !get_hash(o, "policy", &h->policy) ||
        !json_is_array(slots) || json_array_size(slots) > SLOTS_MAX)
        return wrong(why, "members of the first line are missing or of a wrong form");
    h->verified = json_is_true(verified);
    h->slot_count = 0;
    for (size_t i = 0; i < json_array_size(slots); i++) {
        struct export_slot *s = &h->slot[h->slot_count++];
        if (!read_slot(s, json_array_get(slots, i)) || (i > 0 && s->slot <= s[-1].slot))
            return wrong(why, "a slot of the first line is of a wrong form or out of order");
    }
    return ERR_OK;
}

enum err export_line_read_head(struct export_head *h, struct bytes line,
                               char why[AUDIT_WHY_MAX])
{
    struct buf b = {0};
    bool same;
    json_t *o = parse(line, why);
    if (!o)
        return ERR_CORRUPT;
    enum err e = read_head(h, o, why);
    json_decref(o);
    if (e == ERR_OK)
        e = same_text(export_line_head(&b, h), &b, line, &same);
    if (e == ERR_OK && !same)
        e = wrong(why, "the first line is not as an export writes it");
    buf_close(&b);
    return e;
}

static enum err read_envelope(struct export_record *r, const json_t *o, struct buf *room)
{
    const json_t *v = json_object_get(o, "envelope");
    size_t size = json_string_length(v), got;
    size_t before = room->size;
    r->envelope = bytes_of(NULL, 0);
    if (json_is_null(v))
        return ERR_OK;
    if (!json_is_string(v) || size == 0 || size > BASE64_MAX(ENVELOPE_BYTES_MAX))
        return ERR_CORRUPT;
    if (!buf_reserve(room, size))
        return ERR_MEMORY;
    if (!base64_decode(room->data + before, size, &got, json_string_value(v), size) ||
        got == 0 || got > ENVELOPE_BYTES_MAX)
        return ERR_CORRUPT;
    room->size += got;
    r->envelope = bytes_of(room->data + before, got);
    return ERR_OK;
}

static enum err read_record(struct export_record *r, const json_t *o, struct buf *room,
                            char why[AUDIT_WHY_MAX])
{
    uint64_t slot;
    size_t got;
    const json_t *leaf = json_object_get(o, "leaf");
    const json_t *position = json_object_get(o, "position");
    if (!get_number(o, "slot", SLOTS_MAX - 1, &slot) ||
        !get_number(o, "index", MERKLE_SIZE_MAX, &r->index))
        return wrong(why, "slot or index is missing, or not a number in its range");
    r->slot = (uint32_t)slot;
    r->position = 0;
    r->has_position = !json_is_null(position);
    if (r->has_position && !get_number(o, "position", MERKLE_SIZE_MAX, &r->position))
        return wrong(why, "position is not a number in its range");
    if (!json_is_string(leaf) ||
        !base64_decode(r->leaf, sizeof(r->leaf), &got, json_string_value(leaf),
                       json_string_length(leaf)) ||
        got != LEAF_BYTES)
        return wrong(why, "leaf is not base64 of 80 bytes");
    enum err e = read_envelope(r, o, room);
    return e == ERR_CORRUPT ? wrong(why, "envelope is not base64 of an envelope") : e;
}

enum err export_line_read(struct export_record *r, struct bytes line, uint32_t slots,
                          struct buf *room, bool *same, char why[AUDIT_WHY_MAX])
{
    struct buf b = {0};
    *same = false;
    if (line.size > EXPORT_LINE_MAX)
        return wrong(why, "the line is longer than any record's");
    json_t *o = parse(line, why);
    if (!o)
        return ERR_CORRUPT;
    enum err e = read_record(r, o, room, why);
    json_decref(o);
    TRY(e);
    export_record_read(r, slots ? slots : export_slots_of(r));
    e = same_text(export_line_record(&b, r), &b, line, same);
    buf_close(&b);
    return e;
}

static bool number_at(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    const uint8_t *from = *at;
    uint64_t v = 0;
    for (; *at < end && **at >= '0' && **at <= '9' && *at - from < 18; (*at)++)
        v = v * 10 + (uint64_t)(**at - '0');
    *out = v;
    return *at > from && (*from != '0' || *at == from + 1);
}

static bool word_at(const uint8_t **at, const uint8_t *end, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0)
        return false;
    *at += n;
    return true;
}

bool export_line_place(struct bytes line, uint32_t *slot, uint64_t *index)
{
    const uint8_t *at = line.data, *end = line.data + line.size;
    uint64_t n;
    if (!word_at(&at, end, "{\"slot\":") || !number_at(&at, end, &n) || n >= SLOTS_MAX ||
        !word_at(&at, end, ",\"index\":") || !number_at(&at, end, index) ||
        !word_at(&at, end, ","))
        return false;
    *slot = (uint32_t)n;
    return true;
}

static bool read_counts(struct export_head *h, const json_t *o)
{
    const json_t *slots = json_object_get(o, "slots");
    if (!json_is_array(slots) || json_array_size(slots) != h->slot_count)
        return false;
    for (size_t i = 0; i < h->slot_count; i++) {
        const json_t *s = json_array_get(slots, i);
        if (!get_number(s, "records", MERKLE_SIZE_MAX, &h->slot[i].records) ||
            !get_number(s, "withheld", MERKLE_SIZE_MAX, &h->slot[i].withheld))
            return false;
    }
    return true;
}

enum err export_line_read_manifest(struct export_head *h, struct bytes line,
                                   char why[AUDIT_WHY_MAX])
{
    struct buf b = {0};
    bool same = false;
    json_t *o = parse(line, why);
    if (!o)
        return ERR_CORRUPT;
    bool ok = read_counts(h, o);
    json_decref(o);
    enum err e = ok ? same_text(export_line_manifest(&b, h), &b, line, &same) : ERR_OK;
    if (e == ERR_OK && !same)
        e = wrong(why, "the last line is not this export's manifest: the file was cut or "
                       "changed");
    buf_close(&b);
    return e;
}
