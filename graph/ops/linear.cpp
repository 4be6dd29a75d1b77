#include <voxshift/graph/image_product.h>
#include <voxshift/graph/product.h>

namespace voxshift::ops {
namespace {

// [1, in, out] as [out, in].
Array transposed(const Array& weight) {
  const std::int64_t in = weight.dim(1), out = weight.dim(2);
  Array result({out, in}, DType::kF32);
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t i = 0; i < in; ++i) result.data<float>()[o * in + i] = weight.data<float>()[i * out + o];
  return result;
}

// Pixels of frames are multiplied as by a pointwise convolution, which a stream can do for some of them.
void lower_linear(const Draft& draft, Lowering& lowering) {
  if (!lowering.domains().only_frames()) return lower_convolution(draft, lowering, {}, false);
  Draft pointwise = draft;
  pointwise.weights.weight = transposed(draft.weights.weight);
  lower_image_product(pointwise, lowering);
}

}  // namespace

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
    .lower = lower_linear,
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
