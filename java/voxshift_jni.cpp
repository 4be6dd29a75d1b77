// Class io.voxshift.Native: the C interface from Java. Handles are checked below, in the library; arrays and ranges of
// buffers above, in the package that Native is private to. Statuses are given back and become exceptions there.
#include <jni.h>
#include <voxshift/c_api.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

/// A handle is no address, so none is made of the number.
template <class Handle>
Handle handle_of(jlong number) {
  const auto value = static_cast<std::intptr_t>(number);
  Handle handle = nullptr;
  std::memcpy(&handle, &value, sizeof(value));
  return handle;
}

/// Gives `handle` to a long[1].
template <class Handle>
void give_handle(JNIEnv* env, jlongArray out, Handle handle) {
  const jlong number = reinterpret_cast<std::intptr_t>(handle);
  env->SetLongArrayRegion(out, 0, 1, &number);
}

/// What text holds need not be the UTF-8 that Java's strings are made of. Null where there is no memory.
jbyteArray bytes_of(JNIEnv* env, const char* text) {
  const auto count = static_cast<jsize>(std::strlen(text));
  const jbyteArray bytes = env->NewByteArray(count);
  if (bytes != nullptr) env->SetByteArrayRegion(bytes, 0, count, reinterpret_cast<const jbyte*>(text));
  return bytes;
}

/// Null for null, and for a buffer that is not direct.
template <class T>
T* address_of(JNIEnv* env, jobject buffer, jint offset) {
  auto* const start = buffer == nullptr ? nullptr : static_cast<T*>(env->GetDirectBufferAddress(buffer));
  return start == nullptr ? nullptr : start + offset;
}

constexpr jsize kPlanes = 3;
constexpr jsize kFrameNumbers = 5 + 4 * kPlanes;

voxshift_frame frame_of(JNIEnv* env, jobjectArray planes, jintArray frame) {
  std::array<jint, kFrameNumbers> numbers{};
  env->GetIntArrayRegion(frame, 0, kFrameNumbers, numbers.data());
  voxshift_frame taken = VOXSHIFT_FRAME_INIT;
  taken.format = numbers[0];
  taken.width = numbers[1];
  taken.height = numbers[2];
  taken.rotation = numbers[3];
  taken.colours = numbers[4];
  for (jsize p = 0; p < kPlanes; ++p) {
    const jint* const plane = numbers.data() + 5 + 4 * p;
    const auto* const data = address_of<std::uint8_t>(env, env->GetObjectArrayElement(planes, p), plane[0]);
    taken.planes[p] = {data, static_cast<std::size_t>(plane[1]), plane[2], plane[3]};
  }
  return taken;
}

void give_result(JNIEnv* env, const voxshift_result& result, jlongArray counts, jfloatArray scores,
                 jfloatArray logits) {
  std::array<jlong, 8> numbers = {result.label, result.skipped,    result.key_frame,      result.dense,
                                  result.macs,  result.dense_macs, result.changed_pixels, 0};
  static_assert(sizeof(result.seconds) == sizeof(jlong));
  std::memcpy(&numbers.back(), &result.seconds, sizeof(jlong));
  env->SetLongArrayRegion(counts, 0, static_cast<jsize>(numbers.size()), numbers.data());
  env->SetFloatArrayRegion(scores, 0, std::min(result.classes, env->GetArrayLength(scores)), result.scores);
  env->SetFloatArrayRegion(logits, 0, std::min(result.classes, env->GetArrayLength(logits)), result.logits);
}

/// Gives found: float[], float[], int[]. False where there is no memory; Java has an exception then.
bool give_boxes(JNIEnv* env, const voxshift_boxes& boxes, jobjectArray found) {
  const auto count = static_cast<jsize>(boxes.count);
  const jsize numbers = count * boxes.columns;
  const jfloatArray values = env->NewFloatArray(numbers);
  if (values == nullptr) return false;
  const jfloatArray scores = env->NewFloatArray(count);
  if (scores == nullptr) return false;
  const jintArray classes = env->NewIntArray(count);
  if (classes == nullptr) return false;
  env->SetFloatArrayRegion(values, 0, numbers, boxes.boxes);
  env->SetFloatArrayRegion(scores, 0, count, boxes.scores);
  env->SetIntArrayRegion(classes, 0, count, boxes.classes);
  env->SetObjectArrayElement(found, 0, values);
  env->SetObjectArrayElement(found, 1, scores);
  env->SetObjectArrayElement(found, 2, classes);
  return true;
}

}  // namespace

extern "C" {

JNIEXPORT jbyteArray JNICALL Java_io_voxshift_Native_lastError(JNIEnv* env, jclass) {
  return bytes_of(env, voxshift_last_error());
}

JNIEXPORT jbyteArray JNICALL Java_io_voxshift_Native_version(JNIEnv* env, jclass) {
  return bytes_of(env, voxshift_version());
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_loadFile(JNIEnv* env, jclass, jbyteArray path, jlongArray out) {
  jbyte* const text = env->GetByteArrayElements(path, nullptr);
  if (text == nullptr) return VOXSHIFT_OUT_OF_MEMORY;
  voxshift_model model = nullptr;
  const voxshift_status status = voxshift_model_load(reinterpret_cast<const char*>(text), &model);
  env->ReleaseByteArrayElements(path, text, JNI_ABORT);
  give_handle(env, out, model);
  return status;
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_loadMemory(JNIEnv* env, jclass, jobject bytes, jint offset, jint count,
                                                          jlongArray out) {
  voxshift_model model = nullptr;
  const voxshift_status status =
      voxshift_model_load_memory(address_of<const char>(env, bytes, offset), static_cast<std::size_t>(count), &model);
  give_handle(env, out, model);
  return status;
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_info(JNIEnv* env, jclass, jlong model, jintArray out) {
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  const voxshift_status status = voxshift_model_get_info(handle_of<voxshift_model>(model), &info);
  const std::array<jint, 5> numbers = {info.task, info.classes, info.columns, info.frame_height, info.frame_width};
  env->SetIntArrayRegion(out, 0, static_cast<jsize>(numbers.size()), numbers.data());
  return status;
}

JNIEXPORT jbyteArray JNICALL Java_io_voxshift_Native_architecture(JNIEnv* env, jclass, jlong model) {
  voxshift_model_info info = VOXSHIFT_MODEL_INFO_INIT;
  const bool known = voxshift_model_get_info(handle_of<voxshift_model>(model), &info) == VOXSHIFT_OK;
  return known ? bytes_of(env, info.architecture) : nullptr;
}

JNIEXPORT jbyteArray JNICALL Java_io_voxshift_Native_className(JNIEnv* env, jclass, jlong model, jint index) {
  const char* name = nullptr;
  const bool known = voxshift_model_class_name(handle_of<voxshift_model>(model), index, &name) == VOXSHIFT_OK;
  return known ? bytes_of(env, name) : nullptr;
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_openSession(JNIEnv* env, jclass, jlong model, jint threads, jint dtype,
                                                           jlongArray out) {
  voxshift_session_options options = VOXSHIFT_SESSION_OPTIONS_INIT;
  options.threads = threads;
  options.dtype = dtype;
  voxshift_session session = nullptr;
  const voxshift_status status = voxshift_session_open(handle_of<voxshift_model>(model), &options, &session);
  give_handle(env, out, session);
  return status;
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_openStream(JNIEnv* env, jclass, jlong model, jint threads, jint dtype,
                                                          jint skip, jfloat threshold, jint key_frame_interval,
                                                          jlongArray out) {
  voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
  options.threads = threads;
  options.dtype = dtype;
  options.skip = skip;
  options.threshold = threshold;
  options.key_frame_interval = key_frame_interval;
  voxshift_stream stream = nullptr;
  const voxshift_status status = voxshift_stream_open(handle_of<voxshift_model>(model), &options, &stream);
  give_handle(env, out, stream);
  return status;
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_push(JNIEnv* env, jclass, jlong stream, jobjectArray planes,
                                                    jintArray frame, jlongArray counts, jfloatArray scores,
                                                    jfloatArray logits) {
  const voxshift_frame taken = frame_of(env, planes, frame);
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  const voxshift_status status = voxshift_stream_push(handle_of<voxshift_stream>(stream), &taken, &result);
  if (status == VOXSHIFT_OK) give_result(env, result, counts, scores, logits);
  return status;
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_segment(JNIEnv* env, jclass, jlong session, jobject points, jint offset,
                                                       jint count, jint columns, jobject labels) {
  return voxshift_session_segment(handle_of<voxshift_session>(session), address_of<const float>(env, points, offset),
                                  count, columns, address_of<std::uint8_t>(env, labels, 0), nullptr);
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_detect(JNIEnv* env, jclass, jlong session, jobject points, jint offset,
                                                      jint count, jint columns, jobjectArray found) {
  voxshift_boxes boxes = VOXSHIFT_BOXES_INIT;
  const voxshift_status status = voxshift_session_detect(
      handle_of<voxshift_session>(session), address_of<const float>(env, points, offset), count, columns, &boxes);
  if (status == VOXSHIFT_OK && !give_boxes(env, boxes, found)) return VOXSHIFT_OUT_OF_MEMORY;
  return status;
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_reset(JNIEnv*, jclass, jlong stream) {
  return voxshift_stream_reset(handle_of<voxshift_stream>(stream));
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_closeModel(JNIEnv*, jclass, jlong model) {
  return voxshift_model_close(handle_of<voxshift_model>(model));
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_closeSession(JNIEnv*, jclass, jlong session) {
  return voxshift_session_close(handle_of<voxshift_session>(session));
}

JNIEXPORT jint JNICALL Java_io_voxshift_Native_closeStream(JNIEnv*, jclass, jlong stream) {
  return voxshift_stream_close(handle_of<voxshift_stream>(stream));
}

}  // extern "C"
