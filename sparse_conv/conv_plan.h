// Where the outputs of a convolution lie and which pairs it multiplies: what a forward op and its gradients share.
#pragma once

#include <voxshift/sparse_conv/conv.h>
#include <voxshift/tensor/runtime.h>

#include <memory>
#include <optional>

namespace voxshift {

/// One convolution of a tensor: of any kind, as the plan function chosen says.
struct ConvPlan {
  Coordinates out;  ///< of the result
  std::shared_ptr<const KernelMap> map;
  bool transposed;  ///< the map goes from the result's coordinates to x's

  /// Pairs from x's rows to those of the result.
  const KernelMapView& forward() const { return transposed ? map->transposed() : map->forward(); }

  /// The same pairs from the rows of the result to x's.
  const KernelMapView& backward() const { return transposed ? map->forward() : map->transposed(); }
};

/// Check options and weight (f32 [K, Cin, Cout]) against the tensor and throw InvalidArgument with the op's name.
ConvPlan plan_conv(const char* op, const SparseTensor& x, const Array& weight, const ConvOptions& options);
ConvPlan plan_conv_transpose(const char* op, const SparseTensor& x, const Array& weight, const ConvOptions& options);
ConvPlan plan_generative_conv_transpose(const char* op, const SparseTensor& x, const Array& weight,
                                        const ConvOptions& options);

}  // namespace voxshift
