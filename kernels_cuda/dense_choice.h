// Who multiplies rows by one matrix: our kernel, or cuBLASLt where the machine has it.
#pragma once

#include <voxshift/tensor/dtype.h>

#include <cstdint>
#include <span>
#include <string>

namespace voxshift::cuda {

enum class DenseChoice {
  kMeasured,  ///< cuBLASLt where dense_wins() says so
  kOwn,       ///< our kernel
  kCublasLt,  ///< cuBLASLt wherever it can
};

/// measured, own or cublaslt, as the environment's VOXSHIFT_DENSE says it; nothing is measured. Throws InvalidArgument
/// for anything else.
DenseChoice dense_choice_of(const std::string& name);

/// At first that of VOXSHIFT_DENSE.
DenseChoice dense_choice();
/// For tests and benchmarks.
void set_dense_choice(DenseChoice);

/// Products and gradients that the library has computed so far.
std::int64_t dense_calls();
void count_dense_call();

enum class DenseOp { kProduct, kWeightGradient };

/// A shape that cuBLASLt was measured to compute in less time, for all numbers of rows that were measured: were rows to
/// decide, the bits of a row would depend on how many others there are.
struct DenseWin {
  int architecture;  ///< 90: sm_90
  DenseOp op;
  DType dtype;
  std::int64_t in, out;  ///< channels

  bool operator==(const DenseWin&) const = default;
};

/// At first what `cuda_bench --parts=dense` has found, which is nothing yet: it has not been run.
std::span<const DenseWin> dense_wins();
/// For tests, while nothing is computed.
void set_dense_wins(std::span<const DenseWin>);

}  // namespace voxshift::cuda
