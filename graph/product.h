// Ops that multiply rows by a matrix: conv, conv_transpose, linear.
#pragma once

#include <voxshift/graph/lowering.h>

namespace voxshift {

/// The window that the attributes of conv and conv_transpose say, on as many axes as they have, and back.
Window window_of(const Node& node);
Attributes attributes_of(const Window& window);

/// Those attributes, and those of convolutions, which have groups, too.
std::vector<AttributeSpec> window_attributes();
std::vector<AttributeSpec> convolution_attributes();

/// A convolution's tensors.
std::vector<ParameterSpec> convolution_parameters();

/// The specs, and one more.
std::vector<AttributeSpec> with(std::vector<AttributeSpec> specs, AttributeSpec more);

/// The node's window, checked.
Window inferred_window(const Inference& node);

/// Whether outputs have the rows of the input.
bool keeps_rows(const Window& window);

/// The rows that the window makes of the node's input.
int inferred_coarser(Inference& node, const Window& window);

/// Output channels of a convolution whose weight is [K, Cin / groups, Cout], without K where K = 1; checks its tensors.
std::int64_t inferred_channels(const Inference& node, const Window& window);

/// The weight as [K, Cin / groups, Cout], and the bias.
Weights convolution_weights(const Node& node, const Parameters& parameters);

/// Where outputs have the rows of the input a product of every row, else a convolution on a kernel map.
void lower_convolution(const Draft& draft, Lowering& lowering, const Window& window, bool transposed);

}  // namespace voxshift
