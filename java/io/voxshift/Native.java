package io.voxshift;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;

/**
 * What voxshift_jni.cpp does: the C interface with a status as the result, 0 if all went well. Handles are checked by
 * the library; arrays and ranges of buffers are not, so that nobody but this package calls it.
 */
final class Native {
  static final int OK = 0, INVALID_ARGUMENT = 1, BUSY = 6;  // of voxshift_status

  static {
    System.loadLibrary("voxshift_jni");
  }

  private Native() {
  }

  /** Throws what a status stands for, with the text of this thread's last failure. */
  static void check(int status) {
    if (status == OK) return;
    String text = text(lastError());
    if (status == INVALID_ARGUMENT) throw new IllegalArgumentException(text);
    if (status == BUSY) throw new IllegalStateException(text);
    throw new VoxshiftException(status, text);
  }

  static String text(byte[] utf8) {
    return utf8 == null ? "" : new String(utf8, StandardCharsets.UTF_8);
  }

  static native byte[] lastError();

  static native byte[] version();

  /** path: UTF-8 with a 0 at its end. Gives model[0]. */
  static native int loadFile(byte[] path, long[] model);

  static native int loadMemory(ByteBuffer bytes, int offset, int count, long[] model);

  /** Gives info: task, classes, columns, frame height and width. */
  static native int info(long model, int[] info);

  /** Null where there is none. */
  static native byte[] architecture(long model);

  /** Null where there is none. */
  static native byte[] className(long model, int index);

  static native int openSession(long model, int threads, int dtype, long[] session);

  static native int openStream(
      long model, int threads, int dtype, int skip, float threshold, int keyFrameInterval, long[] stream);

  /**
   * frame: format, width, height, rotation, colours, and of each of the three planes: offset and bytes in its buffer,
   * row stride, pixel stride. Gives counts: label, skipped, key frame, dense, multiply-adds, those of a whole frame,
   * changed pixels, bits of the double of seconds.
   */
  static native int push(long stream, ByteBuffer[] planes, int[] frame, long[] counts, float[] scores, float[] logits);

  /** offset: of the first float. labels: a direct buffer of at least count bytes. */
  static native int segment(long session, FloatBuffer points, int offset, int count, int columns, ByteBuffer labels);

  /** Gives found: boxes float[], scores float[], classes int[]. */
  static native int detect(long session, FloatBuffer points, int offset, int count, int columns, Object[] found);

  static native int reset(long stream);

  static native int closeModel(long model);

  static native int closeSession(long session);

  static native int closeStream(long stream);
}
