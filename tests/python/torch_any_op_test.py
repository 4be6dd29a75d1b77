"""Every op of graphs in voxshift.torch.Network, on every kind of rows that it takes: the runtime's values, and gradients that
are the runtime's differences. An op that is new needs a gradient, or a line in WITHOUT_GRADIENT of the examples.
"""

import re

import numpy as np
import pytest
import voxshift as vs
from op_examples import EXAMPLES, LEFT_OUT, OPS, SPLITS, STEP, WITHOUT_GRADIENT, models_and_inputs
from sparse_torch import torch
from voxshift.torch import Network, SparseTensor, gradients

IGNORE_PLACES = {"devoxelize_dense", "three_nearest", "voxelize_dense"}  # their values change with the places


def forward(given, network, values):
    if given.kind == "voxels":
        return network(SparseTensor(values, given.coordinates))
    return network(values, row_splits=SPLITS) if given.kind == "points" else network(values, n_segment=3)


def differences(given, model, directions, along):
    """The change of sum(along * y) for one step in these directions of the input and of tensors, by the runtime."""

    def moved(sign):
        tensors = {name: values + sign * STEP * directions.get(name, 0) for name, values in model.parameters().items()}
        moved_model = model.with_parameters({name: values.astype(np.float32) for name, values in tensors.items()})
        values = given.values + np.float32(sign * STEP) * directions["input"]
        return (given.run(moved_model, values).astype(np.float64) * along).sum()

    return (moved(1) - moved(-1)) / (2 * STEP)


def expect_gradient(given, model, network, random):
    """Along random directions of at most one step per number. Gives the gradient's norm."""
    x = torch.from_numpy(given.values).requires_grad_()
    y = forward(given, network, x)
    along = random.standard_normal(tuple(y.shape)).astype(np.float32)
    y.backward(torch.from_numpy(along))
    found = {"input": x.grad, **{name: p.grad for name, p in network.named_parameters()}}
    size = np.sqrt(sum((g.norm() ** 2).item() for g in found.values()))
    for _ in range(2):
        directions = {name: random.uniform(-1, 1, tuple(g.shape)).astype(np.float32) for name, g in found.items()}
        if IGNORE_PLACES & {n["op"] for n in model.graph["nodes"]}:
            directions["input"][:, :3] = 0
        slope = sum((g.numpy().astype(np.float64) * directions[name]).sum() for name, g in found.items())
        expected = differences(given, model, directions, along)
        assert abs(slope - expected) <= 2e-3 * max(size, 1), (slope, expected, size, model.graph["nodes"])
    return size


def expect_value(given, network, expected):
    with torch.no_grad():
        found = forward(given, network, torch.from_numpy(given.values))
    assert found.shape == expected.shape, network.model.graph
    assert np.abs(expected - found.numpy()).max() <= 1e-6 * np.abs(expected).max(), network.model.graph


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_its_value_and_its_gradient(random, op):
    sizes = []
    for given, model, expected in models_and_inputs(op, random):
        network = Network(model).eval()
        expect_value(given, network, expected)
        if op in WITHOUT_GRADIENT:
            expect_error(given, model, network)
        else:
            sizes.append(expect_gradient(given, model, network, random))
    assert op in WITHOUT_GRADIENT or max(sizes) > 0.1


def expect_error(given, model, network):
    y = forward(given, network, torch.from_numpy(given.values).requires_grad_())
    with pytest.raises(vs.InvalidArgument, match=r"^\[Network\] node \w+: \w+ has no gradient here$") as caught:
        y.sum().backward()
    name, op = re.findall(r"node (\w+): (\w+)", str(caught.value))[0]
    assert {"name": name, "op": op}.items() <= next(n for n in model.graph["nodes"] if n["name"] == name).items()


@pytest.mark.parametrize("op", OPS)
def test_every_op_runs_without_autograd(random, monkeypatch, op):
    """As one does that nobody wrote a gradient for."""
    monkeypatch.delitem(gradients._registered, op)
    for given, model, expected in models_and_inputs(op, random):
        network = Network(model).eval()
        expect_value(given, network, expected)
        expect_error(given, model, network)


def test_what_is_said_of_gradients_is_of_ops():
    assert {*WITHOUT_GRADIENT, *LEFT_OUT, *EXAMPLES} <= OPS.keys()
    assert not WITHOUT_GRADIENT.keys() & gradients._registered.keys()
