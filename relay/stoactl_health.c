/* stoactl why, lag, top: what a relay says of how it is, for people. */
#include <stdio.h>
#include <string.h>

#include "relay/stoactl.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "?";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* The relay's words, without anything that moves a terminal's cursor. */
static void print_clean(const char *text)
{
    for (; *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
}

static void print_row(const char *name, const char *text)
{
    printf("%-8s ", name);
    print_clean(text);
    putchar('\n');
}

static int finish(struct ctl *c, json_t *answer, int code)
{
    if (c->json) {
        c->out = json_object();
        json_object_update(c->out, answer);
    }
    json_decref(answer);
    return ctl_finish(c, code);
}

/* why */

static void print_finding(const json_t *f)
{
    const json_t *tries = json_object_get(f, "try");
    char title[64];
    snprintf(title, sizeof title, "%s: ", text_of(f, "cause"));
    printf("cause    %s", title);
    print_clean(text_of(f, "said"));
    putchar('\n');
    print_row("seen", text_of(f, "seen"));
    print_row("effect", text_of(f, "effect"));
    for (size_t i = 0; i < json_array_size(tries); i++)
        print_row(i == 0 ? "try" : "", json_string_value(json_array_get(tries, i)));
}

static void print_looks(const json_t *looks)
{
    for (size_t i = 0; i < json_array_size(looks); i++) {
        const json_t *l = json_array_get(looks, i);
        printf("  %-10s %-8s ", text_of(l, "what"), text_of(l, "state"));
        print_clean(text_of(l, "seen"));
        putchar('\n');
    }
}

int ctl_why(struct ctl *c)
{
    json_t *answer;
    int code = ctl_ask(c, "why", &answer, NULL);
    if (code != EXIT_DONE)
        return code;
    const json_t *found = json_object_get(answer, "found");
    bool well = json_is_true(json_object_get(answer, "well"));
    if (!c->json) {
        puts(well ? "nothing is wrong; looked at:" : "looked at:");
        print_looks(json_object_get(answer, "looked"));
        for (size_t i = 0; i < json_array_size(found); i++)
            print_finding(json_array_get(found, i));
    }
    return finish(c, answer, well ? EXIT_DONE : EXIT_NO);
}

/* lag */

static void print_known(const json_t *v, const char *unit)
{
    char text[40] = "-";
    if (json_is_integer(v))
        snprintf(text, sizeof text, "%lld%s", (long long)json_integer_value(v), unit);
    printf(" %14s", text);
}

int ctl_lag(struct ctl *c)
{
    json_t *answer;
    bool late = false;
    int code = ctl_ask(c, "lag", &answer, NULL);
    if (code != EXIT_DONE)
        return code;
    const json_t *list = json_object_get(answer, "lag");
    if (!c->json)
        printf("%-28s %14s %14s %8s\n", "", "entries behind", "age", "state");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        late = late || strcmp(text_of(row, "state"), "ok") != 0;
        if (c->json)
            continue;
        printf("%-28s", text_of(row, "what"));
        print_known(json_object_get(row, "behind_entries"), "");
        print_known(json_object_get(row, "age_ms"), " ms");
        printf(" %8s\n", text_of(row, "state"));
    }
    return finish(c, answer, late ? EXIT_NO : EXIT_DONE);
}

/* top */

static void print_addresses(const json_t *list)
{
    printf("%-28s %12s %12s %8s\n", "address", "entries/s", "refused/s", "share");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        printf("%-28s %12lld %12lld %7lld%%\n", text_of(row, "address"),
               number_of(row, "entries_a_second"), number_of(row, "refused_a_second"),
               number_of(row, "permille") / 10);
    }
}

int ctl_top(struct ctl *c)
{
    json_t *answer;
    int code = ctl_ask(c, "top", &answer, NULL);
    if (code != EXIT_DONE)
        return code;
    const json_t *rates = json_object_get(answer, "a_second");
    if (!c->json) {
        printf("%lld connections, %lld subscriptions, %lld of %lld entries under way\n",
               number_of(answer, "connections"), number_of(answer, "subscriptions"),
               number_of(answer, "inflight_entries"), number_of(answer, "queue_entries"));
        printf("%lld of %lld MiB of messages\n", number_of(answer, "message_bytes") >> 20,
               number_of(answer, "message_limit_bytes") >> 20);
        if (number_of(answer, "held_connections") > 0)
            printf("%lld connections are not read for a while: they would not be told\n",
                   number_of(answer, "held_connections"));
        printf("a second: %lld entries committed, %lld refused, %lld transactions, %lld "
               "bytes in, %lld out\n",
               number_of(rates, "committed_entries"), number_of(rates, "refused_entries"),
               number_of(rates, "transactions"), number_of(rates, "bytes_in"),
               number_of(rates, "bytes_out"));
        print_addresses(json_object_get(answer, "addresses"));
    }
    return finish(c, answer, EXIT_DONE);
}
