/* voxshift from C, and from every language that can call C: models, scans in and labels or boxes out, camera frames in
 * and what they show out. C99; nothing but this header is needed.
 *
 * Rules of the interface
 * - Every function that can fail returns a voxshift_status. voxshift_last_error() is the text of the calling thread's
 * last failure: one line that says what was expected and what was found.
 * - A handle stands for an object of the library and is no address: a null, a closed or a foreign handle is an error,
 * never a crash. A model may be used by many threads at once. A session and a stream belong to one thread at a time: a
 * call while another one is running in them returns VOXSHIFT_BUSY and changes nothing. They keep their model alive.
 * Closing one while a call is running in it is allowed; it ends with that call.
 * - A struct begins with its own size, which its VOXSHIFT_.._INIT sets. Fields are only ever added, at the end: a
 * program built with an older header goes on working with a newer library; with an older library a field that it does
 * not know must be zero, else the call is VOXSHIFT_INVALID_ARGUMENT.
 * - Memory that a result points to belongs to the library and stays until the next call on the same session or stream,
 * or until that is closed; strings of a model until the model and all its sessions and streams are closed.
 * - After the first frame of a size a stream allocates nothing; after the largest scan a session nothing but its
 * results.
 */
#ifndef VOXSHIFT_C_API_H
#define VOXSHIFT_C_API_H

#include <stddef.h>
#include <stdint.h>

/* NOLINTBEGIN(readability-identifier-naming): names of C */

#if defined(_WIN32) && defined(VOXSHIFT_C_BUILD)
#define VOXSHIFT_C_API __declspec(dllexport)
#elif defined(_WIN32) && defined(VOXSHIFT_C_SHARED)
#define VOXSHIFT_C_API __declspec(dllimport)
#elif defined(__GNUC__)
#define VOXSHIFT_C_API __attribute__((visibility("default")))
#else
#define VOXSHIFT_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What became of a call. The values are fixed for all time. */
typedef enum voxshift_status {
  VOXSHIFT_OK = 0,
  VOXSHIFT_INVALID_ARGUMENT = 1, /* a null pointer, a closed handle, a size, shape or value that the call cannot take */
  VOXSHIFT_IO_ERROR = 2,         /* a file that cannot be read, or bytes that are no model */
  VOXSHIFT_OUT_OF_MEMORY = 3,
  VOXSHIFT_UNAVAILABLE = 4,  /* a device, a dtype or a part that this build or this machine has not */
  VOXSHIFT_DEVICE_ERROR = 5, /* the GPU reported a failure */
  VOXSHIFT_BUSY = 6,         /* another thread is running a call on this session or stream */
  VOXSHIFT_INTERNAL = 7      /* a fault of the library */
} voxshift_status;

typedef struct voxshift_model_handle* voxshift_model;
typedef struct voxshift_session_handle* voxshift_session;
typedef struct voxshift_stream_handle* voxshift_stream;

/* Where a network runs. */
typedef enum voxshift_device { VOXSHIFT_CPU = 0, VOXSHIFT_CUDA = 1 } voxshift_device;

/* Element types of arrays; AUTO where a network shall choose: i8 of a network that has scales, else f32 on the CPU and
 * f16 on CUDA. */
typedef enum voxshift_dtype {
  VOXSHIFT_AUTO = 0,
  VOXSHIFT_F32 = 1,
  VOXSHIFT_F16 = 2,
  VOXSHIFT_BF16 = 3,
  VOXSHIFT_I8 = 4,
  VOXSHIFT_I32 = 5,
  VOXSHIFT_U8 = 6,
  VOXSHIFT_I64 = 7
} voxshift_dtype;

/* -- The library
 * ------------------------------------------------------------------------------------------------------- */

/* "0.2.0". */
VOXSHIFT_C_API const char* voxshift_version(void);

/* Of the interface, 1 so far; a library serves programs that were built with its own number. */
VOXSHIFT_C_API uint32_t voxshift_abi_version(void);

/* Text of the calling thread's last failed call; "" before the first. Stays until that thread's next failure. */
VOXSHIFT_C_API const char* voxshift_last_error(void);

typedef struct voxshift_capabilities {
  uint32_t size;
  int32_t points;              /* 1: sessions are in this build (VOXSHIFT_PARTS) */
  int32_t video;               /* 1: streams are in this build */
  int32_t cuda;                /* 1: this build and this machine have a CUDA device */
  int32_t threads;             /* what threads = 0 means */
  const char* instruction_set; /* "avx512", "avx2", "sse4", "neon" */
  const char* i8_instructions; /* what multiplies i8, bf16 and f16: "AVX-512 VNNI", .. */
  const char* bf16_instructions;
  const char* f16_instructions;
} voxshift_capabilities;
#define VOXSHIFT_CAPABILITIES_INIT \
  { sizeof(voxshift_capabilities), 0, 0, 0, 0, NULL, NULL, NULL, NULL }

/* What this build can do on this machine. The strings stay for ever. */
VOXSHIFT_C_API voxshift_status voxshift_get_capabilities(voxshift_capabilities* capabilities);

typedef struct voxshift_allocator {
  uint32_t size;
  /* `bytes` of memory at a multiple of `alignment`, a power of two of at least 64; NULL where there is none. Called by
   * any thread. */
  void* (*allocate)(void* user, size_t bytes, size_t alignment);
  /* Takes back what allocate gave for as many bytes. */
  void (*release)(void* user, void* memory, size_t bytes);
  void* user; /* handed to both */
} voxshift_allocator;
#define VOXSHIFT_ALLOCATOR_INIT \
  { sizeof(voxshift_allocator), NULL, NULL, NULL }

/* Where the arrays and arenas of the CPU come from: weights, features, frames; small objects are operator new's. NULL:
 * the system's, as at first. VOXSHIFT_INVALID_ARGUMENT while a model, session or stream is open: their memory must go
 * back to where it came from. */
VOXSHIFT_C_API voxshift_status voxshift_set_allocator(const voxshift_allocator* allocator);

/* Called with one line of text for each thing that the library had to guess of its input (unit of remission, origin),
 * by the thread whose call it was. NULL: nobody is told, as at first. */
typedef void (*voxshift_log)(void* user, const char* text);
VOXSHIFT_C_API voxshift_status voxshift_set_log(voxshift_log log, void* user);

/* -- Models
 * ------------------------------------------------------------------------------------------------------------ */

/* Reads a voxshift model, a .safetensors file. path: UTF-8. */
VOXSHIFT_C_API voxshift_status voxshift_model_load(const char* path, voxshift_model* model);

/* The same of the file's bytes, an asset of an app; they are copied. */
VOXSHIFT_C_API voxshift_status voxshift_model_load_memory(const void* bytes, size_t count, voxshift_model* model);

/* What a model takes and gives. */
typedef enum voxshift_task {
  VOXSHIFT_TASK_OTHER = 0,    /* any network: voxshift_session_run */
  VOXSHIFT_TASK_SEGMENT = 1,  /* points to labels: voxshift_session_segment */
  VOXSHIFT_TASK_DETECT = 2,   /* points to boxes: voxshift_session_detect */
  VOXSHIFT_TASK_RECOGNIZE = 3 /* frames to a label: voxshift_stream_push */
} voxshift_task;

typedef struct voxshift_model_info {
  uint32_t size;
  int32_t task;             /* a voxshift_task */
  const char* architecture; /* "minkunet", "tsm-mobilenetv2", .. */
  int32_t classes;
  int32_t columns;      /* of points: what the model makes use of, x y z and more */
  int32_t frame_height; /* of frames, as the network sees them */
  int32_t frame_width;
  int32_t inputs; /* of the network */
  int32_t outputs;
  int32_t quantized;  /* 1: has scales, and runs in i8 */
  int64_t parameters; /* trained numbers */
} voxshift_model_info;
#define VOXSHIFT_MODEL_INFO_INIT \
  { sizeof(voxshift_model_info), 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0 }

VOXSHIFT_C_API voxshift_status voxshift_model_get_info(voxshift_model model, voxshift_model_info* info);

/* The name of class `index`, of 0 to classes - 1. */
VOXSHIFT_C_API voxshift_status voxshift_model_class_name(voxshift_model model, int32_t index, const char** name);

/* The name of an input or output of the network, as voxshift_session_run and the .._output functions take it. */
VOXSHIFT_C_API voxshift_status voxshift_model_input_name(voxshift_model model, int32_t index, const char** name);
VOXSHIFT_C_API voxshift_status voxshift_model_output_name(voxshift_model model, int32_t index, const char** name);

VOXSHIFT_C_API voxshift_status voxshift_model_close(voxshift_model model);

/* -- Points
 * ------------------------------------------------------------------------------------------------------------ */

#define VOXSHIFT_MAX_RANK 8

/* An array: row-major, contiguous. Its layout is final. */
typedef struct voxshift_array {
  int32_t dtype; /* a voxshift_dtype */
  int32_t rank;
  int64_t shape[VOXSHIFT_MAX_RANK];
  const void* data;
} voxshift_array;
#define VOXSHIFT_ARRAY_INIT \
  { 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}, NULL }

typedef struct voxshift_session_options {
  uint32_t size;
  int32_t device;       /* a voxshift_device */
  int32_t device_index; /* of several GPUs */
  int32_t threads;      /* of the CPU; 0: one for each core */
  int32_t dtype;        /* of features and weights: VOXSHIFT_AUTO, F32, F16, BF16 or I8 */
} voxshift_session_options;
#define VOXSHIFT_SESSION_OPTIONS_INIT \
  { sizeof(voxshift_session_options), VOXSHIFT_CPU, 0, 0, VOXSHIFT_AUTO }

/* Makes a session of any model. options NULL: the defaults. */
VOXSHIFT_C_API voxshift_status voxshift_session_open(voxshift_model model, const voxshift_session_options* options,
                                                     voxshift_session* session);

/* Labels points f32 [count, columns], row-major: x, y, z in metres, remission and what else the model wants; missing
 * columns count as 0. What has to be guessed of them goes to the log. labels u8 [count]: the class, 255 for a point
 * that was dropped (not finite, or out of range). scores f32 [count, classes], or NULL where nobody wants them: the
 * softmax, 0 for a dropped point. */
VOXSHIFT_C_API voxshift_status voxshift_session_segment(voxshift_session session, const float* points, int64_t count,
                                                        int32_t columns, uint8_t* labels, float* scores);

typedef struct voxshift_boxes {
  uint32_t size;
  int32_t columns; /* of a box: 7, or 9 with velocities */
  int64_t count;
  const float*
      boxes; /* [count, columns]: x y z of the middle, length, width, height in metres, yaw in radians, vx vy */
  const float* scores;    /* [count], best first */
  const int32_t* classes; /* [count] */
} voxshift_boxes;
#define VOXSHIFT_BOXES_INIT \
  { sizeof(voxshift_boxes), 0, 0, NULL, NULL, NULL }

/* Finds boxes in points, as voxshift_session_segment takes them. */
VOXSHIFT_C_API voxshift_status voxshift_session_detect(voxshift_session session, const float* points, int64_t count,
                                                       int32_t columns, voxshift_boxes* boxes);

/* One input of a network. */
typedef struct voxshift_input {
  uint32_t size;
  const char* name; /* of the network's input */
  voxshift_array
      features; /* f32: of voxels [rows, channels], of points the same with x y z first, of frames [T, H, W, C] */
  voxshift_array
      coords; /* of voxels i32 [rows, 1 + dims], batch first, unless they are another input's; else data NULL */
  voxshift_array extent; /* of voxels i32 [dims], where the network wants to know it; else data NULL */
  voxshift_array splits; /* of points i64 [clouds + 1], where they are several clouds; else data NULL */
} voxshift_input;
#define VOXSHIFT_INPUT_INIT \
  { sizeof(voxshift_input), NULL, VOXSHIFT_ARRAY_INIT, VOXSHIFT_ARRAY_INIT, VOXSHIFT_ARRAY_INIT, VOXSHIFT_ARRAY_INIT }

/* Runs any network on its inputs; voxshift_session_output has what comes out. */
VOXSHIFT_C_API voxshift_status voxshift_session_run(voxshift_session session, const voxshift_input* inputs,
                                                    int32_t count);

/* An output of the last voxshift_session_run. features f32 [rows, channels], of frames [T, H, W, C]; coords (or NULL)
 * as of inputs, data NULL where the output has none. */
VOXSHIFT_C_API voxshift_status voxshift_session_output(voxshift_session session, const char* name,
                                                       voxshift_array* features, voxshift_array* coords);

typedef struct voxshift_report {
  uint32_t size;
  int32_t padding; /* zero */
  int64_t points;  /* of the last scan */
  int64_t dropped_points;
  int64_t macs;   /* multiply-adds of the network; 0 where they are not counted: on CUDA */
  int64_t bytes;  /* that the session holds */
  double seconds; /* the last call as a whole */
} voxshift_report;
#define VOXSHIFT_REPORT_INIT \
  { sizeof(voxshift_report), 0, 0, 0, 0, 0, 0 }

/* What the last call of voxshift_session_segment, _detect or _run cost. */
VOXSHIFT_C_API voxshift_status voxshift_session_get_report(voxshift_session session, voxshift_report* report);

VOXSHIFT_C_API voxshift_status voxshift_session_close(voxshift_session session);

/* -- Video
 * ------------------------------------------------------------------------------------------------------------- */

/* What a stream may leave out. */
typedef enum voxshift_skip {
  VOXSHIFT_SKIP_OFF = 0,       /* nothing: every frame is computed whole */
  VOXSHIFT_SKIP_EXACT = 1,     /* what did not change at all: the same bits as OFF */
  VOXSHIFT_SKIP_THRESHOLD = 2, /* what changed by at most `threshold` */
  VOXSHIFT_SKIP_AUTO = 3 /* by the thresholds that the model was calibrated with, and whole frames like the last one */
} voxshift_skip;

typedef struct voxshift_stream_options {
  uint32_t size;
  int32_t device; /* a voxshift_device */
  int32_t device_index;
  int32_t threads;            /* of the CPU; 0: one for each core */
  int32_t dtype;              /* VOXSHIFT_AUTO, F32, F16, BF16 or I8 */
  int32_t skip;               /* a voxshift_skip */
  float threshold;            /* of VOXSHIFT_SKIP_THRESHOLD */
  int32_t key_frame_interval; /* every so many frames one is computed whole; 0: only where needed */
} voxshift_stream_options;
#define VOXSHIFT_STREAM_OPTIONS_INIT \
  { sizeof(voxshift_stream_options), VOXSHIFT_CPU, 0, 0, VOXSHIFT_AUTO, VOXSHIFT_SKIP_OFF, 0.0f, 0 }

/* Makes a stream of a model that takes frames. options NULL: the defaults. */
VOXSHIFT_C_API voxshift_status voxshift_stream_open(voxshift_model model, const voxshift_stream_options* options,
                                                    voxshift_stream* stream);

/* How the pixels of a frame lie in memory, bytes. */
typedef enum voxshift_pixel_format {
  VOXSHIFT_RGB = 0,
  VOXSHIFT_BGR = 1,
  VOXSHIFT_RGBA = 2, /* alpha is not looked at */
  VOXSHIFT_BGRA = 3,
  VOXSHIFT_NV12 = 4,  /* planes Y, and U and V in turn for every 2 x 2 pixels */
  VOXSHIFT_NV21 = 5,  /* planes Y, and V and U in turn: Android's camera */
  VOXSHIFT_YUV420 = 6 /* planes Y, U, V with strides of their own: I420, and the Image of Android's ImageReader */
} voxshift_pixel_format;

/* What Y, U and V mean. */
typedef enum voxshift_colours {
  VOXSHIFT_BT601 = 0,      /* Y from 16 to 235: most videos */
  VOXSHIFT_BT601_FULL = 1, /* Y from 0 to 255: JPEG, and what Android's camera gives */
  VOXSHIFT_BT709 = 2,      /* as the first, of high definition */
  VOXSHIFT_BT709_FULL = 3
} voxshift_colours;

/* One plane. Its layout is final. */
typedef struct voxshift_plane {
  const uint8_t* data;
  size_t bytes;         /* that may be read from data on */
  int32_t row_stride;   /* bytes from row to row; 0: as many as a row's pixels take */
  int32_t pixel_stride; /* bytes from pixel to pixel; 0: as the format has it, and only YUV420's chroma may differ */
} voxshift_plane;

typedef struct voxshift_frame {
  uint32_t size;
  int32_t format; /* a voxshift_pixel_format */
  int32_t width;  /* of the picture as it lies in memory */
  int32_t height;
  int32_t rotation; /* by which it must be turned clockwise to stand upright: 0, 90, 180, 270 */
  int32_t colours;  /* a voxshift_colours, of YUV */
  voxshift_plane planes[3];
} voxshift_frame;
#define VOXSHIFT_FRAME_INIT                               \
  {                                                       \
    sizeof(voxshift_frame), VOXSHIFT_RGB, 0, 0, 0, 0, {   \
      {NULL, 0, 0, 0}, {NULL, 0, 0, 0}, { NULL, 0, 0, 0 } \
    }                                                     \
  }

typedef struct voxshift_result {
  uint32_t size;
  int32_t label; /* the class of the highest logit */
  int32_t classes;
  int32_t skipped;     /* 1: the frame was like the last one, whose result this is */
  int32_t key_frame;   /* 1: computed whole, as the first frame and after a cut */
  int32_t dense;       /* 1: all pixels were computed */
  const float* scores; /* [classes], the softmax of the logits */
  const float* logits; /* [classes] */
  int64_t macs;        /* multiply-adds done */
  int64_t dense_macs;  /* of a whole frame */
  int64_t changed_pixels;
  double seconds; /* conversion, scaling and network */
} voxshift_result;
#define VOXSHIFT_RESULT_INIT \
  { sizeof(voxshift_result), 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }

/* Recognises the next frame. It is turned upright, its shorter side is scaled to what the model wants, and the middle
 * is cut out; one that has the network's size is taken as it is. A frame that cannot be taken leaves the stream as it
 * was. */
VOXSHIFT_C_API voxshift_status voxshift_stream_push(voxshift_stream stream, const voxshift_frame* frame,
                                                    voxshift_result* result);

/* An output of the network after the last frame: f32 [channels], of images [height, width, channels]. */
VOXSHIFT_C_API voxshift_status voxshift_stream_output(voxshift_stream stream, const char* name, voxshift_array* output);

/* Forgets all frames. */
VOXSHIFT_C_API voxshift_status voxshift_stream_reset(voxshift_stream stream);

VOXSHIFT_C_API voxshift_status voxshift_stream_close(voxshift_stream stream);

/* NOLINTEND(readability-identifier-naming) */

#ifdef __cplusplus
}
#endif
#endif
