#include <voxshift/tensor/coordinate_cache.h>
#include <voxshift/tensor/kernels.h>

namespace voxshift {
namespace {

template <class Make>
CoordinateCache::MapPtr make_map(Device device, Make&& make) {
  auto arena = std::make_unique<Arena>(device);
  const Level level = make(Context{device, nullptr, num_threads(), arena.get()});
  return std::make_shared<const CoordinateMap>(std::move(arena), level);
}

}  // namespace

CoordinateCache::MapPtr CoordinateCache::coarser(const MapPtr& from, const Window& window, const Shape& shape) {
  if (window.semantics == Semantics::kFloor && window.unit_stride()) return from;
  const std::lock_guard lock(mutex_);
  for (const Derivation& d : derivations_)
    if (!d.generated && d.fine == from && d.window.same_outputs(window)) return d.coarse;
  auto coarse = make_map(from->device(),
                         [&](const Context& context) { return coarser_level(context, from->level(), window, shape); });
  derivations_.push_back({from, coarse, window, shape, false});
  return coarse;
}

CoordinateCache::Origin CoordinateCache::origin(const MapPtr& coarse, const Window& window, const Shape& shape) const {
  if (window.semantics == Semantics::kFloor && window.unit_stride()) return {coarse, shape};
  const std::lock_guard lock(mutex_);
  for (const Derivation& d : derivations_)
    if (!d.generated && d.coarse == coarse && d.window.same_outputs(window)) return {d.fine, d.shape};
  throw InvalidArgument(
      "[conv_transpose] no convolution with this stride made the input's coordinates; use generative_conv_transpose");
}

CoordinateCache::MapPtr CoordinateCache::generated(const MapPtr& from, const Window& window, const Shape& shape) {
  const std::lock_guard lock(mutex_);
  for (const Derivation& d : derivations_)
    if (d.generated && d.coarse == from && d.window == window) return d.fine;
  auto fine = make_map(from->device(),
                       [&](const Context& context) { return finer_level(context, from->level(), window, shape); });
  derivations_.push_back({fine, from, window, std::nullopt, true});
  return fine;
}

std::shared_ptr<const KernelMap> CoordinateCache::kernel_map(const MapPtr& fine, const MapPtr& coarse,
                                                             const Window& window) {
  const std::lock_guard lock(mutex_);
  for (const CachedMap& cached : maps_)
    if (cached.fine == fine && cached.coarse == coarse && cached.window == window) return cached.map;
  auto arena = std::make_unique<Arena>(fine->device());
  Arena scratch(fine->device());
  const Context context{fine->device(), nullptr, num_threads(), &scratch};
  const MapRequest request{fine->level(), coarse->level(), window};
  KernelMapViews views;
  coordinate_kernels(fine->device()).maps(context, {&request, 1}, *arena, {&views, 1});
  auto map = std::make_shared<const KernelMap>(std::move(arena), views);
  maps_.push_back({fine, coarse, window, map});
  return map;
}

}  // namespace voxshift
