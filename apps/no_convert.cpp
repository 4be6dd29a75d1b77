// `voxshift convert` of a build without the converter.
#include <voxshift/tensor/error.h>

#include "commands.h"

namespace voxshift {

std::vector<std::string> convertible_sources() { return {}; }

int convert_checkpoint(const ConvertCommand&) {
  throw BackendUnavailable(
      "convert needs libzip and protobuf, which this build does without: install libzip-dev, libprotobuf-dev and "
      "protobuf-compiler and build again");
}

}  // namespace voxshift
