/* A slot that comes back while the process is short of memory (relay/commit_ask.c). */
#include "hub.h"
#include "relay/commit_internal.h"
#include "tests/unit/relay/test.h"
#include "unit/account/kit.h"

#define SLOTS 4u
#define SLOT 2u

static enum err pinned_says;
static unsigned published;

/* Linked in the place of commit_event.c's (--wrap). */
enum err __wrap_pinned_load(struct commit *c, uint32_t slot);
void __wrap_event_reloaded(struct commit *c, uint32_t slot);

enum err __wrap_pinned_load(struct commit *c, uint32_t slot)
{
    assert_non_null(sequencer_slotlog(c->q, slot));
    return pinned_says;
}

void __wrap_event_reloaded(struct commit *c, uint32_t slot)
{
    (void)c;
    assert_int_equal(slot, SLOT);
    published++;
}

/* Were it served, a pinned account that the set does not know would be anybody's to read. */
static void a_slot_whose_pinned_accounts_are_not_known_is_loaded_again(void **state)
{
    static struct hub hub;
    static struct relay relay;
    static struct commit c;
    (void)state;
    hub_create(&hub, SLOTS);
    relay.slots = SLOTS;
    relay.store = hub.store;
    highwater_open(&relay.highwater, NULL, SLOTS);
    c.r = &relay;
    c.q = hub.q;
    c.config = hub.config;
    assert_int_equal(causes_open(&c.causes, 7), ERR_OK);
    sequencer_slot_release(c.q, SLOT);

    pinned_says = ERR_MEMORY;
    slots_reload(&c, 5000);
    assert_int_equal(sequencer_slot_state(c.q, SLOT), SEQ_SLOT_DOWN);
    assert_int_equal(published, 0);
    pinned_says = ERR_OK;
    slots_reload(&c, 5001); /* not at once */
    assert_int_equal(sequencer_slot_state(c.q, SLOT), SEQ_SLOT_DOWN);
    slots_reload(&c, 10000);
    assert_int_equal(sequencer_slot_state(c.q, SLOT), SEQ_SLOT_READY);
    assert_int_equal(published, 1);
    for (uint32_t i = 0; i < SLOTS; i++)
        assert_int_equal(sequencer_slot_state(c.q, i), SEQ_SLOT_READY);

    causes_close(&c.causes);
    highwater_close(&relay.highwater);
    hub_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_whose_pinned_accounts_are_not_known_is_loaded_again),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_close();
    return failed;
}
