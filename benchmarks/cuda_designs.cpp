// The designs of the f16 product side by side: MinkUNet and single layers by each.
#include <voxshift/kernels_cuda/product_design.h>

#include <string>
#include <utility>

#include "cuda_report.h"

namespace voxshift::bench {

void measure_designs(const CudaRun& run) {
  using cuda::ProductDesign;
  const ProductDesign before = cuda::product_design();
  for (const auto& [design, name] : {std::pair{ProductDesign::kPortable, "portable"},
                                     {ProductDesign::kTall, "tall"},
                                     {ProductDesign::kWarpgroup, "wgmma"}}) {
    cuda::set_product_design(design);
    CudaRun by_design = run;
    by_design.of = name + std::string(": ");
    measure_network(by_design, DType::kF16);
    measure_layers(by_design, DType::kF16);
  }
  cuda::set_product_design(before);
}

}  // namespace voxshift::bench
