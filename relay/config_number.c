#include "relay/config_number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t size;
};

/* Largest first. */
static const struct unit time_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {{"TiB", UINT64_C(1) << 40},
                                         {"GiB", UINT64_C(1) << 30},
                                         {"MiB", UINT64_C(1) << 20},
                                         {"KiB", UINT64_C(1) << 10},
                                         {"B", 1}};
#define UNITS(table) (table), sizeof(table) / sizeof((table)[0])

/* Digits at *text, which is moved past them. */
static bool take_digits(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t v = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*at - '0');
    }
    if (at == *text)
        return false;
    *text = at;
    *out = v;
    return true;
}

bool config_count_parse(const char *text, uint64_t *out)
{
    return take_digits(&text, out) && *text == '\0';
}

/* The unit at *text, which is moved past it: none of the first `from`. */
static const struct unit *take_unit(const char **text, const struct unit *units,
                                    size_t count, size_t from)
{
    size_t size = strcspn(*text, "0123456789");
    for (size_t i = from; i < count; i++)
        if (strlen(units[i].name) == size && memcmp(*text, units[i].name, size) == 0) {
            *text += size;
            return &units[i];
        }
    return NULL;
}

static bool parse(const char *text, const struct unit *units, size_t count, bool compound,
                  uint64_t *out)
{
    uint64_t v;
    uint64_t sum = 0;
    size_t from = 0;
    if (config_count_parse(text, out))
        return true;
    do {
        if (!take_digits(&text, &v))
            return false;
        const struct unit *unit = take_unit(&text, units, count, from);
        if (!unit || v > (uint64_t)INT64_MAX / unit->size ||
            v * unit->size > (uint64_t)INT64_MAX - sum)
            return false;
        sum += v * unit->size;
        from = (size_t)(unit - units) + 1;
    } while (compound && *text);
    *out = sum;
    return *text == '\0';
}

bool config_ms_parse(const char *text, uint64_t *ms)
{
    return parse(text, UNITS(time_units), true, ms);
}

bool config_bytes_parse(const char *text, uint64_t *bytes)
{
    return parse(text, UNITS(size_units), false, bytes);
}

static void format(char *out, const struct unit *units, size_t count, uint64_t v)
{
    size_t i = 0;
    while (i + 1 < count && v % units[i].size != 0)
        i++;
    snprintf(out, CONFIG_NUMBER_MAX, "%" PRIu64 "%s", v / units[i].size, units[i].name);
}

void config_number_format(char *out, bool is_bytes, bool is_ms, uint64_t v)
{
    if (v == 0 || (!is_bytes && !is_ms))
        snprintf(out, CONFIG_NUMBER_MAX, "%" PRIu64, v);
    else if (is_bytes)
        format(out, UNITS(size_units), v);
    else
        format(out, UNITS(time_units), v);
}
