// Which of the kernels of a product of f16 rows is taken. All have the same order of sums.
#pragma once

namespace voxshift::cuda {

enum class ProductDesign {
  kPortable,   ///< tiles of 64 rows by mma.sync
  kTall,       ///< from 33 channels tiles of 128 rows, which read their weights once for twice the rows
  kWarpgroup,  ///< tiles of 128 rows by Hopper's wgmma, on a device that has it
};

/// What VOXSHIFT_CUDA_PRODUCT says at the first call, "portable", "tall" or "wgmma", else kPortable; or what was set
/// since. InvalidArgument for another word.
ProductDesign product_design();

/// For tests and measurements: of all threads from here on.
void set_product_design(ProductDesign design);

}  // namespace voxshift::cuda
