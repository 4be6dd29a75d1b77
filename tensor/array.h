// A contiguous, reference-counted array on a device.
#pragma once

#include <voxshift/tensor/device.h>
#include <voxshift/tensor/dtype.h>
#include <voxshift/tensor/shape.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace voxshift {

/// Elements of a shape; throws InvalidArgument for a negative extent or more than 2^62 bytes.
std::int64_t count_of(const Shape& shape);

/// Contiguous row-major array, one dtype, on one device. Copying an Array shares the memory.
class Array {
 public:
  /// An empty f32 array of shape [0] on the CPU.
  Array() = default;

  /// Uninitialised memory of the given shape. Throws OutOfMemory.
  Array(Shape shape, DType dtype, Device device = Device::cpu());

  /// Takes foreign memory without a copy; `owner` keeps it alive.
  Array(void* memory, Shape shape, DType dtype, Device device, std::shared_ptr<void> owner);

  /// Uninitialised memory of the CPU that `device` reads in place where the two share their memory, as on a Jetson:
  /// points and frames written there are not copied again. Elsewhere memory as any other.
  static Array shared(Shape shape, DType dtype, Device device);

  /// A CPU array holding a copy of `values`, whose number must be that of the shape.
  template <class T>
  static Array from(std::span<const T> values, Shape shape);
  template <class T>
  static Array from(const std::vector<T>& values, Shape shape) {
    return from(std::span<const T>(values), std::move(shape));
  }

  const Shape& shape() const { return shape_; }
  std::int64_t dim(std::size_t axis) const { return axis < shape_.size() ? shape_[axis] : 1; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }
  std::int64_t count() const { return count_; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }

  void* memory() { return memory_.get(); }
  const void* memory() const { return memory_.get(); }
  const std::shared_ptr<void>& owner() const { return memory_; }

  /// The elements as T; throws InvalidArgument when the dtype is another. On a CUDA array a device pointer.
  template <class T>
  T* data() {
    require(dtype_of<T>());
    return static_cast<T*>(memory_.get());
  }
  template <class T>
  const T* data() const {
    require(dtype_of<T>());
    return static_cast<const T*>(memory_.get());
  }
  template <class T>
  std::span<const T> values() const {
    return {data<T>(), static_cast<std::size_t>(count_)};
  }

  /// The same memory under another shape of as many elements.
  Array reshaped(Shape shape) const;

  /// This memory as an array on `device`, which reads it in place: an array on that device, one on the CPU that
  /// shared() made or whose memory CUDA has pinned, where the GPU is part of the processor. None elsewhere.
  std::optional<Array> seen_from(Device device) const;

  /// A copy on `device`, or this array when it is there already.
  Array to(Device device) const;

 private:
  void require(DType wanted) const;

  Shape shape_{0};
  std::int64_t count_ = 0;
  DType dtype_ = DType::kF32;
  Device device_;
  std::shared_ptr<void> memory_;
};

template <class T>
Array Array::from(std::span<const T> values, Shape shape) {
  Array array(std::move(shape), dtype_of<T>());
  check(array.count() == static_cast<std::int64_t>(values.size()), "[array] shape ", array.shape(), " expects ",
        array.count(), " values, found ", values.size());
  for (std::size_t i = 0; i < values.size(); ++i) array.data<T>()[i] = values[i];
  return array;
}

}  // namespace voxshift
