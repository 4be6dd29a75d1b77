package io.voxshift;

import static io.voxshift.Cases.*;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;

/** The classes give what the C interface gives, and no use of them ends the program: VoxshiftTest MODELS RESULTS. */
public final class VoxshiftTest {
  public static void main(String[] args) throws Exception {
    models = args[0];
    results = args[1];
    Test[] tests = {
        VoxshiftTest::modelsSayWhatTheyAre,
        VoxshiftTest::framesGiveWhatTheyGiveInC,
        VoxshiftTest::planesWithStridesAreTheSamePicture,
        VoxshiftTest::packedRowsMayHaveGaps,
        VoxshiftTest::modelsComeFromMemory,
        VoxshiftTest::resetForgetsFrames,
        VoxshiftTest::pointsGiveWhatTheyGiveInC,
        VoxshiftTest::optionsReachTheLibrary,
        VoxshiftTest::errorsCarryTheText,
        VoxshiftTest::wrongFramesChangeNothing,
        VoxshiftTest::wrongPointsAreNamed,
        VoxshiftTest::nothingIsCalledAfterClose,
        VoxshiftTest::oneThreadAtATime,
        VoxshiftTest::closeMayComeWhileACallRuns,
        VoxshiftTest::whatIsNotClosedOnlyLeaks,
        VoxshiftTest::framesAllocateNothing,
    };
    for (Test test : tests) test.run();
    System.out.println(tests.length + " tests passed");
  }

  // -- Tests

  private static void modelsSayWhatTheyAre() {
    try (Voxshift video = openVideo(); Voxshift points = Voxshift.open(model("minkunet-lidar"))) {
      expect(Voxshift.getVersion().matches("\\d+\\.\\d+\\.\\d+.*"), Voxshift.getVersion());
      expectEqual(video.getArchitecture(), "tsm-mobilenetv2");
      expectEqual(video.getFrameHeight(), 128);
      expectEqual(video.getFrameWidth(), 128);
      expectEqual(video.getColumns(), 0);
      expectEqual(points.getArchitecture(), "minkunet");
      expectEqual(points.getColumns(), 4);
      expect(Arrays.asList(points.getClassNames()).contains("road"), "no road");
      points.getClassNames()[0] = "changed";
      expect(!points.getClassNames()[0].equals("changed"), "the names are shared");
    }
  }

  private static void framesGiveWhatTheyGiveInC() throws Exception {
    byte[][] clip = new byte[FRAMES][], noisy = new byte[FRAMES][];
    for (int t = 0; t < FRAMES; ++t) {
      clip[t] = nv21(t);
      noisy[t] = withNoise(clip[t], t);
    }
    compareWithC(clip, 0, Options.Skip.OFF);
    compareWithC(clip, 90, Options.Skip.AUTO);
    // Where everything changes, a frame that is no key frame is computed whole, too.
    List<String> lines = compareWithC(noisy, 0, Options.Skip.EXACT);
    expect(lines.stream().anyMatch(line -> line.split(" ")[1].equals("001")), "skipped, key, dense: " + lines);
  }

  private static List<String> compareWithC(byte[][] clip, int rotation, Options.Skip skip) throws Exception {
    byte[] all = new byte[0];
    for (byte[] pixels : clip) all = joined(all, pixels);
    List<String> expected = inC(all, "tsm-mobilenetv2-motions", Frame.Format.NV21, rotation, skip);
    Options options = new Options().threads(1).skip(skip);
    try (Voxshift voxshift = Voxshift.open(model("tsm-mobilenetv2-motions"), options)) {
      Frame frame = new Frame().rotation(rotation);
      for (int t = 0; t < clip.length; ++t) {
        long start = System.nanoTime();
        Result found = voxshift.push(frame.semiplanar(Frame.Format.NV21, direct(clip[t]), WIDTH, HEIGHT));
        double whole = 1e-9 * (System.nanoTime() - start);
        expectEqual(line(found), expected.get(t));
        expectEqual(found.getName(), voxshift.getClassNames()[found.getLabel()]);
        checkScores(found);
        expect(found.getSeconds() > 1e-7 && found.getSeconds() <= whole, found.getSeconds() + " s of " + whole);
      }
    }
    return expected;
  }

  private static void planesWithStridesAreTheSamePicture() {
    int rowStride = 192, chromaStride = 200;
    try (Voxshift one = openVideo(); Voxshift other = openVideo()) {
      for (int t = 0; t < FRAMES; ++t) {
        byte[] pixels = nv21(t);
        byte[] y = new byte[rowStride * (HEIGHT - 1) + WIDTH];
        for (int row = 0; row < HEIGHT; ++row) System.arraycopy(pixels, row * WIDTH, y, row * rowStride, WIDTH);
        // As a camera has them: V and U in turn, so that U's buffer begins a byte later, and the last V has no U to
        // follow.
        byte[] vu = new byte[chromaStride * (HALF_HEIGHT - 1) + 2 * HALF_WIDTH];
        for (int row = 0; row < HALF_HEIGHT; ++row)
          System.arraycopy(pixels, LUMA + row * 2 * HALF_WIDTH, vu, row * chromaStride, 2 * HALF_WIDTH);
        ByteBuffer u = direct(vu), v = direct(vu);
        u.position(1);
        v.limit(vu.length - 1);
        Frame planes = new Frame().yuv420(WIDTH, HEIGHT, direct(y), rowStride, u, v, chromaStride, 2);
        Frame frame = new Frame().semiplanar(Frame.Format.NV21, direct(pixels), WIDTH, HEIGHT);
        expectEqual(line(other.push(planes.rotation(270))), line(one.push(frame.rotation(270))));
        expectEqual(u.position(), 1);
      }
      Frame limited = new Frame().semiplanar(Frame.Format.NV21, direct(nv21(3)), WIDTH, HEIGHT);
      Result full = one.push(limited.colours(Frame.Colours.BT601_FULL));
      expect(!line(full).equals(line(other.push(limited.colours(Frame.Colours.BT601)))), "colours change nothing");
    }
  }

  private static void packedRowsMayHaveGaps() throws Exception {
    byte[] all = new byte[0];
    for (int t = 0; t < FRAMES; ++t) all = joined(all, rgba(t, 4 * WIDTH));
    List<String> expected = inC(all, "tsm-mobilenetv2-motions", Frame.Format.RGBA, 180, Options.Skip.OFF);
    int gap = 4 * WIDTH + 37, before = 11;
    try (Voxshift voxshift = openVideo()) {
      for (int t = 0; t < FRAMES; ++t) {
        ByteBuffer pixels = direct(joined(new byte[before], rgba(t, gap)));
        pixels.position(before);
        Frame frame = new Frame().packed(Frame.Format.RGBA, pixels.asReadOnlyBuffer(), WIDTH, HEIGHT, gap);
        expectEqual(line(voxshift.push(frame.rotation(180))), expected.get(t));
      }
    }
  }

  private static void modelsComeFromMemory() throws IOException {
    byte[] bytes = Files.readAllBytes(model("tsm-mobilenetv2-motions").toPath());
    ByteBuffer asset = direct(joined(new byte[3], bytes));
    asset.position(3);
    try (Voxshift file = openVideo(); Voxshift array = Voxshift.open(bytes, new Options().threads(1));
         Voxshift buffer = Voxshift.open(asset, new Options().threads(1))) {
      Arrays.fill(bytes, (byte) 0);
      expectEqual(asset.position(), 3);
      String expected = line(file.push(frame(0)));
      expectEqual(line(array.push(frame(0))), expected);
      expectEqual(line(buffer.push(frame(0))), expected);
    }
  }

  private static void resetForgetsFrames() {
    try (Voxshift voxshift = openVideo()) {
      Result result = new Result();
      expectEqual(result.getName(), "");
      expectEqual(result.getScore(), 0f);
      String first = line(voxshift.push(frame(0), result));
      String second = line(voxshift.push(frame(0), result));
      voxshift.reset();
      expectEqual(line(voxshift.push(frame(0), result)), first);
      expect(result.isKeyFrame() && result.isDense(), "the first frame is computed whole");
      expect(!first.equals(second), "the frame before has no influence");
    }
  }

  private static void pointsGiveWhatTheyGiveInC() throws Exception {
    float[] points = street(3000);
    ByteBuffer bytes = ByteBuffer.allocateDirect(Float.BYTES * points.length + 8).order(ByteOrder.nativeOrder());
    bytes.position(8);
    FloatBuffer direct = bytes.slice().order(ByteOrder.nativeOrder()).asFloatBuffer();
    direct.put(points).flip();
    byte[] raw = new byte[Float.BYTES * points.length];
    bytes.get(raw);
    try (Voxshift labels = Voxshift.open(model("minkunet-lidar"), new Options().threads(1));
         Voxshift boxes = Voxshift.open(model("centerpoint-lidar"), new Options().threads(1))) {
      List<String> expected = run(raw, results, model("minkunet-lidar").getPath());
      StringBuilder found = new StringBuilder();
      byte[] given = labels.segment(points, 4);
      for (byte label : given) found.append(label & 0xff).append('\n');
      expectEqual(found.toString(), String.join("\n", expected) + "\n");
      expect(Arrays.equals(labels.segment(direct, 4), given), "array and buffer differ");
      direct.position(400);
      byte[] rest = labels.segment(Arrays.copyOfRange(points, 400, points.length), 4);
      expect(Arrays.equals(labels.segment(direct, 4), rest), "not from the buffer's position");
      Boxes few = boxes.detect(Arrays.copyOfRange(points, 400, points.length), 4);
      expectEqual(lines(boxes.detect(direct, 4)), lines(few));
      expectEqual(direct.position(), 400);
      direct.position(0);

      Boxes some = boxes.detect(points, 4);
      expectEqual(lines(some), run(raw, results, model("centerpoint-lidar").getPath()));
      expect(some.getCount() > 0, "no boxes to compare");
      expectEqual(lines(boxes.detect(direct, 4)), lines(some));
      expectEqual(boxes.detect(new float[0], 4).getCount(), 0);
    }
  }

  private static void optionsReachTheLibrary() {
    File model = model("tsm-mobilenetv2-motions");
    float[][] logits = new float[2][];
    for (int i = 0; i < 2; ++i) {
      Options.DType dtype = i == 0 ? Options.DType.F32 : Options.DType.BF16;
      try (Voxshift exact = Voxshift.open(model, new Options().threads(1).dtype(dtype).skip(Options.Skip.EXACT));
           Voxshift off = Voxshift.open(model, new Options().dtype(dtype).threads(2))) {
        for (int t = 0; t < 3; ++t) {
          Result some = exact.push(frame(t)), all = off.push(frame(t));
          expect(Arrays.equals(some.getLogits(), all.getLogits()), dtype + ": exact differs from off");
          logits[i] = all.getLogits();
        }
      }
    }
    expect(!Arrays.equals(logits[0], logits[1]), "bf16 has the bits of f32");
    try (Voxshift coarse = Voxshift.open(model, new Options().threads(1).threshold(1e9f).keyFrameInterval(3));
         Voxshift fine = Voxshift.open(model, new Options().threads(1).threshold(1e-6f))) {
      boolean[] key = new boolean[6];
      for (int t = 0; t < key.length; ++t) key[t] = coarse.push(frame(0)).isKeyFrame();
      expect(Arrays.equals(key, new boolean[] {true, false, false, true, false, false}), Arrays.toString(key));
      fine.push(frame(0));
      expectEqual(coarse.push(frame(0)).isKeyFrame(), true);
      expectEqual(coarse.push(frame(1)).getChangedPixels(), 0L);
      expect(fine.push(frame(1)).getChangedPixels() > 0, "no pixel changed");
    }
    float[] points = street(1000);
    File detector = model("centerpoint-lidar");
    try (Voxshift exact = Voxshift.open(detector, new Options().threads(1));
         Voxshift narrow = Voxshift.open(detector, new Options().threads(1).dtype(Options.DType.BF16))) {
      expect(!lines(exact.detect(points, 4)).equals(lines(narrow.detect(points, 4))), "bf16 has the boxes of f32");
    }
    for (File some : new File[] {model, detector})
      expectThrows(IllegalArgumentException.class, "threads", () -> Voxshift.open(some, new Options().threads(-1)));
    expectThrows(IllegalArgumentException.class, "null", () -> new Options().skip(null));
    expectThrows(IllegalArgumentException.class, "null", () -> new Options().dtype(null));
    expectThrows(IllegalArgumentException.class, "null", () -> Voxshift.open(model, null));
  }

  private static void errorsCarryTheText() {
    VoxshiftException missing = expectThrows(VoxshiftException.class,
        "/no/such/fich\u00e9 \ud83d\ude00: ", () -> Voxshift.open(new File("/no/such/fich\u00e9 \ud83d\ude00")));
    expectEqual(missing.getStatus(), 2);
    expectThrows(VoxshiftException.class, "memory: has 2 bytes", () -> Voxshift.open(new byte[] {80, 75}));
    expectThrows(VoxshiftException.class, "memory: ", () -> Voxshift.open(ByteBuffer.allocateDirect(0)));
    expectThrows(IllegalArgumentException.class, "zeros", () -> Voxshift.open(new File("a\0b")));
    expectThrows(IllegalArgumentException.class, "null", () -> Voxshift.open((File) null));
    expectThrows(IllegalArgumentException.class, "null", () -> Voxshift.open((byte[]) null));
    expectThrows(IllegalArgumentException.class, "null", () -> Voxshift.open((ByteBuffer) null));
    expectThrows(IllegalArgumentException.class, "", () -> Native.check(1));
    expectThrows(IllegalStateException.class, "", () -> Native.check(6));
    expectEqual(expectThrows(VoxshiftException.class, "", () -> Native.check(4)).getStatus(), 4);
  }

  private static void wrongFramesChangeNothing() {
    try (Voxshift voxshift = openVideo(); Voxshift unharmed = openVideo()) {
      Result result = new Result();
      voxshift.push(frame(0), result);
      unharmed.push(frame(0));
      String before = line(result);
      ByteBuffer pixels = direct(nv21(1));
      Frame frame = new Frame();
      refused(voxshift, result, "direct", frame.packed(Frame.Format.RGB, ByteBuffer.allocate(1 << 16), 20, 20));
      refused(voxshift, result, "bytes", frame.packed(Frame.Format.RGBA, pixels, WIDTH, HEIGHT));
      refused(voxshift, result, "bytes", frame.packed(Frame.Format.RGB, ByteBuffer.allocateDirect(0), 20, 20));
      refused(voxshift, result, "", frame.packed(Frame.Format.RGB, null, 20, 20));
      refused(voxshift, result, "", frame.packed(Frame.Format.RGB, pixels, 20, 20, -60));
      refused(voxshift, result, "", frame.packed(Frame.Format.RGB, pixels, 20, 20, 59));
      refused(voxshift, result, "", frame.packed(Frame.Format.RGB, pixels, -20, 20));
      refused(voxshift, result, "", frame.semiplanar(Frame.Format.NV21, pixels, WIDTH, HEIGHT + 2));
      refused(voxshift, result, "", frame.semiplanar(Frame.Format.NV21, pixels, 1 << 30, 1 << 30));
      refused(voxshift, result, "", frame.semiplanar(Frame.Format.NV21, pixels, -WIDTH, HEIGHT));
      refused(voxshift, result, "", frame.yuv420(WIDTH, HEIGHT, pixels, 0, pixels, null, 0, 1));
      refused(voxshift, result, "", frame.yuv420(WIDTH, HEIGHT, pixels, 1 << 30, pixels, pixels, 1 << 30, 1 << 30));
      refused(voxshift, result, "", new Frame());
      refused(voxshift, result, "null", null);
      Frame turned = new Frame().rotation(45);
      refused(voxshift, result, "rotation", turned.semiplanar(Frame.Format.NV21, pixels, WIDTH, HEIGHT));
      pixels.limit(LUMA + CHROMA - 1);
      refused(voxshift, result, "", frame.semiplanar(Frame.Format.NV21, pixels, WIDTH, HEIGHT));
      expectThrows(IllegalArgumentException.class, "null", () -> voxshift.push(frame(1), null));
      expectThrows(IllegalArgumentException.class, "NV21", () -> new Frame().packed(Frame.Format.NV21, pixels, 2, 2));
      expectThrows(IllegalArgumentException.class, "RGB", () -> new Frame().semiplanar(Frame.Format.RGB, pixels, 2, 2));
      expectThrows(IllegalArgumentException.class, "null", () -> new Frame().colours(null));
      expectThrows(IllegalArgumentException.class, "takes points", () -> voxshift.segment(new float[4], 4));
      expectEqual(line(result), before);
      expectEqual(line(voxshift.push(frame(1))), line(unharmed.push(frame(1))));
    }
  }

  private static void wrongPointsAreNamed() {
    try (Voxshift voxshift = Voxshift.open(model("minkunet-lidar"))) {
      FloatBuffer wrongOrder = ByteBuffer.allocateDirect(64).order(opposite()).asFloatBuffer();
      expectThrows(IllegalArgumentException.class, "byte order", () -> voxshift.segment(wrongOrder, 4));
      expectThrows(IllegalArgumentException.class, "direct", () -> voxshift.segment(FloatBuffer.allocate(8), 4));
      expectThrows(IllegalArgumentException.class, "null", () -> voxshift.segment((FloatBuffer) null, 4));
      expectThrows(IllegalArgumentException.class, "null", () -> voxshift.segment((float[]) null, 4));
      expectThrows(IllegalArgumentException.class, "found 9 numbers", () -> voxshift.segment(new float[9], 4));
      expectThrows(IllegalArgumentException.class, "columns", () -> voxshift.segment(new float[8], 0));
      expectThrows(IllegalArgumentException.class, "columns expects", () -> voxshift.segment(new float[8], 2));
      expectThrows(IllegalArgumentException.class, "find boxes", () -> voxshift.detect(new float[8], 4));
      expectThrows(IllegalArgumentException.class, "takes frames", () -> voxshift.push(frame(0)));
      expectThrows(IllegalArgumentException.class, "takes frames", voxshift::reset);
    }
  }

  private static void nothingIsCalledAfterClose() {
    Voxshift video = openVideo();
    Result result = video.push(frame(0));
    video.close();
    expectEqual(Native.closeStream(video.stream), Native.INVALID_ARGUMENT);
    video.close();
    expectThrows(IllegalStateException.class, "after close", () -> video.push(frame(0)));
    expectThrows(IllegalStateException.class, "after close", () -> video.push(frame(0), result));
    expectThrows(IllegalStateException.class, "after close", video::reset);
    expectThrows(IllegalStateException.class, "after close", () -> video.segment(new float[4], 4));
    expectThrows(IllegalStateException.class, "after close", () -> video.detect(new float[4], 4));
    expectEqual(video.getArchitecture(), "tsm-mobilenetv2");
    expectEqual(result.getScores().length, video.getClassNames().length);
    Voxshift points = Voxshift.open(model("minkunet-lidar"));
    points.close();
    expectEqual(Native.closeSession(points.session), Native.INVALID_ARGUMENT);
    expectThrows(IllegalStateException.class, "after close", () -> points.segment(new float[4], 4));
    // Below the classes, too.
    expectEqual(Native.reset(0), Native.INVALID_ARGUMENT);
    expectEqual(Native.closeStream(12345), Native.INVALID_ARGUMENT);
    expect(Native.className(-1, 0) == null && Native.architecture(77) == null, "names of no model");
  }

  private static void oneThreadAtATime() throws Exception {
    try (Voxshift voxshift = openVideo()) {
      voxshift.begin("push", 3, "frames");  // as a call of another thread does
      inThread(() -> expectThrows(IllegalStateException.class, "another thread", () -> voxshift.push(frame(0)))).get();
      expectThrows(IllegalStateException.class, "another thread", voxshift::reset);
      voxshift.end();
      voxshift.push(frame(0));

      List<FutureTask<Integer>> pushing = new ArrayList<>();
      for (int i = 0; i < 3; ++i) pushing.add(inThread(() -> pushed(voxshift, 60)));
      int served = 0;
      for (FutureTask<Integer> thread : pushing) served += thread.get();
      expect(served > 0, "no thread was served");
    }
  }

  private static void closeMayComeWhileACallRuns() throws Exception {
    for (int round = 0; round < 5; ++round) {
      Voxshift voxshift = openVideo();
      CountDownLatch started = new CountDownLatch(1);
      FutureTask<Integer> pushing = inThread(() -> {
        Result result = new Result();
        for (int n = 0;; ++n) {
          try {
            checkScores(voxshift.push(frame(n % FRAMES), result));
          } catch (IllegalStateException closed) {
            expect(closed.getMessage().contains("after close"), closed.getMessage());
            return n;
          } finally {
            started.countDown();
          }
        }
      });
      started.await();
      voxshift.close();
      expect(pushing.get() > 0, "nothing was pushed before close");
    }
    // For certain in the middle of one: memory goes when that ends.
    Voxshift voxshift = openVideo();
    voxshift.begin("push", 3, "frames");
    voxshift.close();
    expectEqual(Native.reset(voxshift.stream), Native.OK);
    voxshift.end();
    expectEqual(Native.reset(voxshift.stream), Native.INVALID_ARGUMENT);
    voxshift.close();
    expectThrows(IllegalStateException.class, "after close", voxshift::reset);
  }

  private static void whatIsNotClosedOnlyLeaks() {
    for (int i = 0; i < 10; ++i) openVideo().push(frame(i % FRAMES));
    System.gc();
    try (Voxshift voxshift = openVideo()) {
      voxshift.push(frame(0));
    }
  }

  private static void framesAllocateNothing() {
    com.sun.management.ThreadMXBean threads =
        (com.sun.management.ThreadMXBean) java.lang.management.ManagementFactory.getThreadMXBean();
    long self = Thread.currentThread().getId();
    try (Voxshift voxshift = openVideo()) {
      Frame frame = new Frame();
      Result result = new Result();
      ByteBuffer pixels = direct(nv21(0));
      long most = 0;
      for (int t = 0; t < 6; ++t) {
        long before = threads.getThreadAllocatedBytes(self);
        voxshift.push(frame.semiplanar(Frame.Format.NV21, pixels, WIDTH, HEIGHT), result);
        long allocated = threads.getThreadAllocatedBytes(self) - before;
        if (t > 1) most = Math.max(most, allocated);
      }
      expectEqual(most, 0L);
    }
  }
}
