#include "video_files.h"

#include <voxshift/files/process.h>
#include <voxshift/tensor/error.h>

#include <system_error>

#include "modules.h"

namespace voxshift {

namespace fs = std::filesystem;

void check_video_name(const fs::path& path) {
  check(path.extension() == ".mp4" || path.extension() == ".mkv", path.string(),
        ": expected a name that ends in .mp4 or .mkv");
}

VideoFile::VideoFile(const fs::path& path, const VideoFormat& format) : path_(path) {
  check_video_name(path);
  check<BackendUnavailable>(has_video(), path.string(), ": videos need OpenCV, which this build does not have");
  std::error_code error;
  check<IoError>(!fs::is_directory(path, error), path.string(), ": cannot be written: it is a folder");
  // OpenCV tells the container by the extension, so the temporary name keeps it; FFmpeg takes "12:30.mp4" for a
  // protocol
  temporary_.emplace(fs::absolute(path).parent_path() /
                     (path.stem().string() + ".part" + std::to_string(process_id()) + path.extension().string()));
  try {
    writer_ = create_video(temporary_->path(), format);
  } catch (const IoError&) {
    throw IoError(path.string() + ": cannot be written as a video");
  }
}

void VideoFile::finish() {
  check<IoError>(writer_->close(), path_.string(), ": the video could not be written whole: is the disk full?");
  std::error_code error;
  fs::rename(temporary_->path(), path_, error);
  check<IoError>(!error, path_.string(), ": cannot be written: ", error.message());
  temporary_.reset();
}

}  // namespace voxshift
