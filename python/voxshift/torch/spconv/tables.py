"""Sums and concatenations of tensors: spconv.pytorch.tables."""

from typing import List

import torch

import voxshift as vs
from voxshift.torch.spconv.core import SparseConvTensor, aligned
from voxshift.torch.spconv.functional import sparse_add_hash_based
from voxshift.torch.spconv.modules import SparseModule


def _check(op, tensors, channels):
    first = tensors[0]
    for x in tensors[1:]:
        alike = x.spatial_shape == first.spatial_shape and x.batch_size == first.batch_size
        if not alike or len(x.at_hand) != len(first.at_hand) or (channels and x.at_hand.shape[1] != first.at_hand.shape[1]):
            raise vs.InvalidArgument(f"[{op}] expects tensors on the same indices, found {first} and {x}")


class JoinTable(SparseModule):
    """Channels side by side, of tensors whose rows lie on the same indices. Raises ValueError where they cannot."""

    def forward(self, input: List[SparseConvTensor]) -> SparseConvTensor:
        _check("JoinTable", input, channels=False)
        return input[0].with_rows(torch.cat(aligned(*input), 1))

    def input_spatial_size(self, out_size):
        """The same."""
        return out_size


class AddTable(SparseModule):
    """The sum of tensors whose rows lie on the same indices. Raises ValueError where they cannot."""

    def forward(self, input: List[SparseConvTensor]) -> SparseConvTensor:
        _check("AddTable", input, channels=True)
        first, *others = aligned(*input)
        for feats in others:
            first = first + feats
        return input[0].with_rows(first)

    def input_spatial_size(self, out_size):
        """The same."""
        return out_size


class AddTableMisaligned(SparseModule):
    """sparse_add as a module: the sum of tensors of the same grid on different indices."""

    def forward(self, input: List[SparseConvTensor]) -> SparseConvTensor:
        return sparse_add_hash_based(*input)

    def input_spatial_size(self, out_size):
        """The same."""
        return out_size


class ConcatTable(SparseModule):
    """Every module on the same tensor: a list of what they give."""

    def forward(self, input: SparseConvTensor) -> list:
        return [module(input) for module in self._modules.values()]

    def add(self, module) -> "ConcatTable":
        """One more at the end."""
        self.add_module(str(len(self._modules)), module)
        return self

    def input_spatial_size(self, out_size):
        """What the first module says."""
        return self._modules["0"].input_spatial_size(out_size)
