/* How much of each slot this relay shows: written by whoever sequences or follows the slot,
 * read by the readers. */
#include <errno.h>
#include <string.h>

#include "relay/clock.h"
#include "relay/follow_internal.h"
#include "relay/region.h"

/* Under the lock. */
static void count_loading(struct follow *f)
{
    unsigned n = 0;
    for (uint32_t slot = 0; slot < f->r->slots; slot++)
        n += !f->views[slot].shown;
    atomic_store(&f->loading, n);
}

void view_grow(struct follow *f, uint32_t slot, tree_size size, struct bytes note,
               struct mail *m)
{
    struct follow_view *v = &f->views[slot];
    pthread_mutex_lock(&f->lock);
    if (size >= v->size) {
        v->size = size;
        v->note_size = note.size;
        memcpy(v->note, note.data, note.size);
        if (!v->shown) {
            v->shown = true;
            count_loading(f);
        }
    }
    if (m)
        relay_mail_one(f->r, m);
    pthread_cond_broadcast(&f->grown);
    pthread_mutex_unlock(&f->lock);
}

void view_hide(struct follow *f, uint32_t slot)
{
    pthread_mutex_lock(&f->lock);
    f->views[slot].shown = false;
    count_loading(f);
    pthread_mutex_unlock(&f->lock);
}

tree_size view_size(struct follow *f, uint32_t slot)
{
    pthread_mutex_lock(&f->lock);
    tree_size size = f->views[slot].size;
    pthread_mutex_unlock(&f->lock);
    return size;
}

size_t view_note(struct follow *f, uint32_t slot, char note[CHECKPOINT_BYTES_MAX])
{
    pthread_mutex_lock(&f->lock);
    size_t size = f->views[slot].note_size;
    memcpy(note, f->views[slot].note, size);
    pthread_mutex_unlock(&f->lock);
    return size;
}

void follow_own(struct relay *r, uint32_t slot, tree_size size, struct bytes note)
{
    if (r->follow)
        view_grow(r->follow, slot, size, note, NULL);
}

/* Under the lock. False: the time is over. */
static bool wait_for(struct follow *f, const struct follow_view *v, tree_size size,
                     uint64_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000u);
    until.tv_nsec += (long)(wait_ms % 1000u) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    while (!v->shown || v->size < size)
        if (pthread_cond_timedwait(&f->grown, &f->lock, &until) == ETIMEDOUT)
            return v->shown && v->size >= size;
    return true;
}

enum err follow_at(struct relay *r, uint32_t slot, struct store_slot *out)
{
    struct follow *f = r->follow;
    struct follow_view *v = &f->views[slot];
    pthread_mutex_lock(&f->lock);
    bool ok = v->shown && (v->size >= v->seen ||
                           wait_for(f, v, v->seen, FOLLOW_READ_WAIT_MS));
    if (ok) {
        out->epoch = 0;
        out->edge_count = 0;
        out->size = v->size;
        out->checkpoint_size = v->note_size;
        memcpy(out->checkpoint, v->note, v->note_size);
    }
    pthread_mutex_unlock(&f->lock);
    return ok ? ERR_OK : ERR_UNAVAILABLE;
}

bool follow_wait(struct relay *r, uint32_t slot, tree_size size, uint64_t wait_ms)
{
    struct follow *f = r->follow;
    struct follow_view *v = &f->views[slot];
    if (!f)
        return true;
    pthread_mutex_lock(&f->lock);
    bool there = v->shown && v->size >= size;
    pthread_mutex_unlock(&f->lock);
    if (there)
        return true;
    follow_ring(r, slot, size);
    pthread_mutex_lock(&f->lock);
    there = wait_for(f, v, size, wait_ms);
    pthread_mutex_unlock(&f->lock);
    return there;
}

void follow_seen(struct relay *r, uint32_t slot, tree_size size)
{
    struct follow *f = r->follow;
    bool more;
    if (!f || slot >= r->slots)
        return;
    pthread_mutex_lock(&f->lock);
    struct follow_view *v = &f->views[slot];
    more = size > v->size;
    if (size > v->seen)
        v->seen = size;
    pthread_mutex_unlock(&f->lock);
    if (more)
        follow_expect(f, slot, size);
}

uint32_t follow_loading(const struct relay *r)
{
    return r->follow ? atomic_load(&r->follow->loading) : 0;
}
