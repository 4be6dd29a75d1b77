// Networks with values and weights of i8.
#pragma once

#include <voxshift/graph/network.h>

#include <set>
#include <string>

namespace voxshift {

/// Whether a value or a weight is i8.
bool is_quantized(const Graph& graph);

/// The tensors that hold the scales of values and of weights.
std::set<std::string> scale_tensors(const Graph& graph);

/// Checks the scales of values and weights against the rest of a graph that is checked: each is f32 [1] (of values) or
/// [channels], of numbers that are finite and above 0, a weight i8 is -127..127 and its product reads a value with a
/// scale, and no sum can leave int32. Throws InvalidArgument naming the value or the node.
void check_quantized(const Graph& graph, const Parameters& parameters, const GraphValues& values);

/// The scale of every channel of a value that has one, f32 [2, channels]: after them 1 / each.
Array scales_of(const Graph& graph, const Parameters& parameters, const GraphValues& values, const std::string& value);

/// The same network in f32: weights as the numbers that the whole ones stand for, no scales.
Network dequantized(const Network& network);

}  // namespace voxshift
