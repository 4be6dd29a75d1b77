// How libraries store the weights of sparse convolutions.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/tensor/array.h>

#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// Order of channels and of the window's taps. No library flips the window.
enum class KernelLayout {
  kTorchsparse,  ///< [K, Cin, Cout]; of an odd number of taps the first axis varies fastest, of an even one the last
  kMinkowski,    ///< [K, Cin, Cout], the first axis fastest
  kSpconv1,      ///< [k.., Cin, Cout], the last axis fastest: spconv 1.x, mmcv.ops
  kSpconv20,     ///< [k.., Cout, Cin]: spconv 2.0 and 2.1 with the algorithm "native"
  kSpconv22,     ///< [Cout, k.., Cin]: spconv from 2.2 on, and 2.0 and 2.1, which keep "native" for more than 32 taps
};

/// "torchsparse", "minkowski", "spconv1", "spconv2.0", "spconv2.2".
const char* name(KernelLayout layout);

/// Of these; throws InvalidArgument for another name.
KernelLayout kernel_layout(const std::string& name);

/// A kernel of one layer.
struct KernelShape {
  std::vector<std::int64_t> size;  ///< taps of the window along the axes of the graph
  std::int64_t in = 0, out = 0;    ///< channels
  bool reversed_axes = false;      ///< the library's axes are the graph's in reverse, as z y x
  bool strided = false;            ///< a stride of more than 1

  /// Taps that are stored where those are more than the window's: the first ones are used. Of a convolution whose map
  /// was made by another one with fewer taps (spconv 1's indice_key). Empty: as `size`.
  std::vector<std::int64_t> stored = {};

  std::int64_t taps() const;
};

/// Whether a node is a convolution of voxels or of cells of a grid.
bool is_sparse_convolution(const Node& node);

/// The kernel of such a node, whose weight is [K, Cin, Cout] or [Cin, Cout].
KernelShape kernel_shape(const Node& node, const Shape& weight, bool reversed_axes);

/// Whether the taps are one axis, and one tap none.
bool has_flat_taps(KernelLayout layout);

/// kSpconv20 for a shape [k.., Cout, Cin] of a cube of more than 32 taps in kSpconv22; else the layout itself.
KernelLayout layout_of(const Shape& stored, KernelLayout layout);

/// The shapes that the stored tensor may have, the usual one first.
std::vector<Shape> stored_shapes(const KernelShape& kernel, KernelLayout layout);

/// The stored f32 tensor as ours: [K, Cin, Cout], row-major over the graph's axes. Shares memory where nothing moves.
/// spconv 2 uses a kernel of one tap without a stride as view(Cin, Cout), whatever its shape says
/// (spconv/pytorch/conv.py); so does this.
Array from_layout(const Array& stored, const KernelShape& kernel, KernelLayout layout);

/// The inverse: [K, Cin, Cout] or [Cin, Cout] as the library stores it, with the usual one of its shapes.
Array to_layout(const Array& kernel_of_ours, const KernelShape& kernel, KernelLayout layout);

}  // namespace voxshift
