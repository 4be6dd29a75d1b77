// Networks on scans: one session, and several at once on streams of their own.
#include <voxshift/quantize/quantize.h>
#include <voxshift/tasks/segmenter.h>

#include <barrier>
#include <cstdio>
#include <exception>
#include <thread>

#include "cuda_report.h"
#include "input.h"
#include "measure.h"

namespace voxshift::bench {
namespace {

Model minkunet(const CudaRun& run) { return Model::create({"minkunet", run.width, 19, 1}); }

// The model in i8, its scales those of this scan.
Model in_i8(const Model& model, const Array& scan) {
  CalibrationData data;
  add_scan(data, model, scan);
  QuantizeOptions options;
  options.sensitivity = false;
  return quantize(model, data, options).model;
}

// Logits on the device against the CPU's: those of i8 to the bit.
void check_device(const Model& model, const CudaRun& run, DType dtype) {
  const SparseTensor x = voxels_of(run.scan, model.profile());
  const DType there = dtype == DType::kI8 ? dtype : DType::kF32;
  const Array expected = Session(model.network(), Device::cpu(), 0, there).forward(x);
  const Array found = Session(model.network(), kCuda, 0, dtype).forward(x.to(kCuda)).to(Device::cpu());
  const std::string name = "minkunet " + std::string(voxshift::name(dtype));
  if (dtype == DType::kI8) return check_bits(name, found, expected);
  check_network(name, found.values<float>(), expected.values<float>(), dtype);
}

void network(const Model& model, const CudaRun& run, DType dtype) {
  check_device(model, run, dtype);
  const Array points = run.scan.to(kCuda);
  Segmenter segmenter(model, kCuda, 0, dtype);
  const Times whole = milliseconds(run.repeats, [&] { segmenter.segment(points); });
  segmenter.session().report_layers(true);
  std::vector<double> voxelize, maps;
  for (int i = 0; i < (run.tiny ? 1 : 20); ++i) {
    segmenter.segment(points);
    voxelize.push_back(1e3 * segmenter.report().voxelize_seconds);
    maps.push_back(1e3 * segmenter.report().maps_seconds);
  }
  print(run.of + "segment minkunet " + name(dtype),
        {{"ms", whole.median},
         {"best_ms", whole.best},
         {"voxelize_ms", median(voxelize)},
         {"maps_ms", median(maps)},
         {"gmac", 1e-9 * static_cast<double>(segmenter.report().macs)},
         {"session_mb", 1e-6 * static_cast<double>(segmenter.session().bytes())}});
  for (const LayerReport& layer : segmenter.report().layers)
    std::fprintf(stderr, "%s %-28s %-22s %7lld rows %4lld -> %4lld %8lld pairs %8.4f ms\n", name(dtype),
                 layer.name.c_str(), layer.kind.c_str(), static_cast<long long>(layer.rows),
                 static_cast<long long>(layer.in_channels), static_cast<long long>(layer.out_channels),
                 static_cast<long long>(layer.pairs), 1e3 * layer.seconds);
}

// What a thread does between two meetings of all: `scans` scans on a stream of its own. Its last labels.
Array work(const Model& model, const Array& points, int scans, std::barrier<>& meeting) {
  const OwnStream stream;
  void* const before = runtime(kCuda).use_stream(kCuda, stream.get());
  Array labels;
  {
    Segmenter segmenter(model, kCuda, 1);
    segmenter.segment(points);
    runtime(kCuda).synchronize(kCuda);
    meeting.arrive_and_wait();
    for (int i = 0; i < scans; ++i) labels = segmenter.segment(points).labels;
    runtime(kCuda).synchronize(kCuda);
    meeting.arrive_and_wait();
    labels = labels.to(Device::cpu());
  }
  runtime(kCuda).use_stream(kCuda, before);
  return labels;
}

double scans_per_second(const Model& model, const Array& points, int sessions, int scans, const Array& expected) {
  std::vector<Array> labels(static_cast<std::size_t>(sessions));
  std::vector<std::thread> threads;
  std::barrier meeting(sessions + 1);
  for (Array& its : labels)
    threads.emplace_back([&] {
      try {
        its = work(model, points, scans, meeting);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "cuda_bench: sessions: %s\n", error.what());
        std::_Exit(1);  // the others wait for this thread
      }
    });
  meeting.arrive_and_wait();
  const double seconds = seconds_of([&] { meeting.arrive_and_wait(); });
  for (std::thread& thread : threads) thread.join();
  for (const Array& its : labels) check_bits(std::to_string(sessions) + " sessions at once", its, expected);
  return sessions * scans / seconds;
}

}  // namespace

void measure_network(const CudaRun& run, DType dtype) { network(minkunet(run), run, dtype); }

void measure_networks(const CudaRun& run) {
  const Model model = minkunet(run);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) network(model, run, dtype);
  network(in_i8(model, run.scan), run, DType::kI8);
}

// The share of points that the trained model gives the CPU's label in f32.
void measure_labels(const CudaRun& run) {
  const Model model = Model::load(VOXSHIFT_PRETRAINED "/minkunet-lidar.safetensors");
  const Array expected = Segmenter(model, Device::cpu()).segment(run.scan).labels;
  for (const auto& [dtype, least] : {std::pair(DType::kF16, 0.95), std::pair(DType::kF32, 0.999)}) {
    const Array found = Segmenter(model, kCuda, 0, dtype).segment(run.scan).labels.to(Device::cpu());
    double same = 0;
    for (std::int64_t i = 0; i < found.count(); ++i)
      same += found.data<std::uint8_t>()[i] == expected.data<std::uint8_t>()[i];
    const double share = same / static_cast<double>(found.count());
    print(std::string("labels minkunet-lidar ") + name(dtype), {{"as_on_cpu", share}});
    check<Error>(share >= least, "labels in ", name(dtype), ": ", share, " are the CPU's, expected at least ", least);
  }
}

void measure_sessions(const CudaRun& run) {
  const Model model = minkunet(run);
  const Array points = run.scan.to(kCuda);
  runtime(kCuda).synchronize(kCuda);
  const Array expected = Segmenter(model, kCuda).segment(points).labels.to(Device::cpu());
  const std::vector<int> all = run.tiny ? std::vector{2} : std::vector{1, 2, 4};
  for (const int sessions : all)
    print("sessions " + std::to_string(sessions) + " minkunet f16",
          {{"scans_per_second", scans_per_second(model, points, sessions, run.repeats, expected)}});
}

}  // namespace voxshift::bench
