#include <voxshift/kernels_cuda/product.h>

namespace voxshift::cuda {

void product(const Queue& queue, const ConstRowView& in, const RowTable& table, const DeviceWeights& weights,
             const Epilogue& epilogue, const RowView& out) {
  if (out.count == 0 || out.channels == 0) return;
  if (in.dtype == DType::kF16) {
    product_f16(queue, in, table, weights, epilogue, out);
  } else {
    product_f32(queue, in, table, weights, epilogue, out);
  }
}

}  // namespace voxshift::cuda
