// Steps that move a window over images. They may compute some pixels of their output only, and read the shift between
// frames in place.
#pragma once

#include <voxshift/graph/lowering.h>
#include <voxshift/video/layers.h>

#include <optional>

namespace voxshift {

/// What a step computes of one image.
struct WindowRun {
  ImageView in;                          ///< shifted where the step is
  ConstRowView residual;                 ///< a row for every pixel of the output, or no base
  Pixels pixels;                         ///< of the output
  const std::uint8_t* hidden = nullptr;  ///< of a fused block: mask of the hidden pixels that these read; null: all
  RowView out;                           ///< pixels.count rows
};

class WindowStep : public Step {
 public:
  /// The draft's images; `reads` is the window over the input.
  WindowStep(const Draft& draft, const Lowering& lowering, const Window2d& reads);

  Extent2d in() const { return in_; }
  Extent2d out() const { return out_; }
  const std::optional<TemporalShift>& shift() const { return shift_; }

  /// Which pixels an output reads: of the input, or where some are hidden inside the step, of those.
  virtual const Window2d& window() const { return reads_; }

  /// Which pixels of the input a hidden one reads, of a step that has them.
  virtual const Window2d* front() const { return nullptr; }
  Extent2d hidden() const { return front() != nullptr ? front()->out(in_) : Extent2d{}; }

  /// Zeros around the image that the step reads fastest with. None: it reads plain rows.
  virtual std::optional<std::int64_t> border() const { return std::nullopt; }

  /// Multiply-adds of `pixels` outputs, for which `hidden` hidden pixels are computed.
  virtual std::int64_t macs_of(std::int64_t pixels, std::int64_t hidden) const = 0;
  std::int64_t dense_macs() const { return macs_of(out_.pixels(), hidden().pixels()); }

  virtual void run_image(const Context& context, const WindowRun& run) const = 0;

  /// Every image; with a shift the images are the frames of one clip.
  void run(const StepRun& run) const final;

  std::int64_t macs(const PlanRows& rows, std::int64_t pairs, std::int64_t in_channels,
                    std::int64_t out_channels) const final;

 protected:
  /// "3x3 / 2".
  static std::string text(const Window2d& window);

  /// The image as plain rows, which have one run.
  ConstRowView plain_rows(const ImageView& image) const;

 private:
  ChannelRuns shifted(const StepRun& run, std::int64_t image) const;

  Extent2d in_, out_;
  Window2d reads_;
  std::optional<TemporalShift> shift_;
  Array zeros_;  // [fold]: the frames before and after a clip
};

}  // namespace voxshift
