#include <voxshift/graph/product.h>

namespace voxshift::ops {

extern const OpDefinition linear{
    .name = "linear",
    .text = "x W^T (+ bias), row by row, as torch.nn.functional.linear.",
    .inputs = {"x"},
    .parameters = {{"weight", "[Cout, Cin]"}, {"bias", "[Cout]", false}},
    .infer =
        [](Inference& node) {
          const std::int64_t out = node.shape("weight").front();
          node.expect(out > 0, "has no output channels");
          node.expect_parameter("weight", {{out, node.in(0).channels}});
          node.expect_parameter("bias", {{out}});
          return ValueType{node.in(0).domain, out};
        },
    .lower = [](const Draft& draft, Lowering& lowering) { lower_convolution(draft, lowering, {}, false); },
    .weights =
        [](const Node& node, const Parameters& parameters) {
          const Array& weight = parameters.at(node.parameters.at("weight"));
          const std::int64_t out = weight.dim(0), in = weight.dim(1);
          Weights weights{Array({1, in, out}, DType::kF32), bias_of(node, parameters)};
          const float* from = weight.data<float>();
          float* to = weights.weight.data<float>();
          for (std::int64_t o = 0; o < out; ++o)
            for (std::int64_t i = 0; i < in; ++i) to[i * out + o] = from[o * in + i];
          return weights;
        },
};

}  // namespace voxshift::ops
