"""Operators that choose or join voxels. Which voxels there are has no gradient: none goes to scores."""

import numpy as np

import voxshift as vs
from voxshift.torch.gradients import gradient
from voxshift.torch.memory import array
from voxshift.torch.points import gather
from voxshift.torch.sparse_tensor import SparseTensor


def _without_channels(x):
    return vs.SparseTensor(x.coordinates, np.zeros((len(x), 0), np.float32))


def _kept(x, mask):
    """The rows of x where mask, bool [N], is true."""
    coordinates = vs.select_rows(_without_channels(x), mask).coordinates
    return x.on(coordinates, gather(x.feats, np.flatnonzero(mask)))


@gradient("prune", of="voxels")
def _prune(x, scores, threshold):
    return _kept(x, array("prune", "scores", scores.feats)[:, 0] > np.float32(threshold))


@gradient("top_k", of="voxels")
def _top_k(x, scores, count):
    values, batches = array("top_k", "scores", scores.feats)[:, 0], x.coordinates.coords[:, 0]
    order = np.lexsort((-values, batches))  # stable, and NaN comes last
    place = np.arange(len(order)) - np.searchsorted(batches, batches)  # in its batch
    mask = np.zeros(len(order), bool)
    mask[order[place < count]] = True
    return _kept(x, mask)


@gradient("union_add", of="voxels")
def _union_add(a, b):
    if a.coordinates.same_coordinates(b.coordinates):
        return a.with_feats(a.feats + b.feats)
    both = vs.union_add(_without_channels(a), _without_channels(b)).coordinates

    def spread(x):
        rows = np.full(len(both), -1, np.int64)
        rows[both.find(x.coordinates.coords)] = np.arange(len(x))
        return gather(x.feats, rows)

    return a.on(both, spread(a) + spread(b))


@gradient("from_dense", of="values")
def _from_dense(images, like):
    axis = getattr(images, "axis", None)
    if axis is None or not isinstance(like, SparseTensor):
        return NotImplemented
    batch, *places = like.coordinates.coords.astype(np.int64).T
    y, x = (places[a] for a in range(3) if a != axis)
    height, width = images.extent
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return like.with_feats(gather(images.feats, np.where(inside, (batch * height + y) * width + x, -1)))
