#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/stoactl.h"

/* Problems of settings have codes of their own: exit 78, then which one. */
static const struct {
    unsigned code;
    const char *text;
} config_codes[] = {
    {7801, "unknown section or key in the settings"},
    {7802, "a setting has a value it cannot take"},
    {7803, "the store was written by a newer version"},
    {7804, "a settings file is not TOML"},
    {7805, "a settings file cannot be read"},
    {7806, "a flag or environment variable is not a setting"},
    {7807, "two settings contradict each other"},
};

static const char *advice(enum err e)
{
    switch (err_retry(e)) {
    case ERR_RETRY_SAME:
        return "send the same bytes again later";
    case ERR_RETRY_AGAIN:
        return "build and sign it again on the head that came with the refusal";
    case ERR_RETRY_NO:
        break;
    }
    return "the same bytes will be refused again";
}

static const char *class_of(enum err e)
{
    return e == ERR_OK    ? "done"
           : (int)e < 200 ? "refused"
           : (int)e < 300 ? "failed"
                          : "broken";
}

static void show(struct ctl *c, json_t *list, enum err e)
{
    if (c->json) {
        json_t *row = json_object();
        json_object_set_new(row, "number", json_integer(e));
        json_object_set_new(row, "word", json_string(err_word(e)));
        json_object_set_new(row, "class", json_string(class_of(e)));
        json_object_set_new(row, "text", json_string(err_text(e)));
        json_object_set_new(row, "advice", json_string(advice(e)));
        json_array_append_new(list, row);
        return;
    }
    printf("%3d  %-18s %-8s %s\n", e, err_word(e), class_of(e), err_text(e));
}

static void show_config(struct ctl *c, json_t *list, size_t i)
{
    if (c->json) {
        json_t *row = json_object();
        json_object_set_new(row, "number", json_integer(config_codes[i].code));
        json_object_set_new(row, "text", json_string(config_codes[i].text));
        json_array_append_new(list, row);
        return;
    }
    printf("T%u  %s\n     exit 78; see: stoad --check-config\n", config_codes[i].code,
           config_codes[i].text);
}

/* "130", "T4130" (exit code 4, 69.. then three digits), "balance". */
static bool matches(enum err e, const char *word)
{
    if (strcmp(word, err_word(e)) == 0)
        return true;
    if (*word == 'T' || *word == 't')
        word++;
    size_t size = strlen(word);
    if (size == 0 || word[strspn(word, "0123456789")] != '\0')
        return false;
    return size >= 3 ? atoi(word + size - 3) == (int)e && size <= 6 : false;
}

static bool show_matching(struct ctl *c, json_t *list, const char *word)
{
    bool found = false;
    const char *number = *word == 'T' || *word == 't' ? word + 1 : word;
    for (size_t i = 0; i < sizeof config_codes / sizeof config_codes[0]; i++)
        if ((unsigned)atoi(number) == config_codes[i].code) {
            show_config(c, list, i);
            return true;
        }
    enum err e;
    for (unsigned i = 0; err_row(i, &e); i++) {
        if (!matches(e, word))
            continue;
        show(c, list, e);
        if (!c->json)
            printf("     %s\n", advice(e));
        found = true;
    }
    return found;
}

int ctl_help(struct ctl *c)
{
    enum err e;
    json_t *list = json_array();
    if (c->arg_count == 0 && !c->json) {
        ctl_print_commands();
        json_decref(list);
        return EXIT_DONE;
    }
    bool found = c->arg_count == 0 || strcmp(c->args[0], "errors") == 0;
    if (found)
        for (unsigned i = 0; err_row(i, &e); i++)
            show(c, list, e);
    else
        found = show_matching(c, list, c->args[0]);
    if (!found) {
        json_decref(list);
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, "stoactl help errors",
                        "there is no error \"%s\"", c->args[0]);
    }
    if (c->json) {
        c->out = json_object();
        json_object_set_new(c->out, "errors", list);
    } else {
        json_decref(list);
    }
    return ctl_finish(c, EXIT_DONE);
}
