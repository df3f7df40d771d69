/* The story of stoa demo. */
#include "client/demo.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POINT INT64_C(1000000)

static void __attribute__((format(printf, 3, 0)))
put(struct demo *d, const char *mark, const char *format, va_list args)
{
    char text[700];
    (void)vsnprintf(text, sizeof text, format, args);
    if (d->c->json) {
        json_t *row = json_object();
        cli_put_number(d->c, row, "step", d->step);
        cli_put_text(d->c, row, "is", *mark ? mark : "step");
        cli_put_text(d->c, row, "text", text);
        (void)json_array_append_new(cli_array(d->c, "story"), row);
        return;
    }
    if (!*mark)
        (void)printf("\n%u. %s\n", d->step, text);
    else
        (void)printf("   %-5s %s\n", strcmp(mark, "tell") == 0 ? "" : mark, text);
    (void)fflush(stdout);
}

void demo_step(struct demo *d, const char *format, ...)
{
    va_list args;
    d->step++;
    va_start(args, format);
    put(d, "", format, args);
    va_end(args);
}

void demo_tell(struct demo *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(d, "tell", format, args);
    va_end(args);
}

bool demo_check(struct demo *d, bool held, const char *format, ...)
{
    va_list args;
    d->checks++;
    d->failures += !held;
    va_start(args, format);
    put(d, held ? "ok" : "FAIL", format, args);
    va_end(args);
    return held;
}

static stoa_options options_of(struct demo *d)
{
    stoa_options o = cli_options_of(d->c, STOA_PLAINTEXT_KEYS | STOA_TRUST_FIRST_USE);
    o.timeout_ms = STOA_TIMEOUT_DEFAULT_MS;
    o.fingerprint = NULL;
    return o;
}

stoa_result demo_open_wallet(struct demo *d, struct demo_person *p)
{
    stoa_options o = options_of(d);
    stoa_result r = STOA_OK;
    if (!p->wallet)
        r = stoa_wallet_open(&p->wallet, p->dir, &o, &d->c->error);
    if (r == STOA_OK)
        r = stoa_connect(p->wallet, d->url, 0, &d->c->error);
    return cli_failed(d->c, r);
}

static stoa_result start_hub(struct demo *d)
{
    uint64_t ms = 0;
    demo_step(d, "A hub: the relay that keeps the ledger, with SQLite, in %s", d->dir);
    stoa_result r = demo_hub_init(d);
    if (r == STOA_OK)
        r = demo_hub_start(d, &ms);
    if (r == STOA_OK)
        (void)demo_check(d, true, "hub \"%s\" is up at %s after %" PRIu64 " ms",
                         d->hub_name, d->url, ms);
    return r;
}

static stoa_result make_people(struct demo *d)
{
    demo_step(d, "Three people: each makes a wallet (keys without passphrase, demo only) "
                 "and an account");
    for (unsigned i = 0; i < DEMO_PEOPLE; i++) {
        struct demo_person *p = &d->people[i];
        stoa_options o = options_of(d);
        stoa_how how = STOA_HOW_INIT;
        stoa_open_params open = {.size = sizeof open, .name = p->name};
        stoa_receipt receipt = {.size = sizeof receipt};
        (void)snprintf(p->dir, sizeof p->dir, "%.900s/%s", d->dir, p->name);
        stoa_result r = stoa_wallet_create(p->dir, &o, &d->c->error);
        if (r == STOA_OK)
            r = demo_open_wallet(d, p);
        if (r == STOA_OK)
            r = stoa_account_open(p->wallet, &open, &how, &p->account, &receipt,
                                  &d->c->error);
        if (r != STOA_OK)
            return cli_failed(d->c, r);
        stoa_address_format(p->address, &p->account, d->hub_name);
        (void)demo_check(d,
                         receipt.state >= STOA_ACCEPTED && receipt.state < STOA_DROPPED,
                         "%-6s %.24s..@%s", p->name, p->address, d->hub_name);
    }
    return STOA_OK;
}

static int64_t settled(struct demo *d, struct demo_person *p)
{
    stoa_balance b = {.size = sizeof b};
    if (stoa_sync(p->wallet, &p->account, 0, &d->c->error) != STOA_OK ||
        stoa_balance_get(p->wallet, &p->account, &b, &d->c->error) != STOA_OK)
        return -1;
    return b.settled;
}

static stoa_result earn(struct demo *d)
{
    char rows[CLI_PATH_MAX + 16], key[CLI_PATH_MAX + 32], text[40];
    demo_step(
        d,
        "Earning: the operator's issuer key credits what nodes earned (stoactl accrue)");
    (void)snprintf(rows, sizeof rows, "%s/earned.csv", d->dir);
    (void)snprintf(key, sizeof key, "%s/hub/keys/issuer.key", d->dir);
    FILE *out = fopen(rows, "we");
    if (!out)
        return cli_fail(d->c, STOA_DATA, ERR_FILE, NULL, "%.200s cannot be written",
                        rows);
    (void)fprintf(out, "account,node,epoch,amount\n");
    for (unsigned i = 0; i < DEMO_PEOPLE; i++) {
        cli_amount_text(text, d->people[i].earned);
        (void)fprintf(out, "%s,demo-node,1,%s\n", d->people[i].address, text);
    }
    if (fclose(out) != 0)
        return cli_fail(d->c, STOA_DATA, ERR_FILE, NULL, "%.200s cannot be written",
                        rows);
    const char *const argv[] = {d->stoactl, "accrue", "--csv", rows,      "--key",
                                key,        "--hub",  d->url,  "--quiet", NULL};
    int code = demo_run(d, argv, "stoactl.log");
    if (code != 0)
        return cli_fail(d->c, STOA_NO, ERR_CORRUPT,
                        "see stoactl.log in the demo's folder",
                        "stoactl accrue ended with %d", code);
    for (unsigned i = 0; i < DEMO_PEOPLE; i++) {
        struct demo_person *p = &d->people[i];
        p->expected = p->earned;
        int64_t has = settled(d, p);
        cli_amount_text(text, has);
        (void)demo_check(d, has == p->earned, "%-6s holds %s points", p->name, text);
    }
    return STOA_OK;
}

struct timing {
    uint64_t since_ms, accepted_ms, credited_ms;
};

static bool on_timing(void *context, const stoa_receipt *r)
{
    struct timing *t = context;
    uint64_t ms = cli_now_ms() - t->since_ms;
    if (r->state == STOA_ACCEPTED)
        t->accepted_ms = ms;
    if (r->state == STOA_CREDITED)
        t->credited_ms = ms;
    return true;
}

/* Sign and save, then send: what `stoa send` does. */
static stoa_result pay(struct demo *d, struct demo_person *from, struct demo_person *to,
                       int64_t amount, struct timing *t)
{
    stoa_how how = STOA_HOW_INIT;
    stoa_payee payee = {.account = to->account, .amount = amount};
    stoa_receipt receipt = {.size = sizeof receipt};
    how.wait = STOA_SAVED;
    how.fresh = true;
    stoa_result r =
        stoa_send(from->wallet, &from->account, &payee, 1, &how, &receipt, &d->c->error);
    *t = (struct timing){.since_ms = cli_now_ms()};
    if (r == STOA_OK)
        r = stoa_resume(from->wallet, &from->account, &receipt.id, STOA_CREDITED, 0,
                        on_timing, t, &d->c->error);
    if (r == STOA_OK) {
        from->expected -= amount;
        to->expected += amount;
    }
    return r;
}

static stoa_result pay_each_other(struct demo *d)
{
    struct timing t;
    struct demo_person *anna = &d->people[0], *bo = &d->people[1];
    demo_step(
        d,
        "Paying: signed and saved before it is sent, so that nothing is ever paid twice");
    stoa_result r = pay(d, anna, bo, 25 * POINT, &t);
    if (r != STOA_OK)
        return cli_failed(d->c, r);
    (void)demo_check(d, settled(d, bo) == bo->expected,
                     "anna pays bo 25.00: durable after %" PRIu64
                     " ms, bo has it after %" PRIu64 " ms",
                     t.accepted_ms,
                     t.credited_ms > t.accepted_ms ? t.credited_ms : t.accepted_ms);
    r = pay(d, anna, bo, 1000000 * POINT, &t);
    (void)demo_check(d, r == STOA_REFUSED, "anna tries to pay 1,000,000: refused (%s)",
                     r == STOA_REFUSED ? d->c->error.word : "no, it was not refused");
    return STOA_OK;
}

/* Carla's wallet belongs to another process while it watches. */
static stoa_result watch_live(struct demo *d)
{
    char line[512], text[40];
    struct timing t;
    unsigned seen = 0;
    struct demo_person *anna = &d->people[0], *carla = &d->people[2];
    demo_step(d,
              "Watching: carla leaves `stoa watch` running in another process; anna pays "
              "her %d times",
              DEMO_WATCHED);
    stoa_wallet_close(carla->wallet);
    carla->wallet = NULL;
    (void)snprintf(text, sizeof text, "%d", DEMO_WATCHED);
    const char *const argv[] = {d->self, "watch", "--wallet", carla->dir, "--count",
                                text,    "--for", "30s",      NULL};
    d->watcher = demo_spawn(d, argv, "watch.log", &d->watch_out);
    if (d->watcher == 0)
        return cli_fail(d->c, STOA_BUG, ERR_FILE, NULL,
                        "the live view cannot be started");
    for (unsigned i = 1; i <= DEMO_WATCHED; i++) {
        stoa_result r = pay(d, anna, carla, (int64_t)i * POINT, &t);
        if (r != STOA_OK)
            return cli_failed(d->c, r);
        if (!demo_read_line(d->watch_out, line, sizeof line, DEMO_WATCH_MS))
            break;
        seen++;
        demo_tell(d, "carla sees | %s", line);
    }
    int status = -1;
    while (d->watcher > 0 && waitpid(d->watcher, &status, 0) != d->watcher)
        continue;
    d->watcher = 0;
    (void)close(d->watch_out);
    d->watch_out = -1;
    (void)demo_check(d, seen == DEMO_WATCHED && status == 0,
                     "%u of %d payments appeared live, each verified before it was shown",
                     seen, DEMO_WATCHED);
    return demo_open_wallet(d, carla);
}

static void print_things_to_try(struct demo *d)
{
    const struct demo_person *anna = &d->people[0], *bo = &d->people[1];
    (void)printf(
        "\nThe hub goes on running at %s until Ctrl-C. To try in another terminal:\n\n"
        "  %s balance --wallet %s\n"
        "  %s send %s 12.50 --wallet %s\n"
        "  %s watch --wallet %s\n"
        "  %s history --wallet %s\n"
        "  %s verify --full --wallet %s\n"
        "  %s status http://127.0.0.1:%u\n"
        "  %s accrue %s 5 --node demo-node --epoch 2 --key %s/hub/keys/issuer.key --hub "
        "%s\n\n",
        d->url, d->self, anna->dir, d->self, bo->address, anna->dir, d->self, bo->dir,
        d->self, anna->dir, d->self, bo->dir, d->stoactl, d->port, d->stoactl,
        anna->address, d->dir, d->url);
    (void)fflush(stdout);
}

static stoa_result keep_running(struct demo *d)
{
    for (unsigned i = 0; i < DEMO_PEOPLE; i++) { /* wallets are free for other commands */
        stoa_wallet_close(d->people[i].wallet);
        d->people[i].wallet = NULL;
    }
    if (!d->c->json)
        print_things_to_try(d);
    struct timespec t = {0, 200000000L};
    while (!cli_interrupted()) {
        int status;
        if (waitpid(d->hub, &status, WNOHANG) == d->hub) {
            d->hub = 0;
            return cli_fail(d->c, STOA_NO, ERR_NET, "stoa demo",
                            "the hub ended by itself");
        }
        (void)nanosleep(&t, NULL);
    }
    if (!d->c->json)
        (void)printf("\nending the hub%s\n",
                     d->temporary ? " and removing the demo's folder" : "");
    return STOA_OK;
}

static stoa_result story(struct demo *d)
{
    static stoa_result (*const steps[])(struct demo *) = {
        start_hub,  make_people, earn,       pay_each_other,
        watch_live, demo_crash,  demo_verify};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        stoa_result r = steps[i](d);
        if (cli_interrupted())
            return cli_fail(d->c, STOA_INTERRUPTED, ERR_TIMEOUT, "stoa demo", "stopped");
        if (r != STOA_OK)
            return r;
    }
    return STOA_OK;
}

stoa_result cli_run_demo(struct cli *c)
{
    static struct demo d;
    uint64_t began = cli_now_ms();
    d.c = c;
    d.hub_out = d.watch_out = -1;
    d.people[0] = (struct demo_person){.name = "anna", .earned = 1000 * POINT};
    d.people[1] = (struct demo_person){.name = "bo", .earned = 500 * POINT};
    d.people[2] = (struct demo_person){.name = "carla", .earned = 250 * POINT};
    cli_catch_signals();
    stoa_result r = demo_programs(&d);
    if (r == STOA_OK)
        r = demo_folder(&d);
    if (r == STOA_OK)
        r = story(&d);
    if (r == STOA_OK) {
        cli_put_number(c, NULL, "checks", d.checks);
        cli_put_number(c, NULL, "failures", d.failures);
        cli_put_number(c, NULL, "elapsed_ms", cli_now_ms() - began);
        if (!c->json)
            (void)printf("\n%u of %u checks held, %.1f s\n", d.checks - d.failures,
                         d.checks, (double)(cli_now_ms() - began) / 1000.0);
    }
    if (r == STOA_OK && !cli_has(c, OPT_ONCE))
        r = keep_running(&d);
    demo_close(&d);
    if (r == STOA_OK && d.failures)
        r = cli_fail(c, STOA_NO, ERR_CORRUPT,
                     "stoa demo --dir DIR keeps everything for a look",
                     "%u of %u checks did not hold", d.failures, d.checks);
    return r;
}
