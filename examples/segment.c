/* Labels a scan: segment MODEL.safetensors SCAN.bin, with SCAN of float32 x y z remission, as KITTI's. */
#include <stdio.h>
#include <stdlib.h>
#include <voxshift/c_api.h>

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, voxshift_last_error());
  return 1;
}

static void say(void* user, const char* text) {
  (void)user;
  fprintf(stderr, "%s\n", text);
}

static float* read_points(const char* path, int64_t* count) {
  FILE* file = fopen(path, "rb");
  float* points = NULL;
  long bytes;
  if (file == NULL) return NULL;
  fseek(file, 0, SEEK_END);
  bytes = ftell(file);
  rewind(file);
  *count = bytes / 16;
  points = malloc(bytes > 0 ? (size_t)bytes : 1);
  if (points != NULL && fread(points, 16, (size_t)*count, file) != (size_t)*count) *count = 0;
  fclose(file);
  return points;
}

int main(int argc, char** argv) {
  voxshift_model model;
  voxshift_session session;
  voxshift_session_options options = VOXSHIFT_SESSION_OPTIONS_INIT;
  voxshift_report report = VOXSHIFT_REPORT_INIT;
  int64_t count = 0, i, points_of[256] = {0};
  int32_t label;
  float* points;
  uint8_t* labels;

  if (argc != 3) {
    fprintf(stderr, "usage: segment MODEL.safetensors SCAN.bin\n");
    return 2;
  }
  points = read_points(argv[2], &count);
  labels = malloc(count > 0 ? (size_t)count : 1);
  if (points == NULL || labels == NULL) {
    fprintf(stderr, "%s cannot be read\n", argv[2]);
    return 1;
  }

  voxshift_set_log(say, NULL);
  if (voxshift_model_load(argv[1], &model) != VOXSHIFT_OK) return fail("model");
  options.threads = 2;
  if (voxshift_session_open(model, &options, &session) != VOXSHIFT_OK) return fail("session");
  if (voxshift_session_segment(session, points, count, 4, labels, NULL) != VOXSHIFT_OK) return fail("segment");
  voxshift_session_get_report(session, &report);

  for (i = 0; i < count; ++i) ++points_of[labels[i]];
  printf("%lld points in %.0f ms\n", (long long)count, 1e3 * report.seconds);
  for (label = 0; label < 256; ++label) {
    const char* name = "dropped";
    if (points_of[label] == 0) continue;
    if (label < 255 && voxshift_model_class_name(model, label, &name) != VOXSHIFT_OK) return fail("name");
    printf("%-20s %lld\n", name, (long long)points_of[label]);
  }

  voxshift_session_close(session);
  voxshift_model_close(model);
  free(labels);
  free(points);
  return 0;
}
