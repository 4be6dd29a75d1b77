package io.voxshift;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A model that is run on this device: camera frames become a label ({@link #push}), points become labels
 * ({@link #segment}) or boxes ({@link #detect}).
 *
 * <p>One thread at a time: a call while another one is running is an IllegalStateException and changes nothing. So is
 * every call after {@link #close}, which any thread may make at any time; a call that is running then ends first.
 * Memory of the library is freed by close alone.
 *
 * <p>What a caller did wrong is an IllegalArgumentException, what the model or the machine has not a
 * {@link VoxshiftException}; both have the library's text.
 */
public final class Voxshift implements AutoCloseable {
  private static final int SEGMENT = 1, DETECT = 2, RECOGNIZE = 3;  // of voxshift_task

  private final String architecture;
  private final String[] classes;
  private final int columns;
  private final int frameHeight;
  private final int frameWidth;
  private final int task;
  final long session;  // 0 where frames are recognised
  final long stream;  // 0 where points are taken

  private final ByteBuffer[] planes = new ByteBuffer[Frame.PLANES];
  private final int[] numbers = new int[Frame.NUMBERS];
  private ByteBuffer labels = ByteBuffer.allocateDirect(0);
  private FloatBuffer copied;

  private boolean running;  // with closed and freed under the object's lock
  private boolean closed;
  private boolean freed;

  /** Of the library, "0.2.0". */
  public static String getVersion() {
    return Native.text(Native.version());
  }

  public static Voxshift open(File model) {
    return open(model, new Options());
  }

  /** model: a voxshift model, a .safetensors file. */
  public static Voxshift open(File model, Options options) {
    if (model == null) throw new IllegalArgumentException("[open] expects a file, found null");
    byte[] path = model.getPath().getBytes(StandardCharsets.UTF_8);
    for (byte character : path)
      if (character == 0) throw new IllegalArgumentException("[open] expects a path without zeros");
    long[] handle = new long[1];
    Native.check(Native.loadFile(Arrays.copyOf(path, path.length + 1), handle));
    return of(handle[0], options);
  }

  public static Voxshift open(ByteBuffer model) {
    return open(model, new Options());
  }

  /**
   * model: the bytes of such a file from position to limit, an asset that is mapped, say; they are copied. A buffer on
   * Java's heap is copied twice.
   */
  public static Voxshift open(ByteBuffer model, Options options) {
    if (model == null) throw new IllegalArgumentException("[open] expects a buffer, found null");
    ByteBuffer bytes = model.duplicate();
    if (!bytes.isDirect()) {
      bytes = ByteBuffer.allocateDirect(model.remaining());
      bytes.put(model.duplicate()).flip();
    }
    long[] handle = new long[1];
    Native.check(Native.loadMemory(bytes, bytes.position(), bytes.remaining(), handle));
    return of(handle[0], options);
  }

  public static Voxshift open(byte[] model) {
    return open(model, new Options());
  }

  public static Voxshift open(byte[] model, Options options) {
    if (model == null) throw new IllegalArgumentException("[open] expects bytes, found null");
    return open(ByteBuffer.wrap(model), options);
  }

  /** What is open keeps the model: its handle is closed here. */
  private static Voxshift of(long model, Options options) {
    try {
      if (options == null) throw new IllegalArgumentException("[open] expects options, found null");
      return new Voxshift(model, options);
    } finally {
      Native.closeModel(model);
    }
  }

  private Voxshift(long model, Options options) {
    int[] info = new int[5];
    Native.check(Native.info(model, info));
    task = info[0];
    columns = info[2];
    frameHeight = info[3];
    frameWidth = info[4];
    architecture = Native.text(Native.architecture(model));
    classes = new String[info[1]];
    for (int i = 0; i < classes.length; ++i) classes[i] = Native.text(Native.className(model, i));

    long[] handle = new long[1];
    if (task == RECOGNIZE) {
      Native.check(Native.openStream(model, options.threads, options.dtype.ordinal(), options.skip.ordinal(),
          options.threshold, options.keyFrameInterval, handle));
    } else {
      Native.check(Native.openSession(model, options.threads, options.dtype.ordinal(), handle));
    }
    stream = task == RECOGNIZE ? handle[0] : 0;
    session = task == RECOGNIZE ? 0 : handle[0];
  }

  /** "tsm-mobilenetv2", "minkunet". */
  public String getArchitecture() {
    return architecture;
  }

  /** The names of the classes, a copy. */
  public String[] getClassNames() {
    return classes.clone();
  }

  /** Columns of points that the model makes use of, x y z and more; 0 where it takes none. */
  public int getColumns() {
    return columns;
  }

  /** Of a frame as the network sees it; 0 where it takes none. */
  public int getFrameHeight() {
    return frameHeight;
  }

  public int getFrameWidth() {
    return frameWidth;
  }

  /** Recognises the next frame, into a new object. */
  public Result push(Frame frame) {
    return push(frame, new Result());
  }

  /**
   * Recognises the next frame: it is turned upright, its shorter side is scaled to what the model wants, and the middle
   * is cut out. Gives result. A frame that cannot be taken leaves all as it was. After the first frame of a size
   * nothing is allocated where frame and result are those of the frame before.
   */
  public Result push(Frame frame, Result result) {
    if (frame == null || result == null)
      throw new IllegalArgumentException("[push] expects a frame and a result, found null");
    begin("push", RECOGNIZE, "frames");
    try {
      frame.write(planes, numbers);
      result.prepare(classes.length);
      Native.check(Native.push(stream, planes, numbers, result.counts, result.scores, result.logits));
      result.names = classes;
      return result;
    } finally {
      end();
    }
  }

  /** Forgets all frames, as before a new video. */
  public void reset() {
    begin("reset", RECOGNIZE, "frames");
    try {
      Native.check(Native.reset(stream));
    } finally {
      end();
    }
  }

  /** The same of an array. */
  public byte[] segment(float[] points, int columnsOfPoints) {
    if (points == null) throw new IllegalArgumentException("[segment] expects points, found null");
    begin("segment", SEGMENT, "points to label");
    try {
      return labelled(direct(points), columnsOfPoints);
    } finally {
      end();
    }
  }

  /**
   * Labels points [count, columns], row by row: x, y, z in metres, remission and what else the model wants; missing
   * columns count as 0. points: a direct buffer in the machine's byte order, from position to limit. Gives [count]
   * labels as unsigned bytes, the class, or 255 for a point that was dropped: not finite, or out of range.
   */
  public byte[] segment(FloatBuffer points, int columnsOfPoints) {
    begin("segment", SEGMENT, "points to label");
    try {
      return labelled(points, columnsOfPoints);
    } finally {
      end();
    }
  }

  /** The same of an array. */
  public Boxes detect(float[] points, int columnsOfPoints) {
    if (points == null) throw new IllegalArgumentException("[detect] expects points, found null");
    begin("detect", DETECT, "points to find boxes in");
    try {
      return found(direct(points), columnsOfPoints);
    } finally {
      end();
    }
  }

  /** Finds boxes in points, as segment takes them. */
  public Boxes detect(FloatBuffer points, int columnsOfPoints) {
    begin("detect", DETECT, "points to find boxes in");
    try {
      return found(points, columnsOfPoints);
    } finally {
      end();
    }
  }

  /** Frees what the library holds, at once or when the call that is running has ended. A second time does nothing. */
  @Override
  public synchronized void close() {
    closed = true;
    if (!running) free();
  }

  private byte[] labelled(FloatBuffer points, int columnsOfPoints) {
    int count = count("segment", points, columnsOfPoints);
    if (labels.capacity() < count) labels = ByteBuffer.allocateDirect(count);
    Native.check(Native.segment(session, points, points.position(), count, columnsOfPoints, labels));
    byte[] given = new byte[count];
    labels.clear();
    labels.get(given);
    return given;
  }

  private Boxes found(FloatBuffer points, int columnsOfPoints) {
    int count = count("detect", points, columnsOfPoints);
    Object[] given = new Object[3];
    Native.check(Native.detect(session, points, points.position(), count, columnsOfPoints, given));
    return new Boxes((float[]) given[0], (float[]) given[1], (int[]) given[2]);
  }

  private FloatBuffer direct(float[] points) {
    if (copied == null || copied.capacity() < points.length) {
      if (points.length > Integer.MAX_VALUE / Float.BYTES)
        throw new IllegalArgumentException("[points] are more than a buffer can hold, " + points.length);
      ByteBuffer bytes = ByteBuffer.allocateDirect(Float.BYTES * points.length);
      copied = bytes.order(ByteOrder.nativeOrder()).asFloatBuffer();
    }
    copied.clear();
    copied.put(points).flip();
    return copied;
  }

  private static int count(String call, FloatBuffer points, int columns) {
    if (points == null || !points.isDirect() || points.order() != ByteOrder.nativeOrder())
      throw new IllegalArgumentException("[" + call + "] expects a direct buffer in the machine's byte order"
          + " (ByteBuffer.allocateDirect, ByteOrder.nativeOrder), found " + points);
    if (columns < 1 || points.remaining() % columns != 0)
      throw new IllegalArgumentException(
          "[" + call + "] expects points of " + columns + " columns, found " + points.remaining() + " numbers");
    return points.remaining() / columns;
  }

  synchronized void begin(String call, int wanted, String what) {
    if (closed) throw new IllegalStateException("[" + call + "] is called after close()");
    if (running) throw new IllegalStateException("[" + call + "] another thread is running a call on it");
    if (task != wanted)
      throw new IllegalArgumentException(
          "[" + call + "] expects a model that takes " + what + ", found " + architecture);
    running = true;
  }

  synchronized void end() {
    running = false;
    if (closed) free();
  }

  private void free() {
    if (freed) return;
    freed = true;
    if (stream != 0) Native.closeStream(stream);
    if (session != 0) Native.closeSession(session);
  }
}
