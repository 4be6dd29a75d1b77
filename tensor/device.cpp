#include <voxshift/tensor/device.h>

#include <charconv>

namespace voxshift {

std::string name(Device device) {
  return device.kind == Device::Kind::kCpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

Device parse_device(const std::string& text) {
  if (text == "cpu") return Device::cpu();
  if (text == "cuda") return Device::cuda();
  const std::string prefix = "cuda:";
  int index = -1;
  if (text.starts_with(prefix)) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + prefix.size(), end, index);
    if (error == std::errc() && stop == end && index >= 0) return Device::cuda(index);
  }
  throw InvalidArgument("[device] expected cpu, cuda or cuda:N, found \"" + text + "\"");
}

}  // namespace voxshift
