// How cuBLASLt is found and called, with a library in its place that multiplies on the host.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <voxshift/kernels_cuda/cublas_lt.h>
#include <voxshift/tensor/error.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "fake_cublas_lt.h"

namespace voxshift::cuda {
namespace {

constexpr int kCompute32 = 68, kCompute32Pedantic = 69;  // CUBLAS_COMPUTE_32F and CUBLAS_COMPUTE_32F_PEDANTIC

const FakeReport& report() {
  static const auto* const report = [] {
    void* const library = dlopen(FAKE_CUBLAS_LT, RTLD_NOW);
    return reinterpret_cast<const FakeReport* (*)()>(dlsym(library, "fake_cublas_lt_report"))();
  }();
  return *report;
}

std::unique_ptr<CublasLt> library() { return CublasLt::create(CublasLt::open({FAKE_CUBLAS_LT})); }

template <class T>
constexpr DType kDType = sizeof(T) == 2 ? DType::kF16 : DType::kF32;

/// Small whole numbers: all sums are exact.
template <class T>
struct Numbers {
  std::int64_t rows, channels, stride;
  std::vector<T> values;  // aligned to 16 by the allocator

  Numbers(std::int64_t number, std::int64_t width, std::int64_t distance, int seed)
      : rows(number), channels(width), stride(distance), values(static_cast<std::size_t>(number * distance)) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<T>((static_cast<int>(i) * 7 + seed * 5) % 9 - 4);
  }
  float at(std::int64_t i, std::int64_t c) const {
    return static_cast<float>(values[static_cast<std::size_t>(i * stride + c)]);
  }
  DenseRows<const void> view() const { return {values.data(), stride, kDType<T>}; }
};

struct alignas(256) Workspace {
  unsigned char bytes[4096];
};

template <class In, class Out>
void expect_product(CublasLt& lt, std::int64_t rows, std::int64_t depth, std::int64_t columns, bool biased, bool relu) {
  SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(depth) + " -> " + std::to_string(columns));
  const Numbers<In> in(rows, depth, depth + 8, 1), weight(depth, columns, (columns + 7) / 8 * 8, 2);
  const Numbers<Out> bias(1, columns, columns, 3);
  Numbers<Out> out(rows, columns, columns + 8, 4);
  const Numbers<Out> before = out;
  const DenseProduct call{rows,          depth,
                          columns,       in.view(),
                          weight.view(), biased ? bias.values.data() : nullptr,
                          relu,          {out.values.data(), out.stride, kDType<Out>}};
  ASSERT_TRUE(lt.workspace(call).has_value());
  Workspace workspace;
  ASSERT_LE(*lt.workspace(call), sizeof(workspace));
  lt.run(call, &workspace, nullptr);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t o = 0; o < out.stride; ++o) {
      float expected = before.at(i, o);
      if (o < columns) {
        expected = biased ? bias.at(0, o) : 0;
        for (std::int64_t c = 0; c < depth; ++c) expected += in.at(i, c) * weight.at(c, o);
        if (relu && expected < 0) expected = 0;
      }
      ASSERT_EQ(out.at(i, o), expected) << "row " << i << ", channel " << o;
    }
}

TEST(CublasLtTest, ProductsHaveBiasAndReluOnRowsOfAnyStride) {
  const auto lt = library();
  ASSERT_NE(lt, nullptr);
  for (const bool biased : {false, true})
    for (const bool relu : {false, true}) {
      expect_product<float, float>(*lt, 37, 12, 20, biased, relu);
      EXPECT_EQ(report().compute, kCompute32Pedantic);
      expect_product<FakeHalf, FakeHalf>(*lt, 5, 24, 40, biased, relu);
      EXPECT_EQ(report().compute, kCompute32);
      expect_product<FakeHalf, float>(*lt, 9, 16, 20, biased, relu);
    }
  EXPECT_EQ(report().alive, 0);
}

template <class T>
void expect_gradient(CublasLt& lt, std::int64_t rows) {
  const Numbers<T> in(rows, 12, 16, 1), grad(rows, 20, 24, 2);
  std::vector<float> out(12 * 20, 99.0f);
  const DenseGradient call{rows, 12, 20, in.view(), grad.view(), out.data()};
  ASSERT_TRUE(lt.workspace(call).has_value());
  EXPECT_EQ(report().rows_asked, rows == 1500 ? 2048 : 1024);
  EXPECT_EQ(report().reductions, 2U);  // joined in a step of its own, from the workspace
  Workspace workspace;
  lt.run(call, &workspace, nullptr);
  for (std::int64_t c = 0; c < 12; ++c)
    for (std::int64_t o = 0; o < 20; ++o) {
      float expected = 0;
      for (std::int64_t i = 0; i < rows; ++i) expected += in.at(i, c) * grad.at(i, o);
      ASSERT_EQ(out[static_cast<std::size_t>(c * 20 + o)], expected) << rows << " rows, " << c << ", " << o;
    }
}

TEST(CublasLtTest, GradientsSumOuterProductsOfRows) {
  const auto lt = library();
  for (const std::int64_t rows : {1, 100, 1500}) {
    expect_gradient<float>(*lt, rows);
    EXPECT_EQ(report().compute, kCompute32Pedantic);
  }
  for (const std::int64_t rows : {100, 1500}) {
    expect_gradient<FakeHalf>(*lt, rows);
    EXPECT_EQ(report().compute, kCompute32);
  }
  EXPECT_EQ(report().alive, 0);
}

TEST(CublasLtTest, TheAlgorithmIsAskedForOnceWhateverTheRows) {
  const auto lt = library();
  const int before = report().asked;
  for (const std::int64_t rows : {1, 2, 70000}) {
    expect_product<float, float>(*lt, rows, 4, 4, false, false);
    EXPECT_EQ(report().algorithm, 3) << "neither one that cuts sums nor one that takes no single row";
    EXPECT_EQ(report().asked, before + 1);
    EXPECT_EQ(report().rows_asked, 65536);
    EXPECT_EQ(report().reductions, 0U);
  }
  expect_product<float, float>(*lt, 2, 4, 8, false, false);
  EXPECT_EQ(report().asked, before + 2);
}

TEST(CublasLtTest, ThreadsAskOnce) {
  const auto lt = library();
  const int before = report().asked;
  const Numbers<float> in(1, 8, 8, 1), weight(8, 8, 8, 2);
  float out[8] = {};
  const DenseProduct call{1, 8, 8, in.view(), weight.view(), nullptr, false, {out, 8, DType::kF32}};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { EXPECT_EQ(lt->workspace(call), std::size_t{1000}); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(report().asked, before + 1);
}

TEST(CublasLtTest, ALibraryThatIsMissingOrLacksAFunctionOrIsNewerIsNone) {
  EXPECT_EQ(CublasLt::open({}), nullptr);
  EXPECT_EQ(CublasLt::open({"libno_such_library.so.1"}), nullptr);
  EXPECT_EQ(CublasLt::open({FAKE_CUBLAS_LT_LACKS_ONE}), nullptr);
  EXPECT_EQ(CublasLt::open({FAKE_CUBLAS_LT_NEWER}), nullptr);
  EXPECT_EQ(CublasLt::create(nullptr), nullptr);
  EXPECT_NE(CublasLt::open({"libno_such_library.so.1", FAKE_CUBLAS_LT_LACKS_ONE, FAKE_CUBLAS_LT_NEWER, FAKE_CUBLAS_LT}),
            nullptr);
  ASSERT_EQ(CublasLt::names().size(), 1U);
  EXPECT_EQ(CublasLt::names()[0].substr(0, 16), "libcublasLt.so.1");
}

TEST(CublasLtTest, CallsWithoutAnAlgorithmHaveNoWorkspaceAndFailuresThrow) {
  const auto lt = library();
  const Numbers<float> in(2, 16, 16, 1), weight(16, 4, 4, 2);
  float out[8] = {};
  DenseProduct call{2, 13, 4, in.view(), weight.view(), nullptr, false, {out, 4, DType::kF32}};
  EXPECT_EQ(lt->workspace(call), std::nullopt);
  EXPECT_THROW(lt->run(call, nullptr, nullptr), DeviceError);
  call.depth = 14;
  EXPECT_EQ(lt->workspace(call), std::nullopt);
  call.depth = 15;
  ASSERT_TRUE(lt->workspace(call).has_value());
  Workspace workspace;
  try {
    lt->run(call, &workspace, nullptr);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("VOXSHIFT_DENSE=own"), std::string::npos) << error.what();
  }
  EXPECT_EQ(report().alive, 0);
}

TEST(CublasLtTest, RowsOfOtherAlignmentHaveAnotherAlgorithm) {
  const auto lt = library();
  const Numbers<float> in(4, 16, 16, 1), weight(8, 8, 8, 2);
  std::vector<float> out(64);
  const auto ask = [&](std::int64_t first, std::int64_t stride) {
    const int before = report().asked;
    const DenseProduct call{3,
                            8,
                            8,
                            {in.values.data() + first, stride, DType::kF32},
                            weight.view(),
                            nullptr,
                            false,
                            {out.data(), 8, DType::kF32}};
    EXPECT_TRUE(lt->workspace(call).has_value());
    Workspace workspace;
    lt->run(call, &workspace, out.data());
    EXPECT_EQ(report().stream, out.data());
    return report().asked - before;
  };
  EXPECT_EQ(ask(0, 16), 1);
  EXPECT_EQ(ask(16, 16), 0);  // a run of the same rows
  EXPECT_EQ(ask(2, 16), 1);
  EXPECT_EQ(ask(0, 10), 0);  // aligned as the one before
  EXPECT_EQ(ask(0, 8), 0);
}

}  // namespace
}  // namespace voxshift::cuda
