// Numbers of f16 on the host, where all arithmetic is f32.
#pragma once

#include <voxshift/tensor/device.h>
#include <voxshift/tensor/dtype.h>

#include <cstdint>

namespace voxshift {

/// Copies `count` numbers, f32 or f16, from the device to the host as f32, exactly. Allocates nothing.
void copy_floats_to_host(Device device, float* to, const void* from, DType dtype, std::int64_t count);

}  // namespace voxshift
