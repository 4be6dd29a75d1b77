// What the GPU itself can do, by libraries of its maker.
#pragma once

namespace voxshift::bench {

struct Limits {
  double matmul_flops;  ///< per second, multiplies and adds: cuBLAS, 8192^3, f16 summed in f32
  double copy_bytes;    ///< per second, read and written: a copy of 1 GiB
};

Limits measure_limits();

}  // namespace voxshift::bench
