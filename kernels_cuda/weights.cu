#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/weights.h>

namespace voxshift::cuda {
namespace {

// Of the products: their stages have 32 input channels, of i8 64; their copies take 16 bytes.
constexpr std::int64_t kInChunk = 32, kInBytes = 64;
constexpr std::int64_t out_chunk(DType dtype) { return dtype == DType::kI8 ? 16 : 8; }

std::int64_t padded(std::int64_t channels, std::int64_t chunk) { return ceil_div(channels, chunk) * chunk; }

std::int64_t padded_inputs(std::int64_t offsets, std::int64_t inputs, DType dtype, WeightOrder order) {
  if (order == WeightOrder::kChannelVolume) return 1;
  const bool bytes = dtype == DType::kI8;
  if (order == WeightOrder::kOutInVolume) return bytes ? padded(offsets * inputs, kChunk<std::int8_t>) : inputs;
  return padded(inputs, bytes ? kInBytes : kInChunk);
}

/// Where weight[k, i, o] is among the given ones.
struct GivenWeights {
  std::int64_t volume, in, out;
  WeightOrder order;

  __device__ std::int64_t place(std::int64_t k, std::int64_t i, std::int64_t o) const {
    if (order == WeightOrder::kInOut) return (k * in + i) * out + o;
    if (order == WeightOrder::kOutIn) return (k * out + o) * in + i;
    return (o * in + i) * volume + k;
  }
};

template <class T>
__device__ T packed_number(float weight) {
  return from_float<T>(weight);
}
template <class T>
__device__ T packed_number(std::int8_t weight) {
  return weight;
}

template <class T, class From>
void pack_outputs_last(const Queue& queue, const From* weight, const GivenWeights& given, const DeviceWeights& packed,
                       T* data) {
  const std::int64_t padded_in = packed.padded_in, padded_out = packed.padded_out;
  for_each(queue, given.volume * padded_in * padded_out, [=] __device__(std::int64_t e) {
    const std::int64_t o = e % padded_out, i = e / padded_out % padded_in, k = e / padded_out / padded_in;
    From value = 0;
    if (o < given.out && i < given.in) value = weight[given.place(k, i, o)];
    data[e] = packed_number<T>(value);
  });
}

// `offsets` of `inputs` each: those of the given weights, or, of images, one of all.
void pack_inputs_last(const Queue& queue, const std::int8_t* weight, const GivenWeights& given,
                      const DeviceWeights& packed, std::int8_t* data) {
  const std::int64_t padded_in = packed.padded_in, padded_out = packed.padded_out;
  const bool image = given.order == WeightOrder::kOutInVolume;
  for_each(queue, packed.data.count(), [=] __device__(std::int64_t e) {
    const std::int64_t o = e / padded_in % padded_out, number = e % padded_in;
    const std::int64_t k = image ? number / given.in : e / padded_in / padded_out;
    const std::int64_t i = image ? number % given.in : number;
    data[e] = o < given.out && i < given.in && k < given.volume ? weight[given.place(k, i, o)] : std::int8_t{0};
  });
}

}  // namespace

DeviceWeights::DeviceWeights(const Context& context, const float* weight, const float* bias_or_null,
                             std::int64_t offsets, std::int64_t inputs, std::int64_t outputs, DType dtype,
                             WeightOrder given_order)
    : PackedWeights(offsets, inputs, outputs),
      order(given_order),
      padded_in(padded_inputs(offsets, inputs, dtype, order)),
      padded_out(padded(outputs, out_chunk(dtype))),
      data({offsets, padded_in, padded_out}, dtype, context.device),
      bias({bias_or_null != nullptr ? outputs : 0}, DType::kF32, context.device),
      multiplier({0}, DType::kF32, context.device) {
  const Queue queue(context, "pack");
  with_real_type("pack", dtype, [&](auto type) {
    using T = decltype(type);
    pack_outputs_last(queue, weight, {volume, in_channels, out_channels, order}, *this, static_cast<T*>(data.memory()));
  });
  queue.copy(bias.memory(), bias_or_null, bias.bytes());
}

DeviceWeights::DeviceWeights(const Context& context, const QuantizedWeights& weights, const float* bias_or_null,
                             std::int64_t offsets, std::int64_t inputs, std::int64_t outputs, WeightOrder given_order)
    : PackedWeights(offsets, inputs, outputs),
      order(given_order),
      padded_in(padded_inputs(offsets, inputs, DType::kI8, order)),
      padded_out(padded(outputs, out_chunk(DType::kI8))),
      data({order == WeightOrder::kOutInVolume ? 1 : offsets, padded_out, padded_in}, DType::kI8, context.device),
      bias({bias_or_null != nullptr ? outputs : 0}, DType::kF32, context.device),
      multiplier({outputs}, DType::kF32, context.device) {
  const Queue queue(context, "pack");
  const GivenWeights given{volume, in_channels, out_channels, order};
  auto* const to = static_cast<std::int8_t*>(data.memory());
  if (order == WeightOrder::kChannelVolume) {
    pack_outputs_last(queue, weights.weight, given, *this, to);
  } else {
    pack_inputs_last(queue, weights.weight, given, *this, to);
  }
  queue.copy(bias.memory(), bias_or_null, bias.bytes());
  queue.copy(multiplier.memory(), weights.multiplier, multiplier.bytes());
}

WeightUse DeviceWeights::use() const {
  if (order == WeightOrder::kChannelVolume) return WeightUse::kChannels;
  return order == WeightOrder::kOutInVolume ? WeightUse::kImages : WeightUse::kRows;
}

const DeviceWeights& device_weights(const char* op, const PackedWeights& weights, std::int64_t volume,
                                    std::int64_t inputs, std::int64_t outputs, DType dtype, Device device,
                                    WeightUse use) {
  const auto& packed = packed_as<DeviceWeights>(op, weights, volume, inputs, outputs);
  check(packed.data.dtype() == dtype && packed.data.device() == device, "[", op, "] expected weights packed for ",
        name(dtype), " on ", name(device), ", found ", name(packed.data.dtype()), " on ", name(packed.data.device()));
  check(packed.use() == use, "[", op, "] the weights were packed for another op");
  return packed;
}

DType dtype_of_weights(const char* op, const PackedWeights& weights) {
  return packed_as<DeviceWeights>(op, weights, weights.volume, weights.in_channels, weights.out_channels).data.dtype();
}

}  // namespace voxshift::cuda
