#include "relay/talkers.h"

#include <string.h>

#define SCALE 16u

static struct talker *find(struct talkers *t, const struct ws_address *a)
{
    for (size_t i = 0; i < t->count; i++)
        if (memcmp(&t->one[i].address, a, sizeof(*a)) == 0)
            return &t->one[i];
    return NULL;
}

/* A place for a newcomer: a free one, or the smallest one's. */
static struct talker *take(struct talkers *t, const struct ws_address *a)
{
    struct talker *place = &t->one[0];
    if (t->count < TALKERS) {
        place = &t->one[t->count++];
        *place = (struct talker){.address = *a};
        return place;
    }
    for (size_t i = 1; i < t->count; i++)
        if (t->one[i].sent < place->sent)
            place = &t->one[i];
    place->address = *a;
    place->error = place->sent;
    place->refused = 0;
    return place;
}

void talkers_add(struct talkers *t, const struct ws_address *a, uint64_t sent,
                 uint64_t refused)
{
    if (sent == 0)
        return;
    struct talker *one = find(t, a);
    if (!one)
        one = take(t, a);
    one->sent += sent * SCALE;
    one->refused += refused * SCALE;
    t->all += sent * SCALE;
}

static uint64_t faded(uint64_t v)
{
    return v - (v + TALKERS_FADE - 1) / TALKERS_FADE;
}

void talkers_fade(struct talkers *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++) {
        struct talker one = t->one[i];
        one.sent = faded(one.sent);
        one.refused = faded(one.refused);
        one.error = faded(one.error);
        if (one.sent > 0)
            t->one[kept++] = one;
    }
    t->count = kept;
    t->all = faded(t->all);
}

/* A steady count of n a tick stands at 8 n before a fade. */
static struct talker_row row_of(const struct talkers *t, const struct talker *one)
{
    uint64_t sure = one->sent - one->error;
    return (struct talker_row){
        .address = one->address,
        .entries = sure / SCALE / TALKERS_FADE,
        .refused = one->refused / SCALE / TALKERS_FADE,
        .permille = t->all ? (unsigned)(sure * 1000u / t->all) : 0};
}

size_t talkers_top(const struct talkers *t, struct talker_row out[], size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < t->count; i++) {
        struct talker_row row = row_of(t, &t->one[i]);
        size_t at = count < max ? count : max;
        while (at > 0 && out[at - 1].permille < row.permille) {
            if (at < max)
                out[at] = out[at - 1];
            at--;
        }
        if (at < max)
            out[at] = row;
        if (count < max && (at < max))
            count++;
    }
    return count;
}

uint64_t talkers_all(const struct talkers *t)
{
    return t->all / SCALE / TALKERS_FADE;
}
