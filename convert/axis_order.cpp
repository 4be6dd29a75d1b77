#include <voxshift/convert/axis_order.h>
#include <voxshift/tensor/error.h>

namespace voxshift {

Array permuted(const Array& array, const std::vector<std::size_t>& order) {
  const Shape& shape = array.shape();
  check(order.size() == shape.size(), "[convert] an array of ", shape.size(), " axes expects an order of as many");
  const std::size_t rank = order.size();
  Shape strides(rank), result_shape(rank), steps(rank);
  std::int64_t stride = 1;
  for (std::size_t axis = rank; axis-- > 0; stride *= shape[axis]) strides[axis] = stride;
  for (std::size_t i = 0; i < rank; ++i) {
    result_shape[i] = shape[order[i]];
    steps[i] = strides[order[i]];
  }
  Array result(result_shape, DType::kF32);
  const float* from = array.data<float>();
  float* to = result.data<float>();
  Shape index(rank, 0);
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < result.count(); ++i) {
    to[i] = from[at];
    for (std::size_t axis = rank; axis-- > 0;) {
      at += steps[axis];
      if (++index[axis] < result_shape[axis]) break;
      at -= steps[axis] * result_shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}

}  // namespace voxshift
