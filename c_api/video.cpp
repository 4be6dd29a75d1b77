// Streams: camera frames to what they show.
#include <voxshift/streaming/frame_preparer.h>
#include <voxshift/tasks/recognizer.h>

#include <chrono>

#include "objects.h"
#include "parts.h"

namespace voxshift::c_api {

const bool kHasVideo = true;

namespace {

using Clock = std::chrono::steady_clock;

struct OpenStream {
  using Handle = voxshift_stream;
  static constexpr std::uintptr_t kKind = 3;
  static constexpr const char* kName = "stream";

  OpenStream(std::shared_ptr<OpenModel> open, const VideoNetwork& network, const StreamOptions& options)
      : model(std::move(open)), preparer(network.frames()), recognizer(network, options) {}

  std::shared_ptr<OpenModel> model;
  FramePreparer preparer;
  Recognizer recognizer;
  Array output = {};  ///< that was asked for last
  std::atomic<bool> taken = false;
};

using Streams = HandleTable<OpenStream>;

/// `names[value]`. Throws InvalidArgument for a number that none of them has.
template <class Named, std::size_t kCount>
Named named(std::int32_t value, const Named (&names)[kCount], const char* what) {
  check(value >= 0 && static_cast<std::size_t>(value) < kCount, what, " expects 0 to ", kCount - 1, ", found ", value);
  return names[value];
}

StreamOptions options_of(const voxshift_stream_options& given) {
  static constexpr Skip kSkips[] = {Skip::kOff, Skip::kExact, Skip::kThreshold, Skip::kAuto};
  StreamOptions options;
  options.skip = named(given.skip, kSkips, "skip");
  options.threshold = given.threshold;
  options.key_frame_interval = given.key_frame_interval;
  options.threads = given.threads;
  return options;
}

CameraFrame frame_of(const voxshift_frame& given) {
  static constexpr PixelFormat kFormats[] = {PixelFormat::kRgb,   PixelFormat::kBgr,  PixelFormat::kRgba,
                                             PixelFormat::kBgra,  PixelFormat::kNv12, PixelFormat::kNv21,
                                             PixelFormat::kYuv420};
  static constexpr YuvColours kColours[] = {YuvColours::kBt601, YuvColours::kBt601Full, YuvColours::kBt709,
                                            YuvColours::kBt709Full};
  CameraFrame frame;
  frame.format = named(given.format, kFormats, "frame.format");
  frame.colours = named(given.colours, kColours, "frame.colours");
  frame.width = given.width;
  frame.height = given.height;
  frame.rotation = given.rotation;
  for (std::size_t p = 0; p < frame.planes.size(); ++p) {
    const voxshift_plane& plane = given.planes[p];
    frame.planes[p] = {plane.data, plane.bytes, plane.row_stride, plane.pixel_stride};
  }
  return frame;
}

voxshift_result result_of(const FrameResult& found) {
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  result.label = found.label;
  result.classes = static_cast<std::int32_t>(found.scores.size());
  result.skipped = found.cost.skipped;
  result.key_frame = found.cost.key_frame;
  result.dense = found.cost.dense;
  result.scores = found.scores.data();
  result.logits = found.logits.data();
  result.macs = found.cost.macs;
  result.dense_macs = found.cost.dense_macs;
  result.changed_pixels = found.cost.changed_pixels;
  return result;
}

}  // namespace
}  // namespace voxshift::c_api

using namespace voxshift;
using namespace voxshift::c_api;

voxshift_status voxshift_stream_open(voxshift_model model, const voxshift_stream_options* options,
                                     voxshift_stream* stream) {
  return call(__func__, [&] {
    check(stream != nullptr, "stream is null");
    const voxshift_stream_options wanted =
        options != nullptr ? taken(options, "options") : voxshift_stream_options VOXSHIFT_STREAM_OPTIONS_INIT;
    std::shared_ptr<OpenModel> open = Models::instance().get(model);
    const VideoNetwork network(open->model, device_of(wanted.device, wanted.device_index),
                               network_dtype_of(wanted.dtype));
    *stream = Streams::instance().add(std::make_shared<OpenStream>(std::move(open), network, options_of(wanted)));
  });
}

voxshift_status voxshift_stream_push(voxshift_stream stream, const voxshift_frame* frame, voxshift_result* result) {
  return in_turn<OpenStream>(__func__, stream, [&](OpenStream& open) {
    check_result(result, "result");
    const CameraFrame picture = frame_of(taken(frame, "frame"));
    const Clock::time_point start = Clock::now();
    voxshift_result given = result_of(open.recognizer.push(open.preparer.prepare(picture)));
    given.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    give(result, given);
  });
}

voxshift_status voxshift_stream_output(voxshift_stream stream, const char* name, voxshift_array* output) {
  return in_turn<OpenStream>(__func__, stream, [&](OpenStream& open) {
    check(name != nullptr, "name is null");
    check(output != nullptr, "output is null");
    open.output = open.recognizer.output(name);
    *output = array_of(open.output);
  });
}

voxshift_status voxshift_stream_reset(voxshift_stream stream) {
  return in_turn<OpenStream>(__func__, stream, [](OpenStream& open) { open.recognizer.reset(); });
}

voxshift_status voxshift_stream_close(voxshift_stream stream) {
  return call(__func__, [&] { Streams::instance().close(stream); });
}
