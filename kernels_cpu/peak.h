// The machine's limit of multiply-adds.
#pragma once

namespace voxshift::cpu {

/// Float multiply-adds per second on `threads` threads; best of a few short runs.
double fma_peak(int threads);

}  // namespace voxshift::cpu
