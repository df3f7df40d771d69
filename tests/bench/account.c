#include "tests/bench/account.h"

#include <stdlib.h>
#include <string.h>

#include "client/follow.h"
#include "client/verify.h"
#include "tests/unit/account/kit.h"

#define RECORDS 1000u
#define DEVICES 20u
#define RUNS 15
#define HUB_NAME "bench.test"

enum { ISSUER = 1, RELAY, LOG, ROOT = 10, SECOND_ROOT, INVITE, DEVICE = 100, SECOND = 200 };

/* The account as it grows, and every record of it after the log_open. */
struct history {
    struct hub_account hub;
    struct account account;
    struct effects fx;
    size_t count;
    struct record records[RECORDS + 1];
    uint8_t *bytes[RECORDS + 1];
    struct kit_entry entry;
    struct payload payload;
    struct hash split;
    uint64_t credits;
};

static void put(struct history *h, enum err e)
{
    need(e, kind_word(h->entry.e.kind));
    struct record *r = &h->records[h->count];
    bool of_hub = h->entry.e.kind == KIND_LOG_OPEN;
    h->bytes[h->count] = malloc(h->entry.size);
    if (!h->bytes[h->count])
        die("out of memory");
    memcpy(h->bytes[h->count], h->entry.bytes, h->entry.size);
    r->position = of_hub ? 0 : h->account.position - 1;
    r->account_head = of_hub ? h->hub.head : h->account.head;
    r->envelope = bytes_of(h->bytes[h->count], h->entry.size);
    h->count++;
}

static struct record *next_record(struct history *h)
{
    struct record *r = &h->records[h->count];
    *r = (struct record){.slot = 0,
                         .index = h->count,
                         .hub_lamport = h->count + 1,
                         .hub_time_ms = 1000 + h->count};
    return r;
}

static void write_by(struct history *h, uint32_t key)
{
    struct record *r = next_record(h);
    kit_build(&h->entry, &h->account, &h->hub, kit_key(key), &h->payload);
    put(h, account_apply(&h->account, &h->hub, &h->entry.e, r, VIEW_SLOT, &h->fx));
}

static void begin(struct history *h)
{
    struct hash federation = kit_hash(1);
    hub_account_init(&h->hub, &alloc_heap);
    account_init(&h->account, &alloc_heap);
    struct record *r = next_record(h);
    kit_log_open(&h->entry, &(struct kit_log){.federation = federation,
                                              .hub = HUB_NAME,
                                              .slots = 1,
                                              .issuer = kit_key(ISSUER),
                                              .relay = kit_key(RELAY),
                                              .log = kit_key(LOG)});
    put(h, hub_account_apply(&h->hub, &h->entry.e, r, VIEW_SLOT, &h->fx));
    r = next_record(h);
    kit_open(&h->entry, &(struct kit_open){.federation = federation,
                                           .hub = HUB_NAME,
                                           .root = kit_key(ROOT),
                                           .device = kit_key(DEVICE)});
    put(h, account_apply(&h->account, &h->hub, &h->entry.e, r, VIEW_SLOT, &h->fx));
}

/* A second member with a device, and devices of the first up to DEVICES. */
static void enrol(struct history *h)
{
    struct pubkey invite = kit_pub(INVITE), device = kit_pub(SECOND);
    kit_invite(&h->payload, &h->account.id, kit_key(ROOT), &invite, 1000000);
    write_by(h, DEVICE);
    struct hash id = h->entry.e.id;
    uint64_t lamport = h->entry.e.lamport;
    struct record *r = next_record(h);
    kit_member_add(&h->payload, &h->account.id, &id, kit_key(INVITE), kit_key(SECOND_ROOT),
                   &device);
    kit_build_first(&h->entry, &h->account.id, &id, lamport + 1, kit_key(SECOND),
                    &h->payload);
    put(h, account_apply(&h->account, &h->hub, &h->entry.e, r, VIEW_SLOT, &h->fx));
    for (uint32_t i = 1; i < DEVICES - 1; i++) {
        device = kit_pub(DEVICE + i);
        kit_device_add(&h->payload, &h->account.id, kit_key(ROOT), &device, i);
        write_by(h, DEVICE);
    }
    kit_bind(&h->payload, 3, "register-of-the-account");
    write_by(h, DEVICE);
    struct hash node = kit_hash(99);
    kit_accrue(&h->payload, &node, 1, 1000000);
    write_by(h, ISSUER);
}

static void credit(struct history *h)
{
    char origin[KIT_ORIGIN_ROOM];
    struct channel_item item = {.cause = kit_hash(1000 + h->credits),
                                .payee = h->account.id,
                                .amount = 1000,
                                .source_index = h->credits,
                                .out_seq = 0};
    item.out_seq = h->hub.channels[0].next_in;
    kit_credit(&h->payload, &item, HUB_NAME, origin);
    h->credits++;
    struct record *r = next_record(h);
    r->hub_lamport = h->count + 1;
    kit_build(&h->entry, &h->account, &h->hub, kit_key(RELAY), &h->payload);
    put(h, account_apply(&h->account, &h->hub, &h->entry.e, r, VIEW_SLOT, &h->fx));
}

static void split(struct history *h)
{
    struct split_terms t;
    struct pubkey first = kit_pub(ROOT), second = kit_pub(SECOND_ROOT);
    kit_terms(&t, &first, 100);
    kit_share(&t, &first, 40);
    kit_share(&t, &second, 60);
    h->payload.kind = KIND_SPLIT;
    h->payload.split.terms = t;
}

/* One in ten an accrual, two credits, two payments, one split, the rest notes; every device
 * in turn. */
static void write_mixture(struct history *h)
{
    static const char text[] = "groceries for the house, paid by the second member, shared as "
                               "agreed in spring; the receipt is attached to this entry";
    struct hash payee = kit_hash(99);
    uint64_t n = h->count;
    uint32_t by = n % DEVICES == DEVICES - 1 ? SECOND : DEVICE + (uint32_t)(n % DEVICES);
    switch (n % 10) {
    case 0:
        kit_accrue(&h->payload, &payee, n, 1000000);
        by = ISSUER;
        break;
    case 1:
    case 2:
        credit(h);
        return;
    case 3:
    case 4:
        kit_transfer(&h->payload);
        kit_pay(&h->payload, &payee, 1);
        break;
    case 5:
        split(h);
        break;
    default:
        kit_note(&h->payload, text, sizeof text - 1);
    }
    write_by(h, by);
}

/* ---- replay ---- */

struct replay {
    const struct history *h;
    size_t next;
    struct follow follow;
    uint64_t enrolment_ns; /* applying records that carry signatures inside */
};

static enum err replay_read(void *context, struct record out[], size_t max, size_t *count,
                            void **hold)
{
    struct replay *p = context;
    size_t left = p->h->count - p->next;
    *count = left < max ? left : max;
    *hold = NULL;
    memcpy(out, &p->h->records[p->next], *count * sizeof out[0]);
    p->next += *count;
    return ERR_OK;
}

static enum err replay_apply(void *context, const struct entry *e, const struct record *r,
                             const struct hash *leaf)
{
    struct replay *p = context;
    (void)leaf;
    bool enrols = e->kind == KIND_OPEN || e->kind == KIND_DEVICE_ADD ||
                  e->kind == KIND_MEMBER_ADD;
    uint64_t began = enrols ? now_ns() : 0;
    enum err err = follow_apply(&p->follow, e, r);
    if (enrols)
        p->enrolment_ns += now_ns() - began;
    return err;
}

/* With `signatures` every one is checked; without, neither those of devices nor, by taking
 * their time off, those inside enrolments, which no mode of verification leaves out. */
static double replay_ms(const struct history *h, bool signatures, unsigned threads,
                        double *enrolment_ms)
{
    uint64_t took[RUNS], enrolment[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        struct replay p = {.h = h};
        struct verify_lane lane = {
            .context = &p, .read = replay_read, .apply = replay_apply};
        struct verify_options o = {
            .mode = VERIFY_FULL, .threads = threads, .no_signatures = !signatures};
        uint64_t checked = 0, began = now_ns();
        follow_init(&p.follow, &alloc_heap, &h->account.id, &h->hub.id, 0);
        need(verify_lanes(&lane, 1, &o, &checked), "replay an account");
        took[i] = now_ns() - began - (signatures ? 0 : p.enrolment_ns);
        enrolment[i] = p.enrolment_ns;
        if (p.follow.account.position != h->account.position)
            die("the replay ended early");
        follow_close(&p.follow);
    }
    *enrolment_ms = percentile(enrolment, RUNS, 0.5) / 1e6;
    return percentile(took, RUNS, 0.5) / 1e6;
}

void account_measure(const struct options *o, struct report *r)
{
    struct history *h = take(sizeof *h);
    unsigned threads = o->threads ? o->threads : cores();
    begin(h);
    enrol(h);
    while (h->count < RECORDS + 1)
        write_mixture(h);
    report_number(r, "account_records", (double)h->account.position);
    report_number(r, "account_devices", h->account.device_count);
    double enrolment;
    report_number(r, "account_no_signatures_ms", replay_ms(h, false, threads, &enrolment));
    report_number(r, "account_enrolments_ms", enrolment);
    report_number(r, "account_full_ms", replay_ms(h, true, threads, &enrolment));
    for (size_t i = 0; i < h->count; i++)
        free(h->bytes[i]);
    account_close(&h->account);
    hub_account_close(&h->hub);
    kit_close();
    free(h);
}
