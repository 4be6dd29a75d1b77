// Convolves two neighbouring voxels through the installed headers and library: each sums itself and the other.
#include <voxshift/voxshift.h>

#include <algorithm>
#include <cstdint>
#include <vector>

int main() {
  using voxshift::Array;
  const Array coords = Array::from(std::vector<std::int32_t>{0, 1, 1, 1, 0, 1, 1, 2}, {2, 4});
  const Array features = Array::from(std::vector<float>{2.0f, 3.0f}, {2, 1});
  const Array weight = Array::from(std::vector<float>(27, 1.0f), {27, 1, 1});
  const voxshift::SparseTensor y = voxshift::conv(voxshift::SparseTensor(coords, features), weight);
  const std::vector<float> expected{5.0f, 5.0f};
  return std::ranges::equal(y.features().values<float>(), expected) ? 0 : 1;
}
