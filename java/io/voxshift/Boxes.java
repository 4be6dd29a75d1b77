package io.voxshift;

/** Boxes that were found in a scan, the best first. */
public final class Boxes {
  private final float[] boxes;
  private final float[] scores;
  private final int[] classes;

  Boxes(float[] boxes, float[] scores, int[] classes) {
    this.boxes = boxes;
    this.scores = scores;
    this.classes = classes;
  }

  public int getCount() {
    return scores.length;
  }

  /**
   * [count * columns]: x y z of the middle, length, width, height in metres, yaw in radians; where there are 9 columns,
   * the velocity along x and y.
   */
  public float[] getBoxes() {
    return boxes;
  }

  /** Of a box, 7 or 9; 0 where there is none. */
  public int getColumns() {
    return scores.length == 0 ? 0 : boxes.length / scores.length;
  }

  /** [count] */
  public float[] getScores() {
    return scores;
  }

  /** [count], indices of {@link Voxshift#getClassNames}. */
  public int[] getClasses() {
    return classes;
  }
}
