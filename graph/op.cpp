#include <voxshift/graph/op.h>

#include <algorithm>

namespace voxshift {

const Shape& Inference::shape(const char* role) const {
  const std::string& tensor = node_.parameters.at(role);
  const auto found = parameters_.find(tensor);
  check(found != parameters_.end(), "[graph] tensor \"", tensor, "\" of node \"", node_.name, "\" is missing");
  const Shape& shape = found->second.shape();
  check(!shape.empty(), "[graph] tensor \"", tensor, "\" of node \"", node_.name, "\" has no extents");
  return shape;
}

void Inference::expect_parameter(const char* role, const std::vector<Shape>& allowed) const {
  const auto named = node_.parameters.find(role);
  if (named == node_.parameters.end()) return;
  const std::string& tensor = named->second;
  const auto found = parameters_.find(tensor);
  check(found != parameters_.end(), "[graph] tensor \"", tensor, "\" of node \"", node_.name, "\" is missing");
  const Array& array = found->second;
  const bool whole = role == std::string("weight") && node_.parameters.contains(kWeightScale);
  const DType wanted = whole ? DType::kI8 : DType::kF32;
  if (array.dtype() == wanted && std::find(allowed.begin(), allowed.end(), array.shape()) != allowed.end()) return;
  throw InvalidArgument("[graph] tensor \"" + tensor + "\" of node \"" + node_.name + "\" expects " +
                        std::string(name(wanted)) + " " + to_string(allowed[0]) + ", found " + name(array.dtype()) +
                        " " + to_string(array.shape()));
}

int Inference::expect_voxels(std::size_t i) const {
  const int domain = in(i).domain;
  expect(values_.domains.is_voxels(domain), "takes voxels, \"", node_.inputs[i], "\" is none");
  return domain;
}

int Inference::expect_points(std::size_t i) const {
  const int domain = in(i).domain;
  expect(values_.domains.is_points(domain), "takes points, \"", node_.inputs[i], "\" is none");
  return domain;
}

int Inference::expect_images(std::size_t i) const {
  const int domain = in(i).domain;
  expect(values_.domains.is_images(domain), "takes images, \"", node_.inputs[i], "\" is none");
  return domain;
}

void Inference::expect_same_rows() const {
  const auto are_frames = [&](int domain) {  // whose extents are not known yet
    return values_.domains.is_images(domain) && values_.domains[domain].extent.pixels() == 0;
  };
  for (std::size_t i = 1; i < inputs(); ++i)
    expect(in(i).domain == in(0).domain || (are_frames(in(i).domain) && are_frames(in(0).domain)),
           "joins values of different coordinates, \"", node_.inputs[0], "\" and \"", node_.inputs[i], "\"");
}

void Inference::expect_coarser(int coarse, int fine) const {
  expect(dims() <= 3, "needs voxels on up to 3 axes, the network has ", dims());
  expect(values_.domains.lead_to(fine, coarse),
         "needs coarser voxels that strided convolutions made of the finer ones");
}

void Inference::expect_same_channels() const {
  expect(in(0).channels == in(1).channels, "takes ", in(0).channels, " and ", in(1).channels,
         " channels, expected the same");
}

int Inference::clouds() {
  Domain wanted;
  wanted.kind = Domain::Kind::kClouds;
  return domains().find_or_add(wanted);
}

int Inference::pooled() {
  const Domain& from = domains()[in(0).domain];
  return from.kind == Domain::Kind::kGroups ? from.parent : clouds();
}

const OpDefinition* find_op(const std::string& name) {
  const auto all = all_ops();
  const auto* const* found =
      std::find_if(all.data(), all.data() + all.size(), [&](const OpDefinition* op) { return op->name == name; });
  if (found != all.data() + all.size()) return *found;
  for (const std::string& op : left_out_ops())
    check<BackendUnavailable>(op != name, "[graph] the network needs the op \"", name,
                              "\", which this build has not: VOXSHIFT_PARTS is video");
  return nullptr;
}

ValueType same_as_input(Inference& node) { return node.in(0); }

ValueType same_as_inputs(Inference& node) {
  node.expect_same_rows();
  node.expect_same_channels();
  return node.in(0);
}

ValueType pooled_input(Inference& node) { return {node.pooled(), node.in(0).channels}; }

Domain selection(Inference& node) {
  Domain kept;
  kept.parent = node.expect_voxels(0);
  node.expect_same_rows();
  node.expect(node.in(1).channels == 1, "takes scores of one channel, \"", node.node().inputs[1], "\" has ",
              node.in(1).channels);
  kept.scores = node.node().inputs[1];
  return kept;
}

std::optional<Array> parameter_of(const Node& node, const Parameters& parameters, const char* role) {
  const auto named = node.parameters.find(role);
  return named != node.parameters.end() ? std::optional(parameters.at(named->second)) : std::nullopt;
}

std::optional<Array> bias_of(const Node& node, const Parameters& parameters) {
  return parameter_of(node, parameters, "bias");
}

ParameterSpec weight_scale() {
  return {kWeightScale, "[Cout], of a weight i8: what sums of whole numbers are multiplied by", false};
}

}  // namespace voxshift
