// The rate of multiply-adds that the chosen instruction set reaches from registers: the limit that kernels are measured
// against.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/peak.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>
#include <chrono>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Independent chains: at least latency (4) x units (2), and no more than the smallest register file holds with two
// operands.
constexpr int kChains = 12;

// Multiply-adds done; `sink` keeps the result alive.
double multiply_adds(std::int64_t steps, float* sink) {
  const hn::ScalableTag<float> d;
  hn::Vec<decltype(d)> acc[kChains];
  for (auto& a : acc) a = hn::Set(d, 1.0f);
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 1e-6f);
  for (std::int64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) acc[c] = hn::MulAdd(acc[c], x, y);
  }
  auto sum = acc[0];
  for (int c = 1; c < kChains; ++c) sum = hn::Add(sum, acc[c]);
  *sink = hn::GetLane(sum);
  return static_cast<double>(steps) * kChains * static_cast<double>(hn::Lanes(d));
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(multiply_adds);

double fma_peak(int threads) {
  choose_target();
  constexpr std::int64_t kSteps = 4'000'000;
  const auto multiply_adds = HWY_DYNAMIC_DISPATCH(multiply_adds);
  const Context context{Device::cpu(), nullptr, threads};
  double best = 0;
  for (int repeat = 0; repeat < 4; ++repeat) {
    double done = 0;
    const auto start = std::chrono::steady_clock::now();
    parallel_for(context, threads, [&](std::int64_t task, int) {
      float sink = 0;
      const double n = multiply_adds(kSteps, &sink);
      if (task == 0) done = n;
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, done * threads / seconds.count());
  }
  return best;
}

}  // namespace voxshift::cpu
#endif
