"""Operators that choose or join voxels. Which voxels there are has no gradient: none goes to scores."""

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.gradients import gradient
from voxshift.torch.memory import array, counted, numbers, tensor_of
from voxshift.torch.points import gather
from voxshift.torch.sparse_tensor import SparseTensor


def _without_channels(x):
    return vs.SparseTensor(x.coordinates, array("select", "feats", x.feats.new_zeros(len(x), 0, dtype=torch.float32)))


def _kept(x, mask):
    """The rows of x where mask, bool [N], is true."""
    coordinates = vs.select_rows(_without_channels(x), numbers("select", "mask", mask, x.device)).coordinates
    return x.on(coordinates, gather(x.feats, mask.nonzero().reshape(-1).int()))


@gradient("prune", of="voxels")
def _prune(x, scores, threshold):
    return _kept(x, scores.feats.detach()[:, 0] > float(np.float32(threshold)))


@gradient("top_k", of="voxels")
def _top_k(x, scores, count):
    values, batches = scores.feats.detach()[:, 0], x.coords[:, 0].contiguous()
    order = torch.sort(-values, stable=True)[1]  # NaN comes last
    order = order[torch.sort(batches[order], stable=True)[1]]
    place = torch.arange(len(order), device=x.device) - torch.searchsorted(batches, batches)  # in its batch
    mask = torch.zeros(len(order), dtype=torch.bool, device=x.device)
    mask[order[place < count]] = True
    return _kept(x, mask)


@gradient("union_add", of="voxels")
def _union_add(a, b):
    if a.coordinates.same_coordinates(b.coordinates):
        return a.with_feats(a.feats + b.feats)
    both = vs.union_add(_without_channels(a), _without_channels(b)).coordinates

    def spread(x):
        rows = torch.full((len(both),), -1, dtype=torch.int32, device=x.device)
        rows[tensor_of(both.find(x.coordinates.coords)).long()] = counted(len(x), x.device)
        return gather(x.feats, rows)

    return a.on(both, spread(a) + spread(b))


@gradient("from_dense", of="values")
def _from_dense(images, like):
    axis = getattr(images, "axis", None)
    if axis is None or not isinstance(like, SparseTensor):
        return NotImplemented
    batch, *places = like.coords.unbind(1)
    y, x = (places[a] for a in range(3) if a != axis)
    height, width = images.extent
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return like.with_feats(gather(images.feats, ((batch * height + y) * width + x).masked_fill(~inside, -1)))
