/* A slot that comes back at the same relay, by itself: after an answer of the store that was
 * no commit, and after a load that the relay's own memory contradicted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "crypto/sig.h"
#include "tests/integration/region/town.h"

#define ALL 3u
#define SETTLE_MS 30000u
#define AGAIN_MS 8000 /* many times region.poll_ms, and longer than an entry is kept */
#define TRIES 200

static struct regionproc region;
static struct town town;
/* The payer is at the first relay, the other two in two slots of the second one. */
static struct citizen *payer, *payee, *bystander;

static void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

static void sql(const char *text)
{
    if (!pgproc_sql(&region.pg, REGIONPROC_DATABASE, text, NULL, 0))
        fail_msg("%s", region.pg.why);
}

/* Of one slot's row: `body` before it changes, with `n` from public.state. */
static void on_change(uint32_t slot, const char *body)
{
    char text[2000];
    snprintf(text, sizeof text,
             "CREATE OR REPLACE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql"
             " SECURITY DEFINER AS $$ DECLARE k integer; BEGIN"
             " IF new.slot = %u THEN SELECT n INTO k FROM public.state; %s END IF;"
             " RETURN new; END $$;"
             " CREATE TRIGGER meddle BEFORE UPDATE ON stoa.slot FOR EACH ROW"
             " EXECUTE FUNCTION public.meddle()",
             (unsigned)slot, body);
    sql(text);
}

static void cast(void)
{
    int owner[REGIONPROC_SLOTS];
    if (!regionproc_settled(&region, ALL, SETTLE_MS) || !regionproc_owners(&region, owner))
        fail_msg("%s", region.why);
    payer = payee = bystander = NULL;
    for (unsigned i = 0; i < town.people; i++) {
        struct citizen *c = &town.one[i];
        if (owner[c->slot] == 0)
            payer = c;
        else if (payee == NULL)
            payee = c;
        else if (c->slot != payee->slot)
            bystander = c;
    }
    assert_non_null(payer);
    assert_non_null(bystander);
}

static void talk(struct wirekit *k, unsigned relay, const struct citizen *c)
{
    assert_true(wirekit_open(k, region.relay[relay].port, c->p.device));
}

/* Accepted; the settlement is still to come. */
static void pay(struct wirekit *k, struct citizen *to)
{
    person_transfer(&payer->p, &to->p.account, 1);
    struct bytes one = person_bytes(&payer->p);
    assert_true(wirekit_submit(k, &one, 1, WIRE_SUBMIT_SETTLED));
    assert_true(wirekit_expect(k, WIRE_RESULTS, AGAIN_MS));
    assert_int_equal(wirekit_result(k).code, 0);
    town.balance[payer->number] -= 1;
    town.balance[to->number] += 1;
}

/* The same bytes until they are in. */
static bool accepted_at_last(struct wirekit *k, const struct citizen *c)
{
    struct wire_result r = {.code = 1};
    for (int i = 0; i < TRIES && r.code != 0; i++, sleep_ms(100))
        if (!wirekit_submit_one(k, person_bytes(&c->p), &r))
            return false;
    return r.code == 0;
}

static void not_accepted(struct wirekit *k, struct citizen *c)
{
    struct wire_result r = {0};
    person_note(&c->p, 20);
    assert_true(wirekit_submit_one(k, person_bytes(&c->p), &r));
    assert_int_equal(r.code, ERR_UNAVAILABLE);
}

/* Nobody writes to the slot while it is away or after: that its payments come in must not need
 * somebody who wakes it up. */
static void a_slot_that_is_loaded_again_hears_of_its_payments(void **state)
{
    struct wirekit at_payer, at_payee;
    (void)state;
    cast();
    talk(&at_payer, 0, payer);
    talk(&at_payee, 1, payee);
    sql("UPDATE public.state SET n = 0");
    on_change(payee->slot, "IF new.size <> old.size OR new.epoch <> old.epoch THEN"
                           " RAISE EXCEPTION 'not now'; END IF;");
    not_accepted(&at_payee, payee);
    /* The relay hears of a payment while the slot is away, and looks at all its channels. */
    pay(&at_payer, bystander);
    assert_true(wirekit_expect(&at_payer, WIRE_SETTLED, AGAIN_MS));
    pay(&at_payer, payee);
    sql("DROP TRIGGER meddle ON stoa.slot");
    if (!wirekit_expect(&at_payer, WIRE_SETTLED, AGAIN_MS))
        fail_msg("what was paid to a slot that was loaded again is not settled");
    assert_true(accepted_at_last(&at_payee, payee));
    wirekit_close(&at_payer);
    wirekit_close(&at_payee);
}

/* The first claim shows the slot as it was a while ago, the next one as it is: as when somebody
 * else still writes to it. What contradicted the first load is looked at once more. */
static void a_slot_whose_load_was_contradicted_is_tried_once_more(void **state)
{
    struct wirekit k;
    char text[400];
    (void)state;
    cast();
    talk(&k, 1, payee);
    snprintf(text, sizeof text,
             "UPDATE public.state SET n = 0; CREATE TABLE public.early AS SELECT size,"
             " edges, checkpoint FROM stoa.slot WHERE slot = %u;"
             " CREATE TABLE public.now AS SELECT * FROM public.early",
             (unsigned)payee->slot);
    sql(text);
    person_note(&payee->p, 20);
    assert_true(accepted_at_last(&k, payee));
    on_change(payee->slot,
              "IF k = 0 AND new.size <> old.size THEN RAISE EXCEPTION 'not now'; END IF;"
              " IF new.epoch <> old.epoch THEN UPDATE public.state SET n = n + 1;"
              " IF k = 0 THEN UPDATE public.now SET size = old.size, edges = old.edges,"
              " checkpoint = old.checkpoint; SELECT size, edges, checkpoint INTO new.size,"
              " new.edges, new.checkpoint FROM public.early; ELSIF k = 1 THEN SELECT size,"
              " edges, checkpoint INTO new.size, new.edges, new.checkpoint"
              " FROM public.now; END IF; END IF;");
    not_accepted(&k, payee);
    if (!accepted_at_last(&k, payee))
        fail_msg("a slot that was contradicted once stays stopped");
    char claims[16];
    assert_true(pgproc_sql(&region.pg, REGIONPROC_DATABASE, "SELECT n >= 2 FROM public.state",
                           claims, sizeof claims));
    assert_string_equal(claims, "t");
    sql("DROP TRIGGER meddle ON stoa.slot");
    wirekit_close(&k);
}

static void nothing_was_lost(void **state)
{
    (void)state;
    if (!town_settled(&town, SETTLE_MS) || !town_verify(&town) || !town_audit(&town))
        fail_msg("%s", town.why);
}

static int open_all(void **state)
{
    (void)state;
    if (!regionproc_open(&region, 2) || !regionproc_start_all(&region) ||
        !regionproc_settled(&region, ALL, SETTLE_MS) ||
        !town_open(&town, &region, TOWN_PEOPLE, 7000)) {
        print_error("%s%s\n", region.why, town.why);
        return -1;
    }
    sql("CREATE TABLE public.state(n integer); INSERT INTO public.state VALUES (0)");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    town_close(&town);
    regionproc_close(&region);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_that_is_loaded_again_hears_of_its_payments),
        cmocka_unit_test(a_slot_whose_load_was_contradicted_is_tried_once_more),
        cmocka_unit_test(nothing_was_lost),
    };
    if (!regionproc_there(&region)) {
        puts("skipped: no postgres");
        return 77;
    }
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, open_all, close_all);
}
