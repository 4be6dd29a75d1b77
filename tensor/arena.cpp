#include <voxshift/tensor/arena.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>

namespace voxshift {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSmallestBlock = std::size_t{1} << 20;

}  // namespace

Arena::~Arena() { free_blocks(); }

void Arena::add_block(std::size_t bytes) {
  blocks_.reserve(blocks_.size() + 1);
  blocks_.push_back({static_cast<std::byte*>(runtime(device_).allocate(device_, bytes)), bytes});
}

void Arena::free_blocks() noexcept {
  for (const Block& block : blocks_) runtime(device_).free(device_, block.memory, block.bytes);
  blocks_.clear();
}

void* Arena::allocate_bytes(std::size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (current_ < blocks_.size() && used_ + bytes > blocks_[current_].bytes) {
    ++current_;
    used_ = 0;
  }
  if (current_ == blocks_.size()) {
    add_block(std::max({bytes, kSmallestBlock, this->bytes()}));  // doubles the whole, so that blocks stay few
    used_ = 0;
  }
  void* piece = blocks_[current_].memory + used_;
  used_ += bytes;
  return piece;
}

void Arena::reset() {
  if (blocks_.size() > 1) {
    std::size_t total = 0;
    for (const Block& block : blocks_) total += block.bytes;
    free_blocks();
    current_ = used_ = 0;  // holds, too, where the new block is refused
    add_block(total);
  }
  current_ = used_ = 0;
}

std::size_t Arena::bytes() const {
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.bytes;
  return total;
}

void Arena::rewind(Mark mark) {
  current_ = mark.block;
  used_ = mark.used;
}

}  // namespace voxshift
