#include <voxshift/checkpoints/content.h>

#include <algorithm>

namespace voxshift {

StoredTensor whole_storage(ScalarType type, std::size_t storage, std::uint64_t bytes) {
  return {type, {static_cast<std::int64_t>(bytes / size_of(type))}, {1}, storage, 0};
}

StoredTensor view_of(const CheckpointContent& content, StoredTensor tensor) {
  check<IoError>(tensor.shape.size() == tensor.stride.size() && tensor.offset >= 0, "is damaged: a tensor of shape ",
                 tensor.shape, " with strides ", tensor.stride, " from element ", tensor.offset);
  const auto held = static_cast<std::int64_t>(content.storages[tensor.storage].bytes / size_of(tensor.type));
  std::int64_t count = 1, last = tensor.offset;
  bool overflows = false, is_empty = false;
  for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
    const std::int64_t extent = tensor.shape[axis];
    check<IoError>(extent >= 0 && tensor.stride[axis] >= 0, "is damaged: a tensor of shape ", tensor.shape,
                   " with strides ", tensor.stride);
    is_empty = is_empty || extent == 0;
    std::int64_t step = 0;
    overflows = __builtin_mul_overflow(count, std::max<std::int64_t>(extent, 1), &count) || overflows;
    overflows = __builtin_mul_overflow(std::max<std::int64_t>(extent - 1, 0), tensor.stride[axis], &step) || overflows;
    overflows = __builtin_add_overflow(last, step, &last) || overflows;
  }
  check<IoError>(!overflows && (is_empty ? tensor.offset <= held : last < held), "is damaged: a tensor of shape ",
                 tensor.shape, " with strides ", tensor.stride, " from element ", tensor.offset, " of a storage of ",
                 held);
  return tensor;
}

StoredTensor dense_view(const CheckpointContent& content, ScalarType type, Shape shape, std::size_t storage,
                        bool columns_first) {
  StoredTensor tensor{type, std::move(shape), {}, storage, 0};
  const std::size_t axes = tensor.shape.size();
  tensor.stride.resize(axes);
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < axes; ++i) {
    const std::size_t axis = columns_first ? i : axes - 1 - i;
    tensor.stride[axis] = stride;
    check<IoError>(!__builtin_mul_overflow(stride, std::max<std::int64_t>(tensor.shape[axis], 1), &stride),
                   "is damaged: a tensor of shape ", tensor.shape);
  }
  return view_of(content, std::move(tensor));
}

}  // namespace voxshift
