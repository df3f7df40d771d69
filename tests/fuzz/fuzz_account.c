/* Account and hub account states: what decodes keeps what must hold after every record
 * and encodes to the same bytes. First byte: account, or hub account. */
#include <string.h>

#include "fuzz.h"
#include "ledger/account.h"
#include "ledger/mp.h"

static uint8_t again[1 << 20];

static void check_members(const struct account *a)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < a->member_count; i++) {
        uint32_t devices = 0;
        sum += (uint64_t)a->members[i].position;
        PROPERTY(a->members[i].number < a->next_member);
        PROPERTY(i == 0 || a->members[i - 1].number < a->members[i].number);
        for (uint32_t j = 0; j < a->device_count; j++)
            devices += a->devices[j].member == a->members[i].number;
        PROPERTY(devices >= 1 && devices <= DEVICES_PER_MEMBER_MAX);
    }
    PROPERTY(sum == 0);
}

static void check_account(struct bytes data)
{
    struct account a;
    if (account_decode(&a, &alloc_heap, data) != ERR_OK)
        return;
    PROPERTY(account_encode_size(&a) == data.size && data.size <= sizeof again);
    struct mp_writer w = mp_writer_of(again, sizeof again);
    account_encode(&w, &a);
    PROPERTY(!w.full && w.size == data.size && memcmp(again, data.data, w.size) == 0);
    PROPERTY(a.position > 0 && a.balance >= 0 && a.balance <= BALANCE_MAX);
    PROPERTY(a.residency <= RESIDENCY_PINNED && a.hub.tip_lamport > 0);
    PROPERTY(a.member_count >= 1 && a.member_count <= MEMBERS_MAX);
    PROPERTY(a.device_count <= DEVICES_MAX && a.revoked_count <= REVOKED_MAX);
    PROPERTY(a.ref_count >= 1 && a.ref_count <= REF_WINDOW);
    PROPERTY(a.node_count <= NODES_MAX && a.split_count <= SPLIT_WINDOW);
    PROPERTY(!a.bound || (a.bound_chain < CHAINS && a.bound_size >= 1));
    for (uint32_t i = 1; i < a.node_count; i++)
        PROPERTY(hash_compare(&a.nodes[i - 1].node, &a.nodes[i].node) < 0);
    check_members(&a);
    account_close(&a);
}

static void check_hub(struct bytes data)
{
    struct hub_account h;
    if (hub_account_decode(&h, &alloc_heap, data) != ERR_OK)
        return;
    PROPERTY(hub_account_encode_size(&h) == data.size && data.size <= sizeof again);
    struct mp_writer w = mp_writer_of(again, sizeof again);
    hub_account_encode(&w, &h);
    PROPERTY(!w.full && w.size == data.size && memcmp(again, data.data, w.size) == 0);
    PROPERTY(h.open && h.position > 0 && h.accrued >= 0 && h.rules == 1);
    PROPERTY(h.slots >= 1 && h.slots <= SLOTS_MAX && (h.slots & (h.slots - 1)) == 0);
    PROPERTY(h.slot < h.slots && hub_name_ok(h.hub, strlen(h.hub)));
    hub_account_close(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started)
        started = crypto_start();
    PROPERTY(started);
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        check_account(bytes_of(data + 1, size - 1));
    else
        check_hub(bytes_of(data + 1, size - 1));
    return 0;
}
