// Products of all rows by one matrix, by our kernel and by cuBLASLt.
#include <voxshift/kernels_cuda/dense_choice.h>
#include <voxshift/rows/kernels.h>

#include <cmath>
#include <memory>
#include <optional>
#include <random>

#include "cuda_report.h"
#include "input.h"

namespace voxshift::bench {
namespace {

struct DenseShape {
  std::string network;
  std::int64_t rows, in, out;
};

constexpr std::int64_t kPoints = 32768, kGrouped = 262144;  // of PVCNN's blocks and of PointNet++'s groups

// Linear layers and pointwise convolutions as `voxshift info` lists them, each product once, with a few more or fewer
// classes where cuBLASLt would not take them. Images are those of the networks' profiles.
std::vector<DenseShape> shapes_of(const std::vector<SparseTensor>& levels) {
  const auto voxels = [&](std::size_t level) { return levels.at(level).size(); };
  return {{"minkunet", voxels(2), 32, 64},    {"minkunet", voxels(3), 64, 128},   {"minkunet", voxels(4), 128, 256},
          {"minkunet", voxels(3), 384, 256},  {"minkunet", voxels(2), 192, 128},  {"minkunet", voxels(1), 128, 96},
          {"minkunet", voxels(0), 128, 96},   {"minkunet", voxels(0), 96, 20},    {"pvcnn", kPoints, 64, 64},
          {"pvcnn", kPoints, 64, 128},        {"pvcnn", kPoints, 128, 1024},      {"pvcnn", kPoints, 1472, 512},
          {"pvcnn", kPoints, 512, 256},       {"pointnet++", kGrouped, 32, 32},   {"pointnet++", kGrouped, 32, 64},
          {"pointnet++", kGrouped, 64, 96},   {"pointnet++", kGrouped, 96, 128},  {"pointnet++", kGrouped, 128, 128},
          {"pointnet++", kGrouped, 128, 196}, {"pointnet++", kGrouped, 128, 256}, {"pointnet++", kGrouped, 196, 256},
          {"pointnet++", 7808, 256, 512},     {"pointnet++", 7808, 512, 1024},    {"pointnet++", 7808, 1536, 256},
          {"pointnet++", 7808, 256, 256},     {"pointpillars", 53568, 64, 128},   {"pointpillars", 53568, 384, 20},
          {"centerpoint", 16384, 128, 256},   {"second", 35200, 128, 256},        {"second", 35200, 512, 20}};
}

Array converted(const Context& context, const Array& x, DType dtype) {
  const Array from = x.to(kCuda);
  Array to(x.shape(), dtype, kCuda);
  row_kernels(kCuda).affine(context, rows_of(from), nullptr, nullptr, {}, {}, rows_of(to));
  return to;
}

// relu(x W + bias), or x^T grad.
class DenseCase {
 public:
  DenseCase(const DenseShape& shape, DType dtype, bool gradient)
      : arena_(std::make_unique<Arena>(kCuda)), in_({0, 0}, dtype, kCuda), out_({0, 0}, DType::kF32, kCuda) {
    std::mt19937 random;
    in_ = converted(context(), random_array({shape.rows, shape.in}, 1, random), dtype);
    if (gradient) {
      grad_ = converted(context(), random_array({shape.rows, shape.out}, 1, random), dtype);
      out_ = Array({shape.in, shape.out}, DType::kF32, kCuda);
      return;
    }
    const float bound = 1 / std::sqrt(static_cast<float>(shape.in));
    const Array weight = random_array({shape.in, shape.out}, bound, random).to(kCuda);
    bias_ = random_array({shape.out}, 1, random).to(kCuda);
    weights_ = row_kernels(kCuda).pack(context(), weight.data<float>(), shape.in, shape.out, dtype);
    out_ = Array({shape.rows, shape.out}, dtype, kCuda);
  }

  // Milliseconds of a call by `choice`, of which there are many in a recording; none where cuBLASLt has no part in it.
  std::optional<double> milliseconds_by(cuda::DenseChoice choice, bool tiny) {
    cuda::set_dense_choice(choice);
    const std::int64_t before = cuda::dense_calls();
    call(context());
    if (choice == cuda::DenseChoice::kCublasLt && cuda::dense_calls() == before) return std::nullopt;
    arena_->reset();
    const int calls = tiny ? 1 : 10;
    const auto recording = runtime(kCuda).record(context(), [&](const Context& recorded) {
      for (int i = 0; i < calls; ++i) call(recorded);
    });
    return milliseconds(tiny ? 1 : 15, [&] { recording->replay(); }).median / calls;
  }

  // What the last call gave.
  std::vector<double> numbers() const {
    const Array result = converted(context(), out_, DType::kF32).to(Device::cpu());
    const auto values = result.values<float>();
    return {values.begin(), values.end()};
  }

 private:
  Context context() const { return {kCuda, nullptr, 1, arena_.get()}; }

  void call(const Context& to) {
    const ConstRowView in = rows_of(std::as_const(in_));
    if (grad_) return row_kernels(kCuda).weight_gradient(to, in, rows_of(*grad_), out_.data<float>());
    row_kernels(kCuda).linear(to, in, *weights_, {bias_->data<float>(), {}, {Activation::Kind::kRelu}}, rows_of(out_));
  }

  std::unique_ptr<Arena> arena_;
  Array in_, out_;
  std::shared_ptr<const PackedWeights> weights_;
  std::optional<Array> bias_, grad_;
};

void measure_shape(const CudaRun& run, const DenseShape& shape, DType dtype, bool gradient) {
  const std::string title = (gradient ? "dense_gradient " : "dense ") + shape.network + " " +
                            std::to_string(shape.rows) + " " + std::to_string(shape.in) + " " +
                            std::to_string(shape.out) + " " + std::string(name(dtype));
  DenseCase both(shape, dtype, gradient);
  const double flops = 2 * static_cast<double>(shape.rows) * static_cast<double>(shape.in * shape.out);
  const auto of_matmul = [&](double ms) { return flops / (1e-3 * ms) / run.limits.matmul_flops; };
  const double own = *both.milliseconds_by(cuda::DenseChoice::kOwn, run.tiny);
  std::vector<std::pair<std::string_view, double>> fields{{"own_ms", own}, {"own_of_matmul", of_matmul(own)}};
  const std::vector<double> expected = both.numbers();
  if (const auto library = both.milliseconds_by(cuda::DenseChoice::kCublasLt, run.tiny)) {
    check_close(title, both.numbers(), expected, dtype == DType::kF16 ? 2e-3 : 1e-5);
    fields.emplace_back("cublaslt_ms", *library);
    fields.emplace_back("cublaslt_of_matmul", of_matmul(*library));
  }
  print(title, fields);
}

}  // namespace

// of_matmul: of cuBLAS' rate in f16, whatever the dtype. Without the fields of cublaslt: this machine has none, or none
// that computes it.
void measure_dense(const CudaRun& run) {
  const Model model = Model::create({"minkunet", 0.125, 19});
  std::vector<DenseShape> shapes = shapes_of(levels_of(voxels_of(run.scan, model.profile())));
  if (run.tiny) shapes = {{"minkunet", 70, 32, 64}, {"minkunet", 70, 96, 19}};
  const cuda::DenseChoice before = cuda::dense_choice();
  for (const DenseShape& shape : shapes) {
    const bool trained = shape.network == "minkunet" || shape.network == "pvcnn";
    for (const DType dtype : {DType::kF16, DType::kF32}) {
      measure_shape(run, shape, dtype, false);
      if (trained) measure_shape(run, shape, dtype, true);
    }
  }
  cuda::set_dense_choice(before);
}

}  // namespace voxshift::bench
