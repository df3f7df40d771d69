#include "relay/config_toml.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

/* toml++ asserts that a section's name begins like a name before it looks at it: "[="
 * would end the program. A few lines on it says properly what is wrong. */
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

namespace
{

config_spot spot_of(const toml::source_region &r)
{
    unsigned width = 1;
    if (r.end.line == r.begin.line && r.end.column > r.begin.column)
        width = r.end.column - r.begin.column;
    return {r.begin.line, r.begin.column, width};
}

const char *type_of(const toml::node &n)
{
    switch (n.type()) {
    case toml::node_type::string:
        return "text";
    case toml::node_type::integer:
        return "a number";
    case toml::node_type::floating_point:
        return "a number with a fraction";
    case toml::node_type::boolean:
        return "true or false";
    case toml::node_type::array:
        return "a list";
    case toml::node_type::table:
        return "a section";
    default:
        return "a date or time";
    }
}

void give(const config_toml_sink *sink, const char *section, const toml::key &key,
          const toml::node &n)
{
    const std::string name(key.str());
    config_raw raw = {};
    std::vector<const char *> items;
    raw.is = RAW_OTHER;
    raw.type = type_of(n);
    if (const auto *text = n.as_string()) {
        raw.is = RAW_TEXT;
        raw.text = (*text)->c_str();
        raw.text_size = (*text)->size();
    } else if (const auto *number = n.as_integer()) {
        raw.is = RAW_INTEGER;
        raw.integer = **number;
    } else if (const auto *list = n.as_array()) {
        raw.is = RAW_LIST;
        for (const toml::node &item : *list) {
            const auto *text_item = item.as_string();
            items.push_back(text_item ? (*text_item)->c_str() : nullptr);
        }
        raw.items = items.data();
        raw.item_count = items.size();
    }
    sink->value(sink->context, section, name.c_str(), spot_of(key.source()),
                spot_of(n.source()), &raw);
}

/* Behind the string that begins at `i`; the end of the text when it never ends. A
 * single-line string ends at a line's end too: the parser refuses it there. */
size_t behind_string(std::string_view text, size_t i)
{
    const char quote = text[i];
    const bool multi =
        i + 2 < text.size() && text[i + 1] == quote && text[i + 2] == quote;
    const std::string_view close = text.substr(i, multi ? 3 : 1);
    for (i += close.size(); i < text.size(); i++) {
        if (quote == '"' && text[i] == '\\')
            i++;
        else if (text.substr(i, close.size()) == close) {
            i += close.size();
            for (int more = 0; multi && more < 2 && i < text.size() && text[i] == quote;
                 more++)
                i++; /* quotes just before the end belong to the string */
            return i;
        } else if (!multi && text[i] == '\n')
            return i;
    }
    return text.size();
}

/* First byte beyond ASCII outside strings and comments, or quote in the middle of a word,
 * where TOML has none; the size of the text when there is none. toml++ 3.3 has undefined
 * behaviour at some letters there. */
size_t find_foreign(std::string_view text)
{
    size_t i = text.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0;
    while (i < text.size()) {
        if ((text[i] == '"' || text[i] == '\'') &&
            (i == 0 || std::string_view(" \t\r\n=,.[{\xbf").find(text[i - 1]) !=
                           std::string_view::npos))
            i = behind_string(text, i);
        else if (text[i] == '#')
            i = std::min(text.find('\n', i), text.size());
        else if (static_cast<unsigned char>(text[i]) >= 0x80 || text[i] == '"' ||
                 text[i] == '\'')
            return i;
        else
            i++;
    }
    return text.size();
}

config_spot spot_at(std::string_view text, size_t at)
{
    config_spot spot = {1, 1, 1};
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            spot.line++;
            spot.column = 1;
        } else if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80)
            spot.column++;
    }
    return spot;
}

} // namespace

void config_toml_read(const char *text, size_t size, const config_toml_sink *sink)
{
    const std::string_view whole(text, size);
    const size_t foreign = find_foreign(whole);
    if (foreign < size) {
        sink->failed(sink->context,
                     static_cast<unsigned char>(text[foreign]) < 0x80
                         ? "quotes stand around a whole value or name"
                         : "letters beyond ASCII belong inside quotes or comments",
                     spot_at(whole, foreign));
        return;
    }
    const toml::parse_result result = toml::parse(whole);
    if (!result) {
        const std::string why(result.error().description());
        sink->failed(sink->context, why.c_str(), spot_of(result.error().source()));
        return;
    }
    for (const auto &[key, node] : result.table()) {
        const toml::table *section = node.as_table();
        const std::string name(key.str());
        if (!section) {
            give(sink, "", key, node);
            continue;
        }
        if (!sink->section(sink->context, name.c_str(), spot_of(key.source())))
            continue;
        for (const auto &[inner_key, inner] : *section)
            give(sink, name.c_str(), inner_key, inner);
    }
}
