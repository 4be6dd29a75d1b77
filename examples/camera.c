/* Recognises what a phone's camera gives: camera MODEL.safetensors. The frames are made here, planes Y, U and V as
 * those of Android's YUV_420_888 with a sensor that lies on its side: a bright square that moves over grey. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <voxshift/c_api.h>

typedef struct recognizer {
  voxshift_model model;
  voxshift_stream stream;
} recognizer;

/* Once, with the model's file in memory, such as an asset of an app. 0: voxshift_last_error() says why not. */
static int start(recognizer* self, const void* model, size_t bytes) {
  voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
  options.threads = 2;               /* as many as the processor has large cores, or fewer */
  options.skip = VOXSHIFT_SKIP_AUTO; /* only what changed; of a model that is not calibrated VOXSHIFT_SKIP_OFF */
  if (voxshift_model_load_memory(model, bytes, &self->model) != VOXSHIFT_OK) return 0;
  return voxshift_stream_open(self->model, &options, &self->stream) == VOXSHIFT_OK;
}

/* For every frame; `planes` as AImage_getPlaneData and its sisters tell them, `rotation` the sensor's, less the
 * screen's. The label's name, or NULL. */
static const char* recognise(const recognizer* self, const voxshift_plane planes[3], int32_t width, int32_t height,
                             int32_t rotation) {
  voxshift_frame frame = VOXSHIFT_FRAME_INIT;
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  const char* name = NULL;
  frame.format = VOXSHIFT_YUV420;
  frame.colours = VOXSHIFT_BT601_FULL; /* Android's cameras */
  frame.width = width;
  frame.height = height;
  frame.rotation = rotation;
  memcpy(frame.planes, planes, sizeof frame.planes);
  if (voxshift_stream_push(self->stream, &frame, &result) != VOXSHIFT_OK) return NULL;
  if (voxshift_model_class_name(self->model, result.label, &name) != VOXSHIFT_OK) return NULL;
  return name;
}

static void stop(recognizer* self) {
  voxshift_stream_close(self->stream);
  voxshift_model_close(self->model);
}

enum { WIDTH = 320, HEIGHT = 240, STRIDE = 384, SIDE = 64, FRAMES = 12 };

static uint8_t luma[HEIGHT][STRIDE], chroma[HEIGHT / 2][STRIDE];

static void draw(int number) {
  int y;
  memset(luma, 90, sizeof luma);
  for (y = 80; y < 80 + SIDE; ++y) memset(luma[y] + 40 + 4 * number, 230, SIDE);
}

static char* read_file(const char* path, size_t* bytes) {
  FILE* file = fopen(path, "rb");
  char* content = NULL;
  long size;
  if (file == NULL) return NULL;
  fseek(file, 0, SEEK_END);
  size = ftell(file);
  rewind(file);
  if (size > 0) content = malloc((size_t)size);
  *bytes = content != NULL ? fread(content, 1, (size_t)size, file) : 0;
  fclose(file);
  return content;
}

int main(int argc, char** argv) {
  recognizer self = {NULL, NULL};
  voxshift_plane planes[3];
  size_t bytes = 0;
  char* model;
  int number;
  if (argc != 2 || (model = read_file(argv[1], &bytes)) == NULL) {
    fprintf(stderr, "usage: camera MODEL.safetensors\n");
    return 2;
  }
  memset(chroma, 128, sizeof chroma);
  memset(planes, 0, sizeof planes);
  planes[0].data = &luma[0][0];
  planes[0].bytes = sizeof luma;
  planes[0].row_stride = STRIDE;
  planes[1].data = &chroma[0][0];
  planes[1].bytes = sizeof chroma;
  planes[1].row_stride = STRIDE;
  planes[1].pixel_stride = 2; /* U and V lie in turn */
  planes[2] = planes[1];
  planes[2].data += 1;
  planes[2].bytes -= 1;

  for (number = start(&self, model, bytes) ? 0 : FRAMES + 1; number < FRAMES; ++number) {
    const char* name;
    draw(number);
    name = recognise(&self, planes, WIDTH, HEIGHT, 90);
    if (name == NULL) break;
    printf("%2d %s\n", number, name);
  }
  if (number != FRAMES) fprintf(stderr, "%s\n", voxshift_last_error());
  stop(&self);
  free(model);
  return number == FRAMES ? 0 : 1;
}
