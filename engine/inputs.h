// What a network is given: checked, and handed to an executor.
#pragma once

#include <voxshift/engine/executor.h>
#include <voxshift/engine/session.h>

#include <variant>
#include <vector>

namespace voxshift {

/// What one input is given, where the caller has it.
using InputView = std::variant<const SparseTensor*, const PointSet*, const Array*>;

/// Those of every input, in the graph's order. Throws InvalidArgument for missing and for unknown names.
void views_of(const char* op, const Graph& graph, const Inputs& inputs, std::vector<InputView>& views);

/// Throws InvalidArgument, which names the input where there are several, for another kind, dtype, number of channels
/// or dimensions than input i has, and for another device.
void check_input(const char* op, const Graph& graph, std::size_t i, const InputView& x, Device device);

/// Of frames that passed check_input; else 0.
Extent2d extent_of(const InputView& x);

/// The rows of input i, which passed check_input. Those that are its own the executor's geometry takes; else throws
/// InvalidArgument unless there are as many as those it shares.
ConstRowView place_input(const char* op, const Graph& graph, std::size_t i, const InputView& x, Executor& executor);

}  // namespace voxshift
