/* What applying costs, entries decoded before: prints entries per second and nanoseconds,
 * the hash of the account head included and alone. Usage: account_rate [entries] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kit.h"

enum { ISSUER = 1, RELAY, LOG, ROOT = 10, DEVICE };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(enum err e, const char *what)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_word(e));
    exit(1);
}

struct kept {
    struct entry e;
    uint8_t bytes[640];
};

static struct hub_account hub;
static struct account account;
static struct effects fx;
static struct kept *kept;
static size_t count;

/* Keep the entry and move the writer's chain on as applying it would. */
static void keep(size_t i, const struct kit_entry *built, struct chain *c)
{
    if (built->size > sizeof kept[i].bytes)
        need(ERR_ROOM, "entry");
    memcpy(kept[i].bytes, built->bytes, built->size);
    need(entry_decode(&kept[i].e, kept[i].bytes, built->size), "decode");
    c->next_seq++;
    c->tip = built->e.id;
    c->tip_lamport = built->e.lamport;
}

static void make(enum kind kind, uint32_t writer)
{
    static struct kit_entry built;
    static struct payload p;
    char origin[KIT_ORIGIN_ROOM];
    struct pubkey pub = kit_pub(writer);
    struct chain *c = kind == KIND_CREDIT ? &account.hub : &account.devices[0].chain;
    struct chain before = *account_chain(&account, &hub, &pub);
    struct hash payee = account.id;
    payee.b[31] ^= 1;
    for (size_t i = 0; i < count; i++) {
        if (kind == KIND_TRANSFER) {
            kit_transfer(&p);
            kit_pay(&p, &payee, 1);
        } else if (kind == KIND_NOTE) {
            kit_note(&p, "0123456789abcdef", 16);
        } else {
            kit_credit(&p, &(struct channel_item){.amount = 3, .out_seq = i}, "hub.test",
                       origin);
        }
        kit_build(&built, &account, &hub, kit_key(writer), &p);
        keep(i, &built, c);
    }
    *c = before;
}

static void measure(enum kind kind, uint32_t writer)
{
    make(kind, writer);
    struct record r = {.hub_time_ms = 1};
    double start = seconds();
    for (size_t i = 0; i < count; i++)
        need(account_apply(&account, &hub, &kept[i].e, &r, VIEW_SLOT, &fx),
             kind_word(kind));
    double applied = seconds() - start;
    struct hash head = account.head;
    start = seconds();
    for (size_t i = 0; i < count; i++)
        head = account_head_next(&head, kept[i].e.envelope);
    double hashed = seconds() - start;
    printf("%-9s %9.0f /s  %5.0f ns, of which head hash %5.0f ns (%zu bytes)\n",
           kind_word(kind), (double)count / applied, applied / (double)count * 1e9,
           hashed / (double)count * 1e9, kept[0].e.envelope.size);
}

int main(int argc, char **argv)
{
    static struct kit_entry open;
    struct hash federation = kit_hash(1);
    struct record r = {0};
    count = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 20000;
    kept = calloc(count, sizeof *kept);
    if (kept == NULL)
        return 1;
    hub_account_init(&hub, &alloc_heap);
    account_init(&account, &alloc_heap);
    kit_log_open(&open, &(struct kit_log){.federation = federation,
                                          .hub = "hub.test",
                                          .slots = 1,
                                          .issuer = kit_key(ISSUER),
                                          .relay = kit_key(RELAY),
                                          .log = kit_key(LOG)});
    need(hub_account_apply(&hub, &open.e, &r, VIEW_SLOT, &fx), "log_open");
    kit_open(&open, &(struct kit_open){.federation = federation,
                                       .hub = "hub.test",
                                       .root = kit_key(ROOT),
                                       .device = kit_key(DEVICE)});
    need(account_apply(&account, &hub, &open.e, &r, VIEW_SLOT, &fx), "open");
    measure(KIND_CREDIT, RELAY);
    measure(KIND_TRANSFER, DEVICE);
    measure(KIND_NOTE, DEVICE);
    account_close(&account);
    hub_account_close(&hub);
    free(kept);
    kit_close();
    return 0;
}
