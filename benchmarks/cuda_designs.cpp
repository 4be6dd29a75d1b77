// The designs of the product side by side: MinkUNet and single layers in f16 by each, and MinkUNet in
// f32, which has two of them.
#include <voxshift/kernels_cuda/product_design.h>

#include <string>

#include "cuda_report.h"

namespace voxshift::bench {

void measure_designs(const CudaRun& run) {
  const cuda::ProductDesign before = cuda::product_design();
  for (const char* const name : {"portable", "tall", "wgmma", "portable-split", "tall-split", "wgmma-split"}) {
    const cuda::ProductDesign design = cuda::product_design_named(name);
    cuda::set_product_design(design);
    CudaRun by_design = run;
    by_design.of = name + std::string(": ");
    measure_network(by_design, DType::kF16);
    measure_layers(by_design, DType::kF16);
    if (design.tiles == cuda::ProductTiles::kPortable) measure_network(by_design, DType::kF32);
  }
  cuda::set_product_design(before);
}

}  // namespace voxshift::bench
