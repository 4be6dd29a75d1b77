// Each allocation of a piece of work is refused once: an error or the right result, nothing leaks, and what was there
// before works on.
#include <gtest/gtest.h>
extern "C" {  // its own header leaves that to whoever includes it
#include <lzf.h>
}
#include <sys/wait.h>
#include <voxshift/files/atomic_file.h>
#include <voxshift/files/read_points.h>
#include <voxshift/networks/minkunet.h>
#include <voxshift/networks/pvcnn.h>
#include <voxshift/networks/spvcnn.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "counting_allocator.h"
#include "file_test.h"
#include "video_cases.h"

namespace voxshift {
namespace {

using Values = std::vector<float>;

constexpr long kAllLater = std::numeric_limits<long>::max();

/// What call() made while some of its memory was refused.
struct Outcome {
  bool failed = false;  ///< with an error that says so
  Values values;
  long calls = 0;
};

Outcome refusing(long first, long count, const std::function<Values()>& call) {
  Outcome outcome;
  outcome.calls = calls_refusing(first, count, [&] {
    try {
      outcome.values = call();
    } catch (const std::bad_alloc&) {
      outcome.failed = true;
    } catch (const Error&) {
      outcome.failed = true;
    }
  });
  return outcome;
}

/// Refuses call() its n-th allocation, and all from the n-th on, for every n, or for some `most` of them; `between` is
/// what must work after each. What call() makes and drops must be gone.
void refuse_each(
    const std::function<Values()>& call, const std::function<void()>& between = [] {}, long most = 40) {
  const Values expected = call();
  between();
  const long calls = refusing(0, 0, call).calls;
  ASSERT_GT(calls, 0);
  long refusals = 0;
  for (long n = 1; n <= calls; n += 1 + calls / most) {
    for (const long count : {1L, kAllLater}) {
      SCOPED_TRACE("allocation " + std::to_string(n) + " of " + std::to_string(calls) +
                   (count > 1 ? " and all later" : ""));
      const long before = live;
      {
        const Outcome outcome = refusing(n, count, call);
        refusals += outcome.failed;
        ASSERT_TRUE(outcome.failed || outcome.values == expected);
      }
      between();
      ASSERT_EQ(live, before);
    }
  }
  EXPECT_GT(refusals, 0);
}

class RefusedMemory : public FileTest {
 protected:
  void SetUp() override {
    if (!kCanCount) GTEST_SKIP() << "a sanitizer, or another libc than glibc, has the allocator";
    FileTest::SetUp();
  }
};

Array first_points(const SynthScan& scan, std::int64_t n) {
  return Array::from(Values(scan.points.begin(), scan.points.begin() + 4 * n), {n, 4});
}

std::vector<Model> point_models() {
  const auto model_of = [](const char* arch, const Network& network, const char* profile) {
    return Model(arch, network.graph, network.parameters, find_profile(profile), semantic_kitti_classes());
  };
  PvcnnSpec spec = PvcnnSpec::s3dis();
  spec.width = spec.resolution = 1.0 / 8;
  spec.in_channels = 7;
  spec.classes = 19;
  return {model_of("minkunet", make_minkunet(1.0 / 16, 19, 1), "spvnas"),
          model_of("spvcnn", make_spvcnn(1.0 / 16, 19, 1), "spvnas"),
          model_of("pvcnn", make_pvcnn(spec, 1), "kitti-blocks")};
}

Values segmented(Segmenter& segmenter, const Array& points) {
  const Segmentation result = segmenter.segment(points, true);
  Values values(result.scores.values<float>().begin(), result.scores.values<float>().end());
  for (const std::uint8_t label : result.labels.values<std::uint8_t>()) values.push_back(label);
  return values;
}

TEST_F(RefusedMemory, OfAnArenaThatJoinsItsBlocks) {
  Arena arena;
  const auto grow = [&] {
    for (int i = 0; i < 3; ++i) arena.allocate<std::byte>(std::int64_t{3} << 20);
    return Values();
  };
  grow();
  EXPECT_TRUE(refusing(1, kAllLater, [&] {
                arena.reset();
                return Values();
              }).failed);
  grow();
  arena.reset();
  const std::size_t bytes = arena.bytes();
  grow();
  EXPECT_EQ(arena.bytes(), bytes);
}

TEST_F(RefusedMemory, OfAPoolThatStartsItsThreads) {
  const auto count_task = [](const void* done, std::int64_t task, int) {
    ++static_cast<int*>(const_cast<void*>(done))[task];
  };
  for (long n = 1; n <= 20; ++n) {
    for (const long count : {1L, kAllLater}) {
      SCOPED_TRACE(std::to_string(n) + (count > 1 ? " and all later" : ""));
      ThreadPool pool(4);
      std::vector<int> done(100, 0);
      const auto run = [&] {
        pool.run(4, 100, count_task, done.data());
        return Values();
      };
      EXPECT_FALSE(refusing(n, count, run).failed);  // those that are there do the work of those that are not
      run();
      EXPECT_EQ(done, std::vector<int>(100, 2));
    }
  }
}

TEST_F(RefusedMemory, OfAPoolThatWasNeverMade) {
  { const ThreadPool first(2); }  // makes the list of all pools
  for (long n = 1, calls = n; n <= calls; ++n) {
    alignas(ThreadPool) std::byte place[sizeof(ThreadPool)];
    std::ranges::fill(place, std::byte{0xff});
    calls = refusing(n, 1, [&] {
              std::destroy_at(new (place) ThreadPool(2));
              return Values();
            }).calls;
    const pid_t child = fork();  // has every pool that there is replace its threads
    if (child == 0) _exit(0);
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << n << ", status " << status;
  }
}

TEST_F(RefusedMemory, OfASessionAndItsScans) {
  const SynthScan scan = synth_lidar(1);
  const Array small = first_points(scan, 60), large = first_points(scan, 600), huge = first_points(scan, 6000);
  for (const Model& model : point_models()) {
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(model.arch() + ", threads: " + std::to_string(threads));
      refuse_each([&] {
        Segmenter segmenter(model, Device::cpu(), threads);
        return segmented(segmenter, small);
      });

      Segmenter segmenter(model, Device::cpu(), threads);
      const Values of_small = segmented(segmenter, small), of_huge = segmented(segmenter, huge);
      const auto works = [&] { ASSERT_EQ(segmented(segmenter, small), of_small); };
      refuse_each([&] { return segmented(segmenter, large); }, works);

      // A segmenter that has to grow, by a scan that is larger than the ones before.
      for (long n = 1, calls = n; n <= calls; n += 1 + calls / 40) {
        Segmenter growing(model, Device::cpu(), threads);
        segmented(growing, small);
        calls = refusing(n, 1, [&] { return segmented(growing, huge); }).calls;
        ASSERT_EQ(segmented(growing, small), of_small) << n;
        ASSERT_EQ(segmented(growing, huge), of_huge) << n;
      }
    }
  }
}

TEST_F(RefusedMemory, OfAModelFile) {
  const Model model = point_models()[0];
  const fs::path path = folder_ / "m.safetensors";
  model.save(path);
  const auto parameters = [](const Model& read) {
    Values values;
    for (const auto& [name, array] : read.parameters())
      values.insert(values.end(), array.values<float>().begin(), array.values<float>().end());
    return values;
  };
  refuse_each([&] { return parameters(Model::load(path)); });
}

TEST_F(RefusedMemory, OfAFileThatIsWritten) {
  const fs::path path = put("a.txt", "old");
  const auto is_whole = [&] {
    ASSERT_EQ(names(), std::vector<std::string>{"a.txt"});
    ASSERT_TRUE(get(path) == "old" || get(path) == std::string(100'000, 'x'));
    put("a.txt", "old");
  };
  refuse_each(
      [&] {
        write_atomically(path, [](std::ostream& stream) { stream << std::string(100'000, 'x'); });
        return Values();
      },
      is_whole);
}

TEST_F(RefusedMemory, OfPointFiles) {
  const Values values = {1, 2, 3, 0.5F, 4, 5, 6, 0.25F, 7, 8, 9, 1};
  const std::string bytes = bytes_of(values), xyzi =
                                                  "property float x\nproperty float y\nproperty float z\n"
                                                  "property float intensity\nend_header\n";
  const std::string text = "1 2 3 0.5\n4 5 6 0.25\n7 8 9 1\n";
  const std::string pcd =
      "VERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH 3\n"
      "HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\nDATA ";
  std::string by_field;
  for (std::size_t field = 0; field < 4; ++field)
    for (std::size_t point = 0; point < 3; ++point) by_field += bytes.substr(4 * (4 * point + field), 4);
  std::string packed(200, '\0');
  packed.resize(lzf_compress(by_field.data(), static_cast<unsigned>(by_field.size()), packed.data(), 200));
  ASSERT_FALSE(packed.empty());
  const std::vector<std::uint32_t> sizes = {static_cast<std::uint32_t>(packed.size()), 48};
  const std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
  for (const fs::path& path : {
           put("a.bin", bytes),
           put("a.npy",
               std::string("\x93NUMPY\1\0", 8) + static_cast<char>(dictionary.size()) + '\0' + dictionary + bytes),
           put("text.ply", "ply\nformat ascii 1.0\nelement vertex 3\n" + xyzi + text),
           put("binary.ply", "ply\nformat binary_little_endian 1.0\nelement vertex 3\n" + xyzi + bytes),
           put("text.pcd", pcd + "ascii\n" + text),
           put("binary.pcd", pcd + "binary\n" + bytes),
           put("packed.pcd", pcd + "binary_compressed\n" + bytes_of(sizes) + packed),
       }) {
    SCOPED_TRACE(path.filename());
    ASSERT_EQ(read_points(path).points, values);
    refuse_each([&] { return read_points(path).points; });
  }
}

Values pushed(Recognizer& stream, const std::vector<Array>& frames) {
  Values values;
  values.reserve(100);
  for (const Array& frame : frames) {
    const FrameResult result = stream.push(frame);
    values.insert(values.end(), result.logits.begin(), result.logits.end());
  }
  return values;
}

std::vector<Array> frames_of(const Clip& clip) {
  std::vector<Array> frames;
  for (std::size_t f = 0; f < clip.count(); ++f) frames.push_back(clip.frame(f));
  return frames;
}

TEST_F(RefusedMemory, OfAStream) {
  const Model model = video_model(tiny_network(), 40, 40);
  const std::vector<Array> frames = frames_of(Clip(40, 40, 4, 2));
  for (const Skip skip : {Skip::kOff, Skip::kExact}) {
    SCOPED_TRACE("skip " + std::to_string(static_cast<int>(skip)));
    refuse_each([&] {
      Recognizer stream(VideoNetwork(model), options_of(skip, 0, 2));
      return pushed(stream, frames);
    });
  }
}

// What a failed frame has left in some layers is forgotten. Two threads need more than a block of scratch memory here,
// so that some frames fail in their middle.
TEST_F(RefusedMemory, OfAFrameAfterWhichTheStreamStartsAnew) {
  const VideoNetwork network(video_model(mobilenet(1), 112, 112));
  const std::vector<Array> frames = frames_of(Clip(112, 112, 2));
  for (const Skip skip : {Skip::kOff, Skip::kExact}) {
    SCOPED_TRACE("skip " + std::to_string(static_cast<int>(skip)));
    Recognizer whole(network, options_of(skip, 0, 2));
    const Values expected = pushed(whole, frames);
    long failures = 0;
    for (long n = 1, calls = n; n <= calls; ++n) {
      Recognizer stream(network, options_of(skip, 0, 2));
      const Outcome outcome = refusing(n, 1, [&] {
        stream.push(frames[0]);
        return Values();
      });
      calls = outcome.calls;
      failures += outcome.failed;
      if (!outcome.failed) stream.reset();
      EXPECT_EQ(pushed(stream, frames), expected) << n;
    }
    EXPECT_GE(failures, 4);
  }
}

}  // namespace
}  // namespace voxshift
