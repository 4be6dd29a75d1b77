"""Examples of every op of graphs, on every kind of rows that it takes, and what is known to be missing of each: the tests of ops
and docs/support.md read it. An op that is new needs an example where it needs attributes.
"""

from functools import cache, lru_cache
from itertools import product
from typing import NamedTuple, Optional

import numpy as np
import voxshift as vs

OPS = vs.graph_ops()

# What docs/support.md says. Tests fail for an op that has what it is said not to have, and the other way round.
NOT_ON: dict[str, dict[str, str]] = {"cuda": {}}  # device: {op: why its examples are BackendUnavailable}
WITHOUT_GRADIENT: dict[str, str] = {}  # op: why
LEFT_OUT = {  # of gradients: what an op's value depends on beside
    "devoxelize_dense": "the points' places among the cells",
    "furthest_point_sample": "which points are picked",
    "group": "which points are neighbours",
    "prune": "`scores`",
    "three_nearest": "the points' and the centers' places",
    "top_k": "`scores`",
    "voxelize_dense": "the points' places among the cells",
    "voxelize_points": "which voxel a point is in",
}


def node(name, op, inputs, parameters=(), **attributes):
    named = {role: f"{name}.{role}" for role in parameters}
    return {"name": name, "op": op, "inputs": list(inputs), "parameters": named, **attributes}


class Value(NamedTuple):
    """What an op may be given. kind: of its rows. node: what makes it of others, none of the network's input."""

    kind: str
    channels: int
    node: Optional[dict] = None


SECTORS = {"voxel_size": [0.5, 0.7, 2], "lowest": [0.1, -3, -1], "axes": "cylindrical"}
TANH = node("tanh", "tanh", ["input"])
# Values on every kind of rows, by the network's input.
BASES = {
    "voxels": {
        "input": Value("voxels", 4),
        "tanh": Value("voxels", 4, TANH),
        "score": Value("voxels", 1, node("score", "columns", ["input"], first=0, count=1)),
        "coarse": Value("voxels", 4, node("coarse", "pool", ["input"], kernel_size=2, stride=2)),
        "kept": Value("voxels", 4, node("kept", "prune", ["input", "score"])),
        "images": Value("images", 4, node("images", "bird_eye_view", ["input"], shape=[7, 6, 1])),
        "clouds": Value("clouds", 4, node("clouds", "max_pool", ["input"])),
    },
    "plane": {
        "input": Value("voxels", 4),
        "tanh": Value("voxels", 4, TANH),
        "coarse": Value("voxels", 4, node("coarse", "pool", ["input"], kernel_size=2, stride=[2, 1])),
    },
    "points": {
        "input": Value("points", 4),
        "tanh": Value("points", 4, TANH),
        "samples": Value("points", 3, node("samples", "furthest_point_sample", ["input"], count=5)),
        "groups": Value("groups", 7, node("groups", "group", ["input", "samples"], count=3, radius=0.5)),
        "cells": Value("cells", 4, node("cells", "voxelize_dense", ["input"], resolution=3)),
        "pillars": Value("voxels", 4, node("pillars", "voxelize_points", ["input"], voxel_size=0.5)),
        "bounded": Value("voxels", 4, node("bounded", "tanh", ["pillars"])),
        "blurred": Value("voxels", 4, node("blurred", "pool", ["bounded"], kernel_size=3, reduce="sum")),
        "sectors": Value("voxels", 4, node("sectors", "voxelize_points", ["input"], **SECTORS)),
        "clouds": Value("clouds", 4, node("clouds", "avg_pool", ["input"])),
        "means": Value("points", 7, node("means", "avg_pool", ["groups"])),
        "wide": Value("clouds", 7, node("wide", "avg_pool", ["means"])),
    },
    "frames": {
        "input": Value("images", 4),
        "tanh": Value("images", 4, TANH),
        "clouds": Value("clouds", 4, node("clouds", "avg_pool", ["input"])),
    },
}
KINDS = {"voxels": "voxels", "plane": "voxels", "points": "points", "frames": "frames"}  # of the input, by the base


def channels_of(*roles):
    return lambda c: dict.fromkeys(roles, (c,))


# Attributes, and the shapes of tensors for an input of c channels; of ops that need any.
WINDOW, GROUPED = {"kernel_size": 3}, {"kernel_size": 2, "stride": 2, "groups": 2}
CONVS = [
    (WINDOW, lambda c: {"weight": (27, c, 3), "bias": (3,)}),
    ({**WINDOW, "groups": 2}, lambda c: {"weight": (27, c // 2, 6), "bias": (6,)}),
    (GROUPED, lambda c: {"weight": (8, c // 2, 6), "bias": (6,)}),
    ({"kernel_size": 2, "stride": [1, 2, 3]}, lambda c: {"weight": (8, c, 3)}),
    ({"kernel_size": [2, 3], "stride": [2, 1]}, lambda c: {"weight": (6, c, 3)}),
    ({"kernel_size": 3, "stride": 2, "padding": 1, "semantics": "bounded"}, lambda c: {"weight": (27, c, 3)}),
    ({}, lambda c: {"weight": (c, 3)}),
    ({"groups": 2}, lambda c: {"weight": (1, c // 2, 6), "bias": (6,)}),
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
    + [({"voxel_size": [0.5, 0.7, 2], "lowest": [-0.6, -0.9, -1], "highest": 0.8, "reduce": "sum", **more}, None)
       for more in ({}, {"outside": "clamped"})],
}


def with_ancestors(base, names):
    nodes = {}
    for name in names:
        made = BASES[base][name].node
        if made:
            nodes.update(with_ancestors(base, made["inputs"]), **{name: made})
    return nodes


def models_of(op, base, random):
    """A model of each example of the op on each combination of values that it takes."""
    count = 2 if OPS[op]["any_number_of_inputs"] else len(OPS[op]["inputs"])
    for attributes, shapes in EXAMPLES.get(op, [({}, None)]):
        for inputs in product(BASES[base], repeat=count):
            shape_of = shapes(BASES[base][inputs[0]].channels) if shapes else {}
            tensors = {
                f"y.{role}": (random.uniform(0.5, 1.5, shape) * random.choice([-1, 1])).astype(np.float32)
                for role, shape in shape_of.items()
            }
            if "y.running_var" in tensors:
                tensors["y.running_var"] = np.abs(tensors["y.running_var"])
            nodes = [*with_ancestors(base, inputs).values(), node("y", op, inputs, shape_of, **attributes)]
            dims = 2 if base == "plane" else 3
            graph = {"input": KINDS[base], "dims": dims, "in_channels": 4, "nodes": nodes, "outputs": ["y"]}
            try:
                yield vs.Model.from_graph(graph, tensors, None, 0)
            except vs.InvalidArgument:
                continue


SPLITS = np.array([0, 11, 25])
STEP = 5e-4  # of differences; nothing that is not smooth may lie so near
KINKS = np.array([-0.5, -0.1, 0, 0.2, 0.7])  # of clip, prune, relu


def apart(count, random):
    """`count` numbers in [-1, 1] that a step of each leaves in their order and, as their tanh, on their side of kinks."""
    lattice = np.linspace(-1, 1, 2 * count)
    lattice = lattice[(np.abs(lattice[:, None] - [*KINKS, *np.arctanh(KINKS)]) > 1.5 * STEP).all(1)]
    assert len(lattice) >= count and np.diff(lattice).min() > 2 * STEP
    return random.permutation(random.choice(lattice, count, replace=False))


def is_clear(points, place):
    """Whether no step of the place or the points changes cells, who is a neighbour, or on which side of a kink an offset is."""
    x, y, _ = place
    away = np.abs(points - place)
    distances = np.linalg.norm(away, axis=1)
    cells = [*(place / 0.5 % 1), *((place - [-0.6, -0.9, -1]) / [0.5, 0.7, 2] % 1), *(0.8 - place)]
    sectors = [(np.hypot(x, y) - 0.1) / 0.5 % 1, (np.arctan2(y, x) + 3) / 0.7 % 1]
    near = [*(distances - 0.5), *(distances - 0.7), *cells, *np.subtract(cells, 1), *sectors, *np.subtract(sectors, 1)]
    offsets = np.abs(away[..., None] - np.abs(KINKS))
    return np.abs(near).min() > 8 * STEP and np.hypot(x, y) > 0.2 and (offsets > 2 * STEP).all()


def samples_are_clear(points):
    """Whether each of the furthest points is further than any other by more than steps change."""
    nearest = np.linalg.norm(points - points[0], axis=1)
    for _ in range(5):
        second, first = np.sort(nearest)[-2:]
        if first - second < 8 * STEP:
            return False
        nearest = np.minimum(nearest, np.linalg.norm(points - points[np.argmax(nearest)], axis=1))
    return True


def clear_points(splits, random):
    while True:
        points = np.zeros((0, 3))
        while len(points) < splits[-1]:
            place = random.uniform(-1, 1, 3)
            if is_clear(points, place):
                points = np.vstack((points, place))
        if all(samples_are_clear(points[first:last]) for first, last in zip(splits, splits[1:])):
            return points


@lru_cache(maxsize=None)
class Given:
    """Rows of two batches, clouds or clips: as the library and as Network take them."""

    def __init__(self, base):
        random = np.random.default_rng(7)
        self.kind = KINDS[base]
        if self.kind == "voxels":
            extent = (8, 6) if base == "plane" else (8, 6, 2)
            coords = np.unique(random.integers(0, (2, *extent), (40, 1 + len(extent))), axis=0).astype(np.int32)
            self.coordinates = vs.Coordinates(coords, shape=extent)
        shape = (len(coords), 4) if self.kind == "voxels" else {"points": (SPLITS[-1], 4), "frames": (6, 6, 5, 4)}[base]
        columns = [apart(np.prod(shape[:-1]), random) for _ in range(4)]
        self.values = np.stack(columns, 1).astype(np.float32).reshape(shape)
        if self.kind == "points":
            self.values[:, :3] = clear_points(SPLITS, random)

    def run(self, model, values):
        if self.kind == "voxels":
            return model.run(vs.SparseTensor(self.coordinates, values))["y"][0]
        if self.kind == "points":
            return model.run(values, SPLITS)["y"][0]
        return np.concatenate([model.run(clip)["y"][0] for clip in (values[:3], values[3:])])


def models_and_inputs(op, random):
    """(input, model, the runtime's value) of every example."""
    found = False
    for base in BASES:
        given = Given(base)
        for model in models_of(op, base, random):
            try:
                expected = given.run(model, given.values)
            except vs.InvalidArgument as error:
                assert "bounded semantics need a tensor with a shape" in str(error)  # which some voxels of points have not
                continue
            found = True
            yield given, model, expected
    assert found, f"no example of {op}: give the attributes and tensors that it needs in EXAMPLES"


@cache
def rows_taken(op):
    """What the op takes as its first input: "voxels", "points", "images", ..."""
    random, kinds = np.random.default_rng(1), {}
    for base in BASES:
        for model in models_of(op, base, random):
            (made,) = (n for n in model.graph["nodes"] if n["name"] == "y")
            kinds[BASES[base][made["inputs"][0]].kind] = None
    return tuple(kinds)
