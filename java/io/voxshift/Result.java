package io.voxshift;

/**
 * What a frame shows and what it cost. One object may be handed to every {@link Voxshift#push(Frame, Result)}; then it
 * changes with each frame, and another thread is given a copy of what it needs.
 */
public final class Result {
  private static final int LABEL = 0, SKIPPED = 1, KEY_FRAME = 2, DENSE = 3, MACS = 4, DENSE_MACS = 5;
  private static final int CHANGED_PIXELS = 6, SECONDS = 7;

  final long[] counts = new long[8];  // as Native.push gives them
  float[] scores = {};
  float[] logits = {};
  String[] names = {};  // of the classes, once there is a result

  /** Makes room. What a model of other classes has found is lost. */
  void prepare(int classes) {
    if (scores.length == classes) return;
    names = new String[0];
    scores = new float[classes];
    logits = new float[classes];
  }

  /** The class of the highest logit. */
  public int getLabel() {
    return (int) counts[LABEL];
  }

  /** Its name; "" before the first frame. */
  public String getName() {
    return names.length == 0 ? "" : names[getLabel()];
  }

  /** Its score, 0 to 1; 0 before the first frame. */
  public float getScore() {
    return names.length == 0 ? 0 : scores[getLabel()];
  }

  /** [classes], the softmax of the logits; the object's own array. */
  public float[] getScores() {
    return scores;
  }

  /** [classes]; the object's own array. */
  public float[] getLogits() {
    return logits;
  }

  /** Whether the frame was like the last one, whose result this is. */
  public boolean isSkipped() {
    return counts[SKIPPED] != 0;
  }

  /** Whether it was computed whole, as the first frame and after a cut. */
  public boolean isKeyFrame() {
    return counts[KEY_FRAME] != 0;
  }

  /** Whether all its pixels were computed. */
  public boolean isDense() {
    return counts[DENSE] != 0;
  }

  /** Multiply-adds that were done. */
  public long getMacs() {
    return counts[MACS];
  }

  /** Multiply-adds of a whole frame. */
  public long getDenseMacs() {
    return counts[DENSE_MACS];
  }

  public long getChangedPixels() {
    return counts[CHANGED_PIXELS];
  }

  /** Conversion, scaling and network. */
  public double getSeconds() {
    return Double.longBitsToDouble(counts[SECONDS]);
  }
}
