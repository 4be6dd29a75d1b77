// What a call through the C interface costs more than the same call of C++, in turns, so that both see the same
// machine: c_api_bench [ROUNDS]. The model's own work is as small as it can be: a frame like the last one, a scan
// without points.
#include <voxshift/c_api.h>
#include <voxshift/streaming/frame_preparer.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {

using namespace voxshift;

constexpr int kCalls = 50;  // timed together
constexpr const char* kMotions = VOXSHIFT_PRETRAINED "/tsm-mobilenetv2-motions-i8.safetensors";
constexpr const char* kSegmenter = VOXSHIFT_PRETRAINED "/minkunet-lidar-i8.safetensors";

void must(voxshift_status status) {
  if (status == VOXSHIFT_OK) return;
  std::fprintf(stderr, "%s\n", voxshift_last_error());
  std::exit(1);
}

double nanoseconds(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kCalls; ++i) call();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / kCalls;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Prints medians over `rounds` turns of both, and the median of what C took longer in each.
void compare(const char* what, int rounds, const std::function<void()>& cpp, const std::function<void()>& c) {
  std::vector<double> of_cpp, of_c, more;
  for (int round = 0; round < rounds; ++round) {
    of_cpp.push_back(nanoseconds(cpp));
    of_c.push_back(nanoseconds(c));
    more.push_back(of_c.back() - of_cpp.back());
  }
  std::printf("%-42s C++ %9.0f ns   C %9.0f ns   overhead %7.0f ns\n", what, median(of_cpp), median(of_c),
              median(more));
}

void compare_model(int rounds) {
  voxshift_model model = nullptr;
  must(voxshift_model_load(kMotions, &model));
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  compare(
      "voxshift_model_get_info", rounds, [] {}, [&] { must(voxshift_model_get_info(model, &info)); });
  must(voxshift_model_close(model));
}

void compare_stream(int rounds) {
  voxshift_model model = nullptr;
  voxshift_stream stream = nullptr;
  voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
  options.skip = VOXSHIFT_SKIP_AUTO;
  options.threads = 1;
  must(voxshift_model_load(kMotions, &model));
  must(voxshift_stream_open(model, &options, &stream));
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  must(voxshift_model_get_info(model, &info));

  const std::vector<std::uint8_t> grey(static_cast<std::size_t>(info.frame_height * info.frame_width * 3), 128);
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  frame.width = info.frame_width;
  frame.height = info.frame_height;
  frame.planes[0].data = grey.data();
  frame.planes[0].bytes = grey.size();
  voxshift_result result = VOXSHIFT_RESULT_INIT;

  const VideoNetwork network(Model::load(kMotions));
  StreamOptions cpp_options;
  cpp_options.skip = Skip::kAuto;
  cpp_options.threads = 1;
  Recognizer recognizer(network, cpp_options);
  FramePreparer preparer(network.frames());
  const CameraFrame picture =
      CameraFrame::in_one(PixelFormat::kRgb, frame.width, frame.height, grey.data(), grey.size());
  compare(
      "voxshift_stream_push, like the last frame", rounds, [&] { recognizer.push(preparer.prepare(picture)); },
      [&] { must(voxshift_stream_push(stream, &frame, &result)); });
  if (result.skipped == 0) std::printf("  (not skipped: the network ran)\n");
  must(voxshift_stream_close(stream));
  must(voxshift_model_close(model));
}

void compare_session(int rounds) {
  voxshift_model model = nullptr;
  voxshift_session session = nullptr;
  voxshift_session_options options = VOXSHIFT_SESSION_OPTIONS_INIT;
  options.threads = 1;
  must(voxshift_model_load(kSegmenter, &model));
  must(voxshift_session_open(model, &options, &session));
  Segmenter segmenter(Model::load(kSegmenter), Device::cpu(), 1);
  const Array none({0, 4}, DType::kF32);
  compare(
      "voxshift_session_segment, no points", rounds, [&] { segmenter.segment(none, false); },
      [&] { must(voxshift_session_segment(session, nullptr, 0, 4, nullptr, nullptr)); });
  must(voxshift_session_close(session));
  must(voxshift_model_close(model));
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(std::atoi(argv[1]), 1) : 400;
  compare_model(rounds);
  compare_stream(rounds);
  compare_session(rounds);
  return 0;
}
