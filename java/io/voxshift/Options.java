package io.voxshift;

/** How a model is run. Each method gives the object itself. */
public final class Options {
  /** Of features and weights, as voxshift_dtype has them. */
  public enum DType {
    /** I8 of a model that is quantized, else F32. */
    AUTO,
    F32,
    F16,
    BF16,
    I8
  }

  /** What may be left out of a frame, as voxshift_skip has it. */
  public enum Skip {
    /** Nothing. */
    OFF,
    /** What did not change at all: the same bits as OFF. */
    EXACT,
    /** What changed by at most the threshold. */
    THRESHOLD,
    /** By the thresholds that the model was calibrated with, and whole frames like the last one. */
    AUTO
  }

  int threads = 0;
  DType dtype = DType.AUTO;
  Skip skip = Skip.OFF;
  float threshold = 0;
  int keyFrameInterval = 0;

  /** 0, as at first: one for each core. */
  public Options threads(int count) {
    threads = count;
    return this;
  }

  public Options dtype(DType wanted) {
    if (wanted == null) throw new IllegalArgumentException("[dtype] expects one, found null");
    dtype = wanted;
    return this;
  }

  /** Of frames. */
  public Options skip(Skip wanted) {
    if (wanted == null) throw new IllegalArgumentException("[skip] expects one, found null");
    skip = wanted;
    return this;
  }

  /** Skip.THRESHOLD with this one. */
  public Options threshold(float most) {
    skip = Skip.THRESHOLD;
    threshold = most;
    return this;
  }

  /** Every so many frames one is computed whole; 0, as at first: only where needed. */
  public Options keyFrameInterval(int frames) {
    keyFrameInterval = frames;
    return this;
  }
}
