// Measures the peak rate of float multiply-adds of the CPU.
#pragma once

namespace voxshift::cpu {

/// Float multiply-adds per second on `threads` threads; best of a few short runs.
double fma_peak(int threads);

}  // namespace voxshift::cpu
