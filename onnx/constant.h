// Numbers that a file holds, and those that follow from them before any frame is seen: shapes, sizes, indices.
#pragma once

#include <voxshift/tensor/array.h>

#include <optional>
#include <string>
#include <vector>

namespace voxshift::onnx_file {
class Tensor;
}

namespace voxshift::onnx {

/// The most numbers that a constant may have which does not stand in the file itself.
constexpr std::int64_t kMostFolded = std::int64_t{1} << 20;

/// f32 (of any floating-point type) or i64 (of any whole one, and of truth values). Copies share the numbers.
struct Constant {
  Array array;

  const Shape& shape() const { return array.shape(); }
  std::int64_t count() const { return array.count(); }
  bool is_whole() const { return array.dtype() == DType::kI64; }
  double number(std::int64_t i) const;       ///< element i, of either kind
  std::int64_t whole(std::int64_t i) const;  ///< likewise; throws InvalidArgument for one that is no whole number

  std::vector<std::int64_t> wholes() const;  ///< all of them

  static Constant of(const std::vector<std::int64_t>& values);  ///< [values]
  static Constant of(const std::vector<std::int64_t>& values, Shape shape);
};

/// A tensor of a file. Throws InvalidArgument naming it for a type that holds no numbers, for data in another file, and
/// for data that is not what its shape says: memory stays within a few times that of the file.
Constant read_tensor(const onnx_file::Tensor& tensor);

/// The same, without a copy where the bytes are f32; the tensor has no data after it.
Constant take_tensor(onnx_file::Tensor& tensor);

/// Extents whose product fits; else, and for negative ones, none.
std::optional<std::int64_t> product_of(const Shape& shape);

/// The shape of two operands together, numpy's rules. None where they do not fit.
std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b);

/// Row-major walk over a shape that knows where an operand of broadcast shape stands.
class BroadcastWalk {
 public:
  BroadcastWalk(Shape shape, const Shape& operand);
  std::int64_t offset() const { return offset_; }
  void next();

 private:
  Shape shape_, at_, step_;
  std::int64_t offset_ = 0;
};

}  // namespace voxshift::onnx
