package io.voxshift;

/**
 * A model or this machine is not what a call needs: a file that cannot be read, bytes that are no model, a dtype or a
 * part that the build has not, memory that is not there. The message is the library's. What a caller did wrong is an
 * IllegalArgumentException or IllegalStateException instead.
 */
public final class VoxshiftException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int status;

  VoxshiftException(int status, String text) {
    super(text);
    this.status = status;
  }

  /**
   * The voxshift_status of c_api.h: 2 for bytes or a file, 3 for memory, 4 for what is not there, 7 for a fault of the
   * library.
   */
  public int getStatus() {
    return status;
  }
}
