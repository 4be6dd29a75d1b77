"""Bird's-eye views of sparse tensors. `dim` is the axis among x, y and z that is seen along."""

import math
from typing import Sequence, Union

import torch
from torch import nn

from voxshift.torch import recording
from voxshift.torch.expected import expect
from voxshift.torch.points import summed
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import SparseTensor
from voxshift.torch.torchsparse.utils.utils import make_ntuple


def _cells(input: SparseTensor) -> torch.Tensor:
    """int64 [N, 4]: batch, x, y, z of every row, in cells of the tensor's own grid."""
    expect("torchsparse", input, SparseTensor)
    input.expect_taken()
    places = input.coords[:, [rules().batch, *rules().axes]].long()
    if rules().multiplied:
        places[:, 1:] = torch.div(places[:, 1:], places.new_tensor(input.stride), rounding_mode="floor")
    return places


def _images(batch_and_columns: torch.Tensor, feats: torch.Tensor, extent: Sequence[int]) -> torch.Tensor:
    """float32 [B, *extent, C]: the sum of the rows in every pixel."""
    batches = int(batch_and_columns[:, 0].max()) + 1 if len(feats) else 0
    index = batch_and_columns[:, 0]
    for axis, size in enumerate(extent):
        index = index * size + batch_and_columns[:, 1 + axis]
    pixels = summed(feats, index, batches * math.prod(extent))
    return pixels.view(batches, *extent, feats.shape[1])


def _merged(columns: torch.Tensor, feats: torch.Tensor, stride, mean: bool) -> SparseTensor:
    """One voxel for all at the same place, by sum or mean."""
    places, inverse, counts = torch.unique(columns, dim=0, return_inverse=True, return_counts=True)
    out = summed(feats, inverse, len(places))
    return SparseTensor(out / counts[:, None] if mean else out, places.int(), stride)


class _OfView(nn.Module):
    """What dense views have in common: the grid's shape, offset and axes."""

    def __init__(self, shape: Union[Sequence[int], torch.Tensor], offset: Sequence[int], dim: int) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor([[*offset, 0]], dtype=torch.int))
        self.register_buffer("shape", torch.as_tensor(shape).int())
        self.dim = dim
        self.bev_dims = [axis for axis in range(3) if axis != dim]

    def cells(self, input: SparseTensor) -> torch.Tensor:
        cells = _cells(input)
        steps = cells.new_tensor(input.stride if rules().multiplied else (1, 1, 1))
        cells[:, 1:] -= torch.div(self.offset[0, :3].long(), steps, rounding_mode="floor")
        return cells

    def is_plain(self, cells: torch.Tensor) -> bool:
        """Whether cells are where the grid's own are, none above or below it."""
        heights = cells[:, 1 + self.dim]
        return not (self.offset.any() or (heights < 0).any() or (heights >= self.shape[self.dim]).any())

    @property
    def extent(self) -> Sequence[int]:
        return [int(self.shape[axis]) for axis in self.bev_dims]


class ToBEVReduction(nn.Module):
    """The mean of every column, at 0 along `dim`."""

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: SparseTensor) -> SparseTensor:
        expect("torchsparse", input, SparseTensor)
        input.expect_taken()
        columns = input.coords.clone()
        columns[:, rules().axes[self.dim]] = 0
        return _merged(columns, input.feats, input.stride, mean=True)


class _WeightPerHeight(nn.Module):
    kernel: nn.Parameter

    def _make(self, in_channels: int, out_channels: int, n_kernels: int, bias: bool) -> None:
        self.in_channels, self.out_channels, self.n_kernels = in_channels, out_channels, n_kernels
        self.kernel = nn.Parameter(torch.zeros(n_kernels, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(1, out_channels)) if bias else 0
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.in_channels)
        nn.init.uniform_(self.kernel, -bound, bound)

    def _products(self, feats: torch.Tensor, heights: torch.Tensor) -> torch.Tensor:
        """Every row times the matrix of its height."""
        out = feats.new_zeros((len(feats), self.out_channels))
        for height in torch.unique(heights).tolist():
            rows = torch.nonzero(heights == height).squeeze(1)
            out = out.index_copy(0, rows, feats[rows] @ self.kernel[height])
        return out + self.bias


class ToDenseBEVConvolution(_OfView, _WeightPerHeight):
    """float32 [B, Cout, *other axes]: the sum over each column of rows times the matrix of their height."""

    def __init__(self, in_channels, out_channels, shape, offset=(0, 0, 0), dim: int = 1, bias: bool = False) -> None:
        super().__init__(shape, offset, dim)
        self._make(in_channels, out_channels, int(self.shape[dim]), bias)

    def forward(self, input: SparseTensor) -> torch.Tensor:
        expect("torchsparse", input, SparseTensor)
        feats = self._products(input.feats, _cells(input)[:, 1 + self.dim])
        cells = self.cells(input)
        columns = cells[:, [0, *(1 + axis for axis in self.bev_dims)]]
        out = _images(columns, feats, self.extent).permute(0, 3, 1, 2).contiguous()
        if self.is_plain(cells):
            bias = self.bias if isinstance(self.bias, nn.Parameter) else None
            recording.product_per_height(input.feats, out, self.shape.tolist(), self.dim, self.kernel, bias)
        return out


class ToBEVConvolution(_WeightPerHeight):
    """The sum over each column of rows times the matrix of their height, on a grid of `stride` times the cells."""

    def __init__(self, in_channels, out_channels, n_kernels, stride: int = 1, dim: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.stride, self.dim = stride, dim
        self._make(in_channels, out_channels, n_kernels, bias)

    def forward(self, input: SparseTensor) -> SparseTensor:
        cells = _cells(input)
        feats = self._products(input.feats, cells[:, 1 + self.dim])
        cells[:, 1 + self.dim] = 0
        stride = tuple(step * self.stride for step in input.stride)
        cells[:, 1:] = torch.div(cells[:, 1:], self.stride, rounding_mode="floor")
        if rules().multiplied:
            cells[:, 1:] *= cells.new_tensor(stride)
        order = [0, 1, 2, 3] if rules().batch == 0 else [1, 2, 3, 0]
        out = _merged(cells[:, order], feats, make_ntuple(stride, 3), mean=False)
        if recording.is_under_way():
            bias = self.bias if isinstance(self.bias, nn.Parameter) else None
            given = out.feats
            recording.flattened(
                input.feats, given, out.features().cells, self.dim, self.stride, self.kernel, bias
            )
        return out


class ToBEVHeightCompression(_OfView):
    """float32 [B, heights * C, *other axes]: channel c of the voxel at height h is channel h * C + c of its pixel."""

    def __init__(self, channels: int, shape, offset=(0, 0, 0), dim: int = 1) -> None:
        super().__init__(shape, offset, dim)
        self.channels = channels

    def forward(self, input: SparseTensor) -> torch.Tensor:
        heights = int(self.shape[self.dim])
        places = self.cells(input)
        cells = places[:, [0, *(1 + axis for axis in self.bev_dims), 1 + self.dim]]
        cells[:, 3].clamp_(0, heights - 1)
        images = _images(cells, input.feats, [*self.extent, heights])
        out = images.flatten(3).permute(0, 3, 1, 2).contiguous()
        if self.is_plain(places):
            recording.heights_as_channels(input.feats, out, self.shape.tolist(), self.dim)
        return out
