/* stoa: the holder's command line. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"

/* `stoa audit ..` runs `stoa-audit ..` from PATH when the word is not one of ours.
 * Returns only when there is no such program. */
static void run_other_program(int argc, char **argv)
{
    char name[64];
    if (argc < 2 || !argv[1][0] ||
        strspn(argv[1], "abcdefghijklmnopqrstuvwxyz-") != strlen(argv[1]) ||
        argv[1][0] == '-' || strlen(argv[1]) > 32)
        return;
    for (unsigned i = 0; i < cli_command_count; i++)
        if (strncmp(cli_commands[i].name, argv[1], strlen(argv[1])) == 0)
            return;
    (void)snprintf(name, sizeof name, "stoa-%s", argv[1]);
    char *word = argv[1];
    argv[1] = name;
    (void)execvp(name, argv + 1);
    argv[1] = word;
}

static stoa_result run(struct cli *c)
{
    if (cli_has(c, OPT_HELP) && strcmp(c->command->name, "help") != 0) {
        c->arg_count = 1;
        c->args[0] = c->command->name;
        return cli_run_help(c);
    }
    return c->command->run(c);
}

int main(int argc, char **argv)
{
    static struct cli c; /* large; one per process */
    (void)signal(SIGPIPE, SIG_IGN);
    static char version[] = "version";
    run_other_program(argc, argv);
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    c.out = json_object();
    c.error.size = sizeof c.error;
    if (!c.out)
        return STOA_BUG;
    stoa_result r = cli_parse(&c, argc, argv);
    if (r == STOA_OK)
        r = run(&c);
    stoa_wallet_close(c.wallet);
    cli_passphrase_free(c.passphrase);
    int code = cli_finish(&c, r);
    json_decref(c.out);
    return code;
}
