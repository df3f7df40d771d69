#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STATE_ROOM (512 * 1024)

void expect_err(enum err expected, enum err found, const char *file, int line)
{
    if (expected == found)
        return;
    print_error("expected %s, found %s\n", err_word(expected), err_word(found));
    _fail(file, line);
}

struct hash world_digest(const struct account *a)
{
    static uint8_t room[STATE_ROOM];
    return account_digest(a, room, sizeof room);
}

struct hash world_hub_digest(const struct hub_account *h)
{
    static uint8_t room[STATE_ROOM];
    return hub_account_digest(h, room, sizeof room);
}

void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->federation = kit_hash(7);
    w->time_ms = 1700000000000;
    for (uint32_t i = 0; i < WORLD_SLOTS; i++) {
        struct kit_entry open;
        hub_account_init(&w->slots[i].hub, &alloc_heap);
        kit_log_open(&open, &(struct kit_log){.federation = w->federation,
                                              .hub = WORLD_HUB,
                                              .slot = i,
                                              .slots = WORLD_SLOTS,
                                              .issuer = kit_key(KEY_ISSUER),
                                              .relay = kit_key(KEY_RELAY),
                                              .log = kit_key(KEY_LOG)});
        OK(world_apply_hub(w, i, &open.e));
    }
}

void world_close(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_SLOTS; i++)
        hub_account_close(&w->slots[i].hub);
}

struct world_slot *world_slot_of(struct world *w, const struct hash *account)
{
    for (uint32_t i = 0; i < WORLD_SLOTS; i++)
        if (w->slots[i].hub.open && hash_equal(&w->slots[i].hub.id, account))
            return &w->slots[i];
    return &w->slots[slot_of(account, WORLD_SLOTS)];
}

static struct record next_record(const struct world *w, const struct world_slot *s,
                                 const struct entry *e)
{
    return (struct record){.slot = (uint32_t)(s - w->slots),
                           .index = s->index,
                           .hub_lamport = s->lamport + 1,
                           .hub_time_ms = w->time_ms,
                           .envelope = e->envelope};
}

static void after(struct world *w, struct world_slot *s, enum err err)
{
    if (err != ERR_OK) {
        assert_int_equal(w->fx.item_count, 0);
        assert_false(w->fx.settles);
        assert_false(w->fx.bounced);
        return;
    }
    s->index++;
    s->lamport++;
    for (size_t i = 0; i < w->fx.item_count; i++) {
        assert_true(w->item_count < WORLD_ITEMS_MAX);
        w->items[w->item_count++] = w->fx.items[i];
    }
}

enum err world_apply(struct world *w, struct account *a, const struct entry *e)
{
    struct world_slot *s = world_slot_of(w, entry_account(e));
    struct record r = next_record(w, s, e);
    struct hash account = world_digest(a), hub = world_hub_digest(&s->hub);
    enum err err = account_apply(a, &s->hub, e, &r, w->view, &w->fx);
    struct hash account_after = world_digest(a), hub_after = world_hub_digest(&s->hub);
    if (err == ERR_OK) {
        assert_false(hash_equal(&account, &account_after));
    } else {
        assert_true(hash_equal(&account, &account_after));
        assert_true(hash_equal(&hub, &hub_after));
    }
    after(w, s, err);
    return err;
}

enum err world_apply_hub(struct world *w, uint32_t slot, const struct entry *e)
{
    struct world_slot *s = &w->slots[slot];
    struct record r = next_record(w, s, e);
    struct hash before = world_hub_digest(&s->hub);
    enum err err = hub_account_apply(&s->hub, e, &r, w->view, &w->fx);
    struct hash now = world_hub_digest(&s->hub);
    assert_int_equal(hash_equal(&before, &now), err != ERR_OK);
    after(w, s, err);
    return err;
}

enum err world_do(struct world *w, struct account *a, uint32_t key,
                  const struct payload *p)
{
    static struct kit_entry built;
    kit_build(&built, a, &world_slot_of(w, &a->id)->hub, kit_key(key), p);
    return world_apply(w, a, &built.e);
}

enum err world_do_hub(struct world *w, uint32_t slot, uint32_t key,
                      const struct payload *p)
{
    static struct kit_entry built;
    kit_build_hub(&built, &w->slots[slot].hub, kit_key(key), p);
    return world_apply_hub(w, slot, &built.e);
}

void world_open(struct world *w, struct account *a, uint32_t slot, uint32_t key,
                bool recovery)
{
    static struct kit_entry built;
    account_init(a, &alloc_heap);
    kit_open_in_slot(&built,
                     &(struct kit_open){.federation = w->federation,
                                        .hub = WORLD_HUB,
                                        .root = kit_key(key),
                                        .device = kit_key(key + 1),
                                        .recovery = recovery ? kit_key(key + 2) : NULL},
                     slot, WORLD_SLOTS);
    OK(world_apply(w, a, &built.e));
}

void world_fund(struct world *w, struct account *a, int64_t amount)
{
    struct payload p;
    kit_adjust(&p, amount);
    OK(world_do(w, a, KEY_ISSUER, &p));
}

void world_join(struct world *w, struct account *a, uint32_t inviter, uint32_t key)
{
    static struct kit_entry built;
    struct payload p;
    struct pubkey invite_key = kit_pub(key + 2), device = kit_pub(key + 1);
    kit_invite(&p, &a->id, kit_root_of(a, inviter), &invite_key, w->time_ms + 1000);
    OK(world_do(w, a, inviter, &p));
    struct invite invite = a->invites[a->invite_count - 1];
    kit_member_add(&p, &a->id, &invite.id, kit_key(key + 2), kit_key(key), &device);
    kit_build_first(&built, &a->id, &invite.id, invite.lamport + 1, kit_key(key + 1), &p);
    OK(world_apply(w, a, &built.e));
}

bool world_take(struct world *w, struct channel_item *item)
{
    if (w->item_count == 0)
        return false;
    *item = w->items[0];
    w->item_count--;
    memmove(&w->items[0], &w->items[1], w->item_count * sizeof w->items[0]);
    return true;
}
