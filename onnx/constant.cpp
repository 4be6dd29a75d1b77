#include <onnx/onnx_file.pb.h>
#include <voxshift/onnx/constant.h>
#include <voxshift/tensor/half.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace voxshift::onnx {
namespace {

// Numbers of the format's data types.
enum Type {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kBool = 9,
  kHalf = 10,
  kDouble = 11,
  kBfloat16 = 16
};

bool is_read(int type) {
  return (type >= kFloat && type <= kInt64) || (type >= kBool && type <= kDouble) || type == kBfloat16;
}

constexpr double kMostWhole = 9007199254740992;  // 2^53: doubles hold all whole numbers below

/// A number as the wider type; of bytes with a sign, too, which are no characters here.
template <class To, class From>
To widened(From value) {
  return static_cast<To>(static_cast<std::conditional_t<sizeof(From) == 1, std::int32_t, From>>(value));
}

/// The stored numbers as `To`: `From` each in the bytes, else one per entry of the field.
template <class From, class To, class Field>
void copy_numbers(const onnx_file::Tensor& tensor, const Field& field, const char* name, Array& array) {
  const auto count = static_cast<std::size_t>(array.count());
  To* to = array.data<To>();
  const std::string& bytes = tensor.raw_data();
  const bool raw = !bytes.empty();
  check(raw ? bytes.size() / sizeof(From) == count && bytes.size() % sizeof(From) == 0
            : static_cast<std::size_t>(field.size()) == count,
        "tensor \"", name, "\" of shape ", array.shape(), " expects ", count, " numbers, found ",
        raw ? bytes.size() : static_cast<std::size_t>(field.size()), raw ? " bytes" : "");
  if (raw) {
    for (std::size_t i = 0; i < count; ++i) {
      From value;
      std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
      to[i] = widened<To>(value);
    }
  } else {
    for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<To>(field.Get(static_cast<int>(i)));
  }
}

/// The stored 16 bits of each number.
Array sixteen_bits(const onnx_file::Tensor& tensor, const char* name, const Shape& shape) {
  Array wide(shape, DType::kI64), bits(shape, DType::kF16);
  copy_numbers<std::uint16_t, std::int64_t>(tensor, tensor.int32_data(), name, wide);
  auto* to = static_cast<std::uint16_t*>(bits.memory());
  for (const std::int64_t value : wide.values<std::int64_t>()) *to++ = static_cast<std::uint16_t>(value);
  return bits;
}

Array read_half(const onnx_file::Tensor& tensor, const char* name, const Shape& shape, bool brain) {
  const Array bits = sixteen_bits(tensor, name, shape);
  Array array(shape, DType::kF32);
  if (!brain) {
    copy_floats_to_host(Device::cpu(), array.data<float>(), bits.memory(), DType::kF16, bits.count());
    return array;
  }
  const auto* from = static_cast<const std::uint16_t*>(bits.memory());
  for (std::int64_t i = 0; i < array.count(); ++i)
    array.data<float>()[i] = std::bit_cast<float>(std::uint32_t{from[i]} << 16);
  return array;
}

}  // namespace

double Constant::number(std::int64_t i) const {
  return is_whole() ? static_cast<double>(array.data<std::int64_t>()[i]) : array.data<float>()[i];
}

std::int64_t Constant::whole(std::int64_t i) const {
  if (is_whole()) return array.data<std::int64_t>()[i];
  const double value = array.data<float>()[i];
  check(std::floor(value) == value && std::abs(value) < kMostWhole, "expects whole numbers, found ", value);
  return static_cast<std::int64_t>(value);
}

std::vector<std::int64_t> Constant::wholes() const {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < count(); ++i) all.push_back(whole(i));
  return all;
}

Constant Constant::of(const std::vector<std::int64_t>& values) {
  return of(values, {static_cast<std::int64_t>(values.size())});
}

Constant Constant::of(const std::vector<std::int64_t>& values, Shape shape) {
  return {Array::from(values, std::move(shape))};
}

Constant read_tensor(const onnx_file::Tensor& tensor) {
  const std::string quoted = one_line(tensor.name());
  const char* name = quoted.c_str();
  check(tensor.data_location() == 0, "tensor \"", name,
        "\" lies in another file: have the network saved as one file, without external data");
  check(is_read(tensor.data_type()), "tensor \"", name, "\" is of data type ", tensor.data_type(),
        ", which is not read: float, double, float16, bfloat16, int8 to int64, uint8, uint16 and bool are");
  const Shape shape(tensor.dims().begin(), tensor.dims().end());
  const std::optional<std::int64_t> count = product_of(shape);
  check(count.has_value(), "tensor \"", name, "\" has the impossible shape ", shape);
  // Before memory is taken: one number needs a bit at least.
  const std::size_t stored =
      tensor.raw_data().size() + 8 * static_cast<std::size_t>(tensor.float_data_size() + tensor.int32_data_size() +
                                                              tensor.int64_data_size() + tensor.double_data_size());
  check(static_cast<std::size_t>(*count) <= stored, "tensor \"", name, "\" of shape ", shape, " expects ", *count,
        " numbers, found ", stored, " bytes at most");
  const auto read = [&]<class From, class To>(const auto& field, DType dtype) {
    Array array(shape, dtype);
    copy_numbers<From, To>(tensor, field, name, array);
    return Constant{array};
  };
  switch (tensor.data_type()) {
    case kFloat:
      return read.operator()<float, float>(tensor.float_data(), DType::kF32);
    case kDouble:
      return read.operator()<double, float>(tensor.double_data(), DType::kF32);
    case kHalf:
      return {read_half(tensor, name, shape, false)};
    case kBfloat16:
      return {read_half(tensor, name, shape, true)};
    case kInt64:
      return read.operator()<std::int64_t, std::int64_t>(tensor.int64_data(), DType::kI64);
    case kInt32:
      return read.operator()<std::int32_t, std::int64_t>(tensor.int32_data(), DType::kI64);
    case kInt16:
      return read.operator()<std::int16_t, std::int64_t>(tensor.int32_data(), DType::kI64);
    case kUint16:
      return read.operator()<std::uint16_t, std::int64_t>(tensor.int32_data(), DType::kI64);
    case kInt8:
      return read.operator()<std::int8_t, std::int64_t>(tensor.int32_data(), DType::kI64);
    default:
      return read.operator()<std::uint8_t, std::int64_t>(tensor.int32_data(), DType::kI64);  // kUint8, kBool
  }
}

Constant take_tensor(onnx_file::Tensor& tensor) {
  const Shape shape(tensor.dims().begin(), tensor.dims().end());
  const std::optional<std::int64_t> count = product_of(shape);
  if (tensor.data_type() == kFloat && tensor.data_location() == 0 && count && *count > 0 &&
      tensor.raw_data().size() == static_cast<std::size_t>(*count) * sizeof(float)) {
    const std::shared_ptr<std::string> bytes(tensor.release_raw_data());
    return {Array(bytes->data(), shape, DType::kF32, Device::cpu(), bytes)};
  }
  Constant constant = read_tensor(tensor);
  tensor.clear_raw_data();
  tensor.clear_float_data();
  tensor.clear_double_data();
  tensor.clear_int32_data();
  tensor.clear_int64_data();
  return constant;
}

std::optional<std::int64_t> product_of(const Shape& shape) {
  constexpr std::int64_t kMost = std::int64_t{1} << 48;
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    empty |= extent == 0;
    if (extent > 0 && count > kMost / extent) return std::nullopt;
    count *= std::max<std::int64_t>(extent, 1);
  }
  return empty ? 0 : count;
}

std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b) {
  Shape shape(std::max(a.size(), b.size()), 1);
  for (std::size_t i = 1; i <= shape.size(); ++i) {
    const std::int64_t x = i <= a.size() ? a[a.size() - i] : 1, y = i <= b.size() ? b[b.size() - i] : 1;
    if (x != y && x != 1 && y != 1) return std::nullopt;
    shape[shape.size() - i] = x == 1 ? y : x;
  }
  return shape;
}

BroadcastWalk::BroadcastWalk(Shape shape, const Shape& operand)
    : shape_(std::move(shape)), at_(shape_.size(), 0), step_(shape_.size(), 0) {
  std::int64_t step = 1;
  for (std::size_t i = 1; i <= operand.size(); ++i) {
    const std::int64_t extent = operand[operand.size() - i];
    step_[shape_.size() - i] = extent == 1 ? 0 : step;
    step *= extent;
  }
}

void BroadcastWalk::next() {
  for (std::size_t axis = shape_.size(); axis-- > 0;) {
    offset_ += step_[axis];
    if (++at_[axis] < shape_[axis]) return;
    offset_ -= step_[axis] * shape_[axis];
    at_[axis] = 0;
  }
}

}  // namespace voxshift::onnx
