// Texts and numbers as pickles write them.
#pragma once

#include <string>

namespace voxshift {

/// The text of a quoted string, as protocol 0 and repr() of Python 2 write it. Throws IoError where it has no quotes.
std::string unquoted(const std::string& line);

/// UTF-8 of protocol 0's Latin-1, which has \uXXXX for other characters.
std::string unescaped(const std::string& line);

/// A number with a point, whatever the locale; also "inf" and "nan". Throws IoError for other characters.
double decimal(const std::string& line);

/// "0x.." or "-0x.." of a whole number in two's complement.
std::string hexadecimal(std::string little_endian);

}  // namespace voxshift
