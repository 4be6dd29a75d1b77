/* The header is C99, and its structs lie as they always did: a program of an older version reads them so. */
#include <stdio.h>
#include <voxshift/c_api.h>

#define EXPECT(condition) \
  if (!(condition)) return fprintf(stderr, "line %d: %s\n", __LINE__, #condition), 1

int main(void) {
  voxshift_capabilities capabilities = VOXSHIFT_CAPABILITIES_INIT;
  voxshift_session_options session = VOXSHIFT_SESSION_OPTIONS_INIT;
  voxshift_stream_options stream = VOXSHIFT_STREAM_OPTIONS_INIT;
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  voxshift_input input = VOXSHIFT_INPUT_INIT;
  EXPECT(capabilities.size == sizeof(capabilities) && session.size == sizeof(session) && stream.size == sizeof(stream));
  EXPECT(frame.size == sizeof(frame) && input.size == sizeof(input));
  if (sizeof(void*) == 8) {
    EXPECT(sizeof(voxshift_capabilities) == 56 && offsetof(voxshift_capabilities, f16_instructions) == 48);
    EXPECT(sizeof(voxshift_allocator) == 32);
    EXPECT(sizeof(voxshift_model_info) == 56 && offsetof(voxshift_model_info, parameters) == 48);
    EXPECT(sizeof(voxshift_array) == 80 && offsetof(voxshift_array, data) == 72);
    EXPECT(sizeof(voxshift_session_options) == 20);
    EXPECT(sizeof(voxshift_boxes) == 40);
    EXPECT(sizeof(voxshift_input) == 336);
    EXPECT(sizeof(voxshift_report) == 48);
    EXPECT(sizeof(voxshift_stream_options) == 32);
    EXPECT(sizeof(voxshift_plane) == 24 && sizeof(voxshift_frame) == 96);
    EXPECT(sizeof(voxshift_result) == 72 && offsetof(voxshift_result, scores) == 24);
  }
  EXPECT(voxshift_get_capabilities(&capabilities) == VOXSHIFT_OK);
  printf("voxshift %s, %s\n", voxshift_version(), capabilities.instruction_set);
  return 0;
}
