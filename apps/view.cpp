// `voxshift view`: scans in a window, or drawn into files. The window listens while the next scan is read.
#include <voxshift/engine/network_dtype.h>
#include <voxshift/files/atomic_file.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "commands.h"
#include "label_files.h"
#include "point_window.h"
#include "pretrained.h"
#include "report.h"
#include "result_files.h"
#include "scan_colours.h"
#include "scan_files.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

/// A scan as it is shown.
struct View {
  ColouredPoints points;
  std::string colouring;
  std::vector<std::string> notes;
};

/// Points with finite coordinates, and their extent.
ColouredPoints finite_points(const PointCloud& scan, const std::vector<std::uint8_t>& rgb) {
  ColouredPoints shown;
  std::vector<float> axes[3];
  for (std::int64_t i = 0; i < scan.count(); ++i) {
    const float* const row = scan.points.data() + i * scan.columns;
    if (!std::isfinite(row[0]) || !std::isfinite(row[1]) || !std::isfinite(row[2])) continue;
    shown.xyz.insert(shown.xyz.end(), row, row + 3);
    shown.rgb.insert(shown.rgb.end(), rgb.data() + 3 * i, rgb.data() + 3 * i + 3);
    for (std::size_t axis = 0; axis < 3; ++axis) axes[axis].push_back(row[axis]);
  }
  shown.extent = extent_of(std::move(axes[0]), std::move(axes[1]), std::move(axes[2]));
  return shown;
}

/// Reads scans and colours them. One call at a time.
class Loader {
 public:
  explicit Loader(const ViewOptions& options) : options_(options) {
    if (!options.labels.empty()) {
      protocol_ = &find_protocol(options.protocol);
      std::error_code ignored;
      if (fs::is_directory(options.labels, ignored)) labels_ = list_labels(options.labels, protocol_->byte_labels);
    }
    if (!options.model.empty()) {
      const fs::path path = model_or_pretrained(options.model, "minkunet-lidar", options.dtype);
      const Model model = load_point_model(path);
      const auto dtype = parse_network_dtype("view", options.dtype);
      segmenter_ = about(path, [&] {
        return std::make_unique<Segmenter>(model, parse_device(options.device), options.threads, dtype);
      });
    }
  }

  View load(const fs::path& path) {
    const PointCloud scan = read_scan(path, options_, segmenter_ && takes_colours(segmenter_->model()));
    return about(path, [&] {
      View view{{}, "", scan.notes};
      ScanColours colours = colours_of_scan(path, scan, view.notes);
      view.points = finite_points(scan, colours.rgb);
      view.colouring = std::move(colours.source);
      return view;
    });
  }

 private:
  ScanColours colours_of_scan(const fs::path& path, const PointCloud& scan, std::vector<std::string>& notes) {
    if (protocol_) {
      const fs::path file = labels_of(path);
      const auto labels = read_labels(file, labels_map(file));
      check<IoError>(static_cast<std::int64_t>(labels.size()) == scan.count(), file.string(), ": ", labels.size(),
                     " labels, expected ", scan.count(), " as ", path.string(), " has points");
      return {class_colours(labels, protocol_->classes), "classes of " + protocol_->name + ", by the labels"};
    }
    if (!segmenter_) return own_colours(scan);
    const Segmentation found = label_scan(*segmenter_, scan, options_);
    notes.insert(notes.end(), segmenter_->report().notes.begin(), segmenter_->report().notes.end());
    return {class_colours(std::as_const(found.labels).values<std::uint8_t>(), segmenter_->model().classes()),
            "classes, as " + options_.model.string() + " labels the points"};
  }

  fs::path labels_of(const fs::path& scan) const {
    if (!labels_) return options_.labels;
    const auto found = labels_->find(scan.stem());
    check<IoError>(found != labels_->end(), scan.string(), ": has no labels in ", options_.labels.string(),
                   ", expected a file named ", scan.stem().string());
    return found->second;
  }

  /// Of a data set with label files of its own kind, .label files are predictions, as `segment` writes them.
  const LearningMap& labels_map(const fs::path& file) const {
    return protocol_->byte_labels && file.extension() == ".label" ? protocol_->predictions : protocol_->truth;
  }

  const ViewOptions& options_;
  const Protocol* protocol_ = nullptr;
  std::optional<std::map<fs::path, fs::path>> labels_;  ///< by the scan's stem; none: one file
  std::unique_ptr<Segmenter> segmenter_;
};

/// What is said of the scans, once.
class Remarks {
 public:
  void say(const fs::path& scan, const View& view) {
    for (const std::string& note : view.notes)
      if (warned_.insert(note).second) print_warning(scan.string() + ": " + note);
    if (view.colouring == colouring_) return;
    colouring_ = view.colouring;
    std::printf("colours: %s\n", colouring_.c_str());
    std::fflush(stdout);
  }

 private:
  std::set<std::string> warned_;
  std::string colouring_;
};

std::string title_of(const std::vector<fs::path>& scans, std::size_t i) {
  return std::to_string(i + 1) + "/" + std::to_string(scans.size()) + " " + scans[i].filename().string();
}

/// Throws where two pictures would have one name, or a picture would need a folder.
std::vector<fs::path> pictures_of(const std::vector<fs::path>& scans, const fs::path& save) {
  if (save.extension() == ".png") {
    check<IoError>(scans.size() == 1, save.string(), ": one picture cannot show ", scans.size(),
                   " scans, expected --save FOLDER");
    return {save};
  }
  std::vector<fs::path> pictures;
  std::set<fs::path> taken;
  for (const fs::path& scan : scans) {
    pictures.push_back(save / (scan.stem().string() + ".png"));
    check<IoError>(taken.insert(pictures.back()).second, pictures.back().string(), ": the picture of ", scan.string(),
                   " would replace another scan's");
  }
  make_folder(save);
  return pictures;
}

int save_pictures(const std::vector<fs::path>& scans, const fs::path& save, Loader& loader) {
  const std::vector<fs::path> pictures = pictures_of(scans, save);
  const auto window = open_window("voxshift", false);
  Remarks remarks;
  Progress progress(scans.size());
  bool all_good = true;
  for (std::size_t i = 0; i < scans.size(); ++i) {
    progress.show(i, scans[i].filename().string());
    try {
      const View view = loader.load(scans[i]);
      window->show(view.points, title_of(scans, i));
      const Image image = window->picture();
      const auto png = encode_png(image.pixels, {image.height, image.width});
      progress.clear();
      remarks.say(scans[i], view);
      write_atomically(pictures[i], [&](std::ostream& stream) {
        stream.write(reinterpret_cast<const char*>(png.data()), static_cast<std::streamsize>(png.size()));
      });
      std::printf("%s\n", pictures[i].string().c_str());
    } catch (const IoError& error) {
      progress.clear();
      print_error(error.what());
      all_good = false;
    }
  }
  return all_good ? 0 : 1;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int play(const std::vector<fs::path>& scans, double fps, Loader& loader) {
  const auto window = open_window("voxshift", true);
  Remarks remarks;
  Film film(scans.size(), fps);
  std::optional<std::size_t> in_window;
  std::size_t next = 0;
  std::future<View> loading;  // of scan `next`
  std::vector<FilmKey> pressed;
  bool all_good = true;
  while (!film.over() && window->poll(pressed)) {
    for (const FilmKey key : pressed) film.press(key);
    pressed.clear();
    film.advance(seconds_now());
    if (!loading.valid() && in_window != film.wanted()) {
      next = film.wanted();
      // deferred where threads are refused
      loading = std::async(std::launch::async | std::launch::deferred,
                           [&loader, path = scans[next]] { return loader.load(path); });
    }
    if (!loading.valid() || loading.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) continue;
    try {
      const View view = loading.get();
      window->show(view.points, title_of(scans, next));
      in_window = next;
      film.shown(next, seconds_now());
      remarks.say(scans[next], view);
    } catch (const IoError& error) {
      print_error(error.what());
      film.lose(next);
      all_good = false;
    }
  }
  return all_good ? 0 : 1;
}

}  // namespace

int view(const ViewOptions& options) {
  const std::vector<fs::path> scans = list_scans(options.scans);
  std::error_code ignored;
  check<IoError>(options.labels.empty() || fs::is_directory(options.labels, ignored) || scans.size() == 1,
                 options.labels.string(), ": one label file for ", scans.size(), " scans, expected a folder of them");
  Loader loader(options);
  return options.save.empty() ? play(scans, options.fps, loader) : save_pictures(scans, options.save, loader);
}

}  // namespace voxshift
