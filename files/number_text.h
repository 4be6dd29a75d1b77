// Numbers with a fraction in a text, whatever the locale.
#pragma once

#include <charconv>

namespace voxshift {

/// As std::from_chars, which not every standard library has for f32 and f64: clang's libc++ before 20.
std::from_chars_result number_from_chars(const char* first, const char* last, float& value);
std::from_chars_result number_from_chars(const char* first, const char* last, double& value);

/// What stands in for it there.
std::from_chars_result number_by_strtod(const char* first, const char* last, float& value);
std::from_chars_result number_by_strtod(const char* first, const char* last, double& value);

}  // namespace voxshift
