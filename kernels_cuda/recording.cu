// Recordings of queued work: CUDA graphs.
#include <voxshift/kernels_cuda/recording.h>
#include <voxshift/kernels_cuda/status.h>

namespace voxshift::cuda {
namespace {

// A graph, captured from a stream of its own: what other threads and streams do meanwhile stays outside.
class CudaRecording final : public Recording {
 public:
  CudaRecording(const Context& context, const std::function<void(const Context&)>& work) : device_(context.device) {
    use(device_);
    const Capture capture(context, work);
    check_status(cudaGraphInstantiate(&graph_, capture.graph, 0), "record");
  }
  ~CudaRecording() override { cudaGraphExecDestroy(graph_); }
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;

  void replay() const override {
    use(device_);
    check_status(cudaPeekAtLastError(), "replay");
    check_status(cudaGraphLaunch(graph_, current_stream(device_)), "replay");
    note_queued("replay");
  }

 private:
  struct Capture {
    Capture(const Context& context, const std::function<void(const Context&)>& work) {
      check_status(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "record");
      try {
        check_status(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "record");
        Context recorded = context;
        recorded.stream = stream;
        work(recorded);
        check_status(cudaStreamEndCapture(stream, &graph), "record");
      } catch (...) {
        end();
        throw;
      }
    }
    ~Capture() { end(); }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    void end() noexcept {
      cudaStreamCaptureStatus status{};
      cudaStreamIsCapturing(stream, &status);
      if (status != cudaStreamCaptureStatusNone && cudaStreamEndCapture(stream, &graph) != cudaSuccess)
        cudaGetLastError();  // of what failed the first error is on its way
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaStreamDestroy(stream);
    }

    cudaStream_t stream{};
    cudaGraph_t graph{};
  };

  Device device_;
  cudaGraphExec_t graph_{};
};

}  // namespace

std::unique_ptr<const Recording> record(const Context& context, const std::function<void(const Context&)>& work) {
  return std::make_unique<const CudaRecording>(context, work);
}

}  // namespace voxshift::cuda
