/* Recognises a raw camera stream: recognize MODEL.safetensors WIDTH HEIGHT < frames, NV21 one after the other, as
 * Android's camera gives them and as `ffmpeg -i clip.mp4 -f rawvideo -pix_fmt nv21 -` writes them. */
#include <stdio.h>
#include <stdlib.h>
#include <voxshift/c_api.h>

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, voxshift_last_error());
  return 1;
}

int main(int argc, char** argv) {
  voxshift_model model;
  voxshift_stream stream;
  voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  const char* name = "";
  uint8_t* pixels;
  size_t luma, chroma;
  int number;

  if (argc != 4 || (frame.width = atoi(argv[2])) < 1 || (frame.height = atoi(argv[3])) < 1) {
    fprintf(stderr, "usage: recognize MODEL.safetensors WIDTH HEIGHT < frames.nv21\n");
    return 2;
  }
  luma = (size_t)frame.width * (size_t)frame.height;
  chroma = (size_t)((frame.width + 1) / 2) * (size_t)((frame.height + 1) / 2) * 2;
  pixels = malloc(luma + chroma);
  if (pixels == NULL) return 1;

  if (voxshift_model_load(argv[1], &model) != VOXSHIFT_OK) return fail("model");
  options.skip = VOXSHIFT_SKIP_AUTO;
  if (voxshift_stream_open(model, &options, &stream) != VOXSHIFT_OK) return fail("stream");

  frame.format = VOXSHIFT_NV21;
  frame.planes[0].data = pixels;
  frame.planes[0].bytes = luma;
  frame.planes[1].data = pixels + luma;
  frame.planes[1].bytes = chroma;
  for (number = 0; fread(pixels, 1, luma + chroma, stdin) == luma + chroma; ++number) {
    if (voxshift_stream_push(stream, &frame, &result) != VOXSHIFT_OK) return fail("push");
    if (voxshift_model_class_name(model, result.label, &name) != VOXSHIFT_OK) return fail("name");
    printf("%4d %-20s %.3f  %3.0f %% of the frame computed\n", number, name, (double)result.scores[result.label],
           100.0 * (double)result.macs / (double)result.dense_macs);
  }

  voxshift_stream_close(stream);
  voxshift_model_close(model);
  free(pixels);
  return 0;
}
