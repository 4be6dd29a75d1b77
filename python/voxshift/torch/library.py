"""What a network takes from the library: the values of ops that have no autograd function."""

from functools import cached_property

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.memory import array, copied, on_host, tensor_of
from voxshift.torch.sparse_tensor import SparseTensor
from voxshift.torch.values import Images, Rows


class _WithoutGradient(torch.autograd.Function):
    """Features that the library computed from others."""

    @staticmethod
    def forward(ctx, op, node, found, *given):
        ctx.op, ctx.node = op, node
        return found

    @staticmethod
    def backward(ctx, grad):
        raise vs.InvalidArgument(f"[Network] node {ctx.node}: {ctx.op} has no gradient here")


class Library:
    """The library beside one forward of a network.

    What rows an op makes and how they belong to others follows from the nodes before it. So the library runs the network from
    its input up to the op, whatever the op and its rows are, and gives the values of later such ops along with it.

    tensor: gives a parameter by its name. operands: the network's input, and row_splits. trained: the batch norms, by node,
    that normalise by their rows in this forward. wanted: nodes whose value is asked for, as far as is known; grows.
    """

    def __init__(self, graph, tensor, operands, trained, wanted):
        self.graph, self.tensor, self.trained, self.wanted = graph, tensor, trained, wanted
        self.given, self.row_splits = operands
        self.batches = {}  # what the trained batch norms were given
        self.found = {}  # values of nodes that wait for their step

    @cached_property
    def _ancestors(self):
        """Of each node the names of all that it follows from, its own and the input's among them."""
        ancestors = {}
        for node in self.graph["nodes"]:
            ancestors[node["name"]] = {node["name"]}.union(*(ancestors.get(name, {name}) for name in node["inputs"]))
        return ancestors

    def normalizes(self, norm, feats):
        """Whether the batch norm normalises by these rows, which are kept then."""
        if norm in self.trained:
            self.batches[norm] = feats
        return norm in self.trained

    def value(self, step, inputs, tensors):
        """The value of a step; who asks for its gradient is told that there is none."""
        if step.output not in self.found:
            self.wanted.add(step.output)
            self._run(step)
        features, coords = self.found.pop(step.output)
        given = [x.feats for x in inputs] + list(tensors)
        feats = _WithoutGradient.apply(step.op, step.output, features.flatten(0, -2), *given)
        if features.dim() == 4:
            clip = self.given.n_segment if isinstance(self.given, Images) else max(len(features), 1)
            return Images(feats, tuple(features.shape[1:3]), clip)
        if coords is None or coords.dtype != np.int32:
            return Rows(feats)
        return _on_voxels(step, [x for x in inputs if isinstance(x, SparseTensor)], coords, feats)

    def _run(self, step):
        """Finds the values of the step and of all from there on that no batch norm keeps waiting."""
        names = [node["name"] for node in self.graph["nodes"] if node["name"] in self.wanted]
        later = names[names.index(step.output) :]
        outputs = [name for name in later if self._ancestors[name] & self.trained <= self.batches.keys()]
        needed = set().union(*(self._ancestors[name] for name in outputs))
        nodes, tensors = [], {}
        for node in self.graph["nodes"]:
            if node["name"] in needed:
                own = {f"{node['name']}.{role}": tensor for role, tensor in self._tensors(node).items()}
                tensors.update((place, on_host(tensor)) for place, tensor in own.items())
                nodes.append({**node, "parameters": dict(zip(node.get("parameters", ()), own))})
        graph = {**self.graph, "nodes": nodes, "outputs": outputs}
        model = vs.Model.from_graph(graph, tensors, None, 0, device=str(self.given.feats.device), dtype="f32")
        runs = [model.run(*operands) for operands in self._operands()]
        for name in outputs:
            features = [tensor_of(run[name][0]) for run in runs]
            self.found[name] = (features[0] if len(runs) == 1 else torch.cat(features), runs[0][name][1])

    def _tensors(self, node):
        """The tensors of a node by role."""
        tensors = {role: self.tensor(name) for role, name in node.get("parameters", {}).items()}
        if node["name"] in self.batches:
            x = self.batches[node["name"]].detach()
            tensors["running_mean"], tensors["running_var"] = x.mean(0), x.var(0, unbiased=False)
        return tensors

    def _operands(self):
        """What Model.run is given, for each run."""
        if isinstance(self.given, SparseTensor):
            return [(vs.SparseTensor(self.given.coordinates, array("Network", "feats", self.given.feats)),)]
        if isinstance(self.given, Images):
            return [(array("Network", "frames", clip),) for clip in self.given.images.split(self.given.n_segment)]
        return [(array("Network", "points", self.given.feats), self._splits())]

    def _splits(self):
        return None if self.row_splits is None else on_host(self.row_splits)


def _on_voxels(step, inputs, coords, feats):
    """Features on the coordinates of an input, or on new ones of the inputs' stride."""
    coords = copied(coords)
    for x in inputs:
        if torch.equal(x.coords, coords):
            return x.with_feats(feats)
    stride = inputs[0].stride if inputs else (1,) * (coords.shape[1] - 1)
    extent, places = _extent(step, inputs), coords[:, 1:]
    fits = extent is not None and bool(((places >= 0) & (places < places.new_tensor(extent))).all())
    return SparseTensor(feats, coords, stride, extent if fits else None)


def _extent(step, inputs):
    """Along each axis: of the box that points are voxelised in, else the largest of the inputs; None where there is no limit."""
    if step.op == "voxelize_points":
        size, lowest, highest = (
            np.broadcast_to(np.float32(step.attributes[name]), 3) for name in ("voxel_size", "lowest", "highest")
        )
        cells = (highest - lowest) / size
        return [int(n) for n in np.maximum(1, np.ceil(cells - np.float32(1e-3)))] if (cells < 2**30).all() else None
    shapes = [x.coordinates.shape for x in inputs]
    return [max(axis) for axis in zip(*shapes)] if shapes and None not in shapes else None
