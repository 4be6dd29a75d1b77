// Calls of the C interface in any order, with any bytes, sizes, handles and options: each is done or refused with a
// text.
#include <fuzzer/FuzzedDataProvider.h>
#include <voxshift/c_api.h>
#include <voxshift/networks/network_builder.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "fuzz_input.h"
#include "run_model.h"

namespace {

using namespace voxshift;

constexpr std::int64_t kHeight = 20, kWidth = 12;

std::string file_of(const Model& model) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "voxshift_fuzz_c_api.safetensors";
  model.save(path);
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  return bytes;
}

std::string video_file() {
  NetworkBuilder b(InputKind::kFrames, 3, 1);
  std::string x = b.relu6("relu0", b.norm("norm0", b.conv2d("conv0", kGraphInput, 8, 3, 2)));
  x = b.relu6("relu1", b.norm("norm1", b.conv2d("conv1", b.temporal_shift("shift", x, {4, false}), 16, 1)));
  Network network = b.take(b.linear("fc", b.add("pool", "avg_pool", {x}), 3));
  network.graph.dims = 2;
  Profile profile;
  profile.frames.emplace();
  profile.frames->height = kHeight;
  profile.frames->width = kWidth;
  profile.frames->resize = 24;
  return file_of(Model("tiny", network.graph, network.parameters, profile, std::vector<ClassInfo>(3, {"a", 1, {}})));
}

std::string points_file() {
  NetworkBuilder b(InputKind::kVoxels, 4, 1);
  const Network network = b.take(b.linear("fc", b.relu("relu", b.conv("conv", kGraphInput, 8, 3, 1)), 3));
  return file_of(Model("tiny", network.graph, network.parameters, known_profiles().front(),
                       std::vector<ClassInfo>(3, {"a", 1, {}})));
}

/// What a program holds: handles, open or not, and one that never was.
struct Program {
  std::array<voxshift_model, 3> models{};
  std::array<voxshift_session, 3> sessions{};
  std::array<voxshift_stream, 3> streams{};

  ~Program() {
    for (const auto stream : streams) voxshift_stream_close(stream);
    for (const auto session : sessions) voxshift_session_close(session);
    for (const auto model : models) voxshift_model_close(model);
  }
};

void done(voxshift_status status) {
  fuzz::expect(status >= VOXSHIFT_OK && status < VOXSHIFT_INTERNAL, "a fault of the caller's, not of the library's");
  fuzz::expect(status == VOXSHIFT_OK || voxshift_last_error()[0] == '[' || status == VOXSHIFT_IO_ERROR, "a text");
}

template <class T, std::size_t count>
T& pick(FuzzedDataProvider& input, std::array<T, count>& all) {
  return all[input.ConsumeIntegralInRange<std::size_t>(0, count - 1)];
}

/// Mostly as the header has it.
std::uint32_t any_size(FuzzedDataProvider& input, std::size_t right) {
  return input.ConsumeIntegral<std::uint8_t>() < 250 ? static_cast<std::uint32_t>(right)
                                                     : input.ConsumeIntegralInRange<std::uint32_t>(0, right);
}

void load(FuzzedDataProvider& input, Program& program) {
  static const std::string known[] = {video_file(), points_file()};
  std::string bytes = known[input.ConsumeBool()];
  if (input.ConsumeIntegral<std::uint8_t>() < 100) {  // damaged, but as small
    bytes.resize(bytes.size() - input.ConsumeIntegralInRange<std::size_t>(0, 64));
    const std::string change = input.ConsumeRandomLengthString(40);
    bytes.replace(input.ConsumeIntegralInRange<std::size_t>(0, bytes.size() - change.size()), change.size(), change);
  }
  bool small = true;
  fuzz::may_refuse([&] { small = fuzz::is_small(Model::load(std::as_bytes(std::span(bytes)), "memory")); });
  voxshift_model& model = pick(input, program.models);
  voxshift_model_close(model);
  if (small) done(voxshift_model_load_memory(bytes.data(), bytes.size(), &model));
}

void open_session(FuzzedDataProvider& input, Program& program) {
  voxshift_session_options options = VOXSHIFT_SESSION_OPTIONS_INIT;
  options.size = any_size(input, sizeof(options));
  options.threads = input.ConsumeIntegralInRange(-1, 2);
  options.dtype = input.ConsumeIntegralInRange(-1, 8);
  options.device_index = input.ConsumeIntegral<std::uint8_t>() == 1;
  voxshift_session& session = pick(input, program.sessions);
  voxshift_session_close(session);
  done(voxshift_session_open(pick(input, program.models), &options, &session));
}

void open_stream(FuzzedDataProvider& input, Program& program) {
  voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
  options.size = any_size(input, sizeof(options));
  options.threads = input.ConsumeIntegralInRange(-1, 2);
  options.dtype = input.ConsumeIntegralInRange(-1, 8);
  options.skip = input.ConsumeIntegralInRange(-1, 4);
  options.threshold = input.ConsumeFloatingPoint<float>();
  options.key_frame_interval = input.ConsumeIntegralInRange(-1, 5);
  voxshift_stream& stream = pick(input, program.streams);
  voxshift_stream_close(stream);
  done(voxshift_stream_open(pick(input, program.models), &options, &stream));
}

/// Planes of memory that ends where they say, so that a byte beyond is found.
void push(FuzzedDataProvider& input, Program& program) {
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  frame.size = any_size(input, sizeof(frame));
  frame.format = input.ConsumeIntegralInRange(-1, 7);
  frame.colours = input.ConsumeIntegralInRange(-1, 4);
  frame.width = input.ConsumeBool() ? kWidth : input.ConsumeIntegralInRange(-1, 70);
  frame.height = input.ConsumeBool() ? kHeight : input.ConsumeIntegralInRange(-1, 70);
  frame.rotation = input.ConsumeIntegralInRange(-1, 4) * 90;
  std::array<std::vector<std::uint8_t>, 3> planes;
  for (std::size_t p = 0; p < 3; ++p) {
    planes[p].assign(input.ConsumeIntegralInRange<std::size_t>(0, 20000), input.ConsumeIntegral<std::uint8_t>());
    const std::string some = input.ConsumeRandomLengthString(64);
    std::copy_n(some.begin(), std::min(some.size(), planes[p].size()), planes[p].begin());
    frame.planes[p] = {planes[p].data(), planes[p].size(), input.ConsumeIntegralInRange(-2, 300),
                       input.ConsumeIntegralInRange(-1, 4)};
    if (input.ConsumeIntegral<std::uint8_t>() < 128) frame.planes[p].row_stride = frame.planes[p].pixel_stride = 0;
  }
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  result.size = any_size(input, sizeof(result));
  done(voxshift_stream_push(pick(input, program.streams), &frame, &result));
}

void segment(FuzzedDataProvider& input, Program& program) {
  const auto count = input.ConsumeIntegralInRange<std::int64_t>(-1, 40);
  const auto columns = input.ConsumeIntegralInRange<std::int32_t>(0, 6);
  std::vector<float> points(static_cast<std::size_t>(std::max<std::int64_t>(count, 0) * columns));
  for (float& value : points) value = static_cast<float>(input.ConsumeIntegral<std::int16_t>()) / 64;
  if (!points.empty() && input.ConsumeBool()) points[0] = input.ConsumeFloatingPoint<float>();
  std::vector<std::uint8_t> labels(points.size() + 1);
  std::vector<float> scores(points.size() * 3 + 3);
  done(voxshift_session_segment(pick(input, program.sessions), points.data(), count, columns, labels.data(),
                                input.ConsumeBool() ? scores.data() : nullptr));
}

voxshift_array any_array(FuzzedDataProvider& input, std::vector<std::int64_t>& memory) {
  voxshift_array array = VOXSHIFT_ARRAY_INIT;
  array.dtype = input.ConsumeIntegralInRange(-1, 8);
  array.rank = input.ConsumeIntegralInRange(-1, 3);
  std::int64_t elements = 1;
  for (int a = 0; a < 3; ++a) {
    array.shape[a] = input.ConsumeIntegralInRange(-1, 9);
    elements *= std::max<std::int64_t>(array.shape[a], 1);
  }
  memory.resize(static_cast<std::size_t>(elements));
  for (std::int64_t& value : memory) value = input.ConsumeIntegralInRange<std::int32_t>(0, 3) * 0x0000000100000001;
  array.data = input.ConsumeIntegral<std::uint8_t>() < 16 ? nullptr : memory.data();
  return array;
}

void run(FuzzedDataProvider& input, Program& program) {
  std::array<std::vector<std::int64_t>, 4> memory;
  voxshift_input given = VOXSHIFT_INPUT_INIT;
  given.size = any_size(input, sizeof(given));
  given.name = input.ConsumeBool() ? "input" : nullptr;
  given.features = any_array(input, memory[0]);
  given.coords = any_array(input, memory[1]);
  if (input.ConsumeBool()) given.extent = any_array(input, memory[2]);
  if (input.ConsumeBool()) given.splits = any_array(input, memory[3]);
  voxshift_session& session = pick(input, program.sessions);
  done(voxshift_session_run(session, &given, input.ConsumeIntegralInRange(0, 1)));
  voxshift_array features = VOXSHIFT_ARRAY_INIT, coords = VOXSHIFT_ARRAY_INIT;
  done(voxshift_session_output(session, input.ConsumeBool() ? "fc" : "x", &features, &coords));
}

void ask(FuzzedDataProvider& input, Program& program) {
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  info.size = any_size(input, sizeof(info));
  const char* name = nullptr;
  const voxshift_model model = pick(input, program.models);
  done(voxshift_model_get_info(model, &info));
  done(voxshift_model_class_name(model, input.ConsumeIntegralInRange(-1, 4), &name));
  done(voxshift_model_output_name(model, input.ConsumeIntegralInRange(-1, 4), &name));
  voxshift_boxes boxes = VOXSHIFT_BOXES_INIT;
  done(voxshift_session_detect(pick(input, program.sessions), nullptr, 0, 3, &boxes));
  voxshift_array output = VOXSHIFT_ARRAY_INIT;
  done(voxshift_stream_output(pick(input, program.streams), "fc", &output));
}

void close(FuzzedDataProvider& input, Program& program) {
  switch (input.ConsumeIntegralInRange(0, 3)) {
    case 0:
      return done(voxshift_model_close(pick(input, program.models)));
    case 1:
      return done(voxshift_session_close(pick(input, program.sessions)));
    case 2:
      return done(voxshift_stream_close(pick(input, program.streams)));
    default:
      return done(voxshift_stream_reset(pick(input, program.streams)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  using Call = void (*)(FuzzedDataProvider&, Program&);
  constexpr std::array<Call, 8> kCalls{load, open_session, open_stream, push, segment, run, ask, close};
  Program program;
  for (int calls = 0; calls < 24 && input.remaining_bytes() > 0; ++calls)
    kCalls[input.ConsumeIntegralInRange<std::size_t>(0, kCalls.size() - 1)](input, program);
  return 0;
}
