"""Union, pruning and interpolation."""

from typing import Any

import torch

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.expected import expect
from voxshift.torch.minkowski.common import CoordinateMapKey, FunctionOf, MinkowskiModuleBase
from voxshift.torch.minkowski.sparse_tensor import SparseTensor, on_key
from voxshift.torch.minkowski.tensor import check_managers
from voxshift.torch.ordered import Cells, Features


class MinkowskiUnion(MinkowskiModuleBase):
    """The sum of tensors over the union of their coordinates."""

    def forward(self, *inputs: SparseTensor) -> SparseTensor:
        if len(inputs) < 2:
            raise vs.InvalidArgument(f"[MinkowskiUnion] expects two tensors or more, found {len(inputs)}")
        for x in inputs:
            expect("minkowski", x, SparseTensor)
        for other in inputs[1:]:
            check_managers(inputs[0], other)
        manager, key = inputs[0].coordinate_manager, CoordinateMapKey(inputs[0].D + 1)
        maps = manager.union_map([x.coordinate_map_key for x in inputs], key)
        cells = manager.cells(key)
        out = inputs[0].F.new_zeros((len(cells), inputs[0].shape[1]))
        for x, (own, place) in zip(inputs, maps):
            out = out.index_add(0, place, x.F[own])  # no place twice: index_add has one order
        recording.refuse("a union", out)
        if len(inputs) == 2:
            recording.note("union_add", [x._features.sorted for x in inputs], out)
        return SparseTensor.on(manager, key, Features(cells, sorted=out))


class MinkowskiPruning(MinkowskiModuleBase):
    """The voxels whose mask, bool [N] in the order of F, is true; they keep their order."""

    def forward(self, input: SparseTensor, mask: torch.Tensor) -> SparseTensor:
        expect("minkowski", input, SparseTensor)
        if mask.dtype != torch.bool or mask.shape != (len(input),):
            raise vs.InvalidArgument(
                f"[MinkowskiPruning] mask expects bool [{len(input)}], found {str(mask.dtype)[6:]} {list(mask.shape)}"
            )
        manager, stride = input.coordinate_manager, input.tensor_stride
        rows = torch.nonzero(mask).squeeze(1)
        cells = Cells(input._features.cells.coords[rows], input._features.cells.coordinates.stride)
        key = manager.insert(stride, cells, "pruned")
        feats = input.F[rows]
        recording.refuse("pruning by other masks than scores above a threshold", feats)
        recording.pruned(input.F, mask, feats, cells)
        return SparseTensor.on(manager, key, Features(cells, given=feats))


class MinkowskiInterpolation(MinkowskiModuleBase):
    """features_at_coordinates as a module, with the map and weights if they are asked for."""

    def __init__(self, return_kernel_map: bool = False, return_weights: bool = False):
        super().__init__()
        self.return_kernel_map, self.return_weights = return_kernel_map, return_weights

    def forward(self, input: SparseTensor, tfield: torch.Tensor) -> Any:
        expect("minkowski", input, SparseTensor)
        found = [input.features_at_coordinates(tfield)]
        if self.return_kernel_map or self.return_weights:
            *pair, weights = input.coordinate_manager.interpolation_map_weight(input.coordinate_map_key, tfield)
            found += [tuple(pair)] * self.return_kernel_map + [weights] * self.return_weights
        return tuple(found) if len(found) > 1 else found[0]


class _Interpolation(FunctionOf):
    def apply(self, input_features, tfield, in_coordinate_map_key, coordinate_manager=None):
        """(features at tfield, rows of the map, rows of tfield, weights)."""
        x = on_key(coordinate_manager, in_coordinate_map_key, input_features)
        maps = coordinate_manager.interpolation_map_weight(in_coordinate_map_key, tfield)
        return (x.features_at_coordinates(tfield), *maps)


class _Pruning(FunctionOf):
    def apply(self, in_feat, mask, in_coords_key, out_coords_key, coords_manager):
        """Features of what is left; sets out_coords_key."""
        out = MinkowskiPruning()(on_key(coords_manager, in_coords_key, in_feat), mask)
        out_coords_key.set_key(*out.coordinate_map_key.get_key())
        return out.F


class _Union(FunctionOf):
    def apply(self, in_coords_keys, out_coords_key, coordinate_manager, *in_feats):
        """Features of the union; sets out_coords_key."""
        inputs = [on_key(coordinate_manager, key, feats) for key, feats in zip(in_coords_keys, in_feats)]
        out = MinkowskiUnion()(*inputs)
        out_coords_key.set_key(*out.coordinate_map_key.get_key())
        return out.F


MinkowskiInterpolationFunction = _Interpolation()
MinkowskiPruningFunction = _Pruning()
MinkowskiUnionFunction = _Union()
