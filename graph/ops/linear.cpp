#include <voxshift/graph/image_product.h>
#include <voxshift/graph/product.h>

namespace voxshift::ops {
namespace {

// [rows, columns] as [columns, rows].
template <class T>
Array transposed(const Array& matrix, std::int64_t rows, std::int64_t columns, Shape shape) {
  Array result(std::move(shape), matrix.dtype());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) result.data<T>()[c * rows + r] = matrix.data<T>()[r * columns + c];
  return result;
}

Array transposed(const Array& matrix, std::int64_t rows, std::int64_t columns, Shape shape) {
  return matrix.dtype() == DType::kI8 ? transposed<std::int8_t>(matrix, rows, columns, std::move(shape))
                                      : transposed<float>(matrix, rows, columns, std::move(shape));
}

// Pixels of frames are multiplied as by a pointwise convolution, which a stream can do for some of them.
void lower_linear(const Draft& draft, Lowering& lowering) {
  if (!lowering.domains().only_frames()) return lower_convolution(draft, lowering, {}, false);
  Draft pointwise = draft;
  const Array& weight = draft.weights.weight;
  pointwise.weights.weight = transposed(weight, weight.dim(1), weight.dim(2), {weight.dim(2), weight.dim(1)});
  lower_image_product(pointwise, lowering);
}

}  // namespace

extern const OpDefinition linear{
    .name = "linear",
    .text = "x W^T (+ bias), row by row, as torch.nn.functional.linear.",
    .inputs = {"x"},
    .parameters = {{"weight", "[Cout, Cin]"}, {"bias", "[Cout]", false}, weight_scale()},
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
          return Weights{transposed(weight, out, in, {1, in, out}), bias_of(node, parameters),
                         parameter_of(node, parameters, kWeightScale)};
        },
    .narrow = true,
};

}  // namespace voxshift::ops
