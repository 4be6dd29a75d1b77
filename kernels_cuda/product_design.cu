#include <voxshift/kernels_cuda/product_design.h>
#include <voxshift/tensor/error.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace voxshift::cuda {
namespace {

ProductDesign named_design() {
  const char* const text = std::getenv("VOXSHIFT_CUDA_PRODUCT");
  const std::string name = text != nullptr ? text : "";
  if (name == "tall") return ProductDesign::kTall;
  if (name == "wgmma") return ProductDesign::kWarpgroup;
  check(name.empty() || name == "portable", "[cuda] VOXSHIFT_CUDA_PRODUCT expects portable, tall or wgmma, found ",
        name);
  return ProductDesign::kPortable;
}

std::atomic<ProductDesign>& current_design() {
  static std::atomic<ProductDesign> design(named_design());
  return design;
}

}  // namespace

ProductDesign product_design() { return current_design(); }
void set_product_design(ProductDesign design) { current_design() = design; }

}  // namespace voxshift::cuda
