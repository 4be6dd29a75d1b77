#include <voxshift/kernels_cuda/dense_choice.h>
#include <voxshift/tensor/error.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>

namespace voxshift::cuda {
namespace {

constexpr std::array<DenseWin, 0> kDenseWins{};

std::atomic<DenseChoice>& chosen_dense() {
  static std::atomic<DenseChoice> chosen = [] {
    const char* const wanted = std::getenv("VOXSHIFT_DENSE");
    return dense_choice_of(wanted != nullptr ? wanted : "");
  }();
  return chosen;
}

std::span<const DenseWin>& known_wins() {
  static std::span<const DenseWin> wins = kDenseWins;
  return wins;
}

std::atomic<std::int64_t>& counted_dense_calls() {
  static std::atomic<std::int64_t> count{0};
  return count;
}

}  // namespace

DenseChoice dense_choice_of(const std::string& name) {
  if (name.empty() || name == "measured") return DenseChoice::kMeasured;
  if (name == "own") return DenseChoice::kOwn;
  check(name == "cublaslt", "[cuda] VOXSHIFT_DENSE expects measured, own or cublaslt, found ", name);
  return DenseChoice::kCublasLt;
}

DenseChoice dense_choice() { return chosen_dense(); }
void set_dense_choice(DenseChoice choice) { chosen_dense() = choice; }

std::int64_t dense_calls() { return counted_dense_calls(); }
void count_dense_call() { ++counted_dense_calls(); }

std::span<const DenseWin> dense_wins() { return known_wins(); }
void set_dense_wins(std::span<const DenseWin> wins) { known_wins() = wins; }

}  // namespace voxshift::cuda
