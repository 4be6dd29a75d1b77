// In place of points.cpp, in a build of video alone.
#include "call.h"
#include "parts.h"

namespace voxshift::c_api {

const bool kHasPoints = false;

namespace {

voxshift_status no_points(const char* function) {
  return call(function, [] { throw BackendUnavailable("this build has no sessions (VOXSHIFT_PARTS=video)"); });
}

}  // namespace
}  // namespace voxshift::c_api

using voxshift::c_api::no_points;

voxshift_status voxshift_session_open(voxshift_model, const voxshift_session_options*, voxshift_session*) {
  return no_points(__func__);
}

voxshift_status voxshift_session_segment(voxshift_session, const float*, int64_t, int32_t, uint8_t*, float*) {
  return no_points(__func__);
}

voxshift_status voxshift_session_detect(voxshift_session, const float*, int64_t, int32_t, voxshift_boxes*) {
  return no_points(__func__);
}

voxshift_status voxshift_session_run(voxshift_session, const voxshift_input*, int32_t) { return no_points(__func__); }

voxshift_status voxshift_session_output(voxshift_session, const char*, voxshift_array*, voxshift_array*) {
  return no_points(__func__);
}

voxshift_status voxshift_session_get_report(voxshift_session, voxshift_report*) { return no_points(__func__); }

voxshift_status voxshift_session_close(voxshift_session) { return no_points(__func__); }
