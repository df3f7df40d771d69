#include "client/audit/fetch_evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool add_line(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

/* The path as text: a line with both sizes, then one hash a line. */
static enum err path_text(const struct fetch_evidence_of *pair, struct buf *out)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t count = 0;
    char line[128];
    if (!pair->tree || pair->tree->size == pair->small_size)
        return ERR_OK;
    TRY(fetch_tree_consistency(pair->tree, pair->small_size, path, &count));
    snprintf(line, sizeof(line), "consistency %" PRIu64 " %" PRIu64 "\n", pair->small_size,
             pair->tree->size);
    bool ok = add_line(out, line);
    for (size_t i = 0; i < count && ok; i++) {
        (void)base64_encode(line, sizeof(line), path[i].b, HASH_BYTES);
        ok = add_line(out, line) && add_line(out, "\n");
    }
    return ok ? ERR_OK : ERR_MEMORY;
}

enum err fetch_evidence_write(struct fetch_dir *d, const struct fetch_evidence_of *pair,
                              char name[FETCH_EVIDENCE_NAME_MAX])
{
    char file[FETCH_PATH_MAX], why[AUDIT_WHY_MAX], tag[17];
    struct buf path = {0};
    const struct hash_part parts[2] = {{pair->small.data, pair->small.size},
                                       {pair->large.data, pair->large.size}};
    struct hash both = hash_parts(parts, 2);
    hex_encode(tag, both.b, 8); /* the same two notes: the same name */
    snprintf(name, FETCH_EVIDENCE_NAME_MAX, "%.20sfork-%s-a.note", pair->folder, tag);
    TRY(fetch_dir_write(d, name, pair->small, true, why));
    snprintf(file, sizeof(file), "%.20sfork-%s-b.note", pair->folder, tag);
    TRY(fetch_dir_write(d, file, pair->large, true, why));
    enum err e = path_text(pair, &path);
    if (e == ERR_OK && path.size > 0) {
        snprintf(file, sizeof(file), "%.20sfork-%s.path", pair->folder, tag);
        e = fetch_dir_write(d, file, bytes_of(path.data, path.size), true, why);
    }
    buf_close(&path);
    return e;
}
