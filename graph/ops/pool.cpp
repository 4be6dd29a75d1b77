#include <voxshift/graph/product.h>
#include <voxshift/sparse_conv/kernels.h>

#include <string_view>

namespace voxshift::ops {
namespace {

Pooling pooling_of(std::string_view reduce) {
  return reduce == "max" ? Pooling::kMax : reduce == "mean" ? Pooling::kAverage : Pooling::kSum;
}

class PoolStep final : public Step {
 public:
  PoolStep(const std::string& reduce, int map) : kind_("pool " + reduce), pooling_(pooling_of(reduce)), map_(map) {}
  std::string kind() const override { return kind_; }
  void run(const StepRun& run) const override {
    sparse_conv_kernels(run.context.device).pool(run.context, run.x, run.rows.map(map_).forward, pooling_, run.y);
  }

 private:
  std::string kind_;
  Pooling pooling_;
  int map_;
};

}  // namespace

extern const OpDefinition pool{
    .name = "pool",
    .text =
        "Max, mean or sum of the voxels that are present in the window of each output, whose coordinates are those of "
        "a conv with the same window. The mean divides by the voxels present.",
    .inputs = {"x"},
    .attributes = with(window_attributes(), word("reduce", {"max", "mean", "sum"}, "what becomes of a window")),
    .infer =
        [](Inference& node) {
          node.expect_voxels(0);
          return ValueType{inferred_coarser(node, inferred_window(node)), node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const int map =
              lowering.map(lowering.domain(draft.inputs[0]), lowering.domain(draft.output), window_of(*draft.node));
          lowering.add(draft, std::make_unique<PoolStep>(draft.node->word("reduce"), map));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
