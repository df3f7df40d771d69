/* The crash, the recovery, and the proof that nothing was lost. */
#include <inttypes.h>
#include <string.h>

#include "client/demo.h"

#define SMALL INT64_C(10000) /* 0.01 points */
#define RESUMES_MAX 12u      /* two minutes in all */

static bool on_burst(void *context, const stoa_receipt *r)
{
    struct demo *d = context;
    if ((r->state != STOA_ACCEPTED && r->state != STOA_CREDITED) ||
        d->acknowledged_count == DEMO_BURST)
        return true;
    for (unsigned i = 0; i < d->acknowledged_count; i++)
        if (memcmp(&d->acknowledged[i], &r->id, sizeof r->id) == 0)
            return true;
    d->acknowledged[d->acknowledged_count] = r->id;
    d->acknowledged_index[d->acknowledged_count++] = r->index;
    if (!d->killed) { /* as early as can be: the rest is on its way */
        d->killed = true;
        demo_hub_kill(d);
    }
    return true;
}

static stoa_result save_burst(struct demo *d)
{
    struct demo_person *anna = &d->people[0], *bo = &d->people[1];
    stoa_how how = STOA_HOW_INIT;
    stoa_payee payee = {.account = bo->account, .amount = SMALL};
    how.wait = STOA_SAVED;
    how.fresh = true;
    stoa_result r = stoa_batch_begin(anna->wallet, &d->c->error);
    for (unsigned i = 0; r == STOA_OK && i < DEMO_BURST; i++)
        r = stoa_send(anna->wallet, &anna->account, &payee, 1, &how, NULL, &d->c->error);
    if (r == STOA_OK)
        r = stoa_batch_end(anna->wallet, true, &d->c->error);
    anna->expected -= DEMO_BURST * SMALL;
    bo->expected += DEMO_BURST * SMALL;
    return cli_failed(d->c, r);
}

struct finding {
    uint64_t index;
    bool found;
};

static bool on_found(void *context, const stoa_record *r)
{
    struct finding *f = context;
    f->index = r->index;
    f->found = true;
    return true;
}

/* Every entry the hub ever acknowledged is in the ledger, at the place it named. */
static unsigned count_kept(struct demo *d)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < d->acknowledged_count; i++) {
        struct finding f = {0};
        if (stoa_record_find(d->people[0].wallet, &d->acknowledged[i], on_found, &f,
                             &d->c->error) == STOA_OK &&
            f.found && f.index == d->acknowledged_index[i])
            kept++;
    }
    return kept;
}

/* One resume has its ten seconds for all of them together, and a crowded machine may not be
 * done by then. */
static stoa_result resume_all(struct demo *d, struct demo_person *p)
{
    stoa_result r = STOA_INTERRUPTED;
    for (unsigned i = 0; r == STOA_INTERRUPTED && i < RESUMES_MAX; i++)
        r = stoa_resume(p->wallet, NULL, NULL, STOA_CREDITED, 0, on_burst, d, &d->c->error);
    return r;
}

static stoa_result recover(struct demo *d)
{
    uint64_t ms = 0;
    struct demo_person *anna = &d->people[0];
    demo_step(d, "Recovery: the hub is started again on what its disk holds");
    stoa_result r = demo_hub_start(d, &ms);
    if (r != STOA_OK)
        return r;
    (void)demo_check(
        d, true, "ready after %" PRIu64 " ms: its right edge was read and checked first",
        ms);
    for (unsigned i = 0; r == STOA_OK && i < DEMO_PEOPLE; i++) {
        stoa_disconnect(d->people[i].wallet);
        r = demo_open_wallet(d, &d->people[i]);
    }
    if (r == STOA_OK)
        r = stoa_sync(anna->wallet, &anna->account, 0, &d->c->error);
    if (r != STOA_OK)
        return cli_failed(d->c, r);
    unsigned before = d->acknowledged_count, kept = count_kept(d);
    (void)demo_check(
        d, kept == before,
        "%u acknowledged payments checked one by one: %u there, in their places, %s",
        before, kept, kept == before ? "none lost" : "SOME LOST");
    r = resume_all(d, anna);
    if (r != STOA_OK)
        return cli_failed(d->c, r);
    stoa_wallet_info info = {.size = sizeof info};
    stoa_wallet_get(anna->wallet, &info);
    (void)demo_check(
        d, info.unresolved == 0,
        "`stoa resume`: the same signed bytes again, all %d are in the ledger now",
        DEMO_BURST);
    return STOA_OK;
}

stoa_result demo_crash(struct demo *d)
{
    struct demo_person *anna = &d->people[0];
    demo_step(d,
              "A crash: anna sends bo %d small payments, and the hub is killed (kill -9) "
              "in the middle",
              DEMO_BURST);
    stoa_result r = save_burst(d);
    if (r != STOA_OK)
        return r;
    demo_tell(d, "%d payments signed and saved on anna's disk, then sent all at once",
              DEMO_BURST);
    r = stoa_resume(anna->wallet, NULL, NULL, STOA_ACCEPTED, 0, on_burst, d,
                    &d->c->error);
    demo_hub_kill(d);
    demo_hub_reap(d);
    (void)demo_check(d, d->killed && r != STOA_OK && d->acknowledged_count < DEMO_BURST,
                     "killed: %u payments acknowledged, %u with unknown outcome",
                     d->acknowledged_count, DEMO_BURST - d->acknowledged_count);
    return recover(d);
}

static stoa_result verify_one(struct demo *d, struct demo_person *p,
                              stoa_verify_mode mode)
{
    stoa_verify_report v = {.size = sizeof v};
    stoa_result r =
        stoa_verify(p->wallet, &p->account, mode, 0, NULL, NULL, &v, &d->c->error);
    if (r != STOA_OK && r != STOA_NO)
        return cli_failed(d->c, r);
    (void)demo_check(d, r == STOA_OK && v.inclusion,
                     "%-6s %s: %" PRIu64 " records, %" PRIu64
                     " signatures, %.1f ms, proven in the log",
                     p->name, mode == STOA_VERIFY_FULL ? "full" : "tip ", v.records,
                     v.signatures, (double)v.elapsed_us / 1000.0);
    return STOA_OK;
}

stoa_result demo_verify(struct demo *d)
{
    int64_t sum = 0, earned = 0;
    char text[40];
    demo_step(d, "Verification: each wallet replays its account and believes nobody");
    for (unsigned i = 0; i < DEMO_PEOPLE; i++) {
        struct demo_person *p = &d->people[i];
        stoa_balance b = {.size = sizeof b};
        stoa_result r = stoa_sync(p->wallet, &p->account, 0, &d->c->error);
        if (r == STOA_OK)
            r = verify_one(d, p, STOA_VERIFY_TIP);
        if (r == STOA_OK)
            r = verify_one(d, p, STOA_VERIFY_FULL);
        if (r == STOA_OK)
            r = stoa_balance_get(p->wallet, &p->account, &b, &d->c->error);
        if (r != STOA_OK)
            return cli_failed(d->c, r);
        cli_amount_text(text, b.settled);
        (void)demo_check(d, b.settled == p->expected,
                         "%-6s holds %s, exactly what the payments say", p->name, text);
        sum += b.settled;
        earned += p->earned;
    }
    cli_amount_text(text, earned);
    (void)demo_check(d, sum == earned,
                     "all balances add up to %s, what was earned: no point made or lost",
                     text);
    return STOA_OK;
}
