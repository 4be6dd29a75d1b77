// Models for tests of the C interface, and its handles with what closes them.
#pragma once

#include <gtest/gtest.h>
#include <voxshift/c_api.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/model.h>

#include <string>
#include <vector>

namespace voxshift {

inline std::string pretrained(const std::string& name) {
  return std::string(VOXSHIFT_PRETRAINED) + "/" + name + ".safetensors";
}

#define ASSERT_OK(call) ASSERT_EQ(call, VOXSHIFT_OK) << voxshift_last_error()
#define EXPECT_OK(call) EXPECT_EQ(call, VOXSHIFT_OK) << voxshift_last_error()

/// The call fails so, and its text has these words.
#define EXPECT_FAILS(call, status, words)                                                                  \
  do {                                                                                                     \
    EXPECT_EQ(call, status);                                                                               \
    EXPECT_NE(std::string(voxshift_last_error()).find(words), std::string::npos) << voxshift_last_error(); \
  } while (false)

struct CModel {
  explicit CModel(const std::string& name) { EXPECT_OK(voxshift_model_load(pretrained(name).c_str(), &handle)); }
  ~CModel() { voxshift_model_close(handle); }
  CModel(const CModel&) = delete;
  CModel& operator=(const CModel&) = delete;
  operator voxshift_model() const { return handle; }
  voxshift_model handle = nullptr;
};

struct CSession {
  explicit CSession(voxshift_model model, voxshift_dtype dtype = VOXSHIFT_AUTO) {
    voxshift_session_options options = VOXSHIFT_SESSION_OPTIONS_INIT;
    options.threads = 1;
    options.dtype = dtype;
    EXPECT_OK(voxshift_session_open(model, &options, &handle));
  }
  ~CSession() { voxshift_session_close(handle); }
  CSession(const CSession&) = delete;
  CSession& operator=(const CSession&) = delete;
  operator voxshift_session() const { return handle; }
  voxshift_session handle = nullptr;
};

struct CStream {
  explicit CStream(voxshift_model model, voxshift_skip skip = VOXSHIFT_SKIP_OFF) {
    voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
    options.threads = 1;
    options.skip = skip;
    EXPECT_OK(voxshift_stream_open(model, &options, &handle));
  }
  ~CStream() { voxshift_stream_close(handle); }
  CStream(const CStream&) = delete;
  CStream& operator=(const CStream&) = delete;
  operator voxshift_stream() const { return handle; }
  voxshift_stream handle = nullptr;
};

/// The first points of a simulated scan, some 20 m of street.
inline std::vector<float> some_points(std::size_t count = 6000) {
  const SynthScan scan = synth_lidar(3);
  return {scan.points.begin(), scan.points.begin() + static_cast<std::ptrdiff_t>(4 * count)};
}

/// An RGB frame without gaps.
inline voxshift_frame frame_over(const std::uint8_t* pixels, int width, int height) {
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  frame.width = width;
  frame.height = height;
  frame.planes[0].data = pixels;
  frame.planes[0].bytes = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
  return frame;
}

}  // namespace voxshift
