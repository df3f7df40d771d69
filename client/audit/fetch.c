#include "client/audit/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/audit/fetch_internal.h"
#include "client/audit/fetch_pool.h"

#define JOBS_DEFAULT 4

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool cancelled(const struct fetch_run *run)
{
    return run->o->cancel && __atomic_load_n(run->o->cancel, __ATOMIC_RELAXED);
}

void fetch_tell(struct fetch_log *l, enum fetch_state state, enum err e, const char *why)
{
    struct fetch_run *run = l->run;
    pthread_mutex_lock(&run->lock);
    bool asked_to = cancelled(run);
    if (asked_to)
        run->r->interrupted = true;
    else if (state != FETCH_MISSING)
        run->r->errors++;
    if (!asked_to && (e == ERR_NET || e == ERR_TIMEOUT))
        run->r->unreachable = true;
    if (!l->out->why[0] && !asked_to) {
        l->out->state = state;
        snprintf(l->out->why, sizeof(l->out->why), "%s", why);
    }
    if (!run->r->why[0] && !asked_to && state != FETCH_MISSING)
        snprintf(run->r->why, sizeof(run->r->why), "%s", why);
    pthread_mutex_unlock(&run->lock);
    /* A source that has stopped answering and a disk that takes no more are every log's. */
    if (asked_to || e == ERR_NET || e == ERR_TIMEOUT || e == ERR_FILE ||
        e == ERR_STORE_FULL || e == ERR_MEMORY)
        __atomic_store_n(&run->stop, true, __ATOMIC_RELAXED);
}

void fetch_fail(struct fetch_log *l, enum fetch_state state, enum err e, const char *why)
{
    fetch_tell(l, state, e, why);
    __atomic_store_n(&l->dead, true, __ATOMIC_RELEASE);
}

static void tick(void *context)
{
    struct fetch_run *run = context;
    struct audit_progress p = {.operation = "fetch"};
    if (cancelled(run)) {
        pthread_mutex_lock(&run->lock);
        run->r->interrupted = true;
        pthread_mutex_unlock(&run->lock);
        __atomic_store_n(&run->stop, true, __ATOMIC_RELAXED);
    }
    if (!run->o->progress)
        return;
    pthread_mutex_lock(&run->lock);
    p.done = run->r->done;
    p.total = run->r->total;
    p.errors = run->r->errors;
    pthread_mutex_unlock(&run->lock);
    uint64_t ms = now_ms() - run->started_ms;
    if (ms > 0)
        p.rate = (double)p.done * 1000.0 / (double)ms;
    if (p.rate > 0)
        p.eta_ms = (uint64_t)((double)(p.total - p.done) * 1000.0 / p.rate);
    run->o->progress(run->o->progress_context, &p);
}

/* ---- which logs ---------------------------------------------------------------------- */

static bool slot_of_origin(const char *origin, uint32_t *slot)
{
    uint8_t b;
    size_t n = strlen(origin);
    if (n < 4 || origin[n - 3] != '/' || !hex_decode(&b, 1, origin + n - 2, 2))
        return false;
    *slot = b;
    return true;
}

static void choose_slots(struct fetch_run *run)
{
    bool named[SLOTS_MAX] = {false};
    const struct policy *p = run->o->policy;
    uint32_t slot;
    for (size_t i = 0; i < p->log_count; i++)
        if (slot_of_origin(p->logs[i].key.name, &slot) &&
            (!run->o->one_slot || slot == run->o->slot))
            named[slot] = true;
    for (slot = 0; slot < SLOTS_MAX; slot++)
        if (named[slot])
            run->r->slots[run->r->slot_count++].slot = slot;
    for (size_t i = 0; i < run->r->slot_count; i++)
        run->logs[i] = (struct fetch_log){.run = run, .out = &run->r->slots[i]};
    run->log_count = run->r->slot_count;
}

/* One directory, one hub: "<hub>/<slot>". */
static bool same_hub(const char *a, const char *b)
{
    const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');
    return end_a && end_b && end_a - a == end_b - b &&
           memcmp(a, b, (size_t)(end_a - a)) == 0;
}

static void check_hub(struct fetch_run *run)
{
    const char *first = NULL;
    for (size_t i = 0; i < run->log_count; i++) {
        struct fetch_log *l = &run->logs[i];
        if (!l->out->origin[0])
            continue;
        if (!first)
            first = l->out->origin;
        else if (!same_hub(first, l->out->origin))
            fetch_fail(l, FETCH_REFUSED, ERR_SIGNATURE,
                       "the source shows logs of more than one hub");
    }
    /* A slot that the policy names for another hub only is none of this one's. */
    size_t left = 0;
    for (size_t i = 0; i < run->log_count; i++) {
        struct fetch_slot *s = run->logs[i].out;
        bool wanted = s->state != FETCH_MISSING;
        for (size_t k = 0; k < run->o->policy->log_count && !wanted && first; k++) {
            const char *name = run->o->policy->logs[k].key.name;
            uint32_t slot;
            wanted = same_hub(name, first) && slot_of_origin(name, &slot) &&
                     slot == s->slot;
        }
        left += wanted;
        if (!wanted)
            s->slot = SLOTS_MAX; /* marks it for removal below */
    }
    if (left == 0) /* nothing was found at all: say so of every one */
        return;
    size_t to = 0;
    for (size_t i = 0; i < run->log_count; i++) {
        struct fetch_log l = run->logs[i];
        if (l.out->slot == SLOTS_MAX)
            continue;
        run->r->slots[to] = *l.out;
        l.out = &run->r->slots[to];
        run->logs[to] = l;
        if (run->logs[to].tree)
            run->logs[to].tree->context = &run->logs[to];
        to++;
    }
    memset(&run->logs[to], 0, (run->log_count - to) * sizeof(run->logs[to]));
    run->log_count = run->r->slot_count = to;
}

/* ---- the work ------------------------------------------------------------------------ */

static enum err level(struct fetch_run *run, unsigned level_, unsigned jobs)
{
    run->level = level_;
    run->first[0] = 0;
    for (size_t i = 0; i < run->log_count; i++) {
        const struct fetch_log *l = &run->logs[i];
        uint64_t units = 0;
        if (l->tree && !l->dead) {
            uint64_t nodes = fetch_tree_nodes(l->tree->size, level_);
            units = nodes / TILE_HASHES; /* what is not full came with the edge */
            if (level_ == 0 && nodes % TILE_HASHES)
                units++;
        }
        run->first[i + 1] = run->first[i] + units;
        if (level_ == 0)
            run->logs[i].units = units;
    }
    return fetch_each(run->first[run->log_count], jobs,
                      level_ == 0 ? fetch_unit_bundle : fetch_unit_tile, tick, run,
                      &run->stop);
}

static void drop_partials(const struct fetch_log *l, tree_size old_size)
{
    tree_size size = l->out->size;
    if (old_size == 0 || old_size == size)
        return;
    for (unsigned i = 0; fetch_tree_nodes(old_size, i) > 0; i++) {
        char path[FETCH_PATH_MAX];
        uint64_t n = fetch_tree_nodes(old_size, i) / TILE_HASHES;
        unsigned keep = tile_width(size, i, n);
        keep = keep == TILE_HASHES ? 0 : keep;
        fetch_path_tile(path, l->out->slot, i, n, TILE_HASHES);
        fetch_drop_partial(&l->run->dir, path, keep);
        if (i > 0)
            continue;
        fetch_path_entries(path, l->out->slot, n, TILE_HASHES);
        fetch_drop_partial(&l->run->dir, path, keep);
        fetch_path_envelopes(path, l->out->slot, n, TILE_HASHES);
        fetch_drop_partial(&l->run->dir, path, keep);
    }
}

/* What the log shows now, after all of the copy was made: other logs' copies may cite records that
 * came since its checkpoint was taken. Whoever reads it verifies it; without it nothing is lost. */
static void keep_later(struct fetch_run *run, const struct fetch_log *l)
{
    char path[FETCH_PATH_MAX], why[AUDIT_WHY_MAX];
    struct buf note = {0};
    snprintf(path, sizeof(path), "log/%02x/checkpoint", (unsigned)l->out->slot);
    bool there = run->files->get(run->files->context, path, &note, why) == ERR_OK &&
                 note.size <= NOTE_BYTES_MAX;
    snprintf(path, sizeof(path), "log/%02x/checkpoint.later", (unsigned)l->out->slot);
    if (there && (note.size != l->note.size || memcmp(note.data, l->note.data, note.size) != 0))
        there = folder_put(&run->dir, path, bytes_of(note.data, note.size), false, why) ==
                ERR_OK;
    else
        there = false;
    if (!there)
        folder_remove(&run->dir, path);
    buf_close(&note);
}

/* Everything a checkpoint promises is on the disk before the checkpoint is. */
static enum err commit(struct fetch_run *run, char why[AUDIT_WHY_MAX])
{
    TRY(folder_sync(&run->dir, why));
    for (size_t i = 0; i < run->log_count; i++) {
        struct fetch_log *l = &run->logs[i];
        char path[FETCH_PATH_MAX];
        if (!l->tree || l->dead || l->units_done != l->units || l->out->why[0])
            continue;
        snprintf(path, sizeof(path), "log/%02x/checkpoint", (unsigned)l->out->slot);
        TRY(folder_put(&run->dir, path, bytes_of(l->note.data, l->note.size), true,
                            why));
        l->out->state = l->behind ? FETCH_BEHIND : FETCH_DONE;
        if (l->behind)
            snprintf(l->out->why, sizeof(l->out->why),
                     "the source shows an older checkpoint than the one kept, of size %llu",
                     (unsigned long long)l->out->size);
        drop_partials(l, l->out->before);
        drop_partials(l, l->seen_size);
        snprintf(path, sizeof(path), FETCH_SEEN, (unsigned)l->out->slot);
        folder_remove(&run->dir, path);
    }
    bool grown = false; /* else every log stood where it stands in the copy */
    for (size_t i = 0; i < run->log_count; i++)
        grown = grown || run->logs[i].out->size != run->logs[i].out->before;
    for (size_t i = 0; grown && i < run->log_count; i++)
        if (run->logs[i].out->state == FETCH_DONE)
            keep_later(run, &run->logs[i]);
    return ERR_OK;
}

static enum err work(struct fetch_run *run, char why[AUDIT_WHY_MAX])
{
    unsigned jobs = run->o->jobs ? run->o->jobs : JOBS_DEFAULT;
    unsigned top = 0;
    TRY(fetch_each(run->log_count, jobs, fetch_lock_on, tick, run, &run->stop));
    check_hub(run);
    for (size_t i = 0; i < run->log_count; i++) {
        const struct fetch_log *l = &run->logs[i];
        run->r->total += l->out->size;
        if (l->tree && l->tree->levels > top)
            top = l->tree->levels;
    }
    for (unsigned i = top; i-- > 0;)
        TRY(level(run, i, jobs));
    return commit(run, why);
}

enum err fetch_run(const struct audit_files *files, const char *dir,
                   const struct fetch_options *o, struct fetch_report *r,
                   char why[AUDIT_WHY_MAX])
{
    struct fetch_run run = {.files = files, .o = o, .r = r, .started_ms = now_ms()};
    memset(r, 0, sizeof(*r));
    why[0] = 0;
    run.logs = calloc(SLOTS_MAX, sizeof(*run.logs));
    if (!run.logs)
        return ERR_MEMORY;
    choose_slots(&run);
    enum err e = ERR_OK;
    if (run.log_count == 0) {
        snprintf(why, AUDIT_WHY_MAX, "the policy names no such log: its origins are to end in "
                                     "\"/<slot as two hex digits>\"");
        e = ERR_USAGE;
    }
    if (e == ERR_OK)
        e = folder_open(&run.dir, dir, why);
    if (e != ERR_OK) {
        free(run.logs);
        return e;
    }
    pthread_mutex_init(&run.lock, NULL);
    e = work(&run, why);
    pthread_mutex_destroy(&run.lock);
    folder_close(&run.dir);
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        for (unsigned k = 0; k < FETCH_LEVELS_MAX; k++)
            free(run.logs[i].level[k]);
        buf_close(&run.logs[i].note);
        free(run.logs[i].tree);
    }
    free(run.logs);
    return e;
}

int fetch_exit(const struct fetch_report *r)
{
    bool whole = true, any = false;
    for (size_t i = 0; i < r->slot_count; i++) {
        enum fetch_state s = r->slots[i].state;
        if (s == FETCH_REFUSED || s == FETCH_FORK)
            return 1;
        whole = whole && s == FETCH_DONE;
        any = any || r->slots[i].origin[0];
    }
    if (whole && !r->interrupted)
        return 0;
    return r->unreachable && !any ? 69 : 2;
}

const char *fetch_state_word(enum fetch_state s)
{
    static const char *const words[] = {"open",    "done",    "behind",
                                        "missing", "refused", "fork"};
    return (size_t)s < sizeof(words) / sizeof(words[0]) ? words[s] : "?";
}
