// Devices, the CPU or a CUDA device, and the one function that picks a backend by device.
#pragma once

#include <voxshift/tensor/error.h>

#include <string>

namespace voxshift {

/// A place where arrays live and ops run: the CPU, or one CUDA device.
struct Device {
  enum class Kind { kCpu, kCuda };

  Kind kind = Kind::kCpu;
  int index = 0;

  static Device cpu() { return {}; }
  static Device cuda(int index = 0) { return {Kind::kCuda, index}; }
  bool operator==(const Device&) const = default;
};

/// "cpu", "cuda:0".
std::string name(Device device);

/// Reads "cpu", "cuda" or "cuda:N"; anything else is InvalidArgument.
Device parse_device(const std::string& text);

/// The kernels of the backend that serves `device`: the only switch over devices in the library.
template <class Kernels>
const Kernels& on(Device device, const Kernels& (*cpu)(), const Kernels& (*cuda)()) {
  switch (device.kind) {
    case Device::Kind::kCpu:
      return cpu();
    case Device::Kind::kCuda:
      return cuda();
  }
  throw InvalidArgument("[on] unknown device");
}

}  // namespace voxshift
