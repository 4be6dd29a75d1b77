// The exceptions of voxshift and the one way to raise them for bad arguments.
#pragma once

#include <voxshift/tensor/shape.h>

#include <sstream>
#include <stdexcept>
#include <string>

namespace voxshift {

/// The text with '?' for control characters: a name that a file gives would end the line, or steer a terminal.
inline std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7F') c = '?';
  return text;
}

/// Base of every exception thrown by the library. Messages are one line, "[op] what was expected, what was found".
struct Error : std::runtime_error {
  explicit Error(const std::string& message) : std::runtime_error(one_line(message)) {}
};

/// A value, shape, dtype or option that the call cannot take. Python: ValueError.
struct InvalidArgument : Error {
  using Error::Error;
};

/// The device or operator is not part of this build. Python: RuntimeError.
struct BackendUnavailable : Error {
  using Error::Error;
};

/// A file that cannot be read or written, or whose content is not what its name says. Python: OSError.
struct IoError : Error {
  using Error::Error;
};

/// An allocation that the device refused. Python: MemoryError.
struct OutOfMemory : Error {
  using Error::Error;
};

/// The device reported a failure. Python: RuntimeError.
struct DeviceError : Error {
  using Error::Error;
};

/// Throws `E` (InvalidArgument unless named) with the parts joined into one message when the condition is false. Parts
/// are printed then only, so they should be what exists already: a Shape, not its text.
template <class E = InvalidArgument, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (condition) return;
  std::ostringstream message;
  (message << ... << parts);
  throw E(message.str());
}

}  // namespace voxshift
