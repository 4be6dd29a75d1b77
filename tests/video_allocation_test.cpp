// A stream calls the allocator for nothing once it has seen a frame. The allocator is counted by standing in for
// glibc's entry points.
#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "video_cases.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
constexpr bool kCanCount = false;
namespace {
std::atomic<long> calls{0};
std::atomic<bool> counting{false};
}  // namespace
#else
constexpr bool kCanCount = true;
namespace {
std::atomic<long> calls{0};
std::atomic<bool> counting{false};
void count() {
  if (counting.load(std::memory_order_relaxed)) calls.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

extern "C" {
// NOLINTBEGIN: names of glibc
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
// NOLINTEND

void* malloc(std::size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t n, std::size_t bytes) {
  count();
  return __libc_calloc(n, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
  count();
  return __libc_realloc(memory, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  count();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif

namespace voxshift {
namespace {

template <class Call>
long calls_in(Call call) {
  calls = 0;
  counting = true;
  call();
  counting = false;
  return calls;
}

class VideoAllocation : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!kCanCount) GTEST_SKIP() << "a sanitizer, or another libc than glibc, has the allocator";
  }
};

INSTANTIATE_TEST_SUITE_P(Threads, VideoAllocation, ::testing::Values(1, 2));

TEST_P(VideoAllocation, TheCounterCounts) {
  EXPECT_EQ(calls_in([] {}), 0);
  EXPECT_GE(calls_in([] { Array({3}, DType::kF32); }), 1);
}

TEST_P(VideoAllocation, NothingAfterTheFirstFrame) {
  struct Case {
    const char* name;
    Network network;
    std::int64_t size;
  };
  for (const Case& c : {Case{"tiny", tiny_network(), 40},
                        Case{"mobilenet", make_tsm_mobilenetv2({1.0, 5, {}}, 1), GetParam() == 1 ? 224 : 64},
                        Case{"resnet", resnet(0.25), 64}}) {
    SCOPED_TRACE(c.name);
    const VideoNetwork network(video_model(c.network, c.size, c.size));
    const Clip clip(c.size, c.size, 4, 2);
    SkipThresholds thresholds{0.2f, {}, 1};
    for (const VideoLayer& layer : network.layers()) thresholds.layers[layer.name] = 0.2f;
    for (const Skip skip : {Skip::kOff, Skip::kExact, Skip::kThreshold, Skip::kAuto}) {
      SCOPED_TRACE(static_cast<int>(skip));
      StreamOptions options = options_of(skip, 0.2f, GetParam());
      options.thresholds = thresholds;
      VideoStream stream(network, options);
      for (std::size_t f = 0; f < clip.count(); ++f) {
        const Array frame = clip.frame(f);
        const long calls_of_frame = calls_in([&] { stream.push(frame); });
        EXPECT_TRUE(f == 0 || calls_of_frame == 0) << calls_of_frame << " calls, frame " << f;
      }
      const Array frame = clip.frame(0);
      EXPECT_EQ(calls_in([&] {
                  stream.reset();
                  stream.push(frame);
                }),
                0);
    }
  }
}

}  // namespace
}  // namespace voxshift
