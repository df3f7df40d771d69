#include "client/audit/fetch_evidence.h"

#include <stdio.h>
#include <string.h>

#include "ledger/evidence.h"

/* The consistency path from the small tree, taken from the large one. Evidence has its first
 * hash always given: where the small tree is one subtree, that is the subtree as the large tree
 * has it (ledger/evidence.h). */
static enum err path_of(const struct fetch_evidence_of *pair,
                        struct hash path[MERKLE_PATH_MAX + 1], size_t *count)
{
    tree_size small = pair->small_size;
    size_t first = 0;
    *count = 0;
    if (!pair->tree || pair->tree->size == small || small == 0)
        return ERR_OK;
    if ((small & (small - 1)) == 0)
        TRY(fetch_tree_root(pair->tree, small, &path[first++]));
    TRY(fetch_tree_consistency(pair->tree, small, path + first, count));
    *count += first;
    return ERR_OK;
}

/* One file that stands alone; where none can be made, the two notes have to do. */
static enum err write_proof(struct folder *d, const struct fetch_evidence_of *pair,
                            const char *tag, char name[FETCH_EVIDENCE_NAME_MAX])
{
    struct hash path[MERKLE_PATH_MAX + 1];
    struct buf out = {0};
    char file[FETCH_EVIDENCE_NAME_MAX], why[AUDIT_WHY_MAX];
    size_t count;
    enum err e = path_of(pair, path, &count);
    if (e == ERR_OK)
        e = evidence_fork(&out, pair->log, pair->small, pair->large, path, count);
    if (e == ERR_OK) {
        snprintf(file, sizeof(file), "%.20sfork-%s.evidence", pair->folder, tag);
        e = folder_put(d, file, bytes_of(out.data, out.size), true, why);
        if (e == ERR_OK)
            memcpy(name, file, sizeof(file));
    } else if (e != ERR_MEMORY) {
        e = ERR_OK;
    }
    buf_close(&out);
    return e;
}

enum err fetch_evidence_write(struct folder *d, const struct fetch_evidence_of *pair,
                              char name[FETCH_EVIDENCE_NAME_MAX])
{
    char file[FETCH_PATH_MAX], why[AUDIT_WHY_MAX], tag[17];
    const struct hash_part parts[2] = {{pair->small.data, pair->small.size},
                                       {pair->large.data, pair->large.size}};
    struct hash both = hash_parts(parts, 2);
    hex_encode(tag, both.b, 8); /* the same two notes: the same name */
    snprintf(name, FETCH_EVIDENCE_NAME_MAX, "%.20sfork-%s-a.note", pair->folder, tag);
    TRY(folder_put(d, name, pair->small, true, why));
    snprintf(file, sizeof(file), "%.20sfork-%s-b.note", pair->folder, tag);
    TRY(folder_put(d, file, pair->large, true, why));
    return write_proof(d, pair, tag, name);
}
