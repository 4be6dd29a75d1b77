// The register-tiled product under every CPU kernel: acc[out row] += in[in row] * W for rows picked by index. Compiled
// once per instruction set (include it inside HWY_NAMESPACE code, after hwy/highway.h).
//
// A tile keeps R x P panels of accumulators in registers while it walks the input channels: per channel it loads P * 16
// weights and broadcasts R inputs. R and P are chosen so that the R * P * 16 / lanes accumulators hide the latency of
// the multiply-add and loads stay below the load ports' rate. Lists end in tiles of exactly the rows that are left.
#if defined(VOXSHIFT_KERNELS_CPU_MATMUL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_MATMUL_H
#undef VOXSHIFT_KERNELS_CPU_MATMUL_H
#else
#define VOXSHIFT_KERNELS_CPU_MATMUL_H
#endif

#include <hwy/highway.h>
#include <voxshift/kernels_cpu/packed_panels.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kPanel>;
using FloatVector = hn::Vec<Floats>;
constexpr int kLanes = static_cast<int>(HWY_MIN(HWY_LANES(float), kPanel));
constexpr int kPanelVectors = static_cast<int>(kPanel) / kLanes;

/// Operands of one offset: rows in[in_rows[p]] times W go to acc[out_rows[p] - first_out].
struct Product {
  const float* in;
  std::int64_t in_stride;
  std::int64_t in_channels;
  const float* weight;  ///< panels of this offset
  float* acc;           ///< 64-byte aligned rows of acc_stride floats
  std::int64_t acc_stride;
  std::int64_t panels;
  std::int64_t first_out;
  bool cached = false;  ///< input rows are in the cache: they need not be asked for
};

/// Widest tile in panels, and rows of a tile of P panels.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kMostPanels = 4;
constexpr int tile_rows(int panels) { return panels == 4 ? 6 : panels == 3 ? 8 : panels == 2 ? 12 : 16; }
#elif HWY_TARGET == HWY_AVX2
constexpr int kMostPanels = 2;
constexpr int tile_rows(int panels) { return panels == 2 ? 3 : 6; }
#elif HWY_ARCH_ARM
// 20 accumulators and 9 operands in 32 registers; GCC 12 spills with 6 rows (scripts/arm_throughput.sh).
constexpr int kMostPanels = 1;
constexpr int tile_rows(int) { return 5; }
#else
constexpr int kMostPanels = 1;
constexpr int tile_rows(int) { return kLanes == 1 ? 1 : 3; }
#endif

/// Calls body.template operator()<P>(panel) for tiles of P panels that cover [0, panels), the widest first.
template <class Body>
HWY_INLINE void for_panels(std::int64_t panels, const Body& body) {
  for (std::int64_t panel = 0; panel < panels;) {
    const std::int64_t left = panels - panel;
    if constexpr (kMostPanels == 4) {
      if (left >= 4 && left != 5) {
        body.template operator()<4>(panel);
        panel += 4;
        continue;
      }
      if (left == 3 || left == 5) {
        body.template operator()<3>(panel);
        panel += 3;
        continue;
      }
    }
    if constexpr (kMostPanels >= 2) {
      if (left >= 2) {
        body.template operator()<2>(panel);
        panel += 2;
        continue;
      }
    }
    body.template operator()<1>(panel);
    ++panel;
  }
}

/// acc[out_rows[p] - first_out] += in[in_rows[p]] * W for all p of [0, count). Every out row occurs once.
void multiply(const Product& product, const std::int32_t* in_rows, const std::int32_t* out_rows, std::int64_t count);

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
