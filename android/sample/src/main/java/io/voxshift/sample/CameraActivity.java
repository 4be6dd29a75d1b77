package io.voxshift.sample;

import android.Manifest;
import android.content.res.AssetFileDescriptor;
import android.os.Bundle;
import android.widget.TextView;
import androidx.activity.ComponentActivity;
import androidx.activity.result.contract.ActivityResultContracts;
import androidx.camera.core.CameraSelector;
import androidx.camera.core.ImageAnalysis;
import androidx.camera.core.ImageProxy;
import androidx.camera.lifecycle.ProcessCameraProvider;
import androidx.core.content.ContextCompat;
import com.google.common.util.concurrent.ListenableFuture;
import io.voxshift.Frame;
import io.voxshift.Options;
import io.voxshift.Result;
import io.voxshift.Voxshift;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.Locale;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Shows what the camera sees, in words. Not compiled so far: no Android SDK was at hand. */
public final class CameraActivity extends ComponentActivity {
  private final ExecutorService worker = Executors.newSingleThreadExecutor();  // the only thread that uses the model
  private final ImageAnalysis analysis =
      new ImageAnalysis.Builder().setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST).build();
  private final Frame frame = new Frame();
  private final Result result = new Result();
  private Voxshift voxshift;
  private TextView text;

  @Override
  protected void onCreate(Bundle state) {
    super.onCreate(state);
    text = new TextView(this);
    setContentView(text);
    try {
      voxshift = Voxshift.open(asset("tsm-mobilenetv2-motions.safetensors"), new Options().skip(Options.Skip.AUTO));
    } catch (IOException | RuntimeException error) {
      text.setText(error.getMessage());
      return;
    }
    registerForActivityResult(new ActivityResultContracts.RequestPermission(), this::start)
        .launch(Manifest.permission.CAMERA);
  }

  @Override
  protected void onDestroy() {
    analysis.clearAnalyzer();
    if (voxshift != null) voxshift.close();
    worker.shutdown();
    super.onDestroy();
  }

  private void start(boolean allowed) {
    if (!allowed) {
      text.setText("No camera");
      return;
    }
    analysis.setAnalyzer(worker, this::recognise);
    ListenableFuture<ProcessCameraProvider> provider = ProcessCameraProvider.getInstance(this);
    provider.addListener(() -> {
      try {
        provider.get().bindToLifecycle(this, CameraSelector.DEFAULT_BACK_CAMERA, analysis);
      } catch (ExecutionException | InterruptedException | IllegalArgumentException error) {
        text.setText(error.getMessage());
      }
    }, ContextCompat.getMainExecutor(this));
  }

  private void recognise(ImageProxy given) {
    try (ImageProxy image = given) {
      ImageProxy.PlaneProxy[] p = image.getPlanes();
      frame
          .yuv420(image.getWidth(), image.getHeight(), p[0].getBuffer(), p[0].getRowStride(), p[1].getBuffer(),
              p[2].getBuffer(), p[1].getRowStride(), p[1].getPixelStride())
          .rotation(image.getImageInfo().getRotationDegrees());
      voxshift.push(frame, result);
      String line = String.format(
          Locale.ROOT, "%s %.2f, %.1f ms", result.getName(), result.getScore(), 1e3 * result.getSeconds());
      runOnUiThread(() -> text.setText(line));
    } catch (IllegalStateException closed) {
      // The activity is gone: the last frame came after onDestroy.
    }
  }

  /** A file of the assets, mapped: build.gradle leaves it uncompressed. */
  private ByteBuffer asset(String name) throws IOException {
    try (AssetFileDescriptor file = getAssets().openFd(name);
         FileInputStream stream = new FileInputStream(file.getFileDescriptor())) {
      return stream.getChannel().map(FileChannel.MapMode.READ_ONLY, file.getStartOffset(), file.getLength());
    }
  }
}
