// Networks whose ops do not fuse: they run as steps of their own, on clips and in streams, dense and skipping.
#include <voxshift/engine/evaluate.h>
#include <voxshift/engine/session.h>

#include <functional>

#include "stream_cases.h"

namespace voxshift {
namespace {

struct Case {
  const char* name;
  std::function<std::string(NetworkBuilder&, const std::string&)> middle;  ///< what follows the first convolution
  bool from_frame = false;                                                 ///< what follows the frame itself
};

std::string act(NetworkBuilder& net, const char* name, const char* op, const std::string& x) {
  return net.add(name, op, {x});
}

std::vector<Case> cases() {
  return {
      {"batch norm behind an activation",
       [](NetworkBuilder& net, const std::string& x) { return net.norm("late", net.relu("r", x)); }},
      {"activation of a pooling",
       [](NetworkBuilder& net, const std::string& x) {
         return act(net, "s", "sigmoid", net.max_pool2d("p", x, {2, 2, 0}));
       }},
      {"sum of one value",
       [](NetworkBuilder& net, const std::string& x) {
         return net.add("twice", "add", {x, x});
       }},
      {"sum behind an activation",
       [](NetworkBuilder& net, const std::string& x) {
         return net.add("sum", "add", {x, net.relu("r", net.conv2d("second", x, 8, 1))});
       }},
      {"sum behind an inverted residual's activation",
       [](NetworkBuilder& net, const std::string& x) {
         const std::string y = net.conv2d("filter", net.conv2d("expand", x, 12, 1), 12, 3, 1, 12);
         return net.add("sum", "add", {x, net.relu("r", net.conv2d("project", y, 8, 1))});
       }},
      {"sum with a depthwise convolution",
       [](NetworkBuilder& net, const std::string& x) {
         return net.add("sum", "add", {net.max_pool2d("p", x, {3, 1, 1}), net.conv2d("filter", x, 8, 3, 1, 8)});
       }},
      {"shift before a wide convolution",
       [](NetworkBuilder& net, const std::string& x) {
         return net.conv2d("wide", net.temporal_shift("shift", x, {4, false}), 8, 3);
       }},
      {"shift with two users",
       [](NetworkBuilder& net, const std::string& x) {
         const std::string y = net.temporal_shift("shift", x, {4, false});
         return net.add("sum", "add", {net.conv2d("a", y, 8, 1), net.conv2d("b", y, 8, 1)});
       }},
      {"shift that is pooled",
       [](NetworkBuilder& net, const std::string& x) {
         return net.temporal_shift("shift", x, {4, false});
       }},
      {"convolutions without a kernel of their own: dilated, in groups",
       [](NetworkBuilder& net, const std::string& x) {
         const std::string y = net.conv2d("dilated", x, 8, 3);
         net.node().attributes["dilation"] = std::int64_t{2};
         return net.conv2d("groups", net.relu("r", y), 12, 3, 1, 4);
       }},
      {"concatenation, read before it is whole",
       [](NetworkBuilder& net, const std::string& x) {
         const std::string a = net.relu("a", net.conv2d("first a", x, 8, 3));
         const std::string b = net.conv2d("second b", a, 4, 3);
         return net.conv2d("last", net.add("joined", "cat", {a, b, x}), 8, 1);
       }},
      {"squeeze and excitation",
       [](NetworkBuilder& net, const std::string& x) {
         const std::string gate = act(net, "gate", "sigmoid", net.linear("squeeze", act(net, "m", "avg_pool", x), 8));
         return net.add("scaled", "multiply", {x, net.add("spread", "broadcast", {gate, x})});
       }},
      {"pooled frame",
       [](NetworkBuilder& net, const std::string&) {
         return net.conv2d("c", net.max_pool2d("p", kGraphInput, {3, 2, 1}), 8, 3);
       },
       true},
      {"shifted frame",
       [](NetworkBuilder& net, const std::string&) {
         return net.conv2d("c", net.temporal_shift("s", kGraphInput, {3, false}), 8, 1);
       },
       true},
  };
}

Network plain_network(const Case& c) {
  NetworkBuilder net(InputKind::kFrames, 3, 1);
  std::string x = c.middle(net, c.from_frame ? std::string(kGraphInput) : net.conv2d("first", kGraphInput, 8, 3, 2));
  x = net.add("mean", "avg_pool", {x});
  return with_norms(net.take(net.linear("classes", x, 5)));
}

class StreamOpsTest : public StreamTest {};
VOXSHIFT_FOR_EACH_DEVICE(StreamOpsTest);

TEST_P(StreamOpsTest, ClipsAndStreamsEqualThePlainNodes) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const OneThread small_ops;
    const Network plain = plain_network(c);
    const Clip clip(19, 22, 5);
    const Array expected = evaluate(plain.graph, plain.parameters, clip.normalized());
    const VideoNetwork network = network_of(plain, 19, 22);
    const Array together = recognize_frames(network, clip.array(), 1);
    EXPECT_LE(relative_change(floats(together.values<float>()), floats(expected.values<float>())), 1e-5);
    Recognizer stream(network, options_of(Skip::kOff));
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const float* row = expected.data<float>() + f * 5;
      EXPECT_LE(relative_change(push(stream, clip.frame(f)).logits, {row, row + 5}), 1e-5) << "frame " << f;
    }
  }
}

// A square moves over a still background, so that most pixels of every layer are left out; then the frame stands.
TEST_P(StreamOpsTest, ExactSkippingGivesTheBitsOfDenseFrames) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const VideoNetwork network = network_of(plain_network(c), 40, 44);
    const Clip clip(40, 44, 6, 2);
    Recognizer dense(network, options_of(Skip::kOff)), exact(network, always(options_of(Skip::kExact))),
        chosen(network, options_of(Skip::kExact));
    for (std::size_t f = 0; f < clip.count(); ++f) {
      SCOPED_TRACE(f);
      const Seen expected = push(dense, clip.frame(f)), seen = push(exact, clip.frame(f));
      expect_same(seen, expected);
      EXPECT_EQ(expected.cost.macs, expected.cost.dense_macs);
      if (f == 0) {
        EXPECT_EQ(seen.cost.macs, seen.cost.dense_macs);
      }
      expect_same(push(chosen, clip.frame(f)), expected);
      if (f > 1) {
        EXPECT_LT(seen.cost.macs, expected.cost.macs);
      }  // the first shift is from zeros
    }
  }
}

// Thresholds hold back small changes of what does not fuse, too, and the first frame after a reset has none.
TEST_P(StreamOpsTest, ThresholdsAndThreadsGiveTheSameBits) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const VideoNetwork network = network_of(plain_network(c), 24, 20);
    const Clip clip = Clip(24, 20, 4).add_noise(3);
    Recognizer one(network, always(options_of(Skip::kThreshold, 0.05f, 1))),
        three(network, always(options_of(Skip::kThreshold, 0.05f, 3)));
    for (std::size_t f = 0; f < clip.count(); ++f) {
      const Seen expected = push(one, clip.frame(f)), seen = push(three, clip.frame(f));
      expect_same(seen, expected);
      EXPECT_EQ(seen.cost.macs, expected.cost.macs);
    }
    one.reset();
    Recognizer fresh(network, always(options_of(Skip::kThreshold, 0.05f)));
    expect_same(push(one, clip.frame(1)), push(fresh, clip.frame(1)));
  }
}

// A session takes frames of any extent, one extent after the other, and gives images as such.
TEST_P(StreamOpsTest, ASessionRunsFrames) {
  NetworkBuilder net(InputKind::kFrames, 3, 1);
  const std::string x = net.relu("r", net.conv2d("c", kGraphInput, 8, 3, 2));
  net.linear("classes", net.add("mean", "avg_pool", {x}), 5);
  Network network = net.take("classes");
  network.graph.outputs = {"r", "classes"};
  Session session(network, device(), 2, DType::kF32);
  session.report_layers(true);
  for (const auto& [height, width] : {std::pair{12, 10}, std::pair{9, 16}, std::pair{12, 10}}) {
    const Clip clip(height, width, 3);
    const Outputs out = session.run(clip.normalized().to(device()));
    EXPECT_EQ(out.at("r").features.shape(), (Shape{3, (height + 1) / 2, (width + 1) / 2, 8}));
    EXPECT_EQ(out.at("classes").features.shape(), (Shape{3, 5}));
    Graph one = network.graph;
    for (const char* name : {"r", "classes"}) {
      one.outputs = {name};
      const Array expected = evaluate(one, network.parameters, clip.normalized());
      const Array found = out.at(name).features.to(Device::cpu());
      EXPECT_LE(relative_change(floats(found.values<float>()), floats(expected.values<float>())), 1e-5);
    }
    EXPECT_GT(session.report().macs, 0);
  }
  const auto refuses = [&](const Array& frames, const std::vector<std::string>& parts) {
    expect_throw([&] { session.run(frames.to(device())); }, parts);
  };
  refuses(Array({3, 12, 10, 4}, DType::kF32), {"[run]", "[T, H, W, 3]", "[3, 12, 10, 4]"});
  refuses(Array({12, 10, 3}, DType::kF32), {"[run]", "[12, 10, 3]"});
  expect_throw([&] { session.run(PointSet{Array({3, 3}, DType::kF32), {}}); }, {"[run]", "takes frames, not points"});
}

// A stream knows nothing of classes: any outputs, images among them, skipping or not.
TEST_P(StreamOpsTest, AStreamGivesEveryOutput) {
  NetworkBuilder net(InputKind::kFrames, 3, 1);
  const std::string x = net.relu("r", net.conv2d("c", kGraphInput, 8, 3, 2));
  Network network = net.take(net.linear("classes", net.add("mean", "avg_pool", {x}), 5));
  network.graph.outputs = {"r", "classes"};
  FrameProfile frames;
  frames.height = 20, frames.width = 24;
  const FrameNetwork ready(network, frames, device(), DType::kF32);
  EXPECT_EQ(ready.outputs(), (std::vector<std::string>{"r", "classes"}));
  const Clip clip(20, 24, 4);
  FrameStream dense(ready), exact(ready, always(options_of(Skip::kExact)));
  EXPECT_EQ(dense.output("classes").shape(), (Shape{5}));
  for (std::size_t f = 0; f < clip.count(); ++f) {
    dense.push(clip.frame(f));
    exact.push(clip.frame(f));
    Graph image = network.graph;
    for (const char* name : {"r", "classes"}) {
      image.outputs = {name};
      const Array expected = evaluate(image, network.parameters, Clip(clip).only(f).normalized());
      const Array found = dense.output(name);
      EXPECT_LE(relative_change(floats(found.values<float>()), floats(expected.values<float>())), 1e-5);
      expect_same_bits(exact.output(name), found);
    }
    EXPECT_EQ(dense.output("r").shape(), (Shape{10, 12, 8}));
    EXPECT_EQ(dense.values(1).size(), 5U);
  }
  expect_throw([&] { dense.output("input"); }, {"[stream]", "no output \"input\""});
}

}  // namespace
}  // namespace voxshift
