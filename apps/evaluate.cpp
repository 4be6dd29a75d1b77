// `voxshift eval`: predictions against ground truth, as a table, as JSON, as a picture.
#include <voxshift/files/atomic_file.h>
#include <voxshift/tasks/confusion.h>
#include <voxshift/tasks/protocol.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "label_files.h"
#include "picture.h"
#include "report.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Scores {
  ConfusionMatrix matrix;
  std::size_t files = 0;
  std::int64_t ignored_points = 0;  ///< without a true class
};

Scores score(const std::vector<LabelPair>& pairs, const Protocol& protocol) {
  Scores scores{ConfusionMatrix(static_cast<std::int64_t>(protocol.classes.size()))};
  Progress progress(pairs.size());
  std::int64_t points = 0;
  for (const LabelPair& pair : pairs) {
    progress.show(scores.files++, pair.truth.filename().string());
    const auto truth = read_labels(pair.truth, protocol.truth);
    const auto predicted = read_labels(pair.prediction, protocol.predictions);
    check<IoError>(predicted.size() == truth.size(), pair.prediction.string(), ": ", predicted.size(),
                   " labels, expected ", truth.size(), " as in ", pair.truth.string());
    scores.matrix.add(predicted, truth);
    points += static_cast<std::int64_t>(truth.size());
  }
  scores.ignored_points = points - scores.matrix.points();
  return scores;
}

/// Of the points of a true class, the share predicted as `predicted`; 0 where the class has none.
double share(const ConfusionMatrix& matrix, std::int64_t predicted, std::int64_t truth) {
  const std::int64_t points = std::max(std::int64_t{1}, matrix.true_points(truth));
  return static_cast<double>(matrix.count(predicted, truth)) / static_cast<double>(points);
}

/// "12.34", or "-" for what is left out.
std::string percent(double fraction) {
  if (std::isnan(fraction)) return "-";
  char text[16];
  std::snprintf(text, sizeof(text), "%.2f", 100 * fraction);
  return text;
}

void print_scores(const Scores& scores, const Protocol& protocol) {
  const auto count = [](std::int64_t points) { return static_cast<long long>(points); };
  std::printf("%s: %zu files, %lld points with a class, %lld ignored\n\n", protocol.name.c_str(), scores.files,
              count(scores.matrix.points()), count(scores.ignored_points));
  std::printf("%-22s %8s %14s %14s\n", "class", "IoU %", "true points", "predicted");
  const std::vector<double> iou = scores.matrix.iou(protocol.absent);
  for (std::size_t c = 0; c < iou.size(); ++c) {
    const auto id = static_cast<std::int64_t>(c);
    std::printf("%-22s %8s %14lld %14lld\n", protocol.classes[c].name.c_str(), percent(iou[c]).c_str(),
                count(scores.matrix.true_points(id)), count(scores.matrix.predicted_points(id)));
  }
  std::printf("%-22s %8s %14s %14lld\n", "unlabelled", "", "", count(scores.matrix.predicted_points(kUnlabelled)));
  std::printf("\nmIoU     %8s %%\naccuracy %8s %%\n", percent(scores.matrix.mean_iou(protocol.absent)).c_str(),
              percent(scores.matrix.accuracy()).c_str());
}

/// A row per true class, a column per predicted one, by their numbers.
void print_confusion(const ConfusionMatrix& matrix, const std::vector<ClassInfo>& classes) {
  std::printf("\n%% of the true points of a row's class that were predicted as a column's\n%-25s", "");
  for (std::int64_t predicted = 0; predicted < matrix.classes(); ++predicted)
    std::printf(" %5lld", static_cast<long long>(predicted));
  std::printf("  none\n");
  for (std::int64_t truth = 0; truth < matrix.classes(); ++truth) {
    std::printf("%2lld %-22s", static_cast<long long>(truth), classes[static_cast<std::size_t>(truth)].name.c_str());
    const auto print_share = [&](std::int64_t predicted) {
      if (matrix.count(predicted, truth) == 0) return std::printf("     .");
      return std::printf(" %5.1f", 100 * share(matrix, predicted, truth));
    };
    for (std::int64_t predicted = 0; predicted < matrix.classes(); ++predicted) print_share(predicted);
    print_share(kUnlabelled);
    std::printf("\n");
  }
}

void print_json(const Scores& scores, const Protocol& protocol) {
  const ConfusionMatrix& matrix = scores.matrix;
  const std::vector<double> iou = matrix.iou(protocol.absent);
  Json classes = Json::array(), confusion = Json::array(), unlabelled = Json::array();
  for (std::int64_t row = 0; row < matrix.classes(); ++row) {
    const auto c = static_cast<std::size_t>(row);
    classes.push_back({{"name", protocol.classes[c].name},
                       {"iou", iou[c]},
                       {"gt_points", matrix.true_points(row)},
                       {"predicted_points", matrix.predicted_points(row)}});
    Json counts = Json::array();
    for (std::int64_t truth = 0; truth < matrix.classes(); ++truth) counts.push_back(matrix.count(row, truth));
    confusion.push_back(counts);
    unlabelled.push_back(matrix.count(kUnlabelled, row));
  }
  const Json document{{"protocol", protocol.name},
                      {"files", scores.files},
                      {"points", matrix.points()},
                      {"ignored_points", scores.ignored_points},
                      {"miou", matrix.mean_iou(protocol.absent)},
                      {"accuracy", matrix.accuracy()},
                      {"classes", classes},
                      {"confusion_axes", {"prediction", "ground_truth"}},
                      {"confusion", confusion},
                      {"predicted_unlabelled", unlabelled}};
  std::printf("%s\n", document.dump().c_str());
}

void write_picture(const fs::path& path, const Scores& scores, const Protocol& protocol) {
  ConfusionPicture picture;
  const ConfusionMatrix& matrix = scores.matrix;
  picture.title = "mIoU " + percent(matrix.mean_iou(protocol.absent)) + " %, accuracy " + percent(matrix.accuracy()) +
                  " % (" + protocol.name + ", " + std::to_string(scores.files) + " files)";
  picture.iou = matrix.iou(protocol.absent);
  for (std::int64_t truth = 0; truth < matrix.classes(); ++truth) {
    picture.names.push_back(protocol.classes[static_cast<std::size_t>(truth)].name);
    picture.true_points.push_back(matrix.true_points(truth));
    for (std::int64_t predicted = 0; predicted < matrix.classes(); ++predicted)
      picture.shares.push_back(share(matrix, predicted, truth));
    picture.shares.push_back(share(matrix, kUnlabelled, truth));
  }
  const std::vector<std::uint8_t> png = draw_confusion(picture);
  write_atomically(path, [&](std::ostream& stream) {
    stream.write(reinterpret_cast<const char*>(png.data()), static_cast<std::streamsize>(png.size()));
  });
}

}  // namespace

int evaluate_labels(const EvalOptions& options) {
  const Protocol& protocol = find_protocol(options.protocol.empty() ? "semantickitti" : options.protocol);
  const auto pairs = pair_labels(options.predictions, options.truth, options.sequence, protocol);
  const Scores scores = score(pairs, protocol);
  if (options.json) {
    print_json(scores, protocol);
  } else {
    print_scores(scores, protocol);
    if (options.confusion) print_confusion(scores.matrix, protocol.classes);
  }
  std::fflush(stdout);
  if (!options.picture.empty()) write_picture(options.picture, scores, protocol);
  return 0;
}

}  // namespace voxshift
