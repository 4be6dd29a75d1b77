#include "profiles.h"

#include "options.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

py::dict points_dict(const Profile& profile) {
  const BlockOptions& b = *profile.blocks;
  return py::dict(
      "name"_a = profile.name, "scale"_a = profile.scale,
      "blocks"_a = py::dict("size"_a = b.size, "points"_a = b.points, "room_coordinates"_a = b.room_coordinates));
}

py::dict frames_dict(const Profile& profile) {
  const FrameProfile& f = *profile.frames;
  return py::dict("name"_a = profile.name,
                  "frames"_a = py::dict("height"_a = f.height, "width"_a = f.width, "resize"_a = f.resize,
                                        "mean"_a = f.mean, "std"_a = f.std, "segments"_a = f.segments));
}

py::dict voxels_dict(const Profile& profile) {
  const VoxelizeOptions& v = profile.voxelize;
  py::object range = py::none();
  if (v.range) range = py::make_tuple(v.range->lowest, v.range->highest);
  const py::object size = v.voxel_size.is_cube() ? py::cast(v.voxel_size.each[0]) : py::cast(v.voxel_size.each);
  py::dict document("name"_a = profile.name, "voxel_size"_a = size, "rounding"_a = word_of(v.rounding),
                    "range"_a = range, "reduce"_a = word_of(v.reduce), "origin"_a = origin_word(v.from_lowest),
                    "axes"_a = word_of(v.axes), "scale"_a = profile.scale,
                    "relative_to"_a = profile.relative_to == RelativeTo::kTile ? "tile" : "sensor");
  if (const auto& cloud = profile.cloud)
    document["cloud"] = py::dict("max_points"_a = cloud->max_points, "max_voxels"_a = cloud->max_voxels,
                                 "sweeps"_a = cloud->sweeps, "remission"_a = cloud->remission);
  return document;
}

}  // namespace

py::dict to_python(const Profile& profile) {
  if (profile.frames) return frames_dict(profile);
  return profile.blocks ? points_dict(profile) : voxels_dict(profile);
}

Profile profile_of(const AnyProfile& profile) {
  if (const auto* name_or_path = std::get_if<std::string>(&profile)) return find_profile(*name_or_path);
  const auto document = py::dict(std::get<py::dict>(profile).attr("copy")());
  if (document.contains("reduce")) document["features"] = document.attr("pop")("reduce");  // the file's word
  if (document.contains("range") && py::isinstance<py::sequence>(document["range"])) {
    const auto range = document["range"].cast<py::sequence>();
    check(range.size() == 2, "[profile] range expects two corners, lowest and highest, found ", range.size());
    document["range"] = py::dict("lowest"_a = range[0], "highest"_a = range[1]);
  }
  return profile_from_text(py::module_::import("json").attr("dumps")(document).cast<std::string>());
}

}  // namespace voxshift::python
