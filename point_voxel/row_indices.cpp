#include <voxshift/point_voxel/row_indices.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>

namespace voxshift {

void check_row_indices(const Array& indices, std::int64_t rows, const char* op, const char* what) {
  const Device device = indices.device();
  std::int32_t lowest = 0, highest = -1;
  if (device == Device::cpu()) {
    for (const std::int32_t row : indices.values<std::int32_t>()) {  // all: a loop without an exit becomes vector code
      lowest = std::min(lowest, row);
      highest = std::max(highest, row);
    }
  } else if (indices.count() > 0) {
    Arena scratch(device);
    coordinate_kernels(device).bounds({device, nullptr, num_threads(), &scratch}, indices.data<std::int32_t>(),
                                      indices.count(), 1, &lowest, &highest);
  }
  if (lowest >= -1 && highest < rows) return;
  const Array host = indices.to(Device::cpu());
  const auto values = host.values<std::int32_t>();
  const auto wrong = std::find_if(values.begin(), values.end(), [rows](std::int32_t i) { return i < -1 || i >= rows; });
  const std::int64_t at = wrong - values.begin(), width = indices.dim(1);
  check(false, "[", op, "] ", what, indices.rank() == 2 ? Shape{at / width, at % width} : Shape{at},
        " must lie in [-1, ", rows, "), found ", *wrong);
}

}  // namespace voxshift
