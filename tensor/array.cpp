#include <voxshift/tensor/array.h>
#include <voxshift/tensor/runtime.h>

#include <cstring>

namespace voxshift {

std::int64_t count_of(const Shape& shape) {
  constexpr std::int64_t kMost = std::int64_t{1} << 59;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    check(extent >= 0, "[array] extents must not be negative, found ", shape);
    check(extent == 0 || count <= kMost / extent, "[array] shape ", shape, " is too large");
    count *= extent;
  }
  return count;
}

Array::Array(Shape shape, DType dtype, Device device)
    : shape_(std::move(shape)), count_(count_of(shape_)), dtype_(dtype), device_(device) {
  const std::size_t size = bytes();
  memory_ = std::shared_ptr<void>(runtime(device).allocate(device, size),
                                  [device, size](void* memory) { runtime(device).free(device, memory, size); });
}

Array::Array(void* memory, Shape shape, DType dtype, Device device, std::shared_ptr<void> owner)
    : shape_(std::move(shape)),
      count_(count_of(shape_)),
      dtype_(dtype),
      device_(device),
      memory_(std::move(owner), memory) {}

Array Array::shared(Shape shape, DType dtype, Device device) {
  if (device == Device::cpu() || !runtime(device).shares_memory(device)) return {std::move(shape), dtype};
  const std::size_t size = static_cast<std::size_t>(count_of(shape)) * size_of(dtype);
  const std::shared_ptr<void> owner(runtime(device).allocate_shared(device, size), [device, size](void* memory) {
    runtime(device).free_shared(device, memory, size);
  });
  return {owner.get(), std::move(shape), dtype, Device::cpu(), owner};
}

std::optional<Array> Array::seen_from(Device device) const {
  if (device == device_) return *this;
  if (device_ != Device::cpu() || !runtime(device).reads_in_place(device, memory())) return {};
  return Array(memory_.get(), shape_, dtype_, device, memory_);
}

Array Array::reshaped(Shape shape) const {
  check(count_of(shape) == count_, "[reshape] ", shape_, " cannot become ", shape);
  Array view = *this;
  view.shape_ = std::move(shape);
  return view;
}

Array Array::to(Device device) const {
  if (device == device_) return *this;
  Array copy(shape_, dtype_, device);
  if (device_.kind == Device::Kind::kCpu) {
    runtime(device).copy_from_host(device, copy.memory(), memory(), bytes());
  } else if (device.kind == Device::Kind::kCpu) {
    runtime(device_).copy_to_host(device_, copy.memory(), memory(), bytes());
  } else {
    return to(Device::cpu()).to(device);
  }
  return copy;
}

void Array::require(DType wanted) const {
  check(dtype_ == wanted, "[array] expected dtype ", name(wanted), ", found ", name(dtype_));
}

}  // namespace voxshift
