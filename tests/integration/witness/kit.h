/* What the witness tests share: a log made of nothing but leaves and a key, which can grow,
 * and can fork; and add-checkpoint requests by hand. */
#ifndef TESTS_WITNESS_KIT_H
#define TESTS_WITNESS_KIT_H

#include "tests/integration/hub.h"

#include "crypto/merkle.h"

#define KIT_LEAVES_MAX 64
#define KIT_BODY_MAX 70000
#define KIT_ANSWER_MAX (128u << 10)

struct kit_log {
    struct key *key;
    struct vkey vkey;
    struct hash leaves[KIT_LEAVES_MAX];
};
void kit_log_make(struct kit_log *l, const char *origin, uint8_t seed);
/* From leaf `from` on, another log with the same key, which stays the first one's. */
void kit_log_fork(struct kit_log *out, const struct kit_log *l, size_t from);
void kit_log_free(struct kit_log *l);
/* The signed checkpoint at a size; length of the note. */
size_t kit_note(const struct kit_log *l, size_t size, char out[CHECKPOINT_BYTES_MAX]);
/* A whole request: old, the log's proof from `old`, the checkpoint at `size`. */
size_t kit_request(const struct kit_log *l, size_t old, size_t size, char *out);

struct kit_answer {
    int status;
    char head[4096];
    char body[8192];
    size_t body_size;
};
/* POST of a body to a path of 127.0.0.1:port. */
void kit_post(uint16_t port, const char *path, const void *body, size_t size,
              struct kit_answer *a);
void kit_ask(uint16_t port, const struct kit_log *l, size_t old, size_t size,
             struct kit_answer *a);
int kit_get(uint16_t port, const char *path, char *out, size_t cap);

/* Write a file in the hub's folder; its path is put into path[512]. */
void kit_file(const struct hubproc *h, const char *name, const char *text, char path[512]);
/* Public half of a key file of the hub. */
struct pubkey kit_public(const struct hubproc *h, const char *file);
/* "log <vkey>" for every slot of a hub, appended to text[cap]. */
void kit_logs_of(const struct hubproc *h, const char *name, unsigned slots, char *text,
                 size_t cap);
/* A witness's vkey of a hub. */
struct vkey kit_cosigner(const struct hubproc *h, const char *name);
/* Value of a metric's line that begins with `line`; -1: no such line. */
double kit_metric(uint16_t port, const char *line);
/* A port nobody listens at now. */
uint16_t kit_free_port(void);
void kit_nap(unsigned ms);

#endif
