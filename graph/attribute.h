// The options of a node, and what an op says about each of its own.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace voxshift {

/// One whole number per axis of a window. A type of its own: a variant of std::string and std::vector takes itself, in
/// GCC 12's library, for one that always holds a value, and calls garbage where a copy of it finds no memory.
struct PerAxis : std::vector<std::int64_t> {
  using vector::vector;
};

/// The same of any numbers.
struct PerAxisNumber : std::vector<double> {
  using vector::vector;
};

/// The value of an attribute, of the types that JSON has for it.
using Attribute = std::variant<bool, std::int64_t, double, std::string, PerAxis, PerAxisNumber>;
using Attributes = std::map<std::string, Attribute>;

/// An attribute as its op declares it: type, usual value, limits and what it means.
struct AttributeSpec {
  enum class Kind {
    kFlag,           ///< true or false
    kWhole,          ///< a whole number of [lowest, highest]
    kNumber,         ///< a finite number of [lowest, highest]
    kWord,           ///< one of `words`
    kPerAxis,        ///< a whole number of [lowest, highest] for each of the op's axes; one number stands for all
    kPerAxisNumber,  ///< the same, of any finite number
  };

  const char* name;
  Kind kind;
  const char* text;
  double lowest = 0, highest = 0;
  std::vector<Attribute> usual = {};  ///< the value where none is given; empty: it must be given
  std::vector<const char*> words = {};

  /// "whole number of 1 to 8" ..
  std::string expectation() const;
};

/// The attribute as the spec wants it, on `axes` axes. Throws InvalidArgument "WHERE: NAME expects .., found ..".
Attribute checked(const AttributeSpec& spec, const Attribute& given, std::size_t axes, const std::string& where);

/// As JSON has it.
std::string to_text(const Attribute& attribute);

// How ops declare what they take.

inline AttributeSpec flag(const char* name, bool usual, const char* text) {
  return {name, AttributeSpec::Kind::kFlag, text, 0, 0, {usual}};
}
inline AttributeSpec whole(const char* name, std::int64_t lowest, std::int64_t highest, const char* text,
                           std::vector<Attribute> usual = {}) {
  return {name,
          AttributeSpec::Kind::kWhole,
          text,
          static_cast<double>(lowest),
          static_cast<double>(highest),
          std::move(usual)};
}
inline AttributeSpec number(const char* name, double lowest, double highest, const char* text,
                            std::vector<Attribute> usual = {}) {
  return {name, AttributeSpec::Kind::kNumber, text, lowest, highest, std::move(usual)};
}
inline AttributeSpec word(const char* name, std::vector<const char*> words, const char* text) {
  std::vector<Attribute> usual{std::string(words.front())};
  return {name, AttributeSpec::Kind::kWord, text, 0, 0, std::move(usual), std::move(words)};
}
inline AttributeSpec per_axis(const char* name, std::int64_t lowest, std::int64_t highest, const char* text,
                              std::vector<Attribute> usual = {}) {
  return {name,
          AttributeSpec::Kind::kPerAxis,
          text,
          static_cast<double>(lowest),
          static_cast<double>(highest),
          std::move(usual)};
}
inline AttributeSpec per_axis_number(const char* name, double lowest, double highest, const char* text,
                                     std::vector<Attribute> usual = {}) {
  return {name, AttributeSpec::Kind::kPerAxisNumber, text, lowest, highest, std::move(usual)};
}

}  // namespace voxshift
