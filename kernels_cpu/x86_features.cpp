#include <cpuid.h>
#include <voxshift/kernels_cpu/x86_features.h>

namespace voxshift::cpu {
namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

/// All zero for a leaf that the CPU has not.
Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

bool bit(unsigned value, unsigned index) { return (value >> index & 1) != 0; }

/// Register XCR0: which vector registers the system keeps when it changes between programs.
unsigned kept_registers() {
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

// Intel's Software Developer's Manual, volume 2, CPUID, and volume 1, 13.3, XCR0.
X86Features x86_features() {
  constexpr unsigned kYmm = 0x06, kZmm = 0xE6;
  const Registers basic = cpuid(1, 0), more = cpuid(7, 0), most = cpuid(7, 1);
  const unsigned kept = bit(basic.c, 27) ? kept_registers() : 0;
  X86Features has;
  has.sse4 = bit(basic.c, 19);
  has.avx2 = (kept & kYmm) == kYmm && bit(more.b, 5);
  has.avx512 =
      has.avx2 && (kept & kZmm) == kZmm && bit(more.b, 16) && bit(more.b, 17) && bit(more.b, 30) && bit(more.b, 31);
  has.avx_vnni = has.avx2 && bit(most.a, 4);
  has.avx512_vnni = has.avx512 && bit(more.c, 11);
  has.avx512_bf16 = has.avx512 && bit(most.a, 5);
  return has;
}

}  // namespace voxshift::cpu
