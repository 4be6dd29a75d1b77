// One layer of a network that computes only where its input changed. Pixels travel as sparse tensors.
#pragma once

#include <voxshift/tensor/sparse_tensor.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/pool2d.h>

#include <memory>

namespace voxshift {

/// Holds the last input and the last output it propagated, as dense images. push() takes the pixels that changed and
/// gives the output pixels that changed by more than the threshold: |new - kept| > threshold in some channel. The
/// others keep their old value, so every kept output is within `threshold` of the layer applied to the kept input, and
/// errors never add up over time. With threshold 0 the kept output is the dense result, bit by bit.
///
/// Source: the truncation of DeltaCNN (Parger et al., CVPR 2022), with absolute values in place of differences.
class MaskedLayer {
 public:
  /// weight, bias and options as of conv2d(). The input is all zeros before the first push, whose output is dense.
  /// Throws InvalidArgument for shapes that do not fit and for a threshold that is negative or not a number.
  static MaskedLayer conv2d(Extent2d extent, const Array& weight, const std::optional<Array>& bias,
                            const Conv2dOptions& options, float threshold);
  static MaskedLayer max_pool2d(Extent2d extent, std::int64_t channels, const Window2d& window, float threshold,
                                Device device = Device::cpu());
  static MaskedLayer avg_pool2d(Extent2d extent, std::int64_t channels, const Window2d& window, float threshold,
                                Device device = Device::cpu());

  MaskedLayer(MaskedLayer&&) noexcept;
  MaskedLayer& operator=(MaskedLayer&&) noexcept;
  ~MaskedLayer();

  /// changed: coordinates int32 [N, 3] (0, y, x), features f32 [N, Cin], the new values of these pixels. Gives the same
  /// of the output, with its extent as shape. Throws InvalidArgument for pixels outside the image or other channels.
  SparseTensor push(const SparseTensor& changed);

  /// The kept output, f32 [H', W', Cout]; the next push changes it.
  const Array& output() const;

  /// Multiply-adds of the last push and of a dense one; 0 for pooling.
  std::int64_t macs() const;
  std::int64_t dense_macs() const;

  /// Forgets everything: the next push is dense again.
  void reset();

 private:
  struct Impl;
  explicit MaskedLayer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
