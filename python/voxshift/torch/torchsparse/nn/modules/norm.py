"""Normalisation of sparse tensors."""

import torch
from torch import nn

from voxshift.torch.expected import expect
from voxshift.torch.norms import batch_norm
from voxshift.torch.torchsparse.nn.utils.apply import fapply, rowwise
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import SparseTensor


class BatchNorm(nn.BatchNorm1d):
    """torch.nn.BatchNorm1d of the features, over all voxels."""

    def forward(self, input: SparseTensor) -> SparseTensor:
        return rowwise(input, lambda x: batch_norm(self, x))


class InstanceNorm(nn.InstanceNorm1d):
    """torch.nn.InstanceNorm1d of the features [N, C] as one image of C channels, as torchsparse calls it."""

    def forward(self, input: SparseTensor) -> SparseTensor:
        if self.affine or self.track_running_stats:
            return fapply(input, super().forward)
        return rowwise(input, lambda x: nn.functional.layer_norm(x, x.shape[1:], eps=self.eps))  # the channels of each row


class GroupNorm(nn.GroupNorm):
    """torch.nn.GroupNorm of the voxels of each batch."""

    def forward(self, input: SparseTensor) -> SparseTensor:
        expect("torchsparse", input, SparseTensor)
        input.expect_taken()
        feats, batch = input.feats, input.coords[:, rules().batch]
        out = torch.zeros_like(feats)
        for index in range(int(batch.max()) + 1 if len(batch) else 0):
            rows = torch.nonzero(batch == index).squeeze(1)
            if len(rows):
                image = feats[rows].t().reshape(1, feats.shape[1], -1)
                out = out.index_copy(0, rows, super().forward(image).reshape(feats.shape[1], -1).t())
        return fapply(input, lambda _: out)
