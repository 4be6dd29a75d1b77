#include <gtest/gtest.h>
#include <voxshift/convert/kernel_layout.h>
#include <voxshift/tensor/error.h>

#include <functional>
#include <vector>

namespace voxshift {
namespace {

// A weight is a number that tells its tap and channels.
float number(std::int64_t x, std::int64_t y, std::int64_t z, std::int64_t in, std::int64_t out) {
  return static_cast<float>((((x * 10 + y) * 10 + z) * 10 + in) * 10 + out);
}

using Place =
    std::function<std::int64_t(std::int64_t x, std::int64_t y, std::int64_t z, std::int64_t i, std::int64_t o)>;

struct Window3 {
  std::int64_t x, y, z, in, out;

  std::vector<float> written(const Place& place) const {
    std::vector<float> numbers(static_cast<std::size_t>(x * y * z * in * out), -1);
    for (std::int64_t a = 0; a < x; ++a)
      for (std::int64_t b = 0; b < y; ++b)
        for (std::int64_t c = 0; c < z; ++c)
          for (std::int64_t i = 0; i < in; ++i)
            for (std::int64_t o = 0; o < out; ++o)
              numbers[static_cast<std::size_t>(place(a, b, c, i, o))] = number(a, b, c, i, o);
    return numbers;
  }
  std::vector<float> ours() const {
    return written(
        [this](auto a, auto b, auto c, auto i, auto o) { return (((a * y + b) * z + c) * in + i) * out + o; });
  }
  KernelShape shape(bool reversed = false) const {
    KernelShape kernel;
    kernel.size = {x, y, z};
    kernel.in = in;
    kernel.out = out;
    kernel.reversed_axes = reversed;
    return kernel;
  }
};

void expect_turned(const Window3& w, KernelLayout layout, const Shape& shape, const Place& place,
                   bool reversed = false) {
  const KernelShape kernel = w.shape(reversed);
  EXPECT_EQ(stored_shapes(kernel, layout).front(), shape);
  const Array stored = Array::from(w.written(place), shape);
  const Array ours = from_layout(stored, kernel, layout);
  EXPECT_EQ(ours.shape(), (Shape{w.x * w.y * w.z, w.in, w.out}));
  EXPECT_EQ(std::vector<float>(ours.values<float>().begin(), ours.values<float>().end()), w.ours());
  const Array back = to_layout(ours, kernel, layout);
  EXPECT_EQ(back.shape(), shape);
  EXPECT_TRUE(std::equal(back.values<float>().begin(), back.values<float>().end(), stored.values<float>().begin()));
}

constexpr Window3 kCube{3, 3, 3, 2, 4}, kEven{2, 2, 2, 2, 4}, kFlat{3, 1, 3, 4, 2}, kLong{1, 3, 5, 3, 2};

TEST(KernelLayout, TorchsparseHasTheFirstAxisFastestWhereTheNumberOfTapsIsOdd) {
  for (const Window3& w : {kCube, kFlat, kLong})
    expect_turned(
        w, KernelLayout::kTorchsparse, {w.x * w.y * w.z, w.in, w.out},
        [&](auto a, auto b, auto c, auto i, auto o) { return ((a + w.x * (b + w.y * c)) * w.in + i) * w.out + o; });
}

TEST(KernelLayout, TorchsparseHasTheLastAxisFastestWhereTheNumberOfTapsIsEven) {
  const Window3& w = kEven;
  expect_turned(w, KernelLayout::kTorchsparse, {8, 2, 4},
                [&](auto a, auto b, auto c, auto i, auto o) { return ((4 * a + 2 * b + c) * w.in + i) * w.out + o; });
}

TEST(KernelLayout, MinkowskiHasTheFirstAxisFastestAlways) {
  for (const Window3& w : {kCube, kEven, kFlat, kLong})
    expect_turned(
        w, KernelLayout::kMinkowski, {w.x * w.y * w.z, w.in, w.out},
        [&](auto a, auto b, auto c, auto i, auto o) { return ((a + w.x * (b + w.y * c)) * w.in + i) * w.out + o; });
}

TEST(KernelLayout, Spconv1PutsChannelsLast) {
  for (const Window3& w : {kCube, kEven, kFlat, kLong})
    expect_turned(w, KernelLayout::kSpconv1, {w.x, w.y, w.z, w.in, w.out}, [&](auto a, auto b, auto c, auto i, auto o) {
      return (((a * w.y + b) * w.z + c) * w.in + i) * w.out + o;
    });
}

TEST(KernelLayout, Spconv20PutsOutputChannelsBeforeInputChannels) {
  for (const Window3& w : {kCube, kEven, kFlat, kLong})
    expect_turned(
        w, KernelLayout::kSpconv20, {w.x, w.y, w.z, w.out, w.in},
        [&](auto a, auto b, auto c, auto i, auto o) { return (((a * w.y + b) * w.z + c) * w.out + o) * w.in + i; });
}

TEST(KernelLayout, Spconv22PutsOutputChannelsFirst) {
  for (const Window3& w : {kCube, kEven, kFlat, kLong})
    expect_turned(
        w, KernelLayout::kSpconv22, {w.out, w.x, w.y, w.z, w.in},
        [&](auto a, auto b, auto c, auto i, auto o) { return (((o * w.x + a) * w.y + b) * w.z + c) * w.in + i; });
}

// spconv 2.0 and 2.1 take their algorithm, and with it the layout, by the number of taps.
TEST(KernelLayout, Spconv22TakesManyTapsAsSpconv20HasThem) {
  const Window3 w{5, 5, 5, 2, 4};
  const auto numbers = w.written(
      [&](auto a, auto b, auto c, auto i, auto o) { return (((a * w.y + b) * w.z + c) * w.out + o) * w.in + i; });
  EXPECT_EQ(stored_shapes(w.shape(), KernelLayout::kSpconv22), (std::vector<Shape>{{4, 5, 5, 5, 2}, {5, 5, 5, 4, 2}}));
  const Array ours = from_layout(Array::from(numbers, {5, 5, 5, 4, 2}), w.shape(), KernelLayout::kSpconv22);
  EXPECT_EQ(std::vector<float>(ours.values<float>().begin(), ours.values<float>().end()), w.ours());
  EXPECT_EQ(stored_shapes(kCube.shape(), KernelLayout::kSpconv22).size(), 1U);
}

TEST(KernelLayout, AxesMayBeReversed) {
  for (const Window3& w : {kCube, kEven, kFlat, kLong})
    expect_turned(
        w, KernelLayout::kSpconv22, {w.out, w.z, w.y, w.x, w.in},
        [&](auto a, auto b, auto c, auto i, auto o) { return (((o * w.z + c) * w.y + b) * w.x + a) * w.in + i; }, true);
}

// spconv/pytorch/conv.py multiplies by weight.view(in_channels, out_channels), whatever the shape of the tensor says.
TEST(KernelLayout, OneTapOfSpconv2IsUsedAsViewOfInByOut) {
  const Window3 w{1, 1, 1, 3, 2};
  const auto view = [&](auto, auto, auto, auto i, auto o) { return i * w.out + o; };
  expect_turned(w, KernelLayout::kSpconv22, {2, 1, 1, 1, 3}, view);
  expect_turned(w, KernelLayout::kSpconv20, {1, 1, 1, 2, 3}, view);
  expect_turned(w, KernelLayout::kSpconv1, {1, 1, 1, 3, 2}, view);
}

// .. but for a strided layer, which is no matrix product there.
TEST(KernelLayout, OneTapOfSpconv2WithAStrideIsStoredByItsShape) {
  static constexpr Window3 kWindow{1, 1, 1, 3, 2};
  KernelShape kernel = kWindow.shape();
  kernel.strided = true;
  const std::vector<float> turned =
      kWindow.written([](auto, auto, auto, auto i, auto o) { return o * kWindow.in + i; });
  for (const auto& [layout, shape] : {std::pair{KernelLayout::kSpconv22, Shape{2, 1, 1, 1, 3}},
                                      std::pair{KernelLayout::kSpconv20, Shape{1, 1, 1, 2, 3}}}) {
    const Array ours = from_layout(Array::from(turned, shape), kernel, layout);
    EXPECT_EQ(std::vector<float>(ours.values<float>().begin(), ours.values<float>().end()), kWindow.ours());
    const Array back = to_layout(ours, kernel, layout);
    EXPECT_EQ(std::vector<float>(back.values<float>().begin(), back.values<float>().end()), turned);
  }
}

TEST(KernelLayout, OneTapOfFlatLayoutsHasNoAxisOfTaps) {
  const Window3 w{1, 1, 1, 3, 2};
  for (const KernelLayout layout : {KernelLayout::kTorchsparse, KernelLayout::kMinkowski}) {
    EXPECT_EQ(stored_shapes(w.shape(), layout), (std::vector<Shape>{{3, 2}, {1, 3, 2}}));
    expect_turned(w, layout, {3, 2}, [&](auto, auto, auto, auto i, auto o) { return i * w.out + o; });
  }
}

// A layer of spconv 1 that finds another's map under its key multiplies by its first weights, as many as that map has.
TEST(KernelLayout, FirstTapsAreTakenWhereMoreAreStored) {
  KernelShape kernel;
  kernel.size = {1, 3, 3};
  kernel.stored = {3, 3, 3};
  kernel.in = 2;
  kernel.out = 1;
  EXPECT_EQ(stored_shapes(kernel, KernelLayout::kSpconv1), (std::vector<Shape>{{3, 3, 3, 2, 1}}));
  std::vector<float> numbers(54);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  const Array stored = Array::from(numbers, {3, 3, 3, 2, 1});
  const Array ours = from_layout(stored, kernel, KernelLayout::kSpconv1);
  ASSERT_EQ(ours.shape(), (Shape{9, 2, 1}));
  for (std::int64_t i = 0; i < 18; ++i) EXPECT_EQ(ours.data<float>()[i], static_cast<float>(i));
}

TEST(KernelLayout, HasNames) {
  for (const char* each : {"torchsparse", "minkowski", "spconv1", "spconv2.0", "spconv2.2"})
    EXPECT_STREQ(name(kernel_layout(each)), each);
  EXPECT_THROW(kernel_layout("spconv3"), InvalidArgument);
}

}  // namespace
}  // namespace voxshift
