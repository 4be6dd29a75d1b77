#include <voxshift/engine/fuse.h>

#include <algorithm>
#include <array>
#include <utility>

namespace voxshift {
namespace {

using Drafts = std::vector<Draft>;

// The draft that gives `value` if its only use is one input of another draft; else null.
Draft* sole_producer(Drafts& drafts, const std::string& value, const std::vector<std::string>& outputs) {
  std::ptrdiff_t uses = std::count(outputs.begin(), outputs.end(), value);
  for (const Draft& draft : drafts)
    uses += std::count(draft.inputs.begin(), draft.inputs.end(), value) + (draft.residual == value);
  const auto found = std::find_if(drafts.begin(), drafts.end(), [&](const Draft& d) { return d.output == value; });
  return uses == 1 && found != drafts.end() ? &*found : nullptr;
}

// Matrices that an output row of a sparse product sums over.
std::int64_t taps(const Draft& product) {
  const Array& weight = product.weights.weight;
  return weight.rank() == 3 ? weight.dim(0) : 1;
}

bool is_plain(const Draft& draft) { return draft.activation.kind == Activation::Kind::kNone && draft.residual.empty(); }

// Folds draft i into the one before it; true when draft i is gone.
bool absorb(Drafts& drafts, std::size_t i, const std::vector<std::string>& outputs) {
  Draft& draft = drafts[i];
  if (draft.op->scale_shift == nullptr && draft.op->activation == nullptr) return false;
  Draft* before = sole_producer(drafts, draft.inputs[0], outputs);
  if (before == nullptr || !is_plain(*before)) return false;
  if (draft.op->scale_shift != nullptr) {
    if (!before->multiplies()) return false;
    before->weights = folded(before->weights, *draft.norm);
  } else {
    if (!before->op->takes_activation()) return false;
    before->activation = draft.activation;
  }
  before->output = draft.output;
  drafts.erase(drafts.begin() + static_cast<std::ptrdiff_t>(i));
  return true;
}

// Turns the sum at i into the residual of the larger product that gives one of its summands. That product moves to the
// place of the sum, its only user, where the other summand is known. Where the product has an activation already, the
// residual is added after it.
void fuse_sum(Drafts& drafts, std::size_t i, const std::vector<std::string>& outputs) {
  if (!drafts[i].op->is_sum) return;
  const Draft sum = drafts[i];
  Draft* host = nullptr;
  std::string other;
  for (std::size_t side = 0; side < 2; ++side) {
    Draft* candidate = sole_producer(drafts, sum.inputs[side], outputs);
    if (candidate == nullptr || !candidate->multiplies() || !candidate->residual.empty()) continue;
    if (!is_plain(*candidate) && sum.activation.kind != Activation::Kind::kNone) continue;
    if (host != nullptr && taps(*candidate) <= taps(*host)) continue;
    host = candidate;
    other = sum.inputs[1 - side];
  }
  if (host == nullptr) return;
  drafts[i] = *host;
  drafts[i].residual = other;
  drafts[i].residual_last = !is_plain(*host);
  if (!drafts[i].residual_last) drafts[i].activation = sum.activation;
  drafts[i].output = sum.output;
  drafts.erase(drafts.begin() + (host - drafts.data()));
}

bool is_pointwise(const Draft& draft) {
  const auto product = draft.image_product();
  return product && !product->depthwise && product->window.pointwise();
}

bool is_depthwise(const Draft& draft) {
  const auto product = draft.image_product();
  return product && product->depthwise;
}

// Has the pointwise product that alone reads the shift at i read what is shifted. True when draft i is gone.
bool fuse_shift(Drafts& drafts, std::size_t i, const std::vector<std::string>& outputs) {
  const Draft& draft = drafts[i];
  if (draft.op->shift == nullptr || sole_producer(drafts, draft.output, outputs) == nullptr) return false;
  const auto user = std::find_if(drafts.begin(), drafts.end(),
                                 [&](const Draft& d) { return !d.inputs.empty() && d.inputs[0] == draft.output; });
  if (user == drafts.end() || !is_pointwise(*user)) return false;
  user->inputs = draft.inputs;
  user->shift = draft.op->shift(*draft.node);
  drafts.erase(drafts.begin() + static_cast<std::ptrdiff_t>(i));
  return true;
}

// The draft whose value is the only input of `draft` and read nowhere else, without a residual; else null.
const Draft* sole_source(Drafts& drafts, const Draft& draft, const std::vector<std::string>& outputs) {
  const Draft* source = draft.shift ? nullptr : sole_producer(drafts, draft.inputs[0], outputs);
  return source != nullptr && source->residual.empty() ? source : nullptr;
}

// Takes convolution -> depthwise -> the pointwise draft i as one, front to back: of two inverted residuals that share a
// convolution the first one has it. True when the drafts before i are gone.
bool fuse_inverted_residual(Drafts& drafts, std::size_t i, const Graph& graph) {
  if (!is_pointwise(drafts[i]) || !drafts[i].front.empty()) return false;
  const Draft* depthwise = sole_source(drafts, drafts[i], graph.outputs);
  if (depthwise == nullptr || !is_depthwise(*depthwise)) return false;
  const Window2d window = depthwise->image_product()->window;
  if ((window.kernel != 3 && window.kernel != 5) || window.stride > 2 || window.padding != window.kernel / 2)
    return false;
  const Draft* first = sole_source(drafts, *depthwise, graph.outputs);
  if (first == nullptr || !first->image_product() || is_depthwise(*first) || !first->front.empty()) return false;
  if (!is_pointwise(*first) && !graph.has_input(first->inputs[0])) return false;
  // The first may read the network's input in f32 where the others are i8.
  const auto whole = [](const Draft& draft) { return draft.weights.multiplier.has_value(); };
  if (whole(*depthwise) != whole(drafts[i]) || (whole(*first) && !whole(*depthwise))) return false;
  Draft fused = drafts[i];
  fused.front = {*first, *depthwise};
  fused.inputs = first->inputs;
  fused.shift = first->shift;
  drafts[i] = std::move(fused);
  std::erase_if(drafts, [names = std::array{first->output, depthwise->output}](const Draft& d) {
    return d.output == names[0] || d.output == names[1];
  });
  return true;
}

}  // namespace

std::vector<Draft> plain_drafts(const Graph& graph, const Parameters& parameters) {
  Drafts drafts;
  for (const Node& node : graph.nodes) {
    const OpDefinition* op = find_op(node.op);
    Draft draft{&node, op, node.inputs, "", node.name, {}, {}, {}};
    if (op->weights != nullptr) draft.weights = op->weights(node, parameters);
    if (op->scale_shift != nullptr) draft.norm = op->scale_shift(node, parameters);
    if (op->activation != nullptr) draft.activation = op->activation(node);
    drafts.push_back(std::move(draft));
  }
  return drafts;
}

std::vector<Draft> fused_drafts(const Graph& graph, const Parameters& parameters) {
  Drafts drafts = plain_drafts(graph, parameters);
  for (std::size_t i = 0; i < drafts.size();)
    if (!absorb(drafts, i, graph.outputs)) ++i;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    const std::size_t before = drafts.size();
    fuse_sum(drafts, i, graph.outputs);
    if (drafts.size() < before) --i;
  }
  for (std::size_t i = 0; i < drafts.size();)
    if (!fuse_shift(drafts, i, graph.outputs)) ++i;
  for (std::size_t i = 0; i < drafts.size();)
    if (fuse_inverted_residual(drafts, i, graph))
      i -= 2;
    else
      ++i;
  return drafts;
}

}  // namespace voxshift
