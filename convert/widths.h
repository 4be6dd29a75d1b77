// Widths of networks, read from the shapes of their tensors.
#pragma once

#include <voxshift/convert/source.h>

#include <string>

namespace voxshift {

/// Reads shapes; throws InvalidArgument, which names the tensor, for one that is missing or has too few axes.
class Widths {
 public:
  Widths(const StateDict& state, KernelLayout layout) : state_(&state), layout_(layout) {}

  const StateDict& state() const { return *state_; }
  bool has(const std::string& tensor) const { return state_->has(tensor); }

  // Of the kernel of a sparse convolution.
  int in(const std::string& kernel) const;
  int out(const std::string& kernel) const;
  int cubic_size(const std::string& kernel) const;  ///< taps along each axis; throws where they differ

  /// Rows of the matrix of a linear layer, or numbers of a vector.
  int rows(const std::string& tensor) const;

 private:
  const Shape& kernel_shape(const std::string& kernel) const;

  const StateDict* state_;
  KernelLayout layout_;
};

}  // namespace voxshift
