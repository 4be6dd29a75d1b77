// Searches in ascending keys.
#pragma once

#include <voxshift/kernels_cuda/device.h>

#include <cstdint>
#include <type_traits>

namespace voxshift::cuda {

/// The place of the first of `count` ascending keys that is not below `key`.
template <class Key>
__device__ std::int64_t lower_bound(const Key* keys, std::int64_t count, std::type_identity_t<Key> key) {
  std::int64_t first = 0;
  while (count > 0) {
    const std::int64_t half = count / 2;
    if (keys[first + half] < key) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

}  // namespace voxshift::cuda
