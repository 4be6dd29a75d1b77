// The C interface gives the same bits as the C++ library, and keeps its word about sizes, memory and names.
#include <voxshift/c_api.h>
#include <voxshift/tasks/detector.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/segmenter.h>
#include <voxshift/tensor/version.h>

#include <cstring>
#include <fstream>
#include <map>

#include "c_api_fixture.h"
#include "networks.h"

namespace voxshift {
namespace {

template <class T>
std::vector<T> vector_of(const Array& array) {
  const auto values = array.values<T>();
  return {values.begin(), values.end()};
}

Array as_array(const std::vector<float>& points) {
  return Array::from(points, {static_cast<std::int64_t>(points.size() / 4), 4});
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(CApi, VersionAndCapabilitiesAreTheLibrarys) {
  EXPECT_STREQ(voxshift_version(), version());
  EXPECT_EQ(voxshift_abi_version(), 1U);
  voxshift_capabilities found = VOXSHIFT_CAPABILITIES_INIT;
  ASSERT_OK(voxshift_get_capabilities(&found));
  EXPECT_EQ(found.instruction_set, runtime(Device::cpu()).target(Device::cpu()));
  EXPECT_EQ(found.i8_instructions, cpu::product_instructions(DType::kI8));
  EXPECT_EQ(found.cuda, runtime(Device::cuda()).available(Device::cuda()));
  EXPECT_EQ(found.threads, num_threads());
  EXPECT_TRUE(found.points && found.video);
}

TEST(CApi, ModelTellsWhatItTakesAndGives) {
  const CModel labels("minkunet-lidar"), boxes("centerpoint-lidar"), video("tsm-mobilenetv2-motions-i8");
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  ASSERT_OK(voxshift_model_get_info(labels, &info));
  EXPECT_EQ(info.task, VOXSHIFT_TASK_SEGMENT);
  EXPECT_STREQ(info.architecture, "minkunet");
  EXPECT_EQ(info.columns, 4);
  EXPECT_EQ(info.quantized, 0);
  const Model model = Model::load(pretrained("minkunet-lidar"));
  EXPECT_EQ(info.parameters, model.parameter_count());
  EXPECT_EQ(info.classes, static_cast<int>(model.classes().size()));
  const char* name = nullptr;
  for (int c = 0; c < info.classes; ++c) {
    ASSERT_OK(voxshift_model_class_name(labels, c, &name));
    EXPECT_EQ(name, model.classes()[static_cast<std::size_t>(c)].name);
  }
  ASSERT_OK(voxshift_model_get_info(boxes, &info));
  EXPECT_EQ(info.task, VOXSHIFT_TASK_DETECT);
  ASSERT_OK(voxshift_model_get_info(video, &info));
  EXPECT_EQ(info.task, VOXSHIFT_TASK_RECOGNIZE);
  EXPECT_EQ(info.quantized, 1);
  EXPECT_EQ(info.frame_height, 128);
  EXPECT_EQ(info.frame_width, 128);
}

TEST(CApi, ModelInMemoryIsTheFiles) {
  const std::string bytes = bytes_of(pretrained("minkunet-lidar"));
  voxshift_model model = nullptr;
  ASSERT_OK(voxshift_model_load_memory(bytes.data(), bytes.size(), &model));
  const std::vector<float> points = some_points();
  std::vector<std::uint8_t> labels(points.size() / 4), of_file(labels.size());
  {
    const CSession session(model);
    ASSERT_OK(voxshift_model_close(model));  // the session keeps it
    ASSERT_OK(voxshift_session_segment(session, points.data(), 6000, 4, labels.data(), nullptr));
  }
  const CModel file("minkunet-lidar");
  const CSession session(file);
  ASSERT_OK(voxshift_session_segment(session, points.data(), 6000, 4, of_file.data(), nullptr));
  EXPECT_EQ(labels, of_file);
}

TEST(CApi, LabelsAndScoresHaveTheBitsOfCpp) {
  std::vector<float> points = some_points();
  points[4 * 17] = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [name, dtype, cpp] : {std::tuple{"minkunet-lidar", VOXSHIFT_F32, std::optional(DType::kF32)},
                                         std::tuple{"minkunet-lidar", VOXSHIFT_BF16, std::optional(DType::kBF16)},
                                         std::tuple{"minkunet-lidar-i8", VOXSHIFT_AUTO, std::optional<DType>()}}) {
    SCOPED_TRACE(name);
    Segmenter segmenter(Model::load(pretrained(name)), Device::cpu(), 2, cpp);
    const Segmentation expected = segmenter.segment(as_array(points), true);
    const CModel model(name);
    const CSession session(model, dtype);
    std::vector<std::uint8_t> labels(points.size() / 4);
    std::vector<float> scores(static_cast<std::size_t>(expected.scores.count()));
    ASSERT_OK(voxshift_session_segment(session, points.data(), 6000, 4, labels.data(), scores.data()));
    EXPECT_EQ(labels, vector_of<std::uint8_t>(expected.labels));
    EXPECT_EQ(scores, vector_of<float>(expected.scores));
    EXPECT_EQ(labels[17], 255);
    voxshift_report report = VOXSHIFT_REPORT_INIT;
    ASSERT_OK(voxshift_session_get_report(session, &report));
    EXPECT_EQ(report.points, 6000);
    EXPECT_EQ(report.dropped_points, 1);
    EXPECT_EQ(report.macs, segmenter.report().macs);
    EXPECT_GT(report.seconds, 0);
  }
}

TEST(CApi, NoPointsAreNoFault) {
  const CModel labels("minkunet-lidar"), boxes("centerpoint-lidar");
  const CSession segmenter(labels), detector(boxes);
  EXPECT_OK(voxshift_session_segment(segmenter, nullptr, 0, 4, nullptr, nullptr));
  voxshift_boxes found = VOXSHIFT_BOXES_INIT;
  EXPECT_OK(voxshift_session_detect(detector, nullptr, 0, 4, &found));
  EXPECT_EQ(found.count, 0);
}

TEST(CApi, BoxesHaveTheBitsOfCpp) {
  const SynthScan scan = synth_lidar(8);
  const auto count = static_cast<std::int64_t>(scan.labels.size());
  Detector detector(Model::load(pretrained("centerpoint-lidar")), Device::cpu(), 2);
  const Detections expected = detector.detect(Array::from(scan.points, {count, 4}));
  ASSERT_GT(expected.scores.count(), 0);
  const CModel model("centerpoint-lidar");
  const CSession session(model);
  voxshift_boxes found = VOXSHIFT_BOXES_INIT;
  ASSERT_OK(voxshift_session_detect(session, scan.points.data(), count, 4, &found));
  ASSERT_EQ(found.count, expected.scores.count());
  ASSERT_EQ(found.columns, expected.boxes.dim(1));
  EXPECT_EQ(std::vector<float>(found.boxes, found.boxes + found.count * found.columns),
            vector_of<float>(expected.boxes));
  EXPECT_EQ(std::vector<float>(found.scores, found.scores + found.count), vector_of<float>(expected.scores));
  EXPECT_EQ(std::vector<std::int32_t>(found.classes, found.classes + found.count),
            vector_of<std::int32_t>(expected.classes));
}

/// A model file of any network on voxels, in memory.
std::string small_network() {
  NetworkWriter writer(2);
  const Model model = writer.model(writer.conv(kGraphInput, 3));
  const std::string path = ::testing::TempDir() + "c_api_network.safetensors";
  model.save(path);
  return bytes_of(path);
}

TEST(CApi, AnyNetworkRunsOnItsInputs) {
  const std::string bytes = small_network();
  const Model cpp = Model::load(std::as_bytes(std::span(bytes)), "memory");
  voxshift_model model = nullptr;
  ASSERT_OK(voxshift_model_load_memory(bytes.data(), bytes.size(), &model));
  const CSession session(model);
  const std::int32_t coords[] = {0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1};  // not in order
  const float features[] = {1, 2, 3, 4, 5, 6};
  voxshift_input input = VOXSHIFT_INPUT_INIT;
  const char* name = nullptr;
  ASSERT_OK(voxshift_model_input_name(model, 0, &name));
  input.name = name;
  input.features = {VOXSHIFT_F32, 2, {3, 2}, features};
  input.coords = {VOXSHIFT_I32, 2, {3, 4}, coords};
  ASSERT_OK(voxshift_session_run(session, &input, 1));

  Session expected(cpp.network(), Device::cpu(), 1);
  const SparseTensor x(Array::from(std::vector<std::int32_t>(std::begin(coords), std::end(coords)), {3, 4}),
                       Array::from(std::vector<float>(std::begin(features), std::end(features)), {3, 2}));
  const Output output = expected.run(x).begin()->second;
  voxshift_array rows = VOXSHIFT_ARRAY_INIT, voxels = VOXSHIFT_ARRAY_INIT;
  ASSERT_OK(voxshift_model_output_name(model, 0, &name));
  ASSERT_OK(voxshift_session_output(session, name, &rows, &voxels));
  ASSERT_EQ(rows.rank, 2);
  EXPECT_EQ(rows.shape[0], 3);
  EXPECT_EQ(rows.shape[1], 3);
  const auto* const values = static_cast<const float*>(rows.data);
  EXPECT_EQ(std::vector<float>(values, values + 9), vector_of<float>(output.features));
  const auto* const where = static_cast<const std::int32_t*>(voxels.data);
  EXPECT_EQ(std::vector<std::int32_t>(where, where + 12), vector_of<std::int32_t>(output.coords));

  EXPECT_FAILS(voxshift_session_output(session, "nothing", &rows, nullptr), VOXSHIFT_INVALID_ARGUMENT, "\"nothing\"");
  input.name = "other";
  EXPECT_FAILS(voxshift_session_run(session, &input, 1), VOXSHIFT_INVALID_ARGUMENT, "no input \"other\"");
  input.name = "input";
  input.features.dtype = VOXSHIFT_I8;
  EXPECT_FAILS(voxshift_session_run(session, &input, 1), VOXSHIFT_INVALID_ARGUMENT, "expects f32");
  input.features = {VOXSHIFT_F32, 2, {3, -1}, features};
  EXPECT_FAILS(voxshift_session_run(session, &input, 1), VOXSHIFT_INVALID_ARGUMENT, "");
  input.features = {VOXSHIFT_F32, 9, {3, 2}, features};
  EXPECT_FAILS(voxshift_session_run(session, &input, 1), VOXSHIFT_INVALID_ARGUMENT, "rank expects 0 to 8");
  EXPECT_FAILS(voxshift_session_run(session, nullptr, 1), VOXSHIFT_INVALID_ARGUMENT, "at least one input");
  ASSERT_OK(voxshift_model_close(model));
}

TEST(CApi, FramesHaveTheBitsOfCpp) {
  const SynthClip clip = synth_video(1, {.frames = 12, .height = 128, .width = 128});
  const VideoNetwork network(Model::load(pretrained("tsm-mobilenetv2-motions")));
  const CModel model("tsm-mobilenetv2-motions");
  const std::pair<voxshift_skip, Skip> skips[] = {
      {VOXSHIFT_SKIP_OFF, Skip::kOff}, {VOXSHIFT_SKIP_EXACT, Skip::kExact}, {VOXSHIFT_SKIP_AUTO, Skip::kAuto}};
  for (const auto& [skip, cpp] : skips) {
    StreamOptions options;
    options.skip = cpp;
    options.threads = 2;
    Recognizer expected(network, options);
    const CStream stream(model, skip);
    for (std::size_t f = 0; f < 12; ++f) {
      const std::uint8_t* const pixels = clip.frames.data() + f * 128 * 128 * 3;
      const FrameResult right =
          expected.push(Array::from(std::vector<std::uint8_t>(pixels, pixels + 128 * 128 * 3), {128, 128, 3}));
      const voxshift_frame frame = frame_over(pixels, 128, 128);
      voxshift_result found = VOXSHIFT_RESULT_INIT;
      ASSERT_OK(voxshift_stream_push(stream, &frame, &found));
      EXPECT_EQ(found.label, right.label);
      EXPECT_EQ(std::vector<float>(found.scores, found.scores + found.classes),
                std::vector<float>(right.scores.begin(), right.scores.end()));
      EXPECT_EQ(found.macs, right.cost.macs);
      EXPECT_EQ(found.skipped, right.cost.skipped);
    }
    voxshift_array output = VOXSHIFT_ARRAY_INIT;
    const char* name = nullptr;
    ASSERT_OK(voxshift_model_output_name(model, 0, &name));
    ASSERT_OK(voxshift_stream_output(stream, name, &output));
    EXPECT_EQ(output.shape[0], expected.values().size());
    EXPECT_EQ(std::memcmp(output.data, expected.values().data(), expected.values().size_bytes()), 0);
  }
}

TEST(CApi, ResetForgetsFrames) {
  const SynthClip clip = synth_video(2, {.frames = 3, .height = 128, .width = 128});
  const CModel model("tsm-mobilenetv2-motions");
  const CStream stream(model);
  voxshift_result found = VOXSHIFT_RESULT_INIT;
  std::vector<float> first;
  for (int turn = 0; turn < 2; ++turn) {
    for (std::size_t f = 0; f < 3; ++f) {
      const voxshift_frame frame = frame_over(clip.frames.data() + f * 128 * 128 * 3, 128, 128);
      ASSERT_OK(voxshift_stream_push(stream, &frame, &found));
      const std::vector<float> logits(found.logits, found.logits + found.classes);
      if (f == 0 && turn == 0) first = logits;
      EXPECT_TRUE((f == 0) == (logits == first));
    }
    ASSERT_OK(voxshift_stream_reset(stream));
  }
}

struct Ledger {
  struct Block {
    std::size_t bytes;
    std::align_val_t alignment;
  };
  std::map<void*, Block> blocks;
  std::mutex mutex;
  std::size_t taken = 0;
  bool refuses = false;
};

void* take(void* user, std::size_t bytes, std::size_t alignment) {
  auto& ledger = *static_cast<Ledger*>(user);
  const std::lock_guard lock(ledger.mutex);
  if (ledger.refuses) return nullptr;
  void* const memory = ::operator new (bytes, std::align_val_t{alignment});
  ledger.blocks[memory] = {bytes, std::align_val_t{alignment}};
  ++ledger.taken;
  return memory;
}

void give_back(void* user, void* memory, std::size_t bytes) {
  auto& ledger = *static_cast<Ledger*>(user);
  const std::lock_guard lock(ledger.mutex);
  const auto block = ledger.blocks.find(memory);
  ASSERT_NE(block, ledger.blocks.end());
  EXPECT_EQ(block->second.bytes, bytes);
  ::operator delete(memory, block->second.alignment);
  ledger.blocks.erase(block);
}

TEST(CApi, AllocatorGetsBackAllThatItGave) {
  Ledger ledger;
  voxshift_allocator allocator = VOXSHIFT_ALLOCATOR_INIT;
  allocator.allocate = take;
  allocator.release = give_back;
  allocator.user = &ledger;
  ASSERT_OK(voxshift_set_allocator(&allocator));
  {
    const CModel model("minkunet-lidar");
    EXPECT_FAILS(voxshift_set_allocator(nullptr), VOXSHIFT_INVALID_ARGUMENT, "blocks of memory are in use");
    const CSession session(model);
    const std::vector<float> points = some_points();
    std::vector<std::uint8_t> labels(6000);
    EXPECT_OK(voxshift_session_segment(session, points.data(), 6000, 4, labels.data(), nullptr));
    EXPECT_GT(ledger.taken, 100U);
    ledger.refuses = true;
    EXPECT_FAILS(voxshift_session_segment(session, points.data(), 6000, 4, labels.data(), nullptr),
                 VOXSHIFT_OUT_OF_MEMORY, "bytes left");
    ledger.refuses = false;
    EXPECT_OK(voxshift_session_segment(session, points.data(), 6000, 4, labels.data(), nullptr));
  }
  EXPECT_TRUE(ledger.blocks.empty());
  EXPECT_OK(voxshift_set_allocator(nullptr));
}

TEST(CApi, GuessesGoToTheLog) {
  std::vector<std::string> lines;
  voxshift_set_log([](void* user, const char* text) { static_cast<std::vector<std::string>*>(user)->push_back(text); },
                   &lines);
  const CModel model("minkunet-lidar");
  const CSession session(model);
  std::vector<float> points = some_points();
  for (std::size_t i = 3; i < points.size(); i += 4) points[i] *= 255;
  std::vector<std::uint8_t> labels(6000);
  EXPECT_OK(voxshift_session_segment(session, points.data(), 6000, 4, labels.data(), nullptr));
  voxshift_set_log(nullptr, nullptr);
  ASSERT_FALSE(lines.empty());
  EXPECT_NE(lines[0].find("255"), std::string::npos) << lines[0];
}

}  // namespace
}  // namespace voxshift
