/* stoactl log publish and stoactl log policy: what their files share. A hub's logs are
 * read from its ledger, while the hub runs, and written as the files that the hub serves
 * over HTTP (docs/PROTOCOL.md, section "HTTP"), for any web server or CDN. Edges: disk
 * and database; one thread. */
#ifndef RELAY_STOACTL_LOG_H
#define RELAY_STOACTL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/merkle.h"
#include "crypto/note.h"
#include "ledger/folder.h"
#include "ledger/store.h"
#include "relay/config.h"
#include "relay/pinned.h"
#include "relay/stoactl.h"

#define LOG_WHY_MAX CTL_MESSAGE_MAX
#define LOG_PATH_MAX FOLDER_PATH_MAX
#define LOG_KEYS_MAX 64 /* log keys in the life of one log */
#define LOG_TILE_LEVELS (MERKLE_LEVELS_MAX / TILE_HEIGHT)

/* stoactl_log_source.c: a ledger that somebody else may be writing. Reads only. */
struct log_source;
struct log_record {
    uint64_t index;
    uint8_t leaf[LEAF_BYTES]; /* as stored */
    struct bytes envelope;    /* until the visit returns */
};
/* False stops. */
typedef bool log_visit(void *context, const struct log_record *r);

/* URI as store_open takes it, but for memory:. Errors as store_open; `why` is a sentence.
 */
MUST_CHECK enum err log_source_open(struct log_source **out, const char *uri, char *why);
void log_source_close(struct log_source *s);
const struct store_identity *log_source_identity(const struct log_source *s);
/* Where a slot stands, as last committed. */
MUST_CHECK enum err log_source_slot(struct log_source *s, uint32_t slot,
                                    struct store_slot *out, char *why);
/* Records [from, to), to within a committed size; all of them or an error: ERR_CORRUPT
 * for a gap or a damaged row, which `why` names. ERR_OK too when `visit` stopped. */
MUST_CHECK enum err log_source_records(struct log_source *s, uint32_t slot, uint64_t from,
                                       uint64_t to, log_visit *visit, void *context,
                                       char *why);

/* stoactl_log_tree.c: the tiles at the right edge of a tree that grows leaf by leaf. A
 * plain value; all zero is the empty tree. hashes[l][0..count[l]) is tile (l, size >>
 * 8(l+1)). */
struct log_tree {
    tree_size size;
    unsigned count[LOG_TILE_LEVELS];
    struct hash hashes[LOG_TILE_LEVELS][TILE_HASHES];
};
/* Called for each tile that becomes full, lowest level first. False stops. */
typedef bool log_full_tile(void *context, unsigned level, uint64_t n,
                           const struct hash hashes[TILE_HASHES]);
/* False: `full` (may be NULL) stopped, or the tree is at MERKLE_SIZE_MAX. */
bool log_tree_add(struct log_tree *t, const struct hash *leaf, log_full_tile *full,
                  void *context);
/* Of exactly these tiles. */
struct hash log_tree_root(const struct log_tree *t);

/* stoactl_log_scan.c: one log, read from its first record on, everything checked that its
 * own bytes tell: envelope against leaf, leaves against the signed root. */
struct log_key {
    tree_size from; /* signs trees of at least this size, up to the next key's */
    struct vkey vkey;
};
struct log_scan {
    uint32_t slot;
    char origin[NOTE_NAME_MAX + 1];
    struct log_tree tree;    /* over what was read */
    struct hash hub_account; /* id of record 0 */
    size_t key_count;
    struct log_key keys[LOG_KEYS_MAX];
};
/* Before the first record. */
void log_scan_init(struct log_scan *s, const struct store_identity *hub, uint32_t slot);
/* On to `size`; pinned accounts go into `pinned`. From a failure on `s` is to be
 * initialised again. ERR_CORRUPT and what log_source_records says. */
MUST_CHECK enum err log_scan_to(struct log_scan *s, struct log_source *source,
                                struct pinned *pinned, tree_size size, char *why);
/* The key that signs a tree of this size, as the log itself names it; NULL: none yet. */
const struct vkey *log_scan_key(const struct log_scan *s, tree_size size);
/* Does the envelope fit its leaf, and decode? ERR_CORRUPT. */
MUST_CHECK enum err log_record_open(struct entry *e, const struct log_record *r);

/* stoactl_log_dir.c: the directory. Whoever reads it finds a file whole or not at all. */
struct log_dir {
    struct folder folder;
    uint64_t files;   /* written so far */
    uint64_t bytes;   /* .. in them */
    uint64_t removed; /* partial files that a full one stands for */
};
/* Made when it is not there; locked against a second writer. Errors of folder_open. */
MUST_CHECK enum err log_dir_open(struct log_dir *d, const char *path, char *why);
/* folder_put; a file that holds these bytes already is left alone. */
MUST_CHECK enum err log_dir_put(struct log_dir *d, const char *path, struct bytes data,
                                bool durable, char *why);
/* Partial files of a tile; `whole` is the path of the full one. */
void log_dir_drop_partial(struct log_dir *d, const char *whole);

/* stoactl_log_slot.c: one log into the directory. */
struct log_note {
    char text[NOTE_BYTES_MAX];
    size_t size;            /* 0: there is none */
    struct checkpoint says; /* not to be believed before its signature was checked */
};
/* False: no checkpoint. */
bool log_note_read(struct log_note *n, const char *text, size_t size);

struct log_slot {
    struct log_scan scan;
    struct log_tree start;      /* the tree before the first tile that is to be written */
    struct log_note old, fresh; /* what was published before; what is to be published */
};
/* Checks everything up to `fresh`, without writing. `old` has to be a beginning of it,
 * signed by the log. `rebuild`: all files are to be compared, not only what is new.
 * ERR_BEHIND: the ledger holds less than `old`; ERR_FORK: something else; ERR_SIGNATURE;
 * ERR_CORRUPT; and what the source says. From a failure on the scan is to be initialised
 * again. */
MUST_CHECK enum err log_slot_check(struct log_slot *s, struct log_source *source,
                                   struct pinned *pinned, bool rebuild, char *why);
/* Is anything to be written? After log_slot_check. */
bool log_slot_is_new(const struct log_slot *s);
/* Tiles, bundles and envelopes of what was checked; each on disk at once when `durable`.
 * ERR_CORRUPT: the ledger changed meanwhile. */
MUST_CHECK enum err log_slot_write(struct log_slot *s, struct log_source *source,
                                   struct pinned *pinned, struct log_dir *d, bool durable,
                                   char *why);
/* The checkpoint, then what it makes superfluous. What was written has to be durable. */
MUST_CHECK enum err log_slot_finish(struct log_slot *s, struct log_dir *d, char *why);
/* "log/<slot>/checkpoint" */
void log_checkpoint_path(char out[LOG_PATH_MAX], uint32_t slot);

/* stoactl_log_setup.c: what both commands are told by settings and options. */
struct log_setup {
    char store[CONFIG_TEXT_MAX];         /* URI */
    char hub[CONFIG_TEXT_MAX];           /* "": not told */
    char cosign_policy[CONFIG_TEXT_MAX]; /* the file the hub is configured with; "": none
                                          */
    bool has_key;
    struct pubkey key; /* public half of the hub's log.key, where that can be read */
};
/* The exit code of an error that was told, else EXIT_DONE. */
int log_setup_read(struct ctl *c, struct log_setup *out);
/* The source, when it is the ledger that was meant. Exit code as above. */
int log_setup_open(struct ctl *c, const struct log_setup *setup, struct log_source **out);
/* Is this a key of the hub whose log.key was read? True when none was. */
bool log_setup_key_ok(const struct log_setup *setup, const struct vkey *v);

#endif
