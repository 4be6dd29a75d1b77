// Pooling of sparse tensors, and their view as an image.
#pragma once

#include <voxshift/sparse_conv/kernels.h>

namespace voxshift::cpu {

/// SparseConvKernels::pool and bird_eye_view.
void pool(const Context&, const ConstRowView& in, const KernelMapView&, Pooling, const RowView& out);
void bird_eye_view(const Context&, const ConstRowView& in, const Level&, const BirdEyeView&, const RowView& out);

}  // namespace voxshift::cpu
