#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/weights.h>

namespace voxshift::cuda {
namespace {

// Of the product: its stages have 32 input channels, its copies 16 bytes.
constexpr std::int64_t kInChunk = 32, kOutChunk = 8;

std::int64_t padded(std::int64_t channels, std::int64_t chunk) { return ceil_div(channels, chunk) * chunk; }

template <class T>
void pack_weights(const Queue& queue, const float* weight, const DeviceWeights& packed, WeightOrder order, T* data) {
  const std::int64_t volume = packed.volume, in = packed.in_channels, out = packed.out_channels;
  const std::int64_t padded_in = packed.padded_in, padded_out = packed.padded_out;
  for_each(queue, volume * padded_in * padded_out, [=] __device__(std::int64_t e) {
    const std::int64_t o = e % padded_out, i = e / padded_out % padded_in, k = e / padded_out / padded_in;
    float value = 0;
    if (o < out && i < in) {
      if (order == WeightOrder::kInOut) {
        value = weight[(k * in + i) * out + o];
      } else if (order == WeightOrder::kOutIn) {
        value = weight[(k * out + o) * in + i];
      } else {
        value = weight[(o * in + i) * volume + k];
      }
    }
    data[e] = from_float<T>(value);
  });
}

}  // namespace

DeviceWeights::DeviceWeights(const Context& context, const float* weight, const float* bias_or_null,
                             std::int64_t offsets, std::int64_t inputs, std::int64_t outputs, DType dtype,
                             WeightOrder given_order)
    : PackedWeights(offsets, inputs, outputs),
      order(given_order),
      padded_in(order == WeightOrder::kOutInVolume ? inputs : padded(inputs, kInChunk)),
      padded_out(padded(outputs, kOutChunk)),
      data({offsets, padded_in, padded_out}, dtype, context.device),
      bias({bias_or_null != nullptr ? outputs : 0}, DType::kF32, context.device) {
  const Queue queue(context, "pack");
  with_type("pack", dtype, [&](auto type) {
    using T = decltype(type);
    pack_weights(queue, weight, *this, order, static_cast<T*>(data.memory()));
  });
  queue.copy(bias.memory(), bias_or_null, bias.bytes());
}

const DeviceWeights& device_weights(const char* op, const PackedWeights& weights, std::int64_t volume,
                                    std::int64_t inputs, std::int64_t outputs, DType dtype, Device device, bool image) {
  const auto& packed = packed_as<DeviceWeights>(op, weights, volume, inputs, outputs);
  check(packed.data.dtype() == dtype && packed.data.device() == device, "[", op, "] expected weights packed for ",
        name(dtype), " on ", name(device), ", found ", name(packed.data.dtype()), " on ", name(packed.data.device()));
  check((packed.order == WeightOrder::kOutInVolume) == image, "[", op, "] the weights were packed for another op");
  return packed;
}

}  // namespace voxshift::cuda
