/* Help, error catalogue and completion, all from the one table. */
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"

#define COLUMN 22

static void print_option(enum cli_option o)
{
    char left[64];
    const struct cli_option_row *row = &cli_options[o];
    (void)snprintf(left, sizeof left, "--%s%s%s", row->text, row->value ? " " : "",
                   row->value ? row->value : "");
    (void)printf("  %-*s  %s\n", COLUMN, left, row->help);
}

static void print_command_help(const struct cli_command *k)
{
    (void)printf("stoa %s %s\n", k->name, k->args);
    (void)printf("  %s   [%s]\n\n", k->what, k->changes ? "changes state" : "read-only");
    (void)printf("Examples:\n");
    for (const char *at = k->examples; *at;) {
        size_t n = strcspn(at, "\n");
        (void)printf("  %.*s\n", (int)n, at);
        at += n + (at[n] == '\n');
    }
    if (*k->more)
        (void)printf("\n%s\n", k->more);
    if (k->options[0])
        (void)printf("\nOptions:\n");
    for (unsigned i = 0; i < CLI_OPTIONS_MAX && k->options[i]; i++)
        print_option((enum cli_option)k->options[i]);
    (void)printf("\nCommon options: stoa help\n");
}

static void print_overview(void)
{
    (void)printf("stoa COMMAND [ARGUMENTS] [OPTIONS]\n\nFirst steps:\n"
                 "  stoa demo                                   see everything work, in "
                 "half a minute\n"
                 "  stoa init --hub ws://127.0.0.1:7001 --open me\n"
                 "  stoa send stoa1q..@hub 12.50\n\n"
                 "Commands (* changes state; the others only read):\n");
    for (unsigned i = 0; i < cli_command_count; i++)
        (void)printf("  %-*s%c %s\n", COLUMN - 2, cli_commands[i].name,
                     cli_commands[i].changes ? '*' : ' ', cli_commands[i].what);
    (void)printf("\nOptions of every command:\n");
    for (unsigned i = 1; i < OPT_COUNT_; i++)
        if (cli_options[i].common)
            print_option((enum cli_option)i);
    (void)printf("\nExit codes:\n"
                 "  0 done   1 done, the answer is no   2 not finished, run again   3 "
                 "outcome unknown: stoa resume\n"
                 "  4 refused by a rule   64 usage   65 input   69 hub unreachable   70 "
                 "bug   75 limited\n"
                 "  77 not allowed   78 wallet's files wrong       an error's code: stoa "
                 "help T4130\n");
}

static bool row_matches(const char *text, int code, const char *word)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%d", code);
    if (strcmp(text, word) == 0 || strcmp(text, number) == 0)
        return true;
    size_t size = strlen(text);
    if (text[0] != 'T' || size < 5 || size > 6 ||
        strspn(text + 1, "0123456789") != size - 1)
        return false;
    return strtol(text + size - 3, NULL, 10) == code;
}

static const char *retry_text(stoa_retry r)
{
    return r == STOA_RETRY_SAME    ? "send the same again later (stoa resume does)"
           : r == STOA_RETRY_AGAIN ? "run the command again: it builds a new entry"
                                   : "the same will be refused again";
}

/* "exit 4  refused by a rule of the ledger", from the digits before the last three. */
static void explain_exit(const char *text)
{
    static const struct {
        const char *digits, *text;
    } classes[] = {{"1", "done, and the answer is no"},
                   {"2", "not finished: run it again"},
                   {"3", "outcome unknown: run `stoa resume`"},
                   {"4", "refused by a rule of the ledger"},
                   {"64", "arguments are wrong"},
                   {"65", "input is wrong"},
                   {"69", "hub unreachable; nothing happened; safe to retry"},
                   {"70", "our bug"},
                   {"75", "rate-limited or busy; wait and run it again"},
                   {"77", "not allowed"},
                   {"78", "the wallet's own files are wrong"}};
    size_t size = strlen(text);
    for (unsigned i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (size == strlen(classes[i].digits) + 4 && text[0] == 'T' &&
            strncmp(text + 1, classes[i].digits, size - 4) == 0)
            (void)printf("exit %-4s %s\n", classes[i].digits, classes[i].text);
}

static bool explain_code(struct cli *c, const char *text)
{
    int code;
    const char *word, *what;
    stoa_retry retry;
    bool found = false;
    for (unsigned i = 0; stoa_error_row(i, &code, &word, &what, &retry); i++) {
        if (code == 0 || !row_matches(text, code, word))
            continue;
        if (!found && !c->json)
            explain_exit(text);
        found = true;
        if (c->json) {
            json_t *row = json_object();
            cli_put_number(c, row, "number", (uint64_t)code);
            cli_put_text(c, row, "word", word);
            cli_put_text(c, row, "text", what);
            cli_put_text(c, row, "retry", retry_text(retry));
            (void)json_array_append_new(cli_array(c, "codes"), row);
        } else {
            (void)printf("%-9d %s: %s\n          again: %s\n", code, word, what,
                         retry_text(retry));
        }
    }
    return found;
}

static void put_commands(struct cli *c)
{
    for (unsigned i = 0; i < cli_command_count; i++) {
        json_t *row = json_object();
        cli_put_text(c, row, "name", cli_commands[i].name);
        cli_put_text(c, row, "args", cli_commands[i].args);
        cli_put_text(c, row, "what", cli_commands[i].what);
        cli_put_bool(c, row, "changes", cli_commands[i].changes);
        (void)json_array_append_new(cli_array(c, "commands"), row);
    }
}

stoa_result cli_run_help(struct cli *c)
{
    if (c->arg_count == 0) {
        if (c->json)
            put_commands(c);
        else
            print_overview();
        return STOA_OK;
    }
    char name[96];
    (void)snprintf(name, sizeof name, "%.40s%s%.40s", c->args[0],
                   c->arg_count > 1 ? " " : "", c->arg_count > 1 ? c->args[1] : "");
    bool found = false;
    size_t size = strlen(name);
    for (unsigned i = 0; i < cli_command_count; i++) {
        const char *full = cli_commands[i].name;
        if (strncmp(full, name, size) != 0 || (full[size] && full[size] != ' '))
            continue;
        if (found && !c->json)
            (void)printf("\n");
        found = true;
        if (c->json)
            put_commands(c);
        else
            print_command_help(&cli_commands[i]);
        if (c->json || !full[size])
            break;
    }
    if (found || explain_code(c, name))
        return STOA_OK;
    const char *near = cli_nearest_command(name);
    return cli_fail(c, STOA_USAGE, ERR_USAGE, near ? near : "stoa help",
                    "no command and no error code \"%s\"", name);
}

stoa_result cli_run_version(struct cli *c)
{
    cli_put_text(c, NULL, "version", stoa_version());
    cli_put_number(c, NULL, "wire", 1);
    if (!c->json)
        (void)printf("stoa %s, wire 1\n", stoa_version());
    return STOA_OK;
}

/* Words and flags are written into the script: it asks nobody while one types. */
static void print_bash(void)
{
    (void)printf(
        "# completion of stoa for bash; from `stoa completion bash`\n"
        "_stoa()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} word command= options=\n"
        "    local i\n    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        word=${COMP_WORDS[i]}\n"
        "        [[ $word == -* ]] || command=\"${command:+$command }$word\"\n    done\n"
        "    case $command in\n");
    for (unsigned i = cli_command_count;
         i-- > 0;) { /* longer names first where they nest */
        const struct cli_command *k = &cli_commands[i];
        (void)printf("    \"%s\"*) options=\"", k->name);
        for (unsigned j = 0; j < CLI_OPTIONS_MAX && k->options[j]; j++)
            (void)printf("--%s ", cli_options[k->options[j]].text);
        (void)printf("\" ;;\n");
    }
    (void)printf("    esac\n    if [[ $cur == -* ]]; then\n        options=\"$options");
    for (unsigned i = 1; i < OPT_COUNT_; i++)
        if (cli_options[i].common)
            (void)printf(" --%s", cli_options[i].text);
    (void)printf("\"\n    elif [[ -z $command ]]; then\n        options=\"");
    for (unsigned i = 0; i < cli_command_count; i++) {
        size_t noun = strcspn(cli_commands[i].name, " ");
        if (i == 0 ||
            strncmp(cli_commands[i].name, cli_commands[i - 1].name, noun) != 0 ||
            (cli_commands[i - 1].name[noun] && cli_commands[i - 1].name[noun] != ' '))
            (void)printf("%.*s ", (int)noun, cli_commands[i].name);
    }
    (void)printf("\"\n    else\n        case $command in\n");
    for (unsigned i = 0; i < cli_command_count; i++) {
        size_t noun = strcspn(cli_commands[i].name, " ");
        if (cli_commands[i].name[noun] == 0)
            continue;
        if (i > 0 &&
            strncmp(cli_commands[i].name, cli_commands[i - 1].name, noun + 1) == 0)
            continue;
        (void)printf("        %.*s) options=\"", (int)noun, cli_commands[i].name);
        for (unsigned j = i; j < cli_command_count; j++)
            if (strncmp(cli_commands[j].name, cli_commands[i].name, noun + 1) == 0)
                (void)printf("%s ", cli_commands[j].name + noun + 1);
        (void)printf("\" ;;\n");
    }
    (void)printf("        *) options= ;;\n        esac\n    fi\n"
                 "    if [[ -z $options ]]; then\n"
                 "        COMPREPLY=($(compgen -f -- \"$cur\"))\n    else\n"
                 "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n    fi\n}\n"
                 "complete -F _stoa stoa\n");
}

stoa_result cli_run_completion(struct cli *c)
{
    if (strcmp(c->args[0], "bash") != 0)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, "stoa completion bash",
                        "no completion for \"%.20s\"", c->args[0]);
    if (c->json)
        put_commands(c);
    else
        print_bash();
    return STOA_OK;
}
