/* What a watch remembers between runs: a state that loads is, saved and loaded again, the same,
 * within the slots and findings there can be; any other is damaged, and says nothing else. First
 * byte: the file as it is, or a state made from the rest, which has to load as it was made. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "client/audit/watch.h"
#include "fuzz.h"
#include "input.h"
#include "scratch.h"

#define STATE "watch.json"

static struct watched made, first, second;
static struct folder dir = {.fd = -1};

static void write_state(struct bytes text)
{
    int fd = openat(dir.fd, STATE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    PROPERTY(fd >= 0 && write(fd, text.size ? (const void *)text.data : "", text.size) ==
                            (ssize_t)text.size);
    close(fd);
}

static enum err load(struct watched *s)
{
    memset(s, 0, sizeof(*s));
    s->dir = dir;
    enum err e = watch_load(s);
    dir = s->dir;
    PROPERTY(e == ERR_OK || e == ERR_CORRUPT);
    return e;
}

static void check_same(const struct watched *a, const struct watched *b)
{
    PROPERTY(a->began_ms == b->began_ms && a->heartbeat_ms == b->heartbeat_ms &&
             a->event_number == b->event_number);
    PROPERTY(a->stale == b->stale && a->fork == b->fork && a->finding == b->finding &&
             a->audited == b->audited && a->told_count == b->told_count);
    for (size_t i = 0; i < a->told_count; i++)
        PROPERTY(hash_equal(&a->told[i], &b->told[i]));
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        const struct watch_log *x = &a->logs[i], *y = &b->logs[i];
        PROPERTY(x->known == y->known && x->bad == y->bad);
        if (!x->known && !x->bad)
            continue;
        PROPERTY(strcmp(x->origin, y->origin) == 0 && x->size == y->size);
        PROPERTY(hash_equal(&x->root, &y->root) && x->life_ms == y->life_ms);
    }
}

static void save(struct watched *s)
{
    char why[AUDIT_WHY_MAX];
    s->dir = dir;
    PROPERTY(watch_save(s, why) == ERR_OK);
    dir = s->dir;
}

static void check_text(struct bytes text)
{
    write_state(text);
    if (load(&first) != ERR_OK)
        return;
    PROPERTY(first.told_count <= WATCH_TOLD_MAX);
    save(&first);
    PROPERTY(load(&second) == ERR_OK);
    check_same(&first, &second);
}

static void check_made(struct input *in)
{
    memset(&made, 0, sizeof(made));
    made.began_ms = take(in, 6);
    made.event_number = take(in, 2);
    made.stale = take_below(in, 2);
    made.audited = take_below(in, 2);
    for (unsigned n = take_below(in, 8); n > 0; n--) {
        struct watch_log *l = &made.logs[take(in, 1) % SLOTS_MAX];
        l->known = take_below(in, 2);
        l->bad = take_below(in, 2);
        l->size = take(in, 5);
        l->life_ms = take(in, 6);
        snprintf(l->origin, sizeof(l->origin), "hub.example/%02x", take_below(in, 256));
        take_fill(in, l->root.b, 4);
    }
    made.told_count = take_below(in, 20);
    for (size_t i = 0; i < made.told_count; i++)
        take_fill(in, made.told[i].b, 2);
    save(&made);
    PROPERTY(load(&first) == ERR_OK);
    check_same(&made, &first);
}

static void end(void)
{
    folder_close(&dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    char why[AUDIT_WHY_MAX];
    if (dir.fd < 0) {
        PROPERTY(folder_open(&dir, scratch_folder(), why) == ERR_OK);
        (void)atexit(end);
    }
    if (take_below(&in, 2))
        check_made(&in);
    else
        check_text(bytes_of(in.at, in.left));
    return 0;
}
