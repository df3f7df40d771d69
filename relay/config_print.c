/* Settings as text: the default file, and what holds now and why. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "relay/config_internal.h"
#include "relay/config_number.h"

#define COMMENT_WIDTH 88

/* "# text" in lines of at most COMMENT_WIDTH. */
static void print_comment(FILE *out, const char *text)
{
    while (*text) {
        size_t size = strlen(text);
        if (size > COMMENT_WIDTH) {
            size = COMMENT_WIDTH;
            while (size > 1 && text[size] != ' ')
                size--;
        }
        fprintf(out, "# %.*s\n", (int)size, text);
        text += size;
        text += strspn(text, " ");
    }
}

static void print_row(FILE *out, const struct config_row *row)
{
    char text[CONFIG_VALUE_MAX];
    char range[3 * CONFIG_NUMBER_MAX] = "";
    bool bytes = row->type == TYPE_BYTES, ms = row->type == TYPE_MS;
    if (bytes || ms || row->type == TYPE_COUNT) {
        char low[CONFIG_NUMBER_MAX], high[CONFIG_NUMBER_MAX];
        config_number_format(low, bytes, ms, (uint64_t)row->min);
        config_number_format(high, bytes, ms, (uint64_t)row->max);
        snprintf(range, sizeof range, " [%s to %s]", low, high);
    }
    snprintf(text, sizeof text, "%s.%s [%s]", row->help, range,
             row->restart ? "restart" : "reload");
    print_comment(out, text);
    bool list = row->type == TYPE_TEXTS || row->type == TYPE_PUBKEYS;
    fprintf(out, "%s = %s\n", row->key, list ? "[]" : row->literal);
}

void config_print_default(FILE *out)
{
    fputs(
        "# Every key is optional, and the values below are the defaults. Later wins:\n"
        "# this file < conf.d/*.toml beside it, in name order < environment\n"
        "# STOAD__SECTION__KEY=value < --set section.key=value.\n"
        "# [reload]: takes effect on SIGHUP; [restart]: at the next start.\n"
        "# Durations are ms or \"5s\", \"1m30s\"; sizes are bytes or \"64KiB\". "
        "{state_dir}\n"
        "# in a text stands for hub.state_dir. Check a file with: stoad --check-config\n",
        out);
    const char *section = "";
    for (const struct config_row *row = config_rows; row->section; row++) {
        if (strcmp(section, row->section) != 0)
            fprintf(out, "\n[%s]\n", row->section);
        section = row->section;
        print_row(out, row);
    }
}

static const char *origin_of(const struct config *c, const struct config_row *row)
{
    const char *origin = c->origin[row - config_rows];
    return origin[0] ? origin : "default";
}

void config_show_origin(const struct config *c, FILE *out)
{
    char value[CONFIG_LIST_MAX * 80];
    for (const struct config_row *row = config_rows; row->section; row++) {
        config_format(value, sizeof value, &c->values, row);
        char name[64];
        snprintf(name, sizeof name, "%s.%s", row->section, row->key);
        fprintf(out, "%-32s = %-34s # %s\n", name, value, origin_of(c, row));
    }
}

static void print_json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char b = (unsigned char)*text;
        if (b == '"' || b == '\\')
            fprintf(out, "\\%c", b);
        else if (b < 0x20)
            fprintf(out, "\\u%04x", b);
        else
            fputc(b, out);
    }
    fputc('"', out);
}

void config_show_origin_json(const struct config *c, FILE *out)
{
    char value[CONFIG_LIST_MAX * 80];
    fputs("{\"schema\":\"stoa.config/1\",\"settings\":[", out);
    for (const struct config_row *row = config_rows; row->section; row++) {
        config_format(value, sizeof value, &c->values, row);
        fprintf(out, "%s{\"key\":\"%s.%s\",\"value\":%s,\"origin\":",
                row == config_rows ? "" : ",", row->section, row->key, value);
        print_json_text(out, origin_of(c, row));
        fprintf(out, ",\"restart\":%s}", row->restart ? "true" : "false");
    }
    fputs("]}\n", out);
}
