package io.voxshift;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;

/** Frames, points, what the program of results.c makes of them, and expectations. */
final class Cases {
  static final int WIDTH = 161, HEIGHT = 119, FRAMES = 6;
  static final int HALF_WIDTH = (WIDTH + 1) / 2, HALF_HEIGHT = (HEIGHT + 1) / 2;
  static final int LUMA = WIDTH * HEIGHT, CHROMA = 2 * HALF_WIDTH * HALF_HEIGHT;

  static String models;
  static String results;  // the program of results.c

  interface Test {
    void run() throws Exception;
  }

  private Cases() {
  }

  // -- Frames and points

  static Voxshift openVideo() {
    return Voxshift.open(model("tsm-mobilenetv2-motions"), new Options().threads(1));
  }

  static File model(String name) {
    return new File(models, name + ".safetensors");
  }

  /** A bright square that moves over a slope. */
  static int grey(int t, int row, int column) {
    boolean inside = Math.abs(row - 40 - 5 * t) < 20 && Math.abs(column - 50 - 8 * t) < 20;
    return inside ? 230 : (row + column) / 3;
  }

  static byte[] nv21(int t) {
    byte[] pixels = new byte[LUMA + CHROMA];
    for (int i = 0; i < LUMA; ++i) pixels[i] = (byte) grey(t, i / WIDTH, i % WIDTH);
    for (int i = 0; i < CHROMA; ++i) pixels[LUMA + i] = (byte) (128 + i % (2 * HALF_WIDTH) / 4 - (i % 2) * 30);
    return pixels;
  }

  static byte[] withNoise(byte[] pixels, int seed) {
    Random random = new Random(seed);
    byte[] noisy = pixels.clone();
    for (int i = 0; i < LUMA; ++i) noisy[i] = (byte) Math.max(0, (pixels[i] & 0xff) - random.nextInt(16));
    return noisy;
  }

  static byte[] rgba(int t, int rowStride) {
    byte[] pixels = new byte[rowStride * (HEIGHT - 1) + 4 * WIDTH];
    for (int row = 0; row < HEIGHT; ++row)
      for (int i = 0; i < 4 * WIDTH; ++i) pixels[row * rowStride + i] = (byte) (grey(t, row, i / 4) - 20 * (i % 4));
    return pixels;
  }

  static Frame frame(int t) {
    return new Frame().semiplanar(Frame.Format.NV21, direct(nv21(t)), WIDTH, HEIGHT);
  }

  /** A street with boxes on it that have the size of cars. */
  static float[] street(int count) {
    Random random = new Random(7);
    float[] points = new float[4 * count];
    for (int i = 0; i < count; ++i) {
      boolean car = i % 3 == 0;
      int number = i % 4;
      points[4 * i] = car ? 8 + 6 * number + 4 * random.nextFloat() : 40 * random.nextFloat() - 5;
      points[4 * i + 1] = car ? (number % 2 * 2 - 1) * 3 + 1.8f * random.nextFloat() : 20 * random.nextFloat() - 10;
      points[4 * i + 2] = -1.7f + (car ? 1.5f * random.nextFloat() : 0);
      points[4 * i + 3] = random.nextFloat();
    }
    points[4] = Float.NaN;
    return points;
  }

  static ByteBuffer direct(byte[] bytes) {
    ByteBuffer buffer = ByteBuffer.allocateDirect(bytes.length);
    buffer.put(bytes).flip();
    return buffer;
  }

  static byte[] joined(byte[] first, byte[] second) {
    byte[] all = Arrays.copyOf(first, first.length + second.length);
    System.arraycopy(second, 0, all, first.length, second.length);
    return all;
  }

  static ByteOrder opposite() {
    return ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
  }

  // -- What results.c prints

  static List<String> inC(byte[] frames, String model, Frame.Format format, int rotation, Options.Skip skip)
      throws Exception {
    return run(frames, results, model(model).getPath(), "" + format.ordinal(), "" + WIDTH, "" + HEIGHT, "" + rotation,
        "" + skip.ordinal());
  }

  static List<String> run(byte[] input, String... command) throws Exception {
    Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    FutureTask<Integer> writing = inThread(() -> {
      try (OutputStream out = process.getOutputStream()) {
        out.write(input);
      }
      return 0;
    });
    List<String> lines = new ArrayList<>();
    try (BufferedReader reader = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
      for (String line = reader.readLine(); line != null; line = reader.readLine()) lines.add(line);
    }
    writing.get();
    expectEqual(process.waitFor(), 0);
    return lines;
  }

  static String line(Result result) {
    StringBuilder text = new StringBuilder().append(result.getLabel()).append(' ');
    text.append(result.isSkipped() ? 1 : 0).append(result.isKeyFrame() ? 1 : 0).append(result.isDense() ? 1 : 0);
    text.append(' ').append(result.getMacs()).append(' ').append(result.getDenseMacs());
    text.append(' ').append(result.getChangedPixels());
    for (float logit : result.getLogits()) text.append(' ').append(bits(logit));
    return text.toString();
  }

  static List<String> lines(Boxes boxes) {
    List<String> lines = new ArrayList<>();
    lines.add(boxes.getCount() + " " + boxes.getColumns());
    for (int i = 0; i < boxes.getCount(); ++i) {
      StringBuilder text = new StringBuilder();
      text.append(boxes.getClasses()[i]).append(' ').append(bits(boxes.getScores()[i]));
      for (int k = 0; k < boxes.getColumns(); ++k)
        text.append(' ').append(bits(boxes.getBoxes()[boxes.getColumns() * i + k]));
      lines.add(text.toString());
    }
    return lines;
  }

  static String bits(float value) {
    return Integer.toUnsignedString(Float.floatToRawIntBits(value));
  }

  // -- Expectations

  /** Scores are the softmax of the logits. */
  static void checkScores(Result result) {
    double sum = 0, largest = Double.NEGATIVE_INFINITY;
    for (float logit : result.getLogits()) largest = Math.max(largest, logit);
    for (float logit : result.getLogits()) sum += Math.exp(logit - largest);
    for (int k = 0; k < result.getLogits().length; ++k) {
      double expected = Math.exp(result.getLogits()[k] - largest) / sum;
      expect(Math.abs(result.getScores()[k] - expected) < 1e-5, "score " + k + " is " + result.getScores()[k]);
    }
    expectEqual(result.getScore(), result.getScores()[result.getLabel()]);
    expectEqual((double) result.getLogits()[result.getLabel()], largest);
  }

  /** How many of so many frames were served; the others found another thread at it. */
  static int pushed(Voxshift voxshift, int frames) {
    int served = 0;
    for (int n = 0; n < frames; ++n) {
      try {
        checkScores(voxshift.push(frame(n % FRAMES)));
        ++served;
      } catch (IllegalStateException busy) {
        expect(busy.getMessage().contains("another thread"), busy.getMessage());
      }
    }
    return served;
  }

  static void refused(Voxshift voxshift, Result result, String words, Frame frame) {
    expectThrows(IllegalArgumentException.class, words, () -> voxshift.push(frame, result));
  }

  static <T> FutureTask<T> inThread(Callable<T> body) {
    FutureTask<T> task = new FutureTask<>(body);
    new Thread(task).start();
    return task;
  }

  static <T extends Throwable> T expectThrows(Class<T> kind, String words, Test body) {
    try {
      body.run();
    } catch (Throwable thrown) {
      if (thrown.getClass() == kind && String.valueOf(thrown.getMessage()).contains(words)) return kind.cast(thrown);
      throw new AssertionError("expected " + kind.getSimpleName() + " with \"" + words + "\", found " + thrown, thrown);
    }
    throw new AssertionError("expected " + kind.getSimpleName() + " with \"" + words + "\", found none");
  }

  static void expect(boolean condition, String text) {
    if (!condition) throw new AssertionError(text);
  }

  static void expectEqual(Object found, Object expected) {
    if (!found.equals(expected)) throw new AssertionError("found " + found + "\nexpected " + expected);
  }
}
