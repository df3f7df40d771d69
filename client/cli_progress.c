#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void cli_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND; /* the second one ends the program */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

void cli_progress_begin(struct cli_progress *p, const struct cli *c, const char *label,
                        const char *unit)
{
    *p = (struct cli_progress){.c = c,
                               .label = label,
                               .unit = unit,
                               .began_ms = cli_now_ms(),
                               .on_terminal = isatty(STDERR_FILENO) != 0};
    p->told_ms = p->began_ms;
}

static void tell(struct cli_progress *p, uint64_t done, uint64_t total, uint64_t now_ms)
{
    uint64_t ms = now_ms - p->began_ms;
    double rate = ms ? (double)done * 1000.0 / (double)ms : 0;
    uint64_t left = total > done ? total - done : 0;
    uint64_t eta_ms = rate > 0 ? (uint64_t)((double)left * 1000.0 / rate) : 0;
    if (p->c->json && !p->on_terminal) {
        (void)fprintf(
            stderr,
            "{\"schema\":\"stoa.progress/1\",\"operation\":\"%s\",\"unit\":\"%s\","
            "\"done\":%" PRIu64 ",\"total\":%" PRIu64 ",\"rate\":%.1f,\"eta_ms\":%" PRIu64
            "}\n",
            p->label, p->unit, done, total, rate, eta_ms);
    } else if (p->on_terminal) {
        unsigned percent = total ? (unsigned)(done * 100 / total) : 0;
        (void)fprintf(
            stderr,
            "\r\033[K%-9s %" PRIu64 "/%" PRIu64 " %u%%  %.0f %s/s  ETA %" PRIu64 " s",
            p->label, done, total, percent, rate, p->unit, (eta_ms + 999) / 1000);
        (void)fflush(stderr);
    }
    p->shown = true;
}

void cli_progress_tell(struct cli_progress *p, uint64_t done, uint64_t total)
{
    uint64_t now_ms = cli_now_ms();
    if (!p->c->progress || now_ms - p->told_ms < CLI_PROGRESS_EVERY_MS)
        return;
    p->told_ms = now_ms;
    tell(p, done, total, now_ms);
}

void cli_progress_end(struct cli_progress *p, uint64_t done, uint64_t total)
{
    if (p->shown && p->c->json && !p->on_terminal)
        tell(p, done, total, cli_now_ms());
    else if (p->shown && p->on_terminal)
        (void)fputs("\r\033[K", stderr);
}
