// 2-D convolution of f16 images on tensor cores. A block owns a tile of output pixels and channels and goes through the
// numbers of their sums in order: inputs and weights are fetched by cp.async into a ring of stages in shared memory
// while earlier stages are multiplied.
#include <voxshift/kernels_cuda/conv2d.h>
#include <voxshift/kernels_cuda/tensor_tile.h>

namespace voxshift::cuda {
namespace {

constexpr int kChunk = cuda::kChunk<half_t>;

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

template <class T>
__global__ void __launch_bounds__(T::kThreads) conv2d_f16_kernel(Conv2dOperands<half_t> x, Chunks chunks) {
  constexpr int kInRows = T::kInRows, kInCopies = T::kInCopies, kWeightCopies = T::kWeightCopies;
  const std::int64_t first_pixel = std::int64_t{blockIdx.x} * T::kRows;
  const int first_column = static_cast<int>(blockIdx.y) * T::kColumns;
  if (x.mask != nullptr && !any_active<T::kRows>(x, first_pixel)) return;

  auto* const stages = reinterpret_cast<half_t*>(dynamic_shared());
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  const int depth = x.depth(), steps = (depth + T::kDepth - 1) / T::kDepth;

  // What this thread copies: a chunk of kInCopies pixels, whose places are kInRows apart, and kWeightCopies of weights.
  const int in_row = thread / T::kInChunks, in_place = place<half_t, T::kInChunks>(in_row, thread % T::kInChunks);
  int top[kInCopies], left[kInCopies];
#pragma unroll
  for (int c = 0; c < kInCopies; ++c) x.start(first_pixel + in_row + c * kInRows, top[c], left[c]);
  Number number{0};
  number.advance(thread % T::kInChunks * kChunk, x.kernel, x.in_channels);
  const bool channels_in_chunks = x.in_channels % kChunk == 0;
  int weight_place[kWeightCopies], weight_row[kWeightCopies], weight_offset[kWeightCopies];
#pragma unroll
  for (int c = 0; c < kWeightCopies; ++c) {
    const int e = thread + c * T::kThreads, k = e / T::kWeightChunks, chunk = e % T::kWeightChunks;
    const int column = first_column + chunk * kChunk;
    weight_place[c] = T::kInElements + WarpProduct<T>::weight_place(k, chunk);
    weight_row[c] = column < x.padded_out ? k : depth;  // beyond the last column: as beyond the last row
    weight_offset[c] = k * x.padded_out + column;
  }

  int fetched = 0;  // numbers of the sums
  const half_t* weight = x.weight;
  half_t* fetch_stage = stages;
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
        Chunk<half_t> values[kInCopies];
        Number each = number;
#pragma unroll
        for (int h = 0; h < kChunk; ++h) {
          const auto own = x.run_of(each.channel);
#pragma unroll
          for (int c = 0; c < kInCopies; ++c) {
            const int row = top[c] + each.down, column = left[c] + each.right;
            const bool present = each.down < x.kernel && x.inside(row, column);
            values[c].values[h] = present ? own.pixel(row, column)[each.channel] : half_t(0.0f);
          }
          each.advance(1, x.kernel, x.in_channels);
        }
#pragma unroll
        for (int c = 0; c < kInCopies; ++c)
          *reinterpret_cast<uint4*>(fetch_stage + in_place + c * kInRows * T::kDepth) = values[c].bits;
      }
#pragma unroll
      for (int c = 0; c < kWeightCopies; ++c) {
        const bool present = fetched + weight_row[c] < depth;
        copy_async_16(fetch_stage + weight_place[c], present ? weight + weight_offset[c] : x.weight, present);
      }
      number.advance(T::kDepth, x.kernel, x.in_channels);
      weight += T::kDepth * x.padded_out;
      fetched += T::kDepth;
      fetch_stage += T::kStageElements;
      if (fetch_stage == stages + T::kStages * T::kStageElements) fetch_stage = stages;
    }
    copies_commit();
  };

  // Sums begin with the bias, made +0 where it is -0: then a step of nothing but zeros, of which some tiles have more
  // than others, changes no bit.
  const WarpTile<T> mine(warp, thread % 32);
  typename T::Sums sums;
#pragma unroll
  for (int n = 0; n < T::kPanels; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int column = first_column + mine.column + n * 8 + mine.lane % 4 * 2 + e % 2;
      const float start = (x.bias != nullptr && column < x.out_channels ? x.bias[column] : 0.0f) + 0.0f;
#pragma unroll
      for (int m = 0; m < T::kTiles; ++m) sums[m][n][e] = start;
    }
  const bool wanted = first_pixel + mine.row < x.out.count && first_column + mine.column < x.out_channels;

  // The first fetches are ahead of the first step.
  const half_t* stage = stages;
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
  mine.leave(sums, dynamic_shared(), warp, [&](int r, int c, const float* eight) {
    const std::int64_t i = first_pixel + r;
    if (i >= x.out.count || first_column + c >= x.out_channels) return;
    write_chunk(x.out, i, first_column + c, x.residual, x.residual_row(i), chunks.out,
                [&](int channel, float other) { return x.finish(eight[channel], other); });
  });
}

template <class T>
void run(const Queue& queue, const Conv2dOperands<half_t>& x, const Chunks& chunks) {
  allow_shared<conv2d_f16_kernel<T>>(T::kBytes);
  launch(queue, conv2d_f16_kernel<T>,
         dim3(static_cast<unsigned>(ceil_div<std::int64_t>(x.out.count, T::kRows)),
              static_cast<unsigned>(ceil_div(x.out_channels, T::kColumns))),
         dim3(T::kThreads), T::kBytes, x, chunks);
}

bool pixels_in_chunks(const Conv2dRun<half_t>& run) {
  return in_chunks(Rows<const half_t>{run.base, run.row_stride}) && run.pitch % kChunk == 0;
}

}  // namespace

void conv2d_f16(const Queue& queue, const Conv2dOperands<half_t>& x) {
  const Chunks chunks{{pixels_in_chunks(x.runs[0]), pixels_in_chunks(x.runs[1]), pixels_in_chunks(x.runs[2])},
                      in_chunks(x.out) && (x.residual.base == nullptr || in_chunks(x.residual))};
  // The largest tiles that occupy the device. Where they are few, it is the stages on their way that fill it.
  if (occupies(x.out.count, x.out_channels, 64, 64)) return run<Tile<half_t, 64, 64, 32, 32, 32, 4>>(queue, x, chunks);
  if (occupies(x.out.count, x.out_channels, 32, 32)) return run<Tile<half_t, 32, 32, 16, 16, 64, 4>>(queue, x, chunks);
  run<Tile<half_t, 16, 32, 16, 8, 64, 8>>(queue, x, chunks);
}

}  // namespace voxshift::cuda
