// Sparse tensors joined, selected, and made dense.
#pragma once

#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <vector>

namespace voxshift {

/// Channels side by side, f32 [N, sum C], for tensors on equal coordinates. Throws InvalidArgument otherwise.
SparseTensor cat(const std::vector<SparseTensor>& tensors);

/// act(a + b) for tensors on equal coordinates. Throws InvalidArgument otherwise.
SparseTensor add(const SparseTensor& a, const SparseTensor& b, Activation activation = {});

/// a + b on the union of their coordinates; a missing row counts as 0 (MinkowskiUnion, spconv's sparse_add).
SparseTensor union_add(const SparseTensor& a, const SparseTensor& b);

/// The rows i with mask[i] != 0, in order (MinkowskiPruning). mask u8 [N].
SparseTensor select_rows(const SparseTensor& x, const Array& mask);

/// f32 [B, C, extent...] with zeros where there is no row. Needs x.shape(); B = highest batch + 1, or `batches` where
/// that is larger. Throws InvalidArgument for a coordinate outside the shape.
Array to_dense(const SparseTensor& x, std::int64_t batches = 0);

/// The cells of dense f32 [B, C, extent...] (1 to 4 spatial axes) with a channel that is not 0; its shape is kept.
/// Throws InvalidArgument for more than 2^31 - 1 cells in all batches.
SparseTensor from_dense(const Array& dense);

}  // namespace voxshift
