"""torch_scatter's functions that model code uses: for compat().

In plain torch on the CPU. On a GPU, where torch's scatter_add has no fixed order, sums, means and gradients are the library's,
of halves with float32 sums; those of float64 and of whole numbers are index_put's, which sorts before it adds.
"""

import math
import warnings
from typing import Optional, Tuple

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from voxshift.torch import recording
from voxshift.torch.memory import is_taken
from voxshift.torch.points import averaged, gather, summed
from voxshift.torch.precision import HALVES


def broadcast(src: torch.Tensor, other: torch.Tensor, dim: int) -> torch.Tensor:
    """An index of fewer dimensions, spread over other's."""
    dim = dim % other.dim()
    if src.dim() == 1:
        src = src.reshape([-1 if i == dim else 1 for i in range(other.dim())])
    while src.dim() < other.dim():
        src = src.unsqueeze(-1)
    return src.expand(other.shape)


def _spread(src, index, dim, out, dim_size):
    """(index like src, shape of the result)."""
    index = broadcast(index, src, dim)
    shape = list(src.shape)
    if out is not None:
        shape = list(out.shape)
    elif dim_size is not None:
        shape[dim] = dim_size
    else:
        shape[dim] = int(index.max()) + 1 if index.numel() else 0
    return index, shape


def _by_rows(x, dim):
    """[n, rest] of a tensor whose dimension of n elements is this one."""
    x = x.movedim(dim, 0)
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _in_order(src, index, spread, dim, shape, reduce):
    """src by index, a tensor of this shape: rows by `reduce`, which is summed or averaged, in their order."""
    rows = _by_rows(src, dim)
    if index.dim() == 1:
        found = reduce(rows, index, shape[dim])
    else:
        width = rows.shape[1]
        places = _by_rows(spread, dim) * width + torch.arange(width, device=src.device)
        found = reduce(rows.reshape(-1, 1), places.reshape(-1), shape[dim] * width)
    rest = [n for axis, n in enumerate(shape) if axis != dim % len(shape)]
    return found.reshape(shape[dim], *rest).movedim(0, dim)


def _sums(src, index, spread, dim, shape, out):
    """Those by index, added to out where it is given."""
    if src.device.type == "cpu":
        return (src.new_zeros(shape) if out is None else out).scatter_add(dim, spread, src)
    sums = _in_order(src, index, spread, dim, shape, summed)
    return sums if out is None else out + sums


def _means(src, index, spread, dim, shape, out):
    """Those by index, of out and their sums where it is given."""
    if out is None and src.device.type != "cpu" and is_taken(src, halves=True):
        return _in_order(src, index, spread, dim, shape, averaged)
    total = _sums(src, index, spread, dim, shape, out)
    ones = torch.ones_like(src, dtype=torch.float32 if src.dtype in HALVES else src.dtype)
    count = _sums(ones, index, spread, dim, shape, None).clamp(min=1)
    if not src.is_floating_point():
        return torch.div(total, count, rounding_mode="floor")
    return (total / count).to(src.dtype)


def _rows_at(values, index):
    """values[index], whose gradient has one order of sums."""
    if values.device.type == "cpu" or not is_taken(values, halves=True):
        return values[index]
    return gather(_by_rows(values, 0), index.int()).reshape(len(index), *values.shape[1:])


def _at(values, dim, index, spread):
    """values.gather(dim, spread), whose gradient has one order of sums."""
    if values.device.type == "cpu":
        return values.gather(dim, spread)
    if index.dim() == 1:
        return _rows_at(values.movedim(dim, 0), index).movedim(0, dim)
    places = _by_rows(spread, dim)
    found = _by_rows(values, dim)[places, torch.arange(places.shape[1], device=values.device)]
    return found.reshape(spread.movedim(dim, 0).shape).movedim(0, dim)


class _First(Function):
    """src.gather(dim, first), 0 where first is src's size there; first is a place of spread's own number, or none."""

    @staticmethod
    def forward(ctx, src, spread, first, dim):
        ctx.save_for_backward(spread, first)
        ctx.dim = dim
        return _padded(src, dim).gather(dim, first)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        spread, first = ctx.saved_tensors
        is_first = first.gather(ctx.dim, spread) == _places(spread, ctx.dim)
        return torch.where(is_first, grad.gather(ctx.dim, spread), grad.new_zeros(())), None, None, None


def _places(src, dim):
    """int64 like src: the place of each element along the dimension."""
    places = torch.arange(src.shape[dim], device=src.device)
    return places.reshape([-1 if i == dim else 1 for i in range(src.dim())]).expand(src.shape)


def _padded(src, dim):
    """src and zeros after its last element along the dimension."""
    return torch.cat([src, src.new_zeros([1 if i == dim else n for i, n in enumerate(src.shape)])], dim)


def scatter_sum(
    src: torch.Tensor,
    index: torch.Tensor,
    dim: int = -1,
    out: Optional[torch.Tensor] = None,
    dim_size: Optional[int] = None,
) -> torch.Tensor:
    """The sums of src by index along a dimension, added to out where it is given."""
    spread, shape = _spread(src, index, dim, out, dim_size)
    result = _sums(src, index, spread, dim, shape, out)
    if out is not None:
        out.copy_(result)
        return out
    recording.pooled(src, result, index, dim, "sum")
    return result


scatter_add = scatter_sum


def scatter_mean(
    src: torch.Tensor,
    index: torch.Tensor,
    dim: int = -1,
    out: Optional[torch.Tensor] = None,
    dim_size: Optional[int] = None,
) -> torch.Tensor:
    """The means of src by index along a dimension; 0 where there is none."""
    spread, shape = _spread(src, index, dim, out, dim_size)
    result = _means(src, index, spread, dim, shape, out)
    if out is not None:
        out.copy_(result)
        return out
    recording.pooled(src, result, index, dim, "mean")
    return result


def _reduced(start, dim, index, src, how):
    with warnings.catch_warnings():  # that torch 1.13 may still change it
        warnings.simplefilter("ignore")
        return start.scatter_reduce(dim, index, src, how, include_self=False)


def _extreme(src, index, dim, out, dim_size, how):
    spread, shape = _spread(src, index, dim, out, dim_size)
    dim = dim % src.dim()
    best = _reduced(src.detach().new_zeros(shape), dim, spread, src.detach(), how)
    last, place = src.shape[dim], _places(src, dim)
    place = torch.where(src.detach() == best.gather(dim, spread), place, torch.full_like(place, last))
    first = _reduced(torch.full(shape, last, dtype=torch.long, device=src.device), dim, spread, place, "amin")
    on_cpu = src.device.type == "cpu"  # elsewhere the gradient of gather has no fixed order
    result = _padded(src, dim).gather(dim, first) if on_cpu else _First.apply(src, spread, first, dim)
    if out is None:
        recording.pooled(src, result, index, dim, "max" if how == "amax" else "min")
        return result, first
    is_better = (first < last) & ((result > out) if how == "amax" else (result < out))
    out.copy_(torch.where(is_better, result, out))
    return out, torch.where(is_better, first, torch.full_like(first, last))


def scatter_max(
    src: torch.Tensor,
    index: torch.Tensor,
    dim: int = -1,
    out: Optional[torch.Tensor] = None,
    dim_size: Optional[int] = None,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """(maxima of src by index, 0 where there is none; the first place of each, the dimension's size where there is
    none).
    """
    return _extreme(src, index, dim, out, dim_size, "amax")


def scatter_min(
    src: torch.Tensor,
    index: torch.Tensor,
    dim: int = -1,
    out: Optional[torch.Tensor] = None,
    dim_size: Optional[int] = None,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """As scatter_max, the minima."""
    return _extreme(src, index, dim, out, dim_size, "amin")


def scatter(
    src: torch.Tensor,
    index: torch.Tensor,
    dim: int = -1,
    out: Optional[torch.Tensor] = None,
    dim_size: Optional[int] = None,
    reduce: str = "sum",
) -> torch.Tensor:
    """One of the others by name: "sum" or "add", "mean", "max", "min"."""
    if reduce in ("max", "min"):
        return (scatter_max if reduce == "max" else scatter_min)(src, index, dim, out, dim_size)[0]
    functions = {"sum": scatter_sum, "add": scatter_sum, "mean": scatter_mean}
    if reduce not in functions:
        raise ValueError(f"[torch_scatter] reduce expects sum, add, mean, max or min, found {reduce!r}")
    return functions[reduce](src, index, dim, out, dim_size)


def segment_csr(
    src: torch.Tensor, indptr: torch.Tensor, out: Optional[torch.Tensor] = None, reduce: str = "sum"
) -> torch.Tensor:
    """src reduced over rows [indptr[i], indptr[i + 1]) of its first dimension."""
    if indptr.dim() != 1:
        raise ValueError(f"[torch_scatter] indptr expects one dimension, found {list(indptr.shape)}")
    counts = indptr[1:] - indptr[:-1]
    index = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    first, last = (int(indptr[0]), int(indptr[-1])) if len(indptr) else (0, 0)
    part = src if (first, last) == (0, len(src)) else src[first:last]
    return scatter(part, index, 0, out, len(counts), reduce)


def segment_coo(
    src: torch.Tensor,
    index: torch.Tensor,
    out: Optional[torch.Tensor] = None,
    dim_size: Optional[int] = None,
    reduce: str = "sum",
) -> torch.Tensor:
    """scatter along the last dimension of the index, which ascends."""
    return scatter(src, index, index.dim() - 1, out, dim_size, reduce)


def gather_csr(src: torch.Tensor, indptr: torch.Tensor) -> torch.Tensor:
    """Row i of src at [indptr[i], indptr[i + 1])."""
    counts = indptr[1:] - indptr[:-1]
    return _rows_at(src, torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts))


def scatter_softmax(
    src: torch.Tensor, index: torch.Tensor, dim: int = -1, dim_size: Optional[int] = None
) -> torch.Tensor:
    """Softmax of src over the elements of the same index."""
    spread = broadcast(index, src, dim)
    largest = scatter_max(src.detach(), index, dim, None, dim_size)[0].gather(dim, spread)
    values = (src - largest).exp()
    return values / _at(scatter_sum(values, index, dim, None, dim_size), dim, index, spread)
