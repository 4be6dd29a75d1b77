"""Activations of sparse tensors."""

from torch import nn

from voxshift.torch.torchsparse.nn.utils.apply import rowwise
from voxshift.torch.torchsparse.tensor import SparseTensor


class ReLU(nn.ReLU):
    def forward(self, input: SparseTensor) -> SparseTensor:
        return rowwise(input, super().forward)


class LeakyReLU(nn.LeakyReLU):
    def forward(self, input: SparseTensor) -> SparseTensor:
        return rowwise(input, super().forward)


class SiLU(nn.SiLU):
    def forward(self, input: SparseTensor) -> SparseTensor:
        return rowwise(input, super().forward)
