// `voxshift quantize`: a model in i8, f16 or bf16, what it loses and what it saves.
#include <voxshift/files/atomic_file.h>
#include <voxshift/files/read_points.h>
#include <voxshift/quantize/quantize.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>

#include "commands.h"
#include "picture.h"
#include "report.h"
#include "scan_files.h"
#include "video_files.h"

namespace voxshift {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr double kMega = 1e6;

CalibrationData clips_of(const QuantizeCommand& options, const Model& model) {
  const FrameProfile& frames = *model.profile().frames;
  const FrameSourceOptions source{{frames.height, frames.width}, frames.resize, false};
  CalibrationData data;
  Progress progress(options.data.size());
  for (const std::string& clip : options.data) {
    check<IoError>(!is_point_file(clip), clip, ": the model takes clips, expected a video or a folder of images");
    progress.show(data.size(), clip);
    add_clip(data, model, read_clip(clip, source, options.max_frames));
  }
  return data;
}

CalibrationData scans_of(const QuantizeCommand& options, const Model& model) {
  const std::vector<fs::path> paths(options.data.begin(), options.data.end());
  const std::vector<fs::path> scans = list_scans(paths);
  CalibrationData data;
  std::vector<std::string> said;
  Progress progress(scans.size());
  for (const fs::path& path : scans) {
    progress.show(data.size(), path.filename().string());
    const PointCloud scan = read_scan(path, options, takes_colours(model));
    about(path, [&] {
      for (const std::string& note : add_scan(data, model, points_of(scan), prepare_options(options, scan)))
        if (std::ranges::find(said, note) == said.end()) said.push_back(note);
    });
  }
  progress.clear();
  for (const std::string& note : said) print_warning(note);
  return data;
}

CalibrationData data_of(const QuantizeCommand& options, const Model& model) {
  CalibrationData data;
  if (!options.data.empty()) data = model.profile().frames ? clips_of(options, model) : scans_of(options, model);
  about(options.model, [&] { add_synthetic(data, model, options.synthetic); });
  return data;
}

std::optional<DType> dtype_of(const std::string& word) {
  if (word == "auto") return std::nullopt;
  return word == "f16" ? DType::kF16 : word == "bf16" ? DType::kBF16 : DType::kI8;
}

// "-" for what was not measured.
std::string number(double value, const char* format) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return "inf";
  char text[32];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

void print_table(const Quantization& found) {
  if (found.layers.empty()) return;
  int width = 20;
  for (const QuantizedLayer& layer : found.layers) width = std::max(width, static_cast<int>(layer.name.size()));
  std::printf("%-*s %-24s %5s %10s %8s %8s %8s  %s\n", width, "layer", "op", "dtype", "MMAC", "SNR dB", "ms f32",
              "saved", "");
  for (const QuantizedLayer& layer : found.layers)
    std::printf("%-*s %-24s %5s %10.1f %8s %8s %8s  %s\n", width, layer.name.c_str(), layer.kind.c_str(),
                name(layer.dtype), static_cast<double>(layer.macs) / kMega, number(layer.snr, "%.1f").c_str(),
                number(layer.milliseconds, "%.2f").c_str(), number(layer.saved_milliseconds, "%.2f").c_str(),
                layer.reason.c_str());
  std::printf("\n");
}

Json json_of(double value) { return std::isfinite(value) ? Json(value) : Json(); }

void write_report(const fs::path& path, const Quantization& found, const QuantizeCommand& options) {
  Json layers = Json::array();
  for (const QuantizedLayer& layer : found.layers)
    layers.push_back({{"name", layer.name},
                      {"kind", layer.kind},
                      {"dtype", name(layer.dtype)},
                      {"reason", layer.reason},
                      {"macs", layer.macs},
                      {"weight_bytes", layer.weight_bytes},
                      {"snr_db", json_of(layer.snr)},
                      {"milliseconds_f32", json_of(layer.milliseconds)},
                      {"milliseconds_saved", json_of(layer.saved_milliseconds)}});
  const Json document = {{"model", options.model.string()},
                         {"out", options.out.string()},
                         {"dtype", options.dtype},
                         {"snr_db", json_of(found.snr)},
                         {"loss_points", found.loss},
                         {"warnings", found.warnings},
                         {"layers", layers}};
  const std::string text = document.dump(2, ' ', false, Json::error_handler_t::replace);
  write_atomically(path, [&](std::ostream& stream) { stream << text << '\n'; });
}

void write_picture(const fs::path& path, const Quantization& found, const QuantizeCommand& options) {
  SensitivityPicture picture;
  for (const QuantizedLayer& layer : found.layers)
    picture.layers.push_back({layer.name, layer.snr, layer.saved_milliseconds, layer.dtype == DType::kI8});
  picture.title = options.model.filename().string() + " in i8";
  picture.text = "outputs at " + number(found.snr, "%.1f") + " dB, " + number(found.loss, "%.2f") +
                 " points lost on the data; rings: layers that stay f32";
  const std::vector<std::uint8_t> png = draw_sensitivity(picture);
  write_atomically(path, [&](std::ostream& stream) {
    stream.write(reinterpret_cast<const char*>(png.data()), static_cast<std::streamsize>(png.size()));
  });
}

// A mistake in what is to be written is told before the work.
void check_outputs(const QuantizeCommand& options) {
  for (const fs::path& path : {options.out, options.report, options.picture}) {
    if (path.empty()) continue;
    std::error_code error;
    const fs::path folder = fs::absolute(path, error).parent_path();
    check<IoError>(fs::is_directory(folder, error), path.string(), ": cannot be written: there is no folder ",
                   folder.string());
    check<IoError>(!fs::is_directory(path, error), path.string(), ": cannot be written: it is a folder");
  }
}

}  // namespace

int quantize_model(const QuantizeCommand& options) {
  check_outputs(options);
  const Model model = Model::load(options.model);
  const bool half = options.dtype == "f16" || options.dtype == "bf16";
  const CalibrationData data = data_of(options, model);
  QuantizeOptions wanted;
  wanted.dtype = dtype_of(options.dtype);
  wanted.keep = options.keep;
  wanted.max_loss = options.max_loss;
  wanted.threads = options.threads;
  std::optional<Progress> progress;
  std::size_t runs = 0;
  wanted.progress = [&](std::size_t done, std::size_t total, const std::string& what) {
    if (!progress || total != runs) progress.emplace(runs = total);
    progress->show(done, what);
  };
  const Quantization found = about(options.model, [&] { return quantize(model, data, wanted); });
  progress.reset();
  found.model.save(options.out, found.stored);
  for (const std::string& warning : found.warnings) print_warning(warning);
  print_table(found);
  const bool drawn = options.report.extension() == ".png";
  if (!options.report.empty() && !drawn) write_report(options.report, found, options);
  if (drawn) write_picture(options.report, found, options);
  if (!options.picture.empty()) write_picture(options.picture, found, options);
  const auto bytes = static_cast<double>(fs::file_size(options.out));
  std::printf("%s: %s", options.out.string().c_str(), half ? options.dtype.c_str() : "i8");
  if (!data.empty())
    std::printf(", outputs at %s dB, %.2f points lost on the data", number(found.snr, "%.1f").c_str(), found.loss);
  std::printf(", %.1f MB in place of %.1f MB\n", bytes / kMega,
              static_cast<double>(fs::file_size(options.model)) / kMega);
  return 0;
}

}  // namespace voxshift
