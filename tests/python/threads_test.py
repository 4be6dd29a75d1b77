"""Threads: pools that are shared, closed and pinned, workers made by fork(), and how many there are by default."""

import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import voxshift as vs

NO_THREADS = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def voxels_in_worker(points, queue):
    queue.put(vs.voxelize(points).tensor.size)


def answer_of_forked(target, *arguments):
    """What a worker made by fork() puts into its queue."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=target, args=(*arguments, queue))
    worker.start()
    answer = queue.get(timeout=60)
    worker.join(60)
    assert worker.exitcode == 0
    return answer


def test_a_forked_worker_computes(synthetic_points):
    expected = vs.voxelize(synthetic_points).tensor.size
    assert answer_of_forked(voxels_in_worker, synthetic_points) == expected


def test_a_forked_worker_runs_a_model_of_its_parent(synthetic_points):
    model = vs.Model.new(width=0.125, seed=5, threads=2)
    expected = model.segment(synthetic_points)

    def labels(queue):
        queue.put(model.segment(synthetic_points).tobytes())

    assert answer_of_forked(labels) == expected.tobytes()


def test_torch_data_loader_with_workers(synthetic_points):
    torch = pytest.importorskip("torch")
    expected = vs.voxelize(synthetic_points).tensor.size

    class Scans(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return vs.voxelize(synthetic_points).tensor.size

    loader = torch.utils.data.DataLoader(Scans(), num_workers=2, batch_size=None, multiprocessing_context="fork", timeout=60)
    assert list(loader) == [expected] * 6


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity of processes")
def test_default_threads_follow_the_affinity_of_the_process():
    count = "import os, sys; os.sched_setaffinity(0, eval(sys.argv[1])); import voxshift as vs; print(vs.num_threads())"
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one processor only: every number of threads is 1")
    for allowed in ({cpus[-1]}, set(cpus[:2])):
        found = subprocess.run([sys.executable, "-c", count, repr(allowed)], env=NO_THREADS, capture_output=True, text=True)
        assert found.stdout.strip() == str(len(allowed)), found.stderr


def test_a_pool_is_shared(synthetic_points):
    expected = vs.Model.new(width=0.125, seed=5, threads=1).segment(synthetic_points)
    cpu = max(os.sched_getaffinity(0))
    for pool in (vs.ThreadPool(3), vs.ThreadPool(2, cpus=[cpu])):
        with pool:
            first, second = (vs.Model.new(width=0.125, seed=5, threads=pool) for _ in range(2))
            assert first.threads == second.threads == pool.threads
            np.testing.assert_array_equal(first.segment(synthetic_points), expected)
            np.testing.assert_array_equal(second.segment(synthetic_points), expected)
        np.testing.assert_array_equal(first.segment(synthetic_points), expected)  # closed: on the calling thread alone


def test_a_stream_shares_a_pool():
    model = vs.Model.new("tsm-mobilenetv2", width=0.25, classes=5, seed=1, threads=1)
    frames = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
    pool = vs.ThreadPool(2)
    streams = vs.Recognizer(model), vs.Recognizer(model, threads=pool), vs.Recognizer(model, threads=pool)
    assert [stream.threads for stream in streams] == [1, 2, 2]
    for frame in frames:
        expected, *found = (stream.push(frame).logits for stream in streams)
        for logits in found:
            np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**6])
def test_numbers_that_are_none(threads):
    with pytest.raises(ValueError, match=f"found {threads}"):
        vs.ThreadPool(threads)


def test_processors_that_are_none():
    with pytest.raises(ValueError, match="may not use CPU 100000"):
        vs.ThreadPool(2, cpus=[100000])
    with pytest.raises(ValueError, match="may not use CPU -1"):
        vs.ThreadPool(2, cpus=[-1])
