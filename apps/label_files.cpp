#include "label_files.h"

#include <voxshift/files/read_bytes.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <system_error>

#include "report.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, ".label is read as it lies in memory");

void check_folder(const fs::path& path, const std::string& expected) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check<IoError>(fs::exists(status), path.string(), ": no such folder, expected ", expected);
  check<IoError>(fs::is_directory(status), path.string(), ": is not a folder, expected ", expected);
}

fs::path labels_folder(const fs::path& root, const std::string& sequence, const std::string& kind) {
  check_folder(root, "one of label files");
  std::error_code ignored;
  if (!fs::is_directory(root / "sequences", ignored)) return root;
  fs::path folder = root / "sequences" / sequence / kind;
  check_folder(folder, "the " + kind + " of sequence " + sequence + " (--sequence)");
  return folder;
}

using FilesByStem = std::map<fs::path, fs::path>;

FilesByStem files_of(const fs::path& folder, const char* extension) {
  FilesByStem files;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code dangling;
    if (entry->path().extension() == extension && entry->is_regular_file(dangling))
      files[entry->path().stem()] = entry->path();
  }
  check<IoError>(!error, folder.string(), ": cannot be listed: ", error.message());
  return files;
}

/// Every file of truth with the prediction of the same name.
std::vector<LabelPair> pair_files(const fs::path& prediction_folder, const FilesByStem& found,
                                  const fs::path& truth_folder, const FilesByStem& truths) {
  const fs::path extension = found.begin()->second.extension();
  std::vector<LabelPair> pairs;
  for (const auto& [stem, file] : truths) {
    const auto prediction = found.find(stem);
    check<IoError>(prediction != found.end(), (prediction_folder / stem).concat(extension.string()).string(),
                   ": no such file, expected the prediction for ", file.string(), ": ", truths.size(),
                   " files of ground truth, ", found.size(), " predictions");
    pairs.push_back({prediction->second, file});
  }
  for (const auto& [stem, file] : found)
    check<IoError>(truths.contains(stem), file.string(), ": has no ground truth in ", truth_folder.string(),
                   ", expected predictions for its ", truths.size(), " files, found ", found.size());
  return pairs;
}

}  // namespace

FilesByStem list_labels(const fs::path& folder, bool byte_labels) {
  check_folder(folder, "one of label files");
  FilesByStem files = files_of(folder, ".label");
  if (files.empty() && byte_labels) files = files_of(folder, ".bin");
  check<IoError>(!files.empty(), folder.string(), ": folder holds no .label ", byte_labels ? "or .bin " : "",
                 "file, nor a folder named sequences");
  return files;
}

std::vector<std::uint8_t> read_labels(const fs::path& path, const LearningMap& map) {
  const std::string bytes = read_bytes(path, "labels");
  std::vector<std::uint32_t> words;
  if (path.extension() == ".bin") {
    std::ranges::transform(bytes, std::back_inserter(words), [](char c) { return static_cast<unsigned char>(c); });
  } else {
    check<IoError>(bytes.size() % sizeof(std::uint32_t) == 0, path.string(), ": ", bytes.size(),
                   " bytes are no multiple of 4, expected one uint32 per point");
    words.resize(bytes.size() / sizeof(std::uint32_t));
    std::memcpy(words.data(), bytes.data(), bytes.size());
  }
  return about(path, [&] { return train_ids(words, map); });
}

std::vector<LabelPair> pair_labels(const fs::path& predictions, const fs::path& truth, const std::string& sequence,
                                   const Protocol& protocol) {
  const fs::path truth_folder = labels_folder(truth, sequence, "labels");
  const fs::path prediction_folder = labels_folder(predictions, sequence, "predictions");
  const FilesByStem truths = list_labels(truth_folder, protocol.byte_labels);
  return pair_files(prediction_folder, list_labels(prediction_folder, protocol.byte_labels), truth_folder, truths);
}

std::vector<LabelPair> pair_boxes(const fs::path& predictions, const fs::path& truth) {
  const auto list = [](const fs::path& folder) {
    check_folder(folder, "one of KITTI's label files");
    FilesByStem files = files_of(folder, ".txt");
    check<IoError>(!files.empty(), folder.string(), ": folder holds no .txt file");
    return files;
  };
  const FilesByStem truths = list(truth);
  return pair_files(predictions, list(predictions), truth, truths);
}

}  // namespace voxshift
