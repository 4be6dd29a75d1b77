#include <voxshift/engine/fuse.h>
#include <voxshift/graph/image_window.h>
#include <voxshift/streaming/video_plan.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <map>
#include <set>

namespace voxshift {
namespace {

using Kind = VideoStep::Kind;

constexpr std::int64_t kMostPixels = std::int64_t{1} << 24;

bool is(const Draft& draft, std::string_view op) { return draft.op->name == op; }

std::int64_t groups_of(const Draft& draft) { return draft.node->whole("groups"); }

bool is_depthwise(const Draft& draft) {
  return is(draft, "conv2d") && groups_of(draft) > 1 && groups_of(draft) == draft.weights.weight.dim(0) &&
         draft.weights.weight.dim(1) == 1;
}

TemporalShift shift_of(const Node& node) { return {node.whole("shift_div"), node.flag("bidirectional")}; }

bool is_dense(const Draft& draft) { return is(draft, "conv2d") && groups_of(draft) == 1; }

// The window of a conv2d; one pixel of other ops.
Window2d window_of(const Draft& draft) {
  return is(draft, "conv2d") ? image_window_of(*draft.node, draft.weights.weight.dim(3)) : Window2d{};
}

// [1, in, out] as [out, in].
Array transposed(const Array& weight) {
  const std::int64_t in = weight.dim(1), out = weight.dim(2);
  Array result({out, in}, DType::kF32);
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t i = 0; i < in; ++i) result.data<float>()[o * in + i] = weight.data<float>()[i * out + o];
  return result;
}

class VideoPlanner {
 public:
  VideoPlanner(const Graph& graph, const Parameters& parameters, const FrameProfile& frames, Device device, DType dtype)
      : graph_(graph), drafts_(fused_drafts(graph, parameters)), kernels_(video_kernels(device)), context_{device} {
    plan_.dtype = dtype;
    for (std::size_t c = 0; c < 3; ++c) {
      plan_.scale.push_back(1 / (255 * frames.std[c]));
      plan_.shift.push_back(-frames.mean[c] / frames.std[c]);
    }
    plan_.input = add_value(kGraphInput, {frames.height, frames.width}, graph.in_channels);
  }

  VideoPlan make() {
    for (std::size_t i = 0; i < drafts_.size(); ++i) find_block(i);
    for (std::size_t i = 0; i < drafts_.size(); ++i)
      if (!hidden_.contains(drafts_[i].output)) add(i);
    check(values_.contains(graph_.output()), "[video] the output \"", graph_.output(), "\" is a shift");
    plan_.output = values_.at(graph_.output());
    check(plan_.value(plan_.output).extent.pixels() == 1, "[video] the output \"", graph_.output(),
          "\" is an image, expected one row per frame");
    set_lifetimes();
    return std::move(plan_);
  }

 private:
  // Whether output is read by one draft only, as its first input.
  bool used_once(const std::string& value) const {
    std::ptrdiff_t uses = value == graph_.output() ? 1 : 0;
    for (const Draft& draft : drafts_)
      uses += std::count(draft.inputs.begin(), draft.inputs.end(), value) + (draft.residual == value);
    return uses == 1;
  }

  const Draft* producer(const std::string& value) const {
    const auto found = std::find_if(drafts_.begin(), drafts_.end(), [&](const Draft& d) { return d.output == value; });
    return found != drafts_.end() ? &*found : nullptr;
  }

  // The draft that gives the only input of `draft` and nothing else, without a residual; else null.
  const Draft* sole_source(const Draft& draft) const {
    const Draft* source = producer(draft.inputs[0]);
    return source != nullptr && used_once(source->output) && source->residual.empty() ? source : nullptr;
  }

  // Takes convolution -> depthwise -> the pointwise draft i as one block, front to back: of two blocks that share a
  // convolution the first one has it.
  void find_block(std::size_t i) {
    if (!is_dense(drafts_[i]) || !window_of(drafts_[i]).pointwise()) return;
    const Draft* depthwise = sole_source(drafts_[i]);
    if (depthwise == nullptr || !is_depthwise(*depthwise)) return;
    const Window2d window = window_of(*depthwise);
    if ((window.kernel != 3 && window.kernel != 5) || window.stride > 2 || window.padding != window.kernel / 2) return;
    const Draft* first = sole_source(*depthwise);
    if (first == nullptr || !is_dense(*first) || blocks_.contains(first->output)) return;
    if (!window_of(*first).pointwise() && first->inputs[0] != kGraphInput) return;
    blocks_[drafts_[i].output] = {first, depthwise};
    hidden_.insert({first->output, depthwise->output});
  }

  int add_value(const std::string& name, Extent2d extent, std::int64_t channels) {
    check(extent.height >= 1 && extent.width >= 1 && extent.height <= kMostPixels / extent.width, "[video] \"", name,
          "\" has ", extent.height, " x ", extent.width, " pixels, expected 1 to ", kMostPixels);
    values_[name] = static_cast<int>(plan_.values.size());
    plan_.values.push_back({extent, channels, 0, 0, 0});
    return values_[name];
  }

  Conv2dLayer layer(const Draft& draft) {
    Conv2dLayer result{window_of(draft), 0, 0, nullptr, draft.activation};
    const Device device = context_.device;
    const Array weight = (is(draft, "linear") ? transposed(draft.weights.weight) : draft.weights.weight).to(device);
    const Array biases = draft.weights.bias ? draft.weights.bias->to(device) : Array();
    const float* bias = draft.weights.bias ? biases.data<float>() : nullptr;
    const std::int64_t kernel = result.window.kernel;
    result.out_channels = weight.dim(0);
    if (is_depthwise(draft)) {
      result.in_channels = result.out_channels;
      result.weights =
          kernels_.pack_depthwise(context_, weight.data<float>(), bias, kernel, result.out_channels, plan_.dtype);
    } else {
      if (is(draft, "conv2d"))
        check(is_dense(draft), "[video] node \"", draft.name(), "\" expects groups of 1 or of one channel each, found ",
              groups_of(draft));
      result.in_channels = weight.dim(1);
      result.weights = kernels_.pack_conv2d(context_, weight.data<float>(), bias, kernel, result.in_channels,
                                            result.out_channels, plan_.dtype);
    }
    return result;
  }

  void add(std::size_t i) {
    const Draft& draft = drafts_[i];
    if (is(draft, "temporal_shift")) {
      check(used_once(draft.output), "[video] node \"", draft.name(), "\" (temporal_shift) must have one user");
      shifts_[draft.output] = &draft;
    } else if (draft.multiplies() && !is(draft, "conv") && !is(draft, "conv_transpose")) {
      add_convolution(draft);
    } else if (is(draft, "max_pool2d") || is(draft, "avg_pool")) {
      add_pooling(draft);
    } else {
      const bool fuses = draft.op->takes_activation() || draft.op->activation != nullptr;
      throw InvalidArgument("[video] node \"" + draft.name() + "\" (" + draft.op->name +
                            (fuses && !draft.multiplies() ? ") does not follow a convolution that it can be fused with"
                                                          : ") is not an op of video networks"));
    }
  }

  // The value that a step reads: never the frame, which only convolutions do, nor a shift.
  int plain_input(const Draft& draft, const std::string& name) const {
    const auto found = values_.find(name);
    check(found != values_.end() && found->second != plan_.input, "[video] node \"", draft.name(), "\" takes \"", name,
          found != values_.end() ? "\", the frame, which only convolutions read"
                                 : "\", a shift, which only pointwise convolutions read");
    return found->second;
  }

  // The step of a draft whose first weights are those of `first`.
  VideoStep step_of(const Draft& draft, const Draft& first) {
    VideoStep step;
    step.name = draft.name();
    const std::string& input = first.inputs[0];
    const Window2d window = window_of(first);
    if (const auto shift = shifts_.find(input); shift != shifts_.end()) {
      check(is(first, "linear") || (is_dense(first) && window.pointwise()), "[video] node \"", first.name(),
            "\" follows a shift, which only pointwise convolutions do");
      step.input = plain_input(*shift->second, shift->second->inputs[0]);
      step.shift = static_cast<int>(plan_.shifts.size());
      plan_.shifts.push_back({step.input, shift_of(*shift->second->node)});
    } else if (input == kGraphInput && first.multiplies() && !is_depthwise(first)) {
      step.input = plan_.input;
      if (is(first, "conv2d")) {
        std::int64_t& border = plan_.values[0].border;
        border = std::max(border, window.padding);
      }
    } else {
      step.input = plain_input(draft, input);
    }
    if (!draft.residual.empty()) step.residual = plain_input(draft, draft.residual);
    return step;
  }

  void add_convolution(const Draft& draft) {
    check(!draft.residual_last, "[video] the sum after node \"", draft.name(), "\" cannot follow its activation");
    const auto block = blocks_.find(draft.output);
    const Draft& first = block != blocks_.end() ? *block->second.first : draft;
    VideoStep step = step_of(draft, first);
    const Extent2d in = plan_.value(step.input).extent;
    Extent2d out;
    std::int64_t channels = 0;
    if (block != blocks_.end()) {
      step.kind = Kind::kFused;
      step.block = {in, layer(first), layer(*block->second.depthwise), layer(draft)};
      check_fits(first, in, step.block.first.window);
      out = step.block.out();
      channels = step.block.project.out_channels;
    } else {
      step.kind = is_depthwise(draft) ? Kind::kDepthwise : Kind::kConv2d;
      check(step.kind == Kind::kConv2d || step.residual < 0, "[video] node \"", draft.name(),
            "\" is channel by channel and cannot be fused with a sum");
      step.layer = layer(draft);
      check_fits(draft, in, step.layer.window);
      out = step.layer.window.out(in);
      channels = step.layer.out_channels;
    }
    add_step(std::move(step), draft, out, channels);
  }

  void add_pooling(const Draft& draft) {
    VideoStep step = step_of(draft, draft);
    const VideoValue in = plan_.value(step.input);
    Extent2d out{1, 1};
    step.kind = Kind::kMean;
    if (is(draft, "max_pool2d")) {
      step.kind = Kind::kMaxPool;
      step.window = image_window_of(*draft.node, draft.node->whole("kernel_size"));
      check_fits(draft, in.extent, step.window);
      out = step.window.out(in.extent);
    }
    add_step(std::move(step), draft, out, in.channels);
  }

  static void check_fits(const Draft& draft, Extent2d in, const Window2d& window) {
    check(std::min(in.height, in.width) + 2 * window.padding >= window.kernel,
          "[video] the frame is too small for node \"", draft.name(), "\"");
  }

  void add_step(VideoStep step, const Draft& draft, Extent2d out, std::int64_t channels) {
    step.output = add_value(draft.output, out, channels);
    check(step.residual < 0 || plan_.value(step.residual).extent == out, "[video] the summands at node \"",
          draft.name(), "\" have different sizes");
    step.macs = step.macs_of(out.pixels(), step.kind == Kind::kFused ? step.block.hidden().pixels() : 0);
    plan_.steps.push_back(std::move(step));
  }

  void set_lifetimes() {
    for (int s = 0; s < static_cast<int>(plan_.steps.size()); ++s) {
      const VideoStep& step = plan_.steps[static_cast<std::size_t>(s)];
      VideoValue& out = plan_.values[static_cast<std::size_t>(step.output)];
      out.first = out.last = s;
      plan_.values[static_cast<std::size_t>(step.input)].last = s;
      if (step.residual >= 0) plan_.values[static_cast<std::size_t>(step.residual)].last = s;
    }
    plan_.values[static_cast<std::size_t>(plan_.output)].last = static_cast<int>(plan_.steps.size());
  }

  struct Front {
    const Draft *first, *depthwise;
  };

  const Graph& graph_;
  const std::vector<Draft> drafts_;
  const VideoKernels& kernels_;
  const Context context_;
  std::map<std::string, Front> blocks_;  // by the output of their last convolution
  std::set<std::string> hidden_;         // values inside blocks
  std::map<std::string, const Draft*> shifts_;
  std::map<std::string, int> values_;
  VideoPlan plan_;
};

}  // namespace

std::int64_t VideoStep::macs_of(std::int64_t pixels, std::int64_t hidden) const {
  const auto channel_by_channel = [](const Conv2dLayer& l) {
    return l.window.kernel * l.window.kernel * l.out_channels;
  };
  switch (kind) {
    case Kind::kConv2d:
      return pixels * layer.macs();
    case Kind::kDepthwise:
      return pixels * channel_by_channel(layer);
    case Kind::kFused:
      return hidden * block.first.macs() + pixels * (channel_by_channel(block.depthwise) + block.project.macs());
    case Kind::kMaxPool:
    case Kind::kMean:
      break;
  }
  return 0;
}

VideoPlan make_video_plan(const Graph& graph, const Parameters& parameters, const FrameProfile& frames, Device device,
                          DType dtype) {
  check(graph.input == GraphInput::kFrames, "[video] the network does not take frames");
  check(graph.outputs.size() == 1, "[video] a network on frames has one output, found ", graph.outputs.size());
  check(graph.in_channels == 3, "[video] frames have 3 channels, the network takes ", graph.in_channels);
  return VideoPlanner(graph, parameters, frames, device, dtype).make();
}

}  // namespace voxshift
