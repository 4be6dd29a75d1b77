#include <voxshift/graph/steps.h>

#include <cmath>

namespace voxshift::ops {

extern const OpDefinition batch_norm{
    .name = "batch_norm",
    .text = "(x - running_mean) / sqrt(running_var + eps) * weight + bias, channel by channel.",
    .inputs = {"x"},
    .parameters = {{"weight", "[C]"}, {"bias", "[C]"}, {"running_mean", "[C]"}, {"running_var", "[C]"}},
    .attributes = {number("eps", 0, 1e3, "added to the variance", {1e-5})},
    .infer =
        [](Inference& node) {
          for (const auto& [role, tensor] : node.node().parameters)
            node.expect_parameter(role.c_str(), {{node.in(0).channels}});
          return node.in(0);
        },
    .lower = lower_affine,
    // scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale, in double
    .scale_shift =
        [](const Node& node, const Parameters& parameters) {
          const auto values = [&](const char* role) { return parameters.at(node.parameters.at(role)).data<float>(); };
          const std::int64_t channels = parameters.at(node.parameters.at("weight")).count();
          ScaleShift norm{Array({channels}, DType::kF32), Array({channels}, DType::kF32)};
          for (std::int64_t c = 0; c < channels; ++c) {
            const double variance = static_cast<double>(values("running_var")[c]) + node.number("eps");
            const double scale = values("weight")[c] / std::sqrt(variance);
            norm.scale.data<float>()[c] = static_cast<float>(scale);
            norm.shift.data<float>()[c] = static_cast<float>(values("bias")[c] - values("running_mean")[c] * scale);
          }
          return norm;
        },
    .narrow = true,
};

}  // namespace voxshift::ops
