// Which numbers features are, and where they have kernels.
#pragma once

#include <voxshift/tensor/device.h>
#include <voxshift/tensor/dtype.h>
#include <voxshift/tensor/error.h>

namespace voxshift {

/// f32, f16 or bf16.
constexpr bool is_real(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

/// Throws BackendUnavailable where `device` has no gradients for features of `dtype`, which is real.
inline void check_gradients(const char* op, DType dtype, Device device) {
  check<BackendUnavailable>(dtype == DType::kF32 || device.kind == Device::Kind::kCuda, "[", op,
                            "] takes f32 on all devices, f16 and bf16 on cuda, found ", name(dtype), " on ",
                            name(device));
}

/// Whether ops on rows take `dtype` on `device`, and give it gradients: f32, and on cuda f16 and bf16.
constexpr bool takes_rows(Device device, DType dtype) {
  return dtype == DType::kF32 || (is_real(dtype) && device.kind == Device::Kind::kCuda);
}

/// The names of those, for errors.
constexpr const char* row_dtypes(Device device) {
  return device.kind == Device::Kind::kCuda ? "f32, f16 or bf16" : "f32";
}

/// Throws InvalidArgument unless the features, `what`, are f32, which `op` takes alone.
inline void check_f32(const char* op, const char* what, DType dtype) {
  check(dtype == DType::kF32, "[", op, "] ", what, " expects f32 features, found ", name(dtype));
}

}  // namespace voxshift
