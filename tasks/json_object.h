// JSON objects, key by key, with errors that say where.
#pragma once

#include <voxshift/graph/json_text.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {

/// What the words of a key stand for.
template <class T>
using Words = std::initializer_list<std::pair<T, const char*>>;

template <class T>
const char* word_of(const Words<T>& words, T value) {
  return std::ranges::find(words, value, &std::pair<T, const char*>::first)->second;
}

/// An object of a document: every error names the key, what it expects and what was found, and so does a key that
/// nobody asked for.
class JsonObject {
 public:
  using Json = nlohmann::json;

  JsonObject(std::string document, const Json& object, std::string where = {})
      : document_(std::move(document)), object_(object), where_(std::move(where)) {
    check(object_.is_object(), "[", document_, "] ", name_of_object(), " expects an object, found ", Quoted{object_});
  }

  bool has(const char* key) {
    known_.insert(key);
    return object_.contains(key) && !object_.at(key).is_null();
  }

  JsonObject object(const char* key) {
    return {document_, value(key, "an object"), where_.empty() ? key : where_ + "." + key};
  }

  std::string text(const char* key) {
    const Json& found = value(key, "a text");
    expect(found.is_string(), key, "a text", found);
    return found.get<std::string>();
  }

  std::int64_t whole(const char* key) {
    return whole_number(value(key, "a whole number"), "[" + document_ + "] " + name_of(key));
  }

  float number(const char* key, const char* expected = "a number") {
    const Json& found = value(key, expected);
    expect(is_float(found), key, expected, found);
    return found.get<float>();
  }

  bool flag(const char* key) {
    const Json& found = value(key, "true or false");
    expect(found.is_boolean(), key, "true or false", found);
    return found.get<bool>();
  }

  std::vector<float> numbers(const char* key, const char* expected) {
    const Json& found = value(key, expected);
    expect(found.is_array() && std::ranges::all_of(found, is_float), key, expected, found);
    return found.get<std::vector<float>>();
  }

  std::vector<std::int64_t> wholes(const char* key) {
    const Json& found = value(key, "a list of whole numbers");
    expect(found.is_array(), key, "a list of whole numbers", found);
    std::vector<std::int64_t> list;
    for (const Json& one : found) list.push_back(whole_number(one, "[" + document_ + "] " + name_of(key)));
    return list;
  }

  template <std::size_t N>
  std::array<float, N> array(const char* key) {
    static_assert(N == 2 || N == 3);
    constexpr const char* kExpected = N == 2 ? "two numbers" : "three numbers";
    const auto values = numbers(key, kExpected);
    expect(values.size() == N, key, kExpected, object_.at(key));
    std::array<float, N> result{};
    std::ranges::copy(values, result.begin());
    return result;
  }

  std::vector<JsonObject> objects(const char* key) {
    const Json& found = value(key, "a list of objects");
    expect(found.is_array(), key, "a list of objects", found);
    std::vector<JsonObject> list;
    for (const Json& one : found) list.push_back({document_, one, where_.empty() ? key : where_ + "." + key});
    return list;
  }

  template <class T>
  T word(const char* key, const Words<T>& words) {
    std::string expected = "one of";
    for (const auto& [known, word] : words) expected += std::string(known == words.begin()->first ? " " : ", ") + word;
    const Json& found = value(key, expected);
    for (const auto& [known, word] : words)
      if (found == word) return known;
    expect(false, key, expected, found);
    return words.begin()->first;
  }

  void expect_no_more() const {
    for (const auto& [key, ignored] : object_.items()) {
      std::string known;
      for (const std::string& name : known_) known += (known.empty() ? "" : ", ") + name;
      check(known_.contains(key), "[", document_, "] ", name_of_object(), " has the unknown key ", Quoted{key},
            ", expected ", known);
    }
  }

  void expect(bool condition, const std::string& key, const std::string& expected, const Json& found) const {
    check(condition, "[", document_, "] ", name_of(key), " expects ", expected, ", found ", Quoted{found});
  }

 private:
  static bool is_float(const Json& value) {
    constexpr double kMost = std::numeric_limits<float>::max();
    return value.is_number() && std::abs(value.get<double>()) <= kMost;
  }

  std::string name_of(const std::string& key) const { return where_.empty() ? key : key + " of " + where_; }
  std::string name_of_object() const { return where_.empty() ? "the " + document_ : where_; }

  const Json& value(const char* key, const std::string& expected) {
    check(has(key), "[", document_, "] ", name_of(key), " is missing, expected ", expected);
    return object_.at(key);
  }

  std::string document_;
  const Json& object_;
  std::string where_;  ///< in the document; empty: all of it
  std::set<std::string> known_;
};

}  // namespace voxshift
