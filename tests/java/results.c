/* What the C interface gives, for the test of the Java classes to compare with: results MODEL FORMAT WIDTH HEIGHT
 * ROTATION SKIP < frames, each without gaps, prints per frame the label, what was done, and the bits of the logits;
 * results MODEL < points of four columns prints the labels, or count and columns of the boxes, then of each the class
 * and the bits of its score and numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <voxshift/c_api.h>

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, voxshift_last_error());
  return 1;
}

static unsigned bits(float value) {
  uint32_t found;
  memcpy(&found, &value, sizeof(found));
  return (unsigned)found;
}

static uint8_t input[1 << 24];

static int frames(voxshift_model model, char** argv) {
  voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  voxshift_stream stream;
  int32_t k;
  options.threads = 1;
  options.skip = atoi(argv[6]);
  if (voxshift_stream_open(model, &options, &stream) != VOXSHIFT_OK) return fail("stream");
  frame.format = atoi(argv[2]);
  frame.width = atoi(argv[3]);
  frame.height = atoi(argv[4]);
  frame.rotation = atoi(argv[5]);
  frame.colours = VOXSHIFT_BT601_FULL;
  frame.planes[0].data = input;
  if (frame.format == VOXSHIFT_NV21) {
    frame.planes[0].bytes = (size_t)frame.width * (size_t)frame.height;
    frame.planes[1].data = input + frame.planes[0].bytes;
    frame.planes[1].bytes = (size_t)((frame.width + 1) / 2) * (size_t)((frame.height + 1) / 2) * 2;
  } else {
    frame.planes[0].bytes = (size_t)frame.width * (size_t)frame.height * (frame.format == VOXSHIFT_RGBA ? 4U : 3U);
  }
  while (fread(input, 1, frame.planes[0].bytes + frame.planes[1].bytes, stdin) > 0) {
    if (voxshift_stream_push(stream, &frame, &result) != VOXSHIFT_OK) return fail("push");
    printf("%d %d%d%d %ld %ld %ld", (int)result.label, (int)result.skipped, (int)result.key_frame, (int)result.dense,
           (long)result.macs, (long)result.dense_macs, (long)result.changed_pixels);
    for (k = 0; k < result.classes; ++k) printf(" %u", bits(result.logits[k]));
    printf("\n");
  }
  return voxshift_stream_close(stream);
}

static int points(voxshift_model model, int32_t task) {
  static uint8_t labels[1 << 20];
  const int64_t count = (int64_t)(fread(input, 1, sizeof(input), stdin) / 16);
  const float* numbers = (const float*)(const void*)input;
  voxshift_session_options options = VOXSHIFT_SESSION_OPTIONS_INIT;
  voxshift_boxes boxes = VOXSHIFT_BOXES_INIT;
  voxshift_session session;
  int64_t i, k;
  options.threads = 1;
  if (voxshift_session_open(model, &options, &session) != VOXSHIFT_OK) return fail("session");
  if (task == VOXSHIFT_TASK_SEGMENT) {
    if (voxshift_session_segment(session, numbers, count, 4, labels, NULL) != VOXSHIFT_OK) return fail("segment");
    for (i = 0; i < count; ++i) printf("%d\n", labels[i]);
  } else {
    if (voxshift_session_detect(session, numbers, count, 4, &boxes) != VOXSHIFT_OK) return fail("detect");
    printf("%ld %d\n", (long)boxes.count, (int)boxes.columns);
    for (i = 0; i < boxes.count; ++i) {
      printf("%d %u", (int)boxes.classes[i], bits(boxes.scores[i]));
      for (k = 0; k < boxes.columns; ++k) printf(" %u", bits(boxes.boxes[i * boxes.columns + k]));
      printf("\n");
    }
  }
  return voxshift_session_close(session);
}

int main(int argc, char** argv) {
  voxshift_model model;
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  if (argc != 2 && argc != 7) return 2;
  if (voxshift_model_load(argv[1], &model) != VOXSHIFT_OK) return fail("model");
  if (voxshift_model_get_info(model, &info) != VOXSHIFT_OK) return fail("info");
  return argc == 7 ? frames(model, argv) : points(model, info.task);
}
