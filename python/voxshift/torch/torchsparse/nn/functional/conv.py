"""torchsparse's conv3d."""

from typing import Any, Dict, Optional, Tuple

import torch

import voxshift as vs
from voxshift.torch.expected import expect
from voxshift.torch.functional import conv3d as conv_of_voxels
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.torchsparse.nn.functional.maps import Range, generated_map, map_of
from voxshift.torch.torchsparse.nn.functional.settings import config_of
from voxshift.torch.torchsparse.nn.utils.kernel import Axes
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import SparseTensor, coords_of
from voxshift.torch.torchsparse.utils.utils import make_ntuple
from voxshift.torch.windows import LaidOut


def conv3d(
    input: SparseTensor,
    weight: torch.Tensor,
    kernel_size: Axes,
    bias: Optional[torch.Tensor] = None,
    stride: Axes = 1,
    padding: Axes = 0,
    dilation: Axes = 1,
    config: Optional[Dict[str, Any]] = None,
    transposed: bool = False,
    generative: bool = False,
    training: bool = False,
    laid_out: Optional[LaidOut] = None,
) -> SparseTensor:
    """Sparse convolution by the rules of the version followed.

    weight: float32 [K, Cin, Cout], offsets in torchsparse's order, or [Cin, Cout] where K is 1. bias: float32 [Cout].
    transposed: back onto the voxels that a convolution with the same window and stride came from. dilation tells layers'
    maps apart and is not applied, as in torchsparse. padding: of strided layers of 2.1. Raises ValueError.
    """
    expect("torchsparse", input, SparseTensor)
    size, stride, dilation = (make_ntuple(x, 3) for x in (kernel_size, stride, dilation))
    laid_out = laid_out or LaidOut()
    if size == stride == dilation == (1, 1, 1):
        y = conv_of_voxels(input.features().tensor(), weight, bias, kernel_size=1)
        rows = Features(input.features().cells, sorted=y.feats)
        return _output(input, rows, input.coords, input.stride, input.spatial_range)
    if not transposed:
        options = make_ntuple(padding, 3), config_of(config), laid_out
        return _forward(input, weight, bias, (size, stride, dilation), *options)
    if generative:
        return _generate(input, weight, bias, size, stride, laid_out)
    return _back(input, weight, bias, (size, stride, dilation), laid_out)


def _forward(input, weight, bias, taps, padding, config, laid_out):
    x, caches = input.features(), input._caches
    size, stride, _ = taps
    key = (input.stride, *taps)
    found = caches.kmaps.get(key)
    if found is None or not _same(found.fine, x.cells):
        found = map_of(x.cells, size, stride, padding, input.spatial_range, config)
        caches.kmaps[key] = found
    _remember(caches, input.stride, input.coords, input.spatial_range)
    y = found.forward(x, weight, bias, laid_out)
    coords = input.coords if found.coarse is found.fine else _coords_of(found.coarse)
    if found.coarse is found.fine:
        y = y if y.cells is x.cells else Features(x.cells, sorted=y.sorted)
    spatial_range = _range_after(input.spatial_range, size, stride, padding)
    found.fine_coords, found.fine_range = input.coords, input.spatial_range
    return _output(input, y, coords, tuple(a * b for a, b in zip(input.stride, stride)), spatial_range)


def _back(input, weight, bias, taps, laid_out):
    x, caches = input.features(), input._caches
    stride = _finer(input.stride, taps[1])
    found = caches.kmaps.get((stride, *taps))
    if found is None or not _same(found.coarse, x.cells):
        raise vs.InvalidArgument(
            f"[conv3d] expects a convolution of window {taps[0]} and stride {taps[1]} before the transposed one"
        )
    y = found.transposed(x, weight, bias, laid_out)
    return _output(input, y, found.fine_coords, stride, found.fine_range)


def _generate(input, weight, bias, size, stride, laid_out):
    found = generated_map(input.features().cells, size, stride, input.spatial_range)
    y = found.forward(input.features(), weight, bias, laid_out)
    input._caches.kmaps = {}
    out_stride = _finer(input.stride, stride)
    input._caches.cmaps.pop(out_stride, None)
    return _output(input, y, _coords_of(found.coarse), out_stride, input.spatial_range)


def _output(input: SparseTensor, y: Features, coords: torch.Tensor, stride: Tuple[int, ...], spatial_range: Range):
    output = SparseTensor(None, coords, stride, spatial_range)
    output._features, output._caches = y, input._caches
    _remember(output._caches, output.stride, coords, spatial_range)
    return output


def _remember(caches, stride, coords, spatial_range):
    caches.cmaps.setdefault(stride, (coords, spatial_range) if rules().bounded else coords)


def _coords_of(cells: Cells) -> torch.Tensor:
    """The one tensor of the cells' coords in the layout of the version followed."""
    known = getattr(cells, "_torchsparse_coords", None)
    if known is None or known[0] != rules():
        known = (rules(), coords_of(cells))
        cells._torchsparse_coords = known  # type: ignore[attr-defined]  # kept with the cells
    return known[1]


def _same(a: Optional[Cells], b: Cells) -> bool:
    return a is b or (a is not None and a.coordinates.same_coordinates(b.coordinates))


def _finer(stride, step):
    if any(a % b for a, b in zip(stride, step)):
        raise vs.InvalidArgument(f"[conv3d] a tensor of stride {stride} cannot go back by {step}")
    return tuple(a // b for a, b in zip(stride, step))


def _range_after(spatial_range: Range, size, stride, padding) -> Range:
    if spatial_range is None:
        return None
    extent = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(spatial_range[1:], size, stride, padding)]
    return (spatial_range[0], *extent)
