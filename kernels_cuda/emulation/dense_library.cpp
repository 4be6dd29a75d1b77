// The library of dense products, emulated: one accumulator per output, input channels (of a gradient: rows) in order,
// every product fused with the sum.
#include <voxshift/kernels_cuda/dense_library.h>
#include <voxshift/tensor/error.h>

#include <cmath>

namespace voxshift::cuda {
namespace {

float dense_number(const DenseRows<const void>& rows, std::int64_t i, std::int64_t c) {
  const std::int64_t at = i * rows.stride + c;
  return rows.dtype == DType::kF16 ? to_float(static_cast<const half_t*>(rows.base)[at])
                                   : static_cast<const float*>(rows.base)[at];
}

void set_dense_number(const DenseRows<void>& rows, std::int64_t i, std::int64_t c, float value) {
  const std::int64_t at = i * rows.stride + c;
  if (rows.dtype == DType::kF16) {
    static_cast<half_t*>(rows.base)[at] = from_float<half_t>(value);
  } else {
    static_cast<float*>(rows.base)[at] = value;
  }
}

void multiply_dense(const DenseProduct& x) {
  const DenseRows<const void> bias{x.bias, 0, x.out.dtype};
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t o = 0; o < x.columns; ++o) {
      float sum = 0;
      for (std::int64_t c = 0; c < x.depth; ++c)
        sum = std::fma(dense_number(x.in, i, c), dense_number(x.weight, c, o), sum);
      if (x.bias != nullptr) sum += dense_number(bias, 0, o);
      set_dense_number(x.out, i, o, x.relu && sum < 0 ? 0.0f : sum);
    }
}

void sum_outer_products(const DenseGradient& x) {
  for (std::int64_t c = 0; c < x.in_channels; ++c)
    for (std::int64_t o = 0; o < x.grad_channels; ++o) {
      float sum = 0;
      for (std::int64_t i = 0; i < x.rows; ++i)
        sum = std::fma(dense_number(x.in, i, c), dense_number(x.grad, i, o), sum);
      x.out[c * x.grad_channels + o] = sum;
    }
}

}  // namespace

bool library_multiplies(const Queue& queue, const DenseProduct& call) {
  check<DeviceError>(call.rows > 0 && call.depth > 0 && call.columns > 0, "[dense_product] an empty product");
  emulated::enqueue(queue.stream(), [call] { multiply_dense(call); });
  return true;
}

bool library_multiplies(const Queue& queue, const DenseGradient& call) {
  check<DeviceError>(call.rows > 0 && call.in_channels > 0 && call.grad_channels > 0, "[dense_product] an empty sum");
  emulated::enqueue(queue.stream(), [call] { sum_outer_products(call); });
  return true;
}

int architecture(const Queue&) { return 0; }

}  // namespace voxshift::cuda
