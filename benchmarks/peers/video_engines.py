"""Times MobileNetV2 or ResNet50 in ONNX Runtime and OpenVINO on the frame that voxshift's `peer_frames` wrote.

    python video_engines.py time FOLDER THREADS REPEATS    f32 of both, bf16 of OpenVINO: best and median
    python video_engines.py load FOLDER THREADS CALLS      calls one after the other: mean, median and 99th percentile
    python video_engines.py check FOLDER                   their logits against voxshift's

The network is that of FOLDER/model.safetensors, without the temporal shift, batch 1; the time is from the normalised
frame to the logits. Prints one JSON object.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import openvino

from video_onnx import onnx_model

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])  # of the frames, as in training
SIZE = 224
CALLS = 11


def load(folder):
    """The network as a serialised ONNX model, and its input."""
    folder = Path(folder)
    frame = np.fromfile(folder / "frame.u8", np.uint8).reshape(SIZE, SIZE, 3)
    normalised = (frame.astype(np.float32) / 255 - MEAN) / STD
    image = np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])
    return onnx_model(folder / "model.safetensors", SIZE, SIZE), image


def in_onnxruntime(model, image, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": image})[0][0]


def in_openvino(model, image, threads, precision):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    return lambda: request.infer({0: image})[0][0]


# Engine and precision -> what makes a call that gives the logits [classes]. One exists at a time: the threads of some
# spin while they wait.
ENGINES = {
    "onnxruntime f32": in_onnxruntime,
    "openvino f32": partial(in_openvino, precision="f32"),
    "openvino bf16": partial(in_openvino, precision="bf16"),
}


def timing(call, repeats):
    """Milliseconds: best and median of medians of CALLS calls, as voxshift's own."""
    def seconds():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    medians = [float(np.median([seconds() for _ in range(CALLS)])) for _ in range(repeats + 1)][1:]
    return {"best_ms": min(medians) * 1e3, "median_ms": float(np.median(medians)) * 1e3}


def calls(call, count):
    """Milliseconds of `count` calls one after the other, as load_bench's."""
    def milliseconds():
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3

    found = sorted([milliseconds() for _ in range(count + 16)][16:])
    return {"mean_ms": sum(found) / count, "median_ms": found[count // 2], "p99_ms": found[count * 99 // 100]}


def check(folder):
    """Largest difference of the logits from ours, relative to the largest logit."""
    ours = np.fromfile(Path(folder) / "logits.f32", np.float32)
    inputs = load(folder)
    return {name: float(np.abs(make(*inputs, 1)() - ours).max() / np.abs(ours).max()) for name, make in ENGINES.items()}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    what, folder, *rest = sys.argv[1:]
    if what == "time":
        threads, repeats = map(int, rest)
        inputs = load(folder)
        result = {"timings": {name: timing(make(*inputs, threads), repeats) for name, make in ENGINES.items()}}
    elif what == "load":
        threads, count = map(int, rest)
        inputs = load(folder)
        result = {"timings": {name: calls(make(*inputs, threads), count) for name, make in ENGINES.items()
                              if name.endswith("f32")}}
    elif what == "check":
        result = {"different": check(folder)}
    else:
        sys.exit(__doc__)
    versions = {"onnxruntime": onnxruntime.__version__, "openvino": openvino.__version__.split("-")[0]}
    print(json.dumps({"versions": versions, **result}))


if __name__ == "__main__":
    main()
