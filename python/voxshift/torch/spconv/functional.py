"""Sums of tensors on different indices: spconv.pytorch.functional."""

import torch

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.memory import copied, numbers, tensor_of
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.spconv.core import SparseConvTensor


def sparse_add(*tens: SparseConvTensor) -> SparseConvTensor:
    """The sum of tensors of one grid that need not have the same indices: every index of any, in lexicographic order.

    The maps of the largest are kept where the sum has no more rows than it; else an inverse layer cannot go back from here.
    Raises ValueError for different grids, batches or channels.
    """
    first = tens[0]
    for x in tens[1:]:
        if x.spatial_shape != first.spatial_shape or x.batch_size != first.batch_size:
            raise vs.InvalidArgument(f"[sparse_add] expects one grid, found {first.spatial_shape} and {x.spatial_shape}")
        if x.at_hand.shape[1] != first.at_hand.shape[1]:
            raise vs.InvalidArgument(
                f"[sparse_add] tensors have {first.at_hand.shape[1]} and {x.at_hand.shape[1]} channels"
            )
    out = first
    for x in tens[1:]:
        out = _sum(out, x)
    largest = max(tens, key=lambda x: len(x.at_hand))
    out.indice_dict = largest.indice_dict if len(out.at_hand) == len(largest.at_hand) else {}
    return out


def _sum(a, b):
    rows, others = a.rows(), b.rows()
    cells = rows.cells.coordinates
    if cells.same_coordinates(others.cells.coordinates):
        out, feats = rows.cells, rows.sorted + others.sorted
    else:
        coords = torch.cat([copied(x.cells.coordinates.coords) for x in (rows, others)])
        both = vs.Coordinates(numbers("sparse_add", "indices", coords, coords.device), cells.stride, cells.shape)
        places = tensor_of(both.inverse).long().split([len(rows.cells), len(others.cells)])
        feats = rows.sorted.new_zeros(both.size, rows.sorted.shape[1])
        feats = feats.index_add(0, places[0], rows.sorted).index_add(0, places[1], others.sorted)
        recording.note("union_add", (rows.sorted, others.sorted), feats)
        out = Cells.of(both)
    return a._with(Features(out, sorted=feats))


sparse_add_hash_based = sparse_add
