// Model: a network with what runs it.
#include <pybind11/stl/filesystem.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/tasks/detector.h>

#include <algorithm>
#include <array>
#include <memory>
#include <tuple>
#include <variant>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "layers.h"
#include "loaded_model.h"
#include "model_files.h"
#include "options.h"
#include "pickling.h"
#include "prepared_points.h"
#include "profiles.h"
#include "threads.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using OptionalText = std::optional<std::string>;
using AnyNumber = std::optional<AnyThreads>;

std::unique_ptr<LoadedModel> load(const std::filesystem::path& path, const std::string& device,
                                  const AnyNumber& threads, const OptionalText& profile, const std::string& dtype) {
  const Model model = Model::load(model_file(path));
  return std::make_unique<LoadedModel>(profile ? model.with_profile(find_profile(*profile)) : model,
                                       parse_device(device), threads_of("Model", threads, {}), dtype);
}

std::unique_ptr<LoadedModel> pretrained(const std::string& name, const std::string& device, const AnyNumber& threads,
                                        const std::string& dtype) {
  const std::filesystem::path path = shipped_file(name, dtype == "i8");
  const py::gil_scoped_release without_gil;
  return std::make_unique<LoadedModel>(Model::load(path), parse_device(device), threads_of("Model", threads, {}),
                                       dtype);
}

const Parameters& on_cpu(const char* op, const Parameters& parameters) {
  for (const auto& [name, array] : parameters) python::on_cpu(op, array);
  return parameters;
}

std::unique_ptr<LoadedModel> create(const std::string& arch, double width, std::optional<int> classes,
                                    std::uint64_t seed, const std::string& device, const AnyNumber& threads,
                                    const OptionalText& profile, const std::optional<std::filesystem::path>& config,
                                    const std::optional<Parameters>& parameters, const std::string& shift,
                                    const std::string& dtype, const std::string& style) {
  check(!classes || *classes >= 1, "[new] classes expects 1 to 255, on video 1 to 8192, found ", classes.value_or(0));
  check(shift == "online" || shift == "offline", "[new] shift expects \"online\" or \"offline\", found \"", shift,
        "\"");
  if (parameters) on_cpu("new", *parameters);
  ModelSpec spec{arch, width, classes.value_or(0), seed, profile.value_or(""), config.value_or(""), parameters};
  spec.bidirectional = shift == "offline";
  spec.style = style;
  return std::make_unique<LoadedModel>(Model::create(spec), parse_device(device), threads_of("Model", threads, {}),
                                       dtype);
}

using ClassTuple = std::tuple<std::string, std::uint32_t, std::array<std::uint8_t, 3>>;
using ClassTable = std::vector<std::variant<std::string, ClassTuple, ClassInfo>>;
using AnyClasses = std::variant<std::int64_t, ClassTable>;

std::vector<ClassInfo> class_table(const AnyClasses& classes, ClassTables kind) {
  if (const auto* count = std::get_if<std::int64_t>(&classes)) {
    constexpr std::int64_t kMost = 8192;
    check(*count >= 0 && *count <= kMost, "[from_graph] classes expects 0 to ", kMost, ", found ", *count);
    return classes_for(static_cast<std::size_t>(*count), kind);
  }
  std::vector<ClassInfo> table;
  for (const auto& entry : std::get<ClassTable>(classes)) {
    const std::size_t index = table.size();
    if (const auto* info = std::get_if<ClassInfo>(&entry)) {
      table.push_back(*info);
    } else if (const auto* only_name = std::get_if<std::string>(&entry)) {
      const std::size_t id = index + (kind == ClassTables::kVideo ? 0 : 1);  // 0 is no class of points
      table.push_back({*only_name, static_cast<std::uint32_t>(id), spread_colour(index)});
    } else {
      const auto& [name, raw_id, rgb] = std::get<ClassTuple>(entry);
      table.push_back({name, raw_id, rgb});
    }
  }
  return table;
}

std::unique_ptr<LoadedModel> from_graph(const py::dict& graph, const Parameters& parameters,
                                        const std::optional<AnyProfile>& profile, const AnyClasses& classes,
                                        const std::string& arch, const std::string& device, const AnyNumber& threads,
                                        const std::string& dtype, const std::optional<py::dict>& detection) {
  std::optional<DetectionHead> head;
  if (detection)
    head = detection_head_from_text(py::module_::import("json").attr("dumps")(*detection).cast<std::string>());
  const auto text = py::module_::import("json").attr("dumps")(graph).cast<std::string>();
  std::optional<Profile> preparation;
  if (profile) preparation = profile_of(*profile);
  const py::gil_scoped_release without_gil;
  const Graph network = graph_from_text(text);
  const bool on_frames = network.inputs.size() == 1 && network.inputs.front().kind == InputKind::kFrames;
  const ClassTables kind = head ? ClassTables::kBoxes : on_frames ? ClassTables::kVideo : ClassTables::kPoints;
  const Model model(arch, network, on_cpu("from_graph", parameters), preparation, class_table(classes, kind), {}, head);
  return std::make_unique<LoadedModel>(model, parse_device(device), threads_of("Model", threads, {}), dtype);
}

py::object graph(const LoadedModel& model) {
  return py::module_::import("json").attr("loads")(to_text(model.model().graph()));
}

std::unique_ptr<LoadedModel> with_parameters(const LoadedModel& model, const Parameters& parameters) {
  return std::make_unique<LoadedModel>(model.model().with_parameters(on_cpu("with_parameters", parameters)),
                                       model.device(), model.pool(), name(model.dtype()));
}

py::dict run(LoadedModel& model, const std::variant<Array, SparseTensor, Operands>& x,
             const std::optional<Array>& row_splits) {
  const Outputs outputs = [&] {
    const py::gil_scoped_release without_gil;
    if (const auto* array = std::get_if<Array>(&x)) return model.run(*array, row_splits);
    if (const auto* tensor = std::get_if<SparseTensor>(&x)) return model.run(*tensor, row_splits);
    check(!row_splits, "[run] row_splits of named inputs stand beside their points: {name: (points, row_splits)}");
    return model.run(std::get<Operands>(x));
  }();
  py::dict result;
  for (const auto& [name, output] : outputs) {
    const bool has_coords = output.coords.rank() == 2;
    result[py::str(name)] =
        py::make_tuple(array_to(output.features), has_coords ? array_to(output.coords) : py::object(py::none()));
  }
  return result;
}

py::object segment(LoadedModel& model, const Array& given, bool scores, const OptionalText& sensor,
                   std::optional<float> remission_scale, const std::optional<Origin>& origin,
                   const std::optional<Origin>& frame) {
  check_points_are_rows("segment", given.shape(), model.model().profile().columns());
  const auto [result, notes] = [&] {
    const py::gil_scoped_release without_gil;
    const bool half = given.dtype() == DType::kF16;
    const Array points = half ? widened({{"", given.to(Device::cpu())}}).at("").to(given.device()) : given;
    PrepareOptions options = prepare_options("segment", sensor, remission_scale, origin);
    if (frame) options.frame = *frame;
    return model.segment(points, scores, options);
  }();
  warn("segment", notes);
  if (!scores) return array_to(result.labels);
  return py::make_tuple(array_to(result.labels), array_to(result.scores));
}

Array prepare_points(const Array& points, const py::dict& profile, const OptionalText& sensor,
                     std::optional<float> remission_scale, const std::optional<Origin>& origin) {
  const PrepareOptions options = prepare_options("prepare_points", sensor, remission_scale, origin);
  const Profile wanted = profile_of(AnyProfile(profile));
  python::on_cpu("prepare_points", points);
  check(points.dtype() == DType::kF32 && points.rank() == 2 && points.dim(1) >= 3,
        "[prepare_points] points expects f32 [N, C] with C >= 3, found ", name(points.dtype()), " ", points.shape());
  Preparation preparation;
  preparation.examine(points.values<float>(), points.dim(1), wanted, options);
  warn("prepare_points", preparation.notes());
  if (!preparation.needed()) return points;
  Array prepared(points.shape(), DType::kF32);
  preparation.apply(points.values<float>(), {prepared.data<float>(), static_cast<std::size_t>(prepared.count())});
  return prepared;
}

py::dict parameters(const LoadedModel& model) {
  py::dict arrays;
  for (const auto& [name, array] : model.model().parameters())
    arrays[py::str(name)] = array_to(array, Access::kReadOnly);
  return arrays;
}

py::dict report(LoadedModel& model) {
  const SegmentReport run = [&] {
    const py::gil_scoped_release without_gil;
    return model.report();
  }();
  const py::dict seconds("voxelize"_a = run.voxelize_seconds, "maps"_a = run.maps_seconds,
                         "network"_a = run.network_seconds);
  return py::dict("points"_a = run.points, "dropped"_a = run.dropped_points, "voxels"_a = run.voxels,
                  "macs"_a = run.macs, "seconds"_a = seconds, "layers"_a = layers_of(run));
}

py::tuple state_of(const LoadedModel& model) {
  const SafeTensors content = model.model().content();
  return py::make_tuple(content.metadata, content.tensors, name(model.device()), model.pool()->threads(),
                        name(model.dtype()));
}

std::unique_ptr<LoadedModel> from_state(const py::tuple& state) {
  check(state.size() == 5, "[pickle] a Model expects 5 fields, found ", state.size());
  const SafeTensors content{state[1].cast<Parameters>(), state[0].cast<decltype(SafeTensors::metadata)>()};
  return std::make_unique<LoadedModel>(Model::from_content(content), parse_device(state[2].cast<std::string>()),
                                       state[3].cast<int>(), state[4].cast<std::string>());
}

std::string repr(const LoadedModel& model) {
  return "Model(arch=\"" + model.model().arch() + "\", classes=" + std::to_string(model.model().classes().size()) +
         ", parameters=" + std::to_string(model.model().parameter_count()) + ", device=\"" + name(model.device()) +
         "\", threads=" + std::to_string(model.pool()->threads()) + ", dtype=\"" + name(model.dtype()) + "\")";
}

constexpr const char* kModelDoc = R"(A network with its weights, preprocessing and classes, ready to run.

It pickles and copies as its file does, with its device, dtype and number of threads; a ThreadPool stays behind. It keeps
its memory from run to run. Threads that call forward or segment of one model take turns; make one model per
thread to run several at once. Any number of Recognizers share one model. Make one with Model.load or Model.new.)";

constexpr const char* kLoadDoc = R"(The model of a .safetensors file with voxshift's metadata.

path: of the file; or "hf://ORG/NAME[@REVISION][/FILE.safetensors]" in a Hugging Face Hub's repository, which voxshift.hub
brings, with the errors of voxshift.hub.fetch.
device: "cpu", "cuda" or "cuda:N": where the network runs; what forward and segment are given goes there, their results come
back to where it was: numpy arrays for numpy arrays, DeviceArrays for torch tensors on CUDA. threads: of the CPU, num_threads() unless given, or a ThreadPool to share.
dtype of features and weights: "auto" (i8 of an i8 file; else f32 on the CPU, f16 summed in f32 on CUDA), "f32", "f16", "bf16"
or "i8" (of an i8 file). Sums are f32, of i8 int32; an i8 file gives the same bits on every device.
profile: preprocessing in place of the file's, "spvnas", "pointcept", "nuscenes", "waymo" or the path of a JSON file.

Raises OSError for a file that is missing, cut or not such a model, RuntimeError for a device this build has not, and
ValueError for an unknown profile, an unknown dtype, and for i8 of a file that is not.)";

constexpr const char* kNewDoc = R"(A network with random weights as torchsparse initialises them, or with given ones.

arch: "minkunet", "spvcnn", "spvnas", "pvcnn" (S3DIS), "pvcnn-shapenet", "pvcnn++" (S3DIS), "pointnet++" (ShapeNet),
"second", "pointpillars" (KITTI), "centerpoint" (nuScenes), "tsm-mobilenetv2" or "tsm-resnet50" (Jester). Its batch-norm statistics are those of one synthetic scan or clip. width:
factor of all channel counts, 1/32 to 8, of TSM 1/16 to 4. classes: 1 to 255, on video 1 to 8192, the
architecture's own unless given; those of known data sets take their names and colours. profile: preprocessing, the
architecture's own unless given. config: path of an SPVNAS net.config. parameters: {name: float32 array}, trained
tensors in place of random ones, named and laid out as the architecture's. shift: of networks on video, "online" for
streams, "offline" for whole clips, whose frames also see the next one. style: of detectors, "mmdet3d" or "openpcdet", whose
layers and names; mmdet3d unless given. device, threads, dtype: as of load. Raises
ValueError for others, OSError for a bad file, RuntimeError as load.)";

constexpr const char* kFromGraphDoc = R"(A network from a graph like Model.graph and the tensors it names.

graph: dict {input, dims, in_channels, nodes, outputs}, or with inputs, a list of dicts, in place of input and
in_channels: docs/graph.md. parameters: {name: float32 array, of weights with a weight_scale int8}. profile:
preprocessing, a known name, the path of a JSON file or a dict like Model.profile; None for a network that only forward and
run are given, and whose file has none. classes: their number, or a list of names, of (name, raw_id, (r, g, b)) or of
ClassInfo in the order of the logits; 0 for a network that gives no logits, which Model.run runs.
detection: of a network that finds boxes, a dict like Model.detection: docs/detection.md.
arch: any name. device, threads, dtype: as of load. Raises ValueError for a graph that does not fit the tensors, OSError
for a bad file, RuntimeError as load.)";

constexpr const char* kForwardDoc = R"(Logits float32 [N, classes] of the rows of x, as the network gives them.

x: a SparseTensor for networks on voxels; points float32 [N, C] with all input channels, x y z first, for networks on
points, of which rows [row_splits[b], row_splits[b + 1]) are cloud b, row_splits int32 or int64; frames float32
[T, H, W, C] of one clip, normalised, for networks on frames. Raises ValueError when x has other channels or axes than
the network's input.)";

constexpr const char* kRunDoc = R"(Every output of the network by name: {name: (features, coords)}.

features: float32 [rows, channels], of images [images, height, width, channels]. coords: of voxels int32 [rows, 1 + dims], batch first; of points float32 [rows, 3]; of
other rows, such as one per cloud, None. x and row_splits, and what is raised: as of forward.

x of a network with several inputs: a dict by their names, with a SparseTensor, points, (points, row_splits) or frames for
each, and float32 [rows, C] for one that has the rows of another, in the order in which that one's value has them; of
frames [T, H, W, C]. Raises ValueError that names the input for a missing or unknown one and for other rows or channels.)";

constexpr const char* kSegmentDoc = R"(A label per point: uint8 [N], the train id, 255 for a dropped point.

points: float32 or float16 [N, C], x y z in metres and remission; further columns are ignored.
sensor: "kitti", "nuscenes", "waymo", "ouster" or "livox". remission_scale: what a perfect reflector has, 1, 255 or 65535.
origin: x, y, z of the sensor among the points, in metres. frame: where the points' zero is in their file, as
PointCloud.origin; where that is not 0, no sensor is taken to be there.
scores: also return the softmax of the logits, float32 [N, classes], 0 for a dropped point: (labels, scores).

What is not given and looks unlike what the model's profile takes is guessed, and a UserWarning says how: remission of
0..255, a sensor far from the origin, no remission, points far from all others, which are dropped. Points on a CUDA device
are taken as they are. Raises ValueError for another shape or dtype, and where points without a range span more than a key's 63 bits.)";

constexpr const char* kPreparePointsDoc = R"(Points as segment gives them to a network of this profile: float32 [N, C].

points: float32 [N, C >= 3], x y z in metres and remission. profile: a Model.profile. sensor, remission_scale, origin: as
of Model.segment, and so are the warnings. A point far from all others gets a NaN, which voxelize drops. Points that are as
the profile expects come back as they are. Raises ValueError.)";

constexpr const char* kReportDoc = R"(Cost of the last run of forward or segment, 0 before the first.

{points, dropped, voxels, macs, seconds: {voxelize, maps, network}, layers: [{name, kind, rows, in_channels,
out_channels, pairs, macs, seconds}]}. On CUDA work is not waited for step by step: pairs, macs and seconds of layers are
0, and the other seconds those of queueing.)";

void bind_class_info(py::module_& m) {
  py::class_<ClassInfo> info(m, "ClassInfo", "A class; its position in Model.classes is its train id.");
  info.def_readonly("name", &ClassInfo::name, "Such as \"car\".")
      .def_readonly("raw_id", &ClassInfo::raw_id, "What a .label file stores.")
      .def_property_readonly(
          "rgb", [](const ClassInfo& c) { return py::make_tuple(c.rgb[0], c.rgb[1], c.rgb[2]); },
          "Red, green, blue, 0..255.")
      .def("__repr__", [](const ClassInfo& c) {
        return "ClassInfo(name=\"" + c.name + "\", raw_id=" + std::to_string(c.raw_id) + ")";
      });
  pickle_by_fields(info, &ClassInfo::name, &ClassInfo::raw_id, &ClassInfo::rgb);
}

void bind_properties(py::class_<LoadedModel>& bound) {
  bound.def_property_readonly("graph", &graph, "The network as the model file's JSON has it, as a dict.")
      .def_property_readonly(
          "detection",
          [](const LoadedModel& model) -> py::object {
            const auto& head = model.model().detection();
            return head ? py::module_::import("json").attr("loads")(to_text(*head)) : py::none();
          },
          "Of a detector, what its maps mean, as the model file's JSON has it: {heads, selection}; else None.")
      .def_property_readonly("report", &report, kReportDoc)
      .def_property_readonly(
          "classes", [](const LoadedModel& model) { return model.model().classes(); }, "list of ClassInfo by train id.")
      .def_property_readonly(
          "arch", [](const LoadedModel& model) { return model.model().arch(); }, "Such as \"minkunet\".")
      .def_property_readonly(
          "profile",
          [](const LoadedModel& model) {
            const auto profile = model.model().own_profile();
            return profile ? std::optional(to_python(*profile)) : std::nullopt;
          },
          "Preprocessing, None of a model without: {name, voxel_size, rounding, range, reduce, origin, axes} as "
          "voxelize "
          "takes\n"
          "them, scale, the factor of each of the points' columns, and relative_to, what the points' zero is. Of "
          "networks on points {name,\n"
          "scale, blocks: {size, points, room_coordinates}}, of networks on video {name, frames: {height,\n"
          "width, resize, mean, std, segments}}.")
      .def_property_readonly(
          "parameter_count", [](const LoadedModel& model) { return model.model().parameter_count(); },
          "Trained numbers: all parameters but running statistics.")
      .def_property_readonly(
          "device", [](const LoadedModel& model) { return name(model.device()); }, "Such as \"cpu\".")
      .def_property_readonly(
          "threads", [](const LoadedModel& model) { return model.pool()->threads(); },
          "Threads of the CPU that a run uses.")
      .def_property_readonly(
          "dtype", [](const LoadedModel& model) { return name(model.dtype()); },
          "Of features and weights: \"f32\", \"f16\", \"bf16\" or \"i8\".");
}

}  // namespace

void bind_models(py::module_& m) {
  bind_class_info(m);
  py::class_<LoadedModel> bound(m, "Model", kModelDoc);
  bound
      .def_static("load", &load, "path"_a, "device"_a = "cpu", "threads"_a = py::none(), "profile"_a = py::none(),
                  "dtype"_a = "auto", WithoutGil(), kLoadDoc)
      .def_static("new", &create, "arch"_a = "minkunet", "width"_a = 1.0, "classes"_a = py::none(), "seed"_a = 0,
                  "device"_a = "cpu", "threads"_a = py::none(), "profile"_a = py::none(), "config"_a = py::none(),
                  "parameters"_a = py::none(), "shift"_a = "online", "dtype"_a = "auto", "style"_a = "", WithoutGil(),
                  kNewDoc)
      .def_static("pretrained", &pretrained, "name"_a = "minkunet-lidar", "device"_a = "cpu", "threads"_a = py::none(),
                  "dtype"_a = "auto",
                  "A trained model that comes with the package: \"minkunet-lidar\" labels LiDAR scans,\n"
                  "\"centerpoint-lidar\" finds boxes in them, \"tsm-mobilenetv2-motions\" tells the motions of "
                  "synth_video apart.\n\"minkunet-lidar-i8\" and so on, or dtype=\"i8\", is the same network in i8. "
                  "Raises ValueError for another name.")
      .def_static("from_graph", &from_graph, "graph"_a, "parameters"_a, "profile"_a = "spvnas", "classes"_a = 19,
                  "arch"_a = "custom", "device"_a = "cpu", "threads"_a = py::none(), "dtype"_a = "auto",
                  "detection"_a = py::none(), kFromGraphDoc)
      .def("with_parameters", &with_parameters, "parameters"_a, WithoutGil(),
           "The same network with other weights {name: float32 array} under the same names. Raises ValueError for\n"
           "missing ones and other shapes.")
      .def(
          "save",
          [](const LoadedModel& model, const std::filesystem::path& path, bool half) {
            model.model().save(path, half ? DType::kF16 : DType::kF32);
          },
          "path"_a, "half"_a = false, WithoutGil(),
          "Writes a .safetensors file whole or not at all; half: its float tensors rounded to float16. Raises OSError, "
          "and\n"
          "ValueError for a number beyond float16's range.")
      .def("parameters", &parameters, "The tensors of the file by name, on the model's memory, read-only.")
      .def("forward", &LoadedModel::forward, "x"_a, "row_splits"_a = py::none(), WithoutGil(), kForwardDoc)
      .def("run", &run, "x"_a, "row_splits"_a = py::none(), kRunDoc)
      .def("segment", &segment, "points"_a, "scores"_a = false, "sensor"_a = py::none(),
           "remission_scale"_a = py::none(), "origin"_a = py::none(), "frame"_a = py::none(), kSegmentDoc)
      .def("__repr__", &repr)
      .def(py::pickle(&state_of, &from_state));
  bind_properties(bound);
  m.def("prepare_points", &prepare_points, "points"_a, "profile"_a, "sensor"_a = py::none(),
        "remission_scale"_a = py::none(), "origin"_a = py::none(), kPreparePointsDoc);
}

}  // namespace voxshift::python
