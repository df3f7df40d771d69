#include <stdlib.h>
#include <string.h>

#include "client/cli.h"

#define NEAR_MAX 2  /* letters that may differ for "did you mean" */
#define WORD_MAX 48 /* longest word compared */

static const char *option_text(const char *arg, size_t *size)
{
    const char *equals = strchr(arg, '=');
    *size = equals ? (size_t)(equals - arg) : strlen(arg);
    return arg;
}

static enum cli_option option_of(const char *text, size_t size)
{
    for (unsigned i = 1; i < OPT_COUNT_; i++)
        if (strlen(cli_options[i].text) == size &&
            memcmp(cli_options[i].text, text, size) == 0)
            return (enum cli_option)i;
    return OPT_NONE;
}

/* Edit distance, small words only. */
static unsigned distance(const char *a, const char *b)
{
    size_t an = strlen(a), bn = strlen(b);
    if (an >= WORD_MAX || bn >= WORD_MAX)
        return WORD_MAX;
    unsigned row[WORD_MAX + 1];
    for (size_t j = 0; j <= bn; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= an; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            unsigned best = change < corner + 1 ? change : corner + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[bn];
}

const char *cli_nearest_command(const char *word)
{
    const char *best = NULL;
    unsigned nearest = NEAR_MAX + 1;
    for (unsigned i = 0; i < cli_command_count; i++) {
        unsigned d = distance(word, cli_commands[i].name);
        if (d < nearest) {
            nearest = d;
            best = cli_commands[i].name;
        }
    }
    return best;
}

const char *cli_nearest_option(const char *word)
{
    const char *best = NULL;
    unsigned nearest = NEAR_MAX + 1;
    for (unsigned i = 1; i < OPT_COUNT_; i++) {
        unsigned d = distance(word, cli_options[i].text);
        if (d < nearest) {
            nearest = d;
            best = cli_options[i].text;
        }
    }
    return best;
}

bool cli_has(const struct cli *c, enum cli_option o)
{
    return c->value[o] != NULL;
}

const char *cli_repeated(const struct cli *c, enum cli_option o, unsigned i)
{
    for (unsigned k = 0; k < c->repeat_count; k++)
        if (c->repeats[k].option == o && i-- == 0)
            return c->repeats[k].value;
    return NULL;
}

bool cli_number_parse(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
    }
    *out = v;
    return true;
}

bool cli_time_parse(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    char number[24];
    uint64_t v;
    if (digits == 0 || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = 0;
    if (!cli_number_parse(number, &v))
        return false;
    uint64_t scale = text[digits] ? 0 : 1;
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(text + digits, units[i].unit) == 0)
            scale = units[i].ms;
    if (scale == 0 || v > UINT64_MAX / 1000 / scale)
        return false;
    *ms = v * scale;
    return true;
}

static int hex_digit(char x)
{
    if (x >= '0' && x <= '9')
        return x - '0';
    if (x >= 'a' && x <= 'f')
        return x - 'a' + 10;
    if (x >= 'A' && x <= 'F')
        return x - 'A' + 10;
    return -1;
}

bool cli_hex_parse(const char *text, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * size] == 0;
}

/* One option with its value; *i moves on when the value is the next word. */
static stoa_result take_option(struct cli *c, int argc, char **argv, int *i)
{
    size_t size;
    const char *text = option_text(argv[*i] + 2, &size);
    enum cli_option o = option_of(text, size);
    if (o == OPT_NONE) {
        char word[WORD_MAX];
        (void)snprintf(word, sizeof word, "%.*s", (int)(size < 40 ? size : 40), text);
        const char *near = cli_nearest_option(word);
        char hint[80];
        (void)snprintf(hint, sizeof hint, near ? "--%s" : "stoa help", near ? near : "");
        return cli_fail(c, STOA_USAGE, ERR_USAGE, hint, "no option --%s", word);
    }
    const char *value = text[size] == '=' ? text + size + 1 : NULL;
    if (!cli_options[o].value) {
        if (value)
            return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--%s takes no value",
                            cli_options[o].text);
        value = "";
    } else if (!value) {
        if (*i + 1 >= argc)
            return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "--%s wants %s",
                            cli_options[o].text, cli_options[o].value);
        value = argv[++*i];
    }
    c->value[o] = value;
    if (c->repeat_count == CLI_REPEATS_MAX)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "more than %d options",
                        CLI_REPEATS_MAX);
    c->repeats[c->repeat_count++] = (struct cli_repeat){o, value};
    return STOA_OK;
}

static stoa_result take_words(struct cli *c, int argc, char **argv)
{
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (!only_words && (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "-y") == 0)) {
            c->value[argv[i][1] == 'h' ? OPT_HELP : OPT_YES] = "";
            continue;
        }
        if (!only_words && argv[i][0] == '-' && argv[i][1] == '-') {
            stoa_result r = take_option(c, argc, argv, &i);
            if (r != STOA_OK)
                return r;
            continue;
        }
        if (c->arg_count == CLI_ARGS_MAX)
            return cli_fail(c, STOA_USAGE, ERR_USAGE, NULL, "more than %d words",
                            CLI_ARGS_MAX);
        c->args[c->arg_count++] = argv[i];
    }
    return STOA_OK;
}

static void drop_words(struct cli *c, unsigned count)
{
    c->arg_count -= count;
    memmove(c->args, c->args + count, c->arg_count * sizeof c->args[0]);
}

static const struct cli_command *find_command(const char *name)
{
    for (unsigned i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].name, name) == 0)
            return &cli_commands[i];
    return NULL;
}

static stoa_result take_command(struct cli *c)
{
    if (c->arg_count == 0) {
        c->command = find_command("help");
        return STOA_OK;
    }
    char two[2 * WORD_MAX];
    if (c->arg_count > 1) {
        (void)snprintf(two, sizeof two, "%.40s %.40s", c->args[0], c->args[1]);
        c->command = find_command(two);
        if (c->command) {
            drop_words(c, 2);
            return STOA_OK;
        }
    }
    c->command = find_command(c->args[0]);
    if (c->command) {
        drop_words(c, 1);
        return STOA_OK;
    }
    const char *near = cli_nearest_command(c->arg_count > 1 ? two : c->args[0]);
    if (!near)
        near = cli_nearest_command(c->args[0]);
    char hint[80];
    (void)snprintf(hint, sizeof hint, near ? "stoa %s" : "stoa help", near ? near : "");
    size_t noun = strlen(c->args[0]);
    for (unsigned i = 0; i < cli_command_count; i++)
        if (strncmp(cli_commands[i].name, c->args[0], noun) == 0 &&
            cli_commands[i].name[noun] == ' ') {
            (void)snprintf(hint, sizeof hint, "stoa help %.40s", c->args[0]);
            break;
        }
    return cli_fail(c, STOA_USAGE, ERR_USAGE, hint, "no command \"%.40s%s%.40s\"",
                    c->args[0], c->arg_count > 1 ? " " : "",
                    c->arg_count > 1 ? c->args[1] : "");
}

static bool allowed(const struct cli_command *command, enum cli_option o)
{
    if (cli_options[o].common)
        return true;
    for (unsigned i = 0; i < CLI_OPTIONS_MAX && command->options[i]; i++)
        if (command->options[i] == o)
            return true;
    return false;
}

static stoa_result check_use(struct cli *c)
{
    const struct cli_command *command = c->command;
    char hint[80];
    (void)snprintf(hint, sizeof hint, "stoa help %s", command->name);
    for (unsigned i = 0; i < c->repeat_count; i++)
        if (!allowed(command, c->repeats[i].option))
            return cli_fail(c, STOA_USAGE, ERR_USAGE, hint, "%s does not know --%s",
                            command->name, cli_options[c->repeats[i].option].text);
    if (c->arg_count < command->args_min || c->arg_count > command->args_max)
        return cli_fail(c, STOA_USAGE, ERR_USAGE, hint, "usage: stoa %s %s",
                        command->name, command->args);
    uint64_t ms = 0;
    if (cli_has(c, OPT_TIMEOUT)) {
        if (!cli_time_parse(c->value[OPT_TIMEOUT], &ms) || ms == 0 || ms > UINT32_MAX)
            return cli_fail(c, STOA_USAGE, ERR_USAGE, "--timeout 10s",
                            "--timeout is not a time: \"%.40s\"", c->value[OPT_TIMEOUT]);
        c->timeout_ms = (uint32_t)ms;
    }
    return STOA_OK;
}

stoa_result cli_parse(struct cli *c, int argc, char **argv)
{
    c->program = argv[0];
    (void)snprintf(c->schema, sizeof c->schema, "stoa.cli/1");
    for (int i = 1; i < argc; i++) /* also for errors in the words before it */
        if (strcmp(argv[i], "--json") == 0)
            c->json = true;
    stoa_result r = take_words(c, argc, argv);
    if (r != STOA_OK)
        return r;
    c->quiet = cli_has(c, OPT_QUIET);
    c->progress = !c->quiet && !cli_has(c, OPT_NO_PROGRESS);
    r = take_command(c);
    if (r != STOA_OK)
        return r;
    (void)snprintf(c->schema, sizeof c->schema, "stoa.%.40s/1", c->command->name);
    for (char *at = c->schema; *at; at++)
        if (*at == ' ')
            *at = '-';
    return cli_has(c, OPT_HELP) ? STOA_OK : check_use(c);
}
