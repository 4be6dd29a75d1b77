#include <voxshift/files/number_text.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>

namespace voxshift {
namespace {

bool is_decimal_digit(char c) { return c >= '0' && c <= '9'; }

/// How many characters at the front of `text` from_chars would take: [-] inf, infinity, nan, nan(..), or digits with a
/// point and an exponent; 0 where there is no number. strtod() takes more: blanks, +, 0x10, and the locale's point.
std::size_t number_length(std::string_view text) {
  const auto digits_from = [&](std::size_t at) {
    const auto end = std::find_if_not(text.begin() + static_cast<std::ptrdiff_t>(std::min(at, text.size())), text.end(),
                                      is_decimal_digit);
    return static_cast<std::size_t>(end - text.begin());
  };
  const std::size_t begin = text.starts_with('-') ? 1 : 0;
  std::size_t end = digits_from(begin), digits = end - begin;
  if (end < text.size() && text[end] == '.') {
    const std::size_t fraction = digits_from(end + 1) - (end + 1);
    digits += fraction;
    if (digits > 0) end += 1 + fraction;
  }
  if (digits == 0) return 0;
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    std::size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '-' || text[exponent] == '+')) ++exponent;
    if (const std::size_t last = digits_from(exponent); last > exponent) end = last;
  }
  return end;
}

/// How many characters of `text` are one of the words for what is no finite number; 0 where none is.
std::size_t word_length(std::string_view text) {
  const std::size_t begin = text.starts_with('-') ? 1 : 0;
  const auto starts_with = [&](std::string_view word) {
    const std::string_view there = text.substr(begin, word.size());
    return std::ranges::equal(there, word, [](char a, char b) { return (a | 0x20) == b; });
  };
  if (starts_with("infinity")) return begin + 8;
  if (starts_with("inf")) return begin + 3;
  if (!starts_with("nan")) return 0;
  std::size_t end = begin + 3;
  if (end < text.size() && text[end] == '(') {
    const auto is_inside = [](char c) {
      return is_decimal_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    const auto* const close = std::find_if_not(text.data() + end + 1, text.data() + text.size(), is_inside);
    if (close != text.data() + text.size() && *close == ')') end = static_cast<std::size_t>(close + 1 - text.data());
  }
  return end;
}

void read_number(const char* text, float& value) { value = std::strtof(text, nullptr); }
void read_number(const char* text, double& value) { value = std::strtod(text, nullptr); }

template <class Number>
std::from_chars_result by_strtod(const char* first, const char* last, Number& value) {
  const std::string_view all(first, static_cast<std::size_t>(last - first));
  const std::size_t word = word_length(all), length = word > 0 ? word : number_length(all);
  if (length == 0) return {first, std::errc::invalid_argument};
  std::string text(all.substr(0, length));
  if (const std::size_t point = word > 0 ? std::string::npos : text.find('.'); point != std::string::npos)
    text.replace(point, 1, std::localeconv()->decimal_point);
  Number number = 0;
  read_number(text.c_str(), number);
  const std::string_view mantissa = all.substr(0, std::min(length, all.find_first_of("eE")));
  const bool is_zero = mantissa.find_first_of("123456789") == std::string_view::npos;
  if (word == 0 && (std::isinf(number) || (number == 0 && !is_zero)))
    return {first + length, std::errc::result_out_of_range};
  value = number;
  return {first + length, std::errc()};
}

}  // namespace

std::from_chars_result number_by_strtod(const char* first, const char* last, float& value) {
  return by_strtod(first, last, value);
}

std::from_chars_result number_by_strtod(const char* first, const char* last, double& value) {
  return by_strtod(first, last, value);
}

#ifdef __cpp_lib_to_chars

std::from_chars_result number_from_chars(const char* first, const char* last, float& value) {
  return std::from_chars(first, last, value);
}

std::from_chars_result number_from_chars(const char* first, const char* last, double& value) {
  return std::from_chars(first, last, value);
}

#else

std::from_chars_result number_from_chars(const char* first, const char* last, float& value) {
  return by_strtod(first, last, value);
}

std::from_chars_result number_from_chars(const char* first, const char* last, double& value) {
  return by_strtod(first, last, value);
}

#endif

}  // namespace voxshift
