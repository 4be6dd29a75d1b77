// In place of video.cpp, in a build of points alone.
#include "call.h"
#include "parts.h"

namespace voxshift::c_api {

const bool kHasVideo = false;

namespace {

voxshift_status unavailable(const char* function) {
  return call(function, [] { throw BackendUnavailable("this build has no video (VOXSHIFT_PARTS=points)"); });
}

}  // namespace
}  // namespace voxshift::c_api

using voxshift::c_api::unavailable;

voxshift_status voxshift_stream_open(voxshift_model, const voxshift_stream_options*, voxshift_stream*) {
  return unavailable(__func__);
}

voxshift_status voxshift_stream_push(voxshift_stream, const voxshift_frame*, voxshift_result*) {
  return unavailable(__func__);
}

voxshift_status voxshift_stream_output(voxshift_stream, const char*, voxshift_array*) { return unavailable(__func__); }

voxshift_status voxshift_stream_reset(voxshift_stream) { return unavailable(__func__); }

voxshift_status voxshift_stream_close(voxshift_stream) { return unavailable(__func__); }
