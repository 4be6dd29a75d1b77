"""Calls that compute let other Python threads run."""

import sys
import threading
import time

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud


@pytest.fixture
def counter():
    """How often another thread has run. With this switch interval it runs only when this one gives the GIL away."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e6)
    count, stopped = [0], threading.Event()

    def run():
        while not stopped.is_set():
            count[0] += 1
            time.sleep(0)  # gives the GIL away

    thread = threading.Thread(target=run)
    thread.start()
    yield count
    stopped.set()
    thread.join()
    sys.setswitchinterval(interval)


def cloud(channels):
    return random_cloud(np.random.default_rng(1), 20_000, 3, 50, batches=1, channels=channels)


COORDS, FEATS = cloud(32)
TENSOR = vs.SparseTensor(COORDS, FEATS, shape=64)
STRIDED = vs.conv(TENSOR, np.ones((8, 32, 4), np.float32), 2, 2)
MODEL = vs.Model.new(width=0.0625)
WIDE = TENSOR.with_features(FEATS[:, :4].copy())
POINTS = np.random.default_rng(2).random((20_000, 4), np.float32)
MATRIX = np.ones((32, 32), np.float32)
WEIGHT = np.ones((27, 32, 32), np.float32)
MASK = np.ones(len(COORDS), bool)
DENSE = vs.to_dense(TENSOR)
BYTES = np.zeros(1_000_000, np.uint8)
WORDS = np.zeros(1_000_000, np.uint32)
VIDEO = vs.Model.new("tsm-mobilenetv2", width=0.125)
STREAM = vs.Recognizer(VIDEO)
CLIP = np.random.default_rng(3).integers(0, 256, (2, 224, 224, 3), np.uint8)
IMAGE = np.ones((64, 64, 32), np.float32)
FILTER = np.ones((32, 32, 3, 3), np.float32)
SHIFT = vs.StreamingShift()
MASKED = vs.MaskedLayer.conv2d(64, 64, FILTER, padding=1)
PLACES = np.stack(np.meshgrid(0, np.arange(64), np.arange(64), indexing="ij"), -1).reshape(-1, 3).astype(np.int32)
CHANGED = vs.SparseTensor(PLACES, IMAGE.reshape(-1, 32))

CALLS = {
    "SparseTensor": lambda _: vs.SparseTensor(COORDS, FEATS),
    "find": lambda _: TENSOR.find(COORDS),
    "conv": lambda _: vs.conv(TENSOR, WEIGHT),
    "conv_transpose": lambda _: vs.conv_transpose(STRIDED, np.ones((8, 4, 32), np.float32), 2, 2),
    "generative_conv_transpose": lambda _: vs.generative_conv_transpose(STRIDED, np.ones((8, 4, 4), np.float32), 2, 2),
    "kernel_map": lambda _: vs.kernel_map(TENSOR),
    "max_pool": lambda _: vs.max_pool(TENSOR, 3),
    "avg_pool": lambda _: vs.avg_pool(TENSOR, 3),
    "sum_pool": lambda _: vs.sum_pool(TENSOR, 3),
    "global_max_pool": lambda _: vs.global_max_pool(TENSOR),
    "global_avg_pool": lambda _: vs.global_avg_pool(TENSOR),
    "global_sum_pool": lambda _: vs.global_sum_pool(TENSOR),
    "cat": lambda _: vs.cat([TENSOR, TENSOR]),
    "add": lambda _: vs.add(TENSOR, TENSOR),
    "union_add": lambda _: vs.union_add(TENSOR, TENSOR),
    "select_rows": lambda _: vs.select_rows(TENSOR, MASK),
    "to_dense": lambda _: vs.to_dense(TENSOR),
    "from_dense": lambda _: vs.from_dense(DENSE),
    "linear": lambda _: vs.linear(FEATS, MATRIX),
    "affine": lambda _: vs.affine(FEATS),
    "argmax": lambda _: vs.argmax(FEATS),
    "voxelize": lambda _: vs.voxelize(POINTS),
    "synth_lidar": lambda _: vs.synth_lidar(0),
    "ConfusionMatrix.add": lambda _: vs.ConfusionMatrix(2).add(BYTES, BYTES),
    "train_ids": lambda _: vs.train_ids(WORDS),
    "Model.new": lambda _: vs.Model.new(width=0.03125),
    "Model.save": lambda folder: MODEL.save(folder / "model.safetensors"),
    "Model.load": lambda folder: vs.Model.load(folder / "model.safetensors"),
    "Model.forward": lambda _: MODEL.forward(WIDE),
    "Model.segment": lambda _: MODEL.segment(POINTS),
    "Recognizer": lambda _: vs.Recognizer(VIDEO),
    "Recognizer.push": lambda _: STREAM.push(CLIP[0]),
    "Model.recognize": lambda _: VIDEO.recognize(CLIP),
    "Model.recognize_frames": lambda _: VIDEO.recognize_frames(CLIP),
    "conv2d": lambda _: vs.conv2d(IMAGE, FILTER),
    "max_pool2d": lambda _: vs.max_pool2d(IMAGE, 3),
    "avg_pool2d": lambda _: vs.avg_pool2d(IMAGE, 3),
    "global_avg_pool2d": lambda _: vs.global_avg_pool2d(IMAGE),
    "temporal_shift": lambda _: vs.temporal_shift(IMAGE, 8),
    "StreamingShift.push": lambda _: SHIFT.push(IMAGE),
    "MaskedLayer.push": lambda _: MASKED.push(CHANGED),
    "synth_video": lambda _: vs.synth_video(0, frames=2),
}


@pytest.mark.parametrize("name", CALLS)
def test_other_threads_run_meanwhile(name, counter, tmp_path):
    MODEL.save(tmp_path / "model.safetensors")
    call = CALLS[name]
    for _ in range(2000):  # a short call may end before the system wakes the other thread
        before = counter[0]
        call(tmp_path)
        if counter[0] > before:
            return
    pytest.fail(f"{name} holds the GIL")


def test_a_call_that_holds_the_gil_is_noticed(counter):
    for _ in range(20):
        before = counter[0]
        sum(range(100_000))
        assert counter[0] == before


def test_threads_that_share_a_model_take_turns():
    expected = MODEL.segment(POINTS)
    wrong = []

    def run():
        for _ in range(10):
            if not np.array_equal(MODEL.segment(POINTS), expected) or MODEL.report["points"] != len(POINTS):
                wrong.append(threading.get_ident())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
