"""Every op of graphs on a CUDA device, on every kind of rows that it takes: the CPU's values."""

import os

import numpy as np
import pytest
import voxshift as vs
from op_examples import NOT_ON, OPS, models_and_inputs


@pytest.fixture(autouse=True)
def cuda():
    if not vs.build_info()["cuda"]:
        if os.environ.get("VOXSHIFT_REQUIRE_CUDA") == "1":
            pytest.fail("no CUDA device")
        pytest.skip("no CUDA device, or a build without CUDA")


def on_cuda(model):
    return vs.Model.from_graph(model.graph, model.parameters(), None, 0, device="cuda", dtype="f32")


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_the_cpus_values(random, op):
    for given, model, expected in models_and_inputs(op, random):
        if op in NOT_ON["cuda"]:
            with pytest.raises(vs.BackendUnavailable):
                given.run(on_cuda(model), given.values)
            continue
        found = given.run(on_cuda(model), given.values)
        assert found.shape == expected.shape, model.graph
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max(), model.graph
