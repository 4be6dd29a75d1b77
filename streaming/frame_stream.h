// A network frame by frame: the streaming shift, and computing only what changed.
#pragma once

#include <voxshift/engine/report.h>
#include <voxshift/streaming/frame_network.h>
#include <voxshift/streaming/skip_thresholds.h>
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/thread_pool.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace voxshift {

/// What a stream may leave out.
enum class Skip {
  kOff,        ///< nothing: every frame is dense
  kExact,      ///< what did not change at all: the same bits as kOff
  kThreshold,  ///< what changed by at most `threshold`, at the frame and at every layer
  kAuto,       ///< by calibrated thresholds, and whole frames like the last processed one, once as many
               ///< frames as the network has shifts have been processed after the first one or a cut
};

struct StreamOptions {
  Skip skip = Skip::kOff;
  float threshold = 0;                            ///< kThreshold: as SkipThresholds has frame and layers
  std::optional<SkipThresholds> thresholds = {};  ///< kAuto; a Recognizer takes the model's where there are none
  bool whole_frames = true;                       ///< kAuto: also skip whole frames
  bool always_compare = false;                    ///< compare and leave out also where that costs more than it saves:
                                                  ///< for measuring thresholds, and layer_output() of every frame
  std::int64_t key_frame_interval = 0;            ///< every so many processed frames one is dense; 0: only where needed
  Threads threads = {};                           ///< a number, 0 for num_threads(), or a pool to share
};

/// What one frame cost.
struct FrameCost {
  bool skipped = false;    ///< the whole frame; its result is the last one's
  bool key_frame = false;  ///< dense: the first frame, after a cut, or by the interval; with Skip::kOff every frame
  bool dense = false;      ///< all pixels were computed: key frames, and where looking for changes does not pay
  std::int64_t macs = 0, dense_macs = 0;
  std::int64_t changed_pixels = 0;  ///< of the frame
  double seconds = 0;

  double mac_fraction() const { return static_cast<double>(macs) / static_cast<double>(dense_macs); }
};

/// One stream of frames. Not for several threads at once; streams of one network share its weights and nothing else.
/// After the first frame nothing is allocated.
class FrameStream {
 public:
  /// Throws InvalidArgument for a network whose shift looks at the next frame, for a threshold that is negative,
  /// infinite or not a number, or of a layer that the network has not, for a negative interval, and for kAuto without
  /// thresholds.
  explicit FrameStream(const FrameNetwork& network, const StreamOptions& options = {});
  ~FrameStream();
  FrameStream(FrameStream&&) noexcept;
  FrameStream& operator=(FrameStream&&) noexcept;

  /// Runs the network on the next frame: u8 [height, width, 3], RGB, of the size the network takes, on the CPU. A
  /// change of more than kCutDifference grey levels on average is a cut of the camera, whose frame is dense. Throws
  /// InvalidArgument for another shape or dtype and leaves the stream as it was; OutOfMemory, std::bad_alloc or
  /// DeviceError while it computes, and the next frame is the first of a new stream, as after reset().
  const FrameCost& push(const Array& frame);

  /// The values of an output after the last frame, in the order of the network's outputs; zeros before the first. The
  /// view stays valid until the next push.
  std::span<const float> values(std::size_t output = 0) const;

  /// A copy by the output's name: f32 [channels], of images [height, width, channels]. Throws InvalidArgument for
  /// another name.
  Array output(const std::string& name) const;

  /// Forgets all frames, as if newly made.
  void reset();

  /// 1 for every pixel of the last frame that was taken as changed, [height * width]; all 0 for a skipped frame, all 1
  /// with Skip::kOff and where frames were not compared.
  std::span<const std::uint8_t> changed_pixels() const;

  /// Cost of the last frame.
  const FrameCost& cost() const;

  /// Whether frames wait for every layer, so that report() tells what it cost; at first no.
  void report_layers(bool wanted);

  /// What the layers of the last frame did: pixels as rows, MACs, and the time of their products, which is not all of
  /// the frame's; zeros for what was skipped, and where it was not asked for.
  RunReport report() const;

  /// Bytes of state that frames leave for the next: kept values, caches of the shift and where they changed, the frame
  /// as the network has seen it and as it was. Scratch memory and the normalised input are not among them.
  std::size_t state_bytes() const;

  /// Bytes that this stream holds in all, without the shared weights.
  std::size_t bytes() const;

  const FrameNetwork& network() const;
  int threads() const;

  /// A layer's kept output, f32 [height, width, channels], for the layer of that name; for tests and for looking into a
  /// network. Throws InvalidArgument where layers share memory: with Skip::kOff, and after a frame that was computed
  /// whole because looking for changes does not pay, which StreamOptions::always_compare prevents.
  Array layer_output(const std::string& layer) const;

  /// Mean absolute difference of two frames, in grey levels, above which the second one is a cut.
  static constexpr float kCutDifference = 40;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
