// Which of the kernels of a product is taken.
#pragma once

#include <string>

namespace voxshift::cuda {

/// Of f16 rows. Whole tiles have one order of sums, whichever they are.
enum class ProductTiles {
  kPortable,   ///< 64 rows by mma.sync
  kTall,       ///< from 33 channels 128 rows, which read their weights once for twice the rows
  kWarpgroup,  ///< 128 rows by Hopper's wgmma, on a device that has it
};

struct ProductDesign {
  ProductTiles tiles = ProductTiles::kPortable;
  /// Of f16 and f32 rows: several blocks split the offsets of long tiles (split_tiles.h). How many depends on the map
  /// and on the device's multiprocessors, and with it the order of the sums.
  bool split = false;
};

/// "portable", "tall" or "wgmma", or one of these with "-split" after it. InvalidArgument for another word.
ProductDesign product_design_named(const std::string& name);

/// What VOXSHIFT_CUDA_PRODUCT names at the first call, or what was set since.
ProductDesign product_design();

/// For tests and measurements: of all threads from here on.
void set_product_design(ProductDesign design);

}  // namespace voxshift::cuda
