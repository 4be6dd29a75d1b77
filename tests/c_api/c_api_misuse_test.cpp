// Whatever a program does wrong, the C interface answers with a status and a text.
#include <voxshift/c_api.h>

#include <cstring>
#include <thread>

#include "c_api_fixture.h"

namespace voxshift {
namespace {

TEST(CApiMisuse, NullIsAnError) {
  EXPECT_FAILS(voxshift_get_capabilities(nullptr), VOXSHIFT_INVALID_ARGUMENT, "capabilities is null");
  EXPECT_FAILS(voxshift_model_load(nullptr, nullptr), VOXSHIFT_INVALID_ARGUMENT, "model is null");
  voxshift_model none = nullptr;
  EXPECT_FAILS(voxshift_model_load(nullptr, &none), VOXSHIFT_INVALID_ARGUMENT, "path is null");
  EXPECT_FAILS(voxshift_model_load_memory(nullptr, 4, &none), VOXSHIFT_INVALID_ARGUMENT, "bytes is null");
  EXPECT_FAILS(voxshift_model_get_info(nullptr, nullptr), VOXSHIFT_INVALID_ARGUMENT, "info is null");
  EXPECT_FAILS(voxshift_model_close(nullptr), VOXSHIFT_INVALID_ARGUMENT, "null is no open model");
  EXPECT_FAILS(voxshift_session_open(nullptr, nullptr, nullptr), VOXSHIFT_INVALID_ARGUMENT, "session is null");
  EXPECT_FAILS(voxshift_session_segment(nullptr, nullptr, 0, 4, nullptr, nullptr), VOXSHIFT_INVALID_ARGUMENT,
               "null is no open session");
  EXPECT_FAILS(voxshift_session_close(nullptr), VOXSHIFT_INVALID_ARGUMENT, "null is no open session");
  EXPECT_FAILS(voxshift_stream_push(nullptr, nullptr, nullptr), VOXSHIFT_INVALID_ARGUMENT, "null is no open stream");
  EXPECT_FAILS(voxshift_stream_close(nullptr), VOXSHIFT_INVALID_ARGUMENT, "null is no open stream");

  const CModel model("minkunet-lidar"), video("tsm-mobilenetv2-motions");
  EXPECT_FAILS(voxshift_model_class_name(model, 0, nullptr), VOXSHIFT_INVALID_ARGUMENT, "name is null");
  const CSession session(model);
  EXPECT_FAILS(voxshift_session_segment(session, nullptr, 3, 4, nullptr, nullptr), VOXSHIFT_INVALID_ARGUMENT,
               "points is null");
  const float points[12] = {};
  EXPECT_FAILS(voxshift_session_segment(session, points, 3, 4, nullptr, nullptr), VOXSHIFT_INVALID_ARGUMENT,
               "labels is null");
  const CStream stream(video);
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  EXPECT_FAILS(voxshift_stream_push(stream, nullptr, &result), VOXSHIFT_INVALID_ARGUMENT, "frame is null");
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  EXPECT_FAILS(voxshift_stream_push(stream, &frame, nullptr), VOXSHIFT_INVALID_ARGUMENT, "result is null");
}

TEST(CApiMisuse, ClosedAndForeignHandlesAreFoundOut) {
  voxshift_model model = nullptr;
  ASSERT_OK(voxshift_model_load(pretrained("minkunet-lidar").c_str(), &model));
  voxshift_session session = nullptr;
  ASSERT_OK(voxshift_session_open(model, nullptr, &session));
  ASSERT_OK(voxshift_session_close(session));
  EXPECT_FAILS(voxshift_session_close(session), VOXSHIFT_INVALID_ARGUMENT, "of no open session");
  ASSERT_OK(voxshift_model_close(model));
  EXPECT_FAILS(voxshift_session_open(model, nullptr, &session), VOXSHIFT_INVALID_ARGUMENT, "of no open model");

  // The next one in the same slot has another handle.
  voxshift_model next = nullptr;
  ASSERT_OK(voxshift_model_load(pretrained("minkunet-lidar").c_str(), &next));
  EXPECT_NE(next, model);
  EXPECT_FAILS(voxshift_model_close(model), VOXSHIFT_INVALID_ARGUMENT, "of no open model");
  int elsewhere = 0;
  EXPECT_FAILS(voxshift_model_close(reinterpret_cast<voxshift_model>(&elsewhere)), VOXSHIFT_INVALID_ARGUMENT, "open");
  EXPECT_FAILS(voxshift_stream_close(reinterpret_cast<voxshift_stream>(next)), VOXSHIFT_INVALID_ARGUMENT, "no open");
  ASSERT_OK(voxshift_model_close(next));
}

TEST(CApiMisuse, SizesAreChecked) {
  voxshift_capabilities found = VOXSHIFT_CAPABILITIES_INIT;
  for (const std::uint32_t size : {0U, 4U, static_cast<std::uint32_t>(sizeof(found)) - 1, 1U << 30}) {
    found.size = size;
    EXPECT_FAILS(voxshift_get_capabilities(&found), VOXSHIFT_INVALID_ARGUMENT, "size expects");
  }
}

/// A struct of a program that was built with a later header.
template <class T>
struct Later {
  T known;
  std::uint32_t more[2];
};

TEST(CApiMisuse, LaterStructsServeUnlessTheyAskForMore) {
  const CModel model("minkunet-lidar");
  Later<voxshift_session_options> options{VOXSHIFT_SESSION_OPTIONS_INIT, {}};
  options.known.size = sizeof(options);
  voxshift_session session = nullptr;
  ASSERT_OK(voxshift_session_open(model, &options.known, &session));
  ASSERT_OK(voxshift_session_close(session));
  options.more[1] = 1;
  EXPECT_FAILS(voxshift_session_open(model, &options.known, &session), VOXSHIFT_INVALID_ARGUMENT, "does not know");
  Later<voxshift_model_info> info{VOXSHIFT_MODEL_INFO_INIT, {77, 78}};
  info.known.size = sizeof(info);
  ASSERT_OK(voxshift_model_get_info(model, &info.known));
  EXPECT_EQ(info.known.size, sizeof(info));
  EXPECT_EQ(info.more[0] + info.more[1], 0U);
}

TEST(CApiMisuse, OptionsOutOfRangeAreNamed) {
  const CModel model("minkunet-lidar"), video("tsm-mobilenetv2-motions");
  voxshift_session session = nullptr;
  voxshift_session_options options = VOXSHIFT_SESSION_OPTIONS_INIT;
  options.device = 5;
  EXPECT_FAILS(voxshift_session_open(model, &options, &session), VOXSHIFT_INVALID_ARGUMENT, "device expects");
  options = VOXSHIFT_SESSION_OPTIONS_INIT;
  options.threads = -1;
  EXPECT_FAILS(voxshift_session_open(model, &options, &session), VOXSHIFT_INVALID_ARGUMENT, "threads");
  options = VOXSHIFT_SESSION_OPTIONS_INIT;
  options.dtype = VOXSHIFT_U8;
  EXPECT_FAILS(voxshift_session_open(model, &options, &session), VOXSHIFT_INVALID_ARGUMENT, "dtype expects");
  options.dtype = VOXSHIFT_I8;
  EXPECT_FAILS(voxshift_session_open(model, &options, &session), VOXSHIFT_INVALID_ARGUMENT, "no scales");

  voxshift_stream stream = nullptr;
  voxshift_stream_options stream_options = VOXSHIFT_STREAM_OPTIONS_INIT;
  stream_options.skip = 4;
  EXPECT_FAILS(voxshift_stream_open(video, &stream_options, &stream), VOXSHIFT_INVALID_ARGUMENT, "skip expects 0 to 3");
  stream_options.skip = VOXSHIFT_SKIP_THRESHOLD;
  stream_options.threshold = -1;
  EXPECT_FAILS(voxshift_stream_open(video, &stream_options, &stream), VOXSHIFT_INVALID_ARGUMENT, "threshold");
  EXPECT_FAILS(voxshift_stream_open(model, nullptr, &stream), VOXSHIFT_INVALID_ARGUMENT, "frames");
  const char* name = nullptr;
  EXPECT_FAILS(voxshift_model_class_name(model, -1, &name), VOXSHIFT_INVALID_ARGUMENT, "index expects 0 to");
  EXPECT_FAILS(voxshift_model_output_name(model, 1, &name), VOXSHIFT_INVALID_ARGUMENT, "index expects 0 to 0");
  options = VOXSHIFT_SESSION_OPTIONS_INIT;
  options.device_index = 3;  // of the CPU
  EXPECT_FAILS(voxshift_session_open(model, &options, &session), VOXSHIFT_INVALID_ARGUMENT, "device_index");
}

TEST(CApiMisuse, ModelsDoWhatTheyAreFor) {
  const CModel labels("minkunet-lidar"), boxes("centerpoint-lidar");
  const CSession segmenter(labels), detector(boxes);
  const std::vector<float> points = some_points(100);
  std::vector<std::uint8_t> given(100);
  voxshift_boxes found = VOXSHIFT_BOXES_INIT;
  EXPECT_FAILS(voxshift_session_segment(detector, points.data(), 100, 4, given.data(), nullptr),
               VOXSHIFT_INVALID_ARGUMENT, "does not label points");
  EXPECT_FAILS(voxshift_session_detect(segmenter, points.data(), 100, 4, &found), VOXSHIFT_INVALID_ARGUMENT,
               "does not find boxes");
  EXPECT_FAILS(voxshift_session_segment(segmenter, points.data(), -1, 4, given.data(), nullptr),
               VOXSHIFT_INVALID_ARGUMENT, "count expects");
  EXPECT_FAILS(voxshift_session_segment(segmenter, points.data(), 100, 2, given.data(), nullptr),
               VOXSHIFT_INVALID_ARGUMENT, "columns expects");
}

TEST(CApiMisuse, BadFilesAndFramesAreNamed) {
  voxshift_model model = nullptr;
  EXPECT_FAILS(voxshift_model_load("/no/such/file", &model), VOXSHIFT_IO_ERROR, "/no/such/file: ");
  EXPECT_FAILS(voxshift_model_load_memory("PK", 2, &model), VOXSHIFT_IO_ERROR, "memory: has 2 bytes");
  EXPECT_EQ(model, nullptr);

  const CModel video("tsm-mobilenetv2-motions");
  const CStream stream(video);
  const std::vector<std::uint8_t> pixels(128 * 128 * 3, 9);
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  voxshift_frame frame = frame_over(pixels.data(), 128, 128);
  ASSERT_OK(voxshift_stream_push(stream, &frame, &result));
  frame.format = 40;
  EXPECT_FAILS(voxshift_stream_push(stream, &frame, &result), VOXSHIFT_INVALID_ARGUMENT, "frame.format expects");
  frame.format = VOXSHIFT_RGBA;  // needs a third more
  EXPECT_FAILS(voxshift_stream_push(stream, &frame, &result), VOXSHIFT_INVALID_ARGUMENT, "bytes");
  frame = frame_over(pixels.data(), 128, 128);
  frame.rotation = 45;
  EXPECT_FAILS(voxshift_stream_push(stream, &frame, &result), VOXSHIFT_INVALID_ARGUMENT, "rotation");
  frame = frame_over(nullptr, 128, 128);
  EXPECT_FAILS(voxshift_stream_push(stream, &frame, &result), VOXSHIFT_INVALID_ARGUMENT, "");
}

TEST(CApiMisuse, ErrorsAreTheThreadsOwn) {
  EXPECT_FAILS(voxshift_model_close(nullptr), VOXSHIFT_INVALID_ARGUMENT, "null is no open model");
  const std::string before = voxshift_last_error();
  std::thread([] {
    EXPECT_STREQ(voxshift_last_error(), "");
    voxshift_stream_close(nullptr);
  }).join();
  EXPECT_EQ(voxshift_last_error(), before);
}

/// What a log callback does while its session computes.
struct Intruder {
  voxshift_session session;
  voxshift_status again = VOXSHIFT_OK, elsewhere = VOXSHIFT_OK, closed = VOXSHIFT_INTERNAL;
  std::string text;
};

TEST(CApiMisuse, OneSessionServesOneThreadAtATime) {
  const CModel model("minkunet-lidar");
  Intruder intruder{};
  ASSERT_OK(voxshift_session_open(model, nullptr, &intruder.session));
  voxshift_set_log(
      [](void* user, const char*) {
        auto& other = *static_cast<Intruder*>(user);
        voxshift_report report = VOXSHIFT_REPORT_INIT;
        other.again = voxshift_session_get_report(other.session, &report);
        std::thread([&] {
          other.elsewhere = voxshift_session_get_report(other.session, &report);
          other.text = voxshift_last_error();
          other.closed = voxshift_session_close(other.session);
        }).join();
      },
      &intruder);
  std::vector<float> points = some_points();
  for (std::size_t i = 3; i < points.size(); i += 4) points[i] *= 255;  // which is noted
  std::vector<std::uint8_t> labels(6000, 99);
  EXPECT_OK(voxshift_session_segment(intruder.session, points.data(), 6000, 4, labels.data(), nullptr));
  voxshift_set_log(nullptr, nullptr);
  EXPECT_EQ(intruder.again, VOXSHIFT_BUSY);
  EXPECT_EQ(intruder.elsewhere, VOXSHIFT_BUSY);
  EXPECT_EQ(intruder.text, "[voxshift_session_get_report] another thread is running a call on it");
  EXPECT_EQ(intruder.closed, VOXSHIFT_OK);
  EXPECT_NE(labels[0], 99);
  EXPECT_FAILS(voxshift_session_close(intruder.session), VOXSHIFT_INVALID_ARGUMENT, "no open session");
}

}  // namespace
}  // namespace voxshift
