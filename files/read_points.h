// Point cloud files: .bin, .npy, .ply, .pcd.
#pragma once

#include <voxshift/files/point_cloud.h>

#include <filesystem>
#include <optional>
#include <string>

namespace voxshift {

/// Reads the points of one file, of the kind that its name ends in.
///  .bin   float32 rows, no header; columns: of a row, 3 to 1024. Unless given, it is 4 (KITTI), or where the values
///         show another number, as nuScenes' 5, that one, with a note
///  .npy   numbers of 1 to 8 bytes, [N, C] with C >= 3; [C, N] is turned, with a note
///  .ply   ascii, binary little and big endian; the vertices
///  .pcd   ascii, binary, binary_compressed
/// Of the last two, fields are known by their usual names in any case, with or without CloudCompare's "scalar_": x, y,
/// z; remission, intensity, reflectivity, reflectance, i, amplitude; rgb, rgba, or red, green, blue; label, class,
/// classification; ring, channel, line, beam; t, time, timestamp, gps_time, gpstime, offset_time, time_offset. Throws
/// IoError "FILE: what is wrong, what was expected" for a file that is missing, empty, cut or not what its name says.
/// Memory is bounded by the size of the file.
PointCloud read_points(const std::filesystem::path& path, std::optional<int> columns = {});

/// Whether the name ends in .bin, .npy, .ply or .pcd, in any case.
bool is_point_file(const std::filesystem::path& path);

/// IoError's text for a file of another kind: what is read, and for .las, .laz, .e57, .bag .. what converts it.
std::string not_a_point_file(const std::filesystem::path& path);

}  // namespace voxshift
