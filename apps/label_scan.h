// Reads a scan and segments it: the steps that `segment` and `view` share.
#pragma once

#include <voxshift/files/point_cloud.h>
#include <voxshift/tasks/segmenter.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// What is known of the scans' files; the rest is guessed.
struct ScanOptions {
  std::optional<int> columns;            ///< of a .bin
  std::string sensor;                    ///< of known_sensors(); empty: none is known
  std::optional<float> remission_scale;  ///< what files give a perfect reflector
  std::vector<double> origin;            ///< x, y, z of the sensor in the files' coordinates; empty: guessed
};

/// The points of a file. with_colours: as columns x, y, z, red, green, blue where the file has colours. Throws IoError.
PointCloud read_scan(const std::filesystem::path& path, const ScanOptions& options, bool with_colours = false);

/// What the options, and the scan, say of its points.
PrepareOptions prepare_options(const ScanOptions& options, const PointCloud& scan);

/// A view of the scan's points, f32 [N, columns].
Array points_of(const PointCloud& scan);

/// Whether the model takes x, y, z, red, green, blue.
bool takes_colours(const Model& model);

/// Throws IoError for a model that takes video.
Model load_point_model(const std::filesystem::path& path);

/// Labels and scores on the CPU; segmenter.report() tells of the run.
Segmentation label_scan(Segmenter& segmenter, const PointCloud& scan, const ScanOptions& options,
                        bool with_scores = false);

}  // namespace voxshift
