// Dense products by cuBLASLt, which is opened at run time: it is half a gigabyte, PyTorch brings it, and a machine
// without it computes by our kernels. So nothing of it is linked; its header tells the types.
#pragma once

#include <voxshift/kernels_cuda/dense_call.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxshift::cuda {

/// cuBLASLt on one device. Its algorithm for a call is the library's first choice for the kind of call and is kept, so
/// that the bits of a result depend on the shape, the device and the library's version:
/// - of a product: whatever the number of rows, it is asked for 65,536 rows; one that cuts the sum over the channels,
///   or refuses a single row, is not taken.
/// - of a gradient: it is asked for the next power of two of rows; a sum that is cut is joined from the workspace in a
///   step of its own, without atomics.
/// Sums are f32. f32 is multiplied as f32 (CUBLAS_COMPUTE_32F_PEDANTIC), which no environment variable turns into TF32.
class CublasLt {
 public:
  struct Functions;

  /// The library's functions, from the first of the names that opens; what the process has loaded by such a name is
  /// taken first. Null where none opens, lacks a function or is of another major version than the header.
  static std::shared_ptr<const Functions> open(const std::vector<std::string>& names);
  /// The name of the library of the header's version.
  static std::vector<std::string> names();

  /// For the device that is current then and at every call. Null where the library refuses.
  static std::unique_ptr<CublasLt> create(std::shared_ptr<const Functions> functions);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// Bytes of workspace that the call needs; none: the library has no algorithm for it. From any thread.
  std::optional<std::size_t> workspace(const DenseProduct&);
  std::optional<std::size_t> workspace(const DenseGradient&);

  /// Queues a call that has an algorithm on `stream`; the workspace is aligned to kWorkspaceAlignment. Throws
  /// DeviceError where the library refuses.
  void run(const DenseProduct&, void* workspace, void* stream);
  void run(const DenseGradient&, void* workspace, void* stream);

  static constexpr std::size_t kWorkspaceAlignment = 256;

 private:
  class Impl;
  explicit CublasLt(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift::cuda
