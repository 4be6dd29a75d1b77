// The files that the command writes. Each is complete or absent: it grows under a temporary name and is renamed.
#pragma once

#include <voxshift/files/point_cloud.h>
#include <voxshift/tasks/classes.h>
#include <voxshift/tensor/array.h>

#include <cstdint>
#include <filesystem>
#include <span>

namespace voxshift {

/// Creates the folder and those above it; one that is there is fine. Throws IoError.
void make_folder(const std::filesystem::path& path);

/// A file of these bytes.
void write_bytes(const std::filesystem::path& path, std::span<const std::uint8_t> bytes);

/// SemanticKITTI's .label: one uint32 raw id per label, 0 for a label without class.
void write_labels(const std::filesystem::path& path, std::span<const std::uint8_t> labels,
                  std::span<const ClassInfo> classes);

/// .npy of f32 or i32 on the CPU, C order. Throws InvalidArgument for another dtype.
void write_array(const std::filesystem::path& path, const Array& array);

/// Binary .ply: x, y, z (float, double where the scan has an origin), red, green, blue (uchar), label (ushort, raw id)
/// per point; grey where a label has no class. Throws InvalidArgument where labels are not one per point.
void write_coloured_ply(const std::filesystem::path& path, const PointCloud& scan, std::span<const std::uint8_t> labels,
                        std::span<const ClassInfo> classes);

}  // namespace voxshift
