// The switch over element types at the door of every kernel of features.
#pragma once

#include <voxshift/tensor/dtype.h>
#include <voxshift/tensor/error.h>

namespace voxshift::cpu {

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kF32;
}

/// kernel(T()) for the one of the types that the features have. Throws BackendUnavailable, which names op and dtype,
/// where there is none.
template <class T, class... More, class Kernel>
auto with_type(const char* op, DType dtype, const Kernel& kernel) {
  if constexpr (sizeof...(More) > 0) {
    return dtype == dtype_of<T>() ? kernel(T()) : with_type<More...>(op, dtype, kernel);
  } else {
    check<BackendUnavailable>(dtype == dtype_of<T>(), "[", op, "] the CPU has no kernel for ", name(dtype));
    return kernel(T());
  }
}

}  // namespace voxshift::cpu
