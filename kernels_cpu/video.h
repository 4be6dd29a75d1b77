// Methods of the contract in video/kernels.h, one group per file.
#pragma once

#include <voxshift/video/kernels.h>

namespace voxshift::cpu {

// conv2d.cpp
void conv2d(const Context&, const Conv2dLayer&, Extent2d in_extent, const ImageView& in, const ConstRowView& residual,
            Pixels pixels, const RowView& out);

// narrow_conv2d.cpp: where features are i8, f16 or bf16
void conv2d_narrow(const Context&, const Conv2dLayer&, Extent2d in_extent, const ImageView& in,
                   const ConstRowView& residual, Pixels pixels, const RowView& out);

// depthwise.cpp
void depthwise(const Context&, const Conv2dLayer&, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
               const RowView& out);

// conv2d_backward.cpp
void conv2d_input_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                           const ConstRowView& grad, const float* weight, const RowView& grad_in);
void conv2d_weight_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                            const ConstRowView& in, const ConstRowView& grad, float* grad_weight);

// depthwise_backward.cpp
void depthwise_input_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                              const ConstRowView& grad, const float* weight, const RowView& grad_in);
void depthwise_weight_gradient(const Context&, const Window2d&, Extent2d in_extent, std::int64_t images,
                               const ConstRowView& in, const ConstRowView& grad, float* grad_weight);

// fused_block.cpp
void fused_block(const Context&, const FusedBlock&, const ImageView& in, const ConstRowView& residual,
                 const std::uint8_t* hidden, Pixels pixels, const RowView& out);

// pool2d.cpp
void max_pool(const Context&, const Window2d&, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
              const RowView& out);
void avg_pool(const Context&, const Window2d&, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
              const RowView& out);
void mean_rows(const Context&, const ConstRowView& in, const RowView& out);

// spread_pixels.cpp
void spread_pixels(const Context&, const ConstRowView& in, Extent2d in_extent, std::int64_t k, const RowView& out);

// resampling.cpp
void resample(const Context&, const Resampling&, std::int64_t images, std::int32_t* indices, float* weights);

// frame_change.cpp
void normalize(const Context&, const std::uint8_t* frame, Extent2d extent, const float* scale, const float* shift,
               Pixels pixels, void* out, DType dtype, std::int64_t pitch);
std::int64_t changed_pixels(const Context&, const std::uint8_t* frame, std::uint8_t* kept, std::int64_t pixels,
                            const float* threshold, std::uint8_t* mask);
FrameDifference frame_difference(const Context&, const std::uint8_t* a, const std::uint8_t* b, Extent2d extent);

// pixel_masks.cpp
std::int64_t reached(const Context&, const Window2d&, Extent2d in_extent, const std::uint8_t* in, std::uint8_t* out);
std::int64_t needed(const Context&, const Window2d&, Extent2d in_extent, const std::uint8_t* out, std::uint8_t* in);
std::int64_t unite(const Context&, std::uint8_t* a, const std::uint8_t* b, std::int64_t pixels);
std::int64_t commit(const Context&, const ConstRowView& values, Pixels pixels, float threshold, const RowView& kept,
                    std::uint8_t* mask);

}  // namespace voxshift::cpu
