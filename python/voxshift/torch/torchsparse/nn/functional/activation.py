"""Activations of sparse tensors."""

from torch.nn import functional as F

from voxshift.torch.torchsparse.nn.utils.apply import rowwise
from voxshift.torch.torchsparse.tensor import SparseTensor


def relu(input: SparseTensor, inplace: bool = True) -> SparseTensor:
    return rowwise(input, lambda x: F.relu(x, inplace=inplace))


def silu(input: SparseTensor, inplace: bool = True) -> SparseTensor:
    return rowwise(input, lambda x: F.silu(x, inplace=inplace))


def leaky_relu(input: SparseTensor, negative_slope: float = 0.1, inplace: bool = True) -> SparseTensor:
    return rowwise(input, lambda x: F.leaky_relu(x, negative_slope, inplace=inplace))
