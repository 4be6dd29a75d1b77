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


NEAR = {"cpu": 1e-6, "cuda": 1e-5}  # of the largest number, as the runtime's values on devices


def forward(given, network, values):
    if given.kind == "voxels":
        return network(SparseTensor(values, given.coordinates.to(str(values.device))))
    return network(values, row_splits=SPLITS) if given.kind == "points" else network(values, n_segment=3)


def differences(given, model, directions, along):
    """The change of sum(along * y) for one step in these directions of the input and of tensors, by the runtime."""

    def moved(sign):
        tensors = {name: values + sign * STEP * directions.get(name, 0) for name, values in model.parameters().items()}
        moved_model = model.with_parameters({name: values.astype(np.float32) for name, values in tensors.items()})
        values = given.values + np.float32(sign * STEP) * directions["input"]
        return (given.run(moved_model, values).astype(np.float64) * along).sum()

    return (moved(1) - moved(-1)) / (2 * STEP)


def expect_gradient(given, model, network, random, device):
    """Along random directions of at most one step per number. Gives the gradient's norm."""
    x = torch.from_numpy(given.values).to(device).requires_grad_()
    y = forward(given, network, x)
    along = random.standard_normal(tuple(y.shape)).astype(np.float32)
    y.backward(torch.from_numpy(along).to(device))
    gradients = {"input": x.grad, **{name: p.grad for name, p in network.named_parameters()}}
    assert all(g.device == x.device for g in gradients.values())
    found = {name: g.cpu() for name, g in gradients.items()}
    size = np.sqrt(sum((g.norm() ** 2).item() for g in found.values()))
    for _ in range(2):
        directions = {name: random.uniform(-1, 1, tuple(g.shape)).astype(np.float32) for name, g in found.items()}
        if IGNORE_PLACES & {n["op"] for n in model.graph["nodes"]}:
            directions["input"][:, :3] = 0
        slope = sum((g.numpy().astype(np.float64) * directions[name]).sum() for name, g in found.items())
        expected = differences(given, model, directions, along)
        assert abs(slope - expected) <= 2e-3 * max(size, 1), (slope, expected, size, model.graph["nodes"])
    return size


def expect_value(given, network, expected, device):
    with torch.no_grad():
        found = forward(given, network, torch.from_numpy(given.values).to(device))
    assert found.device.type == torch.device(device).type and found.shape == expected.shape, network.model.graph
    near = NEAR[found.device.type] * np.abs(expected).max()
    assert np.abs(expected - found.cpu().numpy()).max() <= near, network.model.graph


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_its_value_and_its_gradient(random, op, device):
    sizes, examples = [], list(models_and_inputs(op, random))
    if device != "cpu":  # cuda_ops_test.py has the values of all
        examples = examples[:: -(-len(examples) // 4)]
    for given, model, expected in examples:
        network = Network(model).eval().to(device)
        expect_value(given, network, expected, device)
        if op in WITHOUT_GRADIENT:
            expect_error(given, model, network, device)
        else:
            sizes.append(expect_gradient(given, model, network, random, device))
    assert op in WITHOUT_GRADIENT or max(sizes) > 0.1


def expect_error(given, model, network, device):
    y = forward(given, network, torch.from_numpy(given.values).to(device).requires_grad_())
    with pytest.raises(vs.InvalidArgument, match=r"^\[Network\] node \w+: \w+ has no gradient here$") as caught:
        y.sum().backward()
    name, op = re.findall(r"node (\w+): (\w+)", str(caught.value))[0]
    assert {"name": name, "op": op}.items() <= next(n for n in model.graph["nodes"] if n["name"] == name).items()


@pytest.mark.parametrize("op", OPS)
def test_every_op_runs_without_autograd(random, monkeypatch, op):
    """As one does that nobody wrote a gradient for."""
    expect_values_without_autograd(random, monkeypatch, op, "cpu")


@pytest.mark.parametrize("op", ["tanh", "pool", "conv2d", "furthest_point_sample", "voxelize_points", "scale"])
def test_ops_run_without_autograd_on_a_device(random, monkeypatch, op, torch_cuda):
    """Of each kind of rows one; cuda_ops_test.py has the values of all."""
    expect_values_without_autograd(random, monkeypatch, op, torch_cuda)


def expect_values_without_autograd(random, monkeypatch, op, device):
    monkeypatch.delitem(gradients._registered, op)
    for given, model, expected in models_and_inputs(op, random):
        network = Network(model).eval().to(device)
        expect_value(given, network, expected, device)
        expect_error(given, model, network, device)


def test_what_is_said_of_gradients_is_of_ops():
    assert {*WITHOUT_GRADIENT, *LEFT_OUT, *EXAMPLES} <= OPS.keys()
    assert not WITHOUT_GRADIENT.keys() & gradients._registered.keys()
