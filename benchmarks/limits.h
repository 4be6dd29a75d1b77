// What the machine itself can do: the limits that every figure is a fraction of.
#pragma once

namespace voxshift::bench {

/// Float multiply-adds per second from registers, on the instruction set that the kernels were chosen for.
double fma_peak(int threads);

/// Bytes per second, read and written together, of copies between arrays that no cache holds.
double copy_bandwidth(int threads);

}  // namespace voxshift::bench
