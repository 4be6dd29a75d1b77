// From points to labels.
#pragma once

#include <voxshift/engine/session.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/prepare_points.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// Cost of the last cloud; of one that was cut into blocks, the sum of theirs.
struct SegmentReport : RunReport {
  std::int64_t points = 0, dropped_points = 0;
  double voxelize_seconds = 0;     ///< voxels or blocks of the points
  std::vector<std::string> notes;  ///< what was guessed of the points, a line each
};

struct Segmentation {
  Array labels;  ///< u8 [N]: train id per point, kUnlabelled for a dropped one
  Array scores;  ///< f32 [N, classes]: softmax of the logits, 0 for a dropped point; empty unless asked for
};

/// One user of a model that labels points: a session, and what is kept from cloud to cloud. Not for several threads at
/// once; make one per thread, they share nothing but the model. After the largest cloud has been seen nothing but
/// results is allocated.
class Segmenter {
 public:
  /// The arguments are those of Session.
  explicit Segmenter(const Model& model, Device device = Device::cpu(), const Threads& threads = {},
                     std::optional<DType> dtype = {});
  ~Segmenter();
  Segmenter(Segmenter&&) noexcept;
  Segmenter& operator=(Segmenter&&) noexcept;

  /// A label per point, on the session's device. points f32 [N, C], C >= 3; of columns that the profile wants and
  /// points have not, the fourth is taken for 0. Points on the CPU are prepared as `options` say (prepare_points.h),
  /// and report().notes says what was guessed; those on a CUDA device are taken as they are. Throws InvalidArgument for
  /// other shapes, where points on a device span more than a key's bits, or 2^31 blocks, and for a model whose output
  /// has other coordinates than its input: labels belong to points. Bounded convolutions on voxels take the highest
  /// coordinates + 1 for their extent.
  Segmentation segment(const Array& points, bool with_scores = false, const PrepareOptions& options = {});

  const SegmentReport& report() const;
  const Model& model() const;

  /// What runs the network, for its settings and for logits.
  Session& session();
  const Session& session() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
