package io.voxshift;

import java.nio.ByteBuffer;

/**
 * A picture of a camera: direct buffers, whose bytes from position to limit are read and not changed, and how pixels
 * lie in them. One object serves all frames. Nothing is looked at before {@link Voxshift#push(Frame)}, which has to end
 * before the camera may use the buffers again.
 */
public final class Frame {
  /** How pixels lie in memory, as voxshift_pixel_format has them. */
  public enum Format {
    RGB,
    BGR,
    /** The fourth byte is not looked at: Bitmap.Config.ARGB_8888, PixelFormat.RGBA_8888. */
    RGBA,
    BGRA,
    /** Planes Y, and U and V in turn for every 2 x 2 pixels. */
    NV12,
    /** Planes Y, and V and U in turn: android.hardware.Camera. */
    NV21,
    /** Planes Y, U and V with strides of their own: ImageFormat.YUV_420_888. */
    YUV420
  }

  /** What Y, U and V mean, as voxshift_colours has them. */
  public enum Colours {
    /** Y from 16 to 235: most videos. */
    BT601,
    /** Y from 0 to 255: what Android's cameras give. */
    BT601_FULL,
    BT709,
    BT709_FULL
  }

  static final int PLANES = 3, NUMBERS = 5 + 4 * PLANES;

  private final ByteBuffer[] buffers = new ByteBuffer[PLANES];
  private final int[] offsets = new int[PLANES];  // from a buffer's position
  private final int[] bytes = new int[PLANES];  // from there; -1: to the limit
  private final int[] rowStrides = new int[PLANES];
  private final int[] pixelStrides = new int[PLANES];
  private Format format = Format.RGB;
  private Colours colours = Colours.BT601_FULL;
  private int width;
  private int height;
  private int rotation;

  /** A picture of RGB, BGR, RGBA or BGRA whose rows have no gaps. */
  public Frame packed(Format format, ByteBuffer pixels, int width, int height) {
    return packed(format, pixels, width, height, 0);
  }

  /** rowStride: bytes from row to row; 0: as many as a row's pixels take. */
  public Frame packed(Format format, ByteBuffer pixels, int width, int height, int rowStride) {
    if (format != Format.RGB && format != Format.BGR && format != Format.RGBA && format != Format.BGRA)
      throw new IllegalArgumentException("[packed] expects RGB, BGR, RGBA or BGRA, found " + format);
    begin(format, width, height);
    plane(0, pixels, 0, -1, rowStride, 0);
    return this;
  }

  /** A picture of NV21, or NV12, as one buffer without gaps: what a PreviewCallback of android.hardware.Camera gets. */
  public Frame semiplanar(Format format, ByteBuffer pixels, int width, int height) {
    if (format != Format.NV21 && format != Format.NV12)
      throw new IllegalArgumentException("[semiplanar] expects NV21 or NV12, found " + format);
    begin(format, width, height);
    long luma = Math.max(0L, (long) width * height);
    int offset = (int) Math.min(luma, Integer.MAX_VALUE);
    plane(0, pixels, 0, offset, 0, 0);
    plane(1, pixels, offset, -1, 0, 0);
    return this;
  }

  /**
   * The planes of an android.media.Image of YUV_420_888, or of a CameraX ImageProxy: buffer and row stride of Y,
   * buffers of U and V, their row stride and their pixel stride.
   */
  public Frame yuv420(int width, int height, ByteBuffer y, int rowStride, ByteBuffer u, ByteBuffer v,
      int chromaRowStride, int chromaPixelStride) {
    begin(Format.YUV420, width, height);
    plane(0, y, 0, -1, rowStride, 0);
    plane(1, u, 0, -1, chromaRowStride, chromaPixelStride);
    plane(2, v, 0, -1, chromaRowStride, chromaPixelStride);
    return this;
  }

  /** Degrees by which it is turned clockwise to stand upright: 0, 90, 180, 270. Stays for the frames that follow. */
  public Frame rotation(int degrees) {
    rotation = degrees;
    return this;
  }

  /** BT601_FULL at first. Stays for the frames that follow. */
  public Frame colours(Colours meaning) {
    if (meaning == null) throw new IllegalArgumentException("[colours] expects one, found null");
    colours = meaning;
    return this;
  }

  private void begin(Format is, int pixelsWide, int pixelsHigh) {
    format = is;
    width = pixelsWide;
    height = pixelsHigh;
    for (int p = 0; p < PLANES; ++p) plane(p, null, 0, 0, 0, 0);
  }

  private void plane(int p, ByteBuffer buffer, int offset, int count, int rowStride, int pixelStride) {
    buffers[p] = buffer;
    offsets[p] = offset;
    bytes[p] = count;
    rowStrides[p] = rowStride;
    pixelStrides[p] = pixelStride;
  }

  /** Writes itself down as Native.push takes it. */
  void write(ByteBuffer[] planes, int[] numbers) {
    numbers[0] = format.ordinal();
    numbers[1] = width;
    numbers[2] = height;
    numbers[3] = rotation;
    numbers[4] = colours.ordinal();
    for (int p = 0; p < PLANES; ++p) {
      ByteBuffer buffer = buffers[p];
      int position = buffer == null ? 0 : buffer.position();
      int remaining = buffer == null ? 0 : Math.max(0, buffer.limit() - position);
      if (buffer != null && !buffer.isDirect())
        throw new IllegalArgumentException(
            "[push] expects direct buffers (ByteBuffer.allocateDirect), found one on Java's heap in plane " + p);
      int skipped = Math.min(offsets[p], remaining);
      int most = remaining - skipped;
      planes[p] = buffer;
      numbers[5 + 4 * p] = position + skipped;
      numbers[6 + 4 * p] = bytes[p] < 0 ? most : Math.min(bytes[p], most);
      numbers[7 + 4 * p] = rowStrides[p];
      numbers[8 + 4 * p] = pixelStrides[p];
    }
  }
}
