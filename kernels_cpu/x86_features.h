// What an x86 CPU has, and the system keeps for programs.
#pragma once

namespace voxshift::cpu {

struct X86Features {
  bool sse4 = false;  ///< SSE4.1
  bool avx2 = false;
  bool avx512 = false;  ///< F, BW, DQ and VL
  bool avx_vnni = false, avx512_vnni = false, avx512_bf16 = false;
};

/// Asked of the CPU itself: not every compiler that knows the instructions knows their names in
/// __builtin_cpu_supports(), and not every run-time library fills in what that reads.
X86Features x86_features();

}  // namespace voxshift::cpu
