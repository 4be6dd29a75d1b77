// Which values of a network are to be i8, and which products.
#pragma once

#include <voxshift/graph/network.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace voxshift {

struct NarrowPlan {
  std::set<std::string> values;  ///< i8

  /// Why products are f32, by node; the others are i8.
  std::map<std::string, std::string> wide_products;
  std::vector<std::string> narrow_products;  ///< in the order of the graph
};

/// Values that the fused plan of a network writes down, whose op and one reader at least take i8, and that are no input
/// or output. A product that is kept, or that has no i8, keeps its input f32, and with it all that read it; the parts
/// of a concatenation are i8 all or none. The graph has passed check_graph and batch norm is folded.
NarrowPlan plan_narrow(const Network& network, const std::set<std::string>& keep);

/// The scale of every channel of the values, from those that `own` has: a concatenation's are its parts', columns' are
/// those of their columns, what a shift or a maximum gives has those of what it reads.
std::map<std::string, std::vector<float>> scales_of_values(const Network& network, const NarrowPlan& plan,
                                                           const std::map<std::string, std::vector<float>>& own);

/// Whether a value of this op has the scales of what it reads.
bool inherits_scales(const Node& node);

}  // namespace voxshift
