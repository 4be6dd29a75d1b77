#include <voxshift/models/json_text.h>

#include <string>

namespace voxshift {
namespace {

constexpr int kDeepest = 32;  // model files need 6

struct NestsTooDeep {};

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  using nlohmann::json;
  const json::parser_callback_t bounded = [](int depth, json::parse_event_t, json&) {
    if (depth > kDeepest) throw NestsTooDeep();
    return true;
  };
  try {
    return json::parse(text, bounded, false);
  } catch (const NestsTooDeep&) {
    return json(json::value_t::discarded);
  }
}

std::ostream& operator<<(std::ostream& stream, const Quoted& quoted) {
  constexpr std::size_t kMost = 60;
  // a string need not be UTF-8
  const std::string text = quoted.value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return stream << text.substr(0, kMost) << (text.size() > kMost ? ".." : "");
}

}  // namespace voxshift
