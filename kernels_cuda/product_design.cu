#include <voxshift/kernels_cuda/product_design.h>
#include <voxshift/tensor/error.h>

#include <atomic>
#include <cstdlib>

namespace voxshift::cuda {
namespace {

ProductDesign wanted_design() {
  const char* const name = std::getenv("VOXSHIFT_CUDA_PRODUCT");
  return name != nullptr && *name != '\0' ? product_design_named(name) : ProductDesign();
}

std::atomic<ProductDesign>& current_design() {
  static std::atomic<ProductDesign> design(wanted_design());
  return design;
}

}  // namespace

ProductDesign product_design_named(const std::string& name) {
  const std::string suffix = "-split";
  ProductDesign design;
  design.split = name.ends_with(suffix);
  const std::string tiles = design.split ? name.substr(0, name.size() - suffix.size()) : name;
  if (tiles == "tall") {
    design.tiles = ProductTiles::kTall;
  } else if (tiles == "wgmma") {
    design.tiles = ProductTiles::kWarpgroup;
  } else {
    check(tiles == "portable",
          "[cuda] VOXSHIFT_CUDA_PRODUCT expects portable, tall or wgmma, or one of them with -split, found ", name);
  }
  return design;
}

ProductDesign product_design() { return current_design(); }
void set_product_design(ProductDesign design) { current_design() = design; }

}  // namespace voxshift::cuda
