// Activations that become the end of the step before them: the same bits as steps of their own, and no step left.
#include <voxshift/engine/evaluate.h>
#include <voxshift/engine/session.h>

#include <algorithm>
#include <set>

#include "networks.h"
#include "stream_cases.h"

namespace voxshift {
namespace {

constexpr std::int64_t kChannels = 5;

struct Function {
  const char* op;
  Attributes attributes;
};

const std::vector<Function> kFunctions{{"relu", {}},
                                       {"relu6", {}},
                                       {"leaky_relu", {{"slope", 0.25}}},
                                       {"sigmoid", {}},
                                       {"tanh", {}},
                                       {"elu", {{"alpha", 0.5}}},
                                       {"gelu", {}},
                                       {"gelu", {{"approximate", "tanh"}}},
                                       {"silu", {}},
                                       {"hard_sigmoid", {}},
                                       {"hard_swish", {}},
                                       {"clip", {{"lowest", -1.5}, {"highest", 2.0}}},
                                       {"power", {{"exponent", 2.0}}}};

/// Adds nodes of images, whose weights are whole.
class Writer : public NetworkWriter {
 public:
  explicit Writer(const Function& function) : NetworkWriter(kChannels), function_(function) {}

  std::string activation(const std::string& x) {
    Node& node = add_node(function_.op, {x}, channels(x));
    node.attributes = function_.attributes;
    return node.name;
  }

  std::string image() {
    Node& node = add_node("bird_eye_view", {kGraphInput}, 2 * kChannels);
    node.attributes = {{"shape", PerAxis{6, 5, 2}}};
    return node.name;
  }

  std::string conv2d(const std::string& x, std::int64_t out, std::int64_t kernel, bool depthwise = false) {
    return of_image("conv2d", x, out, {out, depthwise ? 1 : channels(x), kernel, kernel},
                    {{"padding", kernel / 2}, {"groups", depthwise ? out : std::int64_t{1}}});
  }

  std::string conv_transpose2d(const std::string& x, std::int64_t out) {
    return of_image("conv_transpose2d", x, out, {channels(x), out, 2, 2}, {});
  }

 private:
  std::int64_t channels(const std::string& x) {
    Graph part = graph;
    part.outputs = {x};
    return check_graph(part, parameters).channels(x);
  }

  std::string of_image(const char* op, const std::string& x, std::int64_t out, const Shape& shape,
                       const Attributes& attributes) {
    Node& node = add_node(op, {x}, out);
    node.attributes = attributes;
    node.parameters = {{"weight", node.name + ".weight"}, {"bias", node.name + ".bias"}};
    const auto whole = [&](const Shape& of) {
      Array values(of, DType::kF32);
      std::generate_n(values.data<float>(), values.count(),
                      [&] { return static_cast<float>(static_cast<int>(draw_() % 5) - 2) / 4; });
      return values;
    };
    parameters.emplace(node.name + ".weight", whole(shape));
    parameters.emplace(node.name + ".bias", whole({out}));
    return node.name;
  }

  const Function& function_;
  std::mt19937 draw_{3};
};

using Write = std::string (*)(Writer& b);

struct Case {
  const char* name;
  Write write;
};

const Case kCases[]{
    {"linear", [](Writer& b) { return b.activation(b.linear(kGraphInput, 19)); }},
    {"conv", [](Writer& b) { return b.activation(b.conv(kGraphInput, 19)); }},
    {"conv with batch norm", [](Writer& b) { return b.activation(b.batch_norm(b.conv(kGraphInput, 3))); }},
    {"conv of a residual", [](Writer& b) { return b.activation(b.add(b.conv(kGraphInput, kChannels), kGraphInput)); }},
    {"conv before a sum", [](Writer& b) { return b.add(b.activation(b.conv(kGraphInput, kChannels)), kGraphInput); }},
    {"linear before a sum",
     [](Writer& b) { return b.add(b.activation(b.linear(kGraphInput, kChannels)), kGraphInput); }},
    {"conv_transpose",
     [](Writer& b) { return b.activation(b.conv_transpose(b.conv(kGraphInput, kChannels, 2, 2), 7)); }},
    {"sum", [](Writer& b) { return b.activation(b.add(kGraphInput, kGraphInput)); }},
    {"batch_norm", [](Writer& b) { return b.activation(b.batch_norm(kGraphInput)); }},
    {"conv2d", [](Writer& b) { return b.activation(b.conv2d(b.image(), 35, 3)); }},
    {"pointwise conv2d", [](Writer& b) { return b.activation(b.conv2d(b.image(), 18, 1)); }},
    {"conv2d of a residual",
     [](Writer& b) {
       const std::string x = b.image();
       return b.activation(b.add(b.conv2d(x, 10, 3), x));
     }},
    {"conv2d before a sum",
     [](Writer& b) {
       const std::string x = b.image();
       return b.add(b.activation(b.conv2d(x, 10, 3)), x);
     }},
    {"depthwise conv2d", [](Writer& b) { return b.activation(b.conv2d(b.image(), 10, 3, true)); }},
    {"depthwise conv2d of a residual",
     [](Writer& b) {
       const std::string x = b.image();
       return b.activation(b.add(b.conv2d(x, 10, 3, true), x));
     }},
    {"conv_transpose2d", [](Writer& b) { return b.activation(b.conv_transpose2d(b.image(), 6)); }}};

class ActivationFusionTest : public StreamTest {};
VOXSHIFT_FOR_EACH_DEVICE(ActivationFusionTest);

/// Two batches in a box of 6 x 5 x 2 with whole features between -2 and 2, in quarters.
SparseTensor voxels() {
  std::vector<std::int32_t> coords;
  std::vector<float> features;
  std::mt19937 random(4);
  for (std::int32_t i = 0; i < 120; ++i) {
    if (i % 3 == 1) continue;
    coords.insert(coords.end(), {i / 60, i / 10 % 6, i / 2 % 5, i % 2});
    for (std::int64_t c = 0; c < kChannels; ++c)
      features.push_back(static_cast<float>(static_cast<int>(random() % 17) - 8) / 4);
  }
  const auto n = static_cast<std::int64_t>(coords.size() / 4);
  return {Array::from(coords, {n, 4}), Array::from(features, {n, kChannels}), {}};
}

TEST_P(ActivationFusionTest, SameBitsAndNoStepOfItsOwn) {
  const SparseTensor x = voxels().to(device());
  std::size_t tried = 0;
  for (const Function& function : kFunctions)
    for (const Case& c : kCases) {
      if (emulated() && ++tried % 5 != 0) continue;  // of every function and of every case some stay
      SCOPED_TRACE(std::string(c.name) + ", " + function.op);
      Writer b(function);
      b.graph.outputs = {c.write(b)};
      const Array expected = evaluate(b.graph, b.parameters, x);
      for (const int threads : thread_counts()) {
        Session session({b.graph, b.parameters}, device(), threads, DType::kF32);
        const Output found = session.run(x).at(b.graph.output());
        expect_same_bits(found.features.reshaped(expected.shape()), expected);
        for (const LayerReport& layer : session.report().layers) EXPECT_NE(layer.kind, function.op);
      }
    }
}

/// tiny_network() with this function in place of relu and relu6.
Network tiny_of(const Function& function) {
  Network network = tiny_network();
  for (Node& node : network.graph.nodes)
    if (node.op == "relu" || node.op == "relu6") {
      node.op = function.op;
      node.attributes = function.attributes;
    }
  return network;
}

TEST_P(ActivationFusionTest, Streams) {
  const std::set<std::string> few{"sigmoid", "hard_swish", "silu"};
  for (const Function& function : kFunctions) {
    if (!few.contains(function.op) || (emulated() && few.begin()->compare(function.op) != 0)) continue;
    SCOPED_TRACE(function.op);
    const OneThread small_ops;
    const Network network = tiny_of(function);
    const Clip clip = tiny_clip(emulated() ? 2 : 12, 2).add_noise(1);
    const Array expected = evaluate(network.graph, network.parameters, clip.normalized());
    const VideoNetwork made = network_of(network, kStreamHeight, kStreamWidth);
    Recognizer all(made, options_of(Skip::kOff)), exact(made, options_of(Skip::kExact));
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const float* row = expected.data<float>() + f * 5;
      const Seen dense = push(all, clip.frame(f)), skipping = push(exact, clip.frame(f));
      EXPECT_LE(relative_change(dense.logits, {row, row + 5}), 1e-5) << "frame " << f;
      EXPECT_EQ(skipping.logits, dense.logits) << "frame " << f;
    }
  }
}

}  // namespace
}  // namespace voxshift
