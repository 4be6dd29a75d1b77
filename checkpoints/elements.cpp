#include <voxshift/checkpoints/elements.h>
#include <voxshift/tensor/half.h>

#include <bit>
#include <cstring>

namespace voxshift {
namespace {

template <class T, class Convert>
void convert_each(const std::byte* from, std::size_t count, float* to, Convert convert) {
  for (std::size_t i = 0; i < count; ++i) {
    T element;
    std::memcpy(&element, from + i * sizeof(T), sizeof(T));
    to[i] = convert(element);
  }
}

template <class T>
void round_each(const std::byte* from, std::size_t count, float* to) {
  convert_each<T>(from, count, to, [](T x) { return static_cast<float>(x); });
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

}  // namespace

void to_floats(const std::byte* from, ScalarType type, std::size_t count, float* to) {
  switch (type) {
    case ScalarType::kF64:
      return round_each<double>(from, count, to);
    case ScalarType::kF32:
      return round_each<float>(from, count, to);
    case ScalarType::kF16:
      return convert_each<std::uint16_t>(from, count, to, from_half);
    case ScalarType::kBF16:
      return convert_each<std::uint16_t>(from, count, to, from_bf16);
    case ScalarType::kI64:
      return round_each<std::int64_t>(from, count, to);
    case ScalarType::kI32:
      return round_each<std::int32_t>(from, count, to);
    case ScalarType::kI16:
      return round_each<std::int16_t>(from, count, to);
    case ScalarType::kI8:
      return round_each<std::int8_t>(from, count, to);
    case ScalarType::kU64:
      return round_each<std::uint64_t>(from, count, to);
    case ScalarType::kU32:
      return round_each<std::uint32_t>(from, count, to);
    case ScalarType::kU16:
      return round_each<std::uint16_t>(from, count, to);
    case ScalarType::kU8:
      return round_each<std::uint8_t>(from, count, to);
    case ScalarType::kBool:
      return convert_each<std::uint8_t>(from, count, to, [](std::uint8_t x) { return x != 0 ? 1.0f : 0.0f; });
  }
}

void gather_elements(const StoredTensor& tensor, const std::byte* first, std::byte* to) {
  const std::size_t size = size_of(tensor.type);
  const std::size_t axes = tensor.shape.size();
  std::vector<std::int64_t> index(axes);
  std::int64_t at = 0;
  for (std::int64_t left = tensor.count(); left > 0; --left, to += size) {
    std::memcpy(to, first + static_cast<std::size_t>(at) * size, size);
    for (std::size_t axis = axes; axis-- > 0;) {
      at += tensor.stride[axis];
      if (++index[axis] < tensor.shape[axis]) break;
      at -= tensor.stride[axis] * tensor.shape[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace voxshift
