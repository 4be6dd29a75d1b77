"""Fixtures of the Python tests."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import voxshift as vs


@pytest.fixture
def random():
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def two_threads():
    """Ops run on two threads; a test may set another number."""
    vs.set_num_threads(2)
    yield
    vs.set_num_threads(2)


@pytest.fixture(scope="session")
def synthetic_points():
    return vs.synth_lidar(3)[0]


@pytest.fixture(scope="session")
def real_points():
    """The scan of SemanticKITTI that the golden figures are of, float32 [123389, 4]."""
    folder = os.environ.get("VOXSHIFT_DATA")
    if not folder:
        pytest.skip("VOXSHIFT_DATA is not set: no real scan")
    return np.fromfile(Path(folder) / "lidar" / "semantickitti_000000.bin", np.float32).reshape(-1, 4)


@pytest.fixture(scope="session")
def small_model():
    return vs.Model.new(width=0.125, seed=5, threads=2)


@pytest.fixture
def torch_cuda():
    """The device "cuda" of torch, for tests of tensors on it: a GPU's, or one that is emulated beside the library's."""
    if not vs.build_info()["cuda"]:
        if os.environ.get("VOXSHIFT_REQUIRE_CUDA") == "1":
            pytest.fail("no CUDA device")
        pytest.skip("no CUDA device, or a build without CUDA")
    pytest.importorskip("torch")
    from emulated_cuda import cuda

    with cuda() as device:
        yield device


@pytest.fixture
def autocast(monkeypatch, torch_cuda):
    """Turns autocast of CUDA on, to a dtype. Without a GPU torch has none: what asks it for the dtype is told one."""
    from voxshift.torch import precision

    def turn_on(dtype):
        monkeypatch.setattr(precision, "autocast_dtype", lambda device: dtype if device.type == "cuda" else None)

    return turn_on


@pytest.fixture
def interrupted_at(monkeypatch):
    """step -> a context within which trainings are interrupted as that step begins."""
    from voxshift.train import loop

    rate = loop.learning_rate

    @contextmanager
    def at(step):
        def interrupted(now, options):
            if now == step:
                raise KeyboardInterrupt
            return rate(now, options)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "learning_rate", interrupted)
            yield

    return at


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """Where torch's tensors are."""
    return request.getfixturevalue("torch_cuda") if request.param == "cuda" else "cpu"
