#include <voxshift/tensor/coordinate_map.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace voxshift {

CoordinateMap::CoordinateMap(std::unique_ptr<Arena> arena, Level level)
    : arena_(std::move(arena)),
      level_(level),
      coords_({level.count, level.layout.axes()}, DType::kI32, arena_->device()) {
  const Context context{device(), nullptr, num_threads(), arena_.get()};
  coordinate_kernels(device()).unpack(context, level_.keys, level_.count, level_.layout, coords_.data<std::int32_t>());
}

CoordinateMap::~CoordinateMap() = default;

Device CoordinateMap::device() const { return arena_->device(); }

bool CoordinateMap::same_as(const CoordinateMap& other) const {
  if (this == &other) return true;
  if (device() != other.device() || coords_.shape() != other.coords_.shape()) return false;
  const Array mine = coords_.to(Device::cpu()), theirs = other.coords_.to(Device::cpu());
  return std::ranges::equal(mine.values<std::int32_t>(), theirs.values<std::int32_t>());
}

Array CoordinateMap::find(const Array& queries) const {
  check(queries.dtype() == DType::kI32 && queries.rank() == 2 && queries.dim(1) == dims() + 1,
        "[find] expected coordinates i32 [M, ", dims() + 1, "], found ", name(queries.dtype()), " ", queries.shape());
  check(queries.device() == device(), "[find] coordinates are on ", name(queries.device()), ", the tensor is on ",
        name(device()));
  Arena scratch(device());
  const Context context{device(), nullptr, num_threads(), &scratch};
  const auto [slots, capacity] = table();
  Array rows({queries.dim(0)}, DType::kI32, device());
  coordinate_kernels(device()).look_up(context, slots, capacity, level_.layout, queries.data<std::int32_t>(),
                                       queries.dim(0), rows.data<std::int32_t>());
  return rows;
}

CoordinateMap::Table CoordinateMap::table() const {
  const auto capacity = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(2 * size() + 2)));
  std::call_once(table_built_, [&] {
    Arena scratch(device());
    const Context context{device(), nullptr, num_threads(), &scratch};
    Array table({capacity * static_cast<std::int64_t>(sizeof(HashSlot))}, DType::kU8, device());
    coordinate_kernels(device()).build_table(context, level_, static_cast<HashSlot*>(table.memory()), capacity);
    table_ = table;
  });
  return {static_cast<const HashSlot*>(std::as_const(table_).memory()), capacity};
}

}  // namespace voxshift
