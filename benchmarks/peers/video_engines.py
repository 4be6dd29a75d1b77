"""Times MobileNetV2 or ResNet50 in ONNX Runtime and OpenVINO on the frame that voxshift's `peer_frames` wrote.

    python video_engines.py time FOLDER THREADS REPEATS    f32 and int8 of both, bf16 of OpenVINO: best and median
    python video_engines.py load FOLDER THREADS CALLS      calls one after the other: mean, median and 99th percentile
    python video_engines.py check FOLDER                   their logits against voxshift's

The network is that of FOLDER/model.safetensors, without the temporal shift, batch 1; the time is from the normalised
frame to the logits. Prints one JSON object. ONEDNN_MAX_CPU_ISA=AVX2 limits OpenVINO's convolutions and products, its
bf16 and ONNX Runtime, which cannot be limited, are left out then.
"""

import json
import os
import re
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
from video_int8 import int8_model
from video_onnx import onnx_model

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])  # of the frames, as in training
SIZE = 224
CALLS = 11


def normalized(frame):
    """u8 [224, 224, 3] as f32 [1, 3, 224, 224]."""
    return np.ascontiguousarray(((frame.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None])


def frames(path):
    return [normalized(frame) for frame in np.fromfile(path, np.uint8).reshape(-1, SIZE, SIZE, 3)]


class Inputs:
    """The network as serialised ONNX models of f32 and, made once for a folder, of int8, and its input."""

    def __init__(self, folder):
        self.folder, self.f32 = Path(folder), onnx_model(Path(folder) / "model.safetensors", SIZE, SIZE)
        [self.image] = frames(self.folder / "frame.u8")

    def int8(self):
        path = self.folder / "int8.onnx"
        if not path.exists():
            path.write_bytes(int8_model(self.f32, frames(self.folder / "calibration.u8")))
        return path.read_bytes()

    def model(self, engine):
        return self.int8() if engine.endswith("int8") else self.f32

    def call(self, engine, threads):
        return ENGINES[engine](self.model(engine), self.image, threads)


def in_onnxruntime(model, image, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": image})[0][0]


def compiled_openvino(model, threads, precision):
    core = openvino.Core()
    return core.compile_model(core.read_model(model), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})


def in_openvino(model, image, threads, precision):
    compiled = compiled_openvino(model, threads, precision)
    request = compiled.create_infer_request()
    return lambda: request.infer({0: image})[0][0]


# Engine and precision -> what makes a call that gives the logits [classes]. One exists at a time: the threads of some
# spin while they wait. Of an int8 model OpenVINO's precision is that of the rest.
ENGINES = {
    "onnxruntime f32": in_onnxruntime,
    "openvino f32": partial(in_openvino, precision="f32"),
    "openvino bf16": partial(in_openvino, precision="bf16"),
    "onnxruntime int8": in_onnxruntime,
    "openvino int8": partial(in_openvino, precision="f32"),
}
LIMIT = os.environ.get("ONEDNN_MAX_CPU_ISA")
MEASURED = [name for name in ENGINES if not LIMIT or name in ("openvino f32", "openvino int8")]


def instructions(model):
    """Kernels of OpenVINO's convolutions, by name -> how many there are."""
    found = {}
    for node in compiled_openvino(model, 1, "f32").get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if "Convolution" in str(info["layerType"].astype(str)):
            kernel = re.sub("_(f32|I8)$", "", info["primitiveType"].astype(str))
            found[kernel] = found.get(kernel, 0) + 1
    return found


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


def compared(logits, ours):
    """Largest difference relative to the largest logit, correlation, and whether the highest is the same one."""
    return {"different": float(np.abs(logits - ours).max() / np.abs(ours).max()),
            "correlation": float(np.corrcoef(logits, ours)[0, 1]), "same_class": bool(logits.argmax() == ours.argmax())}


def check(folder):
    """How each engine's logits compare with ours of f32, which stands for all: f32 has to be the same."""
    ours, inputs = np.fromfile(Path(folder) / "logits.f32", np.float32), Inputs(folder)
    found = {name: compared(inputs.call(name, 1)(), ours) for name in MEASURED}
    for name, result in found.items():
        if result["correlation"] < (0.9999 if name.endswith("f32") else 0.9):
            sys.exit(f"{name}: the logits are others than ours, {result}")
    return {"agreement": found, "kernels": {"f32": instructions(inputs.f32), "int8": instructions(inputs.int8())}}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    what, folder, *rest = sys.argv[1:]
    if what == "time":
        threads, repeats = map(int, rest)
        inputs = Inputs(folder)
        result = {"timings": {name: timing(inputs.call(name, threads), repeats) for name in MEASURED}}
    elif what == "load":
        threads, count = map(int, rest)
        inputs = Inputs(folder)
        result = {"timings": {name: calls(inputs.call(name, threads), count) for name in MEASURED
                              if name.endswith("f32")}}
    elif what == "check":
        result = check(folder)
    else:
        sys.exit(__doc__)
    versions = {"onnxruntime": onnxruntime.__version__, "openvino": openvino.__version__.split("-")[0]}
    print(json.dumps({"versions": versions, **result}))


if __name__ == "__main__":
    main()
