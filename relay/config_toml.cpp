#include "relay/config_toml.h"

#include <string>
#include <string_view>
#include <vector>

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

} // namespace

void config_toml_read(const char *text, size_t size, const config_toml_sink *sink)
{
    const toml::parse_result result = toml::parse(std::string_view(text, size));
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
