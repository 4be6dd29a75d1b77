// JSON from strangers: text that is read, and values that messages quote.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>

namespace voxshift {

/// A value that is freed from the leaves up. The destructor of nlohmann::json takes memory for the children of what it
/// frees, and ends the process where there is none; of a value without children it takes none.
struct JsonDocument {
  nlohmann::json value;

  JsonDocument() = default;  // NOLINT(bugprone-exception-escape): a null value takes no memory
  ~JsonDocument();           // NOLINT(bugprone-exception-escape): what throws asks for another type than is there
  JsonDocument(JsonDocument&&) = default;
  JsonDocument& operator=(JsonDocument&&) = delete;
};

/// The text as JSON; discarded (is_discarded()) where it is none, and where it nests deeper than 32: what copies,
/// prints and frees a value calls itself once a level. Of a name that an object has twice, the last counts.
JsonDocument parse_json(std::string_view text);

/// The value as JSON, in one line. Throws InvalidArgument where a text in it is not UTF-8.
std::string json_text(const nlohmann::json& value);

/// A value as a message quotes it, at most 60 characters. Nothing is printed before it is streamed.
struct Quoted {
  const nlohmann::json& value;
};
std::ostream& operator<<(std::ostream& stream, const Quoted& quoted);

/// The value as a whole number: neither a fraction, which a plain conversion would cut, nor one beyond int64. Throws
/// InvalidArgument "WHAT expects a whole number, found ..".
std::int64_t whole_number(const nlohmann::json& value, const std::string& what);

}  // namespace voxshift
