// A parser that takes a file's text apart from its front.
#pragma once

#include <voxshift/files/number_text.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace voxshift {

/// Bytes that are not printable become '?', for messages that quote a file.
inline std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 32 || c > 126; }, '?');
  return text;
}

/// The part of a file's text that is not read yet; every error names the file.
class FileText {
 public:
  FileText(std::string name, std::string_view text) : name_(std::move(name)), rest_(text) {}

  const std::string& name() const { return name_; }
  std::size_t left() const { return rest_.size(); }

  template <class... Parts>
  void expect(bool condition, const Parts&... parts) const {
    if (condition) return;
    std::ostringstream message;
    (message << ... << parts);
    throw IoError(name_ + ": " + printable(message.str()));
  }

  std::string_view take(std::size_t bytes) {
    expect(bytes <= left(), "is cut: the header promises more than the file holds");
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }

  /// The next line, without its end "\n" or "\r\n".
  std::string_view take_line() {
    std::string_view line = take(std::min(rest_.find('\n'), left()));
    if (left() > 0) take(1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    expect(std::ranges::none_of(line, [](unsigned char c) { return c < 32 && c != '\t'; }),
           "is not text where its format has text");
    return line;
  }

  /// The next word between white space; empty at the end of the file.
  std::string_view take_word() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), left()));
    return take(std::min(rest_.find_first_of(" \t\r\n"), left()));
  }

  /// The words of the next line.
  std::vector<std::string_view> take_words() {
    FileText line(name_, take_line());
    std::vector<std::string_view> words;
    for (auto word = line.take_word(); !word.empty(); word = line.take_word()) words.push_back(word);
    return words;
  }

 private:
  std::string name_;
  std::string_view rest_;
};

template <class Number>
bool parse(std::string_view word, Number& number) {
  if (word.starts_with('+') && !word.starts_with("+-")) word.remove_prefix(1);
  const char *const first = word.data(), *const last = first + word.size();
  std::from_chars_result result{};
  if constexpr (std::is_floating_point_v<Number>) {
    result = number_from_chars(first, last, number);
  } else {
    result = std::from_chars(first, last, number);
  }
  return result.ec == std::errc() && result.ptr == last;
}

}  // namespace voxshift
