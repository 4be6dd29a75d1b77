"""Every op of graphs in voxshift.torch.Network, on every kind of rows that it takes: the runtime's values, and gradients that
are the runtime's differences or an error that names the op. An op that is new needs an example here where it needs attributes.
"""

import re
from itertools import product

import numpy as np
import pytest
import voxshift as vs
from sparse_torch import torch

from voxshift.torch import Network, SparseTensor

OPS = vs.graph_ops()


def node(name, op, inputs, parameters=(), **attributes):
    named = {role: f"{name}.{role}" for role in parameters}
    return {"name": name, "op": op, "inputs": list(inputs), "parameters": named, **attributes}


# Values on every kind of rows: their node, and their channels.
BASES = {
    "voxels": {
        "input": (None, 4),
        "score": (node("score", "columns", ["input"], first=0, count=1), 1),
        "coarse": (node("coarse", "pool", ["input"], kernel_size=2, stride=2), 4),
        "kept": (node("kept", "prune", ["input", "score"]), 4),
        "images": (node("images", "bird_eye_view", ["input"], shape=[8, 6, 1]), 4),
        "clouds": (node("clouds", "max_pool", ["input"]), 4),
    },
    "points": {
        "input": (None, 4),
        "samples": (node("samples", "furthest_point_sample", ["input"], count=5), 3),
        "groups": (node("groups", "group", ["input", "samples"], count=3, radius=0.5), 7),
        "cells": (node("cells", "voxelize_dense", ["input"], resolution=3), 4),
        "pillars": (node("pillars", "voxelize_points", ["input"], voxel_size=0.5), 4),
        "clouds": (node("clouds", "avg_pool", ["input"]), 4),
    },
    "frames": {"input": (None, 4), "clouds": (node("clouds", "avg_pool", ["input"]), 4)},
}


def channels_of(*roles):
    return lambda c: {role: (c,) for role in roles}


# Attributes, and the shapes of tensors for an input of c channels; of ops that need any.
WINDOW, GROUPED = {"kernel_size": 3}, {"kernel_size": 2, "stride": 2, "groups": 2}
CONVS = [
    (WINDOW, lambda c: {"weight": (27, c, 3), "bias": (3,)}),
    (GROUPED, lambda c: {"weight": (8, c // 2, 6), "bias": (6,)}),
    ({}, lambda c: {"weight": (c, 3)}),
]
EXAMPLES = {
    "avg_pool2d": [({"kernel_size": [3, 2], "stride": 2, "padding": 1}, None)],
    "batch_norm": [({}, channels_of("weight", "bias", "running_mean", "running_var"))],
    "bird_eye_view": [({"shape": [8, 6, 3], "axis": axis}, None) for axis in (0, 2)],
    "clip": [({"lowest": -0.5, "highest": 0.7}, None)],
    "columns": [({"first": 1, "count": 2}, None)],
    "conv": CONVS,
    "conv2d": [
        ({"padding": 1, "stride": 2}, lambda c: {"weight": (3, c, 3, 3), "bias": (3,)}),
        ({"padding": [1, 2], "dilation": 2}, lambda c: {"weight": (3, c, 2, 3), "bias": (3,)}),
        ({"groups": 2}, lambda c: {"weight": (6, c // 2, 1, 1)}),
    ],
    "conv_transpose": CONVS,
    "conv_transpose2d": [
        ({"stride": 2}, lambda c: {"weight": (c, 3, 3, 2), "bias": (3,)}),
        ({}, lambda c: {"weight": (c, 3, 2, 3), "bias": (3,)}),
        ({"stride": 2, "padding": [1, 0], "output_padding": [1, 0]}, lambda c: {"weight": (c, 3, 3, 2)}),
    ],
    "furthest_point_sample": [({"count": 3}, None)],
    "generative_conv_transpose": CONVS,
    "group": [({"count": 4, "radius": 0.7}, None)],
    "instance_norm": [({}, None), ({}, channels_of("weight", "bias"))],
    "layer_norm": [({}, channels_of("weight", "bias"))],
    "linear": [({}, lambda c: {"weight": (3, c), "bias": (3,)})],
    "max_pool2d": [({"kernel_size": 3, "stride": 2, "padding": 1}, None)],
    "pad": [({"left": 1, "bottom": 2}, None)],
    "pool": [({"kernel_size": 2, "stride": 2, "reduce": reduce}, None) for reduce in ("max", "mean", "sum")],
    "power": [({"exponent": 3}, None)],
    "prelu": [({}, channels_of("weight"))],
    "prune": [({"threshold": 0.2}, None)],
    "temporal_shift": [({"shift_div": 4, "bidirectional": both}, None) for both in (False, True)],
    "top_k": [({"count": 7}, None)],
    "upsample": [({"scale_factor": 2}, None), ({"size": [5, 9], "mode": "bilinear"}, None)],
    "voxel_offsets": [({"from": origin}, None) for origin in ("mean", "center")],
    "voxelize_dense": [({"resolution": 3}, None)],
    "voxelize_points": [({"voxel_size": 0.5, "reduce": reduce}, None) for reduce in ("mean", "max")]
    + [({"voxel_size": [0.5, 0.7, 2], "lowest": [-0.6, -0.9, -1], "highest": 0.8, "reduce": "sum"}, None)],
}


def with_ancestors(base, names):
    nodes = {}
    for name in names:
        made = BASES[base][name][0]
        if made:
            nodes.update(with_ancestors(base, made["inputs"]), **{name: made})
    return nodes


def models_of(op, base, random):
    """A model of each example of the op on each combination of values that it takes."""
    count = 2 if OPS[op]["any_number_of_inputs"] else len(OPS[op]["inputs"])
    for attributes, shapes in EXAMPLES.get(op, [({}, None)]):
        for inputs in product(BASES[base], repeat=count):
            shape_of = shapes(BASES[base][inputs[0]][1]) if shapes else {}
            tensors = {
                f"y.{role}": (random.uniform(0.5, 1.5, shape) * random.choice([-1, 1])).astype(np.float32)
                for role, shape in shape_of.items()
            }
            if "y.running_var" in tensors:
                tensors["y.running_var"] = np.abs(tensors["y.running_var"])
            nodes = [*with_ancestors(base, inputs).values(), node("y", op, inputs, shape_of, **attributes)]
            graph = {"input": base, "dims": 3, "in_channels": 4, "nodes": nodes, "outputs": ["y"]}
            try:
                yield vs.Model.from_graph(graph, tensors, None, 0)
            except vs.InvalidArgument:
                continue


class Given:
    """Rows of two batches, clouds or clips: as the library and as Network take them."""

    def __init__(self, base, random):
        self.base = base
        coords = np.unique(random.integers(0, (2, 8, 6, 1), (40, 4)), axis=0).astype(np.int32)
        self.coordinates = vs.Coordinates(coords, stride=4, shape=(8, 6, 1))
        shape = {"voxels": (len(coords), 4), "points": (25, 4), "frames": (6, 6, 5, 4)}[base]
        self.values = random.uniform(-1, 1, shape).astype(np.float32)
        for kink in (-0.5, 0, 0.7):  # of clip and relu: a step of the differences shall not cross it
            self.values[np.abs(self.values - kink) < 0.02] += 0.04

    def run(self, model, values):
        if self.base == "voxels":
            return model.run(vs.SparseTensor(self.coordinates, values))["y"][0]
        if self.base == "points":
            return model.run(values, np.array([0, 11, 25]))["y"][0]
        return np.concatenate([model.run(clip)["y"][0] for clip in (values[:3], values[3:])])

    def of(self, network, values):
        if self.base == "voxels":
            return network(SparseTensor(values, self.coordinates))
        if self.base == "points":
            return network(values, row_splits=torch.tensor([0, 11, 25]))
        return network(values, n_segment=3)


def differences(given, model, directions, along):
    """The change of sum(along * y) for one step in these directions of the input and of tensors, by the runtime."""
    step = 2e-3

    def moved(sign):
        tensors = {name: values + sign * step * directions.get(name, 0) for name, values in model.parameters().items()}
        moved_model = model.with_parameters({name: values.astype(np.float32) for name, values in tensors.items()})
        values = given.values + np.float32(sign * step) * directions["input"]
        return (given.run(moved_model, values).astype(np.float64) * along).sum()

    return (moved(1) - moved(-1)) / (2 * step)


def expect_gradient_or_error(given, model, network, random):
    nodes = {n["name"]: n for n in model.graph["nodes"]}
    x = torch.from_numpy(given.values).requires_grad_()
    y = given.of(network, x)
    assert y.requires_grad
    along = random.standard_normal(tuple(y.shape)).astype(np.float32)
    try:
        y.backward(torch.from_numpy(along))
    except vs.InvalidArgument as error:
        name, op = re.fullmatch(r"\[Network\] node (\w+): (\w+) has no gradient here", str(error)).groups()
        assert nodes[name]["op"] == op
        assert name == "y" or set(nodes["y"]["inputs"]) != {"input"}
        return
    gradients = {"input": x.grad, **{name: p.grad for name, p in network.named_parameters()}}
    directions = {name: random.standard_normal(tuple(g.shape)).astype(np.float32) for name, g in gradients.items()}
    if any(n["op"] == "voxelize_points" for n in nodes.values()):
        directions["input"][:, :3] = 0  # which voxel a point is in has no derivative
    found = sum((g.numpy().astype(np.float64) * directions[name]).sum() for name, g in gradients.items())
    expected = differences(given, model, directions, along)
    size = np.sqrt(sum((g.norm() ** 2).item() for g in gradients.values()))
    assert abs(found - expected) <= 1e-2 * size, (found, expected, size, model.graph["nodes"])


@pytest.mark.parametrize("op", OPS)
def test_every_op_runs(random, op):
    accepted = 0
    for base in BASES:
        given = Given(base, random)
        for model in models_of(op, base, random):
            accepted += 1
            network = Network(model).eval()
            expected = given.run(model, given.values)
            with torch.no_grad():
                found = given.of(network, torch.from_numpy(given.values))
            assert found.shape == expected.shape, model.graph
            assert np.abs(expected - found.numpy()).max() <= 1e-6 * np.abs(expected).max(), model.graph
            expect_gradient_or_error(given, model, network, random)
    assert accepted, f"no example of {op}: give the attributes and tensors that it needs in EXAMPLES"
