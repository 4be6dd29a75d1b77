// The exceptions of voxshift and the one way to raise them for bad arguments.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace voxshift {

/// Base of every exception thrown by the library. Messages read "[op] what was expected, what was found".
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
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

/// Throws `E` (InvalidArgument unless named) with the parts joined into one message when the condition is false.
template <class E = InvalidArgument, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (condition) return;
  std::ostringstream message;
  (message << ... << parts);
  throw E(message.str());
}

}  // namespace voxshift
