#include <voxshift/graph/json_text.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {
namespace {

using nlohmann::json;

constexpr std::size_t kDeepest = 32;  // model files need 6
constexpr std::size_t kMostQuoted = 60;

void free_children(json& value) {
  if (!value.is_structured()) return;  // a number lists itself
  for (json& child : value) free_children(child);
  if (value.is_array()) value.get_ref<json::array_t&>().clear();
  if (value.is_object()) value.get_ref<json::object_t&>().clear();
}

/// Puts values into `root` as they are read, so that what is there is freed as a JsonDocument whatever ends the
/// reading.
class DocumentBuilder final : public nlohmann::json_sax<json> {
 public:
  explicit DocumentBuilder(json& root) : root_(root) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // text has none
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    json& place = (*open_.back())[name];
    free_children(place);
    next_ = &place;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override { return false; }

 private:
  json& place() {
    if (open_.empty()) return root_;
    json& parent = *open_.back();
    return parent.is_array() ? parent.get_ref<json::array_t&>().emplace_back() : *next_;
  }

  bool put(json value) {
    place() = std::move(value);
    return true;
  }

  bool open(json empty) {
    if (open_.size() == kDeepest) return false;
    json& value = place();
    value = std::move(empty);
    open_.push_back(&value);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  json& root_;
  std::vector<json*> open_;  // the array or object that is read, and those around it
  json* next_ = nullptr;     // where the value of the last name goes
};

}  // namespace

JsonDocument::~JsonDocument() { free_children(value); }  // NOLINT(bugprone-exception-escape): as in the header

JsonDocument parse_json(std::string_view text) {
  JsonDocument document;
  DocumentBuilder builder(document.value);
  if (!json::sax_parse(text, &builder)) {
    free_children(document.value);
    document.value = json(json::value_t::discarded);
  }
  return document;
}

std::string json_text(const json& value) {
  try {
    return value.dump();
  } catch (const json::type_error&) {
    const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
    const std::size_t replaced = text.find("\\ufffd"), start = text.rfind('"', replaced);
    const std::size_t length = text.find('"', replaced) + 1 - start;
    throw InvalidArgument("[save] a name or text of a model is not UTF-8: " +
                          text.substr(start, std::min(length, kMostQuoted)));
  }
}

std::ostream& operator<<(std::ostream& stream, const Quoted& quoted) {
  // a string need not be UTF-8
  const std::string text = quoted.value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return stream << text.substr(0, kMostQuoted) << (text.size() > kMostQuoted ? ".." : "");
}

std::int64_t whole_number(const nlohmann::json& value, const std::string& what) {
  constexpr auto kHighest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  check(value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > kHighest), what,
        " expects a whole number, found ", Quoted{value});
  return value.get<std::int64_t>();
}

}  // namespace voxshift
