// A bounded heap that keeps the least keys of those offered, for nearest-neighbour searches.
#pragma once

#include <voxshift/kernels_cuda/queue.h>

#include <cstdint>

namespace voxshift::cuda {

/// The `capacity` least keys below `limit` of those that are offered: a heap, its greatest first. The keys of one
/// thread lie `stride` apart, those of neighbouring threads side by side.
class KeyHeap {
 public:
  __device__ KeyHeap(std::uint64_t* keys, std::int64_t stride, std::int64_t capacity, std::uint64_t limit)
      : keys_(keys), stride_(stride), capacity_(capacity), limit_(limit) {}

  __device__ std::uint64_t limit() const { return limit_; }
  __device__ std::int64_t count() const { return count_; }
  __device__ std::int64_t capacity() const { return capacity_; }
  __device__ std::uint64_t operator[](std::int64_t i) const { return keys_[i * stride_]; }

  __device__ void offer(std::uint64_t key) {
    if (key >= limit_) return;
    if (count_ < capacity_) {
      std::int64_t i = count_++;
      for (; i > 0 && (*this)[(i - 1) / 2] < key; i = (i - 1) / 2) set(i, (*this)[(i - 1) / 2]);
      set(i, key);
    } else {
      sink(key, count_);
    }
    if (count_ == capacity_) limit_ = (*this)[0];
  }

  /// Ascending. Nothing can be offered any more.
  __device__ void sort() {
    for (std::int64_t last = count_ - 1; last > 0; --last) {
      const std::uint64_t greatest = (*this)[0];
      sink((*this)[last], last);
      set(last, greatest);
    }
  }

 private:
  __device__ void set(std::int64_t i, std::uint64_t key) { keys_[i * stride_] = key; }

  // Puts `key` in place of the greatest of the first n.
  __device__ void sink(std::uint64_t key, std::int64_t n) {
    std::int64_t i = 0;
    for (std::int64_t child = 1; child < n; child = 2 * i + 1) {
      if (child + 1 < n && (*this)[child] < (*this)[child + 1]) ++child;
      if ((*this)[child] <= key) break;
      set(i, (*this)[child]);
      i = child;
    }
    set(i, key);
  }

  std::uint64_t* keys_;
  std::int64_t stride_, capacity_;
  std::uint64_t limit_;
  std::int64_t count_ = 0;
};

}  // namespace voxshift::cuda
