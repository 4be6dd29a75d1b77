// A bird's-eye picture of labelled points. The boundary to OpenCV's codecs, which live in a shared library of their
// own.
#pragma once

#include <voxshift/models/classes.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "scan_files.h"

namespace voxshift {

/// What a picture shows; the views must outlive the call that draws them.
struct LabelledScan {
  const Scan& scan;
  std::span<const std::uint8_t> labels;  ///< [N] train ids, kUnlabelled for none
  std::span<const ClassInfo> classes;    ///< row = train id
  std::string title;                     ///< the name of the scan
};

/// Draws the scan from above, x up and y to the left, with legend, shares and scale bar; returns the bytes of a PNG.
/// The sensor is in the middle, with the 99 % of the points nearest to it, at most 50 m; a cloud that lies far from its
/// origin is shown around its own middle. Points beyond, or with NaN or infinite coordinates, are counted in the legend
/// but not drawn. Throws InvalidArgument where labels are not one per point, BackendUnavailable where this build has no
/// OpenCV.
std::vector<std::uint8_t> draw_picture(const LabelledScan& labelled);

}  // namespace voxshift

/// What libvoxshift_opencv exports.
extern "C" void voxshift_opencv_draw(const voxshift::LabelledScan& labelled, std::vector<std::uint8_t>& png);
