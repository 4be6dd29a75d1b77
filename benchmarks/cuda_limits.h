// What the GPU itself can do, by libraries of its maker.
#pragma once

#include <cstdint>
#include <vector>

namespace voxshift::bench {

struct Limits {
  double matmul_flops;  ///< per second, multiplies and adds: cuBLAS, 8192^3, f16 summed in f32
  double copy_bytes;    ///< per second, read and written: a copy of 1 GiB
};

Limits measure_limits();

/// Seconds of one cuBLAS product [rows[k], channels] x [channels, channels] in f16 for every offset k, one after the
/// other, of whatever numbers lie in memory: the least that a convolution by cuBLAS takes, before its rows are gathered
/// and its sums added up.
double offset_products_seconds(const std::vector<std::int64_t>& rows, std::int64_t channels);

/// A stream that waits for no other.
class OwnStream {
 public:
  OwnStream();
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  void* get() const { return stream_; }

 private:
  void* stream_ = nullptr;
};

}  // namespace voxshift::bench
