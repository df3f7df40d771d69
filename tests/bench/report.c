/* Reports: a line for people, an object for programs. */
#include <math.h>
#include <string.h>

#include "tests/bench/bench.h"

void report_open(struct report *r, const char *what, const char *unit, enum better better)
{
    memset(r, 0, sizeof *r);
    snprintf(r->what, sizeof r->what, "%s", what);
    r->unit = unit;
    r->better = better;
}

void report_result(struct report *r, double value, double limit, const char *limit_is)
{
    r->value = value;
    r->limit = limit;
    r->ratio = limit > 0 ? value / limit : 0;
    r->limit_is = limit_is;
}

void report_floor(struct report *r, double floor, bool of_ratio)
{
    r->floor = floor;
    r->floor_of_ratio = of_ratio;
}

static struct figure *add(struct report *r, const char *name)
{
    if (r->count == BENCH_MEMBERS_MAX)
        die("a report has too many members");
    struct figure *m = &r->members[r->count++];
    snprintf(m->name, sizeof m->name, "%s", name);
    return m;
}

void report_number(struct report *r, const char *name, double number)
{
    add(r, name)->number = number;
}

void report_text(struct report *r, const char *name, const char *text)
{
    snprintf(add(r, name)->text, sizeof r->members[0].text, "%s", text);
}

bool report_met(const struct report *r)
{
    double x = r->floor_of_ratio ? r->ratio : r->value;
    if (r->floor <= 0)
        return true;
    return r->better == BETTER_HIGH ? x >= r->floor : x <= r->floor;
}

/* Enough digits, and never an exponent. */
static void print_number(double x)
{
    if (!isfinite(x))
        x = 0;
    if (fabs(x) >= 1000 || x == floor(x))
        printf("%.0f", x);
    else if (fabs(x) >= 10)
        printf("%.1f", x);
    else
        printf("%.4g", x);
}

static void print_json(const struct report *r)
{
    printf("{\"what\":\"%s\",\"unit\":\"%s\",\"value\":", r->what, r->unit);
    print_number(r->value);
    printf(",\"limit\":");
    print_number(r->limit);
    printf(",\"ratio\":%.4f,\"limit_is\":\"%s\",\"floor\":", r->ratio, r->limit_is);
    print_number(r->floor);
    printf(",\"floor_of\":\"%s\",\"met\":%s", r->floor_of_ratio ? "ratio" : "value",
           report_met(r) ? "true" : "false");
    for (size_t i = 0; i < r->count; i++) {
        printf(",\"%s\":", r->members[i].name);
        if (r->members[i].text[0])
            printf("\"%s\"", r->members[i].text);
        else
            print_number(r->members[i].number);
    }
    printf("}\n");
}

void report_print(const struct report *r, bool json)
{
    if (json) {
        print_json(r);
        fflush(stdout);
        return;
    }
    printf("%s: ", r->what);
    print_number(r->value);
    printf(" %s; limit ", r->unit);
    print_number(r->limit);
    printf(" (%s); ratio %.3f", r->limit_is, r->ratio);
    if (r->floor > 0) {
        printf("; wanted: %s %s ", r->floor_of_ratio ? "ratio" : "value",
               r->better == BETTER_HIGH ? "at least" : "at most");
        print_number(r->floor);
        printf(", %s", report_met(r) ? "met" : "NOT MET");
    }
    printf("\n");
    for (size_t i = 0; i < r->count; i++) {
        printf("    %-28s ", r->members[i].name);
        if (r->members[i].text[0])
            printf("%s", r->members[i].text);
        else
            print_number(r->members[i].number);
        printf("\n");
    }
    fflush(stdout);
}
