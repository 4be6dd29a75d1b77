#include <voxshift/checkpoints/pickle_text.h>
#include <voxshift/tensor/error.h>

#include <charconv>
#include <system_error>

namespace voxshift {
namespace {

void append_utf8(std::string& text, unsigned code) {
  if (code < 0x80) {
    text.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    text.push_back(static_cast<char>(0xC0 | code >> 6));
    text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    text.push_back(static_cast<char>(0xE0 | code >> 12));
    text.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

}  // namespace

std::string unquoted(const std::string& line) {
  check<IoError>(line.size() >= 2 && line.front() == line.back() && (line[0] == '\'' || line[0] == '"'),
                 "is damaged: a string without quotes");
  std::string text;
  for (std::size_t i = 1; i + 1 < line.size(); ++i) {
    if (line[i] != '\\' || i + 2 >= line.size()) {
      text.push_back(line[i]);
      continue;
    }
    const char escaped = line[++i];
    if (escaped == 'x' && i + 3 < line.size()) {
      unsigned code = 0;
      std::from_chars(&line[i + 1], &line[i + 3], code, 16);
      text.push_back(static_cast<char>(code));
      i += 2;
    } else {
      text.push_back(escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped);
    }
  }
  return text;
}

std::string unescaped(const std::string& line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    unsigned code = static_cast<unsigned char>(line[i]);
    if (code == '\\' && i + 5 < line.size() && line[i + 1] == 'u') {
      std::from_chars(&line[i + 2], &line[i + 6], code, 16);
      i += 5;
    }
    append_utf8(text, code);
  }
  return text;
}

double decimal(const std::string& line) {
  double value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  check<IoError>(error == std::errc() && end == line.data() + line.size(), "is damaged: a number is written as \"",
                 line.substr(0, 40), "\"");
  return value;
}

std::string hexadecimal(std::string little_endian) {
  const bool negative = !little_endian.empty() && (static_cast<unsigned char>(little_endian.back()) & 0x80) != 0;
  if (negative) {
    int carry = 1;
    for (char& byte : little_endian) {
      const int sum = (~byte & 0xFF) + carry;
      byte = static_cast<char>(sum & 0xFF);
      carry = sum >> 8;
    }
  }
  constexpr const char* kDigits = "0123456789abcdef";
  std::string digits = negative ? "-0x" : "0x";
  while (!little_endian.empty() && little_endian.back() == 0) little_endian.pop_back();
  for (std::size_t b = little_endian.size(); b-- > 0;) {
    const auto byte = static_cast<unsigned char>(little_endian[b]);
    digits.push_back(kDigits[byte >> 4]);
    digits.push_back(kDigits[byte & 15]);
  }
  return digits;
}

}  // namespace voxshift
