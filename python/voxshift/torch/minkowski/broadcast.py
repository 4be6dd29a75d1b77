"""What belongs to a batch, given to all its voxels."""

import torch
from torch import nn

from voxshift.torch import recording
from voxshift.torch.expected import expect
from voxshift.torch.minkowski.sparse_tensor import SparseTensor, rows_of
from voxshift.torch.minkowski.tensor import Tensor


def rows_of_batches(x: Tensor, per_batch: SparseTensor) -> torch.Tensor:
    """float32 [N, C], in the order of x.rows(): for every voxel the row of per_batch that its batch has."""
    batches = per_batch.C[:, 0].long()
    order = torch.argsort(batches)
    return rows_of(per_batch.F, order[torch.searchsorted(batches[order], x.batch_of_rows())])


def broadcast(x: SparseTensor, per_batch: SparseTensor) -> torch.Tensor:
    """rows_of_batches, told to a recording."""
    feats = rows_of_batches(x, per_batch)
    recording.note("broadcast", (per_batch.rows(), x.rows()), feats)
    return feats


class MinkowskiBroadcastAddition(nn.Module):
    """input plus the row of its batch."""

    def forward(self, input: SparseTensor, input_glob: SparseTensor) -> SparseTensor:
        expect("minkowski", input, SparseTensor)
        return input.with_rows(input.rows() + broadcast(input, input_glob))

    def __repr__(self) -> str:
        return type(self).__name__


class MinkowskiBroadcastMultiplication(MinkowskiBroadcastAddition):
    """input times the row of its batch."""

    def forward(self, input: SparseTensor, input_glob: SparseTensor) -> SparseTensor:
        expect("minkowski", input, SparseTensor)
        return input.with_rows(input.rows() * broadcast(input, input_glob))


class MinkowskiBroadcast(MinkowskiBroadcastAddition):
    """The row of its batch for every voxel."""

    def forward(self, input: SparseTensor, input_glob: SparseTensor) -> SparseTensor:
        expect("minkowski", input, SparseTensor)
        return input.with_rows(broadcast(input, input_glob))


class MinkowskiBroadcastConcatenation(MinkowskiBroadcastAddition):
    """input and the row of its batch side by side."""

    def forward(self, input: SparseTensor, input_glob: SparseTensor) -> SparseTensor:
        expect("minkowski", input, SparseTensor)
        return input.with_rows(torch.cat((input.rows(), broadcast(input, input_glob)), dim=1))
