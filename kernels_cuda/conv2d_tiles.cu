// 2-D convolution of f16, bf16 and i8 images on tensor cores. A block owns a tile of output pixels and channels and
// goes through the numbers of their sums in order: inputs and weights are fetched by cp.async into a ring of stages in
// shared memory while earlier stages are multiplied.
#include <voxshift/kernels_cuda/conv2d.h>
#include <voxshift/kernels_cuda/tensor_tile.h>

namespace voxshift::cuda {
namespace {

// What is copied 16 bytes at a time: of the input the chunks inside one of these runs.
struct Chunks {
  bool runs[3], out;
};

// A number of a row: the input's channel at a tap of the window. Beyond the last tap `down` is the kernel or more.
struct Number {
  int channel, down = 0, right = 0;

  __device__ void advance(int by, int kernel, int channels) {
    channel += by;
    while (channel >= channels) {
      channel -= channels;
      if (++right == kernel) {
        right = 0;
        ++down;
      }
    }
  }
};

template <class T, class Operands>
__global__ void __launch_bounds__(T::kThreads) conv2d_kernel(Operands x, Chunks chunks) {
  using Element = typename T::Element;
  constexpr int kChunk = cuda::kChunk<Element>;
  constexpr int kInRows = T::kInRows, kInCopies = T::kInCopies, kWeightCopies = T::kWeightCopies;
  const std::int64_t first_pixel = std::int64_t{blockIdx.x} * T::kRows;
  const int first_column = static_cast<int>(blockIdx.y) * T::kColumns;
  if (x.mask != nullptr && !any_active<T::kRows>(x, first_pixel)) return;

  auto* const stages = reinterpret_cast<Element*>(dynamic_shared());
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  const int depth = x.depth(), steps = (depth + T::kDepth - 1) / T::kDepth;

  // What this thread copies: a chunk of kInCopies pixels, whose places are kInRows apart, and kWeightCopies of weights.
  const int in_row = thread / T::kInChunks, in_place = place<Element, T::kInChunks>(in_row, thread % T::kInChunks);
  int top[kInCopies], left[kInCopies];
#pragma unroll
  for (int c = 0; c < kInCopies; ++c) x.start(first_pixel + in_row + c * kInRows, top[c], left[c]);
  Number number{0};
  number.advance(thread % T::kInChunks * kChunk, x.kernel, x.in_channels);
  const bool channels_in_chunks = x.in_channels % kChunk == 0;
  static_assert(T::kStageChunks % T::kThreads == 0);
  int weight_place[kWeightCopies], weight_input[kWeightCopies], weight_offset[kWeightCopies];
#pragma unroll
  for (int c = 0; c < kWeightCopies; ++c) {
    const WeightChunk chunk =
        WarpProduct<T>::weight_chunk(thread + c * T::kThreads, first_column, x.padded_in, x.padded_out);
    weight_place[c] = chunk.place;
    weight_input[c] = chunk.offset >= 0 ? chunk.input : depth;  // beyond the last column: as beyond the last input
    weight_offset[c] = chunk.offset;
  }

  int fetched = 0;  // numbers of the sums
  const Element* weight = x.weight;
  Element* fetch_stage = stages;
  const auto fetch = [&] {
    if (fetched < depth) {
      const auto run = x.run_of(number.channel);
      const bool in_chunks = number.channel < x.runs[0].end   ? chunks.runs[0]
                             : number.channel < x.runs[1].end ? chunks.runs[1]
                                                              : chunks.runs[2];
      if (channels_in_chunks && in_chunks && number.channel + kChunk <= run.end) {
#pragma unroll
        for (int c = 0; c < kInCopies; ++c) {
          const int row = top[c] + number.down, column = left[c] + number.right;
          const bool present = number.down < x.kernel && x.inside(row, column);
          copy_async_16(fetch_stage + in_place + c * kInRows * T::kDepth,
                        present ? run.pixel(row, column) + number.channel : x.weight, present);
        }
      } else {
        Chunk<Element> values[kInCopies];
        Number each = number;
#pragma unroll
        for (int h = 0; h < kChunk; ++h) {
          const auto own = x.run_of(each.channel);
#pragma unroll
          for (int c = 0; c < kInCopies; ++c) {
            const int row = top[c] + each.down, column = left[c] + each.right;
            const bool present = each.down < x.kernel && x.inside(row, column);
            values[c].values[h] = present ? own.pixel(row, column)[each.channel] : Element(0);
          }
          each.advance(1, x.kernel, x.in_channels);
        }
#pragma unroll
        for (int c = 0; c < kInCopies; ++c)
          *reinterpret_cast<uint4*>(fetch_stage + in_place + c * kInRows * T::kDepth) = values[c].bits;
      }
#pragma unroll
      for (int c = 0; c < kWeightCopies; ++c) {
        const bool present = fetched + weight_input[c] < depth;
        copy_async_16(fetch_stage + weight_place[c], present ? weight + weight_offset[c] : x.weight, present);
      }
      number.advance(T::kDepth, x.kernel, x.in_channels);
      weight += WarpProduct<T>::weight_step(x.padded_out);
      fetched += T::kDepth;
      fetch_stage += T::kStageElements;
      if (fetch_stage == stages + T::kStages * T::kStageElements) fetch_stage = stages;
    }
    copies_commit();
  };

  // Sums of floats begin with the bias, made +0 where it is -0: then a step of nothing but zeros, of which some tiles
  // have more than others, changes no bit.
  const WarpTile<T> mine(warp, thread % 32);
  typename T::Sums sums;
#pragma unroll
  for (int n = 0; n < T::kPanels; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int column = first_column + mine.column + n * 8 + mine.lane % 4 * 2 + e % 2;
      typename T::Sum start = 0;
      if constexpr (std::is_same_v<typename T::Sum, float>) start = x.bias_of(column) + 0.0f;
#pragma unroll
      for (int m = 0; m < T::kTiles; ++m) sums[m][n][e] = start;
    }
  const bool wanted = first_pixel + mine.row < x.out.count && first_column + mine.column < x.out_channels;

  // The first fetches are ahead of the first step.
  const Element* stage = stages;
  for (int step = 1 - T::kStages; step < steps; ++step) {
    if (step >= 0) {
      copies_wait<T::kStages - 2>();
      __syncthreads();
    }
    fetch();
    if (step < 0) continue;
    if (wanted) mine.product.multiply(stage, sums);
    stage += T::kStageElements;
    if (stage == stages + T::kStages * T::kStageElements) stage = stages;
  }

  // Sums leave by shared memory, so that a thread writes eight neighbouring channels.
  copies_wait<0>();
  __syncthreads();
  mine.leave(sums, dynamic_shared(), warp, [&](int r, int c, const typename T::Sum* eight) {
    const std::int64_t i = first_pixel + r;
    if (i >= x.out.count || first_column + c >= x.out_channels) return;
    write_chunk<T::kOutChunk>(
        x.out, i, first_column + c, x.residual, x.residual_row(i), chunks.out,
        [&](int channel, float other) { return x.finish(eight[channel], first_column + c + channel, other); },
        [&](const auto& others, auto& numbers) { x.finish(eight, first_column + c, others, numbers); });
  });
}

template <class T, class Operands>
void run(const Queue& queue, const Operands& x, const Chunks& chunks) {
  allow_shared<conv2d_kernel<T, Operands>>(T::kBytes);
  launch(queue, conv2d_kernel<T, Operands>,
         dim3(static_cast<unsigned>(ceil_div<std::int64_t>(x.out.count, T::kRows)),
              static_cast<unsigned>(ceil_div(x.out_channels, T::kColumns))),
         dim3(T::kThreads), T::kBytes, x, chunks);
}

template <class T>
bool pixels_in_chunks(const Conv2dRun<T>& run) {
  return in_chunks(Rows<const T>{run.base, run.row_stride}) && run.pitch % kChunk<T> == 0;
}

// Tiles whose stages have 64 bytes of a row, or 128. The largest that occupy the device: where tiles are few, it is the
// stages on their way that fill it.
template <class Operands>
void run_tiles(const Queue& queue, const Operands& x, bool whole) {
  using Element = typename Operands::Element;
  constexpr int kShort = 64 / sizeof(Element), kLong = 128 / sizeof(Element);
  const Chunks chunks{{pixels_in_chunks(x.runs[0]), pixels_in_chunks(x.runs[1]), pixels_in_chunks(x.runs[2])}, whole};
  if (occupies(x.out.count, x.out_channels, 64, 64))
    return run<Tile<Element, 64, 64, 32, 32, kShort, 4>>(queue, x, chunks);
  if (occupies(x.out.count, x.out_channels, 32, 32))
    return run<Tile<Element, 32, 32, 16, 16, kLong, 4>>(queue, x, chunks);
  run<Tile<Element, 16, 32, 16, 8, kLong, 8>>(queue, x, chunks);
}

}  // namespace

void run_conv2d(const Queue& queue, const PlainConv2d<half_t>& x, bool whole) { run_tiles(queue, x, whole); }
void run_conv2d(const Queue& queue, const MixedConv2d<half_t>& x, bool whole) { run_tiles(queue, x, whole); }
void run_conv2d(const Queue& queue, const PlainConv2d<bfloat_t>& x, bool whole) { run_tiles(queue, x, whole); }
void run_conv2d(const Queue& queue, const MixedConv2d<bfloat_t>& x, bool whole) { run_tiles(queue, x, whole); }
void run_conv2d(const Queue& queue, const MixedConv2d<std::int8_t>& x, bool whole) { run_tiles(queue, x, whole); }

}  // namespace voxshift::cuda
